/**
 * From the value that a script returns to the reply of its client.
 *
 *   number                 integer, cut toward zero           {ok = s}, {err = s}        status, error
 *   string                 bulk string                        {double = n}, {map = t},   the types of RESP3, in RESP2 what
 *   true, false            1, null; booleans by setresp(3)    {set = t} ...              takes their place
 *   nil and others         null                               other tables               array up to the first nil
 */
import type { Reply } from "../../protocol/reply.ts";
import { LuaTable } from "../../lua/value.ts";

/** Tables inside of each other that a reply may have. */
const DEPTH_MAX = 3000;
const TOO_DEEP = "ERR reached lua stack limit";

/** A 64-bit integer beyond a double's exact range, as C makes it of a double that is too large. */
const LOWEST_LOW = 0;
const LOWEST_HIGH = -(2 ** 31);

/**
 * Writes `value` as a reply. `protocol`: the version that the script has asked for with redis.setresp(). The error of a table
 * counts as one of the command, unless a command inside has counted it.
 */
export function writeLua(reply: Reply, value: unknown, protocol: 2 | 3, depth = 0): void {
  switch (typeof value) {
    case "number":
      return writeNumber(reply, value);
    case "string":
      return reply.latin1(value);
    case "boolean":
      if (protocol === 3) return reply.bool(value);
      return value ? reply.integer(1) : reply.nullBulk();
    default:
      if (value instanceof LuaTable) return writeTable(reply, value, protocol, depth);
      return reply.nullBulk();
  }
}

function writeNumber(reply: Reply, value: number): void {
  const whole = Math.trunc(value);
  if (Number.isSafeInteger(whole)) return reply.integer(whole === 0 ? 0 : whole);
  if (!(whole >= -(2 ** 63) && whole < 2 ** 63)) return reply.integer64(LOWEST_LOW, LOWEST_HIGH);
  const wide = BigInt(whole);
  reply.integer64(Number(BigInt.asIntN(32, wide)), Number(BigInt.asIntN(32, wide >> 32n)));
}

function writeTable(reply: Reply, table: LuaTable, protocol: 2 | 3, depth: number): void {
  if (depth >= DEPTH_MAX) return reply.error(TOO_DEEP);
  if (table.keys.length !== 0 && writeMarked(reply, table, protocol, depth)) return;
  let count = 0;
  while (table.getInt(count + 1) !== undefined) count++;
  reply.array(count);
  for (let i = 1; i <= count; i++) writeLua(reply, table.getInt(i), protocol, depth + 1);
}

/** Writes a table whose field says what it stands for. Returns false when it has no such field. */
function writeMarked(reply: Reply, table: LuaTable, protocol: 2 | 3, depth: number): boolean {
  const error = table.getStr("err");
  if (typeof error === "string") {
    reply.errorOnce(error, table.getStr("ignore_error_stats_update") === true);
    return true;
  }
  const status = table.getStr("ok");
  if (typeof status === "string") {
    reply.simpleLatin1(status);
    return true;
  }
  const double = table.getStr("double");
  if (typeof double === "number") {
    reply.double(double);
    return true;
  }
  const map = table.getStr("map");
  if (map instanceof LuaTable) {
    writeMap(reply, map, protocol, depth);
    return true;
  }
  const set = table.getStr("set");
  if (set instanceof LuaTable) {
    writeSet(reply, set, protocol, depth);
    return true;
  }
  return writeText(reply, table);
}

/** A big number or a verbatim string. */
function writeText(reply: Reply, table: LuaTable): boolean {
  const digits = table.getStr("big_number");
  if (typeof digits === "string") {
    reply.bigNumber(digits.replace(/[\r\n]/g, " "));
    return true;
  }
  const verbatim = table.getStr("verbatim_string");
  if (!(verbatim instanceof LuaTable)) return false;
  const format = verbatim.getStr("format");
  const text = verbatim.getStr("string");
  if (typeof format !== "string" || typeof text !== "string") return false;
  reply.verbatimLatin1(format, text);
  return true;
}

function writeMap(reply: Reply, map: LuaTable, protocol: 2 | 3, depth: number): void {
  const size = sizeOf(map);
  reply.map(size);
  for (let at = map.after(-1); at >= 0; at = map.after(at)) {
    writeLua(reply, map.keyAt(at), protocol, depth + 1);
    writeLua(reply, map.valueAt(at), protocol, depth + 1);
  }
}

function writeSet(reply: Reply, set: LuaTable, protocol: 2 | 3, depth: number): void {
  reply.set(sizeOf(set));
  for (let at = set.after(-1); at >= 0; at = set.after(at)) writeLua(reply, set.keyAt(at), protocol, depth + 1);
}

function sizeOf(table: LuaTable): number {
  let size = 0;
  for (let at = table.after(-1); at >= 0; at = table.after(at)) size++;
  return size;
}
