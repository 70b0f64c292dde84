/** `ferrite rdb convert IN OUT --to VERSION`: exit code 0 when OUT is there, 1 when not, with an OUT that was there before. */
import { basename, dirname } from "node:path";
import { BadFile, FileReader } from "../base/file-reader.ts";
import { FileFailure, type Files, realFiles } from "../base/files.ts";
import { convertRdb, type Converted } from "../persistence/rdb-convert.ts";
import { ReplacedFile } from "../persistence/rdb-file.ts";
import { RdbWriter } from "../persistence/rdb-writer.ts";
import { type ConvertArguments, parseRdbArguments } from "./arguments.ts";

/** Converts a file. Throws BadFile and FileFailure, with nothing changed. */
export function convertFile(files: Files, { from, to, version }: ConvertArguments, nowMs: number): Converted {
  const reader = new FileReader(files, from);
  let target: ReplacedFile | null = null;
  try {
    target = new ReplacedFile(files, dirname(to), basename(to), `${basename(to)}.part`);
    const converted = convertRdb(reader, new RdbWriter(target.put, true, false), version, nowMs);
    if (reader.left > 0) throw new BadFile(reader.offset, `${reader.left} bytes follow the end of the file's content`);
    target.commit();
    return converted;
  } catch (thrown) {
    target?.discard();
    throw thrown;
  } finally {
    reader.close();
  }
}

export function runRdb(argv: readonly string[]): number {
  const options = parseRdbArguments(argv);
  const { from, to, version } = options;
  try {
    const converted = convertFile(realFiles, options, Date.now());
    console.log(`${to}: version ${version}, ${converted.keys} keys (${from} is of version ${converted.version})`);
    for (const text of lostTexts(converted, version)) console.log(`Warning: ${text}`);
    return 0;
  } catch (thrown) {
    if (thrown instanceof BadFile)
      console.error(`Error: ${from} is not a good RDB file: offset ${thrown.offset}: ${thrown.reason}`);
    else if (thrown instanceof FileFailure) console.error(`Error: ${thrown.message}`);
    else throw thrown;
    return 1;
  }
}

/** Names what the new file lacks. */
function lostTexts({ fields, members, activeTimes }: Converted, version: number): string[] {
  const texts: string[] = [];
  if (fields > 0) texts.push(`version ${version} has no form for the deadlines of ${fields} fields of hashes`);
  if (members > 0) texts.push(`no version has a form for the deadlines of ${members} members of sets and sorted sets`);
  if (activeTimes > 0)
    texts.push(`version ${version} has no form for the times at which ${activeTimes} consumers were last active`);
  return texts;
}
