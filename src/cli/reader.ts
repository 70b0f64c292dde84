/**
 * Reads a file of any size from front to back through one buffer, with its offset and the CRC of the bytes read. Bytes from
 * a disk are untrusted: every length is compared with the remaining bytes before it is used.
 */
import { crc64, updateCrc64 } from "../base/crc64.ts";
import type { FileDescriptor, Files } from "../base/files.ts";

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

export class FileReader {
  /** Length of the file when it was opened. */
  readonly bytes: number;
  /** Offset of the next byte. */
  offset = 0;
  private readonly descriptor: FileDescriptor;
  private sumLow = 0;
  private sumHigh = 0;
  private window = new Uint8Array(WINDOW);
  /** The window contains the file's bytes from `offset` on, between these two indices. */
  private start = 0;
  private end = 0;

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

  get left(): number {
    return this.bytes - this.offset;
  }

  /** CRC-64 of all bytes read so far. */
  get checksum(): bigint {
    return (BigInt(this.sumHigh >>> 0) << 32n) | BigInt(this.sumLow >>> 0);
  }

  /** Reads the next `length` bytes, valid until the next call. Throws BadFile at the end of the file. */
  take(length: number): Uint8Array {
    const view = this.peek(length);
    updateCrc64(this.sumLow, this.sumHigh, view, 0, length);
    this.sumLow = crc64.lo;
    this.sumHigh = crc64.hi;
    this.start += length;
    this.offset += length;
    return view;
  }

  byte(): number {
    return this.take(1)[0]!;
  }

  /** Returns the next `length` bytes without advancing. Throws BadFile at the end of the file. */
  peek(length: number): Uint8Array {
    if (length > this.left)
      throw new BadFile(this.offset, `unexpected end of file: ${length} bytes are wanted and ${this.left} are left`);
    if (this.end - this.start < length) this.fill(length);
    return this.window.subarray(this.start, this.start + length);
  }

  /** Skips `length` bytes. Throws BadFile at the end of the file. */
  skip(length: number): void {
    if (length > this.left)
      throw new BadFile(this.offset, `unexpected end of file: ${length} bytes are wanted and ${this.left} are left`);
    for (let done = 0; done < length; ) {
      const part = Math.min(WINDOW, length - done);
      this.take(part);
      done += part;
    }
  }

  private fill(length: number): void {
    const rest = this.end - this.start;
    const next = length > this.window.length ? new Uint8Array(Math.max(length, WINDOW)) : this.window;
    next.set(this.window.subarray(this.start, this.end));
    this.window = next;
    this.start = 0;
    this.end = rest;
    while (this.end < length) {
      const got = this.files.read(
        this.descriptor,
        this.window,
        this.end,
        this.window.length - this.end,
        this.offset + this.end,
      );
      if (got === 0) throw new BadFile(this.offset, "the file shrank while it was read");
      this.end += got;
    }
  }
}
