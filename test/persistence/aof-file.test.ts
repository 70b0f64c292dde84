/**
 * Goal:   the append-only file never lies: after a power cut, a failed call, a cut or a flipped bit the start either has a
 *         prefix of what was appended, at least what was durable, or refuses with the offset.
 * Method: a change log over ordinary memory, the real writer and the real recovery over files that lose unsynced bytes and
 *         fail by seed. Each unit appends a number, so the recovered numbers must be 1, 2, 3 ... without a gap.
 */
import { describe, expect, test } from "bun:test";
import { StartupError } from "../../src/base/errors.ts";
import {
  FileFailure,
  type Files,
  MemoryFiles,
  type PlannedFailure,
  readWhole,
  writeFully,
} from "../../src/base/files.ts";
import type { Logger } from "../../src/base/log.ts";
import { ChangeLog, HEAD_BYTES, LogState, writeRingHead } from "../../src/memory/change-log.ts";
import { ANNOTATION_MAX } from "../../src/persistence/aof-format.ts";
import { AofWriter } from "../../src/persistence/aof-writer.ts";
import { checkAof } from "../../src/cli/check-aof.ts";
import { type RecoveredAof, type RecoveryOptions, recoverAof } from "../../src/server/aof-recovery.ts";
import { SeededRandom, countFrom, testSeed } from "../support/random.ts";
import { encodeCommand, ReplyParser } from "../support/resp.ts";
import { testEngine } from "../support/engine.ts";

const SEEDS = countFrom("FERRITE_POWER_CUTS", 2000);
const RING_BYTES = 1 << 14;
const BOOT = "/proc/sys/kernel/random/boot_id";
const AOF = "/data/appendonly.aof";
const BASE = "/data/temp-rewriteaof-1.aof";
const OPTIONS: RecoveryOptions = {
  directory: "/data",
  fileName: "appendonly.aof",
  checkpoints: "/data/checkpoints",
  rdbName: "dump.rdb",
  loadTruncated: true,
  cutMax: 1 << 20,
  ringBytes: RING_BYTES,
  nowMs: 1_800_000_000_000,
};
const QUIET = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} } as unknown as Logger;
const { control } = testEngine().memory;

/** A run of the server: recovery, then a log that units are appended to. */
class Run {
  readonly recovered: RecoveredAof;
  readonly log: ChangeLog;
  readonly writer: AofWriter;
  private readonly ring: Buffer;

  constructor(
    readonly files: MemoryFiles,
    /** The last number that was appended. */
    public last: number,
  ) {
    this.recovered = recoverAof(files, QUIET, OPTIONS);
    this.ring = Buffer.alloc(HEAD_BYTES + RING_BYTES);
    this.log = new ChangeLog(control, this.ring);
    writeRingHead(this.ring, RING_BYTES, this.recovered.logId, boot(files), this.recovered.position);
    this.log.begin(this.recovered.position);
    const file = files.open(AOF, "a", 0o640);
    this.writer = new AofWriter(files, file, this.recovered.bytes, this.log, this.recovered.logId, () => 0);
    this.writer.begin();
    this.log.state = LogState.On;
  }

  /** Appends a unit of `keys` commands, with values of `bytes` bytes. */
  append(keys: number, bytes: number, db: number): void {
    const n = ++this.last;
    const commands = Array.from({ length: keys }, (_, key) =>
      encodeCommand(["SET", `key:${key}`, `${n}:${"x".repeat(bytes)}`]),
    );
    if (keys > 1) {
      commands.unshift(encodeCommand(["MULTI"]));
      commands.push(encodeCommand(["EXEC"]));
    }
    const unit = Buffer.concat(commands);
    this.log.append(unit, 0, unit.length, db, db);
  }

  /** Begins a rewrite: the base holds what was appended so far, as commands. */
  beginRewrite(): void {
    const { files, writer, log } = this;
    writer.beginRewrite();
    this.work();
    const file = files.open(BASE, "w", 0o640);
    log.beginAnew();
    for (let n = 1; n <= this.last; n++) writeFully(files, file, encodeCommand(["SET", "key:0", `${n}:`]));
    files.fsync(file);
    files.close(file);
    this.basePosition = log.end;
  }
  private basePosition = 0;
  /** What happens between the begin of a rewrite and its cut. */
  work: () => void = () => {};

  /** Ends a rewrite. */
  finishRewrite(): void {
    const { writer } = this;
    writer.drain();
    writer.beginTail(BASE, this.basePosition, AOF, AOF);
    while (!writer.stepTail());
    writer.finishTail();
  }

  /** The process is killed: the ring's memory is what its file holds. */
  kill(): void {
    const file = this.files.open(this.recovered.ring, "w", 0o640);
    this.files.write(file, this.ring, 0, this.ring.length, 0);
    this.files.close(file);
  }
}

function boot(files: Files): string {
  return files.stat(BOOT) === null ? "" : Buffer.from(readWhole(files, BOOT)).toString();
}

function disk(seed: number, failures: readonly PlannedFailure[] = []): MemoryFiles {
  const files = new MemoryFiles(seed, failures);
  files.mkdir("/data", 0o750);
  const file = files.open(BOOT, "w", 0o444);
  files.write(file, Buffer.from("7a2c6c0e-0000-4000-8000-000000000001"), 0, 36, 0);
  files.close(file);
  return files;
}

/** The numbers of the units in a file that was recovered. Each must be whole. */
function numbersIn(files: Files, recovered: RecoveredAof): number[] {
  const bytes = Buffer.from(readWhole(files, AOF));
  const numbers: number[] = [];
  const parser = new ReplyParser();
  let at = 0;
  const skips = [...recovered.skips, recovered.bytes, recovered.bytes];
  for (let i = 0; i < skips.length; i += 2) {
    parser.push(bytes.subarray(at, skips[i]!));
    at = skips[i + 1]!;
  }
  expect(at).toBe(bytes.length);
  for (let reply = parser.take(); reply !== null; reply = parser.take()) {
    const words = reply.type === "array" ? reply.value.map((word) => (word.type === "bulk" ? word.value : "")) : [];
    if (words[0] !== "SET") continue;
    const n = Number(words[2]!.split(":")[0]);
    if (numbers.at(-1) !== n) numbers.push(n);
  }
  expect(parser.pendingBytes).toBe(0);
  return numbers;
}

function expectPrefix(numbers: readonly number[], least: number, most: number): void {
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => i + 1));
  expect(numbers.length).toBeGreaterThanOrEqual(least);
  expect(numbers.length).toBeLessThanOrEqual(most);
}

/** Appends, writes and syncs at random. Returns the last number that was durable. */
function work(run: Run, random: SeededRandom, steps: number, durable: number): number {
  let isRewriting = false;
  for (let step = 0; step < steps; step++) {
    const deed = random.below(10);
    if (isRewriting ? random.chance(0.2) : random.chance(0.03)) {
      if (isRewriting) {
        run.finishRewrite();
        durable = run.last;
      } else {
        run.work = () => {
          if (random.chance(0.5)) run.append(1, random.below(900), 1);
        };
        run.beginRewrite();
      }
      isRewriting = !isRewriting;
      continue;
    }
    if (deed < 6 && run.log.admits(4000)) run.append(random.pick([1, 1, 1, 3]), random.below(900), random.below(3));
    else if (deed < 9) run.writer.drain();
    else if (run.writer.drain() && run.writer.sync()) durable = run.last;
  }
  return durable;
}

describe("a power cut", () => {
  const name = `leaves a prefix with everything durable, ${SEEDS} times`;
  const limitMs = 10_000 + SEEDS * 30;
  test(
    name,
    () => {
      const first = testSeed();
      for (let n = 0; n < SEEDS; n++) {
        const random = new SeededRandom(first + n);
        let files = disk(first + n);
        let durable = 0;
        let last = 0;
        for (let cut = 0; cut < 3; cut++) {
          const run = new Run(files, last);
          durable = work(run, random, random.between(1, 40), durable);
          const most = run.last;
          files = run.files.crash();
          const recovered = recoverAof(files, QUIET, OPTIONS);
          const numbers = numbersIn(files, recovered);
          try {
            expectPrefix(numbers, durable, most);
          } catch (thrown) {
            throw new Error(`seed ${first + n}, cut ${cut}: durable ${durable}, appended ${most}`, { cause: thrown });
          }
          last = durable = numbers.length;
        }
      }
    },
    limitMs,
  );
});

describe("kill -9", () => {
  test("loses nothing that was appended, whatever was written of it", () => {
    const first = testSeed();
    for (let n = 0; n < 300; n++) {
      const random = new SeededRandom(first + n);
      const files = disk(first + n);
      let last = 0;
      for (let round = 0; round < 3; round++) {
        const run = new Run(files, last);
        work(run, random, random.between(1, 60), 0);
        run.kill();
        const recovered = recoverAof(files, QUIET, OPTIONS);
        expectPrefix(numbersIn(files, recovered), run.last, run.last);
        last = run.last;
      }
    }
  });

  test("a ring of another boot is not believed", () => {
    const files = disk(1);
    const run = new Run(files, 0);
    run.append(1, 10, 0);
    run.writer.drain();
    run.append(1, 10, 0);
    run.kill();
    const file = files.open(BOOT, "w", 0o444);
    files.write(file, Buffer.from("7a2c6c0e-0000-4000-8000-000000000002"), 0, 36, 0);
    files.close(file);
    expectPrefix(numbersIn(files, recoverAof(files, QUIET, OPTIONS)), 1, 1);
  });
});

describe("a rewrite", () => {
  test("whose n-th call fails leaves the old file or the new one, for all n", () => {
    for (let n = 1, failed = true; failed; n++) {
      const run = new Run(disk(11), 0);
      run.append(1, 50, 0);
      run.writer.drain();
      run.append(3, 50, 1);
      run.writer.drain();
      const before = run.files.callCount;
      run.files.planFailure({ operation: "*", nth: before + n, code: "EIO" });
      failed = false;
      try {
        run.beginRewrite();
        run.append(1, 50, 0);
        run.writer.drain();
        run.finishRewrite();
      } catch (thrown) {
        if (!(thrown instanceof FileFailure)) throw thrown;
        failed = true;
        run.writer.abandonRewrite();
      }
      run.files.dropFailures();
      run.append(1, 50, 2);
      run.writer.drain();
      run.kill();
      const recovered = recoverAof(run.files, QUIET, OPTIONS);
      expectPrefix(numbersIn(run.files, recovered), run.last, run.last);
      if (n > 200) throw new Error("a call always fails");
    }
  });

  test("that cannot begin its copy leaves no file open", () => {
    for (let nth = 1; nth <= 4; nth++) {
      const run = new Run(disk(1), 0);
      run.append(1, 10, 0);
      run.beginRewrite();
      run.writer.drain();
      const before = run.files.openCount;
      run.files.planFailure({ operation: "*", nth: run.files.callCount + nth, code: "EIO" });
      expect(() => run.writer.beginTail(BASE, 0, AOF, AOF)).toThrow("Input/output error");
      expect(run.files.openCount).toBe(before);
    }
  });

  test("makes a file whose sync failed one that is written again", () => {
    const run = new Run(disk(12), 0);
    run.append(1, 50, 0);
    run.writer.drain();
    run.files.planFailure({ operation: "fdatasync", nth: 2, code: "EIO" });
    expect(run.writer.sync()).toBe(false);
    expect(run.writer.drain()).toBe(false);
    expect(run.log.state).toBe(LogState.Failing);
    run.append(1, 50, 0);
    run.beginRewrite();
    run.finishRewrite();
    expect(run.log.state).toBe(LogState.On);
    run.append(1, 50, 0);
    expect(run.writer.drain() && run.writer.sync()).toBe(true);
    const after = run.files.crash();
    expectPrefix(numbersIn(after, recoverAof(after, QUIET, OPTIONS)), 3, 3);
  });
});

describe("a file call that fails", () => {
  test("costs nothing but time, for the n-th call and all n, until none fails", () => {
    for (let n = 1, failed = true; failed; n++) {
      const run = new Run(disk(7), 0);
      const before = run.files.callCount;
      run.files.planFailure({ operation: "*", nth: before + n, code: n % 2 === 0 ? "ENOSPC" : "EIO" });
      failed = false;
      for (let step = 0; step < 12; step++) {
        run.append(1, 100, step % 2);
        if (!run.writer.drain()) failed = true;
        if (step % 3 === 2 && !run.writer.sync()) failed = true;
      }
      run.files.dropFailures();
      run.writer.drain();
      const { isLasting } = run.writer.trouble;
      if (failed) expect(run.log.state).toBe(isLasting ? LogState.Failing : LogState.On);
      run.kill();
      // A sync that failed is lasting: the file is not written any more, the ring still has what it lacks.
      const recovered = recoverAof(run.files, QUIET, OPTIONS);
      expectPrefix(numbersIn(run.files, recovered), 12, 12);
      if (n > 200) throw new Error("a call always fails");
    }
  });

  test("while the file cannot be written writes are refused, and accepted when it can", () => {
    const run = new Run(disk(9), 0);
    const at = run.files.callCount;
    run.files.planFailure({ operation: "*", nth: at + 1, code: "ENOSPC" });
    run.append(1, 10, 0);
    expect(run.writer.drain()).toBe(false);
    expect(run.log.state).toBe(LogState.Failing);
    expect(run.writer.drain()).toBe(true);
    expect(run.log.state).toBe(LogState.On);
    expectPrefix(numbersIn(run.files, recoverAof(run.files, QUIET, OPTIONS)), 1, 1);
  });
});

/** A file of six batches of two units each. */
function reference(): Buffer {
  const run = new Run(disk(3), 0);
  for (let batch = 0; batch < 6; batch++) {
    run.append(1, 40, 0);
    run.append(3, 20, batch % 2);
    run.writer.drain();
  }
  run.writer.sync();
  return Buffer.from(readWhole(run.files, AOF));
}

/** What the start makes of a file: the numbers it loads, or the offset that it refuses with. */
function startOn(bytes: Buffer): { numbers: number[] } | { refusedAt: number } {
  const files = disk(5);
  const file = files.open(AOF, "w", 0o640);
  files.write(file, bytes, 0, bytes.length, 0);
  files.close(file);
  const checked = checkAof(files, AOF);
  try {
    const recovered = recoverAof(files, QUIET, OPTIONS);
    if (checked.reason !== "") expect(recovered.cutBytes).toBe(bytes.length - checked.okUpTo);
    return { numbers: numbersIn(files, recovered) };
  } catch (thrown) {
    if (!(thrown instanceof StartupError)) throw thrown;
    const found = /^AOF corrupted at offset (\d+)$/.exec(thrown.message);
    expect(found).not.toBeNull();
    expect(checked.okUpTo).toBe(Number(found![1]));
    return { refusedAt: Number(found![1]) };
  }
}

describe("a damaged file", () => {
  const whole = reference();

  test("cut at any byte starts with the whole batches before the cut", () => {
    let starts = 0;
    for (let length = 0; length <= whole.length; length++) {
      const outcome = startOn(whole.subarray(0, length));
      if (!("numbers" in outcome)) throw new Error(`refused when cut to ${length} bytes`);
      expectPrefix(outcome.numbers, 0, 12);
      starts++;
    }
    expect(starts).toBe(whole.length + 1);
    expect(startOn(whole)).toEqual({ numbers: Array.from({ length: 12 }, (_, i) => i + 1) });
  });

  test("with any bit flipped loads no wrong value", () => {
    const random = new SeededRandom(testSeed());
    let refused = 0;
    for (let n = 0; n < countFrom("FERRITE_BIT_FLIPS", 3000); n++) {
      const bytes = Buffer.from(whole);
      const at = random.below(bytes.length);
      bytes[at] = bytes[at]! ^ (1 << random.below(8));
      const outcome = startOn(bytes);
      if ("refusedAt" in outcome) {
        refused++;
        // A damaged annotation is noticed by the one behind it.
        expect(outcome.refusedAt).toBeLessThanOrEqual(at + ANNOTATION_MAX);
        continue;
      }
      try {
        expectPrefix(outcome.numbers, 0, 12);
      } catch (thrown) {
        throw new Error(`bit flipped at ${at}`, { cause: thrown });
      }
    }
    expect(refused).toBeGreaterThan(0);
  });

  test("whose end is longer than the limit is not cut", () => {
    const files = disk(6);
    const file = files.open(AOF, "w", 0o640);
    files.write(file, whole, 0, whole.length - 3, 0);
    expect(() => recoverAof(files, QUIET, { ...OPTIONS, cutMax: 10 })).toThrow("AOF corrupted at offset");
    expect(() => recoverAof(files, QUIET, { ...OPTIONS, loadTruncated: false })).toThrow("AOF corrupted at offset");
    expect(recoverAof(files, QUIET, OPTIONS).cutBytes).toBeGreaterThan(10);
    expect(files.list("/data").filter((name) => name.includes(".cut-")).length).toBe(1);
  });
});

test("a failing start says which call failed", () => {
  const files = disk(1, [{ operation: "open", nth: 2, code: "EACCES" }]);
  expect(() => recoverAof(files, QUIET, OPTIONS)).toThrow(FileFailure);
});
