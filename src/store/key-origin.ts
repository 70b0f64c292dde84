/**
 * Key origin: what a changed key was before its command, for the notifications "new", "overwritten" and "type_changed". The
 * store notes it only while somebody wants to be told of them.
 *
 * Invariant
 *   ORIGIN-1  an origin belongs to the record at `address` of `shard`, and follows it when it moves
 */
import { type Address, NO_ADDRESS } from "./address.ts";
import type { Key } from "./key.ts";
import type { RecordType } from "./record.ts";
import type { Shard } from "./shard.ts";

/** There was no such key; the origin is not known: the key was there, with a value of the same type. */
export const WAS_ABSENT = -1;
export const UNKNOWN = -2;

export class KeyOrigin {
  /** True while origins are noted. */
  isNoted = false;
  private shard: Shard | null = null;
  private address: Address = NO_ADDRESS;
  private was: RecordType | typeof WAS_ABSENT | typeof UNKNOWN = UNKNOWN;
  /** A key that was removed to be replaced: its place, and the type of its value. */
  private removedShard: Shard | null = null;
  private removedHash = 0;
  private removedKeyspace = 0;
  private removedType: RecordType = 0 as RecordType;

  /** The key that the record at `address` belongs to was not there. */
  noteInsert(shard: Shard, keyspace: number, key: Key, address: Address): void {
    const isReplacement =
      this.removedShard === shard && this.removedHash === key.hashB && this.removedKeyspace === keyspace;
    this.removedShard = null;
    this.set(shard, address, isReplacement ? this.removedType : WAS_ABSENT);
  }

  /** The value of type `type` at `old` gives way to the one at `address`, which may be the same place. */
  noteReplacement(shard: Shard, old: Address, address: Address, type: RecordType): void {
    this.set(shard, address, this.isOf(shard, old) ? this.was : type);
  }

  /** The key is removed without an event: another value takes its place. */
  noteRemoval(shard: Shard, keyspace: number, key: Key, type: RecordType): void {
    this.removedShard = shard;
    this.removedHash = key.hashB;
    this.removedKeyspace = keyspace;
    this.removedType = type;
  }

  private set(shard: Shard, address: Address, was: RecordType | typeof WAS_ABSENT | typeof UNKNOWN): void {
    this.shard = shard;
    this.address = address;
    this.was = was;
  }

  private isOf(shard: Shard, address: Address): boolean {
    return this.was !== UNKNOWN && this.address === address && this.shard === shard;
  }

  /** What the key of the record at `address` was before the command. Afterwards the key counts as known to be there. */
  take(shard: Shard, address: Address): RecordType | typeof WAS_ABSENT | typeof UNKNOWN {
    if (!this.isOf(shard, address)) return UNKNOWN;
    const { was } = this;
    this.was = UNKNOWN;
    return was;
  }
}
