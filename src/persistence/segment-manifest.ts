/**
 * The base of an append-only file may refer to values in segment files (tier/segment-files.ts) instead of having them. Its aux
 * field `ferrite-segments` then names a manifest beside these files, which says what the base needs of them:
 *
 *   segments/base-<id>.manifest │ ferrite-segments 1
 *                               │ base 8123                  bytes of the base, so that a start need not look for its end
 *                               │ keyspaces 0 1 2 ...        of the databases, in their order
 *                               │ file 12 8192               number, units that were written
 *                               │ end 1f2e3d4c               CRC-32 of the lines above
 *
 * Invariants
 *   MANIFEST-1  a base gets its name after its manifest, and the files in it, are on the disk
 *   MANIFEST-2  no file of the manifest is unlinked before another base has taken the place of this one
 */
import { crc32 } from "node:zlib";
import { join } from "node:path";
import { BadFile, FileReader } from "../base/file-reader.ts";
import { type Files, readText, replaceDurably } from "../base/files.ts";
import { segmentName, SEGMENTS_DIRECTORY } from "../tier/segment-files.ts";
import { looksLikeRdb, RdbItem, RdbReader } from "./rdb-reader.ts";

/** Name of the aux field. */
export const SEGMENTS_FIELD = "ferrite-segments";
const FORM = "ferrite-segments 1";
const NAME = /^base-([0-9a-f]{16})\.manifest(\.tmp)?$/;
const PATTERN = /^ferrite-segments 1\nbase (\d+)\nkeyspaces((?: \d+)+)\n((?:file \d+ \d+\n)*)end ([0-9a-f]{8})\n$/;

/** A segment file, and the units of it that were written. */
export interface NeededSegment {
  readonly file: number;
  readonly units: number;
}

export interface SegmentManifest {
  readonly id: string;
  /** Bytes of the base. */
  readonly baseBytes: number;
  /** Keyspace of each database, which the entries of the files name. */
  readonly keyspaces: readonly number[];
  readonly files: readonly NeededSegment[];
}

function manifestPath(directory: string, id: string): string {
  return join(directory, SEGMENTS_DIRECTORY, `base-${id}.manifest`);
}

export function newManifestId(): string {
  return crypto.getRandomValues(new Uint8Array(8)).toHex();
}

function manifestText({ baseBytes, keyspaces, files }: SegmentManifest): string {
  const lines = [
    FORM,
    `base ${baseBytes}`,
    `keyspaces ${keyspaces.join(" ")}`,
    ...files.map(({ file, units }) => `file ${file} ${units}`),
    "",
  ];
  const text = lines.join("\n");
  return `${text}end ${crc32(text).toString(16).padStart(8, "0")}\n`;
}

/** Throws FileFailure. */
export function writeSegmentManifest(files: Files, directory: string, manifest: SegmentManifest): void {
  replaceDurably(files, manifestPath(directory, manifest.id), Buffer.from(manifestText(manifest)), 0o640);
}

/** The manifest of that id. Returns why it cannot be used as a string. Throws FileFailure. */
export function readSegmentManifest(files: Files, directory: string, id: string): SegmentManifest | string {
  const path = manifestPath(directory, id);
  if (files.stat(path) === null) return `${path} is missing`;
  const text = readText(files, path);
  const match = PATTERN.exec(text);
  if (match === null) return `${path} is damaged`;
  const [, base, keyspaces, list, sum] = match;
  if (crc32(text.slice(0, text.lastIndexOf("end "))) !== Number.parseInt(sum!, 16)) return `${path} is damaged`;
  const needed = [...list!.matchAll(/file (\d+) (\d+)\n/g)].map(([, file, units]) => ({
    file: Number(file),
    units: Number(units),
  }));
  return { id, baseBytes: Number(base), keyspaces: keyspaces!.trim().split(" ").map(Number), files: needed };
}

/** Removes the manifests of all bases but those that `isKept` says to keep. Throws FileFailure. */
export function removeManifests(files: Files, directory: string, isKept: (id: string) => boolean): void {
  const path = join(directory, SEGMENTS_DIRECTORY);
  if (files.stat(path) === null) return;
  for (const name of files.list(path)) {
    const [, id, temporary] = NAME.exec(name) ?? [];
    if (id !== undefined && (temporary !== undefined || !isKept(id))) files.unlink(join(path, name));
  }
}

/**
 * The id of the manifest that the append-only file at `path` needs, "" = none. A file that is damaged names none: whatever
 * loads it will say so. Throws FileFailure.
 */
export function manifestIdOf(files: Files, path: string): string {
  if (files.stat(path) === null) return "";
  const reader = new FileReader(files, path);
  try {
    if (!looksLikeRdb(reader)) return "";
    const rdb = new RdbReader(reader, false, 0);
    while (rdb.next() === RdbItem.Field) if (rdb.name === SEGMENTS_FIELD) return rdb.text;
    return "";
  } catch (thrown) {
    if (thrown instanceof BadFile) return "";
    throw thrown;
  } finally {
    reader.close();
  }
}

/** Makes segment files durable. Throws FileFailure. */
export function syncSegments(files: Files, directory: string, numbers: Iterable<number>): void {
  const segments = join(directory, SEGMENTS_DIRECTORY);
  for (const number of numbers) {
    const file = files.open(join(segments, segmentName(number)), "r+", 0);
    try {
      files.fsync(file);
    } finally {
      files.close(file);
    }
  }
  files.syncDirectory(segments);
}
