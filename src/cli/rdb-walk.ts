/**
 * Reads an RDB file without loading it, and determines whether a server would accept it.
 *
 *   "REDIS" version(4 digits)  { opcode ... | type key value }*  0xFF  checksum(8, little endian, from version 5)
 *
 * Supports the types of RDB versions 1 to 12 (Redis 7.4). Source: rdb.c and rdb.h of Redis.
 */
import { checkIntset, checkListpack, checkZiplist, decompressLzf } from "./packed.ts";
import { BadFile, type FileReader } from "./reader.ts";

export interface RdbSummary {
  readonly version: number;
  readonly keys: number;
  readonly expires: number;
  readonly functions: number;
  readonly databases: number;
  /** "AUX" fields such as redis-ver, in order. */
  readonly fields: readonly (readonly [string, string])[];
  readonly checksum: "good" | "absent";
  /** Offset after the last byte of the RDB part. */
  readonly end: number;
}

const NEWEST_VERSION = 12;
/** Longer strings are skipped without a look at their content. */
const INSPECT_BYTES = 64 * 1024 * 1024;

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

/** True when the file begins with the signature of an RDB file. */
export function looksLikeRdb(reader: FileReader): boolean {
  return reader.left >= 5 && new TextDecoder("latin1").decode(reader.peek(5)) === "REDIS";
}

/** Reads from the reader's offset to the end of the RDB part. Throws BadFile at the first invalid byte. */
export function walkRdb(reader: FileReader): RdbSummary {
  return new RdbWalk(reader).run();
}

class RdbWalk {
  private keys = 0;
  private expires = 0;
  private functions = 0;
  private databases = 0;
  private readonly fields: (readonly [string, string])[] = [];

  constructor(private readonly reader: FileReader) {}

  run(): RdbSummary {
    const { reader } = this;
    const header = new TextDecoder("latin1").decode(reader.take(9));
    if (!/^REDIS\d{4}$/.test(header))
      throw new BadFile(0, "wrong signature: an RDB file begins with REDIS and four digits");
    const version = Number(header.slice(5));
    if (version < 1 || version > NEWEST_VERSION)
      throw new BadFile(5, `RDB version ${version} is not known (1 to ${NEWEST_VERSION} are)`);

    for (;;) {
      const at = reader.offset;
      const opcode = reader.byte();
      if (opcode === Opcode.End) break;
      this.record(opcode, at);
    }
    const checksum = version >= 5 ? this.checkSum() : "absent";
    const { keys, expires, functions, databases, fields } = this;
    return { version, keys, expires, functions, databases, fields, checksum, end: reader.offset };
  }

  private checkSum(): "good" | "absent" {
    const { reader } = this;
    const at = reader.offset;
    const actual = reader.checksum;
    const bytes = reader.take(8);
    const stored = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
    if (stored === 0n) return "absent"; // rdbchecksum no
    if (stored !== actual)
      throw new BadFile(
        at,
        `wrong checksum: the file says ${stored.toString(16)}, its bytes give ${actual.toString(16)}`,
      );
    return "good";
  }

  private record(opcode: number, at: number): void {
    const { reader } = this;
    switch (opcode) {
      case Opcode.ExpireMs:
        this.expires++;
        reader.skip(8);
        return;
      case Opcode.Expire:
        this.expires++;
        reader.skip(4);
        return;
      case Opcode.SelectDb:
        this.databases++;
        this.length();
        return;
      case Opcode.ResizeDb:
        this.length();
        this.length();
        return;
      case Opcode.SlotInfo:
        for (let i = 0; i < 3; i++) this.length();
        return;
      case Opcode.Idle:
        this.length();
        return;
      case Opcode.Freq:
        reader.byte();
        return;
      case Opcode.Aux:
        this.fields.push([this.text(), this.text()]);
        return;
      case Opcode.Function2:
        this.functions++;
        this.string();
        return;
      case Opcode.FunctionPreRelease:
        throw new BadFile(at, "a function in the format of a release candidate of Redis 7");
      case Opcode.ModuleAux:
        for (let i = 0; i < 3; i++) this.length(); // module, opcode of "when", when
        this.moduleValue();
        return;
      default:
        this.string();
        this.value(opcode, at);
        this.keys++;
    }
  }

  private value(type: number, at: number): void {
    switch (type) {
      case 0:
        return this.string();
      case 1:
      case 2:
        return this.repeat(() => this.string());
      case 3:
        return this.repeat(() => {
          this.string();
          this.asciiDouble();
        });
      case 4:
        return this.repeat(() => {
          this.string();
          this.string();
        });
      case 5:
        return this.repeat(() => {
          this.string();
          this.reader.skip(8);
        });
      case 7:
        this.length();
        return this.moduleValue();
      case 15:
      case 19:
      case 21:
        return this.stream(type);
      case 18:
        return this.repeat(() => this.quicklistNode());
      case 24:
        this.reader.skip(8);
        return this.repeat(() => {
          this.length();
          this.string();
          this.string();
        });
      default:
        return this.packedValue(type, at);
    }
  }

  /** Checks a value that is one string of packed entries. */
  private packedValue(type: number, at: number): void {
    switch (type) {
      case 9:
        return this.string(); // zipmap: before Redis 2.6
      case 10:
        return this.packed("ziplist", checkZiplist, 1);
      case 11:
        return this.packed("intset", checkIntset, 1);
      case 12:
      case 13:
        return this.packed("ziplist", checkZiplist, 2);
      case 14:
        return this.repeat(() => this.packed("ziplist", checkZiplist, 1));
      case 16:
      case 17:
        return this.packed("listpack", checkListpack, 2);
      case 20:
        return this.packed("listpack", checkListpack, 1);
      case 25:
        this.reader.skip(8);
        return this.packed("listpack", checkListpack, 3);
      default:
        throw new BadFile(at, `type ${type} is not known`);
    }
  }

  /** Reads a count and so many items. Each item has at least a byte, so an excessive count is refused before the loop. */
  private repeat(read: () => void): void {
    const at = this.reader.offset;
    const count = this.length();
    if (count > this.reader.left)
      throw new BadFile(at, `${count} elements cannot be in the ${this.reader.left} bytes left`);
    for (let i = 0; i < count; i++) read();
  }

  private quicklistNode(): void {
    const at = this.reader.offset;
    const container = this.length();
    if (container === 1) this.string();
    else if (container === 2) this.packed("listpack", checkListpack, 1);
    else throw new BadFile(at, `container ${container} of a list node is not known`);
  }

  private stream(type: number): void {
    const { reader } = this;
    this.repeat(() => {
      const at = reader.offset;
      const key = this.bytes();
      if (key !== null && key.length !== 16) throw new BadFile(at, "the key of a stream node is not 16 bytes");
      this.packed("listpack", checkListpack, 1);
    });
    for (let i = 0; i < 3; i++) this.length(); // entries, last id
    if (type >= 19) for (let i = 0; i < 5; i++) this.length(); // first id, highest deleted id, entries added
    this.repeat(() => {
      this.string();
      this.length();
      this.length();
      if (type >= 19) this.length(); // entries read
      this.repeat(() => {
        reader.skip(16 + 8);
        this.length();
      });
      this.repeat(() => {
        this.string();
        reader.skip(type >= 21 ? 16 : 8);
        this.repeat(() => reader.skip(16));
      });
    });
  }

  /** Skips a module's value: typed parts up to an end mark, which can be skipped without knowing the module. */
  private moduleValue(): void {
    for (;;) {
      const at = this.reader.offset;
      const part = this.length();
      if (part === 0) return;
      if (part === 1 || part === 2) this.length();
      else if (part === 3) this.reader.skip(4);
      else if (part === 4) this.reader.skip(8);
      else if (part === 5) this.string();
      else throw new BadFile(at, `part ${part} of a module's value is not known`);
    }
  }

  private packed(kind: string, check: (bytes: Uint8Array) => number, multiple: number): void {
    const at = this.reader.offset;
    const bytes = this.bytes();
    if (bytes === null) return;
    const count = check(bytes);
    if (count < 0) throw new BadFile(at, `a ${kind} of ${bytes.length} bytes is malformed`);
    if (count % multiple !== 0) throw new BadFile(at, `a ${kind} has ${count} entries, no multiple of ${multiple}`);
  }

  private asciiDouble(): void {
    const length = this.reader.byte();
    if (length < 253) this.reader.skip(length); // 253 to 255 are nan, inf, -inf
  }

  private text(): string {
    const bytes = this.bytes();
    return bytes === null ? "" : new TextDecoder("latin1").decode(bytes);
  }

  private string(): void {
    const at = this.reader.offset;
    const length = this.stringHead();
    if (length.kind === "plain") this.reader.skip(length.bytes);
    else if (length.kind === "compressed") this.inflate(length, at);
  }

  /** Reads a string. Returns null when it is too long to inspect. Valid until the next read. */
  private bytes(): Uint8Array | null {
    const at = this.reader.offset;
    const head = this.stringHead();
    if (head.kind === "integer") return new TextEncoder().encode(String(head.value));
    if (head.kind === "compressed") return this.inflate(head, at);
    if (head.bytes <= INSPECT_BYTES) return this.reader.take(head.bytes);
    this.reader.skip(head.bytes);
    return null;
  }

  private inflate(head: CompressedHead, at: number): Uint8Array | null {
    if (head.packed > INSPECT_BYTES || head.plain > INSPECT_BYTES) {
      this.reader.skip(head.packed);
      return null;
    }
    const plain = decompressLzf(this.reader.take(head.packed), head.plain);
    if (plain === null) throw new BadFile(at, `a compressed string of ${head.packed} bytes is malformed`);
    return plain;
  }

  private stringHead(): PlainHead | CompressedHead | IntegerHead {
    const { reader } = this;
    const at = reader.offset;
    const first = reader.peek(1)[0]!;
    if (first >> 6 !== 3) return { kind: "plain", bytes: this.length() };
    reader.byte();
    const view = (count: number): DataView => {
      const bytes = reader.take(count);
      return new DataView(bytes.buffer, bytes.byteOffset, count);
    };
    switch (first & 0x3f) {
      case 0:
        return { kind: "integer", value: view(1).getInt8(0) };
      case 1:
        return { kind: "integer", value: view(2).getInt16(0, true) };
      case 2:
        return { kind: "integer", value: view(4).getInt32(0, true) };
      case 3:
        return { kind: "compressed", packed: this.length(), plain: this.length() };
      default:
        throw new BadFile(at, `string encoding ${first & 0x3f} is not known`);
    }
  }

  /** Reads a length: 6 bits, 14 bits or, after 0x80 and 0x81, four and eight bytes, big endian. */
  private length(): number {
    const { reader } = this;
    const at = reader.offset;
    const first = reader.byte();
    if (first >> 6 === 0) return first & 0x3f;
    if (first >> 6 === 1) return ((first & 0x3f) << 8) | reader.byte();
    const wide = first === 0x81;
    if (first !== 0x80 && !wide) throw new BadFile(at, `0x${first.toString(16)} begins no length`);
    const bytes = reader.take(wide ? 8 : 4);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    // Beyond 2^53 only timestamps and ids occur, whose exact value does not matter here.
    return wide ? view.getUint32(0) * 2 ** 32 + view.getUint32(4) : view.getUint32(0);
  }
}

interface PlainHead {
  readonly kind: "plain";
  readonly bytes: number;
}
interface CompressedHead {
  readonly kind: "compressed";
  readonly packed: number;
  readonly plain: number;
}
interface IntegerHead {
  readonly kind: "integer";
  readonly value: number;
}
