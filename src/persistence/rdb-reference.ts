/**
 * A reference: the place of a string's value in a segment file (store/cold.ts), in the base of an append-only file. It stands where
 * the value of a key would.
 *
 *   226 │ key │ flags (1): 1 chunked, 2 grown │ bytes of the string │ number of the file │ offset in it, in units of 8 bytes │
 *
 * The last three are lengths, as RDB files have them. The form is for good: a later version of Ferrite must read it, because the
 * values are nowhere else. Collections have none, since their bytes in segment files are those of this program's memory.
 */
import { coldFile, coldOffset } from "../store/cold.ts";
import { isGrown, isChunkedForm, RecordType, valueBytes } from "../store/record.ts";
import type { FoundRecord } from "../store/record-cursor.ts";
import type { RdbWriter } from "./rdb-writer.ts";

/** The RDB type, Ferrite's own. */
export const RDB_REFERENCE = 226;
export const REFERENCE_CHUNKED = 1;
export const REFERENCE_GROWN = 2;
export const REFERENCE_FLAGS = REFERENCE_CHUNKED | REFERENCE_GROWN;

export interface SegmentPlace {
  file: number;
  /** In units. */
  offset: number;
  /** Bytes of the string. */
  length: number;
  isChunked: boolean;
  isGrown: boolean;
}

/** True when the cold record that `at` is on can be written as a reference. */
export function mayRefer(at: FoundRecord): boolean {
  return at.type === RecordType.String;
}

/** Writes the value of the cold record that `at` is on, whose key is open in `writer`. */
export function writeReference({ m, w }: FoundRecord, writer: RdbWriter): void {
  writer.begin(RDB_REFERENCE);
  writer.byte((isChunkedForm(m, w) ? REFERENCE_CHUNKED : 0) | (isGrown(m, w) ? REFERENCE_GROWN : 0));
  writer.length(valueBytes(m, w));
  writer.length(coldFile(m, w));
  writer.length(coldOffset(m, w));
}
