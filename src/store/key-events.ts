/**
 * Key events: the kinds of change of a key, by the names of Redis's keyspace notifications. The handler or the store names
 * the event when it changes the key, under the shard lock. KeyHooks tells the listeners.
 *
 *   store.changed(event) ─ the shard's interest word is 0: nothing more
 *                          else KeyHooks.tell: blocked clients and watches │ client-side caching │ keyspace notifications
 *
 * The event of a changed value depends on the command rather than on the change: a list grows at its front by LPUSH or by
 * LMOVE. `Value` therefore stands for the event of the current command. See KeyHooks.valueEvent.
 */
import type { Address } from "./address.ts";
import type { RecordType } from "./record.ts";
import { INTEREST_BLOCKED, INTEREST_NOTIFY, INTEREST_PREFIXES, INTEREST_TRACKED, type Shard } from "./shard.ts";

/** Name of each event and the letter of its class in notify-keyspace-events. "" = no notification. */
const EVENTS = [
  /** A change without an event of its own: a group's state, or an old value that another replaces. */
  ["", ""],
  /** The value changed. Stands for the event of the current command. */
  ["", ""],
  /** The whole keyspace was emptied or exchanged. The selected key means nothing. */
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
  ["hexpired", "h"],
  ["sexpire", "s"],
  ["sexpired", "s"],
  ["spersist", "s"],
  ["zexpire", "z"],
  ["zexpired", "z"],
  ["zpersist", "z"],
  ["keymiss", "m"],
  ["new", "n"],
  ["overwritten", "o"],
  ["type_changed", "c"],
] as const;
/** Number of events. */
export const KEY_EVENTS = EVENTS.length;

export type KeyEvent = number & { readonly brand?: "KeyEvent" };

/** The event called `name`. To be called while modules load, because it searches a list. */
export function keyEvent(name: string): KeyEvent {
  const event = EVENTS.findIndex(([known]) => known === name && known !== "");
  if (event < 0) throw new Error(`there is no key event ${name}`);
  return event;
}

export function eventName(event: KeyEvent): string {
  return EVENTS[event]![0];
}
/** The letter of the event's class, "" = no notification. */
export function eventClass(event: KeyEvent): string {
  return EVENTS[event]![1];
}

/** The events that the store itself uses. */
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
  /** A reading command has not found the key. */
  Missed: keyEvent("keymiss"),
} as const;

type Listener = (shard: Shard, keyspace: number, event: KeyEvent) => void;
const NONE: Listener = () => {};

/** A member, as bytes that a listener may read until it returns. */
export interface MemberBytes {
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly length: number;
}

/**
 * The listeners to changes. Each has a slot of its own, so that none replaces another. They are called under the shard lock
 * and must not wait.
 */
export class KeyHooks {
  /**
   * Called before the record at `address` changes or is removed, while the store is snapshotting. A snapshot takes its
   * pre-image.
   */
  beforeChange: (shard: Shard, address: Address) => void = () => {};
  /** Called when the store has removed a key without a command (expired, evicted). For the change log. */
  removedByStore: Listener = NONE;
  /** Called before the store removes a due member of the selected collection, whose type is `type`. For the change log. */
  memberExpires: (keyspace: number, type: RecordType, member: MemberBytes) => void = () => {};
  /** Marks the key for the clients that wait for it. Called while the shard has INTEREST_BLOCKED. */
  blocked: Listener = NONE;
  /** Client-side caching. Called while the shard has INTEREST_TRACKED or INTEREST_PREFIXES. */
  tracked: Listener = NONE;
  /**
   * Keyspace notifications. Called while the shard has INTEREST_NOTIFY, also for events without a class. The key is that of
   * the store's selection.
   */
  notified: Listener = NONE;
  /** As `notified`, for keys that a reading command has not found. */
  missed: Listener = NONE;
  /** The first of the keyspaces that no database stands for: nobody hears of them. */
  internalFrom = Infinity;
  /** The event that `KeyEvent.Value` stands for while a command runs. */
  valueEvent: KeyEvent = KeyEvent.Set;

  /** Tells the listeners whose bit is in `interest`. */
  tell(shard: Shard, keyspace: number, event: KeyEvent, interest: number): void {
    if (keyspace >= this.internalFrom) return;
    if ((interest & INTEREST_BLOCKED) !== 0) this.blocked(shard, keyspace, event);
    if ((interest & (INTEREST_TRACKED | INTEREST_PREFIXES)) !== 0) this.tracked(shard, keyspace, event);
    if ((interest & INTEREST_NOTIFY) === 0) return;
    if (event !== KeyEvent.Flushed) this.notified(shard, keyspace, event === KeyEvent.Value ? this.valueEvent : event);
  }
}
