/**
 * MessageBatch: messages of one channel that follow each other, for clients that all get every one of them. Their outputs get
 * the batch in one piece, so a further message costs one copy, and not one for each client.
 *
 *   bytes   │ message 0 in RESP2 │ message 1 │ ... │ free
 *   starts  │ offset of each message, and behind the last one the length
 *
 * Invariants
 *   BATCH-1  all messages are for the same clients and have the same log position
 */
import { copy } from "../base/bytes.ts";
import { ChannelKind } from "../store/channels.ts";
import { PUSH_TYPE, type Published } from "./published.ts";

const BATCH_BYTES = 16 << 10;
const BATCH_MESSAGES = 256;
const LF = 0x0a;

/** See Receiver in pubsub.ts. */
interface CopyReceiver {
  deliverCopy(bytes: Buffer, at: number, length: number, position: number): void;
}

export class MessageBatch {
  /** The messages in RESP2: `length` bytes. */
  readonly bytes = Buffer.allocUnsafeSlow(BATCH_BYTES);
  length = 0;
  position = 0;
  count = 0;
  readonly starts = new Int32Array(new ArrayBuffer((BATCH_MESSAGES + 1) * 4));
  /** The offsets behind each message, as bytes. */
  readonly endBytes = Buffer.from(this.starts.buffer, 4);
  /** The channel, which lies in each message at an offset from its beginning. */
  kind: ChannelKind = ChannelKind.Channel;
  channelAt = 0;
  channelBytes = 0;
  /** The batch in buffers of its own, by protocol. */
  private inResp2: Buffer | null = null;
  private inResp3: Buffer | null = null;

  get isEmpty(): boolean {
    return this.count === 0;
  }

  /** True when a message has room, and the position of those before it (BATCH-1). */
  hasRoomFor({ length, position }: Published): boolean {
    return this.hasRoom(1, length, position);
  }
  /** True when all messages of `other` have. */
  hasRoomForAll({ count, length, position }: MessageBatch): boolean {
    return this.hasRoom(count, length, position);
  }
  private hasRoom(count: number, length: number, position: number): boolean {
    if (this.count === 0) return length <= BATCH_BYTES;
    return this.count + count <= BATCH_MESSAGES && this.length + length <= BATCH_BYTES && this.position === position;
  }

  add({ kind, bytes, at, length, channelAt, channelBytes, position }: Published): void {
    copy(bytes, at, this.bytes, this.length, length);
    this.length += length;
    this.starts[++this.count] = this.length;
    this.kind = kind;
    this.channelAt = channelAt;
    this.channelBytes = channelBytes;
    this.position = position;
  }

  /** Adds the messages of `other`. */
  addAll({ kind, bytes, starts, count, length, channelAt, channelBytes, position }: MessageBatch): void {
    copy(bytes, 0, this.bytes, this.length, length);
    for (let n = 1; n <= count; n++) this.starts[this.count + n] = this.length + starts[n]!;
    this.count += count;
    this.length += length;
    this.kind = kind;
    this.channelAt = channelAt;
    this.channelBytes = channelBytes;
    this.position = position;
  }

  /** Sets `message` to message `n`, which lies here. */
  toMessage(n: number, message: Published): void {
    const { bytes, starts, channelAt, channelBytes } = this;
    const start = starts[n]!;
    const length = starts[n + 1]! - start;
    // Behind the channel: CRLF, "$", the length of the payload, CRLF.
    let payloadAt = channelAt + channelBytes + 3;
    while (bytes[start + payloadAt] !== LF) payloadAt++;
    payloadAt++;
    message.set(this.kind, bytes, start, length, channelAt, channelBytes, payloadAt, length - 2 - payloadAt);
    message.position = this.position;
  }

  /** Delivers the batch as copies of whole messages, of up to `most` bytes where a message is not longer. */
  copyTo(receiver: CopyReceiver, most: number): void {
    const { bytes, starts, count, position } = this;
    for (let n = 0, from = 0; n < count; ) {
      do n++;
      while (n < count && starts[n + 1]! - from <= most);
      receiver.deliverCopy(bytes, from, starts[n]! - from, position);
      from = starts[n]!;
    }
  }

  /** The batch in a buffer of its own. */
  inProtocol(protocol: 2 | 3): Buffer {
    if (protocol === 2) {
      this.inResp2 ??= this.copy();
      return this.inResp2;
    }
    if (this.inResp3 === null) {
      this.inResp3 = this.copy();
      for (let n = 0; n < this.count; n++) this.inResp3[this.starts[n]!] = PUSH_TYPE;
    }
    return this.inResp3;
  }

  private copy(): Buffer {
    const copied = Buffer.allocUnsafeSlow(this.length);
    copy(this.bytes, 0, copied, 0, this.length);
    return copied;
  }

  clear(): void {
    this.count = this.length = this.position = 0;
    this.inResp2 = this.inResp3 = null;
  }
}
