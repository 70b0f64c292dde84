/**
 * Reads collections of RDB files and DUMP payloads into `rdbItems`: a flat list of elements, of members with scores, or of
 * alternating fields and values. Supports the forms of all RDB versions up to 12.
 *
 *   1  list      │ count │ strings                    10 list     │ string: ziplist
 *   2  set       │ count │ strings                    11 set      │ string: intset
 *   3  sorted set│ count │ string, score as text      12 sorted set, 13 hash │ string: ziplist, in pairs
 *   4  hash      │ count │ string, string             14 list     │ count │ strings: ziplists
 *   5  sorted set│ count │ string, double             16 hash, 17 sorted set │ string: listpack, in pairs
 *                                                     18 list     │ count │ (1, string: element; 2, string: listpack)
 *                                                     20 set      │ string: listpack
 *
 *   24 hash   │ least deadline (8) │ count │ 0, or 1 + ms after the least (length) │ string: field │ string: value
 *   25 hash   │ least deadline (8) │ string: listpack of field, value, deadline (ms, 0 = none) in turn
 *   222 hash  │ count │ string: field │ string: value │ deadline (8, -1 = none)    type 22 in files of Valkey 9
 *   224 set, 225 sorted set, Ferrite's own: as 24, but with one string, and with a string and a double
 *
 *   15, 19, 21 are streams: rdb-stream.ts
 *   9  hash   │ string: zipmap, of Redis before 2.6
 *
 *   ziplist  │ bytes (4) │ tail (4) │ count (2) │ entries: length of the one before (1 or 5) │ encoding │ data │ 255
 *   listpack │ listpack.ts
 *   intset   │ width (4) │ count (4) │ integers, rising
 *   zipmap   │ count (1), 254 = unknown │ length │ field │ length │ spare (1) │ value │ spare bytes │ ... │ 255
 *              a length is one byte, or 254 and four more
 *
 * Types 22 and 23 of Redis 7.4's release candidates are not supported: Valkey 9 uses 22 for another form. The writer
 * is commands/keys/dump-entries.ts.
 *
 * The bytes to read are untrusted. Invariants
 *   RDBCOLLECTION-F1  nothing is read outside [at, end)
 *   RDBCOLLECTION-F2  allocations are bounded by the bytes of the payload, never by a count that the payload claims
 *   RDBCOLLECTION-F3  an accepted collection has at least one element, unique members or fields, and no NaN as a score
 * Source: rdb.c, ziplist.c, intset.c of Redis 7.0.
 */
import { parseDouble } from "../base/double-text.ts";
import { formatInt64, Int64Kind, int64, parseInt64, splitInt64 } from "../base/integers.ts";
import { hashOf } from "./hash.ts";
import { COUNT_UNKNOWN, element, isListpack, LISTPACK_HEAD, readElement } from "./listpack.ts";
import { isStreamType, rdbStream, readStream } from "./rdb-stream.ts";
import { NUMBER_TEXT, rdbLength, rdbString, readLength, readString } from "./rdb-string.ts";

export const RdbType = {
  List: 1,
  Set: 2,
  SortedSetText: 3,
  Hash: 4,
  SortedSet: 5,
  HashZipmap: 9,
  ListZiplist: 10,
  SetIntset: 11,
  SortedSetZiplist: 12,
  HashZiplist: 13,
  ListQuicklist: 14,
  HashListpack: 16,
  SortedSetListpack: 17,
  ListQuicklist2: 18,
  SetListpack: 20,
  HashDeadlines: 24,
  HashListpackDeadlines: 25,
  HashMoments: 222,
  SetDeadlines: 224,
  SortedSetDeadlines: 225,
} as const;

/** The type of key that a payload describes. */
export const RdbKind = { None: 0, List: 1, Set: 2, Hash: 3, SortedSet: 4, Stream: 5 } as const;
export type RdbKind = (typeof RdbKind)[keyof typeof RdbKind];

const MALFORMED = -1;
const LIST_END = 0xff;
const PLAIN_NODE = 1;
const PACKED_NODE = 2;
const ZIPLIST_HEAD = 10;
const INTSET_HEAD = 8;
const SCORE_NAN = 253;
const SCORE_INFINITY = 254;
const SCORE_MINUS_INFINITY = 255;

/** The items of the last payload: byte ranges in one of several buffers. Valid until the next readCollection. */
class Items {
  count = 0;
  /** Scores by member, for sorted sets. */
  scores = new Float64Array(0);
  /** Deadlines by member or field, ms, 0 = none; while `isTimed`. */
  private deadlines = new Float64Array(0);
  isTimed = false;
  /** The payload was one listpack or ziplist. Redis loads it as one, however long its items are. */
  isPacked = false;
  /** Length of the longest item and sum of all lengths, bytes. */
  longest = 0;
  bytes = 0;
  /** Buffer 0 holds texts of integers, buffer 1 is the payload, the others are uncompressed strings. */
  private sources: Buffer[] = [];
  /** Source, offset and length of each item. */
  private places = new Uint32Array(0);
  private text = Buffer.alloc(0);
  private textAt = 0;

  /** Removes all items and releases large buffers. */
  clear(payload: Buffer = NOTHING): void {
    this.count = 0;
    this.longest = 0;
    this.bytes = 0;
    this.textAt = 0;
    this.unpacked = 0;
    if (this.places.length > REUSED_WORDS_MAX) this.places = new Uint32Array(0);
    if (this.scores.length > REUSED_WORDS_MAX) this.scores = new Float64Array(0);
    if (this.deadlines.length > REUSED_WORDS_MAX) this.deadlines = new Float64Array(0);
    this.isTimed = false;
    this.isPacked = false;
    if (this.text.length > REUSED_WORDS_MAX) this.text = Buffer.alloc(0);
    this.sources = [this.text, payload];
  }

  sourceOf(i: number): Buffer {
    return this.sources[this.places[i * 3]!]!;
  }
  atOf(i: number): number {
    return this.places[i * 3 + 1]!;
  }
  lengthOf(i: number): number {
    return this.places[i * 3 + 2]!;
  }

  /** Adds a range of the payload or of an uncompressed string as an item. */
  add(source: Buffer, at: number, length: number): void {
    const { sources } = this;
    if (source === sources[1]) return this.place(1, at, length);
    if (sources[sources.length - 1] !== source) {
      sources.push(source);
      this.unpacked += source.length;
    }
    this.place(sources.length - 1, at, length);
  }
  /** Bytes of uncompressed strings. */
  unpacked = 0;

  addInteger(low: number, high: number): void {
    if (this.textAt + 20 > this.text.length) {
      const wider = Buffer.allocUnsafeSlow(Math.max(256, this.text.length * 2));
      this.text.copy(wider, 0, 0, this.textAt);
      this.text = wider;
      this.sources[0] = wider;
    }
    const length = formatInt64(this.text, this.textAt, low, high);
    this.place(0, this.textAt, length);
    this.textAt += length;
  }

  addScore(score: number): void {
    const i = this.count - 1;
    if (i >= this.scores.length) this.scores = wider(this.scores, new Float64Array(Math.max(64, i * 2)));
    this.scores[i] = score;
  }

  /** Turns the last item into the score of the one before. Returns false when it is not a score. */
  lastIsScore(): boolean {
    const i = --this.count;
    const score = parseDouble(this.sourceOf(i), this.atOf(i), this.lengthOf(i));
    this.bytes -= this.lengthOf(i);
    if (Number.isNaN(score)) return false;
    this.addScore(score);
    return true;
  }

  /** Gives member or field `i` a deadline, ms; 0 = none. */
  addDeadline(i: number, deadline: number): void {
    if (i >= this.deadlines.length) this.deadlines = wider(this.deadlines, new Float64Array(Math.max(64, i * 2)));
    this.deadlines[i] = deadline;
  }
  /** Deadline of member or field `i`, ms; 0 = none. */
  deadlineOf(i: number): number {
    return this.isTimed ? this.deadlines[i]! : 0;
  }
  /** True when one of `members` members or fields has no deadline or one after `nowMs`. */
  hasLive(members: number, nowMs: number): boolean {
    for (let i = 0; i < members; i++) {
      const deadline = this.deadlineOf(i);
      if (deadline === 0 || deadline > nowMs) return true;
    }
    return false;
  }
  /** Turns the last item into the deadline of the field before. Returns false when it is not a deadline. */
  lastIsDeadline(): boolean {
    const i = --this.count;
    this.bytes -= this.lengthOf(i);
    const isDeadline =
      i % 2 === 0 &&
      parseInt64(this.sourceOf(i), this.atOf(i), this.lengthOf(i)) === Int64Kind.Safe &&
      int64.value >= 0 &&
      int64.value <= DEADLINE_MAX_MS;
    if (isDeadline) this.addDeadline(i / 2 - 1, int64.value);
    return isDeadline;
  }

  /** True when no two of the items 0, step, 2 * step ... are equal. */
  areUnique(step: 1 | 2, seed: number): boolean {
    const { count } = this;
    let size = 16;
    while (size < (count / step) * 2) size *= 2;
    const table = new Int32Array(size).fill(-1);
    for (let i = 0; i < count; i += step) {
      const source = this.sourceOf(i);
      const at = this.atOf(i);
      const length = this.lengthOf(i);
      let slot = hashOf(source, at, length, seed) & (size - 1);
      for (let j = table[slot]!; j !== -1; j = table[slot]!) {
        const other = this.atOf(j);
        if (
          this.lengthOf(j) === length &&
          this.sourceOf(j).compare(source, at, at + length, other, other + length) === 0
        ) {
          return false;
        }
        slot = (slot + 1) & (size - 1);
      }
      table[slot] = i;
    }
    return true;
  }

  private place(source: number, at: number, length: number): void {
    const w = this.count * 3;
    if (w + 3 > this.places.length) this.places = wider(this.places, new Uint32Array(Math.max(192, w * 2)));
    this.places[w] = source;
    this.places[w + 1] = at;
    this.places[w + 2] = length;
    this.count++;
    this.bytes += length;
    if (length > this.longest) this.longest = length;
  }
}

const NOTHING = Buffer.alloc(0);
const REUSED_WORDS_MAX = 1 << 14;
/** Latest deadline of a field, ms: 48 bits, as in Redis. */
const DEADLINE_MAX_MS = 2 ** 48 - 1;
/** Most bytes that the compressed strings of one payload may unpack to. */
const UNPACKED_MAX = 1 << 30;

function wider<T extends Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

export const rdbItems = new Items();

/**
 * Reads the collection of RDB type `type` at `at` in a payload that ends at `end` into `rdbItems`. `longest` is the longest
 * item accepted; `seed` is secret. Returns the collection's type, or RdbKind.None when it is malformed or of an unknown
 * type. Bytes behind the collection are ignored.
 */
export function readCollection(
  type: number,
  bytes: Buffer,
  at: number,
  end: number,
  longest: number,
  seed: number,
): RdbKind {
  if (isStreamType(type)) {
    const isSound = readStream(type, bytes, at, end, longest);
    if (!isSound) rdbStream.clear();
    return isSound ? RdbKind.Stream : RdbKind.None;
  }
  rdbItems.clear(bytes);
  const kind = readItems(type, bytes, at, end, longest);
  const { count } = rdbItems;
  if (kind === RdbKind.None || count === 0) return RdbKind.None;
  if (kind === RdbKind.Hash && count % 2 !== 0) return RdbKind.None;
  if (kind !== RdbKind.List && !rdbItems.areUnique(kind === RdbKind.Hash ? 2 : 1, seed)) return RdbKind.None;
  return kind;
}

/** As readCollection, without the checks over all items. */
function readItems(type: number, bytes: Buffer, at: number, end: number, longest: number): RdbKind {
  const known = (done: boolean, kind: RdbKind) => (done ? kind : RdbKind.None);
  switch (type) {
    case RdbType.List:
      return known(readStrings(bytes, at, end, longest, 1, addString), RdbKind.List);
    case RdbType.Set:
      return known(readStrings(bytes, at, end, longest, 1, addString), RdbKind.Set);
    case RdbType.Hash:
      return known(readStrings(bytes, at, end, longest, 2, addString), RdbKind.Hash);
    case RdbType.ListQuicklist:
      return known(readStrings(bytes, at, end, longest, 1, addZiplist), RdbKind.List);
    case RdbType.ListQuicklist2:
      return known(readNodes(bytes, at, end, longest), RdbKind.List);
    case RdbType.SortedSetText:
    case RdbType.SortedSet:
      return known(readMembers(bytes, at, end, longest, type === RdbType.SortedSet), RdbKind.SortedSet);
    case RdbType.HashDeadlines:
      return known(readTimed(bytes, at, end, longest, RdbKind.Hash), RdbKind.Hash);
    case RdbType.HashMoments:
      return known(readMoments(bytes, at, end, longest), RdbKind.Hash);
    case RdbType.SetDeadlines:
      return known(readTimed(bytes, at, end, longest, RdbKind.Set), RdbKind.Set);
    case RdbType.SortedSetDeadlines:
      return known(readTimed(bytes, at, end, longest, RdbKind.SortedSet), RdbKind.SortedSet);
    case RdbType.HashListpackDeadlines:
      // Skip the least deadline: each field has its full deadline.
      if (readMoment(bytes, at, end) < 0) return RdbKind.None;
      at += MOMENT_BYTES;
      break;
    default:
      break;
  }
  if (readString(bytes, at, end, longest) < 0) return RdbKind.None;
  // redis-server compares the values of a zipmap, which is no encoding any more, with the limits; others stay as they are.
  rdbItems.isPacked = type !== RdbType.HashZipmap;
  switch (type) {
    case RdbType.ListZiplist:
      return known(addZiplist(), RdbKind.List);
    case RdbType.HashZipmap:
      return known(addZipmap(), RdbKind.Hash);
    case RdbType.HashZiplist:
      return known(addZiplist(), RdbKind.Hash);
    case RdbType.SortedSetZiplist:
      return known(inPairs(addZiplist), RdbKind.SortedSet);
    case RdbType.SetIntset:
      return known(addIntset(), RdbKind.Set);
    case RdbType.HashListpack:
      return known(addListpack(), RdbKind.Hash);
    case RdbType.SortedSetListpack:
      return known(inPairs(addListpack), RdbKind.SortedSet);
    case RdbType.SetListpack:
      return known(addListpack(), RdbKind.Set);
    case RdbType.HashListpackDeadlines:
      return known(addTriples(), RdbKind.Hash);
    default:
      return RdbKind.None;
  }
}

/** Reads a count and `each` times as many strings. Calls `add` for each one, which is in rdbString. */
function readStrings(
  bytes: Buffer,
  at: number,
  end: number,
  longest: number,
  each: 1 | 2,
  add: () => boolean,
): boolean {
  at = readLength(bytes, at, end);
  if (at < 0) return false;
  // Every string needs a byte, so a wrong count soon ends the loop.
  for (let left = rdbLength.value * each; left > 0; left--) {
    at = readString(bytes, at, end, longest);
    if (at < 0 || !add() || rdbItems.unpacked > UNPACKED_MAX) return false;
  }
  return true;
}

/** Reads the nodes of a quicklist. */
function readNodes(bytes: Buffer, at: number, end: number, longest: number): boolean {
  at = readLength(bytes, at, end);
  if (at < 0) return false;
  for (let left = rdbLength.value; left > 0; left--) {
    at = readLength(bytes, at, end);
    if (at < 0) return false;
    const container = rdbLength.value;
    at = readString(bytes, at, end, longest);
    if (at < 0) return false;
    if (!(container === PLAIN_NODE ? addString() : container === PACKED_NODE && addListpack())) return false;
    if (rdbItems.unpacked > UNPACKED_MAX) return false;
  }
  return true;
}

/** Reads members with scores, which are doubles or texts. */
function readMembers(bytes: Buffer, at: number, end: number, longest: number, areDoubles: boolean): boolean {
  at = readLength(bytes, at, end);
  if (at < 0) return false;
  for (let left = rdbLength.value; left > 0; left--) {
    at = readString(bytes, at, end, longest);
    if (at < 0 || at >= end) return false;
    if (!addString()) return false;
    let score: number;
    if (areDoubles) {
      if (end - at < 8) return false;
      score = bytes.readDoubleLE(at);
      at += 8;
    } else {
      const length = bytes[at++]!;
      if (length === SCORE_NAN) return false;
      if (length >= SCORE_INFINITY) {
        score = length === SCORE_MINUS_INFINITY ? -Infinity : Infinity;
      } else {
        if (length > end - at) return false;
        score = parseDouble(bytes, at, length);
        at += length;
      }
    }
    if (Number.isNaN(score)) return false;
    rdbItems.addScore(score);
  }
  return true;
}

const MOMENT_BYTES = 8;

/** Reads a deadline, ms. -1 when it is out of range. */
function readMoment(bytes: Buffer, at: number, end: number): number {
  if (end - at < MOMENT_BYTES) return MALFORMED;
  const moment = bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
  return moment <= DEADLINE_MAX_MS ? moment : MALFORMED;
}

/**
 * Reads fields and values, members, or members and scores, each behind its deadline: 0 = none, otherwise 1 + ms after the
 * least deadline.
 */
function readTimed(bytes: Buffer, at: number, end: number, longest: number, kind: RdbKind): boolean {
  const least = readMoment(bytes, at, end);
  if (least < 0) return false;
  at = readLength(bytes, at + MOMENT_BYTES, end);
  if (at < 0) return false;
  rdbItems.isTimed = true;
  const members = rdbLength.value;
  for (let i = 0; i < members; i++) {
    at = readLength(bytes, at, end);
    if (at < 0) return false;
    const deadline = rdbLength.value === 0 ? 0 : least + rdbLength.value - 1;
    if (deadline > DEADLINE_MAX_MS) return false;
    for (let item = kind === RdbKind.Hash ? 2 : 1; item > 0; item--) {
      at = readString(bytes, at, end, longest);
      if (at < 0 || !addString() || rdbItems.unpacked > UNPACKED_MAX) return false;
    }
    rdbItems.addDeadline(i, deadline);
    if (kind !== RdbKind.SortedSet) continue;
    if (end - at < 8) return false;
    const score = bytes.readDoubleLE(at);
    if (Number.isNaN(score)) return false;
    rdbItems.addScore(score);
    at += 8;
  }
  return true;
}

/** Reads fields and values, each pair before its deadline; -1 = none. */
function readMoments(bytes: Buffer, at: number, end: number, longest: number): boolean {
  at = readLength(bytes, at, end);
  if (at < 0) return false;
  rdbItems.isTimed = true;
  const fields = rdbLength.value;
  for (let i = 0; i < fields; i++) {
    for (let item = 0; item < 2; item++) {
      at = readString(bytes, at, end, longest);
      if (at < 0 || !addString() || rdbItems.unpacked > UNPACKED_MAX) return false;
    }
    if (end - at < MOMENT_BYTES) return false;
    const isNone = bytes.readInt32LE(at) === -1 && bytes.readInt32LE(at + 4) === -1;
    const deadline = isNone ? 0 : readMoment(bytes, at, end);
    if (deadline < 0) return false;
    rdbItems.addDeadline(i, deadline);
    at += MOMENT_BYTES;
  }
  return true;
}

/** Reads the listpack in rdbString of fields, values and deadlines in turn. */
function addTriples(): boolean {
  rdbItems.isTimed = true;
  let nth = 0;
  const everyThird = () => {
    nth = (nth + 1) % 3;
    return nth !== 0 || rdbItems.lastIsDeadline();
  };
  return addListpack(everyThird) && nth === 0;
}

function addString(): boolean {
  const { bytes, at, length } = rdbString;
  if (bytes !== NUMBER_TEXT) rdbItems.add(bytes, at, length);
  else if (parseInt64(bytes, at, length) === Int64Kind.Safe) addSafe(int64.value);
  return true;
}

function addSafe(value: number): void {
  splitInt64(value);
  rdbItems.addInteger(int64.lo, int64.hi);
}

/** Reads pairs of member and score with `read`. */
function inPairs(read: (isScore: () => boolean) => boolean): boolean {
  let odd = false;
  const everySecond = () => {
    odd = !odd;
    return odd || rdbItems.lastIsScore();
  };
  return read(everySecond) && !odd;
}

const always = () => true;

/** Adds the integers of the intset in rdbString. */
function addIntset(): boolean {
  const { bytes, at, length } = rdbString;
  if (length < INTSET_HEAD) return false;
  const width = bytes.readUInt32LE(at);
  const count = bytes.readUInt32LE(at + 4);
  if ((width !== 2 && width !== 4 && width !== 8) || length !== INTSET_HEAD + count * width) return false;
  let low = 0;
  let high = 0;
  for (let i = 0, from = at + INTSET_HEAD; i < count; i++, from += width) {
    const lowBefore = low;
    const highBefore = high;
    low = width === 2 ? bytes.readInt16LE(from) : bytes.readInt32LE(from);
    high = width === 8 ? bytes.readInt32LE(from + 4) : low >> 31;
    if (i > 0 && (high !== highBefore ? high < highBefore : low >>> 0 <= lowBefore >>> 0)) return false;
    rdbItems.addInteger(low, high);
  }
  return true;
}

/** Adds the fields and values of the zipmap in rdbString. */
function addZipmap(): boolean {
  const { bytes, at, length } = rdbString;
  if (length < 2) return false;
  const end = at + length - 1;
  if (bytes[end] !== LIST_END) return false;
  let count = 0;
  let from = at + 1;
  for (; from < end; count++) {
    const isValue = count % 2 === 1;
    let item = bytes[from++]!;
    if (item === LIST_END) return false;
    if (item === ZIPLIST_WIDE) {
      if (end - from < 4) return false;
      item = bytes.readUInt32LE(from);
      from += 4;
    }
    if (isValue && from >= end) return false;
    const spare = isValue ? bytes[from++]! : 0;
    if (item + spare > end - from) return false;
    rdbItems.add(bytes, from, item);
    from += item + spare;
  }
  const claimed = bytes[at]!;
  return count % 2 === 0 && (claimed >= ZIPLIST_WIDE || claimed === count / 2);
}

/** Adds the entries of the listpack in rdbString. Calls `added` after each one and stops if it returns false. */
function addListpack(added: () => boolean = always): boolean {
  const { bytes, at, length } = rdbString;
  if (!isListpack(bytes, at, length)) return false;
  const end = at + length - 1;
  const claimed = bytes.readUInt16LE(at + 4);
  let count = 0;
  let from = at + LISTPACK_HEAD;
  for (; from < end; count++) {
    const next = readElement(bytes, from, end);
    if (next < 0) return false;
    if (element.isInteger) rdbItems.addInteger(element.low, element.high);
    else rdbItems.add(bytes, element.at, element.length);
    from = next;
    if (!added()) return false;
  }
  return claimed === COUNT_UNKNOWN || claimed === count;
}

/** Adds an integer of `width` bytes. */
function addWidth(bytes: Buffer, at: number, width: number): void {
  if (width === 8) {
    rdbItems.addInteger(bytes.readInt32LE(at), bytes.readInt32LE(at + 4));
    return;
  }
  const value = bytes.readIntLE(at, width);
  rdbItems.addInteger(value, value >> 31);
}

/** Adds the entries of the ziplist in rdbString. Calls `added` after each one and stops if it returns false. */
function addZiplist(added: () => boolean = always): boolean {
  const { bytes, at, length } = rdbString;
  if (length <= ZIPLIST_HEAD || bytes.readUInt32LE(at) !== length) return false;
  const end = at + length - 1;
  if (bytes[end] !== LIST_END) return false;
  const tail = bytes.readUInt32LE(at + 4);
  const claimed = bytes.readUInt16LE(at + 8);
  let count = 0;
  let before = 0;
  let last = at + ZIPLIST_HEAD;
  let from = last;
  for (; from < end; count++) {
    const next = ziplistEntry(bytes, from, end, before);
    if (next < 0) return false;
    before = next - from;
    last = from;
    from = next;
    if (!added()) return false;
  }
  return last - at === tail && (claimed === COUNT_UNKNOWN || claimed === count);
}

/** Adds the entry at `at`, whose predecessor has `before` bytes. Returns where the next entry begins, or -1. */
function ziplistEntry(bytes: Buffer, at: number, end: number, before: number): number {
  let from = at + 1;
  let told = bytes[at]!;
  if (told === LIST_END) return MALFORMED;
  if (told === ZIPLIST_WIDE) {
    if (end - at < 5) return MALFORMED;
    told = bytes.readUInt32LE(at + 1);
    from = at + 5;
  }
  if (told !== before || from >= end) return MALFORMED;
  const first = bytes[from]!;
  const left = end - from;
  if (first < 0xc0) {
    let head = 1;
    let data = first & 0x3f;
    if (first >= 0x80) {
      head = 5;
      if (first !== 0x80 || left < 5) return MALFORMED;
      data = bytes.readUInt32BE(from + 1);
    } else if (first >= 0x40) {
      head = 2;
      if (left < 2) return MALFORMED;
      data = (data << 8) | bytes[from + 1]!;
    }
    if (data > left - head) return MALFORMED;
    rdbItems.add(bytes, from + head, data);
    return from + head + data;
  }
  if (first > 0xf0 && first < 0xfe) {
    rdbItems.addInteger((first & 15) - 1, 0);
    return from + 1;
  }
  const width = ZIPLIST_WIDTHS[first] ?? 0;
  if (width === 0 || left < 1 + width) return MALFORMED;
  addWidth(bytes, from + 1, width);
  return from + 1 + width;
}
const ZIPLIST_WIDE = 254;
/** Bytes of an integer, by its encoding. */
const ZIPLIST_WIDTHS: Record<number, number> = { 192: 2, 208: 4, 224: 8, 240: 3, 254: 1 };
