/**
 * A published message, encoded once for all its subscribers:
 *
 *   *3 │ $7 message │ $2 ch │ $5 hello        RESP2; in RESP3 ">" takes the place of "*"
 *
 * and once for each pattern that matches its channel:
 *
 *   *4 │ $8 pmessage │ $1 * │ $2 ch │ $5 hello
 */
import { ChannelKind } from "../store/channels.ts";

const LINE_END = Buffer.from("\r\n");
const MESSAGE = Buffer.from("*3\r\n$7\r\nmessage\r\n");
const SHARD_MESSAGE = Buffer.from("*3\r\n$8\r\nsmessage\r\n");
const PATTERN_MESSAGE = Buffer.from("*4\r\n$8\r\npmessage\r\n");
const PUSH_TYPE = 0x3e;

export class Published {
  private inResp3: Buffer | null = null;

  constructor(
    /** Channel or Shard. */
    readonly kind: ChannelKind,
    /** The message in RESP2. Channel and payload lie in it. */
    readonly bytes: Buffer,
    readonly channelAt: number,
    readonly channelBytes: number,
    readonly payloadAt: number,
    readonly payloadBytes: number,
    /** Log position that must be released before the message may leave. */
    public position: number,
  ) {}

  /** The message in a version of RESP. */
  inProtocol(protocol: 2 | 3): Buffer {
    if (protocol === 2) return this.bytes;
    this.inResp3 ??= asPush(this.bytes);
    return this.inResp3;
  }

  /** The message in RESP2 as subscribers of `pattern` get it. */
  forPattern(pattern: Buffer): Buffer {
    const { bytes, channelAt, channelBytes, payloadAt, payloadBytes } = this;
    const target = Buffer.allocUnsafeSlow(
      PATTERN_MESSAGE.length + bulkBytes(pattern.length) + bulkBytes(channelBytes) + bulkBytes(payloadBytes),
    );
    let at = PATTERN_MESSAGE.copy(target);
    at = writeBulk(target, at, pattern, 0, pattern.length);
    at = writeBulk(target, at, bytes, channelAt, channelBytes);
    writeBulk(target, at, bytes, payloadAt, payloadBytes);
    return target;
  }
}

/** Encodes a message. */
export function encodeMessage(
  kind: ChannelKind,
  channel: Uint8Array,
  channelAt: number,
  channelBytes: number,
  payload: Uint8Array,
  payloadAt: number,
  payloadBytes: number,
): Published {
  const head = kind === ChannelKind.Shard ? SHARD_MESSAGE : MESSAGE;
  const bytes = Buffer.allocUnsafeSlow(head.length + bulkBytes(channelBytes) + bulkBytes(payloadBytes));
  let at = head.copy(bytes);
  at = writeBulk(bytes, at, channel, channelAt, channelBytes);
  const channelEnd = at - 2;
  at = writeBulk(bytes, at, payload, payloadAt, payloadBytes);
  const payloadEnd = at - 2;
  return new Published(
    kind,
    bytes,
    channelEnd - channelBytes,
    channelBytes,
    payloadEnd - payloadBytes,
    payloadBytes,
    0,
  );
}

/** A message in RESP2 as a push of RESP3. */
export function asPush(bytes: Buffer): Buffer {
  const push = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(push);
  push[0] = PUSH_TYPE;
  return push;
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
  at += LINE_END.copy(target, at);
  if (length < SHORT) for (let i = 0; i < length; i++) target[at + i] = source[from + i]!;
  else Buffer.prototype.copy.call(source, target, at, from, from + length);
  at += length;
  return at + LINE_END.copy(target, at);
}
/** Bytes below which a loop copies faster, see base/bytes.ts. */
const SHORT = 24;

/** The confirmation of a subscription or its end: `word` is the command's name, `name` null when nothing was subscribed to. */
export function encodeConfirmation(protocol: 2 | 3, word: string, name: Buffer | null, count: number): Buffer {
  const none = protocol === 3 ? "_\r\n" : "$-1\r\n";
  const head = `${protocol === 3 ? ">" : "*"}3\r\n$${word.length}\r\n${word}\r\n`;
  const tail = `:${count}\r\n`;
  if (name === null) return Buffer.from(head + none + tail);
  return Buffer.concat([Buffer.from(`${head}$${name.length}\r\n`), name, Buffer.from(`\r\n${tail}`)]);
}
