/**
 * A published message, encoded once for all its subscribers:
 *
 *   *3 │ $7 message │ $2 ch │ $5 hello        RESP2; in RESP3 ">" takes the place of "*"
 *
 * and once for each pattern that matches its channel:
 *
 *   *4 │ $8 pmessage │ $1 * │ $2 ch │ $5 hello
 *
 * A short message for few clients is written into a buffer that is used again and again, and is copied from there.
 */
import { copy } from "../base/bytes.ts";
import { ChannelKind } from "../store/channels.ts";

const NOTHING = Buffer.alloc(0);
const MESSAGE = Buffer.from("*3\r\n$7\r\nmessage\r\n");
const SHARD_MESSAGE = Buffer.from("*3\r\n$8\r\nsmessage\r\n");
const PATTERN_MESSAGE = Buffer.from("*4\r\n$8\r\npmessage\r\n");
const ARRAY_TYPE = 0x2a;
/** First byte of a push in RESP3. */
export const PUSH_TYPE = 0x3e;
/** Longest message that is written into the buffer that is used again. */
const SCRATCH_BYTES = 16 << 10;

export class Published {
  /** Channel or Shard. */
  kind: ChannelKind = ChannelKind.Channel;
  /** The message in RESP2: `length` bytes from `at`. Channel and payload lie in it, at offsets from `at`. */
  bytes: Buffer = NOTHING;
  at = 0;
  length = 0;
  channelAt = 0;
  channelBytes = 0;
  payloadAt = 0;
  payloadBytes = 0;
  /** Log position that must be released before the message may leave. */
  position = 0;
  /** The message in buffers of its own, by protocol, which may be kept. */
  private inResp2: Buffer | null = null;
  private inResp3: Buffer | null = null;
  private scratch = NOTHING;

  set(
    kind: ChannelKind,
    bytes: Buffer,
    at: number,
    length: number,
    channelAt: number,
    channelBytes: number,
    payloadAt: number,
    payloadBytes: number,
  ): void {
    this.kind = kind;
    this.bytes = bytes;
    this.at = at;
    this.length = length;
    this.channelAt = channelAt;
    this.channelBytes = channelBytes;
    this.payloadAt = payloadAt;
    this.payloadBytes = payloadBytes;
    this.position = 0;
    this.inResp2 = this.inResp3 = null;
  }

  /** Encodes a message. */
  encode(
    kind: ChannelKind,
    channel: Uint8Array,
    channelFrom: number,
    channelBytes: number,
    payload: Uint8Array,
    payloadFrom: number,
    payloadBytes: number,
  ): void {
    const head = kind === ChannelKind.Shard ? SHARD_MESSAGE : MESSAGE;
    const length = head.length + bulkBytes(channelBytes) + bulkBytes(payloadBytes);
    if (this.scratch.length === 0) this.scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
    const bytes = length > SCRATCH_BYTES ? Buffer.allocUnsafeSlow(length) : this.scratch;
    for (let i = 0; i < head.length; i++) bytes[i] = head[i]!;
    const channelEnd = writeBulk(bytes, head.length, channel, channelFrom, channelBytes);
    const payloadEnd = writeBulk(bytes, channelEnd, payload, payloadFrom, payloadBytes);
    this.set(
      kind,
      bytes,
      0,
      length,
      channelEnd - 2 - channelBytes,
      channelBytes,
      payloadEnd - 2 - payloadBytes,
      payloadBytes,
    );
    if (bytes !== this.scratch) this.inResp2 = bytes;
  }

  /** The message in a buffer of its own. */
  inProtocol(protocol: 2 | 3): Buffer {
    if (protocol === 3) {
      this.inResp3 ??= asPush(this.bytes.subarray(this.at, this.at + this.length));
      return this.inResp3;
    }
    this.inResp2 ??= Buffer.from(this.bytes.subarray(this.at, this.at + this.length));
    return this.inResp2;
  }

  /** Sets the first byte, so that the bytes are the message in a protocol. RESP2 has to be set again afterwards. */
  turnTo(protocol: 2 | 3): void {
    this.bytes[this.at] = protocol === 3 ? PUSH_TYPE : ARRAY_TYPE;
  }

  /** A copy that stays valid. */
  copy(): Published {
    const copy = new Published();
    const { kind, length, channelAt, channelBytes, payloadAt, payloadBytes } = this;
    copy.set(kind, this.inProtocol(2), 0, length, channelAt, channelBytes, payloadAt, payloadBytes);
    copy.inResp2 = copy.bytes;
    copy.position = this.position;
    return copy;
  }

  /** The message in RESP2 as subscribers of `pattern` get it. */
  forPattern(pattern: Buffer): Buffer {
    const { bytes, at: from, channelAt, channelBytes, payloadAt, payloadBytes } = this;
    const target = Buffer.allocUnsafeSlow(
      PATTERN_MESSAGE.length + bulkBytes(pattern.length) + bulkBytes(channelBytes) + bulkBytes(payloadBytes),
    );
    let at = PATTERN_MESSAGE.copy(target);
    at = writeBulk(target, at, pattern, 0, pattern.length);
    at = writeBulk(target, at, bytes, from + channelAt, channelBytes);
    writeBulk(target, at, bytes, from + payloadAt, payloadBytes);
    return target;
  }
}

/** A message in RESP2 as a push of RESP3. */
export function asPush(bytes: Buffer): Buffer {
  const push = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(push);
  push[0] = PUSH_TYPE;
  return push;
}

/** The confirmation of a subscription or its end: `word` is the command's name, `name` null when nothing was subscribed to. */
export function encodeConfirmation(protocol: 2 | 3, word: string, name: Buffer | null, count: number): Buffer {
  const none = protocol === 3 ? "_\r\n" : "$-1\r\n";
  const head = `${protocol === 3 ? ">" : "*"}3\r\n$${word.length}\r\n${word}\r\n`;
  const tail = `:${count}\r\n`;
  if (name === null) return Buffer.from(head + none + tail);
  return Buffer.concat([Buffer.from(`${head}$${name.length}\r\n`), name, Buffer.from(`\r\n${tail}`)]);
}

function bulkBytes(length: number): number {
  return 5 + digitsOf(length) + length;
}

function digitsOf(value: number): number {
  let digits = 1;
  for (; value >= 10; value = Math.floor(value / 10)) digits++;
  return digits;
}

/** Writes a bulk string. Returns the offset behind it. */
function writeBulk(target: Buffer, at: number, source: Uint8Array, from: number, length: number): number {
  target[at++] = 0x24;
  const end = at + digitsOf(length);
  for (let i = end - 1, rest = length; i >= at; i--, rest = Math.floor(rest / 10)) target[i] = 0x30 + (rest % 10);
  at = end;
  target[at++] = 0x0d;
  target[at++] = 0x0a;
  copy(source, from, target, at, length);
  at += length;
  target[at++] = 0x0d;
  target[at++] = 0x0a;
  return at;
}
