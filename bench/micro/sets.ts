/**
 * What do sets cost in process, on one thread? One set of a million members, and many small ones; by commands in
 * pipelines of 16 through Client, Parser, Dispatcher and Store.
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
const order = Int32Array.from({ length: members }, (_, i) => i);
for (let i = members - 1; i > 0; i--) {
  const j = random.below(i + 1);
  [order[i], order[j]] = [order[j]!, order[i]!];
}
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
const adding = batches(members >> 4, (i) => ["SADD", "large", drawn(order[i]!)]);
console.log(`SADD, ${members} new members`.padEnd(44), run(adding).toFixed(0).padStart(6), "ns");
const looked = () => batches(members >> 5, () => ["SISMEMBER", "large", drawn(random.below(members))]);
report("SISMEMBER, random of many", looked);
report(
  "SRANDMEMBER of many",
  batches(members >> 5, () => ["SRANDMEMBER", "large"]),
);
report("SADD, member that is there, of many", () =>
  batches(members >> 5, () => ["SADD", "large", drawn(random.below(members))]),
);
report(
  "SPOP of many",
  batches(members >> 6, () => ["SPOP", "large"]),
);
report(
  "SINTERCARD of many with itself (a command)",
  batches(1, () => ["SINTERCARD", "2", "large", "large"]),
  1,
);
report(
  "SUNIONSTORE of many (a command)",
  batches(1, () => ["SUNIONSTORE", "other", "large"]),
  1,
);
