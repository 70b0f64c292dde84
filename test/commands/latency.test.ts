/**
 * Goal:   LATENCY shows the samples of the latency monitor and the histograms of commands, with Redis's replies.
 * Method: the monitor alone under a clock that the test moves; an engine in process; the same commands to a server of two
 *         workers and to redis-server.
 */
import { describe, expect, test } from "bun:test";
import { HeldClock } from "../../src/base/clock.ts";
import { configSet } from "../../src/base/config/redis.ts";
import { latencyGraph, latencyReport } from "../../src/commands/server/latency-report.ts";
import { LatencyMonitor, mergeEvents, SAMPLES_MAX } from "../../src/dispatch/latency-monitor.ts";
import { bothServers, expectSameReplies } from "../support/both-servers.ts";
import { testEngine } from "../support/engine.ts";
import { ask } from "../support/resp.ts";
import { requireRedis } from "../support/servers.ts";

const START_SECONDS = 1_800_000_000;

describe("latency monitor", () => {
  test("background work that takes long is an expire-cycle", () => {
    const engine = testEngine();
    configSet(engine.config, [["latency-monitor-threshold", "5"]]);
    const { store, dispatcher } = engine.engine;
    engine.send("SET", "k", "v", "PX", "1");
    const { turn } = store.wheel;
    store.wheel.turn = (...args) => {
      engine.clock.advance(7);
      return turn.apply(store.wheel, args);
    };
    engine.advance(5000);
    const [event] = dispatcher.statistics.latency.events();
    expect(event).toMatchObject({ name: "expire-cycle" });
    expect(event!.worstMs).toBeGreaterThanOrEqual(7);
    expect(engine.send("LATENCY", "LATEST")).toStartWith('*[*["expire-cycle", :');
  });

  test("keeps the worst of each second, 160 of them, and merges workers", () => {
    const clock = new HeldClock(START_SECONDS * 1000);
    const one = new LatencyMonitor(clock);
    one.sample("command", 500);
    expect(one.events()).toEqual([]);
    one.thresholdMs = 100;
    one.sample("command", 99);
    one.sample("command", 100);
    one.sample("command", 300);
    one.sample("command", 200);
    const two = new LatencyMonitor(clock);
    two.thresholdMs = 100;
    two.sample("command", 250);
    two.sample("expire-cycle", 120);
    clock.advance(1000);
    two.sample("command", 110);
    expect(mergeEvents([one.events(), two.events()])).toEqual([
      {
        name: "command",
        samples: [
          { atSeconds: START_SECONDS, ms: 300 },
          { atSeconds: START_SECONDS + 1, ms: 110 },
        ],
        worstMs: 300,
      },
      { name: "expire-cycle", samples: [{ atSeconds: START_SECONDS, ms: 120 }], worstMs: 120 },
    ]);
    for (let i = 0; i < 200; i++) {
      clock.advance(1000);
      one.sample("command", 100 + i);
    }
    expect(one.events()[0]!.samples.length).toBe(SAMPLES_MAX);
    expect(one.events()[0]!.worstMs).toBe(300);
    expect(one.reset(["nothing"])).toEqual([]);
    expect(one.reset([]).length).toBe(1);
    expect(one.events()).toEqual([]);
  });

  test("the graph is the one that redis-server 7.0.15 draws of these samples", () => {
    const samples = [50, 20, 30, 100].map((ms, i) => ({ atSeconds: 100 + i, ms }));
    expect(latencyGraph({ name: "command", samples, worstMs: 100 }, 103)).toBe(
      `command - high 100 ms, low 20 ms (all time high 100 ms)\n${"-".repeat(80)}\n   #\n   |\no  |\n|_o|\n    \n3210\nssss\n`,
    );
  });

  test("the doctor reports the events, and says when the monitor is off", () => {
    const samples = [50, 20, 30, 100].map((ms, i) => ({ atSeconds: 100 + i, ms }));
    const report = latencyReport([{ name: "command", samples, worstMs: 120 }], 10, 10_000);
    expect(report).toContain(
      "1. command: 4 latency spikes (average 50ms, mean deviation 25ms, period 0.75 sec). Worst all time event 120ms.\n",
    );
    expect(report).toContain("SLOWLOG GET");
    const once = { name: "expire-cycle", samples: samples.slice(0, 1), worstMs: 50 };
    expect(latencyReport([once], 0, -1)).toContain(
      "1 latency spikes (average 50ms, mean deviation 0ms, period 1.00 sec)",
    );
    expect(latencyReport([], 0, 0)).toContain("latency-monitor-threshold");
    expect(latencyReport([], 10, 0)).toContain("10 ms");
  });
});

const both = bothServers({ workers: 2, clients: 8 });
const hasRedis = requireRedis();
/** A number of 30 or more, because a sleep of 30 ms may take longer. */
const AT_LEAST_30 = "(?:[3-9]\\d|[1-9]\\d{2,})";

describe("two workers", () => {
  test("a command that sleeps is in the slow log and the latency monitor, alone of its pipeline", async () => {
    const [admin, other] = both.clients;
    await ask(admin!, "CONFIG", "SET", "latency-monitor-threshold", "20");
    await ask(admin!, "SLOWLOG", "RESET");
    await other!.pipeline([
      ["GET", "a"],
      ["GET", "a"],
      ["DEBUG", "SLEEP", "0.03"],
      ["GET", "a"],
    ]);
    expect(await ask(admin!, "SLOWLOG", "GET")).toMatch(
      new RegExp(`^\\*\\[\\*\\[:\\d+, :\\d+, :${AT_LEAST_30}\\d{3}, \\*\\["DEBUG", "SLEEP", "0\\.03"\\]`),
    );
    expect(await ask(admin!, "LATENCY", "LATEST")).toMatch(
      new RegExp(`^\\*\\[\\*\\["command", :\\d{10}, :${AT_LEAST_30}, :${AT_LEAST_30}\\]\\]$`),
    );
    expect(await ask(admin!, "LATENCY", "HISTORY", "command")).toMatch(
      new RegExp(`^\\*\\[\\*\\[:\\d{10}, :${AT_LEAST_30}\\]\\]$`),
    );
    expect(await ask(admin!, "LATENCY", "HISTORY", "nothing")).toBe("*[]");
    expect(await ask(admin!, "LATENCY", "GRAPH", "command")).toMatch(new RegExp(`^"command - high ${AT_LEAST_30} `));
    expect(await ask(admin!, "LATENCY", "DOCTOR")).toContain("1. command: 1 latency spikes");
    expect(await ask(admin!, "LATENCY", "RESET", "nothing")).toBe(":0");
    expect(await ask(admin!, "LATENCY", "RESET")).toBe(":1");
    expect(await ask(admin!, "LATENCY", "LATEST")).toBe("*[]");
    await ask(admin!, "CONFIG", "SET", "latency-monitor-threshold", "0");
  });

  test.if(hasRedis)("replies, help and errors are Redis's", async () => {
    const commands = [
      "LATENCY",
      "LATENCY HELP",
      "LATENCY nothing",
      "LATENCY GRAPH",
      "LATENCY GRAPH nothing",
      "LATENCY HISTORY",
      "LATENCY HISTORY nothing",
      "LATENCY LATEST",
      "LATENCY LATEST 1",
      "LATENCY RESET",
      "LATENCY RESET a b",
      "LATENCY HISTOGRAM nothing",
      "LATENCY DOCTOR 1",
    ];
    await expectSameReplies(both, commands, async (ours, theirs) => {
      for (const client of [ours, theirs]) {
        await ask(client, "CONFIG", "RESETSTAT");
        await ask(client, "GET", "a");
      }
      for (const client of [ours, theirs]) await ask(client, "HELLO", "3");
      const shape = (text: string) => text.replace(/%\{(:\d+ => :\d+(, )?)+\}/, "BOUNDS");
      const histogram = ["LATENCY", "HISTOGRAM", "get"] as const;
      expect(shape(await ask(ours, ...histogram))).toEqual(shape(await ask(theirs, ...histogram)));
      expect(shape(await ask(ours, ...histogram))).toContain("BOUNDS");
    });
  });
});
