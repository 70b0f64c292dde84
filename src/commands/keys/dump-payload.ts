/** Writes the bytes of a DUMP payload into a reply, with the checksum after them. */
import { crc64, updateCrc64 } from "../../base/crc64.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Member } from "../../store/members.ts";
import { RDB_VERSION, writeLength } from "../../structures/rdb-string.ts";

const FOOTER_BYTES = 10;

export abstract class Payload {
  private crcLow = 0;
  private crcHigh = 0;
  /** Bytes measured, without the footer. */
  protected bytes = 0;
  protected reply!: Reply;
  /** RDB version that the footer names. */
  protected version = RDB_VERSION;

  /** Runs for about WALK_STEP_BYTES: first measures everything, then writes it. Returns false at the end. */
  abstract step(reply: Reply): boolean;

  /** Begins the reply, after measuring. */
  protected head(): void {
    this.reply.bulkHead(this.bytes + FOOTER_BYTES);
  }

  protected end(): void {
    const { reply } = this;
    let at = this.room(2);
    reply.bytes.writeUInt16LE(this.version, at);
    this.wrote(2);
    at = this.room(8);
    reply.bytes.writeInt32LE(this.crcLow, at);
    reply.bytes.writeInt32LE(this.crcHigh, at + 4);
    reply.at += 8;
    reply.bulkEnd();
  }

  string(member: Member): void {
    const { bytes, at, length } = member;
    const to = this.room(5 + length);
    const head = writeLength(this.reply.bytes, to, length);
    (bytes as Buffer).copy(this.reply.bytes, to + head, at, at + length);
    this.wrote(head + length);
  }

  double(value: number): void {
    const at = this.room(8);
    this.reply.bytes.writeDoubleLE(value, at);
    this.wrote(8);
  }

  /** Makes room for `bytes` in the reply. Returns the offset at which to write them. */
  protected room(bytes: number): number {
    this.reply.ensure(bytes);
    return this.reply.at;
  }
  /** Adds the bytes written there to the payload and its checksum. */
  protected wrote(bytes: number): void {
    const { reply } = this;
    updateCrc64(this.crcLow, this.crcHigh, reply.bytes, reply.at, bytes);
    this.crcLow = crc64.lo;
    this.crcHigh = crc64.hi;
    reply.at += bytes;
  }
}
