/**
 * Expiry wheel.
 *
 * Goal:   no key is removed before its deadline, and after a turn every due key is removed, whatever the clock does.
 * Method: a store with a held clock beside a map of deadlines. Only the wheel removes keys, because no command reads them.
 */
import { NO_ADDRESS } from "../../src/store/address.ts";
import { keyCount } from "../../src/store/keyspace.ts";
import type { Shard } from "../../src/store/shard.ts";
import { expect, test } from "bun:test";
import { TICK_MS } from "../../src/store/wheel.ts";
import { Fixture, seeded, START_MS } from "./fixture.ts";

const VALUE = Buffer.from("value");

function keysOf(f: Fixture): number {
  return keyCount(f.shard.c, f.shard.keyspace(0));
}
function hints(f: Fixture): number {
  return f.store.shards[0]!.timers;
}

test(
  "deadlines against a sorted model",
  seeded((random) => {
    const f = new Fixture();
    const model = new Map<string, number>();
    let next = 0;
    let quiet = 0;
    for (let step = 0; step < 1500; step++) {
      const now = f.clock.wallMs();
      for (let n = random.below(8); n > 0; n--) {
        const span = [50, 1000, 5000, 300_000, 2e7, 1e9, 1e11][random.below(7)]!;
        const deadline = now + 1 + Math.floor(random.fraction() * span);
        const key = random.below(3) === 0 && next > 0 ? `k${random.below(next)}` : `k${next++}`;
        f.set(key, VALUE, deadline);
        model.set(key, deadline);
      }
      if (random.below(10) === 0 && next > 0) {
        const key = `k${random.below(next)}`;
        f.select(key);
        if (f.store.find() !== NO_ADDRESS) {
          f.store.setDeadline(0);
          model.set(key, Number.POSITIVE_INFINITY);
        }
      }
      // Mostly small steps, sometimes a jump ahead.
      f.tick(
        random.below(50) === 0 ? random.below(1e9) : random.below(2) === 0 ? random.below(100) : random.below(5000),
      );
      for (let n = 0; !f.store.wheel.turn(f.store.shards[0]!, f.clock.wallMs(), 48, f.store.deadlines); n++) {
        if (n > 10_000) throw new Error("the wheel never catches up");
      }
      // Keys that were due a tick ago are removed. Keys due since then may be.
      let least = 0;
      for (const [key, deadline] of model) {
        if (deadline > f.clock.wallMs()) least++;
        else if (deadline <= f.clock.wallMs() - TICK_MS) model.delete(key);
      }
      // What is to be quiet for a second has no deadline in it.
      const untilMs = f.clock.wallMs() + 1000;
      if (f.store.wheel.isEmptyUntil(f.store.shards[0]!, untilMs)) {
        quiet++;
        expect([...model.values()].some((at) => at > f.clock.wallMs() && at <= untilMs)).toBe(false);
      }
      expect(keysOf(f)).toBeGreaterThanOrEqual(least);
      expect(keysOf(f)).toBeLessThanOrEqual(model.size);
      if (step % 50 === 0) {
        f.checkAll();
        let early = 0;
        for (const [key, deadline] of model) {
          f.select(key);
          if (f.store.find() === NO_ADDRESS && deadline > f.clock.wallMs()) early++;
        }
        expect(early).toBe(0);
      }
    }
    expect(quiet).toBeGreaterThan(0);
    // Keys beyond the horizon of the wheel are still found at the largest time.
    f.tick(2e11);
    f.settle();
    f.tick(100);
    f.settle();
    f.checkAll();
  }),
  20_000,
);

test("every turn makes progress with many keys due in the last tick of a bucket of the next level", () => {
  // Within one revolution of level 0, the tick before a multiple of 64 is the one that a level-1 bucket moves into.
  const f = new Fixture();
  const tick = Math.floor(START_MS / TICK_MS);
  const due = ((Math.floor(tick / 64) + 3) * 64 + 63) * TICK_MS + 1;
  for (let i = 0; i < 3000; i++) f.set(`k${i}`, VALUE, due);
  while (f.clock.wallMs() < due + TICK_MS) {
    f.tick(TICK_MS);
    let turns = 0;
    while (!f.store.wheel.turn(f.store.shards[0]!, f.clock.wallMs(), 48, f.store.deadlines))
      expect(turns++).toBeLessThan(200);
  }
  expect(keysOf(f)).toBe(0);
  expect(f.checkAll()).toBe(0);
});

test("a turn keeps to its budget", () => {
  const f = new Fixture();
  for (let i = 0; i < 5000; i++) f.set(`k${i}`, VALUE, START_MS + 1000);
  f.tick(2000);
  let before = hints(f);
  for (let done = false; !done; ) {
    done = f.store.wheel.turn(f.store.shards[0]!, f.clock.wallMs(), 48, f.store.deadlines);
    expect(before - hints(f)).toBeLessThan(48 + 128);
    before = hints(f);
  }
  expect(keysOf(f)).toBe(0);
});

test("EXPIRE in a loop adds no timer entries", () => {
  const f = new Fixture();
  f.set("k", VALUE, START_MS + 10_000);
  const first = hints(f);
  for (let i = 0; i < 1000; i++) {
    f.select("k");
    f.store.find();
    f.store.setDeadline(START_MS + 10_000 + i * 1000);
  }
  expect(hints(f)).toBe(first);
  for (let i = 0; i < 1000; i++) f.set("k", VALUE, START_MS + 20_000 + i);
  expect(hints(f)).toBe(first);
  for (let i = 0; i < 1000; i++) f.set("k", VALUE, i % 2 === 0 ? 0 : START_MS + 30_000 + i);
  expect(hints(f)).toBe(first);
  f.checkAll();
});

test("deadlines that come nearer add at most one timer entry per bucket", () => {
  const f = new Fixture();
  f.set("k", VALUE, START_MS + 2_000_000);
  for (let i = 0; i < 2000; i++) {
    f.select("k");
    f.store.find();
    f.store.setDeadline(START_MS + 2_000_000 - i * 900);
  }
  expect(hints(f)).toBeLessThan(130);
  f.tick(2_000_000 - 1999 * 900 - 100);
  f.settle();
  expect(keysOf(f)).toBe(1);
  f.tick(200);
  f.settle();
  expect(keysOf(f)).toBe(0);
});

test.each([1_000, 3_600_000, 86_400_000, 3e10, 1.7e12])("the clock jumps ahead by %d ms", (jump) => {
  const f = new Fixture();
  for (let i = 0; i < 200; i++) f.set(`k${i}`, VALUE, START_MS + 10 + i * (jump / 100));
  f.tick(jump);
  // Empty ranges are skipped. At 4,096 ticks a step, a day alone would need hundreds of steps.
  f.settle(100);
  const due = Array.from({ length: 200 }, (_, i) => START_MS + 10 + i * (jump / 100)).filter(
    (at) => at > START_MS + jump,
  );
  expect(Math.abs(keysOf(f) - due.length)).toBeLessThanOrEqual(1 + Math.ceil(TICK_MS / (jump / 100)));
  f.checkAll();
});

test("the clock is set back: keys still expire at their time", () => {
  const f = new Fixture();
  for (let i = 0; i < 200; i++) f.set(`far${i}`, VALUE, START_MS + 50_000 + i * 500);
  f.tick(100);
  f.settle();
  f.clock.advance(-3_600_000);
  f.tick(0);
  const back = f.clock.wallMs();
  expect(f.store.wheel.isDue(f.store.shards[0]!, f.clock.wallMs())).toBe(true);
  f.settle();
  for (let i = 0; i < 100; i++) f.set(`near${i}`, VALUE, back + 1000 + i * 10);
  for (let i = 0; i < 20; i++) {
    f.tick(64);
    f.settle();
    expect(keysOf(f)).toBeGreaterThanOrEqual(200);
  }
  f.tick(1200);
  f.settle();
  expect(keysOf(f)).toBe(200);
  f.checkAll();
  f.tick(3_600_000 + 50_000 + 300 * 500);
  f.settle();
  f.tick(64);
  f.settle();
  expect(keysOf(f)).toBe(0);
});

test("1 % of the keys have a deadline: a turn visits only those", () => {
  const f = new Fixture();
  for (let i = 0; i < 20_000; i++) f.set(`k${i}`, VALUE, i % 100 === 0 ? START_MS + 500 : 0);
  let visited = 0;
  const visitor = {
    visitTimer: (shard: Shard, keyspace: number, hashB: number, filed: number) => {
      visited++;
      f.store.deadlines.visitTimer(shard, keyspace, hashB, filed);
    },
  };
  f.tick(600);
  while (!f.store.wheel.turn(f.store.shards[0]!, f.clock.wallMs(), 48, visitor));
  expect(visited).toBe(200);
  expect(keysOf(f)).toBe(19_800);
});

test("a key set with a deadline and deleted in a loop adds one timer entry per bucket, not per round", () => {
  const f = new Fixture();
  for (let i = 0; i < 5000; i++) {
    f.set("lock", VALUE, f.clock.wallMs() + 30_000);
    f.select("lock");
    f.store.find();
    f.store.remove(2);
    if (i % 10 === 0) f.tick(1);
  }
  expect(hints(f)).toBeLessThan(5);
});
