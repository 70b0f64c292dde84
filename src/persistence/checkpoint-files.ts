/**
 * Checkpoints on the disk: whole data sets, each in a directory of its own.
 *
 *   checkpoints/ │ 20261129T152500.123Z/ │ dump.rdb   the data, in Ferrite's own form
 *                │                       │ MANIFEST   facts of the data, and checksums
 *                │ latest/               │ the files of the newest one: links, or copies where the disk has no links
 *                │ writing-.../          │ one that is not complete: a crash leaves it behind, the next start removes it
 *
 *   MANIFEST │ ferrite-checkpoint 1
 *            │ taken 2026-11-29T15:25:00.123Z
 *            │ position 8123                         of the change log at the cut, 0 without one
 *            │ keys 17
 *            │ file dump.rdb 123456 0a1b2c3d         length, CRC-32
 *            │ end 1f2e3d4c                          CRC-32 of the lines above
 *
 * Invariants
 *   CHECKPOINT-C1  a directory whose name is a time was complete when it got the name, and its files were on the disk
 *   CHECKPOINT-C2  nothing in it changes afterwards, except the times of the files
 *   CHECKPOINT-C3  names rise: a checkpoint gets a later name than those that are there, whatever the clock says
 *
 * A later version of Ferrite that changes the form raises the number in the first line. A number that is not known makes the
 * checkpoint unusable here; it is not removed for that.
 */
import { crc32 } from "node:zlib";
import { join } from "node:path";
import { reached } from "../base/kill-point.ts";
import { AT_CURSOR, FileFailure, type Files, readText, replaceDurably, writeFully } from "../base/files.ts";

export const DATA_FILE = "dump.rdb";
export const MANIFEST_FILE = "MANIFEST";
export const LATEST = "latest";
const WRITING = "writing-";
const FORMAT = "ferrite-checkpoint 1";
const NAME = /^\d{8}T\d{6}\.\d{3}Z$/;
const BLOCK_BYTES = 4 << 20;

/** What a manifest says. */
export interface CheckpointFacts {
  readonly takenMs: number;
  /** Position of the change log at the cut. */
  readonly position: number;
  readonly keys: number;
  /** Length and CRC-32 of the data. */
  readonly bytes: number;
  readonly sum: number;
}

export interface Checkpoint extends CheckpointFacts {
  readonly name: string;
  readonly dataPath: string;
  readonly manifestPath: string;
}

// ---- names ----

/** The name of a checkpoint that is taken now, later than all of `others` (C3). */
export function checkpointName(nowMs: number, others: readonly string[]): string {
  const last = others.at(-1);
  return nameOf(last === undefined ? nowMs : Math.max(nowMs, timeOf(last) + 1));
}
function nameOf(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]/g, "");
}
function timeOf(name: string): number {
  return Date.parse(name.replace(/^(....)(..)(..T..)(..)/, "$1-$2-$3:$4:"));
}

/** Name of the directory in which a checkpoint is written. */
export function writingName(): string {
  return `${WRITING}${process.pid}-${crypto.getRandomValues(new Uint8Array(4)).toHex()}`;
}

/** The checkpoints in a directory, the oldest first. None when it is not there. */
export function checkpointNames(files: Files, directory: string): string[] {
  if (files.stat(directory) === null) return [];
  return files.list(directory).filter((name) => NAME.test(name));
}

// ---- manifests ----

export function manifestText(facts: CheckpointFacts): string {
  const lines = [
    FORMAT,
    `taken ${new Date(facts.takenMs).toISOString()}`,
    `position ${facts.position}`,
    `keys ${facts.keys}`,
    `file ${DATA_FILE} ${facts.bytes} ${hex(facts.sum)}`,
    "",
  ].join("\n");
  return `${lines}end ${hex(crc32(lines))}\n`;
}
function hex(sum: number): string {
  return sum.toString(16).padStart(8, "0");
}

const MANIFEST =
  /^ferrite-checkpoint (\d+)\ntaken (\S+)\nposition (\d+)\nkeys (\d+)\nfile dump\.rdb (\d+) ([0-9a-f]{8})\nend ([0-9a-f]{8})\n$/;

/** Reads a manifest. Returns why it is not good as a string. */
export function parseCheckpoint(text: string): CheckpointFacts | string {
  const version = /^ferrite-checkpoint (\d+)\n/.exec(text)?.[1];
  if (version === undefined) return "its MANIFEST is damaged";
  if (version !== "1") return `its form is number ${version}, of a later version of Ferrite`;
  const match = MANIFEST.exec(text);
  if (match === null) return "its MANIFEST is damaged";
  const [, , taken, position, keys, bytes, sum, end] = match;
  if (crc32(text.slice(0, text.lastIndexOf("end "))) !== Number.parseInt(end!, 16)) return "its MANIFEST is damaged";
  return {
    takenMs: Date.parse(taken!),
    position: Number(position),
    keys: Number(keys),
    bytes: Number(bytes),
    sum: Number.parseInt(sum!, 16),
  };
}

/** Reads the manifest of a checkpoint and the length of its data. Returns why it is not good as a string. */
export function readCheckpoint(files: Files, directory: string, name: string): Checkpoint | string {
  const manifestPath = join(directory, name, MANIFEST_FILE);
  const dataPath = join(directory, name, DATA_FILE);
  try {
    if (files.stat(manifestPath) === null) return `its ${MANIFEST_FILE} is missing`;
    const facts = parseCheckpoint(readText(files, manifestPath));
    if (typeof facts === "string") return facts;
    const found = files.stat(dataPath);
    if (found === null) return `its ${DATA_FILE} is missing`;
    if (found.bytes !== facts.bytes) return `its ${DATA_FILE} has ${found.bytes} bytes instead of ${facts.bytes}`;
    return { ...facts, name, dataPath, manifestPath };
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    return thrown.message;
  }
}

/** As readCheckpoint, and compares the checksum of the data, which reads all of it. */
export function checkCheckpoint(files: Files, directory: string, name: string): Checkpoint | string {
  const checkpoint = readCheckpoint(files, directory, name);
  if (typeof checkpoint === "string") return checkpoint;
  try {
    const sum = sumOf(files, checkpoint.dataPath);
    if (sum !== checkpoint.sum)
      return `its ${DATA_FILE} is damaged: checksum ${hex(sum)} instead of ${hex(checkpoint.sum)}`;
    return checkpoint;
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    return thrown.message;
  }
}

function sumOf(files: Files, path: string): number {
  let sum = 0;
  readBlocks(files, path, (block) => {
    sum = crc32(block, sum);
  });
  return sum;
}

function readBlocks(files: Files, path: string, each: (block: Uint8Array) => void): void {
  const file = files.open(path, "r", 0);
  try {
    const block = new Uint8Array(BLOCK_BYTES);
    for (;;) {
      const got = files.read(file, block, 0, block.length, AT_CURSOR);
      if (got === 0) return;
      each(block.subarray(0, got));
    }
  } finally {
    files.close(file);
  }
}

// ---- latest, and the removal of old ones ----

/** Gives a file a second name: a link, or a copy that is on the disk. A file that is there is replaced. */
export function linkOrCopy(files: Files, from: string, to: string): void {
  if (files.stat(to) !== null) files.unlink(to);
  try {
    return files.link(from, to);
  } catch (thrown) {
    // Another disk, or a file system without links.
    if (!(thrown instanceof FileFailure) || !["EXDEV", "EPERM", "ENOTSUP", "EMLINK"].includes(thrown.code))
      throw thrown;
  }
  const target = files.open(to, "wx", 0o644);
  try {
    readBlocks(files, from, (block) => writeFully(files, target, block));
    files.fsync(target);
  } finally {
    files.close(target);
  }
}

/**
 * Makes `latest` a directory with the files of the checkpoint `name`. Between two renames there is no `latest`; after a
 * crash there the next checkpoint, or the next start, makes it.
 */
export function makeLatest(files: Files, directory: string, name: string): void {
  const latest = join(directory, LATEST);
  const aside = join(directory, `${WRITING}${LATEST}`);
  const old = join(directory, `${WRITING}${LATEST}-old`);
  removeTree(files, aside);
  removeTree(files, old);
  files.mkdir(aside, 0o750);
  for (const file of [DATA_FILE, MANIFEST_FILE]) linkOrCopy(files, join(directory, name, file), join(aside, file));
  files.syncDirectory(aside);
  if (files.stat(latest) !== null) files.rename(latest, old);
  reached("latest-gone");
  files.rename(aside, latest);
  files.syncDirectory(directory);
  removeTree(files, old);
}

/** True when `latest` holds the files of the checkpoint `name`. */
export function isLatest(files: Files, directory: string, name: string): boolean {
  const path = join(directory, LATEST, MANIFEST_FILE);
  if (files.stat(path) === null || files.stat(join(directory, LATEST, DATA_FILE)) === null) return false;
  return readText(files, path) === readText(files, join(directory, name, MANIFEST_FILE));
}

/** Removes all but the newest `keep` checkpoints, whose names are sorted. */
export function prune(files: Files, directory: string, keep: number): void {
  const names = checkpointNames(files, directory);
  reached("checkpoint-prune");
  for (const name of names.slice(0, Math.max(0, names.length - keep))) removeTree(files, join(directory, name));
}

/** Removes a directory of files. Nothing happens when it is not there. */
export function removeTree(files: Files, path: string): void {
  if (files.stat(path) === null) return;
  for (const name of files.list(path)) {
    files.unlink(join(path, name));
    reached("checkpoint-half-removed");
  }
  files.removeDirectory(path);
}

/** Removes the leftovers of a crash, and makes `latest` if that was interrupted. Nobody writes a checkpoint meanwhile. */
export function tidyCheckpoints(files: Files, directory: string): void {
  if (files.stat(directory) === null) return;
  for (const name of files.list(directory)) if (name.startsWith(WRITING)) removeTree(files, join(directory, name));
  const newest = checkpointNames(files, directory).at(-1);
  if (newest === undefined || typeof readCheckpoint(files, directory, newest) === "string") return;
  if (!isLatest(files, directory, newest)) makeLatest(files, directory, newest);
}

/**
 * Gives the files of a checkpoint the present time, because administrators remove checkpoints by the age of their files, and
 * one that still holds the current data is not old.
 */
export function keepFresh(files: Files, directory: string, name: string, nowMs: number): void {
  for (const where of [name, LATEST])
    for (const file of [DATA_FILE, MANIFEST_FILE]) {
      const path = join(directory, where, file);
      if (files.stat(path) !== null) files.touch(path, nowMs);
    }
}

/** Writes the manifest of a directory. */
export function writeManifest(files: Files, directory: string, facts: CheckpointFacts): void {
  replaceDurably(files, join(directory, MANIFEST_FILE), Buffer.from(manifestText(facts)), 0o644);
}
