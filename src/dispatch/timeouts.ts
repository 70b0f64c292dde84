/**
 * Arguments that say how long a client waits or is held back: BLPOP, XREAD BLOCK, WAIT, CLIENT PAUSE and their like.
 *
 * A timeout is refused when the moment it ends at, in ms since the Unix epoch, does not fit into 64 bits.
 */
import { parseDouble } from "../base/double-text.ts";
import { Int64Kind, int64 } from "../base/integers.ts";
import { parseLongDouble } from "../base/long-double.ts";
import type { Reply } from "../protocol/reply.ts";
import type { Call } from "./call.ts";

const OUT_OF_RANGE = "ERR timeout is out of range";
const NEGATIVE = "ERR timeout is negative";
const END_MAX_MS = 2n ** 63n - 1n;

/** Reads argument `i` as a timeout in seconds. Returns it in ms, 0 = for ever; negative after an error reply. */
export function readSeconds(call: Call, reply: Reply, i: number): number {
  let seconds = parseDouble(call.bytes, call.argAt(i), call.argBytes(i));
  if (Number.isNaN(seconds)) seconds = beyondDouble(call, i);
  if (Number.isNaN(seconds)) return refuse(reply, "ERR timeout is not a float or out of range");
  const ms = Math.ceil(seconds * 1000);
  if (ms < 0) return refuse(reply, NEGATIVE);
  if (ms + call.clock.wallMs() >= Number(END_MAX_MS)) return refuse(reply, OUT_OF_RANGE);
  // -0 is a timeout of 0.
  return Math.abs(ms);
}

/**
 * Reads a number of seconds that only a long double can hold, because Redis reads long doubles. Returns infinity or the
 * smallest double, with the sign, or NaN when argument `i` is no number.
 */
function beyondDouble(call: Call, i: number): number {
  const value = parseLongDouble(call.bytes, call.argAt(i), call.argBytes(i));
  if (value === null) return Number.NaN;
  const amount = value.exponent < 0 ? Number.MIN_VALUE : Number.POSITIVE_INFINITY;
  return value.negative ? -amount : amount;
}

/** Reads argument `i` as a timeout in ms. Returns it, rounded above 2^53; 0 = for ever; negative after an error reply. */
export function readMilliseconds(call: Call, reply: Reply, i: number): number {
  const kind = call.argInt64(i);
  if (kind === Int64Kind.None) return refuse(reply, "ERR timeout is not an integer or out of range");
  if (kind === Int64Kind.Safe) return int64.value < 0 ? refuse(reply, NEGATIVE) : int64.value;
  if (int64.hi < 0) return refuse(reply, NEGATIVE);
  const ms = BigInt(call.argText(i));
  if (ms + BigInt(Math.ceil(call.clock.wallMs())) > END_MAX_MS) return refuse(reply, OUT_OF_RANGE);
  return Number(ms);
}

function refuse(reply: Reply, text: string): -1 {
  reply.error(text);
  return -1;
}
