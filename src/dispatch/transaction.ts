/**
 * Transaction: the commands of a client between MULTI and EXEC. Their arguments are copied out of the query buffer, one
 * behind the other; long arguments that were staged are taken over.
 *
 *   bytes     │ arguments of command 0, with what lies between them │ of command 1 │ ... │ free
 *   starts    │ offset of each argument; -1 - n for staged value n of its command │
 *   firstOf   │ number of each command's first argument, and behind the last command the number of all │
 *
 * The keys of the first commands stay as they were hashed when they were queued, each with what was known of its bucket.
 *
 * What EXEC needs before it runs anything is gathered while the commands are queued: the shards of their keys, their flags.
 */
import { copy } from "../base/bytes.ts";
import type { Key } from "../store/key.ts";
import type { StagedValue } from "../store/large.ts";
import type { Store } from "../store/store.ts";
import type { Call } from "./call.ts";
import type { KeyArguments } from "./key-arguments.ts";
import { KeyHint, type Prefetch } from "./prefetch.ts";
import { ALL_SHARDS, type CommandSpec, DENY_OOM, LOCKS_ITSELF, READONLY, WRITE } from "./spec.ts";

const FIRST_BYTES = 1024;
const FIRST_ARGUMENTS = 64;
/** A transaction with a larger buffer is not kept for another client. */
const KEPT_BYTES = 64 << 10;
/** Memory of a queued command beside the bytes of its arguments: rows, offsets and lengths. */
const COMMAND_BYTES = 64;
/** Most commands whose keys are kept, and the memory of each. */
const KEYS_MAX = 16;
const KEY_BYTES = 384;
const NONE: readonly StagedValue[] = [];

export class Transaction {
  bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  used = 0;
  /** Bytes of the staged values. */
  private stagedBytes = 0;
  starts: Int32Array = new Int32Array(FIRST_ARGUMENTS);
  lengths: Int32Array = new Int32Array(FIRST_ARGUMENTS);
  readonly firstOf: number[] = [0];
  readonly specs: CommandSpec[] = [];
  readonly rows: number[] = [];
  readonly staged: (readonly StagedValue[])[] = [];
  /** Keys for the first commands. `keyOf` says for each command whether its own is there. */
  private readonly keys: Key[] = [];
  private readonly hints: KeyHint[] = [];
  private readonly hasKey = new Uint8Array(KEYS_MAX);
  /** Shards and hashes of the keys that the commands declare. */
  readonly shards: number[] = [];
  readonly hashes: number[] = [];
  /** A command needs the locks of all shards. */
  needsAll = false;
  /** A command of several keys may grow the data: it may copy a value of any size. */
  mayCopy = false;
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
    return this.bytes.length + this.count * COMMAND_BYTES + this.keys.length * KEY_BYTES + this.stagedBytes;
  }
  /** Bytes of the arguments, with those of staged values. */
  get argumentBytes(): number {
    return this.used + this.stagedBytes;
  }
  get isReusable(): boolean {
    return this.bytes.length <= KEPT_BYTES;
  }

  /** Queues the command of `call`, whose row is `row`. `key`: its only key, hashed already; null = not known. */
  add(call: Call, row: number, key: Key | null, keyArguments: KeyArguments): void {
    const { spec, argCount } = call;
    if (key !== null) this.addKey(call, key);
    else this.addShards(call, spec, keyArguments);
    const first = this.firstOf[this.count]!;
    // A staged value is the last argument. The others lie one behind the other, so one copy takes them all.
    const copied = call.argAt(argCount - 1) < 0 ? argCount - 2 : argCount - 1;
    const from = call.argAt(0);
    const length = call.argAt(copied) + call.argBytes(copied) - from;
    this.makeRoom(length, first + argCount);
    const { bytes, starts, lengths, used } = this;
    copy(call.bytes, from, bytes, used, length);
    this.used += length;
    for (let i = 0; i < argCount; i++) {
      const at = call.argAt(i);
      lengths[first + i] = call.argBytes(i);
      starts[first + i] = at < 0 ? at : used + at - from;
    }
    this.specs.push(spec);
    this.rows.push(row);
    this.firstOf.push(first + argCount);
    this.staged.push(call.staged.length === 0 ? NONE : call.staged.map((value) => this.takeOver(value)));
    if (key === null && (spec.flags & DENY_OOM) !== 0) this.mayCopy = true;
    this.flags |= spec.flags;
    this.lacks |= ~spec.flags;
  }

  /** Keeps the key of the command that is added next, which is command `i` of the batch. */
  keepKey(prefetch: Prefetch, i: number, store: Store): void {
    const n = this.count;
    if (n >= KEYS_MAX) return;
    while (this.keys.length <= n) {
      this.keys.push(store.newKey());
      this.hints.push(new KeyHint());
    }
    const key = prefetch.takeKey(i, this.keys[n]!, this.hints[n]!);
    if (key === null) return;
    this.keys[n] = key;
    this.hasKey[n] = 1;
  }
  /** The hashed key of command `n`, null = it was not kept. */
  keyAt(n: number): Key | null {
    return this.hasKey[n] === 1 ? this.keys[n]! : null;
  }
  hintAt(n: number): KeyHint {
    return this.hints[n]!;
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
      this.addKey(call, key);
    }
  }

  private addKey({ store }: Call, { hashA, hashB }: Key): void {
    this.shards.push(store.shardOf(hashA).number);
    this.hashes.push(hashB);
  }

  /** Empties the transaction, for another one. */
  clear(nowSeconds: number): void {
    if (this.stagedBytes > 0) for (const values of this.staged) for (const value of values) value.discard(nowSeconds);
    this.used = this.stagedBytes = 0;
    this.hasKey.fill(0);
    this.firstOf.length = 1;
    this.specs.length = this.rows.length = this.staged.length = this.shards.length = this.hashes.length = 0;
    this.needsAll = this.mayCopy = this.isFlagged = false;
    this.flags = this.lacks = 0;
  }
}

function widened(words: Int32Array, size: number): Int32Array {
  const wider = new Int32Array(size);
  wider.set(words);
  return wider;
}
