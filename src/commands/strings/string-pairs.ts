/** MGET, MSET, MSETNX: several strings at a time. */
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { RecordType } from "../../store/record.ts";
import { wrongArity } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { PLAIN } from "../../store/store.ts";
import type { Call } from "../../dispatch/call.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import { replyString, storeArgument } from "./strings.ts";

/** MGET key [key ...]. Replies: array of values; null where there is no string. */
export function mget(call: Call, reply: Reply): void {
  const { store } = call;
  reply.array(call.argCount - 1);
  for (let i = 1; i < call.argCount; i++) {
    call.selectKey(i);
    if (store.findForRead() === NO_ADDRESS || store.cursor.type !== RecordType.String) reply.nullBulk();
    else replyString(call, reply);
  }
}

/** MSET key value [key value ...] */
export function mset(call: Call, reply: Reply): Outcome | void {
  if (call.argCount % 2 === 0) return reply.error(wrongArity("mset"));
  const status = setPairs(call);
  if (status < 0) return refuse(call, reply, status);
  reply.ok();
}

/** MSETNX key value [key value ...]. Replies: 1 when all were set, 0 when none was. */
export function msetnx(call: Call, reply: Reply): Outcome | void {
  if (call.argCount % 2 === 0) return reply.error(wrongArity("msetnx"));
  for (let i = 1; i < call.argCount; i += 2) {
    call.selectKey(i);
    if (call.store.find() === NO_ADDRESS) continue;
    call.store.dateFound();
    return reply.integer(0);
  }
  const status = setPairs(call);
  if (status < 0) return refuse(call, reply, status);
  reply.integer(1);
}

/** Sets all pairs. Returns 0, or Status.Busy with nothing set if memory may not suffice. */
function setPairs(call: Call): number {
  const { store } = call;
  if (!reservePairs(call, 1, call.argCount)) return Status.Busy;
  for (let i = 1; i < call.argCount; i += 2) {
    call.selectKey(i);
    let status = store.prepareInsert();
    if (status < 0) return status;
    store.find();
    status = storeArgument(call, i + 1, 0, PLAIN);
    if (status < 0) return status;
  }
  return 0;
}

/** So few and short pairs fit into the memory that is reserved for every command. */
const FEW_PAIRS = 2;
const FEW_BYTES = 32 << 10;

/** Reserves memory for the key-value pairs in arguments `from` to `end`. Returns false if there is not enough. */
export function reservePairs(call: Call, from: number, end: number): boolean {
  const { store, key, room } = call;
  let bytes = 0;
  for (let i = from; i < end; i++) bytes += call.argBytes(i);
  if (end - from <= FEW_PAIRS * 2 && bytes <= FEW_BYTES) return true;
  room.begin();
  for (let i = from; i < end; i += 2) {
    key.load(call.bytes, call.argAt(i), call.argBytes(i));
    room.add(store.shardOf(key.hashA), call.argBytes(i), call.argBytes(i + 1));
  }
  return store.section.reserve(store.pool.commandChunks + room.chunks());
}
