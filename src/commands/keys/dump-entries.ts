/**
 * DUMP payloads of lists, sets, hashes and sorted sets, in the RDB forms that Redis 7.0 writes for the same encodings
 * (structures/rdb-collection.ts draws them):
 *
 *   list        18, listpacks filled up to list-max-listpack-size
 *   set         11 an intset, else 2: the listpack of Redis 7.2 is unknown to 7.0
 *   hash        16 a listpack, else 4
 *   sorted set  17 a listpack, else 5
 *
 * Members with deadlines are in dump-timed.ts.
 *
 * Strings are written as they are. Redis encodes integers, and compresses strings of more than 20 bytes.
 */
import { assert } from "../../base/assert.ts";
import { DOUBLE_TEXT_BYTES_MAX, formatDouble17 } from "../../base/double-text.ts";
import { Int64Kind, int64, parseInt64, splitInt64 } from "../../base/integers.ts";
import type { Collection } from "../../store/collection.ts";
import { HashEncoding, type HashValue } from "../../store/hash-value.ts";
import type { ListValue } from "../../store/list-value.ts";
import type { Member } from "../../store/members.ts";
import { RecordType } from "../../store/record.ts";
import { SetEncoding, type SetValue } from "../../store/set-value.ts";
import { SortedSetEncoding, type SortedSetValue } from "../../store/sorted-set-value.ts";
import { LISTPACK_END, LISTPACK_HEAD, textBytes, writeText } from "../../structures/listpack.ts";
import { RdbType } from "../../structures/rdb-collection.ts";
import type { Payload } from "./dump-payload.ts";
import { HashPayload, TimedSetPayload, TimedSortedSetPayload } from "./dump-timed.ts";
import { EntriesPayload, LISTPACK_ENTRY_MORE, stringBytes } from "./dump-walk.ts";

/** Whether a payload may contain deadlines of the fields of hashes, and of members of sets and sorted sets. */
export interface DeadlineForms {
  readonly ofFields: boolean;
  readonly ofMembers: boolean;
}

/** The payload of the open collection at `nowMs`. */
export function entriesPayloadOf(value: Collection, nowMs: number, keeps: DeadlineForms): Payload {
  switch (value.type) {
    case RecordType.List:
      return new ListPayload(value as ListValue);
    case RecordType.Set:
      if (value.hasTimed) return new TimedSetPayload(value as SetValue, nowMs, keeps.ofMembers);
      if (value.encoding === SetEncoding.Intset && !value.isTree) return new IntsetPayload(value as SetValue);
      return new SetPayload(value as SetValue);
    case RecordType.Hash:
      if (value.encoding === HashEncoding.Listpack) return new HashListpackPayload(value as HashValue);
      return new HashPayload(value as HashValue, nowMs, keeps.ofFields);
    default:
      assert(value.type === RecordType.SortedSet, "a collection of entries is a list, a set, a hash or a sorted set");
      if (value.hasTimed) return new TimedSortedSetPayload(value as SortedSetValue, nowMs, keeps.ofMembers);
      if (value.encoding === SortedSetEncoding.Listpack) return new SortedSetListpackPayload(value as SortedSetValue);
      return new SortedSetPayload(value as SortedSetValue);
  }
}

/** Bytes of a listpack besides its entries. */
const LISTPACK_BYTES = LISTPACK_HEAD + 1;

function memberBytes(member: Member): number {
  return textBytes(member.bytes as Buffer, member.at, member.length);
}

// ---- lists ----

/** Overhead that Redis assumes for an element, bytes. */
const ESTIMATED_MORE = 8;
const PACKED_NODE = 2;

class ListPayload extends EntriesPayload<ListValue> {
  /** Elements and bytes of the listpacks so far. The last one is still open. */
  private readonly counts: number[] = [0];
  private readonly sizes: number[] = [LISTPACK_BYTES];
  /** The next listpack to write, and the elements still missing in the current one. */
  private node = 0;
  private missing = 0;

  protected measure(): void {
    const { value, counts, sizes } = this;
    value.openHere();
    const { length } = value.member;
    const size = memberBytes(value.member);
    let last = counts.length - 1;
    if (counts[last]! > 0 && !value.fitsListpack(counts[last]!, sizes[last]! + length + ESTIMATED_MORE)) {
      last = counts.push(0) - 1;
      sizes.push(LISTPACK_BYTES);
    }
    counts[last] = counts[last]! + 1;
    sizes[last] = sizes[last]! + size;
    this.bytes += size;
  }

  protected begin(): void {
    this.bytes = 0;
    for (const size of this.sizes) this.bytes += 1 + stringBytes(size);
    this.beginCounted(RdbType.ListQuicklist2, this.sizes.length);
  }

  protected write(): void {
    if (this.missing === 0) {
      this.missing = this.counts[this.node]!;
      const size = this.sizes[this.node++]!;
      this.byte(PACKED_NODE);
      this.length(size);
      this.listpackHead(size, this.missing);
    }
    this.value.openHere();
    this.text(this.value.member);
    if (--this.missing === 0) this.byte(LISTPACK_END);
  }
}

// ---- small ones, of one string ----

/** A hash or sorted set as one listpack: each member is followed by its value or score. */
abstract class ListpackPayload<V extends Collection> extends EntriesPayload<V> {
  protected abstract readonly rdbType: number;

  protected begin(): void {
    const size = this.bytes + LISTPACK_BYTES;
    this.bytes = size;
    this.beginCounted(this.rdbType, size);
    this.listpackHead(size, this.value.entries.count * 2);
  }
  protected override finish(): void {
    this.byte(LISTPACK_END);
  }
}

class HashListpackPayload extends ListpackPayload<HashValue> {
  protected readonly rdbType = RdbType.HashListpack;

  protected measure(): void {
    const { value } = this;
    value.openField();
    this.bytes += memberBytes(value.field);
    value.entries.reposition();
    value.openValue();
    this.bytes += memberBytes(value.value);
  }
  protected write(): void {
    const { value } = this;
    value.openField();
    this.text(value.field);
    value.entries.reposition();
    value.openValue();
    this.text(value.value);
  }
}

class SortedSetListpackPayload extends ListpackPayload<SortedSetValue> {
  protected readonly rdbType = RdbType.SortedSetListpack;

  protected measure(): void {
    const { value } = this;
    value.openHere();
    this.bytes += memberBytes(value.member);
    this.bytes += textBytes(SCORE, 0, formatDouble17(SCORE, 0, value.score));
  }
  protected write(): void {
    const { value } = this;
    value.openHere();
    this.text(value.member);
    const length = formatDouble17(SCORE, 0, value.score);
    const at = this.room(length + LISTPACK_ENTRY_MORE);
    this.wrote(writeText(this.sink.bytes, at, SCORE, 0, length) - at);
  }
}
const SCORE = Buffer.alloc(DOUBLE_TEXT_BYTES_MAX);

/** The integers are stored in ascending order, like those of an intset. */
class IntsetPayload extends EntriesPayload<SetValue> {
  /** Bytes of an integer. */
  private width = 2;

  protected measure(): void {
    this.read();
    const { lo, hi } = int64;
    if (hi !== lo >> 31) this.width = 8;
    else if (this.width === 2 && lo !== (lo << 16) >> 16) this.width = 4;
    this.bytes++;
  }
  protected begin(): void {
    const { count } = this.value.entries;
    const size = INTSET_HEAD + count * this.width;
    this.bytes = size;
    this.beginCounted(RdbType.SetIntset, size);
    const at = this.room(INTSET_HEAD);
    this.sink.bytes.writeUInt32LE(this.width, at);
    this.sink.bytes.writeUInt32LE(count, at + 4);
    this.wrote(INTSET_HEAD);
  }
  protected write(): void {
    this.read();
    const at = this.room(8);
    this.sink.bytes.writeInt32LE(int64.lo, at);
    this.sink.bytes.writeInt32LE(int64.hi, at + 4);
    this.wrote(this.width);
  }

  /** Reads the current member into `int64` as two words. */
  private read(): void {
    this.value.openHere();
    const { bytes, at, length } = this.value.member;
    const kind = parseInt64(bytes, at, length);
    assert(kind !== Int64Kind.None, "a member of an intset is an integer");
    if (kind === Int64Kind.Safe) splitInt64(int64.value);
  }
}
const INTSET_HEAD = 8;

// ---- plain ones ----

class SetPayload extends EntriesPayload<SetValue> {
  protected override readonly mustMeasure = false;

  protected measure(): void {
    this.value.openHere();
    this.bytes += stringBytes(this.value.member.length);
  }
  protected begin(): void {
    this.beginCounted(RdbType.Set, this.value.entries.count);
  }
  protected write(): void {
    this.value.openHere();
    this.string(this.value.member);
  }
}

class SortedSetPayload extends EntriesPayload<SortedSetValue> {
  protected override readonly mustMeasure = false;

  protected measure(): void {
    this.value.openHere();
    this.bytes += stringBytes(this.value.member.length) + 8;
  }
  protected begin(): void {
    this.beginCounted(RdbType.SortedSet, this.value.entries.count);
  }
  protected write(): void {
    this.value.openHere();
    this.string(this.value.member);
    this.double(this.value.score);
  }
}
