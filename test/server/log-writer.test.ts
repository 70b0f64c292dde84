/**
 * Goal:   the writer of the log puts all lines into the file, says how many are missing once it can write again, opens the
 *         file anew when asked, and writes to standard output when the file is gone for good.
 * Method: a queue with small rings, files in memory whose writes fail as planned, and a clock that the test moves.
 */
import { describe, expect, test } from "bun:test";
import { HeldClock } from "../../src/base/clock.ts";
import { Config } from "../../src/base/config/config.ts";
import { FileFailure, MemoryFiles, readText } from "../../src/base/files.ts";
import { INFO } from "../../src/base/log.ts";
import { LogQueue } from "../../src/memory/log-queue.ts";
import { LogWriter } from "../../src/server/log-writer.ts";

const PATH = "/log/f.log";

function scene() {
  const files = new MemoryFiles(1, []);
  files.mkdir("/log", 0o755);
  const config = new Config("", { memoryBytes: 1, cgroupMemoryBytes: 0, cpus: 2 });
  config.place("logging.log_file", PATH, { kind: "flag", text: "--set" });
  const queue = LogQueue.make(2, 256);
  expect(queue.beginWriting()).toBe(true);
  const clock = new HeldClock(Date.parse("2026-01-02T03:04:05Z"));
  const writer = new LogWriter(queue, config, files, clock);
  const sinks = [0, 1].map((ring) => queue.sink(ring, () => {}));
  const lines = () => readText(files, PATH).trimEnd().split("\n");
  return { files, queue, clock, writer, sinks, lines };
}

describe("the writer of the log", () => {
  test("writes the lines of all threads, and says how many were dropped, at most once a second", () => {
    const { clock, writer, sinks, lines, queue } = scene();
    const line = `${"x".repeat(99)}\n`;
    for (let i = 0; i < 4; i++) sinks[0]!.write(line, INFO);
    sinks[1]!.write("other\n", INFO);
    writer.step();
    expect(lines().slice(0, 2)).toEqual(["x".repeat(99), "other"]);
    expect(JSON.parse(lines()[2]!)).toMatchObject({
      level: "WARN",
      target: "ferrite::log",
      dropped: 3,
      dropped_in_all: 3,
    });
    for (let i = 0; i < 3; i++) sinks[0]!.write(line, INFO);
    writer.step();
    expect(lines()).toHaveLength(4);
    clock.advance(1000);
    writer.step();
    expect(JSON.parse(lines()[4]!)).toMatchObject({ dropped: 2, dropped_in_all: 5 });
    expect(queue.dropped).toBe(5);
  });

  test("lines that a full disk refuses are counted, and reported when it has room again", () => {
    const { files, writer, sinks, lines, queue } = scene();
    const { write } = files;
    const full = new FileFailure("write", PATH, "ENOSPC", "");
    let told = "";
    files.write = (file, from, offset, length) => {
      if (Number(file) !== 1) throw full;
      told += new TextDecoder().decode(from.subarray(offset, offset + length));
      return length;
    };
    for (let i = 0; i < 3; i++) {
      sinks[0]!.write("lost\n", INFO);
      writer.step();
    }
    expect(queue.dropped).toBe(3);
    // Standard output hears of it once.
    expect(told).toBe(
      "log file /log/f.log: write /log/f.log: No space left on device (os error 28); lines of the log are lost until that ends\n",
    );
    files.write = (...of) => write.apply(files, of);
    sinks[0]!.write("kept\n", INFO);
    writer.step();
    expect(lines()[0]).toBe("kept");
    expect(JSON.parse(lines()[1]!)).toMatchObject({ target: "ferrite::log", dropped: 3 });
  });

  test("a file that was moved away is opened anew when asked", () => {
    const { files, writer, sinks, queue, lines } = scene();
    sinks[0]!.write("one\n", INFO);
    writer.step();
    files.rename(PATH, `${PATH}.1`);
    sinks[0]!.write("two\n", INFO);
    writer.step();
    queue.askReopen();
    sinks[0]!.write("three\n", INFO);
    writer.step();
    expect(readText(files, `${PATH}.1`)).toBe("one\ntwo\n");
    expect(lines()).toEqual(["three"]);
  });
});
