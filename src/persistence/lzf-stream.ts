/**
 * Unpacks a long LZF string of a file part by part, so that neither its packed nor its unpacked bytes lie in memory as a
 * whole. The form is drawn in structures/rdb-string.ts.
 *
 *   bytes │ history: the last 8 KiB unpacked, which copies may reach │ at: the part ... │ room for the last run │
 *
 * Source: lzf_d.c of LibLZF.
 */
import { BadFile, type FileReader } from "../base/file-reader.ts";

/** How far back a copy reaches. */
const HISTORY = 1 << 13;
const PART = 1 << 16;
/** Longest run of one instruction: 32 literals, or a copy of 7 + 255 + 2. */
const RUN_MAX = 264;

export class LzfStream {
  /** The part that `next` unpacked begins at `at`. */
  readonly bytes = Buffer.allocUnsafeSlow(HISTORY + PART + RUN_MAX);
  readonly at = HISTORY;
  private to = HISTORY;
  private produced = 0;

  /** `packed` bytes of the reader from now on unpack to `length`. Errors name the offset `stringAt`. */
  constructor(
    private readonly reader: FileReader,
    private packed: number,
    private readonly length: number,
    private readonly stringAt: number,
  ) {}

  /** Unpacks the next part: its length, 0 at the end. Throws BadFile. */
  next(): number {
    const { bytes } = this;
    if (this.to > HISTORY) bytes.copyWithin(0, this.to - HISTORY, this.to);
    this.to = HISTORY;
    while (this.packed > 0 && this.to < HISTORY + PART) {
      const head = this.take();
      const begin = this.to;
      if (head < 32) this.literals(head + 1);
      else this.copy(head);
      this.produced += this.to - begin;
      if (this.produced > this.length) this.fail();
    }
    if (this.packed === 0 && this.produced !== this.length) this.fail();
    return this.to - HISTORY;
  }

  private literals(count: number): void {
    const { reader } = this;
    if (count > this.packed) this.fail();
    reader.need(count);
    reader.window.copy(this.bytes, this.to, reader.start, reader.start + count);
    reader.start += count;
    this.packed -= count;
    this.to += count;
  }

  private copy(head: number): void {
    let count = head >>> 5;
    if (count === 7) count += this.take();
    const back = ((head & 31) << 8) + this.take() + 1;
    if (back > this.produced) this.fail();
    const { bytes } = this;
    // Byte by byte, because the source may overlap the bytes being written.
    let from = this.to - back;
    for (const stop = this.to + count + 2; this.to < stop; ) bytes[this.to++] = bytes[from++]!;
  }

  private take(): number {
    if (this.packed === 0) this.fail();
    this.packed--;
    return this.reader.byte();
  }

  private fail(): never {
    throw new BadFile(this.stringAt, "a compressed string is malformed");
  }
}
