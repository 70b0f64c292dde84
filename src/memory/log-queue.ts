/**
 * Log queue: log lines on their way from all threads to the one that writes them (server/log-thread.ts). A line that finds no
 * room is dropped and counted, so that nobody ever waits for a log.
 *
 *   word   0 │ wake: counts up when there is something to do
 *          1 │ sleeps: 1 = the writer waits for `wake`
 *          2 │ state: QueueState
 *          3 │ how often the file must be opened anew
 *          4 │ lines that could not be written (modulo 2^32)
 *         64 │ ring 0, ring 1 ...: one for each thread
 *
 *   ring    │ head │ (a cache line) │ tail │ (a cache line) │ dropped lines │ (a cache line) │ `size` bytes of whole lines
 *
 * Invariants
 *   LOGQUEUE-1  head - tail is 0 to size; both count bytes, modulo 2^32
 *   LOGQUEUE-2  only the thread of a ring moves its head and counts its dropped lines; only the writer moves the tail
 *   LOGQUEUE-3  head is published after the line is complete, and the bytes from tail to head are whole lines
 *   LOGQUEUE-4  the writer looks at all rings again after it has set `sleeps`, and a thread looks at `sleeps` after it has
 *               published its head: no line waits for a sleeping writer
 *   LOGQUEUE-5  the last quarter of a ring is for warnings and errors: a flood of debug lines does not displace them
 *
 * Whose turn it is to write is decided by `state` (QueueState): whoever moves it from Idle is the writer. So the main thread writes what
 * is left when the log's thread never began.
 */
import { assert } from "../base/assert.ts";
import { type Level, type LogSink, WARN } from "../base/log.ts";

const WAKE = 0,
  SLEEPS = 1,
  STATE = 2,
  REOPEN = 3,
  LOST = 4;
const HEADER_WORDS = 64;
const HEAD = 0,
  TAIL = 16,
  DROPPED = 32,
  RING_WORDS = 48;

export const QueueState = {
  /** Nobody writes yet. */
  Idle: 0,
  Writing: 1,
  /** The process ends: the writer writes what there is. */
  Closing: 2,
  Closed: 3,
} as const;
export type QueueState = (typeof QueueState)[keyof typeof QueueState];

export class LogQueue {
  private readonly words: Int32Array;
  private readonly data: Buffer;
  private readonly stride: number;

  static make(rings: number, size: number): LogQueue {
    return new LogQueue(new SharedArrayBuffer(HEADER_WORDS * 4 + rings * (RING_WORDS * 4 + size)), rings, size);
  }

  /** `size`: bytes of each ring, a power of two. */
  constructor(
    readonly buffer: SharedArrayBuffer,
    readonly rings: number,
    readonly size: number,
  ) {
    assert(size >= 64 && (size & (size - 1)) === 0, "the size of a ring is a power of two");
    this.words = new Int32Array(buffer);
    this.data = Buffer.from(buffer);
    this.stride = RING_WORDS + size / 4;
  }

  private at(ring: number): number {
    return HEADER_WORDS + ring * this.stride;
  }

  // ---- the threads that log ----

  /** The sink of the thread that has `ring`. `close`: called when its logs close. */
  sink(ring: number, close: () => void): LogSink {
    return { write: (line, level) => this.push(ring, line, level), close };
  }

  private push(ring: number, line: string, level: Level): void {
    const { words, data, size } = this;
    const at = this.at(ring);
    const head = words[at + HEAD]!;
    const free = size - ((head - Atomics.load(words, at + TAIL)) >>> 0);
    const bytes = Buffer.byteLength(line);
    if (bytes > (level >= WARN ? free : free - size / 4)) {
      Atomics.add(words, at + DROPPED, 1);
      return this.wake();
    }
    const first = (at + RING_WORDS) * 4;
    const offset = (head >>> 0) & (size - 1);
    const room = size - offset;
    if (bytes <= room) data.write(line, first + offset, bytes, "utf8");
    else {
      const encoded = Buffer.from(line);
      encoded.copy(data, first + offset, 0, room);
      encoded.copy(data, first, room);
    }
    Atomics.store(words, at + HEAD, (head + bytes) | 0);
    this.wake();
  }

  private wake(): void {
    const { words } = this;
    if (Atomics.load(words, SLEEPS) === 0) return;
    Atomics.add(words, WAKE, 1);
    Atomics.notify(words, WAKE);
  }

  // ---- the writer ----

  /** Takes the part of the writer. Returns false when somebody else has it. */
  beginWriting(): boolean {
    return Atomics.compareExchange(this.words, STATE, QueueState.Idle, QueueState.Writing) === QueueState.Idle;
  }

  /** Moves the lines of `ring` to `into`, which has room for a whole ring. Returns their bytes. */
  take(ring: number, into: Buffer): number {
    const { words, data, size } = this;
    const at = this.at(ring);
    const tail = words[at + TAIL]!;
    const head = Atomics.load(words, at + HEAD);
    const bytes = (head - tail) >>> 0;
    assert(bytes <= size, "a ring holds no more than its size");
    if (bytes === 0) return 0;
    const first = (at + RING_WORDS) * 4;
    const offset = (tail >>> 0) & (size - 1);
    const upper = Math.min(bytes, size - offset);
    data.copy(into, 0, first + offset, first + offset + upper);
    data.copy(into, upper, first, first + bytes - upper);
    Atomics.store(words, at + TAIL, head);
    return bytes;
  }

  /** Sleeps until there is something to do, at most `mostMs`. */
  sleep(mostMs: number): void {
    const { words } = this;
    const seen = Atomics.load(words, WAKE);
    Atomics.store(words, SLEEPS, 1);
    if (!this.hasLines() && this.state === QueueState.Writing) Atomics.wait(words, WAKE, seen, mostMs);
    Atomics.store(words, SLEEPS, 0);
  }

  private hasLines(): boolean {
    for (let ring = 0; ring < this.rings; ring++) {
      const at = this.at(ring);
      if (Atomics.load(this.words, at + HEAD) !== Atomics.load(this.words, at + TAIL)) return true;
    }
    return false;
  }

  get state(): QueueState {
    return Atomics.load(this.words, STATE) as QueueState;
  }
  endWriting(): void {
    Atomics.store(this.words, STATE, QueueState.Closed);
    Atomics.notify(this.words, STATE);
  }

  /** Counts lines that the disk did not take. */
  countLost(lines: number): void {
    if (lines > 0) Atomics.add(this.words, LOST, lines);
  }

  // ---- the main thread ----

  /** Has the writer open the file anew. */
  askReopen(): void {
    Atomics.add(this.words, REOPEN, 1);
    this.wake();
  }
  get reopens(): number {
    return Atomics.load(this.words, REOPEN);
  }

  /** Has the writer write what there is, and waits for it at most `mostMs`. Returns false when it did not end. */
  close(mostMs: number): boolean {
    const { words } = this;
    if (Atomics.compareExchange(words, STATE, QueueState.Writing, QueueState.Closing) === QueueState.Idle) return false;
    this.wake();
    if (this.state !== QueueState.Closed) Atomics.wait(words, STATE, QueueState.Closing, mostMs);
    return this.state === QueueState.Closed;
  }

  // ---- figures ----

  /** Lines of one thread that found no room. */
  droppedOf(ring: number): number {
    return Atomics.load(this.words, this.at(ring) + DROPPED) >>> 0;
  }

  /** Lines that were not written: without room, or refused by the disk. */
  get dropped(): number {
    let sum = Atomics.load(this.words, LOST) >>> 0;
    for (let ring = 0; ring < this.rings; ring++) sum += this.droppedOf(ring);
    return sum;
  }
}
