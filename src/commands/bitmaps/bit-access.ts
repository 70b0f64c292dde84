/** Shared by the bitmap commands: parsing of bit offsets, and access to single bytes of the selected string. */
import { Int64Kind, int64, parseInt64 } from "../../base/integers.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { LARGE_VALUE_MAX } from "../../store/large.ts";
import type { Call } from "../../dispatch/call.ts";

export const BAD_OFFSET = "ERR bit offset is not an integer or out of range";

/** Parses a bit offset. Returns -1 when it is invalid, or beyond the longest string. */
export function parseBitOffset(call: Call, at: number, length: number, unit: number): number {
  if (parseInt64(call.bytes, at, length) !== Int64Kind.Safe) return -1;
  const offset = int64.value * unit;
  return offset >= 0 && Math.floor(offset / 8) < call.stringMax ? offset : -1;
}

/** True when a string of `total` bytes is longer than the store allows. proto-max-bulk-len may be higher. */
export function isTooLong(total: number): boolean {
  return total > LARGE_VALUE_MAX;
}

export const oneByte = Buffer.alloc(1);

/** The byte at `position` of the string found; 0 after its end. */
export function byteAt(call: Call, position: number): number {
  return call.strings.openPart(position) === 0 ? 0 : call.strings.bytes[call.strings.at]!;
}

/** Writes bytes into the string found, or into a new one. Returns its length, or Status with nothing changed. */
export function write(call: Call, position: number, source: Buffer, offset: number, length: number): number {
  const { store } = call;
  if (store.cursor.address === NO_ADDRESS) return call.strings.createAt(position, source, offset, length);
  return call.strings.writeAt(position, source, offset, length);
}
