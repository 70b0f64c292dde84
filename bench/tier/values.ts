/**
 * Keys and values of bench/tier.ts: a value tells which key it belongs to and which write it is of.
 *
 *   key    │ big: │ number, 12 digits │
 *   value  │ number, 12 digits │ : │ version, 3 digits │ : │ text that follows from both │
 */
import { randomBytes, randomSource } from "../loader.ts";

export const KEY_BYTES = 16;
export const DIGITS = 12;
const VERSION_DIGITS = 3;
export const STAMP_BYTES = DIGITS + VERSION_DIGITS + 2;
const COLON = 58;
const ZERO = 48;
/** Begins of texts: prime, so that neighbours differ. */
const TEXTS = 4093;

export class Values {
  private readonly texts: Buffer;

  constructor(readonly bytes: number) {
    this.texts = Buffer.from(randomBytes(bytes + TEXTS, randomSource(12)));
  }

  /** Writes the value of a key to `at`. */
  write(into: Buffer, at: number, key: number, version: number): void {
    writeDigits(into, at, key, DIGITS);
    into[at + DIGITS] = COLON;
    writeDigits(into, at + DIGITS + 1, version, VERSION_DIGITS);
    into[at + STAMP_BYTES - 1] = COLON;
    const text = (key * 7 + version) % TEXTS;
    this.texts.copy(into, at + STAMP_BYTES, text, text + this.bytes - STAMP_BYTES);
  }

  /** True when the bytes from `at` on are the whole value of a key. */
  isValue(from: Buffer, at: number, key: number, version: number): boolean {
    const expected = Buffer.allocUnsafe(this.bytes);
    this.write(expected, 0, key, version);
    return from.compare(expected, 0, this.bytes, at, at + this.bytes) === 0;
  }
}

export function writeDigits(into: Buffer, at: number, value: number, digits: number): void {
  for (let i = digits - 1; i >= 0; i--) {
    const next = Math.floor(value / 10);
    into[at + i] = ZERO + (value - next * 10);
    value = next;
  }
}

/** True when the digits at `at` are those of `value`. */
export function hasDigits(from: Buffer, at: number, value: number, digits: number): boolean {
  for (let i = digits - 1; i >= 0; i--) {
    const next = Math.floor(value / 10);
    if (from[at + i] !== ZERO + (value - next * 10)) return false;
    value = next;
  }
  return true;
}
