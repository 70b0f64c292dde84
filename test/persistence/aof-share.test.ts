/**
 * Goal:   threads that write the append-only file in turn leave a file that is whole, and everything that one of them has
 *         called durable is on the disk. A worker cannot borrow the file while only the file thread may write it, and its
 *         failure becomes the file thread's.
 * Method: two writers over one log and one file in memory take turns by a share, as the file thread and a worker do; the
 *         power is cut at the end, and the file is scanned.
 */
import { expect, test } from "bun:test";
import { MemoryFiles } from "../../src/base/files.ts";
import { ChangeLog, HEAD_BYTES, LogState } from "../../src/memory/change-log.ts";
import { scanAof } from "../../src/persistence/aof-scanner.ts";
import { AofShare } from "../../src/persistence/aof-share.ts";
import { AofWriter } from "../../src/persistence/aof-writer.ts";
import { testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { encodeCommand } from "../support/resp.ts";

const RING_BYTES = 1 << 16;
const LOG_ID = "0123456789abcdef";
const AOF = "/appendonly.aof";
const { control } = testEngine().memory;

/** A file with its log, the file thread's writer, and a worker's. */
function shared(files: MemoryFiles) {
  const log = new ChangeLog(control, Buffer.alloc(HEAD_BYTES + RING_BYTES));
  log.begin(0);
  log.state = LogState.On;
  const writerOf = () => new AofWriter(files, files.open(AOF, "a", 0o640), 0, log, LOG_ID, () => 0);
  const thread = writerOf();
  thread.begin();
  const share = new AofShare(control);
  share.begin();
  const append = (n: number) => {
    const unit = encodeCommand(["SET", "key", `${n}`.padEnd(100, "x")]);
    log.append(Buffer.from(unit), 0, unit.length, 0, 0);
  };
  return { log, thread, worker: writerOf(), share, append };
}

test("two threads that write in turn leave one whole file", () => {
  const seed = testSeed();
  const random = new SeededRandom(seed);
  const files = new MemoryFiles(seed, []);
  const { log, thread, worker, share, append } = shared(files);
  share.take(thread);
  share.give(thread, true);
  for (let n = 1; n <= 500; n++) {
    append(n);
    const isWorker = random.chance(0.5);
    const writer = isWorker ? worker : thread;
    if (isWorker) expect(share.borrow(writer, 0)).toBe(true);
    else share.take(writer);
    expect(writer.drain()).toBe(true);
    if (random.chance(0.7)) {
      expect(writer.sync()).toBe(true);
      expect(log.durable).toBe(log.end);
    }
    if (isWorker) share.giveBack(writer);
    else share.give(writer, true);
    expect(writer.length).toBe(files.stat(AOF)!.bytes);
  }
  const whole = scanAof(files, AOF, 0);
  // A SELECT precedes the first SET.
  expect([whole.reason, whole.records, whole.last!.position]).toEqual(["", 501, log.end]);
  files.syncDirectory("/");
  const { durable } = log;
  expect(scanAof(files.crash(), AOF, 0).last!.position).toBeGreaterThanOrEqual(durable);
});

test("the file is not lent during a rewrite, and a worker that has it keeps it from others", () => {
  const { thread, worker, share, log } = shared(new MemoryFiles(1, []));
  expect(share.borrow(worker, 0)).toBe(false);
  share.take(thread);
  thread.beginRewrite();
  expect(thread.canBeLent).toBe(false);
  share.give(thread, thread.canBeLent);
  expect(share.borrow(worker, 0)).toBe(false);
  share.take(thread);
  thread.abandonRewrite();
  share.give(thread, thread.canBeLent);
  expect(share.borrow(worker, 0)).toBe(true);
  expect(share.borrow(new AofWriter(new MemoryFiles(1, []), worker.file, 0, log, LOG_ID, () => 0), 0)).toBe(false);
  share.giveBack(worker);
});

test.each(["write", "fdatasync"])(
  "a worker whose %s fails ends the loan, and the file thread has the failure",
  (operation) => {
    const files = new MemoryFiles(1, []);
    const { thread, worker, share, append, log } = shared(files);
    share.take(thread);
    share.give(thread, true);
    append(1);
    const { durable } = log;
    files.planFailure({ operation, nth: 2, code: "EIO" });
    expect(share.borrow(worker, 0)).toBe(true);
    expect(worker.drain() && worker.sync()).toBe(false);
    share.giveBack(worker);
    expect(log.durable).toBe(durable);
    expect(log.state).toBe(LogState.Failing);
    expect(share.borrow(worker, 0)).toBe(false);
    share.take(thread);
    expect(thread.trouble.text).toContain("Input/output error");
    expect(thread.canBeLent).toBe(false);
    expect(thread.drain()).toBe(false);
    share.give(thread, thread.canBeLent);
    expect(share.borrow(worker, 0)).toBe(false);
  },
);

test("a mark is removed by one of those who look at it", () => {
  const { share } = shared(new MemoryFiles(1, []));
  expect(share.unmark(0)).toBe(false);
  share.mark(0, true);
  expect(share.unmark(0)).toBe(true);
  expect(share.unmark(0)).toBe(false);
});
