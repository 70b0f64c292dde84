/**
 * Keyspace notifications: publishes the events of keys (store/key-events.ts) as notify-keyspace-events says.
 *
 *   __keyspace@<db>__:<key>      the event       class K
 *   __keyevent@<db>__:<event>    the key         class E
 *
 * The events of a section are gathered and leave with its other messages (pubsub.ts): after its effects have a position in
 * the change log, before its locks are released. So nobody hears of a change that a crash may undo, and the events of a key
 * come in the order of its changes.
 *
 * While no class is on, no shard has INTEREST_NOTIFY, and a change reads no more than the shard's interest word, which it
 * reads for blocked clients anyway. Messages that nobody would receive are not made.
 *
 * "new" comes before the event of the command that made the key. "overwritten" and "type_changed" come before the event of a
 * command that sets a key, and after that of RENAME, COPY and RESTORE, as in Redis 8.2.
 */
import { hasEventClass } from "../base/config/syntax.ts";
import { eventClass, eventName, KEY_EVENTS, type KeyEvent, keyEvent } from "../store/key-events.ts";
import { UNKNOWN, WAS_ABSENT } from "../store/key-origin.ts";
import { INTEREST_NOTIFY, type Shard } from "../store/shard.ts";
import type { Call } from "./call.ts";
import type { Published } from "./published.ts";

const NEW = keyEvent("new");
const OVERWRITTEN = keyEvent("overwritten");
const TYPE_CHANGED = keyEvent("type_changed");
const MISSED = keyEvent("keymiss");

/** Events of commands that give a key another value whatever it held, and of those that put a key in another's place. */
const SETTING = new Set(
  "set sinterstore sunionstore sdiffstore zinterstore zunionstore zdiffstore zrangestore geosearchstore georadiusstore sortstore"
    .split(" ")
    .map(keyEvent),
);
const REPLACING = new Set("rename_to copy_to restore".split(" ").map(keyEvent));
/** Events of the target of a command that has a source. */
const TARGETS = new Set([keyEvent("rename_to"), keyEvent("move_to")]);
const SADD = keyEvent("sadd");
/** Classes that need to know what a key was before. */
const ORIGIN_CLASSES = "noc";

export class Notifications {
  /** Whether each event is in a class that is on. */
  private readonly isOn = new Uint8Array(KEY_EVENTS);
  private toKeyspace = false;
  private toKeyevent = false;
  private channel = Buffer.alloc(128);
  private key = Buffer.alloc(64);
  private readonly names = Array.from({ length: KEY_EVENTS }, (_, event) => Buffer.from(eventName(event)));

  constructor(private readonly call: Call) {
    const { hooks } = call.store;
    hooks.notified = (shard, keyspace, event) => this.changed(shard, keyspace, event);
    hooks.missed = (_shard, keyspace) => this.missed(keyspace);
  }

  /** Applies the setting, in its canonical form. */
  configure(classes: string): void {
    const { store } = this.call;
    this.toKeyspace = classes.includes("K");
    this.toKeyevent = classes.includes("E");
    const isAny = this.toKeyspace || this.toKeyevent;
    let count = 0;
    for (let event = 0; event < KEY_EVENTS; event++) {
      const letter = eventClass(event);
      const isOn = isAny && letter !== "" && hasEventClass(classes, letter);
      this.isOn[event] = isOn ? 1 : 0;
      if (isOn) count++;
    }
    store.origin.isNoted = isAny && [...ORIGIN_CLASSES].some((letter) => classes.includes(letter));
    for (const shard of store.shards) {
      if (count > 0) shard.addInterest(INTEREST_NOTIFY);
      else shard.removeInterest(INTEREST_NOTIFY);
    }
  }

  private changed(shard: Shard, keyspace: number, event: KeyEvent): void {
    const { store, keyspaces } = this.call;
    const { origin } = store;
    if (!origin.isNoted && this.isOn[event] === 0) return;
    const db = keyspaces.databaseOf(keyspace);
    const was = origin.isNoted ? origin.take(shard, store.cursor.address) : UNKNOWN;
    const replaces = REPLACING.has(event);
    const { gathered } = this.call.pubsub;
    const from = gathered.length;
    if (was === WAS_ABSENT || (replaces && origin.isNoted)) this.emit(NEW, db);
    const isOverwrite = was !== WAS_ABSENT && origin.isNoted && SETTING.has(event);
    if (isOverwrite) this.overwritten(was, db);
    const fromEvent = gathered.length;
    this.emit(event, db);
    if (replaces && was >= 0) this.overwritten(was, db);
    this.reorder(event, event === SADD ? from : fromEvent);
  }

  // ---- the order of two keys: Redis tells of the source of RENAME, MOVE and SMOVE first, the store of the target. That
  // a key is new comes before both, but for SMOVE ----

  /** What was gathered about the target, the list that it is in, and the command. */
  private targetFrom = 0;
  private targetEnd = 0;
  private list: Published[] = [];
  private command = -1;

  /** Moves what was gathered about the target behind the event at hand, which begins at `from`, if that is of the source. */
  private reorder(event: KeyEvent, from: number): void {
    const { pubsub, first, spec } = this.call;
    const { gathered } = pubsub;
    if (TARGETS.has(event) || (event === SADD && spec.name === "SMOVE")) {
      this.targetFrom = from;
      this.targetEnd = gathered.length;
      this.list = gathered;
      this.command = first;
    } else if (this.list === gathered && this.command === first && this.targetEnd <= from) {
      const target = gathered.splice(this.targetFrom, this.targetEnd - this.targetFrom);
      gathered.push(...target);
      this.targetEnd = gathered.length;
      this.targetFrom = this.targetEnd - target.length;
    }
  }

  private overwritten(was: number, db: number): void {
    this.emit(OVERWRITTEN, db);
    if (was >= 0 && was !== this.call.store.cursor.type) this.emit(TYPE_CHANGED, db);
  }

  private missed(keyspace: number): void {
    // Redis's OBJECT looks a key up without this event.
    if (this.isOn[MISSED] === 1 && !this.call.spec.name.startsWith("OBJECT"))
      this.emit(MISSED, this.call.keyspaces.databaseOf(keyspace));
  }

  /** Publishes an event of the selected key, if its class is on. */
  private emit(event: KeyEvent, db: number): void {
    const { pubsub, store } = this.call;
    if (this.isOn[event] === 0 || db < 0 || pubsub.channels.subscribed === 0) return;
    const { key } = store.cursor;
    const { bytes } = key;
    if (bytes > this.key.length) this.key = Buffer.alloc(bytes * 2);
    this.key.set(Buffer.from(key.words.buffer, key.words.byteOffset + key.at * 4, bytes));
    const name = this.names[event]!;
    if (this.toKeyspace) {
      const length = this.writeChannel("__keyspace@", db, this.key, bytes);
      pubsub.publishLater(this.channel, length, name, name.length);
    }
    if (this.toKeyevent) {
      const length = this.writeChannel("__keyevent@", db, name, name.length);
      pubsub.publishLater(this.channel, length, this.key, bytes);
    }
  }

  /** Writes the name of a channel into `channel`. Returns its length. */
  private writeChannel(prefix: string, db: number, rest: Buffer, restBytes: number): number {
    const most = prefix.length + 16 + restBytes;
    if (most > this.channel.length) this.channel = Buffer.alloc(most * 2);
    const at = this.channel.write(`${prefix}${db}__:`, 0, "latin1");
    rest.copy(this.channel, at, 0, restBytes);
    return at + restBytes;
  }
}
