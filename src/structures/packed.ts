/**
 * Packed: a small collection in one page, inside the record of its key. Its entries have the form of a tree's and are
 * found by a scan. Sorted sets are in the order of their scores, other collections in the order of insertion.
 */
import { compareBytes } from "../base/bytes.ts";
import type { Entries } from "./entries.ts";
import { KeyForm, Page } from "./page.ts";
import type { Pages } from "./pages.ts";

/** The owner of the page: the record that contains it. */
export interface PackedHost {
  /** Attaches `page` to the collection's page, wherever it is now. */
  attachPage(page: Page): void;
  /** Makes room for at least `bytes` more in the page. This may move it; `page` is attached to the new place. */
  makeRoom(page: Page, bytes: number): void;
}

export class Packed implements Entries {
  readonly leaf: Page;
  at = 0;
  private sortKey = 0;

  constructor(
    pages: Pages,
    sortKeyBytes: 0 | 8,
    form: KeyForm,
    private readonly home: PackedHost,
    readonly entryBytesMax: number,
  ) {
    this.leaf = new Page(sortKeyBytes, false, form, pages);
  }

  get count(): number {
    return this.leaf.count;
  }

  /** Attaches to the page and seeks its first entry. Call this first, and whenever the page may have moved. */
  open(): void {
    this.home.attachPage(this.leaf);
    this.at = 0;
  }

  seek(sortKey: number, key: Uint8Array, keyAt: number, keyBytes: number): boolean {
    this.sortKey = sortKey;
    const { leaf } = this;
    if (leaf.sortKeyBytes === 0) return this.seekKey(key, keyAt, keyBytes);
    let i = leaf.firstAtLeast(0, sortKey);
    let found = false;
    for (; i < leaf.count && leaf.sortKeyOf(i) === sortKey; i++) {
      leaf.openKey(i);
      const order = compareBytes(leaf.b, leaf.keyAt, leaf.keyBytes, key, keyAt, keyBytes);
      if (order < 0) continue;
      found = order === 0;
      break;
    }
    this.at = i;
    return found;
  }

  /** Scans all entries for `key`. Seeks behind the last one when there is no such entry. */
  seekKey(key: Uint8Array, keyAt: number, keyBytes: number): boolean {
    const { leaf } = this;
    const { count, b } = leaf;
    if (leaf.form === KeyForm.Whole) {
      const i = leaf.findWhole(key, keyAt, keyBytes);
      this.at = i < 0 ? count : i;
      return i >= 0;
    }
    for (let i = 0; i < count; i++) {
      leaf.openKey(i);
      if (leaf.keyBytes !== keyBytes) continue;
      const at = leaf.keyAt;
      let j = 0;
      while (j < keyBytes && b[at + j] === key[keyAt + j]) j++;
      if (j < keyBytes) continue;
      this.at = i;
      return true;
    }
    this.at = count;
    return false;
  }

  seekRank(rank: number): void {
    this.at = rank;
  }
  rank(): number {
    return this.at;
  }
  normalize(): boolean {
    return this.at < this.leaf.count;
  }
  next(): boolean {
    return ++this.at < this.leaf.count;
  }
  previous(): boolean {
    if (this.at === 0) return false;
    this.at--;
    return true;
  }

  /** Inserts at the position. In pages with scores the entry gets the score of the last `seek`. */
  insert(flags: number, bytes: number): number {
    const { leaf } = this;
    if (leaf.free < bytes + leaf.perEntry) this.home.makeRoom(leaf, bytes + leaf.perEntry);
    return leaf.insert(this.at, this.sortKey, flags, bytes);
  }

  resize(flags: number, bytes: number): number {
    const { leaf } = this;
    leaf.open(this.at);
    const more = bytes - leaf.entryBytes;
    if (more > leaf.free) this.home.makeRoom(leaf, more);
    return leaf.resize(this.at, flags, bytes);
  }

  remove(): void {
    this.leaf.remove(this.at);
  }
  removeRun(count: number): void {
    this.leaf.removeRun(this.at, this.at + count);
  }
  makeWritable(): void {}
  reposition(): void {
    this.home.attachPage(this.leaf);
  }
  check(): void {
    this.leaf.check();
  }
}
