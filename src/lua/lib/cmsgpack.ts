/** The library `cmsgpack` (lua-cmsgpack 0.4.0): MessagePack, packed here, unpacked in cmsgpack-unpack.ts. */
import { countTurn } from "../limits.ts";
import { badArgument, type Builtin, LuaTable } from "../value.ts";
import { unpack, unpackLimit, unpackOne } from "./cmsgpack-unpack.ts";
import { sink } from "./sink.ts";

/** Tables nested deeper become nil. */
const NESTING_MAX = 16;
const NIL = 0xc0;
const FALSE = 0xc2;
const TRUE = 0xc3;
const FLOAT32 = 0xca;
const FLOAT64 = 0xcb;

function pack(...values: unknown[]): string {
  if (values.length === 0) badArgument(0, "MessagePack pack needs input.");
  sink.clear();
  for (let i = 0; i < values.length; i++) packValue(values[i], 0);
  return sink.take();
}

function packValue(value: unknown, level: number): void {
  if (typeof value === "number") packNumber(value);
  else if (typeof value === "string") packString(value);
  else if (typeof value === "boolean") sink.byte(value ? TRUE : FALSE);
  else if (value instanceof LuaTable && level < NESTING_MAX) packTable(value, level);
  else sink.byte(NIL);
}

/** A head of one byte, or of one byte and a number of `bytes` bytes. */
function packHead(head: number, number: number, bytes: 0 | 1 | 2 | 4): void {
  sink.reserve(5);
  const buffer = sink.bytes;
  let at = sink.at;
  buffer[at++] = head;
  for (let shift = 8 * bytes - 8; shift >= 0; shift -= 8) buffer[at++] = number >> shift;
  sink.at = at;
}

function packString(text: string): void {
  const length = text.length;
  if (length < 32) packHead(0xa0 | length, 0, 0);
  else if (length < 256) packHead(0xd9, length, 1);
  else if (length < 65_536) packHead(0xda, length, 2);
  else packHead(0xdb, length, 4);
  sink.text(text);
}

const TWO_63 = 2 ** 63;

function packNumber(number: number): void {
  if (number >= -32 && number <= 127 && (number | 0) === number) packHead(number & 0xff, 0, 0);
  else if (Math.floor(number) === number && number >= -TWO_63 && number < TWO_63) packInteger(number);
  else packFloat(number);
}

/** The smallest form of a whole number. */
function packInteger(number: number): void {
  if (number >= 0) {
    if (number < 128)
      packHead(number, 0, 0); // -0 too
    else if (number < 256) packHead(0xcc, number, 1);
    else if (number < 65_536) packHead(0xcd, number, 2);
    else if (number < 2 ** 32) packHead(0xce, number, 4);
    else packInt64(0xcf, number);
  } else if (number >= -128) packHead(0xd0, number, 1);
  else if (number >= -32_768) packHead(0xd1, number, 2);
  else if (number >= -(2 ** 31)) packHead(0xd2, number, 4);
  else packInt64(0xd3, number);
}

function packInt64(head: number, number: number): void {
  const high = Math.floor(number / 2 ** 32);
  packHead(head, high, 4);
  sink.reserve(4);
  sink.view.setUint32(sink.at, number - high * 2 ** 32);
  sink.at += 4;
}

function packFloat(number: number): void {
  sink.reserve(9);
  const { view, bytes, at } = sink;
  if (Math.fround(number) === number) {
    bytes[at] = FLOAT32;
    view.setFloat32(at + 1, number);
    sink.at += 5;
    return;
  }
  bytes[at] = FLOAT64;
  view.setFloat64(at + 1, number);
  if (Number.isNaN(number)) bytes[at + 1] = 0xff; // 0/0 has the sign on x86, and so do all our NaNs
  sink.at += 9;
}

function packTable(table: LuaTable, level: number): void {
  countTurn();
  const length = arrayLength(table);
  if (length >= 0) {
    if (length < 16) packHead(0x90 | length, 0, 0);
    else if (length < 65_536) packHead(0xdc, length, 2);
    else packHead(0xdd, length, 4);
    for (let i = 1; i <= length; i++) packValue(table.getInt(i), level + 1);
    return;
  }
  let pairs = 0;
  for (let at = table.after(-1); at >= 0; at = table.after(at)) pairs++;
  if (pairs < 16) packHead(0x80 | pairs, 0, 0);
  else if (pairs < 65_536) packHead(0xde, pairs, 2);
  else packHead(0xdf, pairs, 4);
  for (let at = table.after(-1); at >= 0; at = table.after(at)) {
    packValue(table.keyAt(at), level + 1);
    packValue(table.valueAt(at), level + 1);
  }
}

/** How many values a table has whose keys are exactly 1, 2, ...; -1 of any other one. */
function arrayLength(table: LuaTable): number {
  const { array } = table;
  if (table.keys.length === table.dead && (array.length === 0 || array[array.length - 1] !== undefined)) {
    for (let i = 0; i < array.length; i++) if (array[i] === undefined) return -1;
    return array.length;
  }
  let count = 0;
  let most = 0;
  for (let at = table.after(-1); at >= 0; at = table.after(at)) {
    const key = table.keyAt(at);
    if (typeof key !== "number" || key <= 0 || (key | 0) !== key) return -1;
    if (key > most) most = key;
    count++;
  }
  return most === count ? count : -1;
}

export const cmsgpackLibrary: readonly Builtin[] = [
  { name: "pack", run: pack, single: true },
  { name: "unpack", run: unpack, single: false },
  { name: "unpack_one", run: unpackOne, single: false },
  { name: "unpack_limit", run: unpackLimit, single: false },
];

export const cmsgpackConstants: Readonly<Record<string, string>> = {
  _NAME: "cmsgpack",
  _VERSION: "lua-cmsgpack 0.4.0",
  _COPYRIGHT: "Copyright (C) 2012, Salvatore Sanfilippo",
  _DESCRIPTION: "MessagePack C implementation for Lua",
};
