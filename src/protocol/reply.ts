/**
 * Reply: the sink that handlers write to. A handler writes an integer, a bulk string, an array of n, a null or an error;
 * only the sink knows the protocol version. The replies of a batch are collected in one buffer and leave in one socket
 * write.
 *
 * `ReplyTarget` receives all other bytes: those of a full buffer, and large values and walks, which
 * are pinned and streamed as the socket drains. A handler writes while it holds shard locks, so a target must not touch a
 * socket, a lock or a pin.
 */
import { copy, writeLatin1 } from "../base/bytes.ts";
import { formatInt, formatInt64 } from "../base/integers.ts";
import type { Address } from "../store/address.ts";
import type { Shard } from "../store/shard.ts";
import { DOUBLE_TEXT_BYTES_MAX, formatDouble } from "../base/double-text.ts";
import { statusText } from "./errors.ts";

const CR = 13;
const LF = 10;
const FIRST_BYTES = 64 << 10;
/** A buffer with more bytes is handed on in the middle of a batch. */
const HAND_ON_BYTES = 256 << 10;

/** A range of a pinned large value. It is streamed from shared memory, and the pin is released at its end. */
export interface PinnedRange {
  shard: Shard;
  node: Address;
  /** Pin slot, from LargeValues.pin. */
  pin: number;
  /** Next byte of the value to send, and the byte behind the last. */
  position: number;
  end: number;
}

/**
 * A walk: a long reply that is written in steps, from a pinned value, while the socket drains. At its end the pin is
 * released and `end` is called.
 */
export abstract class PinnedWalk {
  constructor(
    readonly shard: Shard,
    /** Pin slot, from LargeValues.pin, or NO_PIN. */
    readonly pin: number,
    /** RESP version of the reply. */
    readonly protocol: 2 | 3,
    /** Estimate of the bytes that are still to be written. */
    public pending: number,
  ) {}

  /**
   * True when the remaining bytes do not exist in memory yet. They count against the output limits, but not as memory of
   * the client.
   */
  readonly isMade: boolean = false;

  /** Writes about WALK_STEP_BYTES more, outside any lock. Returns false when the reply is complete. */
  abstract step(reply: Reply): boolean;
  /** Called when the reply is sent or dropped: releases everything but the pin. */
  abstract close(): void;
}

/** Pin of a walk that does not read the shard. */
export const NO_PIN = -1;

/** Bytes that one step of a walk writes: about 250 us of small entries. */
export const WALK_STEP_BYTES = 32 << 10;

export interface ReplyTarget {
  /** True when the client is gone or will be closed. A handler with much left to write may then stop early. */
  readonly isGone: boolean;
  /**
   * Receives the first `length` bytes of `bytes`. Returns the buffer to continue with: the same one if the bytes were
   * copied, another one if the target now owns `bytes`.
   */
  handOn(bytes: Buffer, length: number): Buffer;
  /** Queues a range or a walk behind everything handed on so far. */
  stream(part: PinnedRange | PinnedWalk): void;
}

/** The part of the store that `large` needs. The store's selection is a chunked string. */
export interface LargeSource {
  readonly shard: Shard;
  readonly node: Address;
  readonly large: {
    pin(shard: Shard): number;
    read(shard: Shard, node: Address, position: number, target: Uint8Array, offset: number, length: number): void;
  };
}

/** Shorter large values are copied into the buffer, which is cheaper than a pin and separate socket writes. */
const STREAM_BYTES = 128 << 10;
const COPY_STEP = 64 << 10;

export class Reply {
  bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  /** Bytes in the buffer: written and not handed on yet. */
  at = 0;
  /** RESP version of the current connection: 2 or 3. */
  protocol: 2 | 3 = 2;
  /** Errors written since the start, for the statistics. */
  errors = 0;
  /** Called with the text of each error. */
  onError: (text: string) => void = () => {};
  /** Bytes of replies handed on or streamed since the start. */
  passedOn = 0;
  target: ReplyTarget = { isGone: false, handOn: (bytes) => bytes, stream: () => {} };
  /**
   * The gate: the position in the change log that must be released before the replies of this batch may leave. It is the
   * highest position of the sections in which the batch read or wrote. 0 = none.
   */
  position = 0;
  /** How often the buffer was handed on. A reply that began before the last time cannot be taken back. */
  handedOn = 0;
  /** How often the buffer grew, and how often it shrank, since the start. */
  expands = 0;
  shrinks = 0;
  /** Bytes written since the start. */
  get written(): number {
    return this.passedOn + this.at;
  }

  /** Makes room for `bytes` more. */
  ensure(bytes: number): void {
    if (this.at + bytes <= this.bytes.length) return;
    if (this.at >= HAND_ON_BYTES || (this.at > 0 && this.at + bytes > HAND_ON_BYTES * 2)) this.handOnNow();
    if (this.at + bytes <= this.bytes.length) return;
    const wider = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.at + bytes));
    this.bytes.copy(wider, 0, 0, this.at);
    this.bytes = wider;
    this.expands++;
  }

  /** Hands the buffer's bytes on to the target. */
  handOnNow(): void {
    if (this.at === 0) return;
    this.handedOn++;
    this.passedOn += this.at;
    const before = this.bytes.length;
    this.bytes = this.target.handOn(this.bytes, this.at);
    this.at = 0;
    // A buffer that one huge reply needed is not retained.
    if (this.bytes.length > HAND_ON_BYTES * 4) this.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    if (this.bytes.length < before) this.shrinks++;
    else if (this.bytes.length > before) this.expands++;
  }

  ok(): void {
    this.constant(OK);
  }
  pong(): void {
    this.constant(PONG);
  }
  /** Null bulk string. */
  nullBulk(): void {
    this.constant(this.protocol === 3 ? NULL_3 : NULL_BULK);
  }
  nullArray(): void {
    this.constant(this.protocol === 3 ? NULL_3 : NULL_ARRAY);
  }
  emptyArray(): void {
    this.constant(EMPTY_ARRAY);
  }

  /** Boolean in RESP3, integer 1 or 0 in RESP2. */
  bool(value: boolean): void {
    if (this.protocol === 3) this.constant(value ? TRUE_3 : FALSE_3);
    else this.integer(value ? 1 : 0);
  }

  /** A complete reply that was encoded at start. */
  constant(reply: Buffer): void {
    const length = reply.length;
    if (this.at + length > this.bytes.length) this.ensure(length);
    const bytes = this.bytes;
    let at = this.at;
    for (let i = 0; i < length; i++) bytes[at++] = reply[i]!;
    this.at = at;
  }

  /** `length` bytes in RESP of `source`. */
  copied(source: Buffer, offset: number, length: number): void {
    if (this.at + length > this.bytes.length) this.ensure(length);
    copy(source, offset, this.bytes, this.at, length);
    this.at += length;
  }

  /** Bytes in RESP of any length. */
  encoded(bytes: Buffer): void {
    this.ensure(bytes.length);
    bytes.copy(this.bytes, this.at);
    this.at += bytes.length;
  }

  /** Integer reply. The value must be a safe integer. */
  integer(value: number): void {
    if (this.at + 24 > this.bytes.length) this.ensure(24);
    const bytes = this.bytes;
    let at = this.at;
    bytes[at++] = 58;
    if (value >= 0 && value < 10) bytes[at++] = 48 + value;
    else at += formatInt(bytes, at, value);
    bytes[at++] = CR;
    bytes[at++] = LF;
    this.at = at;
  }

  /** Integer reply of 64 bits. */
  integer64(low: number, high: number): void {
    this.ensure(24);
    const bytes = this.bytes;
    bytes[this.at++] = 58;
    this.at += formatInt64(bytes, this.at, low, high);
    this.line();
  }

  /** Bulk string of `length` bytes from `source`. */
  bulk(source: Buffer, offset: number, length: number): void {
    if (this.at + length + 24 > this.bytes.length) this.ensure(length + 24);
    const bytes = this.bytes;
    let at = this.at;
    bytes[at++] = 36;
    if (length < 10) bytes[at++] = 48 + length;
    else if (length < 100) {
      const tens = (length / 10) | 0;
      bytes[at++] = 48 + tens;
      bytes[at++] = 48 + length - tens * 10;
    } else at += formatInt(bytes, at, length);
    bytes[at++] = CR;
    bytes[at++] = LF;
    if (length < 24) {
      for (let i = 0; i < length; i++) bytes[at++] = source[offset + i]!;
    } else {
      source.copy(bytes, at, offset, offset + length);
      at += length;
    }
    bytes[at++] = CR;
    bytes[at++] = LF;
    this.at = at;
  }

  /** Bulk string of a 64-bit integer's text. */
  bulkInt64(low: number, high: number): void {
    const length = formatInt64(TEXT, 0, low, high);
    this.bulk(TEXT, 0, length);
  }

  /** Head of a bulk string. The caller writes its `length` bytes, then calls bulkEnd. */
  bulkHead(length: number): void {
    this.head(36, length);
  }
  /** End of a bulk string that bulkHead began. */
  bulkEnd(): void {
    this.ensure(2);
    this.line();
  }

  /** Bulk string of `length` bytes from `position` of the selected chunked string. */
  large(source: LargeSource, position: number, length: number): void {
    const { shard, node } = source;
    this.head(36, length);
    const pin = length > STREAM_BYTES ? source.large.pin(shard) : -1;
    if (pin >= 0) {
      this.handOnNow();
      this.handedOn++;
      this.passedOn += length;
      this.target.stream({ shard, node, pin, position, end: position + length });
    } else {
      // The value is short, or all pins of the shard are in use.
      for (let done = 0; done < length; done += COPY_STEP) {
        const part = Math.min(COPY_STEP, length - done);
        this.ensure(part);
        source.large.read(shard, node, position + done, this.bytes, this.at, part);
        this.at += part;
      }
    }
    this.ensure(2);
    this.line();
  }

  /** Adds the reply that `walk` will write, behind everything written so far. */
  walk(walk: PinnedWalk): void {
    this.handOnNow();
    this.handedOn++;
    this.passedOn += walk.pending;
    this.target.stream(walk);
  }

  /** Bulk string of a text, in UTF-8. */
  text(text: string): void {
    const length = Buffer.byteLength(text);
    this.head(36, length);
    this.ensure(length + 2);
    this.at += this.bytes.write(text, this.at);
    this.line();
  }

  /** Bulk string of a text of bytes, one a character (Lua's strings). */
  latin1(text: string): void {
    const { length } = text;
    this.head(36, length);
    this.ensure(length + 2);
    this.at += writeLatin1(this.bytes, this.at, text);
    this.line();
  }
  /** Simple string of a text of bytes. Line breaks become spaces. */
  simpleLatin1(text: string): void {
    this.writeLine(43, text);
  }
  /** Verbatim string of a text of bytes in RESP3, bulk string in RESP2. `format`: three characters. */
  verbatimLatin1(format: string, text: string): void {
    if (this.protocol !== 3) return this.latin1(text);
    const whole = `${format.slice(0, 3).padEnd(3)}:${text}`;
    this.head(61, whole.length);
    this.ensure(whole.length + 2);
    this.at += writeLatin1(this.bytes, this.at, whole);
    this.line();
  }

  /** Verbatim string in RESP3, bulk string in RESP2 (INFO, LOLWUT, CLIENT LIST). */
  verbatim(text: string): void {
    if (this.protocol !== 3) return this.text(text);
    const length = Buffer.byteLength(text) + 4;
    this.head(61, length);
    this.ensure(length + 2);
    this.at += this.bytes.write(`txt:${text}`, this.at);
    this.line();
  }

  /** Simple string. The text must not contain a line break. */
  simple(text: string): void {
    this.ensure(text.length * 3 + 3);
    this.bytes[this.at++] = 43;
    this.at += this.bytes.write(text, this.at);
    this.line();
  }

  /** Error reply; the text begins with its code ("ERR ..."). Line breaks become spaces, so that replies cannot be injected. */
  error(text: string): void {
    this.countError(text);
    this.writeLine(45, text);
  }
  /** As `error`; with `isCounted` it was counted already, by the command inside a script that it comes from. */
  errorOnce(text: string, isCounted: boolean): void {
    if (isCounted) this.errors++;
    else this.countError(text);
    this.writeLine(45, text);
  }

  private writeLine(type: number, text: string): void {
    const clean = /[\r\n]/.test(text) ? text.replace(/[\r\n]/g, " ") : text;
    this.ensure(clean.length + 3);
    this.bytes[this.at++] = type;
    this.at += writeLatin1(this.bytes, this.at, clean);
    this.line();
  }

  /** Counts an error that was written as an encoded constant. */
  countError(text: string): void {
    this.errors++;
    this.onError(text);
  }

  /** Error of an engine status. */
  status(status: number): void {
    this.error(statusText(status));
  }

  /** Double in RESP3, bulk string of its text in RESP2. */
  double(value: number): void {
    if (this.protocol !== 3) return this.bulk(TEXT, 0, formatDouble(TEXT, 0, value));
    this.ensure(DOUBLE_TEXT_BYTES_MAX + 3);
    this.bytes[this.at++] = 44;
    this.at += formatDouble(this.bytes, this.at, value);
    this.line();
  }

  /** As `double`, with the digits given. */
  decimal(digits: string): void {
    if (this.protocol !== 3) return this.text(digits);
    this.ensure(digits.length + 3);
    this.bytes[this.at++] = 44;
    this.at += this.bytes.write(digits, this.at, "latin1");
    this.line();
  }

  array(count: number): void {
    this.head(42, count);
  }
  /** Head of an array with a 64-bit number of items. */
  array64(low: number, high: number): void {
    this.ensure(24);
    this.bytes[this.at++] = 42;
    this.at += formatInt64(this.bytes, this.at, low, high);
    this.line();
  }
  /** Head of a map of `pairs`; a flat array in RESP2. */
  map(pairs: number): void {
    if (this.protocol === 3) this.head(37, pairs);
    else this.head(42, pairs * 2);
  }
  /** Head of a set of `count`; an array in RESP2. */
  set(count: number): void {
    this.head(this.protocol === 3 ? 126 : 42, count);
  }
  push(count: number): void {
    this.head(this.protocol === 3 ? 62 : 42, count);
  }

  /** Head of the attributes of the next reply, RESP3 only. The caller writes `pairs` of name and value. */
  attribute(pairs: number): void {
    this.head(124, pairs);
  }
  /** Big number in RESP3, bulk string of its digits in RESP2. */
  bigNumber(digits: string): void {
    if (this.protocol !== 3) return this.text(digits);
    this.ensure(digits.length + 3);
    this.bytes[this.at++] = 40;
    this.at += this.bytes.write(digits, this.at, "latin1");
    this.line();
  }

  private head(type: number, count: number): void {
    this.ensure(24);
    this.bytes[this.at++] = type;
    this.at += formatInt(this.bytes, this.at, count);
    this.line();
  }

  private line(): void {
    this.bytes[this.at++] = CR;
    this.bytes[this.at++] = LF;
  }
}

const TEXT = Buffer.alloc(32);
const OK = Buffer.from("+OK\r\n");
const PONG = Buffer.from("+PONG\r\n");
const NULL_BULK = Buffer.from("$-1\r\n");
const NULL_ARRAY = Buffer.from("*-1\r\n");
const NULL_3 = Buffer.from("_\r\n");
const EMPTY_ARRAY = Buffer.from("*0\r\n");
const TRUE_3 = Buffer.from("#t\r\n");
const FALSE_3 = Buffer.from("#f\r\n");
