/** SELECT as RESP, which precedes the effects of another database in the change log and in the replication stream. */
import { writeText } from "../base/bytes.ts";
import { formatInt, intTextBytes } from "../base/integers.ts";

/** Bytes that the longest SELECT takes. */
export const SELECT_BYTES_MAX = 64;

/** Writes SELECT of database `db` at the begin of `into`. Returns its bytes. */
export function writeSelectCommand(into: Buffer, db: number): number {
  let at = writeText(into, 0, "*2\r\n$6\r\nSELECT\r\n$");
  at += formatInt(into, at, intTextBytes(db));
  at += writeText(into, at, "\r\n");
  at += formatInt(into, at, db);
  return at + writeText(into, at, "\r\n");
}
