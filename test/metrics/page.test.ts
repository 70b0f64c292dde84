/**
 * Goal:   the monitoring page shows the figures of the facts that it is handed, as text and as charts, obeys keys and buttons, and
 *         says when the server does not answer.
 * Method: the page's document in happy-dom, with its own script, over made facts. A real browser: test/blackbox/page.test.ts.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { Window } from "happy-dom";
import { PAGE, PAGE_HEADERS } from "../../src/metrics/page/page.ts";
import { within } from "../support/resp.ts";

const HANG_MS = 20_000;

/** What /facts.json replies, with counters that grow with `at`, s. */
function facts(at: number, change: object = {}): object {
  return {
    version: "0.1.0",
    run_id: "a",
    pid: 7,
    uptime_seconds: 93_780,
    now_seconds: 1_796_000_000 + at,
    not_ready: [],
    count: { ...COUNT, commands: 2500 * at, hits: 30 * at, misses: 10 * at, errors: 3 * at },
    clients: { connected: 12, most: 10_000, blocked: 1, bytes: 4096 },
    memory: {
      used: 3 << 20,
      limit: 6 << 20,
      resident: 9 << 20,
      machine: 18 << 20,
      data: 1 << 20,
      heap: 1,
      frames: 4,
      dead: 1,
    },
    tier: null,
    cpu_seconds: 0.5 * at,
    slow_entries: 4,
    databases: [{ db: 0, keys: 41, expiring: 1, ttl_seconds: 60 }],
    commands: [
      { command: "get", calls: 100 * at, seconds: 0.003 * at, rejected: 0, failed: 0 },
      { command: "<b>set</b>", calls: 50 * at, seconds: 0.001 * at, rejected: 1, failed: 2 },
    ],
    bounds: [1e-6, 2e-6, 4e-6],
    classes: [{ name: "string", counts: [50 * at, 0, 50 * at, 0] }],
    errors: [["ERR", 5]],
    workers: [0, 1].map((worker) => ({ ...WORKER, worker, cpu_seconds: 0.2 * at * (worker + 1) })),
    ...change,
  };
}
const COUNT = { connections: 0, rejected: 0, input_bytes: 0, output_bytes: 0, evicted: 0, expired: 0 };
const WORKER = {
  clients: 6,
  ops_per_second: 1,
  heap_bytes: 1024,
  loop_delay_seconds: 0.001,
  loop_delay_max_seconds: 0.004,
  loop_behind_seconds: 0,
};

interface Shown {
  readonly window: Window;
  /** Has the page ask, and waits until it has drawn the answer. */
  ask(answer: object | Error): Promise<void>;
  text(selector: string): string;
  all(selector: string): string[];
}

const open: Window[] = [];
afterEach(async () => {
  for (const window of open.splice(0)) await window.happyDOM.close();
});

/** The page, in a window whose timers run only when `ask` says so. */
function show(): Shown {
  const window = new Window({ url: "http://127.0.0.1:9090/" });
  open.push(window);
  const [markup = "", script = ""] = PAGE.split('<script type="module">').map((part) => part.split("</script>")[0]!);
  window.document.write(`${markup}</body></html>`);
  let run = (): void => {};
  let answered = (): void => {};
  let next: object | Error = new Error("not asked");
  const outside = {
    document: window.document,
    localStorage: window.localStorage,
    addEventListener: window.addEventListener.bind(window),
    setTimeout: (work: () => void) => {
      run = work;
      answered();
      return 1;
    },
    clearTimeout: () => {
      run = () => {};
    },
    fetch: async () => {
      if (next instanceof Error) throw next;
      return { ok: true, json: async () => next };
    },
  };
  new Function("window", script)(outside);
  const text = (selector: string) => window.document.querySelector(selector)?.textContent ?? "";
  return {
    window,
    text,
    all: (selector) => [...window.document.querySelectorAll(selector)].map((element) => element.textContent ?? ""),
    ask: async (answer) => {
      next = answer;
      const drawn = new Promise<void>((resolve) => {
        answered = resolve;
      });
      run();
      await within(drawn, HANG_MS, "the answer");
    },
  };
}

/** The tile with this title. */
const tile = (shown: Shown, title: string): string =>
  shown
    .all(".tile")
    .find((text) => text.startsWith(title))
    ?.slice(title.length) ?? "";

describe("the page", () => {
  test("shows what happened between two answers", async () => {
    const shown = show();
    await shown.ask(facts(10));
    expect([shown.text("#version"), shown.text("#state")]).toEqual(["0.1.0", "ready"]);
    expect(shown.text("#about")).toBe("up 1 d 2 h, 2 workers, process 7");
    expect(tile(shown, "Operations")).toBe("–");
    await shown.ask(facts(12));
    expect(tile(shown, "Operations")).toBe("2.50 k/s");
    expect(tile(shown, "Hit rate")).toBe("75 %");
    expect(tile(shown, "Memory")).toBe("3.00 MiB of 6.00 MiB");
    expect(tile(shown, "CPU")).toBe("50 % of a core");
    expect(tile(shown, "Keys")).toBe("41");
    // Of 200 calls a half took up to 1 us, the others 2 to 4 us.
    expect(tile(shown, "Latency p50")).toBe("1.0 µs");
    expect(tile(shown, "Latency p99")).toBe("4.0 µs");
    expect(shown.all("#workers tbody tr")).toEqual(["0120 %61.00 KiB4.00 ms", "1140 %61.00 KiB4.00 ms"]);
    const meter = shown.window.document.querySelector('meter[aria-label="Used, of the limit"]') as unknown as {
      value: number;
    };
    expect(meter.value).toBe(0.5);
    const levels = () => shown.all(".level:not([hidden])");
    expect(levels().length).toBe(6);
    await shown.ask(facts(13, { tier: { live: 3 << 20, files: 4 << 20 } }));
    expect(levels().slice(6)).toEqual([
      "On disk, of all data3.00 MiB of 4.00 MiB, 75 %",
      "Data, of the files on disk3.00 MiB of 4.00 MiB, 75 %",
    ]);
  });

  test("draws a point for each answer, and begins anew with another run of the server", async () => {
    const shown = show();
    for (let at = 0; at <= 6; at++) await shown.ask(facts(at));
    const points = (): number =>
      (shown.window.document.querySelector(".line.s0")?.getAttribute("d") ?? "").split(/[ML]/).length - 1;
    expect(points()).toBe(6);
    const label = shown.window.document.querySelector("svg")!.getAttribute("aria-label");
    expect(label).toBe("Operations per second: operations 2.50 k");
    await shown.ask(facts(0, { run_id: "b" }));
    await shown.ask(facts(1, { run_id: "b" }));
    expect(points()).toBe(1);
  });

  test("names are text, never markup", async () => {
    const shown = show();
    await shown.ask(facts(1));
    await shown.ask(facts(2));
    expect(shown.all("#commands tbody th")).toContain("<b>set</b>");
    expect(shown.window.document.querySelector("#commands tbody b")).toBeNull();
  });

  test("a table is ordered by the column whose button is pressed, and reversed by the second press", async () => {
    const shown = show();
    await shown.ask(facts(1));
    await shown.ask(facts(2));
    const buttons = [...shown.window.document.querySelectorAll("#commands thead button")];
    const order = () => shown.all("#commands tbody th").join(" ");
    expect(order()).toBe("get <b>set</b>");
    const failed = buttons.at(-1)!;
    failed.dispatchEvent(new shown.window.MouseEvent("click"));
    expect(order()).toBe("<b>set</b> get");
    expect(failed.parentElement!.getAttribute("aria-sort")).toBe("descending");
    failed.dispatchEvent(new shown.window.MouseEvent("click"));
    expect(order()).toBe("get <b>set</b>");
    expect(shown.window.document.querySelectorAll("#commands [aria-sort]").length).toBe(1);
  });

  test("arrows look at earlier points", async () => {
    const shown = show();
    await shown.ask(facts(0));
    await shown.ask(facts(1));
    await shown.ask(facts(2, { count: { ...COUNT, commands: 2510, hits: 0, misses: 0, errors: 0 } }));
    const svg = shown.window.document.querySelector("svg")!;
    const press = (key: string) => svg.dispatchEvent(new shown.window.KeyboardEvent("keydown", { key }));
    expect(svg.getAttribute("aria-label")).toBe("Operations per second: operations 10");
    press("ArrowLeft");
    expect(svg.getAttribute("aria-label")).toMatch(/operations 2\.50 k at \d\d:\d\d:\d\d$/);
    expect(svg.querySelectorAll(".cross").length).toBe(1);
    press("ArrowLeft");
    press("Escape");
    expect(svg.getAttribute("aria-label")).toBe("Operations per second: operations 10");
    expect(svg.querySelectorAll(".cross").length).toBe(0);
  });

  test("says when the server is not ready, and when it does not answer", async () => {
    const shown = show();
    const banner = shown.window.document.getElementById("banner")!;
    await shown.ask(facts(1, { not_ready: ["the data is being loaded"] }));
    expect(shown.text("#state")).toBe("not ready: the data is being loaded");
    await shown.ask(new Error("connection refused"));
    expect([banner.hasAttribute("hidden"), banner.textContent]).toEqual([
      false,
      "No answer: connection refused. Trying again.",
    ]);
    await shown.ask(facts(2));
    expect(banner.hasAttribute("hidden")).toBe(true);
  });

  test("the theme is chosen and remembered, the pause is a button that tells its state", async () => {
    const shown = show();
    await shown.ask(facts(1));
    const { document } = shown.window;
    const theme = document.getElementById("theme") as unknown as HTMLElementWithValue;
    theme.value = "dark";
    theme.dispatchEvent(new shown.window.Event("change"));
    expect(document.documentElement.getAttribute("data-theme")).toBe("dark");
    expect(shown.window.localStorage.getItem("ferrite-theme")).toBe("dark");
    const pause = document.getElementById("pause")!;
    pause.dispatchEvent(new shown.window.MouseEvent("click"));
    expect(pause.getAttribute("aria-pressed")).toBe("true");
  });

  test("nothing of it comes from elsewhere, and the policy allows only its own script and style", () => {
    expect(PAGE.match(/(?:src|href)\s*=\s*"[^"]*"/g)).toEqual(['href="data:,"']);
    expect(PAGE).not.toMatch(/@import|url\(|\son\w+=|<[a-z]+[^>]*\sstyle=/);
    const policy = PAGE_HEADERS["content-security-policy"]!;
    const hash = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("base64");
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`'sha256-${hash(/<script type="module">([\s\S]*)<\/script>/.exec(PAGE)![1]!)}'`);
    expect(policy).toContain(`'sha256-${hash(/<style>([\s\S]*)<\/style>/.exec(PAGE)![1]!)}'`);
    expect(policy).not.toContain("unsafe");
  });
});

interface HTMLElementWithValue {
  value: string;
  dispatchEvent(event: unknown): boolean;
}
