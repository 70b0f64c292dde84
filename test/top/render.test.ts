/**
 * Goal:   the picture and the blocks of `ferrite top` say what the server said, fit every size of terminal, and never hand a
 *         terminal what a client has written.
 * Method: recorded looks at Ferrite and at redis-server, and made ones whose rates are known, are drawn in many sizes.
 */
import { describe, expect, test } from "bun:test";
import { keysOf, press, type Choice } from "../../src/top/keys.ts";
import { FIRST_SCREEN, type Frame, renderBlock, renderScreen, type Screen } from "../../src/top/render.ts";
import {
  parseClients,
  parseHistograms,
  parseHotKeys,
  parseInfo,
  parseSlow,
  type Sample,
} from "../../src/top/sample.ts";
import { bar, clean, cut, paint, plainText, sparkline, widthOf } from "../../src/top/text.ts";
import { PAGES } from "../../src/top/pages.ts";
import { percentilesOf, viewOf } from "../../src/top/view.ts";
import ferrite from "./ferrite.json" with { type: "json" };
import type { Recorded } from "./record.ts";
import redis from "./redis-7.0.15.json" with { type: "json" };

function sampleOf(recorded: Recorded, missing: Sample["missing"] = new Map()): Sample {
  return {
    monotonicMs: recorded.monotonicMs,
    wallMs: recorded.wallMs,
    info: parseInfo(recorded.info),
    histograms: parseHistograms(recorded.histograms),
    slow: parseSlow(recorded.slow),
    clients: parseClients(recorded.clients),
    hotKeys: parseHotKeys(recorded.hotKeys),
    missing,
  };
}

function frameOf(of: { before: Recorded; now: Recorded }, change: Partial<Frame> = {}): Frame {
  const view = viewOf(sampleOf(of.before), sampleOf(of.now));
  const history = [1, 5, 3, view.opsPerSecond];
  return { address: "127.0.0.1:6379", view, problem: "", intervalSeconds: 1, history, isUnicode: true, ...change };
}

const RECORDED = [
  ["Ferrite", ferrite],
  ["redis-server", redis],
] as const;

/** A sample with these fields of INFO and nothing else. */
function made(monotonicMs: number, fields: Record<string, string | number>, change: Partial<Sample> = {}): Sample {
  const info = new Map(Object.entries(fields).map(([name, value]) => [name, String(value)]));
  const empty = { histograms: new Map(), slow: [], clients: [], hotKeys: null, missing: new Map() };
  return { monotonicMs, wallMs: 0, info, ...empty, ...change };
}

const screenText = (frame: Frame, screen: Screen, columns: number, rows: number): string[] =>
  renderScreen(frame, screen, { columns, rows }).map(plainText);

describe("figures", () => {
  test("rates are of the time between two looks, and a shrunken counter is no rate", () => {
    const view = viewOf(
      made(1000, { total_commands_processed: 100, keyspace_hits: 10, keyspace_misses: 0, evicted_keys: 50 }),
      made(3000, {
        total_commands_processed: 5100,
        keyspace_hits: 40,
        keyspace_misses: 10,
        evicted_keys: 7,
        used_cpu_user: 3,
        used_cpu_sys: 1,
        db0: "keys=7,expires=0",
        db12: "keys=5,expires=1",
      }),
    );
    expect([view.opsPerSecond, view.hits, view.evictedPerSecond, view.cpu, view.keys]).toEqual([2500, 0.75, 0, 2, 12]);
  });

  test("percentiles of the calls since the look before, over all commands", () => {
    // Counts are at or below each bound; buckets that were empty are not named.
    const before = parseHistograms({ get: { calls: 100, histogram_usec: { "8": 100 } } });
    const now = parseHistograms({
      get: { calls: 200, histogram_usec: { "4": 50, "8": 150, "1024": 200 } },
      set: ["calls", 1, "histogram_usec", ["16", 1]],
    });
    const view = viewOf(
      made(0, { cmdstat_get: "calls=100,usec=1000", cmdstat_set: "calls=0,usec=0" }, { histograms: before }),
      made(1000, { cmdstat_get: "calls=200,usec=4000", cmdstat_set: "calls=1,usec=1000" }, { histograms: now }),
    );
    const [get, set] = view.commands;
    // 50 calls at or below 4 us, none up to 8 us that was not there before, 50 up to 1,024 us.
    expect([get!.perSecond, get!.meanMicros, get!.share, get!.p50]).toEqual([100, 30, 0.75, 4]);
    expect(get!.p99).toBeCloseTo(512 + 512 * 0.98, 5);
    expect([set!.perSecond, set!.p50, set!.share]).toEqual([1, 12, 0.25]);
    expect(view.latency.p50).toBeGreaterThan(4);
    expect(percentilesOf([])).toEqual({ p50: Number.NaN, p99: Number.NaN, p999: Number.NaN });
  });

  test("without LATENCY HISTOGRAM the percentiles of INFO are shown, marked as those since the start", () => {
    const missing = new Map([["LATENCY HISTOGRAM", "this server has no LATENCY"]] as const);
    const fields = {
      cmdstat_get: "calls=5,usec=50",
      latency_percentiles_usec_get: "p50=11.007,p99=20.095,p99.9=30.719",
    };
    const view = viewOf(made(0, fields), made(1000, fields, { missing }));
    expect(view.commands[0]).toMatchObject({ p50: 11.007, p99: 20.095, p999: 30.719 });
    expect(view.isLatencyLive).toBe(false);
    const text = screenText({ ...frameOf(ferrite), view }, FIRST_SCREEN, 100, 40).join("\n");
    expect(text).toContain("-*");
  });

  test("the disk tier, where it is on", () => {
    const fields = {
      ...{ hybridlog_tiering: 1, used_memory_dataset: 1024, tier_cold_bytes: 3072, tier_cold_values: 30 },
      ...{ tier_segment_files: 2, tier_segment_bytes: 4096, tier_disk_reads: 10, tier_disk_reads_blocking: 0 },
    };
    const now = { ...fields, tier_disk_reads: 40, tier_disk_reads_blocking: 10, tier_write_errors: 1 };
    const view = viewOf(made(0, fields), made(2000, now));
    expect(view.levels.slice(-2)).toEqual([
      { name: "on disk", used: 3072, of: 4096, note: "30 values, 20 reads/s" },
      { name: "disk live", used: 3072, of: 4096, note: "2 files, 0B written/s" },
    ]);
    expect(view.notes).toEqual(["writes of the disk tier FAILED"]);
    const text = screenText({ ...frameOf(ferrite), view }, FIRST_SCREEN, 100, 40).join("\n");
    expect(text).toMatch(/^on disk +█{30}░{10} +75% {2}3\.00K of 4\.00K {2}30 values, 20 reads\/s$/m);
    expect(viewOf(made(0, {}), made(1, { tier_cold_bytes: 5 })).levels.map(({ name }) => name)).toEqual([
      "used",
      "resident",
    ]);
  });

  test("replicas, of a primary and of a replica", () => {
    const slave0 = "ip=10.0.0.2,port=6380,state=online,offset=900,lag=1";
    const primary = viewOf(made(0, {}), made(1, { role: "master", master_repl_offset: 1000, slave0 }));
    expect(primary.replicas).toEqual([
      { address: "10.0.0.2:6380", state: "online", offset: 900, behindBytes: 100, lagSeconds: 1 },
    ]);
    const link = { master_host: "10.0.0.1", master_port: 6379, master_link_status: "down" };
    const replica = viewOf(made(0, {}), made(1, { role: "slave", ...link, slave_repl_offset: 5 }));
    expect([replica.role, replica.replicas[0]!.address, replica.replicas[0]!.state]).toEqual([
      "replica",
      "10.0.0.1:6379 (primary)",
      "down",
    ]);
    expect(replica.notes).toEqual(["the link to the primary is DOWN"]);
  });
});

describe("picture", () => {
  test.each(RECORDED)("of %s: all lines fit, in every size and on every page", (_name, recorded) => {
    for (const page of PAGES) {
      for (const columns of [1, 20, 40, 79, 120]) {
        for (const rows of [1, 2, 9, 24, 60]) {
          for (const isHelp of [false, true]) {
            const lines = screenText(frameOf(recorded), { ...FIRST_SCREEN, page, isHelp }, columns, rows);
            expect(lines.length).toBe(rows);
            expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(columns);
          }
        }
      }
    }
  });

  test("of Ferrite, 100 columns: head, figures, levels with the log, history, pages, tables", () => {
    const lines = screenText(frameOf(ferrite), FIRST_SCREEN, 100, 50);
    expect(lines[0]).toMatch(/^Ferrite 0\.1\.0 127\.0\.0\.1:6379 up \d+s, primary, 2 workers \d\d:\d\d:\d\d$/);
    expect(lines[1]).toMatch(/^ops\/s +\d\.\d+k +p50 +\S+us +p99 +\S+ +p99\.9 +\S+ +cpu +\d+%$/);
    const all = lines.join("\n");
    for (const name of ["used", "resident", "log live", "heap live"])
      expect(all).toMatch(new RegExp(`^${name} +[█░]{40} +[\\d.]+%  \\S+ of \\S+`, "m"));
    expect(all).toMatch(/^history +[▁▂▃▄▅▆▇█]{4} max /m);
    expect(all).toContain("1 Overview  2 Commands  3 Hot keys  4 Slow commands  5 Clients  6 Replicas");
    expect(all).toMatch(/^command +calls\/s +time +mean +p50 +p99 +p99\.9 +calls +failed$/m);
    expect(all).toMatch(/^lpush .* 800 +\d+$/m);
    expect(all).toMatch(/^key:\d+ +\S+ +\S+% +\S+$/m);
    expect(all).toMatch(/EVAL for i = 1, 400000 do end return 1 0/);
    expect(all).toContain("no replicas");
    expect(lines.at(-1)).toBe("q quit  ? help  Tab page  space pause");
  });

  test("of redis-server: without the parts that only Ferrite has", () => {
    const all = screenText(frameOf(redis), FIRST_SCREEN, 100, 60).join("\n");
    expect(all).toMatch(/^Redis 7\.0\.15 .* primary \d\d:/m);
    expect(all).not.toContain("log live");
    expect(all).not.toContain("workers");
    expect(all).toMatch(/^lpush /m);
  });

  test("in 40 columns and 24 rows the least important columns are left out, and the table keeps its rows", () => {
    const lines = screenText(frameOf(ferrite), { ...FIRST_SCREEN, page: "commands" }, 40, 24);
    const head = lines.findIndex((line) => line.startsWith("command"));
    expect(lines[head]).toMatch(/^command +calls\/s +time +p99$/);
    expect(lines[head - 1]).toBe("2 Commands  of 6, Tab: next");
    expect(lines.length - 1 - head).toBeGreaterThanOrEqual(4);
    const low = screenText(frameOf(ferrite), { ...FIRST_SCREEN, page: "commands" }, 40, 9);
    expect(low.find((line) => line.startsWith("command"))).toBeDefined();
  });

  test("text of clients is harmless", () => {
    const hostile = "\u001b[31mred\r\n\u202e\u0007";
    const { hotKeys } = sampleOf(ferrite.now);
    const keys = [{ key: hostile, micros: 5, bytes: 1 }, ...hotKeys!.keys];
    const now = { ...sampleOf(ferrite.now), hotKeys: { ...hotKeys!, keys } };
    const view = viewOf(sampleOf(ferrite.before), now);
    const lines = renderScreen(
      { ...frameOf(ferrite), view },
      { ...FIRST_SCREEN, page: "keys" },
      { columns: 100, rows: 60 },
    );
    const all = lines.map(plainText).join("\n");
    expect(all).toContain("\\x1b[31mred\\x0d\\x0a\\u{202e}\\x07");
    expect(all).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f\u202e]/);
    expect(clean("e\u0301\ufffd")).toBe("e\\u{301}\\u{fffd}");
  });

  test("a server that does not answer keeps its last figures, with the reason above them", () => {
    const lost = screenText(frameOf(ferrite, { problem: "no answer; trying again" }), FIRST_SCREEN, 80, 30);
    expect(lost[1]).toBe("no answer; trying again");
    expect(lost.join("\n")).toContain("ops/s");
    const nothing = screenText(frameOf(ferrite, { view: null }), FIRST_SCREEN, 80, 30);
    expect(nothing[0]).toBe("ferrite top 127.0.0.1:6379");
  });

  test("looks are colours of the terminal, and without colours only bold, dim and reversed", () => {
    const lines = renderScreen(frameOf(ferrite), FIRST_SCREEN, { columns: 100, rows: 50 });
    const coloured = lines.map((line) => paint(line, true)).join("\n");
    const plain = lines.map((line) => paint(line, false)).join("\n");
    expect(coloured).toContain("\x1b[36m");
    expect(new Set([...plain.matchAll(/\x1b\[[^m]*m/g)].map(([all]) => all))).toEqual(
      new Set(["\x1b[1m", "\x1b[2m", "\x1b[7m", "\x1b[0m"]),
    );
    expect(plain.replace(/\x1b\[[^m]*m/g, "")).toBe(lines.map(plainText).join("\n"));
  });

  test("a block is the same figures in plain characters", () => {
    const lines = renderBlock(frameOf(ferrite), 100, 3).map(plainText);
    const all = lines.join("\n");
    expect(all).toMatch(/^used +[#.]{40} /m);
    expect(all).not.toMatch(/[█▁]/);
    for (const title of ["Commands", "Hot keys", "Slow commands", "Clients", "Replicas"])
      expect(lines).toContain(title);
    expect(lines.indexOf("Hot keys") - lines.indexOf("Commands")).toBe(6);
  });
});

describe("keys", () => {
  const first: Choice = { screen: FIRST_SCREEN, intervalSeconds: 1, isOver: false };
  const { view } = frameOf(ferrite);
  const typed = (text: string, from = first): Choice =>
    keysOf(text).reduce((choice, key) => press(key, choice, view), from);

  test("pages by number and Tab, and back", () => {
    expect(typed("2").screen.page).toBe("commands");
    expect(typed("\t\t").screen.page).toBe("keys");
    expect(typed("\x1b[Z").screen.page).toBe("replicas");
    expect(typed("9").screen).toEqual(FIRST_SCREEN);
  });

  test("the order of a table, by column and reversed", () => {
    const top = (choice: Choice): string => {
      const lines = screenText(frameOf(ferrite), choice.screen, 120, 40);
      return lines[lines.findIndex((line) => line.startsWith("command")) + 1]!.split(" ")[0]!;
    };
    const byName = typed("2<<");
    expect(byName.screen.orders.commands.column).toBe(0);
    const names = [...view!.commands.map(({ command }) => command)].sort();
    expect(top(byName)).toBe(names[0]!);
    expect(top(typed("r", byName))).toBe(names.at(-1)!);
    expect(typed("<", first).screen).toEqual(FIRST_SCREEN);
    expect(typed("2<<<").screen.orders.commands.column).toBe(8);
  });

  test("scrolling stays within the table", () => {
    const last = view!.commands.length - 1;
    expect(typed("2\x1b[B\x1b[B\x1b[A").screen.first).toBe(1);
    expect(typed("2\x1b[F").screen.first).toBe(last);
    expect(typed("2\x1b[6~\x1b[6~\x1b[6~\x1b[6~\x1b[6~").screen.first).toBe(last);
    expect(typed("2\x1b[F\x1b[H").screen.first).toBe(0);
    expect(typed("\x1b[B").screen.first).toBe(0);
  });

  test("pause, interval, help, quit; unknown keys and sequences change nothing", () => {
    expect(typed(" ").screen.isPaused).toBe(true);
    expect([typed("+").intervalSeconds, typed("--").intervalSeconds, typed("+".repeat(20)).intervalSeconds]).toEqual([
      2, 0.5, 60,
    ]);
    expect(typed("?").screen.isHelp).toBe(true);
    expect(typed("?x").screen.isHelp).toBe(false);
    expect([typed("q").isOver, typed("\x03").isOver, typed("?q").isOver]).toEqual([true, true, true]);
    expect(typed("\x1b[13~\x1b[1;5Dzß漢")).toEqual(first);
  });
});

describe("text", () => {
  test("is cut by columns, also where characters take two", () => {
    expect(cut("abcdef", 4)).toBe("abc~");
    expect(cut("漢字漢字", 5)).toBe("漢字~");
    expect(cut("漢字", 4)).toBe("漢字");
    expect(cut("漢字", 0)).toBe("");
  });

  test("bars and sparklines have their length", () => {
    expect(bar(0.5, 10, true)).toBe("█████░░░░░");
    expect([bar(7, 4, false), bar(-1, 4, false), bar(Number.NaN, 3, false).length]).toEqual(["####", "....", 3]);
    expect(sparkline([0, 1, 2, 4, 8], 4, true)).toBe("▁▂▄█");
  });
});
