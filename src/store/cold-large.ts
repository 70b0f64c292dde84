/**
 * Cold values that in memory lie outside their records: the trees of collections and the chunks of long strings. Their bytes in
 * a segment file are the image of the trees (collection-image.ts), or those of the string.
 *
 *   in memory │ header: Tree or Chunked          │ root or node │ 0      │ key │
 *   cold      │ header: with the bit of a cold value │ file     │ offset │ key │      the same record, changed where it lies
 *
 * Nothing reads these bytes where they were read to: a value comes back whole. For a command it is the key's value from then
 * on. A dump or a snapshot *borrows* it: the value lies in the shard's heap until it was read, a copy of the record refers to
 * it, and the record of the key stays cold.
 * Locking: the holder of the shard lock.
 */
import { assert } from "../base/assert.ts";
import { isStatus } from "../base/status.ts";
import type { Address } from "./address.ts";
import type { ColdCursor, ColdImage } from "./cold-cursor.ts";
import { ColdFailure } from "./cold-stops.ts";
import { CollectionImage, NO_IMAGE } from "./collection-image.ts";
import { type LargeValues, STRING_CHUNK_BYTES } from "./large.ts";
import {
  Encoding,
  isChunkedForm,
  keyBytes,
  markCold,
  markInMemory,
  nodeOf,
  recordEncoding,
  setFixed,
  setValueBytes,
  valueBytes,
  writeBorrower,
} from "./record.ts";
import type { Section } from "./section.ts";
import type { Shard } from "./shard.ts";
import type { ShardPages } from "./shard-pages.ts";
import { NO_REF } from "../structures/pages.ts";

/** Words of a record without its key, at most. */
const HEAD_WORDS_MAX = 8;

/** A value that lies in the heap until it was read. */
interface Borrowed {
  readonly at: ColdCursor;
  readonly shard: Shard;
  readonly node: Address;
  readonly isChunked: boolean;
}

export class ColdLarge {
  private readonly image: CollectionImage;
  private readonly borrowed: Borrowed[] = [];

  constructor(
    private readonly large: LargeValues,
    private readonly pages: ShardPages,
    private readonly section: Section,
    private readonly now: { readonly nowSeconds: number },
    memberSeed: number,
  ) {
    this.image = new CollectionImage(pages, memberSeed);
  }

  // ---- to disk ----

  /** Bytes of the value outside its record, 0 = it lies in the record. */
  bytesOf(shard: Shard, m: Int32Array, w: number): number {
    const encoding = recordEncoding(m, w);
    if (encoding === Encoding.Chunked) return valueBytes(m, w);
    if (encoding !== Encoding.Tree) return 0;
    this.pages.select(shard);
    return this.pages.bytesOf(nodeOf(m, w));
  }

  /** Writes the value into `b`, from `at` to `end` at most. Returns its bytes there, 0 = no room. */
  write(shard: Shard, m: Int32Array, w: number, b: Buffer, at: number, end: number): number {
    const node = nodeOf(m, w);
    if (recordEncoding(m, w) === Encoding.Tree) return this.image.write(shard, node, b, at, end);
    const length = valueBytes(m, w);
    if (length > end - at) return 0;
    this.large.read(shard, node, 0, b, at, length);
    return length;
  }

  /** True when the value is the one that `write` has written as `length` bytes at `at` of `b`. */
  isAsWritten(shard: Shard, m: Int32Array, w: number, b: Buffer, at: number, length: number): boolean {
    const node = nodeOf(m, w);
    const encoding = recordEncoding(m, w);
    if (encoding === Encoding.Tree) return this.image.matches(shard, node, b, at, length);
    if (encoding !== Encoding.Chunked || valueBytes(m, w) !== length) return false;
    for (let done = 0; done < length; done += STRING_CHUNK_BYTES) {
      const part = Math.min(STRING_CHUNK_BYTES, length - done);
      const from = this.large.locateByte(shard, node, done);
      if (b.compare(this.large.chunkBytes, from, from + part, at + done, at + done + part) !== 0) return false;
    }
    return true;
  }

  /** The value of the record at `w` is `length` bytes in `file`, at `offset`: frees it. */
  makeCold(shard: Shard, m: Int32Array, w: number, file: number, offset: number, length: number): void {
    const node = nodeOf(m, w);
    const isChunked = recordEncoding(m, w) === Encoding.Chunked;
    markCold(m, w);
    setFixed(m, w, file, offset | 0);
    setValueBytes(m, w, length);
    this.free(shard, node, isChunked);
  }

  private free(shard: Shard, node: Address, isChunked: boolean): void {
    if (isChunked) return this.large.free(shard, node, this.now.nowSeconds);
    this.pages.select(shard);
    this.pages.freeCollection(node);
  }

  // ---- back ----

  /** The cold record at `w` refers to the value at `node` from now on. The caller has counted it out of its file. */
  bringBack(m: Int32Array, w: number, node: Address): void {
    markInMemory(m, w);
    setFixed(m, w, node, 0);
    if (recordEncoding(m, w) === Encoding.Tree) setValueBytes(m, w, 0);
  }

  /**
   * Makes the value of the cold record at `w`, which is `length` bytes at `at` of `b`. Returns its root or node, NO_REF when there
   * is no memory. Throws ColdFailure when the bytes are no value.
   */
  make(shard: Shard, m: Int32Array, w: number, b: Buffer, at: number, length: number): Address {
    if (isChunkedForm(m, w)) return this.makeChunked(shard, b, at, length);
    const root = this.image.restore(shard, b, at, length);
    if (root === NO_IMAGE) throw new ColdFailure("IOERR a segment has another collection than was written");
    return root as Address;
  }

  private makeChunked(shard: Shard, b: Buffer, at: number, length: number): Address {
    const { large, pages } = this;
    pages.select(shard);
    if (!pages.reserve(length + STRING_CHUNK_BYTES)) return NO_REF as Address;
    const empty = large.link(shard, [], true);
    const node = isStatus(empty) ? empty : large.prepareWrite(shard, empty, 0, 0, length, true);
    assert(!isStatus(node), "a reserved value finds memory");
    large.write(shard, node, 0, b, at, length);
    return node;
  }

  /**
   * Moves `at`, which is on a cold record, to a copy of that which refers to the value at `node`, until `giveBack`. `image`: the
   * entry of the value.
   */
  lend(at: ColdCursor, image: ColdImage, node: Address): void {
    const { m, w } = at;
    const isChunked = isChunkedForm(m, w);
    const bytes = (HEAD_WORDS_MAX + ((keyBytes(m, w) + 3) >>> 2)) * 4;
    const buffer = new ArrayBuffer((bytes + 7) & ~7);
    const copy = { m: new Int32Array(buffer), b: Buffer.from(buffer) };
    writeBorrower(m, w, image.m, copy.m, node);
    at.moveToBorrower(copy);
    this.borrowed.push({ at, shard: at.shard, node, isChunked });
  }

  /** How many values are lent. */
  get lent(): number {
    return this.borrowed.length;
  }
  /** Takes back all values but the first `lent`: they were read. */
  giveBack(lent: number): void {
    const { borrowed } = this;
    while (borrowed.length > lent) {
      const { at, shard, node, isChunked } = borrowed.pop()!;
      if (at.isOfCommands) at.leaveImage();
      shard.rearranges();
      assert(this.section.holds(shard), "a value is given back under the lock that it was borrowed under");
      this.free(shard, node, isChunked);
    }
  }
}
