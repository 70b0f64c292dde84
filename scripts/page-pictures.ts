/**
 * Pictures of the monitoring page and of `ferrite top`, made in a real browser (chromium on PATH, or CHROME_BIN) from a server
 * under some load.      bun scripts/page-pictures.ts [DIRECTORY, default docs/monitoring]
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Browser, browserBinary, type Tab } from "../test/support/browser.ts";
import { ferriteCommand, freePort, ROOT, type Server, startFerrite } from "../test/support/servers.ts";
import { TestTerminal } from "../test/support/terminal.ts";

/** How long the load runs before the pictures, s: it fills a part of the charts. */
const LOAD_SECONDS = Number(process.env["FERRITE_PICTURE_SECONDS"] ?? 40);

/** Commands of several kinds, at a rate that rises and falls, until `isOver`. */
async function load(server: Server, isOver: () => boolean): Promise<void> {
  const client = await server.connect();
  await client.command("HOTKEYS", "START", "METRICS", "2", "CPU", "NET");
  for (let round = 0; !isOver(); round++) {
    const count = 300 + Math.floor(250 * Math.sin(round / 12));
    const all: Promise<unknown>[] = [];
    for (let i = 0; i < count; i++) {
      const key = `user:${Math.floor(Math.random() ** 3 * 5000)}`;
      all.push(client.command("SET", key, "x".repeat(200), "EX", "600"));
      all.push(client.command("GET", `user:${Math.floor(Math.random() * 8000)}`));
      if (i % 7 === 0) all.push(client.command("ZADD", "scores", String(i), key), client.command("LPUSH", "jobs", key));
      if (i % 50 === 0) all.push(client.command("LPUSH", "scores", "x").catch(() => null));
    }
    await Promise.all(all);
    if (round % 20 === 0) await client.command("EVAL", "for i = 1, 300000 do end return 1", "0");
    await Bun.sleep(20);
  }
  client.close();
}

async function pageAt(tab: Tab, url: string, width: number, scheme: "light" | "dark"): Promise<Buffer> {
  await tab.size(width, 900);
  await tab.scheme(scheme);
  if ((await tab.evaluate("location.href")) !== url) await tab.send("Page.navigate", { url });
  await tab.until("document.querySelectorAll('.line').length > 0", "the charts");
  await Bun.sleep(2500);
  return tab.picture();
}

/** Looks of a terminal as styles. */
const LOOKS: Readonly<Record<string, string>> = {
  "1": "font-weight:700",
  "2": "color:#9aa0aa",
  "7": "background:#e6e6e6;color:#16181c",
  "32": "color:#5fd39b",
  "33": "color:#f0c050",
  "36": "color:#62c8e8",
  "1;31": "color:#ff8a80;font-weight:700",
};

/** A page that shows lines of a terminal. */
function terminalPage(painted: readonly string[]): string {
  const text = painted
    .join("\n")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replace(/\x1b\[([\d;]+)m/g, (_all, look: string) => (look === "0" ? "</span>" : `<span style="${LOOKS[look]}">`));
  const style = "margin:0;padding:12px;font:14px/1.25 'DejaVu Sans Mono',monospace;color:#e6e6e6";
  return `<meta charset="utf-8"><body style="background:#16181c;margin:0"><pre style="${style}">${text}</pre>`;
}

async function terminalPicture(tab: Tab, server: Server, columns: number, rows: number, keys: string): Promise<Buffer> {
  const terminal = new TestTerminal([...ferriteCommand(), "top", "-p", String(server.port)], columns, rows);
  await terminal.until((lines) => lines.some((line) => line.startsWith("ops/s")), "ferrite top");
  await Bun.sleep(6000);
  terminal.type(keys);
  await Bun.sleep(1500);
  const painted = [...terminal.painted];
  terminal.type("q");
  await terminal.exitCode();
  terminal.close();
  const html = terminalPage(painted);
  await tab.send("Page.navigate", { url: `data:text/html;base64,${Buffer.from(html).toString("base64")}` });
  await tab.until("document.querySelector('pre') !== null", "the lines");
  return tab.picture({ width: Math.ceil(columns * 8.45) + 24, height: Math.ceil(rows * 17.5) + 24 });
}

const folder = Bun.argv[2] ?? join(ROOT, "docs/monitoring");

/** Writes a picture, in few colours where pngquant is at hand: a third of the size. */
function keep(name: string, picture: Buffer): void {
  const path = join(folder, name);
  writeFileSync(path, picture);
  if (Bun.which("pngquant") !== null) Bun.spawnSync(["pngquant", "--force", "--strip", "--output", path, "64", path]);
}

if (browserBinary() === null) throw new Error("no chromium: install it, or set CHROME_BIN");

mkdirSync(folder, { recursive: true });
const port = await freePort();
const server = await startFerrite({ args: ["--set", "metrics.enabled=true", "--metrics-port", String(port)] });
const browser = await Browser.start();
let isOver = false;
const loading = load(server, () => isOver);
try {
  const tab = await browser.open();
  const url = `http://127.0.0.1:${port}/`;
  await pageAt(tab, url, 1600, "light");
  await Bun.sleep(LOAD_SECONDS * 1000);
  for (const width of [1600, 400])
    for (const scheme of ["light", "dark"] as const)
      keep(`page-${width}-${scheme}.png`, await pageAt(tab, url, width, scheme));
  for (const complaint of tab.complaints) console.error(`complaint: ${complaint}`);
  const terminals = await browser.open();
  keep("top.png", await terminalPicture(terminals, server, 110, 42, ""));
  keep("top-40.png", await terminalPicture(terminals, server, 40, 24, "2"));
} finally {
  isOver = true;
  await loading.catch(() => null);
  await browser.close();
  await server.stop();
}
