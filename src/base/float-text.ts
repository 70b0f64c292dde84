/**
 * Scanner of the texts that C's strtod and strtold accept in full, shared by double and long double.
 *
 *   [+-] digits [. digits] [e [+-] digits]        decimal, a digit on at least one side of the point
 *   [+-] 0x hex [. hex]    [p [+-] digits]        hexadecimal, exponent in powers of two
 *   [+-] inf | infinity                           any case
 *
 * Not accepted: white space, "nan" (Redis always refuses it), and trailing bytes.
 * The result is in `floatText`, valid until the next call.
 */
export const FloatForm = { None: 0, Decimal: 1, Hex: 2, Infinite: 3 } as const;
export type FloatForm = (typeof FloatForm)[keyof typeof FloatForm];

/**
 * value = (-1)^negative * significand * base^exponent, where the significand is the digits of
 * [digitsStart, digitsEnd) without the point. For hex the exponent is in bits and already takes the point into account.
 */
export const floatText = { negative: false, digitsStart: 0, digitsEnd: 0, fractionDigits: 0, exponent: 0 };

/** Exponents are clamped to this. It is far beyond what the digits of any text could balance, and still exact. */
const EXPONENT_MAX = 1e12;

function isDigit(byte: number): boolean {
  return byte >= 48 && byte <= 57;
}

/** Value of a hex digit, or -1. */
export function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

function matchesWord(bytes: Uint8Array, at: number, end: number, word: string): boolean {
  if (end - at !== word.length) return false;
  for (let i = 0; i < word.length; i++) {
    if ((bytes[at + i]! | 32) !== word.charCodeAt(i)) return false;
  }
  return true;
}

/** Determines the form of the bytes and fills `floatText`, in one pass and without allocation. */
export function scanFloat(bytes: Uint8Array, offset: number, length: number): FloatForm {
  const end = offset + length;
  let at = offset;
  floatText.negative = false;
  floatText.exponent = 0;
  floatText.fractionDigits = 0;
  if (at < end && (bytes[at] === 43 || bytes[at] === 45)) {
    floatText.negative = bytes[at] === 45;
    at++;
  }
  if (at === end) return FloatForm.None;
  if ((bytes[at]! | 32) === 105) {
    return matchesWord(bytes, at, end, "inf") || matchesWord(bytes, at, end, "infinity")
      ? FloatForm.Infinite
      : FloatForm.None;
  }
  const hex = bytes[at] === 48 && at + 1 < end && (bytes[at + 1]! | 32) === 120;
  if (hex) at += 2;
  floatText.digitsStart = at;
  let digits = 0;
  let pointAt = -1;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === 46 && pointAt < 0) pointAt = at;
    else if (hex ? hexDigit(byte) >= 0 : isDigit(byte)) digits++;
    else break;
  }
  if (digits === 0) return FloatForm.None;
  floatText.digitsEnd = at;
  floatText.fractionDigits = pointAt < 0 ? 0 : at - pointAt - 1;
  let exponent = 0;
  if (at < end) {
    if ((bytes[at]! | 32) !== (hex ? 112 : 101)) return FloatForm.None;
    at++;
    let negativeExponent = false;
    if (at < end && (bytes[at] === 43 || bytes[at] === 45)) {
      negativeExponent = bytes[at] === 45;
      at++;
    }
    if (at === end) return FloatForm.None;
    for (; at < end; at++) {
      const byte = bytes[at]!;
      if (!isDigit(byte)) return FloatForm.None;
      if (exponent < EXPONENT_MAX) exponent = exponent * 10 + (byte - 48);
    }
    if (negativeExponent) exponent = -exponent;
  }
  floatText.exponent = exponent - floatText.fractionDigits * (hex ? 4 : 1);
  return hex ? FloatForm.Hex : FloatForm.Decimal;
}

/** The digits of the last scan as text, without point and leading zeros; "" for zero. Allocates. */
export function significandText(bytes: Uint8Array): string {
  let text = "";
  let leading = true;
  for (let at = floatText.digitsStart; at < floatText.digitsEnd; at++) {
    const byte = bytes[at]!;
    if (byte === 46 || (leading && byte === 48)) continue;
    leading = false;
    text += String.fromCharCode(byte);
  }
  return text;
}
