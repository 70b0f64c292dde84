/**
 * MessageBatch: messages of one channel that follow each other, for clients that all get every one of them. Their outputs get
 * the batch in one piece, so a further message costs one copy, and not one for each client.
 *
 *   bytes   │ message 0 in RESP2 │ message 1 │ ... │ free
 *   starts  │ offset of each message
 *
 * Invariants
 *   BATCH-1  all messages are for the same clients and have the same log position
 */
import { copy } from "../base/bytes.ts";
import { PUSH_TYPE, type Published } from "./published.ts";

const BATCH_BYTES = 16 << 10;
const BATCH_MESSAGES = 256;

export class MessageBatch {
  /** The messages in RESP2: `length` bytes. */
  readonly bytes = Buffer.allocUnsafeSlow(BATCH_BYTES);
  length = 0;
  position = 0;
  private count = 0;
  private readonly starts = new Int32Array(BATCH_MESSAGES);
  /** The batch in buffers of its own, by protocol. */
  private inResp2: Buffer | null = null;
  private inResp3: Buffer | null = null;

  get isEmpty(): boolean {
    return this.count === 0;
  }

  /** True when the message has room, and the position of those before it (BATCH-1). */
  hasRoomFor({ length, position }: Published): boolean {
    if (this.count === 0) return length <= BATCH_BYTES;
    return this.count < BATCH_MESSAGES && this.length + length <= BATCH_BYTES && this.position === position;
  }

  add({ bytes, at, length, position }: Published): void {
    copy(bytes, at, this.bytes, this.length, length);
    this.starts[this.count++] = this.length;
    this.length += length;
    this.position = position;
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
