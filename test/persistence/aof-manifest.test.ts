/**
 * Goal:   a manifest of Redis 7 is read as Redis reads it, and one that Redis refuses stops the start: a list that is not
 *         whole would silently be less data.
 * Method: manifests as texts; a start's import on a disk in memory.
 */
import { expect, test } from "bun:test";
import { MemoryFiles, replaceDurably } from "../../src/base/files.ts";
import { findForeign, parseManifest } from "../../src/persistence/aof-import.ts";

const BASE = "file appendonly.aof.1.base.rdb seq 1 type b\n";
const INCR = "file appendonly.aof.1.incr.aof seq 1 type i\n";

test("files are listed in order, with comments, quoted names, and fields of later versions", () => {
  const text = `# made by hand\nfile "a \\"b\\".rdb" seq 2 type b\n${INCR}file appendonly.aof.3.incr.aof seq 3 type i startoffset 7\nfile old.aof seq 1 type h\n`;
  expect(parseManifest(text)).toEqual({
    files: [
      { name: 'a "b".rdb', type: "b" },
      { name: "appendonly.aof.1.incr.aof", type: "i" },
      { name: "appendonly.aof.3.incr.aof", type: "i" },
      { name: "old.aof", type: "h" },
    ],
    invalid: "",
  });
  expect(parseManifest(BASE + INCR.trimEnd()).invalid).toBe("");
});

test.each([
  ["nothing", "", "no file"],
  ["comments only", "# none\n", "no file"],
  ["a blank line", `${BASE}\n${INCR}`, "an invalid line"],
  ["a second base", BASE + BASE.replaceAll("1", "2"), "a second base file"],
  ["a sequence that goes back", INCR.replaceAll("1", "2") + INCR, "a sequence number that is not above"],
  ["a sequence that stays", INCR + INCR, "a sequence number that is not above"],
  ["an unknown type", "file a seq 1 type x\n", "an invalid line"],
  ["no type", "file a seq 1\n", "an invalid line"],
  ["no number", "file a seq x type b\n", "an invalid line"],
  ["an odd number of words", "file a seq 1 type b more\n", "an invalid line"],
  ["a name that leads elsewhere", "file ../a seq 1 type b\n", "an invalid line"],
  ["an open quote", 'file "a seq 1 type b\n', "an invalid line"],
  ["a line that is too long", `file ${"a".repeat(1100)} seq 1 type b\n`, "an invalid line"],
])("%s is refused", (_, text, expected) => {
  expect(parseManifest(text).invalid).toStartWith(expected);
  const disk = new MemoryFiles(1, []);
  disk.mkdir("/data/appendonlydir", 0o700);
  replaceDurably(disk, "/data/appendonlydir/appendonly.aof.manifest", new TextEncoder().encode(text), 0o600);
  const places = { directory: "/data", aofName: "appendonly.aof" };
  expect(() => findForeign(disk, places, () => "")).toThrow(`appendonly.aof.manifest has ${expected}`);
});
