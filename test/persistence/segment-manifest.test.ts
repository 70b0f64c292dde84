/**
 * Goal:   a manifest, and a reference in a base, are read as they were written, and nothing else is taken for one.
 * Method: every truncation and every flipped byte of both; a reference in a file that may have none.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BadFile, FileReader } from "../../src/base/file-reader.ts";
import { realFiles } from "../../src/base/files.ts";
import { walkRdb } from "../../src/cli/rdb-walk.ts";
import {
  manifestIdOf,
  readSegmentManifest,
  removeManifests,
  SEGMENTS_FIELD,
  writeSegmentManifest,
} from "../../src/persistence/segment-manifest.ts";
import { RDB_REFERENCE } from "../../src/persistence/rdb-reference.ts";
import { RdbWriter } from "../../src/persistence/rdb-writer.ts";
import { testEngine } from "../support/engine.ts";
import { load } from "../support/rdb.ts";

const directory = mkdtempSync(join(tmpdir(), "ferrite-manifest-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const ID = "0123456789abcdef";
const MANIFEST = {
  id: ID,
  baseBytes: 8123,
  keyspaces: [0, 5, 2],
  files: [
    { file: 3, units: 131_072 },
    { file: 12, units: 7 },
  ],
};

test("a manifest, whole, cut and changed", () => {
  realFiles.mkdir(join(directory, "segments"), 0o750);
  writeSegmentManifest(realFiles, directory, MANIFEST);
  expect(readSegmentManifest(realFiles, directory, ID)).toEqual(MANIFEST);
  const path = join(directory, "segments", `base-${ID}.manifest`);
  const bytes = readFileSync(path);
  for (let at = 0; at < bytes.length; at++) {
    writeFileSync(path, bytes.subarray(0, at));
    expect(readSegmentManifest(realFiles, directory, ID)).toBe(`${path} is damaged`);
    const flipped = Buffer.from(bytes);
    flipped[at]! ^= 1 << (at % 8);
    writeFileSync(path, flipped);
    expect(readSegmentManifest(realFiles, directory, ID)).toBe(`${path} is damaged`);
  }
  removeManifests(realFiles, directory, (id) => id === "another");
  expect(readSegmentManifest(realFiles, directory, ID)).toBe(`${path} is missing`);
});

/** A base of one key whose value is in a segment file. */
function base(): Buffer {
  const parts: Buffer[] = [];
  const writer = new RdbWriter((bytes, length) => parts.push(Buffer.from(bytes.subarray(0, length))), true, false);
  writer.header(10, [[SEGMENTS_FIELD, ID]], []);
  writer.select(0);
  writer.openKey(Buffer.from("key"), 0, 3, { deadlineMs: 0, idleSeconds: -1, frequency: -1 });
  writer.begin(RDB_REFERENCE);
  writer.byte(3);
  for (const length of [100_000, 12, 70_000]) writer.length(length);
  writer.finish();
  return Buffer.concat(parts);
}

test("a base, whole, cut and changed", () => {
  const path = join(directory, "base.aof");
  const bytes = base();
  const walk = (content: Uint8Array) => {
    writeFileSync(path, content);
    const reader = new FileReader(realFiles, path);
    try {
      return walkRdb(reader).keys;
    } finally {
      reader.close();
    }
  };
  expect(walk(bytes)).toBe(1);
  expect(manifestIdOf(realFiles, path)).toBe(ID);
  for (let at = 0; at < bytes.length; at++) {
    expect(() => walk(bytes.subarray(0, at))).toThrow(BadFile);
    const flipped = Buffer.from(bytes);
    flipped[at]! ^= 1 << (at % 8);
    expect(() => walk(flipped)).toThrow(BadFile);
  }
});

test("an RDB file may have no references", () => {
  const engine = testEngine();
  expect(() => load(engine, base())).toThrow(/in segment file 12: this file may not refer to any/);
  expect(engine.send("DBSIZE")).toBe(":0");
});
