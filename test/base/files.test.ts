import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  addressInUse,
  aofCorrupted,
  checkpointFailed,
  configNotFound,
  dataDirectoryFailed,
  listenFailed,
  osErrorText,
  snapshotFailed,
  startFailure,
  type StartupError,
} from "../../src/base/errors.ts";
import {
  AT_CURSOR,
  FileFailure,
  MemoryFiles,
  readText,
  realFiles,
  replaceDurably,
  writeFully,
  type Files,
} from "../../src/base/files.ts";

const folder = mkdtempSync(join(tmpdir(), "ferrite-files-"));
afterAll(() => rmSync(folder, { recursive: true }));

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function failureOf(run: () => unknown): FileFailure {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof FileFailure) return thrown;
    throw thrown;
  }
  throw new Error("nothing failed");
}

describe.each<[string, () => { files: Files; at: string }]>([
  ["real", () => ({ files: realFiles, at: mkdtempSync(join(folder, "x-")) })],
  [
    "memory",
    () => {
      const files = new MemoryFiles(1, []);
      files.mkdir("/x", 0o755);
      return { files, at: "/x" };
    },
  ],
])("%s files", (_, make) => {
  test("read and write at offsets, at the current position, and appending", () => {
    const { files, at } = make();
    const path = join(at, "f");
    const file = files.open(path, "w", 0o600);
    writeFully(files, file, bytes("hello "));
    writeFully(files, file, bytes("world"));
    files.write(file, bytes("HELLO"), 0, 5, 0);
    files.fsync(file);
    files.close(file);
    const more = files.open(path, "a", 0o600);
    writeFully(files, more, bytes("!"));
    files.close(more);
    expect(readText(files, path)).toBe("HELLO world!");

    const again = files.open(path, "r+", 0);
    const into = new Uint8Array(8);
    expect(files.read(again, into, 1, 5, 6)).toBe(5);
    expect(new TextDecoder().decode(into.subarray(1, 6))).toBe("world");
    expect(files.read(again, into, 0, 8, 100)).toBe(0);
    expect(files.read(again, into, 0, 3, AT_CURSOR)).toBe(3);
    files.truncate(again, 5);
    expect(files.size(again)).toBe(5);
    files.close(again);
    expect(files.stat(path)).toMatchObject({ kind: "file", bytes: 5 });
  });

  test("names: rename replaces, unlink removes, the list is sorted, a missing name is null", () => {
    const { files, at } = make();
    replaceDurably(files, join(at, "b"), bytes("b"), 0o644);
    replaceDurably(files, join(at, "a"), bytes("a"), 0o644);
    files.mkdir(join(at, "d", "e"), 0o755);
    expect(files.list(at)).toEqual(["a", "b", "d"]);
    files.rename(join(at, "a"), join(at, "b"));
    expect(readText(files, join(at, "b"))).toBe("a");
    files.unlink(join(at, "b"));
    expect(files.stat(join(at, "b"))).toBeNull();
    expect(files.stat(join(at, "d"))?.kind).toBe("directory");
  });

  test("directories are renamed with what is in them; links share content; an empty directory is removed", () => {
    const { files, at } = make();
    files.mkdir(join(at, "d"), 0o755);
    const file = files.open(join(at, "d/f"), "w", 0o600);
    writeFully(files, file, bytes("one"));
    files.close(file);
    files.rename(join(at, "d"), join(at, "e"));
    files.link(join(at, "e/f"), join(at, "g"));
    files.touch(join(at, "g"), 5_000);
    expect(files.stat(join(at, "e/f"))!.modifiedMs).toBe(5_000);
    expect([readText(files, join(at, "g")), files.list(at)]).toEqual(["one", ["e", "g"]]);
    expect(failureOf(() => files.link(join(at, "e/f"), join(at, "g"))).code).toBe("EEXIST");
    expect(failureOf(() => files.removeDirectory(join(at, "e"))).code).toBe("ENOTEMPTY");
    files.unlink(join(at, "e/f"));
    files.removeDirectory(join(at, "e"));
    expect([readText(files, join(at, "g")), files.list(at)]).toEqual(["one", ["g"]]);
  });

  test("failures name the operation, the path and the reason", () => {
    const { files, at } = make();
    const missing = failureOf(() => files.open(join(at, "no"), "r", 0));
    expect(missing).toMatchObject({ operation: "open", path: join(at, "no"), code: "ENOENT", number: 2 });
    expect(missing.message).toBe(`open ${join(at, "no")}: No such file or directory (os error 2)`);
    replaceDurably(files, join(at, "f"), bytes(""), 0o644);
    expect(failureOf(() => files.open(join(at, "f"), "wx", 0o600)).code).toBe("EEXIST");
    expect(failureOf(() => files.unlink(join(at, "no"))).code).toBe("ENOENT");
  });
});

test("the failure of a file that was renamed while it is open names the new path", () => {
  const [from, to] = [join(folder, "moved-from"), join(folder, "moved-to")];
  replaceDurably(realFiles, from, bytes("x"), 0o600);
  const file = realFiles.open(from, "r", 0);
  realFiles.rename(from, to);
  expect(failureOf(() => realFiles.write(file, bytes("x"), 0, 1, 0)).path).toBe(to);
  realFiles.close(file);
});

test("a link is followed by stat", () => {
  symlinkSync(folder, join(folder, "link"));
  expect(realFiles.stat(join(folder, "link"))?.kind).toBe("directory");
});

describe("a power cut", () => {
  test("synced bytes survive, and a prefix of the rest, whose length and torn end depend on the seed", () => {
    const survivors = new Set<string>();
    for (let seed = 1; seed <= 50; seed++) {
      const files = new MemoryFiles(seed, []);
      const file = files.open("/f", "w", 0o600);
      writeFully(files, file, bytes("synced|"));
      files.fdatasync(file);
      files.syncDirectory("/");
      writeFully(files, file, bytes("lost or not"));
      const left = readText(files.crash(), "/f");
      expect(left).toStartWith("synced|");
      expect("synced|lost or not").toStartWith(left.replace(/\0+$/, ""));
      survivors.add(left);
    }
    expect(survivors.size).toBeGreaterThan(10);
  });

  test("a name exists only after its directory was synced; replaceDurably leaves the old or the new content", () => {
    const files = new MemoryFiles(1, []);
    files.close(files.open("/never", "w", 0o600));
    expect(files.crash().stat("/never")).toBeNull();

    for (let nth = 1; nth <= 8; nth++) {
      const base = new MemoryFiles(3, [{ operation: "*", nth: 7 + nth, code: "EIO" }]);
      replaceDurably(base, "/f", bytes("old"), 0o600); // open, write, fsync, close, rename, sync: six calls
      base.stat("/f");
      let failed = false;
      try {
        replaceDurably(base, "/f", bytes("newer"), 0o600);
      } catch {
        failed = true;
      }
      expect(failed).toBe(nth <= 6);
      expect(["old", "newer"]).toContain(readText(base.crash(), "/f"));
      if (!failed) expect(readText(base.crash(), "/f")).toBe("newer");
    }
  });

  test("a renamed directory has its old name until its parent was synced", () => {
    const files = new MemoryFiles(1, []);
    files.mkdir("/p/a", 0o755);
    replaceDurably(files, "/p/a/f", bytes("x"), 0o600);
    files.rename("/p/a", "/p/b");
    expect(files.crash().list("/p/a")).toEqual(["f"]);
    files.syncDirectory("/p");
    const after = files.crash();
    expect([after.stat("/p/a"), after.list("/p/b")]).toEqual([null, ["f"]]);
  });

  test("only the planned call fails", () => {
    const files = new MemoryFiles(1, [{ operation: "write", nth: 2, code: "ENOSPC" }]);
    const file = files.open("/f", "w", 0o600);
    writeFully(files, file, bytes("a"));
    expect(failureOf(() => writeFully(files, file, bytes("b"))).message).toBe(
      `write /f: No space left on device (os error 28)`,
    );
    writeFully(files, file, bytes("c"));
    expect(readText(files, "/f")).toBe("ac");
  });
});

test("start-up errors are worded as the guide promises", () => {
  const number = process.platform === "darwin" ? 48 : 98;
  expect(addressInUse("127.0.0.1", 6379, "").printed).toStartWith(
    `Error: Address already in use (os error ${number})\n`,
  );
  expect(listenFailed("0.0.0.0", 80, "EACCES", "").printed).toContain(
    "Error: Permission denied (os error 13)\n  port 80",
  );
  expect(configNotFound("ferrite.toml").printed).toStartWith("Error: Config file not found: ferrite.toml\n");
  expect(dataDirectoryFailed("/d", "EACCES").printed).toStartWith(
    "Error: Failed to create data directory: Permission denied\n",
  );
  expect(aofCorrupted("f", 12345678).printed).toStartWith(
    "Error: AOF corrupted at offset 12345678\nError: Bad file format reading the append only file\n",
  );
  const full = new FileFailure("write", "/data/temp.rdb", "ENOSPC", "").message;
  expect(snapshotFailed(full)).toBe(`Failed to save snapshot: ${osErrorText("ENOSPC")} (write /data/temp.rdb)`);
  expect(snapshotFailed(full)).toStartWith("Failed to save snapshot: No space left on device");
  expect(snapshotFailed("stopped")).toBe("Failed to save snapshot: stopped");
  expect(checkpointFailed(full)).toStartWith("Checkpoint failed: disk full (write ");
  expect((startFailure(new RangeError("Out of memory")) as StartupError).printed).toStartWith(
    "Error: Cannot allocate memory\n",
  );
  const other = new RangeError("Invalid array length");
  expect(startFailure(other)).toBe(other);
  expect(checkpointFailed("stopped")).toBe("Checkpoint failed: stopped");
});
