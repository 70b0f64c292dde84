/**
 * Goal:   the counters of commands are exact and complete over all workers: commandstats, latencystats, errorstats.
 * Method: the statistics alone under a clock that the test moves; an engine in process; the same commands to a server of
 *         two workers and to redis-server.
 */
import { describe, expect, test } from "bun:test";
import { type Clock, HeldClock } from "../../src/base/clock.ts";
import { Config } from "../../src/base/config/config.ts";
import { configSet } from "../../src/base/config/redis.ts";
import type { Call } from "../../src/dispatch/call.ts";
import { KINDS_MAX } from "../../src/dispatch/error-kinds.ts";
import { CommandStatistics } from "../../src/dispatch/command-statistics.ts";
import { Session } from "../../src/dispatch/session.ts";
import { commandTable } from "../../src/commands/families.ts";
import { SharedClock } from "../../src/memory/shared-clock.ts";
import { Memory } from "../../src/server/memory.ts";
import { bothServers, expectSameReplies } from "../support/both-servers.ts";
import { testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { ask, replyTo, type RespClient, show } from "../support/resp.ts";
import { requireRedis } from "../support/servers.ts";

const START_SECONDS = 1_800_000_000;

/** A clock that only `ms` moves. Its tick counts steps of 4 ms, as a timer interrupt does. */
class TickingClock implements Clock {
  ms = 0;
  wallMs = () => START_SECONDS * 1000 + Math.floor(this.ms);
  wallMicros = () => this.wallMs() * 1000;
  monotonicMs = () => this.ms;
  tick = () => Math.floor(this.ms / 4);
}

function testStatistics(clock: Clock) {
  const memory = new Memory({
    shards: 1,
    workers: 2,
    databases: 16,
    regionBytes: 16 << 20,
    regions: 1,
    seedA: 1,
    seedB: 2,
    hugePages: false,
  });
  const config = new Config("", { memoryBytes: 1 << 30, cgroupMemoryBytes: 0, cpus: 2 });
  const table = commandTable();
  const statistics = [0, 1].map((worker) => new CommandStatistics(memory.control, worker, table, clock, config));
  const row = (name: string) => table.rowOf(table.rows.find((spec) => spec.name === name)!);
  /** A command that has ended, with the fields that the log reads. */
  const callOf = (name: string) => {
    const spec = table.byName(name)!;
    return {
      spec,
      session: new Session(7),
      argCount: 1,
      argBytes: () => name.length,
      argAt: () => 0,
      bytes: Buffer.from(name),
      stagedArgument: () => null,
      staged: [],
    } as unknown as Call;
  };
  return { statistics: statistics[0]!, other: statistics[1]!, config, row, callOf };
}

function sumsOf(statistics: CommandStatistics, row: number) {
  const sums = { calls: 0, nanos: 0, rejected: 0, failed: 0 };
  statistics.sum(row, sums);
  return sums;
}

describe("CommandStatistics", () => {
  test("a run of one command in a batch is timed together, and the sum of each command is exact", () => {
    const clock = new TickingClock();
    const { statistics, row, callOf } = testStatistics(clock);
    const get = row("GET");
    const set = row("SET");
    for (const [name, at, isLast] of [
      ["GET", 0.001, false],
      ["GET", 0.003, false],
      ["SET", 0.01, false],
      ["GET", 0.012, true],
    ] as const) {
      if (row(name) !== statistics.row) statistics.beginRun(row(name));
      clock.ms = at;
      statistics.ended(callOf(name), isLast);
    }
    expect(statistics.row).toBe(-1);
    expect(sumsOf(statistics, get).calls).toBe(3);
    expect(sumsOf(statistics, get).nanos).toBeCloseTo(5000, 3);
    expect(sumsOf(statistics, set).nanos).toBeCloseTo(7000, 3);
    expect(statistics.commands).toBe(4);
    // 3,000 ns for two, 2,000 for one: 16 ns fall into one bucket there.
    expect(statistics.percentiles(get, [50, 100])).toEqual([1.503, 2.007]);
    expect(statistics.percentiles(get, [0])).toEqual([1.496]);
  });

  test("a slow command within a run is found and timed alone", () => {
    const clock = new TickingClock();
    const { statistics, row, callOf } = testStatistics(clock);
    const get = row("GET");
    const run = (ms: number, isLast: boolean) => {
      if (statistics.row !== get) statistics.beginRun(get);
      clock.ms += ms;
      statistics.ended(callOf("GET"), isLast);
    };
    for (let i = 0; i < 100; i++) run(0.002, i === 99);
    for (const ms of [0.002, 0.002, 0.002, 25, 0.002, 0.002]) run(ms, false);
    run(0.002, true);
    const [entry, ...rest] = statistics.log.entries(0, Infinity);
    expect(rest).toEqual([]);
    expect(entry!.value).toBeWithin(24_990, 25_007);
    expect(entry).toMatchObject({ id: 0, args: ["GET"], atSeconds: START_SECONDS });
    expect(sumsOf(statistics, get)).toMatchObject({ calls: 107 });
    expect(sumsOf(statistics, get).nanos).toBeCloseTo(25_212_000, 0);
  });

  test("an engine's clock has the tick of the one it was given, so that a run's commands share two readings", () => {
    const clock = new TickingClock();
    const shared = new SharedClock(clock, testEngine().memory.control);
    let readings = 0;
    clock.monotonicMs = () => ++readings * 0.001;
    const { statistics, row, callOf } = testStatistics(shared);
    statistics.beginRun(row("GET"));
    for (let i = 0; i < 16; i++) statistics.ended(callOf("GET"), i === 15);
    expect(readings).toBe(2);
    expect(new SharedClock(new HeldClock(0), testEngine().memory.control).tick).toBeUndefined();
  });

  test("with a threshold below the clock's tick every command is timed by itself", () => {
    const clock = new TickingClock();
    const { statistics, config, row, callOf } = testStatistics(clock);
    configSet(config, [["slowlog-log-slower-than", "100"]]);
    statistics.beginRun(row("GET"));
    for (const ms of [0.05, 0.1, 0.099, 0.2]) {
      clock.ms += ms;
      statistics.ended(callOf("GET"), false);
    }
    expect(statistics.log.entries(0, Infinity).map(({ value }) => value)).toEqual([100, 200]);
    expect(statistics.percentiles(row("GET"), [25, 100]).map(Math.round)).toEqual([50, 201]);
    configSet(config, [["slowlog-max-len", "1"]]);
    expect(statistics.log.entries(0, Infinity).map(({ value }) => value)).toEqual([200]);
    configSet(config, [["slowlog-max-len", "0"]]);
    clock.ms += 1000;
    statistics.ended(callOf("GET"), true);
    expect(statistics.log.entries(0, Infinity)).toEqual([]);
  });

  test("a retried command is not counted, nor is its waiting time", () => {
    const clock = new TickingClock();
    const { statistics, row, callOf } = testStatistics(clock);
    const get = row("GET");
    statistics.beginRun(get);
    clock.ms += 0.01;
    statistics.ended(callOf("GET"), true);
    statistics.beginRun(get);
    clock.ms += 0.01;
    statistics.ended(callOf("GET"), false);
    clock.ms += 2;
    statistics.retried();
    expect(sumsOf(statistics, get)).toMatchObject({ calls: 2 });
    expect(sumsOf(statistics, get).nanos).toBeCloseTo(20_000, 0);
  });

  test("percentiles and bounds are those of a sorted list, to two digits, over both workers", () => {
    const clock = new TickingClock();
    const { statistics, other, row, callOf } = testStatistics(clock);
    const random = new SeededRandom(testSeed());
    const keys = row("KEYS");
    const nanos: number[] = [];
    for (let i = 0; i < 2000; i++) {
      const duration = Math.max(1, Math.round(10 ** (random.unit() * 9)));
      nanos.push(duration);
      const one = i % 2 === 0 ? statistics : other;
      one.beginRun(keys);
      clock.ms += duration / 1e6;
      one.ended(callOf("KEYS"), true);
    }
    nanos.sort((a, b) => a - b);
    for (const percentile of [1, 10, 50, 90, 99, 99.9, 100]) {
      const exact = nanos[Math.max(1, Math.round((percentile / 100) * nanos.length)) - 1]! / 1000;
      const [found] = statistics.percentiles(keys, [percentile]);
      // A bucket's end is at most 1/128 above its values. Adding durations loses the last nanosecond.
      expect(found! / exact).toBeWithin(0.99, 1.02);
    }
    const { calls, bounds } = statistics.histogram(keys)!;
    expect(calls).toBe(2000);
    expect(bounds.at(-1)![1]).toBe(2000);
    for (const [micros, cumulated] of bounds) {
      const bound = 2 ** Math.round(Math.log2(micros * 1000)) * (1 + 1 / 128);
      const exact = nanos.filter((duration) => duration < bound).length;
      expect(Math.abs(cumulated - exact)).toBeLessThan(5);
    }
    statistics.reset();
    expect(sumsOf(statistics, keys).calls).toBe(1000);
    other.reset();
    expect(sumsOf(statistics, keys)).toEqual({ calls: 0, nanos: 0, rejected: 0, failed: 0 });
    expect(statistics.histogram(keys)).toBeNull();
    expect(statistics.percentiles(keys, [50])).toEqual([]);
  });
});

describe("in process", () => {
  test("calls, refusals and failures are counted apart", () => {
    const engine = testEngine();
    for (const command of [
      ["SET", "k", "v"],
      ["GET", "k"],
      ["GET"],
      ["INCR", "k"],
      ["CONFIG", "GET", "port"],
      ["CONFIG", "nothing"],
      ["CONFIG", "GET"],
      ["nothing"],
    ]) {
      engine.send(...command);
    }
    engine.client.raw("PING\r\nPING\r\nPING\r\n");
    const { statistics } = engine.engine.dispatcher;
    const found: Record<string, string> = {};
    statistics.table.rows.forEach((spec, row) => {
      const sums = { calls: 0, nanos: 0, rejected: 0, failed: 0 };
      if (statistics.sum(row, sums)) found[spec.name] = `${sums.calls} ${sums.rejected} ${sums.failed}`;
    });
    expect(found).toEqual({
      SET: "1 0 0",
      GET: "1 1 0",
      INCR: "1 0 1",
      "CONFIG|GET": "1 1 0",
      PING: "3 0 0",
    });
    expect(statistics.commands).toBe(7);
    expect(statistics.errors.sums()).toEqual([["ERR", 5]]);
  });

  test("made-up error codes do not fill memory: the 129th and later ones share a count", () => {
    const { engine } = testEngine();
    for (let i = 0; i < KINDS_MAX + 72; i++) engine.reply.error(`KIND${i} text`);
    engine.reply.error("KIND0 again");
    engine.reply.error("a text without a code in its first bytes, as it is");
    engine.reply.error("NOSPACE");
    engine.reply.error(`${"X".repeat(40)} text`);
    const sums = new Map(engine.dispatcher.statistics.errors.sums());
    expect(sums.size).toBe(KINDS_MAX + 1);
    expect(sums.get("KIND0")).toBe(2);
    expect(sums.get(`KIND${KINDS_MAX - 1}`)).toBe(1);
    expect(sums.get("ERRORSTATS_OVERFLOW")).toBe(72 + 3);
    engine.dispatcher.statistics.reset();
    engine.reply.error("NOSPACE");
    expect(engine.dispatcher.statistics.errors.sums()).toEqual([["ERR", 1]]);
  });
});

const both = bothServers({ workers: 2, clients: 8 });
const hasRedis = requireRedis();
async function info(client: RespClient, section: string): Promise<Map<string, string>> {
  const reply = await replyTo(client, "INFO", section);
  if (reply.type !== "bulk") throw new Error(show(reply));
  const lines = reply.value.split("\r\n").filter((line) => line.includes(":"));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]));
}

describe("two workers", () => {
  test("counters are the sums of both, and RESETSTAT sets all of them to 0", async () => {
    const [admin] = both.clients;
    await ask(admin!, "CONFIG", "RESETSTAT");
    for (const client of both.clients) {
      await client.pipeline(Array.from({ length: 20 }, () => ["GET", "nothing"]));
      await ask(client, "GET");
      await ask(client, "INCRBY", "n", "x");
      await ask(client, "CLIENT", "ID");
    }
    const stats = await info(admin!, "commandstats");
    expect(stats.get("cmdstat_get")).toMatch(
      /^calls=160,usec=\d+,usec_per_call=\d+\.\d\d,rejected_calls=8,failed_calls=0$/,
    );
    expect(stats.get("cmdstat_incrby")).toMatch(/^calls=8,.*,rejected_calls=0,failed_calls=8$/);
    expect(stats.get("cmdstat_client|id")).toMatch(/^calls=8,/);
    expect((await info(admin!, "errorstats")).get("errorstat_ERR")).toBe("count=16");
    expect((await info(admin!, "latencystats")).get("latency_percentiles_usec_get")).toMatch(
      /^p50=\d+\.\d{3},p99=\d+\.\d{3},p99\.9=\d+\.\d{3}$/,
    );
    expect(await ask(admin!, "LATENCY", "HISTOGRAM", "get", "client", "nothing")).toMatch(
      /^\*\["get", \*\["calls", :160, "histogram_usec", \*\[(:\d+, :\d+, )*:\d+, :160\]\], "client\|id", \*\["calls", :8, "histogram_usec", \*\[.*:8\]\]\]$/,
    );
    await ask(admin!, "CONFIG", "SET", "latency-tracking", "no");
    await ask(admin!, "GET", "nothing");
    expect((await info(admin!, "latencystats")).size).toBe(0);
    expect(await ask(admin!, "LATENCY", "HISTOGRAM", "get")).toStartWith('*["get", *["calls", :160, ');
    await ask(admin!, "CONFIG", "SET", "latency-tracking", "yes");
    const workers = await info(admin!, "workers");
    expect([...workers.keys()]).toEqual(["worker0", "worker1"]);
    for (const line of workers.values()) {
      expect(line).toMatch(
        /^clients=\d,blocked=0,commands=\d+,ops_per_sec=\d+,heap_bytes=\d+,buffer_bytes=\d+(,cpu_seconds=\d+\.\d{3})?$/,
      );
    }
    expect(Number((await info(admin!, "hybridlog")).get("hybridlog_segments"))).toBeGreaterThanOrEqual(0);
    expect(await ask(admin!, "CONFIG", "RESETSTAT")).toBe("+OK");
    expect(await ask(admin!, "LATENCY", "HISTOGRAM")).toMatch(
      /^\*\["config\|resetstat", \*\["calls", :1, "histogram_usec", \*\[:\d+, :1\]\]\]$/,
    );
    expect((await info(admin!, "commandstats")).get("cmdstat_config|resetstat")).toStartWith("calls=1,");
    expect((await info(admin!, "commandstats")).has("cmdstat_get")).toBe(false);
    expect((await info(admin!, "errorstats")).size).toBe(0);
    expect((await info(admin!, "latencystats")).has("latency_percentiles_usec_get")).toBe(false);
    expect((await info(admin!, "stats")).get("total_error_replies")).toBe("0");
  });

  test("an error of a Later command counts as the command's failure", async () => {
    const [admin, other] = both.clients;
    await ask(admin!, "CONFIG", "RESETSTAT");
    const id = (await ask(other!, "CLIENT", "ID")).slice(1);
    const waits = ask(other!, "WAIT", "1", "0");
    let unblocked = ":0";
    for (let tries = 0; tries < 500 && unblocked === ":0"; tries++) {
      unblocked = await ask(admin!, "CLIENT", "UNBLOCK", id, "ERROR");
    }
    expect(await waits).toStartWith("-UNBLOCKED");
    const stats = await info(admin!, "commandstats");
    expect(stats.get("cmdstat_wait")).toMatch(/^calls=1,.*,rejected_calls=0,failed_calls=1$/);
    expect((await info(admin!, "errorstats")).get("errorstat_UNBLOCKED")).toBe("count=1");
  });

  test.if(hasRedis)("replies, help and errors are Redis's", async () => {
    const commands = ["CONFIG SET latency-tracking-info-percentiles 33.3333333", "CONFIG RESETSTAT", "INFO errorstats"];
    await expectSameReplies(both, commands, async (ours, theirs) => {
      // Figures differ, their format does not.
      const form = (text: string) => text.replace(/\d+(\.\d+)?/g, "1");
      for (const client of [ours, theirs])
        for (const args of [
          ["GET", "a"],
          ["SET", "a"],
        ])
          await ask(client, ...args);
      for (const [section, name] of [
        ["commandstats", "cmdstat_get"],
        ["commandstats", "cmdstat_set"],
        ["latencystats", "latency_percentiles_usec_get"],
        ["errorstats", "errorstat_ERR"],
      ] as const) {
        const [mine, other] = [(await info(ours, section)).get(name), (await info(theirs, section)).get(name)];
        expect([name, form(mine ?? "none")]).toEqual([name, form(other ?? "none")]);
      }
    });
  });
});
