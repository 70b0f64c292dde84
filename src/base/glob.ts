/**
 * Glob patterns over bytes, with the semantics of Redis's stringmatchlen (util.c):
 *
 *   *        any run of bytes, also none          [abc]    one of these       [^abc]   none of these
 *   ?        one byte                             [a-z]    a range, either way round
 *   \x       the byte x itself                    "[" without "]" reaches to the end of the pattern
 *
 * Every element except `*` consumes exactly one byte. Therefore the two-pointer algorithm is correct: after a mismatch only
 * the last `*` has to take one more byte. The cost is at most pattern bytes * text bytes steps, so `a*a*a*...b` is
 * harmless. Nothing is allocated.
 *
 * Oddities that clients may observe are preserved: ranges compare bytes as signed chars; `[]` matches nothing, `[^]` any
 * byte; a `\` at the end matches itself; an empty text matches only an empty pattern, not "*"; and, as in Redis since
 * 7.2.6, a pattern that needs more than STARS_MAX runs of stars matches nothing.
 */

/** Most runs of stars that a match may use, not counting one at the end of the pattern. */
const STARS_MAX = 1000;

/** Offset behind the `[...]` that matchClass last read. One per thread, valid until its next call. */
const scratch = { nextAt: 0 };

function lower(byte: number): number {
  return byte >= 65 && byte <= 90 ? byte + 32 : byte;
}

/** A byte as C's signed char. */
function signed(byte: number): number {
  return (byte << 24) >> 24;
}

/** True when `byte` is in the class whose first byte after "[" is at `at`. Sets scratch.nextAt behind the class. */
function matchClass(pattern: Uint8Array, at: number, end: number, byte: number, noCase: boolean): boolean {
  const folded = noCase ? lower(byte) : byte;
  const inverted = at < end && pattern[at] === 94;
  if (inverted) at++;
  let found = false;
  for (; at < end; at++) {
    let first = pattern[at]!;
    if (first === 92 && end - at >= 2) {
      first = pattern[++at]!;
      if (first === byte) found = true; // an escaped byte is compared exactly, even when case is ignored
    } else if (first === 93) {
      break;
    } else if (end - at >= 3 && pattern[at + 1] === 45) {
      let last = pattern[at + 2]!;
      at += 2;
      first = signed(first);
      last = signed(last);
      if (first > last) {
        const swap = first;
        first = last;
        last = swap;
      }
      if (noCase) {
        first = lower(first);
        last = lower(last);
      }
      const c = signed(folded);
      if (c >= first && c <= last) found = true;
    } else if ((noCase ? lower(first) : first) === folded) {
      found = true;
    }
  }
  scratch.nextAt = at < end ? at + 1 : end;
  return found !== inverted;
}

/** True when the whole text matches the pattern. */
export function matchGlob(
  pattern: Uint8Array,
  patternOffset: number,
  patternLength: number,
  text: Uint8Array,
  textOffset: number,
  textLength: number,
  noCase: boolean,
): boolean {
  if (textLength === 0) return patternLength === 0;
  const patternEnd = patternOffset + patternLength;
  const textEnd = textOffset + textLength;
  let p = patternOffset;
  let t = textOffset;
  let starAt = -1; // behind the last run of stars
  let starText = 0; // first text byte not taken by that star
  let stars = 0;
  while (t < textEnd) {
    let matched = false;
    if (p < patternEnd) {
      const element = pattern[p]!;
      if (element === 42) {
        do p++;
        while (p < patternEnd && pattern[p] === 42);
        if (p === patternEnd) return true;
        if (++stars > STARS_MAX) return false;
        starAt = p;
        starText = t;
        continue;
      }
      if (element === 63) {
        matched = true;
        p++;
      } else if (element === 91) {
        matched = matchClass(pattern, p + 1, patternEnd, text[t]!, noCase);
        p = scratch.nextAt;
      } else {
        if (element === 92 && patternEnd - p >= 2) p++;
        const wanted = pattern[p]!;
        matched = wanted === text[t] || (noCase && lower(wanted) === lower(text[t]!));
        p++;
      }
    }
    if (matched) {
      t++;
    } else {
      if (starAt < 0) return false;
      p = starAt;
      t = ++starText;
    }
  }
  while (p < patternEnd && pattern[p] === 42) p++;
  return p === patternEnd;
}

/** Number of leading bytes of the pattern without a special meaning: every match begins with them. */
export function globPrefixBytes(pattern: Uint8Array, offset: number, length: number): number {
  let count = 0;
  while (count < length) {
    const byte = pattern[offset + count]!;
    if (byte === 42 || byte === 63 || byte === 91 || byte === 92) break;
    count++;
  }
  return count;
}
