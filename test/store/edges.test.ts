/** Edge cases of the store. Each test is a bug that a review found. */
import { expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { Status } from "../../src/base/status.ts";
import { FRAME_BYTES, type FrameNumber, NO_FRAME } from "../../src/memory/arena.ts";
import { type Address, NO_ADDRESS, segmentOf } from "../../src/store/address.ts";
import { deadlineSum, expiresCount } from "../../src/store/keyspace.ts";
import {
  DEADLINE_MAX,
  Encoding,
  INLINE_VALUE_MAX,
  KEY_BYTES_MAX,
  PARITY,
  RecordType,
  setHeader,
} from "../../src/store/record.ts";
import { SegmentState } from "../../src/store/segments.ts";
import { FRAMES_OF, FrameSize } from "../../src/memory/frame-pool.ts";
import { KeyEvent } from "../../src/store/key-events.ts";
import { ADMITTED, PLAIN } from "../../src/store/store.ts";
import { checkShard } from "../../src/store/shard-check.ts";
import { bytesOf, Fixture, START_MS } from "./fixture.ts";

const text = (value: string) => Buffer.from(value, "latin1");

test("SET over the only key of a keyspace, which has expired, makes a new table", () => {
  const f = new Fixture();
  expect(f.set("k", text("old"), START_MS + 10)).toBe(0);
  f.tick(20);
  expect(f.set("k", text("new"))).toBe(0);
  expect(f.get("k")).toEqual(text("new"));
  expect(f.checkAll()).toBe(1);
});

test("a key longer than the limit is refused, also after a long one", () => {
  const f = new Fixture();
  const bytes = Buffer.alloc(KEY_BYTES_MAX * 2, 97);
  expect(f.key.load(bytes, 0, KEY_BYTES_MAX)).toBe(true);
  expect(f.key.load(bytes, 0, KEY_BYTES_MAX + 1)).toBe(false);
});

test.each([0, 1, 3, 4, 5, 255, 256, 257, 70_000, KEY_BYTES_MAX])("keys of %d bytes", (length) => {
  const f = new Fixture();
  const key = "x".repeat(length);
  const longValue = bytesOf(new Random(1), INLINE_VALUE_MAX);
  for (const value of [text(""), text("12"), longValue, bytesOf(new Random(2), INLINE_VALUE_MAX + 1)]) {
    expect(f.set(key, value, START_MS + 1e6)).toBe(0);
    expect(f.get(key)).toEqual(value);
    expect(f.store.cursor.deadlineMs).toBe(START_MS + 1e6);
    expect(f.get(`${key.slice(1)}y`)).toBeNull();
    expect(f.checkAll()).toBe(1);
  }
});

test.each([
  [65535, Encoding.Raw],
  [65536, Encoding.Raw],
  [65537, Encoding.Chunked],
  [131072, Encoding.Chunked],
])("values of %d bytes", (length, encoding) => {
  const f = new Fixture();
  const value = bytesOf(new Random(length), length);
  f.set("k", value);
  expect(f.get("k")).toEqual(value);
  expect(f.store.cursor.encoding).toBe(encoding);
  // One more byte, which crosses the border of a chunk or of the encoding.
  expect(f.strings.writeAt(length, text("!"), 0, 1)).toBe(length + 1);
  expect(f.get("k")).toEqual(Buffer.concat([value, text("!")]));
  f.checkAll();
});

test.each([
  ["-9223372036854775808", Encoding.Int],
  ["9223372036854775807", Encoding.Int],
  ["-9223372036854775809", Encoding.Raw],
  ["9223372036854775808", Encoding.Raw],
  ["9007199254740993", Encoding.Int],
  ["-9007199254740993", Encoding.Int],
  ["0", Encoding.Int],
  ["-0", Encoding.Raw],
  ["007", Encoding.Raw],
  ["+1", Encoding.Raw],
  [" 1", Encoding.Raw],
  ["-", Encoding.Raw],
  ["-1", Encoding.Int],
  ["4294967296", Encoding.Int],
])("integers: %s", (value, encoding) => {
  const f = new Fixture();
  f.set("k", text(value));
  expect(f.get("k")).toEqual(text(value));
  expect(f.store.cursor.encoding).toBe(encoding);
  expect(f.strings.lengthFound).toBe(value.length);
});

test.each([
  [1, 1],
  [-5, 1],
  [2 ** 32 - 1, 2 ** 32 - 1],
  [2 ** 48, 2 ** 48],
  [2 ** 53 - 1, DEADLINE_MAX],
  [9.2e18, DEADLINE_MAX],
])("a deadline of %d ms is stored as %d", (given, kept) => {
  const f = new Fixture();
  f.store.setTime(0, 0);
  f.set("k", text("v"), given);
  f.select("k");
  expect(f.store.find()).not.toBe(NO_ADDRESS);
  expect(f.store.cursor.deadlineMs).toBe(kept);
  f.checkAll();
  f.set("other", text("v"));
  f.select("other");
  f.store.find();
  expect(f.store.setDeadline(given)).toBe(0);
  f.select("other");
  f.store.find();
  expect(f.store.cursor.deadlineMs).toBe(kept);
  f.checkAll();
});

test("a large value over a record of another region", () => {
  const f = new Fixture({ regions: 2, regionBytes: (1 << 20) << 2 });
  f.set("a", text("first"));
  // Fill the first region, so that chunks come from the second.
  const taken: FrameNumber[] = [];
  for (
    let place = f.store.pool.allocate(FrameSize.Small, false);
    place !== 0;
    place = f.store.pool.allocate(FrameSize.Small, false)
  ) {
    taken.push(place);
  }
  // The heap has no free block there either, so that the node lies in the second region too.
  for (let block = f.store.heap.allocate(f.store.shards[0]!, 64, false); block > 0; ) {
    block = f.store.heap.allocate(f.store.shards[0]!, 64, false);
  }
  expect(f.memory.grow()).toBe(true);
  // The other region has bytes that look like a record with room at the same offset. Code that forgets to turn back writes there.
  f.select("a");
  f.store.find();
  const decoy = f.store.cursor.w;
  const words = f.memory.arena.words[1]!;
  setHeader(words, decoy, 8, RecordType.String, Encoding.Raw, 0);
  words[decoy + 3] = 77;
  const value = bytesOf(new Random(1), 200_000);
  expect(f.set("a", value, START_MS + 5000)).toBe(0);
  expect(f.get("a")).toEqual(value);
  expect(words[decoy + 3]).toBe(77);
  // The same through APPEND, which keeps the deadline.
  f.set("b", bytesOf(new Random(2), 100));
  f.select("b");
  f.store.find();
  expect(f.strings.writeAt(100, value, 0, value.length)).toBe(200_100);
  expect(f.get("b")!.subarray(100)).toEqual(value);
  f.checkAll();
});

test("two changes in a row of a new key, across a split", () => {
  const f = new Fixture();
  for (let i = 0; i < 2000; i++) {
    f.select(`key:${i}`);
    f.store.find();
    f.strings.set(text("value"), 0, 5, 0);
    // A deadline needs further words, so the record moves. Its slot may have moved with the split.
    expect(f.store.setDeadline(START_MS + 1e6)).toBe(0);
    f.strings.set(bytesOf(new Random(i), 300), 0, 300, 0);
  }
  expect(f.checkAll()).toBe(2000);
});

test("frames with neighbouring numbers in different regions are not contiguous", () => {
  const f = new Fixture({ regions: 2, regionBytes: 1 << 30 });
  const { pool, large } = f.store;
  const node = large.link(f.shard, [0x1fff8, 0x20000, 0x20008] as FrameNumber[], false) as Address;
  expect(large.contiguous(f.shard, node, 0, 196_608)).toBe(65_536);
  expect(large.contiguous(f.shard, node, 65_536, 131_072)).toBe(131_072);
  expect(pool.framesOut).toBeGreaterThan(0);
});

test("a pinned large value is deleted while the pool is empty", () => {
  const f = new Fixture();
  const { store } = f;
  const value = bytesOf(new Random(3), 200_000);
  f.set("big", value);
  f.select("big");
  store.find();
  const node = store.cursor.node;
  const { shard } = store.cursor;
  const pin = store.large.pin(shard);
  const taken: FrameNumber[] = [];
  for (
    let place = store.pool.allocate(FrameSize.Small, false);
    place !== 0;
    place = store.pool.allocate(FrameSize.Small, false)
  ) {
    taken.push(place);
  }
  // Not even a block of 64 bytes is left.
  for (let block = store.heap.allocate(shard, 64, false); block > 0; block = store.heap.allocate(shard, 64, false));
  f.select("big");
  store.find();
  store.remove(KeyEvent.Deleted);
  const seen = Buffer.alloc(value.length);
  store.large.read(shard, node, 0, seen, 0, seen.length);
  expect(seen.equals(value)).toBe(true);
  const before = store.pool.framesOut;
  store.large.unpin(shard, pin, 0);
  expect(store.pool.framesOut).toBe(before - 4 * FRAMES_OF[FrameSize.Small]);
});

test("pins between two writes share an epoch", () => {
  const f = new Fixture();
  const { store } = f;
  f.set("big", bytesOf(new Random(3), 200_000));
  const { shard } = f;
  const first = store.large.pin(shard);
  const epoch = shard.epoch;
  const second = store.large.pin(shard);
  store.large.unpin(shard, first, 0);
  const third = store.large.pin(shard);
  expect(shard.epoch).toBe(epoch);
  f.set("big", bytesOf(new Random(4), 200_000));
  const fourth = store.large.pin(shard);
  expect(shard.epoch).toBe(epoch + 1);
  store.large.unpin(shard, fourth, 0);
  store.large.unpin(shard, second, 0);
  store.large.unpin(shard, third, 0);
  expect(shard.pins).toBe(0);
  checkShard(f.store, shard);
});

test("an append of a large value reserves nothing for pages that no pin sees", () => {
  const f = new Fixture();
  const { store } = f;
  f.set("big", bytesOf(new Random(3), 70_000));
  f.select("big");
  store.find();
  const bytes = 12 << 20;
  const before = store.cursor.shard.heapBytes;
  expect(f.strings.writeAt(70_000, bytesOf(new Random(4), bytes), 0, bytes)).toBe(70_000 + bytes);
  // The node of 194 chunks takes at most one further frame of the smallest size.
  expect(store.cursor.shard.heapBytes).toBeLessThanOrEqual(before + FRAME_BYTES);
  f.checkAll();
});

test("deadlines that become due while their keyspace is being emptied", () => {
  const f = new Fixture({ databases: 2 });
  for (let i = 0; i < 3000; i++) f.set(`k${i}`, text("value"), i % 2 === 0 ? START_MS + 100 + i : 0);
  for (let i = 0; i < 100; i++) f.set(`k${i}`, text("value"), START_MS + 1000, 1);
  expect(f.keyspaces.flush(0)).toBe(0);
  let expired = 0;
  f.store.hooks.removedByStore = () => void expired++;
  for (let n = 0; n < 3; n++) {
    f.maintenance.step(f.shard);
    f.checkAll();
  }
  for (let n = 0; n < 400; n++) {
    f.tick(64);
    f.maintenance.step(f.shard);
    if (n % 10 === 0) f.checkAll();
  }
  f.settle();
  expect(expired).toBe(100); // only those of the other database
  expect(f.checkAll()).toBe(0);
});

test("FLUSHALL frees all memory, including timer entries of far deadlines", () => {
  const f = new Fixture({ databases: 2 });
  const before = f.store.pool.framesOut;
  for (let i = 0; i < 5000; i++) f.set(`k${i}`, bytesOf(new Random(i), i % 500), START_MS + 1e9 + i * 1000, i & 1);
  f.set("big", bytesOf(new Random(1), 1 << 20));
  f.keyspaces.flush(0);
  f.keyspaces.flush(1);
  f.settle();
  const { shard } = f;
  expect(shard.timers).toBe(0);
  expect(shard.liveUnits).toBe(0);
  expect(shard.logUnits).toBe(0);
  expect(f.store.pool.framesOut).toBe(before);
  expect(f.store.usedBytes).toBe(0);
  f.store.pool.check();
  f.checkAll();
});

test("dead records of sealed segments are cleaned too", () => {
  const f = new Fixture();
  f.maintenance.limits.mutableUnits = 8192 * 2;
  const value = bytesOf(new Random(9), 900);
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 500; i++) f.set(`k${i}`, value);
    f.maintenance.step(f.shard);
  }
  f.settle();
  f.checkAll();
  // About 0.5 MB are live. Without cleaning of sealed segments the log would hold all 18 MB.
  expect(f.store.shards[0]!.logUnits * 8).toBeLessThan(3 << 20);
  for (let i = 0; i < 500; i++) expect(f.get(`k${i}`)).toEqual(value);
});

test("cleaning that lacks memory comes to rest, and continues when there is some", () => {
  const f = new Fixture();
  const keys: string[] = [];
  // Of two neighbours the shorter one is removed: no live record has room where a dead one was.
  for (let i = 0; f.set(`k${i}`, bytesOf(new Random(i), i % 2 === 0 ? 1500 : 2000)) === 0; i++) keys.push(`k${i}`);
  const remove = (removed: readonly string[]): void => {
    for (const key of removed) {
      f.select(key);
      f.store.section.enter(f.shard);
      expect(f.store.find()).not.toBe(NO_ADDRESS);
      f.store.remove(KeyEvent.Deleted);
      f.store.section.leave();
    }
  };
  remove(keys.filter((_, i) => i % 2 === 0));
  f.settle(1000);
  expect(f.shard.cleanSegment).not.toBe(0);
  f.checkAll();
  // A later round tries again, and has the room of what was removed meanwhile.
  expect(f.maintenance.isDue(f.shard)).toBe(true);
  remove(keys.filter((_, i) => i % 4 === 1));
  f.settle();
  expect(f.shard.cleanSegment).toBe(0);
  f.checkAll();
});

test("a relocated record keeps its deadline, its timer entry and its snapshot parity", () => {
  const f = new Fixture();
  const value = bytesOf(new Random(9), 500);
  // As a snapshot has it, which has seen every tenth record.
  for (const shard of f.store.shards) shard.isInSnapshot = true;
  for (let i = 0; i < 2000; i++) f.set(`k${i}`, value, START_MS + 50_000);
  for (let i = 0; i < 2000; i++) {
    f.select(`k${i}`);
    f.store.find();
    if (i % 10 === 0) f.store.cursor.m[f.store.cursor.w] = f.store.cursor.m[f.store.cursor.w]! | (PARITY << 24);
    else f.store.remove(KeyEvent.Deleted);
  }
  const before = new Map<number, number>();
  for (let i = 0; i < 2000; i += 10) {
    f.select(`k${i}`);
    before.set(i, f.store.find());
  }
  f.settle();
  expect(f.checkAll()).toBe(200);
  let moved = 0;
  for (const [i, address] of before) {
    expect(f.get(`k${i}`)).toEqual(value);
    if (f.store.cursor.address !== address) moved++;
    expect(f.store.cursor.deadlineMs).toBe(START_MS + 50_000);
    expect((f.store.cursor.m[f.store.cursor.w]! >>> 24) & PARITY).toBe(PARITY);
  }
  expect(moved).toBeGreaterThan(50);
  f.tick(50_100);
  f.settle();
  expect(f.checkAll()).toBe(0);
});

test("counts of deadlines on every path", () => {
  const f = new Fixture();
  const { store } = f;
  const { shard } = f;
  const ks = shard.keyspace(0);
  const counts = () => [expiresCount(shard.c, ks), deadlineSum(shard, ks)];
  const far = START_MS + 1e7;
  const big = bytesOf(new Random(1), 100_000);
  for (const value of [text("v"), text("12"), big]) {
    f.set("k", value, far);
    expect(counts()).toEqual([1, far]);
    f.set("k", value, far + 5);
    expect(counts()).toEqual([1, far + 5]);
    f.select("k");
    store.find();
    store.setDeadline(far + 9);
    expect(counts()).toEqual([1, far + 9]);
    f.strings.writeAt(0, text("x"), 0, 1);
    expect(counts()).toEqual([1, far + 9]);
    f.select("k");
    store.find();
    store.setDeadline(0);
    expect(counts()).toEqual([0, 0]);
    store.setDeadline(far);
    expect(counts()).toEqual([1, far]);
    f.set("k", text("plain"));
    expect(counts()).toEqual([0, 0]);
    f.set("k", value, far);
    f.select("k");
    store.find();
    store.remove(KeyEvent.Deleted);
    expect(counts()).toEqual([0, 0]);
    f.checkAll();
  }
});

test("Busy changes nothing; with another region the operation succeeds", () => {
  const f = new Fixture({ regions: 2, regionBytes: 4 << 20 });
  const { store } = f;
  const taken: FrameNumber[] = [];
  f.set("small", text("one"), START_MS + 1e6);
  f.set("big", bytesOf(new Random(1), 100_000));
  const big = f.get("big")!;
  for (
    let place = store.pool.allocate(FrameSize.Small, false);
    place !== 0;
    place = store.pool.allocate(FrameSize.Small, false)
  ) {
    taken.push(place);
  }
  const out = store.pool.framesOut;
  const filler = bytesOf(new Random(2), 60_000);
  const sets = () => f.set("small", bytesOf(new Random(3), 300_000));
  const grows = () => {
    f.select("big");
    store.find();
    return f.strings.writeAt(100_000, filler, 0, 60_000);
  };
  const relays = () => {
    f.select("small");
    store.find();
    return f.strings.writeAt(0, bytesOf(new Random(4), 65_000), 0, 65_000);
  };
  for (const operation of [sets, grows, relays]) {
    expect(operation()).toBe(Status.Busy);
    expect(f.get("small")).toEqual(text("one"));
    expect(store.cursor.deadlineMs).toBe(START_MS + 1e6);
    expect(f.get("big")).toEqual(big);
    expect(f.checkAll()).toBe(2);
    expect(store.pool.framesOut).toBe(out);
  }
  f.memory.grow();
  expect(relays()).toBe(65_000);
  expect(sets()).toBe(0);
  expect(grows()).toBe(160_000);
  f.checkAll();
});

test("a segment that is not mutable is never written in place", () => {
  const f = new Fixture();
  f.maintenance.limits.mutableUnits = 1;
  for (let i = 0; i < 400; i++) f.set(`k${i}`, bytesOf(new Random(i), 700));
  for (let n = 0; n < 10; n++) f.maintenance.step(f.shard);
  let sealed = 0;
  for (let i = 0; i < 400; i++) {
    f.select(`k${i}`);
    const before = f.store.find();
    if (f.store.segments.state(f.shard, segmentOf(before)) === SegmentState.Mutable) continue;
    sealed++;
    expect(f.store.setDeadline(START_MS + 1e6)).toBe(0);
    expect(f.store.cursor.address).not.toBe(before);
  }
  expect(sealed).toBeGreaterThan(100);
  f.checkAll();
});

test("a record written elsewhere keeps the snapshot parity of the one it replaces", () => {
  const f = new Fixture();
  const { store } = f;
  const parity = () => (store.cursor.m[store.cursor.w]! >>> 24) & PARITY;
  f.set("k", text("short"));
  f.select("k");
  store.find();
  // As a snapshot does: it has taken the pre-image and finished the record.
  store.hooks.beforeChange = (shard, address) => {
    const w = store.segments.locate(shard, address);
    store.segments.m[w] = store.segments.m[w]! | (PARITY << 24);
  };
  for (const shard of store.shards) shard.isInSnapshot = true;
  for (const value of [bytesOf(new Random(1), 1000), bytesOf(new Random(2), 100_000), text("12"), text("")]) {
    f.set("k", value, value.length === 1000 ? START_MS + 1e6 : 0);
    expect(f.get("k")).toEqual(value);
    expect(parity()).toBe(PARITY);
  }
  store.setDeadline(START_MS + 5000);
  expect(parity()).toBe(PARITY);
  f.checkAll();
});

test("a change that was admitted takes the pool's reserve, another one does not", () => {
  const f = new Fixture({ shards: 2 });
  const { store } = f;
  const { pool } = store;
  expect(pool.heldBack).toBeGreaterThan(0);
  // The key's own shard has no segment yet.
  f.set("other", VALUE_OF_ONE);
  const used = store.cursor.shard;
  let name = "k";
  for (f.select(name); store.cursor.shard === used; f.select(name)) name += "k";
  while (pool.allocate(FrameSize.Tiny, false) !== NO_FRAME);
  expect(pool.freeChunks).toBe(pool.heldBack);
  store.find();
  expect(store.place(RecordType.String, Encoding.Raw, 1, 0, 0, PLAIN)).toBe(Status.Busy);
  expect(store.place(RecordType.String, Encoding.Raw, 1, 0, 0, ADMITTED)).toBe(0);
  store.cursor.setValueBytes(1);
  f.checkAll();
});

const VALUE_OF_ONE = Buffer.from("v");
