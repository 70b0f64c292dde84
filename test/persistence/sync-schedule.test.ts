/**
 * Goal:   with everysec a loss of power loses at most the last second: whatever was appended is being synced within 1,000 ms.
 * Method: the writer and the schedule of the file's thread over files in memory, with a held clock. Appends come at random
 *         moments between the steps; after each sync the age of the oldest byte in it is looked at.
 */
import { expect, test } from "bun:test";
import { type FileDescriptor, MemoryFiles } from "../../src/base/files.ts";
import { ChangeLog, HEAD_BYTES, LogState } from "../../src/memory/change-log.ts";
import { AofWriter } from "../../src/persistence/aof-writer.ts";
import { type Fsync, SyncSchedule } from "../../src/persistence/sync-schedule.ts";
import { testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { encodeCommand } from "../support/resp.ts";

const UNIT = Buffer.from(encodeCommand(["SET", "key", "value"]));

/** Files with a clock, which a sync moves on by `syncMs`. */
class TimedFiles extends MemoryFiles {
  nowMs = 0;
  syncMs = 3;
  /** Told when a sync begins. */
  onSync = () => {};
  override fdatasync(file: FileDescriptor): void {
    this.onSync();
    this.nowMs += this.syncMs;
    super.fdatasync(file);
  }
}

/** Runs the thread's loop for `seconds`. Returns the ages of the oldest unit at each sync, and how many units were not synced. */
function run(fsync: Fsync, seconds: number, random: SeededRandom): { ages: number[]; left: number; syncs: number } {
  const files = new TimedFiles(1, []);
  const log = new ChangeLog(testEngine().memory.control, Buffer.alloc(HEAD_BYTES + (1 << 18)));
  log.begin(0);
  log.state = LogState.On;
  const writer = new AofWriter(files, files.open("/a.aof", "a", 0o640), 0, log, "0123456789abcdef", () => files.nowMs);
  writer.begin();
  const schedule = new SyncSchedule(files.nowMs);
  const ages: number[] = [];
  let appendedMs: number[] = [];
  let nextMs = 0;
  files.onSync = () => {
    ages.push(files.nowMs - appendedMs[0]!);
    appendedMs = [];
  };
  while (files.nowMs < seconds * 1000) {
    const isWritten = schedule.run(writer, fsync, files.nowMs);
    expect(isWritten).toBe(true);
    const wakesMs = files.nowMs + schedule.sleepMs(isWritten, files.nowMs);
    for (; nextMs < wakesMs; nextMs += random.below(random.pick([5, 50, 3000]))) {
      if (nextMs < files.nowMs) continue;
      log.append(UNIT, 0, UNIT.length, 0, 0);
      appendedMs.push(nextMs);
    }
    files.nowMs = wakesMs;
  }
  return { ages, left: appendedMs.length, syncs: writer.syncs };
}

test("everysec: what was appended is being synced within a second, and not more often than once a second", () => {
  const random = new SeededRandom(testSeed());
  const { ages, syncs } = run("everysec", 300, random);
  expect(ages.length).toBeGreaterThan(100);
  expect(Math.max(...ages)).toBeLessThanOrEqual(1000);
  expect(Math.max(...ages)).toBeGreaterThan(900);
  expect(syncs).toBeLessThanOrEqual(300);
});

test("no: nothing is synced", () => {
  expect(run("no", 20, new SeededRandom(testSeed())).syncs).toBe(0);
});
