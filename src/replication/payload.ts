/**
 * The RDB file that a primary sends in a full synchronization. Bytes in; the file's bytes out.
 *
 *   newlines │ $length │ file                      written to a disk before it was sent
 *   newlines │ $EOF:mark (40 bytes) │ file │ mark   sent while it is made: nobody knows its length in advance
 *
 * Newlines before the file keep the connection alive while the primary makes it. A line that begins with "-" says that the
 * primary could not.
 */
const MARK_BYTES = 40;
const LINE_MAX = 1024;
const LF = 10;
const CR = 13;
const EOF = "$EOF:";

export const PayloadState = { Waiting: 0, Receiving: 1, Complete: 2, Failed: 3 } as const;
export type PayloadState = (typeof PayloadState)[keyof typeof PayloadState];

export class PayloadReader {
  state: PayloadState = PayloadState.Waiting;
  /** Failed: why. */
  failure = "";
  /** Bytes of the file: in all (-1 = the primary has not said), and so far. */
  bytes = -1;
  received = 0;
  private line = "";
  private mark: Buffer | null = null;
  /** With a mark: the newest bytes, which may be the beginning of the mark. */
  private readonly tail = Buffer.alloc(MARK_BYTES);
  private tailBytes = 0;

  /** `put` gets the bytes [from, to) of the file, in order. */
  constructor(private readonly put: (bytes: Buffer, from: number, to: number) => void) {}

  /** Takes bytes up to the end of the payload. Returns how many of them it has taken. */
  receive(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && this.state === PayloadState.Waiting) this.takeHead(bytes[at++]!);
    if (this.state !== PayloadState.Receiving) return at;
    return this.mark === null ? this.takeCounted(bytes, at) : this.takeMarked(bytes, at, this.mark);
  }

  private takeHead(byte: number): void {
    if (byte !== LF) {
      if (byte !== CR) this.line += String.fromCharCode(byte);
      if (this.line.length > LINE_MAX) this.fail(`a line of more than ${LINE_MAX} bytes instead of a file`);
      return;
    }
    const { line } = this;
    this.line = "";
    if (line === "") return;
    if (line.startsWith("-")) return this.fail(`the primary aborted the synchronization: ${line}`);
    if (line.startsWith(EOF) && line.length === EOF.length + MARK_BYTES) {
      this.mark = Buffer.from(line.slice(EOF.length), "latin1");
    } else if (/^\$\d{1,15}$/.test(line)) {
      this.bytes = Number(line.slice(1));
    } else {
      return this.fail(`not the beginning of a file: '${line.slice(0, 80)}'`);
    }
    this.state = this.bytes === 0 ? PayloadState.Complete : PayloadState.Receiving;
  }

  private takeCounted(bytes: Buffer, from: number): number {
    const to = Math.min(bytes.length, from + this.bytes - this.received);
    this.give(bytes, from, to);
    if (this.received === this.bytes) this.state = PayloadState.Complete;
    return to;
  }

  /** The file ends where the newest 40 bytes are the mark. The primary sends nothing behind it before it has our answer. */
  private takeMarked(bytes: Buffer, from: number, mark: Buffer): number {
    const { tail } = this;
    const length = bytes.length - from;
    if (length >= MARK_BYTES) {
      this.give(tail, 0, this.tailBytes);
      this.give(bytes, from, bytes.length - MARK_BYTES);
      bytes.copy(tail, 0, bytes.length - MARK_BYTES);
      this.tailBytes = MARK_BYTES;
    } else {
      const out = Math.max(0, this.tailBytes + length - MARK_BYTES);
      this.give(tail, 0, out);
      tail.copyWithin(0, out, this.tailBytes);
      this.tailBytes -= out;
      bytes.copy(tail, this.tailBytes, from);
      this.tailBytes += length;
    }
    if (this.tailBytes === MARK_BYTES && tail.equals(mark)) {
      this.bytes = this.received;
      this.state = PayloadState.Complete;
    }
    return bytes.length;
  }

  private give(bytes: Buffer, from: number, to: number): void {
    if (to <= from) return;
    this.received += to - from;
    this.put(bytes, from, to);
  }

  private fail(reason: string): void {
    this.failure = reason;
    this.state = PayloadState.Failed;
  }
}
