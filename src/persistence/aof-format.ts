/**
 * The append-only file: what Redis writes and reads, with one kind of line more, which Redis skips.
 *
 *   [RDB preamble] │ batch │ batch │ ...
 *   batch      │ commands in RESP, MULTI .. EXEC whole │ annotation
 *   annotation │ "#FERRITE:" log id (16) ":" position ":" bytes ":" crc32 (8 hex digits) CR LF
 *
 * An annotation vouches for the `bytes` bytes before it: `crc32` is their checksum, and they end at `position` of the change
 * log that `log id` names. Bytes that no annotation vouches for are the end of a batch that was torn, or were written by
 * another program.
 *
 * Invariants
 *   AOF-1  an annotation is between two commands and never inside MULTI .. EXEC
 *   AOF-2  a line of the file that is no part of a command begins with "#" and is shorter than 128 bytes (Redis's buffer)
 */
import { LOG_ID_BYTES } from "../memory/change-log.ts";

export const ANNOTATION_START = "#FERRITE:";
/** No annotation is longer. */
export const ANNOTATION_MAX = 127;

export interface Annotation {
  readonly logId: string;
  /** Position in the change log behind the batch. */
  readonly position: number;
  readonly bytes: number;
  readonly crc: number;
}

export function annotationLine(annotation: Annotation): string {
  const { logId, position, bytes, crc } = annotation;
  return `${ANNOTATION_START}${logId}:${position}:${bytes}:${(crc >>> 0).toString(16).padStart(8, "0")}\r\n`;
}

const PATTERN = new RegExp(
  `^${ANNOTATION_START}([0-9a-f]{${LOG_ID_BYTES}}):(\\d{1,16}):(\\d{1,16}):([0-9a-f]{8})\r\n$`,
);

/** The annotation that `line`, with its line end, is; null when it is another line of Redis's or ours. */
export function parseAnnotation(line: string): Annotation | null {
  const found = PATTERN.exec(line);
  if (found === null) return null;
  return {
    logId: found[1]!,
    position: Number(found[2]),
    bytes: Number(found[3]),
    crc: Number.parseInt(found[4]!, 16),
  };
}
