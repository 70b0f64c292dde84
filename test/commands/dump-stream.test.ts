/**
 * Goal:   complete streams are exchanged with Redis. An untrusted payload is refused without harm. A long DUMP shows one
 *         moment and holds no lock.
 * Method: seeded commands (test/support/streams.ts) make the same streams in an engine in process and in redis-server. Each
 *         restores the other's payloads, and XINFO STREAM FULL, XRANGE and XPENDING are compared. Payloads are truncated at
 *         every byte and damaged by seed, and given the right checksum. Ferrite refuses every payload that Redis refuses.
 *         A payload that only Ferrite refuses makes an inconsistent stream in Redis.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { StalledClient, type TestEngine, testEngine } from "../support/engine.ts";
import { withFooter } from "../support/generator.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { type Argument, type Reply, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, type Server, startRedis } from "../support/servers.ts";
import { StreamCommands } from "../support/streams.ts";

const hasRedis = requireRedis();
const KEYS = ["s1", "s2", "s3"];
const RDB_OF_REDIS = 10;
let server: Server;
let theirs: RespClient;
beforeAll(async () => {
  if (!hasRedis) return;
  server = await startRedis({ args: ["--sanitize-dump-payload", "yes", "--stream-node-max-entries", "7"] });
  theirs = await server.connect();
});
afterAll(() => server?.stop());

function ask(...args: Argument[]): Promise<Reply> {
  return within(theirs.command(...args), 10_000, String(args[0]));
}

function textOf(reply: Reply): string {
  if (reply.type !== "bulk") throw new Error(show(reply));
  return reply.value;
}
function bytesOf(payload: string): Buffer {
  return Buffer.from(payload, "latin1");
}

/** Fields that differ between versions, or that describe nodes. */
const LEFT_OUT = new Set(["radix-tree-keys", "radix-tree-nodes", "active-time", "lag"]);

/** Fields and values alternately, without the omitted ones. */
function plain(reply: Reply): Reply {
  if (reply.type === "error") return { type: "error", value: reply.value.split(" ")[0]! };
  if (reply.type !== "array") return reply;
  const value: Reply[] = [];
  for (let i = 0; i < reply.value.length; i++) {
    const item = reply.value[i]!;
    if (item.type === "bulk" && LEFT_OUT.has(item.value)) i++;
    else value.push(plain(item));
  }
  return { type: "array", value };
}

async function full(send: (...args: string[]) => Reply | Promise<Reply>, key: string): Promise<string> {
  const replies = [await send("XINFO", "STREAM", key, "FULL", "COUNT", "0"), await send("XRANGE", key, "-", "+")];
  for (const group of ["g1", "g2", "group-with-a-longer-name", ""]) replies.push(await send("XPENDING", key, group));
  return clamped(replies.map((reply) => show(plain(reply))).join("\n"));
}

/** In Redis 7.0 a group may have read more entries than were ever added. */
function clamped(text: string): string {
  const added = BigInt(/"entries-added", :(\d+)/.exec(text)?.[1] ?? 0);
  return text.replace(/"entries-read", :(\d+)/g, (field, read: string) =>
    BigInt(read) > added ? `"entries-read", :${added}` : field,
  );
}

function limited(engine: TestEngine): TestEngine {
  engine.checksEach = false;
  engine.config.apply([{ name: "storage.stream_node_max_entries", value: 7, previous: 100 }]);
  return engine;
}

/** Streams that random commands do not make: wide IDs, large values, many lists of names, no entries. */
const SPECIAL: readonly string[][] = [
  ["XADD", "wide", "0-1", "a", "1"],
  ["XADD", "wide", "5-18446744073709551615", "a", "-1"],
  ["XADD", "wide", "6-0", "a", "9223372036854775807", "-9223372036854775808", "-0"],
  ["XADD", "wide", "9007199254740993-7", "a", "007"],
  ["XADD", "wide", "18446744073709551614-18446744073709551615", "b", "128"],
  ["XADD", "wide", "18446744073709551615-3", "b", "-4097"],
  ["XADD", "large", "1-1", "field", "x".repeat(70_000), "n".repeat(4096), "y"],
  ["XADD", "large", "1-2", "", "z".repeat(63), "f".repeat(600), "w".repeat(4095)],
  ...Array.from({ length: 40 }, (_, i) => ["XADD", "names", `1-${i + 1}`, `name${i % 20}`, String(i * 1000 - 20_000)]),
  ["XGROUP", "CREATE", "empty", "g1", "5-5", "MKSTREAM", "ENTRIESREAD", "3"],
  ["XGROUP", "CREATECONSUMER", "empty", "g1", ""],
  ["XGROUP", "CREATE", "empty", "g2", "0", "ENTRIESREAD", "9223372036854775807"],
  ["XADD", "deleted", "7-7", "a", "b"],
  ["XDEL", "deleted", "7-7"],
];
const SPECIAL_KEYS = ["wide", "large", "names", "empty", "deleted"];

/** Runs the same commands on both. */
async function fillBoth(engine: TestEngine, seed: number, steps: number): Promise<void> {
  await ask("FLUSHALL");
  engine.send("FLUSHALL");
  const commands = new StreamCommands(new SeededRandom(seed));
  const all = [...SPECIAL, ...Array.from({ length: steps }, () => commands.next())];
  for (let from = 0; from < all.length; from += 200) {
    const part = all.slice(from, from + 200);
    await within(theirs.pipeline(part), 10_000, "filling");
    for (const args of part) engine.send(...args);
  }
}

describe("streams in DUMP and RESTORE", () => {
  test.skipIf(!hasRedis)("are exchanged with Redis in both directions", async () => {
    const engine = limited(testEngine({ regionBytes: 64 << 20 }));
    const ours = (...args: Argument[]) => engine.client.reply(...args);
    for (let round = 0; round < 2; round++) {
      await fillBoth(engine, testSeed() + round, 1000);
      for (const key of [...KEYS, ...SPECIAL_KEYS]) {
        // The random commands may have removed the key.
        const exists = show(await ask("EXISTS", key));
        expect({ key, exists: engine.send("EXISTS", key) }).toEqual({ key, exists });
        if (exists === ":0") continue;
        const fromRedis = textOf(await ask("DUMP", key));
        const fromHere = textOf(ours("DUMP", key));
        expect([fromRedis.charCodeAt(0), fromHere.charCodeAt(0)]).toEqual([19, 19]);
        expect(engine.send("RESTORE", "back", "0", bytesOf(fromRedis), "REPLACE")).toBe("+OK");
        expect({ key, is: await full(ours, "back") }).toEqual({ key, is: await full(ask, key) });
        expect(show(await ask("RESTORE", "back", "0", bytesOf(fromHere), "REPLACE"))).toBe("+OK");
        expect({ key, is: await full(ask, "back") }).toEqual({ key, is: await full(ours, key) });
        // A stream from Redis can be used like one made here.
        expect(engine.send("XADD", "back", "*", "a", "b")).toMatch(/^"|exhausted/);
        engine.checkNow();
      }
    }
    expect(engine.send("RESTORE", "back", "0", bytesOf(textOf(ours("DUMP", "s1"))))).toBe(
      "-BUSYKEY Target key name already exists.",
    );
    expect(engine.send("RESTORE", "timed", "5000", bytesOf(textOf(ours("DUMP", "s1"))))).toBe("+OK");
    expect(engine.send("PTTL", "timed")).toBe(":5000");
    engine.send("FLUSHALL");
    engine.checkNow();
  });

  test("a long one is dumped as of one moment, and holds no lock", () => {
    const engine = limited(testEngine({ regions: 8 }));
    const add = (from: number, to: number) => {
      for (let i = from; i < to; i++) engine.send("XADD", "s", `${i}-1`, "field", String(i), "b", "v".repeat(i % 50));
    };
    add(1, 4000);
    engine.send("XGROUP", "CREATE", "s", "g", "0");
    for (const consumer of ["c1", "c2"]) {
      engine.send("XREADGROUP", "GROUP", "g", consumer, "COUNT", "1500", "STREAMS", "s", ">");
    }
    const before = textOf(engine.client.reply("DUMP", "s"));
    const client = new StalledClient(engine);
    client.send("DUMP", "s");
    expect(pins(engine)).toBe(1);
    add(4000, 4500);
    engine.send("XACK", "s", "g", ...Array.from({ length: 700 }, (_, i) => `${i * 4 + 1}-1`));
    engine.send("XGROUP", "DELCONSUMER", "s", "g", "c1");
    engine.send("XTRIM", "s", "MAXLEN", "100");
    engine.send("DEL", "s");
    const reply = client.drain();
    expect(pins(engine)).toBe(0);
    expect(reply === `$${before.length}\r\n${before}\r\n`).toBe(true);
    expect(engine.send("RESTORE", "s", "0", bytesOf(before))).toBe("+OK");
    expect(textOf(engine.client.reply("DUMP", "s")) === before).toBe(true);
    expect(engine.send("XPENDING", "s", "g")).toBe('*[:3000, "1-1", "3000-1", *[*["c1", "1500"], *["c2", "1500"]]]');
    engine.checkNow();
  });

  test("of older and newer versions are read", () => {
    const engine = testEngine();
    const entries = rdbText(id(5, 1)) + rdbText(listpack([1, 0, 1, "f", 0, 2, 0, 0, "v", 4]));
    const state = "\x01\x05\x01";
    const pending = `\x01${id(5, 1)}${time(1000)}\x03`;
    const first = `${char(15)}\x01${entries}${state}\x01${rdbText("g")}\x05\x01${pending}\x01${rdbText("c")}${time(2000)}\x01${id(5, 1)}`;
    expect(engine.send("RESTORE", "first", "0", payloadOf(first))).toBe("+OK");
    expect(engine.send("XINFO", "STREAM", "first", "FULL")).toContain(
      '"last-generated-id", "5-1", "max-deleted-entry-id", "0-0", "entries-added", :1, "recorded-first-entry-id", "5-1"',
    );
    expect(engine.send("XINFO", "STREAM", "first", "FULL")).toContain(
      '"last-delivered-id", "5-1", "entries-read", :1, "lag", :0, "pel-count", :1, "pending", *[*["5-1", "c", :1000, :3]]',
    );
    expect(engine.send("XINFO", "STREAM", "first", "FULL")).toContain('"seen-time", :2000, "active-time", :2000');
    const third = (active: string) =>
      `${char(21)}\x01${entries}${state}\x05\x01\0\0\x02\x01${rdbText("g")}\x05\x01\x02${pending}\x01${rdbText("c")}${time(2000)}${active}\x01${id(5, 1)}`;
    for (const [active, told] of [
      [time(1500), "1500"],
      ["\xff".repeat(8), "-1"],
    ] as const) {
      expect(engine.send("RESTORE", "third", "0", payloadOf(third(active)), "REPLACE")).toBe("+OK");
      expect(engine.send("XINFO", "STREAM", "third", "FULL")).toContain(`"seen-time", :2000, "active-time", :${told}`);
    }
    expect(engine.send("XADD", "third", "5-2", "f", "w")).toBe('"5-2"');
    expect(engine.send("XRANGE", "third", "-", "+")).toBe('*[*["5-1", *["f", "v"]], *["5-2", *["f", "w"]]]');
  });

  test("with impossible counts, IDs and owners are refused, and change nothing", () => {
    const engine = testEngine();
    engine.send("SET", "k", "stays");
    const master = (values: (string | number)[]) => rdbText(id(5, 1)) + rdbText(listpack(values));
    const one = [1, 0, 1, "f", 0, 2, 0, 0, "v", 4];
    const body = (nodes: string, count: string, rest: string) => char(19) + nodes + count + rest;
    const state = `\x05\x02\x05\x01\0\0\x02`;
    const group = (rest: string) => `\x01${rdbText("g")}\x05\x01\x01${rest}`;
    const pending = `${id(5, 1)}${time(1000)}\x01`;
    const consumer = (name: string, ...ids: string[]) => rdbText(name) + time(1) + char(ids.length) + ids.join("");
    const node = `\x01${master(one)}`;
    const sound = [
      body(node, "\x01", `${state}\0`),
      body(node, "\x01", state + group("\0\0")),
      body(node, "\x01", state + group(`\x01${pending}\x01${consumer("c", id(5, 1))}`)),
      body("\0", "\0", `\0\0\0\0\0\0\0\0`),
      body(
        `\x01${master([1, 1, 1, "f", 0, 3, 0, 0, "x", 4, 0, 1, -1, 1, "g", 7, 6])}`,
        "\x01",
        `\x06\0\x06\0\0\0\x02\0`,
      ),
    ];
    const huge = ["\x80\x7f\xff\xff\xff", "\x81\0\0\xff\xff\xff\xff\xff\xff", "\x81\xff\xff\xff\xff\xff\xff\xff\xff"];
    const bad = [
      ...huge.flatMap((count) => [
        char(19) + count + master(one),
        body(node, count, `${state}\0`),
        body(node, "\x01", state + count),
        body(node, "\x01", state + group(count + pending)),
        body(node, "\x01", state + group(`\x01${pending}${count}${consumer("c", id(5, 1))}`)),
        body(node, "\x01", state + group(`\x01${pending}\x01${rdbText("c")}${time(1)}${count}${id(5, 1)}`)),
        `${char(19)}\x01\xc3\x03${count}\0aa`,
      ]),
      body(node, "\x02", `${state}\0`),
      body(node, "\x01", `\x05\0\x05\x01\0\0\x02\0`),
      body(node, "\x01", `\x05\x01\x05\x01\0\0\0\0`),
      body(`\x02${master(one)}${master(one)}`, "\x02", `${state}\0`),
      body(`\x02${master([1, 0, 1, "f", 0, 2, 1, 0, "v", 4])}${master(one)}`, "\x02", `${state}\0`),
      body(`\x01${rdbText("short")}${rdbText(listpack(one))}`, "\x01", `${state}\0`),
      ...[
        [],
        [0, 0, 1, "f", 0, 2, 0, 0, "v", 4],
        [2, 0, 1, "f", 0, 2, 0, 0, "v", 4],
        [1, 1, 1, "f", 0, 2, 0, 0, "v", 4],
        [1, 0, 2, "f", 0, 2, 0, 0, "v", 4],
        [1, 0, -1, 0, 2, 0, 0, 2],
        [1, 0, 1, "f", 1, 2, 0, 0, "v", 4],
        [1, 0, 1, "f", 0, 2, 0, 0, "v", 5],
        [1, 0, 1, "f", 0, 2, 0, 0, "v", 4, 0],
        [1, 0, 1, "f", 0, 3, 0, 0, "v", 4],
        [1, 0, 1, "f", 0, 0, 0, 0, 1, "g", "w", 5],
        [1, 0, 1, "f", 0, 0, 0, 0, 0, 4],
        ["1x", 0, 1, "f", 0, 2, 0, 0, "v", 4],
        [2, 0, 1, "f", 0, 2, 0, 0, "v", 4, 2, 0, 0, "v", 4],
      ].map((values) => body(`\x01${master(values)}`, char(Number(values[0]) || 0), `${state}\0`)),
      // Owners: none, two, one of an entry that is not pending; their order, names and times.
      body(node, "\x01", state + group(`\x01${pending}\0`)),
      body(node, "\x01", state + group(`\x01${pending}\x02${consumer("c", id(5, 1))}${consumer("d", id(5, 1))}`)),
      body(node, "\x01", state + group(`\x01${pending}\x01${consumer("c", id(5, 1), id(5, 1))}`)),
      body(node, "\x01", state + group(`\x01${pending}\x01${consumer("c", id(5, 2))}`)),
      body(node, "\x01", state + group(`\x01${pending}\x01${consumer("c")}`)),
      body(node, "\x01", state + group(`\x02${pending}${pending}\x01${consumer("c", id(5, 1))}`)),
      body(node, "\x01", state + group(`\0\x02${consumer("c")}${consumer("c")}`)),
      body(node, "\x01", `${state}\x02${group("\0\0").slice(1)}${group("\0\0").slice(1)}`),
      body(node, "\x01", state + group(`\x01${id(5, 1)}${"\xff".repeat(8)}\x01\x01${consumer("c", id(5, 1))}`)),
      body(node, "\x01", state + group(`\0\x01${rdbText("c")}${"\x7f".repeat(8)}\0`)),
    ];
    for (const [i, sample] of sound.entries()) {
      expect({ i, reply: engine.send("RESTORE", "sound", "0", payloadOf(sample), "REPLACE") }).toEqual({
        i,
        reply: "+OK",
      });
      // Truncated anywhere, it is refused.
      for (let length = 1; length < sample.length; length++) bad.push(sample.slice(0, length));
    }
    for (const sample of bad) {
      const reply = engine.send("RESTORE", "k", "0", payloadOf(sample), "REPLACE");
      expect({ sample, reply }).toEqual({ sample, reply: "-ERR Bad data format" });
    }
    expect(engine.send("GET", "k")).toBe('"stays"');
  });

  test.skipIf(!hasRedis)(
    "damaged ones are refused where Redis refuses them",
    async () => {
      const engine = limited(testEngine({ regions: 8 }));
      const random = new SeededRandom(testSeed());
      await fillBoth(engine, testSeed(), 400);
      const bodies: string[] = [];
      for (const key of [...KEYS, ...SPECIAL_KEYS]) {
        for (const dump of [await ask("DUMP", key), engine.client.reply("DUMP", key)]) {
          // The last random command may have deleted the key.
          if (dump.type === "null") continue;
          if (textOf(dump).length < 6000) bodies.push(textOf(dump).slice(0, -10));
        }
      }
      let refused = 0;
      let accepted = 0;
      for (let round = 0; round < 700; round++) {
        const body = bytesOf(random.pick(bodies));
        for (let damage = random.below(4); damage > 0; damage--) {
          const at = random.below(2) === 0 ? random.below(Math.min(body.length, 200)) : random.below(body.length);
          body[at] = random.below(2) === 0 ? random.below(256) : body[at]! ^ (1 << random.below(8));
        }
        if (body[0] !== 19 && body[0] !== 15) continue;
        const payload = payloadOf(body.toString("latin1"));
        const theirReply = await ask("RESTORE", "damaged", "0", payload, "REPLACE");
        const reply = engine.send("RESTORE", "damaged", "0", payload, "REPLACE");
        const context = { round, body: body.toString("hex"), reply };
        if (theirReply.type === "error") {
          refused++;
          expect(context).toEqual({ ...context, reply: `-${theirReply.value}` });
          continue;
        }
        const is = await full(ask, "damaged");
        if (reply === "+OK") {
          accepted++;
          const ours = await full((...args) => engine.client.reply(...args), "damaged");
          expect({ ...context, is: withoutDerived(ours) }).toEqual({ ...context, is: withoutDerived(is) });
        } else {
          expect({ ...context, is, isStrange: await isStrange("damaged", body) }).toEqual({
            ...context,
            is,
            isStrange: true,
          });
        }
      }
      engine.checkNow();
      expect(refused).toBeGreaterThan(100);
      expect(accepted).toBeGreaterThan(100);
    },
    60_000,
  );
});

function pins(engine: TestEngine): number {
  const { store } = engine.engine;
  let total = 0;
  for (const shard of store.shards) total += shard.pins;
  return total;
}

/** Ferrite computes the first ID, rounds counts beyond 2^53, and takes negative ones as unknown. */
function withoutDerived(text: string): string {
  return text
    .replace(/"recorded-first-entry-id", "[^"]*"/, "")
    .replace(/"entries-read", :-\d+/g, '"entries-read", null$')
    .replace(/:(\d{12})\d{4,}/g, ":$1");
}

function idsOf(reply: Reply): bigint[] {
  if (reply.type !== "array") return [];
  return reply.value.map((entry) => {
    const [ms, sequence] = textOf((entry as { value: Reply[] }).value[0]!).split("-");
    return (BigInt(ms!) << 64n) | BigInt(sequence!);
  });
}

/** True when Redis accepted a value of `key` that it cannot write, or that no command can make. */
async function isStrange(key: string, body: Buffer): Promise<boolean> {
  if (textOf(await ask("DUMP", key)).slice(0, -10) !== body.toString("latin1")) return true;
  const info = await ask("XINFO", "STREAM", key, "FULL", "COUNT", "0");
  const text = show(info);
  const ids = idsOf(await ask("XRANGE", key, "-", "+"));
  const [, length, last, added] = /"length", :(\d+).*"last-generated-id", "(\d+-\d+)".*"entries-added", :(-?\d+)/.exec(
    text,
  )!;
  const [ms, sequence] = last!.split("-");
  const top = (BigInt(ms!) << 64n) | BigInt(sequence!);
  const rises = ids.every((value, i) => i === 0 || value > ids[i - 1]!);
  return (
    ids.length !== Number(length) ||
    !rises ||
    (ids.length > 0 && ids[ids.length - 1]! > top) ||
    BigInt(added!) < BigInt(ids.length) ||
    /:-\d/.test(text) ||
    /:\d{16}/.test(text) ||
    STRANGER.test(text)
  );
}
const STRANGER = /\*\["\d+-\d+", \*\[\]\]/;

const char = String.fromCharCode;
function u32(value: number): string {
  return char(value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >>> 24) & 255);
}
function id(ms: number, sequence: number): string {
  return `\0\0\0\0\0\0\0${char(ms)}\0\0\0\0\0\0\0${char(sequence)}`;
}
function time(ms: number): string {
  return `${u32(ms)}\0\0\0\0`;
}
function rdbText(text: string): string {
  return (text.length < 64 ? char(text.length) : char(0x40 | (text.length >> 8), text.length & 255)) + text;
}
/** A listpack of short texts and small integers. */
function listpack(values: readonly (string | number)[]): string {
  const body = values.map((value) => {
    const data =
      typeof value === "string"
        ? char(0x80 | value.length) + value
        : value >= 0
          ? char(value)
          : char(0xc0 | ((value >> 8) & 0x1f), value & 255);
    return data + char(data.length);
  });
  const all = body.join("");
  return `${u32(all.length + 7)}${char(values.length, 0)}${all}\xff`;
}
function payloadOf(body: string): Buffer {
  return bytesOf(withFooter(body, RDB_OF_REDIS));
}
