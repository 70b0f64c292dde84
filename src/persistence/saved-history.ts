/**
 * Where the data of a file is in the history of its replication, so that a server that starts from it continues there instead
 * of synchronizing anew.
 *
 * An RDB file has it in its aux fields, as of its cut. The append-only file has none: a server that ends properly leaves a note
 * beside it, which is good for exactly that file, and is taken away before anything is appended.
 */
import { join } from "node:path";
import { FileFailure, type Files, readText, replaceDurably } from "../base/files.ts";

/** The data is that of the history `id` up to `offset`; the next command runs in `database`. */
export interface SavedHistory {
  readonly id: string;
  readonly offset: number;
  readonly database: number;
}

/** The append-only file that a note is about: its length, and the position of the change log that it reaches to. */
export interface NotedFile {
  readonly bytes: number;
  readonly position: number;
}

const NOTE = "replication.note";

/** What the aux fields of an RDB file say; null = nothing that can be used. */
export function historyOf(fields: readonly (readonly [string, string])[]): SavedHistory | null {
  const values = new Map(fields);
  return checked(
    values.get("repl-id"),
    Number(values.get("repl-offset") ?? -1),
    Number(values.get("repl-stream-db") ?? 0),
  );
}

function checked(id: unknown, offset: unknown, database: unknown): SavedHistory | null {
  if (typeof id !== "string" || !/^[0-9a-f]{40}$/i.test(id)) return null;
  if (typeof offset !== "number" || !Number.isSafeInteger(offset) || offset < 0) return null;
  if (typeof database !== "number" || !Number.isSafeInteger(database) || database < 0) return null;
  return { id, offset, database };
}

/** Leaves a note about the append-only file in `directory`. Throws FileFailure. */
export function noteHistory(files: Files, directory: string, file: NotedFile, history: SavedHistory): void {
  replaceDurably(files, join(directory, NOTE), Buffer.from(`${JSON.stringify({ ...file, ...history })}\n`), 0o640);
}

/** Takes the note away. Returns what it says when it is about this file, else null. */
export function takeHistory(files: Files, directory: string, file: NotedFile): SavedHistory | null {
  const path = join(directory, NOTE);
  try {
    if (files.stat(path) === null) return null;
    const text = readText(files, path);
    files.unlink(path);
    files.syncDirectory(directory);
    const note = JSON.parse(text) as Partial<NotedFile & SavedHistory>;
    if (note.bytes !== file.bytes || note.position !== file.position) return null;
    return checked(note.id, note.offset, note.database);
  } catch (thrown) {
    if (thrown instanceof FileFailure || thrown instanceof SyntaxError) return null;
    throw thrown;
  }
}
