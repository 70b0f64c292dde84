/**
 * Cuts the stream of a primary into units: what is applied as a whole, and by whose length the offset grows at once. A unit
 * is a command, or everything from MULTI to EXEC. Bytes in, ranges of bytes out.
 *
 *   bytes │ taken │ from ── unit ── to │ scan: where the next read begins .. end │ room │
 *
 * The primary is trusted to send commands that make sense, but not to send RESP: what is none throws StreamFailure. Newlines
 * between commands are units of their own, since they count in the offset.
 */
export class StreamFailure extends Error {
  override readonly name = "StreamFailure";
}

export const UnitKind = { Command: 0, Transaction: 1, GetAck: 2, Newline: 3 } as const;
export type UnitKind = (typeof UnitKind)[keyof typeof UnitKind];

const LEAST_BYTES = 64 << 10;
/** A buffer that grew beyond this is given up when it is empty. */
const MOST_BYTES = 4 << 20;
/** Longest line with a number. */
const NUMBER_LINE_MAX = 32;
const STAR = 42;
const DOLLAR = 36;
const MINUS = 45;
const CR = 13;
const LF = 10;
const INCOMPLETE = -2;

export class StreamUnits {
  /** The unit that `next` has found is bytes[from .. to). Read anew after `push`. */
  bytes: Buffer = Buffer.allocUnsafeSlow(LEAST_BYTES);
  from = 0;
  to = 0;
  kind: UnitKind = UnitKind.Command;
  /** True while bytes before `from` are used still: none are given up. */
  isHeld = false;
  private end = 0;
  private scan = 0;
  /** Of the command at `scan`: arguments in all and left (-1 = its head was not read), and where the first two are. */
  argCount = 0;
  private argsLeft = -1;
  nameAt = 0;
  nameBytes = 0;
  secondAt = 0;
  secondBytes = 0;
  private isInTransaction = false;
  /** Set by `number`: the offset behind the line. */
  private lineEnd = 0;

  /** Bytes that no unit has used yet. */
  get waitingBytes(): number {
    return this.end - this.to;
  }
  /** Bytes from `at` on. */
  bytesBehind(at: number): number {
    return this.end - at;
  }

  /** Adds bytes of the stream, of which a copy is kept. The unit that was found stays, at another place unless `isHeld`. */
  push(source: Buffer): void {
    const from = this.isHeld ? 0 : this.from;
    if (from > 0) {
      this.bytes.copyWithin(0, from, this.end);
      this.shift(from);
    }
    const needed = this.end + source.length;
    const isSpacious = this.bytes.length > MOST_BYTES && needed <= LEAST_BYTES;
    if (needed > this.bytes.length || isSpacious) {
      const wider = Buffer.allocUnsafeSlow(Math.max(LEAST_BYTES, isSpacious ? needed : needed * 2));
      this.bytes.copy(wider, 0, 0, this.end);
      this.bytes = wider;
    }
    source.copy(this.bytes, this.end);
    this.end = needed;
  }

  private shift(by: number): void {
    this.from -= by;
    this.to -= by;
    this.end -= by;
    this.scan -= by;
    this.nameAt -= by;
    this.secondAt -= by;
  }

  /** Forgets all bytes: the stream has ended, and another one begins at the end of the last whole unit. */
  clear(): void {
    this.from = this.to = this.end = this.scan = 0;
    this.argsLeft = -1;
    this.isInTransaction = false;
  }

  /** Finds the next unit. Returns false when the rest of it has not come yet. Throws StreamFailure. */
  next(): boolean {
    this.from = this.to;
    for (;;) {
      if (!this.scanCommand()) return false;
      if (this.kind === UnitKind.Newline) {
        if (!this.isInTransaction) break;
      } else if (this.isNamed("MULTI")) {
        this.isInTransaction = true;
      } else if (!this.isInTransaction) {
        this.kind = this.isGetAck() ? UnitKind.GetAck : UnitKind.Command;
        break;
      } else if (this.isNamed("EXEC")) {
        this.isInTransaction = false;
        this.kind = UnitKind.Transaction;
        break;
      }
    }
    this.to = this.scan;
    return true;
  }

  /** Reads the command at `scan`. Returns false when the rest of it has not come yet. */
  private scanCommand(): boolean {
    if (this.argsLeft < 0 && !this.scanHead()) return false;
    while (this.argsLeft > 0) {
      const length = this.number(DOLLAR);
      if (length === INCOMPLETE) return false;
      if (length < 0) throw new StreamFailure(`an argument of ${length} bytes`);
      const next = this.lineEnd + length + 2;
      if (next > this.end) return false;
      const at = this.argCount - this.argsLeft;
      if (at === 0) {
        this.nameAt = this.lineEnd;
        this.nameBytes = length;
      } else if (at === 1) {
        this.secondAt = this.lineEnd;
        this.secondBytes = length;
      }
      this.scan = next;
      this.argsLeft--;
    }
    this.argsLeft = -1;
    return true;
  }

  /** Reads the line before the arguments, or a newline between two commands. */
  private scanHead(): boolean {
    const { bytes, scan, end } = this;
    if (scan >= end) return false;
    const first = bytes[scan]!;
    if (first === LF || first === CR) {
      const length = first === LF ? 1 : 2;
      if (scan + length > end) return false;
      this.kind = UnitKind.Newline;
      this.argsLeft = 0;
      this.scan += length;
      return true;
    }
    const count = this.number(STAR);
    if (count === INCOMPLETE) return false;
    if (count < 1) throw new StreamFailure(`a command of ${count} arguments`);
    this.kind = UnitKind.Command;
    this.argCount = this.argsLeft = count;
    this.secondBytes = 0;
    this.scan = this.lineEnd;
    return true;
  }

  /** The number of the line at `scan`, which begins with `mark`. INCOMPLETE: the line has not come yet. */
  private number(mark: number): number {
    const { bytes, scan, end } = this;
    if (scan >= end) return INCOMPLETE;
    if (bytes[scan] !== mark) throw new StreamFailure(`byte ${bytes[scan]} instead of '${String.fromCharCode(mark)}'`);
    let value = 0;
    const limit = Math.min(end, scan + NUMBER_LINE_MAX);
    let at = scan + 1;
    const isNegative = at < limit && bytes[at] === MINUS;
    if (isNegative) at++;
    for (; at < limit; at++) {
      const byte = bytes[at]!;
      if (byte === LF) {
        this.lineEnd = at + 1;
        return isNegative ? -value : value;
      }
      if (byte === CR) continue;
      if (byte < 48 || byte > 57) throw new StreamFailure(`byte ${byte} in a number`);
      value = value * 10 + byte - 48;
    }
    if (limit < end) throw new StreamFailure(`a number of more than ${NUMBER_LINE_MAX} digits`);
    return INCOMPLETE;
  }

  private isNamed(name: string): boolean {
    return this.isText(this.nameAt, this.nameBytes, name);
  }

  private isGetAck(): boolean {
    return this.argCount === 3 && this.isNamed("REPLCONF") && this.isText(this.secondAt, this.secondBytes, "GETACK");
  }

  /** True when `length` bytes from `at` on are `text`, whatever their case. */
  private isText(at: number, length: number, text: string): boolean {
    if (length !== text.length) return false;
    for (let i = 0; i < length; i++) {
      if ((this.bytes[at + i]! & ~32) !== text.charCodeAt(i)) return false;
    }
    return true;
  }
}
