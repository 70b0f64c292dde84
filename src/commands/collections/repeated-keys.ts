/**
 * Keys that a command names more than once. A command that combines collections reads each of them once, however often its
 * key is named. So its cost depends on the number of different keys.
 */
import { equal } from "../../base/bytes.ts";
import type { Call } from "../../dispatch/call.ts";

/** Up to this many keys are compared in pairs. */
const PAIRS_MOST = 8;

/** The first argument that names each key. One per thread. */
let firstOf = new Int32Array(16);

/**
 * For `count` keys from argument `first` on: element n is the number, from 0, of the first key equal to key n. Valid until
 * the next call.
 */
export function findRepeats(call: Call, first: number, count: number): Int32Array {
  if (firstOf.length < count) firstOf = new Int32Array(count * 2);
  if (count > PAIRS_MOST) fillByName(call, first, count);
  else fillByPairs(call, first, count);
  return firstOf;
}

function fillByPairs(call: Call, first: number, count: number): void {
  for (let n = 0; n < count; n++) {
    let same = 0;
    while (same < n && !isSameKey(call, first + same, first + n)) same++;
    firstOf[n] = same;
  }
}

function fillByName(call: Call, first: number, count: number): void {
  const numbers = new Map<string, number>();
  for (let n = 0; n < count; n++) {
    const name = call.argText(first + n);
    const number = numbers.get(name);
    if (number === undefined) numbers.set(name, n);
    firstOf[n] = number ?? n;
  }
}

/** True when arguments `a` and `b` are the same bytes. */
export function isSameKey(call: Call, a: number, b: number): boolean {
  const length = call.argBytes(a);
  return length === call.argBytes(b) && equal(call.bytes, call.argAt(a), call.bytes, call.argAt(b), length);
}
