/**
 * Goal:   a pinned value never changes, and every page is freed exactly once (the invariants of large.ts).
 * Method: seeded writes, growth and deletion of large values while pins come and go. The model is frozen at each pin and
 *         compared when the pin is released. At the end the allocated frames are compared.
 */
import { Status } from "../../src/base/status.ts";
import type { FrameNumber } from "../../src/memory/arena.ts";
import { type Address, NO_ADDRESS } from "../../src/store/address.ts";
import { PIN_SLOTS } from "../../src/store/shard.ts";
import { expect, test } from "bun:test";
import { KeyEvent } from "../../src/store/key-events.ts";
import { PLAIN } from "../../src/store/store.ts";
import { StagedValue } from "../../src/store/large.ts";
import { FRAMES_OF, FrameSize } from "../../src/memory/frame-pool.ts";
import { bytesOf, Fixture, seeded } from "./fixture.ts";

const KEYS = 6;

interface Pin {
  slot: number;
  seen: { node: Address; bytes: Buffer }[];
}

function nodeOf(f: Fixture, key: string): { node: Address; bytes: Buffer } | null {
  const bytes = f.get(key);
  if (bytes === null || bytes.length <= 65536) return null;
  return { node: f.store.cursor.node, bytes };
}

test(
  "what a pin sees never changes",
  seeded((random) => {
    const f = new Fixture({ regions: 4, regionBytes: 16 << 20 });
    f.memory.grow();
    f.memory.grow();
    const { store } = f;
    const shard = store.shards[0]!;
    const model = new Map<string, Buffer>();
    const pins: Pin[] = [];
    let exhausted: FrameNumber[] = [];
    for (let step = 0; step < 2500; step++) {
      const key = `k${random.below(KEYS)}`;
      const entry = model.get(key);
      const operation = random.below(100);
      f.select(key);
      const found = store.find();
      expect(found !== NO_ADDRESS).toBe(entry !== undefined);
      if (operation < 10) {
        const value = bytesOf(random, 65_537 + random.below(200_000));
        if (f.strings.set(value, 0, value.length, 0) === 0) model.set(key, value);
      } else if (operation < 20) {
        if (entry !== undefined) {
          store.remove(KeyEvent.Deleted);
          model.delete(key);
        }
      } else if (operation < 60) {
        if (entry !== undefined) {
          const value = bytesOf(random, 1 + random.below(random.below(4) === 0 ? 100_000 : 50));
          const position =
            random.below(3) === 0 ? entry.length : random.below(Math.min(entry.length + 70_000, 500_000));
          const status = f.strings.writeAt(position, value, 0, value.length);
          if (status >= 0) {
            const wider = Buffer.alloc(Math.max(entry.length, position + value.length));
            entry.copy(wider);
            value.copy(wider, position);
            model.set(key, wider);
          } else expect(status).toBe(Status.Busy);
        }
      } else if (operation < 75) {
        const slot = store.large.pin(shard);
        if (slot >= 0) {
          const pin: Pin = { slot, seen: [] };
          for (let k = 0; k < KEYS; k++) {
            const seen = nodeOf(f, `k${k}`);
            if (seen !== null) pin.seen.push(seen);
          }
          pins.push(pin);
        }
      } else if (operation < 90) {
        if (pins.length > 0) {
          const pin = pins.splice(random.below(pins.length), 1)[0]!;
          for (const { node, bytes } of pin.seen) {
            const now = Buffer.alloc(bytes.length);
            store.large.read(shard, node, 0, now, 0, now.length);
            expect(now.equals(bytes)).toBe(true);
          }
          store.large.unpin(shard, pin.slot, 0);
        }
      } else if (operation < 92) {
        // Memory is exhausted for a while.
        if (exhausted.length > 0) {
          for (const place of exhausted) store.pool.free(place, FrameSize.Small, 0);
          exhausted = [];
        } else {
          for (
            let place = store.pool.allocate(FrameSize.Small, false);
            place !== 0;
            place = store.pool.allocate(FrameSize.Small, false)
          ) {
            exhausted.push(place);
          }
        }
      } else if (entry !== undefined) {
        expect(f.read().equals(entry)).toBe(true);
      }
      if (step % 50 === 0) f.checkAll();
    }
    for (const place of exhausted) store.pool.free(place, FrameSize.Small, 0);
    for (const pin of pins) store.large.unpin(shard, pin.slot, 0);
    expect(shard.pins).toBe(0);
    for (const [key, value] of model) expect(f.get(key)!.equals(value)).toBe(true);
    f.checkAll();
    f.keyspaces.flush(0);
    f.settle();
    expect(shard.heapLiveBytes).toBe(0);
    expect(store.pool.framesOut).toBe(0);
    expect(store.usedBytes).toBe(0);
    store.pool.check();
  }),
  20_000,
);

test("without a pin pages are written in place, with one they are copied once", () => {
  const f = new Fixture();
  const { store } = f;
  f.set("big", Buffer.alloc(400_000, 1));
  const write = (position: number) => {
    f.select("big");
    store.find();
    expect(f.strings.writeAt(position, Buffer.from("x"), 0, 1)).toBe(400_000);
  };
  const out = store.pool.framesOut;
  for (let i = 0; i < 100; i++) write(i * 4000);
  expect(store.pool.framesOut).toBe(out);
  const pin = store.large.pin(store.shards[0]!);
  for (let i = 0; i < 100; i++) write(70_000 + i);
  expect(store.pool.framesOut).toBe(out + FRAMES_OF[FrameSize.Small]);
  write(200_000);
  expect(store.pool.framesOut).toBe(out + 2 * FRAMES_OF[FrameSize.Small]);
  store.large.unpin(store.shards[0]!, pin, 0);
  expect(store.pool.framesOut).toBe(out);
  f.checkAll();
});

test("with all pins in use the result is Busy", () => {
  const f = new Fixture();
  const shard = f.store.shards[0]!;
  const slots: number[] = [];
  for (let i = 0; i < PIN_SLOTS; i++) slots.push(f.store.large.pin(shard));
  expect(new Set(slots).size).toBe(PIN_SLOTS);
  expect(f.store.large.pin(shard)).toBe(Status.Busy);
  for (const slot of slots) f.store.large.unpin(shard, slot, 0);
  expect(f.store.large.pin(shard)).toBeGreaterThanOrEqual(0);
});

test(
  "staged values come in any pieces, take neighbouring chunks, and are freed when they are discarded",
  seeded((random) => {
    const f = new Fixture();
    const { store } = f;
    for (const length of [65_537, 131_072, 131_073, 3 << 20]) {
      const value = bytesOf(random, length);
      const staged = new StagedValue(f.memory.arena, store.pool, length);
      for (let at = 0; at < length; ) {
        const part = Math.min(length - at, 1 + random.below(100_000));
        expect(staged.write(value, at, part)).toBe(part);
        at += part;
      }
      f.select("staged");
      store.find();
      expect(f.strings.setStaged(staged, 0, PLAIN)).toBe(0);
      expect(f.get("staged")!.equals(value)).toBe(true);
      if (length === 3 << 20) {
        expect(store.large.contiguous(store.cursor.shard, store.cursor.node, 0, length)).toBeGreaterThanOrEqual(
          16 * 65536,
        );
      }
    }
    const out = store.pool.framesOut;
    const unwanted = new StagedValue(f.memory.arena, store.pool, 5 << 20);
    unwanted.write(Buffer.alloc(1 << 20), 0, 1 << 20);
    unwanted.write(Buffer.alloc(10), 0, 10);
    unwanted.discard(0);
    expect(store.pool.framesOut).toBe(out);
    store.pool.check();
    f.checkAll();
  }),
);
