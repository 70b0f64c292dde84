/**
 * Goal:   a start after a planned stop goes on with the memory of the process before it, with and without a disk tier and an
 *         append-only file: the same data, nothing of its clients, and everything that changes afterwards is kept. Whenever the
 *         image is damaged, is of another configuration, or does not stand for the data file, that file is loaded instead.
 * Method: values of every type, clients that block, watch, track and subscribe; SIGTERM; start; DEBUG DIGEST and DEBUG CHECK under
 *         FERRITE_CHECKS=1; images cut and flipped; kill -9 at the named steps.
 */
import { expect, test } from "bun:test";
import {
  appendFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Config, FROM_RUNTIME } from "../../src/base/config/config.ts";
import type { Logger } from "../../src/base/log.ts";
import { findImage } from "../../src/server/image-control.ts";
import { type Argument, type RespClient, show } from "../support/resp.ts";
import type { FerriteOptions, Server } from "../support/servers.ts";
import { restarts } from "../support/restarts.ts";
import { ALL_COLD, guarded } from "../support/tier-server.ts";

const { ask, figure, until } = guarded(30_000);

const { newDirectory, startOn } = restarts("ferrite-image-", (server) => server.kill());

const MEMORY = { "storage.num_shards": "16", "storage.region_size": "16mb" };
const TIERED = { ...ALL_COLD, "storage.region_size": "16mb" };
const NO_AOF = { ...MEMORY, "persistence.enable_aof": "false" };

async function start(dataDir: string, settings: Record<string, string>, more: FerriteOptions = {}): Promise<Server> {
  return startOn(dataDir, {
    settings: {
      "persistence.stop_image": "yes",
      "server.enable_debug_command": "yes",
      "storage.tier_promotion": "false",
      ...settings,
    },
    env: { FERRITE_CHECKS: "1", ...more.env },
    ...more,
  });
}

const IMAGE = "stop.image";
const USED = /DB loaded from the stop image: (\d+) keys/;
const PASSED_OVER = /the stop image is not used, the data is loaded instead: ([^\n]*)/;

async function stop(server: Server, directory: string): Promise<void> {
  const { code } = await server.stop();
  expect(`${code} ${code === 0 ? "" : server.log()}`).toBe("0 ");
  expect(`${existsSync(join(directory, IMAGE))} ${server.log().match(/no stop image is written[^\n]*/) ?? ""}`).toBe(
    "true ",
  );
}

const FAR = String(Date.now() + 1e8);
const LIBRARY = "#!lua name=lib\nredis.register_function('twice', function(k, a) return a[1] .. a[1] end)";

/** Values of every type and encoding, in two databases. */
async function fill(client: RespClient): Promise<void> {
  const numbers = Array.from({ length: 600 }, (_, n) => n);
  const text = (n: number): string => `value ${n} `.repeat(4 + (n % 9));
  const commands: Argument[][] = [
    ["SET", "int", "12345"],
    ["SET", "raw", "some bytes that are no number"],
    ["SET", "chunked", "chunk ".repeat(40_000)],
    ["SET", "due", text(1), "PXAT", FAR],
    ["SET", "soon", "gone", "PX", "1"],
    ["RPUSH", "list", "a", "b", "c"],
    ["RPUSH", "long list", ...numbers.map(text)],
    ["HSET", "hash", "field", "value", "other", "9"],
    ["HSET", "large hash", ...numbers.flatMap((n) => [`field ${n}`, text(n)])],
    ["HPEXPIREAT", "large hash", FAR, "FIELDS", "2", "field 1", "field 2"],
    ["SADD", "ints", "1", "2", "3"],
    ["SADD", "set", "a", "b"],
    ["SADD", "large set", ...numbers.map(text)],
    ["ZADD", "sorted", "1.5", "a", "-inf", "b"],
    ["ZADD", "large sorted", ...numbers.flatMap((n) => [String(n * 1.25), `member ${n}`])],
    ...numbers.slice(0, 300).map((n) => ["XADD", "stream", `${n + 1}-1`, "field", text(n)]),
    ["XGROUP", "CREATE", "stream", "group", "0"],
    ["XREADGROUP", "GROUP", "group", "someone", "COUNT", "7", "STREAMS", "stream", ">"],
    ["XDEL", "stream", "5-1"],
    ["PFADD", "counted", ...numbers.map(String)],
    ["GEOADD", "places", "13.4", "52.5", "Berlin"],
    ["FUNCTION", "LOAD", "REPLACE", LIBRARY],
    ["SELECT", "3"],
    ...numbers.map((n) => ["SET", `key:${n}`, text(n)]),
    ["DEL", ...numbers.slice(550).map((n) => `key:${n}`)],
    ["SWAPDB", "3", "5"],
    ["SELECT", "0"],
  ];
  for (const reply of await client.pipeline(commands)) expect(show(reply)).not.toMatch(/^-/);
}

/** Clients that leave something in memory, and are there when the server stops. */
async function crowd(server: Server): Promise<RespClient[]> {
  const clients = await Promise.all(Array.from({ length: 8 }, () => server.connect()));
  const [blocked, watching, tracking, subscribed, multi, reading] = clients as [RespClient, ...RespClient[]] &
    RespClient[];
  void blocked.command("BLPOP", "nothing", "0").catch(() => {});
  await watching!.command("WATCH", "int", "list");
  await tracking!.command("HELLO", "3");
  await tracking!.command("CLIENT", "TRACKING", "ON");
  for (const key of ["int", "raw", "list"]) await tracking!.command("TTL", key);
  await tracking!.command("GET", "raw");
  await subscribed!.command("SUBSCRIBE", "channel");
  await multi!.command("MULTI");
  await multi!.command("SET", "int", "0");
  await reading!.command("SCRIPT", "LOAD", "return 1");
  void reading!.command("XREAD", "BLOCK", "0", "STREAMS", "stream", "$").catch(() => {});
  await Bun.sleep(20);
  return clients;
}

async function digest(client: RespClient): Promise<string> {
  const parts = [await ask(client, "DEBUG", "DIGEST")];
  for (const key of ["large hash", "due", "list"]) parts.push(await ask(client, "PEXPIRETIME", key));
  parts.push(await ask(client, "HPEXPIRETIME", "large hash", "FIELDS", "2", "field 1", "field 3"));
  for (const args of [
    ["XINFO", "STREAM", "stream", "FULL"],
    ["OBJECT", "ENCODING", "ints"],
    ["FUNCTION", "LIST"],
  ])
    parts.push((await ask(client, ...args)).replace(/(seen|active)-time[^,]*,[^,]*/g, ""));
  return parts.join("\n");
}

/** Everything works on the data that was taken over: changes of all kinds, also those that free memory. */
async function change(client: RespClient): Promise<void> {
  const commands: Argument[][] = [
    ["APPEND", "raw", " more"],
    ["APPEND", "chunked", "end"],
    ["LPUSH", "long list", "first"],
    ["LREM", "long list", "0", "value 9 ".repeat(13)],
    ["HDEL", "large hash", ...Array.from({ length: 300 }, (_, n) => `field ${n}`)],
    ["ZREMRANGEBYRANK", "large sorted", "10", "500"],
    ["XACK", "stream", "group", "1-1"],
    ["XADD", "stream", "*", "f", "v"],
    ["SPOP", "set"],
    ["COPY", "large set", "copied", "REPLACE"],
    ["DEL", "places"],
    ["FCALL", "twice", "0", "x"],
    ["SELECT", "5"],
    ...Array.from({ length: 900 }, (_, n) => ["SET", `key:${n}`, `new ${n}`.repeat(20)]),
    ["SELECT", "0"],
  ];
  for (const reply of await client.pipeline(commands)) expect(show(reply)).not.toMatch(/^-/);
}

for (const [name, settings] of Object.entries({
  "in memory": MEMORY,
  "on disk": TIERED,
  "without an append-only file": NO_AOF,
}))
  test(`values of every type ${name}: taken over, changed, taken over again, and nothing is lost by kill -9`, async () => {
    const directory = newDirectory();
    let server = await start(directory, settings);
    let client = await server.connect();
    await fill(client);
    const isTiered = settings === TIERED;
    if (isTiered)
      await until(async () => (await figure(client, "hybridlog", "tier_cold_values")) > 500, "values on disk");
    for (let round = 0; round < (isTiered ? 2 : 1); round++) {
      const others = await crowd(server);
      const before = await digest(client);
      const keys = Number((await ask(client, "DBSIZE")).slice(1));
      await stop(server, directory);
      for (const each of [client, ...others]) each.close();
      server = await start(directory, settings);
      client = await server.connect();
      expect(server.log()).toMatch(USED);
      expect(existsSync(join(directory, IMAGE))).toBe(false);
      if (isTiered) expect(await figure(client, "hybridlog", "tier_cold_values")).toBeGreaterThan(500);
      expect(await digest(client)).toBe(before);
      expect(await ask(client, "DBSIZE")).toBe(`:${keys}`);
      expect(await ask(client, "GET", "soon")).toBe("null$");
      expect(await ask(client, "DEBUG", "CHECK")).toMatch(/^:\d{3}/);
      expect(await ask(client, "SCRIPT", "EXISTS", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db")).toBe("*[:0]");
      await change(client);
    }
    const last = await digest(client);
    if (settings === NO_AOF) expect(await ask(client, "SAVE")).toBe("+OK");
    client.close();
    await server.kill();
    server = await start(directory, settings);
    client = await server.connect();
    expect(server.log()).not.toMatch(USED);
    expect(await digest(client)).toBe(last);
    client.close();
  }, 60_000);

/** A stopped server's directory, which each case gets a copy of. */
async function stoppedTiered(): Promise<{ directory: string; expected: string }> {
  const directory = newDirectory();
  const server = await start(directory, TIERED);
  const client = await server.connect();
  await client.pipeline(Array.from({ length: 400 }, (_, n) => ["SET", `key:${n}`, `value ${n} `.repeat(30)]));
  await client.pipeline([
    ["RPUSH", "list", ..."abcdef"],
    ["SET", "chunked", "chunk ".repeat(20_000)],
  ]);
  await until(async () => (await figure(client, "hybridlog", "tier_cold_values")) >= 400, "values on disk");
  const expected = await ask(client, "DEBUG", "DIGEST");
  await stop(server, directory);
  client.close();
  return { directory, expected };
}

function copyOf(directory: string): string {
  const copy = newDirectory();
  cpSync(directory, copy, { recursive: true, preserveTimestamps: true });
  return copy;
}

function flip(path: string, at: (bytes: number) => number): void {
  const bytes = readFileSync(path);
  bytes[at(bytes.length)]! ^= 4;
  writeFileSync(path, bytes);
}

/** Starts in a directory, and returns what the log says of the image. The data must be `expected`. */
async function restart(directory: string, expected: string, settings: Record<string, string>): Promise<string> {
  const server = await start(directory, { ...TIERED, ...settings });
  const client = await server.connect();
  const text = server.log();
  expect(await ask(client, "DEBUG", "DIGEST")).toBe(expected);
  expect(existsSync(join(directory, IMAGE))).toBe(false);
  client.close();
  await server.kill();
  return USED.test(text) ? "used" : (PASSED_OVER.exec(text)?.[1] ?? text);
}

const segmentOf = (copy: string): string => join(copy, "segments", readdirSync(join(copy, "segments"))[0]!);
const aofOf = (copy: string): string => join(copy, "appendonly.aof");

test("an image that is damaged, or not of the append-only file, is passed over, and the data is right", async () => {
  const { directory, expected } = await stoppedTiered();
  const cases: [RegExp, (copy: string) => void][] = [
    [/^used$/, () => {}],
    [/checksum of block 0/, (copy) => flip(join(copy, IMAGE), () => 300_000)],
    [/segment file \d+ is not as it was/, (copy) => flip(segmentOf(copy), () => 9)],
    [/appendonly\.aof has changed/, (copy) => appendFileSync(aofOf(copy), "*1\r\n$4\r\nPING\r\n")],
  ];
  for (const [reason, prepare] of cases) {
    const copy = copyOf(directory);
    prepare(copy);
    expect(await restart(copy, expected, {})).toMatch(reason);
  }
  await objections(directory);
}, 60_000);

/** What the start finds before any thread is there. */
async function objections(directory: string): Promise<void> {
  const cases: [string, (copy: string) => void, Record<string, unknown>][] = [
    ["", () => {}, {}],
    ["its length is wrong", (copy) => truncateSync(join(copy, IMAGE), 100_000), {}],
    ["it is too short", (copy) => truncateSync(join(copy, IMAGE), 100), {}],
    ["the checksum of its head does not match", (copy) => flip(join(copy, IMAGE), () => 60), {}],
    ["it is no image, or one of another version", (copy) => flip(join(copy, IMAGE), () => 3), {}],
    ["appendonly.aof has changed since it was written", (copy) => flip(aofOf(copy), (bytes) => bytes - 3), {}],
    ["appendonly.aof has changed since it was written", (copy) => rmSync(aofOf(copy)), {}],
    ["the number of workers was 2, and is 3", () => {}, { "server.worker_threads": 3 }],
    ["storage.num_shards was 16, and is 32", () => {}, { "storage.num_shards": 32 }],
    ["storage.region_size was 16777216, and is 33554432", () => {}, { "storage.region_size": 32 << 20 }],
    ["server.databases was 16, and is 17", () => {}, { "server.databases": 17 }],
    ["storage.tiering is off, and values are on disk", () => {}, { "storage.tiering": false }],
    ["max_memory is less than it takes", () => {}, { "storage.max_memory": 1000 }],
    ["persistence.stop_image is no", () => {}, { "persistence.stop_image": "no" }],
  ];
  for (const [reason, prepare, settings] of cases) {
    const copy = copyOf(directory);
    prepare(copy);
    const config = new Config("", { memoryBytes: 1 << 30, cgroupMemoryBytes: 0, cpus: 2 });
    const own = {
      "storage.data_dir": copy,
      "storage.num_shards": 16,
      "storage.region_size": 16 << 20,
      "storage.tiering": true,
    };
    for (const [name, value] of Object.entries({ ...own, "persistence.stop_image": "yes", ...settings }))
      config.place(name, value as string, FROM_RUNTIME);
    const warned: string[] = [];
    const log = { warn: (text: string) => warned.push(text) } as unknown as Logger;
    const head = findImage(config, log);
    const said = PASSED_OVER.exec(warned.join("\n"))?.[1] ?? "";
    expect([said, head !== null, existsSync(join(copy, IMAGE))]).toEqual([reason, reason === "", reason === ""]);
  }
}

test("killed at each step: an image is whole or not there, and is used once", async () => {
  const { directory, expected } = await stoppedTiered();
  const killed = async (copy: string, step: string, stops: boolean): Promise<void> => {
    const server = await start(copy, TIERED, {
      env: { FERRITE_CHECKS: "1", FERRITE_KILL_AT: step },
      waitForReply: stops,
    });
    if (stops) server.signal("SIGTERM");
    expect(`${step} ${(await server.exited).signal}`).toBe(`${step} SIGKILL`);
  };
  for (const [step, stops, then] of [
    ["image-written", true, false],
    ["image-named", true, true],
    ["image-used", false, true],
    ["image-removed", false, false],
  ] as const) {
    const copy = copyOf(directory);
    await killed(copy, step, stops);
    const said = await restart(copy, expected, {});
    expect(`${step} ${said === "used"}`).toBe(`${step} ${then}`);
    expect(readdirSync(copy).filter((name) => name.startsWith("temp-"))).toEqual([]);
  }
}, 60_000);

test("who connects while an image is put in place hears LOADING, and finds the data afterwards", async () => {
  const directory = newDirectory();
  const first = await start(directory, MEMORY);
  const client = await first.connect();
  await ask(client, "SET", "key", "kept");
  client.close();
  await stop(first, directory);
  const held = join(directory, "held");
  writeFileSync(held, "");
  const env = { FERRITE_CHECKS: "1", FERRITE_HOLD_AT: `image-used:${held}` };
  const server = await start(directory, MEMORY, { env, waitForReply: false });
  /** What a new connection hears; "" = there is none. */
  const heard = async (...command: string[]): Promise<string> => {
    const other = await server.connect().catch(() => null);
    if (other === null) return "";
    const reply = await other.command(...command).then(show, () => "closed");
    other.close();
    return reply;
  };
  await until(async () => (await heard("PING")) !== "", "the port is open");
  for (const command of [["PING"], ["INFO"], ["SET", "key", "lost"], ["SUBSCRIBE", "channel"]])
    expect(await heard(...command)).toBe("-LOADING Ferrite is loading the dataset in memory");
  rmSync(held);
  await until(async () => (await heard("GET", "key")) === '"kept"', "the data is there");
  expect(server.log()).toMatch(USED);
}, 60_000);

test("no image is written without a reason to trust it, or where it is not wanted", async () => {
  const cases: [RegExp, Record<string, string>, Argument[][]][] = [
    [/saved|Ready/, { "persistence.stop_image": "auto" }, []],
    [/Ready/, {}, [["SHUTDOWN", "NOSAVE"]]],
    [/DEBUG CLOCK/, {}, [["DEBUG", "CLOCK", "ADVANCE", "5000"]]],
    [
      /dump\.rdb does not have all changes/,
      { ...NO_AOF, "persistence.checkpoint_on_shutdown": "false" },
      [["SAVE"], ["SET", "b", "1"]],
    ],
    [/there is no data file/, { ...NO_AOF, "persistence.enable_checkpoints": "false" }, []],
  ];
  for (const [reason, settings, commands] of cases) {
    const directory = newDirectory();
    const server = await start(directory, { ...MEMORY, ...settings });
    const client = await server.connect();
    await client.command("SET", "a", "1");
    for (const command of commands) await client.command(...command).catch(() => {});
    expect((await server.stop()).code).toBe(0);
    expect(server.log()).toMatch(reason);
    expect(existsSync(join(directory, IMAGE))).toBe(false);
    client.close();
  }
}, 60_000);
