/**
 * Goal:   the figures of the disk tier are those of what was done: bytes and records by region, debt of compaction, write
 *         amplification, the queues of the disk; and the metrics have them.
 * Method: an engine over files in memory; its figures at known points, and the catalogue's metrics made of them.
 */
import { expect, test } from "bun:test";
import { writeAmplification } from "../../src/dispatch/services.ts";
import { METRICS } from "../../src/metrics/catalogue.ts";
import { MetricsText } from "../../src/metrics/text.ts";
import type { Facts } from "../../src/metrics/facts.ts";
import { encodeCommand } from "../support/resp.ts";
import { TierEngine } from "./engine.ts";

const VALUES = 200;
/** Nothing goes to disk by itself. */
const ROOMY = { "storage.hybridlog_mutable_size": 1 << 30, "storage.hybridlog_readonly_size": 1 << 30 };

test("debt grows with overwritten values and is paid by compaction, which amplifies writes", () => {
  const engine = new TierEngine({ settings: ROOMY });
  const figures = () => engine.test.engine.call.cold.figures();
  const value = "v".repeat(1000);
  for (let n = 0; n < VALUES; n++) engine.send("SET", `k${n}`, value);
  expect(engine.wait("TIER", "MATCH", "*", "DEMOTE")).toBe(`:${VALUES}`);
  engine.send("PING");
  const spilled = figures();
  expect(spilled.values).toBe(VALUES);
  expect([spilled.debtBytes, spilled.oldestFile]).toEqual([0, 1]);
  expect(writeAmplification(spilled)).toBeWithin(1, 1.1);
  for (let n = 0; n < VALUES / 2; n++) engine.send("SET", `k${n}`, "short");
  const owing = figures();
  expect(owing.debtBytes).toBe(owing.fileBytes - owing.liveBytes);
  expect(owing.debtBytes).toBeGreaterThan(VALUES * 500);
  engine.tier.writer.seal();
  engine.compact();
  engine.send("PING");
  const settled = figures();
  expect([settled.debtBytes, settled.values]).toEqual([0, VALUES / 2]);
  expect(settled.oldestFile).toBeGreaterThan(1);
  expect(writeAmplification(settled)).toBeWithin(1.4, 1.7);
});

test("the queues of the disk, and the metrics", () => {
  const engine = new TierEngine({ settings: { ...ROOMY, "storage.max_disk": 1 << 30 } });
  const { client } = engine.test;
  engine.send("SET", "k", "v".repeat(1000));
  engine.send("SET", "hot", "1");
  expect(client.raw(encodeCommand(["TIER", "DEMOTE", "k"]))).toEqual([]);
  expect(engine.tier.writer.writesUnderWay).toBe(1);
  engine.settle();
  expect(engine.tier.writer.writesUnderWay).toBe(0);
  client.raw("");
  expect(client.raw(encodeCommand(["GET", "k"]))).toEqual([]);
  expect(engine.tier.reader.underWay).toBe(1);
  engine.settle();
  client.raw("");
  engine.send("PING");
  const tier = engine.test.engine.call.cold.figures();
  const facts = { tier, memory: { data: 500 }, databases: [{ keys: 2 }] } as unknown as Facts;
  const text = new MetricsText(false);
  for (const metric of METRICS) if (metric.name.startsWith("ferrite_tier_")) metric.write(facts, text);
  const lines = text.finish().split("\n");
  for (const line of [
    'ferrite_tier_region_records{region="memory"} 1',
    'ferrite_tier_region_records{region="disk"} 1',
    'ferrite_tier_region_bytes{region="memory"} 500',
    `ferrite_tier_max_bytes ${1 << 30}`,
    "ferrite_tier_waits_total 1",
    "ferrite_tier_disk_writes_pending 0",
  ])
    expect(lines).toContain(line);
});
