/**
 * Transaction: the commands of a client between MULTI and EXEC. Their arguments are copied out of the query buffer, one
 * behind the other; long arguments that were staged are taken over.
 *
 *   bytes     │ arguments of command 0 │ of command 1 │ ... │ free
 *   starts    │ offset of each argument; -1 - n for staged value n of its command │
 *   firstOf   │ number of each command's first argument, and behind the last command the number of all │
 *
 * What EXEC needs before it runs anything is gathered while the commands are queued: the shards of their keys, their flags.
 */
import type { StagedValue } from "../store/large.ts";
import type { Call } from "./call.ts";
import type { KeyArguments } from "./key-arguments.ts";
import { ALL_SHARDS, type CommandSpec, READONLY, WRITE } from "./spec.ts";

const FIRST_BYTES = 1024;
const FIRST_ARGUMENTS = 64;
/** A transaction with a larger buffer is not kept for another client. */
const KEPT_BYTES = 64 << 10;
/** Memory of a queued command beside the bytes of its arguments: rows, offsets and lengths. */
const COMMAND_BYTES = 64;
const NONE: readonly StagedValue[] = [];

export class Transaction {
  bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  used = 0;
  starts: Int32Array = new Int32Array(FIRST_ARGUMENTS);
  lengths: Int32Array = new Int32Array(FIRST_ARGUMENTS);
  readonly firstOf: number[] = [0];
  readonly specs: CommandSpec[] = [];
  readonly rows: number[] = [];
  readonly staged: (readonly StagedValue[])[] = [];
  /** Shards and hashes of the keys that the commands declare. */
  readonly shards: number[] = [];
  readonly hashes: number[] = [];
  /** A command needs the locks of all shards. */
  needsAll = false;
  /** Flags that some command has, and flags that some command lacks. */
  flags = 0;
  lacks = 0;
  /** A command was refused when it was queued: EXEC refuses the transaction. */
  isFlagged = false;

  /** Number of queued commands. */
  get count(): number {
    return this.specs.length;
  }
  get heldBytes(): number {
    let held = this.bytes.length + this.count * COMMAND_BYTES;
    for (const values of this.staged) for (const value of values) held += value.heldBytes;
    return held;
  }
  /** Bytes of the arguments, with those of staged values. */
  get argumentBytes(): number {
    let bytes = this.used;
    for (const values of this.staged) for (const value of values) bytes += value.total;
    return bytes;
  }
  get isReusable(): boolean {
    return this.bytes.length <= KEPT_BYTES;
  }

  /** Queues the command of `call`, whose row is `row`. */
  add(call: Call, row: number, keyArguments: KeyArguments): void {
    const { spec, argCount } = call;
    this.addShards(call, spec, keyArguments);
    const first = this.firstOf[this.count]!;
    this.makeRoom(call, first + argCount);
    const { bytes, starts, lengths } = this;
    for (let i = 0; i < argCount; i++) {
      const at = call.argAt(i);
      const length = call.argBytes(i);
      lengths[first + i] = length;
      starts[first + i] = at < 0 ? at : this.used;
      if (at < 0) continue;
      call.bytes.copy(bytes, this.used, at, at + length);
      this.used += length;
    }
    this.specs.push(spec);
    this.rows.push(row);
    this.firstOf.push(first + argCount);
    this.staged.push(call.staged.length === 0 ? NONE : call.staged.map((value) => value.move()));
    this.flags |= spec.flags;
    this.lacks |= ~spec.flags;
  }

  private makeRoom(call: Call, argumentCount: number): void {
    let wanted = this.used;
    for (let i = 0; i < call.argCount; i++) if (call.argAt(i) >= 0) wanted += call.argBytes(i);
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
    if ((spec.flags & ALL_SHARDS) !== 0 || (!hasKeys && (spec.flags & (WRITE | READONLY)) !== 0)) this.needsAll = true;
    if (!hasKeys) return;
    const { key, store } = call;
    keyArguments.find(call, spec, 0, call.argCount);
    for (let n = 0; n < keyArguments.count; n++) {
      const i = keyArguments.at[n]!;
      // The command itself will reply that the key is too long.
      if (call.argAt(i) < 0 || !key.load(call.bytes, call.argAt(i), call.argBytes(i))) continue;
      this.shards.push(store.shardOf(key.hashA).number);
      this.hashes.push(key.hashB);
    }
  }

  /** Empties the transaction, for another one. */
  clear(nowSeconds: number): void {
    for (const values of this.staged) for (const value of values) value.discard(nowSeconds);
    this.used = 0;
    this.firstOf.length = 1;
    for (const list of [this.specs, this.rows, this.staged, this.shards, this.hashes]) list.length = 0;
    this.needsAll = this.isFlagged = false;
    this.flags = this.lacks = 0;
  }
}

function widened(words: Int32Array, size: number): Int32Array {
  const wider = new Int32Array(size);
  wider.set(words);
  return wider;
}
