/**
 * Byte helpers of the data path. Arguments are (view, offset, length): no function creates a view or an object.
 *
 * How to copy was measured by bench/micro/copy.ts (ns per call, Bun 1.4.5, either direction between an ordinary and a
 * shared buffer, 64-byte strides): an unrolled loop 12 at 8 bytes, 14 at 16, 18 at 32, 26 at 64; Buffer.prototype.copy
 * 16-20 up to 128, 25 at 256, 75 at 1 KiB; set(subarray) 75-95 at all small sizes and no better at 64 KiB;
 * copyWithin inside one buffer 19-25. So: the loop below LOOP_BYTES, Buffer.prototype.copy from there on.
 */
const LOOP_BYTES = 24;

/** Works on any Uint8Array, shared or not; copies overlapping ranges correctly. */
const bufferCopy = Buffer.prototype.copy;
const bufferCompare = Buffer.prototype.compare;

/** Copies `length` bytes. Overlap within one buffer is allowed (as memmove). The caller guarantees the ranges. */
export function copy(
  source: Uint8Array,
  sourceOffset: number,
  target: Uint8Array,
  targetOffset: number,
  length: number,
): void {
  if (length >= LOOP_BYTES) {
    bufferCopy.call(source, target, targetOffset, sourceOffset, sourceOffset + length);
    return;
  }
  if (source === target && targetOffset > sourceOffset) {
    for (let i = length - 1; i >= 0; i--) target[targetOffset + i] = source[sourceOffset + i]!;
    return;
  }
  const end = sourceOffset + length;
  const shift = targetOffset - sourceOffset;
  let at = sourceOffset;
  for (; at + 4 <= end; at += 4) {
    target[at + shift] = source[at]!;
    target[at + shift + 1] = source[at + 1]!;
    target[at + shift + 2] = source[at + 2]!;
    target[at + shift + 3] = source[at + 3]!;
  }
  for (; at < end; at++) target[at + shift] = source[at]!;
}

/** Length from which a native comparison is faster (bench/micro/copy.ts). */
const NATIVE_COMPARE_BYTES = 64;

/** True when two ranges of `length` bytes are equal. */
export function equal(a: Uint8Array, aOffset: number, b: Uint8Array, bOffset: number, length: number): boolean {
  if (length >= NATIVE_COMPARE_BYTES) {
    return bufferCompare.call(a, b, bOffset, bOffset + length, aOffset, aOffset + length) === 0;
  }
  const end = aOffset + length;
  const shift = bOffset - aOffset;
  let at = aOffset;
  for (; at + 4 <= end; at += 4) {
    const difference =
      (a[at]! ^ b[at + shift]!) |
      (a[at + 1]! ^ b[at + shift + 1]!) |
      (a[at + 2]! ^ b[at + shift + 2]!) |
      (a[at + 3]! ^ b[at + shift + 3]!);
    if (difference !== 0) return false;
  }
  for (; at < end; at++) {
    if (a[at] !== b[at + shift]) return false;
  }
  return true;
}

/** Compares as memcmp, with a prefix before its extensions. Returns a negative number, 0 or a positive number. */
export function compareBytes(
  a: Uint8Array,
  aOffset: number,
  aLength: number,
  b: Uint8Array,
  bOffset: number,
  bLength: number,
): number {
  const common = aLength < bLength ? aLength : bLength;
  if (common >= NATIVE_COMPARE_BYTES) {
    return bufferCompare.call(a, b, bOffset, bOffset + bLength, aOffset, aOffset + aLength);
  }
  for (let i = 0; i < common; i++) {
    const difference = a[aOffset + i]! - b[bOffset + i]!;
    if (difference !== 0) return difference;
  }
  return aLength - bLength;
}

/**
 * Reads `length` decimal digits, with leading zeros allowed. Returns -1 when there are none or more than 15, or when a byte
 * is not a digit. For protocol headers and file formats; keys and values use parseInt64.
 */
export function readDigits(bytes: Uint8Array, offset: number, length: number): number {
  if (length === 0 || length > 15) return -1;
  let value = 0;
  for (let at = offset; at < offset + length; at++) {
    const digit = bytes[at]! - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** Bytes of an ASCII token in lower case, for equalsToken. To be created once at start-up. */
export function token(text: string): Uint8Array {
  return Uint8Array.from(text.toLowerCase(), (character) => character.charCodeAt(0));
}

/** True when the range equals the token, in any mixture of upper and lower case. */
export function equalsToken(bytes: Uint8Array, offset: number, length: number, lowerToken: Uint8Array): boolean {
  if (length !== lowerToken.length) return false;
  for (let i = 0; i < length; i++) {
    let byte = bytes[offset + i]!;
    if (byte >= 65 && byte <= 90) byte += 32;
    if (byte !== lowerToken[i]) return false;
  }
  return true;
}

/** Writes ASCII text. Returns the number of bytes written. For constants and numbers, not for user data. */
export function writeText(bytes: Uint8Array, offset: number, text: string): number {
  for (let i = 0; i < text.length; i++) bytes[offset + i] = text.charCodeAt(i);
  return text.length;
}

/** The range as a string, one character per byte. For logs and errors. */
export function latin1Text(bytes: Uint8Array, offset: number, length: number): string {
  let text = "";
  for (let i = 0; i < length; i++) text += String.fromCharCode(bytes[offset + i]!);
  return text;
}

/** Buffer's methods for text of one byte a character, which its types lack. They beat `write` and `toString` by half. */
interface Latin1Methods {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number, length: number): number;
}
const { latin1Slice, latin1Write } = Buffer.prototype as unknown as Latin1Methods;
/** Shorter texts are written by a loop, which beats the call. */
const LATIN1_LOOP_BYTES = 8;

/** As latin1Text, and faster: 38 ns for any length, 8 ns for one character. */
export function readLatin1(bytes: Buffer, offset: number, length: number): string {
  return length === 1 ? String.fromCharCode(bytes[offset]!) : latin1Slice.call(bytes, offset, offset + length);
}

/** Writes a text of one byte a character. Returns its length. */
export function writeLatin1(bytes: Buffer, offset: number, text: string): number {
  const { length } = text;
  if (length >= LATIN1_LOOP_BYTES) return latin1Write.call(bytes, text, offset, length);
  for (let i = 0; i < length; i++) bytes[offset + i] = text.charCodeAt(i);
  return length;
}
