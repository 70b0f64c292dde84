/**
 * Recovery of the append-only file at the start, before any client is served: finds out what of the file is valid, repairs
 * what a crash left behind, and adds what only the ring of the change log still has.
 *
 *   file  │ annotated batches │ torn batch │            cut off, and kept beside the file
 *   ring           ...  │ last position ... end │       written behind the annotated batches
 *
 * Every step leaves a file from which the same can be done again, so a crash in here loses nothing.
 */
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { BadFile } from "../base/file-reader.ts";
import { AT_CURSOR, type FileDescriptor, type Files, writeFully } from "../base/files.ts";
import { reached } from "../base/kill-point.ts";
import { StartupError } from "../base/errors.ts";
import type { PersistenceLog } from "../persistence/rdb-persistence.ts";
import { annotationLine } from "../persistence/aof-format.ts";
import { findForeign, importForeign } from "../persistence/aof-import.ts";
import { checkpointNames, readCheckpoint } from "../persistence/checkpoint-files.ts";
import { findData } from "../persistence/data-source.ts";
import { preambleBytes } from "../persistence/aof-preamble.ts";
import { type AofScan, scanAof } from "../persistence/aof-scanner.ts";
import { makeRing, readRing, ringPath } from "../persistence/ring-file.ts";

export interface RecoveryOptions {
  readonly directory: string;
  readonly fileName: string;
  /** Name of the RDB file. It is taken over when there is no append-only file. */
  readonly rdbName: string;
  /** The directory of the checkpoints, of which the newest is taken over as well. */
  readonly checkpoints: string;
  /** Whether a torn end may be cut off, and its most bytes. */
  readonly loadTruncated: boolean;
  readonly cutMax: number;
  readonly ringBytes: number;
  readonly nowMs: number;
  /** Length of the RDB preamble where it is known, else 0. Its content is then checked by the load alone. */
  readonly preambleBytes?: number;
}

export function newLogId(): string {
  return crypto.getRandomValues(new Uint8Array(8)).toHex();
}

/** A file that is ready to be loaded and then appended to. */
export interface RecoveredAof {
  readonly path: string;
  /** Where a rewritten file goes: `path`, but for a log that was just turned on. */
  readonly target: string;
  /** Length of the RDB preamble; 0 = none. */
  readonly preamble: number;
  readonly bytes: number;
  readonly records: number;
  /** See AofScan.skips. */
  readonly skips: number[];
  readonly names: ReadonlyMap<string, number>;
  /** The log that begins now. */
  readonly logId: string;
  readonly position: number;
  readonly ring: string;
  /** Bytes of a torn end that were cut off, and bytes that came from the ring. */
  readonly cutBytes: number;
  readonly ringBytes: number;
}

/** Makes the file and the ring ready. Throws StartupError when the file is damaged, FileFailure when it cannot be used. */
export function recoverAof(files: Files, log: PersistenceLog, options: RecoveryOptions): RecoveredAof {
  const path = join(options.directory, options.fileName);
  removeLeftovers(files, options.directory);
  const found = files.stat(path);
  if (found === null) makeFile(files, log, path, options);
  const { preambleBytes: known = 0 } = options;
  const preamble = known > 0 && known <= (found?.bytes ?? 0) ? known : readPreamble(files, path);
  let scan = scanAof(files, path, preamble);
  const ring = ringPath(options.directory);
  const missing = scan.last === null ? Buffer.alloc(0) : readRing(files, ring, scan.last.logId, scan.last.position);
  if (missing.length === 0) refuseDamage(path, scan, options);
  const end = missing.length > 0 ? scan.annotatedUpTo : scan.okUpTo;
  const cutBytes = scan.bytes - end;
  if (cutBytes > 0) {
    const aside = missing.length > 0 ? "" : keepCut(files, path, end, options.nowMs);
    cut(files, path, end);
    reached("recovery-cut");
    if (aside !== "")
      log.warn(
        `${path}: ${scan.reason} at offset ${scan.stoppedAt}: cut to ${end} bytes; the ${cutBytes} cut bytes are in ${aside}`,
      );
  }
  if (missing.length > 0) {
    appendMissing(files, path, missing, scan);
    reached("recovery-appended");
    log.info(`${path}: ${missing.length} bytes were added from ${ring}`);
  }
  if (cutBytes > 0 || missing.length > 0) scan = scanAof(files, path, preamble);
  const logId = newLogId();
  const position = scan.last?.position ?? 0;
  if (found !== null) warnOfCheckpoint(files, log, path, found.modifiedMs, position, options.checkpoints);
  makeRing(files, ring, options.ringBytes, logId, position);
  reached("recovery-ring");
  const { bytes, records, skips, names } = scan;
  return {
    path,
    target: path,
    preamble,
    bytes,
    records,
    skips,
    names,
    logId,
    position,
    ring,
    cutBytes,
    ringBytes: missing.length,
  };
}

/** The file is complete up to `position`, and its data is in memory: a log begins behind it. Throws FileFailure. */
export function continueAof(
  files: Files,
  { directory, fileName, ringBytes }: Pick<RecoveryOptions, "directory" | "fileName" | "ringBytes">,
  { bytes, position }: { readonly bytes: number; readonly position: number },
): RecoveredAof {
  removeLeftovers(files, directory);
  const path = join(directory, fileName);
  const ring = ringPath(directory);
  const logId = newLogId();
  makeRing(files, ring, ringBytes, logId, position);
  const nothing = { preamble: 0, records: 0, skips: [], names: new Map<string, number>(), cutBytes: 0, ringBytes: 0 };
  return { ...nothing, path, target: path, bytes, logId, position, ring };
}

/**
 * Warns when the newest checkpoint has data that the append-only file at `path`, which is loaded, cannot have: the file was
 * off when it was taken, or is an older copy.
 */
function warnOfCheckpoint(
  files: Files,
  log: PersistenceLog,
  path: string,
  modifiedMs: number,
  position: number,
  directory: string,
): void {
  const newest = checkpointNames(files, directory).at(-1);
  const checkpoint = newest === undefined ? "" : readCheckpoint(files, directory, newest);
  if (typeof checkpoint === "string" || checkpoint.takenMs <= modifiedMs) return;
  // Taken beside this file: what it holds is in the file too.
  if (checkpoint.position > 0 && checkpoint.position <= position) return;
  log.warn(
    `${path} is loaded, but the checkpoint ${newest} is newer and may have changes that the file lacks; ` +
      "to start from the checkpoint move the file away",
  );
}

/** Removes what rewrites left that a crash interrupted. */
function removeLeftovers(files: Files, directory: string): void {
  for (const name of files.list(directory))
    if (name.startsWith("temp-rewriteaof-") || name.endsWith(".aof.incoming")) files.unlink(join(directory, name));
}

/** There is no append-only file: one is made of what another server left here, or an empty one. */
function makeFile(files: Files, log: PersistenceLog, path: string, options: RecoveryOptions): void {
  const { directory, fileName } = options;
  const foreign = findForeign(files, { directory, aofName: fileName }, () => findData(files, log, options));
  if (foreign !== null) {
    const bytes = importForeign(files, foreign, path);
    log.info(`${path} was made from ${foreign.found}: ${bytes} bytes; the old files stay as they are`);
    return;
  }
  files.close(files.open(path, "wx", 0o640));
  files.syncDirectory(dirname(path));
}

function readPreamble(files: Files, path: string): number {
  try {
    return preambleBytes(files, path);
  } catch (thrown) {
    if (!(thrown instanceof BadFile)) throw thrown;
    const detail = `the RDB preamble is damaged: ${thrown.reason}`;
    throw new StartupError(`AOF corrupted at offset ${thrown.offset}`, [detail, `run: ferrite check-aof ${path}`], 1);
  }
}

function refuseDamage(path: string, scan: AofScan, options: RecoveryOptions): void {
  if (scan.reason === "") return;
  const tail = scan.bytes - scan.okUpTo;
  const mayCut = scan.isTail && options.loadTruncated && tail <= options.cutMax;
  if (mayCut) return;
  const advice = `run: ferrite check-aof ${path}`;
  const detail = `at offset ${scan.stoppedAt}: ${scan.reason}`;
  const limit =
    scan.isTail && options.loadTruncated
      ? [`the damaged end has ${tail} bytes, persistence.aof_truncate_max is ${options.cutMax}`]
      : [];
  throw new StartupError(`AOF corrupted at offset ${scan.okUpTo}`, [detail, ...limit, advice], 1);
}

/** Keeps the bytes from `from` on beside the file. Returns where. */
function keepCut(files: Files, path: string, from: number, nowMs: number): string {
  const stamp = new Date(nowMs).toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-");
  let aside = `${path}.cut-${stamp}`;
  for (let n = 1; files.stat(aside) !== null; n++) aside = `${path}.cut-${stamp}-${n}`;
  const source = files.open(path, "r", 0);
  const target = files.open(aside, "wx", 0o640);
  try {
    const block = new Uint8Array(1 << 20);
    for (let at = from; ; ) {
      const got = files.read(source, block, 0, block.length, at);
      if (got === 0) break;
      writeFully(files, target, block.subarray(0, got));
      at += got;
    }
    files.fsync(target);
  } finally {
    files.close(source);
    files.close(target);
  }
  files.syncDirectory(dirname(aside));
  return aside;
}

function cut(files: Files, path: string, bytes: number): void {
  withFile(files, path, "r+", (file) => {
    files.truncate(file, bytes);
    files.fsync(file);
  });
}

function appendMissing(files: Files, path: string, missing: Buffer, scan: AofScan): void {
  const { logId, position } = scan.last!;
  const line = annotationLine({
    logId,
    position: position + missing.length,
    bytes: missing.length,
    crc: crc32(missing),
  });
  withFile(files, path, "a", (file) => {
    for (let at = 0; at < missing.length; ) at += files.write(file, missing, at, missing.length - at, AT_CURSOR);
    writeFully(files, file, Buffer.from(line));
    files.fsync(file);
  });
}

function withFile(files: Files, path: string, flags: "r+" | "a", work: (file: FileDescriptor) => void): void {
  const file = files.open(path, flags, 0o640);
  try {
    work(file);
  } finally {
    files.close(file);
  }
}
