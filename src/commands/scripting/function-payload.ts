/**
 * The payload of FUNCTION DUMP and RESTORE:
 *
 *   │ 245 │ source of a library, as a string of an RDB file │ ... │ RDB version (2) │ CRC-64 of all before (8) │
 */
import { crc64, updateCrc64 } from "../../base/crc64.ts";
import {
  lengthBytes,
  RDB_VERSION,
  RDB_VERSION_MAX,
  rdbString,
  readString,
  writeLength,
} from "../../structures/rdb-string.ts";
import { LibraryError } from "../../dispatch/script-runner.ts";

const FUNCTION = 245;
const VERSION_BYTES = 2;
const FOOTER_BYTES = VERSION_BYTES + 8;
const LONGEST = 512 << 20;

export function functionsPayload(sources: readonly string[]): Buffer {
  const bytes = sources.reduce((sum, { length }) => sum + 1 + lengthBytes(length) + length, FOOTER_BYTES);
  const payload = Buffer.alloc(bytes);
  let at = 0;
  for (const source of sources) {
    payload[at++] = FUNCTION;
    at += writeLength(payload, at, source.length);
    at += payload.write(source, at, "latin1");
  }
  payload.writeUInt16LE(RDB_VERSION, at);
  updateCrc64(0, 0, payload, 0, at + VERSION_BYTES);
  payload.writeInt32LE(crc64.lo, at + VERSION_BYTES);
  payload.writeInt32LE(crc64.hi, at + VERSION_BYTES + 4);
  return payload;
}

/** The sources in a payload. Throws LibraryError when it is damaged. */
export function sourcesOfPayload(payload: Buffer): string[] {
  const end = payload.length - FOOTER_BYTES;
  if (end < 0 || !isWhole(payload)) throw new LibraryError("ERR DUMP payload version or checksum are wrong");
  const sources: string[] = [];
  for (let at = 0; at < end; ) {
    if (payload[at] !== FUNCTION) throw new LibraryError("ERR given type is not a function");
    at = readString(payload, at + 1, end, LONGEST);
    if (at < 0) throw new LibraryError("ERR failed loading functions");
    sources.push(rdbString.bytes.toString("latin1", rdbString.at, rdbString.at + rdbString.length));
  }
  return sources;
}

function isWhole(payload: Buffer): boolean {
  const at = payload.length - FOOTER_BYTES;
  if (payload.readUInt16LE(at) > RDB_VERSION_MAX) return false;
  updateCrc64(0, 0, payload, 0, at + VERSION_BYTES);
  return (
    payload.readInt32LE(at + VERSION_BYTES) === (crc64.lo | 0) &&
    payload.readInt32LE(at + VERSION_BYTES + 4) === (crc64.hi | 0)
  );
}
