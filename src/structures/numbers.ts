/** Variable-length numbers, 0 to 2^32 - 1: 7 bits a byte, least significant first; all bytes but the last have the top bit. */

export function numberBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5;
}

/** Writes a number. Returns where it ends. */
export function writeNumber(b: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    b[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  b[at++] = value;
  return at;
}
