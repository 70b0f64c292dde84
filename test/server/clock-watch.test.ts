/** Goal: a jump of the wall clock is logged once, with its size; a slow drift and the passing of time are not. */
import { expect, test } from "bun:test";
import { INFO, LogFilter, LogRoot } from "../../src/base/log.ts";
import { ClockWatch } from "../../src/server/clock-watch.ts";

test("jumps ahead and back are logged, time that passes and a drift are not", () => {
  const lines: string[] = [];
  const logs = new LogRoot({
    sink: { write: (line) => lines.push(line), close: () => {} },
    format: "json",
    filter: new LogFilter([{ target: "", level: INFO }]),
    threadName: "main",
    threadId: 0,
    showThreadName: false,
    showThreadId: false,
    showTarget: true,
    now: () => 0,
    repeatLimit: 0,
  });
  let wall = 1_700_000_000_000;
  let monotonic = 5;
  const clock = { wallMs: () => wall, wallMicros: () => wall * 1000, monotonicMs: () => monotonic };
  const watch = new ClockWatch(clock, logs.target("server"));
  const pass = (wallMs: number, monotonicMs: number): void => {
    wall += wallMs;
    monotonic += monotonicMs;
    watch.look();
  };
  for (let i = 0; i < 100; i++) pass(1000.5, 1000);
  pass(3_600_000, 3_600_000);
  expect(lines).toEqual([]);
  pass(3_601_000, 1000);
  pass(1000, 1000);
  pass(-59_000, 1000);
  expect(lines.map((line) => JSON.parse(line)).map(({ message, jump_ms }) => [message, jump_ms])).toEqual([
    ["the system's clock has jumped ahead: keys expire early", 3_600_000],
    ["the system's clock has jumped back: keys live longer", -60_000],
  ]);
});
