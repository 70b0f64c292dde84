/**
 * OrderedCollection: the common part of hashes and sets. Their members keep the order in which they came while Redis would
 * keep them packed.
 *
 *   packed  │ entries in that order
 *   tree 0  │ members by hash
 *   tree 2  │ the order (structures/ordered.ts) of members that Redis would keep packed but one page cannot hold
 *
 * The order is dropped when Redis would convert. Members then come in the order of their hashes.
 *
 * Invariants
 *   ORDERED-COLLECTION-1  tree 2 is empty, or has an entry for each member
 */
import { assert } from "../base/assert.ts";
import { KeyForm, type Page } from "../structures/page.ts";
import { Ordered } from "../structures/ordered.ts";
import { Tree } from "../structures/tree.ts";
import type { Entries } from "../structures/entries.ts";
import { TREE_PAGE_BYTES } from "./collection.ts";
import type { RecordType } from "./record.ts";
import type { Store } from "./store.ts";
import { TimedCollection } from "./timed-collection.ts";

/**
 * Most members with an order. Removing a member compares the hashes of all, which takes a few microseconds for this many.
 */
export const ORDERED_MAX = 4096;

export abstract class OrderedCollection extends TimedCollection {
  readonly trees: readonly [Tree, Tree, Tree];
  protected readonly members: Tree;
  protected readonly deadlines: Tree;
  protected readonly order: Tree;
  protected readonly ordered: Ordered;
  /** True when the open collection is a tree with an order. */
  protected isOrdered = false;

  constructor(store: Store, type: RecordType, form: KeyForm) {
    super(store, type, 0, form);
    this.members = new Tree(this.pages, 4, form, TREE_PAGE_BYTES);
    this.deadlines = new Tree(this.pages, 8, KeyForm.Whole, TREE_PAGE_BYTES);
    this.order = new Tree(this.pages, 0, KeyForm.Whole, TREE_PAGE_BYTES);
    this.trees = [this.members, this.deadlines, this.order];
    this.ordered = new Ordered(this.members, this.order);
  }

  /** True while Redis would keep the members packed, according to the encoding. */
  protected abstract get keepsOrder(): boolean;

  protected override loadOwn(): void {
    this.isOrdered = this.order.count > 0;
  }
  protected override get treeEntries(): Entries {
    return this.isOrdered ? this.ordered : this.members;
  }

  override toTree(): void {
    this.isOrdered = this.keepsOrder;
    super.toTree();
  }

  override setEncoding(encoding: number): void {
    super.setEncoding(encoding);
    if (!this.keepsOrder) this.dropOrder();
  }

  /** Called before a member is inserted. Drops the order if it has ORDERED_MAX members. */
  protected limitOrder(): void {
    if (this.isTree && this.isOrdered && this.count >= ORDERED_MAX) this.dropOrder();
  }

  private dropOrder(): void {
    if (!this.isTree || !this.isOrdered) return;
    this.isOrdered = false;
    this.ordered.dropOrder();
    this.entries = this.members;
  }

  get count(): number {
    return this.entries.count;
  }

  protected abstract override moveToTrees(page: Page, i: number): void;

  override check(): void {
    super.check();
    if (!this.isTree) return;
    if (this.isOrdered) this.ordered.check();
    else assert(this.order.count === 0, "the order is empty, or has an entry for each member (ORDERED-COLLECTION-1)");
  }
}
