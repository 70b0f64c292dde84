/**
 * Goal:   a checkpoint is whole or not there, whatever fails and whenever the power goes; the newest whole one is found;
 *         older ones go; one is taken when it is due and something has changed.
 * Method: engines over files in memory: every file call of a save fails in turn, with and without a power cut; damage to
 *         each file; a held clock.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { FileFailure, MemoryFiles, readWhole, writeFully } from "../../src/base/files.ts";
import {
  checkCheckpoint,
  checkpointNames,
  DATA_FILE,
  isLatest,
  LATEST,
  MANIFEST_FILE,
  manifestText,
  parseCheckpoint,
  tidyCheckpoints,
} from "../../src/persistence/checkpoint-files.ts";
import { CheckpointSchedule } from "../../src/persistence/checkpoint-schedule.ts";
import { findData } from "../../src/persistence/data-source.ts";
import { checkpointDirectory } from "../../src/persistence/save-plan.ts";
import { START_MS, type TestEngine, testEngine } from "../support/engine.ts";
import { load } from "../support/rdb.ts";

const QUIET = { info: () => {}, warn: () => {} };
/** More calls than a save makes. */
const CALLS = 400;

function newEngine(files = new MemoryFiles(1, [])): TestEngine {
  const engine = testEngine({ files });
  engine.config.place("persistence.enable_checkpoints", true, { kind: "flag", text: "test" });
  return engine;
}
const directoryOf = (engine: TestEngine): string => checkpointDirectory(engine.config);
const namesOf = (engine: TestEngine): string[] => checkpointNames(engine.files, directoryOf(engine));
function placesOf(engine: TestEngine) {
  return { directory: engine.persistence.directory, rdbName: "dump.rdb", checkpoints: directoryOf(engine) };
}

/** What a start on these files loads: the value of the key "k"; "none" without a file. */
function restarted(engine: TestEngine, files: MemoryFiles): string {
  tidyCheckpoints(files, directoryOf(engine));
  const path = findData(files, QUIET, placesOf(engine));
  if (path === "") return "none";
  const after = testEngine();
  load(after, readWhole(files, path));
  return after.send("GET", "k");
}

function change(files: MemoryFiles, path: string, edit: (bytes: Uint8Array) => Uint8Array): void {
  const bytes = edit(readWhole(files, path).slice());
  const file = files.open(path, "w", 0o600);
  writeFully(files, file, bytes);
  files.close(file);
}
const flipped = (bytes: Uint8Array): Uint8Array => {
  bytes[bytes.length >> 1]! ^= 1;
  return bytes;
};

describe("a checkpoint", () => {
  test("is taken by SAVE: a directory with the data and a manifest, latest, and the RDB file", () => {
    const engine = newEngine();
    engine.send("SET", "k", "v");
    engine.advance(1234);
    expect(engine.send("SAVE")).toBe("+OK");
    const { files } = engine;
    const directory = directoryOf(engine);
    expect(files.list(directory)).toEqual(["20270115T080001.234Z", LATEST]);
    expect(files.list(join(directory, LATEST))).toEqual([MANIFEST_FILE, DATA_FILE]);
    expect(isLatest(files, directory, "20270115T080001.234Z")).toBe(true);
    expect(checkCheckpoint(files, directory, "20270115T080001.234Z")).toMatchObject({
      takenMs: START_MS + 1234,
      keys: 1,
      position: 0,
    });
    const data = readWhole(files, join(directory, LATEST, DATA_FILE));
    expect(readWhole(files, join(engine.persistence.directory, "dump.rdb"))).toEqual(data);
    expect(files.list(engine.persistence.directory)).toEqual(["checkpoints", "dump.rdb"]);
    expect(engine.logged.some((line) => line.startsWith(`checkpoint taken: ${directory}/20270115T080001.234Z, `))).toBe(
      true,
    );
    expect(engine.persistence.facts().checkpoints).toEqual({
      isOn: true,
      taken: 1,
      lastMs: START_MS + 1234,
      bytes: data.length,
      hasFailed: false,
    });
  });

  test("is taken by BGSAVE as well", () => {
    const engine = newEngine();
    engine.send("SET", "k", "v");
    expect(engine.send("BGSAVE")).toStartWith("+Background saving started");
    for (let steps = 0; engine.persistence.stepSave(engine.clock.monotonicMs() + 1000); steps++)
      if (steps > 1000) throw new Error("the save does not end");
    expect(namesOf(engine)).toHaveLength(1);
    expect(checkCheckpoint(engine.files, directoryOf(engine), namesOf(engine)[0]!)).toMatchObject({ keys: 1 });
    expect(restarted(engine, engine.files)).toBe('"v"');
  });

  test("keeps deadlines of members, which the RDB file for other programs lacks", () => {
    const engine = newEngine();
    engine.send("SET", "k", "v");
    engine.send("SADD", "s", "a", "b");
    engine.send("SPEXPIRE", "s", "50000", "MEMBERS", "1", "a");
    engine.send("HSET", "h", "f", "v");
    engine.send("HPEXPIRE", "h", "60000", "FIELDS", "1", "f");
    expect(engine.send("SAVE")).toBe("+OK");
    const other = testEngine();
    load(other, readWhole(engine.files, findData(engine.files, QUIET, placesOf(engine))));
    expect(other.send("SPTTL", "s", "MEMBERS", "2", "a", "b")).toBe("*[:50000, :-1]");
    expect(other.send("HPTTL", "h", "FIELDS", "1", "f")).toBe("*[:60000]");
    const plain = testEngine();
    load(plain, readWhole(engine.files, join(engine.persistence.directory, "dump.rdb")));
    expect(plain.send("SPTTL", "s", "MEMBERS", "2", "a", "b")).toBe("*[:-1, :-1]");
    expect(plain.send("GET", "k")).toBe('"v"');
    expect(engine.logged.filter((line) => line.includes("lacks the deadlines of"))).toHaveLength(2);
  });

  test("older ones go after a good one; names rise although the clock goes back", () => {
    const engine = newEngine();
    const taken: string[] = [];
    for (let i = 0; i < 6; i++) {
      engine.send("SET", "k", String(i));
      engine.clock.advance(i < 4 ? 1000 : -5000);
      expect(engine.send("SAVE")).toBe("+OK");
      taken.push(namesOf(engine).at(-1)!);
      expect(isLatest(engine.files, directoryOf(engine), taken.at(-1)!)).toBe(true);
    }
    expect(taken).toEqual([...taken].sort());
    expect(namesOf(engine)).toEqual(taken.slice(-3));
    expect(restarted(engine, engine.files)).toBe('"5"');
  });

  test("a manifest with any byte changed, and one of a later form, is refused", () => {
    const facts = { takenMs: START_MS, position: 77, keys: 5, bytes: 1000, sum: 0x1234 };
    const text = manifestText(facts);
    expect(parseCheckpoint(text)).toEqual(facts);
    for (let i = 0; i < text.length; i++) {
      const changed = text.slice(0, i) + String.fromCharCode(text.charCodeAt(i) ^ 1) + text.slice(i + 1);
      expect(typeof parseCheckpoint(changed)).toBe("string");
      expect(typeof parseCheckpoint(text.slice(0, i))).toBe("string");
    }
    expect(parseCheckpoint(text.replace("checkpoint 1", "checkpoint 2"))).toContain("later version");
  });
});

describe("when something fails", () => {
  test("a file call that fails leaves the old state or the new one, and is told", () => {
    for (let nth = 1, isWhole = false; !isWhole; nth++) {
      const engine = newEngine();
      const { files } = engine;
      engine.send("SET", "k", "old");
      expect(engine.send("SAVE")).toBe("+OK");
      engine.send("SET", "k", "new");
      files.planFailure({ operation: "*", nth: files.callCount + nth, code: "ENOSPC" });
      const reply = engine.send("SAVE");
      files.dropFailures();
      const logged = engine.logged.join("\n");
      isWhole = !logged.includes("Checkpoint failed: ") && !logged.includes("the checkpoint is complete, but ");
      if (reply !== "+OK") {
        expect(reply).toStartWith("-ERR the RDB file could not be written: ");
        expect(logged).toContain("Checkpoint failed: ");
        expect(engine.persistence.facts().checkpoints.hasFailed).toBe(true);
      }
      expect(reply === "+OK" ? ['"new"'] : ['"old"', '"new"']).toContain(restarted(engine, files));
      expect(files.list(engine.persistence.directory)).toEqual(["checkpoints", "dump.rdb"]);
      expect(files.list(directoryOf(engine)).filter((name) => name.startsWith("writing"))).toEqual([]);
      // The next one succeeds, without a restart.
      expect(engine.send("SAVE")).toBe("+OK");
      expect(restarted(engine, files)).toBe('"new"');
    }
  });

  test.each(["the process is killed", "the power goes"])("at any file call: %s", (how) => {
    for (let nth = 1, isDone = false; !isDone; nth++) {
      const engine = newEngine(new MemoryFiles(nth, []));
      const { files } = engine;
      engine.config.apply([{ name: "persistence.max_checkpoints", value: 1, previous: 3 }]);
      engine.send("SET", "k", "old");
      expect(engine.send("SAVE")).toBe("+OK");
      engine.send("SET", "k", "new");
      // From this call on nothing reaches the disk.
      for (let i = 0; i < CALLS; i++)
        files.planFailure({ operation: "*", nth: files.callCount + nth + i, code: "EIO" });
      const reply = engine.send("SAVE");
      isDone = reply === "+OK" && !engine.logged.some((line) => line.startsWith("the checkpoint is complete, but"));
      files.dropFailures();
      const after = how === "the power goes" ? files.crash() : files;
      expect(reply === "+OK" ? ['"new"'] : ['"old"', '"new"']).toContain(restarted(engine, after));
      const newest = checkpointNames(after, directoryOf(engine)).at(-1)!;
      expect(isLatest(after, directoryOf(engine), newest)).toBe(true);
      expect(after.list(directoryOf(engine)).filter((name) => name.startsWith("writing"))).toEqual([]);
    }
  });

  test("a damaged newest one is passed over for the one before, with a warning", () => {
    const edits: [string, (files: MemoryFiles, path: string) => void][] = [
      [DATA_FILE, (files, path) => change(files, path, flipped)],
      [DATA_FILE, (files, path) => change(files, path, (bytes) => bytes.subarray(0, bytes.length - 1))],
      [DATA_FILE, (files, path) => files.unlink(path)],
      [MANIFEST_FILE, (files, path) => change(files, path, flipped)],
      [MANIFEST_FILE, (files, path) => files.unlink(path)],
    ];
    for (const [name, edit] of edits) {
      const engine = newEngine();
      for (const value of ["one", "two"]) {
        engine.send("SET", "k", value);
        engine.clock.advance(1000);
        expect(engine.send("SAVE")).toBe("+OK");
      }
      const { files } = engine;
      const newest = namesOf(engine).at(-1)!;
      edit(files, join(directoryOf(engine), newest, name));
      const warnings: string[] = [];
      const log = { info: () => {}, warn: (text: string) => warnings.push(text) };
      const path = findData(files, log as unknown as typeof QUIET, placesOf(engine));
      expect(path).toContain(namesOf(engine)[0]!);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toStartWith(`the checkpoint ${newest} cannot be used: its ${name} `);
    }
  });

  test("when all are damaged the RDB file is loaded; without one the start ends", () => {
    const engine = newEngine();
    engine.send("SET", "k", "v");
    expect(engine.send("SAVE")).toBe("+OK");
    const { files } = engine;
    change(files, join(directoryOf(engine), namesOf(engine)[0]!, MANIFEST_FILE), flipped);
    const dump = join(engine.persistence.directory, "dump.rdb");
    expect(findData(files, QUIET, placesOf(engine))).toBe(dump);
    files.unlink(dump);
    expect(() => findData(files, QUIET, placesOf(engine))).toThrow("no checkpoint can be used");
  });

  test("an RDB file that is newer than the newest checkpoint is loaded", () => {
    const engine = newEngine();
    expect(engine.send("SAVE")).toBe("+OK");
    const dump = join(engine.persistence.directory, "dump.rdb");
    change(engine.files, dump, (bytes) => bytes);
    engine.files.touch(join(directoryOf(engine), namesOf(engine)[0]!, MANIFEST_FILE), 1000);
    engine.files.touch(dump, 2000);
    expect(findData(engine.files, QUIET, placesOf(engine))).toBe(dump);
    engine.files.touch(dump, 1000);
    expect(findData(engine.files, QUIET, placesOf(engine))).toContain("checkpoints");
  });

  test("a disk without links, or another disk, gets copies", () => {
    class NoLinks extends MemoryFiles {
      override link(_path: string, also: string): void {
        throw new FileFailure("link", also, "EXDEV", "");
      }
    }
    const engine = newEngine(new NoLinks(1, []));
    engine.send("SET", "k", "v");
    expect(engine.send("SAVE")).toBe("+OK");
    engine.files.unlink(join(directoryOf(engine), namesOf(engine)[0]!, DATA_FILE));
    expect(readWhole(engine.files.crash(), join(directoryOf(engine), LATEST, DATA_FILE))).toEqual(
      readWhole(engine.files.crash(), join(engine.persistence.directory, "dump.rdb")),
    );
  });
});

describe("the schedule", () => {
  function scheduled(): { engine: TestEngine; schedule: CheckpointSchedule } {
    const engine = newEngine();
    const { persistence, config, clock, files } = engine;
    const changes = () => persistence.facts().changes;
    return { engine, schedule: new CheckpointSchedule(config, clock, files, persistence.checkpoints, changes) };
  }

  test("a checkpoint is due after the interval, when something has changed", () => {
    const { engine, schedule } = scheduled();
    engine.advance(3_600_000);
    expect(schedule.isDue()).toBe(false);
    engine.send("SET", "k", "v");
    expect(schedule.isDue()).toBe(false);
    engine.advance(3_600_000);
    expect(schedule.isDue()).toBe(true);
    // It was asked for: not again at once, but when it failed.
    expect(schedule.isDue()).toBe(false);
    engine.advance(5000);
    expect(schedule.isDue()).toBe(true);
    engine.send("SAVE");
    engine.send("SET", "k", "w");
    engine.advance(3_599_000);
    expect(schedule.isDue()).toBe(false);
    engine.config.apply([{ name: "persistence.checkpoint_interval_secs", value: 0, previous: 3600 }]);
    engine.advance(3_600_000);
    expect(schedule.isDue()).toBe(false);
    engine.config.apply([{ name: "persistence.checkpoint_interval_secs", value: 60, previous: 0 }]);
    expect(schedule.isDue()).toBe(true);
  });

  test("without changes the newest one stays young, and one that somebody removed is taken again", () => {
    const { engine, schedule } = scheduled();
    engine.send("SET", "k", "v");
    engine.send("SAVE");
    const { files } = engine;
    engine.advance(3_700_000);
    expect(schedule.isDue()).toBe(false);
    engine.advance(3_700_000);
    expect(schedule.isDue()).toBe(false);
    const [name] = namesOf(engine);
    for (const path of [join(name!, DATA_FILE), join(name!, MANIFEST_FILE), join(LATEST, DATA_FILE)])
      expect(files.stat(join(directoryOf(engine), path))!.modifiedMs).toBe(engine.clock.wallMs());
    for (const file of [DATA_FILE, MANIFEST_FILE]) files.unlink(join(directoryOf(engine), name!, file));
    files.removeDirectory(join(directoryOf(engine), name!));
    engine.advance(3_700_000);
    expect(schedule.isDue()).toBe(true);
  });

  test("an RDB file that was put there for the next start stays newer than the checkpoint", () => {
    const { engine, schedule } = scheduled();
    engine.send("SET", "k", "v");
    engine.send("SAVE");
    const dump = join(engine.persistence.directory, "dump.rdb");
    change(engine.files, dump, (bytes) => bytes);
    engine.files.touch(dump, 1);
    engine.advance(3_700_000);
    expect(schedule.isDue()).toBe(false);
    expect(findData(engine.files, QUIET, placesOf(engine))).toBe(dump);
  });

  test("DEBUG RELOAD is no checkpoint: its data is still due", () => {
    const { engine } = scheduled();
    engine.config.place("server.enable_debug_command", "yes", { kind: "flag", text: "test" });
    engine.send("SAVE");
    const { checkpoints } = engine.persistence;
    expect(checkpoints.get("isBehind")).toBe(0);
    expect(engine.send("DEBUG", "RELOAD")).toBe("+OK");
    expect(checkpoints.get("isBehind")).toBe(1);
    engine.send("SAVE");
    expect(checkpoints.get("isBehind")).toBe(0);
  });
});
