/**
 * CollectionImage: the trees of a collection as one run of bytes, and back. Whatever the type, it is the blocks that the root
 * reaches, each followed by what its entries reach, without their free bytes:
 *
 *   image     │ magic │ seed of the hashes of members │ bytes in memory │ root, 128 bytes │ its trees │
 *   page      │ word 1 of the block │ bytes of the arrays (16) │ bytes of the data (16) │ arrays │ data │ what entries reach │
 *   entries   in order, each: overflow key │ overflow value (leaf) │ page (inner page), or root with its trees (tree of roots)
 *
 * Each piece is padded to a word. References in it are those of the blocks as they were; `restore` writes the new ones. So a
 * collection comes back exactly as it was: encodings, orders, deadlines and groups included.
 *
 * An image belongs to the process that wrote it: members are ordered by their seeded hashes.
 * Locking: the holder of the shard lock.
 */
import { equal } from "../base/bytes.ts";
import { KEY_OVERFLOW, KeyForm, type Page, VALUE_OVERFLOW } from "../structures/page.ts";
import {
  BLOCK_BYTES_MASK,
  BLOCK_EPOCH,
  BLOCK_HEAD_BYTES,
  BLOCK_INFO,
  BLOCK_LINK,
  LEVEL_MASK,
  LEVEL_SHIFT,
  NO_REF,
  type Ref,
  ROOTS_KIND,
  TREE_KIND_SHIFT,
} from "../structures/pages.ts";
import type { Shard } from "./shard.ts";
import { ROOT_BYTES, ROOT_TREE_WORDS, ROOT_TREES, ROOT_TREES_MAX, type ShardPages } from "./shard-pages.ts";

const MAGIC = 0x31_54_43_46;
const HEAD_BYTES = 12;
const PAGE_HEAD_BYTES = 8;
/** Result of `restore`: the bytes are no image of this process. */
export const NO_IMAGE = -1;

/** What a block of an image is part of: the kind of tree, and whether it is an inner page. */
function kindOf(info: number): number {
  return (info >>> TREE_KIND_SHIFT) & 15;
}
function isInner(info: number): boolean {
  return ((info >>> LEVEL_SHIFT) & LEVEL_MASK) > 0;
}

export class CollectionImage {
  private b: Buffer = Buffer.alloc(0);
  private at = 0;
  private end = 0;
  /** The bytes are compared with those of the image rather than written. */
  private compares = false;
  /** Blocks and overflow bytes that were restored so far. */
  private readonly made: { ref: Ref; bytes: number; isOverflow: boolean }[] = [];

  constructor(
    private readonly pages: ShardPages,
    private readonly seed: number,
  ) {}

  /** Writes the collection at `root` into `b`, from `at` to `end` at most. Returns the bytes of its image, 0 = no room. */
  write(shard: Shard, root: Ref, b: Buffer, at: number, end: number): number {
    this.begin(shard, b, at, end, false);
    return this.putAll(root) ? this.at - at : 0;
  }

  /** True when the `length` bytes at `at` of `b`, which `write` has written, are those of the collection at `root`. */
  matches(shard: Shard, root: Ref, b: Buffer, at: number, length: number): boolean {
    this.begin(shard, b, at, at + length, true);
    return this.putAll(root) && this.at === this.end;
  }

  private begin(shard: Shard, b: Buffer, at: number, end: number, compares: boolean): void {
    this.pages.select(shard);
    this.b = b;
    this.at = at;
    this.end = end;
    this.compares = compares;
  }

  // ---- writing, or comparing: false = no room, or a difference ----

  private putAll(root: Ref): boolean {
    return (
      this.putWord(MAGIC) &&
      this.putWord(this.seed | 0) &&
      this.putWord(Math.min(this.pages.bytesOf(root), 0x7fffffff)) &&
      this.putRoot(root)
    );
  }

  private putWord(word: number): boolean {
    const { b, at } = this;
    if (this.end - at < 4) return false;
    this.at = at + 4;
    if (this.compares) return b.readInt32LE(at) === word;
    b.writeInt32LE(word, at);
    return true;
  }

  /** `length` bytes of memory that `pages` has located. */
  private put(source: Uint8Array, from: number, length: number): boolean {
    const { b, at } = this;
    const padded = (length + 3) & ~3;
    if (this.end - at < padded) return false;
    this.at = at + padded;
    if (this.compares) return equal(b, at, source, from, length);
    if (padded > length) b.writeInt32LE(0, at + padded - 4);
    Buffer.prototype.copy.call(source, b, at, from, from + length);
    return true;
  }

  private putRoot(root: Ref): boolean {
    const { pages } = this;
    if (!this.put(pages.b, this.locate(root), ROOT_BYTES)) return false;
    for (let tree = 0; tree < ROOT_TREES_MAX; tree++) {
      const top = pages.wordOf(root, ROOT_TREES + tree * ROOT_TREE_WORDS);
      if (top !== NO_REF && !this.putPage(top)) return false;
    }
    return true;
  }
  /** As `put` takes it: `locate` first, because it may change the views. */
  private locate(ref: Ref): number {
    return this.pages.locate(ref);
  }

  private putPage(ref: Ref): boolean {
    const { pages } = this;
    const info = pages.wordOf(ref, BLOCK_INFO);
    const kind = kindOf(info);
    const inner = isInner(info);
    const bytes = info & BLOCK_BYTES_MASK;
    const page = pages.attachPage(kind, inner, ref, bytes);
    const { arrays, data, count } = page;
    if (!this.putWord(info) || !this.putWord(arrays | (data << 16))) return false;
    if (!this.put(page.b, page.base, arrays) || !this.put(page.b, page.end - data, data)) return false;
    for (let i = 0; i < count; i++) {
      if (!inner && (kind & ROOTS_KIND) === 0 && !this.hasOverflow(page, i)) continue;
      const again = pages.attachPage(kind, inner, ref, bytes);
      if (!this.putReached(again, i, kind, inner)) return false;
      pages.attachPage(kind, inner, ref, bytes);
    }
    return true;
  }

  private hasOverflow(page: Page, i: number): boolean {
    page.open(i);
    return (page.entryFlags & (KEY_OVERFLOW | VALUE_OVERFLOW)) !== 0;
  }

  /** What entry `i` of a page reaches. The page is not attached any more afterwards. */
  private putReached(page: Page, i: number, kind: number, inner: boolean): boolean {
    page.openKey(i);
    const { entryFlags, keyAt, valueAt } = page;
    const key = (entryFlags & KEY_OVERFLOW) !== 0 ? page.word(keyAt) : NO_REF;
    const keyBytes = key === NO_REF ? 0 : page.word(keyAt + 4);
    const hasValue = (entryFlags & VALUE_OVERFLOW) !== 0 && page.form === KeyForm.Prefixed;
    const value = hasValue ? page.word(valueAt) : NO_REF;
    const valueBytes = hasValue ? page.word(valueAt + 4) : 0;
    const child = inner ? page.child(i) : NO_REF;
    const root = !inner && (kind & ROOTS_KIND) !== 0 ? page.word(valueAt) : NO_REF;
    if (key !== NO_REF && !this.putOverflow(key, keyBytes)) return false;
    if (value !== NO_REF && !this.putOverflow(value, valueBytes)) return false;
    if (child !== NO_REF) return this.putPage(child);
    return root === NO_REF || this.putRoot(root);
  }

  private putOverflow(ref: Ref, length: number): boolean {
    const { pages } = this;
    for (let position = 0; position < length; ) {
      const run = pages.openOverflow(ref, length, position);
      // All runs but the last end at a chunk, so that only the last one is padded.
      if (!this.put(pages.overflowBytes, pages.overflowAt, run)) return false;
      position += run;
    }
    return true;
  }

  // ---- reading ----

  /**
   * Makes a collection in `shard` of the image that is `length` bytes at `at` of `b`. Returns its root, NO_REF when there is no
   * memory for it, or NO_IMAGE.
   */
  restore(shard: Shard, b: Buffer, at: number, length: number): Ref {
    const { pages, made } = this;
    this.begin(shard, b, at, at + length, false);
    if (length < HEAD_BYTES || b.readInt32LE(at) !== MAGIC || b.readInt32LE(at + 4) !== (this.seed | 0))
      return NO_IMAGE;
    if (!pages.reserve(b.readInt32LE(at + 8) + ROOT_BYTES)) return NO_REF;
    this.at += HEAD_BYTES;
    made.length = 0;
    const root = this.takeRoot();
    if (root !== NO_IMAGE && this.at === this.end) return root;
    for (const { ref, bytes, isOverflow } of made) {
      if (isOverflow) pages.freeOverflow(ref, bytes);
      else pages.free(ref, bytes);
    }
    return NO_IMAGE;
  }

  /** Where the next `length` bytes begin, -1 when the image is shorter. */
  private take(length: number): number {
    const { at } = this;
    const padded = (length + 3) & ~3;
    if (length < 0 || this.end - at < padded) return -1;
    this.at = at + padded;
    return at;
  }

  private allocate(bytes: number): Ref {
    const ref = this.pages.allocate(bytes);
    this.made.push({ ref, bytes, isOverflow: false });
    return ref;
  }

  private takeRoot(): Ref {
    const { pages, b } = this;
    const from = this.take(ROOT_BYTES);
    if (from < 0) return NO_IMAGE;
    const root = this.allocate(ROOT_BYTES);
    const at = pages.locate(root);
    b.copy(pages.b, at, from, from + ROOT_BYTES);
    this.beginBlock(at);
    for (let tree = 0; tree < ROOT_TREES_MAX; tree++) {
      if (pages.wordOf(root, ROOT_TREES + tree * ROOT_TREE_WORDS) === NO_REF) continue;
      const top = this.takePage();
      if (top === NO_IMAGE) return NO_IMAGE;
      pages.setTop(root, tree, top);
    }
    return root;
  }

  private beginBlock(at: number): void {
    const { pages } = this;
    pages.m[(at >> 2) + BLOCK_EPOCH] = pages.epochNow();
    pages.m[(at >> 2) + BLOCK_LINK] = NO_REF;
  }

  private takePage(): Ref {
    const { pages, b } = this;
    const head = this.take(PAGE_HEAD_BYTES);
    if (head < 0) return NO_IMAGE;
    const info = b.readInt32LE(head);
    const arrays = b.readUInt16LE(head + 4);
    const data = b.readUInt16LE(head + 6);
    const bytes = info & BLOCK_BYTES_MASK;
    const front = this.take(arrays);
    const back = this.take(data);
    if (front < 0 || back < 0 || BLOCK_HEAD_BYTES + arrays + data > bytes) return NO_IMAGE;
    const ref = this.allocate(bytes);
    const at = pages.locate(ref);
    this.beginBlock(at);
    pages.m[(at >> 2) + BLOCK_INFO] = info;
    b.copy(pages.b, at + BLOCK_HEAD_BYTES, front, front + arrays);
    b.copy(pages.b, at + bytes - data, back, back + data);
    return this.takeEntries(ref, info) ? ref : NO_IMAGE;
  }

  private takeEntries(ref: Ref, info: number): boolean {
    const { pages } = this;
    const kind = kindOf(info);
    const inner = isInner(info);
    const bytes = info & BLOCK_BYTES_MASK;
    const page = pages.attachPage(kind, inner, ref, bytes);
    const { count } = page;
    for (let i = 0; i < count; i++) {
      if (!inner && (kind & ROOTS_KIND) === 0 && !this.hasOverflow(page, i)) continue;
      if (!this.takeReached(ref, i, kind, inner, bytes)) return false;
      pages.attachPage(kind, inner, ref, bytes);
    }
    return true;
  }

  /** As putReached: restores what entry `i` reaches, and lets the entry name it. */
  private takeReached(ref: Ref, i: number, kind: number, inner: boolean, bytes: number): boolean {
    const { pages } = this;
    const page = pages.attachPage(kind, inner, ref, bytes);
    page.openKey(i);
    const { entryFlags, keyAt, valueAt } = page;
    const hasKey = (entryFlags & KEY_OVERFLOW) !== 0;
    const hasValue = (entryFlags & VALUE_OVERFLOW) !== 0 && page.form === KeyForm.Prefixed;
    const keyBytes = hasKey ? page.word(keyAt + 4) : 0;
    const valueBytes = hasValue ? page.word(valueAt + 4) : 0;
    const key = hasKey ? this.takeOverflow(keyBytes) : NO_REF;
    const value = hasValue ? this.takeOverflow(valueBytes) : NO_REF;
    if (key === NO_IMAGE || value === NO_IMAGE) return false;
    let below: Ref = NO_REF;
    if (inner) below = this.takePage();
    else if ((kind & ROOTS_KIND) !== 0) below = this.takeRoot();
    if (below === NO_IMAGE) return false;
    // The page lies where it was, but other blocks were located since.
    const again = pages.attachPage(kind, inner, ref, bytes);
    if (hasKey) again.b.writeInt32LE(key, keyAt);
    if (hasValue) again.b.writeInt32LE(value, valueAt);
    if (inner) again.setChild(i, below);
    else if ((kind & ROOTS_KIND) !== 0) again.b.writeInt32LE(below, valueAt);
    return true;
  }

  private takeOverflow(length: number): Ref {
    const from = this.take(length);
    if (from < 0) return NO_IMAGE;
    const ref = this.pages.storeOverflow(this.b, from, length);
    this.made.push({ ref, bytes: length, isOverflow: true });
    return ref;
  }
}
