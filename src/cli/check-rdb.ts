/** `ferrite check-rdb FILE`: exit code 0 when Redis would load the file, 1 when not. */
import { FileFailure, realFiles, type Files } from "../base/files.ts";
import { parseCheckArguments } from "./arguments.ts";
import { PART_BYTES, withProgress } from "./progress.ts";
import { type RdbSummary, walkRdbFile } from "./rdb-walk.ts";
import { BadFile, FileReader } from "../base/file-reader.ts";

export type RdbCheck =
  | { readonly ok: true; readonly summary: RdbSummary; readonly bytes: number }
  | { readonly ok: false; readonly offset: number; readonly reason: string };

/** Checks a whole RDB file. Throws FileFailure when it cannot be read. */
export function checkRdb(files: Files, path: string): RdbCheck {
  const reader = new FileReader(files, path);
  try {
    return { ok: true, summary: walkRdbFile(reader), bytes: reader.bytes };
  } catch (thrown) {
    if (!(thrown instanceof BadFile)) throw thrown;
    return { ok: false, offset: thrown.offset, reason: thrown.reason };
  } finally {
    reader.close();
  }
}

export function runCheckRdb(argv: readonly string[]): number {
  const { path } = parseCheckArguments(argv, "check-rdb");
  let result: RdbCheck;
  try {
    result = checkRdb(
      withProgress(realFiles, PART_BYTES, (text) => console.error(text)),
      path,
    );
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    console.error(`Error: ${thrown.message}`);
    return 1;
  }
  console.log(`[offset 0] Checking RDB file ${path}`);
  if (!result.ok) {
    console.log(`[offset ${result.offset}] ${result.reason}`);
    console.error(`Error: ${path} is not a good RDB file: offset ${result.offset}: ${result.reason}`);
    return 1;
  }
  const { summary, bytes } = result;
  for (const [name, value] of summary.fields) console.log(`AUX FIELD ${name} = '${value}'`);
  console.log(`[offset ${bytes}] ${summary.checksum === "good" ? "Checksum OK" : "the file carries no checksum"}`);
  console.log(`[offset ${bytes}] RDB looks OK (version ${summary.version})`);
  console.log(`[info] ${summary.keys} keys read`);
  console.log(`[info] ${summary.expires} expires`);
  console.log(`[info] ${summary.databases} databases, ${summary.functions} functions`);
  return 0;
}
