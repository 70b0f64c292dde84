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

let bytes: Buffer = Buffer.alloc(0);
let view = new DataView(bytes.buffer);
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
  bytes = Buffer.from(text, "latin1");
  view = new DataView(bytes.buffer, bytes.byteOffset, length);
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
  if (start + count > bytes.length) raise("Missing bytes in input.");
  at = start + count;
  return start;
}

/** Unpacks the value that begins here. `slots` of C's stack are in use. */
function unpackValue(slots: number): unknown {
  if (at >= bytes.length) raise("Missing bytes in input.");
  if (slots >= STACK_SLOTS_MAX) raise(NO_SLOTS);
  const head = bytes[at]!;
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
      return view.getFloat32(take(4));
    case 0xcb:
      return view.getFloat64(take(8));
    case 0xcc:
      return view.getUint8(take(1));
    case 0xcd:
      return view.getUint16(take(2));
    case 0xce:
      return view.getUint32(take(4));
    case 0xd0:
      return view.getInt8(take(1));
    case 0xd1:
      return view.getInt16(take(2));
    case 0xd2:
      return view.getInt32(take(4));
    case 0xcf: // an unsigned number above 2^63 becomes negative, as in C
    case 0xd3: {
      const start = take(8);
      return view.getInt32(start) * 2 ** 32 + view.getUint32(start + 4);
    }
    default:
      return raise("Bad data format in input.");
  }
}

/** Texts, arrays and maps with a length of their own. */
function unpackLong(head: number, slots: number): unknown {
  switch (head) {
    case 0xd9:
      return unpackText(view.getUint8(take(1)));
    case 0xda:
      return unpackText(view.getUint16(take(2)));
    case 0xdb:
      return unpackText(view.getUint32(take(4)));
    case 0xdc:
      return unpackArray(view.getUint16(take(2)), slots);
    case 0xdd:
      return unpackArray(view.getUint32(take(4)), slots);
    case 0xde:
      return unpackMap(view.getUint16(take(2)), slots);
    default:
      return unpackMap(view.getUint32(take(4)), slots);
  }
}

/** The text of `length` bytes here, behind its head. */
function unpackText(length: number): string {
  if (at + length > bytes.length) raise("Missing bytes in input.");
  at += length;
  return bytes.toString("latin1", at - length, at);
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
