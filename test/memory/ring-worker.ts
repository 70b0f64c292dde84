/** A thread of ring.test.ts: a producer, or the consumer (producer -1). */
import { Message } from "../../src/memory/message.ts";
import { Ring, ringBytes } from "../../src/memory/ring.ts";

declare const self: Worker;

export interface RingRun {
  memory: SharedArrayBuffer;
  size: number;
  producer: number;
  producers: number;
  messages: number;
}

/** Message `n` of a producer: both numbers, then bytes derived from them. */
function messageOf(producer: number, n: number, most: number): Buffer {
  const length = 8 + ((n * 31 + producer * 7) % (most - 8));
  const message = Buffer.alloc(length, (n + producer) & 0xff);
  message.writeInt32LE(producer, 0);
  message.writeInt32LE(n, 4);
  return message;
}

function produce(ring: Ring, run: RingRun, bell: Int32Array): void {
  const message = new Message();
  for (let n = 0; n < run.messages; n++) {
    const bytes = messageOf(run.producer, n, Math.min(120, run.size - 4));
    message.begin().add(bytes, 0, bytes.length);
    while (!ring.push(message, null, 0)) Atomics.pause();
    if (ring.mustWake()) {
      Atomics.add(bell, 0, 1);
      Atomics.notify(bell, 0);
    }
  }
}

/** Returns the number of messages taken, or a description of the first wrong one. */
function consume(ring: Ring, run: RingRun, bell: Int32Array): string {
  const next = new Int32Array(run.producers);
  let taken = 0;
  while (taken < run.producers * run.messages) {
    const rung = Atomics.load(bell, 0);
    const length = ring.take();
    if (length < 0) {
      // Sleeps without a time limit until a producer wakes it.
      if (ring.rest()) Atomics.wait(bell, 0, rung);
      continue;
    }
    const message = ring.taken.subarray(0, length);
    const producer = message.readInt32LE(0);
    const n = message.readInt32LE(4);
    if (n !== next[producer]) return `message ${n} of ${producer} in place of ${next[producer]}`;
    next[producer]!++;
    if (!message.equals(messageOf(producer, n, Math.min(120, run.size - 4)))) return `message ${n} is damaged`;
    taken++;
  }
  return `took ${taken}`;
}

self.onmessage = (event: MessageEvent<RingRun>) => {
  const run = event.data;
  const ring = new Ring(run.memory, 0, run.size);
  const bell = new Int32Array(run.memory, ringBytes(run.size), 1);
  if (run.producer < 0) {
    self.postMessage(consume(ring, run, bell));
  } else {
    produce(ring, run, bell);
    self.postMessage("pushed");
  }
};
