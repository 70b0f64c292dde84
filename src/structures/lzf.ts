/**
 * LZF compression of short strings for RDB files; the form is drawn in rdb-string.ts, which also unpacks it.
 *
 * A hash of the next three bytes names the last place where they stood. Entries of earlier strings stay in the table: one
 * that is not of this string fails the comparison, or lies outside of it.
 * Source: lzf_c.c of LibLZF.
 */
const HASH_BITS = 14;
const LITERALS_MAX = 32;
const BACK_MAX = 1 << 13;
const COPY_MAX = 264;
/** Place of the last three bytes with each hash, within the string that was compressed then. */
const places = new Uint16Array(1 << HASH_BITS);

/** Longest string that is compressed: a place is 16 bits. */
export const LZF_SOURCE_MAX = 0xffff;

/**
 * Compresses `length` bytes of `source` into `target`, at most `room` bytes. Returns the packed length, 0 when it would be
 * longer.
 */
export function compressLzf(
  source: Uint8Array,
  at: number,
  length: number,
  target: Uint8Array,
  to: number,
  room: number,
): number {
  const end = to + room;
  let out = to;
  let literals = 0;
  let i = 0;
  const flushed = (): boolean => {
    if (literals === 0) return true;
    if (out + literals + 1 > end) return false;
    target[out++] = literals - 1;
    for (let from = at + i - literals; literals > 0; literals--) target[out++] = source[from++]!;
    return true;
  };
  while (i < length) {
    const run = i + 2 < length ? matchAt(source, at, i, length) : 0;
    if (run === 0) {
      i++;
      if (++literals === LITERALS_MAX && !flushed()) return 0;
      continue;
    }
    if (!flushed() || out + 3 > end) return 0;
    const back = i - match.place - 1;
    const count = run - 2;
    if (count < 7) {
      target[out++] = (count << 5) | (back >>> 8);
    } else {
      target[out++] = (7 << 5) | (back >>> 8);
      target[out++] = count - 7;
    }
    target[out++] = back & 0xff;
    i += run;
  }
  return flushed() ? out - to : 0;
}

const match = { place: 0 };

/** Length of the copy that byte `i` can be begun with, from `match.place`; 0 = none. Notes the three bytes there. */
function matchAt(source: Uint8Array, at: number, i: number, length: number): number {
  const p = at + i;
  const hash =
    (Math.imul(source[p]! | (source[p + 1]! << 8) | (source[p + 2]! << 16), 0x9e3779b1) >>> (32 - HASH_BITS)) | 0;
  const place = places[hash]!;
  places[hash] = i;
  if (place >= i || i - place > BACK_MAX) return 0;
  const q = at + place;
  if (source[q] !== source[p] || source[q + 1] !== source[p + 1] || source[q + 2] !== source[p + 2]) return 0;
  const longest = Math.min(COPY_MAX, length - i);
  let run = 3;
  while (run < longest && source[q + run] === source[p + run]) run++;
  match.place = place;
  return run;
}
