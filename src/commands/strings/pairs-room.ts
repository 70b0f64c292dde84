/** Memory for commands that set many keys (MSET, MSETNX, MSETEX): all of it is reserved before the first key is set. */
import type { Call } from "../../dispatch/call.ts";

/** Pairs so short and few that what every command has reserved is enough. */
const FEW_PAIRS = 2;
const FEW_BYTES = 32 << 10;

/** Reserves room for the keys and values that arguments `from` to `end` are in turn. Returns false when there is none. */
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
  return store.section.reserve(store.pool.ahead + room.chunks());
}
