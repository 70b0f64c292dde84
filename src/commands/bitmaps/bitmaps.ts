/**
 * The bitmap family: strings as arrays of bits. Bit 0 is the most significant bit of the first byte.
 *
 * What only reads goes over a large value chunk by chunk; what writes a few bits writes only their bytes. BITOP fills
 * chunks that belong to no key yet, so that a source may be the destination.
 */
import { token } from "../../base/bytes.ts";
import { Int64Kind, int64, parseInt64 } from "../../base/integers.ts";
import { Status } from "../../base/status.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { CHUNK_BYTES, LARGE_VALUE_MAX, StagedValue } from "../../store/large.ts";
import { Encoding, INLINE_VALUE_MAX, RecordType } from "../../store/record.ts";
import { NO_ADDRESS } from "../../store/segments.ts";
import { KeyEvent } from "../../store/store.ts";
import {
  addOnce,
  Combine,
  combineBits,
  combineTwo,
  countBits,
  findBit,
  invertBits,
  NARROW_BITS_MAX,
  readField,
  readWideField,
  writeField,
  writeWideField,
} from "../../structures/bits.ts";
import type { Call } from "../../dispatch/call.ts";
import { beginLongRead, type LongRead, stepLongRead } from "../../dispatch/long-read.ts";
import { refuse } from "../../dispatch/refuse.ts";
import { type Outcome, Retry } from "../../dispatch/spec.ts";

const BAD_OFFSET = "ERR bit offset is not an integer or out of range";
const BAD_BIT = "ERR bit is not an integer or out of range";

/** A bit offset from text; -1 when it is none, or beyond the longest string. */
function parseBitOffset(call: Call, at: number, length: number, unit: number): number {
  if (parseInt64(call.bytes, at, length) !== Int64Kind.Safe) return -1;
  const offset = int64.value * unit;
  return offset >= 0 && Math.floor(offset / 8) < call.stringMax ? offset : -1;
}

/** Is a string of `total` bytes longer than can be kept? (proto-max-bulk-len may be set higher than that.) */
function isTooLong(total: number): boolean {
  return total > LARGE_VALUE_MAX;
}

const oneByte = Buffer.alloc(1);

/** The byte of the string found at `position`; 0 behind its end. */
function byteAt(call: Call, position: number): number {
  const { store } = call;
  return store.openPart(position) === 0 ? 0 : store.textBytes[store.textAt]!;
}

/** Writes bytes into the string found, or into a new one. Returns its length, or Status with nothing changed. */
function write(call: Call, position: number, source: Buffer, offset: number, length: number): number {
  const { store } = call;
  if (store.address === NO_ADDRESS) return store.createAt(position, source, offset, length);
  return store.writeAt(position, source, offset, length);
}

// ---- single bits ----

/** SETBIT key offset value. Replies: the bit before. */
export function setbit(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const offset = parseBitOffset(call, call.argAt(2), call.argBytes(2), 1);
  if (offset < 0) return reply.error(BAD_OFFSET);
  const bit = call.argInteger(3);
  if (bit !== 0 && bit !== 1) return reply.error(BAD_BIT);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const found = store.find() !== NO_ADDRESS;
  if (found && store.type !== RecordType.String) return reply.status(Status.WrongType);
  const position = Math.floor(offset / 8);
  if (isTooLong(position + 1)) return reply.status(Status.TooLong);
  const length = found ? store.stringLength() : 0;
  const mask = 0x80 >>> (offset & 7);
  const was = found ? byteAt(call, position) : 0;
  const now = bit === 1 ? was | mask : was & ~mask;
  // Even a bit that stays as it is makes the string a "raw" one.
  if (now !== was || position >= length || !(store.encoding === Encoding.Paged || store.isGrown)) {
    oneByte[0] = now;
    const total = write(call, position, oneByte, 0, 1);
    if (total < 0) return refuse(call, reply, total);
  }
  reply.integer((was & mask) === 0 ? 0 : 1);
}

/** GETBIT key offset. Replies: the bit; 0 behind the end of the string. */
export function getbit(call: Call, reply: Reply): void {
  const { store } = call;
  const offset = parseBitOffset(call, call.argAt(2), call.argBytes(2), 1);
  if (offset < 0) return reply.error(BAD_OFFSET);
  if (store.findForRead() === NO_ADDRESS) return reply.integer(0);
  if (store.type !== RecordType.String) return reply.status(Status.WrongType);
  reply.integer((byteAt(call, Math.floor(offset / 8)) >>> (7 - (offset & 7))) & 1);
}

// ---- counting and finding ----

const BIT = token("bit");
const BYTE = token("byte");

/** Unit that argument `i` names, in bits: 1 or 8; 0 when it names none. */
function readUnit(call: Call, i: number): number {
  return call.argIs(i, BIT) ? 1 : call.argIs(i, BYTE) ? 8 : 0;
}

/** Argument `i` as a 64-bit integer, rounded beyond 2^53. NaN when it is none. */
function readIndex(call: Call, i: number): number {
  const kind = call.argInt64(i);
  if (kind === Int64Kind.Safe) return int64.value;
  return kind === Int64Kind.None ? Number.NaN : int64.hi * 4294967296 + (int64.lo >>> 0);
}

/** The bits from `first` to `last`, both included. Empty when last < first. */
const range = { first: 0, last: 0 };

/** Sets `range` to a range of a string of `length` bytes; indexes count in `unit` bits, negative ones from the end. */
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
 * The arguments are judged before the key is looked at, as since Redis 7.4: a wrong one is an error without a key too.
 */
export function bitcount(call: Call, reply: Reply): Outcome | void {
  const { store, argCount, session } = call;
  if (session.longRead !== null) return countOn(call, reply, session.longRead);
  let start = 0;
  let end = -1;
  let unit = 8;
  if (argCount === 4 || argCount === 5) {
    start = readIndex(call, 2);
    if (Number.isNaN(start)) return reply.error(ErrorText.notInteger);
    end = readIndex(call, 3);
    if (Number.isNaN(end)) return reply.error(ErrorText.notInteger);
    if (argCount === 5) unit = readUnit(call, 4);
    if (unit === 0) return reply.error(ErrorText.syntax);
  } else if (argCount !== 2) {
    return reply.error(ErrorText.syntax);
  }
  if (store.findForRead() === NO_ADDRESS) return reply.integer(0);
  if (store.type !== RecordType.String) return reply.status(Status.WrongType);
  if (start < 0 && end < 0 && start > end) return reply.integer(0);
  setRange(start, end, store.stringLength(), unit);
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
  const { store } = call;
  let count = 0;
  for (let position = firstByte; position < end; ) {
    const part = Math.min(end - position, store.openPart(position));
    count += countBits(store.textBytes, store.textAt, part);
    position += part;
  }
  return count;
}

/** Bits set in the first and the last byte of a range that lie outside of it. */
function outside(call: Call, first: number, last: number): number {
  if ((first & 7) === 0 && (last & 7) === 7) return 0;
  oneByte[0] = byteAt(call, Math.floor(first / 8)) >>> (8 - (first & 7));
  const before = countBits(oneByte, 0, 1);
  oneByte[0] = byteAt(call, Math.floor(last / 8)) & (0x7f >>> (last & 7));
  return before + countBits(oneByte, 0, 1);
}

/** BITPOS key bit [start [end [BYTE | BIT]]]. Replies: the first such bit, or -1. Judges arguments as BITCOUNT does. */
export function bitpos(call: Call, reply: Reply): Outcome | void {
  const { store, argCount, session } = call;
  const bit = readIndex(call, 2);
  if (Number.isNaN(bit)) return reply.error(ErrorText.notInteger);
  if (bit !== 0 && bit !== 1) return reply.error("ERR The bit argument must be 1 or 0.");
  if (argCount > 6) return reply.error(ErrorText.syntax);
  let start = 0;
  let end = -1;
  let unit = 8;
  if (argCount >= 4) {
    start = readIndex(call, 3);
    if (Number.isNaN(start)) return reply.error(ErrorText.notInteger);
    if (argCount === 6) unit = readUnit(call, 5);
    if (unit === 0) return reply.error(ErrorText.syntax);
    if (argCount >= 5) end = readIndex(call, 4);
    if (Number.isNaN(end)) return reply.error(ErrorText.notInteger);
  }
  if (session.longRead !== null) return findOn(call, reply, session.longRead, bit);
  if (store.findForRead() === NO_ADDRESS) return reply.integer(bit === 1 ? -1 : 0);
  if (store.type !== RecordType.String) return reply.status(Status.WrongType);
  const length = store.stringLength();
  setRange(start, end, length, unit);
  if (length === 0 || range.first > range.last) return reply.integer(-1);
  const { first, last } = range;
  // What begins within a byte is looked at up to its end first.
  const aligned = Math.ceil(first / 8);
  const before = first % 8 === 0 ? -1 : findInRange(call, first, Math.min(last, aligned * 8 - 1), bit);
  if (before < 0) {
    const read = beginLongRead(call, aligned, Math.floor(last / 8) + 1, -1, last, length);
    if (read !== null) return findOn(call, reply, read, bit);
  }
  const found = before >= 0 ? before : findInRange(call, first, last, bit);
  replyFound(call, reply, found, bit, length);
}

/** A string without an end given goes on with zeros. */
function replyFound(call: Call, reply: Reply, found: number, bit: number, length: number): void {
  reply.integer(found < 0 && bit === 0 && call.argCount < 5 ? length * 8 : found);
}

function findOn(call: Call, reply: Reply, read: LongRead, bit: number): Outcome | void {
  if (!stepLongRead(call, read, bit === 0 ? findZero : findOne)) return Retry;
  // The first one may lie in the last byte, behind the range.
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
  const { store } = call;
  const end = Math.floor(last / 8) + 1;
  for (let position = Math.floor(first / 8); position < end; ) {
    let part = Math.min(end - position, store.openPart(position));
    let found: number;
    if (position * 8 < first) {
      // Bits before the range look as if they were not the ones sought.
      const mask = 0xff >>> (first & 7);
      const byte = store.textBytes[store.textAt]!;
      oneByte[0] = bit === 1 ? byte & mask : byte | (~mask & 0xff);
      part = 1;
      found = findBit(oneByte, 0, 1, bit);
    } else {
      found = findBit(store.textBytes, store.textAt, part, bit);
    }
    // The first one may lie in the last byte, behind the range.
    if (found >= 0) return position * 8 + found <= last ? position * 8 + found : -1;
    position += part;
  }
  return -1;
}

// ---- BITOP ----

const Operation = { And: 0, Or: 1, Xor: 2, Not: 3, Diff: 4, Diff1: 5, AndOr: 6, One: 7 } as const;
type Operation = (typeof Operation)[keyof typeof Operation];
const OPERATIONS = ["and", "or", "xor", "not", "diff", "diff1", "andor", "one"].map(token);
const OPERATION_NAMES = ["AND", "OR", "XOR", "NOT", "DIFF", "DIFF1", "ANDOR", "ONE"];
const FIRST_SOURCE = 3;
const MIB = 1 << 20;

/**
 * BITOP operation destkey key [key ...]. X is the first source, Y the others:
 *   DIFF = X and no Y     DIFF1 = any Y and not X     ANDOR = X and any Y     ONE = exactly one source
 * Replies: the length of the result, that of the longest source. An empty result deletes the destination.
 */
export function bitop(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const operation = OPERATIONS.findIndex((name) => call.argIs(1, name)) as Operation | -1;
  if (operation === -1) return reply.error(ErrorText.syntax);
  const sources = call.argCount - FIRST_SOURCE;
  if (operation === Operation.Not && sources !== 1) {
    return reply.error("ERR BITOP NOT must be called with a single source key.");
  }
  if (operation >= Operation.Diff && operation !== Operation.One && sources < 2) {
    return reply.error(`ERR BITOP ${OPERATION_NAMES[operation]} must be called with at least two source keys.`);
  }
  let length = 0;
  for (let i = FIRST_SOURCE; i < call.argCount; i++) {
    call.selectKey(i);
    if (store.findForRead() === NO_ADDRESS) continue;
    if (store.type !== RecordType.String) return reply.status(Status.WrongType);
    length = Math.max(length, store.stringLength());
  }
  // A long result is built when there is room for it, not once for each region that has to be made.
  if (length > MIB && store.pool.freeChunks < Math.ceil(length / MIB) + 1) return refuse(call, reply, Status.Busy);
  if (length > INLINE_VALUE_MAX) return bitopLarge(call, reply, operation, length);
  if (length > 0) {
    openSources(call);
    combineChunk(call, operation, 0, length, scratch, 0);
  }
  call.selectKey(2);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const found = store.find() !== NO_ADDRESS;
  if (length > 0) {
    const status = store.setBytes(scratch, 0, length, 0, true);
    if (status < 0) return refuse(call, reply, status);
  } else if (found) {
    store.remove(KeyEvent.Deleted);
  }
  reply.integer(length);
}
/** Where a short result is built; `more` is for ONE. */
const scratch = Buffer.alloc(CHUNK_BYTES);
const more = Buffer.alloc(CHUNK_BYTES);

/** BITOP with a result of many chunks: they are filled one by one, and then become the destination's value. */
function bitopLarge(call: Call, reply: Reply, operation: Operation, length: number): Outcome | void {
  const { store } = call;
  openSources(call);
  const result = new StagedValue(store.arena, store.pool, length);
  for (let position = 0; position < length; position += CHUNK_BYTES) {
    const part = Math.min(CHUNK_BYTES, length - position);
    if (!result.extend(part)) {
      result.discard(store.nowSeconds);
      return refuse(call, reply, Status.Busy);
    }
    combineChunk(call, operation, position, part, result.chunkBytes, result.chunkAt);
  }
  call.selectKey(2);
  const prepared = store.prepareInsert();
  const status = prepared < 0 ? prepared : setResult(call, result);
  if (status < 0) {
    result.discard(store.nowSeconds);
    return refuse(call, reply, status);
  }
  reply.integer(length);
}

function setResult(call: Call, result: StagedValue): number {
  call.store.find();
  return call.store.setStaged(result, 0);
}

/** The sources, by argument: length, and shard and node of those that are large; NO_ADDRESS for the others. */
let sourceLengths = new Float64Array(16);
let sourceShards = new Int32Array(16);
let sourceNodes = new Int32Array(16);

function openSources(call: Call): void {
  const { store, argCount } = call;
  if (argCount > sourceLengths.length) {
    sourceLengths = new Float64Array(argCount * 2);
    sourceShards = new Int32Array(argCount * 2);
    sourceNodes = new Int32Array(argCount * 2);
  }
  for (let i = FIRST_SOURCE; i < argCount; i++) {
    call.selectKey(i);
    const found = store.find() !== NO_ADDRESS;
    sourceLengths[i] = found ? store.stringLength() : 0;
    const isLarge = found && store.encoding === Encoding.Paged;
    sourceShards[i] = store.shard;
    sourceNodes[i] = isLarge ? store.node : NO_ADDRESS;
  }
}

/** Opens source `i` at `position`, a chunk's first: `sourceBytes` from `sourceAt` on. Returns how many of `part` it has. */
function openSource(call: Call, i: number, position: number, part: number): number {
  const had = Math.min(part, sourceLengths[i]! - position);
  if (had <= 0) return 0;
  const { store } = call;
  if (sourceNodes[i] === NO_ADDRESS) {
    call.selectKey(i);
    store.find();
    store.openText();
    sourceBytes = store.textBytes;
    sourceAt = store.textAt;
    if (had >= ALIGNED_FROM_BYTES) {
      // A value inside a record begins anywhere; words can be combined only with words.
      sourceBytes.copy(aligned, 0, sourceAt, sourceAt + had);
      sourceBytes = aligned;
      sourceAt = 0;
    }
  } else {
    sourceAt = store.large.locateByte(sourceShards[i]!, sourceNodes[i]!, position);
    sourceBytes = store.large.chunkBytes;
  }
  return had;
}
const ALIGNED_FROM_BYTES = 64;
const aligned = Buffer.alloc(CHUNK_BYTES);
let sourceBytes: Buffer = scratch;
let sourceAt = 0;

/** Fills `length` bytes of `target`, the result's from `position` on: a chunk, or what is left of one. */
function combineChunk(
  call: Call,
  operation: Operation,
  position: number,
  length: number,
  target: Buffer,
  at: number,
): void {
  const all = FIRST_SOURCE;
  const last = call.argCount - 1;
  switch (operation) {
    case Operation.And:
      return combineAll(call, Combine.And, all, position, length, target, at);
    case Operation.Or:
      return combineAll(call, Combine.Or, all, position, length, target, at);
    case Operation.Xor:
      return combineAll(call, Combine.Xor, all, position, length, target, at);
    case Operation.Not:
      openSource(call, all, position, length); // the only one, and so as long as the result
      return invertBits(target, at, sourceBytes, sourceAt, length);
    case Operation.Diff:
      return combineAll(call, Combine.AndNot, all, position, length, target, at);
    case Operation.Diff1:
    case Operation.AndOr:
      combineAll(call, Combine.Or, all + 1, position, length, target, at);
      return combineSource(
        call,
        operation === Operation.Diff1 ? Combine.AndNot : Combine.And,
        all,
        position,
        length,
        target,
        at,
      );
    default:
      target.fill(0, at, at + length);
      more.fill(0, 0, length);
      for (let i = all; i <= last; i++) {
        const had = openSource(call, i, position, length);
        addOnce(target, at, more, 0, sourceBytes, sourceAt, had);
      }
      return combineBits(Combine.AndNot, target, at, more, 0, length);
  }
}

/** target = source `first` (combined with) the next, and so on to the last. */
function combineAll(
  call: Call,
  how: Combine,
  first: number,
  position: number,
  length: number,
  target: Buffer,
  at: number,
): void {
  let next = first + 1;
  let had = openSource(call, first, position, length);
  if (had === length && next < call.argCount && sourceNodes[first] !== NO_ADDRESS) {
    // The first two at once, where both have all the bytes. (A short one may be an integer, whose text has one place.)
    const bytes = sourceBytes;
    const bytesAt = sourceAt;
    if (openSource(call, next, position, length) === length) {
      combineTwo(how, target, at, bytes, bytesAt, sourceBytes, sourceAt, length);
      next++;
      had = -1;
    } else {
      sourceBytes = bytes;
      sourceAt = bytesAt;
    }
  }
  if (had >= 0) {
    if (had > 0) sourceBytes.copy(target, at, sourceAt, sourceAt + had);
    target.fill(0, at + had, at + length);
  }
  for (; next < call.argCount; next++) combineSource(call, how, next, position, length, target, at);
}

/** target = target (combined with) source `i`, which goes on with zeros. */
function combineSource(
  call: Call,
  how: Combine,
  i: number,
  position: number,
  length: number,
  target: Buffer,
  at: number,
): void {
  const had = openSource(call, i, position, length);
  combineBits(how, target, at, sourceBytes, sourceAt, had);
  if (how === Combine.And) target.fill(0, at + had, at + length);
}

// ---- BITFIELD ----

const Overflow = { Wrap: 0, Sat: 1, Fail: 2 } as const;
type Overflow = (typeof Overflow)[keyof typeof Overflow];

const Kind = { Get: 0, Set: 1, Incrby: 2 } as const;
type Kind = (typeof Kind)[keyof typeof Kind];

/** One subcommand. */
class Field {
  kind: Kind = Kind.Get;
  isSigned = false;
  bits = 0;
  /** First bit. */
  at = 0;
  /** Value or increment: in `value` when isSafe, else in the two words. */
  isSafe = true;
  value = 0;
  low = 0;
  high = 0;
  overflow: Overflow = Overflow.Wrap;

  get wide(): bigint {
    return this.isSafe ? BigInt(this.value) : (BigInt(this.high) << 32n) | BigInt(this.low >>> 0);
  }
}

/** The subcommands of the command in work, `fieldCount` of them; the objects are used again. */
const FIELDS_KEPT = 64;
const fields: Field[] = Array.from({ length: FIELDS_KEPT }, () => new Field());
let fieldCount = 0;

const FIELD_TOKENS = {
  get: token("get"),
  set: token("set"),
  incrby: token("incrby"),
  overflow: token("overflow"),
};
const OVERFLOWS = [token("wrap"), token("sat"), token("fail")];
const BAD_TYPE = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";

/** Reads the subcommands into `fields`. Returns false after an error reply. */
function readFields(call: Call, reply: Reply): boolean {
  if (fields.length > FIELDS_KEPT) fields.length = FIELDS_KEPT;
  fieldCount = 0;
  let overflow: Overflow = Overflow.Wrap;
  for (let i = 2; i < call.argCount; ) {
    const rest = call.argCount - i - 1;
    if (rest >= 1 && call.argIs(i, FIELD_TOKENS.overflow)) {
      const named = OVERFLOWS.findIndex((name) => call.argIs(i + 1, name));
      if (named < 0) return failed(reply, "ERR Invalid OVERFLOW type specified");
      overflow = named as Overflow;
      i += 2;
      continue;
    }
    let kind: Kind;
    if (rest >= 2 && call.argIs(i, FIELD_TOKENS.get)) kind = Kind.Get;
    else if (rest >= 3 && call.argIs(i, FIELD_TOKENS.set)) kind = Kind.Set;
    else if (rest >= 3 && call.argIs(i, FIELD_TOKENS.incrby)) kind = Kind.Incrby;
    else return failed(reply, ErrorText.syntax);
    const type = readType(call, i + 1);
    if (type === 0) return failed(reply, BAD_TYPE);
    const bits = Math.abs(type);
    const at = readFieldOffset(call, i + 2, bits);
    if (at < 0) return failed(reply, BAD_OFFSET);
    if (fieldCount === fields.length) fields.push(new Field());
    const field = fields[fieldCount++]!;
    field.kind = kind;
    field.isSigned = type < 0;
    field.bits = bits;
    field.at = at;
    field.overflow = overflow;
    if (kind !== Kind.Get) {
      const read = call.argInt64(i + 3);
      if (read === Int64Kind.None) return failed(reply, ErrorText.notInteger);
      field.isSafe = read === Int64Kind.Safe;
      if (field.isSafe) {
        field.value = int64.value;
      } else {
        field.low = int64.lo;
        field.high = int64.hi;
      }
    }
    i += kind === Kind.Get ? 3 : 4;
  }
  return true;
}

function failed(reply: Reply, text: string): false {
  reply.error(text);
  return false;
}

/** Type that argument `i` names: its bits, negative when signed; 0 when it is none. */
function readType(call: Call, i: number): number {
  const at = call.argAt(i);
  const length = call.argBytes(i);
  if (length < 2) return 0;
  const isSigned = call.bytes[at] === 0x69;
  if (!isSigned && call.bytes[at] !== 0x75) return 0;
  if (parseInt64(call.bytes, at + 1, length - 1) !== Int64Kind.Safe) return 0;
  const bits = int64.value;
  if (bits < 1 || bits > (isSigned ? 64 : 63)) return 0;
  return isSigned ? -bits : bits;
}

/** Offset in bits that argument `i` names, plain or "#" and a number of fields; -1 when it is none. */
function readFieldOffset(call: Call, i: number, bits: number): number {
  const at = call.argAt(i);
  const length = call.argBytes(i);
  if (length > 0 && call.bytes[at] === 0x23) return parseBitOffset(call, at + 1, length - 1, bits);
  return parseBitOffset(call, at, length, 1);
}

/** Where a field is worked on: its bytes, at most nine. */
const fieldBytes = Buffer.alloc(16);

/** Takes a field's bytes into fieldBytes, zeros behind the end. Returns how many the field has. */
function loadField(call: Call, field: Field, found: boolean): number {
  const first = Math.floor(field.at / 8);
  const count = Math.floor((field.at + field.bits - 1) / 8) - first + 1;
  const { store } = call;
  if (found && store.openPart(first) >= count) {
    const { textBytes, textAt } = store;
    for (let i = 0; i < count; i++) fieldBytes[i] = textBytes[textAt + i]!;
  } else {
    for (let i = 0; i < count; i++) fieldBytes[i] = 0;
    if (found) store.readText(first, fieldBytes, 0, count);
  }
  return count;
}

/** BITFIELD_RO key [GET encoding offset ...]. Replies: array of integers. */
export function bitfieldRo(call: Call, reply: Reply): void {
  if (!readFields(call, reply)) return;
  for (let i = 0; i < fieldCount; i++) {
    if (fields[i]!.kind !== Kind.Get) return reply.error("ERR BITFIELD_RO only supports the GET subcommand");
  }
  replyFields(call, reply);
}

function replyFields(call: Call, reply: Reply): void {
  const { store } = call;
  const found = store.findForRead() !== NO_ADDRESS;
  if (found && store.type !== RecordType.String) return reply.status(Status.WrongType);
  reply.array(fieldCount);
  for (let i = 0; i < fieldCount; i++) {
    loadField(call, fields[i]!, found);
    replyLoaded(reply, fields[i]!);
  }
}

/** Replies the field that lies in fieldBytes. */
function replyLoaded(reply: Reply, field: Field): void {
  const { bits } = field;
  if (bits <= NARROW_BITS_MAX) {
    const value = readField(fieldBytes, field.at & 7, bits);
    reply.integer(field.isSigned && value >= 2 ** (bits - 1) ? value - 2 ** bits : value);
  } else {
    replyWide(reply, signedWide(field, readWideField(fieldBytes, field.at & 7, bits)));
  }
}

function replyWide(reply: Reply, value: bigint): void {
  reply.integer64(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
}

function signedWide(field: Field, value: bigint): bigint {
  return field.isSigned ? BigInt.asIntN(field.bits, value) : value;
}

/**
 * BITFIELD key [GET encoding offset | [OVERFLOW WRAP | SAT | FAIL] SET encoding offset value | INCRBY encoding offset
 *     increment ...]
 * Replies: array of integers; null where OVERFLOW FAIL kept a field as it was.
 */
export function bitfield(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  if (!readFields(call, reply)) return;
  let lastBit = -1;
  for (let i = 0; i < fieldCount; i++) {
    const field = fields[i]!;
    if (field.kind !== Kind.Get) lastBit = Math.max(lastBit, field.at + field.bits - 1);
  }
  if (lastBit < 0) return replyFields(call, reply);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  if (store.find() !== NO_ADDRESS && store.type !== RecordType.String) return reply.status(Status.WrongType);
  const end = Math.floor(lastBit / 8) + 1;
  if (isTooLong(end)) return reply.status(Status.TooLong);
  const ready = makeWritable(call, end);
  if (ready < 0) return refuse(call, reply, ready);
  reply.array(fieldCount);
  for (let i = 0; i < fieldCount; i++) {
    const field = fields[i]!;
    const count = loadField(call, field, true);
    if (field.kind === Kind.Get) {
      replyLoaded(reply, field);
    } else if (field.bits <= NARROW_BITS_MAX && field.isSafe && Math.abs(field.value) < 2 ** NARROW_BITS_MAX) {
      changeNarrow(call, reply, field, count);
    } else {
      changeWide(call, reply, field, count);
    }
  }
}

/**
 * Makes the string found, or a new one, at least `end` bytes long and sees to it that writing the fields cannot fail.
 * Returns 0, or Status with nothing changed.
 */
function makeWritable(call: Call, end: number): number {
  const { store } = call;
  if (store.address !== NO_ADDRESS && store.writesInPlace(end)) return 0;
  if (store.address !== NO_ADDRESS && store.encoding === Encoding.Paged && store.isPinned) {
    // Pages that a reader holds are copied by the first write: written as they are, before anything changes.
    const length = store.stringLength();
    for (let i = 0; i < fieldCount; i++) {
      const field = fields[i]!;
      if (field.kind === Kind.Get) continue;
      const first = Math.floor(field.at / 8);
      const count = Math.min(loadField(call, field, true), length - first);
      if (count <= 0) continue;
      const status = store.writeAt(first, fieldBytes, 0, count);
      if (status < 0) return status;
    }
  }
  oneByte[0] = store.address === NO_ADDRESS ? 0 : byteAt(call, end - 1);
  const total = write(call, end - 1, oneByte, 0, 1);
  return total < 0 ? total : 0;
}

function storeField(call: Call, field: Field, count: number): void {
  call.store.writeAt(Math.floor(field.at / 8), fieldBytes, 0, count);
}

/** SET or INCRBY of the field in fieldBytes: all in doubles. */
function changeNarrow(call: Call, reply: Reply, field: Field, count: number): void {
  const { bits, isSigned } = field;
  const size = 2 ** bits;
  const min = isSigned ? -size / 2 : 0;
  const max = isSigned ? size / 2 - 1 : size - 1;
  const at = field.at & 7;
  let old = readField(fieldBytes, at, bits);
  if (old > max) old -= size;
  let next = field.kind === Kind.Set ? field.value : old + field.value;
  if (next < min || next > max) {
    if (field.overflow === Overflow.Fail) return reply.nullBulk();
    if (field.overflow === Overflow.Sat) {
      // An unsigned SET of a negative number counts as too large.
      next = next > max || (field.kind === Kind.Set && !isSigned) ? max : min;
    } else {
      next = ((next % size) + size) % size;
      if (next > max) next -= size;
    }
  }
  writeField(fieldBytes, at, bits, next < 0 ? next + size : next);
  storeField(call, field, count);
  reply.integer(field.kind === Kind.Set ? old : next);
}

const INT64_MAX = 2n ** 63n - 1n;

/** As changeNarrow, for fields and numbers that a double does not hold. */
function changeWide(call: Call, reply: Reply, field: Field, count: number): void {
  const { bits, isSigned } = field;
  const size = 1n << BigInt(bits);
  const min = isSigned ? -size / 2n : 0n;
  const max = isSigned ? size / 2n - 1n : size - 1n;
  const at = field.at & 7;
  const old = signedWide(field, readWideField(fieldBytes, at, bits));
  let next = field.kind === Kind.Set ? field.wide : old + field.wide;
  if (next < min || next > max) {
    if (field.overflow === Overflow.Fail) return reply.nullBulk();
    // Redis takes max - value in 64 bits: SET of a number so low that this overflows saturates at the top.
    const wraps = field.kind === Kind.Set && (!isSigned || (bits < 64 && max - next > INT64_MAX));
    if (field.overflow === Overflow.Sat) next = next > max || wraps ? max : min;
    else next = signedWide(field, BigInt.asUintN(bits, next));
  }
  writeWideField(fieldBytes, at, bits, BigInt.asUintN(bits, next));
  storeField(call, field, count);
  replyWide(reply, field.kind === Kind.Set ? old : next);
}
