/**
 * `ferrite check-aof FILE`: reads an append-only file, or all files of a Redis 7 manifest, and reports up to which offset
 * it is valid. `--fix` truncates the file there, after copying it to FILE.<stamp>.bak.
 *
 *   [RDB preamble]  { "#" annotation CRLF | "*" count CRLF  count times ("$" length CRLF bytes CRLF) }*
 *
 * A transaction is one unit: the file is never truncated between MULTI and EXEC.
 * Exit codes: 0 valid or fixed, 1 invalid.
 */
import { dirname, join } from "node:path";
import { AT_CURSOR, FileFailure, readText, realFiles, writeFully, type Files } from "../base/files.ts";
import { HELP, parseCheckArguments } from "./arguments.ts";
import { looksLikeRdb } from "../persistence/rdb-reader.ts";
import { walkRdb } from "./rdb-walk.ts";
import { BadFile, FileReader } from "../base/file-reader.ts";

export interface AofCheck {
  readonly bytes: number;
  /** Number of commands, including each command of a transaction. */
  readonly records: number;
  /** End of the last valid record outside a transaction. `truncate -s` to this offset makes the file valid. */
  readonly okUpTo: number;
  /** Why the file is invalid; "" when it is valid. */
  readonly reason: string;
  /** Where reading stopped; equals `bytes` when the file is valid. */
  readonly stoppedAt: number;
  /** Length of the RDB preamble; 0 = none. A file with an invalid preamble cannot be truncated. */
  readonly preambleBytes: number;
}

const LONGEST_LINE = 32;
const MOST_ARGUMENTS = 2 ** 31 - 1;

/** Checks one file. Throws FileFailure when it cannot be read. */
export function checkAof(files: Files, path: string): AofCheck {
  const reader = new FileReader(files, path);
  let okUpTo = 0;
  let records = 0;
  let preambleBytes = 0;
  let inTransaction = false;
  try {
    if (looksLikeRdb(reader)) {
      preambleBytes = walkRdb(reader).end;
      okUpTo = preambleBytes;
    }
    while (reader.left > 0) {
      const name = readRecord(reader);
      if (name === null) continue; // an annotation
      records++;
      if (name === "multi") inTransaction = true;
      else if (name === "exec" || name === "discard") inTransaction = false;
      if (!inTransaction) okUpTo = reader.offset;
    }
    const reason = inTransaction ? "the file ends inside a transaction (MULTI without EXEC)" : "";
    if (!inTransaction) okUpTo = reader.offset;
    return { bytes: reader.bytes, records, okUpTo, reason, stoppedAt: reader.offset, preambleBytes };
  } catch (thrown) {
    if (!(thrown instanceof BadFile)) throw thrown;
    return { bytes: reader.bytes, records, okUpTo, reason: thrown.reason, stoppedAt: thrown.offset, preambleBytes };
  } finally {
    reader.close();
  }
}

/** Reads one command. Returns its name in lower case, or null for an annotation line. Throws BadFile. */
function readRecord(reader: FileReader): string | null {
  const first = reader.peek(1)[0]!;
  if (first === HASH) {
    skipAnnotation(reader);
    return null;
  }
  const count = readNumber(reader, STAR, MOST_ARGUMENTS);
  if (count < 1) throw new BadFile(reader.offset, "a command without arguments");
  let name = "";
  for (let i = 0; i < count; i++) {
    const length = readNumber(reader, DOLLAR, Number.MAX_SAFE_INTEGER);
    if (i === 0 && length <= LONGEST_LINE) name = new TextDecoder("latin1").decode(reader.take(length)).toLowerCase();
    else reader.skip(length);
    expectLineEnd(reader);
  }
  return name;
}

const STAR = 0x2a;
const DOLLAR = 0x24;
const HASH = 0x23;
const CR = 0x0d;
const LF = 0x0a;

/** Reads a line: `mark`, digits, CRLF. Signs and blanks are errors. */
function readNumber(reader: FileReader, mark: number, most: number): number {
  const at = reader.offset;
  const found = reader.byte();
  if (found !== mark)
    throw new BadFile(at, `expected '${String.fromCharCode(mark)}', found 0x${found.toString(16).padStart(2, "0")}`);
  let value = 0;
  for (let digits = 0; ; digits++) {
    const byte = reader.byte();
    if (byte === CR && digits > 0) {
      if (reader.byte() !== LF) throw new BadFile(reader.offset - 1, "expected a line feed");
      return value;
    }
    if (byte < 0x30 || byte > 0x39 || digits > LONGEST_LINE) throw new BadFile(at, "expected a number");
    value = value * 10 + byte - 0x30;
    if (value > most) throw new BadFile(at, "a number is too large");
  }
}

function expectLineEnd(reader: FileReader): void {
  const at = reader.offset;
  const end = reader.take(2);
  if (end[0] !== CR || end[1] !== LF) throw new BadFile(at, "expected a line end after an argument");
}

/** Skips an annotation line such as "#TS:1700000000\r\n". */
function skipAnnotation(reader: FileReader): void {
  const at = reader.offset;
  for (let length = 0; length < 1024; length++) if (reader.byte() === LF) return;
  throw new BadFile(at, "an annotation line has no end");
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
  const rows: { name: string; sequence: number; type: string }[] = [];
  for (const line of readText(files, path).split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const match = /^file ("(?:[^"\\]|\\.)*"|\S+) seq (\d+) type ([bhi])$/.exec(line.trim());
    if (match === null) throw new BadFile(0, `the manifest has an invalid line: ${line}`);
    rows.push({ name: match[1]!.replace(/^"|"$/g, ""), sequence: Number(match[2]), type: match[3]! });
  }
  const used = rows.filter((row) => row.type !== "h");
  return used.map((row, i) => ({
    path: join(dirname(path), row.name),
    fixable: row.type === "i" && i === used.length - 1,
  }));
}

export async function runCheckAof(argv: readonly string[]): Promise<number> {
  const options = parseCheckArguments(argv, "check-aof");
  if (options.help) {
    console.log(HELP);
    return 0;
  }
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
  const result = checkAof(realFiles, path);
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
