/**
 * Collections in DUMP and RESTORE payloads. The forms are in dump-entries.ts and, for streams, in dump-stream.ts.
 *
 * A reply begins with the length of the payload, so the entries are walked twice: first measured, then written. A long
 * payload is walked from a pin, as long replies are.
 */
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { RecordType } from "../../store/record.ts";
import { assert } from "../../base/assert.ts";
import { PinnedWalk, type Reply, WALK_STEP_BYTES } from "../../protocol/reply.ts";
import type { Collection } from "../../store/collection.ts";
import type { Collections } from "../../store/collections.ts";
import type { HashValue } from "../../store/hash-value.ts";
import { ListEncoding, type ListValue } from "../../store/list-value.ts";
import type { SetValue } from "../../store/set-value.ts";
import type { SortedSetValue } from "../../store/sorted-set-value.ts";
import { ADMITTED, type Store } from "../../store/store.ts";
import { KeyEvent } from "../../store/key-events.ts";
import type { StreamValue } from "../../store/stream-value.ts";
import type { TimedCollection } from "../../store/timed-collection.ts";
import { RdbKind, rdbItems } from "../../structures/rdb-collection.ts";
import { RDB_VERSION } from "../../structures/rdb-string.ts";
import { rdbStream } from "../../structures/rdb-stream.ts";
import type { Call } from "../../dispatch/call.ts";
import { type DeadlineForms, entriesPayloadOf } from "./dump-entries.ts";
import { fillStream, StreamPayload } from "./dump-stream.ts";
import { DumpSink, type Payload } from "./dump-payload.ts";
import { refuse } from "../../dispatch/refuse.ts";
import { Done, type Outcome } from "../../dispatch/spec.ts";

// ---- writing ----

/** Replies the DUMP payload of `value`, which was opened by `openFound`. */
export function dumpCollection(call: Call, reply: Reply, value: Collection): void {
  const { store, collections } = call;
  // A hash whose fields have all expired does not exist.
  if (value.type === RecordType.Hash && (value as HashValue).countDue() === value.entries.count) {
    return reply.nullBulk();
  }
  if (value.isTree && (value.entries.count >= STREAM_ENTRIES || value.wholeBytes >= WALK_STEP_BYTES)) {
    const pin = store.large.pin(value.pages.shard);
    // All pins of the shard are taken, so the payload is written at once.
    if (pin >= 0) return reply.walk(new PayloadWalk(collections, reply, value, pin, store.nowMs));
  }
  const payload = payloadOf(value, store.nowMs, RDB_VERSION, DUMP_KEEPS);
  const sink = new DumpSink();
  sink.reply = reply;
  while (payload.step(sink));
}
const STREAM_ENTRIES = 1000;

/** DUMP takes the forms of 7.0, but for a hash whose fields have deadlines: that is in the form of 7.4. */
const DUMP_KEEPS: DeadlineForms = { ofFields: true, ofMembers: false };

/** The payload of the open collection at `nowMs` in forms of RDB version `version`. */
export function payloadOf(value: Collection, nowMs: number, version: number, keeps: DeadlineForms): Payload {
  if (value.type === RecordType.Stream) return new StreamPayload(value as StreamValue, version > RDB_VERSION);
  return entriesPayloadOf(value, nowMs, keeps);
}

class PayloadWalk extends PinnedWalk {
  private readonly reader: Collection;
  private readonly payload: Payload;
  private readonly sink = new DumpSink();

  constructor(
    private readonly collections: Collections,
    reply: Reply,
    value: Collection,
    pin: number,
    nowMs: number,
  ) {
    super(value.pages.shard, pin, reply.protocol, value.wholeBytes);
    this.reader = collections.acquireReader(value);
    this.payload = payloadOf(this.reader, nowMs, RDB_VERSION, DUMP_KEEPS);
  }

  step(reply: Reply): boolean {
    const before = reply.written;
    this.sink.reply = reply;
    const more = this.payload.step(this.sink);
    this.pending = Math.max(0, this.pending - (reply.written - before));
    return more;
  }

  close(): void {
    this.collections.releaseReader(this.reader);
  }
}

// ---- reading ----

/** Most overhead of an entry, and of one with a deadline, bytes. */
const ENTRY_OVERHEAD = 64;
const TIMED_OVERHEAD = 128;

/** Fields or members in rdbItems. */
function membersRead(kind: RdbKind): number {
  return kind === RdbKind.Hash ? rdbItems.count / 2 : rdbItems.count;
}

/**
 * Sets the selected key to the collection that readCollection left in `rdbItems` or `rdbStream`, with a deadline (ms, 0 =
 * none), and replaces an existing key. Nothing changes when it is refused.
 */
export function restoreCollection(call: Call, reply: Reply, kind: RdbKind, deadlineMs: number): Outcome | void {
  const stored = restoreItems(call.store, call.collections, kind, deadlineMs);
  if (stored < 0) return refuse(call, reply, stored);
  if (stored > 0) return;
  reply.ok();
  return Done;
}

/**
 * As restoreCollection, for callers without a command. Returns 1; 0 when nothing was to be stored, since all fields of a
 * hash have expired; or Status with nothing changed, and the items still there.
 */
export function restoreItems(store: Store, collections: Collections, kind: RdbKind, deadlineMs: number): number {
  const fill = FILLS[kind];
  assert(fill !== undefined, "a collection that was read has a type");
  const overhead = rdbItems.isTimed ? TIMED_OVERHEAD : ENTRY_OVERHEAD;
  const bytes = kind === RdbKind.Stream ? rdbStream.room : rdbItems.bytes + rdbItems.count * overhead;
  const value = fill.open(collections);
  value.pages.select(store.cursor.shard);
  if (!value.pages.reserve(bytes)) return Status.Busy;
  if (store.find() !== NO_ADDRESS) store.remove(KeyEvent.Silent);
  // A collection whose members have all expired does not exist.
  if (rdbItems.isTimed && !rdbItems.hasLive(membersRead(kind), store.dueMs)) {
    rdbItems.clear();
    return 0;
  }
  const found = value.begin(0, true);
  if (found < 0) return found;
  fill.fill(value);
  value.finish();
  rdbItems.clear();
  rdbStream.clear();
  if (deadlineMs === 0) return 1;
  store.find();
  const status = store.setDeadline(deadlineMs, KeyEvent.Silent, ADMITTED);
  assert(status === 0, "an admitted command finds room");
  return 1;
}

/** Adds the items to a collection, between `begin` and `finish`. */
interface Fill {
  open(collections: Collections): Collection;
  fill(value: Collection): void;
}

/** Gives the member just added its deadline, ms; 0 = none. */
function giveDeadline(value: TimedCollection, source: Buffer, at: number, length: number, deadline: number): void {
  if (deadline === 0) return;
  const isThere = value.seek(source, at, length);
  assert(isThere, "a member that was added is there");
  value.setDeadline(source, at, length, deadline);
}

const FILLS: Partial<Record<RdbKind, Fill>> = {
  [RdbKind.Stream]: {
    open: (collections) => collections.stream(),
    fill: (value) => fillStream(value as StreamValue),
  },
  [RdbKind.List]: {
    open: (collections) => collections.list(),
    fill(value) {
      const list = value as ListValue;
      const items = rdbItems;
      list.create(items.bytes, ListEncoding.Listpack);
      list.convertBeforeGrowth(items.bytes, items.count);
      for (let i = 0; i < items.count; i++) list.push(items.sourceOf(i), items.atOf(i), items.lengthOf(i), false);
    },
  },
  [RdbKind.Set]: {
    open: (collections) => collections.set(),
    fill(value) {
      const set = value as SetValue;
      const items = rdbItems;
      set.create(items.bytes, set.firstEncoding(items.sourceOf(0), items.atOf(0), items.lengthOf(0)));
      for (let i = 0; i < items.count; i++) {
        const deadline = items.deadlineOf(i);
        if (deadline !== 0 && deadline <= set.store.dueMs) continue;
        const [source, at, length] = [items.sourceOf(i), items.atOf(i), items.lengthOf(i)];
        const isNew = set.add(source, at, length);
        assert(isNew, "no member comes twice (RDBCOLLECTION-F3)");
        giveDeadline(set, source, at, length, deadline);
      }
    },
  },
  [RdbKind.Hash]: {
    open: (collections) => collections.hash(),
    fill(value) {
      const hash = value as HashValue;
      const items = rdbItems;
      hash.create(items.bytes, hash.firstEncoding);
      for (let i = 0; i < items.count; i += 2) {
        const deadline = items.deadlineOf(i / 2);
        if (deadline !== 0 && deadline <= hash.store.dueMs) continue;
        const [source, at, length] = [items.sourceOf(i), items.atOf(i), items.lengthOf(i)];
        const [from, valueAt, valueLength] = [items.sourceOf(i + 1), items.atOf(i + 1), items.lengthOf(i + 1)];
        // Redis does not check the lengths in a listpack that it loads.
        if (items.isPacked) {
          hash.load(source, at, length, from, valueAt, valueLength, deadline);
          continue;
        }
        const isNew = hash.set(source, at, length, from, valueAt, valueLength, deadline);
        assert(isNew, "no field comes twice (RDBCOLLECTION-F3)");
      }
    },
  },
  [RdbKind.SortedSet]: {
    open: (collections) => collections.sortedSet(),
    fill(value) {
      const sorted = value as SortedSetValue;
      const items = rdbItems;
      sorted.create(items.bytes, sorted.encodingFor(items.count, items.longest));
      for (let i = 0; i < items.count; i++) {
        const deadline = items.deadlineOf(i);
        if (deadline !== 0 && deadline <= sorted.store.dueMs) continue;
        const source = items.sourceOf(i);
        const at = items.atOf(i);
        const length = items.lengthOf(i);
        const isThere = sorted.has(source, at, length);
        assert(!isThere, "no member comes twice (RDBCOLLECTION-F3)");
        sorted.add(source, at, length, items.scores[i]!);
        giveDeadline(sorted, source, at, length, deadline);
      }
      if (items.isPacked) sorted.restoreListpack();
    },
  },
};
