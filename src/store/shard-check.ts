/**
 * Shard check: walks one shard and asserts every invariant that its structures document. Tests call it after each step,
 * DEBUG CHECK and servers under FERRITE_CHECKS=1 for all shards. The caller holds the lock; its selection is lost.
 */
import type { Address } from "./address.ts";
import { bucketCount, bucketOf, expiresCount } from "./keyspace.ts";
import {
  RecordType,
  PARITY,
  deadline,
  filedIn,
  hasDeadlineWords,
  isCold,
  isDead,
  keyAt,
  keyBytes,
  recordFlags,
  recordType,
} from "./record.ts";
import type { Shard } from "./shard.ts";
import { assert } from "../base/assert.ts";
import { coldFile } from "./cold.ts";
import type { Key } from "./key.ts";
import type { Store } from "./store.ts";

/** Asserts every invariant of `shard`. Returns the number of keys in it. */
export function checkShard(store: Store, shard: Shard): number {
  store.log.check(shard);
  store.heap.check(shard);
  store.wheel.check(shard);
  const nothingWaits = shard.retiredHead === 0 && shard.retiredValues === 0 && shard.retiredBlocksHead === 0;
  assert(nothingWaits ? shard.retiredUnits === 0 : shard.retiredUnits > 0, "the bytes of what is retired add up");
  let keys = 0;
  for (let keyspace = 0; keyspace < store.keyspaceCount; keyspace++) {
    const found = store.index.check(shard, keyspace);
    keys += found;
    if (found > 0) checkKeyspace(store, shard, keyspace);
  }
  return keys;
}

function checkKeyspace(store: Store, shard: Shard, keyspace: number): void {
  const { index } = store;
  const ks = shard.keyspace(keyspace);
  const chain = { addresses: new Int32Array(64) };
  const key = store.newKey();
  let expires = 0;
  for (let bucket = 0; bucket < bucketCount(shard.c, ks); bucket++) {
    const count = index.collect(shard, ks, bucket, chain);
    for (let i = 0; i < count; i++) {
      const address = chain.addresses[i]! as Address;
      const w = store.segments.locate(shard, address);
      const { m } = store.segments;
      assert(!isDead(m, w), "an entry points at a live record");
      const isSettled = shard.isInSnapshot || (recordFlags(m, w) & PARITY) === shard.parity;
      assert(isSettled, "without a snapshot a record has its shard's parity (SNAPSHOT-2)");
      key.loadWords(m, keyAt(m, w), keyBytes(m, w));
      assert(store.shardOf(key.hashA) === shard, "a key lies in its shard");
      assert(bucketOf(shard.c, ks, key.hashB) === bucket, "a key lies in its bucket");
      store.selectRecord(keyspace, key, address);
      // What a segment file has is checked when it is read.
      if (isCold(m, w)) assert(store.cold.files.isOpen(coldFile(m, w)), "a cold value is in a file that is there");
      else if (recordType(m, w) !== RecordType.String && store.openCollection !== null) checkCollection(store, key);
      if (deadline(m, w) === 0) continue;
      expires++;
      // Without room for an entry when it was set, there is none.
      if (filedIn(m, w) !== 0) assert(hasEntry(store, key), "a deadline has its timer entry (WHEEL-1)");
    }
  }
  assert(expires === expiresCount(shard.c, ks), "the count of deadlines agrees");
}

function checkCollection(store: Store, key: Key): void {
  const opened = store.openCollection!();
  opened.check();
  const { m, w } = store.cursor;
  if (opened.earliest === Infinity || !hasDeadlineWords(m, w) || filedIn(m, w) === 0) return;
  assert(hasEntry(store, key), "members with deadlines have their timer entry (WHEEL-1)");
}

/** True when the record selected has an entry in the bucket it names. */
function hasEntry(store: Store, key: Key): boolean {
  const { shard, keyspace, m, w } = store.cursor;
  return store.wheel.hasTimer(shard, keyspace, key.hashB, filedIn(m, w));
}
