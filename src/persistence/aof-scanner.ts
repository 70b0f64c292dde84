/**
 * Scanner of append-only files: walks the structure of a file without running its commands, and verifies its annotations.
 * The loader and check-aof both use it, so they agree about every file.
 *
 *   window │ scanned │ at ... end │      bytes of the file from `base` on
 *
 * Bytes from a disk are untrusted: a length is used only after it was compared with what is left of the file.
 */
import { crc32 } from "node:zlib";
import type { FileDescriptor, Files } from "../base/files.ts";
import { ANNOTATION_MAX, ANNOTATION_START, type Annotation, parseAnnotation } from "./aof-format.ts";

export interface AofScan {
  /** Length of the file. */
  readonly bytes: number;
  /** Number of commands, including each command of a transaction. */
  readonly records: number;
  /** The file is valid up to here: `truncate -s` to this offset makes it valid as a whole. */
  readonly okUpTo: number;
  /** Why the file is invalid; "" when it is valid. */
  readonly reason: string;
  /** Where reading stopped; equals `bytes` when the file is valid. */
  readonly stoppedAt: number;
  /** True when the damage can be what a crash leaves behind: nothing valid follows it. */
  readonly isTail: boolean;
  /** The last annotation that was right, and the offset behind it; null = the file has none. */
  readonly last: Annotation | null;
  readonly annotatedUpTo: number;
  /** Start and end, in turn, of what is not a change: annotations, MULTI and EXEC. */
  readonly skips: number[];
  /** How many commands of each name there are, the names in lower case. */
  readonly names: ReadonlyMap<string, number>;
}

/** Where and why a file is invalid. */
class Damage extends Error {
  constructor(
    readonly offset: number,
    readonly reason: string,
  ) {
    super(reason);
  }
}

const WINDOW = 4 << 20;
const LINE_MAX = 32;
const ARGUMENTS_MAX = 2 ** 31 - 1;
const STAR = 42;
const DOLLAR = 36;
const HASH = 35;
const CR = 13;
const LF = 10;

class Scanner {
  private window = Buffer.allocUnsafeSlow(WINDOW);
  private base: number;
  private at = 0;
  private end = 0;
  /** Checksum of the batch so far, without the bytes of the window from `summedTo` on. */
  private crc = 0;
  private summedTo = 0;
  /** Length and start of the name of the last command. */
  private nameBytes = 0;
  private readonly name = Buffer.alloc(LINE_MAX);
  /** Commands by name; those with the name of the last one are not in it yet. */
  private readonly counts = new Map<string, number>();
  private counted = "";
  private readonly countedName = Buffer.alloc(LINE_MAX);
  private countedBytes = 0;
  private count = 0;

  constructor(
    private readonly files: Files,
    private readonly file: FileDescriptor,
    readonly bytes: number,
    from: number,
  ) {
    this.base = from;
  }

  get offset(): number {
    return this.base + this.at;
  }
  get left(): number {
    return this.bytes - this.offset;
  }

  /** Sees to it that the next `count` bytes lie in the window. Throws Damage at the end of the file. */
  private need(count: number): void {
    if (this.end - this.at >= count) return;
    if (count > this.left) throw new Damage(this.bytes, "unexpected end of file");
    this.sum();
    this.window.copyWithin(0, this.at, this.end);
    this.base += this.at;
    this.end -= this.at;
    this.at = this.summedTo = 0;
    while (this.end < count) {
      const got = this.files.read(
        this.file,
        this.window,
        this.end,
        this.window.length - this.end,
        this.base + this.end,
      );
      if (got === 0) throw new Damage(this.bytes, "unexpected end of file");
      this.end += got;
    }
  }

  private skip(count: number): void {
    if (count > this.left) throw new Damage(this.bytes, "unexpected end of file");
    for (let left = count; left > 0; ) {
      if (this.at === this.end) this.need(1);
      const part = Math.min(left, this.end - this.at);
      this.at += part;
      left -= part;
    }
  }

  /** Adds what was scanned to the checksum. */
  private sum(): void {
    if (this.at > this.summedTo) this.crc = crc32(this.window.subarray(this.summedTo, this.at), this.crc);
    this.summedTo = this.at;
  }
  /** The checksum since the last call. */
  takeSum(): number {
    this.sum();
    const { crc } = this;
    this.crc = 0;
    return crc;
  }
  /** What was scanned last belongs to no batch. */
  forgetSum(): void {
    this.summedTo = this.at;
    this.crc = 0;
  }

  isAnnotation(): boolean {
    this.need(1);
    return this.window[this.at] === HASH;
  }

  /** Reads a line that begins with "#". Its bytes are not summed. */
  readAnnotation(): string {
    this.sum();
    const from = this.offset;
    const most = Math.min(this.left, ANNOTATION_MAX + 1);
    this.need(most);
    const newline = this.window.subarray(this.at, this.at + most).indexOf(LF);
    if (newline < 0)
      throw new Damage(from, most > ANNOTATION_MAX ? "an annotation line has no end" : "unexpected end of file");
    const line = this.window.toString("latin1", this.at, this.at + newline + 1);
    this.at += newline + 1;
    this.summedTo = this.at;
    return line;
  }

  /** Reads one command. Throws Damage. */
  readCommand(): void {
    const from = this.offset;
    const count = this.readNumber(STAR, ARGUMENTS_MAX);
    if (count < 1) throw new Damage(from, "a command without arguments");
    for (let i = 0; i < count; i++) {
      const length = this.readNumber(DOLLAR, Number.MAX_SAFE_INTEGER);
      if (i === 0) this.readName(length);
      else this.skip(length);
      const at = this.offset;
      this.need(2);
      if (this.window[this.at] !== CR || this.window[this.at + 1] !== LF)
        throw new Damage(at, "expected a line end after an argument");
      this.at += 2;
    }
  }

  private readName(length: number): void {
    this.nameBytes = Math.min(length, LINE_MAX);
    if (length > this.left) throw new Damage(this.bytes, "unexpected end of file");
    this.need(this.nameBytes);
    this.window.copy(this.name, 0, this.at, this.at + this.nameBytes);
    this.skip(length);
    if (this.isCounted()) this.count++;
    else this.countName();
  }

  private isCounted(): boolean {
    if (this.nameBytes !== this.countedBytes) return false;
    for (let i = 0; i < this.nameBytes; i++) if (this.name[i] !== this.countedName[i]) return false;
    return true;
  }
  private countName(): void {
    this.settleCount();
    this.name.copy(this.countedName, 0, 0, this.nameBytes);
    this.countedBytes = this.nameBytes;
    this.counted = this.name.toString("latin1", 0, this.nameBytes).toLowerCase();
    this.count = 1;
  }
  private settleCount(): void {
    if (this.count > 0) this.counts.set(this.counted, (this.counts.get(this.counted) ?? 0) + this.count);
    this.count = 0;
  }
  get names(): ReadonlyMap<string, number> {
    this.settleCount();
    return this.counts;
  }

  /** True when the last command is `name`, in lower case. */
  isCommand(name: string): boolean {
    if (this.nameBytes !== name.length) return false;
    for (let i = 0; i < name.length; i++) if ((this.name[i]! | 32) !== name.charCodeAt(i)) return false;
    return true;
  }

  /** Reads a line: `mark`, digits, CRLF. Signs and blanks are damage. */
  private readNumber(mark: number, most: number): number {
    const from = this.offset;
    this.need(Math.min(this.left, LINE_MAX + 3));
    const { window, end } = this;
    let { at } = this;
    if (at === end) throw new Damage(this.bytes, "unexpected end of file");
    const found = window[at++]!;
    if (found !== mark) {
      const hex = found.toString(16).padStart(2, "0");
      throw new Damage(from, `expected '${String.fromCharCode(mark)}', found 0x${hex}`);
    }
    let value = 0;
    for (let digits = 0; ; digits++) {
      if (at >= end) throw new Damage(this.bytes, "unexpected end of file");
      const byte = window[at++]!;
      if (byte === CR && digits > 0) break;
      if (byte < 48 || byte > 57 || digits > LINE_MAX) throw new Damage(from, "expected a number");
      value = value * 10 + byte - 48;
      if (value > most) throw new Damage(from, "a number is too large");
    }
    if (at >= end) throw new Damage(this.bytes, "unexpected end of file");
    if (window[at++] !== LF) throw new Damage(this.base + at - 1, "expected a line feed");
    this.at = at;
    return value;
  }

  /** True when the file has a well-formed annotation anywhere behind `offset`. */
  findsAnnotation(offset: number): boolean {
    const block = Buffer.allocUnsafeSlow(WINDOW);
    for (let from = offset; from < this.bytes; ) {
      const got = this.files.read(this.file, block, 0, block.length, from);
      if (got === 0) return false;
      const part = block.subarray(0, got);
      for (let at = part.indexOf(ANNOTATION_START); at >= 0; at = part.indexOf(ANNOTATION_START, at + 1)) {
        const newline = part.indexOf(LF, at);
        if (newline >= 0 && newline - at < ANNOTATION_MAX && parseAnnotation(part.toString("latin1", at, newline + 1)))
          return true;
      }
      if (got < block.length) return false;
      from += got - ANNOTATION_MAX;
    }
    return false;
  }
}

/** Scans a file from offset `from` on, the end of its preamble. Throws FileFailure when it cannot be read. */
export function scanAof(files: Files, path: string, from: number): AofScan {
  const file = files.open(path, "r", 0);
  try {
    return scan(new Scanner(files, file, files.size(file), from), from);
  } finally {
    files.close(file);
  }
}

function scan(scanner: Scanner, from: number): AofScan {
  let okUpTo = from;
  let records = 0;
  let last: Annotation | null = null;
  let annotatedUpTo = from;
  let isAnnotated = false;
  let batchFrom = from;
  let inTransaction = false;
  let [reason, stoppedAt] = ["", scanner.bytes];
  const skips: number[] = [];
  try {
    while (scanner.left > 0) {
      if (scanner.isAnnotation()) {
        const offset = scanner.offset;
        const annotation = parseAnnotation(scanner.readAnnotation());
        skips.push(offset, scanner.offset);
        if (annotation === null) {
          // A line that Redis wrote, or a damaged annotation. Neither can be inside a batch, so the next batch begins here.
          scanner.forgetSum();
          batchFrom = scanner.offset;
          continue;
        }
        isAnnotated = true;
        if (inTransaction) throw new Damage(offset, "an annotation inside a transaction");
        verify(annotation, offset - batchFrom, scanner.takeSum(), last, annotatedUpTo);
        last = annotation;
        annotatedUpTo = okUpTo = batchFrom = scanner.offset;
        continue;
      }
      const offset = scanner.offset;
      scanner.readCommand();
      records++;
      const wasInTransaction: boolean = inTransaction;
      if (scanner.isCommand("multi")) inTransaction = true;
      else if (scanner.isCommand("exec")) inTransaction = false;
      if (wasInTransaction !== inTransaction) skips.push(offset, scanner.offset);
      if (!inTransaction) okUpTo = scanner.offset;
    }
    if (inTransaction) reason = "the file ends inside a transaction (MULTI without EXEC)";
    else okUpTo = scanner.offset;
  } catch (thrown) {
    if (!(thrown instanceof Damage)) throw thrown;
    ({ reason, offset: stoppedAt } = thrown);
  }
  // Of a file with annotations only what they vouch for is believed, unless all of it reads well.
  if (reason !== "" && isAnnotated) okUpTo = annotatedUpTo;
  const isTail = reason === "" || !scanner.findsAnnotation(Math.max(okUpTo, 0));
  return {
    bytes: scanner.bytes,
    records,
    okUpTo,
    reason,
    stoppedAt,
    isTail,
    last,
    annotatedUpTo,
    skips,
    names: scanner.names,
  };
}

/**
 * Compares a batch with its annotation: `bytes` bytes with the checksum `crc`, behind the annotation `last`, which ends at
 * offset `from`. Throws Damage.
 */
function verify(annotation: Annotation, bytes: number, crc: number, last: Annotation | null, from: number): void {
  // Where a log begins, nothing is vouched for: what is before was written by another program, or is its own batch.
  if (annotation.bytes === 0) return;
  if (last !== null && last.logId === annotation.logId && last.position + annotation.bytes !== annotation.position)
    throw new Damage(from, `batches are missing before position ${annotation.position - annotation.bytes}`);
  if (annotation.bytes !== bytes)
    throw new Damage(from, `a batch has ${bytes} bytes, its annotation says ${annotation.bytes}`);
  if (annotation.crc !== crc) throw new Damage(from, "the checksum of a batch is wrong");
}
