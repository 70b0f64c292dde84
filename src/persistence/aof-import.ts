/**
 * Import of what another server left in the data directory, when there is no append-only file of ours: an appendonlydir of
 * Redis 7 or Valkey with its manifest, or a dump.rdb. A checkpoint is taken over in the same way.
 *
 *   base (RDB or commands) │ incremental file │ incremental file │ ...     becomes one append-only file
 *
 * The files are copied one behind the other; a base in RDB form is the preamble. The files of the other server stay.
 */
import { dirname, join } from "node:path";
import { AT_CURSOR, type FileDescriptor, type Files, readText, writeFully } from "../base/files.ts";
import { splitRedisLine } from "../base/config/redis-conf.ts";
import { StartupError } from "../base/errors.ts";

/** A file that a manifest lists. */
export interface ManifestFile {
  readonly name: string;
  /** b: base; i: incremental; h: history, not used any more. */
  readonly type: "b" | "i" | "h";
}

/** Redis reads no longer lines. */
const LINE_MAX = 1024;

/**
 * Parses a manifest of Redis 7. `invalid` says what is wrong with it, "" = nothing: whatever Redis refuses is refused, because
 * a list that is not whole would be data that is not whole.
 */
export function parseManifest(text: string): { files: ManifestFile[]; invalid: string } {
  const files: ManifestFile[] = [];
  let lastSequence = 0;
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const line of lines) {
    if (line.startsWith("#")) continue;
    const found = line.length >= LINE_MAX ? null : parseManifestLine(line);
    if (found === null) return { files, invalid: `an invalid line: ${line.slice(0, 100)}` };
    if (found.type === "b" && files.some((file) => file.type === "b"))
      return { files, invalid: `a second base file: ${line}` };
    if (found.type === "i" && found.sequence <= lastSequence)
      return { files, invalid: `a sequence number that is not above the one before: ${line}` };
    if (found.type === "i") lastSequence = found.sequence;
    files.push({ name: found.name, type: found.type });
  }
  return { files, invalid: files.length === 0 ? "no file" : "" };
}

/** Reads "file NAME seq NUMBER type LETTER", and further pairs of later versions. Null = it is no such line. */
function parseManifestLine(line: string): (ManifestFile & { sequence: number }) | null {
  const split = splitRedisLine(line);
  if (split === null || typeof split === "string") return null;
  const words = [split.name, ...split.words];
  if (words.length < 6 || words.length % 2 !== 0) return null;
  const fields = new Map<string, string>();
  for (let i = 0; i < words.length; i += 2) fields.set(words[i]!.toLowerCase(), words[i + 1]!);
  const name = fields.get("file") ?? "";
  const type = fields.get("type") ?? "";
  const sequence = /^\d+$/.test(fields.get("seq") ?? "") ? Number(fields.get("seq")) : 0;
  // A name with a slash would lead out of the directory.
  if (name === "" || name.includes("/") || sequence === 0 || !/^[bhi]$/.test(type)) return null;
  return { name, type: type as ManifestFile["type"], sequence };
}

/** Where another server's files may be. */
export interface ImportPlaces {
  readonly directory: string;
  readonly aofName: string;
}

/** What is to be imported, in order, and where it was found. */
export interface Foreign {
  readonly found: string;
  readonly paths: readonly string[];
}

/**
 * Finds the files of another server; null = there are none. `dataPath` finds a file in RDB form, "" = there is none. Throws
 * StartupError for a manifest that is not valid.
 */
export function findForeign(files: Files, places: ImportPlaces, dataPath: () => string): Foreign | null {
  const { directory, aofName } = places;
  const manifest = join(directory, "appendonlydir", `${aofName}.manifest`);
  if (files.stat(manifest) !== null) {
    const listed = parseManifest(readText(files, manifest));
    if (listed.invalid !== "") throw new StartupError(`${manifest} has ${listed.invalid}`, [], 1);
    const used = listed.files.filter((file) => file.type !== "h");
    return { found: manifest, paths: used.map((file) => join(dirname(manifest), file.name)) };
  }
  const data = dataPath();
  return data === "" ? null : { found: data, paths: [data] };
}

/** Copies the files into one at `path`, durably: after a crash there is all of it or nothing. Throws FileFailure. */
export function importForeign(files: Files, foreign: Foreign, path: string): number {
  const aside = `${path}.import`;
  const target = files.open(aside, "w", 0o640);
  let bytes = 0;
  try {
    for (const source of foreign.paths) bytes += copyInto(files, source, target);
    files.fsync(target);
  } finally {
    files.close(target);
  }
  files.rename(aside, path);
  files.syncDirectory(dirname(path));
  return bytes;
}

function copyInto(files: Files, from: string, target: FileDescriptor): number {
  const source = files.open(from, "r", 0);
  try {
    const block = new Uint8Array(4 << 20);
    for (let bytes = 0; ; ) {
      const got = files.read(source, block, 0, block.length, AT_CURSOR);
      if (got === 0) return bytes;
      writeFully(files, target, block.subarray(0, got));
      bytes += got;
    }
  } finally {
    files.close(source);
  }
}
