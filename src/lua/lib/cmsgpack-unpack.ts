/** cmsgpack.unpack, unpack_one and unpack_limit. */
import { checkInteger, checkString, optionalInteger } from "../arguments.ts";
import { charge, countTurn } from "../limits.ts";
import { LuaTable, NONE, raise } from "../value.ts";

/** Slots of C's stack in a call. Each value that is not finished takes some. */
const STACK_SLOTS_MAX = 8000;
const NO_SLOTS = "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)";
const NO_ARRAY_SLOTS = "stack overflow (in function mp_decode_to_lua_array)";

/** Texts above this size are charged: their values take a few times as much. */
const CHARGED_MIN = 65_536;
const BYTES_PER_CHARACTER = 4;
const MISSING = "Missing bytes in input.";
const INT_MAX = 2 ** 31 - 1;

export function unpack(text?: unknown): unknown {
  return unpackAll(checkString(text, 1, arguments.length), 0, 0);
}

export function unpackOne(text?: unknown, offset?: unknown): unknown {
  const from = optionalInteger(offset, 2, arguments.length, 0);
  return unpackAll(checkString(text, 1, arguments.length), 1, from);
}

export function unpackLimit(text?: unknown, limit?: unknown, offset?: unknown): unknown {
  const most = checkInteger(limit, 2, arguments.length);
  const from = optionalInteger(offset, 3, arguments.length, 0);
  return unpackAll(checkString(text, 1, arguments.length), most, from);
}

let bytes = "";
let at = 0;

/**
 * Unpacks up to `limit` values from `offset` on. Without both, all values, and nothing else is returned; otherwise the first
 * result is where the next value begins, or -1 at the end.
 */
function unpackAll(text: string, limit: number, offset: number): unknown {
  const length = text.length;
  if (offset < 0 || limit < 0) {
    raise(`Invalid request to unpack with offset of ${offset | 0} and limit of ${length}.`);
  }
  if (offset > length) raise(`Start offset ${offset | 0} greater than input length ${length}.`);
  if (length > CHARGED_MIN) charge(length * BYTES_PER_CHARACTER);
  const isAll = limit === 0 && offset === 0;
  const most = isAll ? INT_MAX : limit;
  bytes = text;
  at = offset;
  const values: unknown[] = [];
  while (at < length && values.length < most) values.push(unpackValue(values.length + 1));
  if (isAll) return values.length === 1 ? values[0] : values.length === 0 ? NONE : values;
  if (values.length === 0) return at === length ? -1 : at;
  values.unshift(at === length ? -1 : at);
  return values;
}

/** Moves past the head byte and `count` bytes behind it, which must be there. Returns where the latter begin. */
function take(count: number): number {
  const start = at + 1;
  if (start + count > bytes.length) raise(MISSING);
  at = start + count;
  return start;
}

/** Unpacks the value that begins here. `slots` of C's stack are in use. */
function unpackValue(slots: number): unknown {
  if (at >= bytes.length) raise(MISSING);
  if (slots >= STACK_SLOTS_MAX) raise(NO_SLOTS);
  const head = bytes.charCodeAt(at);
  if (head < 0x80 || head >= 0xe0) {
    at++;
    return head < 0x80 ? head : head - 256;
  }
  if (head < 0xc0) {
    const count = head & 15;
    at++;
    if (head >= 0xa0) return unpackText(head & 31);
    return head < 0x90 ? unpackMap(count, slots) : unpackArray(count, slots);
  }
  return head < 0xd9 ? unpackNumber(head) : unpackLong(head, slots);
}

/** Moves past the head byte and `count` bytes behind it: a whole number, the highest byte first. At most 32 bits, signed. */
function word(count: number): number {
  const start = take(count);
  let value = 0;
  for (let i = 0; i < count; i++) value = (value << 8) | bytes.charCodeAt(start + i);
  return value;
}

const SCRATCH = new DataView(new ArrayBuffer(8));

function float(count: 4 | 8): number {
  const start = take(count);
  for (let i = 0; i < count; i++) SCRATCH.setUint8(i, bytes.charCodeAt(start + i));
  return count === 4 ? SCRATCH.getFloat32(0) : SCRATCH.getFloat64(0);
}

/** A number of 64 bits. One without sign above 2^63 becomes negative, as in C. */
function int64(): number {
  if (at + 9 > bytes.length) raise(MISSING);
  const high = word(4);
  at--; // the low word has no head
  return high * 2 ** 32 + (word(4) >>> 0);
}

/** Constants and numbers of several bytes. */
function unpackNumber(head: number): unknown {
  switch (head) {
    case 0xc0:
      at++;
      return undefined;
    case 0xc2:
    case 0xc3:
      at++;
      return head === 0xc3;
    case 0xca:
      return float(4);
    case 0xcb:
      return float(8);
    case 0xcc:
      return word(1);
    case 0xcd:
      return word(2);
    case 0xce:
      return word(4) >>> 0;
    case 0xd0:
      return (word(1) << 24) >> 24;
    case 0xd1:
      return (word(2) << 16) >> 16;
    case 0xd2:
      return word(4);
    case 0xcf:
    case 0xd3:
      return int64();
    default:
      return raise("Bad data format in input.");
  }
}

/** Texts, arrays and maps with a length of their own. */
function unpackLong(head: number, slots: number): unknown {
  switch (head) {
    case 0xd9:
      return unpackText(word(1));
    case 0xda:
      return unpackText(word(2));
    case 0xdb:
      return unpackText(word(4) >>> 0);
    case 0xdc:
      return unpackArray(word(2), slots);
    case 0xdd:
      return unpackArray(word(4) >>> 0, slots);
    case 0xde:
      return unpackMap(word(2), slots);
    default:
      return unpackMap(word(4) >>> 0, slots);
  }
}

/** The text of `length` bytes here, behind its head. */
function unpackText(length: number): string {
  if (at + length > bytes.length) raise(MISSING);
  at += length;
  return bytes.slice(at - length, at);
}

function unpackArray(length: number, slots: number): LuaTable {
  countTurn();
  if (slots + 1 >= STACK_SLOTS_MAX) raise(NO_ARRAY_SLOTS);
  const table = new LuaTable();
  for (let i = 1; i <= length; i++) table.setInt(i, unpackValue(slots + 2));
  return table;
}

function unpackMap(length: number, slots: number): LuaTable {
  countTurn();
  const table = new LuaTable();
  for (let i = 0; i < length; i++) {
    const key = unpackValue(slots + 1);
    table.set(key, unpackValue(slots + 2));
  }
  return table;
}
