/**
 * What do sets and hashes cost in process, on one thread? One of a hundred thousand members, one of a million, and small
 * ones; by commands in pipelines of 16 through Client, Parser, Dispatcher and Store.
 *
 * CPU time of the process, best of three: the machine may be shared.
 * Run: npm run bench -- sets [--members N] [--only word]
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
const only = option("--only", "");
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
const transport = { write: (_bytes: Uint8Array, _offset: number, length: number) => length, end() {}, terminate() {} };
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
  for (let i = 0; i < input.length; i++) {
    client.receive(input[i]!);
  }
  return (cpuNanos() - before) / (input.length * BATCH);
}
function report(what: string, input: (() => Buffer[]) | Buffer[], rounds = 3): void {
  if (only !== "" && !what.includes(only)) return;
  const all: number[] = [];
  for (let i = 0; i < rounds; i++) all.push(run(typeof input === "function" ? input() : input));
  console.log(`${what.padEnd(44)} ${all.map((one) => one.toFixed(0).padStart(6)).join("")} ns`);
}

const drawn = (i: number) => `element:${String(i).padStart(12, "0")}`;
run(batches(4000, (i) => ["SADD", "warm", `m${(i * 7919) % 3000}`]));
run(batches(4000, (i) => ["SISMEMBER", "warm", `m${(i * 7919) % 6000}`]));
run(batches(100, () => ["SPOP", "warm"]));
run(batches(4000, () => ["SET", "text", "value"]));
report(
  "SET, one key",
  batches(8000, () => ["SET", "text", "value"]),
);
report(
  "SADD, one member that is there",
  batches(8000, () => ["SADD", "one", "element:1"]),
);
report(
  "SISMEMBER, set of 1",
  batches(8000, () => ["SISMEMBER", "one", "element:1"]),
);
report(
  "SPOP, key not there",
  batches(8000, () => ["SPOP", "none"]),
);
report(
  "SADD and SPOP, set of 1 (each)",
  batches(8000, (i) => (i % 2 === 0 ? ["SADD", "two", "x"] : ["SPOP", "two"])),
);
report(
  "HSET, one field that is there",
  batches(8000, () => ["HSET", "fields", "element:1", "xxx"]),
);
report(
  "HGET, hash of 1",
  batches(8000, () => ["HGET", "fields", "element:1"]),
);
const small = 100_000;
for (let i = 0; i < small; i++) {
  const fields = Array.from({ length: 10 }, (_, j) => [`field${j}`, `value${j}`]).flat();
  client.receive(Buffer.from(text("HSET", `small:${drawn(i)}`, ...fields)));
}
report("HGETALL, hashes of 10", () => batches(small >> 4, () => ["HGETALL", `small:${drawn(random.below(small))}`]));
report("HMGET, hashes of 10", () =>
  batches(small >> 4, () => ["HMGET", `small:${drawn(random.below(small))}`, "field2", "field5", "field8"]),
);

for (const size of [members / 10, members]) {
  const name = `of ${size}`;
  const order = Int32Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  const any = () => drawn(random.below(size));
  const many =
    (...command: (string | (() => string))[]) =>
    () =>
      batches(Math.min(size >> 4, 40_000), () => command.map((word) => (typeof word === "string" ? word : word())));
  report(
    `SADD, new, ${name}`,
    batches(size >> 4, (i) => ["SADD", `set${size}`, drawn(order[i]!)]),
    1,
  );
  report(`SADD, there, ${name}`, many("SADD", `set${size}`, any));
  report(`SISMEMBER, ${name}`, many("SISMEMBER", `set${size}`, any));
  report(`SRANDMEMBER, ${name}`, many("SRANDMEMBER", `set${size}`));
  report(
    `HSET, new, ${name}`,
    batches(size >> 4, (i) => ["HSET", `hash${size}`, drawn(order[i]!), "xxx"]),
    1,
  );
  report(`HSET, there, ${name}`, many("HSET", `hash${size}`, any, "xxx"));
  report(`HGET, ${name}`, many("HGET", `hash${size}`, any));
  report(
    `HSET, integers, ${name}`,
    batches(size >> 4, (i) => ["HSET", `counts${size}`, drawn(order[i]!), "100"]),
    1,
  );
  report(`HINCRBY, ${name}`, many("HINCRBY", `counts${size}`, any, "1"));
  report(
    `SPOP, ${name}`,
    batches(size >> 6, () => ["SPOP", `set${size}`]),
  );
}
report(
  "SINTERCARD of many with itself (a command)",
  batches(1, () => ["SINTERCARD", "2", `set${members}`, `set${members}`]),
  1,
);
report(
  "SUNIONSTORE of many (a command)",
  batches(1, () => ["SUNIONSTORE", "other", `set${members}`]),
  1,
);
