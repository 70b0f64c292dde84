/** The log by itself: append, free, bins, splitting, sealing and cleaning; G1-G3 after each step. */
import { isStatus } from "../../src/base/status.ts";
import { type Address, segmentOf } from "../../src/store/address.ts";
import { binOf } from "../../src/store/log.ts";
import { Encoding, RECORD_UNITS_MAX, RecordType, isDead, setHeader } from "../../src/store/record.ts";
import { SegmentState } from "../../src/store/segments.ts";
import { BINS } from "../../src/store/shard.ts";
import { expect, test } from "bun:test";
import type { Random } from "../../src/base/random.ts";
import { Fixture, seeded } from "./fixture.ts";

test("bins grow with the size and the largest record has one", () => {
  let before = 0;
  for (let units = 2; units <= RECORD_UNITS_MAX; units++) {
    expect(binOf(units)).toBeGreaterThanOrEqual(before);
    before = binOf(units);
  }
  expect(before).toBeLessThan(BINS);
});

class LogModel {
  readonly f = new Fixture({ regionBytes: 32 << 20 });
  readonly log = this.f.store.log;
  readonly shard = this.f.shard;
  readonly live: { address: Address; units: number; mark: number }[] = [];
  private mark = 1;

  append(units: number): number {
    const address = this.log.append(this.shard, units, false);
    if (isStatus(address)) return address;
    const capacity = this.log.capacity;
    expect(capacity).toBeGreaterThanOrEqual(units);
    const w = this.f.store.segments.locate(this.shard, address);
    const m = this.f.store.segments.m;
    setHeader(m, w, capacity, RecordType.String, Encoding.Raw, 0);
    m.fill(this.mark, w + 1, w + capacity * 2);
    this.live.push({ address, units: capacity, mark: this.mark++ });
    return address;
  }

  free(at: number): void {
    const record = this.live[at]!;
    this.verify(record);
    this.log.free(this.shard, record.address);
    this.live[at] = this.live[this.live.length - 1]!;
    this.live.pop();
  }

  /** Asserts that no other record was written over this one. */
  verify(record: { address: Address; units: number; mark: number }): void {
    const w = this.f.store.segments.locate(this.shard, record.address);
    const m = this.f.store.segments.m;
    expect(isDead(m, w)).toBe(false);
    expect(m[w + 1]).toBe(record.mark);
    expect(m[w + record.units * 2 - 1]).toBe(record.mark);
  }

  check(): void {
    this.log.check(this.shard);
    let units = 0;
    for (const record of this.live) units += record.units;
    expect(this.shard.liveUnits).toBe(units);
  }
}

const SIZES: Record<string, (random: Random) => number> = {
  "of one size": () => 12,
  small: (random) => 2 + random.below(30),
  "of all bins": (random) => 2 + random.below(random.below(10) === 0 ? 3000 : 200),
  "as large as they come": (random) =>
    random.below(4) === 0 ? 2 + random.below(RECORD_UNITS_MAX - 1) : 2 + random.below(9),
};

test.each(Object.keys(SIZES))("records %s", (name) =>
  seeded((random) => {
    const model = new LogModel();
    const size = SIZES[name]!;
    for (let step = 0; step < 3000; step++) {
      if (random.below(10) < (Math.floor(step / 500) % 2 === 0 ? 7 : 3)) model.append(size(random));
      else if (model.live.length > 0) model.free(random.below(model.live.length));
      if (random.below(200) === 0) {
        // Seal a segment that is not being filled.
        const record = model.live[random.below(Math.max(model.live.length, 1))];
        if (record !== undefined) {
          const segment = segmentOf(record.address);
          const { segments } = model.f.store;
          if (segment !== model.shard.logSegment && segments.state(model.shard, segment) === SegmentState.Mutable) {
            model.log.seal(model.shard, segment);
          }
        }
      }
      if (step % 20 === 0) model.check();
    }
    for (const record of model.live) model.verify(record);
    while (model.live.length > 0) model.free(model.live.length - 1);
    model.check();
    model.log.dropAllDead(model.shard, 0);
    model.check();
    expect(model.f.store.pool.framesOut).toBe(0);
    expect(model.log.usedBytes).toBe(0);
  })(),
);

test("a log that is overwritten and keeps its live size does not grow", () => {
  const model = new LogModel();
  for (let i = 0; i < 2000; i++) model.append(20);
  const units = model.shard.logUnits;
  for (let i = 0; i < 50_000; i++) {
    model.free((i * 7919) % model.live.length);
    model.append(20);
  }
  expect(model.shard.logUnits).toBe(units);
  model.check();
});

test(
  "with values of changing size the log stays close to its live bytes, at 85 % live",
  seeded((random) => {
    const f = new Fixture();
    for (let i = 0; i < 60_000; i++) {
      const value = Buffer.alloc(10 + random.below(400), 1);
      f.set(`k${random.below(3000)}`, value);
      if (i % 20 === 0) f.maintenance.step(f.shard);
    }
    f.settle();
    f.checkAll();
    const shard = f.store.shards[0]!;
    expect(shard.liveUnits / shard.logUnits).toBeGreaterThan(0.6);
    expect(shard.deadUnits).toBeGreaterThanOrEqual(0);
  }),
);

test("cleaning ends, and frees segments", () => {
  const f = new Fixture();
  for (let i = 0; i < 8000; i++) f.set(`k${i}`, Buffer.alloc(300, i & 255));
  for (let i = 0; i < 8000; i++) {
    if (i % 8 === 0) continue;
    f.select(`k${i}`);
    f.store.find();
    f.store.remove(2);
  }
  const shard = f.store.shards[0]!;
  const before = shard.logUnits;
  for (let n = 0; f.maintenance.step(f.shard); n++) {
    expect(n).toBeLessThan(5000);
    if (n % 7 === 0) f.checkAll();
    // Records are written meanwhile, also in the segment being cleaned.
    f.set(`k${(n % 1000) * 8}`, Buffer.alloc(300, ((n % 1000) * 8) & 255));
  }
  expect(shard.logUnits).toBeLessThan(before / 2);
  for (let i = 0; i < 8000; i += 8) expect(f.get(`k${i}`)![5]).toBe(i & 255);
  f.checkAll();
});
