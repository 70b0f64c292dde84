/**
 * Ring: a queue of messages in shared memory, from any thread to one consumer.
 *
 *   word   0 │ lock of the producers          │    each in separate cache lines
 *         32 │ head: bytes ever written       │    unsigned, modulo 2^32
 *         64 │ tail: bytes ever taken         │
 *         96 │ rests: 1 = the consumer sleeps │
 *        128 │ data: `size` bytes, a power of two; byte n of the stream lies at n modulo size
 *
 *   message │ length in bytes (int32) │ bytes │ padding to 4 │      may wrap around the end of the data
 *
 * Invariants
 *   RING-R1  head - tail is 0 to size; both are multiples of 4
 *   RING-R2  head is published after a message is complete, tail after a message was copied out
 *   RING-R3  the consumer owns the bytes from tail to head; the holder of the lock owns the others
 *   RING-R4  the consumer checks for messages again after it has set `rests`, and a producer checks `rests` after it has
 *            published head. At least one of them sees the other's store, so no message waits for a sleeping consumer
 *
 * Access: any thread pushes; one thread, always the same, takes and rests. The lock is a leaf lock.
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

  /** Longest message that an empty ring can hold, bytes. */
  get messageMax(): number {
    return this.size - LENGTH_BYTES;
  }

  // ---- producers ----

  /** Appends the first `length` bytes of `message`. Returns false when the ring has no room for them. */
  push(message: Buffer, length: number): boolean {
    const { words } = this;
    const bytes = LENGTH_BYTES + ((length + 3) & ~3);
    lock(words, LOCK_AT);
    const head = words[HEAD_AT]!;
    const used = (head - Atomics.load(words, TAIL_AT)) >>> 0;
    assert(used <= this.size, "a ring holds no more than its size (RING-R1)");
    const fits = used + bytes <= this.size;
    if (fits) {
      const at = head & this.mask;
      words[DATA_AT + (at >>> 2)] = length;
      this.copyIn(message, length, (at + LENGTH_BYTES) & this.mask);
      Atomics.store(words, HEAD_AT, (head + bytes) | 0); // RING-R2
    }
    unlock(words, LOCK_AT);
    return fits;
  }

  /** True when the consumer sleeps. The caller alone must then wake it. To be called after each push (RING-R4). */
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

  /** Takes the oldest message. Returns a new buffer with its bytes, or null when the ring is empty. */
  take(): Buffer | null {
    const { words, data } = this;
    const tail = words[TAIL_AT]!;
    const left = (Atomics.load(words, HEAD_AT) - tail) >>> 0;
    if (left === 0) return null;
    const at = tail & this.mask;
    const length = words[DATA_AT + (at >>> 2)]!;
    const bytes = LENGTH_BYTES + ((length + 3) & ~3);
    assert(length >= 0 && bytes <= left, "a message is complete (RING-R2)");
    const message = Buffer.allocUnsafeSlow(length);
    const from = (at + LENGTH_BYTES) & this.mask;
    const first = Math.min(length, this.size - from);
    data.copy(message, 0, from, from + first);
    if (first < length) data.copy(message, first, 0, length - first);
    Atomics.store(words, TAIL_AT, (tail + bytes) | 0); // RING-R2
    return message;
  }

  /** Marks the consumer as awake: producers need not wake it. */
  work(): void {
    Atomics.store(this.words, RESTS_AT, 0);
  }

  /** Marks the consumer as asleep. Returns false, with the mark removed, when messages are waiting (RING-R4). */
  rest(): boolean {
    Atomics.store(this.words, RESTS_AT, 1);
    if (this.isEmpty) return true;
    this.work();
    return false;
  }
}

/** Bytes of shared memory that a ring with `size` bytes of data occupies. */
export function ringBytes(size: number): number {
  return DATA_AT * 4 + size;
}
