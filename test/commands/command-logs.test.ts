/**
 * Goal:   SLOWLOG and COMMANDLOG log the commands of all workers, and their replies are Redis's.
 * Method: an engine in process; the same commands to a server of two workers and to redis-server.
 */
import { describe, expect, test } from "bun:test";
import { configSet } from "../../src/base/config/redis.ts";
import { bothServers, expectSameReplies } from "../support/both-servers.ts";
import { testEngine } from "../support/engine.ts";
import { ask, replyTo, show } from "../support/resp.ts";
import { requireRedis } from "../support/servers.ts";

test("arguments of an entry are cut as Redis cuts them, and secrets are not shown", () => {
  const engine = testEngine();
  configSet(engine.config, [["slowlog-log-slower-than", "0"]]);
  engine.send("SET", "k", "x".repeat(128));
  engine.send("SET", "k", "y".repeat(130));
  engine.send("MGET", ...Array.from({ length: 31 }, (_, i) => `${i}`));
  engine.send("MGET", ...Array.from({ length: 40 }, (_, i) => `${i}`));
  engine.client.sendCut(60_000, "SET", "k", `${"z".repeat(128)}${"w".repeat(200_000)}`);
  engine.send("AUTH", "a", "secret");
  engine.send("HELLO", "3", "AUTH", "a", "secret", "SETNAME", "me");
  engine.send("HELLO", "2");
  engine.send("SET", "\xff\x00", "v");
  const { log } = engine.engine.dispatcher.statistics;
  const args = log.entries(0, Infinity).map((entry) => entry.args);
  expect(args).toEqual([
    ["SET", "k", "x".repeat(128)],
    ["SET", "k", `${"y".repeat(128)}... (2 more bytes)`],
    ["MGET", ...Array.from({ length: 31 }, (_, i) => `${i}`)],
    ["MGET", ...Array.from({ length: 30 }, (_, i) => `${i}`), "... (10 more arguments)"],
    ["SET", "k", `${"z".repeat(128)}... (200000 more bytes)`],
    ["AUTH", "(redacted)", "(redacted)"],
    ["HELLO", "3", "AUTH", "(redacted)", "(redacted)", "SETNAME", "me"],
    ["HELLO", "2"],
    ["SET", "\xff\x00", "v"],
  ]);
});

const both = bothServers({ workers: 2, clients: 8 });
const hasRedis = requireRedis();

describe("two workers", () => {
  test("the slow log is one: IDs ascend over the workers, and each entry has its client", async () => {
    const [admin] = both.clients;
    await ask(admin!, "CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "10");
    await ask(admin!, "SLOWLOG", "RESET");
    expect(await ask(admin!, "SLOWLOG", "LEN")).toBe(":1");
    for (const [i, client] of both.clients.entries()) {
      await ask(client, "CLIENT", "SETNAME", `client${i}`);
      await ask(client, "SET", "k", `${i}`);
    }
    const log = await replyTo(admin!, "SLOWLOG", "GET", "-1");
    expect(await ask(admin!, "SLOWLOG", "LEN")).toBe(":10");
    // All in one worker: the asking command is logged before its reply, and must not evict the tenth entry.
    for (let i = 0; i < 12; i++) await ask(admin!, "PING");
    expect(await ask(admin!, "SLOWLOG", "LEN")).toBe(":10");
    await ask(admin!, "CONFIG", "SET", "slowlog-log-slower-than", "10000", "slowlog-max-len", "128");
    if (log.type !== "array") throw new Error(show(log));
    expect(log.value.length).toBe(10);
    const shown = log.value.map(show);
    const ids = shown.map((entry) => Number(/^\*\[:(\d+), /.exec(entry)![1]));
    expect(ids).toEqual(Array.from({ length: 10 }, (_, i) => ids[0]! - i));
    expect(shown[0]).toMatch(/^\*\[:\d+, :\d{10}, :\d+, \*\["SET", "k", "7"\], "127\.0\.0\.1:\d+", "client7"\]$/);
    expect(shown[9]).toContain('*["CLIENT", "SETNAME", "client3"]');
    expect(await ask(admin!, "SLOWLOG", "RESET")).toBe("+OK");
    expect(await ask(admin!, "SLOWLOG", "GET")).toBe("*[]");
  });

  test("COMMANDLOG keeps large requests and large replies", async () => {
    const [admin, , other] = both.clients;
    await ask(admin!, "CONFIG", "SET", "slowlog-log-slower-than", "60000000");
    for (const type of ["large-request", "LARGE-REPLY", "slow"]) {
      expect(await ask(admin!, "COMMANDLOG", "RESET", type)).toBe("+OK");
    }
    await ask(admin!, "CONFIG", "SET", "commandlog-request-larger-than", "150000");
    await ask(admin!, "CONFIG", "SET", "commandlog-reply-larger-than", "100000");
    await ask(other!, "SET", "large", "v".repeat(200_000));
    await ask(other!, "SET", "medium", "v".repeat(110_000));
    await other!.pipeline([["GET", "medium"], ["PING"], ["GET", "large"], ["STRLEN", "large"]]);
    expect(await ask(admin!, "COMMANDLOG", "LEN", "large-request")).toBe(":1");
    expect(await ask(admin!, "COMMANDLOG", "GET", "-1", "large-request")).toMatch(
      /^\*\[\*\[:\d+, :\d+, :2000\d\d, \*\["SET", "large", "v{128}\.\.\. \(199872 more bytes\)"\], "127.*"\]\]$/,
    );
    expect(await ask(admin!, "COMMANDLOG", "GET", "5", "large-reply")).toMatch(
      /^\*\[\*\[:\d+, :\d+, :200011, \*\["GET", "large"\], .*\], \*\[:\d+, :\d+, :110011, \*\["GET", "medium"\], .*\]\]$/,
    );
    expect(await ask(admin!, "COMMANDLOG", "LEN", "slow")).toBe(":0");
    expect(await ask(admin!, "COMMANDLOG", "LEN", "nothing")).toBe(
      "-ERR type should be one of the following: slow, large-request, large-reply",
    );
    expect(await ask(admin!, "COMMANDLOG", "GET", "x", "slow")).toBe(
      "-ERR count should be greater than or equal to -1",
    );
    expect(await ask(admin!, "COMMANDLOG", "HELP")).toContain("+GET <count> <type>");
    await ask(admin!, "CONFIG", "SET", "commandlog-execution-slower-than", "5000");
    expect(await ask(admin!, "CONFIG", "GET", "slowlog-log-slower-than")).toBe('*["slowlog-log-slower-than", "5000"]');
    await ask(admin!, "CONFIG", "SET", "slowlog-log-slower-than", "10000");
  });

  test.if(hasRedis)("replies, help and errors are Redis's", async () => {
    const commands = [
      "SLOWLOG",
      "SLOWLOG HELP",
      "SLOWLOG GET a",
      "SLOWLOG GET -2",
      "SLOWLOG GET 1 2",
      "SLOWLOG GET 99999999999999999999",
      "SLOWLOG LEN 1",
      "SLOWLOG nothing",
      "SLOWLOG RESET",
      "SLOWLOG LEN",
      "SLOWLOG GET",
    ];
    await expectSameReplies(both, commands);
  });
});
