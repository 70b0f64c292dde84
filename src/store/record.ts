/**
 * Record: one key with its value, contiguous in a segment of the log. All fields are 32-bit words.
 *
 *   word 0 │ capacity in 8-byte units (16) │ type (4) │ encoding (4) │ flags (8) │
 *        1 │ key bytes (18) │ keyspace (14) │
 *        2 │ value bytes (Raw), or total bytes (Paged), or 8 (Int) │
 *        3 │ access clock (24) │ what Redis calls a collection's encoding (7), has members with a deadline (1) │
 *      [ 4 │ deadline: low 32 bits of ms since the epoch │            with HAS_DEADLINE
 *        5 │ deadline: high 22 bits │ wheel bucket it is filed in (10) │ ]
 *      [ . │ Int: low word     Paged, Tree: address of node or root │ not with Raw
 *        . │ Int: high word    Paged: epoch of the node   │ ]
 *          │ key, zero-padded to a word │
 *          │ value bytes (Raw) │ slack up to the capacity │
 *
 * A dead record (flag DEAD) waits in a bin for a new tenant: word 1 = next of the bin, word 2 = previous (addresses).
 *
 * Invariants
 *   R1  a record starts on 8 bytes and never crosses a segment; the next one starts at capacity units behind it
 *   R2  the bytes that pad the key are zero, so keys compare word by word
 *   R3  a deadline of 0 with HAS_DEADLINE means "no deadline": the words stay, so that EXPIRE need not move the record
 */
import { assert } from "../base/assert.ts";
import { WHEEL_BUCKETS, WHEEL_LEVELS } from "./shard.ts";

export const RecordType = { String: 0, List: 1, Set: 2, SortedSet: 3, Hash: 4, Stream: 5 } as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/** Raw: the value stands in the record. The others keep two words: an integer, a large value's node, a collection's root. */
export const Encoding = { Raw: 0, Int: 1, Chunked: 2, Tree: 3 } as const;
export type Encoding = (typeof Encoding)[keyof typeof Encoding];

export const HAS_DEADLINE = 1;
export const DEAD = 2;
/** Snapshot parity, see DESIGN-NOTES "Snapshots": kept when a record moves. */
export const PARITY = 4;
/** The string was changed in place, or made by it (APPEND, SETRANGE): Redis then keeps it as "raw", however short it is. */
export const GROWN = 8;

/** Longest key a record can carry. */
export const KEY_BYTES_MAX = (1 << 18) - 1;
/** Longest value kept inside its record; longer ones are page trees. */
export const INLINE_VALUE_MAX = 64 << 10;
/** Largest record: key, value and header, in units. */
export const RECORD_UNITS_MAX = 0xffff;
/** Smallest: the words of a dead record. */
export const RECORD_UNITS_MIN = 2;
export const HEADER_WORDS = 4;
assert((HEADER_WORDS + 4) * 4 + KEY_BYTES_MAX + INLINE_VALUE_MAX * 1.5 < RECORD_UNITS_MAX * 8, "any record fits");

export const KEYSPACE_SHIFT = 18;
const CLOCK_MASK = 0xffffff;

export function capacityUnits(m: Int32Array, w: number): number {
  return m[w]! & 0xffff;
}
export function recordType(m: Int32Array, w: number): RecordType {
  return ((m[w]! >>> 16) & 15) as RecordType;
}
export function recordEncoding(m: Int32Array, w: number): Encoding {
  return ((m[w]! >>> 20) & 15) as Encoding;
}
export function recordFlags(m: Int32Array, w: number): number {
  return m[w]! >>> 24;
}
export function isGrown(m: Int32Array, w: number): boolean {
  return (m[w]! & (GROWN << 24)) !== 0;
}
export function markGrown(m: Int32Array, w: number): void {
  m[w] = m[w]! | (GROWN << 24);
}
export function isDead(m: Int32Array, w: number): boolean {
  return (m[w]! & (DEAD << 24)) !== 0;
}
export function hasDeadlineWords(m: Int32Array, w: number): boolean {
  return (m[w]! & (HAS_DEADLINE << 24)) !== 0;
}
export function headerWord(units: number, type: RecordType, encoding: Encoding, flags: number): number {
  return units | (type << 16) | (encoding << 20) | (flags << 24);
}
export function keyBytes(m: Int32Array, w: number): number {
  return m[w + 1]! & KEY_BYTES_MAX;
}
export function keyspaceOf(m: Int32Array, w: number): number {
  return m[w + 1]! >>> KEYSPACE_SHIFT;
}
export function valueBytes(m: Int32Array, w: number): number {
  return m[w + 2]!;
}
/** Word of the access clock, or what else stands in its place: see frequency.ts. */
export const ACCESS_WORD = 3;

export function accessClock(m: Int32Array, w: number): number {
  return m[w + 3]! & CLOCK_MASK;
}
export function spareBits(m: Int32Array, w: number): number {
  return m[w + 3]! >>> 24;
}
export function setSpareBits(m: Int32Array, w: number, bits: number): void {
  m[w + 3] = (m[w + 3]! & CLOCK_MASK) | (bits << 24);
}
/** Of the spare bits: members of the collection have deadlines; and the number of its encoding. */
export const HAS_TIMED = 0x80;
export const ENCODING_MASK = 0x7f;
export function setAccessClock(m: Int32Array, w: number, clock: number): void {
  m[w + 3] = (m[w + 3]! & ~CLOCK_MASK) | clock;
}

/** Latest deadline a record can carry, ms: all that a double counts exactly. */
export const DEADLINE_MAX = Number.MAX_SAFE_INTEGER;
const FILED_SHIFT = 22;
const DEADLINE_HIGH_MASK = (1 << FILED_SHIFT) - 1;
assert(Math.floor(DEADLINE_MAX / 4294967296) <= DEADLINE_HIGH_MASK, "a deadline fits beside its bucket");
assert(WHEEL_LEVELS * WHEEL_BUCKETS < 1 << (32 - FILED_SHIFT), "a bucket number fits beside the deadline");

/** Deadline in ms since the epoch, 0 = none. */
export function deadline(m: Int32Array, w: number): number {
  if ((m[w]! & (HAS_DEADLINE << 24)) === 0) return 0;
  return (m[w + 4]! >>> 0) + (m[w + 5]! & DEADLINE_HIGH_MASK) * 4294967296;
}
/** Wheel bucket the record is filed in, 0 = none. Only with deadline words. */
export function filedIn(m: Int32Array, w: number): number {
  return m[w + 5]! >>> FILED_SHIFT;
}
export function setDeadline(m: Int32Array, w: number, ms: number, filed: number): void {
  m[w + 4] = ms | 0; // the low 32 bits, whatever the size
  m[w + 5] = Math.floor(ms / 4294967296) | (filed << FILED_SHIFT);
}

/** Words before the key: header, deadline, and the fixed value of encodings other than Raw. */
export function wordsBeforeKey(flags: number, encoding: Encoding): number {
  return HEADER_WORDS + ((flags & HAS_DEADLINE) !== 0 ? 2 : 0) + (encoding === Encoding.Raw ? 0 : 2);
}
/** Names the node of a Paged value or the root of a Tree. */
export function setNode(m: Int32Array, w: number, node: number): void {
  m[fixedAt(m, w)] = node;
}
/** Word of the first fixed-value word (Int, Paged). */
export function fixedAt(m: Int32Array, w: number): number {
  return w + HEADER_WORDS + ((m[w]! & (HAS_DEADLINE << 24)) !== 0 ? 2 : 0);
}
export function keyAt(m: Int32Array, w: number): number {
  const head = m[w]!;
  return (
    w + HEADER_WORDS + ((head & (HAS_DEADLINE << 24)) !== 0 ? 2 : 0) + (((head >>> 20) & 15) === Encoding.Raw ? 0 : 2)
  );
}
/** Writes the key of a record whose header is written; `key.words` are padded with zeros (R2). */
export function writeKey(m: Int32Array, w: number, key: { readonly words: Int32Array; readonly bytes: number }): void {
  const at = keyAt(m, w);
  const { words } = key;
  const count = (key.bytes + 3) >>> 2;
  for (let i = 0; i < count; i++) m[at + i] = words[i]!;
}
/** Byte offset of the value of a Raw record. */
export function rawValueAt(m: Int32Array, w: number): number {
  return (keyAt(m, w) + ((keyBytes(m, w) + 3) >>> 2)) << 2;
}
/** Bytes of value the record could hold in place (Raw). */
export function rawCapacity(m: Int32Array, w: number): number {
  return (w << 2) + capacityUnits(m, w) * 8 - rawValueAt(m, w);
}
/** Units needed for a record. `inlineBytes` counts for Raw only. */
export function unitsFor(flags: number, encoding: Encoding, keyLength: number, inlineBytes: number): number {
  const bytes =
    (wordsBeforeKey(flags, encoding) + ((keyLength + 3) >>> 2)) * 4 + (encoding === Encoding.Raw ? inlineBytes : 0);
  return (bytes + 7) >>> 3;
}
