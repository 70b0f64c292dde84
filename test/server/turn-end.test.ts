/**
 * Goal:   a handler writes its reply to memory only. Sockets are written and closed when the turn ends, with no shard
 *         lock held, so a client that is dropped in the middle of a command leaves the command's work whole.
 * Method: every writing command runs with the reply buffer nearly full, for a client that exceeds its output limit with its
 *         first reply and holds a pin on a removed value. The transport asserts that no lock is held when it is called.
 *         Afterwards the data equals that of an engine in which the same command ran undisturbed.
 */
import { describe, expect, test } from "bun:test";
import { Client } from "../../src/server/client.ts";
import { WRITE } from "../../src/dispatch/spec.ts";
import { type TestEngine, testEngine } from "../support/engine.ts";
import { type Argument, encodeCommand } from "../support/resp.ts";

/** Size of the reply buffer. It is handed on when the next reply does not fit. */
const BUFFER_BYTES = 512 << 10;
/** A string long enough that GET pins it. */
const PINNED_BYTES = 200 << 10;
/** Less than a pinned reply and a full buffer. */
const HARD_LIMIT = 600 << 10;

function heldLocks(engine: TestEngine): number {
  const { store } = engine.engine;
  let held = 0;
  for (const shard of store.shards) if (shard.isLocked) held++;
  return held;
}

/** A client whose socket accepts `credit` bytes, and asserts on each use that no lock is held. */
class Watched {
  readonly client: Client;
  credit = 0;
  calls: string[] = [];
  readonly locksHeld: string[] = [];
  readonly taken: Buffer[] = [];

  constructor(owner: TestEngine) {
    const note = (what: string) => {
      this.calls.push(what);
      if (heldLocks(owner) > 0) this.locksHeld.push(what);
    };
    this.client = new Client(
      3000,
      owner.engine,
      {
        write: (bytes, offset, length) => {
          note("write");
          const part = Math.min(length, this.credit);
          this.credit -= part;
          this.taken.push(Buffer.from(bytes.subarray(offset, offset + part)));
          return part;
        },
        end: () => {
          note("end");
          this.client.disconnected();
        },
        terminate: () => {
          note("terminate");
          this.client.disconnected();
        },
      },
      owner,
    );
  }

  send(...commands: Argument[][]): void {
    this.client.receive(Buffer.concat(commands.map((command) => encodeCommand(command))));
  }
  get text(): string {
    return Buffer.concat(this.taken).toString("latin1");
  }
}

/** Commands whose replies leave two bytes of the buffer free. */
function filling(): Argument[][] {
  const echo = (bytes: number): Argument[] => ["ECHO", "x".repeat(bytes)];
  const replyBytes = (bytes: number) => `$${bytes}\r\n`.length + bytes + 2;
  const commands = Array.from({ length: 8 }, () => echo(60_000));
  let left = BUFFER_BYTES - 8 * replyBytes(60_000);
  const last = left - 200;
  commands.push(echo(last));
  left -= replyBytes(last);
  for (; left >= 7; left -= 7) commands.push(["PING"]);
  return commands;
}

interface Example {
  before?: Argument[][];
  run: Argument[];
}
const VALUE = "v".repeat(60_000);
const ITEMS = Array.from({ length: 40 }, (_, i) => `item:${i}`);
const SCORED = ITEMS.flatMap((item, i) => [`${i}`, item]);
const FIELDS = ITEMS.flatMap((item) => [item, `value of ${item}`]);
const string: Argument[][] = [["SET", "k", VALUE]];
const number: Argument[][] = [["SET", "k", "41"]];
const list: Argument[][] = [["RPUSH", "k", ...ITEMS]];
const set: Argument[][] = [
  ["SADD", "k", ...ITEMS],
  ["SADD", "other", "item:1", "item:99"],
];
const hash: Argument[][] = [["HSET", "k", ...FIELDS]];
const sorted: Argument[][] = [
  ["ZADD", "k", ...SCORED],
  ["ZADD", "other", "3", "item:1", "4", "item:99"],
];
const places: Argument[][] = [["GEOADD", "k", "13.361389", "38.115556", "a", "15.087269", "37.502669", "b"]];
const stream: Argument[][] = [
  ...Array.from({ length: 10 }, (_, i) => ["XADD", "k", `${i + 1}-0`, "field", `${i}`]),
  ["XGROUP", "CREATE", "k", "group", "0"],
];
const pending: Argument[][] = [...stream, ["XREADGROUP", "GROUP", "group", "reader", "STREAMS", "k", ">"]];
const LATER = "9999999999";
const payload = payloadOf("a value");

/** The reply of DUMP for a string. */
function payloadOf(text: string): Buffer {
  const engine = testEngine();
  engine.send("SET", "k", text);
  const reply = engine.client.reply("DUMP", "k");
  return Buffer.from((reply as { value: string }).value, "latin1");
}

const EXAMPLES: Record<string, Example> = {
  SET: { before: string, run: ["SET", "k", "new", "GET"] },
  GETEX: { before: string, run: ["GETEX", "k", "EX", "100"] },
  GETDEL: { before: string, run: ["GETDEL", "k"] },
  GETSET: { before: string, run: ["GETSET", "k", "new"] },
  SETNX: { run: ["SETNX", "k", "v"] },
  SETEX: { run: ["SETEX", "k", "100", "v"] },
  PSETEX: { run: ["PSETEX", "k", "100000", "v"] },
  MSET: { run: ["MSET", "k", "v", "other", "w"] },
  MSETNX: { run: ["MSETNX", "k", "v", "other", "w"] },
  APPEND: { before: string, run: ["APPEND", "k", "more"] },
  SETRANGE: { before: string, run: ["SETRANGE", "k", "10", "more"] },
  INCR: { before: number, run: ["INCR", "k"] },
  DECR: { before: number, run: ["DECR", "k"] },
  INCRBY: { before: number, run: ["INCRBY", "k", "7"] },
  DECRBY: { before: number, run: ["DECRBY", "k", "7"] },
  INCRBYFLOAT: { before: number, run: ["INCRBYFLOAT", "k", "0.5"] },
  DELEX: { before: string, run: ["DELEX", "k"] },
  DELIFEQ: { before: number, run: ["DELIFEQ", "k", "41"] },
  MSETEX: { run: ["MSETEX", "2", "k", "v", "other", "w", "EX", "100"] },
  INCREX: { before: number, run: ["INCREX", "k"] },
  SETBIT: { before: number, run: ["SETBIT", "k", "7", "1"] },
  BITOP: { before: [...number, ["SET", "other", "ab"]], run: ["BITOP", "OR", "target", "k", "other"] },
  BITFIELD: { before: number, run: ["BITFIELD", "k", "GET", "u8", "0", "SET", "u8", "0", "65"] },
  PFADD: { run: ["PFADD", "k", "a", "b"] },
  PFMERGE: { before: [["PFADD", "other", "a", "b"]], run: ["PFMERGE", "k", "other"] },
  PFDEBUG: { before: [["PFADD", "k", "a", "b"]], run: ["PFDEBUG", "GETREG", "k"] },
  SADD: { before: set, run: ["SADD", "k", "new"] },
  SREM: { before: set, run: ["SREM", "k", "item:1"] },
  SPOP: { before: set, run: ["SPOP", "k", "100"] },
  SMOVE: { before: set, run: ["SMOVE", "k", "other", "item:3"] },
  SINTERSTORE: { before: set, run: ["SINTERSTORE", "target", "k", "other"] },
  SUNIONSTORE: { before: set, run: ["SUNIONSTORE", "target", "k", "other"] },
  SDIFFSTORE: { before: set, run: ["SDIFFSTORE", "target", "k", "other"] },
  SEXPIRE: { before: set, run: ["SEXPIRE", "k", "100", "MEMBERS", "1", "item:1"] },
  SPEXPIRE: { before: set, run: ["SPEXPIRE", "k", "100000", "MEMBERS", "1", "item:1"] },
  SEXPIREAT: { before: set, run: ["SEXPIREAT", "k", LATER, "MEMBERS", "1", "item:1"] },
  SPEXPIREAT: { before: set, run: ["SPEXPIREAT", "k", `${LATER}000`, "MEMBERS", "1", "item:1"] },
  SPERSIST: {
    before: [...set, ["SEXPIRE", "k", "100", "MEMBERS", "1", "item:1"]],
    run: ["SPERSIST", "k", "MEMBERS", "1", "item:1"],
  },
  HSET: { before: hash, run: ["HSET", "k", "item:1", "new"] },
  HSETNX: { before: hash, run: ["HSETNX", "k", "new", "value"] },
  HMSET: { before: hash, run: ["HMSET", "k", "item:1", "new"] },
  HDEL: { before: hash, run: ["HDEL", "k", "item:1"] },
  HINCRBY: { before: hash, run: ["HINCRBY", "k", "count", "5"] },
  HINCRBYFLOAT: { before: hash, run: ["HINCRBYFLOAT", "k", "count", "0.5"] },
  HEXPIRE: { before: hash, run: ["HEXPIRE", "k", "100", "FIELDS", "1", "item:1"] },
  HPEXPIRE: { before: hash, run: ["HPEXPIRE", "k", "100000", "FIELDS", "1", "item:1"] },
  HEXPIREAT: { before: hash, run: ["HEXPIREAT", "k", LATER, "FIELDS", "1", "item:1"] },
  HPEXPIREAT: { before: hash, run: ["HPEXPIREAT", "k", `${LATER}000`, "FIELDS", "1", "item:1"] },
  HPERSIST: {
    before: [...hash, ["HEXPIRE", "k", "100", "FIELDS", "1", "item:1"]],
    run: ["HPERSIST", "k", "FIELDS", "1", "item:1"],
  },
  HGETEX: { before: hash, run: ["HGETEX", "k", "EX", "100", "FIELDS", "2", "item:1", "item:2"] },
  HSETEX: { before: hash, run: ["HSETEX", "k", "EX", "100", "FIELDS", "1", "item:1", "new"] },
  HGETDEL: { before: hash, run: ["HGETDEL", "k", "FIELDS", "3", "item:1", "item:2", "item:3"] },
  LPUSH: { before: list, run: ["LPUSH", "k", "new"] },
  RPUSH: { before: list, run: ["RPUSH", "k", "new"] },
  LPUSHX: { before: list, run: ["LPUSHX", "k", "new"] },
  RPUSHX: { before: list, run: ["RPUSHX", "k", "new"] },
  LPOP: { before: list, run: ["LPOP", "k", "100"] },
  RPOP: { before: list, run: ["RPOP", "k", "3"] },
  LSET: { before: list, run: ["LSET", "k", "1", "new"] },
  LTRIM: { before: list, run: ["LTRIM", "k", "1", "3"] },
  LREM: { before: list, run: ["LREM", "k", "0", "item:3"] },
  LINSERT: { before: list, run: ["LINSERT", "k", "BEFORE", "item:3", "new"] },
  LMOVE: { before: list, run: ["LMOVE", "k", "other", "LEFT", "RIGHT"] },
  RPOPLPUSH: { before: list, run: ["RPOPLPUSH", "k", "other"] },
  LMPOP: { before: list, run: ["LMPOP", "2", "other", "k", "LEFT", "COUNT", "100"] },
  BLPOP: { before: list, run: ["BLPOP", "k", "0"] },
  BRPOP: { before: list, run: ["BRPOP", "other", "k", "0"] },
  BLMOVE: { before: list, run: ["BLMOVE", "k", "other", "LEFT", "RIGHT", "0"] },
  BRPOPLPUSH: { before: list, run: ["BRPOPLPUSH", "k", "other", "0"] },
  BLMPOP: { before: list, run: ["BLMPOP", "0", "1", "k", "LEFT", "COUNT", "3"] },
  BZPOPMIN: { before: sorted, run: ["BZPOPMIN", "k", "0"] },
  BZPOPMAX: { before: sorted, run: ["BZPOPMAX", "k", "0"] },
  BZMPOP: { before: sorted, run: ["BZMPOP", "0", "1", "k", "MIN", "COUNT", "100"] },
  DEL: { before: string, run: ["DEL", "k", "other"] },
  UNLINK: { before: string, run: ["UNLINK", "k", "other"] },
  RENAME: { before: string, run: ["RENAME", "k", "target"] },
  RENAMENX: { before: string, run: ["RENAMENX", "k", "target"] },
  COPY: { before: string, run: ["COPY", "k", "target"] },
  MOVE: { before: string, run: ["MOVE", "k", "1"] },
  SWAPDB: { before: string, run: ["SWAPDB", "0", "1"] },
  FLUSHDB: { before: string, run: ["FLUSHDB"] },
  FLUSHALL: { before: string, run: ["FLUSHALL"] },
  FUNCTION: { run: ["FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() end)"] },
  EXPIRE: { before: string, run: ["EXPIRE", "k", "100"] },
  PEXPIRE: { before: string, run: ["PEXPIRE", "k", "100000"] },
  EXPIREAT: { before: string, run: ["EXPIREAT", "k", LATER] },
  PEXPIREAT: { before: string, run: ["PEXPIREAT", "k", `${LATER}000`] },
  PERSIST: { before: [...string, ["EXPIRE", "k", "100"]], run: ["PERSIST", "k"] },
  SORT: { before: [["RPUSH", "k", "3", "1", "2"]], run: ["SORT", "k", "STORE", "target"] },
  ZADD: { before: sorted, run: ["ZADD", "k", "INCR", "5", "item:1"] },
  ZINCRBY: { before: sorted, run: ["ZINCRBY", "k", "5", "item:1"] },
  ZREM: { before: sorted, run: ["ZREM", "k", "item:1"] },
  ZRANGESTORE: { before: sorted, run: ["ZRANGESTORE", "target", "k", "1", "5"] },
  ZREMRANGEBYRANK: { before: sorted, run: ["ZREMRANGEBYRANK", "k", "1", "5"] },
  ZREMRANGEBYSCORE: { before: sorted, run: ["ZREMRANGEBYSCORE", "k", "1", "5"] },
  ZREMRANGEBYLEX: { before: sorted, run: ["ZREMRANGEBYLEX", "k", "-", "+"] },
  ZPOPMIN: { before: sorted, run: ["ZPOPMIN", "k", "100"] },
  ZPOPMAX: { before: sorted, run: ["ZPOPMAX", "k", "3"] },
  ZMPOP: { before: sorted, run: ["ZMPOP", "1", "k", "MIN", "COUNT", "100"] },
  ZUNIONSTORE: { before: sorted, run: ["ZUNIONSTORE", "target", "2", "k", "other"] },
  ZINTERSTORE: { before: sorted, run: ["ZINTERSTORE", "target", "2", "k", "other"] },
  ZDIFFSTORE: { before: sorted, run: ["ZDIFFSTORE", "target", "2", "k", "other"] },
  ZEXPIRE: { before: sorted, run: ["ZEXPIRE", "k", "100", "MEMBERS", "1", "item:1"] },
  ZPEXPIRE: { before: sorted, run: ["ZPEXPIRE", "k", "100000", "MEMBERS", "1", "item:1"] },
  ZEXPIREAT: { before: sorted, run: ["ZEXPIREAT", "k", LATER, "MEMBERS", "1", "item:1"] },
  ZPEXPIREAT: { before: sorted, run: ["ZPEXPIREAT", "k", `${LATER}000`, "MEMBERS", "1", "item:1"] },
  ZPERSIST: {
    before: [...sorted, ["ZEXPIRE", "k", "100", "MEMBERS", "1", "item:1"]],
    run: ["ZPERSIST", "k", "MEMBERS", "1", "item:1"],
  },
  GEOADD: { before: places, run: ["GEOADD", "k", "14", "38", "c"] },
  GEOSEARCHSTORE: {
    before: places,
    run: ["GEOSEARCHSTORE", "target", "k", "FROMLONLAT", "15", "37", "BYRADIUS", "500", "km"],
  },
  GEORADIUS: { before: places, run: ["GEORADIUS", "k", "15", "37", "500", "km", "STORE", "target"] },
  GEORADIUSBYMEMBER: { before: places, run: ["GEORADIUSBYMEMBER", "k", "a", "500", "km", "STORE", "target"] },
  RESTORE: {
    run: ["RESTORE", "k", "0", payload],
  },
  XADD: { before: stream, run: ["XADD", "k", "100-0", "field", "value"] },
  XDEL: { before: stream, run: ["XDEL", "k", "1-0", "2-0"] },
  XDELEX: { before: stream, run: ["XDELEX", "k", "IDS", "2", "1-0", "2-0"] },
  XTRIM: { before: stream, run: ["XTRIM", "k", "MAXLEN", "2"] },
  XSETID: { before: stream, run: ["XSETID", "k", "200-0"] },
  XREADGROUP: { before: stream, run: ["XREADGROUP", "GROUP", "group", "reader", "STREAMS", "k", ">"] },
  XGROUP: { before: stream, run: ["XGROUP", "CREATE", "k", "second", "0"] },
  XACK: { before: pending, run: ["XACK", "k", "group", "1-0", "2-0"] },
  XACKDEL: { before: pending, run: ["XACKDEL", "k", "group", "IDS", "2", "1-0", "2-0"] },
  XCLAIM: { before: pending, run: ["XCLAIM", "k", "group", "second", "0", "1-0", "2-0"] },
  XAUTOCLAIM: { before: pending, run: ["XAUTOCLAIM", "k", "group", "second", "0", "0"] },
};
/** Commands with random results. Only the number of members that are left is compared. */
const BY_CHANCE = new Set(["SPOP"]);

function prepared(example: Example): TestEngine {
  const engine = testEngine({ regions: 4, services: { isLocal: () => true } });
  engine.checksEach = false;
  engine.send("SET", "pinned", "p".repeat(PINNED_BYTES));
  for (const command of example.before ?? []) engine.send(...command);
  return engine;
}

function contentOf(engine: TestEngine, name: string): string {
  if (BY_CHANCE.has(name)) return engine.send("SCARD", "k");
  if (name === "FUNCTION") return engine.send("FUNCTION", "LIST", "WITHCODE");
  return [0, 1].map((db) => `${engine.send("SELECT", `${db}`)}${engine.send("DEBUG", "DIGEST")}`).join();
}

describe("a client that passes its output limit in the middle of a command", () => {
  test("every command that writes has an example", () => {
    const { all } = testEngine().engine.dispatcher.table;
    const writes = all.filter(
      (spec) => (spec.flags & WRITE) !== 0 || spec.subcommands?.some((sub) => (sub.flags & WRITE) !== 0) === true,
    );
    expect(writes.map(({ name }) => name).filter((name) => EXAMPLES[name] === undefined)).toEqual([]);
    expect(writes.length).toBe(Object.keys(EXAMPLES).length);
  });

  test.each(Object.keys(EXAMPLES))("%s is done whole, and the socket is closed with no lock held", (name) => {
    const example = EXAMPLES[name]!;
    const undisturbed = prepared(example);
    const untouched = contentOf(undisturbed, name);
    undisturbed.send("SELECT", "0");
    undisturbed.send("DEL", "pinned");
    undisturbed.send(...example.run);

    const engine = prepared(example);
    const { store } = engine.engine;
    const name_ = "server.client_output_buffer_limit";
    engine.config.apply([{ name: name_, value: `normal ${HARD_LIMIT} 0 0`, previous: engine.config.text(name_) }]);
    const watched = new Watched(engine);
    watched.send(["GET", "pinned"]);
    engine.send("DEL", "pinned");
    watched.send(...filling(), example.run);
    engine.runTurns();
    expect(watched.calls.at(-1)).toBe("terminate");
    expect(watched.locksHeld).toEqual([]);
    expect(heldLocks(engine)).toBe(0);
    for (let i = 0; i < 10; i++) engine.advance(10, true);
    engine.engine.maintain(1, 50);
    engine.checkNow();
    expect(store.shardCount).toBeGreaterThan(1);
    expect(contentOf(engine, name)).toBe(contentOf(undisturbed, name));
    if (!["PFDEBUG", "PERSIST"].includes(name)) expect(contentOf(undisturbed, name)).not.toBe(untouched);
  });
});

test("replies of a batch in which a command threw are not sent to another client", () => {
  const engine = testEngine();
  engine.send("SET", "k", "secret");
  const { store } = engine.engine;
  const { place } = store;
  store.place = () => {
    throw new Error("injected");
  };
  const broken = new Watched(engine);
  broken.credit = 1 << 20;
  expect(() => broken.send(["GET", "k"], ["SET", "k", "v"])).toThrow("injected");
  store.place = place;
  expect(engine.send("PING")).toBe("+PONG");
});
