/**
 * From the reply of a command to a Lua value: what redis.call() returns. The reply is RESP bytes that a handler has written.
 *
 *   integer, double in RESP2   number, string      null      false (RESP2), nil (RESP3)
 *   bulk string                string              map, set, double, big number, verbatim string (RESP3)
 *   status, error              {ok = ..}, {err = ..}          {map = ..}, {set = ..}, {double = ..} ...
 *   array                      table from 1 on     attribute  left out
 */
import { readLatin1 } from "../../base/bytes.ts";
import { LuaTable } from "../../lua/value.ts";
import { shortTexts } from "./short-texts.ts";

const STATUS = 43;
const ERROR = 45;
const INTEGER = 58;
const BULK = 36;
const ARRAY = 42;
const NULL = 95;
const TRUE_OR_FALSE = 35;
const DOUBLE = 44;
const BIG_NUMBER = 40;
const VERBATIM = 61;
const MAP = 37;
const SET = 126;
const PUSH = 62;
const ATTRIBUTE = 124;

/** One reader per worker. */
export class LuaReader {
  private bytes: Buffer = Buffer.alloc(0);
  private at = 0;

  /** The value of the reply that begins at `at`. */
  read(bytes: Buffer, at: number): unknown {
    this.bytes = bytes;
    this.at = at;
    return this.value();
  }

  private value(): unknown {
    const { bytes } = this;
    switch (bytes[this.at++]) {
      case BULK:
        return this.bulk();
      case INTEGER:
        return this.integer();
      case ARRAY:
      case PUSH:
        return this.array();
      case STATUS:
        return tableOf("ok", this.line());
      case ERROR:
        return errorTable(this.line());
      default:
        this.at--;
        return this.newer();
    }
  }

  /** The types of RESP3. */
  private newer(): unknown {
    switch (this.bytes[this.at++]) {
      case NULL:
        this.at += 2;
        return undefined;
      case TRUE_OR_FALSE: {
        const isTrue = this.bytes[this.at] === 116;
        this.at += 3;
        return isTrue;
      }
      case DOUBLE:
        return tableOf("double", doubleOf(this.line()));
      case BIG_NUMBER:
        return tableOf("big_number", this.line());
      case VERBATIM:
        return this.verbatim();
      case MAP:
        return tableOf("map", this.map());
      case SET:
        return tableOf("set", this.set());
      case ATTRIBUTE:
        this.map();
        return this.value();
      default:
        throw new Error("a reply has a known type");
    }
  }

  /** The number that ends with the line. */
  private integer(): number {
    const { bytes } = this;
    let at = this.at;
    const isNegative = bytes[at] === 45;
    if (isNegative) at++;
    let value = 0;
    for (let byte = bytes[at++]!; byte !== 13; byte = bytes[at++]!) value = value * 10 + byte - 48;
    this.at = at + 1;
    return isNegative ? -value : value;
  }

  private bulk(): string | false {
    const length = this.integer();
    if (length < 0) return false;
    const { bytes, at } = this;
    this.at = at + length + 2;
    return shortTexts.read(bytes, at, length);
  }

  private array(): LuaTable | false {
    const count = this.integer();
    if (count < 0) return false;
    if (count === 0) return LuaTable.fromArray([]);
    const values: unknown[] = [this.value()];
    for (let i = 1; i < count; i++) values.push(this.value());
    return LuaTable.fromArray(values);
  }

  private line(): string {
    const { bytes, at } = this;
    const end = bytes.indexOf(13, at);
    this.at = end + 2;
    return readLatin1(bytes, at, end - at);
  }

  private verbatim(): LuaTable {
    const text = this.bulk() as string;
    const inner = new LuaTable();
    inner.setStr("format", text.slice(0, 3));
    inner.setStr("string", text.slice(4));
    return tableOf("verbatim_string", inner);
  }

  private map(): LuaTable {
    const pairs = this.integer();
    const map = new LuaTable();
    for (let i = 0; i < pairs; i++) {
      const key = this.value();
      const value = this.value();
      if (key !== undefined) map.set(key, value);
    }
    return map;
  }

  private set(): LuaTable {
    const count = this.integer();
    const set = new LuaTable();
    for (let i = 0; i < count; i++) {
      const member = this.value();
      if (member !== undefined) set.set(member, true);
    }
    return set;
  }
}

function tableOf(name: string, value: unknown): LuaTable {
  const table = new LuaTable();
  table.setStr(name, value);
  return table;
}

/** The table of an error reply. `text`: with its code, without "-". */
export function errorTable(text: string): LuaTable {
  const table = tableOf("err", text);
  table.setStr("ignore_error_stats_update", true);
  return table;
}

function doubleOf(text: string): number {
  return text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text);
}
