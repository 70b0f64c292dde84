/**
 * DEBUG DIGEST and DIGEST-VALUE: a sum of 160 bits over the data, equal to Redis's for the same data, whatever the order of
 * keys.
 *
 *   sum    ^= SHA1(bytes)                          add: order does not count
 *   sum     = SHA1(sum ^ SHA1(bytes))              mix: order counts
 *   value   mix type number; mix the string; mix each element (list), add each member (set), add each pair's mix (hash,
 *           sorted set), mix id and fields of each entry (stream); add "!!expire!!" when it has a deadline
 *   key     0, mix name, then as value
 *   all     for each database with keys: mix its number, then add each key's sum
 *
 * Source: behaviour of redis-server 7.0.15. Numbers are 32 bits, big-endian.
 */
import { type Address, NO_ADDRESS } from "../../store/address.ts";
import { bucketCount, keyCount } from "../../store/keyspace.ts";
import { RecordType, deadline, keyAt, keyBytes } from "../../store/record.ts";
import type { KeyspaceRef, Shard } from "../../store/shard.ts";
import { DOUBLE_TEXT_BYTES_MAX, formatDouble17 } from "../../base/double-text.ts";
import type { Collection } from "../../store/collection.ts";
import type { HashValue } from "../../store/hash-value.ts";
import type { ListValue } from "../../store/list-value.ts";
import type { Member } from "../../store/members.ts";
import type { SetValue } from "../../store/set-value.ts";
import type { SortedSetValue } from "../../store/sorted-set-value.ts";
import { ID_TEXT_BYTES_MAX } from "../../structures/stream-id.ts";
import type { StreamValue } from "../../store/stream-value.ts";
import type { StringValue } from "../../store/string-value.ts";
import type { Call } from "../../dispatch/call.ts";

const SUM_BYTES = 20;
/** Redis's numbers of the types. */
const TYPE_NUMBERS: Record<RecordType, number> = {
  [RecordType.String]: 0,
  [RecordType.List]: 1,
  [RecordType.Set]: 2,
  [RecordType.SortedSet]: 3,
  [RecordType.Hash]: 4,
  [RecordType.Stream]: 6,
};
const EXPIRES = Buffer.from("!!expire!!");
const chain = { addresses: new Int32Array(64) };

function sha1(bytes: Uint8Array): Buffer {
  return new Bun.CryptoHasher("sha1").update(bytes).digest();
}

function addHash(sum: Buffer, hash: Buffer): void {
  for (let i = 0; i < SUM_BYTES; i++) sum[i] = sum[i]! ^ hash[i]!;
}

function mixHash(sum: Buffer, hash: Buffer): void {
  addHash(sum, hash);
  sha1(sum).copy(sum);
}

function mixNumber(sum: Buffer, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  mixHash(sum, sha1(bytes));
}

/** Mixes the value of the record found into `sum`. */
function mixValue(call: Call, sum: Buffer): void {
  const { store } = call;
  mixNumber(sum, TYPE_NUMBERS[store.cursor.type]);
  const expires = store.cursor.deadlineMs !== 0;
  store.cold.keepingCold(() => {
    if (store.cursor.type === RecordType.String) mixString(call.strings, sum);
    else mixCollection(call, sum);
  });
  if (expires) addHash(sum, sha1(EXPIRES));
}

function mixCollection(call: Call, sum: Buffer): void {
  switch (call.store.cursor.type) {
    case RecordType.List:
      return mixList(call.collections.list(), sum);
    case RecordType.Set:
      return addSet(call.collections.set(), sum);
    case RecordType.Hash:
      return addHashFields(call.collections.hash(), sum);
    case RecordType.SortedSet:
      return addSortedSet(call.collections.sortedSet(), sum);
    default:
      return mixStream(call.collections.stream(), sum);
  }
}

/** Calls `visit` on each entry of the collection found, in its order. */
function forEach(value: Collection, visit: () => void): void {
  value.open();
  const { entries } = value;
  entries.seekRank(0);
  for (let more = entries.normalize(); more; more = entries.next()) {
    visit();
    entries.reposition();
  }
}

/** SHA1 of a member; copied, since the hasher does not take a view of shared memory. */
function hashOfMember({ bytes, at, length }: Member): Buffer {
  return sha1(Buffer.from(bytes.subarray(at, at + length)));
}

function mixList(list: ListValue, sum: Buffer): void {
  forEach(list, () => {
    list.openHere();
    mixHash(sum, hashOfMember(list.member));
  });
}

function addSet(set: SetValue, sum: Buffer): void {
  forEach(set, () => {
    set.openHere();
    addHash(sum, hashOfMember(set.member));
  });
}

function addHashFields(hash: HashValue, sum: Buffer): void {
  forEach(hash, () => {
    const pair = Buffer.alloc(SUM_BYTES);
    hash.openField();
    mixHash(pair, hashOfMember(hash.field));
    hash.entries.reposition();
    hash.openValue();
    mixHash(pair, hashOfMember(hash.value));
    addHash(sum, sha1(pair));
  });
}

function addSortedSet(sorted: SortedSetValue, sum: Buffer): void {
  const text = Buffer.alloc(DOUBLE_TEXT_BYTES_MAX);
  forEach(sorted, () => {
    const pair = Buffer.alloc(SUM_BYTES);
    sorted.openHere();
    mixHash(pair, hashOfMember(sorted.member));
    mixHash(pair, sha1(text.subarray(0, formatDouble17(text, 0, sorted.score))));
    addHash(sum, sha1(pair));
  });
}

function mixStream(stream: StreamValue, sum: Buffer): void {
  const text = Buffer.alloc(ID_TEXT_BYTES_MAX);
  forEach(stream, () => {
    stream.openHere();
    const id = text.toString("latin1", 0, stream.id.format(text, 0)).replace("-", ".");
    mixHash(sum, sha1(Buffer.from(id)));
    for (let n = stream.fields; n > 0; n--) {
      stream.nextField();
      const { name, nameStart, nameLength, value, valueStart, valueLength } = stream;
      mixHash(sum, sha1(Buffer.from(name.subarray(nameStart, nameStart + nameLength))));
      mixHash(sum, sha1(Buffer.from(value.subarray(valueStart, valueStart + valueLength))));
    }
  });
}

function mixString(strings: StringValue, sum: Buffer): void {
  const hasher = new Bun.CryptoHasher("sha1");
  for (let at = 0; ; ) {
    const part = strings.openPart(at);
    if (part === 0) break;
    // Copied: the hasher does not take a view of shared memory.
    hasher.update(Buffer.from(strings.bytes.subarray(strings.at, strings.at + part)));
    at += part;
  }
  mixHash(sum, hasher.digest());
}

/** Digest of the value of the record found, 40 hexadecimal digits. */
export function valueDigest(call: Call): string {
  const sum = Buffer.alloc(SUM_BYTES);
  mixValue(call, sum);
  return sum.toString("hex");
}

export const NO_VALUE_DIGEST = "0".repeat(SUM_BYTES * 2);

/** Digest of everything. The caller holds the locks of all shards. */
export function datasetDigest(call: Call): string {
  const { store, keyspaces } = call;
  const sum = Buffer.alloc(SUM_BYTES);
  for (let db = 0; db < call.config.number("server.databases"); db++) {
    const keyspace = keyspaces.of(db);
    let keys = 0;
    const sums = Buffer.alloc(SUM_BYTES);
    for (const shard of store.shards) {
      const ks = shard.keyspace(keyspace);
      if (keyCount(shard.c, ks) === 0) continue;
      for (let bucket = 0; bucket < bucketCount(shard.c, ks); bucket++)
        keys += addBucket(call, keyspace, shard, ks, bucket, sums);
    }
    if (keys === 0) continue;
    mixNumber(sum, db);
    for (let i = 0; i < SUM_BYTES; i++) sum[i] = sum[i]! ^ sums[i]!;
  }
  return sum.toString("hex");
}

/** Adds the keys of one bucket that have not expired to `sums`. Returns their number. */
function addBucket(call: Call, keyspace: number, shard: Shard, ks: KeyspaceRef, bucket: number, sums: Buffer): number {
  const { store, key } = call;
  let keys = 0;
  const count = store.index.collect(shard, ks, bucket, chain);
  for (let i = 0; i < count; i++) {
    const w = store.segments.locate(shard, chain.addresses[i]! as Address);
    const { m } = store.segments;
    const due = deadline(m, w);
    if (due !== 0 && due <= store.nowMs) continue;
    const at = keyAt(m, w);
    const length = keyBytes(m, w);
    key.loadWords(m, at, length);
    const sum = Buffer.alloc(SUM_BYTES);
    mixHash(sum, sha1(Buffer.from(store.segments.b.subarray(at << 2, (at << 2) + length))));
    store.select(keyspace, key);
    if (store.find() === NO_ADDRESS) continue;
    mixValue(call, sum);
    addHash(sums, sha1(sum));
    keys++;
  }
  return keys;
}
