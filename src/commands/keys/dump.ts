/**
 * DUMP and RESTORE: a value as bytes that any Redis understands.
 *
 *   │ type (1) │ value as in an RDB file │ RDB version (2) │ CRC-64 of all before (8) │   little-endian
 *
 * DUMP never compresses. RESTORE reads LZF. Collections are in dump-collection.ts.
 */
import { NO_ADDRESS } from "../../store/address.ts";
import { Encoding, RecordType } from "../../store/record.ts";
import { token } from "../../base/bytes.ts";
import { crc64, updateCrc64 } from "../../base/crc64.ts";
import { DebugSwitch, isDebugSwitchOn } from "../../memory/debug-switches.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { STRING_CHUNK_BYTES, LARGE_VALUE_MAX } from "../../store/large.ts";
import { KeyEvent } from "../../store/key-events.ts";
import { RdbKind, readCollection } from "../../structures/rdb-collection.ts";
import {
  RDB_STRING,
  RDB_VERSION,
  RDB_VERSION_MAX,
  rdbString,
  readString,
  writeInteger,
  writeLength,
} from "../../structures/rdb-string.ts";
import type { Call } from "../../dispatch/call.ts";
import { dumpCollection, restoreCollection } from "./dump-collection.ts";
import { OUT_OF_RANGE, readDeadline } from "./expire.ts";
import { effectText } from "../../dispatch/effects.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";

const VERSION_BYTES = 2;
const FOOTER_BYTES = VERSION_BYTES + 8;
const head = Buffer.alloc(1 + 24);
const footer = Buffer.alloc(FOOTER_BYTES);

/** DUMP key. Replies: the payload, or null. A cold value stays cold. */
export function dump(call: Call, reply: Reply): Outcome | void {
  if (call.store.findForRead() === NO_ADDRESS) return reply.nullBulk();
  if (!call.store.cursor.isCold) return dumpFound(call, reply);
  return call.store.cold.keepingCold(() => dumpFound(call, reply));
}

function dumpFound(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  if (store.cursor.type !== RecordType.String) {
    const value = call.collections.openFound();
    const left = value.hasTimed ? value.removeDueWhenOpened(false) : 1;
    if (left === 1) return dumpCollection(call, reply, value);
    return left === 0 ? reply.nullBulk() : refuse(call, reply, left);
  }
  head[0] = RDB_STRING;
  if (store.cursor.encoding === Encoding.Int) {
    const headBytes = 1 + writeInteger(head, 1, store.cursor.intLow, store.cursor.intHigh);
    finish(headBytes);
    reply.bulkHead(headBytes + FOOTER_BYTES);
    append(reply, head, 0, headBytes);
  } else {
    const length = store.cursor.valueBytes;
    const headBytes = 1 + writeLength(head, 1, length);
    reply.bulkHead(headBytes + length + FOOTER_BYTES);
    append(reply, head, 0, headBytes);
    updateCrc64(0, 0, head, 0, headBytes);
    if (store.cursor.encoding === Encoding.Chunked) {
      appendLarge(call, reply, length);
    } else {
      updateCrc64(crc64.lo, crc64.hi, store.cursor.b, store.cursor.rawAt, length);
      append(reply, store.cursor.b, store.cursor.rawAt, length);
    }
    finish(0);
  }
  append(reply, footer, 0, FOOTER_BYTES);
  reply.bulkEnd();
}

/** Fills in the footer. Its CRC continues that of the value, or covers only the head (`headBytes`). */
function finish(headBytes: number): void {
  if (headBytes > 0) updateCrc64(0, 0, head, 0, headBytes);
  footer.writeUInt16LE(RDB_VERSION, 0);
  updateCrc64(crc64.lo, crc64.hi, footer, 0, VERSION_BYTES);
  footer.writeInt32LE(crc64.lo, VERSION_BYTES);
  footer.writeInt32LE(crc64.hi, VERSION_BYTES + 4);
}

function append(reply: Reply, source: Buffer, at: number, length: number): void {
  reply.ensure(length);
  source.copy(reply.bytes, reply.at, at, at + length);
  reply.at += length;
}

/** Appends the chunked value found, chunk by chunk, and updates the CRC. */
function appendLarge(call: Call, reply: Reply, length: number): void {
  const { store } = call;
  const { shard, node } = store.cursor;
  for (let done = 0; done < length; done += STRING_CHUNK_BYTES) {
    const part = Math.min(STRING_CHUNK_BYTES, length - done);
    reply.ensure(part);
    store.large.read(shard, node, done, reply.bytes, reply.at, part);
    updateCrc64(crc64.lo, crc64.hi, reply.bytes, reply.at, part);
    reply.at += part;
  }
}

const REPLACE = token("replace");
const ABSTTL = token("absttl");
const IDLETIME = token("idletime");
const FREQ = token("freq");
const FREQUENCY_MAX = 255;
const BUSY_KEY = "BUSYKEY Target key name already exists.";
const BAD_PAYLOAD = "ERR DUMP payload version or checksum are wrong";
const BAD_FORMAT = "ERR Bad data format";

/** The options of RESTORE. */
const options = { replaces: false, isAbsolute: false, idleSeconds: -1, frequency: -1 };

/** Reads the options into `options`. Returns false after an error reply. */
function readOptions(call: Call, reply: Reply): boolean {
  options.replaces = false;
  options.isAbsolute = false;
  options.idleSeconds = -1;
  options.frequency = -1;
  for (let i = 4; i < call.argCount; i++) {
    const hasNext = i + 1 < call.argCount;
    if (call.argIs(i, REPLACE)) {
      options.replaces = true;
    } else if (call.argIs(i, ABSTTL)) {
      options.isAbsolute = true;
    } else if (hasNext && options.frequency === -1 && call.argIs(i, IDLETIME)) {
      const seconds = readNumber(call, reply, ++i);
      if (seconds === null) return false;
      if (seconds < 0) {
        reply.error("ERR Invalid IDLETIME value, must be >= 0");
        return false;
      }
      options.idleSeconds = seconds;
    } else if (hasNext && options.idleSeconds === -1 && call.argIs(i, FREQ)) {
      const frequency = readNumber(call, reply, ++i);
      if (frequency === null) return false;
      if (frequency < 0 || frequency > FREQUENCY_MAX) {
        reply.error("ERR Invalid FREQ value, must be >= 0 and <= 255");
        return false;
      }
      options.frequency = frequency;
    } else {
      reply.error(ErrorText.syntax);
      return false;
    }
  }
  return true;
}

/** Argument `i` as an integer, rounded above 2^53; null after an error reply. */
function readNumber(call: Call, reply: Reply, i: number): number | null {
  const value = call.argLong(i);
  if (!Number.isNaN(value)) return value;
  reply.error(ErrorText.notInteger);
  return null;
}

/**
 * RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]
 * Errors: BUSYKEY, wrong version or checksum, bad data. An error changes nothing.
 */
export function restore(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const { changes } = store;
  const outcome = restoreValue(call, reply);
  if (store.changes !== changes) logRestored(call);
  return outcome;
}

/** The deadline is written in absolute time. A key that was expired on arrival has replaced, and so deleted, another one. */
function logRestored(call: Call): void {
  const { store, effects, argCount } = call;
  if (store.cursor.address === NO_ADDRESS) return effects.deletes(call, 1);
  const due = store.cursor.deadlineMs;
  if (effects.speaksRedis70 && logForRedis70(call, due)) return;
  if (due === 0 || options.isAbsolute) return effects.asSent(call);
  if (!effects.begins(call, argCount + 1)) return;
  effects.constant(call.spec.effectName).argument(call, 1).integer(due);
  for (let i = 3; i < argCount; i++) effects.argument(call, i);
  effects.constant(ABSTTL_EFFECT);
}
const ABSTTL_EFFECT = effectText("ABSTTL");
const REPLACE_EFFECT = effectText("REPLACE");

/**
 * Redis 7.0 refuses a payload of a later version, although most values have the same form in it: such a payload is written as
 * one of version 10, for the file too. Returns false when it is one already, or has a form that 7.0 lacks.
 */
function logForRedis70(call: Call, due: number): boolean {
  const { effects, bytes } = call;
  const at = call.argAt(3);
  const end = at + call.argBytes(3) - FOOTER_BYTES;
  if (at < 0 || bytes.readUInt16LE(end) <= RDB_VERSION || bytes[at]! > LAST_TYPE_OF_10) return false;
  if (!effects.begins(call, 6)) return true;
  const payload = Buffer.from(bytes.subarray(at, end + FOOTER_BYTES));
  payload.writeUInt16LE(RDB_VERSION, end - at);
  updateCrc64(0, 0, payload, 0, end - at + VERSION_BYTES);
  payload.writeInt32LE(crc64.lo, end - at + VERSION_BYTES);
  payload.writeInt32LE(crc64.hi, end - at + VERSION_BYTES + 4);
  effects.constant(call.spec.effectName).argument(call, 1).integer(due).bulk(payload, 0, payload.length);
  effects.constant(REPLACE_EFFECT).constant(ABSTTL_EFFECT);
  return true;
}
/** The last type of value in RDB version 10. */
const LAST_TYPE_OF_10 = 19;

/** As RESTORE, without an effect. */
export function restoreValue(call: Call, reply: Reply): Outcome | void {
  const { store, bytes } = call;
  if (!readOptions(call, reply)) return;
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const isThere = store.find() !== NO_ADDRESS;
  if (isThere && !options.replaces) return reply.error(BUSY_KEY);
  const ttl = readNumber(call, reply, 2);
  if (ttl === null) return;
  if (ttl < 0) return reply.error("ERR Invalid TTL value, must be >= 0");
  const at = call.argAt(3);
  const end = at + call.argBytes(3) - FOOTER_BYTES;
  const isTrusted = isDebugSwitchOn(store.arena.control, DebugSwitch.SkipsChecksums);
  if (end < at || !(isTrusted || isIntact(bytes, at, end))) return reply.error(BAD_PAYLOAD);
  if (end === at) return reply.error(BAD_FORMAT);
  const longest = Math.min(call.stringMax, LARGE_VALUE_MAX);
  let kind: RdbKind = RdbKind.None;
  // Bytes after the value are ignored, as in Redis 7.0.
  if (bytes[at] !== RDB_STRING) {
    kind = readCollection(bytes[at]!, bytes, at + 1, end, longest, store.memberSeed);
    if (kind === RdbKind.None) return reply.error(BAD_FORMAT);
  } else if (readString(bytes, at + 1, end, longest) < 0) {
    return reply.error(BAD_FORMAT);
  }

  let due = ttl === 0 ? 0 : readDeadline(call, 2, 1, options.isAbsolute ? 0 : store.nowMs);
  // Redis adds in 64 bits without an overflow check, so a larger sum is in the distant past.
  if (due === OUT_OF_RANGE) due = -1;
  if (due !== 0 && due <= store.dueMs) {
    if (isThere) store.remove(KeyEvent.Deleted);
    return reply.ok();
  }
  if (kind !== RdbKind.None) {
    const refused = restoreCollection(call, reply, kind, due);
    if (refused !== undefined) return refused;
    store.access.restore(store.cursor.m, store.cursor.w, options.idleSeconds, options.frequency);
    return reply.ok();
  }
  const status = call.strings.set(rdbString.bytes, rdbString.at, rdbString.length, due);
  rdbString.bytes = head; // not to keep a long one alive
  if (status < 0) return refuse(call, reply, status);
  store.access.restore(store.cursor.m, store.cursor.w, options.idleSeconds, options.frequency);
  reply.ok();
}

/** True when the footer at `end` has a known version and the right CRC. */
function isIntact(bytes: Buffer, at: number, end: number): boolean {
  if (bytes.readUInt16LE(end) > RDB_VERSION_MAX) return false;
  updateCrc64(0, 0, bytes, at, end + VERSION_BYTES - at);
  return bytes.readInt32LE(end + VERSION_BYTES) === crc64.lo && bytes.readInt32LE(end + VERSION_BYTES + 4) === crc64.hi;
}
