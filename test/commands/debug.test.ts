/**
 * Goal:   DEBUG's subcommands reply as Redis's of the same name. The clock moves in every worker at once. Commands whose lock
 *         is held for too long reply BUSY.
 * Method: embedded engines beside redis-server; a server of three workers; an engine whose shard lock the test holds.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Ferrite } from "../../src/embedded/index.ts";
import { isLoopbackAddress } from "../../src/server/client-line.ts";
import { Referee } from "../base/redis.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { type Argument, encodeCommand, type RespClient, show, within } from "../support/resp.ts";
import { logged, type Server, startFerrite } from "../support/servers.ts";
import { OTHER_WORKER, START_MS, testEngine } from "../support/engine.ts";

const MEMORY = 256 << 20;
const NO_VALUE = "0".repeat(40);

describe("DEBUG DIGEST", () => {
  let referee: Referee;
  beforeAll(async () => {
    referee = await Referee.start();
  });
  afterAll(() => referee.stop());

  test("equals Redis's for the same data, written in any order", async () => {
    const seed = testSeed();
    const random = new SeededRandom(seed);
    const ours = Ferrite.open({ maxMemory: MEMORY }).client();
    expect(ours.call("DEBUG", "DIGEST")).toBe(NO_VALUE);
    for (let round = 0; round < 4; round++) {
      const commands: string[][] = [];
      for (let i = 0; i < 60; i++) {
        commands.push(["SELECT", String(random.pick([0, 0, 1, 15]))]);
        const value = random.pick([
          "",
          "12345",
          "-9223372036854775808",
          random.bytes(random.below(200)),
          "x".repeat(70_000),
        ]);
        const set = ["SET", `key:${random.below(40)}${random.bytes(random.below(3))}`, value];
        commands.push(random.chance(0.3) ? [...set, "EX", "100000"] : set);
        if (random.chance(0.2)) commands.push(["DEL", `key:${random.below(40)}`]);
        const member = random.pick(["7", `m${random.below(500)}`, "y".repeat(3000), random.bytes(9)]);
        commands.push(
          random.pick([
            ["RPUSH", "key:list", member],
            ["SADD", "key:set", member],
            ["HSET", "key:hash", member, `v${i}`],
            ["ZADD", "key:zset", String(random.below(1000) / 8 - 50), member],
            ["XADD", "key:stream", `${round + 1}-${i + 1}`, "field", member, "other", "1"],
          ]),
        );
      }
      commands.push(["SELECT", "0"]);
      for (const command of commands) ours.call(...command.map((word) => Buffer.from(word, "latin1")));
      await referee.pipeline(commands);
      const [theirs] = await referee.pipeline([["DEBUG", "DIGEST"]]);
      expect(`${seed}: ${ours.call("DEBUG", "DIGEST")}`).toBe(`${seed}: ${theirs}`);
      const types = ["list", "set", "hash", "zset", "stream"].map((type) => `key:${type}`);
      const names = ["key:1", "key:2", "nothing", "key:3", "", ...types];
      const [values] = await referee.pipeline([["DEBUG", "DIGEST-VALUE", ...names]]);
      expect(ours.call("DEBUG", "DIGEST-VALUE", ...names)).toEqual(values as string[]);
    }
    expect(ours.call("DEBUG", "DIGEST-VALUE")).toEqual([]);
    expect(() => ours.call("DEBUG", "DIGEST", "x")).toThrow(
      "ERR unknown subcommand or wrong number of arguments for 'DIGEST'. Try DEBUG HELP.",
    );
  });

  test("does not count expired keys", () => {
    const engine = testEngine();
    engine.config.place("server.enable_debug_command", "yes", { kind: "flag", text: "test" });
    engine.send("SET", "a", "1");
    const before = engine.send("DEBUG", "DIGEST");
    engine.send("SET", "b", "1", "PX", "10");
    expect(engine.send("DEBUG", "DIGEST")).not.toBe(before);
    engine.advance(20, false);
    expect(engine.send("DEBUG", "DIGEST")).toBe(before);
    expect(engine.send("DEBUG", "DIGEST-VALUE", "b")).toBe(`*[+${NO_VALUE}]`);
  });
});

/** What redis-server 7.0.15 sends: type, RESP2, RESP3. */
const PROTOCOL: readonly (readonly [string, string, string])[] = [
  ["string", "$11\r\nHello World\r\n", "$11\r\nHello World\r\n"],
  ["integer", ":12345\r\n", ":12345\r\n"],
  ["double", "$5\r\n3.141\r\n", ",3.141\r\n"],
  ["null", "$-1\r\n", "_\r\n"],
  ["array", "*3\r\n:0\r\n:1\r\n:2\r\n", "*3\r\n:0\r\n:1\r\n:2\r\n"],
  ["set", "*3\r\n:0\r\n:1\r\n:2\r\n", "~3\r\n:0\r\n:1\r\n:2\r\n"],
  ["map", "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n", "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"],
  [
    "attrib",
    "$39\r\nSome real reply following the attribute\r\n",
    "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome real reply following the attribute\r\n",
  ],
  [
    "push",
    "-ERR RESP2 is not supported by this command\r\n",
    ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push reply\r\n",
  ],
  ["VERBATIM", "$25\r\nThis is a verbatim\nstring\r\n", "=29\r\ntxt:This is a verbatim\nstring\r\n"],
  ["true", ":1\r\n", "#t\r\n"],
  ["false", ":0\r\n", "#f\r\n"],
  ["bignum", "$37\r\n1234567999999999999999999999999999999\r\n", "(1234567999999999999999999999999999999\r\n"],
];

describe("DEBUG", () => {
  test("PROTOCOL replies every type byte for byte", () => {
    const db = Ferrite.open({ maxMemory: MEMORY });
    const [two, three] = [db.client(), db.client()];
    three.send(encodeCommand(["HELLO", "3"]));
    for (const [type, resp2, resp3] of PROTOCOL) {
      const command = encodeCommand(["DEBUG", "PROTOCOL", type]);
      expect(two.send(command).toString()).toBe(resp2);
      expect(three.send(command).toString()).toBe(resp3);
    }
    expect(two.send(encodeCommand(["DEBUG", "PROTOCOL", "x"])).toString()).toBe(
      "-ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false\r\n",
    );
  });

  test("HTSTATS counts the keys of a database", () => {
    const client = Ferrite.open({ maxMemory: MEMORY }).client();
    for (let i = 0; i < 300; i++) client.call("SET", `k${i}`, "v", ...(i < 7 ? ["EX", "100"] : []));
    const text = String(client.call("DEBUG", "HTSTATS", "0"));
    expect(text).toStartWith("[Index of database 0]\n shards: 1\n keys: 300\n keys with a deadline: 7\n");
    const buckets = Number(/ buckets: (\d+)/.exec(text)![1]);
    const rows = [...text.matchAll(/^ {3}(\d+): (\d+) /gm)].map(([, held, count]) => [Number(held), Number(count)]);
    expect(rows.reduce((sum, [, count]) => sum + count!, 0)).toBe(buckets);
    expect(rows.reduce((sum, [held, count]) => sum + held! * count!, 0)).toBe(300);
    expect(String(client.call("DEBUG", "HTSTATS", "1"))).toContain(" keys: 0\n");
    expect(() => client.call("DEBUG", "HTSTATS", "16")).toThrow("ERR Out of range database");
    expect(() => client.call("DEBUG", "HTSTATS", "x")).toThrow("ERR value is not an integer or out of range");
  });

  test("LOG needs a log", () => {
    const client = Ferrite.open({ maxMemory: MEMORY }).client();
    expect(() => client.call("DEBUG", "LOG", "x")).toThrow("ERR there is no log");
  });

  test("HELP lists what there is", () => {
    const client = Ferrite.open({ maxMemory: MEMORY }).client();
    const usages = (client.call("DEBUG", "HELP") as string[]).filter((line) => /^[A-Z]/.test(line)).slice(1);
    for (const usage of usages) {
      const words = usage
        .replace(/ \[.*/, "")
        .split(" ")
        .map((word) => (word.startsWith("<") ? "1" : word));
      let error = "";
      try {
        if (words[0] !== "SLEEP" && words[0] !== "LOG") client.call("DEBUG", ...words);
      } catch (thrown) {
        error = String(thrown);
      }
      expect(error).not.toContain("unknown subcommand");
    }
  });
});

describe("DEBUG CLOCK", () => {
  const engine = testEngine();
  engine.config.place("server.enable_debug_command", "yes", { kind: "flag", text: "test" });
  const debug = (...args: Argument[]) => engine.send("DEBUG", "CLOCK", ...args);
  const now = () => engine.send("TIME");
  const seconds = (ms: number) => `*["${Math.floor(ms / 1000)}", "${(ms % 1000) * 1000}"]`;

  test("moves the wall time, which continues from there", () => {
    expect(now()).toBe(seconds(START_MS));
    expect(debug("ADVANCE", "1500")).toBe("+OK");
    expect(now()).toBe(seconds(START_MS + 1500));
    engine.advance(100);
    expect(now()).toBe(seconds(START_MS + 1600));
    expect(debug("set", "1000")).toBe("+OK");
    expect(now()).toBe(seconds(1000));
    expect(debug("ADVANCE", "-999")).toBe("+OK");
    expect(now()).toBe(seconds(1));
    expect(debug("RESET")).toBe("+OK");
    expect(now()).toBe(seconds(START_MS + 100));
  });

  test("keys expire by it, also within one pipeline, and survive when it is set back", () => {
    engine.send("SET", "k", "v", "EX", "100");
    const replies = engine.client.raw(
      Buffer.concat(
        [
          ["DEBUG", "CLOCK", "ADVANCE", "99999"],
          ["TTL", "k"],
          ["DEBUG", "CLOCK", "ADVANCE", "1"],
          ["GET", "k"],
        ].map((words) => encodeCommand(words)),
      ),
    );
    expect(replies.map((reply) => show(reply))).toEqual(["+OK", ":0", "+OK", "null$"]);
    engine.send("SET", "k", "v", "EX", "10");
    debug("RESET");
    expect(engine.send("TTL", "k")).toBe(":110");
    engine.advance(50_000);
    expect(engine.send("GET", "k")).toBe('"v"');
    engine.advance(70_000);
    expect(engine.send("EXISTS", "k")).toBe(":0");
  });

  test("refuses arguments that are no time", () => {
    for (const bad of ["x", "-1", "9007199254740992", "1.5"]) {
      expect(debug("SET", bad)).toBe("-ERR value is not an integer or out of range");
    }
    for (const words of [["SET"], ["RESET", "1"], ["STOP"]]) expect(debug(...words)).toStartWith("-ERR syntax error");
    expect(engine.send("DEBUG", "CLOCK")).toStartWith("-ERR unknown subcommand or wrong number of arguments");
  });
});

describe("every worker", () => {
  let server: Server;
  let client: RespClient;
  beforeAll(async () => {
    server = await startFerrite({
      workers: 3,
      args: ["--set", 'server.rename_commands={"GET":"FETCH","FLUSHALL":""}'],
    });
    client = await server.connect();
  });
  afterAll(() => server.stop());
  const ask = async (on: RespClient, ...args: Argument[]) =>
    show(await within(on.command(...args), 5000, args.join(" ")));

  test("uses the time that DEBUG CLOCK sets, and the command names of the configuration", async () => {
    const others = await Promise.all(Array.from({ length: 12 }, () => server.connect()));
    expect(await ask(client, "SET", "k", "v", "PX", "100000")).toBe("+OK");
    for (const other of others) {
      expect(await ask(other, "FETCH", "k")).toBe('"v"');
      expect(await ask(other, "GET", "k")).toStartWith("-ERR unknown command 'GET'");
      expect(await ask(other, "FLUSHALL")).toStartWith("-ERR unknown command 'FLUSHALL'");
    }
    expect(await ask(client, "DEBUG", "CLOCK", "SET", String(START_MS))).toBe("+OK");
    for (const other of others) {
      expect(await ask(other, "TIME")).toStartWith(`*["${String(START_MS / 1000).slice(0, 7)}`);
      expect(await ask(other, "FETCH", "k")).toBe("null$");
    }
    expect(await ask(client, "DEBUG", "CLOCK", "RESET")).toBe("+OK");
    for (const other of others) other.close();
  });

  test("writes what DEBUG LOG says into the log", async () => {
    expect(await ask(client, "DEBUG", "LOG", "forty-two")).toBe("+OK");
    // As a JSON line has it.
    await logged(server, 'DEBUG LOG: \\"forty-two\\"');
  });
});

describe("DEBUG POPULATE", () => {
  const engine = testEngine();
  engine.config.apply([{ name: "server.enable_debug_command", value: "yes", previous: "no" }]);

  test("makes keys in turns, between which other clients are served, and keeps existing keys", () => {
    engine.send("SET", "key:7", "mine");
    const { client } = engine.connect();
    client.receive(encodeCommand(["DEBUG", "POPULATE", "2000"]));
    expect(client.isSuspended).toBe(true);
    // Another client is served before the rest.
    expect(engine.connect().client.isSuspended).toBe(false);
    engine.runTurns();
    expect(client.isSuspended).toBe(false);
    expect(engine.send("DBSIZE")).toBe(":2000");
    expect(engine.send("MGET", "key:0", "key:7", "key:1999")).toBe('*["value:0", "mine", "value:1999"]');
    expect(engine.send("DEBUG", "POPULATE", "2", "p", "12")).toBe("+OK");
    expect(engine.send("DEBUG", "POPULATE", "1", "q", "3")).toBe("+OK");
    expect(engine.send("DEBUG", "POPULATE", "1", "large", "200000")).toBe("+OK");
    expect(engine.send("MGET", "q:0", "p:2")).toBe('*["val", null$]');
    expect(engine.send("STRLEN", "p:1")).toBe(":12");
    expect(engine.send("GETRANGE", "p:1", "0", "6")).toBe('"value:1"');
    expect(engine.send("BITCOUNT", "p:1", "7", "-1")).toBe(":0");
    expect(engine.send("STRLEN", "large:0")).toBe(":200000");
  });

  test("refuses the arguments that Redis refuses", () => {
    const error = "-ERR value is out of range, must be positive";
    expect(engine.send("DEBUG", "POPULATE", "0")).toBe("+OK");
    for (const args of [["x"], ["-1"], ["1", "p", "-1"], ["1", "p", "x"]]) {
      expect(engine.send("DEBUG", "POPULATE", ...args)).toBe(error);
    }
    expect(engine.send("DEBUG", "POPULATE")).toStartWith("-ERR unknown subcommand or wrong number of arguments");
  });
});

describe("-BUSY", () => {
  const BUSY = "-BUSY Ferrite is busy running a command that holds the data. Try again later.";

  test("a command whose lock is held beyond busy_reply_threshold gets -BUSY, and the commands after it run", () => {
    const engine = testEngine({ shards: 1 });
    const shard = engine.engine.store.shards[0]!;
    const got: string[] = [];
    const { client } = engine.client;
    const send = (...commands: string[][]) =>
      client.receive(Buffer.concat(commands.map((words) => encodeCommand(words))));
    const take = () => got.push(...engine.client.raw("").map((reply) => show(reply)));

    expect(shard.tryLock(OTHER_WORKER)).toBe(true);
    send(["SET", "a", "1"], ["PING"], ["GET", "a"]);
    expect(client.isSuspended).toBe(true);
    engine.clock.advance(5000);
    client.proceed();
    expect(client.isSuspended).toBe(true); // not yet
    engine.clock.advance(1);
    engine.engine.beginTurn();
    client.proceed();
    shard.unlock();
    take();
    expect(got).toEqual([BUSY, "+PONG", "null$"]);

    // The lock is free in time: no error, and the wait of one command does not count for the next.
    expect(shard.tryLock(OTHER_WORKER)).toBe(true);
    send(["SET", "a", "2"]);
    engine.clock.advance(4000);
    shard.unlock();
    got.length = 0;
    take();
    expect(got).toEqual(["+OK"]);
    expect(engine.send("GET", "a")).toBe('"2"');
  });

  test("0 means to wait for ever", () => {
    const engine = testEngine({ shards: 1 });
    engine.config.apply([{ name: "server.busy_reply_threshold", value: 0, previous: 5000 }]);
    const shard = engine.engine.store.shards[0]!;
    expect(shard.tryLock(OTHER_WORKER)).toBe(true);
    const { client } = engine.client;
    client.receive(encodeCommand(["SET", "a", "1"]));
    engine.clock.advance(1e9);
    engine.engine.beginTurn();
    client.proceed();
    expect(client.isSuspended).toBe(true);
    shard.unlock();
    expect(engine.client.raw("").map((reply) => show(reply))).toEqual(["+OK"]);
  });
});

test.each([
  ["local", "127.0.0.1:5000", ":1"],
  ["local", "[::1]:5000", ":1"],
  ["local", "10.0.0.1:5000", "-ERR DEBUG command not allowed"],
  ["local", "[2001:db8::1]:5000", "-ERR DEBUG command not allowed"],
  ["yes", "10.0.0.1:5000", ":1"],
  ["no", "127.0.0.1:5000", "-ERR DEBUG command not allowed"],
])("enable-debug-command %s, and a client at %s", (allowed, address, reply) => {
  const engine = testEngine({ services: { isLocal: () => isLoopbackAddress(address) } });
  engine.config.place("server.enable_debug_command", allowed, { kind: "flag", text: "test" });
  expect(engine.client.send("DEBUG", "STRINGMATCH-LEN", "5", "a*")).toStartWith(reply);
});
