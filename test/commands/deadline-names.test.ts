/**
 * Goal:   fields of hashes and members of sets and sorted sets have the same nine commands for deadlines. They set in seconds
 *         or milliseconds, from now or from 1970, and read in the same four ways.
 * Method: an engine in process with a held clock; every command by its name.
 */
import { expect, test } from "bun:test";
import { testEngine } from "../support/engine.ts";

const NAMES = {
  hash: `HEXPIRE HPEXPIRE HEXPIREAT HPEXPIREAT | HTTL HPTTL HEXPIRETIME HPEXPIRETIME | HPERSIST`,
  set: `SEXPIRE SPEXPIRE SEXPIREAT SPEXPIREAT | STTL SPTTL SEXPIRETIME SPEXPIRETIME | SPERSIST`,
  zset: `ZEXPIRE ZPEXPIRE ZEXPIREAT ZPEXPIREAT | ZTTL ZPTTL ZEXPIRETIME ZPEXPIRETIME | ZPERSIST`,
};
const ADD = { hash: ["HSET", "k", "m", "1"], set: ["SADD", "k", "m"], zset: ["ZADD", "k", "1", "m"] };

test.each(["hash", "set", "zset"] as const)("deadlines of a %s", (kind) => {
  const engine = testEngine();
  const words = [kind === "hash" ? "FIELDS" : "MEMBERS", "1", "m"];
  const [set, get, [persist]] = NAMES[kind].split(" | ").map((names) => names.split(" ")) as [
    string[],
    string[],
    string[],
  ];
  const now = Number(/:(\d+)|"(\d+)"/.exec(engine.send("TIME"))![2]) * 1000;
  // Each sets 100 seconds from now, in its own unit; what is read may be short by the part of a second that has passed.
  for (const [i, time] of [100, 100_000, now / 1000 + 100, now + 100_000].entries()) {
    engine.send("DEL", "k");
    engine.send(...ADD[kind]);
    expect(engine.send(set[i]!, "k", String(time), ...words)).toBe("*[:1]");
    const read = get.map((name) => Number(engine.send(name, "k", ...words).slice(3, -1)));
    for (const [at, expected] of [100, 100_000, now / 1000 + 100, now + 100_000].entries())
      expect(Math.abs(read[at]! - expected)).toBeLessThanOrEqual(at % 2 === 0 ? 1 : 1000);
    expect(engine.send(persist!, "k", ...words)).toBe("*[:1]");
    expect(engine.send(get[0]!, "k", ...words)).toBe("*[:-1]");
  }
});
