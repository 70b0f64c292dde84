/**
 * Reads a file of any size from front to back through one window, with its offset and the CRC of the bytes read. Bytes from
 * a disk are untrusted: every length is compared with the remaining bytes before it is used.
 *
 *   window │ read already, not needed │ held, if anything is │ start: the next byte ... end │ room │
 *
 * A caller that needs a run of bytes in one piece calls `hold` before it: the window then grows instead of dropping them,
 * until `release`. The file's bytes never lie in memory as a whole otherwise.
 */
import { crc64, updateCrc64 } from "./crc64.ts";
import type { FileDescriptor, Files } from "./files.ts";

/** A file with invalid content. `offset` is where the invalid part begins. */
export class BadFile extends Error {
  override readonly name = "BadFile";

  constructor(
    readonly offset: number,
    readonly reason: string,
  ) {
    super(`offset ${offset}: ${reason}`);
  }
}

const WINDOW = 1 << 20;
const NOTHING_HELD = -1;

export class FileReader {
  /** Length of the file when it was opened. */
  readonly bytes: number;
  /** The bytes of the file from `offset` on are window[start .. end). Valid until the next call that reads. */
  window: Buffer = Buffer.allocUnsafeSlow(WINDOW);
  start = 0;
  end = 0;
  /** Offset in the file of the window's first byte. */
  private base = 0;
  private held = NOTHING_HELD;
  private readonly descriptor: FileDescriptor;
  private sumLow = 0;
  private sumHigh = 0;
  /** The CRC is counted. Off when another worker counts it. */
  sums = true;
  /** Index in the window up to which the CRC counts: it is brought up to date in long runs, not per byte. */
  private summed = 0;

  /** Throws FileFailure when the file cannot be opened. */
  constructor(
    private readonly files: Files,
    path: string,
  ) {
    this.descriptor = files.open(path, "r", 0);
    this.bytes = files.size(this.descriptor);
  }

  close(): void {
    this.files.close(this.descriptor);
  }

  /** Offset of the next byte. */
  get offset(): number {
    return this.base + this.start;
  }
  get left(): number {
    return this.bytes - this.base - this.start;
  }

  /** CRC-64 of all bytes read so far. */
  get checksum(): bigint {
    this.sum();
    return (BigInt(this.sumHigh >>> 0) << 32n) | BigInt(this.sumLow >>> 0);
  }

  /** Reads the next `length` bytes, valid until the next call. Throws BadFile at the end of the file. */
  take(length: number): Buffer {
    const view = this.peek(length);
    this.start += length;
    return view;
  }

  byte(): number {
    if (this.start === this.end) this.fill(1);
    return this.window[this.start++]!;
  }

  /** Returns the next `length` bytes without advancing. Throws BadFile at the end of the file. */
  peek(length: number): Buffer {
    this.need(length);
    return this.window.subarray(this.start, this.start + length);
  }

  /** Makes the next `length` bytes available in the window. Throws BadFile at the end of the file. */
  need(length: number): void {
    if (this.end - this.start < length) this.fill(length);
  }

  /** Skips `length` bytes. Throws BadFile at the end of the file. */
  skip(length: number): void {
    if (this.held === NOTHING_HELD) {
      if (length > this.left) this.failAtEnd(length);
      for (; length > WINDOW; length -= WINDOW) this.skipHere(WINDOW);
    }
    this.skipHere(length);
  }
  private skipHere(length: number): void {
    this.need(length);
    this.start += length;
  }

  // ---- holding ----

  /** Keeps the following bytes in the window, in one piece from `heldAt` on. */
  hold(): void {
    this.held = this.start;
  }
  /** Index in the window of the first byte that is held. */
  get heldAt(): number {
    return this.held;
  }
  /** Returns to the first byte that is held. */
  rewind(): void {
    this.start = this.held;
  }
  /** Lets the held bytes go, and a window that grew with them. */
  release(): void {
    this.held = NOTHING_HELD;
    if (this.window.length > WINDOW && this.end - this.start <= WINDOW) this.moveTo(Buffer.allocUnsafeSlow(WINDOW));
  }

  // ---- the window ----

  private fill(length: number): void {
    if (length > this.left) this.failAtEnd(length);
    const from = this.held === NOTHING_HELD ? this.start : this.held;
    const wanted = this.start - from + length;
    const size = this.window.length;
    this.moveTo(wanted > size ? Buffer.allocUnsafeSlow(Math.max(wanted, size * 2)) : this.window);
    while (this.end < wanted) {
      const room = this.window.length - this.end;
      const got = this.files.read(this.descriptor, this.window, this.end, room, this.base + this.end);
      if (got === 0) throw new BadFile(this.offset, "the file shrank while it was read");
      this.end += got;
    }
  }

  /** Moves the bytes that are held and those read ahead to the front of `target`. */
  private moveTo(target: Buffer): void {
    this.sum();
    const from = this.held === NOTHING_HELD ? this.start : this.held;
    this.window.copy(target, 0, from, this.end);
    this.window = target;
    this.base += from;
    this.start -= from;
    this.end -= from;
    this.summed -= from;
    if (this.held !== NOTHING_HELD) this.held = 0;
  }

  private sum(): void {
    const { summed, start } = this;
    if (start <= summed || !this.sums) return;
    updateCrc64(this.sumLow, this.sumHigh, this.window, summed, start - summed);
    this.sumLow = crc64.lo;
    this.sumHigh = crc64.hi;
    this.summed = start;
  }

  private failAtEnd(length: number): never {
    throw new BadFile(this.offset, `unexpected end of file: ${length} bytes are wanted and ${this.left} are left`);
  }
}
