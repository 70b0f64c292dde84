/** The RDB preamble of an append-only file: a whole RDB file before the first command. */
import { FileReader } from "../base/file-reader.ts";
import type { Files } from "../base/files.ts";
import { looksLikeRdb, RdbItem, RdbReader } from "./rdb-reader.ts";

/** Length of the preamble of the file at `path`; 0 = it has none. Throws BadFile where its structure ends, FileFailure. */
export function preambleBytes(files: Files, path: string): number {
  const reader = new FileReader(files, path);
  try {
    if (!looksLikeRdb(reader)) return 0;
    const rdb = new RdbReader(reader, true, 0);
    while (rdb.next() !== RdbItem.End) {
      // What is in it is looked at when it is loaded.
    }
    return rdb.offset;
  } finally {
    reader.close();
  }
}
