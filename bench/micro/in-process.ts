/**
 * Cost of commands in process, on one thread, through Client, Parser, Dispatcher and Store, in pipelines of 16. The figure is
 * the lowest CPU time of several rounds, because the machine may be shared.
 *
 * Shared by the micro benches of the types. Options of all: --only word[,word], --rounds N.
 */
import { systemClock } from "../../src/base/clock.ts";
import { loadConfigText } from "../../src/base/config/load.ts";
import { readMachine } from "../../src/base/config/machine.ts";
import { realFiles } from "../../src/base/files.ts";
import { Random } from "../../src/base/random.ts";
import type { ServerServices } from "../../src/dispatch/services.ts";
import { Client } from "../../src/server/client.ts";
import { Engine } from "../../src/server/engine.ts";
import { Memory } from "../../src/server/memory.ts";

/** Value of a command line option, or `otherwise`. */
export function option(name: string, otherwise: string): string {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : process.argv[at + 1]!;
}

export const BATCH = 16;
export const random = new Random(1);
const rounds = Number(option("--rounds", "5"));
const only = option("--only", "").split(",");

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
/** The client's turn ended before its batch did. */
let isPutOff = false;
const host = {
  proceedLater() {
    isPutOff = true;
  },
  closed() {},
};
const client = new Client(1, engine, transport, host);
engine.beginTurn();

/** A command as it is sent. */
export function text(...args: string[]): string {
  return `*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join("")}`;
}

/** Runs one command that is not measured. */
export function send(...args: string[]): void {
  run([Buffer.from(text(...args))]);
}

/** `count` commands in batches, made before the clock runs. */
export function batches(count: number, make: (i: number) => string[]): Buffer[] {
  return Array.from({ length: Math.ceil(count / BATCH) }, (_, b) =>
    Buffer.from(Array.from({ length: BATCH }, (_, i) => text(...make(b * BATCH + i))).join("")),
  );
}

function cpuNanos(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/** Runs batches. Returns the CPU time of a command, ns. Throws at the first error reply. */
export function run(input: readonly Buffer[]): number {
  const before = cpuNanos();
  for (let i = 0; i < input.length; i++) {
    client.receive(input[i]!);
    while (isPutOff) {
      isPutOff = false;
      client.proceed();
    }
  }
  const each = (cpuNanos() - before) / (input.length * BATCH);
  if (refused !== "") throw new Error(refused);
  return each;
}

/** True when a case of this name is asked for. */
export function isWanted(what: string): boolean {
  return only.some((word) => what.includes(word));
}

/** Measures `count` commands, a few rounds of them; `before` each round, unmeasured. */
export function report(
  what: string,
  count: number,
  make: (i: number) => string[],
  wanted = rounds,
  before = () => {},
): void {
  if (!isWanted(what)) return;
  const all: number[] = [];
  for (let i = 0; i < wanted; i++) {
    const input = batches(count, make);
    before();
    all.push(run(input));
  }
  const least = Math.min(...all);
  console.log(`${what.padEnd(44)} ${nanos(least)} of${all.map(nanos).join("")} ns`);
}

/** Prints one figure, ns, that was measured once. */
export function reportOnce(what: string, each: number): void {
  console.log(`${what.padEnd(44)} ${nanos(each)} ns`);
}

function nanos(value: number): string {
  return value.toFixed(0).padStart(6);
}

/** `count` numbers from 0 on, shuffled. */
export function shuffled(count: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** A member as redis-benchmark draws them. */
export function drawn(i: number): string {
  return `element:${String(i).padStart(12, "0")}`;
}
