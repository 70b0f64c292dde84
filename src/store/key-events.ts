/**
 * Key events: what happened to a key, by the names that Redis's keyspace notifications give it. The handler or the store
 * says which when it changes the key, under the shard lock; KeyHooks tells everybody who listens.
 *
 *   store.changed(event) ─ the shard's interest word is 0: nothing more │ else KeyHooks.tell: blocked clients, notified
 *
 * The event of a value that changes depends on the command more than on the change (a list that grows in front was LPUSHed,
 * or LMOVEd to): `Value` stands for the event of the command at work, see KeyHooks.valueEvent.
 */
import type { Address } from "./segments.ts";
import { INTEREST_BLOCKED, INTEREST_NOTIFY } from "./shard.ts";

/** Name of each event and the letter of its class in notify-keyspace-events; "" = nobody is notified. */
const EVENTS = [
  /** Changed in a way that has no event of its own: a group's state, an old value that another replaces. */
  ["", ""],
  /** The value changed: the event of the command at work. */
  ["", ""],
  /** The keyspace was emptied or exchanged as a whole; the key says nothing. */
  ["", ""],
  ["set", "$"],
  ["append", "$"],
  ["setrange", "$"],
  ["setbit", "$"],
  ["incrby", "$"],
  ["incrbyfloat", "$"],
  ["pfadd", "$"],
  ["lpush", "l"],
  ["rpush", "l"],
  ["lpop", "l"],
  ["rpop", "l"],
  ["linsert", "l"],
  ["lset", "l"],
  ["lrem", "l"],
  ["ltrim", "l"],
  ["sortstore", "l"],
  ["hset", "h"],
  ["hdel", "h"],
  ["hincrby", "h"],
  ["hincrbyfloat", "h"],
  ["hexpire", "h"],
  ["hpersist", "h"],
  ["sadd", "s"],
  ["srem", "s"],
  ["spop", "s"],
  ["sinterstore", "s"],
  ["sunionstore", "s"],
  ["sdiffstore", "s"],
  ["zadd", "z"],
  ["zincr", "z"],
  ["zrem", "z"],
  ["zpopmin", "z"],
  ["zpopmax", "z"],
  ["zremrangebyscore", "z"],
  ["zremrangebyrank", "z"],
  ["zremrangebylex", "z"],
  ["zinterstore", "z"],
  ["zunionstore", "z"],
  ["zdiffstore", "z"],
  ["zrangestore", "z"],
  ["geosearchstore", "z"],
  ["georadiusstore", "z"],
  ["xadd", "t"],
  ["xdel", "t"],
  ["xtrim", "t"],
  ["xsetid", "t"],
  ["xgroup-create", "t"],
  ["xgroup-setid", "t"],
  ["xgroup-destroy", "t"],
  ["xgroup-createconsumer", "t"],
  ["xgroup-delconsumer", "t"],
  ["del", "g"],
  ["expire", "g"],
  ["persist", "g"],
  ["rename_from", "g"],
  ["rename_to", "g"],
  ["move_from", "g"],
  ["move_to", "g"],
  ["copy_to", "g"],
  ["restore", "g"],
  ["expired", "x"],
  ["evicted", "e"],
] as const;

export type KeyEvent = number & { readonly brand?: "KeyEvent" };

/** The event called `name`. Once per use, when a module is loaded. */
export function keyEvent(name: string): KeyEvent {
  const event = EVENTS.findIndex(([known]) => known === name && known !== "");
  if (event < 0) throw new Error(`there is no key event ${name}`);
  return event;
}

export function eventName(event: KeyEvent): string {
  return EVENTS[event]![0];
}
/** The letter of its class; "" = nobody is notified of it. */
export function eventClass(event: KeyEvent): string {
  return EVENTS[event]![1];
}

/** The events that the store itself knows. */
export const KeyEvent = {
  Silent: 0,
  Value: 1,
  Flushed: 2,
  Set: keyEvent("set"),
  Deleted: keyEvent("del"),
  Deadline: keyEvent("expire"),
  Persisted: keyEvent("persist"),
  Expired: keyEvent("expired"),
  Evicted: keyEvent("evicted"),
} as const;

type Listener = (shard: number, keyspace: number, event: KeyEvent) => void;
const NOBODY: Listener = () => {};

/** Who is told of changes: a slot each, so that none takes the place of another. Called under the shard lock; may not wait. */
export class KeyHooks {
  /** The record at `address` is about to change or go: a snapshot takes its pre-image. Called while the store is snapshotting. */
  beforeChange: (shard: number, address: Address) => void = () => {};
  /** A key left without a command (expired, evicted): the change log hears of the removal. */
  removedByStore: Listener = NOBODY;
  /** Serves blocked clients; called while the shard has INTEREST_BLOCKED. */
  blocked: Listener = NOBODY;
  /** Keyspace notifications; called while the shard has INTEREST_NOTIFY. The key is that of the store's selection. */
  notified: Listener = NOBODY;
  /** The event that `KeyEvent.Value` stands for, while a command runs. */
  valueEvent: KeyEvent = KeyEvent.Set;

  /** Tells everybody whose bit is in `interest`. */
  tell(shard: number, keyspace: number, event: KeyEvent, interest: number): void {
    if ((interest & INTEREST_BLOCKED) !== 0) this.blocked(shard, keyspace, event);
    if ((interest & INTEREST_NOTIFY) === 0) return;
    const named = event === KeyEvent.Value ? this.valueEvent : event;
    if (eventClass(named) !== "") this.notified(shard, keyspace, named);
  }
}
