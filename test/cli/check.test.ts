import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryFiles, realFiles, writeFully } from "../../src/base/files.ts";
import { checkAof, listedFiles, truncateWithCopy } from "../../src/cli/check-aof.ts";
import { withProgress } from "../../src/cli/progress.ts";
import { checkRdb } from "../../src/cli/check-rdb.ts";
import { checkIntset, checkListpack, checkZiplist, decompressLzf } from "../../src/persistence/packed-check.ts";

// Written by SAVE of redis-server 7.0.15: every type in packed and other encodings, an expiry, a function, two databases.
const REDIS_RDB = new Uint8Array(readFileSync(join(import.meta.dir, "redis-7.0.15.rdb")));
const ENTRY = join(import.meta.dir, "../../src/cli/entry.ts");

const folder = mkdtempSync(join(tmpdir(), "ferrite-check-"));
afterAll(() => rmSync(folder, { recursive: true }));

function disk(content: Uint8Array): MemoryFiles {
  const files = new MemoryFiles(1, []);
  const file = files.open("/f", "w", 0o600);
  writeFully(files, file, content);
  files.close(file);
  return files;
}

function bytesOf(...parts: (string | number | readonly number[])[]): Uint8Array {
  return new Uint8Array(
    parts.flatMap((part) =>
      typeof part === "string" ? [...new TextEncoder().encode(part)] : typeof part === "number" ? [part] : [...part],
    ),
  );
}

function command(...words: string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
}

async function ferrite(args: string[], input = ""): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn([process.execPath, ENTRY, ...args], {
    stdin: new TextEncoder().encode(input),
    stdout: "pipe",
    stderr: "pipe",
    cwd: folder,
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, err };
}

test("progress is reported for each part of a large file, not for a short one", () => {
  const path = join(folder, "large.aof");
  writeFileSync(path, command("SET", "k", "x".repeat(5 << 20)));
  const reports = (part: number): string[] => {
    const lines: string[] = [];
    expect(
      checkAof(
        withProgress(realFiles, part, (text) => lines.push(text)),
        path,
      ),
    ).toMatchObject({ records: 1, reason: "" });
    return lines;
  };
  const shares = reports(1 << 20).map((line) => Number(/^\d of 5 MiB checked \((\d+) %\)$/.exec(line)![1]));
  expect(shares.length).toBeGreaterThan(1);
  expect(shares).toEqual([...new Set(shares)].sort((a, b) => a - b));
  expect(reports(8 << 20)).toEqual([]);
});

describe("check-rdb", () => {
  test("a file of Redis is valid, and its content is counted", () => {
    const result = checkRdb(disk(REDIS_RDB), "/f");
    expect(result).toMatchObject({
      ok: true,
      bytes: REDIS_RDB.length,
      summary: { version: 10, keys: 14, expires: 1, functions: 1, databases: 2, checksum: "good" },
    });
  });

  test("a file truncated anywhere is invalid, and the offset lies within it", () => {
    for (let length = 0; length < REDIS_RDB.length; length += 41) {
      const result = checkRdb(disk(REDIS_RDB.subarray(0, length)), "/f");
      expect(result.ok).toBe(false);
      if (!result.ok) expect(result.offset).toBeLessThanOrEqual(length);
    }
  });

  test("a changed byte is noticed anywhere", () => {
    for (let at = 0; at < REDIS_RDB.length; at += 41) {
      const broken = REDIS_RDB.slice();
      broken[at]! ^= 0x10;
      expect(`${at} ${checkRdb(disk(broken), "/f").ok}`).toBe(`${at} false`);
    }
  });

  test("bytes behind the end are an error, a missing checksum is not", () => {
    expect(checkRdb(disk(bytesOf([...REDIS_RDB], 0)), "/f")).toMatchObject({ ok: false, offset: REDIS_RDB.length });
    const unsummed = REDIS_RDB.slice();
    unsummed.fill(0, unsummed.length - 8);
    expect(checkRdb(disk(unsummed), "/f")).toMatchObject({ ok: true, summary: { checksum: "absent" } });
  });

  test("types that Redis 7.0 no longer writes are checked too", () => {
    const ziplist = [15, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0xf2, 2, 0xf3, 0xff];
    const listpack = [9, 0, 0, 0, 1, 0, 5, 1, 0xff];
    const content = bytesOf(
      "REDIS0012",
      [1, 1, 0x61, 2, 1, 0x62, 0xc0, 7], //                  list a: "b", 7
      [3, 1, 0x63, 2, 1, 0x64, 3, 0x31, 0x2e, 0x35, 1, 0x65, 254], // sorted set c with text scores, one of them inf
      [10, 1, 0x66, ziplist.length, ...ziplist], //           list f as a ziplist
      [14, 1, 0x67, 1, ziplist.length, ...ziplist], //        list g as a quicklist of ziplists
      [20, 1, 0x68, listpack.length, ...listpack], //         set h as a listpack
      [24, 1, 0x69, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0x6a, 1, 0x6b], // hash i with expiring fields
      [249, 5, 248, 3, 0, 1, 0x6c, 0xc3, 4, 10, 0, 0x61, 0xe0, 0], // frequency, idle; string l compressed, cut short
    );
    const result = checkRdb(disk(content), "/f");
    expect(result.ok).toBe(false);
    if (!result.ok) expect(result.reason).toContain("a compressed string");
    const good = bytesOf([...content.subarray(0, content.length - 14)], [255], [0, 0, 0, 0, 0, 0, 0, 0]);
    expect(checkRdb(disk(good), "/f")).toMatchObject({ ok: true, summary: { keys: 6 } });
  });

  test("an impossible count is refused before its loop", () => {
    const content = bytesOf("REDIS0011", [1, 1, 0x61, 0x81, 0xff, 0, 0, 0, 0, 0, 0, 0]);
    expect(checkRdb(disk(content), "/f")).toMatchObject({ ok: false });
  });

  test("the command prints where it failed and exits with 1", async () => {
    const path = join(folder, "bad.rdb");
    writeFileSync(path, REDIS_RDB.subarray(0, 1000));
    const bad = await ferrite(["check-rdb", path]);
    expect(bad.code).toBe(1);
    expect(bad.err).toMatch(
      /^Error: .*bad\.rdb is not a good RDB file: offset \d+: \d+ elements cannot be in the \d+ bytes left/,
    );
    writeFileSync(path, REDIS_RDB);
    const good = await ferrite(["check-rdb", path]);
    expect(good.code).toBe(0);
    expect(good.out).toContain("Checksum OK");
    expect(good.out).toContain("[info] 14 keys read");
    expect((await ferrite(["check-rdb", join(folder, "missing")])).code).toBe(1);
  });
});

describe("packed encodings", () => {
  test("listpack: entries are counted, and every truncation or wrong length is noticed", () => {
    const listpack = bytesOf(
      [0, 0, 0, 0, 4, 0],
      [5, 1],
      [0x83, 0x61, 0x62, 0x63, 4],
      [0xf1, 1, 2, 3],
      [0xc1, 0xff, 2],
      [0xff],
    );
    listpack[0] = listpack.length;
    expect(checkListpack(listpack)).toBe(4);
    for (let at = 0; at < listpack.length; at++) expect(checkListpack(listpack.slice(0, at))).toBe(-1);
    for (const at of [0, 4, 6, 7, 8, 12, 16, 19, 20]) {
      const broken = listpack.slice();
      broken[at] = 0xe5;
      expect(`${at}: ${checkListpack(broken)}`).toBe(`${at}: -1`);
    }
  });

  test("ziplist: the lengths of the entry before must be right", () => {
    const ziplist = bytesOf([15, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0xf2, 2, 0xf3, 0xff]);
    expect(checkZiplist(ziplist)).toBe(2);
    for (const at of [0, 4, 8, 10, 12, 14]) {
      const broken = ziplist.slice();
      broken[at]! ^= 3;
      expect(`${at}: ${checkZiplist(broken)}`).toBe(`${at}: -1`);
    }
  });

  test("intset: the members ascend", () => {
    expect(checkIntset(bytesOf([2, 0, 0, 0, 3, 0, 0, 0], [0xff, 0xff, 1, 0, 2, 0]))).toBe(3);
    expect(checkIntset(bytesOf([2, 0, 0, 0, 3, 0, 0, 0], [1, 0, 0xff, 0xff, 2, 0]))).toBe(-1);
    expect(checkIntset(bytesOf([3, 0, 0, 0, 1, 0, 0, 0], [1, 0, 0]))).toBe(-1);
  });

  test("LZF: a repetition is unpacked, a distance beyond the output is refused", () => {
    const plain = decompressLzf(bytesOf([0, 0x61], [0xe0, 0, 0]), 10);
    expect(plain === null ? "" : new TextDecoder().decode(plain)).toBe("aaaaaaaaaa");
    expect(decompressLzf(bytesOf([0, 0x61], [0xe0, 0, 1]), 10)).toBeNull();
    expect(decompressLzf(bytesOf([0, 0x61], [0xe0, 0, 0]), 9)).toBeNull();
    expect(decompressLzf(bytesOf([3, 0x61]), 4)).toBeNull();
  });
});

describe("check-aof", () => {
  const RECORDS = [
    command("SELECT", "0"),
    command("SET", "a", "1\r\n*1"),
    "#TS:1700000000\r\n",
    command("MULTI"),
    command("INCR", "x"),
    command("EXEC"),
    command("DEL", "a"),
  ];
  const LOG = RECORDS.join("");

  test("a valid file passes", () => {
    expect(checkAof(disk(bytesOf(LOG)), "/f")).toMatchObject({
      reason: "",
      okUpTo: LOG.length,
      bytes: LOG.length,
      records: 6,
    });
    expect(checkAof(disk(bytesOf("")), "/f")).toMatchObject({ reason: "", okUpTo: 0, records: 0 });
  });

  test("truncated at every byte, ok_up_to is the last boundary outside a transaction, and truncating there gives a valid file", () => {
    const boundaries = [0, 1, 2, 6, 7].map((count) => RECORDS.slice(0, count).join("").length);
    for (let length = 0; length <= LOG.length; length++) {
      const result = checkAof(disk(bytesOf(LOG.slice(0, length))), "/f");
      const afterAnnotation = RECORDS.slice(0, 3).join("").length;
      if (result.reason === "") expect([...boundaries, afterAnnotation]).toContain(length);
      expect(result.okUpTo).toBe(
        length === afterAnnotation ? length : Math.max(...boundaries.filter((boundary) => boundary <= length)),
      );
      expect(checkAof(disk(bytesOf(LOG.slice(0, result.okUpTo))), "/f").reason).toBe("");
    }
  });

  test.each([
    "*x\r\n",
    "*1\n$4\r\nPING\r\n",
    "*1\r\n$4\r\nPINGxx",
    "*0\r\n",
    "$4\r\nPING\r\n",
    "*-1\r\n",
    "*1\r\n$99999999999999999999\r\n",
    "garbage",
  ])("%j after a good record is bad", (tail) => {
    const good = command("SET", "a", "1");
    const result = checkAof(disk(bytesOf(good + tail)), "/f");
    expect(result.reason).not.toBe("");
    expect(result.okUpTo).toBe(good.length);
  });

  test("an RDB preamble is checked first", () => {
    const content = bytesOf([...REDIS_RDB], LOG);
    expect(checkAof(disk(content), "/f")).toMatchObject({
      reason: "",
      preambleBytes: REDIS_RDB.length,
      okUpTo: content.length,
    });
    const broken = content.slice();
    broken[500]! ^= 1;
    expect(checkAof(disk(broken), "/f")).toMatchObject({ okUpTo: 0 });
  });

  test("a manifest of Redis 7 names base, then incremental files; history is skipped", () => {
    const files = disk(
      bytesOf(
        'file a.base.rdb seq 1 type b\nfile old.aof seq 1 type h\nfile "b 1.aof" seq 1 type i\nfile b.2.aof seq 2 type i\n',
      ),
    );
    files.rename("/f", "/a.manifest");
    expect(listedFiles(files, "/a.manifest")).toEqual([
      { path: "/a.base.rdb", fixable: false },
      { path: "/b 1.aof", fixable: false },
      { path: "/b.2.aof", fixable: true },
    ]);
    expect(listedFiles(files, "/f.aof")).toEqual([{ path: "/f.aof", fixable: true }]);
  });

  test("the copy is durable before the file is truncated", () => {
    const files = disk(bytesOf("0123456789"));
    files.syncDirectory("/");
    const copy = truncateWithCopy(files, "/f", 4, Date.parse("2025-12-21T13:05:09Z"));
    expect(copy).toBe("/f.20251221-130509.bak");
    const after = files.crash();
    expect(after.stat("/f")?.bytes).toBe(4);
    expect(after.stat(copy)?.bytes).toBe(10);
  });

  test("the command reports, asks before it truncates, and preserves the old file", async () => {
    const path = join(folder, "appendonly.aof");
    const good = command("SET", "a", "1");
    writeFileSync(path, `${good}*2\r\n$3\r\nGE`);
    const report = await ferrite(["check-aof", path]);
    expect(report.code).toBe(1);
    expect(report.out).toContain(`size=${good.length + 10}, records=1, ok_up_to=${good.length}, diff=10`);
    expect(report.err).toStartWith(
      `Error: AOF corrupted at offset ${good.length}\nError: Bad file format reading the append only file\n`,
    );

    const refused = await ferrite(["check-aof", "--fix", path], "n\n");
    expect(refused.code).toBe(1);
    expect(refused.out).toContain("Continue? [y/N]");
    expect(readFileSync(path).length).toBe(good.length + 10);

    const fixed = await ferrite(["check-aof", "--fix", path], "y\n");
    expect(fixed.code).toBe(0);
    expect(readFileSync(path, "latin1")).toBe(good);
    const copies = readdirSync(folder).filter((name) => /^appendonly\.aof\.\d{8}-\d{6}\.bak$/.test(name));
    expect(copies).toHaveLength(1);
    expect(readFileSync(join(folder, copies[0]!)).length).toBe(good.length + 10);
    expect((await ferrite(["check-aof", path])).code).toBe(0);
  });
});
