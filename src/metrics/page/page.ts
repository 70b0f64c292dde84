/**
 * The monitoring page: one document with its style and its script inside, and the headers that let nothing else run in it.
 * Its figures come from /facts.json (facts.ts of this folder).
 */
import script from "./browser.js" with { type: "text" };
import { STYLE } from "./style.ts";

const CARDS = [
  ["commands", "Commands"],
  ["workers", "Workers"],
  ["databases", "Databases"],
  ["errors", "Errors"],
] as const;

/** The document. The script is a module, so it runs once everything is there. */
export const PAGE = `<!doctype html>
<html lang="en" data-theme="auto">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ferrite</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>Ferrite <span id="version"></span></h1>
<span id="state"></span>
<span id="about"></span>
<div class="controls">
<button type="button" id="pause" aria-pressed="false">Pause</button>
<label>Every <select id="every"><option value="1">1 s</option><option value="2" selected>2 s</option><option value="5">5 s</option><option value="15">15 s</option></select></label>
<label>Theme <select id="theme"><option value="auto">auto</option><option value="light">light</option><option value="dark">dark</option></select></label>
</div>
</header>
<p id="banner" role="status" hidden></p>
<main>
<dl id="tiles"></dl>
<div id="charts" class="grid-of-cards"></div>
<div class="grid-of-cards wide">
<section class="card" id="levels"><h2>Memory</h2></section>
${CARDS.map(([id, title]) => `<section class="card" id="${id}"><h2>${title}</h2></section>`).join("\n")}
</div>
</main>
<script type="module">${script}</script>
</body>
</html>
`;

/** The browser runs this script and applies this style, and nothing that came in another way. */
const POLICY = [
  "default-src 'none'",
  `script-src '${hashOf(script)}'`,
  `style-src '${hashOf(STYLE)}'`,
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": POLICY,
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cross-origin-resource-policy": "same-origin",
};

function hashOf(text: string): string {
  return `sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}`;
}
