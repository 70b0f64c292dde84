/**
 * `ferrite check-aof FILE`: reads an append-only file, or all files of a Redis 7 manifest, and reports up to which offset
 * it is valid. `--fix` truncates the file there, after copying it to FILE.<stamp>.bak.
 *
 * The format is drawn in persistence/aof-format.ts, and the scanner is the loader's. A transaction is one unit: the file is
 * never truncated between MULTI and EXEC, nor inside a batch of ours.
 * Exit codes: 0 valid or fixed, 1 invalid.
 */
import { dirname, join } from "node:path";
import { AT_CURSOR, FileFailure, readText, realFiles, writeFully, type Files } from "../base/files.ts";
import { parseCheckArguments } from "./arguments.ts";
import { looksLikeRdb } from "../persistence/rdb-reader.ts";
import { parseManifest } from "../persistence/aof-import.ts";
import { scanAof } from "../persistence/aof-scanner.ts";
import { PART_BYTES, withProgress } from "./progress.ts";
import { walkRdb } from "./rdb-walk.ts";
import { BadFile, FileReader } from "../base/file-reader.ts";

export interface AofCheck {
  readonly bytes: number;
  /** Number of commands, including each command of a transaction. */
  readonly records: number;
  /** End of the valid part: of the last command outside a transaction, or of the last annotated batch. */
  readonly okUpTo: number;
  /** Why the file is invalid; "" when it is valid. */
  readonly reason: string;
  /** Where reading stopped; equals `bytes` when the file is valid. */
  readonly stoppedAt: number;
  /** Length of the RDB preamble; 0 = none. A file with an invalid preamble cannot be truncated. */
  readonly preambleBytes: number;
}

/** Checks one file. Throws FileFailure when it cannot be read. */
export function checkAof(files: Files, path: string): AofCheck {
  const reader = new FileReader(files, path);
  let preambleBytes = 0;
  try {
    if (looksLikeRdb(reader)) preambleBytes = walkRdb(reader).end;
  } catch (thrown) {
    if (!(thrown instanceof BadFile)) throw thrown;
    const { reason, offset } = thrown;
    return { bytes: reader.bytes, records: 0, okUpTo: 0, reason, stoppedAt: offset, preambleBytes };
  } finally {
    reader.close();
  }
  return { ...scanAof(files, path, preambleBytes), preambleBytes };
}

/** Copies a file to `<path>.<stamp>.bak` and truncates it to `bytes`, both durably. Returns the copy's path. */
export function truncateWithCopy(files: Files, path: string, bytes: number, nowMs: number): string {
  const copy = `${path}.${new Date(nowMs).toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-")}.bak`;
  copyDurably(files, path, copy);
  const file = files.open(path, "r+", 0);
  try {
    files.truncate(file, bytes);
    files.fsync(file);
  } finally {
    files.close(file);
  }
  return copy;
}

function copyDurably(files: Files, from: string, to: string): void {
  const source = files.open(from, "r", 0);
  try {
    const target = files.open(to, "wx", files.stat(from)?.mode ?? 0o640);
    try {
      const part = new Uint8Array(1 << 20);
      for (;;) {
        const got = files.read(source, part, 0, part.length, AT_CURSOR);
        if (got === 0) break;
        writeFully(files, target, part.subarray(0, got));
      }
      files.fsync(target);
    } finally {
      files.close(target);
    }
  } finally {
    files.close(source);
  }
  files.syncDirectory(dirname(to));
}

/** One file of a manifest. Only the last file of type "i" may be truncated. */
interface ListedFile {
  readonly path: string;
  readonly fixable: boolean;
}

/** The files to check: the path itself, or what a Redis 7 manifest lists (base, then incremental files in order). */
export function listedFiles(files: Files, path: string): ListedFile[] {
  if (!path.endsWith(".manifest")) return [{ path, fixable: true }];
  const listed = parseManifest(readText(files, path));
  if (listed.invalid !== "") throw new BadFile(0, `the manifest has ${listed.invalid}`);
  const used = listed.files.filter((row) => row.type !== "h");
  return used.map((row, i) => ({
    path: join(dirname(path), row.name),
    fixable: row.type === "i" && i === used.length - 1,
  }));
}

export async function runCheckAof(argv: readonly string[]): Promise<number> {
  const options = parseCheckArguments(argv, "check-aof");
  try {
    let code = 0;
    for (const file of listedFiles(realFiles, options.path)) {
      code = (await checkOne(file, options.fix, options.yes)) ? code : 1;
    }
    return code;
  } catch (thrown) {
    if (!(thrown instanceof FileFailure) && !(thrown instanceof BadFile)) throw thrown;
    console.error(`Error: ${thrown.message}`);
    return 1;
  }
}

/** Checks one file, reports the result, and fixes the file if asked to. Returns true when it is valid afterwards. */
async function checkOne(file: ListedFile, fix: boolean, yes: boolean): Promise<boolean> {
  const { path } = file;
  const files = withProgress(realFiles, PART_BYTES, (text) => console.error(text));
  const result = checkAof(files, path);
  if (result.preambleBytes > 0) console.log(`RDB preamble: ${result.preambleBytes} bytes`);
  console.log(
    `AOF analyzed: filename=${path}, size=${result.bytes}, records=${result.records}, ok_up_to=${result.okUpTo}, diff=${result.bytes - result.okUpTo}`,
  );
  if (result.reason === "") {
    console.log(`AOF ${path} is valid`);
    return true;
  }
  console.error(`Error: AOF corrupted at offset ${result.okUpTo}`);
  console.error("Error: Bad file format reading the append only file");
  console.error(`  at offset ${result.stoppedAt}: ${result.reason}`);
  if (!fix) {
    console.log(`AOF ${path} is not valid. Use the --fix option to truncate it to ${result.okUpTo} bytes.`);
    return false;
  }
  if (result.okUpTo === 0 && result.bytes > 0 && looksLikeRdbFile(path)) {
    console.error("Error: the RDB preamble is damaged, so truncating would lose all data");
    return false;
  }
  if (!file.fixable) {
    console.error("Error: only the last file of a manifest can be truncated without losing the files after it");
    return false;
  }
  console.log(
    `This will shrink the AOF from ${result.bytes} bytes, with ${result.bytes - result.okUpTo} bytes, to ${result.okUpTo} bytes`,
  );
  if (!yes && !(await confirmed())) {
    console.log("Aborting...");
    return false;
  }
  const copy = truncateWithCopy(realFiles, path, result.okUpTo, Date.now());
  console.log(`Successfully truncated AOF ${path} (the old file is ${copy})`);
  return true;
}

function looksLikeRdbFile(path: string): boolean {
  const reader = new FileReader(realFiles, path);
  try {
    return looksLikeRdb(reader);
  } finally {
    reader.close();
  }
}

async function confirmed(): Promise<boolean> {
  process.stdout.write("Continue? [y/N]: ");
  for await (const line of console) return /^y/i.test(line.trim());
  return false;
}
