/**
 * CollectionCopy: copies the trees of a collection within a shard or to another one, block by block, in steps. The source
 * must not change meanwhile: it is pinned, or its shard stays locked. No client can reach the copy before it is complete.
 *
 *   path │ root │ inner page │ ... │ leaf │      blocks of the copy, each with the number of its next entry
 *
 * Invariants
 *   COPY-1  entries of a block before `next` refer to blocks of the copy, and those from `next` on to blocks of the source
 *   COPY-2  every block of the copy is on the path, or one finished entry refers to it
 * Locking: a step needs the target's shard lock.
 */
import { assert } from "../base/assert.ts";
import { KEY_OVERFLOW, KeyForm, VALUE_OVERFLOW } from "../structures/page.ts";
import {
  BLOCK_BYTES_MASK,
  BLOCK_INFO,
  LEVEL_MASK,
  LEVEL_SHIFT,
  NO_REF,
  type Ref,
  ROOTS_KIND,
  TREE_KIND_SHIFT,
} from "../structures/pages.ts";
import { ROOT_BYTES, ROOT_TREE_WORDS, ROOT_TREES, ROOT_TREES_MAX, type ShardPages } from "./shard-pages.ts";

/** Result of `step`. More: blocks are left. Done: the copy is complete. NoRoom: the target has no memory now. */
export const Copying = { More: 1, Done: 0, NoRoom: -1 } as const;
export type Copying = (typeof Copying)[keyof typeof Copying];

/** Most bytes of a block. A step reserves this for each of its blocks. */
const BLOCK_BYTES_MAX = 8192;
/** 4 KiB of overflow keys and values count as a block. */
const OVERFLOW_SHIFT = 12;

/** A block of the copy whose entries are not all copied. */
class Step {
  ref: Ref = NO_REF;
  isRoot = false;
  /** For a page: the kind of its tree, whether it is an inner page, the bytes of its block, and its entries. */
  kind = 0;
  inner = false;
  bytes = 0;
  count = 0;
  /** The next entry, or tree of a root. */
  next = 0;
}

export class CollectionCopy {
  /** Root of the copy, NO_REF until it is complete. The caller then owns it. */
  made: Ref = NO_REF;
  private readonly path: Step[] = [];
  private depth = 0;
  /** Blocks copied in the current step. */
  private done = 0;

  constructor(
    private readonly source: ShardPages,
    private readonly target: ShardPages,
    private readonly root: Ref,
  ) {}
  private isBegun = false;

  /** Copies about `blocks` blocks. */
  step(blocks: number): Copying {
    const { target } = this;
    if (!target.reserve(blocks * BLOCK_BYTES_MAX)) return Copying.NoRoom;
    this.done = 0;
    if (!this.isBegun) {
      this.isBegun = true;
      this.enterRoot(this.root);
    }
    while (this.depth > 0) {
      if (this.done >= blocks) return Copying.More;
      const at = this.path[this.depth - 1]!;
      if (!(at.isRoot ? this.stepRoot(at) : this.stepPage(at, blocks))) return Copying.NoRoom;
    }
    return Copying.Done;
  }

  /** Frees an incomplete copy. The target's shard is locked. */
  drop(): void {
    const { target } = this;
    for (; this.depth > 0; this.depth--) {
      const at = this.path[this.depth - 1]!;
      // The copy must not reach blocks of the source when it is freed (COPY-1).
      if (at.isRoot) {
        for (let tree = at.next; tree < ROOT_TREES_MAX; tree++) target.setTop(at.ref, tree, NO_REF);
        target.discardRoot(at.ref);
      } else {
        target.attachPage(at.kind, at.inner, at.ref, at.bytes).truncate(at.next);
        target.discardBlock(at.ref);
      }
    }
    if (this.made !== NO_REF) target.discardRoot(this.made);
    this.made = NO_REF;
    this.isBegun = false;
  }

  private enter(ref: Ref): Step {
    this.done++;
    this.path[this.depth] ??= new Step();
    const step = this.path[this.depth++]!;
    step.ref = ref;
    step.next = 0;
    return step;
  }

  private enterRoot(root: Ref): void {
    this.enter(this.target.copyBlock(this.source, root, ROOT_BYTES)).isRoot = true;
  }

  private enterPage(ref: Ref): void {
    const { source, target } = this;
    const info = source.wordOf(ref, BLOCK_INFO);
    const bytes = info & BLOCK_BYTES_MASK;
    const step = this.enter(target.copyBlock(source, ref, bytes));
    step.isRoot = false;
    step.kind = (info >>> TREE_KIND_SHIFT) & 15;
    step.inner = ((info >>> LEVEL_SHIFT) & LEVEL_MASK) > 0;
    step.bytes = bytes;
    step.count = target.attachPage(step.kind, step.inner, step.ref, bytes).count;
  }

  /** Enters the complete block at the end of the path into its parent. Returns false when there is no room for the key. */
  private leave(): boolean {
    const { target } = this;
    const { ref } = this.path[this.depth - 1]!;
    if (this.depth === 1) {
      this.depth = 0;
      this.made = ref;
      return true;
    }
    const above = this.path[this.depth - 2]!;
    if (above.isRoot) {
      target.setTop(above.ref, above.next, ref);
    } else {
      if (!this.copyKey(above)) return false;
      const page = target.attachPage(above.kind, above.inner, above.ref, above.bytes);
      if (above.inner) {
        page.setChild(above.next, ref);
      } else {
        page.openKey(above.next);
        page.b.writeInt32LE(ref, page.valueAt);
      }
    }
    above.next++;
    this.depth--;
    return true;
  }

  /** As stepPage, for a root. */
  private stepRoot(at: Step): boolean {
    const { target } = this;
    while (at.next < ROOT_TREES_MAX && target.wordOf(at.ref, ROOT_TREES + at.next * ROOT_TREE_WORDS) === NO_REF) {
      at.next++;
    }
    if (at.next === ROOT_TREES_MAX) return this.leave();
    this.enterPage(target.wordOf(at.ref, ROOT_TREES + at.next * ROOT_TREE_WORDS));
    return true;
  }

  /** Copies entries of the page at the end of the path. Returns false when there is no room for an overflow key or value. */
  private stepPage(at: Step, blocks: number): boolean {
    const { target } = this;
    if (at.next === at.count) return this.leave();
    if (at.inner || (at.kind & ROOTS_KIND) !== 0) {
      const page = target.attachPage(at.kind, at.inner, at.ref, at.bytes);
      page.openKey(at.next);
      if (at.inner) this.enterPage(page.child(at.next));
      else this.enterRoot(page.word(page.valueAt));
      return true;
    }
    let page = target.attachPage(at.kind, false, at.ref, at.bytes);
    while (at.next < at.count && this.done < blocks) {
      page.openKey(at.next);
      if ((page.entryFlags & (KEY_OVERFLOW | VALUE_OVERFLOW)) !== 0) {
        if (!this.copyOverflows(at)) return false;
        page = target.attachPage(at.kind, false, at.ref, at.bytes);
      }
      at.next++;
    }
    return true;
  }

  /** Copies the overflow key and value of a leaf's next entry, both or neither. Returns false when there is no room. */
  private copyOverflows(at: Step): boolean {
    const { target } = this;
    const page = target.attachPage(at.kind, false, at.ref, at.bytes);
    page.openKey(at.next);
    const keyBytes = (page.entryFlags & KEY_OVERFLOW) !== 0 ? page.word(page.keyAt + 4) : 0;
    const hasValue = (page.entryFlags & VALUE_OVERFLOW) !== 0 && page.form === KeyForm.Prefixed;
    const valueBytes = hasValue ? page.word(page.valueAt + 4) : 0;
    if (!target.reserve(keyBytes + valueBytes + BLOCK_BYTES_MAX)) return false;
    const copied = this.copyKey(at);
    assert(copied, "a reserved overflow key has room");
    if (hasValue) {
      const again = target.attachPage(at.kind, false, at.ref, at.bytes);
      again.openKey(at.next);
      target.copyOverflow(this.source, at.kind, false, at.ref, at.bytes, again.valueAt);
    }
    this.done += (keyBytes + valueBytes) >>> OVERFLOW_SHIFT;
    return true;
  }

  /** Copies the overflow key of the next entry, if it has one. Returns false when there is no room. */
  private copyKey(at: Step): boolean {
    const { target } = this;
    const page = target.attachPage(at.kind, at.inner, at.ref, at.bytes);
    page.openKey(at.next);
    if ((page.entryFlags & KEY_OVERFLOW) === 0) return true;
    if (!target.reserve(page.word(page.keyAt + 4))) return false;
    target.copyOverflow(this.source, at.kind, at.inner, at.ref, at.bytes, page.keyAt);
    return true;
  }
}

const STEP_BLOCKS = 64;

/** Copies a whole collection in one call, whatever its size. Returns the root of the copy, or NO_REF without room. */
export function copyAtOnce(source: ShardPages, target: ShardPages, root: Ref): Ref {
  const copy = new CollectionCopy(source, target, root);
  let more: Copying = Copying.More;
  while (more === Copying.More) more = copy.step(STEP_BLOCKS);
  if (more === Copying.NoRoom) copy.drop();
  return copy.made;
}
