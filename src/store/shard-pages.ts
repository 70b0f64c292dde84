/**
 * Pages of a shard: the memory that the trees of collections lie in. Blocks come from the shard's heap; what a pin may
 * still see is kept until the pin is gone; whole collections are emptied in steps.
 *
 *   retired │ queue of blocks through their link words, in the order of their epochs: given back, or (roots) garbage,
 *             when no pin is as old
 *   garbage │ stack of roots and pages through their link words: a page's children go on the stack before it goes
 *
 * Neither needs memory of its own, so DEL and FLUSHALL work when there is none.
 *
 * Invariants
 *   V1  a block whose epoch is not above a live pin's, and that the pin can see, never changes (as large.ts)
 *   V3  a block is in one place: reached by one collection, on the retired queue, or on the garbage stack
 * Locking: the holder of the shard lock; a pinned reader only locates and reads.
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import { type Arena, FRAME_BITS, FRAME_BYTE_SHIFT, FRAME_MASK } from "../memory/arena.ts";
import { SEGMENTS } from "../memory/control.ts";
import type { FramePool } from "../memory/frame-pool.ts";
import { hasGaps, KEY_OVERFLOW, KeyForm, Page, VALUE_OVERFLOW } from "../structures/page.ts";
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
  type Ref,
  ROOTS_KIND,
  TREE_KIND_SHIFT,
} from "../structures/pages.ts";
import type { Heap } from "./heap.ts";
import { STRING_CHUNK_BYTES, type LargeValues } from "./large.ts";
import { Member } from "./members.ts";
import type { Section } from "./section.ts";
import { OFFSET_BITS, OFFSET_MASK } from "./segments.ts";
import {
  BLOCKS_HEAD_AT,
  BLOCKS_TAIL_AT,
  EPOCH_AT,
  EPOCH_USED_AT,
  GARBAGE_AT,
  PINS_AT,
  RELEASES_AT,
  STRUCTURE_VERSION_AT,
} from "./shard.ts";

/** Longest run kept outside in one block; longer ones are large values (large.ts). */
const OUT_BLOCK_MAX = (64 << 10) - BLOCK_HEAD_BYTES;

/** The root of a collection that is a tree: where its trees begin. Words; see collection.ts for the rest. */
export const ROOT_BYTES = 128;
export const ROOT_TREES = 8;
export const ROOT_TREE_WORDS = 4;
export const ROOT_TREES_MAX = 3;
/** Bytes that entries keep outside their pages. */
export const ROOT_OUT = 4;

/** What the memory is seen through. One for each collection that is open at a time. */
export class ShardPages implements Pages {
  b: Buffer;
  h: Uint16Array;
  m: Int32Array;
  f: Float64Array;
  overflowBytes: Uint8Array;
  overflowAt = 0;
  shard = 0;
  header = 0;
  private region = -1;
  private readonly c: Int32Array;
  private readonly tables: number;

  constructor(
    private readonly arena: Arena,
    private readonly pool: FramePool,
    private readonly heap: Heap,
    private readonly large: LargeValues,
    private readonly section: Section,
    private readonly now: { readonly nowSeconds: number },
  ) {
    this.c = arena.control.i32;
    this.tables = arena.control.segmentsAt;
    this.b = arena.bytesOf(0);
    this.h = arena.halves[0]!;
    this.m = arena.wordsOf(0);
    this.f = arena.doubles[0]!;
    this.region = 0;
    this.overflowBytes = this.b;
  }

  /** Works in `shard` from now on. */
  select(shard: number, header: number): void {
    this.shard = shard;
    this.header = header;
  }

  /** Turns the memory to `region`. */
  turn(region: number): void {
    if (region === this.region) return;
    this.m = this.arena.wordsOf(region);
    this.b = this.arena.bytesOf(region);
    this.h = this.arena.halves[region]!;
    this.f = this.arena.doubles[region]!;
    this.region = region;
  }

  locate(ref: Ref): number {
    const place = this.c[this.tables + ((this.shard * SEGMENTS + (ref >>> OFFSET_BITS)) << 2)]!;
    const region = place >>> FRAME_BITS;
    if (region !== this.region) this.turn(region);
    return ((place & FRAME_MASK) << FRAME_BYTE_SHIFT) + ((ref & OFFSET_MASK) << 3);
  }

  /** Word `i` of a block. Locating comes first: it may turn the memory to another region. */
  wordOf(ref: Ref, i: number): number {
    const at = this.locate(ref) >> 2;
    return this.m[at + i]!;
  }
  private setWord(ref: Ref, i: number, value: number): void {
    const at = this.locate(ref) >> 2;
    this.m[at + i] = value;
  }

  allocate(bytes: number): Ref {
    this.structureChanged();
    const ref = this.heap.allocate(this.shard, this.header, bytes, true);
    assert(ref > 0, "an admitted command finds room");
    return ref;
  }

  free(ref: Ref, bytes: number): void {
    this.structureChanged();
    if (this.c[this.header + PINS_AT] === 0) this.heap.free(this.shard, this.header, ref, bytes, this.now.nowSeconds);
    else this.retire(ref, bytes, BlockKind.Overflow);
  }

  /** What was looked up ahead is not good any more; an atomic store: see A2 in member-prefetch.ts. */
  structureChanged(): void {
    const at = this.header + STRUCTURE_VERSION_AT;
    Atomics.store(this.c, at, (this.c[at]! + 1) | 0);
  }

  get newestPin(): number {
    return this.c[this.header + PINS_AT] === 0 ? 0 : this.c[this.header + EPOCH_AT]!;
  }
  epochNow(): number {
    this.c[this.header + EPOCH_USED_AT] = 1;
    return this.c[this.header + EPOCH_AT]! + 1;
  }

  // ---- what does not fit in a page ----

  storeOverflow(source: Uint8Array, offset: number, length: number): Ref {
    if (length > OUT_BLOCK_MAX) return this.storeLargeOverflow(source, offset, length);
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
    const { large, shard, header } = this;
    const empty = large.link(shard, header, [], true);
    const node = empty < 0 ? empty : large.prepareWrite(shard, header, empty, 0, 0, length, true);
    assert(node > 0, "an admitted command finds room");
    large.write(shard, node, 0, source, offset, length);
    return node;
  }

  freeOverflow(ref: Ref, length: number): void {
    if (length > OUT_BLOCK_MAX) this.large.free(this.shard, this.header, ref, this.now.nowSeconds);
    else this.free(ref, BLOCK_HEAD_BYTES + length);
  }

  openOverflow(ref: Ref, length: number, position: number): number {
    if (length > OUT_BLOCK_MAX) {
      this.overflowAt = this.large.locateByte(this.shard, ref, position);
      this.overflowBytes = this.large.chunkBytes;
      return Math.min(length - position, STRING_CHUNK_BYTES - (position % STRING_CHUNK_BYTES));
    }
    const at = this.locate(ref);
    this.overflowBytes = this.b;
    this.overflowAt = at + BLOCK_HEAD_BYTES + position;
    return length - position;
  }

  // ---- given back ----

  /** Puts a block on the retired queue; a root with `kind` Root takes all that it reaches along. */
  private retire(ref: Ref, bytes: number, kind: BlockKind): void {
    const { c, header } = this;
    c[header + EPOCH_USED_AT] = 1;
    const w = this.locate(ref) >> 2;
    this.m[w + BLOCK_EPOCH] = c[header + EPOCH_AT]!;
    this.m[w + BLOCK_INFO] = bytes | (kind << BLOCK_KIND_SHIFT);
    this.m[w + BLOCK_LINK] = NO_REF;
    const tail = c[header + BLOCKS_TAIL_AT]!;
    if (tail === NO_REF) c[header + BLOCKS_HEAD_AT] = ref;
    else this.setWord(tail, BLOCK_LINK, ref);
    c[header + BLOCKS_TAIL_AT] = ref;
  }

  /** Gives back up to `blocks` of what was retired before epoch `oldest`, the oldest that a live pin has. */
  release(oldest: number, blocks: number): void {
    const { c, header } = this;
    c[header + RELEASES_AT] = 0;
    for (let ref = c[header + BLOCKS_HEAD_AT]!; ref !== NO_REF; ref = c[header + BLOCKS_HEAD_AT]!) {
      const w = this.locate(ref) >> 2;
      if (this.m[w + BLOCK_EPOCH]! >= oldest) return;
      if (blocks-- === 0) {
        c[header + RELEASES_AT] = 1;
        return;
      }
      const info = this.m[w + BLOCK_INFO]!;
      const next = this.m[w + BLOCK_LINK]!;
      c[header + BLOCKS_HEAD_AT] = next;
      if (next === NO_REF) c[header + BLOCKS_TAIL_AT] = NO_REF;
      if (info >>> BLOCK_KIND_SHIFT === BlockKind.Root) this.discardBlock(ref);
      else this.heap.free(this.shard, header, ref, info & BLOCK_BYTES_MASK, this.now.nowSeconds);
    }
  }

  /** Frees a whole collection from its root: when no pin sees it any more, and in steps. */
  freeCollection(root: Ref): void {
    if (this.c[this.header + PINS_AT] !== 0) {
      this.retire(root, ROOT_BYTES, BlockKind.Root);
      return;
    }
    const w = this.locate(root) >> 2;
    this.m[w + BLOCK_INFO] = ROOT_BYTES | (BlockKind.Root << BLOCK_KIND_SHIFT);
    this.discardBlock(root);
    // Small ones go at once.
    this.empty(AT_ONCE);
  }

  /** Sets where tree `tree` of a root begins. */
  setTop(root: Ref, tree: number, top: Ref): void {
    this.setWord(root, ROOT_TREES + tree * ROOT_TREE_WORDS, top);
  }

  /** As `free`, for a root that no pin has seen. */
  discardRoot(root: Ref): void {
    this.setWord(root, BLOCK_INFO, ROOT_BYTES | (BlockKind.Root << BLOCK_KIND_SHIFT));
    this.discardBlock(root);
  }

  /** Leaves a block, with all that it reaches, to be emptied in steps. */
  discardBlock(ref: Ref): void {
    const w = this.locate(ref) >> 2;
    this.m[w + BLOCK_LINK] = this.c[this.header + GARBAGE_AT]!;
    this.c[this.header + GARBAGE_AT] = ref;
  }

  get hasGarbage(): boolean {
    return this.c[this.header + GARBAGE_AT] !== NO_REF;
  }

  /** Gives back up to `blocks` blocks of garbage. Returns true when there is more. */
  empty(blocks: number): boolean {
    const { c, header } = this;
    for (let done = 0; done < blocks; done++) {
      const ref = c[header + GARBAGE_AT]!;
      if (ref === NO_REF) return false;
      const at = this.locate(ref);
      const info = this.m[(at >> 2) + BLOCK_INFO]!;
      c[header + GARBAGE_AT] = this.m[(at >> 2) + BLOCK_LINK]!;
      if (info >>> BLOCK_KIND_SHIFT === BlockKind.Root) {
        for (let tree = 0; tree < ROOT_TREES_MAX; tree++) {
          const top = this.wordOf(ref, ROOT_TREES + tree * ROOT_TREE_WORDS);
          if (top !== NO_REF) this.discardBlock(top);
        }
      } else {
        done += this.emptyPage(ref, info);
      }
      this.heap.free(this.shard, header, ref, info & BLOCK_BYTES_MASK, this.now.nowSeconds);
    }
    return this.hasGarbage;
  }

  /** Lets go of what a page refers to. Returns about how much work that was, in blocks. */
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

  /** Bytes of all that a root reaches, about. */
  bytesOf(root: Ref): number {
    const w = this.locate(root) >> 2;
    let bytes = ROOT_BYTES + (this.m[w + ROOT_OUT]! >>> 0);
    for (let tree = 0; tree < ROOT_TREES_MAX; tree++) bytes += this.m[w + ROOT_TREES + tree * ROOT_TREE_WORDS + 3]!;
    for (let tree = 0; tree < ROOT_TREES_MAX; tree++) {
      const top = this.wordOf(root, ROOT_TREES + tree * ROOT_TREE_WORDS);
      if (top === NO_REF) continue;
      const kind = (this.wordOf(top, BLOCK_INFO) >>> TREE_KIND_SHIFT) & 15;
      if ((kind & ROOTS_KIND) !== 0) bytes += this.bytesOfRoots(kind, top);
    }
    return bytes;
  }

  /** Bytes of the roots in a tree of such. */
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

  /** Stands on a page of a tree of this kind. */
  attachPage(kind: number, inner: boolean, ref: Ref, bytes: number): Page {
    const page = this.pageOf(kind, inner);
    const at = this.locate(ref);
    page.attach(at + BLOCK_HEAD_BYTES, at + bytes);
    return page;
  }

  /** Copies what an entry keeps outside and lets the reference at byte `at` of the page's memory name the copy. */
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
   * Reserves room for a change that takes `bytes` more: blocks are up to twice as large as what they hold. Returns false
   * when there is none; the command then changes nothing.
   */
  reserve(bytes: number): boolean {
    return this.section.reserve(this.pool.ahead + Math.floor((bytes * 2) / CHUNK));
  }
}
/** Bytes of a chunk of the frame pool. */
const CHUNK = 1 << 20;

/** Blocks freed by who removes a collection or gives a pin back; the rest is maintenance's. */
export const AT_ONCE = 64;
