import { describe, expect, test } from "bun:test";
import { Config } from "../../src/base/config/config.ts";
import { logsOver, openLogs } from "../../src/base/config/open-logs.ts";
import { configSet } from "../../src/base/config/redis.ts";
import { HeldClock } from "../../src/base/clock.ts";
import { FileFailure, MemoryFiles, readText } from "../../src/base/files.ts";
import {
  DEBUG,
  INFO,
  LogFilter,
  LogRoot,
  OFF,
  parseFilter,
  quoted,
  startFilter,
  TRACE,
  WARN,
  type LogOptions,
} from "../../src/base/log.ts";
import { FileSink, type Rotation } from "../../src/base/log-output.ts";

const NOON = Date.parse("2025-12-21T12:00:00.123Z");

function root(changes: Partial<LogOptions>): { logs: LogRoot; lines: string[] } {
  const lines: string[] = [];
  const logs = new LogRoot({
    sink: { write: (line) => lines.push(line), close: () => {} },
    format: "json",
    filter: new LogFilter([{ target: "", level: INFO }]),
    threadName: "worker-3",
    threadId: 4,
    showThreadName: false,
    showThreadId: false,
    showTarget: true,
    now: () => NOON,
    repeatLimit: 0,
    ...changes,
  });
  return { logs, lines };
}

describe("lines", () => {
  test("JSON is compact, with level in capitals and timestamp, target, message on top", () => {
    const { logs, lines } = root({});
    logs.target("storage").warn("slow", { duration_ms: 150.5, command: "SET" });
    expect(lines).toEqual([
      '{"timestamp":"2025-12-21T12:00:00.123Z","level":"WARN","target":"ferrite::storage","message":"slow","duration_ms":150.5,"command":"SET"}\n',
    ]);
  });

  test("redis-server's form has the process, the time and a mark for the level", () => {
    const { logs, lines } = root({ format: "redis" });
    logs.target("server").info("ready\nnow", { port: 1 });
    logs.target("server").error("x", "bad");
    const [date, time] = [/\d\d Dec 2025/, /\d\d:\d\d:00\.123/].map((pattern) => pattern.source);
    expect(lines[0]).toMatch(new RegExp(`^${process.pid}:M ${date} ${time} \\* ready\\\\nnow port=1\n$`));
    expect(lines[1]).toMatch(new RegExp(`^${process.pid}:M ${date} ${time} # bad error_type=x\n$`));
  });

  test("every error has an error_type, and no field replaces a standard one", () => {
    const { logs, lines } = root({});
    logs.target("server").error("disk_full", "failed", { level: "x", message: "y" });
    expect(JSON.parse(lines[0]!)).toEqual({
      timestamp: "2025-12-21T12:00:00.123Z",
      level: "ERROR",
      target: "ferrite::server",
      message: "failed",
      error_type: "disk_full",
      field_level: "x",
      field_message: "y",
    });
  });

  test("thread names, thread ids and targets are shown when asked for", () => {
    const { logs, lines } = root({ showThreadName: true, showThreadId: true, showTarget: false });
    logs.target("server").info("x");
    expect(JSON.parse(lines[0]!)).toMatchObject({ thread_name: "worker-3", thread_id: 4 });
    expect(lines[0]).not.toContain("target");
  });

  test("a pretty line is one line, whatever a client sent", () => {
    const { logs, lines } = root({ format: "pretty", showThreadName: true });
    logs.target("commands").info("key a\nb\x1b[2J", { name: 'x "y', count: 3 });
    expect(lines).toEqual([
      '2025-12-21T12:00:00.123Z  INFO worker-3 ferrite::commands: key a\\nb\\x1b[2J name="x \\"y" count=3\n',
    ]);
  });
});

describe("lines that repeat", () => {
  const messages = (lines: readonly string[]): string[] => lines.map((line) => JSON.parse(line).message);

  test("lines of one kind beyond the limit are counted, and reported when the second is over", () => {
    let now = NOON;
    const { logs, lines } = root({ repeatLimit: 2, now: () => now });
    const log = logs.target("server");
    for (let i = 0; i < 5; i++) log.warn(`client ${i} is slow`);
    log.warn("another");
    log.info("client 1 is slow");
    expect(messages(lines)).toEqual(["client 0 is slow", "client 1 is slow", "another", "client 1 is slow"]);
    now += 999;
    logs.tick();
    expect(lines).toHaveLength(4);
    now += 1;
    logs.tick();
    expect(JSON.parse(lines[4]!)).toMatchObject({
      level: "WARN",
      target: "ferrite::server",
      message: "3 further lines like this were left out: client 0 is slow",
      left_out: 3,
    });
    log.warn("client 9 is slow");
    expect(messages(lines).at(-1)).toBe("client 9 is slow");
  });

  test("debug lines are never left out; the limit can be lifted; the end reports too", () => {
    const { logs, lines } = root({ repeatLimit: 1, filter: new LogFilter([{ target: "", level: DEBUG }]) });
    const log = logs.target("server");
    for (let i = 0; i < 3; i++) log.debug("x");
    for (let i = 0; i < 3; i++) log.info("y");
    logs.setRepeatLimit(0);
    for (let i = 0; i < 3; i++) log.info("z");
    logs.setRepeatLimit(1);
    logs.close();
    expect(messages(lines)).toEqual(["x", "x", "x", "y", "z", "z", "z", "2 further lines like this were left out: y"]);
  });

  test("a long message is cut, what a client said is quoted", () => {
    const { logs, lines } = root({});
    logs.target("server").info("m".repeat(9000));
    expect(messages(lines)[0]).toBe(`${"m".repeat(8192)}… (9000 characters)`);
    expect(quoted('a "b"\n')).toBe('"a \\"b\\"\\n"');
    expect(quoted("x".repeat(9000))).toHaveLength(4096 + 3);
  });
});

describe("levels", () => {
  test("the longest parent target wins", () => {
    const filter = new LogFilter(
      parseFilter("ferrite::storage=trace,ferrite::storage::index=warn,ferrite=debug").directives,
    );
    expect(filter.levelOf("ferrite::storage")).toBe(TRACE);
    expect(filter.levelOf("ferrite::storage::index")).toBe(WARN);
    expect(filter.levelOf("ferrite::storages")).toBe(DEBUG);
    expect(filter.levelOf("other")).toBe(OFF);
  });

  test("a filter may be a level, a target or Redis's names; invalid parts are returned", () => {
    const { directives, refused } = parseFilter("warn, ferrite::server ,ferrite::storage=notice,ferrite=loud,[x]=1,");
    expect(directives).toEqual([
      { target: "", level: WARN },
      { target: "ferrite::server", level: TRACE },
      { target: "ferrite::storage", level: INFO },
    ]);
    expect(refused).toEqual(["ferrite=loud", "[x]=1"]);
  });

  test("FERRITE_LOG overrides RUST_LOG, which counts if it names ferrite, and both override the configured level", () => {
    const level = (environment: Record<string, string>, target: string) =>
      startFilter(INFO, [{ target: "ferrite::acl", level: DEBUG }], environment).filter.levelOf(target);
    expect(level({}, "ferrite::acl")).toBe(DEBUG);
    expect(level({ FERRITE_LOG: "ferrite::storage=trace" }, "ferrite::acl")).toBe(INFO);
    expect(level({}, "ferrite::server")).toBe(INFO);
    expect(level({ RUST_LOG: "hyper=trace" }, "ferrite::server")).toBe(INFO);
    expect(level({ RUST_LOG: "ferrite=debug" }, "ferrite::server")).toBe(DEBUG);
    expect(level({ RUST_LOG: "ferrite=debug", FERRITE_LOG: "ferrite::storage=trace" }, "ferrite::server")).toBe(INFO);
    expect(level({ FERRITE_LOG: "ferrite::storage=trace" }, "ferrite::storage")).toBe(TRACE);
  });

  test("a changed level applies to existing loggers", () => {
    const { logs, lines } = root({});
    const log = logs.target("storage");
    log.debug("no");
    logs.setLevel(DEBUG);
    log.debug("yes");
    logs.setLevel(OFF);
    log.error("e", "no");
    expect(lines.map((line) => JSON.parse(line).message)).toEqual(["yes"]);
    expect(logs.target("storage")).toBe(log);
  });
});

describe("log files", () => {
  function sink(files: MemoryFiles, clock: HeldClock, rotation: Rotation, maxBytes = 30, maxFiles = 2): FileSink {
    return new FileSink(files, {
      path: "/log/f.log",
      rotation,
      maxBytes,
      maxFiles,
      now: () => clock.wallMs(),
      onFailure: (thrown) => {
        throw thrown;
      },
    });
  }

  function disk(): MemoryFiles {
    const files = new MemoryFiles(1, []);
    files.mkdir("/log", 0o755);
    return files;
  }

  test("daily and hourly rotation name the old file by its period and retain the newest", () => {
    const files = disk();
    const clock = new HeldClock(NOON);
    const log = sink(files, clock, "daily");
    for (let day = 21; day <= 25; day++) {
      log.write(`day ${day}\n`);
      clock.advance(86_400_000);
    }
    expect(files.list("/log")).toEqual(["f.log", "f.log.2025-12-23", "f.log.2025-12-24"]);
    expect(readText(files, "/log/f.log.2025-12-23")).toBe("day 23\n");
    expect(readText(files, "/log/f.log")).toBe("day 25\n");

    const hours = disk();
    const hourly = sink(hours, clock, "hourly");
    hourly.write("a\n");
    hourly.write("b\n");
    clock.advance(3_600_000);
    hourly.write("c\n");
    expect(hours.list("/log")).toEqual(["f.log", "f.log.2025-12-26T12"]);
    expect(readText(hours, "/log/f.log.2025-12-26T12")).toBe("a\nb\n");
  });

  test("size-based rotation neither lets a file exceed the limit nor loses a line", () => {
    const files = disk();
    const clock = new HeldClock(NOON);
    const log = sink(files, clock, "size-based", 30, 100);
    let written = "";
    for (let i = 0; i < 20; i++) {
      log.write(`line number ${i}\n`);
      written += `line number ${i}\n`;
    }
    const names = files.list("/log");
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) expect(files.stat(`/log/${name}`)!.bytes).toBeLessThanOrEqual(30);
    const all = names
      .map((name) => readText(files, `/log/${name}`))
      .join("")
      .split("\n")
      .sort();
    expect(all).toEqual(written.split("\n").sort());
  });

  test("an unrelated file beside the log is never removed", () => {
    const files = disk();
    for (const name of ["f.log.old", "f.log.2025-backup", "g.log.2025-12-01"])
      files.close(files.open(`/log/${name}`, "w", 0));
    const clock = new HeldClock(NOON);
    const log = sink(files, clock, "daily", 30, 1);
    for (let i = 0; i < 4; i++) {
      log.write("x\n");
      clock.advance(86_400_000);
    }
    expect(files.list("/log")).toEqual([
      "f.log",
      "f.log.2025-12-23",
      "f.log.2025-backup",
      "f.log.old",
      "g.log.2025-12-01",
    ]);
  });

  test("a log file that cannot be opened stops the start; one that fails later does not stop the server", () => {
    const closed = new MemoryFiles(1, [{ operation: "open", nth: 1, code: "EACCES" }]);
    expect(() => sink(closed, new HeldClock(NOON), "none")).toThrow("Permission denied (os error 13)");
    const full = new MemoryFiles(1, [{ operation: "write", nth: 2, code: "ENOSPC" }]);
    const failures: unknown[] = [];
    const log = new FileSink(full, {
      path: "f.log",
      rotation: "none",
      maxBytes: 0,
      maxFiles: 1,
      now: () => NOON,
      onFailure: (thrown) => failures.push(thrown),
    });
    for (const line of ["a\n", "b\n", "c\n"]) log.write(line);
    expect(failures).toHaveLength(1);
    expect(readText(full, "f.log")).toBe("a\nc\n");
  });

  test("after a full disk the file continues on a new line, and the lost lines are counted", () => {
    const files = disk();
    const log = new FileSink(files, {
      path: "/log/f.log",
      rotation: "none",
      maxBytes: 0,
      maxFiles: 1,
      now: () => NOON,
      onFailure: () => {},
    });
    // The disk takes half a line.
    const { write } = files;
    files.write = (file, from, offset, _length, position) => {
      files.write = () => {
        throw new FileFailure("write", "/log/f.log", "ENOSPC", "");
      };
      return write.call(files, file, from, offset, 3, position);
    };
    const lines = new TextEncoder().encode("one line\nanother\n");
    log.writeLines(lines, 0, lines.length);
    expect([log.lost, log.isFailing]).toEqual([2, true]);
    files.write = write;
    log.write("after\n");
    expect([log.lost, log.isFailing]).toEqual([2, false]);
    expect(readText(files, "/log/f.log")).toBe("one\nafter\n");
  });

  test("a file that was moved away is opened anew", () => {
    const files = disk();
    const log = sink(files, new HeldClock(NOON), "none");
    log.write("old\n");
    files.rename("/log/f.log", "/log/f.log.1");
    log.write("still old\n");
    log.reopen();
    expect(readText(files, "/log/f.log")).toBe("");
    log.write("new\n");
    expect(readText(files, "/log/f.log.1")).toBe("old\nstill old\n");
    expect(readText(files, "/log/f.log")).toBe("new\n");
  });

  test("many lines at once are divided among files as single ones are", () => {
    const files = disk();
    const log = sink(files, new HeldClock(NOON), "size-based", 10, 100);
    const text = "aaa\nbbb\nccc\nddddddddddddddd\ne\n";
    const bytes = new TextEncoder().encode(text);
    log.writeLines(bytes, 0, bytes.length);
    const parts = files.list("/log").map((name) => readText(files, `/log/${name}`));
    expect(parts.sort()).toEqual(["aaa\nbbb\n", "ccc\n", "ddddddddddddddd\n", "e\n"]);
  });

  test("the log follows CONFIG SET logging.filter, until loglevel is set", () => {
    const config = new Config("", { memoryBytes: 1, cgroupMemoryBytes: 0, cpus: 2 });
    const lines: string[] = [];
    const sinkOf = { write: (line: string) => void lines.push(line), close: () => {} };
    const logs = logsOver(sinkOf, config, new HeldClock(NOON), {}, { name: "main", id: 0 });
    const levels = () => ["storage", "storage::index", "server"].map((name) => logs.target(name).level);
    expect(configSet(config, [["logging.filter", "ferrite::storage=debug"]])).toMatchObject({ ok: true });
    expect(levels()).toEqual([DEBUG, DEBUG, INFO]);
    expect(configSet(config, [["logging.filter", "ferrite::storage=loud"]])).toEqual({
      ok: false,
      error: expect.stringContaining('"ferrite::storage=loud" is no directive'),
    });
    configSet(config, [["loglevel", "warning"]]);
    expect(levels()).toEqual([WARN, WARN, WARN]);
  });

  test("the log follows CONFIG SET loglevel", () => {
    const files = disk();
    const config = new Config("", { memoryBytes: 1, cgroupMemoryBytes: 0, cpus: 2 });
    config.place("logging.log_file", "/log/f.log", { kind: "flag", text: "--set" });
    const logs = openLogs(config, files, new HeldClock(NOON), {}, { name: "main", id: 0 });
    const log = logs.target("server");
    log.debug("before");
    configSet(config, [["loglevel", "debug"]]);
    log.debug("after");
    configSet(config, [["loglevel", "warning"]]);
    log.info("quiet");
    expect(
      readText(files, "/log/f.log")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).message),
    ).toEqual(["after"]);
  });
});
