/**
 * The cost of reading the clock. dispatch/command-statistics.ts relies on it: performance.now takes a tenth of a pipelined
 * GET, and the coarse tick a sixth of that.
 *
 * Run: npm run bench -- clock
 */
import { systemClock } from "../../src/base/clock.ts";

const READS = 1 << 20;

function measure(what: string, read: () => number): void {
  let best = Number.POSITIVE_INFINITY;
  let sum = 0;
  for (let run = 0; run < 7; run++) {
    const start = Bun.nanoseconds();
    for (let i = 0; i < READS; i++) sum += read();
    best = Math.min(best, (Bun.nanoseconds() - start) / READS);
  }
  console.log(`${what.padEnd(34)} ${best.toFixed(1).padStart(6)} ns${sum === 42 ? "." : ""}`);
}

measure("nothing", () => 1);
measure("performance.now", () => performance.now());
measure("Date.now", () => Date.now());
measure("Bun.nanoseconds", () => Bun.nanoseconds());
measure("the clock's monotonicMs", systemClock.monotonicMs);
if (systemClock.tick !== undefined) measure("the clock's tick", systemClock.tick);
