/**
 * Collection: the value of a key that is a list, hash, set, sorted set or stream. A small collection is one packed page
 * inside the record. A larger one has a root and trees in the shard's heap. Each type's handling of its entries is in a file
 * of its own.
 *
 *   record, Raw  │ header │ key │ packed page (structures/page.ts) │
 *   record, Tree │ header │ address of the root │ key │
 *   root         │ block head │ members with a deadline │ overflow bytes │ earliest deadline (f64) │ spare │
 *                │ top, height, entries, bytes of tree 0 │ ... tree 1 │ ... tree 2 │ words of the type │
 *
 * The name that Redis would give the encoding is a number in spare bits of the record's word 3. It is independent of the
 * form here: a collection that Redis would have converted stays packed while that is smaller.
 *
 * Call these methods under the shard's lock, with the key selected: `find` for reading, or `begin` before the first change
 * and `finish` after the last one.
 *
 * Invariants
 *   COLLECTION-1  a collection has at least one entry, except a stream
 *   COLLECTION-2  its record is Raw exactly when it is one packed page
 * Locking: the holder of the shard lock.
 */
import { Status } from "../base/status.ts";
import { type Address, NO_ADDRESS } from "./address.ts";
import {
  ENCODING_MASK,
  Encoding,
  HAS_TIMED,
  NO_REGION,
  type RecordType,
  rawCapacity,
  rawValueAt,
  setSpareBits,
  spareBits,
} from "./record.ts";
import type { Shard } from "./shard.ts";
import {
  BLOCK_EPOCH,
  BLOCK_INFO,
  BLOCK_KIND_SHIFT,
  BLOCK_LINK,
  BlockKind,
  NO_REF,
  type Ref,
} from "../structures/pages.ts";
import { assert } from "../base/assert.ts";
import type { Entries } from "../structures/entries.ts";
import { type KeyForm, type Page, PAGE_BYTES_MAX, PAGE_HEAD } from "../structures/page.ts";
import { Packed, type PackedHost } from "../structures/packed.ts";
import type { Tree } from "../structures/tree.ts";
import { ROOT_BYTES, ROOT_OUT, ROOT_TREES, ROOT_TREE_WORDS, type ShardPages } from "./shard-pages.ts";
import { KeyEvent } from "./key-events.ts";
import type { FoundRecord } from "./record-cursor.ts";
import { ADMITTED, KEEPS_VALUE, type Store } from "./store.ts";

/** Most bytes and entries of a packed collection, and its longest entry. */
export const PACKED_BYTES_MAX = PAGE_BYTES_MAX - 64;
export const PACKED_ENTRIES_MAX = 512;
export const PACKED_ENTRY_MAX = 1024;
/** Most bytes of a page of a tree. */
export const TREE_PAGE_BYTES = 4096;

/** Bytes that a command reserves if it adds little. */
export const SMALL_CHANGE = 64 << 10;

// Words of the root, after the block head.
const ROOT_TIMED = 3;
const ROOT_EARLIEST = 6;
/** First word of the root that belongs to the type. */
export const ROOT_OWN = ROOT_TREES + 3 * ROOT_TREE_WORDS;

export abstract class Collection implements PackedHost {
  readonly pages: ShardPages;
  readonly packed: Packed;
  /** The entries: the packed page, or a tree. */
  entries: Entries;
  isTree = false;
  /** Number of Redis's name for the encoding. Each type numbers its own. */
  encoding = 0;
  root: Ref = NO_REF;
  /** True while the record says that members have deadlines. See timed-collection.ts. */
  hasTimed = false;
  /** Members with a deadline, and the earliest deadline (ms, Infinity = none). */
  timed = 0;
  earliest = Infinity;

  // Position of the packed page. Valid until another change of the shard.
  private region = 0;
  private base = 0;
  private end = 0;
  private copied = Buffer.allocUnsafe(PAGE_BYTES_MAX + 16);

  constructor(
    readonly store: Store,
    readonly type: RecordType,
    packedSortKeyBytes: 0 | 8,
    packedForm: KeyForm,
  ) {
    this.pages = store.newPages();
    this.packed = new Packed(this.pages, packedSortKeyBytes, packedForm, this, PACKED_ENTRY_MAX);
    this.entries = this.packed;
  }

  /** True when the key stays although its last entry is removed (COLLECTION-1). */
  protected readonly mayBeEmpty: boolean = false;

  /** The trees of the type, in the order of the root. The first holds the entries. */
  abstract readonly trees: readonly Tree[];

  /** The entries of a collection that is a tree. */
  protected get treeEntries(): Entries {
    return this.trees[0]!;
  }

  /** Inserts entry `i` of a packed page into the trees, which are empty at first. */
  protected abstract moveToTrees(page: Page, i: number): void;

  // ---- finding ----

  /** Finds the selected key for reading. Returns 1, 0 when it does not exist, or Status: WrongType, Again, Busy. */
  find(): number {
    const { store } = this;
    if (this.isStillOpen) {
      store.foundAgain();
      return 1;
    }
    return this.openFoundKey(store.findForRead());
  }

  /** As `find`, for a command that Redis counts neither as a hit nor as a miss. */
  findUncounted(): number {
    return this.openFoundKey(this.store.findUncounted());
  }

  private openFoundKey(address: Address): number {
    if (address === NO_ADDRESS) return 0;
    if (!this.open()) return Status.WrongType;
    if (this.hasTimed) return this.openWithoutDue(false);
    this.noteOpen();
    return 1;
  }

  /**
   * Called after a collection with deadlines was opened. Removes due members, for types whose commands do not check
   * deadlines. `isBegun`: the collection may be changed, and may be again afterwards. Returns 1, 0 when the key was removed
   * with its last member, or Status: Again when more members are due.
   */
  removeDueWhenOpened(_isBegun: boolean): number {
    return 1;
  }
  private openWithoutDue(isBegun: boolean): number {
    const left = this.removeDueWhenOpened(isBegun);
    this.openVersion = -1;
    return left;
  }

  /** Selection version for which the open collection is still valid, -1 = none. Only for trees without deadlines. */
  private openVersion = -1;
  private get isStillOpen(): boolean {
    return this.openVersion === this.store.cursor.version;
  }
  private noteOpen(): void {
    this.openVersion = this.mayStayOpen && !this.hasTimed ? this.store.cursor.version : -1;
  }
  /** True when the collection was opened as a tree, of a key that cannot expire. */
  private mayStayOpen = false;

  /** Opens the record that the store found. Returns false when it is of another type. */
  open(): boolean {
    return this.openRecord(this.store.cursor);
  }

  /** As open, for a record that another cursor is on. */
  openRecord(at: FoundRecord): boolean {
    if (at.type !== this.type) return false;
    this.pages.select(at.shard);
    const spare = spareBits(at.m, at.w);
    this.encoding = spare & ENCODING_MASK;
    this.hasTimed = (spare & HAS_TIMED) !== 0;
    this.isTree = at.encoding === Encoding.Tree;
    this.mayStayOpen = this.isTree && !at.hasDeadlineWords;
    if (this.isTree) {
      this.loadRoot(at.node);
      this.entries = this.treeEntries;
    } else {
      this.locatePacked(at);
      this.entries = this.packed;
      this.packed.open();
    }
    return true;
  }

  /** Opens a root that is pinned, without its record. */
  openPinned(shard: Shard, root: Ref): void {
    this.pages.select(shard);
    this.isTree = true;
    this.loadRoot(root);
    this.entries = this.treeEntries;
  }

  /** Makes another object of the same type, for a reader with a pin. */
  newReader(): this {
    // The constructor of every type takes the store and the type's limits.
    const { limits } = this as unknown as { limits: unknown };
    return new (this.constructor as new (store: Store, limits: unknown) => this)(this.store, limits);
  }

  private locatePacked(at: FoundRecord): void {
    this.region = at.region;
    if (this.region === NO_REGION) this.pages.useRecord(at);
    this.base = rawValueAt(at.m, at.w);
    this.end = this.base + at.valueBytes;
  }

  private loadRoot(root: Ref): void {
    this.root = root;
    const { pages, trees } = this;
    const w = pages.locate(root) >> 2;
    const { m, f } = pages;
    this.timed = m[w + ROOT_TIMED]!;
    this.overflowBytes = m[w + ROOT_OUT]! >>> 0;
    this.earliest = f[(w + ROOT_EARLIEST) >> 1]!;
    for (let i = 0; i < trees.length; i++) {
      const at = w + ROOT_TREES + i * ROOT_TREE_WORDS;
      trees[i]!.load(m[at]!, m[at + 1]!, m[at + 2]!, m[at + 3]!);
    }
    this.loadOwn(w);
  }

  /** Bytes of the entries' overflow keys and values. */
  overflowBytes = 0;

  /** Read and write the type's own words of the root at word `w` of `pages.m`. */
  protected loadOwn(_w: number): void {}
  protected saveOwn(_w: number): void {}

  // ---- changing ----

  /**
   * Finds the selected key in order to change it, and reserves `bytes` (0 = reserved before). Returns 1, 0 when the key does
   * not exist, or Status with nothing changed. `creates`: `create` may follow after 0.
   */
  begin(bytes: number, creates: boolean): number {
    const { store } = this;
    this.pages.select(store.cursor.shard);
    if (bytes !== 0 && !this.pages.reserve(bytes)) return Status.Busy;
    if (this.isStillOpen) {
      this.openVersion = -1;
      store.beginInPlaceAgain();
      return 1;
    }
    if (creates) {
      const status = store.prepareInsert();
      if (status < 0) return status;
    }
    // `finish` may follow although nothing is open.
    this.mayStayOpen = false;
    if (store.find() === NO_ADDRESS) return 0;
    if (store.cursor.type !== this.type) return Status.WrongType;
    const status = store.beginInPlace();
    if (status < 0) return status;
    this.open();
    return this.hasTimed ? this.openWithoutDue(true) : 1;
  }

  /**
   * As `begin`, for a collection that replaces any value of the selected key (SUNIONSTORE). After 0 the key is removed, and
   * `create` must follow.
   */
  beginReplacement(bytes: number): number {
    const { store } = this;
    this.pages.select(store.cursor.shard);
    if (!this.pages.reserve(bytes)) return Status.Busy;
    const status = store.prepareInsert();
    if (status < 0) return status;
    if (store.find() === NO_ADDRESS) return 0;
    store.remove(KeyEvent.Silent);
    store.find();
    return 0;
  }

  /** Removes the key that `begin` found, with all entries. */
  discard(): void {
    this.openVersion = -1;
    this.store.changed(KeyEvent.Value);
    this.store.remove(KeyEvent.Deleted);
  }

  /** Makes the selected key, which `begin` did not find, an empty collection with `bytes` of room. Entries must follow. */
  create(bytes: number, encoding: number): void {
    const { store } = this;
    // Sort keys of 8 bytes may have to be aligned.
    const room =
      Math.min(Math.max(bytes, 16), PACKED_BYTES_MAX) + PAGE_HEAD + (this.packed.leaf.sortKeyBytes === 8 ? 8 : 0);
    this.mayStayOpen = false;
    const status = this.placeRecord(Encoding.Raw, room, ADMITTED);
    assert(status === 0, "a command that has reserved memory finds it");
    store.cursor.setValueBytes(Math.min(rawCapacity(store.cursor.m, store.cursor.w), PAGE_BYTES_MAX));
    this.isTree = false;
    this.hasTimed = false;
    this.timed = 0;
    this.earliest = Infinity;
    this.entries = this.packed;
    this.locatePacked(this.store.cursor);
    this.pages.useRegion(this.region);
    this.packed.leaf.attach(this.base, this.end);
    this.packed.leaf.clear();
    this.packed.open();
    this.setEncoding(encoding);
  }

  /** Sets Redis's name for the encoding. */
  setEncoding(encoding: number): void {
    this.encoding = encoding;
    this.writeSpare();
  }

  /** Writes the spare bits of the record. */
  protected writeSpare(): void {
    setSpareBits(this.store.cursor.m, this.store.cursor.w, this.encoding | (this.hasTimed ? HAS_TIMED : 0));
  }

  /**
   * Removes up to `limit` due members of the open collection. Part of the background work. Returns the next deadline (ms,
   * Infinity = none), or 0 when the collection is gone.
   */
  expireMembers(_limit: number): number {
    return Infinity;
  }

  /** Ends the changes, if there were any. Removes the key of an empty collection, and tells listeners of `event`. */
  finish(changed = true, event: KeyEvent = KeyEvent.Value): void {
    if (!changed) return this.noteOpen();
    const { store } = this;
    const isEmpty = this.entries.count === 0 && !this.mayBeEmpty;
    if (this.isTree) this.saveRoot();
    if (isEmpty) {
      store.changed(event);
      return store.remove(KeyEvent.Deleted);
    }
    this.noteOpen();
    store.changed(event);
  }

  /**
   * Called before an entry of `bytes` is inserted (`more` 1) or grows to that size (0). Makes a packed collection a tree if it
   * would become too large.
   */
  protected roomFor(bytes: number, more: number): void {
    if (this.isTree) return;
    const { leaf } = this.packed;
    if (
      bytes <= PACKED_ENTRY_MAX &&
      leaf.count + more <= PACKED_ENTRIES_MAX &&
      leaf.used + bytes + leaf.perEntry <= PACKED_BYTES_MAX
    ) {
      return;
    }
    this.toTree();
  }

  /** Makes a packed collection a tree. */
  toTree(): void {
    const { trees, packed } = this;
    for (const tree of trees) tree.load(NO_REF, 0, 0, 0);
    this.timed = 0;
    this.overflowBytes = 0;
    this.earliest = Infinity;
    this.attachPage(packed.leaf);
    // The packed page has its own view of memory, because the trees use theirs for other regions.
    const { count } = packed.leaf;
    for (let i = 0; i < count; i++) {
      this.moveToTrees(packed.leaf, i);
    }
    this.placeTree(true);
  }

  /** As `create`, for a type that is always a tree and may be empty. */
  protected createTree(encoding: number): void {
    for (const tree of this.trees) tree.load(NO_REF, 0, 0, 0);
    this.timed = 0;
    this.overflowBytes = 0;
    this.earliest = Infinity;
    this.encoding = encoding;
    this.placeTree(false);
  }

  /** Gives the selected key a record of this type, with the deadline of the old one. Returns 0, or Status. */
  private placeRecord(encoding: Encoding, bytes: number, how: number): number {
    const { store } = this;
    const { cursor } = store;
    const deadlineMs = cursor.address === NO_ADDRESS ? 0 : cursor.deadlineMs;
    const status = store.place(this.type, encoding, bytes, 0, deadlineMs, how);
    if (status === 0) cursor.setValueBytes(bytes);
    return status;
  }

  private placeTree(keeps: boolean): void {
    const { pages, store } = this;
    const status = this.placeRecord(Encoding.Tree, 0, keeps ? ADMITTED | KEEPS_VALUE : ADMITTED);
    assert(status === 0, "a command that has reserved memory finds it");
    this.root = pages.allocate(ROOT_BYTES);
    makeRoot(pages, this.root);
    store.cursor.setNode(this.root);
    this.writeSpare();
    this.isTree = true;
    this.entries = this.treeEntries;
    this.saveRoot();
  }

  /** Writes the trees' state into the root. A root that a pin may see is replaced by another. */
  private saveRoot(): void {
    const { pages, trees } = this;
    let w = pages.locate(this.root) >> 2;
    if (pages.m[w + BLOCK_EPOCH]! <= pages.newestPin) {
      const made = pages.allocate(ROOT_BYTES);
      makeRoot(pages, made);
      pages.free(this.root, ROOT_BYTES);
      this.root = made;
      this.store.cursor.setNode(made);
      w = pages.locate(made) >> 2;
    }
    const { m, f } = pages;
    m[w + ROOT_TIMED] = this.timed;
    m[w + ROOT_OUT] = this.overflowBytes;
    f[(w + ROOT_EARLIEST) >> 1] = this.earliest;
    for (let i = 0; i < trees.length; i++) {
      const at = w + ROOT_TREES + i * ROOT_TREE_WORDS;
      const tree = trees[i]!;
      m[at] = tree.top;
      m[at + 1] = tree.height;
      m[at + 2] = tree.count;
      m[at + 3] = tree.bytes;
    }
    this.saveOwn(w);
  }

  /** Bytes of memory outside the record. */
  get bytes(): number {
    let sum = this.isTree ? ROOT_BYTES + this.overflowBytes : 0;
    if (this.isTree) for (const tree of this.trees) sum += tree.bytes;
    return sum;
  }

  /** As `bytes`, including memory that the values of entries refer to (a stream's groups). May read every entry. */
  get wholeBytes(): number {
    return this.bytes;
  }

  // ---- the host of the packed page ----

  attachPage(page: Page): void {
    this.pages.useRegion(this.region);
    page.attach(this.base, this.end);
  }

  makeRoom(page: Page, bytes: number): void {
    const { store, copied } = this;
    const used = page.used;
    const { data } = page;
    const arrays = used - data;
    // Two pieces, because the free bytes lie between the arrays and the data. Sort keys stay aligned, because the value of a
    // record of the same key begins at the same remainder of 8.
    page.b.copy(copied, 0, page.base, page.base + arrays);
    page.b.copy(copied, arrays, page.end - data, page.end);
    const wanted = Math.min(used + bytes + ((used + bytes) >>> 3) + 8, PAGE_BYTES_MAX);
    const status = this.placeRecord(Encoding.Raw, wanted, ADMITTED | KEEPS_VALUE);
    assert(status === 0, "a command that has reserved memory finds it");
    store.cursor.setValueBytes(Math.min(rawCapacity(store.cursor.m, store.cursor.w), PAGE_BYTES_MAX));
    this.writeSpare();
    this.locatePacked(this.store.cursor);
    this.pages.useRegion(this.region);
    copied.copy(this.pages.b, this.base, 0, arrays);
    copied.copy(this.pages.b, this.end - data, arrays, used);
    page.attach(this.base, this.end);
  }

  /** Asserts every invariant of the open collection. */
  check(): void {
    assert(this.entries.count > 0 || this.mayBeEmpty, "a collection has at least one entry (COLLECTION-1)");
    if (this.isTree) for (const tree of this.trees) tree.check();
    else this.packed.check();
  }
}

/** Makes a newly allocated block an empty root. */
export function makeRoot(pages: ShardPages, root: Ref): void {
  const w = pages.locate(root) >> 2;
  pages.m.fill(0, w, w + ROOT_BYTES / 4);
  pages.m[w + BLOCK_EPOCH] = pages.epochNow();
  pages.m[w + BLOCK_INFO] = ROOT_BYTES | (BlockKind.Root << BLOCK_KIND_SHIFT);
  pages.m[w + BLOCK_LINK] = NO_REF;
}
