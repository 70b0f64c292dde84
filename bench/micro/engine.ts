/**
 * Speed of the engine in process, on one thread: 1 million keys of 16 bytes with values of 64, random keys.
 *
 *   store    find + read, find + write, under the shard lock, through Store alone
 *   client   bytes in, bytes out, through Client, Parser, Dispatcher and Store, in pipelines
 *
 * Goal: GET 3 M/s, SET 1.5 M/s with pipelines of 16.
 * Run: npm run bench -- engine [--keys N] [--no-huge-pages] [--no-ahead] [--pipeline N]
 */
import { NO_ADDRESS } from "../../src/store/address.ts";
import { systemClock } from "../../src/base/clock.ts";
import { loadConfigText } from "../../src/base/config/load.ts";
import { readMachine } from "../../src/base/config/machine.ts";
import { realFiles } from "../../src/base/files.ts";
import { Random } from "../../src/base/random.ts";
import type { ServerServices } from "../../src/dispatch/services.ts";
import { Client } from "../../src/server/client.ts";
import { Engine } from "../../src/server/engine.ts";
import { Memory } from "../../src/server/memory.ts";
import { Reply } from "../../src/protocol/reply.ts";
import { StringValue } from "../../src/store/string-value.ts";

const KEY_BYTES = 16;
const VALUE_BYTES = 64;

function option(name: string, otherwise: number): number {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
}
const keys = option("--keys", 1_000_000);
const hugePages = !process.argv.includes("--no-huge-pages");
const ahead = !process.argv.includes("--no-ahead");
const pipelines = process.argv.includes("--pipeline") ? [option("--pipeline", 16)] : [1, 16, 64];
const seconds = option("--seconds", 0.6);

const memory = new Memory({
  shards: 256,
  workers: 2,
  databases: 16,
  regionBytes: 1 << 30,
  regions: 2,
  seedA: 0x1234567,
  seedB: 0x7654321,
  hugePages,
});
const { config } = loadConfigText("", "bench", readMachine(realFiles));
const services = { wantRegion() {} } as unknown as ServerServices;
const engine = new Engine(memory.arena, 0, systemClock, config, services);
const { store } = engine;
const transport = { write: (_bytes: Uint8Array, _offset: number, length: number) => length, end() {}, terminate() {} };
const host = {
  proceedLater() {
    throw new Error("a command was put off");
  },
  closed() {},
};
const client = new Client(1, engine, transport, host);
if (!ahead) {
  // Keeps the hashing, but removes the prefetch of bucket and record.
  store.index.prefetchBucket = () => -1;
}

/** Key `n` as text: "key:" and 12 digits. */
const PREFIX = "key:";
function writeKey(bytes: Buffer, at: number, n: number): void {
  for (let digit = KEY_BYTES - 1; digit >= PREFIX.length; digit--) {
    const rest = (n / 10) | 0;
    bytes[at + digit] = 48 + n - rest * 10;
    n = rest;
  }
}

const random = new Random(1);
/** Random key numbers, drawn before the clock runs. */
const numbers = new Int32Array(1 << 20);
for (let i = 0; i < numbers.length; i++) numbers[i] = random.below(keys);
const value = Buffer.alloc(VALUE_BYTES, 120);

function report(what: string, operations: number, nanos: number): void {
  const each = nanos / operations;
  console.log(`${what.padEnd(34)} ${each.toFixed(0).padStart(6)} ns   ${(1000 / each).toFixed(2)} M/s`);
}

/** Rounds of each kind at least, however slow the machine is. */
const ROUNDS_MIN = 200;

/**
 * Runs `round` (which returns the operations it did) for about `seconds`. The figure is that of the tenth percentile of the
 * rounds, which last a few milliseconds: neighbours on the machine interrupt some rounds, but not the fastest.
 */
function measure(what: string, round: (from: number) => number): void {
  const nanos: number[] = [];
  let from = 0;
  const end = Bun.nanoseconds() + seconds * 1e9;
  for (let start = Bun.nanoseconds(); start < end || nanos.length < ROUNDS_MIN; ) {
    const operations = round(from);
    const now = Bun.nanoseconds();
    nanos.push((now - start) / operations);
    start = now;
    from = (from + 4096) & (numbers.length - 1);
  }
  nanos.sort((a, b) => a - b);
  report(what, 1, nanos[Math.floor(nanos.length / 10)]!);
}

// ---- store ----

const strings = new StringValue(store);
const keyBytes = Buffer.alloc(KEY_BYTES);
keyBytes.write(PREFIX);
const key = store.newKey();

function storeSet(n: number): void {
  writeKey(keyBytes, 0, n);
  key.load(keyBytes, 0, KEY_BYTES);
  const shard = store.shardOf(key.hashA);
  store.section.enter(shard);
  store.select(0, key);
  store.prepareInsert();
  store.find();
  strings.set(value, 0, VALUE_BYTES, 0);
  store.section.leave();
}

const reply = new Reply();
function storeGet(n: number): void {
  writeKey(keyBytes, 0, n);
  key.load(keyBytes, 0, KEY_BYTES);
  const shard = store.shardOf(key.hashA);
  store.section.enter(shard);
  store.select(0, key);
  if (store.findForRead() !== NO_ADDRESS) reply.bulk(store.cursor.b, store.cursor.rawAt, store.cursor.valueBytes);
  store.section.leave();
}

engine.beginTurn();
const loading = Bun.nanoseconds();
for (let n = 0; n < keys; n++) storeSet(n);
report("store: load in order", keys, Bun.nanoseconds() - loading);

let sum = 0;
measure("drawing and writing a key", (from) => {
  for (let i = 0; i < 4096; i++) {
    writeKey(keyBytes, 0, numbers[from + i]!);
    sum += keyBytes[15]!;
  }
  return 4096;
});
measure("+ hash", (from) => {
  for (let i = 0; i < 4096; i++) {
    writeKey(keyBytes, 0, numbers[from + i]!);
    key.load(keyBytes, 0, KEY_BYTES);
    sum += key.hashA;
  }
  return 4096;
});
measure("+ lock and unlock of its shard", (from) => {
  for (let i = 0; i < 4096; i++) {
    writeKey(keyBytes, 0, numbers[from + i]!);
    key.load(keyBytes, 0, KEY_BYTES);
    const shard = store.shardOf(key.hashA);
    store.section.enter(shard);
    store.section.leave();
  }
  return 4096;
});
measure("+ find", (from) => {
  for (let i = 0; i < 4096; i++) {
    writeKey(keyBytes, 0, numbers[from + i]!);
    key.load(keyBytes, 0, KEY_BYTES);
    const shard = store.shardOf(key.hashA);
    store.section.enter(shard);
    store.select(0, key);
    sum += store.find();
    store.section.leave();
  }
  return 4096;
});
measure("store: GET (with reply)", (from) => {
  for (let i = 0; i < 4096; i++) {
    storeGet(numbers[from + i]!);
    if (reply.at > 60_000) reply.at = 0;
  }
  return 4096;
});
measure("store: SET", (from) => {
  for (let i = 0; i < 4096; i++) storeSet(numbers[from + i]!);
  return 4096;
});

// ---- client ----

function pipeline(command: string, depth: number): { bytes: Buffer; first: number; stride: number } {
  const one =
    command === "GET"
      ? `*2\r\n$3\r\nGET\r\n$16\r\n${PREFIX}000000000000\r\n`
      : command === "SET"
        ? `*3\r\n$3\r\nSET\r\n$16\r\n${PREFIX}000000000000\r\n$64\r\n${"x".repeat(VALUE_BYTES)}\r\n`
        : "*1\r\n$4\r\nPING\r\n";
  return { bytes: Buffer.from(one.repeat(depth)), first: one.indexOf(PREFIX), stride: one.length };
}

for (const depth of pipelines) {
  for (const command of ["PING", "GET", "SET"]) {
    const { bytes, first, stride } = pipeline(command, depth);
    const rounds = Math.max(1, Math.floor(4096 / depth));
    measure(`client: ${command}, pipeline of ${depth}`, (from) => {
      for (let round = 0; round < rounds; round++) {
        if (first >= 0) {
          for (let i = 0; i < depth; i++) writeKey(bytes, first + i * stride, numbers[from + round * depth + i]!);
        }
        client.receive(bytes);
      }
      return rounds * depth;
    });
  }
}
const { parser } = engine;
for (const command of ["GET", "SET"]) {
  const { bytes } = pipeline(command, 16);
  measure(`parser alone: ${command}, pipeline of 16`, () => {
    for (let round = 0; round < 256; round++)
      sum += parser.parse(bytes, 0, bytes.length, 256, client.input.progress, true);
    return 4096;
  });
}
if (sum === 42) console.log("");
