/** CLIENT TRACKING: what a client that tracks is told, and when. Two workers share the memory where it says so. */
import { expect, test } from "bun:test";
import { type ChangeLog, LogState } from "../../src/memory/change-log.ts";
import { encodeCommand, show } from "../support/resp.ts";
import { holdLocks, type TestClient, type TestEngine, testEngine } from "../support/engine.ts";

/** Sends a command given as words. Returns all that the client receives, in order. */
function say(client: TestClient, command: string): string[] {
  return client.raw(encodeCommand(command.split(" "))).map((reply) => show(reply));
}

/** A client of RESP3 that tracks. */
function tracking(engine: TestEngine, options = ""): TestClient {
  const client = engine.connect();
  say(client, "HELLO 3");
  expect(say(client, `CLIENT TRACKING on${options}`)).toEqual(["+OK"]);
  return client;
}

/** What was pushed to a client, as the keys of each message. */
function told(client: TestClient): string[] {
  const all = say(client, "PING");
  expect(all.pop()).toBe("+PONG");
  expect(pushesOf(all)).toHaveLength(all.length);
  return pushesOf(all);
}

/** The keys of each invalidation among what a client received. */
function pushesOf(all: readonly string[]): string[] {
  return all.filter((one) => one.startsWith(">")).map((push) => push.slice('>["invalidate", '.length, -1));
}

function checkTracked(engine: TestEngine): void {
  for (const shard of engine.engine.store.shards) engine.engine.call.tracking.keys.check(shard);
}

const trackedKeys = (engine: TestEngine) => engine.engine.call.tracking.keys.total;

test("a key that was read is told once, when it changes", () => {
  const engine = testEngine();
  const [reader, writer] = [tracking(engine), engine.connect()];
  say(reader, "GET k");
  say(writer, "SET other 1");
  expect(told(reader)).toEqual([]);
  say(writer, "SET k 1");
  say(writer, "SET k 2");
  expect(told(reader)).toEqual(['*["k"]']);
  checkTracked(engine);
  expect(trackedKeys(engine)).toBe(0);
});

test.each([
  ["DEL k", "SET k 1"],
  ["EXPIRE k 100", "SET k 1"],
  ["PERSIST k", "SET k 1 EX 100"],
  ["RENAME k other", "SET k 1"],
  ["RENAME other k", "SET other 1"],
  ["MOVE k 1", "SET k 1"],
  ["COPY other k", "SET other 1"],
  ["APPEND k x", "SET k 1"],
  ["SETBIT k 1 1", "SET k 1"],
  ["RPUSH k x", "PING"],
  ["LPOP k", "RPUSH k x"],
  ["HSET k f v", "PING"],
  ["HDEL k f", "HSET k f v"],
  ["SADD k m", "PING"],
  ["ZADD k 1 m", "PING"],
  ["XADD k * f v", "PING"],
  ["BITOP NOT k other", "SET other 1"],
  ["SORT other STORE k", "RPUSH other 1"],
  ["GETDEL k", "SET k 1"],
  ["GETEX k EX 100", "SET k 1"],
  ["FLUSHALL", "SET k 1"],
  ["FLUSHDB", "PING"],
  ["SWAPDB 0 1", "PING"],
])("%s is told", (command, before) => {
  const engine = testEngine();
  const [reader, writer] = [tracking(engine), engine.connect()];
  say(writer, before);
  say(reader, "EXISTS k");
  say(writer, command);
  const isAll = /^(FLUSH|SWAPDB)/.test(command);
  expect(told(reader)).toEqual([isAll ? "null_" : '*["k"]']);
  checkTracked(engine);
});

test("the database of a key does not matter", () => {
  const engine = testEngine();
  const [reader, writer] = [tracking(engine), engine.connect()];
  say(reader, "GET k");
  say(writer, "SELECT 3");
  say(writer, "SET k 1");
  expect(told(reader)).toEqual(['*["k"]']);
});

test("all keys of a command that reads several are tracked, and those of a command that writes are not", () => {
  const engine = testEngine();
  const [reader, writer] = [tracking(engine), engine.connect()];
  say(reader, "MGET a b c");
  say(reader, "SET d 1");
  say(reader, "GETEX e");
  say(writer, "MSET a 1 b 1 c 1 d 1 e 1");
  expect(told(reader)).toEqual(['*["a"]', '*["b"]', '*["c"]']);
});

test("an own write is told behind its reply, behind that of EXEC, and not with NOLOOP", () => {
  const engine = testEngine();
  const reader = tracking(engine);
  say(reader, "GET k");
  expect(say(reader, "SET k 1")).toEqual(["+OK", '>["invalidate", *["k"]]']);
  for (const command of ["MULTI", "GET k", "SET k 2"]) say(reader, command);
  expect(say(reader, "EXEC")).toEqual(['*["1", +OK]', '>["invalidate", *["k"]]']);
  const other = tracking(engine, " NOLOOP");
  say(other, "GET k");
  expect(say(other, "SET k 3")).toEqual(["+OK"]);
  say(other, "GET k");
  say(reader, "SET k 4");
  expect(told(other)).toEqual(['*["k"]']);
});

test("keys that expire or are evicted are told, also to a client with NOLOOP that was at work", () => {
  const engine = testEngine();
  const [reader, writer] = [tracking(engine, " NOLOOP"), engine.connect()];
  say(writer, "SET k 1 PX 100");
  say(reader, "GET k");
  engine.advance(200);
  expect(told(reader)).toEqual(['*["k"]']);
  say(reader, "SET lazy 1 PX 100");
  say(reader, "GET lazy");
  engine.advance(200, false);
  expect(say(reader, "GET lazy")).toEqual(["null_", '>["invalidate", *["lazy"]]']);
});

test("OPTIN tracks the command behind CACHING YES, OPTOUT all but the one behind CACHING NO", () => {
  const engine = testEngine();
  const [reader, writer] = [tracking(engine, " OPTIN"), engine.connect()];
  const change = () => {
    say(writer, "MSET a 1 b 1 c 1 d 1");
    return told(reader);
  };
  say(reader, "GET a");
  expect(change()).toEqual([]);
  say(reader, "CLIENT CACHING yes");
  say(reader, "CLIENT ID");
  say(reader, "GET a");
  say(reader, "GET b");
  expect(change()).toEqual(['*["a"]']);
  say(reader, "CLIENT CACHING yes");
  expect(say(reader, "NOSUCH")[0]).toStartWith("-ERR unknown command");
  say(reader, "GET a");
  expect(change()).toEqual([]);
  for (const command of ["CLIENT CACHING yes", "MULTI", "GET a", "GET b", "EXEC", "GET c"]) say(reader, command);
  expect(change()).toEqual(['*["a"]', '*["b"]']);
  say(reader, "CLIENT TRACKING off");
  say(reader, "CLIENT TRACKING on OPTOUT");
  for (const command of ["CLIENT CACHING no", "GET a", "GET b"]) say(reader, command);
  expect(change()).toEqual(['*["b"]']);
});

test("invalidations are redirected: as pushes, or in RESP2 as messages to a client that subscribes", () => {
  const engine = testEngine();
  const [reader, receiver, writer] = [engine.connect(), engine.connect(), engine.connect()];
  const id = say(receiver, "CLIENT ID")[0]!.slice(1);
  expect(say(reader, `CLIENT TRACKING on REDIRECT ${id}`)).toEqual(["+OK"]);
  expect(say(reader, "CLIENT GETREDIR")).toEqual([`:${id}`]);
  const change = () => {
    say(reader, "GET k");
    say(writer, "SET k 1");
    return say(receiver, "PING");
  };
  expect(change()).toEqual(["+PONG"]);
  say(receiver, "SUBSCRIBE __redis__:invalidate");
  expect(change()).toEqual(['*["message", "__redis__:invalidate", *["k"]]', '*["pong", ""]']);
  say(writer, "FLUSHDB");
  expect(say(receiver, "PING")[0]).toBe('*["message", "__redis__:invalidate", null$]');
  say(receiver, "RESET");
  say(receiver, "HELLO 3");
  expect(change()).toEqual(['>["invalidate", *["k"]]', "+PONG"]);
  expect(say(reader, `CLIENT TRACKING on REDIRECT ${id} REDIRECT ${id}`)[0]).toContain("only redirect to a single");
  receiver.client.disconnected();
  say(reader, "HELLO 3");
  say(reader, "GET k");
  say(writer, "SET k 1");
  expect(say(reader, "PING")).toEqual([`>["tracking-redir-broken", :${id}]`, "+PONG"]);
  expect(say(reader, "CLIENT TRACKINGINFO")[0]).toContain('~["on", "broken_redirect"]');
});

test("CACHING YES holds for a command that waits for a lock", () => {
  const engine = testEngine();
  const [reader, writer] = [tracking(engine, " OPTIN"), engine.connect()];
  say(reader, "CLIENT CACHING yes");
  const release = holdLocks(engine.engine.store);
  reader.client.receive(encodeCommand(["GET", "k"]));
  engine.engine.turn.runDue();
  release();
  engine.runTurns();
  say(writer, "SET k 1");
  expect(say(reader, "PING")).toEqual(["null_", '>["invalidate", *["k"]]', "+PONG"]);
});

test("many clients track one key, and clients that are gone are forgotten", () => {
  const engine = testEngine();
  const writer = engine.connect();
  const readers = Array.from({ length: 200 }, () => tracking(engine));
  for (const [n, reader] of readers.entries()) {
    say(reader, "GET k");
    say(reader, "GET k");
    if (n % 3 === 0) reader.client.disconnected();
    else if (n % 3 === 1) say(reader, "CLIENT TRACKING off");
    checkTracked(engine);
  }
  say(writer, "SET k 1");
  for (const [n, reader] of readers.entries()) {
    if (n % 3 !== 0) expect(told(reader)).toEqual(n % 3 === 2 ? ['*["k"]'] : []);
  }
});

test("tracking-table-max-keys: keys beyond it are told as if they had changed", () => {
  const engine = testEngine();
  const reader = tracking(engine);
  engine.config.apply([{ name: "server.tracking_table_max_keys", value: 10, previous: 1_000_000 }]);
  const keys: string[] = [];
  for (let n = 0; n < 100; n++) keys.push(...pushesOf(say(reader, `GET key:${n}`)));
  keys.push(...told(reader));
  checkTracked(engine);
  expect(trackedKeys(engine)).toBe(10);
  expect(keys).toHaveLength(90);
  for (let n = 0; n < 100; n++) engine.send("SET", `key:${n}`, "1");
  keys.push(...told(reader));
  expect(new Set(keys).size).toBe(100);
  expect(keys).toHaveLength(100);
});

test("many keys: the table grows, and every key is told", () => {
  const engine = testEngine();
  engine.checksEach = false;
  const [reader, writer] = [tracking(engine), engine.connect()];
  const names = Array.from({ length: 5000 }, (_, n) => `key:${n}:${"x".repeat(n % 50)}`);
  for (let n = 0; n < names.length; n += 500) say(reader, `MGET ${names.slice(n, n + 500).join(" ")}`);
  checkTracked(engine);
  expect(trackedKeys(engine)).toBe(5000);
  for (const name of names) say(writer, `SET ${name} 1`);
  expect(new Set(told(reader)).size).toBe(5000);
  checkTracked(engine);
  expect(trackedKeys(engine)).toBe(0);
});

test("a read in steps: a change between two of them is told behind the reply, which does not show it", () => {
  const engine = testEngine({ regions: 4 });
  engine.checksEach = false;
  const [reader, writer] = [tracking(engine), engine.connect()];
  say(writer, `SETRANGE big ${6 << 20} x`);
  const before = say(writer, "BITCOUNT big")[0]!;
  reader.client.receive(encodeCommand(["BITCOUNT", "big"]));
  expect(reader.client.isSuspended).toBe(true);
  writer.client.receive(encodeCommand(["SETBIT", "big", "0", "1"]));
  engine.runTurns();
  const all = say(reader, "PING");
  // What was told before the reply does not matter; what is cached then is.
  expect(all.slice(-3)).toEqual([before, '>["invalidate", *["big"]]', "+PONG"]);
  say(reader, "BITCOUNT big");
  say(writer, "SETBIT big 0 0");
  expect(told(reader)).toEqual(['*["big"]']);
});

test("what the mailbox has when the keys are locked is told before the reply, once, also to a command that is retried", () => {
  const engine = testEngine({ regions: 4 });
  engine.checksEach = false;
  const [reader, writer] = [tracking(engine), engine.connect()];
  say(writer, `SETRANGE big ${6 << 20} x`);
  const other = engine.engine.call.tracking;
  const waiting = ["one", "two"];
  other.mail = {
    fetch: () => {
      const key = waiting.shift();
      if (key === undefined) return;
      other["call"].server.pushes.invalidate(reader.client.session.id, 0, Buffer.from(`*1\r\n$3\r\n${key}\r\n`), 0, -1);
    },
  };
  const count = say(writer, "BITCOUNT big")[0]!;
  expect(waiting).toHaveLength(2);
  expect(
    reader.raw(Buffer.concat([encodeCommand(["GET", "k"]), encodeCommand(["BITCOUNT", "big"])])).map(show),
  ).toEqual(['>["invalidate", *["one"]]', "null_", '>["invalidate", *["two"]]', count]);
});

test("an invalidation leaves when its change is durable", () => {
  const engine = testEngine();
  const [reader, writer] = [tracking(engine), engine.connect()];
  say(reader, "GET k");
  let end = 100;
  engine.engine.effects.log = {
    isOn: true,
    waitsForSync: true,
    state: LogState.On,
    failure: 0,
    admits: () => true,
    append: () => ++end,
    end,
  } as unknown as ChangeLog;
  expect(say(writer, "SET k 1")).toEqual([]);
  expect(say(reader, "PING")).toEqual([]);
  engine.engine.turn.release(100);
  expect(say(reader, "PING")).toEqual([]);
  engine.engine.turn.release(101);
  engine.runTurns();
  expect(say(reader, "PING")).toEqual(['>["invalidate", *["k"]]', "+PONG", "+PONG", "+PONG"]);
});

test("prefixes: one message a turn and prefix, in the order of the keys, and not of the own keys with NOLOOP", () => {
  const engine = testEngine();
  const writer = engine.connect();
  const all = tracking(engine, " BCAST");
  const some = tracking(engine, " BCAST PREFIX a PREFIX b NOLOOP");
  say(writer, "MSET b1 x a2 x c x a1 x");
  expect(told(all)).toEqual(['*["a1", "a2", "b1", "c"]']);
  expect(told(some)).toEqual(['*["a1", "a2"]', '*["b1"]']);
  expect(say(some, "SET a1 y")).toEqual(["+OK"]);
  const both = [
    encodeCommand(["SET", "a1", "z"]),
    encodeCommand(["SET", "a1", "z"]),
    encodeCommand(["SET", "b9", "z"]),
  ];
  expect(all.raw(Buffer.concat(both)).map(show)).toEqual([
    '>["invalidate", *["a1"]]',
    "+OK",
    "+OK",
    "+OK",
    '>["invalidate", *["a1", "b9"]]',
  ]);
  expect(told(some)).toEqual(['*["a1"]', '*["b9"]']);
  expect(engine.engine.call.tracking.broadcasts.count).toBe(3);
  say(some, "CLIENT TRACKING off");
  all.client.disconnected();
  expect(engine.engine.call.tracking.broadcasts.count).toBe(0);
  expect(engine.engine.store.interestInAll).toBe(0);
});

test("of a script the keys are tracked that its commands read", () => {
  const engine = testEngine();
  const [reader, writer] = [tracking(engine), engine.connect()];
  const evaluate = (name: string, script: string, ...keys: string[]) =>
    reader.raw(encodeCommand([name, script, keys.length, ...keys])).map((reply) => show(reply));
  say(writer, "SET a 1");
  expect(evaluate("EVAL", "return redis.call('get', KEYS[1])", "a", "b")).toEqual(['"1"']);
  expect(evaluate("EVAL_RO", "return redis.call('get', KEYS[2])", "d", "c")).toEqual(["null_"]);
  say(reader, "MULTI");
  evaluate("EVAL_RO", "return redis.call('ping')", "b", "d");
  say(reader, "EXEC");
  say(writer, "MSET a 2 b 2 c 2 d 2");
  expect(told(reader)).toEqual(['*["a"]', '*["c"]']);
  expect(evaluate("EVAL", "redis.call('get', KEYS[1]); return redis.call('set', KEYS[1], 3)", "a")).toEqual([
    "+OK",
    '>["invalidate", *["a"]]',
  ]);
});

test("a client that waited hears of what was changed for it behind its reply, others at once", () => {
  const engine = testEngine();
  engine.letClientsWait();
  const [mover, reader, writer] = [tracking(engine), tracking(engine), engine.connect()];
  say(writer, "RPUSH target a");
  for (const client of [mover, reader]) say(client, "LRANGE target 0 -1");
  expect(say(mover, "BLMOVE source target LEFT LEFT 0")).toEqual([]);
  say(writer, "RPUSH source b");
  expect(told(reader)).toEqual(['*["target"]']);
  expect(say(mover, "PING")).toEqual(['"b"', '>["invalidate", *["target"]]', "+PONG"]);
});
