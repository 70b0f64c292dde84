/**
 * BITFIELD and BITFIELD_RO: integers of 1 to 64 bits at any bit of a string.
 *
 * Only the bytes of a field are read and written. Fields of up to 52 bits are worked out in doubles, wider ones in BigInt.
 */
import { Int64Kind, int64, parseInt64 } from "../../base/integers.ts";
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { Encoding, RecordType } from "../../store/record.ts";
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { NARROW_BITS_MAX, readField, readWideField, writeField, writeWideField } from "../../structures/bits.ts";
import type { Call } from "../../dispatch/call.ts";
import { failed, refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import { BAD_OFFSET, byteAt, isTooLong, oneByte, parseBitOffset, write } from "./bit-access.ts";
import { KeyEvent, keyEvent } from "../../store/key-events.ts";

const SETBIT = keyEvent("setbit");

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

/** The `fieldCount` subcommands of the current command. The objects are reused. */
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

/** Parses argument `i` as a type. Returns its bits, negative for a signed type; 0 = invalid. */
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

/** Parses argument `i` as a bit offset, or as "#" and a number of fields. Returns -1 when it is invalid. */
function readFieldOffset(call: Call, i: number, bits: number): number {
  const at = call.argAt(i);
  const length = call.argBytes(i);
  if (length > 0 && call.bytes[at] === 0x23) return parseBitOffset(call, at + 1, length - 1, bits);
  return parseBitOffset(call, at, length, 1);
}

/** The bytes of the current field, at most nine. */
const fieldBytes = Buffer.alloc(16);

/** Copies a field's bytes to fieldBytes, with zeros after the end of the string. Returns their number. */
function loadField(call: Call, field: Field, found: boolean): number {
  const first = Math.floor(field.at / 8);
  const count = Math.floor((field.at + field.bits - 1) / 8) - first + 1;
  if (found && call.strings.openPart(first) >= count) {
    const { bytes: textBytes, at: textAt } = call.strings;
    for (let i = 0; i < count; i++) fieldBytes[i] = textBytes[textAt + i]!;
  } else {
    for (let i = 0; i < count; i++) fieldBytes[i] = 0;
    if (found) call.strings.read(first, fieldBytes, 0, count);
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
  if (found && store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  reply.array(fieldCount);
  for (let i = 0; i < fieldCount; i++) {
    loadField(call, fields[i]!, found);
    replyLoaded(reply, fields[i]!);
  }
}

/** Replies the field in fieldBytes. */
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
 * Replies: array of integers, with null for a field that OVERFLOW FAIL left unchanged.
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
  if (store.find() !== NO_ADDRESS && store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  const end = Math.floor(lastBit / 8) + 1;
  if (isTooLong(end)) return reply.status(Status.TooLong);
  hasGrown = store.cursor.address === NO_ADDRESS || call.strings.lengthFound < end;
  const ready = makeWritable(call, end);
  if (ready < 0) return refuse(call, reply, ready);
  reply.array(fieldCount);
  hasWritten = false;
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
  // One event, however many fields were written. Without any the string may have grown.
  store.changed(hasWritten ? SETBIT : KeyEvent.Silent);
}

/** True when the current command has changed a field, or has made the string longer and written one. One per thread. */
let hasWritten = false;
let hasGrown = false;

/**
 * Makes the string found, or a new one, at least `end` bytes long, and makes sure that writing the fields cannot fail.
 * Returns 0, or Status with nothing changed.
 */
function makeWritable(call: Call, end: number): number {
  const { store } = call;
  if (store.cursor.address !== NO_ADDRESS && call.strings.writesInPlace(end)) return 0;
  if (store.cursor.address !== NO_ADDRESS && store.cursor.encoding === Encoding.Chunked && store.isPinned) {
    // The first write to a pinned page copies it. So each page is written with its own bytes before anything changes.
    const length = call.strings.lengthFound;
    for (let i = 0; i < fieldCount; i++) {
      const field = fields[i]!;
      if (field.kind === Kind.Get) continue;
      const first = Math.floor(field.at / 8);
      const count = Math.min(loadField(call, field, true), length - first);
      if (count <= 0) continue;
      const status = call.strings.writeAt(first, fieldBytes, 0, count);
      if (status < 0) return status;
    }
  }
  oneByte[0] = store.cursor.address === NO_ADDRESS ? 0 : byteAt(call, end - 1);
  const total = write(call, end - 1, oneByte, 0, 1);
  return total < 0 ? total : 0;
}

function storeField(call: Call, field: Field, count: number): void {
  call.strings.writeAt(Math.floor(field.at / 8), fieldBytes, 0, count);
}

/** SET or INCRBY of the field in fieldBytes, calculated in doubles. */
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
  if (hasGrown || next !== old) hasWritten = true;
  storeField(call, field, count);
  reply.integer(field.kind === Kind.Set ? old : next);
}

const INT64_MAX = 2n ** 63n - 1n;

/** As changeNarrow, calculated in BigInt, for fields and numbers that exceed a double. */
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
    // Redis calculates max - value in 64 bits. A SET of a number so low that this overflows saturates at the maximum.
    const wraps = field.kind === Kind.Set && (!isSigned || (bits < 64 && max - next > INT64_MAX));
    if (field.overflow === Overflow.Sat) next = next > max || wraps ? max : min;
    else next = signedWide(field, BigInt.asUintN(bits, next));
  }
  writeWideField(fieldBytes, at, bits, BigInt.asUintN(bits, next));
  if (hasGrown || next !== old) hasWritten = true;
  storeField(call, field, count);
  replyWide(reply, field.kind === Kind.Set ? old : next);
}
