/**
 * Copies the trees of a collection to another shard, or within one, block by block and in as many steps as its caller
 * likes. The source must not change meanwhile: it is pinned, or its shard stays locked. Nobody sees the copy before it is
 * whole.
 *
 *   path │ root │ inner page │ ... │ leaf │      blocks of the copy, each with the number of its next entry
 *
 * Invariants
 *   Y1  entries of a block before `next` refer to blocks of the copy, those from there on still to the source's
 *   Y2  every block of the copy is on the path, or reached by one finished entry
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

/** What `step` says: there is more; all is there; the target has no room now. */
export const Copying = { More: 1, Done: 0, NoRoom: -1 } as const;
export type Copying = (typeof Copying)[keyof typeof Copying];

/** A block takes at most this; what a step needs is asked for before it begins. */
const BLOCK_BYTES_MOST = 8192;
/** So many bytes kept outside count as a block. */
const OUT_SHIFT = 12;

/** A block of the copy whose entries are not all copied. */
class Step {
  ref: Ref = NO_REF;
  isRoot = false;
  /** Of a page: kind of its tree, whether it is an inner one, bytes of its block, entries. */
  kind = 0;
  inner = false;
  bytes = 0;
  count = 0;
  /** The next entry, or tree of a root. */
  next = 0;
}

export class CollectionCopy {
  /** Root of the copy, NO_REF until it is whole; then its caller's. */
  made: Ref = NO_REF;
  private readonly path: Step[] = [];
  private depth = 0;
  /** Blocks of work done in the step at hand. */
  private done = 0;

  constructor(
    private readonly source: ShardPages,
    private readonly target: ShardPages,
    private readonly root: Ref,
  ) {}
  private isBegun = false;

  /** Goes on for about `blocks` blocks. */
  step(blocks: number): Copying {
    const { target } = this;
    if (!target.reserve(blocks * BLOCK_BYTES_MOST)) return Copying.NoRoom;
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

  /** Gives back what is there of a copy that is not wanted any more. The target's shard is locked. */
  drop(): void {
    const { target } = this;
    for (; this.depth > 0; this.depth--) {
      const at = this.path[this.depth - 1]!;
      // Only what is the copy's own may be reached (Y1).
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

  /** The block at the end of the path is whole: what refers to it is told. Returns false when there is no room for that. */
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

  /** Returns false when there is no room for what an entry keeps outside. */
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
        if (!this.copyOuts(at)) return false;
        page = target.attachPage(at.kind, false, at.ref, at.bytes);
      }
      at.next++;
    }
    return true;
  }

  /** Copies what the next entry of a leaf keeps outside, all of it or nothing. */
  private copyOuts(at: Step): boolean {
    const { target } = this;
    const page = target.attachPage(at.kind, false, at.ref, at.bytes);
    page.openKey(at.next);
    const keyBytes = (page.entryFlags & KEY_OVERFLOW) !== 0 ? page.word(page.keyAt + 4) : 0;
    const hasValue = (page.entryFlags & VALUE_OVERFLOW) !== 0 && page.form === KeyForm.Prefixed;
    const valueBytes = hasValue ? page.word(page.valueAt + 4) : 0;
    if (!target.reserve(keyBytes + valueBytes + BLOCK_BYTES_MOST)) return false;
    const copied = this.copyKey(at);
    assert(copied, "there is room for a key that has been asked for");
    if (hasValue) {
      const again = target.attachPage(at.kind, false, at.ref, at.bytes);
      again.openKey(at.next);
      target.copyOverflow(this.source, at.kind, false, at.ref, at.bytes, again.valueAt);
    }
    this.done += (keyBytes + valueBytes) >>> OUT_SHIFT;
    return true;
  }

  /** Copies the key of the next entry, if it is kept outside. Returns false when there is no room. */
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

const AT_ONCE = 64;

/** Copies a whole collection at once, whatever that takes. Returns the root of the copy, NO_REF without room. */
export function copyAtOnce(source: ShardPages, target: ShardPages, root: Ref): Ref {
  const copy = new CollectionCopy(source, target, root);
  let more: Copying = Copying.More;
  while (more === Copying.More) more = copy.step(AT_ONCE);
  if (more === Copying.NoRoom) copy.drop();
  return copy.made;
}
