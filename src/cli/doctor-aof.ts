/**
 * A quick look at the end of the append-only file: is the last batch whole? Only its end is read, whatever the file's length.
 * `ferrite check-aof` looks at all of it.
 */
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Config } from "../base/config/config.ts";
import { FileFailure, type Files } from "../base/files.ts";
import { LOCK_FILE } from "../memory/native.ts";
import { ANNOTATION_MAX, ANNOTATION_START, type Annotation, parseAnnotation } from "../persistence/aof-format.ts";
import { type Finding, failure, fine, note, warning } from "./finding.ts";
import { statOrNull, type Surroundings } from "./surroundings.ts";

/** Bytes at the end of the file in which the last annotation is searched, and the longest batch whose checksum is computed. */
const TAIL_BYTES = 1 << 20;
const BATCH_BYTES_MAX = 64 << 20;

export function checkAof(config: Config, around: Surroundings): Finding[] {
  if (!config.flag("persistence.enable_aof")) return [];
  const directory = config.text("storage.data_dir");
  const path = join(directory, config.text("persistence.aof_filename"));
  const { files } = around;
  const bytes = statOrNull(files, path)?.bytes ?? 0;
  if (bytes === 0) return [];
  const lockPath = join(directory, LOCK_FILE);
  if (statOrNull(files, lockPath) !== null && around.lockOf(lockPath) === "taken")
    return [note("aof", `${path}: ${bytes} bytes, being written by the running server`)];
  try {
    return [judge(files, path, bytes)];
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    const meaning = "The server cannot load its data.";
    return [failure("aof", { text: thrown.message, meaning, mend: `ls -l ${path}` })];
  }
}

function judge(files: Files, path: string, bytes: number): Finding {
  const file = files.open(path, "r", 0);
  try {
    const tail = readPart(files, file, Math.max(0, bytes - TAIL_BYTES), bytes);
    const found = lastAnnotation(tail);
    if (found === null)
      return note(
        "aof",
        `${path}: its end has no checksum, so only a whole check can judge it: ferrite check-aof ${path}`,
      );
    const end = bytes - tail.length + found.end;
    const { annotation } = found;
    const start = end - found.length - annotation.bytes;
    if (annotation.bytes <= BATCH_BYTES_MAX && start >= 0) {
      const sum = crc32(readPart(files, file, start, start + annotation.bytes));
      if (sum >>> 0 !== annotation.crc >>> 0) return damaged(path, start);
    }
    if (end < bytes) return torn(path, bytes - end, end);
    return fine("aof", `${path}: ${bytes} bytes, the last batch is whole`);
  } finally {
    files.close(file);
  }
}

function damaged(path: string, offset: number): Finding {
  return failure("aof", {
    text: `${path}: the batch that begins at offset ${offset} does not match its checksum`,
    meaning: "The disk has changed what was written. The server does not load a file that is damaged before its end.",
    mend: `ferrite check-aof ${path}, and --fix to cut it there; or load the newest checkpoint`,
  });
}

function torn(path: string, lost: number, okUpTo: number): Finding {
  return warning("aof", {
    text: `${path}: ${lost} bytes follow the last whole batch, which ends at ${okUpTo}`,
    meaning: "A crash has torn the end. The next start cuts it and takes what it can from the change log.",
    mend: `start the server; or ferrite check-aof --fix ${path}`,
  });
}

function readPart(files: Files, file: Parameters<Files["close"]>[0], from: number, to: number): Buffer {
  const part = Buffer.alloc(to - from);
  let length = 0;
  while (length < part.length) {
    const got = files.read(file, part, length, part.length - length, from + length);
    if (got === 0) break;
    length += got;
  }
  return part.subarray(0, length);
}

/** The last annotation in `tail`, its length, and the offset behind it. */
function lastAnnotation(tail: Buffer): { annotation: Annotation; length: number; end: number } | null {
  for (
    let at = tail.lastIndexOf(ANNOTATION_START);
    at >= 0;
    at = at === 0 ? -1 : tail.lastIndexOf(ANNOTATION_START, at - 1)
  ) {
    const lineEnd = tail.indexOf("\r\n", at);
    const line = lineEnd < 0 || lineEnd - at > ANNOTATION_MAX ? "" : tail.toString("latin1", at, lineEnd + 2);
    const annotation = parseAnnotation(line);
    if (annotation !== null) return { annotation, length: line.length, end: lineEnd + 2 };
  }
  return null;
}
