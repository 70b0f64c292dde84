/**
 * Record cursor: the key that a command has selected, and the record that was found for it.
 *
 *   selection │ keyspace │ shard, its header's word, the keyspace's word │ key │ version │
 *   record    │ address │ region: its words `m`, its bytes `b` │ word `w` within `m` │
 *
 * The views belong to the cursor alone. Work elsewhere in the shard (a tree's pages, the wheel, a large value) locates
 * blocks through Segments or ShardPages and leaves the cursor where it is.
 *
 * The store moves it: `select` and `selectRecord` name another key, `find` looks for its record, and the changes of that
 * record (`place`, `relocate`, `remove`) follow it to where it went. Everybody else sees a FoundRecord, whose fields
 * cannot be assigned. A place that is kept in a variable across a change of the record is stale: read `m` and `w` again.
 *
 * Invariants
 *   C1  address is NO_ADDRESS, or names a live record of the selected key, and m, b and w lead to that record
 *   C2  version grows with each selection: what was read of a record is current while the version, and the lock, stay
 */
import { assert, CHECKS } from "../base/assert.ts";
import type { Key } from "./key.ts";
import {
  deadline,
  type Encoding,
  fixedAt,
  hasDeadlineWords,
  isDead,
  isGrown,
  keyAt,
  keyBytes,
  rawValueAt,
  recordEncoding,
  type RecordType,
  recordType,
  setNode,
  valueBytes,
} from "./record.ts";
import { type Address, NO_ADDRESS, type Segments } from "./segments.ts";

export class RecordCursor {
  shard: number;
  /** Word of the shard's header, and of the keyspace's within it, in the control block. */
  header: number;
  ks: number;
  keyspace: number;
  key: Key;
  /** Counts selections (C2). */
  version: number;
  /** Address of the record, NO_ADDRESS when the key is not there or is hidden. */
  address: Address;
  /** Words and bytes of the region that the record lies in, and its first word. */
  m: Int32Array;
  w: number;
  b: Buffer;
  /** While `address` is NO_ADDRESS: the record of the key that is hidden (expiry-mode.ts), NO_ADDRESS = none. */
  hidden: Address;
  private readonly segments: Segments;

  // All fields are set here: they then lie in the object itself, not behind a pointer.
  constructor(segments: Segments, key: Key) {
    this.shard = 0;
    this.header = 0;
    this.ks = 0;
    this.keyspace = 0;
    this.key = key;
    this.version = 0;
    this.address = NO_ADDRESS;
    this.m = segments.m;
    this.w = 0;
    this.b = segments.b;
    this.hidden = NO_ADDRESS;
    this.segments = segments;
  }

  // ---- moves: the store's alone ----

  /** Moves to the record at `address`, which `segments` has just located at word `w`. */
  moveTo(address: Address, w: number): void {
    this.address = address;
    this.w = w;
    if (this.m !== this.segments.m) this.look();
  }
  /** Looks at the region that `segments` has just located a record in. */
  look(): void {
    this.m = this.segments.m;
    this.b = this.segments.b;
  }
  /** The key selected is not there. */
  leave(): void {
    this.address = NO_ADDRESS;
    this.hidden = NO_ADDRESS;
  }
  /** The key selected is there, but hidden: an insert must not leave its record beside the new one. */
  hide(): void {
    this.hidden = this.address;
    this.address = NO_ADDRESS;
  }

  // ---- the record ----

  get type(): RecordType {
    if (CHECKS) this.check();
    return recordType(this.m, this.w);
  }
  get encoding(): Encoding {
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
  /** Length of a Raw value, total bytes of a Paged one, 8 for Int. */
  get valueBytes(): number {
    return valueBytes(this.m, this.w);
  }
  /** Low and high word of an Int value. */
  get intLow(): number {
    return this.m[fixedAt(this.m, this.w)]!;
  }
  get intHigh(): number {
    return this.m[fixedAt(this.m, this.w) + 1]!;
  }
  /** Address of a Paged value's node, or of a Tree's root. */
  get node(): Address {
    if (CHECKS) this.check();
    return this.m[fixedAt(this.m, this.w)]!;
  }
  /** Number of the region that the record lies in. */
  get region(): number {
    return this.segments.regionOf(this.shard, this.address);
  }

  setValueBytes(bytes: number): void {
    this.m[this.w + 2] = bytes;
  }
  /** Names the root of a Tree. */
  setNode(node: Address): void {
    setNode(this.m, this.w, node);
  }
  /** Writes the value of an Int record that was just placed. */
  setInt(low: number, high: number): void {
    const { m, w } = this;
    m[w + 2] = 8;
    const at = fixedAt(m, w);
    m[at] = low;
    m[at + 1] = high;
  }
  /** Writes the value of a Paged record that was just placed: its node and its total bytes. */
  setPaged(node: Address, bytes: number): void {
    const { m, w } = this;
    m[w + 2] = bytes;
    const at = fixedAt(m, w);
    m[at] = node;
    m[at + 1] = 0;
  }

  /** Asserts C1. */
  check(): void {
    const { m, w, key, segments, shard, address } = this;
    assert(address !== NO_ADDRESS, "a record that is read was found (C1)");
    assert(segments.wordOf(shard, address) === w, "a cursor is where its record lies (C1)");
    assert(segments.arena.wordsOf(segments.regionOf(shard, address)) === m, "a cursor sees its record's region (C1)");
    assert(!isDead(m, w), "a cursor is on a live record (C1)");
    assert(keyBytes(m, w) === key.bytes, "a cursor is on a record of its key (C1)");
    const at = keyAt(m, w);
    for (let i = 0; i < (key.bytes + 3) >>> 2; i++) {
      assert(m[at + i] === key.words[i], "a cursor is on a record of its key (C1)");
    }
  }
}

/** A cursor as all but the store see it. */
export type FoundRecord = Readonly<Omit<RecordCursor, "moveTo" | "look" | "leave" | "hide">>;
