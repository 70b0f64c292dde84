/**
 * Reads an RDB file item by item. The server's loader and check-rdb both read through it, so they find the same first
 * error at the same offset.
 *
 *   "REDIS" version (4 digits) { opcode ... │ type key value }* 0xFF checksum (8, little-endian, from version 5)
 *
 *   opcode │ 250 aux: string, string │ 254 database │ 251 sizes: keys, keys with a deadline │ 245 library: string
 *          │ of the next key: 253 deadline s (4), 252 deadline ms (8), 248 idle s (length), 249 frequency (1)
 *          │ 244 slot: three lengths │ 247 a module's data: refused
 *
 * `next` returns the kind of the next item. After a key, its value is available in one of two ways:
 *
 *   isLong   a string above 64 KiB, read part by part with `part`; unread parts are skipped
 *   isReference   the place of a string in a segment file (rdb-reference.ts): `reference`
 *   else     in one piece of the window; `decode` reads it into rdbString, rdbItems or rdbStream, where it stays valid until
 *            the next `next`
 *
 * The bytes are untrusted: everything that is wrong ends in BadFile with the offset.
 * A file of Valkey 9 begins with "VALKEY" and three digits. Its version 80 is that of Redis 7.2, and one type more.
 * Source: rdb.c and rdb.h of Redis, up to version 12 (Redis 7.4), and of Valkey 9.0.
 */
import { BadFile, type FileReader } from "../base/file-reader.ts";
import { STRING_CHUNK_BYTES, LARGE_VALUE_MAX } from "../store/large.ts";
import { KEY_BYTES_MAX } from "../store/record.ts";
import { RdbKind, RdbType, readCollection } from "../structures/rdb-collection.ts";
import { RDB_STRING, rdbString, RDB_VERSION_MAX, readString, readStringInto } from "../structures/rdb-string.ts";
import { LzfStream } from "./lzf-stream.ts";
import { RdbExtent, StringForm } from "./rdb-extent.ts";
import {
  RDB_REFERENCE,
  REFERENCE_CHUNKED,
  REFERENCE_FLAGS,
  REFERENCE_GROWN,
  type SegmentPlace,
} from "./rdb-reference.ts";

const Opcode = {
  SlotInfo: 244,
  Function2: 245,
  FunctionPreRelease: 246,
  ModuleAux: 247,
  Idle: 248,
  Freq: 249,
  Aux: 250,
  ResizeDb: 251,
  ExpireMs: 252,
  Expire: 253,
  SelectDb: 254,
  End: 255,
} as const;
/** Valkey 9: its version, and its hash with deadlines. */
const VALKEY_VERSION = 80;
const VALKEY_HASH = 22;
const MODULE_OLD = 6;
const MODULE = 7;
/** The checksum was introduced with this version. */
const FIRST_VERSION_SUMMED = 5;
/** Longest aux field and source of a library: far above those that servers write. */
const TEXT_MAX = 64 << 20;

export const RdbItem = { Field: 1, Database: 2, Sizes: 3, Library: 4, Key: 5, End: 6 } as const;
export type RdbItem = (typeof RdbItem)[keyof typeof RdbItem];

/** No deadline, idle time or frequency was given. */
export const NOT_GIVEN = -1;

/** True when the file begins with the signature of an RDB file. */
export function looksLikeRdb(reader: FileReader): boolean {
  return reader.left >= 5 && ["REDIS", "VALKE"].includes(reader.peek(5).toString("latin1"));
}

export class RdbReader {
  readonly version: number;
  /** A file of Valkey 9, whose type 22 is another one. */
  private readonly isValkey: boolean;
  /** Field: its name and value. */
  name = "";
  text = "";
  /** Database: its number. Sizes: keys, and keys with a deadline; hints only. */
  database = 0;
  keys = 0;
  expires = 0;
  /** Library: its source. */
  library: Buffer = NOTHING;

  /** Key: its bytes, the first `keyBytes` of `key`, and the RDB type of its value. */
  key: Buffer = Buffer.alloc(1024);
  keyBytes = 0;
  type = 0;
  /** Offset of the key's item, which errors name. */
  keyOffset = 0;
  /** ms, wall; idle seconds; 0 to 255. NOT_GIVEN = none. */
  deadlineMs: number = NOT_GIVEN;
  idleSeconds: number = NOT_GIVEN;
  frequency: number = NOT_GIVEN;
  /** The value is a string of `longBytes` that is read by `part`. */
  isLong = false;
  longBytes = 0;
  /** The value is in a segment file. */
  isReference = false;
  readonly reference: SegmentPlace = { file: 0, offset: 0, length: 0, isChunked: false, isGrown: false };

  /** End: whether the file has a checksum, which was right. */
  isSummed = false;

  /** The part that `part` read: bytes from `partAt` on. */
  partBytes: Buffer = NOTHING;
  partAt = 0;

  private readonly extent: RdbExtent;
  private valueOffset = 0;
  private longLeft = 0;
  private isAtKey = false;
  private lzf: LzfStream | null = null;

  /** Reads the signature. `verifies`: the checksum is compared. `seed` is secret. Throws BadFile. */
  constructor(
    private readonly reader: FileReader,
    private readonly verifies: boolean,
    private readonly seed: number,
  ) {
    this.extent = new RdbExtent(reader);
    const at = reader.offset;
    const header = reader.take(9).toString("latin1");
    this.isValkey = /^VALKEY\d{3}$/.test(header);
    if (!this.isValkey && !/^REDIS\d{4}$/.test(header))
      throw new BadFile(at, "wrong signature: an RDB file begins with REDIS and four digits, or VALKEY and three");
    this.version = Number(header.slice(this.isValkey ? 6 : 5));
    if (this.isValkey) {
      if (this.version !== VALKEY_VERSION)
        throw new BadFile(at + 6, `version ${this.version} of Valkey's form is not known (${VALKEY_VERSION} is)`);
    } else if (this.version < 1 || this.version > RDB_VERSION_MAX)
      throw new BadFile(at + 5, `RDB version ${this.version} is not known (1 to ${RDB_VERSION_MAX} are)`);
  }

  /** Offset of the next byte to read. */
  get offset(): number {
    return this.reader.offset;
  }

  /** Reads the next item. Throws BadFile at the first wrong byte. */
  next(): RdbItem {
    this.leaveKey();
    for (;;) {
      const at = this.reader.offset;
      const opcode = this.reader.byte();
      const item = opcode < Opcode.SlotInfo ? this.readKey(opcode, at) : this.readOpcode(opcode, at);
      if (item !== 0) return item;
    }
  }

  /** Returns the item that an opcode begins, 0 = none: it says something of the next key, or nothing of interest. */
  private readOpcode(opcode: number, at: number): RdbItem | 0 {
    const { reader, extent } = this;
    switch (opcode) {
      case Opcode.ExpireMs:
        this.deadlineMs = this.milliseconds();
        return 0;
      case Opcode.Expire:
        reader.need(4);
        this.deadlineMs = Math.max(0, reader.window.readInt32LE(reader.start)) * 1000;
        reader.start += 4;
        return 0;
      case Opcode.Idle:
        this.idleSeconds = extent.count();
        return 0;
      case Opcode.Freq:
        this.frequency = reader.byte();
        return 0;
      case Opcode.SlotInfo:
        for (let i = 0; i < 3; i++) extent.count();
        return 0;
      case Opcode.SelectDb:
        this.database = extent.count();
        return RdbItem.Database;
      case Opcode.ResizeDb:
        this.keys = extent.count();
        this.expires = extent.count();
        return RdbItem.Sizes;
      case Opcode.Aux:
        this.name = this.readText().toString("latin1");
        this.text = this.readText().toString("latin1");
        return RdbItem.Field;
      case Opcode.Function2:
        this.library = this.readText();
        return RdbItem.Library;
      case Opcode.FunctionPreRelease:
        throw new BadFile(at, "a function in the format of a release candidate of Redis 7");
      case Opcode.ModuleAux:
        throw new BadFile(at, `data of the module "${this.moduleName()}": Ferrite has no modules`);
      default:
        return this.readEnd();
    }
  }

  /** A deadline as Redis stores it; a time before 1970 has passed as well as 1970 has. */
  private milliseconds(): number {
    const { reader } = this;
    reader.need(8);
    const { window, start } = reader;
    reader.start += 8;
    const ms = window.readInt32LE(start + 4) * 2 ** 32 + window.readUInt32LE(start);
    return Math.min(Math.max(0, ms), Number.MAX_SAFE_INTEGER);
  }

  private readEnd(): RdbItem {
    const { reader } = this;
    if (this.version < FIRST_VERSION_SUMMED) return RdbItem.End;
    const at = reader.offset;
    const actual = reader.checksum;
    const stored = reader.take(8).readBigUInt64LE(0);
    this.isSummed = stored !== 0n; // 0: written with rdbchecksum no
    if (this.isSummed && this.verifies && stored !== actual)
      throw new BadFile(
        at,
        `wrong checksum: the file says ${stored.toString(16)}, its bytes give ${actual.toString(16)}`,
      );
    return RdbItem.End;
  }

  // ---- strings of the file itself ----

  /** Reads a short string into rdbString, which stays valid until the reader is used again. */
  private readShort(longest: number, what: string): void {
    const { reader, extent } = this;
    const at = reader.offset;
    reader.hold();
    extent.string();
    const { length } = extent;
    if (length > longest)
      throw new BadFile(at, `${what} of ${length} bytes is longer than Ferrite's limit of ${longest}`);
    const end = readString(reader.window, reader.heldAt, reader.start, longest);
    reader.release();
    if (end < 0) throw new BadFile(at, `${what} is a malformed compressed string`);
  }

  /** Reads a field or a library: a copy. */
  private readText(): Buffer {
    this.readShort(TEXT_MAX, "a text");
    const { bytes, at, length } = rdbString;
    return Buffer.from(bytes.subarray(at, at + length));
  }

  /** The name of a module is packed into its ID: nine characters of 6 bits, then 10 bits of a version. */
  private moduleName(): string {
    const { reader, extent } = this;
    const at = reader.start;
    const id = extent.count();
    const wide = reader.start - at === 9 ? reader.window.readBigUInt64BE(reader.start - 8) : BigInt(id);
    let name = "";
    for (let shift = 58n; shift >= 10n; shift -= 6n) name += MODULE_CHARACTERS[Number((wide >> shift) & 63n)];
    return name;
  }

  // ---- keys ----

  private readKey(type: number, at: number): RdbItem {
    const { reader, extent } = this;
    if (this.isValkey && type === VALKEY_HASH) type = RdbType.HashMoments;
    else if (type === RdbType.HashMoments) throw new BadFile(at, `type ${type} is not known`);
    this.type = type;
    this.keyOffset = at;
    this.readName();
    this.valueOffset = reader.offset;
    if (type === MODULE_OLD || type === MODULE)
      throw new BadFile(
        at,
        `key ${this.keyText()} is a value of the module "${this.moduleName()}": Ferrite has no modules`,
      );
    this.isAtKey = true;
    reader.hold();
    this.isReference = type === RDB_REFERENCE;
    if (type === RDB_STRING) this.measureString();
    else if (this.isReference) this.readReference();
    else extent.value(type, at);
    return RdbItem.Key;
  }

  /** Reads the key's name. Most are shorter than 64 bytes and plain: those take the short way. */
  private readName(): void {
    const { reader, key } = this;
    const length = reader.byte();
    if (length < SHORT_NAME) {
      reader.need(length);
      const { window, start } = reader;
      for (let i = 0; i < length; i++) key[i] = window[start + i]!;
      reader.start = start + length;
      this.keyBytes = length;
      return;
    }
    reader.start--;
    this.readShort(KEY_BYTES_MAX, "a key");
    const { bytes, at, length: nameBytes } = rdbString;
    if (nameBytes > key.length) this.key = Buffer.alloc(nameBytes * 2);
    bytes.copy(this.key, 0, at, at + nameBytes);
    this.keyBytes = nameBytes;
  }

  /** Reads the string up to its bytes, and makes it long or skips it. */
  private measureString(): void {
    const { reader, extent } = this;
    extent.head();
    const { form, length } = extent;
    if (length > LARGE_VALUE_MAX)
      throw new BadFile(this.valueOffset, `a string of ${length} bytes is longer than Ferrite's limit`);
    this.isLong = form !== StringForm.Integer && length > STRING_CHUNK_BYTES;
    if (!this.isLong) {
      if (form !== StringForm.Integer) reader.skip(form === StringForm.Packed ? extent.packed : length);
      return;
    }
    reader.release();
    this.longBytes = length;
    this.longLeft = form === StringForm.Packed ? extent.packed : length;
    if (this.longLeft > reader.left)
      throw new BadFile(
        reader.offset,
        `unexpected end of file: ${this.longLeft} bytes are wanted and ${reader.left} are left`,
      );
    this.lzf = form === StringForm.Packed ? new LzfStream(reader, extent.packed, length, this.valueOffset) : null;
  }

  private readReference(): void {
    const { reader, extent, reference } = this;
    const flags = reader.byte();
    if (flags > REFERENCE_FLAGS) throw new BadFile(this.valueOffset, "a reference to a segment file is malformed");
    reference.isChunked = (flags & REFERENCE_CHUNKED) !== 0;
    reference.isGrown = (flags & REFERENCE_GROWN) !== 0;
    reference.length = extent.count();
    reference.file = extent.count();
    reference.offset = extent.count();
    const isPossible = reference.length <= LARGE_VALUE_MAX && reference.file < 2 ** 31 && reference.offset < 2 ** 32;
    if (!isPossible) throw new BadFile(this.valueOffset, "a reference to a segment file is malformed");
  }

  /** Reads the next part of a long string, at most 64 KiB or a little more. Returns its length, 0 at the end. */
  part(): number {
    if (this.lzf !== null) {
      const length = this.lzf.next();
      this.partBytes = this.lzf.bytes;
      this.partAt = this.lzf.at;
      if (length === 0) this.longLeft = 0;
      return length;
    }
    const { reader } = this;
    const length = Math.min(this.longLeft, STRING_CHUNK_BYTES);
    reader.need(length);
    this.partBytes = reader.window;
    this.partAt = reader.start;
    reader.start += length;
    this.longLeft -= length;
    return length;
  }

  /** True when the value is a string. Needs no decoding. */
  get isString(): boolean {
    return this.type === RDB_STRING;
  }

  /**
   * Decodes the value of the key into rdbString, or into rdbItems or rdbStream. Returns its kind; None for a string, and for a
   * reference, of which nothing is to be decoded.
   */
  decode(): RdbKind {
    const { reader, type } = this;
    if (this.isReference) return RdbKind.None;
    const { window, heldAt, start } = reader;
    if (this.isString) {
      if (readStringInto(window, heldAt, start, LARGE_VALUE_MAX, UNPACKED) < 0) this.diagnose();
      return RdbKind.None;
    }
    const kind = readCollection(type, window, heldAt, start, LARGE_VALUE_MAX, this.seed);
    if (kind === RdbKind.None) this.diagnose();
    return kind;
  }

  /** Where in the window the value of the key, a stream of type 21, has the times at which its consumers were active. */
  activeTimesOf(): readonly number[] {
    const { reader, extent } = this;
    reader.rewind();
    extent.value(this.type, this.keyOffset);
    return extent.activeTimes;
  }

  /** The value was refused: finds the first packed encoding in it that is malformed. */
  private diagnose(): never {
    const { reader, extent } = this;
    reader.rewind();
    extent.inspects = true;
    extent.value(this.type, this.keyOffset);
    throw new BadFile(
      this.valueOffset,
      `the value of key ${this.keyText()} (type ${this.type}) is malformed: a wrong count, order, score or deadline, or an element twice`,
    );
  }

  /** The key for messages, at most 128 bytes of it. */
  keyText(): string {
    const shown = this.key.toString("latin1", 0, Math.min(this.keyBytes, 128));
    return JSON.stringify(shown) + (this.keyBytes > 128 ? "..." : "");
  }

  /** Skips the unread rest of the last key's value. */
  private leaveKey(): void {
    if (!this.isAtKey) return;
    this.isAtKey = false;
    this.deadlineMs = NOT_GIVEN;
    this.idleSeconds = NOT_GIVEN;
    this.frequency = NOT_GIVEN;
    if (this.isLong) {
      while (this.part() > 0);
      this.isLong = false;
      this.lzf = null;
    }
    this.reader.release();
  }
}
const MODULE_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const NOTHING = Buffer.alloc(0);
/** Lengths below this are one byte. */
const SHORT_NAME = 64;
/** Where a short compressed string is unpacked: a string value is read by one reader at a time. */
const UNPACKED = Buffer.allocUnsafeSlow(STRING_CHUNK_BYTES);
