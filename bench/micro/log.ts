/**
 * What a log line costs the thread that logs it: with room in its ring, without room (the disk is slow or full), and when the
 * level is off. The thread never waits for the disk in any of them.      npm run bench -- log
 *
 * Bun 1.4.5, two cores that were shared by twenty busy threads: level off 0.1 us (the fields are made, so hot places look at the
 * level first), with room 17 us, without room 8 to 12 us.
 */
import { INFO, LogFilter, LogRoot, OFF } from "../../src/base/log.ts";
import { LogQueue } from "../../src/memory/log-queue.ts";

const LINES = 200_000;

function measure(name: string, level: 2 | 5, queue: LogQueue, drains: boolean): void {
  const logs = new LogRoot({
    sink: queue.sink(0, () => {}),
    format: "json",
    filter: new LogFilter([{ target: "", level }]),
    threadName: "worker-0",
    threadId: 1,
    showThreadName: false,
    showThreadId: false,
    showTarget: true,
    now: () => Date.now(),
    repeatLimit: 0,
  });
  const log = logs.target("server");
  const into = Buffer.alloc(queue.size);
  for (let round = 0; round < 3; round++) {
    let drainedMs = 0;
    const beganMs = performance.now();
    for (let i = 0; i < LINES; i++) {
      log.info("client connected", { client: i, addr: "127.0.0.1:50000", laddr: "127.0.0.1:6379" });
      if (!drains || i % 500 !== 0) continue;
      const drainMs = performance.now();
      queue.take(0, into);
      drainedMs += performance.now() - drainMs;
    }
    const nanos = ((performance.now() - beganMs - drainedMs) / LINES) * 1e6;
    if (round === 2)
      console.log(`${name.padEnd(24)} ${nanos.toFixed(0)} ns a line, ${queue.dropped} of ${3 * LINES} dropped`);
  }
}

measure("level off", OFF, LogQueue.make(1, 1 << 18), false);
measure("with room", INFO, LogQueue.make(1, 1 << 18), true);
measure("without room", INFO, LogQueue.make(1, 1 << 14), false);
