/**
 * Record cursor: the key that a command has selected, and the record that was found for it.
 *
 *   selection │ keyspace │ shard, keyspace header │ key │ version │
 *   record    │ address │ region: its words `m`, its bytes `b` │ word `w` within `m` │
 *
 * The views belong to the cursor alone. Work elsewhere in the shard (a tree's pages, the wheel, a large value) locates
 * blocks through Segments or ShardPages and leaves the cursor where it is.
 *
 * The store moves it: `select` and `selectRecord` name another key, `find` looks up its record, and the changes of that
 * record (`place`, `relocate`, `remove`) follow it to its new place. All other code sees a FoundRecord, whose fields cannot
 * be assigned. `m` and `w` in variables are stale after a change of the record: read them again.
 *
 * Invariants
 *   CURSOR-1  address is NO_ADDRESS, or names a live record of the selected key, and m, b and w lead to that record, or to an
 *             image of it that has its cold value (cold.ts)
 *   CURSOR-2  version grows with each selection: what was read of a record is current while the version, and the lock, stay
 */
import type { Ref } from "../structures/pages.ts";
import { type Address, NO_ADDRESS } from "./address.ts";
import {
  Encoding,
  type RecordType,
  deadline,
  fixedHigh,
  fixedLow,
  hasDeadlineWords,
  hasKey,
  isDead,
  isCold,
  isGrown,
  isImage,
  NO_REGION,
  nodeOf,
  rawValueAt,
  recordEncoding,
  recordType,
  setFixed,
  setNode,
  setValueBytes,
  valueBytes,
  writeImageHead,
} from "./record.ts";
import type { Segments } from "./segments.ts";
import type { KeyspaceRef, Shard } from "./shard.ts";
import { assert, CHECKS } from "../base/assert.ts";
import type { ColdValues } from "./cold.ts";
import type { ColdImage } from "./cold-cursor.ts";
import type { Key } from "./key.ts";

/** Length of an Int value. */
const INT_BYTES = 8;

export class RecordCursor {
  shard: Shard;
  /** Header of the keyspace in the shard. */
  ks: KeyspaceRef;
  keyspace: number;
  key: Key;
  /** Counts selections (CURSOR-2). */
  version: number;
  /** Address of the record, NO_ADDRESS when the key is not there or is hidden. */
  address: Address;
  /** Words and bytes of the region that the record lies in, and its first word. */
  m: Int32Array;
  w: number;
  b: Buffer;
  /** While `address` is NO_ADDRESS: the hidden record of the key (expiry-mode.ts), NO_ADDRESS = none. */
  hidden: Address;
  private readonly segments: Segments;
  private readonly cold: ColdValues;
  /** The cursor of commands: they may wait for a cold value, and bring it back. */
  readonly isOfCommands: boolean;

  // All fields are set here: they then lie in the object itself, not behind a pointer.
  constructor(segments: Segments, cold: ColdValues, key: Key, shard: Shard, isOfCommands: boolean) {
    this.shard = shard;
    this.ks = shard.keyspace(0);
    this.keyspace = 0;
    this.key = key;
    this.version = 0;
    this.address = NO_ADDRESS;
    this.m = segments.m;
    this.w = 0;
    this.b = segments.b;
    this.hidden = NO_ADDRESS;
    this.segments = segments;
    this.cold = cold;
    this.isOfCommands = isOfCommands;
  }

  // ---- moves: the store's alone ----

  /** Moves to the record at `address`, which `segments` has just located at word `w`. */
  moveTo(address: Address, w: number): void {
    this.address = address;
    this.w = w;
    if (this.m !== this.segments.m) this.look();
  }
  /** Takes over the views of the region that `segments` has just located a record in. */
  look(): void {
    this.m = this.segments.m;
    this.b = this.segments.b;
  }
  /** The selected key is not there. */
  leave(): void {
    this.address = NO_ADDRESS;
    this.hidden = NO_ADDRESS;
  }
  /** The selected key is there, but hidden: an insert must not leave its record beside the new one. */
  hide(): void {
    this.hidden = this.address;
    this.address = NO_ADDRESS;
  }

  /** Moves to an image of the record, whose value is cold. The address stays. */
  moveToImage({ m, b }: ColdImage): void {
    this.w = writeImageHead(this.m, this.w, m);
    this.m = m;
    this.b = b;
  }
  /** Moves to a copy of the record, whose cold value is borrowed (cold-large.ts). The address stays. */
  moveToBorrower({ m, b }: ColdImage): void {
    this.w = 0;
    this.m = m;
    this.b = b;
  }
  /** Moves from an image back to the record itself, if the cursor is on one. */
  leaveImage(): void {
    if (isImage(this.m, this.w)) this.moveTo(this.address, this.segments.locate(this.shard, this.address));
  }

  // ---- the record ----

  get type(): RecordType {
    if (CHECKS) this.check();
    return recordType(this.m, this.w);
  }
  /**
   * How the value is encoded, for a caller that reads it: a cold value is made readable first. Throws ColdMiss or ColdFailure
   * (cold.ts).
   */
  get encoding(): Encoding {
    const encoding = recordEncoding(this.m, this.w);
    return encoding >= Encoding.Cold ? this.bringIn() : encoding;
  }
  /** As `encoding`, for a caller that does not read the value: it may be cold. */
  get storedEncoding(): Encoding {
    return recordEncoding(this.m, this.w);
  }
  /** Makes the value readable, as `encoding` does, before anything is changed. */
  makeReadable(): void {
    if (isCold(this.m, this.w)) this.bringIn();
  }
  private bringIn(): Encoding {
    this.cold.bringIn(this);
    return recordEncoding(this.m, this.w);
  }
  /** True when the string was changed in place or made by it: "raw" to OBJECT ENCODING. */
  get isGrown(): boolean {
    return isGrown(this.m, this.w);
  }
  /** True when the record has room for a deadline, set or not. */
  get hasDeadlineWords(): boolean {
    return hasDeadlineWords(this.m, this.w);
  }
  /** Deadline of the key, ms; 0 = none. */
  get deadlineMs(): number {
    return deadline(this.m, this.w);
  }
  /** Byte offset within `b` of a Raw value. */
  get rawAt(): number {
    if (CHECKS) this.check();
    return rawValueAt(this.m, this.w);
  }
  /** Length of a Raw value, total bytes of a Chunked one, 8 for Int. */
  get valueBytes(): number {
    return valueBytes(this.m, this.w);
  }
  /** Low and high word of an Int value. */
  get intLow(): number {
    return fixedLow(this.m, this.w);
  }
  get intHigh(): number {
    return fixedHigh(this.m, this.w);
  }
  /** Address of a Chunked value's node, or of a Tree's root. */
  get node(): Address {
    if (CHECKS) this.check();
    return nodeOf(this.m, this.w);
  }
  /** True while the value is in a segment file and was not made readable. */
  get isCold(): boolean {
    return isCold(this.m, this.w);
  }
  /** Number of the region that the record lies in, NO_REGION for an image. */
  get region(): number {
    return isImage(this.m, this.w) ? NO_REGION : this.segments.regionOf(this.shard, this.address);
  }

  setValueBytes(bytes: number): void {
    setValueBytes(this.m, this.w, bytes);
  }
  /** Names the root of a Tree. */
  setNode(node: Ref): void {
    setNode(this.m, this.w, node);
  }
  /** Writes the value of an Int record that was just placed. */
  setInt(low: number, high: number): void {
    setValueBytes(this.m, this.w, INT_BYTES);
    setFixed(this.m, this.w, low, high);
  }
  /** Writes the value of a Chunked record that was just placed: its node and its total bytes. */
  setChunked(node: Address, bytes: number): void {
    setValueBytes(this.m, this.w, bytes);
    setFixed(this.m, this.w, node, 0);
  }

  /** Asserts CURSOR-1. */
  check(): void {
    const { m, w, key, segments, shard, address } = this;
    assert(address !== NO_ADDRESS, "a record that is read was found (CURSOR-1)");
    if (isImage(m, w)) return assert(hasKey(m, w, key), "a cursor is on an image of its key (CURSOR-1)");
    assert(segments.wordOf(shard, address) === w, "a cursor is where its record lies (CURSOR-1)");
    assert(
      segments.arena.wordsOf(segments.regionOf(shard, address)) === m,
      "a cursor sees its record's region (CURSOR-1)",
    );
    assert(!isDead(m, w), "a cursor is on a live record (CURSOR-1)");
    assert(hasKey(m, w, key), "a cursor is on a record of its key (CURSOR-1)");
  }
}

/** The cursor as all code but the store sees it. */
export type FoundRecord = Readonly<
  Omit<RecordCursor, "moveTo" | "moveToImage" | "moveToBorrower" | "leaveImage" | "look" | "leave" | "hide">
>;
