/**
 * String value: the value of a key that is a string, in one of three encodings.
 *
 *   Int      │ two words in the record: a 64-bit integer; its text is made when it is read │
 *   Raw      │ up to 64 KiB in the record, with slack after it once it has grown │
 *   Chunked  │ a node in the heap and 64 KiB chunks: large.ts │
 *
 * Call these methods under the shard's lock, with the key selected and looked up. Reading and `writeAt` need a string that
 * was found, and `createAt` a key that does not exist. `set` and its variants replace a value of any type, or create one.
 *
 * Invariants
 *   STRING-1  a string becomes Chunked when it exceeds INLINE_VALUE_MAX bytes; a Chunked string that is written to stays so
 *   STRING-2  a change that returns a Status has changed nothing
 * Locking: the holder of the shard lock.
 */
import { INT64_TEXT_BYTES_MAX, Int64Kind, formatInt64, int64, parseInt64, splitInt64 } from "../base/integers.ts";
import { type Status, isStatus } from "../base/status.ts";
import { firstByte, regionOf } from "../memory/arena.ts";
import { type Address, NO_ADDRESS } from "./address.ts";
import { Encoding, INLINE_VALUE_MAX, RecordType, markGrown, rawCapacity, rawValueAt, setValueBytes } from "./record.ts";
import { assert } from "../base/assert.ts";
import { STRING_CHUNK_BYTES, type StagedValue } from "./large.ts";
import { KeyEvent } from "./key-events.ts";
import { PLAIN, type Store } from "./store.ts";

/** Where the value of a string is in the segment files. */
export interface ColdString {
  readonly file: number;
  /** In units. */
  readonly offset: number;
  readonly length: number;
  readonly isChunked: boolean;
  readonly isGrown: boolean;
}

const INT_TEXT = Buffer.alloc(24);

export class StringValue {
  /** The bytes that `open` and `openPart` made readable, from `at`. `length`: their number, set by `open` only. */
  bytes: Buffer = INT_TEXT;
  at = 0;
  length = 0;
  /** Copy of a Raw value while it moves to another record, which may overlap the old one. */
  private copied = Buffer.allocUnsafe(1024);

  constructor(private readonly store: Store) {}

  // ---- reading ----

  /** Length in bytes of the string found. An integer counts as its text. */
  get lengthFound(): number {
    const { cursor } = this.store;
    if (cursor.storedEncoding !== Encoding.Int) return cursor.valueBytes;
    return formatInt64(INT_TEXT, 0, cursor.intLow, cursor.intHigh);
  }

  /** Makes the string found readable: `length` of `bytes` from `at`. Not for Chunked. Valid until the next change. */
  open(): void {
    const { cursor } = this.store;
    if (cursor.encoding === Encoding.Int) {
      this.length = formatInt64(INT_TEXT, 0, cursor.intLow, cursor.intHigh);
      this.bytes = INT_TEXT;
      this.at = 0;
    } else {
      assert(cursor.encoding === Encoding.Raw, "a chunked value is read by parts");
      this.bytes = cursor.b;
      this.at = cursor.rawAt;
      this.length = cursor.valueBytes;
    }
  }

  /**
   * As open, for a string of any length: makes the bytes from `position` on readable. Returns their number up to the end of
   * the string or of the chunk, 0 at or after the end of the string. Valid until the next call or change.
   */
  openPart(position: number): number {
    const { store } = this;
    const { cursor } = store;
    if (cursor.encoding !== Encoding.Chunked) {
      this.open();
      this.at += position;
      return Math.max(0, this.length - position);
    }
    const left = cursor.valueBytes - position;
    if (left <= 0) return 0;
    this.at = store.large.locateByte(cursor.shard, cursor.node, position);
    this.bytes = store.large.chunkBytes;
    return Math.min(left, STRING_CHUNK_BYTES - (position % STRING_CHUNK_BYTES));
  }

  /** Copies bytes of the string found into `target`. Returns their number, fewer than `length` at the string's end. */
  read(position: number, target: Buffer, offset: number, length: number): number {
    let done = 0;
    while (done < length) {
      const part = Math.min(length - done, this.openPart(position + done));
      if (part === 0) break;
      copyIn(this.bytes, this.at, target, offset + done, part);
      done += part;
    }
    return done;
  }

  /** True when writes up to byte `end` of the string found change it in place, and so cannot fail. */
  writesInPlace(end: number): boolean {
    const { store } = this;
    const { cursor } = store;
    if (!store.isMutable || cursor.encoding === Encoding.Int || end > cursor.valueBytes) return false;
    return cursor.encoding === Encoding.Chunked ? !store.isPinned : cursor.isGrown;
  }

  // ---- setting ----

  /**
   * Sets the selected key, just looked up, to a string. The text of an integer is stored as Int. `deadlineMs`: 0 = none.
   * Returns 0, or Status.
   */
  set(source: Uint8Array, offset: number, length: number, deadlineMs: number): number {
    return this.setWith(source, offset, length, deadlineMs, PLAIN);
  }

  /** As set. `how`: PLAIN, or KEEPS_VALUE when the caller still reads the chunks of the old value and frees them itself. */
  setWith(source: Uint8Array, offset: number, length: number, deadlineMs: number, how: number): number {
    if (length <= INT64_TEXT_BYTES_MAX && length > 0 && source[offset]! <= 0x39) {
      const kind = parseInt64(source, offset, length);
      if (kind === Int64Kind.Safe) splitInt64(int64.value);
      if (kind !== Int64Kind.None) return this.placeInt(int64.lo, int64.hi, deadlineMs, how);
    }
    return this.placeBytes(source, offset, length, deadlineMs, false, how);
  }

  /** As set, but never stores an Int. OBJECT ENCODING says "embstr", or "raw" with `isGrown`. */
  setBytes(source: Uint8Array, offset: number, length: number, deadlineMs: number, isGrown: boolean): number {
    return this.placeBytes(source, offset, length, deadlineMs, isGrown, PLAIN);
  }

  /** As set, for an integer given as two words. */
  setInt(low: number, high: number, deadlineMs: number): number {
    return this.placeInt(low, high, deadlineMs, PLAIN);
  }

  private placeBytes(
    source: Uint8Array,
    offset: number,
    length: number,
    deadlineMs: number,
    isGrown: boolean,
    how: number,
  ): number {
    if (length > INLINE_VALUE_MAX) return this.placeChunked(source, offset, length, deadlineMs, how);
    const { store } = this;
    const status = store.place(RecordType.String, Encoding.Raw, length, 0, deadlineMs, how);
    if (status < 0) return status;
    const { m, w, b } = store.cursor;
    setValueBytes(m, w, length);
    if (isGrown) markGrown(m, w);
    copyIn(source, offset, b, rawValueAt(m, w), length);
    store.changed(KeyEvent.Value);
    return 0;
  }

  private placeInt(low: number, high: number, deadlineMs: number, how: number): number {
    const { store } = this;
    const status = store.place(RecordType.String, Encoding.Int, 0, 0, deadlineMs, how);
    if (status < 0) return status;
    store.cursor.setInt(low, high);
    store.changed(KeyEvent.Value);
    return 0;
  }

  private placeChunked(source: Uint8Array, offset: number, length: number, deadlineMs: number, how: number): number {
    const { store } = this;
    const node = this.newLarge(length);
    if (isStatus(node)) return node;
    store.large.write(store.cursor.shard, node, 0, source, offset, length);
    const status = this.placeNode(node, length, deadlineMs, how);
    if (status === 0) store.changed(KeyEvent.Value);
    return status;
  }

  /** As setWith, for a value staged in chunks outside the lock. On failure the staged value is unchanged. */
  setStaged(staged: StagedValue, deadlineMs: number, how: number): number {
    const { store } = this;
    const { large, cursor } = store;
    const length = staged.total;
    assert(staged.bytes === length, "a staged value is complete");
    const node = large.link(cursor.shard, staged.frames, false);
    if (isStatus(node)) return node;
    const status = store.place(RecordType.String, Encoding.Chunked, 0, 0, deadlineMs, how);
    if (status < 0) {
      large.unlink(cursor.shard, node);
      return status;
    }
    staged.takeOver(store.nowSeconds);
    cursor.setChunked(node, length);
    store.changed(KeyEvent.Value);
    return 0;
  }

  /** Sets the selected key, just looked up, to a string in a segment file. Returns 0, or Status. */
  setCold(place: ColdString, deadlineMs: number): number {
    const { store } = this;
    const encoding = place.isChunked ? Encoding.ColdChunked : Encoding.Cold;
    const status = store.place(RecordType.String, encoding, 0, 0, deadlineMs, PLAIN);
    if (status < 0) return status;
    const { m, w } = store.cursor;
    setValueBytes(m, w, place.length);
    if (place.isGrown) markGrown(m, w);
    store.cold.refer(m, w, place.file, place.offset);
    store.changed(KeyEvent.Value);
    return 0;
  }

  /**
   * Makes the tree at `node` the value of the selected key: `total` bytes. `store.changed` is the caller's to call. Returns
   * 0, or Status with the tree freed.
   */
  private placeNode(node: Address, total: number, deadlineMs: number, how: number): number {
    const { store } = this;
    const { cursor } = store;
    const status = store.place(RecordType.String, Encoding.Chunked, 0, 0, deadlineMs, how);
    if (status < 0) {
      store.large.free(cursor.shard, node, store.nowSeconds);
      return status;
    }
    cursor.setChunked(node, total);
    return 0;
  }

  /** Makes a tree of chunks for `length` zero bytes in the selected key's shard. Returns its node, or Status. */
  newLarge(length: number): Address | Status {
    const { store } = this;
    const { shard } = store.cursor;
    const empty = store.large.link(shard, [], false);
    if (isStatus(empty)) return empty;
    const node = store.large.prepareWrite(shard, empty, 0, 0, length, false);
    if (isStatus(node)) store.large.free(shard, empty, store.nowSeconds);
    return node;
  }

  // ---- growing: the value is first made long enough, with zeros in gaps, and then written ----

  /**
   * Writes `length` bytes at `position` of the string found, which grows with zeros as needed. Returns its new length, or
   * Status.
   */
  writeAt(position: number, source: Uint8Array, offset: number, length: number): number {
    const { store } = this;
    const { cursor } = store;
    const had = this.lengthFound;
    const total = Math.max(had, position + length);
    if (cursor.encoding === Encoding.Chunked) {
      const node = this.prepareChunks(had, total, position, length);
      if (isStatus(node)) return node;
      store.large.write(cursor.shard, node, position, source, offset, length);
      store.changed(KeyEvent.Value);
      return total;
    }
    const status = total > INLINE_VALUE_MAX ? this.becomeChunked(had, total) : this.prepareRaw(had, total, position);
    if (status < 0) return status;
    this.writeHere(position, source, offset, length);
    return total;
  }

  /** As writeAt, for a key that does not exist: zeros up to `position`, and then the bytes. */
  createAt(position: number, source: Uint8Array, offset: number, length: number): number {
    const { store } = this;
    assert(store.cursor.address === NO_ADDRESS, "a key is created once");
    const total = position + length;
    let status: number;
    if (total > INLINE_VALUE_MAX) {
      const node = this.newLarge(total);
      if (isStatus(node)) return node;
      status = this.placeNode(node, total, 0, PLAIN);
    } else {
      status = store.place(RecordType.String, Encoding.Raw, total, 0, 0, PLAIN);
      if (status === 0) this.setRawLength(0, total, position);
    }
    if (status < 0) return status;
    this.writeHere(position, source, offset, length);
    return total;
  }

  /** Writes bytes into the value of the record found, which is Raw or Chunked and long enough. */
  private writeHere(position: number, source: Uint8Array, offset: number, length: number): void {
    const { store } = this;
    const { cursor } = store;
    if (cursor.encoding === Encoding.Chunked) {
      store.large.write(cursor.shard, cursor.node, position, source, offset, length);
    } else {
      copyIn(source, offset, cursor.b, rawValueAt(cursor.m, cursor.w) + position, length);
    }
    store.changed(KeyEvent.Value);
  }

  /**
   * As `writeAt`, with a value staged in chunks. The key need not exist. The staged chunks are copied, and the caller still
   * owns them.
   */
  writeStagedAt(position: number, staged: StagedValue): number {
    const { store } = this;
    const { cursor, large } = store;
    assert(staged.bytes === staged.total, "a staged value is complete");
    const isFound = cursor.address !== NO_ADDRESS;
    const had = isFound ? this.lengthFound : 0;
    const due = isFound ? cursor.deadlineMs : 0;
    const total = Math.max(had, position + staged.total);
    if (isFound && cursor.encoding === Encoding.Chunked) {
      const node = this.prepareChunks(had, total, position, staged.total);
      if (isStatus(node)) return node;
      this.copyStaged(node, position, staged);
      store.changed(KeyEvent.Value);
      return total;
    }
    const node = this.newLarge(total);
    if (isStatus(node)) return node;
    if (isFound) {
      this.open();
      large.write(cursor.shard, node, 0, this.bytes, this.at, had);
    }
    this.copyStaged(node, position, staged);
    const status = this.placeNode(node, total, due, PLAIN);
    if (status < 0) return status;
    store.changed(KeyEvent.Value);
    return total;
  }

  /** Makes the record found Raw, mutable and `total` bytes long. Its first `had` bytes stay. Returns 0, or Status. */
  private prepareRaw(had: number, total: number, position: number): number {
    const { store } = this;
    const { cursor } = store;
    if (cursor.encoding === Encoding.Raw && rawCapacity(cursor.m, cursor.w) >= total && store.isMutable) {
      store.beginChange();
      store.access.date(cursor.m, cursor.w);
      this.setRawLength(had, total, position);
      return 0;
    }
    this.open();
    if (had > this.copied.length) this.copied = Buffer.allocUnsafe(had * 2);
    this.bytes.copy(this.copied, 0, this.at, this.at + had);
    // A string that grew once will grow again, so half its size is left free, as far as it stays inline.
    const slack = total > had ? Math.min(total >>> 1, INLINE_VALUE_MAX - total) : 0;
    const status = store.place(RecordType.String, Encoding.Raw, total, slack, cursor.deadlineMs, PLAIN);
    if (status < 0) return status;
    copyIn(this.copied, 0, cursor.b, rawValueAt(cursor.m, cursor.w), had);
    this.setRawLength(had, total, position);
    return 0;
  }

  /** Makes the Raw record found `total` bytes long, with zeros from its old end `had` to `position`. */
  private setRawLength(had: number, total: number, position: number): void {
    const { m, w, b } = this.store.cursor;
    setValueBytes(m, w, total);
    markGrown(m, w);
    if (position <= had) return;
    const at = rawValueAt(m, w);
    b.fill(0, at + had, at + position);
  }

  /** Moves the string found, which becomes too long for its record, into chunks of `total` bytes. Returns 0, or Status. */
  private becomeChunked(had: number, total: number): number {
    const { cursor, large } = this.store;
    const due = cursor.deadlineMs;
    const node = this.newLarge(total);
    if (isStatus(node)) return node;
    this.open();
    large.write(cursor.shard, node, 0, this.bytes, this.at, had);
    return this.placeNode(node, total, due, PLAIN);
  }

  /**
   * Makes the Chunked string found `total` bytes long and ready for `length` bytes to be written at `position`, with zeros
   * from its old end to there. Returns its node, or Status.
   */
  private prepareChunks(had: number, total: number, position: number, length: number): Address | Status {
    const { store } = this;
    const { cursor, large } = store;
    if (!store.isMutable) {
      const status = store.relocate(cursor.deadlineMs, 0, PLAIN);
      if (status < 0) return status as Status;
    }
    store.beginChange();
    const { shard } = cursor;
    const node = large.prepareWrite(shard, cursor.node, had, position, position + length, false);
    if (isStatus(node)) return node;
    cursor.setChunked(node, total);
    store.access.date(cursor.m, cursor.w);
    if (position > had) large.zero(shard, node, had, position);
    return node;
  }

  private copyStaged(node: Address, position: number, staged: StagedValue): void {
    const { store } = this;
    let done = 0;
    for (const frame of staged.frames) {
      const part = Math.min(STRING_CHUNK_BYTES, staged.bytes - done);
      const source = store.arena.bytesOf(regionOf(frame));
      store.large.write(store.cursor.shard, node, position + done, source, firstByte(frame), part);
      done += part;
    }
  }
}

/** Copies `length` bytes from a message into a region. A loop is faster for a few bytes. */
export function copyIn(source: Uint8Array, offset: number, target: Buffer, at: number, length: number): void {
  if (length <= 16) {
    for (let i = 0; i < length; i++) target[at + i] = source[offset + i]!;
  } else {
    (source as Buffer).copy(target, at, offset, offset + length);
  }
}
