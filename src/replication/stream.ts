/**
 * Replication stream: what replicas are sent, as RESP. Its newest bytes lie in a ring that every thread maps: the backlog,
 * and what attached replicas still have to be sent.
 *
 *   ring   byte n of the stream lies at n modulo CAPACITY
 *
 *   floor ≤ start ≤ end ≤ floor + CAPACITY
 *
 * An offset is a number of bytes since the stream began, as a double. `end` is Redis's master_repl_offset: a replica that has
 * everything up to n asks for n + 1 (PSYNC), and acknowledges n.
 *
 * The stream is not the change log (memory/change-log.ts). Both take the same effects, under the same shard locks, but the
 * stream also has what no file may have: PING, REPLCONF GETACK, PUBLISH, and a SELECT wherever a replica begins. It runs
 * only while the server has replicas, or keeps a backlog for those that may come back, and without an append-only file too.
 * Nobody ever waits for room in it: a replica that does not keep up loses its place.
 *
 * What is older than the ring's memory may be in a file of FILE_BYTES bytes, a ring too (replication.backlog_disk_size): byte n
 * of the stream lies at n modulo FILE_BYTES, from `fileStart` up to `fileEnd`. One thread writes it (server/backlog-file.ts).
 * Where there is one, it, and not memory, keeps what slow replicas still have to be sent.
 *
 * On a primary, effects come by `append`, and what the server itself says by `appendOwn`. On a replica `takesEffects` is
 * false, and the bytes of its primary come by `appendVerbatim`, so that its own replicas have the same offsets.
 *
 * Invariants
 *   STREAM-1  a unit (a command, or MULTI .. EXEC) is whole between two values of `end`
 *   STREAM-2  `end` is published after the bytes before it
 *   STREAM-3  every command behind `forceSelect` is preceded by a SELECT of its database, unless the command before it ran in
 *             that database
 *   STREAM-4  a reader of bytes checks afterwards that they were not overwritten meanwhile (`holds`, `isInFile`)
 *   STREAM-5  `fileStart` is published before the bytes in front of it are overwritten, `fileEnd` after the bytes before it
 *
 * Access: any thread appends, and any thread reads. The lock is a leaf lock.
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import type { Control } from "../memory/control.ts";
import { lock, unlock } from "../memory/lock.ts";
import { releasePages } from "../memory/native.ts";
import { SELECT_BYTES_MAX, writeSelectCommand } from "../memory/select-command.ts";
import { LOCK_AT, STREAM_AT } from "./words.ts";

/** Bytes of the ring: address space, of which only what is written takes memory. */
export const CAPACITY = 1 << 30;
const MASK = CAPACITY - 1;
/** Room that appenders may use while bytes are read or given back. */
const MARGIN = 64 << 20;
/** Largest backlog. */
export const BACKLOG_MAX = CAPACITY - MARGIN;
/** Bytes that are given back to the system at a time. */
const STEP = 1 << 20;

// Words from STREAM_AT; doubles at even words.
const END = 0;
/** The first byte that is still there. */
const FLOOR = 2;
/** repl-backlog-size. */
const BACKLOG = 4;
/** 1 while the stream runs. */
const ON = 6;
/** 1 while effects enter it. */
const EFFECTS = 7;
/** Database of the last command, -1 = the next command must be preceded by SELECT. */
const DATABASE = 8;
/** 1 when all effects enter it, 0 = only those that Redis 7.0 has a command for. */
const DIALECT = 9;
/** Grows whenever the stream begins: what was written to the file before is void. */
const GENERATION = 10;
/** Doubles. Bytes of the file, 0 = there is none; and what of the stream it has. */
const FILE_BYTES = 12;
const FILE_START = 14;
const FILE_END = 16;

export class ReplicationStream {
  private readonly c: Int32Array;
  private readonly f64: Float64Array;
  private readonly lockAt: number;
  private readonly at: number;
  private readonly half: number;
  private readonly ring: Buffer;
  private readonly select = Buffer.allocUnsafeSlow(SELECT_BYTES_MAX);

  constructor(control: Control, ring: SharedArrayBuffer) {
    assert(ring.byteLength === CAPACITY, "the ring has its capacity");
    this.c = control.i32;
    this.f64 = control.f64;
    this.lockAt = control.replicationAt + LOCK_AT;
    this.at = control.replicationAt + STREAM_AT;
    this.half = this.at >>> 1;
    this.ring = Buffer.from(ring);
  }

  // ---- facts ----

  /** True while the stream runs: there are replicas, or a backlog. */
  get isOn(): boolean {
    return this.c[this.at + ON] === 1;
  }
  /** True while effects enter the stream: it runs, and this server is a primary. */
  get takesEffects(): boolean {
    return this.c[this.at + EFFECTS] === 1;
  }
  /** True when effects enter it that Redis 7.0 has no command for. */
  get isOwnDialect(): boolean {
    return this.c[this.at + DIALECT] === 1;
  }
  set isOwnDialect(isOwn: boolean) {
    Atomics.store(this.c, this.at + DIALECT, isOwn ? 1 : 0);
  }
  /** Offset behind the last whole unit: master_repl_offset. */
  get end(): number {
    return this.f64[this.half + END / 2]!;
  }
  /** Offset of the backlog's first byte. */
  get start(): number {
    const start = this.memoryStart;
    return this.fileBytes > 0 && this.fileEnd >= this.floor ? Math.min(start, this.fileStart) : start;
  }
  private get memoryStart(): number {
    return Math.max(this.floor, this.end - this.backlogBytes);
  }
  get fileBytes(): number {
    return this.f64[this.half + FILE_BYTES / 2]!;
  }
  get fileStart(): number {
    return this.f64[this.half + FILE_START / 2]!;
  }
  get fileEnd(): number {
    return this.f64[this.half + FILE_END / 2]!;
  }
  get generation(): number {
    return Atomics.load(this.c, this.at + GENERATION);
  }
  /** How far back a replica can be, bytes. */
  get reachBytes(): number {
    return Math.max(this.backlogBytes, this.fileBytes);
  }
  get floor(): number {
    return this.f64[this.half + FLOOR / 2]!;
  }
  get backlogBytes(): number {
    return this.f64[this.half + BACKLOG / 2]!;
  }
  set backlogBytes(bytes: number) {
    this.f64[this.half + BACKLOG / 2] = Math.min(bytes, BACKLOG_MAX);
  }

  /** True when a replica that has everything before `offset` can be sent the rest from the backlog. */
  isInBacklog(offset: number): boolean {
    return this.isOn && offset >= this.start && offset <= this.end;
  }
  /** True when the bytes from `offset` on are there, and stay while appenders write no more than a margin (STREAM-4). */
  holds(offset: number): boolean {
    return offset >= this.floor && this.end - offset <= CAPACITY - MARGIN;
  }

  /** True when the file has the bytes from `offset` on; those behind `fileEnd` are in the ring. */
  isInFile(offset: number): boolean {
    return this.fileBytes > 0 && offset >= this.fileStart && offset < this.fileEnd && this.fileEnd >= this.floor;
  }
  /** True when the bytes from `offset` on are somewhere. */
  keeps(offset: number): boolean {
    return this.holds(offset) || this.isInFile(offset);
  }

  /**
   * The file has `bytes` bytes (0 = there is none any more), and of the stream [start, end). Returns false, and notes nothing, when the
   * stream has begun anew since `generation`.
   */
  noteFile(generation: number, bytes: number, start: number, end: number): boolean {
    lock(this.c, this.lockAt);
    const isPresent = generation === this.generation;
    if (isPresent) {
      this.f64[this.half + FILE_START / 2] = start; // STREAM-5
      this.f64[this.half + FILE_END / 2] = end;
      this.f64[this.half + FILE_BYTES / 2] = bytes;
    }
    unlock(this.c, this.lockAt);
    return isPresent;
  }

  // ---- begin and end ----

  /** Begins the stream at `offset`, with an empty backlog. `takesEffects`: this server is a primary. */
  begin(offset: number, takesEffects: boolean): void {
    lock(this.c, this.lockAt);
    this.f64[this.half + END / 2] = offset;
    this.f64[this.half + FLOOR / 2] = offset;
    this.f64[this.half + FILE_START / 2] = offset;
    this.f64[this.half + FILE_END / 2] = offset;
    Atomics.add(this.c, this.at + GENERATION, 1);
    this.c[this.at + DATABASE] = -1;
    Atomics.store(this.c, this.at + EFFECTS, takesEffects ? 1 : 0);
    Atomics.store(this.c, this.at + ON, 1);
    unlock(this.c, this.lockAt);
  }
  /** Ends the stream: there is no backlog any more. The offset stays. */
  stop(): void {
    lock(this.c, this.lockAt);
    Atomics.store(this.c, this.at + EFFECTS, 0);
    Atomics.store(this.c, this.at + ON, 0);
    unlock(this.c, this.lockAt);
    this.give(this.floor, this.end);
  }
  /** The role has changed. The stream and its offsets continue. */
  setTakesEffects(takes: boolean): void {
    lock(this.c, this.lockAt);
    this.c[this.at + DATABASE] = -1;
    Atomics.store(this.c, this.at + EFFECTS, takes && this.isOn ? 1 : 0);
    unlock(this.c, this.lockAt);
  }
  /** Sets the offset while the stream is off. */
  setOffset(offset: number): void {
    assert(!this.isOn, "the offset of a running stream is that of its bytes");
    this.f64[this.half + END / 2] = offset;
    this.f64[this.half + FLOOR / 2] = offset;
  }
  /** A replica begins at the end: the next command is preceded by SELECT (STREAM-3). Returns the offset. */
  forceSelect(): number {
    lock(this.c, this.lockAt);
    this.c[this.at + DATABASE] = -1;
    const { end } = this;
    unlock(this.c, this.lockAt);
    return end;
  }

  // ---- appending ----

  /**
   * Appends a unit of effects: `bytes` from `from` to `to`, complete commands that begin in database `first` and end in
   * `last`. The caller holds the shard locks of what they changed. Returns the offset behind them.
   */
  append(bytes: Uint8Array, from: number, to: number, first: number, last: number): number {
    const { c } = this;
    lock(c, this.lockAt);
    let end = this.end;
    if (this.takesEffects) {
      if (c[this.at + DATABASE] !== first) end = this.writeSelect(end, first); // STREAM-3
      end = this.write(end, bytes, from, to);
      c[this.at + DATABASE] = last;
      this.publish(end);
    }
    unlock(c, this.lockAt);
    return end;
  }

  /** Appends a command that runs in no database: PING, REPLCONF GETACK, PUBLISH. Returns the offset behind it. */
  appendOwn(bytes: Uint8Array): number {
    lock(this.c, this.lockAt);
    let end = this.end;
    if (this.takesEffects) {
      end = this.write(end, bytes, 0, bytes.length);
      this.publish(end);
    }
    unlock(this.c, this.lockAt);
    return end;
  }

  /** Appends bytes of the primary's stream: a whole unit, which this server, a replica, has applied. */
  appendVerbatim(bytes: Uint8Array, from: number, to: number): number {
    lock(this.c, this.lockAt);
    assert(!this.takesEffects, "the stream of a replica has the bytes of its primary alone");
    const end = this.write(this.end, bytes, from, to);
    this.publish(end);
    unlock(this.c, this.lockAt);
    return end;
  }

  private publish(end: number): void {
    this.f64[this.half + END / 2] = end; // STREAM-2
    if (end - this.floor > CAPACITY) this.f64[this.half + FLOOR / 2] = end - CAPACITY;
  }

  private writeSelect(end: number, db: number): number {
    return this.write(end, this.select, 0, writeSelectCommand(this.select, db));
  }

  private write(end: number, bytes: Uint8Array, from: number, to: number): number {
    for (let at = from; at < to; ) {
      const offset = end & MASK;
      const part = Math.min(to - at, CAPACITY - offset);
      copy(bytes, at, this.ring, offset, part);
      at += part;
      end += part;
    }
    return end;
  }

  // ---- reading ----

  /** The bytes from `offset` on that lie together in the ring, up to `end`. */
  view(offset: number, end: number): Buffer {
    const at = offset & MASK;
    return this.ring.subarray(at, at + Math.min(end - offset, CAPACITY - at));
  }

  /**
   * Returns memory to the system that neither the backlog nor a reader needs: what is before `needed`, the lowest offset of
   * all readers, or what is in the file. One thread at a time calls this.
   */
  trim(needed: number): void {
    const { floor } = this;
    const kept = this.fileBytes > 0 ? this.fileEnd : needed;
    const to = Math.floor(Math.min(kept, this.memoryStart) / STEP) * STEP;
    if (to <= floor || !this.isOn) return;
    lock(this.c, this.lockAt);
    if (this.floor < to) this.f64[this.half + FLOOR / 2] = to;
    unlock(this.c, this.lockAt);
    this.give(floor, to);
  }

  /** Gives back the whole steps of [from, to), as far as appenders are not near them again. */
  private give(from: number, to: number): void {
    for (let at = Math.floor(from / STEP) * STEP; at + STEP <= to; at += STEP)
      if (this.end < at + CAPACITY - MARGIN) releasePages(this.ring, at & MASK, STEP);
  }
}
