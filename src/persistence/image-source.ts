/**
 * The data file that a stop image stands for: the append-only file as it ended, or without one the RDB file or checkpoint that
 * the next start would load. The image is good for exactly that file, and for no other state of it.
 *
 *   file │ ... │ last TAIL_BYTES: their checksum; in an append-only file they end with an annotation │
 */
import { join, relative } from "node:path";
import type { Files } from "../base/files.ts";
import { ANNOTATION_START, type Annotation, parseAnnotation } from "./aof-format.ts";
import { type DataPlaces, likelyData } from "./data-source.ts";
import { ringGoesBeyond, ringPath } from "./ring-file.ts";

const TAIL_BYTES = 4096;

export interface ImageSource {
  readonly kind: "aof" | "rdb";
  /** Relative to the data directory. */
  readonly path: string;
  readonly bytes: number;
  /** In whole seconds: not every copy of a directory keeps more. */
  readonly modified: number;
  readonly tail: string;
  /** Of an append-only file: the log of its last annotation, and the position that it ends at. */
  readonly logId: string;
  readonly position: number;
}

/** Where the data of a start comes from. */
export interface ImagePlaces extends DataPlaces {
  /** Name of the append-only file, "" = it is off. */
  readonly aofName: string;
}

/** The data file as it is now; null when there is none, or when it does not end with an annotation. Throws FileFailure. */
export function imageSource(files: Files, places: ImagePlaces): ImageSource | null {
  const { directory, aofName } = places;
  const isAof = aofName !== "";
  const path = isAof ? join(directory, aofName) : likelyData(files, places);
  const found = path === "" ? null : files.stat(path);
  if (found === null || found.bytes === 0) return null;
  const tail = readTail(files, path, found.bytes);
  const annotation = isAof ? lastAnnotation(tail) : null;
  if (isAof && annotation === null) return null;
  return {
    kind: isAof ? "aof" : "rdb",
    path: relative(directory, path),
    bytes: found.bytes,
    modified: Math.floor(found.modifiedMs / 1000),
    tail: Bun.hash.xxHash3(tail).toString(16),
    logId: annotation?.logId ?? "",
    position: annotation?.position ?? 0,
  };
}

/** The data file is still what `source` says, and no crash has left more of it elsewhere. Throws FileFailure. */
export function isSame(files: Files, places: ImagePlaces, source: ImageSource): boolean {
  const now = imageSource(files, places);
  if (now === null || JSON.stringify(now) !== JSON.stringify(source)) return false;
  if (source.kind === "rdb") return true;
  return !ringGoesBeyond(files, ringPath(places.directory), source.logId, source.position);
}

/** True when the file at `path` has not been touched since `wallMs`. */
export function isOlder(files: Files, path: string, wallMs: number): boolean {
  const found = files.stat(path);
  return found !== null && Math.floor(found.changedMs) <= wallMs;
}

function readTail(files: Files, path: string, bytes: number): Buffer {
  const tail = Buffer.alloc(Math.min(bytes, TAIL_BYTES));
  const file = files.open(path, "r", 0);
  try {
    const got = files.read(file, tail, 0, tail.length, bytes - tail.length);
    return tail.subarray(0, got);
  } finally {
    files.close(file);
  }
}

function lastAnnotation(tail: Buffer): Annotation | null {
  const at = tail.lastIndexOf(ANNOTATION_START);
  return at < 0 ? null : parseAnnotation(tail.toString("latin1", at));
}
