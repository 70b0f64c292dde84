/**
 * Transaction: the commands of a client between MULTI and EXEC. While the batch lasts that they came in, their arguments stay where
 * they are: a client that sends MULTI to EXEC in one pipeline has nothing copied. What is left at the end of the batch is
 * copied out of the query buffer, one command behind the other; long arguments that were staged are taken over at once.
 *
 *   bytes     │ arguments of command 0, with what lies between them │ of command 1 │ ... │ free
 *   starts    │ offset of each argument; -1 - n for staged value n of its command │
 *   entries   │ row, number of its first argument, number of its arguments, its place in the batch │ one for each command
 *
 * What EXEC needs before it runs anything is gathered while the commands are queued: the shards of their keys, their flags.
 *
 * Invariants
 *   QUEUED-1  a command with a place has its arguments in the tables and bytes of `batch`, and the prefetch has its key. `keep` ends
 *             that before the batch ends
 */
import { copy } from "../base/bytes.ts";
import type { Key } from "../store/key.ts";
import type { StagedValue } from "../store/large.ts";
import type { Store } from "../store/store.ts";
import { type Call, noArguments, releaseArguments } from "./call.ts";
import type { KeyArguments } from "./key-arguments.ts";
import { ALL_SHARDS, type CommandSpec, DENY_OOM, LOCKS_ITSELF, READONLY, WRITE } from "./spec.ts";

const FIRST_BYTES = 1024;
const FIRST_ARGUMENTS = 64;
const FIRST_COMMANDS = 16;
/** A transaction with a larger buffer is not kept for another client. */
const KEPT_BYTES = 64 << 10;
/** Memory of a queued command beside the bytes of its arguments: rows, offsets and lengths. */
const COMMAND_BYTES = 64;
const NONE: readonly StagedValue[] = [];

// Words of an entry.
const ROW = 0;
const FIRST = 1;
const COUNT = 2;
const PLACE = 3;
const ENTRY_SHIFT = 2;
/** The command's arguments were copied. */
export const NO_PLACE = -1;

export class Transaction {
  private bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  /** Bytes and arguments copied. */
  private used = 0;
  private copied = 0;
  /** Bytes of the arguments of all commands, without staged values. */
  plainBytes = 0;
  /** Bytes of the staged values. */
  private stagedBytes = 0;
  private starts: Int32Array = new Int32Array(FIRST_ARGUMENTS);
  private lengths: Int32Array = new Int32Array(FIRST_ARGUMENTS);
  private entries: Int32Array = new Int32Array(FIRST_COMMANDS << ENTRY_SHIFT);
  readonly specs: CommandSpec[] = [];
  readonly staged: (readonly StagedValue[])[] = [];
  /** The tables of the batch. Commands from `firstInBatch` on may have a place in it (QUEUED-1). */
  private readonly batch = noArguments();
  private firstInBatch = 0;
  /** Some command has a place in the batch. */
  isInBatch = false;
  /** Shards and hashes of the keys that the commands declare; and a bit for each of these shards. */
  readonly shards: number[] = [];
  readonly hashes: number[] = [];
  readonly shardBits: Int32Array;
  /** A command needs the locks of all shards. */
  needsAll = false;
  /** A command of several keys may grow the data: it may copy a value of any size. */
  mayCopy = false;
  /** Flags that some command has, and flags that some command lacks. */
  flags = 0;
  lacks = 0;
  /** A command was refused when it was queued: EXEC refuses the transaction. */
  isFlagged = false;

  constructor(private readonly store: Store) {
    this.shardBits = new Int32Array((store.shardCount + 31) >>> 5);
  }

  /** Number of queued commands. */
  get count(): number {
    return this.specs.length;
  }
  get heldBytes(): number {
    return this.bytes.length + this.count * COMMAND_BYTES + this.stagedBytes;
  }
  /** Bytes of the arguments, with those of staged values. */
  get argumentBytes(): number {
    return this.plainBytes + this.stagedBytes;
  }
  get isReusable(): boolean {
    return this.bytes.length <= KEPT_BYTES;
  }
  rowAt(n: number): number {
    return this.entries[(n << ENTRY_SHIFT) + ROW]!;
  }
  /** Place of command `n` in the batch at work, NO_PLACE = it came in an earlier one. */
  placeAt(n: number): number {
    return this.entries[(n << ENTRY_SHIFT) + PLACE]!;
  }

  /** Queues the command of `call`, whose row is `row` and which has `place` in the batch. `key`: its only key, hashed already; null = not known. */
  add(call: Call, row: number, place: number, key: Key | null, keyArguments: KeyArguments): void {
    const { spec, argCount } = call;
    if (key !== null) this.addKey(key);
    else this.addShards(call, spec, keyArguments);
    const n = this.specs.length;
    const w = n << ENTRY_SHIFT;
    if (w === this.entries.length) this.entries = widened(this.entries, w * 2);
    const { entries } = this;
    entries[w + ROW] = row;
    entries[w + COUNT] = argCount;
    this.specs.push(spec);
    if (call.staged.length === 0) {
      entries[w + FIRST] = call.first;
      entries[w + PLACE] = place;
      if (!this.isInBatch) this.beginBatch(call, n);
      this.plainBytes += call.argAt(argCount - 1) + call.argBytes(argCount - 1) - call.argAt(0);
      this.staged.push(NONE);
    } else {
      this.plainBytes += this.copy(n, call);
      this.staged.push(call.staged.map((value) => this.takeOver(value)));
    }
    if (key === null && (spec.flags & DENY_OOM) !== 0) this.mayCopy = true;
    this.flags |= spec.flags;
    this.lacks |= ~spec.flags;
  }

  private beginBatch(call: Call, n: number): void {
    this.isInBatch = true;
    this.firstInBatch = n;
    call.noteArguments(this.batch);
  }

  /** Points the call at the arguments of command `n`. */
  open(call: Call, n: number): void {
    const { entries, batch } = this;
    const w = n << ENTRY_SHIFT;
    const first = entries[w + FIRST]!;
    const count = entries[w + COUNT]!;
    if (entries[w + PLACE]! >= 0) call.setArguments(batch.bytes, batch.starts, batch.lengths, first, count);
    else call.setArguments(this.bytes, this.starts, this.lengths, first, count);
  }

  /** The batch ends: copies what lies in it (QUEUED-1). */
  keep(call: Call): void {
    for (let n = this.firstInBatch; n < this.count; n++) {
      if (this.placeAt(n) < 0) continue;
      this.open(call, n);
      this.copy(n, call);
    }
    this.endBatch();
  }
  private endBatch(): void {
    this.isInBatch = false;
    releaseArguments(this.batch);
  }

  /** Copies the arguments of command `n`, which are in the call. Returns their bytes. */
  private copy(n: number, call: Call): number {
    const { argCount } = call;
    const w = n << ENTRY_SHIFT;
    const first = this.copied;
    // A staged value is the last argument. The others lie one behind the other, so one copy takes them all.
    const last = call.argAt(argCount - 1) < 0 ? argCount - 2 : argCount - 1;
    const from = call.argAt(0);
    const length = call.argAt(last) + call.argBytes(last) - from;
    this.makeRoom(length, first + argCount);
    const { bytes, starts, lengths, used } = this;
    copy(call.bytes, from, bytes, used, length);
    for (let i = 0; i < argCount; i++) {
      const at = call.argAt(i);
      lengths[first + i] = call.argBytes(i);
      starts[first + i] = at < 0 ? at : used + at - from;
    }
    this.used += length;
    this.copied += argCount;
    this.entries[w + FIRST] = first;
    this.entries[w + PLACE] = NO_PLACE;
    return length;
  }

  private takeOver(value: StagedValue): StagedValue {
    this.stagedBytes += value.total;
    return value.move();
  }

  private makeRoom(length: number, argumentCount: number): void {
    const wanted = this.used + length;
    if (wanted > this.bytes.length) {
      const wider = Buffer.allocUnsafeSlow(Math.max(wanted, this.bytes.length * 2));
      this.bytes.copy(wider, 0, 0, this.used);
      this.bytes = wider;
    }
    if (argumentCount <= this.starts.length) return;
    const size = Math.max(argumentCount, this.starts.length * 2);
    this.starts = widened(this.starts, size);
    this.lengths = widened(this.lengths, size);
  }

  /** A command without declared keys that reads or writes data looks at all shards: SCAN, DBSIZE, FLUSHALL. */
  private addShards(call: Call, spec: CommandSpec, keyArguments: KeyArguments): void {
    const hasKeys = spec.keys.first !== 0 || spec.places !== undefined;
    if ((spec.flags & (ALL_SHARDS | LOCKS_ITSELF)) !== 0 || (!hasKeys && (spec.flags & (WRITE | READONLY)) !== 0))
      this.needsAll = true;
    if (!hasKeys) return;
    const { key } = call;
    keyArguments.find(call, spec, 0, call.argCount);
    for (let n = 0; n < keyArguments.count; n++) {
      const i = keyArguments.at[n]!;
      // The command itself will reply that the key is too long.
      if (call.argAt(i) < 0 || !key.load(call.bytes, call.argAt(i), call.argBytes(i))) continue;
      this.addKey(key);
    }
  }

  private addKey({ hashA, hashB }: Key): void {
    const { number } = this.store.shardOf(hashA);
    this.shards.push(number);
    this.hashes.push(hashB);
    this.shardBits[number >>> 5]! |= 1 << number;
  }

  /** Empties the transaction, for another one. */
  clear(nowSeconds: number): void {
    if (this.stagedBytes > 0) for (const values of this.staged) for (const value of values) value.discard(nowSeconds);
    if (this.isInBatch) this.endBatch();
    this.used = this.copied = this.plainBytes = this.stagedBytes = 0;
    this.specs.length = this.staged.length = this.shards.length = this.hashes.length = 0;
    this.shardBits.fill(0);
    this.needsAll = this.mayCopy = this.isFlagged = false;
    this.flags = this.lacks = 0;
  }
}

function widened(words: Int32Array, size: number): Int32Array {
  const wider = new Int32Array(size);
  wider.set(words);
  return wider;
}
