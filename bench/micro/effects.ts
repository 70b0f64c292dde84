/**
 * What the change log costs a pipelined SET, in process: the same engine with the log off and on, in turns.
 *
 *   bun bench/micro/effects.ts
 */
import { ChangeLog, HEAD_BYTES, LogState } from "../../src/memory/change-log.ts";
import { testEngine } from "../../test/support/engine.ts";
import { encodeCommand } from "../../test/support/resp.ts";

const PIPELINE = 16;
const BATCHES = 4096;
const ROUNDS = 40;

const test = testEngine({ regions: 8, shards: 64 });
const { engine, client } = test;
const log = new ChangeLog(test.memory.control, new Uint8Array(HEAD_BYTES + (64 << 20)));
log.begin(0);
log.state = LogState.On;
const batches = Array.from({ length: BATCHES }, (_, batch) =>
  Buffer.concat(
    Array.from({ length: PIPELINE }, (_, i) =>
      encodeCommand(["SET", `key:${((batch * PIPELINE + i) * 7919) % 100_000}`, "v".repeat(64)]),
    ),
  ),
);
client.client.transport.write = (_bytes, _offset, length) => length;

function round(isOn: boolean): number {
  engine.effects.log = isOn ? log : null;
  const from = performance.now();
  for (const batch of batches) client.client.receive(batch);
  const took = performance.now() - from;
  if (isOn) log.drain(log.end);
  return (took * 1e6) / (BATCHES * PIPELINE);
}

const off: number[] = [];
const on: number[] = [];
for (let n = 0; n < ROUNDS; n++) {
  off.push(round(false));
  on.push(round(true));
}
const median = (all: number[]): number => all.slice(ROUNDS / 4).sort((a, b) => a - b)[Math.floor((ROUNDS * 3) / 8)]!;
console.log(`off ${median(off).toFixed(0)} ns, on ${median(on).toFixed(0)} ns a SET of 64 bytes`);
