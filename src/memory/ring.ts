/**
 * Ring: a queue of messages in shared memory, from any thread to one consumer.
 *
 *   word   0 │ lock of the producers          │    each in separate cache lines
 *         16 │ messages ever put outside      │    unsigned, modulo 2^32
 *         32 │ head: bytes ever written       │
 *         64 │ tail: bytes ever taken         │
 *         80 │ messages ever taken outside    │
 *         96 │ rests: 1 = the consumer sleeps │
 *        112 │ bytes outside, in units of 64  │
 *        128 │ data: `size` bytes, a power of two; byte n of the stream lies at n modulo size
 *
 *   message │ length in bytes (int32) │ bytes │ padding to 4 │      may wrap around the end of the data
 *
 * A message that does not fit goes *outside*: to the consumer in another way (server/mailbox.ts). Until the consumer has
 * taken it, all later messages go outside too, so that the order of all messages stays that of the lock.
 *
 * Invariants
 *   RING-R1  head - tail is 0 to size; both are multiples of 4
 *   RING-R2  head is published after a message is complete, tail after a message was copied out
 *   RING-R3  the consumer owns the bytes from tail to head; the holder of the lock owns the others
 *   RING-R4  the consumer checks for messages again after it has set `rests`, and a producer checks `rests` after it has
 *            published head. At least one of them sees the other's store, so no message waits for a sleeping consumer
 *   RING-R5  while a message waits outside, the ring gets none: what is in the ring is older than what is outside
 *   RING-R6  a message that is counted as outside can be taken: it was put there before
 *
 * Access: any thread pushes; one thread, always the same, takes and rests. The lock is a leaf lock.
 */
import { assert } from "../base/assert.ts";
import { lock, unlock } from "./lock.ts";
import type { Message } from "./message.ts";

const LOCK_AT = 0,
  OUTSIDE_HEAD_AT = 16,
  HEAD_AT = 32,
  TAIL_AT = 64,
  OUTSIDE_TAIL_AT = 80,
  RESTS_AT = 96,
  OUTSIDE_UNITS_AT = 112,
  DATA_AT = 128;
const LENGTH_BYTES = 4;
/** Unit in which the bytes outside are counted. */
const UNIT = 64;

/** Takes the messages that a ring has no room for to the consumer. */
export interface Outside {
  /** Puts message `n` outside. Called with the lock of the ring. */
  put(n: number, message: Message): void;
}

export class Ring {
  private readonly words: Int32Array;
  private readonly data: Buffer;
  private readonly mask: number;
  /** The message taken last, valid until the next is. */
  readonly taken: Buffer;

  /** A ring over `ringBytes(size)` bytes of `buffer` from `offset`, a multiple of 128. All zeros is an empty ring. */
  constructor(
    buffer: SharedArrayBuffer,
    offset: number,
    private readonly size: number,
    /** Longest message that goes through the ring. */
    readonly messageMax = size - LENGTH_BYTES,
  ) {
    assert(size >= 64 && (size & (size - 1)) === 0, "the size of a ring is a power of two");
    this.words = new Int32Array(buffer, offset, DATA_AT + (size >>> 2));
    this.data = Buffer.from(buffer, offset + DATA_AT * 4, size);
    this.mask = size - 1;
    this.taken = Buffer.allocUnsafeSlow(messageMax);
  }

  // ---- producers ----

  /**
   * Appends a message, or hands it to `outside` when it is long, the ring has no room for it, or others wait outside already (RING-R5).
   * Returns false when it was not taken at all: there is no `outside`, or `outsideMax` bytes wait there.
   */
  push(message: Message, outside: Outside | null, outsideMax: number): boolean {
    const { words } = this;
    lock(words, LOCK_AT);
    try {
      const waiting = (words[OUTSIDE_HEAD_AT]! - Atomics.load(words, OUTSIDE_TAIL_AT)) | 0;
      if (waiting === 0 && this.append(message)) return true;
      const units = unitsOf(message);
      if (outside === null || (Atomics.load(words, OUTSIDE_UNITS_AT) + units) * UNIT > outsideMax) return false;
      const n = words[OUTSIDE_HEAD_AT]!;
      outside.put(n, message);
      Atomics.add(words, OUTSIDE_UNITS_AT, units);
      Atomics.store(words, OUTSIDE_HEAD_AT, (n + 1) | 0); // RING-R6
      return true;
    } finally {
      unlock(words, LOCK_AT);
    }
  }

  /** Returns false when the ring has no room for the message. */
  private append(message: Message): boolean {
    const { words, data, mask } = this;
    const length = message.bytes;
    if (length > this.messageMax) return false;
    const bytes = LENGTH_BYTES + ((length + 3) & ~3);
    const head = words[HEAD_AT]!;
    const used = (head - Atomics.load(words, TAIL_AT)) >>> 0;
    assert(used <= this.size, "a ring holds no more than its size (RING-R1)");
    if (used + bytes > this.size) return false;
    let at = head & mask;
    words[DATA_AT + (at >>> 2)] = length;
    at = (at + LENGTH_BYTES) & mask;
    for (let n = 0; n < message.parts; n++) {
      const source = message.part(n);
      const from = message.startOf(n);
      const partBytes = message.bytesOf(n);
      const first = Math.min(partBytes, this.size - at);
      source.copy(data, at, from, from + first);
      if (first < partBytes) source.copy(data, 0, from + first, from + partBytes);
      at = (at + partBytes) & mask;
    }
    Atomics.store(words, HEAD_AT, (head + bytes) | 0); // RING-R2
    return true;
  }

  /** Bytes that wait in the ring, and more than any ring has when some wait outside. Without the lock: a moment old. */
  get backlog(): number {
    const { words } = this;
    if (Atomics.load(words, OUTSIDE_HEAD_AT) !== Atomics.load(words, OUTSIDE_TAIL_AT)) return Infinity;
    return (Atomics.load(words, HEAD_AT) - Atomics.load(words, TAIL_AT)) >>> 0;
  }

  /** True when the consumer sleeps. The caller alone must then wake it. To be called after each push (RING-R4). */
  mustWake(): boolean {
    return Atomics.load(this.words, RESTS_AT) === 1 && Atomics.exchange(this.words, RESTS_AT, 0) === 1;
  }

  // ---- the consumer ----

  /** True when no message waits, here or outside. */
  get isEmpty(): boolean {
    return Atomics.load(this.words, HEAD_AT) === this.words[TAIL_AT]! && this.outsideHead === this.outsideTail;
  }

  /** Takes the oldest message in the ring into `taken`. Returns its length, or -1 when the ring is empty. */
  take(): number {
    const { words, data } = this;
    const tail = words[TAIL_AT]!;
    const left = (Atomics.load(words, HEAD_AT) - tail) >>> 0;
    if (left === 0) return -1;
    const at = tail & this.mask;
    const length = words[DATA_AT + (at >>> 2)]!;
    const bytes = LENGTH_BYTES + ((length + 3) & ~3);
    assert(length >= 0 && bytes <= left, "a message is complete (RING-R2)");
    const { taken } = this;
    const from = (at + LENGTH_BYTES) & this.mask;
    const first = Math.min(length, this.size - from);
    data.copy(taken, 0, from, from + first);
    if (first < length) data.copy(taken, first, 0, length - first);
    Atomics.store(words, TAIL_AT, (tail + bytes) | 0); // RING-R2
    return length;
  }

  /**
   * Numbers of the next message outside and of the one that the next message put there will have. The consumer reads
   * `outsideHead`, takes all messages in the ring, and then those outside up to that number (RING-R5).
   */
  get outsideTail(): number {
    return this.words[OUTSIDE_TAIL_AT]!;
  }
  get outsideHead(): number {
    return Atomics.load(this.words, OUTSIDE_HEAD_AT);
  }

  /** The consumer has the next message outside, of `bytes`. */
  tookOutside(bytes: number): void {
    const { words } = this;
    Atomics.sub(words, OUTSIDE_UNITS_AT, Math.ceil(bytes / UNIT));
    Atomics.store(words, OUTSIDE_TAIL_AT, (words[OUTSIDE_TAIL_AT]! + 1) | 0);
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

function unitsOf(message: Message): number {
  return Math.ceil(message.bytes / UNIT);
}

/** Bytes of shared memory that a ring with `size` bytes of data occupies. */
export function ringBytes(size: number): number {
  return DATA_AT * 4 + size;
}
