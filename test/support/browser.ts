/**
 * A headless Chromium, driven by the DevTools protocol over a WebSocket. It is not installed by the set-up, because it is 300 MB:
 * tests of the page in it run where it is found (CHROME_BIN, or chromium on PATH), and their absence is said loudly.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { within } from "./resp.ts";

const HANG_MS = 60_000;

export function browserBinary(): string | null {
  const given = process.env["CHROME_BIN"] ?? "";
  if (given !== "") return given;
  return (
    ["chromium", "chromium-browser", "google-chrome", "chrome"].map((name) => Bun.which(name)).find(Boolean) ?? null
  );
}

/** False, said loudly, without a browser. It is no failure: the tests with a made-up document always run. */
export function hasBrowser(): boolean {
  if (browserBinary() !== null) return true;
  const message = "no chromium: the page was NOT tested in a real browser (install chromium, or set CHROME_BIN)";
  console.error(`\n${"!".repeat(message.length)}\n${message}\n${"!".repeat(message.length)}\n`);
  return false;
}

export class Browser {
  private constructor(
    private readonly child: Bun.Subprocess,
    private readonly directory: string,
    private readonly port: number,
  ) {}

  static async start(): Promise<Browser> {
    const directory = mkdtempSync(join(tmpdir(), "ferrite-test-browser-"));
    const options = ["--headless", "--remote-debugging-port=0", `--user-data-dir=${directory}`, "--hide-scrollbars"];
    const more = ["--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"];
    // Chromium's sandbox refuses to run as root. It sees no page but ours.
    const root = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
    const command = ["timeout", "300", browserBinary()!, ...options, ...more, ...root, "about:blank"];
    const child = Bun.spawn(command, { stdout: "ignore", stderr: "ignore" });
    const portFile = join(directory, "DevToolsActivePort");
    const opening = (async () => {
      for (;;) {
        const port = existsSync(portFile) ? Number.parseInt(readFileSync(portFile, "utf8"), 10) : 0;
        if (port > 0) return port;
        if (child.exitCode !== null) throw new Error("the browser ended");
        await Bun.sleep(20);
      }
    })();
    return new Browser(child, directory, await within(opening, HANG_MS, "the browser"));
  }

  async open(): Promise<Tab> {
    const response = await fetch(`http://127.0.0.1:${this.port}/json/new?about:blank`, { method: "PUT" });
    const { webSocketDebuggerUrl } = (await response.json()) as { webSocketDebuggerUrl: string };
    return Tab.attach(webSocketDebuggerUrl);
  }

  async close(): Promise<void> {
    this.child.kill();
    await this.child.exited;
    rmSync(this.directory, { recursive: true, force: true });
  }
}

interface Reply {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { type?: string; entry?: { text?: string; level?: string }; exceptionDetails?: object };
  readonly result?: Record<string, unknown>;
  readonly error?: { message: string };
}

export class Tab {
  private next = 1;
  private readonly waiting = new Map<number, (reply: Reply) => void>();
  /** What the page or the browser complained of: exceptions, refusals of the content security policy, failed loads. */
  readonly complaints: string[] = [];

  private constructor(private readonly socket: WebSocket) {
    socket.onmessage = (event) => this.receive(JSON.parse(String(event.data)) as Reply);
  }

  static async attach(url: string): Promise<Tab> {
    const socket = new WebSocket(url);
    await within(
      new Promise((resolve, reject) => {
        socket.onopen = resolve;
        socket.onerror = reject;
      }),
      HANG_MS,
      "the tab",
    );
    const tab = new Tab(socket);
    for (const domain of ["Page", "Runtime", "Log"]) await tab.send(`${domain}.enable`);
    return tab;
  }

  private receive(reply: Reply): void {
    const { id, method, params } = reply;
    if (id !== undefined) {
      this.waiting.get(id)?.(reply);
      this.waiting.delete(id);
    } else if (method === "Runtime.exceptionThrown") this.complaints.push(JSON.stringify(params?.exceptionDetails));
    else if (method === "Log.entryAdded" && params?.entry?.level === "error")
      this.complaints.push(String(params.entry.text));
  }

  async send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = this.next++;
    const answer = new Promise<Reply>((resolve) => this.waiting.set(id, resolve));
    this.socket.send(JSON.stringify({ id, method, params }));
    const { result, error } = await within(answer, HANG_MS, method);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result!;
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const options = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = (await this.send("Runtime.evaluate", options)) as {
      result: { value: T };
      exceptionDetails?: object;
    };
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  }

  /** Waits until an expression is true in the page. */
  async until(expression: string, what: string): Promise<void> {
    const asking = (async () => {
      while (!(await this.evaluate<boolean>(`Boolean(${expression})`))) await Bun.sleep(50);
    })();
    await within(asking, HANG_MS, what);
  }

  async size(width: number, height: number): Promise<void> {
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  }

  async scheme(value: "light" | "dark"): Promise<void> {
    await this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value }] });
  }

  async press(key: string, code = key): Promise<void> {
    const text = key === " " ? { text: " " } : {};
    const codes: Record<string, number> = { Tab: 9, " ": 32, ArrowLeft: 37, ArrowRight: 39, Home: 36, End: 35 };
    const of = { key, code, windowsVirtualKeyCode: codes[key] ?? 0, ...text };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...of });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...of });
  }

  /** A picture of the whole page, or of its upper left part; PNG. */
  async picture(part?: { width: number; height: number }): Promise<Buffer> {
    const clip = part === undefined ? {} : { clip: { x: 0, y: 0, scale: 1, ...part } };
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: true, ...clip });
    return Buffer.from(String(data), "base64");
  }
}
