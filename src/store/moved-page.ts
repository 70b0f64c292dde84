/** MovedPage: a copy of a packed page while it moves from one record to another. It has memory of its own. */
import { KeyForm, Page, PAGE_BYTES_MAX, PAGE_HEAD } from "../structures/page.ts";
import type { Pages } from "../structures/pages.ts";
import { RecordType } from "./record.ts";

/** Bytes of a sort key in the packed pages of a type. */
export function packedSortKeyBytes(type: RecordType): 0 | 8 {
  return type === RecordType.SortedSet ? 8 : 0;
}

const SCRATCH_BYTES = PAGE_BYTES_MAX + 64;
/** Offset of the page's head at which the sort keys after it are aligned. */
const SCRATCH_AT = 8 - PAGE_HEAD;

function refuse(): never {
  throw new Error("a packed page has no overflow");
}

/** Memory for one page. Nothing can be allocated from it. */
function scratch(): Pages {
  const buffer = new ArrayBuffer(SCRATCH_BYTES);
  return {
    b: Buffer.from(buffer),
    h: new Uint16Array(buffer),
    m: new Int32Array(buffer),
    f: new Float64Array(buffer),
    locate: refuse,
    allocate: refuse,
    free: refuse,
    structureChanged: refuse,
    newestPin: 0,
    epochNow: refuse,
    storeOverflow: refuse,
    freeOverflow: refuse,
    openOverflow: refuse,
    overflowBytes: new Uint8Array(0),
    overflowAt: 0,
  };
}

export class MovedPage {
  private readonly copies: readonly [Page, Page];
  private readonly placed: readonly [Page, Page];
  private which: 0 | 1 = 0;

  constructor(pages: Pages) {
    this.copies = [new Page(0, false, KeyForm.Whole, scratch()), new Page(8, false, KeyForm.Whole, scratch())];
    this.placed = [new Page(0, false, KeyForm.Whole, pages), new Page(8, false, KeyForm.Whole, pages)];
  }

  /** Copies the page that lies from `base` to `end` of the region that `pages` has the views of. */
  copyFrom(type: RecordType, base: number, end: number): void {
    this.which = packedSortKeyBytes(type) === 8 ? 1 : 0;
    const page = this.placed[this.which];
    page.attach(base, end);
    const copy = this.copies[this.which];
    copy.attach(SCRATCH_AT, SCRATCH_BYTES);
    copy.clear();
    copy.append(page, 0, page.count);
  }

  /** Bytes that a record's value needs for the page, with room to align its sort keys. */
  get bytes(): number {
    return this.copies[this.which].used + 4;
  }

  /** Writes the page from `base` to `end` of the region that `pages` has the views of. */
  writeTo(base: number, end: number): void {
    const page = this.placed[this.which];
    page.attach(base, end);
    page.clear();
    const copy = this.copies[this.which];
    page.append(copy, 0, copy.count);
  }
}
