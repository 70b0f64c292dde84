/**
 * Record: one key with its value, contiguous in a segment of the log. All fields are 32-bit words.
 *
 *   word 0 │ capacity in units (16) │ type (4) │ encoding (4) │ flags (8) │
 *        1 │ key bytes (18) │ keyspace (14) │
 *        2 │ value bytes (Raw, cold), total bytes (Chunked), 8 (Int), 0 (Tree) │
 *        3 │ access clock (24) │ number of the collection's Redis encoding (7) │ members have deadlines (1) │
 *      [ 4 │ deadline: low 32 bits of ms since the epoch │            with HAS_DEADLINE
 *        5 │ deadline: high 22 bits │ wheel bucket of its timer entry (10) │ ]
 *      [ . │ Int: low word     Chunked, Tree: address of the node or root    cold: number of the file │ not with Raw
 *        . │ Int: high word    cold: offset in the file, in units    else 0 │ ]
 *          │ key, zero-padded to a word │
 *          │ value bytes (Raw) │ slack up to the capacity │
 *
 *   flags │ deadline words │ dead │ snapshot parity │ grown, or of a dead record: in a bin │ image │ read once │ 0 │ pinned │
 *
 *   dead record (flag DEAD)
 *   word 0 │ as above │
 *        1 │ next dead record of its bin │      with BINNED, see log.ts
 *        2 │ previous one │
 *
 * Invariants
 *   RECORD-1  a record starts on 8 bytes and never crosses a segment; the next one starts where its capacity ends
 *   RECORD-2  the bytes that pad the key are zero, so keys compare word by word
 *   RECORD-3  a deadline of 0 with HAS_DEADLINE means "no deadline": the words stay, so that EXPIRE need not relocate the
 *             record
 * Access: all other code passes `m`, the words of the region that the record lies in, and `w`, the record's first word
 * (Segments.locate), to the functions below.
 * Locking: the holder of the shard lock reads and writes. No other thread does.
 */
import { assert } from "../base/assert.ts";
import type { Ref } from "../structures/pages.ts";
import { type Address, UNIT_BYTES } from "./address.ts";
import { WHEEL_BUCKETS, WHEEL_LEVELS } from "./shard.ts";

export const RecordType = { String: 0, List: 1, Set: 2, SortedSet: 3, Hash: 4, Stream: 5 } as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/**
 * Raw: the value lies in the record. The others take two words: an integer, a chunked string's node, a collection's root, or
 * where a cold value lies in a segment file: one that was Raw (Cold), Chunked or Tree.
 */
export const Encoding = { Raw: 0, Int: 1, Chunked: 2, Tree: 3, Cold: 4, ColdChunked: 6, ColdTree: 7 } as const;
export type Encoding = (typeof Encoding)[keyof typeof Encoding];

export const HAS_DEADLINE = 1;
const DEAD = 2;
/** The record's parity: see snapshot.ts. A record that is relocated keeps it. */
export const PARITY = 4;
/** The string was changed in place, or created by such a command (APPEND, SETRANGE): Redis calls it "raw", however short. */
export const GROWN = 8;
/** The record is an image outside the log of one whose value is cold (cold.ts). */
const IMAGE = 16;
/** The cold value was read once since it became cold: when it is read again it comes back. */
const READ_ONCE = 32;
/** A dead record that is in a bin. */
const BINNED = 8;
/** The value stays in memory (TIER PIN). As long as the key is there, its record has the bit, whatever takes the place of the value. */
export const PINNED = 128;

/** Longest key a record can carry. */
export const KEY_BYTES_MAX = (1 << 18) - 1;
/** Longest string that lies inside its record; longer ones are chunked. */
export const INLINE_VALUE_MAX = 64 << 10;
/** Largest record: key, value and header, in units. */
export const RECORD_UNITS_MAX = 0xffff;
/** Smallest: the words of a dead record. */
export const RECORD_UNITS_MIN = 2;
export const HEADER_WORDS = 4;
assert(
  (HEADER_WORDS + 4) * 4 + KEY_BYTES_MAX + INLINE_VALUE_MAX * 1.5 < RECORD_UNITS_MAX * UNIT_BYTES,
  "any record fits",
);

/** In place of the number of a region: the record is an image, outside all regions. */
export const NO_REGION = -1;

const CAPACITY_MASK = RECORD_UNITS_MAX;
const TYPE_SHIFT = 16;
const ENCODING_SHIFT = 20;
/** Encodings up to Tree have the lower two bits. */
const COLD_BIT = Encoding.Cold << ENCODING_SHIFT;
const NIBBLE = 15;
const FLAGS_SHIFT = 24;
const KEY_WORD = 1;
const KEYSPACE_SHIFT = 18;
const VALUE_WORD = 2;
/** Word of the access clock; see access.ts for what else its bits may be. */
const ACCESS_WORD = 3;
const CLOCK_BITS = 24;
const CLOCK_MASK = (1 << CLOCK_BITS) - 1;
const DEADLINE_LOW_WORD = 4;
const DEADLINE_HIGH_WORD = 5;
const DEAD_NEXT = 1;
const DEAD_PREVIOUS = 2;
const TWO_32 = 2 ** 32;

export function capacityUnits(m: Int32Array, w: number): number {
  return m[w]! & CAPACITY_MASK;
}
export function recordType(m: Int32Array, w: number): RecordType {
  return ((m[w]! >>> TYPE_SHIFT) & NIBBLE) as RecordType;
}
export function recordEncoding(m: Int32Array, w: number): Encoding {
  return ((m[w]! >>> ENCODING_SHIFT) & NIBBLE) as Encoding;
}
export function recordFlags(m: Int32Array, w: number): number {
  return m[w]! >>> FLAGS_SHIFT;
}
export function isGrown(m: Int32Array, w: number): boolean {
  return (m[w]! & (GROWN << FLAGS_SHIFT)) !== 0;
}
export function markGrown(m: Int32Array, w: number): void {
  m[w] = m[w]! | (GROWN << FLAGS_SHIFT);
}
export function hasDeadlineWords(m: Int32Array, w: number): boolean {
  return (m[w]! & (HAS_DEADLINE << FLAGS_SHIFT)) !== 0;
}
/** True when the value is in a segment file, in whatever form. */
export function isCold(m: Int32Array, w: number): boolean {
  return (m[w]! & COLD_BIT) !== 0;
}
/** True when a cold value comes back into memory when it is read, rather than to be read from an image (cold-large.ts). */
export function comesBackWhole(m: Int32Array, w: number): boolean {
  return recordEncoding(m, w) > Encoding.Cold;
}
/** True when the value is a chunked string, in memory or cold. */
export function isChunkedForm(m: Int32Array, w: number): boolean {
  return (recordEncoding(m, w) & ~Encoding.Cold) === Encoding.Chunked;
}
/** The value, Chunked or Tree, is cold from now on, or in memory. */
export function markCold(m: Int32Array, w: number): void {
  m[w] = (m[w]! | COLD_BIT) & ~(READ_ONCE << FLAGS_SHIFT);
}
export function markInMemory(m: Int32Array, w: number): void {
  m[w] = m[w]! & ~(COLD_BIT | (READ_ONCE << FLAGS_SHIFT));
}
/** True when the words are an image of a record whose value is cold. */
export function isImage(m: Int32Array, w: number): boolean {
  return (m[w]! & (IMAGE << FLAGS_SHIFT)) !== 0;
}
/** True when the value is neither cold nor an image: it can be changed where it is. */
export function isInMemory(m: Int32Array, w: number): boolean {
  return (m[w]! & (COLD_BIT | (IMAGE << FLAGS_SHIFT))) === 0;
}
/** True when the value may not become cold. */
export function isPinned(m: Int32Array, w: number): boolean {
  return (m[w]! & (PINNED << FLAGS_SHIFT)) !== 0;
}
export function setPinned(m: Int32Array, w: number, pinned: boolean): void {
  m[w] = pinned ? m[w]! | (PINNED << FLAGS_SHIFT) : m[w]! & ~(PINNED << FLAGS_SHIFT);
}
/** Notes that the cold value was read. Returns true when it was read before. */
export function noteRead(m: Int32Array, w: number): boolean {
  const head = m[w]!;
  m[w] = head | (READ_ONCE << FLAGS_SHIFT);
  return (head & (READ_ONCE << FLAGS_SHIFT)) !== 0;
}
function headerWord(units: number, type: RecordType, encoding: Encoding, flags: number): number {
  return units | (type << TYPE_SHIFT) | (encoding << ENCODING_SHIFT) | (flags << FLAGS_SHIFT);
}
/** Writes word 0 of a record. */
export function setHeader(
  m: Int32Array,
  w: number,
  units: number,
  type: RecordType,
  encoding: Encoding,
  flags: number,
): void {
  m[w] = headerWord(units, type, encoding, flags);
}
/** Writes words 1 and 3 of a new record: its key's length and keyspace, and its access bits. */
export function setOwner(m: Int32Array, w: number, keyLength: number, keyspace: number, access: number): void {
  m[w + KEY_WORD] = keyLength | (keyspace << KEYSPACE_SHIFT);
  m[w + ACCESS_WORD] = access;
}
/** Writes the head of a copy of a record, which has another capacity. */
export function setCapacity(m: Int32Array, w: number, units: number): void {
  m[w] = (m[w]! & ~CAPACITY_MASK) | units;
}
export function keyBytes(m: Int32Array, w: number): number {
  return m[w + KEY_WORD]! & KEY_BYTES_MAX;
}
export function keyspaceOf(m: Int32Array, w: number): number {
  return m[w + KEY_WORD]! >>> KEYSPACE_SHIFT;
}
export function valueBytes(m: Int32Array, w: number): number {
  return m[w + VALUE_WORD]!;
}
export function setValueBytes(m: Int32Array, w: number, bytes: number): void {
  m[w + VALUE_WORD] = bytes;
}

/** Word 3 as it is: the access bits and the spare bits. */
export function accessWord(m: Int32Array, w: number): number {
  return m[w + ACCESS_WORD]!;
}
/** The access bits; see access.ts. */
export function accessClock(m: Int32Array, w: number): number {
  return m[w + ACCESS_WORD]! & CLOCK_MASK;
}
export function setAccessClock(m: Int32Array, w: number, clock: number): void {
  m[w + ACCESS_WORD] = (m[w + ACCESS_WORD]! & ~CLOCK_MASK) | clock;
}
/** What a collection has beside its access bits: the number of its encoding (ENCODING_MASK) and HAS_TIMED. */
export function spareBits(m: Int32Array, w: number): number {
  return m[w + ACCESS_WORD]! >>> CLOCK_BITS;
}
export function setSpareBits(m: Int32Array, w: number, bits: number): void {
  m[w + ACCESS_WORD] = (m[w + ACCESS_WORD]! & CLOCK_MASK) | (bits << CLOCK_BITS);
}
/** The parity bit, where Shard.parity has it: PARITY or 0. */
export function recordParity(m: Int32Array, w: number): number {
  return (m[w]! >>> FLAGS_SHIFT) & PARITY;
}
export function flipParity(m: Int32Array, w: number): void {
  m[w] = m[w]! ^ (PARITY << FLAGS_SHIFT);
}

/** Members of the collection have deadlines. */
export const HAS_TIMED = 0x80;
export const ENCODING_MASK = 0x7f;

// ---- dead records ----

export function isDead(m: Int32Array, w: number): boolean {
  return (m[w]! & (DEAD << FLAGS_SHIFT)) !== 0;
}
export function isBinned(m: Int32Array, w: number): boolean {
  const flags = DEAD | BINNED;
  return ((m[w]! >>> FLAGS_SHIFT) & flags) === flags;
}
/** Makes the record a dead one of `units`, in no bin. */
export function markDead(m: Int32Array, w: number, units: number): void {
  m[w] = units | (DEAD << FLAGS_SHIFT);
}
/** Makes the record a dead one of `units` at the head of a bin whose next record is `next`. */
export function markBinned(m: Int32Array, w: number, units: number, next: Address): void {
  m[w] = units | ((DEAD | BINNED) << FLAGS_SHIFT);
  m[w + DEAD_NEXT] = next;
  m[w + DEAD_PREVIOUS] = 0;
}
export function deadNext(m: Int32Array, w: number): Address {
  return m[w + DEAD_NEXT]! as Address;
}
export function deadPrevious(m: Int32Array, w: number): Address {
  return m[w + DEAD_PREVIOUS]! as Address;
}
export function setDeadNext(m: Int32Array, w: number, next: Address): void {
  m[w + DEAD_NEXT] = next;
}
export function setDeadPrevious(m: Int32Array, w: number, previous: Address): void {
  m[w + DEAD_PREVIOUS] = previous;
}

// ---- deadlines ----

/** Latest deadline that a record can carry, ms: a double counts no further. */
export const DEADLINE_MAX = Number.MAX_SAFE_INTEGER;
const FILED_SHIFT = 22;
const DEADLINE_HIGH_MASK = (1 << FILED_SHIFT) - 1;
assert(Math.floor(DEADLINE_MAX / TWO_32) <= DEADLINE_HIGH_MASK, "a deadline fits beside its bucket");
assert(WHEEL_LEVELS * WHEEL_BUCKETS < 1 << (32 - FILED_SHIFT), "a bucket number fits beside the deadline");

/** Deadline in ms since the epoch, 0 = none. */
export function deadline(m: Int32Array, w: number): number {
  if ((m[w]! & (HAS_DEADLINE << FLAGS_SHIFT)) === 0) return 0;
  return (m[w + DEADLINE_LOW_WORD]! >>> 0) + (m[w + DEADLINE_HIGH_WORD]! & DEADLINE_HIGH_MASK) * TWO_32;
}
/** The wheel bucket in which its timer entry is filed: the bucket's number plus 1, 0 = none. Only with deadline words. */
export function filedIn(m: Int32Array, w: number): number {
  return m[w + DEADLINE_HIGH_WORD]! >>> FILED_SHIFT;
}
export function setDeadline(m: Int32Array, w: number, ms: number, filed: number): void {
  m[w + DEADLINE_LOW_WORD] = ms | 0; // the low 32 bits, whatever the size
  m[w + DEADLINE_HIGH_WORD] = Math.floor(ms / TWO_32) | (filed << FILED_SHIFT);
}

// ---- key and value ----

/** Words before the key: header, deadline, and the fixed value of encodings other than Raw. */
function wordsBeforeKey(flags: number, encoding: Encoding): number {
  return HEADER_WORDS + ((flags & HAS_DEADLINE) !== 0 ? 2 : 0) + (encoding === Encoding.Raw ? 0 : 2);
}
/** Word of the first fixed-value word (not Raw). */
function fixedAt(m: Int32Array, w: number): number {
  return w + HEADER_WORDS + ((m[w]! & (HAS_DEADLINE << FLAGS_SHIFT)) !== 0 ? 2 : 0);
}
/** The two words of a fixed value: of an Int, low and high; of the others the address and 0. */
export function fixedLow(m: Int32Array, w: number): number {
  return m[fixedAt(m, w)]!;
}
export function fixedHigh(m: Int32Array, w: number): number {
  return m[fixedAt(m, w) + 1]!;
}
export function setFixed(m: Int32Array, w: number, low: number, high: number): void {
  const at = fixedAt(m, w);
  m[at] = low;
  m[at + 1] = high;
}
/** Address of a Chunked value's node, or of a Tree's root. */
export function nodeOf(m: Int32Array, w: number): Address {
  return m[fixedAt(m, w)]! as Address;
}
export function setNode(m: Int32Array, w: number, node: Ref): void {
  m[fixedAt(m, w)] = node;
}

export function keyAt(m: Int32Array, w: number): number {
  const head = m[w]!;
  return (
    w +
    HEADER_WORDS +
    ((head & (HAS_DEADLINE << FLAGS_SHIFT)) !== 0 ? 2 : 0) +
    (((head >>> ENCODING_SHIFT) & NIBBLE) === Encoding.Raw ? 0 : 2)
  );
}
/** A key as its words (RECORD-2) and length. */
interface KeyWords {
  readonly words: Int32Array;
  readonly bytes: number;
}
/** Writes the key of a record whose header is written. */
export function writeKey(m: Int32Array, w: number, key: KeyWords): void {
  const at = keyAt(m, w);
  const { words } = key;
  const count = (key.bytes + 3) >>> 2;
  for (let i = 0; i < count; i++) m[at + i] = words[i]!;
}
/** True when the record is of `key`. */
export function hasKey(m: Int32Array, w: number, key: KeyWords): boolean {
  if ((m[w + KEY_WORD]! & KEY_BYTES_MAX) !== key.bytes) return false;
  const at = keyAt(m, w);
  const { words } = key;
  const count = (key.bytes + 3) >>> 2;
  for (let i = 0; i < count; i++) {
    if (m[at + i] !== words[i]) return false;
  }
  return true;
}
/** Byte offset of the value of a Raw record. */
export function rawValueAt(m: Int32Array, w: number): number {
  return (keyAt(m, w) + ((keyBytes(m, w) + 3) >>> 2)) << 2;
}
/** Bytes of value that the record could hold in place (Raw). */
export function rawCapacity(m: Int32Array, w: number): number {
  return (w << 2) + capacityUnits(m, w) * UNIT_BYTES - rawValueAt(m, w);
}
/** Flags that the record or image of a value has wherever the value is. */
const KEPT_FLAGS = HAS_DEADLINE | PARITY | GROWN | PINNED;
/** Word at which the key of an image begins, whatever the record's flags. */
export const IMAGE_KEY_WORD = HEADER_WORDS + 2;
/**
 * Writes the head of an image of the record at `w`: of a Raw one, whose key and value are in `image` from IMAGE_KEY_WORD on.
 * Returns the word at which the image begins.
 */
export function writeImageHead(m: Int32Array, w: number, image: Int32Array): number {
  const flags = recordFlags(m, w) & KEPT_FLAGS;
  const words = (flags & HAS_DEADLINE) !== 0 ? IMAGE_KEY_WORD : HEADER_WORDS;
  const at = IMAGE_KEY_WORD - words;
  const units = unitsFor(flags, Encoding.Raw, keyBytes(m, w), valueBytes(m, w));
  image[at] = headerWord(units, recordType(m, w), Encoding.Raw, flags | IMAGE);
  for (let i = 1; i < words; i++) image[at + i] = m[w + i]!;
  return at;
}
/**
 * Writes a copy of the cold record at `w`, Chunked or Tree, to the begin of `copy`: an image as well. Its value is at `node`, and
 * its key in `image` from IMAGE_KEY_WORD on.
 */
export function writeBorrower(m: Int32Array, w: number, image: Int32Array, copy: Int32Array, node: Ref): void {
  const encoding = (recordEncoding(m, w) & ~Encoding.Cold) as Encoding;
  const flags = recordFlags(m, w) & KEPT_FLAGS;
  const head = keyAt(m, w) - w;
  const keyWords = (keyBytes(m, w) + 3) >>> 2;
  for (let i = 1; i < head; i++) copy[i] = m[w + i]!;
  for (let i = 0; i < keyWords; i++) copy[head + i] = image[IMAGE_KEY_WORD + i]!;
  copy[0] = headerWord(unitsFor(flags, encoding, keyBytes(m, w), 0), recordType(m, w), encoding, flags | IMAGE);
  setFixed(copy, 0, node, 0);
  if (encoding === Encoding.Tree) setValueBytes(copy, 0, 0);
}
/**
 * Writes the head of a record of `units` that takes the place of the one at `from` and has another `encoding`: the type, the
 * deadline and everything else stay.
 */
export function writeHeadAs(
  from: Int32Array,
  fromWord: number,
  m: Int32Array,
  w: number,
  units: number,
  encoding: Encoding,
): void {
  const flags = recordFlags(from, fromWord) & KEPT_FLAGS;
  const words = (flags & HAS_DEADLINE) !== 0 ? HEADER_WORDS + 2 : HEADER_WORDS;
  for (let i = 1; i < words; i++) m[w + i] = from[fromWord + i]!;
  m[w] = headerWord(units, recordType(from, fromWord), encoding, flags);
}
/** Units needed for a record. `inlineBytes` counts for Raw only. */
export function unitsFor(flags: number, encoding: Encoding, keyLength: number, inlineBytes: number): number {
  const bytes =
    (wordsBeforeKey(flags, encoding) + ((keyLength + 3) >>> 2)) * 4 + (encoding === Encoding.Raw ? inlineBytes : 0);
  return (bytes + 7) >>> 3;
}
