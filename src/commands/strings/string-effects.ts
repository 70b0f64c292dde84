/** Effects of commands on strings that the change log does not have as they were sent (dispatch/effects.ts). */
import type { Call } from "../../dispatch/call.ts";
import { effectText } from "../../dispatch/effects.ts";

const SET = effectText("SET");
const MSET = effectText("MSET");
const KEEPTTL = effectText("KEEPTTL");
const PXAT = effectText("PXAT");

/** SET: the key in argument `keyAt` has the value of argument `valueAt`, until `deadlineMs` (0 = for ever). */
export function logSet(call: Call, keyAt: number, valueAt: number, deadlineMs: number): void {
  const { effects } = call;
  if (!effects.begins(call, deadlineMs === 0 ? 3 : 5)) return;
  effects.constant(SET).argument(call, keyAt).argument(call, valueAt);
  if (deadlineMs !== 0) effects.constant(PXAT).integer(deadlineMs);
}

/** As logSet, for key 1 and a value that is no argument. */
export function logSetTo(call: Call, value: Uint8Array, deadlineMs: number): void {
  const { effects } = call;
  if (!effects.begins(call, deadlineMs === 0 ? 3 : 5)) return;
  effects.constant(SET).argument(call, 1).bulk(value, 0, value.length);
  if (deadlineMs !== 0) effects.constant(PXAT).integer(deadlineMs);
}

/** As logSet, for a key that keeps the deadline it has. */
export function logSetKeeping(call: Call, keyAt: number, valueAt: number): void {
  const { effects } = call;
  if (effects.begins(call, 4)) effects.constant(SET).argument(call, keyAt).argument(call, valueAt).constant(KEEPTTL);
}

/** As logSetKeeping, for key 1 and a value that is no argument. */
export function logSetToKeeping(call: Call, value: Uint8Array): void {
  const { effects } = call;
  if (!effects.begins(call, 4)) return;
  effects.constant(SET).argument(call, 1).bulk(value, 0, value.length).constant(KEEPTTL);
}

/** MSET of the pairs in arguments `from` to `end`. */
export function logPairs(call: Call, from: number, end: number): void {
  const { effects } = call;
  if (!effects.begins(call, end - from + 1)) return;
  effects.constant(MSET);
  for (let i = from; i < end; i++) effects.argument(call, i);
}

/** The command without the arguments for which `isLeftOut`. */
export function logWithout(call: Call, isLeftOut: (i: number) => boolean): void {
  const { effects, argCount } = call;
  if (!effects.isOn) return;
  const kept: number[] = [];
  for (let i = 1; i < argCount; i++) if (!isLeftOut(i)) kept.push(i);
  effects.begin(call.db, kept.length + 1);
  effects.constant(call.spec.effectName);
  for (const i of kept) effects.argument(call, i);
}
