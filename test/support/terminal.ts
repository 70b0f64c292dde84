/**
 * A pseudo-terminal with a program in it, and what it shows. Understands what Ferrite's terminal view writes: moves of the
 * cursor to a place, erasing of a line, looks, and modes. Anything else is an error, so that a test notices it.
 */
import { within } from "./resp.ts";

const HANG_MS = 30_000;

export class TestTerminal {
  private readonly rows: string[] = [];
  private height: number;
  /** As rows, with the sequences of looks in them. A row is written as a whole. */
  readonly painted: string[] = [];
  private row = 0;
  private column = 0;
  /** Private modes that are on: 1049 is the alternate screen, 25 the cursor. */
  readonly modes = new Set<string>();
  /** Everything that was written, for a look at the raw sequences. */
  raw = "";
  private rest = "";
  private readonly decoder = new TextDecoder();
  private readonly terminal: Bun.Terminal;
  readonly child: Bun.Subprocess;

  constructor(command: readonly string[], columns: number, rows: number, environment: Record<string, string> = {}) {
    this.height = rows;
    const { PATH = "", HOME = "" } = process.env;
    this.terminal = new Bun.Terminal({
      cols: columns,
      rows,
      data: (_terminal, bytes) => this.write(this.decoder.decode(bytes, { stream: true })),
    });
    this.child = Bun.spawn([...command], {
      terminal: this.terminal,
      env: { PATH, HOME, TERM: "xterm-256color", LANG: "C.UTF-8", ...environment },
    });
  }

  type(text: string): void {
    this.terminal.write(text);
  }

  resize(columns: number, rows: number): void {
    this.height = rows;
    this.terminal.resize(columns, rows);
    // The kernel tells only the program whose controlling terminal it is.
    this.child.kill("SIGWINCH");
  }

  /** The lines of the screen, without blanks at their ends. */
  get lines(): string[] {
    return Array.from(this.rows.slice(0, this.height), (line) => (line ?? "").trimEnd());
  }

  /** Waits until the screen is as wanted. */
  async until(isSo: (lines: string[]) => boolean, what: string): Promise<string[]> {
    const asking = (async () => {
      while (!isSo(this.lines)) await Bun.sleep(20);
    })();
    await within(asking, HANG_MS, what).catch((thrown: unknown) => {
      throw new Error(`${thrown}\n${this.lines.join("\n")}`);
    });
    return this.lines;
  }

  /** Waits for the end of the program, which must give the terminal back. Returns its exit code. */
  async exitCode(): Promise<number> {
    const code = await within(this.child.exited, HANG_MS, "the end of the program");
    await this.until(() => !this.modes.has("1049") && this.modes.has("25"), "the terminal as it was");
    return code;
  }

  close(): void {
    this.child.kill();
    this.terminal.close();
  }

  private write(chunk: string): void {
    this.raw += chunk;
    // A sequence may come in two pieces.
    const whole = this.rest + chunk;
    const end = whole.search(/\x1b(\[[0-9;?]*)?$/);
    this.rest = end < 0 ? "" : whole.slice(end);
    const text = end < 0 ? whole : whole.slice(0, end);
    for (const [all, sequence] of text.matchAll(/\x1b\[([0-9;?]*[A-Za-z])|[\s\S]/gu)) {
      if (sequence !== undefined) this.obey(sequence);
      else if (all === "\r") this.column = 0;
      else if (all === "\n") this.row++;
      else this.put(all);
    }
  }

  private obey(sequence: string): void {
    const last = sequence.at(-1)!;
    const parameters = sequence.slice(0, -1);
    if (last === "H") {
      const [row = "1", column = "1"] = parameters.split(";");
      this.row = Number(row) - 1;
      this.column = Number(column) - 1;
    } else if (sequence === "2K") {
      this.rows[this.row] = "";
      this.painted[this.row] = "";
    } else if (last === "h" && parameters.startsWith("?")) {
      this.modes.add(parameters.slice(1));
    } else if (last === "l" && parameters.startsWith("?")) {
      this.modes.delete(parameters.slice(1));
    } else if (last === "m") {
      this.painted[this.row] = `${this.painted[this.row] ?? ""}\x1b[${sequence}`;
    } else throw new Error(`the terminal does not know ESC [ ${sequence}`);
  }

  private put(character: string): void {
    if (character === "\x1b") throw new Error("an escape sequence of an unknown kind");
    const line = (this.rows[this.row] ?? "").padEnd(this.column);
    this.rows[this.row] = line.slice(0, this.column) + character + line.slice(this.column + character.length);
    this.painted[this.row] = (this.painted[this.row] ?? "") + character;
    this.column += character.length;
  }
}
