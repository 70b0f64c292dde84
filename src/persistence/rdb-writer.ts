/**
 * Writes an RDB file as a sequence of bytes: the opcodes, and values through the payloads of DUMP, whose sink it is.
 *
 *   header │ for each database: database, values of keys │ finish
 *   a value │ deadline, idle time or frequency │ RDB type │ key │ bytes of the payload │
 *
 * The bytes leave in pieces through `put`, with the checksum counted on the way, so a file of any size needs one buffer.
 * Source: rdb.c of Redis 7.0 and 7.4.
 */
import { crc64, updateCrc64 } from "../base/crc64.ts";
import type { ValueSink } from "../commands/keys/dump-payload.ts";
import { writeLength } from "../structures/rdb-string.ts";

const BUFFER_BYTES = 256 << 10;
const Opcode = {
  Function2: 245,
  Idle: 248,
  Freq: 249,
  Aux: 250,
  ResizeDb: 251,
  ExpireMs: 252,
  SelectDb: 254,
  End: 255,
} as const;

/** Facts of the next key that the file states. */
export interface KeyFacts {
  /** ms; 0 = none. */
  deadlineMs: number;
  /** -1 = not said. */
  idleSeconds: number;
  frequency: number;
}

export class RdbWriter implements ValueSink {
  bytes: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  at = 0;
  readonly needsLength = false;
  keys = 0;
  private passedOn = 0;
  private sumLow = 0;
  private sumHigh = 0;
  private key: Buffer = Buffer.alloc(256);
  private keyBytes = 0;
  private facts: KeyFacts = { deadlineMs: 0, idleSeconds: -1, frequency: -1 };

  /** `put` takes bytes [0, length) before it returns. `sums`: the file ends with its checksum instead of 0. */
  constructor(
    private readonly put: (bytes: Buffer, length: number) => void,
    private readonly sums: boolean,
    public compresses: boolean,
  ) {}

  get written(): number {
    return this.passedOn + this.at;
  }

  ensure(bytes: number): void {
    if (this.at + bytes <= this.bytes.length) return;
    this.flush();
    if (bytes > this.bytes.length) this.bytes = Buffer.allocUnsafeSlow(bytes * 2);
  }

  wrote(bytes: number): void {
    this.at += bytes;
  }

  /** Hands on the bytes in the buffer. */
  flush(): void {
    if (this.sums) {
      updateCrc64(this.sumLow, this.sumHigh, this.bytes, 0, this.at);
      this.sumLow = crc64.lo;
      this.sumHigh = crc64.hi;
    }
    const { at } = this;
    this.passedOn += at;
    this.at = 0;
    this.put(this.bytes, at);
  }

  // ---- the file ----

  header(version: number, fields: readonly (readonly [string, string])[], libraries: readonly Uint8Array[]): void {
    this.raw(Buffer.from(`REDIS${String(version).padStart(4, "0")}`));
    for (const [name, value] of fields) this.field(name, value);
    for (const library of libraries) this.library(library);
  }
  /** A name and a value that say something of the file; each character is a byte. */
  field(name: string, value: string): void {
    this.byte(Opcode.Aux);
    this.string(Buffer.from(name, "latin1"));
    this.string(Buffer.from(value, "latin1"));
  }
  /** The source of a library of functions. */
  library(source: Uint8Array): void {
    this.byte(Opcode.Function2);
    this.string(source);
  }

  /** The keys that follow are in this database. */
  select(db: number): void {
    this.byte(Opcode.SelectDb);
    this.length(db);
  }
  /** As select. The counts help a reader to make room, and may be off. */
  database(db: number, keys: number, expires: number): void {
    this.select(db);
    this.sizes(keys, expires);
  }
  sizes(keys: number, expires: number): void {
    this.byte(Opcode.ResizeDb);
    this.length(keys);
    this.length(expires);
  }

  finish(): void {
    this.byte(Opcode.End);
    this.flush();
    this.bytes.fill(0, 0, 8);
    if (this.sums) {
      this.bytes.writeInt32LE(this.sumLow, 0);
      this.bytes.writeInt32LE(this.sumHigh, 4);
    }
    this.passedOn += 8;
    this.put(this.bytes, 8);
  }

  // ---- a key ----

  /** Names the key whose value comes next: a copy is kept until then. */
  openKey(source: Buffer, at: number, length: number, facts: KeyFacts): void {
    if (length > this.key.length) this.key = Buffer.alloc(length * 2);
    source.copy(this.key, 0, at, at + length);
    this.keyBytes = length;
    this.facts.deadlineMs = facts.deadlineMs;
    this.facts.idleSeconds = facts.idleSeconds;
    this.facts.frequency = facts.frequency;
  }

  begin(type: number): void {
    const { deadlineMs, idleSeconds, frequency } = this.facts;
    if (deadlineMs !== 0) {
      this.byte(Opcode.ExpireMs);
      this.milliseconds(deadlineMs);
    }
    if (idleSeconds >= 0) {
      this.byte(Opcode.Idle);
      this.length(idleSeconds);
    } else if (frequency >= 0) {
      this.byte(Opcode.Freq);
      this.byte(frequency);
    }
    this.byte(type);
    this.length(this.keyBytes);
    this.range(this.key, 0, this.keyBytes);
    this.keys++;
  }
  end(): void {}

  // ---- bytes ----

  byte(value: number): void {
    this.ensure(1);
    this.bytes[this.at++] = value;
  }
  length(value: number): void {
    this.ensure(9);
    this.at += writeLength(this.bytes, this.at, value);
  }
  /** A time in eight bytes, little-endian. */
  milliseconds(ms: number): void {
    this.ensure(8);
    this.bytes.writeUInt32LE(ms % 2 ** 32, this.at);
    this.bytes.writeUInt32LE(Math.floor(ms / 2 ** 32), this.at + 4);
    this.at += 8;
  }
  /** Eight bytes, little-endian. */
  double(value: number): void {
    this.ensure(8);
    this.bytes.writeDoubleLE(value, this.at);
    this.at += 8;
  }
  /** A string of bytes outside shared memory. */
  string(bytes: Uint8Array): void {
    this.length(bytes.length);
    this.raw(bytes);
  }
  private raw(bytes: Uint8Array): void {
    this.ensure(bytes.length);
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }
  /** Bytes from anywhere, piece by piece when they are many. */
  range(source: Buffer, at: number, length: number): void {
    while (length > 0) {
      const part = Math.min(length, BUFFER_BYTES);
      this.ensure(part);
      source.copy(this.bytes, this.at, at, at + part);
      this.at += part;
      at += part;
      length -= part;
    }
  }
}
