/**
 * Writes a value in its RDB form, in steps, into a sink: the reply of DUMP, or a file.
 *
 *   sink │ bytes, at: the buffer, and where the next bytes go │ begin: the type's byte, once the length is known
 *        │ wrote: bytes written at `at` │ end: the value is complete
 */
import { crc64, updateCrc64 } from "../../base/crc64.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Member } from "../../store/members.ts";
import { mayPack, PACKED_HEAD_MAX, RDB_VERSION, writeLength, writePacked } from "../../structures/rdb-string.ts";

export interface ValueSink {
  readonly bytes: Buffer;
  readonly at: number;
  /** Bytes written since the start. */
  readonly written: number;
  /** `begin` needs the length of the value. Where it does not, forms that count nothing but entries are not measured. */
  readonly needsLength: boolean;
  /** Strings that become shorter by it are compressed. Not with `needsLength`. */
  readonly compresses: boolean;
  /** Makes room for `bytes` more. This may change the buffer. */
  ensure(bytes: number): void;
  /** Begins a value of RDB type `type`, `bytes` long with the type's byte. */
  begin(type: number, bytes: number): void;
  /** Takes the bytes that were written at `at`. */
  wrote(bytes: number): void;
  /** Ends the value. `version` is the RDB version that its form needs. */
  end(version: number): void;
}

const FOOTER_BYTES = 10;

/** The reply of DUMP: a bulk string that begins with its length, and ends with the RDB version and a checksum. */
export class DumpSink implements ValueSink {
  reply!: Reply;
  readonly needsLength = true;
  readonly compresses = false;
  private crcLow = 0;
  private crcHigh = 0;

  get bytes(): Buffer {
    return this.reply.bytes;
  }
  get at(): number {
    return this.reply.at;
  }
  get written(): number {
    return this.reply.written;
  }
  ensure(bytes: number): void {
    this.reply.ensure(bytes);
  }

  begin(type: number, bytes: number): void {
    const { reply } = this;
    reply.bulkHead(bytes + FOOTER_BYTES);
    reply.ensure(1);
    reply.bytes[reply.at] = type;
    this.wrote(1);
  }

  wrote(bytes: number): void {
    const { reply } = this;
    updateCrc64(this.crcLow, this.crcHigh, reply.bytes, reply.at, bytes);
    this.crcLow = crc64.lo;
    this.crcHigh = crc64.hi;
    reply.at += bytes;
  }

  end(version: number): void {
    const { reply } = this;
    reply.ensure(FOOTER_BYTES);
    reply.bytes.writeUInt16LE(version, reply.at);
    this.wrote(2);
    reply.bytes.writeInt32LE(this.crcLow, reply.at);
    reply.bytes.writeInt32LE(this.crcHigh, reply.at + 4);
    reply.at += 8;
    reply.bulkEnd();
  }
}

export abstract class Payload {
  /** Bytes measured, from the type's byte on. */
  protected bytes = 0;
  protected sink!: ValueSink;
  /** RDB version that the form needs. */
  protected version = RDB_VERSION;

  /** Runs for about WALK_STEP_BYTES: measures everything if need be, then writes it. Returns false at the end. */
  abstract step(sink: ValueSink): boolean;

  protected end(): void {
    this.sink.end(this.version);
  }

  string(member: Member): void {
    const { bytes, at, length } = member;
    const to = this.room(PACKED_HEAD_MAX + length);
    if (this.sink.compresses && mayPack(length)) {
      const packed = writePacked(this.sink.bytes, to, bytes, at, length);
      if (packed > 0) return this.wrote(packed);
    }
    const head = writeLength(this.sink.bytes, to, length);
    (bytes as Buffer).copy(this.sink.bytes, to + head, at, at + length);
    this.wrote(head + length);
  }

  double(value: number): void {
    const at = this.room(8);
    this.sink.bytes.writeDoubleLE(value, at);
    this.wrote(8);
  }

  /** Makes room for `bytes` in the sink. Returns the offset at which to write them. */
  protected room(bytes: number): number {
    this.sink.ensure(bytes);
    return this.sink.at;
  }
  protected wrote(bytes: number): void {
    this.sink.wrote(bytes);
  }
}
