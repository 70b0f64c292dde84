/**
 * Where log lines end: standard output, or a file with rotation.
 *
 * Both write at once and may take as long as the disk does. In the server only the thread of the log calls them
 * (server/log-thread.ts); before its start and in one-shot commands there is nobody to hold up.
 */
import { basename, dirname, join } from "node:path";
import { permissionDenied } from "./errors.ts";
import { AT_CURSOR, FileFailure, type FileDescriptor, type Files } from "./files.ts";
import type { LogSink } from "./log.ts";

/** A sink that also takes whole lines as bytes. */
export interface LogOutput extends LogSink {
  /** Writes the lines from `from` to `to`, each with its newline. */
  writeLines(bytes: Uint8Array, from: number, to: number): void;
  /** Opens the file anew, whose old one was moved away. Nothing happens on standard output. */
  reopen(): void;
  /** Lines that could not be written, and whether that is so at present. */
  readonly lost: number;
  readonly isFailing: boolean;
}

const NEWLINE = 10;

function countLines(bytes: Uint8Array, from: number, to: number): number {
  let count = 0;
  for (let i = bytes.indexOf(NEWLINE, from); i >= 0 && i < to; i = bytes.indexOf(NEWLINE, i + 1)) count++;
  return count;
}

/** Pause between two attempts to write to a full pipe. */
const FULL_PAUSE_MS = 1;

/** Writes to standard output. If the reader is gone or the pipe stays full, only lines are lost. */
export class DescriptorSink implements LogOutput {
  private readonly encoder = new TextEncoder();
  lost = 0;
  isFailing = false;

  /** `mayWait`: whether a write to a full pipe (EAGAIN) is tried once more, after so many attempts a millisecond apart. */
  constructor(
    private readonly files: Files,
    private readonly descriptor: FileDescriptor,
    private readonly mayWait: (attempts: number) => boolean,
  ) {}

  write(line: string): void {
    const bytes = this.encoder.encode(line);
    this.writeLines(bytes, 0, bytes.length);
  }

  writeLines(bytes: Uint8Array, from: number, to: number): void {
    let attempts = 0;
    for (let at = from; at < to; ) {
      try {
        at += this.files.write(this.descriptor, bytes, at, to - at, AT_CURSOR);
        attempts = 0;
        this.isFailing = false;
      } catch (thrown) {
        // EAGAIN: the pipe is full. What waits meanwhile is bounded by the queue.
        if (!(thrown instanceof FileFailure) || thrown.code !== "EAGAIN" || !this.mayWait(++attempts)) {
          this.lost += countLines(bytes, at, to);
          this.isFailing = true;
          return;
        }
        Bun.sleepSync(FULL_PAUSE_MS);
      }
    }
  }

  reopen(): void {}

  close(): void {}
}

export const STANDARD_OUTPUT = 1 as FileDescriptor;

export type Rotation = "none" | "daily" | "hourly" | "size-based";

export interface FileSinkOptions {
  readonly path: string;
  readonly rotation: Rotation;
  /** Largest file, bytes; used only by size-based rotation. */
  readonly maxBytes: number;
  /** Number of rotated files to retain, at least 1. */
  readonly maxFiles: number;
  readonly now: () => number;
  /** Called with the error (such as disk full) each time when lines are lost. */
  readonly onFailure: (thrown: unknown) => void;
}

/**
 * A log file. Rotated files have the time appended to their name: `ferrite.log.2025-12-21`, `ferrite.log.2025-12-21T13`,
 * `ferrite.log.2025-12-21T13-05-09-123`, with `.1`, `.2` after it if the name exists.
 */
export class FileSink implements LogOutput {
  private readonly encoder = new TextEncoder();
  private file: FileDescriptor | null = null;
  private bytes = 0;
  private period = "";
  private periodEndMs = Infinity;
  /** The file ends within a line, because the disk was full. */
  private isTorn = false;
  lost = 0;
  isFailing = false;

  /** Opens the file at once, so that an unwritable path stops the start. Throws StartupError or FileFailure. */
  constructor(
    private readonly files: Files,
    private readonly options: FileSinkOptions,
  ) {
    try {
      this.open();
    } catch (thrown) {
      if (thrown instanceof FileFailure && thrown.code === "EACCES") {
        throw permissionDenied(
          `log file ${options.path} cannot be written`,
          "Create its directory for the user Ferrite runs as, or set logging.log_file to another place.",
        );
      }
      throw thrown;
    }
  }

  write(line: string): void {
    const bytes = this.encoder.encode(line);
    this.writeLines(bytes, 0, bytes.length);
  }

  writeLines(bytes: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to; ) {
      const end = this.endOfPart(bytes, at, to);
      this.writePart(bytes, at, end);
      at = end;
    }
  }

  /** The end of the lines that go into one file: of all that fit, or of one line. */
  private endOfPart(bytes: Uint8Array, from: number, to: number): number {
    const { rotation, maxBytes } = this.options;
    if (rotation !== "size-based" || this.bytes + (to - from) <= maxBytes) return to;
    const fits = from + Math.max(0, maxBytes - this.bytes);
    const last = fits <= from ? -1 : bytes.lastIndexOf(NEWLINE, fits - 1);
    return (last >= from ? last : bytes.indexOf(NEWLINE, from)) + 1 || to;
  }

  private writePart(bytes: Uint8Array, from: number, to: number): void {
    let at = from;
    try {
      this.rotateIfDue(to - from);
      if (this.file === null) this.open();
      if (this.isTorn) this.files.write(this.file!, LINE_END, 0, 1, AT_CURSOR);
      this.isTorn = false;
      while (at < to) at += this.files.write(this.file!, bytes, at, to - at, AT_CURSOR);
      this.bytes += to - from;
      this.isFailing = false;
    } catch (thrown) {
      this.isTorn = at > from && bytes[at - 1] !== NEWLINE;
      this.lost += countLines(bytes, at, to);
      this.fail(thrown);
    }
  }

  private fail(thrown: unknown): void {
    this.isFailing = true;
    this.options.onFailure(thrown);
  }

  close(): void {
    if (this.file !== null) this.files.close(this.file);
    this.file = null;
  }

  reopen(): void {
    try {
      this.close();
      this.open();
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  private open(): void {
    const { files, options } = this;
    const modifiedMs = files.stat(options.path)?.modifiedMs ?? 0;
    this.file = files.open(options.path, "a", 0o640);
    this.bytes = files.size(this.file);
    // The first line rotates a file of an earlier period.
    this.beginPeriod(this.bytes > 0 && modifiedMs > 0 ? modifiedMs : options.now());
  }

  private beginPeriod(atMs: number): void {
    const { rotation } = this.options;
    if (rotation !== "daily" && rotation !== "hourly") return;
    const lengthMs = rotation === "daily" ? 86_400_000 : 3_600_000;
    this.period = new Date(atMs).toISOString().slice(0, rotation === "daily" ? 10 : 13);
    this.periodEndMs = (Math.floor(atMs / lengthMs) + 1) * lengthMs;
  }

  private rotateIfDue(lineBytes: number): void {
    const { rotation, maxBytes } = this.options;
    if (rotation === "none") return;
    const now = this.options.now();
    if (rotation === "size-based") {
      if (this.bytes === 0 || this.bytes + lineBytes <= maxBytes) return;
      this.period = new Date(now).toISOString().slice(0, 23).replace(/[:.]/g, "-");
    } else if (now < this.periodEndMs) {
      return;
    }
    this.close();
    this.moveAway();
    this.open();
  }

  private moveAway(): void {
    const { files, options } = this;
    let name = `${options.path}.${this.period}`;
    for (let i = 1; files.stat(name) !== null; i++) name = `${options.path}.${this.period}.${i}`;
    if (files.stat(options.path) !== null) files.rename(options.path, name);

    const directory = dirname(options.path);
    const rotated = files.list(directory).filter((entry) => isRotated(entry, basename(options.path)));
    const ordered = rotated.sort(compareRotated);
    for (const entry of ordered.slice(0, Math.max(0, ordered.length - options.maxFiles)))
      files.unlink(join(directory, entry));
  }
}

const STAMP = /^\.(\d{4}-\d{2}-\d{2}(?:T\d{2}(?:-\d{2}-\d{2}-\d{3})?)?)(?:\.(\d+))?$/;

function isRotated(entry: string, base: string): boolean {
  return entry.startsWith(base) && STAMP.test(entry.slice(base.length));
}

/** Oldest first: by time stamp, then by number. */
function compareRotated(a: string, b: string): number {
  const parts = (name: string): { stamp: string; number: number } => {
    const match = STAMP.exec(name.slice(name.search(/\.\d{4}-\d{2}-\d{2}/)));
    return { stamp: match?.[1] ?? "", number: Number(match?.[2] ?? 0) };
  };
  const one = parts(a);
  const other = parts(b);
  if (one.stamp !== other.stamp) return one.stamp < other.stamp ? -1 : 1;
  return one.number - other.number;
}

const LINE_END = new Uint8Array([NEWLINE]);
