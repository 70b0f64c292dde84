/**
 * CRC-64 of RDB files and DUMP payloads: the Jones polynomial 0xad93d23594c935a9, reflected, initial value 0, no final
 * xor (crc64.c of Redis). Check value: "123456789" gives e9c6d914c4b8d9ca.
 *
 * Slicing by eight: TABLE_n[b] is the CRC of byte b followed by n zero bytes, split into two int32 words, so a step
 * processes eight bytes. The tables are 16 KiB. Start with 0, 0 and pass the words of the last call to the next one.
 */
export const crc64 = { lo: 0, hi: 0 };

const POLYNOMIAL_LO = 0xac4bc9b5 | 0; // bit-reversed
const POLYNOMIAL_HI = 0x95ac9329 | 0;
const LO = new Int32Array(8 * 256);
const HI = new Int32Array(8 * 256);

for (let byte = 0; byte < 256; byte++) {
  let lo = byte;
  let hi = 0;
  for (let bit = 0; bit < 8; bit++) {
    const odd = lo & 1;
    lo = (lo >>> 1) | (hi << 31);
    hi >>>= 1;
    if (odd !== 0) {
      lo ^= POLYNOMIAL_LO;
      hi ^= POLYNOMIAL_HI;
    }
  }
  LO[byte] = lo;
  HI[byte] = hi;
}
for (let byte = 0; byte < 256; byte++) {
  for (let slice = 1; slice < 8; slice++) {
    const before = (slice - 1) * 256 + byte;
    const index = LO[before]! & 255;
    LO[slice * 256 + byte] = LO[index]! ^ ((LO[before]! >>> 8) | (HI[before]! << 24));
    HI[slice * 256 + byte] = HI[index]! ^ (HI[before]! >>> 8);
  }
}

/** Continues the CRC in (lo, hi) over a range; the result is in `crc64`, as int32 words. */
export function updateCrc64(lo: number, hi: number, bytes: Uint8Array, offset: number, length: number): void {
  lo |= 0;
  hi |= 0;
  const end = offset + length;
  let at = offset;
  for (; at + 8 <= end; at += 8) {
    lo ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    hi ^= bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24);
    const a = 1792 + (lo & 255);
    const b = 1536 + ((lo >>> 8) & 255);
    const c = 1280 + ((lo >>> 16) & 255);
    const d = 1024 + (lo >>> 24);
    const e = 768 + (hi & 255);
    const f = 512 + ((hi >>> 8) & 255);
    const g = 256 + ((hi >>> 16) & 255);
    const h = hi >>> 24;
    lo = LO[a]! ^ LO[b]! ^ LO[c]! ^ LO[d]! ^ LO[e]! ^ LO[f]! ^ LO[g]! ^ LO[h]!;
    hi = HI[a]! ^ HI[b]! ^ HI[c]! ^ HI[d]! ^ HI[e]! ^ HI[f]! ^ HI[g]! ^ HI[h]!;
  }
  for (; at < end; at++) {
    const index = (lo ^ bytes[at]!) & 255;
    lo = LO[index]! ^ ((lo >>> 8) | (hi << 24));
    hi = HI[index]! ^ (hi >>> 8);
  }
  crc64.lo = lo;
  crc64.hi = hi;
}
