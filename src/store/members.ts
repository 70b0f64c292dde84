/** Members: writes the bytes of a member into an entry and reads them, inside the page or as an overflow key. */
import { copy } from "../base/bytes.ts";
import type { Entries } from "../structures/entries.ts";
import { KEY_OVERFLOW, OVERFLOW_REF_BYTES, type Page } from "../structures/page.ts";
import type { Pages, Ref } from "../structures/pages.ts";

/** Writes the reference and the length of an overflow key or value into an entry. */
export function writeOverflowRef(b: Uint8Array, at: number, ref: Ref, length: number): void {
  for (let i = 0; i < 4; i++) b[at + i] = ref >>> (i * 8);
  for (let i = 0; i < 4; i++) b[at + 4 + i] = length >>> (i * 8);
}

/** Inserts a member as an entry that consists of its key only. Returns the bytes of its overflow key. */
export function insertMember(
  entries: Entries,
  pages: Pages,
  source: Uint8Array,
  offset: number,
  length: number,
): number {
  if (length <= entries.entryBytesMax) {
    const at = entries.insert(0, length);
    copy(source, offset, entries.leaf.b, at, length);
    return 0;
  }
  const ref = pages.storeOverflow(source, offset, length);
  const at = entries.insert(KEY_OVERFLOW, OVERFLOW_REF_BYTES);
  writeOverflowRef(entries.leaf.b, at, ref, length);
  return length;
}

/** The bytes of a member in one piece. Valid until the next use of its pages. */
export class Member {
  bytes: Uint8Array = NOTHING;
  at = 0;
  length = 0;

  /** Opens the key of entry `i`. */
  openKey(page: Page, i: number, pages: Pages): void {
    page.openKey(i);
    if ((page.entryFlags & KEY_OVERFLOW) !== 0) {
      this.openOverflow(pages, page.word(page.keyAt), page.word(page.keyAt + 4));
      return;
    }
    this.bytes = page.b;
    this.at = page.keyAt;
    this.length = page.keyBytes;
  }

  /** Opens an overflow key or value. One that does not lie in one piece is copied. */
  openOverflow(pages: Pages, ref: Ref, length: number): void {
    this.length = length;
    const part = pages.openOverflow(ref, length, 0);
    if (part === length) {
      this.bytes = pages.overflowBytes;
      this.at = pages.overflowAt;
      return;
    }
    const whole = Buffer.allocUnsafe(length);
    for (let position = 0; position < length; ) {
      const run = pages.openOverflow(ref, length, position);
      copy(pages.overflowBytes, pages.overflowAt, whole, position, run);
      position += run;
    }
    this.bytes = whole;
    this.at = 0;
  }
}

const NOTHING = new Uint8Array(0);
