/**
 * Value transfer: moves or copies a value of any type from one key to another (RENAME, MOVE, COPY), or takes it for a reply
 * that is written after its key has changed (SET ... GET).
 *
 *   select source, find, take ─► select target, prepareInsert, find, put ─► for a move: select source, find, removeSource
 *
 *   Int, Raw string │ two words, or a copy of the bytes │
 *   packed page     │ a copy in memory of its own (moved-page.ts) │
 *   Chunked, Tree   │ the address of its node or root, which moves within its shard and is copied to another │
 *
 * A taken value is valid until the next `take`. A node or root still belongs to the record in which it was found.
 * Locking: the holder of the locks of both shards, from `take` to the end.
 */
import { Status, isStatus } from "../base/status.ts";
import { type Address, NO_ADDRESS } from "./address.ts";
import { Encoding, RecordType, accessClock, markGrown, setAccessClock, setSpareBits, spareBits } from "./record.ts";
import type { Shard } from "./shard.ts";
import { NO_REF, type Ref } from "../structures/pages.ts";
import { assert } from "../base/assert.ts";
import { MovedPage } from "./moved-page.ts";
import { CollectionCopy, copyAtOnce } from "./collection-copy.ts";
import { hasTimedMembers } from "./deadlines.ts";
import { STRING_CHUNK_BYTES } from "./large.ts";
import type { ShardPages } from "./shard-pages.ts";
import { KeyEvent } from "./key-events.ts";
import { KEEPS_VALUE, PLAIN, type Store } from "./store.ts";
import { copyIn, type StringValue } from "./string-value.ts";

export class ValueTransfer {
  /** The taken value: a Raw string's bytes, an Int's words, or the node or root. */
  type: RecordType = RecordType.String;
  encoding: Encoding = Encoding.Raw;
  length = 0;
  bytes = Buffer.allocUnsafe(1024);
  low = 0;
  high = 0;
  node: Address = NO_ADDRESS;
  /** Shard of the source. */
  shard: Shard;
  private spare = 0;
  private isGrown = false;
  private access = 0;
  /** True when `put` has given the source's own node or root to the target. */
  private isMoved = false;
  private readonly page: MovedPage;
  private readonly source: ShardPages;
  private readonly target: ShardPages;

  constructor(
    private readonly store: Store,
    private readonly strings: StringValue,
  ) {
    this.source = store.newPages();
    this.target = store.newPages();
    this.shard = store.shards[0]!;
    this.page = new MovedPage(this.source);
  }

  /** Takes the value of the record found. */
  take(): void {
    const { cursor } = this.store;
    assert(cursor.address !== NO_ADDRESS, "a value is taken from a record");
    this.type = cursor.type;
    this.encoding = cursor.encoding;
    this.shard = cursor.shard;
    this.length = cursor.valueBytes;
    this.isGrown = cursor.isGrown;
    this.isMoved = false;
    this.access = accessClock(cursor.m, cursor.w);
    this.spare = spareBits(cursor.m, cursor.w);
    if (this.encoding === Encoding.Int) {
      this.low = cursor.intLow;
      this.high = cursor.intHigh;
    } else if (this.encoding !== Encoding.Raw) {
      this.node = cursor.node;
    } else if (this.type !== RecordType.String) {
      this.source.useRecord(cursor);
      this.page.copyFrom(this.type, cursor.rawAt, cursor.rawAt + this.length);
    } else {
      if (this.length > this.bytes.length) this.bytes = Buffer.allocUnsafe(this.length);
      copyIn(cursor.b, cursor.rawAt, this.bytes, 0, this.length);
    }
  }

  /** True when the taken value is a collection that is a tree. */
  get isTree(): boolean {
    return this.encoding === Encoding.Tree;
  }

  /** True when `put` would have to copy a collection of more than `bytes`. */
  mustCopyMoreThan(bytes: number, moves: boolean): boolean {
    if (!this.isTree || (moves && this.shard === this.store.cursor.shard)) return false;
    this.source.select(this.shard);
    return this.source.bytesOf(this.node) > bytes;
  }

  /** Begins a copy in steps of the taken tree, for the selected key. Both shards are locked, and the source is pinned. */
  copyInSteps(): CollectionCopy {
    const { store } = this;
    const source = store.newPages();
    const target = store.newPages();
    source.select(this.shard);
    target.select(store.cursor.shard);
    return new CollectionCopy(source, target, this.node);
  }

  /**
   * Gives the selected key, just looked up, the taken value. `copied`: root of a copy in that key's shard, which then belongs
   * to the key, NO_REF = none. `moves`: `removeSource` follows before the locks are released, so that a node or root may be
   * moved instead of copied. Returns 0, or Status with nothing changed.
   */
  put(deadlineMs: number, moves: boolean, copied: Ref): number {
    const { store } = this;
    const status = this.place(deadlineMs, moves, copied);
    if (status < 0) return status;
    const { cursor, access } = store;
    if (this.type !== RecordType.String) {
      setSpareBits(cursor.m, cursor.w, this.spare);
      if (hasTimedMembers(cursor)) store.setMembersDue(store.openCollection!().earliest);
    }
    // A renamed key keeps its frequency, and is used now. A copy begins like a new key.
    if (access.countsFrequency) {
      setAccessClock(cursor.m, cursor.w, moves ? this.access : access.first);
      if (moves) access.date(cursor.m, cursor.w);
    }
    store.changed(KeyEvent.Value);
    return 0;
  }

  private place(deadlineMs: number, moves: boolean, copied: Ref): number {
    if (this.encoding === Encoding.Tree) return this.placeTree(deadlineMs, moves, copied);
    if (this.encoding === Encoding.Chunked) return this.placeChunked(deadlineMs, moves);
    if (this.type !== RecordType.String) return this.placePage(deadlineMs);
    const { store, encoding, length } = this;
    const isRaw = encoding === Encoding.Raw;
    const status = store.place(this.type, encoding, isRaw ? length : 0, 0, deadlineMs, PLAIN);
    if (status < 0) return status;
    const { cursor } = store;
    if (isRaw) {
      cursor.setValueBytes(length);
      copyIn(this.bytes, 0, cursor.b, cursor.rawAt, length);
    } else {
      cursor.setInt(this.low, this.high);
    }
    if (this.isGrown) markGrown(cursor.m, cursor.w);
    return 0;
  }

  private placePage(deadlineMs: number): number {
    const { store, page } = this;
    const { cursor } = store;
    const { bytes } = page;
    const status = store.place(this.type, Encoding.Raw, bytes, 0, deadlineMs, PLAIN);
    if (status < 0) return status;
    cursor.setValueBytes(bytes);
    this.source.useRecord(cursor);
    page.writeTo(cursor.rawAt, cursor.rawAt + bytes);
    return 0;
  }

  /** Moves a large string within its shard, or copies it chunk by chunk. */
  private placeChunked(deadlineMs: number, moves: boolean): number {
    const { store } = this;
    const { cursor } = store;
    const movesNode = moves && this.shard === cursor.shard;
    const node = movesNode ? this.node : this.copyChunks();
    if (isStatus(node)) return node;
    const status = store.place(this.type, Encoding.Chunked, 0, 0, deadlineMs, PLAIN);
    if (status < 0) {
      if (!movesNode) store.large.free(cursor.shard, node, store.nowSeconds);
      return status;
    }
    this.isMoved = movesNode;
    cursor.setChunked(node, this.length);
    return 0;
  }

  private copyChunks(): Address | Status {
    const { large, cursor } = this.store;
    const { length } = this;
    const node = this.strings.newLarge(length);
    if (isStatus(node)) return node;
    for (let position = 0; position < length; position += STRING_CHUNK_BYTES) {
      const at = large.locateByte(this.shard, this.node, position);
      const source = large.chunkBytes;
      large.write(cursor.shard, node, position, source, at, Math.min(STRING_CHUNK_BYTES, length - position));
    }
    return node;
  }

  /** Places the trees of a collection: the copy made in steps, the moved trees, or a copy made now. */
  private placeTree(deadlineMs: number, moves: boolean, copied: Ref): number {
    const { store, source, target } = this;
    const { cursor } = store;
    const movesNode = moves && copied === NO_REF && this.shard === cursor.shard;
    let root = copied !== NO_REF ? copied : this.node;
    if (copied === NO_REF && !movesNode) {
      source.select(this.shard);
      target.select(cursor.shard);
      if (!target.reserve(source.bytesOf(root))) return Status.Busy;
      root = copyAtOnce(source, target, root);
      if (root === NO_REF) return Status.Busy;
    }
    const status = store.place(this.type, Encoding.Tree, 0, 0, deadlineMs, PLAIN);
    if (status < 0) {
      if (copied === NO_REF && !movesNode) target.freeCollection(root);
      return status;
    }
    this.isMoved = movesNode;
    cursor.setValueBytes(0);
    cursor.setNode(root);
    return 0;
  }

  /** Removes the record found, whose value `put` with `moves` has given to another key. */
  removeSource(event: KeyEvent): void {
    this.store.removeWith(event, this.isMoved ? KEEPS_VALUE : PLAIN);
  }

  /** Frees the chunks of a taken string that a set with KEEPS_VALUE has replaced in its key. */
  freeTaken(): void {
    const { store } = this;
    if (this.encoding === Encoding.Chunked) store.large.free(this.shard, this.node, store.nowSeconds);
  }
}
