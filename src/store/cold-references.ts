/**
 * References to cold values (cold.ts) that are read later, without a lock: what a snapshot keeps of the records that it emits.
 *
 *   reference, in words
 *   0 │ the words of the record before its key, which have the place of the value (8) │ database │ shard │ address │ 0 │
 *
 * The first words are the head of a cold record, so the accessors of record.ts read them. With the entry from the disk they
 * become an image of the record, whatever has happened to the record itself.
 *
 * A reference pins its file (COLDFILE-1). Locking: none, they belong to one thread; `add` is called with the record's lock.
 */
import { assert } from "../base/assert.ts";
import type { Address } from "./address.ts";
import { coldFile, coldOffset, entryBytes } from "./cold.ts";
import type { ColdImage } from "./cold-cursor.ts";
import type { ColdFiles } from "./cold-files.ts";
import type { Key } from "./key.ts";
import { comesBackWhole, IMAGE_KEY_WORD, keyAt, keyBytes, valueBytes } from "./record.ts";
import type { FoundRecord, RecordCursor } from "./record-cursor.ts";
import type { Store } from "./store.ts";

const HEAD_WORDS = 8;
const DATABASE = 8;
const SHARD = 9;
const ADDRESS = 10;
const REFERENCE_WORDS = 12;

export class ColdReferences {
  count = 0;
  /** Bytes of all entries. */
  bytes = 0;
  private readonly m: Int32Array;
  private readonly files: ColdFiles;

  constructor(
    private readonly store: Store,
    readonly capacity: number,
  ) {
    this.m = new Int32Array(capacity * REFERENCE_WORDS);
    this.files = store.cold.files;
  }

  private wordOf(n: number): number {
    return n * REFERENCE_WORDS;
  }

  /** Adds the cold record that `at` is on, whose lock is held. */
  add(at: FoundRecord, database: number): void {
    assert(this.count < this.capacity, "there is room for the reference");
    const { m } = this;
    const to = this.wordOf(this.count);
    const words = keyAt(at.m, at.w) - at.w;
    assert(words <= HEAD_WORDS, "the head of a record fits into a reference");
    for (let i = 0; i < words; i++) m[to + i] = at.m[at.w + i]!;
    m[to + DATABASE] = database;
    m[to + SHARD] = at.shard.number;
    m[to + ADDRESS] = at.address;
    this.files.pin(coldFile(m, to));
    this.bytes += this.entryBytes(this.count);
    this.count++;
  }

  file(n: number): number {
    return coldFile(this.m, this.wordOf(n));
  }
  /** In units from the begin of the file. */
  offset(n: number): number {
    return coldOffset(this.m, this.wordOf(n));
  }
  entryBytes(n: number): number {
    const w = this.wordOf(n);
    return entryBytes(keyBytes(this.m, w), valueBytes(this.m, w));
  }
  database(n: number): number {
    return this.m[this.wordOf(n) + DATABASE]!;
  }

  /** The value is read, or not wanted: the file may go. */
  unpin(n: number): void {
    this.files.unpin(this.file(n));
  }

  /** Numbers of the references, ordered by the places of their values. */
  byPlace(): Uint32Array {
    const order = Uint32Array.from({ length: this.count }, (_, n) => n);
    return order.sort((a, b) => this.file(a) - this.file(b) || this.offset(a) - this.offset(b));
  }

  /**
   * Moves `at` to the image of record `n`: `image` has its entry. The cursor's key becomes the record's. A value that comes back
   * whole is still cold then.
   */
  open(n: number, at: RecordCursor, key: Key, image: ColdImage): void {
    const w = this.wordOf(n);
    key.loadWords(image.m, IMAGE_KEY_WORD, keyBytes(this.m, w));
    at.shard = this.store.shards[this.m[w + SHARD]!]!;
    // As it was under the lock: an image is read without it.
    at.address = this.m[w + ADDRESS]! as Address;
    at.m = this.m;
    at.w = w;
    if (!comesBackWhole(at.m, w)) at.moveToImage(image);
  }

  clear(): void {
    this.count = this.bytes = 0;
  }
}
