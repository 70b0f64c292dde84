/**
 * Goal:   the counters of the background work and of the reply buffers, which INFO shows, are exact.
 * Method: an engine in process, whose cells are read. Its clock is held, or advances by a millisecond at each reading.
 */
import { expect, test } from "bun:test";
import { Cell } from "../../src/server/cells.ts";
import { type TestEngine, testEngine } from "../support/engine.ts";

function cell(engine: TestEngine, which: Cell): number {
  engine.engine.publishCounters();
  return engine.engine.cells.get(which);
}

function fillExpiring(engine: TestEngine, keys: number): void {
  for (let i = 0; i < keys; i++) engine.send("SET", `k${i}`, "v", "PX", i < keys / 2 ? "1000" : "1000000");
}

test("the share of due keys that are not removed yet", () => {
  const engine = testEngine();
  engine.checksEach = false;
  fillExpiring(engine, 200);
  for (let i = 0; i < 200; i++) engine.engine.maintain(1, 50);
  expect(cell(engine, Cell.stalePercent)).toBe(0);
  // Half of them expire, and nothing removes them.
  engine.engine.store.activeExpire = false;
  engine.advance(2000);
  for (let i = 0; i < 400; i++) engine.engine.maintain(1, 50);
  expect(cell(engine, Cell.stalePercent)).toBeGreaterThan(25);
  expect(cell(engine, Cell.stalePercent)).toBeLessThan(75);
  engine.engine.store.activeExpire = true;
  for (let i = 0; i < 400; i++) engine.engine.maintain(1, 50);
  expect(cell(engine, Cell.stalePercent)).toBeLessThan(1);
});

test("a round that ends because its time is used up is counted", () => {
  const engine = testEngine();
  fillExpiring(engine, 20);
  engine.clock.advance(2000);
  expect(cell(engine, Cell.expireCapReached)).toBe(0);
  engine.engine.maintain(1, 0);
  expect(cell(engine, Cell.expireCapReached)).toBe(1);
  engine.engine.maintain(1, 50);
  expect(cell(engine, Cell.expireCapReached)).toBe(1);
});

test("the times of the rounds are added up", () => {
  const timed = testEngine();
  const { clock } = timed;
  const read = clock.monotonicMs.bind(clock);
  clock.monotonicMs = () => {
    clock.advance(1);
    return read();
  };
  expect(cell(timed, Cell.expireCycleMs)).toBe(0);
  timed.engine.maintain(1, 50);
  const first = cell(timed, Cell.expireCycleMs);
  expect(first).toBeGreaterThan(0);
  timed.engine.maintain(1, 50);
  expect(cell(timed, Cell.expireCycleMs)).toBeGreaterThan(first);
});

test("reply buffers that grow, and large ones that are released", () => {
  const engine = testEngine();
  const value = "v".repeat(120_000);
  engine.send("SET", "k", "v");
  engine.send("GET", "k");
  expect(cell(engine, Cell.replyExpands)).toBe(0);
  for (let i = 0; i < 4; i++) engine.send("SET", `large${i}`, value);
  engine.send("GET", "large0");
  expect(cell(engine, Cell.replyExpands)).toBeGreaterThan(0);
  expect(cell(engine, Cell.replyShrinks)).toBe(0);
  engine.send("HSET", "hash", "field", "v".repeat(2_000_000));
  engine.send("HMGET", "hash", "field", "field");
  expect(cell(engine, Cell.replyShrinks)).toBeGreaterThan(0);
});

test("reads and writes of the transport", () => {
  const engine = testEngine();
  const reads = cell(engine, Cell.reads);
  const writes = cell(engine, Cell.writes);
  engine.client.raw("PING\r\nPING\r\nPING\r\n");
  expect(cell(engine, Cell.reads)).toBe(reads + 1);
  expect(cell(engine, Cell.writes)).toBe(writes + 1);
});
