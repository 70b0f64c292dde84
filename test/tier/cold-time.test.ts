/**
 * Goal:   a command that waited for the disk is marked in the slow log with the time of its wait, which commandstats do not count;
 *         the latency monitor has the event cold-read; other commands are not marked.
 * Method: an engine over files in memory and a held clock: the test advances it while a read is under way.
 */
import { expect, test } from "bun:test";
import { configSet } from "../../src/base/config/redis.ts";
import { encodeCommand, show } from "../support/resp.ts";
import { TierEngine } from "./engine.ts";

/** An engine that logs what takes 10 ms, and monitors what takes 5. */
function timedEngine(): TierEngine {
  const engine = new TierEngine({ settings: { "storage.tier_read_buffer": 0 } });
  configSet(engine.test.config, [
    ["slowlog-log-slower-than", "10000"],
    ["latency-monitor-threshold", "5"],
  ]);
  return engine;
}

/** Sends a command and lets `ms` pass before the disk answers. */
function slow(engine: TierEngine, ms: number, ...args: string[]): string[] {
  const { client } = engine.test;
  const before = client.raw(encodeCommand(args));
  if (before.length > 0) throw new Error(`${args[0]} did not wait: ${show(before[0]!)}`);
  engine.test.clock.advance(ms);
  engine.settle();
  return client.raw("").map(show);
}

function entries(engine: TierEngine): { micros: number; args: string[] }[] {
  const { log } = engine.test.engine.dispatcher.statistics;
  return log.entries(0, Infinity).map(({ value, args }) => ({ micros: value, args }));
}

/** Calls and time of a command, as INFO commandstats has them. */
function sums(engine: TierEngine, command: string): { calls: number; nanos: number } {
  const { statistics } = engine.test.engine.dispatcher;
  const of = { calls: 0, nanos: 0, rejected: 0, failed: 0 };
  statistics.sum(statistics.table.rowOf(statistics.table.rows.find(({ name }) => name === command)!), of);
  return { calls: of.calls, nanos: of.nanos };
}

test("GET, MGET and EXEC: marked, with the wait in the duration and not in commandstats", () => {
  const engine = timedEngine();
  const value = "v".repeat(100);
  for (const key of ["a", "b", "c", "d", "e"]) engine.send("SET", key, value);
  engine.spill();
  expect(slow(engine, 30, "GET", "a")).toEqual([`"${value}"`]);
  expect(slow(engine, 40, "MGET", "b", "c")).toEqual([`*["${value}", "${value}"]`]);
  for (const args of [["MULTI"], ["GET", "d"]]) engine.send(...args);
  expect(slow(engine, 50, "EXEC")).toEqual([`*["${value}"]`]);
  // Below the threshold, and of a client that did not wait.
  expect(slow(engine, 6, "GET", "e")).toEqual([`"${value}"`]);
  engine.send("SET", "f", "1");
  engine.send("GET", "f");
  expect(entries(engine)).toEqual([
    { micros: 30_000, args: ["GET", "a", "(cold read: 30000 us)"] },
    { micros: 40_000, args: ["MGET", "b", "c", "(cold read: 40000 us)"] },
    { micros: 50_000, args: ["EXEC", "(cold read: 50000 us)"] },
  ]);
  const { latency } = engine.test.engine.dispatcher.statistics;
  expect(latency.events().map(({ name, worstMs }) => [name, worstMs])).toEqual([["cold-read", 50]]);
  const { waits } = engine.test.engine.store.cold;
  expect([waits.parked, waits.parkedMs]).toEqual([4, 126]);
  expect(sums(engine, "GET")).toEqual({ calls: 4, nanos: 0 });
  expect(sums(engine, "MGET")).toEqual({ calls: 1, nanos: 0 });
});

test("a command that could not be read is not logged as one that waited, nor is the next one", () => {
  const engine = timedEngine();
  engine.send("SET", "k", "v".repeat(100));
  engine.spill();
  engine.files.planFailure({ operation: "read", nth: engine.files.callsOf("read") + 1, code: "EIO" });
  expect(slow(engine, 30, "GET", "k")[0]).toContain("IOERR");
  engine.send("SET", "k", "1");
  engine.send("GET", "k");
  expect(entries(engine)).toEqual([]);
});
