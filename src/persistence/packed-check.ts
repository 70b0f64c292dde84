/**
 * Checks of the packed encodings in RDB files. Each function visits all entries and returns their number, or -1 when the
 * bytes are malformed.
 * Sources: listpack.c, ziplist.c, intset.c, lzf_d.c of Redis 7.
 */

/** Number of entries of a listpack; -1 when malformed. */
export function checkListpack(b: Uint8Array): number {
  if (b.length < 7 || u32(b, 0) !== b.length || b[b.length - 1] !== 0xff) return -1;
  const declared = b[4]! | (b[5]! << 8);
  let at = 6;
  let count = 0;
  while (at < b.length - 1) {
    const length = listpackEntryBytes(b, at);
    if (length < 0) return -1;
    const back = backLengthBytes(length);
    if (at + length + back > b.length - 1 || backLength(b, at + length + back - 1) !== length) return -1;
    at += length + back;
    count++;
  }
  return declared === 0xffff || declared === count ? count : -1;
}

/** Bytes of an entry, including its encoding but not its backward length; -1 when malformed. */
function listpackEntryBytes(b: Uint8Array, at: number): number {
  const first = b[at]!;
  if (first < 0x80) return 1;
  if (first < 0xc0) return 1 + (first & 0x3f);
  if (first < 0xe0) return 2;
  if (first < 0xf0) return at + 2 > b.length ? -1 : 2 + (((first & 0x0f) << 8) | b[at + 1]!);
  switch (first) {
    case 0xf0:
      return at + 5 > b.length ? -1 : 5 + u32(b, at + 1);
    case 0xf1:
      return 3;
    case 0xf2:
      return 4;
    case 0xf3:
      return 5;
    case 0xf4:
      return 9;
    default:
      return -1;
  }
}

function backLengthBytes(length: number): number {
  return length <= 127 ? 1 : length < 16383 ? 2 : length < 2097151 ? 3 : length < 268435455 ? 4 : 5;
}

/** Reads the backward length that ends at `last`: 7 bits a byte, last byte first; the top bit means that more follow. */
function backLength(b: Uint8Array, last: number): number {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = b[last - i]!;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if ((byte & 0x80) === 0) return value;
  }
  return -1;
}

/** Number of entries of a ziplist; -1 when malformed. */
export function checkZiplist(b: Uint8Array): number {
  if (b.length < 11 || u32(b, 0) !== b.length || b[b.length - 1] !== 0xff) return -1;
  const tail = u32(b, 4);
  const declared = b[8]! | (b[9]! << 8);
  let at = 10;
  let count = 0;
  let previous = 0;
  let last = 10;
  while (at < b.length - 1) {
    const start = at;
    const wide = b[at] === 0xfe;
    if (wide && at + 5 > b.length - 1) return -1;
    if ((wide ? u32(b, at + 1) : b[at]!) !== previous) return -1;
    at += wide ? 5 : 1;
    const length = ziplistValueBytes(b, at);
    if (length < 0 || at + length > b.length - 1) return -1;
    at += length;
    previous = at - start;
    last = start;
    count++;
  }
  if (tail !== last) return -1;
  return declared === 0xffff || declared === count ? count : -1;
}

/** Bytes of encoding and value at `at`; -1 when malformed. */
function ziplistValueBytes(b: Uint8Array, at: number): number {
  const first = b[at]!;
  switch (first >> 6) {
    case 0:
      return 1 + first;
    case 1:
      return 2 + (((first & 0x3f) << 8) | b[at + 1]!);
    case 2:
      return at + 5 > b.length
        ? -1
        : 5 + (((b[at + 1]! << 24) | (b[at + 2]! << 16) | (b[at + 3]! << 8) | b[at + 4]!) >>> 0);
    default: {
      const sizes: Readonly<Record<number, number>> = { 192: 3, 208: 5, 224: 9, 240: 4, 254: 2 };
      const size = sizes[first];
      if (size !== undefined) return size;
      return first >= 0xf1 && first <= 0xfd ? 1 : -1;
    }
  }
}

/** Number of members of an intset, which must ascend; -1 when malformed. */
export function checkIntset(b: Uint8Array): number {
  if (b.length < 8) return -1;
  const width = u32(b, 0);
  const count = u32(b, 4);
  if ((width !== 2 && width !== 4 && width !== 8) || count === 0 || b.length !== 8 + width * count) return -1;
  const view = new DataView(b.buffer, b.byteOffset, b.byteLength);
  const member = (i: number): bigint => {
    const at = 8 + i * width;
    return width === 2
      ? BigInt(view.getInt16(at, true))
      : width === 4
        ? BigInt(view.getInt32(at, true))
        : view.getBigInt64(at, true);
  };
  for (let i = 1; i < count; i++) if (member(i - 1) >= member(i)) return -1;
  return count;
}

/** Unpacks LZF. Returns null when the data is malformed or does not unpack to exactly `length` bytes. */
export function decompressLzf(b: Uint8Array, length: number): Uint8Array | null {
  const out = new Uint8Array(length);
  let at = 0;
  let to = 0;
  while (at < b.length) {
    const control = b[at++]!;
    if (control < 32) {
      const run = control + 1;
      if (at + run > b.length || to + run > length) return null;
      out.set(b.subarray(at, at + run), to);
      at += run;
      to += run;
      continue;
    }
    let run = control >> 5;
    if (run === 7) {
      if (at >= b.length) return null;
      run += b[at++]!;
    }
    run += 2;
    if (at >= b.length) return null;
    let from = to - ((control & 0x1f) << 8) - b[at++]! - 1;
    if (from < 0 || to + run > length) return null;
    for (let i = 0; i < run; i++) out[to++] = out[from++]!;
  }
  return to === length ? out : null;
}

function u32(b: Uint8Array, at: number): number {
  return (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0;
}
