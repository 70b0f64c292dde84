/**
 * Message: what a ring (ring.ts) carries, in parts. The first part is a head of fixed fields that the sender writes. The others
 * lie in buffers of the sender and are copied once, into the ring.
 */
import { assert } from "../base/assert.ts";

const HEAD_MAX = 64;
const PARTS_MAX = 4;
const NOTHING = Buffer.alloc(0);

export class Message {
  /** Length in all. */
  bytes = 0;
  /** Number of parts. */
  parts = 1;
  private readonly head = Buffer.alloc(HEAD_MAX);
  private readonly sources: Buffer[] = [this.head, NOTHING, NOTHING, NOTHING];
  private readonly starts = new Int32Array(PARTS_MAX);
  private readonly lengths = new Int32Array(PARTS_MAX);

  /** Begins anew. The head's fields follow, then `add` for each further part. */
  begin(): this {
    this.parts = 1;
    this.bytes = 0;
    this.lengths[0] = 0;
    return this;
  }
  int(value: number): this {
    this.head.writeInt32LE(value, this.bytes);
    return this.grow(4);
  }
  double(value: number): this {
    this.head.writeDoubleLE(value, this.bytes);
    return this.grow(8);
  }
  private grow(bytes: number): this {
    assert(this.parts === 1, "the fields of the head come first");
    this.bytes += bytes;
    this.lengths[0] = this.bytes;
    return this;
  }

  add(source: Buffer, start: number, length: number): this {
    const n = this.parts++;
    assert(n < PARTS_MAX, "a message has a few parts");
    this.sources[n] = source;
    this.starts[n] = start;
    this.lengths[n] = length;
    this.bytes += length;
    return this;
  }

  part(n: number): Buffer {
    return this.sources[n]!;
  }
  startOf(n: number): number {
    return this.starts[n]!;
  }
  bytesOf(n: number): number {
    return this.lengths[n]!;
  }

  /** Copies the whole message into `target`. */
  copyTo(target: Uint8Array): void {
    let at = 0;
    for (let n = 0; n < this.parts; n++) {
      const start = this.starts[n]!;
      this.sources[n]!.copy(target, at, start, start + this.lengths[n]!);
      at += this.lengths[n]!;
    }
  }

  /** Drops the references to the sender's buffers. */
  release(): void {
    for (let n = 1; n < this.parts; n++) this.sources[n] = NOTHING;
  }
}
