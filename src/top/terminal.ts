/**
 * The terminal of `ferrite top`: its alternate screen, raw keys, and its size. `close` gives it back as it was.
 *
 * A picture is one write between the marks of a synchronized update, which terminals that do not know them ignore.
 */
import { type Key, keysOf } from "./keys.ts";
import { type Line, paint } from "./text.ts";

const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const UPDATE_BEGINS = "\x1b[?2026h";
const UPDATE_ENDS = "\x1b[?2026l";

/** A terminal that does not tell its size has this. */
const COLUMNS = 80;
const ROWS = 24;

export class Terminal {
  private isOpen = false;
  private readonly onData = (bytes: Buffer | string): void => {
    for (const key of keysOf(bytes.toString())) this.pressed(key);
  };
  private readonly onResize = (): void => this.resized();
  private readonly onSignal = (): void => this.ended();

  constructor(
    private readonly isColoured: boolean,
    private readonly pressed: (key: Key) => void,
    private readonly resized: () => void,
    /** The user or the system ends the program. */
    private readonly ended: () => void,
  ) {}

  get size(): { columns: number; rows: number } {
    const { columns, rows } = process.stdout;
    return { columns: columns > 0 ? columns : COLUMNS, rows: rows > 0 ? rows : ROWS };
  }

  open(): void {
    this.isOpen = true;
    process.stdout.write(ENTER);
    process.stdout.on("resize", this.onResize);
    for (const signal of SIGNALS) process.on(signal, this.onSignal);
    if (!process.stdin.isTTY) return;
    process.stdin.setRawMode(true);
    process.stdin.on("data", this.onData);
    process.stdin.on("end", this.onSignal);
    process.stdin.resume();
  }

  draw(lines: readonly Line[]): void {
    if (!this.isOpen) return;
    // Each line is erased first: to erase behind a line that is as wide as the terminal would erase its end.
    const text = lines.map((line, i) => `\x1b[${i + 1};1H\x1b[2K${paint(line, this.isColoured)}`).join("");
    process.stdout.write(`${UPDATE_BEGINS}${text}${UPDATE_ENDS}`);
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    process.stdout.off("resize", this.onResize);
    for (const signal of SIGNALS) process.off(signal, this.onSignal);
    if (process.stdin.isTTY) {
      process.stdin.off("data", this.onData);
      process.stdin.off("end", this.onSignal);
      process.stdin.setRawMode(false);
      process.stdin.pause();
    }
    process.stdout.write(LEAVE);
  }
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
