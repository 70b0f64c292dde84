/** Reads an RDB file without loading it, through the reader that the server loads with, and counts what is in it. */
import { BadFile, type FileReader } from "../base/file-reader.ts";
import { NOT_GIVEN, RdbItem, RdbReader } from "../persistence/rdb-reader.ts";

export interface RdbSummary {
  readonly version: number;
  readonly keys: number;
  readonly expires: number;
  readonly functions: number;
  readonly databases: number;
  /** "AUX" fields such as redis-ver, in order. */
  readonly fields: readonly (readonly [string, string])[];
  readonly checksum: "good" | "absent";
  /** Offset after the last byte of the RDB part. */
  readonly end: number;
}

/** Reads from the reader's offset to the end of the RDB part. Throws BadFile at the first invalid byte. */
export function walkRdb(reader: FileReader): RdbSummary {
  const rdb = new RdbReader(reader, true, crypto.getRandomValues(new Int32Array(1))[0]!);
  const fields: (readonly [string, string])[] = [];
  const counts = { keys: 0, expires: 0, functions: 0, databases: 0 };
  for (;;) {
    switch (rdb.next()) {
      case RdbItem.Field:
        fields.push([rdb.name, rdb.text]);
        break;
      case RdbItem.Database:
        counts.databases++;
        break;
      case RdbItem.Library:
        counts.functions++;
        break;
      case RdbItem.Key:
        counts.keys++;
        if (rdb.deadlineMs !== NOT_GIVEN) counts.expires++;
        if (!rdb.isLong) rdb.decode();
        break;
      case RdbItem.End:
        return { version: rdb.version, ...counts, fields, checksum: rdb.isSummed ? "good" : "absent", end: rdb.offset };
      default:
        break;
    }
  }
}

/** As walkRdb, for a file that has nothing behind the RDB part. */
export function walkRdbFile(reader: FileReader): RdbSummary {
  const summary = walkRdb(reader);
  if (reader.left > 0) throw new BadFile(reader.offset, `${reader.left} bytes follow the end of the file's content`);
  return summary;
}
