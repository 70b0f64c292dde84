/** Seeded hash of a member, a signed 32-bit number: the sort key of a hash tree. Mixing as in MurmurHash3 (Appleby 2011). */
const C1 = 0xcc9e2d51 | 0;
const C2 = 0x1b873593 | 0;

export function hashOf(b: Uint8Array, at: number, length: number, seed: number): number {
  let h = seed ^ length;
  let i = at;
  for (const end = at + (length & ~3); i < end; i += 4) {
    let word = b[i]! | (b[i + 1]! << 8) | (b[i + 2]! << 16) | (b[i + 3]! << 24);
    word = Math.imul(word, C1);
    word = (word << 15) | (word >>> 17);
    h ^= Math.imul(word, C2);
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  const rest = length & 3;
  if (rest !== 0) {
    let word = b[i]!;
    if (rest > 1) word |= b[i + 1]! << 8;
    if (rest > 2) word |= b[i + 2]! << 16;
    word = Math.imul(word, C1);
    word = (word << 15) | (word >>> 17);
    h ^= Math.imul(word, C2);
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b | 0);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35 | 0);
  return h ^ (h >>> 16);
}
