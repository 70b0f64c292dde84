/**
 * Finds where the strings and values of an RDB file end, without decoding them. Their forms are drawn in
 * structures/rdb-string.ts, rdb-collection.ts and rdb-stream.ts.
 *
 * A value whose extent is known is decoded from one piece of memory by the readers that RESTORE uses. When they refuse it,
 * a second walk with `inspects` looks into compressed strings and packed encodings, so that the error names the first bad
 * one among them.
 *
 * Invariant
 *   RDBEXTENT-F1  no count and no length of the file leads to an allocation or a loop beyond the bytes that are left
 */
import { BadFile, type FileReader } from "../base/file-reader.ts";
import { RdbType } from "../structures/rdb-collection.ts";
import { checkIntset, checkListpack, checkZiplist, decompressLzf } from "./packed-check.ts";

/** How a string is stored. */
export const StringForm = { Plain: 0, Integer: 1, Packed: 2 } as const;
export type StringForm = (typeof StringForm)[keyof typeof StringForm];

/** Longer strings are not looked into. */
const INSPECT_BYTES = 64 << 20;
const ID_BYTES = 16;

export class RdbExtent {
  /** Results of the last `head`: the form of the string, its length, and the length of the LZF bytes of a packed one. */
  form: StringForm = StringForm.Plain;
  length = 0;
  packed = 0;
  /** Looks into packed encodings. */
  inspects = false;
  /** Indexes in the reader's window of the last stream's times at which consumers were active. */
  readonly activeTimes: number[] = [];

  constructor(private readonly reader: FileReader) {}

  /** Reads a length: 6 bits, 14 bits or, after 0x80 and 0x81, four and eight bytes, big-endian. Rounded beyond 2^53. */
  count(): number {
    const first = this.reader.byte();
    if (first < 0x40) return first;
    return this.countAfter(first);
  }

  private countAfter(first: number): number {
    const { reader } = this;
    if (first < 0x40) return first;
    if (first < 0x80) return ((first & 0x3f) << 8) | reader.byte();
    const bytes = first === 0x80 ? 4 : first === 0x81 ? 8 : 0;
    if (bytes === 0) throw new BadFile(reader.offset - 1, `0x${first.toString(16)} begins no length`);
    reader.need(bytes);
    const { window, start } = reader;
    reader.start += bytes;
    if (bytes === 4) return window.readUInt32BE(start);
    return window.readUInt32BE(start) * 2 ** 32 + window.readUInt32BE(start + 4);
  }

  /** Reads the head of a string, up to its bytes. An integer is skipped whole. */
  head(): void {
    const { reader } = this;
    const first = reader.byte();
    if (first < 0xc0) {
      this.form = StringForm.Plain;
      this.length = this.countAfter(first);
      return;
    }
    if (first <= 0xc2) {
      this.form = StringForm.Integer;
      this.length = 0;
      return reader.skip(1 << (first - 0xc0));
    }
    if (first !== 0xc3) throw new BadFile(reader.offset - 1, `string encoding ${first & 0x3f} is not known`);
    this.form = StringForm.Packed;
    this.packed = this.count();
    this.length = this.count();
  }

  string(): void {
    const at = this.reader.offset;
    this.head();
    if (this.form === StringForm.Plain) this.reader.skip(this.length);
    else if (this.form === StringForm.Packed) this.skipPacked(at);
  }

  private skipPacked(at: number): void {
    const { reader, packed } = this;
    if (packed > reader.left || !this.inspects || this.length > INSPECT_BYTES) return reader.skip(packed);
    if (decompressLzf(reader.take(packed), this.length) === null) this.failPacked(at);
  }
  private failPacked(at: number): never {
    throw new BadFile(at, `a compressed string of ${this.packed} bytes is malformed`);
  }

  /** Skips a value of RDB type `type`, whose byte is at `typeAt`. Modules' values are not known here. */
  value(type: number, typeAt: number): void {
    switch (type) {
      case 0:
        return this.string();
      case 1:
      case 2:
        return this.strings(1, 0);
      case 3:
        return this.scoresAsText();
      case 4:
        return this.strings(2, 0);
      case 5:
        return this.strings(1, 8);
      case 15:
      case 19:
      case 21:
        return this.stream(type);
      case 18:
        return this.quicklist();
      case 24:
        return this.timed(2, 0);
      case RdbType.HashMoments:
        return this.strings(2, 8);
      case 224:
        return this.timed(1, 0);
      case 225:
        return this.timed(1, 8);
      default:
        return this.packedValue(type, typeAt);
    }
  }

  /** Skips a value that is one string of packed entries, or several. */
  private packedValue(type: number, typeAt: number): void {
    switch (type) {
      case 9: // a zipmap, which only its decoder looks into
        return this.string();
      case 10:
        return this.entries("ziplist", checkZiplist, 1);
      case 11:
        return this.entries("intset", checkIntset, 1);
      case 12:
      case 13:
        return this.entries("ziplist", checkZiplist, 2);
      case 14:
        for (let left = this.items(); left > 0; left--) this.entries("ziplist", checkZiplist, 1);
        return;
      case 16:
      case 17:
        return this.entries("listpack", checkListpack, 2);
      case 20:
        return this.entries("listpack", checkListpack, 1);
      case 25:
        this.reader.skip(8);
        return this.entries("listpack", checkListpack, 3);
      default:
        throw new BadFile(typeAt, `type ${type} is not known`);
    }
  }

  /** Reads a number of items. Each item has at least a byte, so an excessive count is refused before the loop. */
  private items(): number {
    const at = this.reader.offset;
    const count = this.count();
    if (count > this.reader.left)
      throw new BadFile(at, `${count} elements cannot be in the ${this.reader.left} bytes left`);
    return count;
  }

  /** Items of `each` strings, followed by `more` bytes. */
  private strings(each: number, more: number): void {
    for (let left = this.items(); left > 0; left--) {
      this.string();
      if (each === 2) this.string();
      if (more !== 0) this.reader.skip(more);
    }
  }

  private scoresAsText(): void {
    for (let left = this.items(); left > 0; left--) {
      this.string();
      const length = this.reader.byte();
      if (length < 253) this.reader.skip(length); // 253 to 255 are nan, inf, -inf
    }
  }

  /** As strings, each item behind its deadline. */
  private timed(each: number, more: number): void {
    this.reader.skip(8);
    for (let left = this.items(); left > 0; left--) {
      this.count();
      this.string();
      if (each === 2) this.string();
      if (more !== 0) this.reader.skip(more);
    }
  }

  private quicklist(): void {
    for (let left = this.items(); left > 0; left--) {
      const at = this.reader.offset;
      const container = this.count();
      if (container === 1) this.string();
      else if (container === 2) this.entries("listpack", checkListpack, 1);
      else throw new BadFile(at, `container ${container} of a list node is not known`);
    }
  }

  private stream(type: number): void {
    const { reader } = this;
    this.activeTimes.length = 0;
    for (let left = this.items(); left > 0; left--) {
      const at = reader.offset;
      this.string();
      if (this.form === StringForm.Plain && this.length !== ID_BYTES)
        throw new BadFile(at, "the key of a stream node is not 16 bytes");
      this.entries("listpack", checkListpack, 1);
    }
    // Entries and last ID; from type 19 on first ID, highest deleted ID and entries added.
    for (let numbers = type >= 19 ? 8 : 3; numbers > 0; numbers--) this.count();
    for (let left = this.items(); left > 0; left--) this.group(type);
  }

  private group(type: number): void {
    const { reader } = this;
    this.string();
    for (let numbers = type >= 19 ? 3 : 2; numbers > 0; numbers--) this.count();
    for (let left = this.items(); left > 0; left--) {
      reader.skip(ID_BYTES + 8);
      this.count();
    }
    for (let left = this.items(); left > 0; left--) {
      this.string();
      reader.skip(8);
      if (type >= 21) {
        this.activeTimes.push(reader.start);
        reader.skip(8);
      }
      for (let owned = this.items(); owned > 0; owned--) reader.skip(ID_BYTES);
    }
  }

  /** A string of packed entries. */
  private entries(kind: string, check: (bytes: Uint8Array) => number, multiple: number): void {
    const { reader } = this;
    const at = reader.offset;
    this.head();
    if (this.form === StringForm.Integer) throw new BadFile(at, `an integer is no ${kind}`);
    const { length, packed } = this;
    const isPacked = this.form === StringForm.Packed;
    const stored = isPacked ? packed : length;
    if (!this.inspects || stored > reader.left || length > INSPECT_BYTES) return reader.skip(stored);
    const bytes = isPacked ? decompressLzf(reader.take(stored), length) : reader.take(stored);
    if (bytes === null) this.failPacked(at);
    const count = check(bytes);
    if (count < 0) throw new BadFile(at, `a ${kind} of ${length} bytes is malformed`);
    if (count % multiple !== 0) throw new BadFile(at, `a ${kind} has ${count} entries, no multiple of ${multiple}`);
  }
}
