/**
 * Cost of the parts of a command when everything is in the cache: the hash of a key by length, lock and unlock, a lookup in
 * a small table, the frame pool, append and free of a record.
 * Run: npm run bench -- parts
 */
import type { Address } from "../../src/store/address.ts";
import { FrameSize } from "../../src/memory/frame-pool.ts";
import { lockWithin, unlock } from "../../src/memory/lock.ts";
import { Memory } from "../../src/server/memory.ts";
import { Store } from "../../src/store/store.ts";
import { StringValue } from "../../src/store/string-value.ts";

const memory = new Memory({
  shards: 16,
  workers: 1,
  databases: 1,
  regionBytes: 256 << 20,
  regions: 1,
  seedA: 1,
  seedB: 2,
  hugePages: true,
});
const store = new Store(memory.arena, 0);
store.setTime(Date.now(), performance.now());
let sum = 0;

function measure(what: string, calls: number, run: (calls: number) => void): void {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 7; round++) {
    const start = Bun.nanoseconds();
    run(calls);
    best = Math.min(best, (Bun.nanoseconds() - start) / calls);
  }
  console.log(`${what.padEnd(34)} ${best.toFixed(1).padStart(7)} ns`);
}

const key = store.newKey();
const bytes = Buffer.alloc(1024, "key:0123456789");
for (const length of [4, 8, 16, 32, 64, 256]) {
  measure(`hash of ${length} bytes`, 200_000, (calls) => {
    for (let i = 0; i < calls; i++) {
      key.load(bytes, i & 7, length);
      sum += key.hashB;
    }
  });
}
const words = new Int32Array(new SharedArrayBuffer(4096));
measure("lock and unlock, nobody waits", 1_000_000, (calls) => {
  for (let i = 0; i < calls; i++) {
    lockWithin(words, 64, 2);
    unlock(words, 64);
  }
});
measure("shard lock and unlock", 1_000_000, (calls) => {
  for (let i = 0; i < calls; i++) {
    store.section.enter(store.shards[i & 15]!);
    store.section.leave();
  }
});
const strings = new StringValue(store);
const value = Buffer.alloc(64, 120);
const loaded = Array.from({ length: 256 }, (_, i) => {
  const own = store.newKey();
  const length = bytes.write(`key:${String(i).padStart(12, "0")}`);
  own.load(bytes, 0, length);
  store.select(0, own);
  store.prepareInsert();
  store.find();
  strings.set(value, 0, 64, 0);
  return own;
});
measure("find, 256 keys", 500_000, (calls) => {
  for (let i = 0; i < calls; i++) {
    store.select(0, loaded[i & 255]!);
    sum += store.find();
  }
});
measure("find + overwrite in place", 500_000, (calls) => {
  for (let i = 0; i < calls; i++) {
    store.select(0, loaded[i & 255]!);
    store.find();
    strings.set(value, 0, 64, 0);
  }
});
measure("find + overwrite with a deadline", 500_000, (calls) => {
  for (let i = 0; i < calls; i++) {
    store.select(0, loaded[i & 255]!);
    store.find();
    strings.set(value, 0, 64, store.nowMs + 100_000 + i);
  }
});
measure("insert + delete", 500_000, (calls) => {
  for (let i = 0; i < calls; i++) {
    key.load(bytes, i & 7, 24);
    store.select(0, key);
    store.prepareInsert();
    store.find();
    strings.set(value, 0, 64, 0);
    store.find();
    store.remove(2);
  }
});
const shard = store.shards[0]!;
measure("append + free, 100 bytes", 500_000, (calls) => {
  for (let i = 0; i < calls; i++) {
    const address = store.log.append(shard, 12, false) as Address;
    const w = store.segments.locate(shard, address);
    store.segments.m[w] = 12;
    store.log.free(shard, address);
  }
});
measure("heap block of 64 bytes", 500_000, (calls) => {
  for (let i = 0; i < calls; i++) {
    const block = store.heap.allocate(shard, 64, false) as Address;
    if ((i & 7) === 7) store.heap.free(shard, block, 64, 0);
  }
});
measure("frame of 64 KiB", 200_000, (calls) => {
  for (let i = 0; i < calls; i++) store.pool.free(store.pool.allocate(FrameSize.Small, false), FrameSize.Small, 0);
});
if (sum === 42) console.log("");
