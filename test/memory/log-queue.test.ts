/**
 * Goal:   lines come out of the queue whole and in the order of their thread; what finds no room is counted; warnings find
 *         room that debug lines do not; the writer's part has one owner.
 * Method: one thread plays both sides, with small rings, so that lines wrap around their end.
 */
import { describe, expect, test } from "bun:test";
import { DEBUG, INFO, WARN } from "../../src/base/log.ts";
import { LogQueue, QueueState } from "../../src/memory/log-queue.ts";
import { SeededRandom } from "../support/random.ts";

const nothing = (): void => {};

function taken(queue: LogQueue, ring: number): string {
  const into = Buffer.alloc(queue.size);
  return into.toString("utf8", 0, queue.take(ring, into));
}

describe("log queue", () => {
  test("any lines come out as they went in, also those that wrap and those with characters of several bytes", () => {
    const queue = LogQueue.make(2, 256);
    const sinks = [queue.sink(0, nothing), queue.sink(1, nothing)];
    const random = new SeededRandom(7);
    const sent = ["", ""];
    const got = ["", ""];
    for (let step = 0; step < 3000; step++) {
      const ring = random.below(2);
      const line = `${step} ${"é→x".repeat(random.below(9))}\n`;
      sinks[ring]!.write(line, INFO);
      sent[ring] += line;
      if (random.below(2) === 0) for (const each of [0, 1]) got[each] += taken(queue, each);
      else got[ring] += taken(queue, ring);
    }
    for (const each of [0, 1]) got[each] += taken(queue, each);
    expect(queue.dropped).toBe(0);
    expect(got).toEqual(sent);
  });

  test("a full ring drops and counts lines; the last quarter takes warnings", () => {
    const queue = LogQueue.make(1, 256);
    const sink = queue.sink(0, nothing);
    const line = `${"x".repeat(31)}\n`;
    for (let i = 0; i < 8; i++) sink.write(line, DEBUG);
    expect(queue.droppedOf(0)).toBe(2);
    sink.write(line.replaceAll("x", "w"), WARN);
    sink.write(line, INFO);
    sink.write(line.replaceAll("x", "w"), WARN);
    sink.write(line, WARN);
    expect(queue.droppedOf(0)).toBe(4);
    expect(taken(queue, 0)).toBe(`${line.repeat(6)}${line.replaceAll("x", "w").repeat(2)}`);
    sink.write(line, DEBUG);
    expect(taken(queue, 0)).toBe(line);
    queue.countLost(3);
    expect(queue.dropped).toBe(7);
  });

  test("a line longer than a ring is dropped", () => {
    const queue = LogQueue.make(1, 64);
    queue.sink(0, nothing).write("y".repeat(65), WARN);
    expect([queue.dropped, taken(queue, 0)]).toEqual([1, ""]);
  });

  test("one thread at a time is the writer, and closing without one leaves the part free", () => {
    const queue = LogQueue.make(1, 64);
    expect(queue.close(1)).toBe(false);
    expect(queue.beginWriting()).toBe(true);
    expect(queue.beginWriting()).toBe(false);
    // The writer does not end here: closing gives up.
    expect(queue.close(1)).toBe(false);
    expect(queue.state).toBe(QueueState.Closing);
    queue.endWriting();
    expect(queue.close(1)).toBe(true);
  });

  test("the writer does not sleep while lines are there, and is woken by one", async () => {
    const queue = LogQueue.make(1, 64);
    expect(queue.beginWriting()).toBe(true);
    const worker = new Worker(new URL("./log-queue-worker.ts", import.meta.url));
    const all = new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
    });
    worker.postMessage(queue.buffer);
    const sink = queue.sink(0, nothing);
    for (let sent = 0; sent < 100; ) {
      const before = queue.dropped;
      sink.write(`${sent}\n`, WARN);
      if (queue.dropped === before) sent++;
      await Bun.sleep(0);
    }
    expect(await all).toBe("all");
    worker.terminate();
  });
});
