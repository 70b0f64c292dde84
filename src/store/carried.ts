/** A packed page on its way from one record to another: kept in memory of its own, laid out anew where it arrives. */
import { KeyForm, Page, PAGE_BYTES_MAX, PAGE_HEAD } from "../structures/page.ts";
import type { Pages } from "../structures/pages.ts";
import { RecordType } from "./record.ts";

/** Sort key of the packed pages of a type. */
export function packedLane(type: RecordType): 0 | 8 {
  return type === RecordType.SortedSet ? 8 : 0;
}

const SCRATCH_BYTES = PAGE_BYTES_MAX + 64;
/** The head stands so that sort keys behind it are aligned. */
const SCRATCH_AT = 8 - PAGE_HEAD;

function refuse(): never {
  throw new Error("a carried page keeps nothing outside");
}

/** Memory for one page; nothing is handed out of it. */
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

export class CarriedPage {
  private readonly kept: readonly [Page, Page];
  private readonly standing: readonly [Page, Page];
  private which: 0 | 1 = 0;

  constructor(pages: Pages) {
    this.kept = [new Page(0, false, KeyForm.Whole, scratch()), new Page(8, false, KeyForm.Whole, scratch())];
    this.standing = [new Page(0, false, KeyForm.Whole, pages), new Page(8, false, KeyForm.Whole, pages)];
  }

  /** Takes down the page from `base` to `end` of the memory that the pages given are turned to. */
  take(type: RecordType, base: number, end: number): void {
    this.which = packedLane(type) === 8 ? 1 : 0;
    const page = this.standing[this.which];
    page.attach(base, end);
    const kept = this.kept[this.which];
    kept.attach(SCRATCH_AT, SCRATCH_BYTES);
    kept.clear();
    kept.append(page, 0, page.count);
  }

  /** Bytes that a record's value needs for it, with room for its sort keys to be aligned. */
  get bytes(): number {
    return this.kept[this.which].used + 4;
  }

  /** Lays the page out from `base` to `end`. */
  put(base: number, end: number): void {
    const page = this.standing[this.which];
    page.attach(base, end);
    page.clear();
    const kept = this.kept[this.which];
    page.append(kept, 0, kept.count);
  }
}
