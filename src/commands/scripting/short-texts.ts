/**
 * Short texts that scripts were given lately: arguments and replies. Many of them come again with every run (limits, periods, names of
 * fields), and finding one here costs a third of making it: 10 to 15 ns against 38 and its part of a collection.
 *
 *   texts[slot]    the text that was made last for this slot; the slot comes from the length and four of the bytes
 */
import { readLatin1 } from "../../base/bytes.ts";

const SLOTS = 512;
/** Longer texts are rarely the same, and take longer to compare than to make. */
const SHORT_MAX = 24;

export class ShortTexts {
  private readonly texts: string[] = new Array<string>(SLOTS).fill("");

  /** The text of a range, a byte a character. */
  read(bytes: Buffer, at: number, length: number): string {
    if (length > SHORT_MAX || length < 2) return length === 0 ? "" : readLatin1(bytes, at, length);
    const end = at + length - 1;
    const mixed = bytes[at]! * 7 + bytes[end]! * 31 + bytes[end - 1]! * 131 + bytes[(at + end) >>> 1]! * 73;
    const slot = (mixed + length) & (SLOTS - 1);
    const text = this.texts[slot]!;
    if (text.length === length && isText(text, bytes, at)) return text;
    const made = readLatin1(bytes, at, length);
    this.texts[slot] = made;
    return made;
  }
}

function isText(text: string, bytes: Buffer, at: number): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== bytes[at + i]) return false;
  return true;
}

/** Those of the scripts of this worker. */
export const shortTexts = new ShortTexts();
