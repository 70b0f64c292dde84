/** The options EX, PX, EXAT and PXAT of commands that set strings. */
import { token } from "../../base/bytes.ts";
import { ErrorText, invalidExpire } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { OUT_OF_RANGE, readDeadline } from "../keys/expire.ts";

const TIMES: readonly (readonly [Uint8Array, unitMs: number, isRelative: boolean])[] = [
  [token("ex"), 1000, true],
  [token("px"), 1, true],
  [token("exat"), 1000, false],
  [token("pxat"), 1, false],
];
/** The time of the last option, valid until the next call of isTime. */
const time = { at: 0, unitMs: 1, isRelative: false };

/** True when argument `i` is EX, PX, EXAT or PXAT and another argument follows. Sets `time`. */
export function isTime(call: Call, i: number): boolean {
  if (i + 1 >= call.argCount) return false;
  for (const [name, unitMs, isRelative] of TIMES) {
    if (!call.argIs(i, name)) continue;
    time.at = i + 1;
    time.unitMs = unitMs;
    time.isRelative = isRelative;
    return true;
  }
  return false;
}

/** The deadline in `time`. Returns -1 after an error reply. */
export function readTime(call: Call, reply: Reply): number {
  const base = time.isRelative ? call.store.nowMs : 0;
  const due = readDeadline(call, time.at, time.unitMs, base);
  if (due > base && due !== OUT_OF_RANGE) return due;
  reply.error(Number.isNaN(due) ? ErrorText.notInteger : invalidExpire(call.spec.name.toLowerCase()));
  return -1;
}
