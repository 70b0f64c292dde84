/**
 * Change log: the effects of all changes, in one order, as RESP. Its newest bytes lie in a ring that every thread maps. The
 * append-only file is written from it. (Replicas read another stream of the same effects, replication/stream.ts.)
 *
 *   ring  │ head, HEAD_BYTES │ data: `size` bytes, a power of two; byte n of the log lies at n modulo size │
 *   head  │ magic (8) │ size (double) │ end (double) │ log id, 16 characters │ boot id, 36 characters │
 *
 *   drained ≤ end ≤ written ≤ drained + size
 *
 * A position is a number of bytes since the log began, as a double. Effects are appended under the shard locks of what they
 * changed, so their order is an order in which the changes could have happened one after the other.
 *
 * The ring is a file of the data directory, mapped by all threads and never synced. It outlives the process: what the AOF
 * lacks after kill -9 is found in the ring at the next start (persistence/ring-file.ts). So a reply may leave as soon as
 * its effect was appended.
 *
 * Invariants
 *   CHANGELOG-1  a unit (a command, or MULTI .. EXEC) is whole between two values of `end`
 *   CHANGELOG-2  `written` and `end` are published after the bytes before them
 *   CHANGELOG-3  bytes from `drained` on are never overwritten
 *   CHANGELOG-4  each command from position n on is preceded by a SELECT of its database, unless the command before it ran
 *                in that database
 *
 * Access: any thread appends. One thread at a time drains, the one that has the file (persistence/aof-share.ts). The lock is
 * a leaf lock, except that an appender without room waits for the draining thread, which takes no lock.
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import { CHANGE_LOG_AT, CHANGE_LOG_LOCK_AT, type Control } from "./control.ts";
import { lock, unlock } from "./lock.ts";
import { SELECT_BYTES_MAX, writeSelectCommand } from "./select-command.ts";

// Words from CHANGE_LOG_AT; doubles at even words.
const WRITTEN = 0;
const END = 2;
const DRAINED = 4;
const DURABLE = 6;
/** Database of the last command, -1 = the next command must be preceded by SELECT. */
const DATABASE = 8;
const STATE = 9;
/** Raised to wake the draining thread, which sleeps on this word. */
const WAKE = 10;
/** 1 while the draining thread sleeps. */
const SLEEPS = 11;
/** Raised when there is room again. Appenders that wait for room sleep on this word. */
const ROOM = 12;
/** Bytes of effects that were dropped because nothing could drain them. */
const DROPPED = 14;
/** 1 while replies wait until their effects are durable (aof_fsync always). */
const WAITS_FOR_SYNC = 16;
/** Clients that wait until something is durable, of all threads. */
const WAITING = 20;
/** The system's number of the error that made the state Failing. */
const FAILURE = 19;

/** Off: nothing is appended. On: effects are appended. Failing: the file cannot be written, so writes are refused. */
export const LogState = { Off: 0, On: 1, Failing: 2 } as const;
export type LogState = (typeof LogState)[keyof typeof LogState];

export const HEAD_BYTES = 4096;
/** Part of the ring that admission keeps free for the effects of commands that are already running. */
const HEADROOM = 0.25;
/** Share of the ring that one command can ask admission for. */
const LARGE_SHARE = 0.25;
/** An appender that waits for room looks again after so long. */
const WAIT_MS = 20;
/** The draining thread is woken early when so much of the ring is used. */
const WAKE_SHARE = 0.125;

export class ChangeLog {
  private readonly c: Int32Array;
  private readonly f64: Float64Array;
  private readonly at = CHANGE_LOG_AT;
  private readonly half = CHANGE_LOG_AT >>> 1;
  private readonly data: Buffer;
  private readonly mask: number;
  private readonly admitted: number;
  private readonly wakeBytes: number;
  /** The end of the log, as the ring's head shows it after a crash. */
  private readonly head: Float64Array;
  readonly size: number;
  /** Bytes appended since the draining thread was woken last. By this thread. */
  private sinceWake = 0;
  private readonly select = Buffer.allocUnsafeSlow(SELECT_BYTES_MAX);

  /** A view of the log over `ring`: HEAD_BYTES and a power of two of data. */
  constructor(control: Control, ring: Uint8Array) {
    this.c = control.i32;
    this.f64 = control.f64;
    this.size = ring.length - HEAD_BYTES;
    assert(this.size >= 4096 && (this.size & (this.size - 1)) === 0, "the size of the ring is a power of two");
    this.mask = this.size - 1;
    this.admitted = Math.floor(this.size * (1 - HEADROOM));
    this.wakeBytes = Math.floor(this.size * WAKE_SHARE);
    this.data = Buffer.from(ring.buffer, ring.byteOffset + HEAD_BYTES, this.size);
    this.head = new Float64Array(ring.buffer, ring.byteOffset, 8);
  }

  /** The system's number of the error for which the file cannot be written. */
  get failure(): number {
    return this.c[this.at + FAILURE]!;
  }
  /** The file cannot be written. */
  fail(number: number): void {
    this.c[this.at + FAILURE] = number;
    this.state = LogState.Failing;
  }

  get state(): LogState {
    return this.c[this.at + STATE]! as LogState;
  }
  set state(state: LogState) {
    Atomics.store(this.c, this.at + STATE, state);
    this.tellAppenders();
  }
  /** True while effects are appended. */
  get isOn(): boolean {
    return this.c[this.at + STATE] !== LogState.Off;
  }
  /** Position behind the last whole unit. */
  get end(): number {
    return this.f64[this.half + END / 2]!;
  }
  /** Position behind the last byte. */
  get written(): number {
    return this.f64[this.half + WRITTEN / 2]!;
  }
  get drained(): number {
    return this.f64[this.half + DRAINED / 2]!;
  }
  /** Everything before this position is on the disk. */
  get durable(): number {
    return this.f64[this.half + DURABLE / 2]!;
  }
  /** Bytes of effects that were dropped while the file could not be written: it then lacks them until it is rewritten. */
  get droppedBytes(): number {
    return this.f64[this.half + DROPPED / 2]!;
  }
  get waitsForSync(): boolean {
    return this.c[this.at + WAITS_FOR_SYNC] === 1;
  }
  set waitsForSync(waits: boolean) {
    Atomics.store(this.c, this.at + WAITS_FOR_SYNC, waits ? 1 : 0);
  }

  /** `change` more clients wait until something is durable. */
  countWaiting(change: number): void {
    Atomics.add(this.c, this.at + WAITING, change);
  }
  /** True while a client waits until something is durable. */
  get hasWaiting(): boolean {
    return Atomics.load(this.c, this.at + WAITING) > 0;
  }

  /** Begins the log at `position`, with an empty ring. No other thread uses the log yet. */
  begin(position: number): void {
    for (const word of [WRITTEN, END, DRAINED, DURABLE]) this.f64[this.half + word / 2] = position;
    this.c[this.at + DATABASE] = -1;
    this.head[HEAD_END] = position;
  }

  // ---- appending ----

  /**
   * True when commands with `bytes` of arguments may run: there is room for their effects and for those of running commands. Effects
   * that no ring of this size could hold go through it in parts; for them it must be half empty.
   */
  admits(bytes: number): boolean {
    return this.written - this.drained + Math.min(bytes, this.size * LARGE_SHARE) <= this.admitted;
  }

  /**
   * Appends a unit of effects: `bytes` from `from` to `to`, complete commands that begin in database `first` and end in
   * `last`. The caller holds the shard locks of what they changed. Returns the position behind them.
   */
  append(bytes: Buffer, from: number, to: number, first: number, last: number): number {
    const { c } = this;
    lock(c, CHANGE_LOG_LOCK_AT);
    if (c[this.at + DATABASE] !== first) this.writeSelect(first); // CHANGELOG-4
    const { f64, half } = this;
    const written = f64[half + WRITTEN / 2]!;
    const offset = written & this.mask;
    const length = to - from;
    let end = written + length;
    if (end - f64[half + DRAINED / 2]! <= this.size && offset + length <= this.size) {
      copy(bytes, from, this.data, offset, length);
      f64[half + WRITTEN / 2] = end;
      this.sinceWake += length;
    } else {
      this.write(bytes, from, to);
      end = f64[half + WRITTEN / 2]!;
    }
    c[this.at + DATABASE] = last;
    this.head[HEAD_END] = end; // CHANGELOG-2
    f64[half + END / 2] = end;
    unlock(c, CHANGE_LOG_LOCK_AT);
    if (this.sinceWake > this.wakeBytes) this.wake();
    return end;
  }

  /** A reader begins at the end of the log: the next unit is preceded by SELECT, and what was dropped does not matter. */
  beginAnew(): void {
    lock(this.c, CHANGE_LOG_LOCK_AT);
    this.c[this.at + DATABASE] = -1;
    this.f64[this.half + DROPPED / 2] = 0;
    unlock(this.c, CHANGE_LOG_LOCK_AT);
  }

  private writeSelect(db: number): void {
    this.write(this.select, 0, writeSelectCommand(this.select, db));
  }

  /** Writes bytes into the ring, in as many parts as the room and the end of the ring ask for. */
  private write(bytes: Buffer, from: number, to: number): void {
    const { data, mask, size } = this;
    this.sinceWake += to - from;
    for (let at = from; at < to; ) {
      const { written } = this;
      const room = size - (written - this.drained); // CHANGELOG-3
      if (room <= 0) {
        if (!this.waitForRoom()) {
          this.f64[this.half + DROPPED / 2] = this.droppedBytes + to - at;
          return;
        }
        continue;
      }
      const offset = written & mask;
      const part = Math.min(to - at, room, size - offset);
      copy(bytes, at, data, offset, part);
      this.f64[this.half + WRITTEN / 2] = written + part;
      at += part;
    }
  }

  /** Drains the log in this thread, where there is no other one for it; null = there is one. Returns false when it cannot. */
  drainHere: (() => boolean) | null = null;

  /** Waits until the draining thread has made room. Returns false when nothing can be drained. */
  private waitForRoom(): boolean {
    if (this.drainHere !== null) return this.drainHere();
    const seen = Atomics.load(this.c, this.at + ROOM);
    if (this.state === LogState.Failing) return false;
    this.wake();
    Atomics.wait(this.c, this.at + ROOM, seen, WAIT_MS);
    return true;
  }

  /** Asks the draining thread to make room, or drains here. Called without locks. */
  makeRoom(): void {
    if (this.drainHere !== null) this.drainHere();
    else this.wake();
  }

  /** Wakes the draining thread. */
  wake(): void {
    this.sinceWake = 0;
    Atomics.add(this.c, this.at + WAKE, 1);
    if (Atomics.load(this.c, this.at + SLEEPS) === 1) Atomics.notify(this.c, this.at + WAKE, 1);
  }

  // ---- draining ----

  /** Sleeps until `wake`, for at most `ms`. `seen`: what `wakeCount` was before the thread looked for work. */
  sleep(seen: number, ms: number): void {
    Atomics.store(this.c, this.at + SLEEPS, 1);
    Atomics.wait(this.c, this.at + WAKE, seen, ms);
    Atomics.store(this.c, this.at + SLEEPS, 0);
  }
  get wakeCount(): number {
    return Atomics.load(this.c, this.at + WAKE);
  }

  /** The bytes from `position` on that lie together in the ring, up to `end`. Valid until `drain`. */
  view(position: number, end: number): Buffer {
    const offset = position & this.mask;
    return this.data.subarray(offset, offset + Math.min(end - position, this.size - offset));
  }

  /** The bytes before `position` were taken: their room is free. */
  drain(position: number): void {
    assert(position >= this.drained && position <= this.written, "what was drained was written");
    this.f64[this.half + DRAINED / 2] = position;
    this.tellAppenders();
  }

  /** Everything before `position` is on the disk. */
  setDurable(position: number): void {
    this.f64[this.half + DURABLE / 2] = position;
  }

  private tellAppenders(): void {
    Atomics.add(this.c, this.at + ROOM, 1);
    Atomics.notify(this.c, this.at + ROOM);
  }
}

// The head of a ring, in doubles and bytes.
const HEAD_SIZE = 1;
const HEAD_END = 2;
const LOG_ID_AT = 24;
const BOOT_ID_AT = 40;
const BOOT_ID_BYTES = 36;
const RING_MAGIC = "FERRING1";
/** Characters of a log id. */
export const LOG_ID_BYTES = 16;

/** Writes the head of a ring with `size` bytes of data, empty from `position` on. */
export function writeRingHead(ring: Buffer, size: number, logId: string, bootId: string, position: number): void {
  assert(logId.length === LOG_ID_BYTES, "a log id has sixteen characters");
  ring.fill(0, 0, HEAD_BYTES);
  ring.write(RING_MAGIC, 0, "latin1");
  ring.writeDoubleLE(size, HEAD_SIZE * 8);
  ring.writeDoubleLE(position, HEAD_END * 8);
  ring.write(logId, LOG_ID_AT, "latin1");
  ring.write(bootId, BOOT_ID_AT, BOOT_ID_BYTES, "latin1");
}

/** What the head of a ring says. */
export interface RingHead {
  readonly size: number;
  readonly end: number;
  readonly logId: string;
  readonly bootId: string;
}

/** Reads the head of a ring of `length` bytes in all; null when `ring` is none. */
export function readRingHead(ring: Buffer, length = ring.length): RingHead | null {
  if (ring.length < HEAD_BYTES || ring.toString("latin1", 0, RING_MAGIC.length) !== RING_MAGIC) return null;
  const size = ring.readDoubleLE(HEAD_SIZE * 8);
  const end = ring.readDoubleLE(HEAD_END * 8);
  if (size !== length - HEAD_BYTES || !Number.isSafeInteger(end) || end < 0) return null;
  const logId = ring.toString("latin1", LOG_ID_AT, LOG_ID_AT + LOG_ID_BYTES);
  const bootId = ring.toString("latin1", BOOT_ID_AT, BOOT_ID_AT + BOOT_ID_BYTES).replaceAll("\0", "");
  return { size, end, logId, bootId };
}

/** The bytes of a ring from `from` to its end; null when the ring does not hold them any more. */
export function ringBytesFrom(ring: Buffer, head: RingHead, from: number): Buffer | null {
  if (from > head.end || from < head.end - head.size) return null;
  const out = Buffer.allocUnsafeSlow(head.end - from);
  for (let at = from; at < head.end; ) {
    const offset = HEAD_BYTES + (at % head.size);
    const part = Math.min(head.end - at, head.size - (at % head.size));
    ring.copy(out, at - from, offset, offset + part);
    at += part;
  }
  return out;
}
