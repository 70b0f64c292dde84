/**
 * Ring: messages from any thread to one thread, through shared memory.
 *
 *   word   0 │ lock of the producers          │    each in cache lines of its own
 *         32 │ head: bytes ever written       │    unsigned, modulo 2^32
 *         64 │ tail: bytes ever taken         │
 *         96 │ rests: 1 = the consumer sleeps │
 *        128 │ data: `size` bytes, a power of two; byte n of the stream lies at n modulo size
 *
 *   message │ length in bytes (int32) │ bytes │ padding to 4 │      its bytes may go over the end of the data
 *
 * Invariants
 *   R1  head - tail is 0 to size; both are multiples of 4
 *   R2  head is published once a message is whole, tail once it was copied out
 *   R3  the bytes from tail to head are the consumer's, the others the holder of the lock's
 *   R4  a consumer looks for messages once more after it has set `rests`, and a producer looks at `rests` after it has
 *       published head: one of them sees the other, so no message is left to a consumer that sleeps
 *
 * Who may touch it: any thread pushes; one thread, always the same, takes and rests. The lock is a leaf lock.
 */
import { assert } from "../base/assert.ts";
import { lock, unlock } from "./lock.ts";

const LOCK_AT = 0,
  HEAD_AT = 32,
  TAIL_AT = 64,
  RESTS_AT = 96,
  DATA_AT = 128;
const LENGTH_BYTES = 4;

export class Ring {
  private readonly words: Int32Array;
  private readonly data: Buffer;
  private readonly mask: number;

  /** A ring over `ringBytes(size)` bytes of `buffer` from `offset`, a multiple of 128. All zeros is an empty ring. */
  constructor(
    buffer: SharedArrayBuffer,
    offset: number,
    private readonly size: number,
  ) {
    assert(size >= 64 && (size & (size - 1)) === 0, "the size of a ring is a power of two");
    this.words = new Int32Array(buffer, offset, DATA_AT + (size >>> 2));
    this.data = Buffer.from(buffer, offset + DATA_AT * 4, size);
    this.mask = size - 1;
  }

  /** Longest message there is ever room for, bytes. */
  get messageMax(): number {
    return this.size - LENGTH_BYTES;
  }

  // ---- producers ----

  /** Appends the first `length` bytes of `message`. Returns false when there is no room now. */
  push(message: Buffer, length: number): boolean {
    const { words } = this;
    const bytes = LENGTH_BYTES + ((length + 3) & ~3);
    lock(words, LOCK_AT);
    const head = words[HEAD_AT]!;
    const used = (head - Atomics.load(words, TAIL_AT)) >>> 0;
    assert(used <= this.size, "a ring holds no more than its size (R1)");
    const fits = used + bytes <= this.size;
    if (fits) {
      const at = head & this.mask;
      words[DATA_AT + (at >>> 2)] = length;
      this.copyIn(message, length, (at + LENGTH_BYTES) & this.mask);
      Atomics.store(words, HEAD_AT, (head + bytes) | 0); // R2
    }
    unlock(words, LOCK_AT);
    return fits;
  }

  /** True when the consumer sleeps: the caller, and nobody else, wakes it. To be asked after each push (R4). */
  mustWake(): boolean {
    return Atomics.load(this.words, RESTS_AT) === 1 && Atomics.exchange(this.words, RESTS_AT, 0) === 1;
  }

  private copyIn(message: Buffer, length: number, at: number): void {
    const first = Math.min(length, this.size - at);
    message.copy(this.data, at, 0, first);
    if (first < length) message.copy(this.data, 0, first, length);
  }

  // ---- the consumer ----

  get isEmpty(): boolean {
    return Atomics.load(this.words, HEAD_AT) === this.words[TAIL_AT]!;
  }

  /** Takes the oldest message. Returns a buffer of its own with its bytes, or null when there is none. */
  take(): Buffer | null {
    const { words, data } = this;
    const tail = words[TAIL_AT]!;
    const left = (Atomics.load(words, HEAD_AT) - tail) >>> 0;
    if (left === 0) return null;
    const at = tail & this.mask;
    const length = words[DATA_AT + (at >>> 2)]!;
    const bytes = LENGTH_BYTES + ((length + 3) & ~3);
    assert(length >= 0 && bytes <= left, "a message is whole (R2)");
    const message = Buffer.allocUnsafeSlow(length);
    const from = (at + LENGTH_BYTES) & this.mask;
    const first = Math.min(length, this.size - from);
    data.copy(message, 0, from, from + first);
    if (first < length) data.copy(message, first, 0, length - first);
    Atomics.store(words, TAIL_AT, (tail + bytes) | 0); // R2
    return message;
  }

  /** The consumer is at work: nobody need wake it. */
  work(): void {
    Atomics.store(this.words, RESTS_AT, 0);
  }

  /** The consumer is about to sleep. Returns false when there are messages: it is at work still (R4). */
  rest(): boolean {
    Atomics.store(this.words, RESTS_AT, 1);
    if (this.isEmpty) return true;
    this.work();
    return false;
  }
}

/** Bytes of shared memory that a ring with `size` bytes of data takes. */
export function ringBytes(size: number): number {
  return DATA_AT * 4 + size;
}
