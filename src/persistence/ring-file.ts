/**
 * Ring file: the memory of the change log as a file of the data directory, so that it outlives the process.
 *
 * All its bytes are written when it is made: a full disk is then met at the start, not by a page fault. It is never synced.
 * After a crash of the system it may hold anything, so it counts only while the system has not been started again.
 */
import { join } from "node:path";
import { AT_CURSOR, FileFailure, type Files, readText, readWhole } from "../base/files.ts";
import { HEAD_BYTES, readRingHead, ringBytesFrom, writeRingHead } from "../memory/change-log.ts";

const NAME = "change-log.ring";
const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";

export function ringPath(dataDirectory: string): string {
  return join(dataDirectory, NAME);
}

/** Names the run of the operating system; "" = unknown, and no ring of before is believed. */
export function bootId(files: Files): string {
  try {
    return readText(files, BOOT_ID_FILE).trim();
  } catch (thrown) {
    if (thrown instanceof FileFailure) return "";
    throw thrown;
  }
}

/**
 * Makes the ring file for a log that begins at `position`. What the old ring held must be in the append-only file. A file of
 * the right length is used again with a new head, since its blocks are allocated. Throws FileFailure.
 */
export function makeRing(files: Files, path: string, size: number, logId: string, position: number): void {
  const isThere = files.stat(path)?.bytes === HEAD_BYTES + size;
  const ring = Buffer.alloc(isThere ? HEAD_BYTES : HEAD_BYTES + size);
  writeRingHead(ring, size, logId, bootId(files), position);
  const file = files.open(path, isThere ? "r+" : "w", 0o640);
  try {
    for (let at = 0; at < ring.length; ) at += files.write(file, ring, at, ring.length - at, AT_CURSOR);
  } finally {
    files.close(file);
  }
}

/**
 * What the log `logId` had beyond `position` when its process ended. Empty when nothing is missing, or when the ring is of
 * another log or of a run of the system before this one. Throws FileFailure.
 */
export function readRing(files: Files, path: string, logId: string, position: number): Buffer {
  const nothing = Buffer.alloc(0);
  if (files.stat(path) === null) return nothing;
  const ring = Buffer.from(readWhole(files, path).slice().buffer);
  const head = readRingHead(ring);
  const boot = bootId(files);
  if (head === null || head.logId !== logId || boot === "" || head.bootId !== boot) return nothing;
  return ringBytesFrom(ring, head, position) ?? nothing;
}

/** True when the ring may have something of the log `logId` beyond `position`. Reads its head alone. Throws FileFailure. */
export function ringGoesBeyond(files: Files, path: string, logId: string, position: number): boolean {
  const found = files.stat(path);
  if (found === null || found.bytes < HEAD_BYTES) return false;
  const bytes = Buffer.alloc(HEAD_BYTES);
  const file = files.open(path, "r", 0);
  try {
    files.read(file, bytes, 0, HEAD_BYTES, 0);
  } finally {
    files.close(file);
  }
  const head = readRingHead(bytes, found.bytes);
  return head !== null && head.logId === logId && head.end > position;
}
