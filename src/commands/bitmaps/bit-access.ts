/** What the bitmap commands share: bit offsets from text, and single bytes of the string that is selected. */
import { Int64Kind, int64, parseInt64 } from "../../base/integers.ts";
import { LARGE_VALUE_MAX } from "../../store/large.ts";
import { NO_ADDRESS } from "../../store/segments.ts";
import type { Call } from "../../dispatch/call.ts";

export const BAD_OFFSET = "ERR bit offset is not an integer or out of range";

/** A bit offset from text; -1 when it is none, or beyond the longest string. */
export function parseBitOffset(call: Call, at: number, length: number, unit: number): number {
  if (parseInt64(call.bytes, at, length) !== Int64Kind.Safe) return -1;
  const offset = int64.value * unit;
  return offset >= 0 && Math.floor(offset / 8) < call.stringMax ? offset : -1;
}

/** Is a string of `total` bytes longer than can be kept? (proto-max-bulk-len may be set higher than that.) */
export function isTooLong(total: number): boolean {
  return total > LARGE_VALUE_MAX;
}

export const oneByte = Buffer.alloc(1);

/** The byte of the string found at `position`; 0 behind its end. */
export function byteAt(call: Call, position: number): number {
  return call.strings.openPart(position) === 0 ? 0 : call.strings.bytes[call.strings.at]!;
}

/** Writes bytes into the string found, or into a new one. Returns its length, or Status with nothing changed. */
export function write(call: Call, position: number, source: Buffer, offset: number, length: number): number {
  const { store } = call;
  if (store.cursor.address === NO_ADDRESS) return call.strings.createAt(position, source, offset, length);
  return call.strings.writeAt(position, source, offset, length);
}
