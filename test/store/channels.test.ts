/**
 * Goal:   the table of channels counts the clients of each worker per channel, shard channel and pattern, whatever the order
 *         of additions and removals; its memory is free again when the last client is gone.
 * Method: a model (a Map) gets the same seeded operations as the tables of two workers over one memory. The checker runs
 *         meanwhile. Few names, so that they come and go; many, so that buckets split and merge.
 */
import { expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { type ChannelEntry, ChannelKind, Channels } from "../../src/store/channels.ts";
import { testEngine } from "../support/engine.ts";
import { testSeed } from "../support/random.ts";

function twoWorkers() {
  const one = testEngine();
  const two = testEngine({ beside: one });
  const stores = [one.engine.store, two.engine.store];
  return { stores, tables: stores.map((store) => new Channels(store)) };
}

const KINDS = Object.values(ChannelKind);

test.each([
  ["few names", 12, 20_000],
  ["many names", 5000, 60_000],
])("against a model: %s", (_, names, steps) => {
  const random = new Random(testSeed());
  const { stores, tables } = twoWorkers();
  const used = () => stores[0]!.usedBytes + stores[1]!.usedBytes;
  const before = used();
  const model = new Map<string, [number, number]>();
  const keyOf = (kind: number, name: Buffer) => `${kind} ${name.toString("latin1")}`;
  const nameOf = (n: number) => Buffer.from(n % 7 === 0 ? `${"long".repeat(n % 300)}${n}` : `channel:${n}`);
  const checkName = (kind: ChannelKind, name: Buffer) => {
    const wanted = model.get(keyOf(kind, name)) ?? [0, 0];
    const table = tables[random.below(2)]!;
    const total = table.open(kind, name, 0, name.length);
    expect([...table.clients.subarray(0, 2)]).toEqual(wanted);
    expect(total).toBe(wanted[0] + wanted[1]);
    table.close();
  };
  let grows = true;
  for (let step = 0; step < steps; step++) {
    if (step % (steps >> 3) === 0) grows = !grows || step === 0;
    const worker = random.below(2);
    const kind = KINDS[random.below(3)]!;
    const name = nameOf(random.below(names));
    const key = keyOf(kind, name);
    const clients = model.get(key) ?? [0, 0];
    const table = tables[worker]!;
    const removes = random.below(4) < (grows ? 1 : 3);
    if (removes && clients[worker] === 0) continue;
    expect(table.reserve(name.length)).toBe(true);
    const version = table.patternVersion;
    table.open(kind, name, 0, name.length);
    if (removes) table.remove();
    else table.add();
    table.close();
    expect(table.patternVersion !== version).toBe(kind === ChannelKind.Pattern);
    clients[worker]! += removes ? -1 : 1;
    if (clients[0] + clients[1] === 0) model.delete(key);
    else model.set(key, clients);
    if (step % 50 === 0) checkName(kind, name);
    if (step % (steps >> 4) === 0) tables[0]!.check();
  }
  for (const kind of KINDS) {
    const wanted = [...model.keys()].filter((key) => key.startsWith(`${kind}`));
    const found: ChannelEntry[] = [];
    tables[1]!.each(kind, (entry) => found.push(entry));
    expect(found.map(({ name }) => keyOf(kind, name)).sort()).toEqual(wanted.sort());
    for (const { name, clients, total } of found) {
      const [a, b] = model.get(keyOf(kind, name))!;
      expect([clients[0], clients[1], total]).toEqual([a, b, a + b]);
    }
    expect(tables[0]!.count(kind)).toBe(wanted.length);
  }
  for (const [key, clients] of model) {
    const name = Buffer.from(key.slice(2), "latin1");
    for (const worker of [0, 1]) {
      for (let n = 0; n < clients[worker]!; n++) {
        tables[worker]!.open(Number(key[0]) as ChannelKind, name, 0, name.length);
        tables[worker]!.remove();
        tables[worker]!.close();
      }
    }
  }
  tables[0]!.check();
  expect(tables[0]!.subscribed).toBe(0);
  expect(used()).toBe(before);
});

test("a name may have any bytes and the length of a key", () => {
  const { tables } = twoWorkers();
  const [table] = tables as [Channels];
  for (const name of [Buffer.alloc(0), Buffer.from([0, 255, 13, 10]), Buffer.alloc(262_143, "x")]) {
    expect(table.reserve(name.length)).toBe(true);
    table.open(ChannelKind.Channel, name, 0, name.length);
    table.add();
    table.close();
    expect(table.open(ChannelKind.Shard, name, 0, name.length)).toBe(0);
    table.close();
    expect(table.open(ChannelKind.Channel, name, 0, name.length)).toBe(1);
    table.close();
  }
  table.check();
});
