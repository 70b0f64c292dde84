/**
 * Pages of a shard: the memory of the trees of collections. Blocks come from the shard's heap. A block that a pin may see is
 * retired instead of freed, and whole collections are emptied in steps.
 *
 *   block   │ epoch │ bytes, level, kinds │ link │ page, root or overflow bytes │       structures/pages.ts
 *   root    │ ... │ word 4: overflow bytes │ ... │ word 8: trees, four words each │     collection.ts has the rest
 *   retired │ queue of blocks through their link words, in the order of their epochs. When no pin is as old, a root becomes
 *             garbage and any other block is freed
 *   garbage │ stack of roots and pages through their link words. The children of a page are pushed before it is freed
 *
 * Neither list needs memory of its own, so DEL and FLUSHALL work when there is none.
 *
 * Invariants
 *   PAGES-1  a retired block stays as it is while a pin of its epoch or an older one lives (PIN-1)
 *   PAGES-2  a block is in one place: reached by one collection, on the retired queue, or on the garbage stack
 * Locking: the holder of the shard lock; a pinned reader only locates and reads.
 */
import type { Arena } from "../memory/arena.ts";
import type { Heap } from "./heap.ts";
import {
  BLOCK_BYTES_MASK,
  BLOCK_EPOCH,
  BLOCK_HEAD_BYTES,
  BLOCK_INFO,
  BLOCK_KIND_SHIFT,
  BLOCK_LINK,
  BlockKind,
  LEVEL_MASK,
  LEVEL_SHIFT,
  NO_REF,
  type Pages,
  ROOTS_KIND,
  type Ref,
  TREE_KIND_SHIFT,
} from "../structures/pages.ts";
import { assert } from "../base/assert.ts";
import { isStatus } from "../base/status.ts";
import { epochNow, newestPin, retiredEpoch } from "./pins.ts";
import { ENTRY_SHIFT } from "./segments.ts";
import { heapAddress, UNIT_BITS, UNIT_BYTE_SHIFT, UNIT_MASK } from "./address.ts";
import type { Shard } from "./shard.ts";
import { CHUNK_BYTES, FRAME_BITS, FRAME_BYTE_SHIFT, FRAME_MASK } from "../memory/arena.ts";
import { copy } from "../base/bytes.ts";
import type { FramePool } from "../memory/frame-pool.ts";
import { hasGaps, KEY_OVERFLOW, KeyForm, Page, VALUE_OVERFLOW } from "../structures/page.ts";
import { STRING_CHUNK_BYTES, type LargeValues } from "./large.ts";
import { Member } from "./members.ts";
import { NO_REGION } from "./record.ts";
import type { Section } from "./section.ts";

/** Longest overflow key or value that is one block; longer ones are chunked (large.ts). */
const OVERFLOW_BLOCK_MAX = (64 << 10) - BLOCK_HEAD_BYTES;

/** The root of a collection that is a tree: where its trees begin. Words; see collection.ts for the rest. */
export const ROOT_BYTES = 128;
export const ROOT_TREES = 8;
export const ROOT_TREE_WORDS = 4;
export const ROOT_TREES_MAX = 3;
/** Bytes of the overflow keys and values of its entries. */
export const ROOT_OUT = 4;

/** One for each collection that is open at a time: the shard, and the views of the region located last. */
export class ShardPages implements Pages {
  b: Buffer;
  h: Uint16Array;
  m: Int32Array;
  f: Float64Array;
  overflowBytes: Uint8Array;
  overflowAt = 0;
  shard: Shard;
  private region: number;
  private readonly c: Int32Array;

  constructor(
    private readonly arena: Arena,
    private readonly pool: FramePool,
    private readonly heap: Heap,
    private readonly large: LargeValues,
    private readonly section: Section,
    private readonly now: { readonly nowSeconds: number },
    shard: Shard,
  ) {
    this.shard = shard;
    this.c = arena.control.i32;
    this.b = arena.bytesOf(0);
    this.h = arena.halves[0]!;
    this.m = arena.wordsOf(0);
    this.f = arena.doubles[0]!;
    this.region = 0;
    this.overflowBytes = this.b;
    this.image = { b: this.b, h: this.h, m: this.m, f: this.f };
  }

  /** Works in `shard` from now on. */
  select(shard: Shard): void {
    this.shard = shard;
  }

  /** Makes `b`, `h`, `m` and `f` the views of the memory that the record which `at` is on lies in. */
  useRecord(at: { readonly region: number; readonly m: Int32Array; readonly b: Buffer }): void {
    const { region } = at;
    if (region !== NO_REGION) return this.useRegion(region);
    this.image.m = at.m;
    this.image.b = at.b;
    this.image.h = new Uint16Array(at.m.buffer);
    this.image.f = new Float64Array(at.m.buffer);
    this.useImage();
  }
  private useImage(): void {
    this.m = this.image.m;
    this.b = this.image.b;
    this.h = this.image.h;
    this.f = this.image.f;
    this.region = NO_REGION;
  }
  /** Views of the last image of a record. */
  private readonly image: Pick<Pages, "b" | "h" | "m" | "f">;

  /** Makes `b`, `h`, `m` and `f` the views of `region`, or with NO_REGION those of the last image. */
  useRegion(region: number): void {
    if (region === this.region) return;
    if (region === NO_REGION) return this.useImage();
    this.m = this.arena.wordsOf(region);
    this.b = this.arena.bytesOf(region);
    this.h = this.arena.halves[region]!;
    this.f = this.arena.doubles[region]!;
    this.region = region;
  }

  /**
   * As the functions of segments.ts, address.ts and arena.ts one after the other. Every step down a tree comes through here,
   * and with five calls it is too large to be inlined: ZADD took 5 % more, HSET 2 % (bench/pairs.ts).
   */
  locate(ref: Ref): number {
    const frame = this.c[this.shard.segmentTable + ((ref >>> UNIT_BITS) << ENTRY_SHIFT)]!;
    const region = frame >>> FRAME_BITS;
    if (region !== this.region) this.useRegion(region);
    return ((frame & FRAME_MASK) << FRAME_BYTE_SHIFT) + ((ref & UNIT_MASK) << UNIT_BYTE_SHIFT);
  }

  /** Reads and writes word `i` of a block. Locating comes first, because it may change the views to another region. */
  wordOf(ref: Ref, i: number): number {
    const at = this.locate(ref) >> 2;
    return this.m[at + i]!;
  }
  setWord(ref: Ref, i: number, value: number): void {
    const at = this.locate(ref) >> 2;
    this.m[at + i] = value;
  }

  allocate(bytes: number): Ref {
    this.structureChanged();
    const ref = this.heap.allocate(this.shard, bytes, true);
    assert(!isStatus(ref), "an admitted command finds memory");
    return ref;
  }

  free(ref: Ref, bytes: number): void {
    this.structureChanged();
    if (this.shard.pins === 0) this.heap.free(this.shard, heapAddress(ref), bytes, this.now.nowSeconds);
    else this.retire(ref, bytes, BlockKind.Overflow);
  }

  structureChanged(): void {
    this.shard.advanceStructureVersion();
  }

  get newestPin(): number {
    return newestPin(this.shard);
  }
  epochNow(): number {
    return epochNow(this.shard);
  }

  // ---- overflow keys and values ----

  storeOverflow(source: Uint8Array, offset: number, length: number): Ref {
    if (length > OVERFLOW_BLOCK_MAX) return this.storeLargeOverflow(source, offset, length);
    const bytes = BLOCK_HEAD_BYTES + length;
    const ref = this.allocate(bytes);
    const at = this.locate(ref);
    this.m[(at >> 2) + BLOCK_EPOCH] = this.epochNow();
    this.m[(at >> 2) + BLOCK_INFO] = bytes | (BlockKind.Overflow << BLOCK_KIND_SHIFT);
    this.m[(at >> 2) + BLOCK_LINK] = NO_REF;
    copy(source, offset, this.b, at + BLOCK_HEAD_BYTES, length);
    return ref;
  }

  private storeLargeOverflow(source: Uint8Array, offset: number, length: number): Ref {
    const { large, shard } = this;
    const empty = large.link(shard, [], true);
    const node = isStatus(empty) ? empty : large.prepareWrite(shard, empty, 0, 0, length, true);
    assert(!isStatus(node), "an admitted command finds memory");
    large.write(shard, node, 0, source, offset, length);
    return node;
  }

  freeOverflow(ref: Ref, length: number): void {
    if (length > OVERFLOW_BLOCK_MAX) this.large.free(this.shard, heapAddress(ref), this.now.nowSeconds);
    else this.free(ref, BLOCK_HEAD_BYTES + length);
  }

  openOverflow(ref: Ref, length: number, position: number): number {
    if (length > OVERFLOW_BLOCK_MAX) {
      this.overflowAt = this.large.locateByte(this.shard, heapAddress(ref), position);
      this.overflowBytes = this.large.chunkBytes;
      return Math.min(length - position, STRING_CHUNK_BYTES - (position % STRING_CHUNK_BYTES));
    }
    const at = this.locate(ref);
    this.overflowBytes = this.b;
    this.overflowAt = at + BLOCK_HEAD_BYTES + position;
    return length - position;
  }

  // ---- freeing ----

  /** Puts a block on the retired queue. With `kind` Root everything that it reaches goes along. */
  private retire(ref: Ref, bytes: number, kind: BlockKind): void {
    const { shard } = this;
    const w = this.locate(ref) >> 2;
    this.m[w + BLOCK_EPOCH] = retiredEpoch(shard);
    this.m[w + BLOCK_INFO] = bytes | (kind << BLOCK_KIND_SHIFT);
    this.m[w + BLOCK_LINK] = NO_REF;
    const tail = shard.retiredBlocksTail;
    if (tail === NO_REF) shard.retiredBlocksHead = ref;
    else this.setWord(tail, BLOCK_LINK, ref);
    shard.retiredBlocksTail = ref;
    shard.addRetired(kind === BlockKind.Root ? this.treeBytesOf(ref) : bytes);
  }

  /** Frees up to `blocks` of the blocks retired before epoch `oldest`, the oldest that a live pin has. */
  release(oldest: number, blocks: number): void {
    const { shard } = this;
    shard.hasReleases = false;
    for (let ref = shard.retiredBlocksHead; ref !== NO_REF; ref = shard.retiredBlocksHead) {
      const w = this.locate(ref) >> 2;
      if (this.m[w + BLOCK_EPOCH]! >= oldest) return;
      if (blocks-- === 0) {
        shard.hasReleases = true;
        return;
      }
      const info = this.m[w + BLOCK_INFO]!;
      const next = this.m[w + BLOCK_LINK]! as Ref;
      shard.retiredBlocksHead = next;
      if (next === NO_REF) shard.retiredBlocksTail = NO_REF;
      const bytes = info & BLOCK_BYTES_MASK;
      if (info >>> BLOCK_KIND_SHIFT === BlockKind.Root) {
        shard.removeRetired(this.treeBytesOf(ref));
        this.discardBlock(ref);
      } else {
        shard.removeRetired(bytes);
        this.heap.free(shard, heapAddress(ref), bytes, this.now.nowSeconds);
      }
    }
  }

  /** Frees a whole collection from its root, in steps, and once no pin sees it. */
  freeCollection(root: Ref): void {
    if (this.shard.pins !== 0) {
      this.retire(root, ROOT_BYTES, BlockKind.Root);
      return;
    }
    const w = this.locate(root) >> 2;
    this.m[w + BLOCK_INFO] = ROOT_BYTES | (BlockKind.Root << BLOCK_KIND_SHIFT);
    this.discardBlock(root);
    // A small one is freed at once.
    this.empty(AT_ONCE);
  }

  /** Sets where tree `tree` of a root begins. */
  setTop(root: Ref, tree: number, top: Ref): void {
    this.setWord(root, ROOT_TREES + tree * ROOT_TREE_WORDS, top);
  }

  /** Frees a collection from its root, in steps, when no pin has seen it. */
  discardRoot(root: Ref): void {
    this.setWord(root, BLOCK_INFO, ROOT_BYTES | (BlockKind.Root << BLOCK_KIND_SHIFT));
    this.discardBlock(root);
  }

  /** Pushes a block, with everything that it reaches, on the garbage stack. */
  discardBlock(ref: Ref): void {
    this.setWord(ref, BLOCK_LINK, this.shard.garbage);
    this.shard.garbage = ref;
  }

  get hasGarbage(): boolean {
    return this.shard.garbage !== NO_REF;
  }

  /** Frees up to `blocks` blocks of garbage. Returns true when there is more. */
  empty(blocks: number): boolean {
    const { shard } = this;
    for (let done = 0; done < blocks; done++) {
      const ref = shard.garbage;
      if (ref === NO_REF) return false;
      const at = this.locate(ref);
      const info = this.m[(at >> 2) + BLOCK_INFO]!;
      shard.garbage = this.m[(at >> 2) + BLOCK_LINK]!;
      if (info >>> BLOCK_KIND_SHIFT === BlockKind.Root) {
        for (let tree = 0; tree < ROOT_TREES_MAX; tree++) {
          const top = this.wordOf(ref, ROOT_TREES + tree * ROOT_TREE_WORDS);
          if (top !== NO_REF) this.discardBlock(top);
        }
      } else {
        done += this.emptyPage(ref, info);
      }
      this.heap.free(this.shard, heapAddress(ref), info & BLOCK_BYTES_MASK, this.now.nowSeconds);
    }
    return this.hasGarbage;
  }

  /** Frees the overflow of a page and discards its children. Returns about how much work that was, in blocks. */
  private emptyPage(ref: Ref, info: number): number {
    const level = (info >>> LEVEL_SHIFT) & LEVEL_MASK;
    const kind = (info >>> TREE_KIND_SHIFT) & 15;
    const page = this.pageOf(kind, level > 0);
    const at = this.locate(ref);
    page.attach(at + BLOCK_HEAD_BYTES, at + (info & BLOCK_BYTES_MASK));
    let outs = 0;
    for (let i = 0; i < page.count; i++) {
      page.openKey(i);
      if ((page.entryFlags & KEY_OVERFLOW) !== 0) {
        this.freeOverflow(page.word(page.keyAt), page.word(page.keyAt + 4));
        outs++;
      }
      if ((page.entryFlags & VALUE_OVERFLOW) !== 0 && page.form === KeyForm.Prefixed) {
        this.freeOverflow(page.word(page.valueAt), page.word(page.valueAt + 4));
        outs++;
      }
      if (level > 0) this.discardBlock(page.child(i));
      else if ((kind & ROOTS_KIND) !== 0) this.discardBlock(page.word(page.valueAt));
    }
    return outs + (level > 0 ? page.count >>> 3 : 0);
  }

  /** Bytes of a root, its trees and what lies outside their pages; not of roots in its trees. */
  private treeBytesOf(root: Ref): number {
    const w = this.locate(root) >> 2;
    let bytes = ROOT_BYTES + (this.m[w + ROOT_OUT]! >>> 0);
    for (let tree = 0; tree < ROOT_TREES_MAX; tree++) bytes += this.m[w + ROOT_TREES + tree * ROOT_TREE_WORDS + 3]!;
    return bytes;
  }

  /** Bytes of everything that a root reaches, about. */
  bytesOf(root: Ref): number {
    let bytes = this.treeBytesOf(root);
    for (let tree = 0; tree < ROOT_TREES_MAX; tree++) {
      const top = this.wordOf(root, ROOT_TREES + tree * ROOT_TREE_WORDS);
      if (top === NO_REF) continue;
      const kind = (this.wordOf(top, BLOCK_INFO) >>> TREE_KIND_SHIFT) & 15;
      if ((kind & ROOTS_KIND) !== 0) bytes += this.bytesOfRoots(kind, top);
    }
    return bytes;
  }

  /** Bytes of the roots in a tree of roots. */
  private bytesOfRoots(kind: number, ref: Ref): number {
    const info = this.wordOf(ref, BLOCK_INFO);
    const inner = ((info >>> LEVEL_SHIFT) & LEVEL_MASK) > 0;
    const pageBytes = info & BLOCK_BYTES_MASK;
    let bytes = 0;
    const { count } = this.attachPage(kind, inner, ref, pageBytes);
    for (let i = 0; i < count; i++) {
      const page = this.attachPage(kind, inner, ref, pageBytes);
      page.openKey(i);
      bytes += inner ? this.bytesOfRoots(kind, page.child(i)) : this.bytesOf(page.word(page.valueAt));
    }
    return bytes;
  }

  // ---- copies: see collection-copy.ts ----

  /** Copies a block of `source`, as it is. Returns the copy. */
  copyBlock(source: ShardPages, ref: Ref, bytes: number): Ref {
    const made = this.allocate(bytes);
    const from = source.locate(ref);
    const to = this.locate(made);
    source.b.copy(this.b, to, from, from + bytes);
    this.m[(to >> 2) + BLOCK_EPOCH] = this.epochNow();
    this.m[(to >> 2) + BLOCK_LINK] = NO_REF;
    return made;
  }

  /** Attaches the page of a tree of this kind. */
  attachPage(kind: number, inner: boolean, ref: Ref, bytes: number): Page {
    const page = this.pageOf(kind, inner);
    const at = this.locate(ref);
    page.attach(at + BLOCK_HEAD_BYTES, at + bytes);
    return page;
  }

  /** Copies an overflow key or value; the reference at byte `at` of the page's memory then names the copy. */
  copyOverflow(source: ShardPages, kind: number, inner: boolean, page: Ref, bytes: number, at: number): void {
    const { b } = this.pageOf(kind, inner);
    const length = b.readInt32LE(at + 4);
    const { member } = this;
    member.openOverflow(source, b.readInt32LE(at), length);
    const ref = this.storeOverflow(member.bytes, member.at, length);
    this.attachPage(kind, inner, page, bytes).b.writeInt32LE(ref, at);
  }

  private pageOf(kind: number, inner: boolean): Page {
    const which = kind * 2 + Number(inner);
    const made = this.walkers[which];
    if (made !== undefined) return made;
    const sortKey = ((kind & 3) * 4) as 0 | 4 | 8;
    const form = (kind & 4) !== 0 && !inner ? KeyForm.Prefixed : KeyForm.Whole;
    const page = new Page(sortKey, inner, form, this, !inner && hasGaps(sortKey, form));
    this.walkers[which] = page;
    return page;
  }
  private readonly walkers: Page[] = [];
  private readonly member = new Member();

  /**
   * Reserves memory for a change that adds `bytes`: blocks are up to twice as large as what they hold. Returns false when
   * there is not enough; the command then changes nothing.
   */
  reserve(bytes: number): boolean {
    return this.section.reserve(this.pool.commandChunks + Math.floor((bytes * 2) / CHUNK_BYTES));
  }
}

/** Blocks that the removal of a collection or the end of a pin frees itself; the rest is left to maintenance. */
export const AT_ONCE = 64;
