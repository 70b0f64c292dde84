/** MSETEX (Redis 8.4): several strings with one deadline, under a condition on all of their keys. */
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { KeyEvent } from "../../store/key-events.ts";
import type { Call } from "../../dispatch/call.ts";
import { reservePairs } from "./string-pairs.ts";
import { logPairs, logSet, logSetKeeping } from "./string-effects.ts";
import { isTime, readTime } from "./time-options.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";

const TOKENS = {
  nx: token("nx"),
  xx: token("xx"),
  keepttl: token("keepttl"),
};

const FIRST_PAIR = 2;
const PAIRS_MAX = 2 ** 31 - 1;

/**
 * MSETEX numkeys key value [key value ...] [NX | XX]
 *     [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]
 * Replies: 1 when all keys were set, 0 when none was.
 */
export function msetex(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const count = call.argInteger(1);
  if (!(count >= 1 && count <= PAIRS_MAX)) return reply.error("ERR invalid numkeys value");
  const end = FIRST_PAIR + count * 2;
  if (end > call.argCount) return reply.error("ERR wrong number of key-value pairs");
  let condition: "none" | "nx" | "xx" = "none";
  let keeps = false;
  let hasTime = false;
  for (let i = end; i < call.argCount; i++) {
    if (call.argIs(i, TOKENS.nx) && condition !== "xx") condition = "nx";
    else if (call.argIs(i, TOKENS.xx) && condition !== "nx") condition = "xx";
    else if (call.argIs(i, TOKENS.keepttl) && !hasTime) keeps = true;
    else if (!hasTime && !keeps && isTime(call, i)) {
      hasTime = true;
      i++;
    } else return reply.error(ErrorText.syntax);
  }
  const due = hasTime ? readTime(call, reply) : 0;
  if (due < 0) return;
  if (condition !== "none") {
    for (let i = FIRST_PAIR; i < end; i += 2) {
      call.selectKey(i);
      if ((store.find() !== NO_ADDRESS) !== (condition === "xx")) return reply.integer(0);
    }
  }
  if (!reservePairs(call, FIRST_PAIR, end)) return refuse(call, reply, Status.Busy);
  for (let i = FIRST_PAIR; i < end; i += 2) {
    const status = setPair(call, i, due, keeps);
    if (status < 0) return refuse(call, reply, status);
  }
  if (!hasTime && !keeps) logPairs(call, FIRST_PAIR, end);
  reply.integer(1);
}

function setPair(call: Call, i: number, deadlineMs: number, keeps: boolean): number {
  const { store } = call;
  call.selectKey(i);
  const prepared = store.prepareInsert();
  if (prepared < 0) return prepared;
  const found = store.find() !== NO_ADDRESS;
  if (deadlineMs !== 0 && deadlineMs <= store.dueMs) {
    // Already expired.
    if (!found) return 0;
    store.remove(KeyEvent.Deleted);
    call.effects.deletes(call, i);
    return 0;
  }
  const due = keeps && found ? store.cursor.deadlineMs : deadlineMs;
  const status = call.strings.set(call.bytes, call.argAt(i + 1), call.argBytes(i + 1), due);
  if (status < 0) return status;
  if (keeps) logSetKeeping(call, i, i + 1);
  else if (deadlineMs !== 0) logSet(call, i, i + 1, deadlineMs);
  return 0;
}
