/**
 * Goal:   every message comes out of the ring complete, once, and in its producer's order; a full ring refuses messages; a
 *         sleeping consumer is woken for every message.
 * Method: a model on one thread, with rings so small that messages wrap around the end and counters around 2^32; then
 *         producer threads and a consumer that really sleeps. A lost wakeup makes the test run into its timeout.
 */
import { describe, expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { Message } from "../../src/memory/message.ts";
import { type Outside, Ring, ringBytes } from "../../src/memory/ring.ts";
import { testSeed } from "../support/random.ts";
import type { RingRun } from "./ring-worker.ts";

const HEAD_WORD = 32,
  TAIL_WORD = 64;

function ringOf(size: number, start = 0): Ring {
  const buffer = new SharedArrayBuffer(ringBytes(size));
  const words = new Int32Array(buffer);
  words[HEAD_WORD] = start;
  words[TAIL_WORD] = start;
  return new Ring(buffer, 0, size);
}

/** Takes a message. Returns a copy of its bytes, or null. */
function take(ring: Ring): Buffer | null {
  const length = ring.take();
  return length < 0 ? null : Buffer.from(ring.taken.subarray(0, length));
}

const message = new Message();
/** Pushes `bytes` in three parts. */
function push(ring: Ring, bytes: Buffer, outside: Outside | null = null, outsideMax = 0): boolean {
  message.begin();
  if (bytes.length >= 4) message.int(bytes.readInt32LE(0));
  const at = message.bytes;
  const half = at + ((bytes.length - at) >> 1);
  message.add(bytes, at, half - at).add(bytes, half, bytes.length - half);
  expect(message.bytes).toBe(bytes.length);
  return ring.push(message, outside, outsideMax);
}

describe("one thread", () => {
  test("the data begins after 512 bytes of words", () => {
    expect(ringBytes(64)).toBe(576);
    expect(() => ringOf(96)).toThrow();
    expect(() => ringOf(32)).toThrow();
  });

  test("an empty ring has no message; a full one refuses the next", () => {
    const ring = ringOf(64);
    expect(ring.isEmpty).toBe(true);
    expect(take(ring)).toBeNull();
    expect(ring.messageMax).toBe(60);
    expect(push(ring, Buffer.alloc(61))).toBe(false);
    expect(push(ring, Buffer.alloc(60, "x"))).toBe(true);
    expect(push(ring, Buffer.alloc(0))).toBe(false);
    expect(take(ring)!.toString()).toBe("x".repeat(60));
    expect(push(ring, Buffer.alloc(0))).toBe(true);
    expect(take(ring)!.length).toBe(0);
    expect(ring.isEmpty).toBe(true);
  });

  test("a resting consumer is woken once, and cannot rest while messages wait", () => {
    const ring = ringOf(64);
    expect(ring.mustWake()).toBe(false);
    expect(ring.rest()).toBe(true);
    push(ring, Buffer.from("a"));
    expect(ring.mustWake()).toBe(true);
    expect(ring.mustWake()).toBe(false);
    expect(ring.rest()).toBe(false);
    expect(ring.mustWake()).toBe(false);
    take(ring);
    expect(ring.rest()).toBe(true);
    ring.work();
    expect(ring.mustWake()).toBe(false);
  });

  test.each([
    [64, 0],
    [256, 0x7fffffc0],
    [1024, -512],
  ])("against a queue: %d bytes, counters from %d", (size, start) => {
    const random = new Random(testSeed());
    const ring = ringOf(size, start);
    const model: Buffer[] = [];
    let used = 0;
    for (let step = 0; step < 20_000; step++) {
      if (random.below(2) === 0) {
        const message = Buffer.from(
          Array.from({ length: random.below(random.below(4) === 0 ? size : 20) }, () => random.below(256)),
        );
        const bytes = 4 + ((message.length + 3) & ~3);
        const fits = used + bytes <= size;
        expect(push(ring, message)).toBe(fits);
        if (!fits) continue;
        model.push(message);
        used += bytes;
      } else {
        const message = take(ring);
        const wanted = model.shift();
        expect(message === null).toBe(wanted === undefined);
        if (wanted === undefined) continue;
        expect(message!.equals(wanted)).toBe(true);
        used -= 4 + ((wanted.length + 3) & ~3);
      }
      expect(ring.isEmpty).toBe(model.length === 0);
    }
  });

  test.each([
    [64, 40],
    [256, 100],
    [1024, 1020],
  ])("with messages outside: a ring of %d bytes, messages of up to %d in it", (size, messageMax) => {
    const random = new Random(testSeed());
    const ring = new Ring(new SharedArrayBuffer(ringBytes(size)), 0, size, messageMax);
    const model: Buffer[] = [];
    const parcels = new Map<number, Buffer>();
    const outside: Outside = {
      put: (n, taken) => {
        const bytes = Buffer.alloc(taken.bytes);
        taken.copyTo(bytes);
        parcels.set(n, bytes);
      },
    };
    const most = 3000;
    let refused = 0;
    for (let step = 0; step < 20_000; step++) {
      const bursts = random.below(20) === 0 ? 40 : 1;
      for (let n = random.below(2) * bursts; n > 0; n--) {
        const bytes = Buffer.from(Array.from({ length: random.below(messageMax + 20) }, () => random.below(256)));
        const units = Math.ceil(bytes.length / 64);
        let waiting = 0;
        for (const parcel of parcels.values()) waiting += Math.ceil(parcel.length / 64);
        const goesOutside = push(ring, bytes, outside, most);
        if (goesOutside) model.push(bytes);
        else expect((waiting + units) * 64).toBeGreaterThan(most);
        refused += goesOutside ? 0 : 1;
      }
      expect(ring.isEmpty).toBe(model.length === 0);
      if (parcels.size > 0) expect(ring.backlog).toBe(Infinity);
      if (random.below(2) === 0) continue;
      const head = ring.outsideHead;
      for (let bytes = take(ring); bytes !== null; bytes = take(ring)) expect(bytes.equals(model.shift()!)).toBe(true);
      while (ring.outsideTail !== head) {
        const n = ring.outsideTail;
        const bytes = parcels.get(n)!;
        parcels.delete(n);
        expect(bytes.equals(model.shift()!)).toBe(true);
        ring.tookOutside(bytes.length);
      }
      expect(ring.backlog).toBe(0);
    }
    expect(refused).toBeGreaterThan(0);
  });
});

test.each([
  [1, 512, 4000],
  [3, 256, 2000],
  [5, 4096, 1000],
])(
  "%d producers, a ring of %d bytes, %d messages each",
  async (producers, size, messages) => {
    const memory = new SharedArrayBuffer(ringBytes(size) + 128);
    const url = new URL("./ring-worker.ts", import.meta.url).href;
    const workers = Array.from({ length: producers + 1 }, () => new Worker(url));
    const ends = workers.map(
      (worker, i) =>
        new Promise<string>((resolve, reject) => {
          worker.onmessage = (event: MessageEvent<string>) => resolve(event.data);
          worker.onerror = (event) => reject(new Error(event.message));
          const run: RingRun = { memory, size, producer: i - 1, producers, messages };
          worker.postMessage(run);
        }),
    );
    const [consumer, ...others] = await Promise.all(ends);
    for (const worker of workers) worker.terminate();
    expect(others).toEqual(Array.from({ length: producers }, () => "pushed"));
    expect(consumer).toBe(`took ${producers * messages}`);
  },
  60_000,
);
