/**
 * Goal:   the monitoring page is served where it is wanted and nowhere else, and works in a browser: figures move, no error, no
 *         content from elsewhere, usable from 400 to 1,600 pixels and by keys alone.
 * Method: the executable over HTTP, and a headless Chromium where there is one.
 */
import { describe, expect, test } from "bun:test";
import { Browser, hasBrowser, type Tab } from "../support/browser.ts";
import { freePort, type Server, startFerrite } from "../support/servers.ts";

async function withPage(args: string[], body: (server: Server, port: number) => Promise<void>): Promise<void> {
  const port = await freePort();
  const metrics = ["--set", "metrics.enabled=true", "--metrics-port", String(port)];
  const server = await startFerrite({ args: [...metrics, ...args] });
  try {
    await body(server, port);
  } finally {
    await server.stop();
  }
}

describe("over HTTP", () => {
  test("this machine gets the page and its figures, read-only and for its own names", async () => {
    await withPage([], async (server, port) => {
      const client = await server.connect();
      await client.command("SET", "a", "1");
      const page = await fetch(`http://127.0.0.1:${port}/`);
      expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
      expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
      const figures = await fetch(`http://127.0.0.1:${port}/facts.json`);
      const facts = (await figures.json()) as { pid: number; workers: object[]; databases: { keys: number }[] };
      expect([facts.pid, facts.workers.length, facts.databases[0]!.keys]).toEqual([server.pid, 2, 1]);
      expect(figures.headers.get("access-control-allow-origin")).toBeNull();
      for (const path of ["/", "/facts.json"]) {
        expect((await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST" })).status).toBe(405);
        const other = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { host: "attacker.example" } });
        expect(other.status).toBe(421);
        const local = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { host: `localhost:${port}` } });
        expect(local.status).toBe(200);
      }
      expect((await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { host: "ferrite.example" } })).status).toBe(
        200,
      );
      client.close();
    });
  });

  // 127.1 is 127.0.0.1 in a form that is not recognized: an address that others might reach.
  test.each([
    ["metrics.page=false", "metrics.bind=127.0.0.1", false],
    ["metrics.page=auto", "metrics.bind=127.1", false],
    ["metrics.page=true", "metrics.bind=127.1", true],
  ])("%s with %s", async (page, bind, isServed) => {
    await withPage(["--set", page, "--set", bind], async (_server, port) => {
      const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { host: "ferrite.example" } });
      expect(answer.status).toBe(isServed ? 200 : 404);
      expect((await fetch(`http://127.0.0.1:${port}/facts.json`)).status).toBe(isServed ? 200 : 404);
      expect((await fetch(`http://127.0.0.1:${port}/metrics`)).status).toBe(200);
    });
  });
});

/** What of the page is wider than the window, in words. */
const TOO_WIDE = `[...document.querySelectorAll("body *")]
  .filter((element) => element.closest(".scroll") === null && element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => element.tagName + "." + element.className)`;

/** Ratio of the contrast between the colours of an element and of what is behind it (WCAG 2). */
const CONTRAST = `((selector) => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const element = document.querySelector(selector);
  let behind = element;
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(light);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
})`;

async function checkLooks(tab: Tab): Promise<void> {
  for (const scheme of ["light", "dark"] as const) {
    await tab.scheme(scheme);
    for (const width of [400, 800, 1600]) {
      await tab.size(width, 900);
      await tab.until(`innerWidth === ${width}`, "the width");
      expect([scheme, width, await tab.evaluate(TOO_WIDE)]).toEqual([scheme, width, []]);
      expect(await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    }
    for (const selector of [
      "dt",
      "dd",
      "#about",
      "#state",
      ".legend",
      "thead button",
      "tbody td",
      ".swatch.s0",
      ".swatch.s1",
    ])
      expect([scheme, selector, (await tab.evaluate<number>(`${CONTRAST}("${selector}")`)) >= 4.5]).toEqual([
        scheme,
        selector,
        true,
      ]);
  }
}

/** Goes through the page with Tab. Returns what had the focus. */
async function tabThrough(tab: Tab, count: number): Promise<string[]> {
  const seen: string[] = [];
  for (let i = 0; i < count; i++) {
    await tab.press("Tab");
    seen.push(
      await tab.evaluate(
        "(document.activeElement.id || document.activeElement.textContent || document.activeElement.tagName).slice(0, 20)",
      ),
    );
  }
  return seen;
}

describe.if(hasBrowser())("in a browser", () => {
  test("figures move, nothing is refused or too wide, keys reach everything, the end of the server is said", async () => {
    const browser = await Browser.start();
    try {
      await withPage([], async (server, port) => {
        const client = await server.connect();
        const tab = await browser.open();
        await tab.size(1600, 900);
        await tab.send("Page.navigate", { url: `http://127.0.0.1:${port}/` });
        await tab.until("document.querySelector('#state')?.textContent === 'ready'", "the first figures");
        for (let i = 0; i < 500; i++) await client.command("SET", `key:${i}`, "v");
        await tab.until("[...document.querySelectorAll('.tile')].some((e) => e.textContent === 'Keys500')", "500 keys");
        await tab.until("document.querySelectorAll('path.line').length === 17", "the lines");
        await tab.until(
          "[...document.querySelectorAll('#commands tbody th')].some((e) => e.textContent === 'set')",
          "SET",
        );
        await checkLooks(tab);
        const seen = await tabThrough(tab, 16);
        expect(seen.slice(0, 3)).toEqual(["pause", "every", "theme"]);
        expect(seen.slice(3, 11).length).toBe(8);
        expect(seen.slice(11)).toContain("Command");
        await tab.evaluate("document.querySelector('#pause').focus()");
        await tab.press(" ");
        await tab.until("document.querySelector('#pause').getAttribute('aria-pressed') === 'true'", "the pause");
        await tab.press(" ");
        await tab.evaluate("document.querySelector('svg').focus()");
        await tab.press("ArrowLeft");
        await tab.until("document.querySelector('.when').textContent !== ''", "an earlier point");
        expect(tab.complaints).toEqual([]);
        client.close();
        await server.stop();
        await tab.until("!document.querySelector('#banner').hidden", "the failure");
      });
    } finally {
      await browser.close();
    }
  }, 120_000);
});
