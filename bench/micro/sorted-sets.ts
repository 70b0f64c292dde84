/**
 * What do sorted sets cost in process, on one thread? The set of redis-benchmark's zadd, one of a million members, many
 * small ones; by commands in pipelines of 16 through Client, Parser, Dispatcher and Store.
 *
 * CPU time of the process, several rounds: the machine may be shared.
 * Run: npm run bench -- sorted-sets [--members N] [--only word[,word]] [--rounds N]
 */
import { systemClock } from "../../src/base/clock.ts";
import { loadConfigText } from "../../src/base/config/load.ts";
import { readMachine } from "../../src/base/config/machine.ts";
import { realFiles } from "../../src/base/files.ts";
import { Random } from "../../src/base/random.ts";
import type { ServerServices } from "../../src/commands/services.ts";
import { Client } from "../../src/server/client.ts";
import { Engine } from "../../src/server/engine.ts";
import { Memory } from "../../src/server/memory.ts";

function option(name: string, otherwise: string): string {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : process.argv[at + 1]!;
}
const members = Number(option("--members", "1000000"));
const rounds = Number(option("--rounds", "5"));
const only = option("--only", "").split(",");
const BATCH = 16;

const memory = new Memory({
  shards: 256,
  workers: 2,
  databases: 16,
  regionBytes: 1 << 30,
  regions: 2,
  seedA: 0x1234567,
  seedB: 0x7654321,
  hugePages: true,
});
const { config } = loadConfigText("", "bench", readMachine(realFiles));
const services = { wantRegion() {} } as unknown as ServerServices;
const engine = new Engine(memory.arena, 0, systemClock, config, services);
let refused = "";
const transport = {
  write(bytes: Uint8Array, offset: number, length: number) {
    if (bytes[offset] === 45) refused = Buffer.from(bytes.slice(offset, offset + 60)).toString();
    return length;
  },
  end() {},
  terminate() {},
};
const host = {
  sendAtEnd: () => false,
  sendTaken() {},
  proceedLater() {
    throw new Error("a command was put off");
  },
  closed() {},
};
const client = new Client(1, engine, transport, host);
engine.beginTurn();
const random = new Random(1);

const text = (...args: string[]) => `*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join("")}`;
/** Batches made before the clock runs. */
function batches(count: number, make: (i: number) => string[]): Buffer[] {
  return Array.from({ length: count }, (_, b) =>
    Buffer.from(Array.from({ length: BATCH }, (_, i) => text(...make(b * BATCH + i))).join("")),
  );
}
const cpuNanos = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
};
function run(input: Buffer[]): number {
  const before = cpuNanos();
  for (let i = 0; i < input.length; i++) client.receive(input[i]!);
  const each = (cpuNanos() - before) / (input.length * BATCH);
  if (refused !== "") throw new Error(refused);
  return each;
}
const isWanted = (what: string) => only.some((word) => what.includes(word));
function report(what: string, count: number, make: (i: number) => string[], wanted = rounds): void {
  if (!isWanted(what)) return;
  const all: number[] = [];
  for (let i = 0; i < wanted; i++) all.push(run(batches(count >> 4, make)));
  const least = Math.min(...all);
  console.log(
    `${what.padEnd(44)} ${least.toFixed(0).padStart(6)} of${all.map((one) => one.toFixed(0).padStart(6)).join("")} ns`,
  );
}

const drawn = (i: number) => `element:${String(i).padStart(12, "0")}`;
const score = () => String(random.below(members));
run(batches(4000, (i) => ["ZADD", "warm", String((i * 31) % 500), `m${(i * 7919) % 3000}`]));
report("SET, one key", 100_000, () => ["SET", "text", "value"]);
report("ZADD, set of 1", 100_000, () => ["ZADD", "one", "1", "element:000000000001"]);
report("ZADD, set of 1, other score", 100_000, (i) => ["ZADD", "one", String(i % 1000), "element:000000000001"]);

const RANGE = Number(option("--range", "100000"));
report("redis-benchmark's zadd", 400_000, () => [
  "ZADD",
  "myzset",
  String(random.below(RANGE)),
  drawn(random.below(RANGE)),
]);
report("redis-benchmark's zadd, with NX", 200_000, () => [
  "ZADD",
  "myzset",
  "NX",
  String(random.below(RANGE)),
  drawn(random.below(RANGE)),
]);
report("redis-benchmark's zpopmin", 50_000, () => ["ZPOPMIN", "myzset"], 1);

if (only.some((word) => "many".includes(word) || word.includes("many"))) {
  const order = Int32Array.from({ length: members }, (_, i) => i);
  for (let i = members - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  for (let part = 0; part < 10; part++) {
    const adding = batches(members / BATCH / 10, (i) => [
      "ZADD",
      "large",
      score(),
      drawn(order[(part * members) / 10 + i]!),
    ]);
    const each = run(adding);
    if (part % 3 === 0)
      console.log(`ZADD, new members, ${part + 1}/10 of ${members}`.padEnd(44), each.toFixed(0).padStart(6), "ns");
  }
  const count = 100_000;
  const any = () => drawn(random.below(members));
  report("many: ZADD, other score", count, () => ["ZADD", "large", score(), any()]);
  report("many: ZINCRBY 1", count, () => ["ZINCRBY", "large", "1", any()]);
  report("many: ZINCRBY by much", count, () => ["ZINCRBY", "large", String(random.below(1000)), any()]);
  report("many: ZSCORE", count, () => ["ZSCORE", "large", any()]);
  report("many: ZRANK", count, () => ["ZRANK", "large", any()]);
  report("many: ZCOUNT", count, () => ["ZCOUNT", "large", score(), score()]);
  report("many: ZRANGE of 100", count >> 3, () => {
    const from = random.below(members - 100);
    return ["ZRANGE", "large", String(from), String(from + 99)];
  });
  report("many: ZRANGE of 100 WITHSCORES", count >> 3, () => {
    const from = random.below(members - 100);
    return ["ZRANGE", "large", String(from), String(from + 99), "WITHSCORES"];
  });
  report("many: ZRANGEBYSCORE LIMIT 0 10", count, () => [
    "ZRANGEBYSCORE",
    "large",
    score(),
    "+inf",
    "LIMIT",
    "0",
    "10",
  ]);
  report("many: ZADD and ZREM (each)", count, (i) =>
    i % 2 === 0 ? ["ZADD", "large", "5", "x"] : ["ZREM", "large", "x"],
  );
  report("many: ZPOPMIN", count, () => ["ZPOPMIN", "large"], 2);
}

for (const [what, size, keys] of [
  ["tens", 10, 100_000],
  ["hundreds", 100, 1000],
] as const) {
  if (!isWanted(what)) continue;
  const any = () => `m:${random.below(size)}`;
  const key = () => `${what}:${random.below(keys)}`;
  run(
    batches((keys * size) >> 4, (i) => [
      "ZADD",
      `${what}:${i % keys}`,
      String((i * 7919) % 1000),
      `m:${Math.floor(i / keys)}`,
    ]),
  );
  report(`${what}: ZADD`, 100_000, () => ["ZADD", key(), score(), any()]);
  report(`${what}: ZINCRBY 1`, 100_000, () => ["ZINCRBY", key(), "1", any()]);
  report(`${what}: ZSCORE`, 100_000, () => ["ZSCORE", key(), any()]);
  report(`${what}: ZRANK`, 100_000, () => ["ZRANK", key(), any()]);
  report(`${what}: ZRANGE 0 9`, 100_000, () => ["ZRANGE", key(), "0", "9"]);
}
