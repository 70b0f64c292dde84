/**
 * TIER SAMPLE: how long ago, or how often, keys were used, and their bytes; no names. `ferrite tier advise` makes of it what hit
 * ratio each size of memory would give, so it works without a disk tier too.
 *
 * The walk is that of SCAN (keys/scan.ts), by the hashes of keys, so the first keys of it are a random sample of all.
 */
import { Int64Kind } from "../../base/integers.ts";
import { token } from "../../base/bytes.ts";
import type { Address } from "../../store/address.ts";
import { coldBytes } from "../../store/cold.ts";
import { keyCount } from "../../store/keyspace.ts";
import {
  accessClock,
  accessWord,
  capacityUnits,
  deadline,
  Encoding,
  isCold,
  keyAt,
  keyBytes,
  recordEncoding,
  recordFlags,
  unitsFor,
  valueBytes,
} from "../../store/record.ts";
import type { Shard } from "../../store/shard.ts";
import type { Call } from "../../dispatch/call.ts";
import { type Outcome, Retry } from "../../dispatch/spec.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { readCursor } from "../keys/scan.ts";
import { memoryBytes } from "../server/memory.ts";

const COUNT = token("count");
const COUNT_DEFAULT = 100;
/** Keys of a call: it takes less than a millisecond. */
const COUNT_MAX = 1000;
/** Buckets read for each key, at most: it bounds the work in nearly empty tables. */
const BUCKETS_PER_KEY = 10;
const POSITIONS = 2 ** 32;
const UNIT_BYTES = 8;
const SLOT_BYTES = 8;

const chain = { addresses: new Int32Array(64) };
/** What was found: three numbers a key. One per thread. */
const found = new Float64Array((COUNT_MAX + 64) * 3);
let count = 0;
const quota = { keys: 0, buckets: 0 };

/**
 * TIER SAMPLE cursor [COUNT count]. Replies: the next cursor, 0 at the end; "idle" or "freq", by the eviction policy; and three
 * integers a key: seconds since its last access, or its counter of accesses; bytes of memory with the value in memory; bytes
 * of memory with the value on disk.
 */
export function sample(call: Call, reply: Reply): Outcome | void {
  const cursor = readCursor(call, 2);
  if (Number.isNaN(cursor)) return reply.error(ErrorText.invalidCursor);
  let wanted = COUNT_DEFAULT;
  if (call.argCount > 3) {
    if (call.argCount !== 5 || !call.argIs(3, COUNT)) return reply.error(ErrorText.syntax);
    if (call.argInt64(4) === Int64Kind.None) return reply.error(ErrorText.notInteger);
    wanted = call.argInteger(4);
    if (!(wanted >= 1)) return reply.error(ErrorText.syntax);
  }
  count = 0;
  quota.keys = Math.min(wanted, COUNT_MAX);
  quota.buckets = quota.keys * BUCKETS_PER_KEY;
  const next = walk(call, cursor);
  if (next < 0) return Retry;
  reply.array(3);
  reply.text(String(next));
  reply.text(call.store.access.countsFrequency ? "freq" : "idle");
  reply.array(count * 3);
  for (let i = 0; i < count * 3; i++) reply.integer(found[i]!);
}

/** Returns the next cursor, 0 at the end, or -1 with nothing found when the first shard was not free. */
function walk(call: Call, cursor: number): number {
  const { store } = call;
  let number = Math.floor(cursor / POSITIONS);
  let position = cursor % POSITIONS;
  for (let isFirst = true; number < store.shardCount; number++, position = 0, isFirst = false) {
    const shard = store.shards[number]!;
    const looks = (): void => {
      position = lookAt(call, shard, position);
    };
    if (!store.section.within(shard, looks)) {
      if (isFirst) return -1;
      break;
    }
    if (position < POSITIONS) break;
  }
  return number < store.shardCount ? number * POSITIONS + position : 0;
}

function lookAt(call: Call, shard: Shard, from: number): number {
  const { store } = call;
  const keyspace = call.keyspaces.of(call.session.db);
  const ks = shard.keyspace(keyspace);
  for (let position = from; position < POSITIONS; ) {
    if (keyCount(shard.c, ks) === 0) return POSITIONS;
    if (quota.keys <= 0 || quota.buckets <= 0) return position;
    const records = store.index.collect(shard, ks, store.index.bucketAtPosition(ks, position), chain);
    position = store.index.nextPosition;
    quota.buckets--;
    quota.keys -= records;
    for (let i = 0; i < records; i++) note(call, shard, keyspace, chain.addresses[i]! as Address);
  }
  return POSITIONS;
}

/** Notes the key whose record is at `address`. */
function note(call: Call, shard: Shard, keyspace: number, address: Address): void {
  const { store, key } = call;
  const w = store.segments.locate(shard, address);
  const { m } = store.segments;
  const due = deadline(m, w);
  if ((due !== 0 && due <= store.nowMs) || count * 3 >= found.length) return;
  const { access } = store;
  const inMemory = capacityUnits(m, w) * UNIT_BYTES + SLOT_BYTES;
  found[count * 3] = access.countsFrequency
    ? access.frequencyOf(accessWord(m, w))
    : access.idleSecondsOf(accessClock(m, w));
  if (isCold(m, w)) {
    found[count * 3 + 1] = inMemory + coldBytes(m, w);
    found[count * 3 + 2] = inMemory;
  } else {
    key.loadWords(m, keyAt(m, w), keyBytes(m, w));
    const coldRecord = unitsFor(recordFlags(m, w), Encoding.Cold, key.bytes, 0) * UNIT_BYTES + SLOT_BYTES;
    store.selectRecord(keyspace, key, address);
    const bytes = memoryBytes(call);
    const goes = mayGo(call, shard, m, w, bytes);
    found[count * 3 + 1] = bytes;
    found[count * 3 + 2] = goes ? Math.min(bytes, coldRecord) : bytes;
  }
  count++;
}

/** True when the value of the record, which takes `bytes` of memory, may go to disk: as the disk tier says, or would. */
function mayGo(call: Call, shard: Shard, m: Int32Array, w: number, bytes: number): boolean {
  const { tier } = call.cold;
  if (tier !== null) return tier.spiller.mayTake(shard, m, w);
  const { config } = call;
  const encoding = recordEncoding(m, w);
  if (encoding === Encoding.Int) return false;
  if (encoding === Encoding.Raw) return valueBytes(m, w) >= config.number("storage.tier_min_value_size");
  return bytes <= config.number("storage.tier_max_value_size");
}
