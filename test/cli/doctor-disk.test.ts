/**
 * Goal:   `ferrite doctor` measures the disk of the data directory within its limits, leaves no file behind, whatever fails, and
 *         judges slow and quick disks.
 * Method: a real directory with small limits; files in memory whose calls fail; speeds made up for the judgement.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfigText } from "../../src/base/config/load.ts";
import { MemoryFiles } from "../../src/base/files.ts";
import { checkDiskSpeed, type DiskSpeed, judgeDisk, measureDisk } from "../../src/cli/doctor-disk.ts";
import { realSurroundings, type Surroundings } from "../../src/cli/surroundings.ts";

const LIMITS = { bytes: 1 << 20, partMs: 20 };
const MACHINE = { memoryBytes: 2 ** 33, cgroupMemoryBytes: 0, cpus: 4 };

function config(directory: string, isOn: boolean) {
  const text = `[storage]\ndata_dir = "${directory}"\ntiering = ${isOn}\n`;
  return loadConfigText(text, "f.toml", MACHINE).config;
}

describe("measuring", () => {
  test("a real directory: every figure is there, and the file has no name while it is measured", async () => {
    const directory = mkdtempSync(join(tmpdir(), "ferrite-disk-"));
    try {
      const around = realSurroundings();
      let seen: string[] = ["nothing was looked at"];
      const watched = {
        files: around.files,
        nowMs: around.nowMs,
        dropCached: (file: Parameters<Surroundings["dropCached"]>[0]) => {
          seen = readdirSync(directory);
          return around.dropCached(file);
        },
      };
      const speed = await measureDisk(watched, directory, LIMITS);
      expect(seen).toEqual([]);
      for (const [name, value] of Object.entries(speed))
        if (name !== "isCached") expect([name, value > 0]).toEqual([name, true]);
      expect(speed.readP99Micros).toBeGreaterThanOrEqual(speed.readP50Micros);
      expect(readdirSync(directory)).toEqual([]);
      const [finding] = await checkDiskSpeed(config(directory, false), around, true, LIMITS);
      expect(finding!.text).toMatch(
        /^writes \d+ MB\/s, a sync takes [\d.]+ ms, a read of 4 KiB p50 \d+ us, p99 \d+ us, \d+ reads\/s/,
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("whatever call fails, it is a warning and no file is left", async () => {
    for (const operation of ["open", "write", "fdatasync", "read"]) {
      const files = new MemoryFiles(1, [{ operation, nth: 1, code: "EIO" }]);
      files.mkdir("/data", 0o750);
      const around = { ...realSurroundings(), files, space: () => null };
      const found = await checkDiskSpeed(config("/data", true), around, false, LIMITS);
      expect(found.map(({ level, text }) => `${level} ${text}`)).toEqual([
        "warning the disk of /data could not be measured: Input/output error (os error 5)",
      ]);
      expect([operation, files.list("/data")]).toEqual([operation, []]);
    }
  });

  test("it is measured for a disk tier or on demand, and not on a disk that is nearly full", async () => {
    const files = new MemoryFiles(1, [{ operation: "open", nth: 1, code: "EIO" }]);
    files.mkdir("/data", 0o750);
    const around = { ...realSurroundings(), files, space: () => ({ usedRatio: 0.99, freeBytes: 100 << 20 }) };
    expect(await checkDiskSpeed(config("/data", false), around, false, LIMITS)).toEqual([]);
    const [finding] = await checkDiskSpeed(config("/data", false), around, true, LIMITS);
    expect(finding!.text).toBe("not measured: 100 MiB are free on the disk of /data");
  });
});

test("quick disks pay off, slow ones do not, and a cached file says nothing", () => {
  const nvme: DiskSpeed = {
    writeBytesPerSecond: 1e9,
    syncMs: 0.1,
    readP50Micros: 90,
    readP99Micros: 300,
    readsPerSecond: 150_000,
    isCached: false,
  };
  const cloud = { ...nvme, readP50Micros: 900, readsPerSecond: 3000 };
  const spinning = { ...nvme, readP50Micros: 8000, readsPerSecond: 120 };
  const verdicts = [nvme, cloud, spinning, { ...spinning, isCached: true }].flatMap((speed) =>
    [true, false].map((isOn) => judgeDisk(speed, isOn)),
  );
  expect(verdicts.map(({ level }) => level).join(" ")).toBe("ok ok info info warning info info info");
  expect(verdicts[0]!.text).toContain("pays off here, for data");
  expect(verdicts[2]!.text).toContain("where few reads miss memory");
  expect(verdicts[4]!.text).toContain("does not pay off");
  expect(verdicts[6]!.text).toContain("page cache");
});
