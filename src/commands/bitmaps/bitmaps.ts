/**
 * SETBIT, GETBIT, BITCOUNT, BITPOS: a string as an array of bits. Bit 0 is the most significant bit of the first byte.
 *
 * A write touches only the byte of its bit. Counting and searching go through a large value chunk by chunk.
 */
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { KeyEvent } from "../../store/key-events.ts";
import { Encoding, RecordType } from "../../store/record.ts";
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { countBits, findBit } from "../../structures/bits.ts";
import type { Call } from "../../dispatch/call.ts";
import { beginLongRead, longReadOf, type LongRead, stepLongRead } from "../../dispatch/long-read.ts";
import { refuse } from "../../dispatch/refuse.ts";
import { type Outcome, Retry } from "../../dispatch/spec.ts";
import { BAD_OFFSET, byteAt, isTooLong, oneByte, parseBitOffset, write } from "./bit-access.ts";

const BAD_BIT = "ERR bit is not an integer or out of range";

// ---- single bits ----

/** SETBIT key offset value. Replies: the old bit. */
export function setbit(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const offset = parseBitOffset(call, call.argAt(2), call.argBytes(2), 1);
  if (offset < 0) return reply.error(BAD_OFFSET);
  const bit = call.argInteger(3);
  if (bit !== 0 && bit !== 1) return reply.error(BAD_BIT);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const found = store.find() !== NO_ADDRESS;
  if (found && store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  const position = Math.floor(offset / 8);
  if (isTooLong(position + 1)) return reply.status(Status.TooLong);
  const length = found ? call.strings.lengthFound : 0;
  const mask = 0x80 >>> (offset & 7);
  const was = found ? byteAt(call, position) : 0;
  const now = bit === 1 ? was | mask : was & ~mask;
  // The encoding becomes "raw" even if the bit does not change. Of that alone nobody is notified.
  if (now === was && position < length) store.hooks.valueEvent = KeyEvent.Silent;
  if (now !== was || position >= length || !(store.cursor.encoding === Encoding.Chunked || store.cursor.isGrown)) {
    oneByte[0] = now;
    const total = write(call, position, oneByte, 0, 1);
    if (total < 0) return refuse(call, reply, total);
  }
  reply.integer((was & mask) === 0 ? 0 : 1);
}

/** GETBIT key offset. Replies: the bit; 0 after the end of the string. */
export function getbit(call: Call, reply: Reply): void {
  const { store } = call;
  const offset = parseBitOffset(call, call.argAt(2), call.argBytes(2), 1);
  if (offset < 0) return reply.error(BAD_OFFSET);
  if (store.findForRead() === NO_ADDRESS) return reply.integer(0);
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  reply.integer((byteAt(call, Math.floor(offset / 8)) >>> (7 - (offset & 7))) & 1);
}

// ---- counting and finding ----

const BIT = token("bit");
const BYTE = token("byte");

/** The unit that argument `i` names, in bits: 1 or 8; 0 = none. */
function readUnit(call: Call, i: number): number {
  return call.argIs(i, BIT) ? 1 : call.argIs(i, BYTE) ? 8 : 0;
}

/** The bits from `first` to `last`, inclusive. Empty when last < first. */
const range = { first: 0, last: 0 };

/** Sets `range` for a string of `length` bytes. Indexes count units of `unit` bits, negative ones from the end. */
function setRange(start: number, end: number, length: number, unit: number): void {
  const total = unit === 1 ? length * 8 : length;
  if (start < 0) start = Math.max(0, start + total);
  if (end < 0) end = Math.max(0, end + total);
  if (end >= total) end = total - 1;
  const isEmpty = start > end;
  range.first = isEmpty ? 0 : start * unit;
  range.last = isEmpty ? -1 : end * unit + unit - 1;
}

/**
 * BITCOUNT key [start end [BYTE | BIT]]. Replies: the number of bits set.
 * The arguments are checked before the key is looked up, as in Redis since 7.2, so a wrong one is an error without a key too.
 */
export function bitcount(call: Call, reply: Reply): Outcome | void {
  const { store, argCount } = call;
  const begun = longReadOf(call);
  if (begun !== null) return countOn(call, reply, begun);
  let start = 0;
  let end = -1;
  let unit = 8;
  if (argCount === 4 || argCount === 5) {
    start = call.argLong(2);
    if (Number.isNaN(start)) return reply.error(ErrorText.notInteger);
    end = call.argLong(3);
    if (Number.isNaN(end)) return reply.error(ErrorText.notInteger);
    if (argCount === 5) unit = readUnit(call, 4);
    if (unit === 0) return reply.error(ErrorText.syntax);
  } else if (argCount !== 2) {
    return reply.error(ErrorText.syntax);
  }
  if (store.findForRead() === NO_ADDRESS) return reply.integer(0);
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  if (argCount > 2 && call.isEmptyFromEnd(2, start, 3, end)) return reply.integer(0);
  setRange(start, end, call.strings.lengthFound, unit);
  const { first, last } = range;
  if (first > last) return reply.integer(0);
  const firstByte = Math.floor(first / 8);
  const endByte = Math.floor(last / 8) + 1;
  const read = beginLongRead(call, firstByte, endByte, -outside(call, first, last), last, 0);
  if (read !== null) return countOn(call, reply, read);
  reply.integer(countRange(call, firstByte, endByte) - outside(call, first, last));
}

function countOn(call: Call, reply: Reply, read: LongRead): Outcome | void {
  if (!stepLongRead(call, read, countPart)) return Retry;
  reply.integer(read.sum);
}
function countPart(bytes: Buffer, at: number, length: number, _position: number, read: LongRead): boolean {
  read.sum += countBits(bytes, at, length);
  return true;
}

function countRange(call: Call, firstByte: number, end: number): number {
  let count = 0;
  for (let position = firstByte; position < end; ) {
    const part = Math.min(end - position, call.strings.openPart(position));
    count += countBits(call.strings.bytes, call.strings.at, part);
    position += part;
  }
  return count;
}

/** Counts the set bits that the first and the last byte of a range have outside of it. */
function outside(call: Call, first: number, last: number): number {
  if ((first & 7) === 0 && (last & 7) === 7) return 0;
  oneByte[0] = byteAt(call, Math.floor(first / 8)) >>> (8 - (first & 7));
  const before = countBits(oneByte, 0, 1);
  oneByte[0] = byteAt(call, Math.floor(last / 8)) & (0x7f >>> (last & 7));
  return before + countBits(oneByte, 0, 1);
}

/** BITPOS key bit [start [end [BYTE | BIT]]]. Replies: the first such bit, or -1. Checks arguments like BITCOUNT. */
export function bitpos(call: Call, reply: Reply): Outcome | void {
  const { store, argCount } = call;
  const bit = call.argLong(2);
  if (Number.isNaN(bit)) return reply.error(ErrorText.notInteger);
  if (bit !== 0 && bit !== 1) return reply.error("ERR The bit argument must be 1 or 0.");
  if (argCount > 6) return reply.error(ErrorText.syntax);
  let start = 0;
  let end = -1;
  let unit = 8;
  if (argCount >= 4) {
    start = call.argLong(3);
    if (Number.isNaN(start)) return reply.error(ErrorText.notInteger);
    if (argCount === 6) unit = readUnit(call, 5);
    if (unit === 0) return reply.error(ErrorText.syntax);
    if (argCount >= 5) end = call.argLong(4);
    if (Number.isNaN(end)) return reply.error(ErrorText.notInteger);
  }
  const begun = longReadOf(call);
  if (begun !== null) return findOn(call, reply, begun, bit);
  if (store.findForRead() === NO_ADDRESS) return reply.integer(bit === 1 ? -1 : 0);
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  const length = call.strings.lengthFound;
  setRange(start, end, length, unit);
  if (length === 0 || range.first > range.last) return reply.integer(-1);
  const { first, last } = range;
  // A range that begins within a byte is searched to the end of that byte first.
  const aligned = Math.ceil(first / 8);
  const before = first % 8 === 0 ? -1 : findInRange(call, first, Math.min(last, aligned * 8 - 1), bit);
  if (before < 0) {
    const read = beginLongRead(call, aligned, Math.floor(last / 8) + 1, -1, last, length);
    if (read !== null) return findOn(call, reply, read, bit);
  }
  const found = before >= 0 ? before : findInRange(call, first, last, bit);
  replyFound(call, reply, found, bit, length);
}

/** Without an end argument, zeros follow the string. */
function replyFound(call: Call, reply: Reply, found: number, bit: number, length: number): void {
  reply.integer(found < 0 && bit === 0 && call.argCount < 5 ? length * 8 : found);
}

function findOn(call: Call, reply: Reply, read: LongRead, bit: number): Outcome | void {
  if (!stepLongRead(call, read, bit === 0 ? findZero : findOne)) return Retry;
  // The bit found may be in the last byte, after the range.
  replyFound(call, reply, read.sum <= read.last ? read.sum : -1, bit, read.length);
}
function findZero(bytes: Buffer, at: number, length: number, position: number, read: LongRead): boolean {
  const found = findBit(bytes, at, length, 0);
  if (found >= 0) read.sum = position * 8 + found;
  return found < 0;
}
function findOne(bytes: Buffer, at: number, length: number, position: number, read: LongRead): boolean {
  const found = findBit(bytes, at, length, 1);
  if (found >= 0) read.sum = position * 8 + found;
  return found < 0;
}

function findInRange(call: Call, first: number, last: number, bit: number): number {
  const end = Math.floor(last / 8) + 1;
  for (let position = Math.floor(first / 8); position < end; ) {
    let part = Math.min(end - position, call.strings.openPart(position));
    let found: number;
    if (position * 8 < first) {
      // Bits before the range are masked so that they do not match.
      const mask = 0xff >>> (first & 7);
      const byte = call.strings.bytes[call.strings.at]!;
      oneByte[0] = bit === 1 ? byte & mask : byte | (~mask & 0xff);
      part = 1;
      found = findBit(oneByte, 0, 1, bit);
    } else {
      found = findBit(call.strings.bytes, call.strings.at, part, bit);
    }
    // The bit found may be in the last byte, after the range.
    if (found >= 0) return position * 8 + found <= last ? position * 8 + found : -1;
    position += part;
  }
  return -1;
}
