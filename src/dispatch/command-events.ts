/**
 * Command events: the key event of each command that changes the value of a key, for KeyEvent.Value. A handler names the
 * event itself where the command's name does not determine it, and for everything else that the command changes (a
 * deadline, a source, a consumer).
 */
import { KeyEvent, keyEvent } from "../store/key-events.ts";
import type { CommandSpec } from "./spec.ts";

/** Commands by their event, where the event is not the command's own name in lower case. */
const COMMANDS: Record<string, string> = {
  set: "SET SETEX PSETEX SETNX GETSET MSET MSETNX MSETEX BITOP",
  incrby: "INCR INCRBY DECR DECRBY INCREX",
  pfadd: "PFADD PFMERGE",
  lpush: "LPUSH LPUSHX",
  rpush: "RPUSH RPUSHX",
  hset: "HSET HMSET HSETNX HSETEX",
  hdel: "HDEL HGETDEL",
  hexpire: "HEXPIRE HPEXPIRE HEXPIREAT HPEXPIREAT HGETEX",
  sexpire: "SEXPIRE SPEXPIRE SEXPIREAT SPEXPIREAT",
  zexpire: "ZEXPIRE ZPEXPIRE ZEXPIREAT ZPEXPIREAT",
  xdel: "XDEL XDELEX XACKDEL",
  zadd: "ZADD GEOADD",
  zincr: "ZINCRBY",
  georadiusstore: "GEORADIUS GEORADIUSBYMEMBER",
  sortstore: "SORT",
  copy_to: "COPY",
  rename_to: "RENAME RENAMENX",
  move_to: "MOVE",
  "xgroup-create": "XGROUP|CREATE",
  "xgroup-setid": "XGROUP|SETID",
  "xgroup-destroy": "XGROUP|DESTROY",
  "xgroup-createconsumer": "XGROUP|CREATECONSUMER",
  "xgroup-delconsumer": "XGROUP|DELCONSUMER",
};
/** Commands whose own name is their event. */
const OWN =
  "APPEND SETRANGE SETBIT INCRBYFLOAT LINSERT LSET LREM LTRIM HINCRBY HINCRBYFLOAT HPERSIST SADD SREM SPOP SPERSIST " +
  "ZPERSIST SINTERSTORE SUNIONSTORE SDIFFSTORE ZREM ZREMRANGEBYSCORE ZREMRANGEBYRANK ZREMRANGEBYLEX ZINTERSTORE ZUNIONSTORE ZDIFFSTORE " +
  "ZRANGESTORE GEOSEARCHSTORE XADD XTRIM XSETID RESTORE";

const EVENT_OF = new Map<string, KeyEvent>();
for (const [event, commands] of Object.entries(COMMANDS)) {
  for (const command of commands.split(" ")) EVENT_OF.set(command, keyEvent(event));
}
for (const command of OWN.split(" ")) EVENT_OF.set(command, keyEvent(command.toLowerCase()));

/** The event of each row by the command's name, or Silent. */
export function eventsOf(rows: readonly CommandSpec[]): Uint8Array {
  return Uint8Array.from(rows, (spec) => EVENT_OF.get(spec.name) ?? KeyEvent.Silent);
}
