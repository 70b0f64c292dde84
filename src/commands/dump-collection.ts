/**
 * Collections in DUMP and RESTORE payloads. Written are the plain forms of RDB (structures/rdb-collection.ts), which
 * every Redis reads and gives the encoding of its own limits. Streams are dump-stream.ts's.
 *
 * A payload begins with its length and ends with a checksum of all of it, so the entries are walked twice: measured, then
 * written. A long one is walked from a pin, as long replies are.
 */
import { assert } from "../base/assert.ts";
import { PinnedWalk, type Reply, WALK_STEP_BYTES } from "../protocol/reply.ts";
import type { Collection } from "../store/collection.ts";
import type { Collections } from "../store/collections.ts";
import type { HashValue } from "../store/hash-value.ts";
import { ListEncoding, type ListValue } from "../store/list-value.ts";
import { RecordType } from "../store/record.ts";
import type { SetValue } from "../store/set-value.ts";
import type { SortedSetValue } from "../store/sorted-set-value.ts";
import { NO_ADDRESS } from "../store/segments.ts";
import { KeyEvent } from "../store/store.ts";
import type { StreamValue } from "../store/stream-value.ts";
import { Status } from "../base/status.ts";
import { RdbKind, RdbType, rdbItems } from "../structures/rdb-collection.ts";
import { rdbStream } from "../structures/rdb-stream.ts";
import { lengthBytes, writeLength } from "../structures/rdb-string.ts";
import type { Call } from "./call.ts";
import { fillStream, StreamPayload } from "./dump-stream.ts";
import { Payload } from "./payload.ts";
import { refuse } from "./refuse.ts";
import { Done, type Outcome } from "./spec.ts";

// ---- writing ----

/** How a type's entries are written. Both stand on the entry of `value.entries`, and may leave it. */
interface Form {
  type: number;
  /** Bytes that `write` will write. */
  measure(value: Collection): number;
  write(value: Collection, payload: Payload): void;
}

const FORMS: Partial<Record<RecordType, Form>> = {
  [RecordType.List]: {
    type: RdbType.List,
    measure(value) {
      const list = value as ListValue;
      list.openHere();
      return stringBytes(list.member.length);
    },
    write(value, payload) {
      const list = value as ListValue;
      list.openHere();
      payload.string(list.member);
    },
  },
  [RecordType.Set]: {
    type: RdbType.Set,
    measure(value) {
      const set = value as SetValue;
      set.openHere();
      return stringBytes(set.member.length);
    },
    write(value, payload) {
      const set = value as SetValue;
      set.openHere();
      payload.string(set.member);
    },
  },
  [RecordType.Hash]: {
    type: RdbType.Hash,
    measure(value) {
      const hash = value as HashValue;
      const valueBytes = stringBytes(hash.valueLength);
      hash.openField();
      return stringBytes(hash.field.length) + valueBytes;
    },
    write(value, payload) {
      const hash = value as HashValue;
      hash.openField();
      payload.string(hash.field);
      hash.entries.standAgain();
      hash.openValue();
      payload.string(hash.value);
    },
  },
  [RecordType.SortedSet]: {
    type: RdbType.SortedSet,
    measure(value) {
      const sorted = value as SortedSetValue;
      sorted.openHere();
      return stringBytes(sorted.member.length) + 8;
    },
    write(value, payload) {
      const sorted = value as SortedSetValue;
      sorted.openHere();
      payload.string(sorted.member);
      payload.double(sorted.score);
    },
  },
};

function stringBytes(length: number): number {
  return lengthBytes(length) + length;
}

/** Replies the DUMP payload of `value`, which was opened by `openFound`. */
export function dumpCollection(call: Call, reply: Reply, value: Collection): void {
  const { store, collections } = call;
  if (value.isTree && (value.entries.count >= STREAM_ENTRIES || value.wholeBytes >= WALK_STEP_BYTES)) {
    const pin = store.large.pin(store.headerOf(value.pages.shard));
    // With all pins of the shard taken, it is written at once.
    if (pin >= 0) return reply.walk(new PayloadWalk(collections, reply, value, pin));
  }
  const payload = payloadOf(value);
  while (payload.step(reply));
}
const STREAM_ENTRIES = 1000;

function payloadOf(value: Collection): Payload {
  const form = FORMS[value.type];
  return form === undefined ? new StreamPayload(value as StreamValue) : new EntriesPayload(value, form);
}

/** The payload of a collection whose entries are all there is to it. */
class EntriesPayload extends Payload {
  private left: number;
  private isMeasured = false;

  constructor(
    private readonly value: Collection,
    private readonly form: Form,
  ) {
    super();
    const { entries } = value;
    this.left = entries.count;
    this.bytes = 1 + lengthBytes(entries.count);
    this.rewind();
  }

  step(reply: Reply): boolean {
    const { value, form } = this;
    const { entries } = value;
    this.reply = reply;
    for (let done = 0; done < WALK_STEP_BYTES; ) {
      if (this.left === 0) {
        if (this.isMeasured) {
          this.end();
          return false;
        }
        this.isMeasured = true;
        this.begin();
      }
      entries.standAgain();
      const bytes = form.measure(value);
      done += bytes;
      if (this.isMeasured) {
        entries.standAgain();
        form.write(value, this);
      } else {
        this.bytes += bytes;
      }
      this.left--;
      if (this.left === 0) continue;
      entries.standAgain();
      const more = entries.next();
      assert(more, "a collection has as many entries as it counts");
    }
    return true;
  }

  private rewind(): void {
    const { entries } = this.value;
    entries.seekRank(0);
    const more = entries.settle();
    assert(more, "a collection has an entry");
  }

  /** All is measured: writes what stands before the first entry. */
  private begin(): void {
    const { value, form } = this;
    this.left = value.entries.count;
    this.head();
    const at = this.room(1 + 5);
    this.reply.bytes[at] = form.type;
    this.wrote(1 + writeLength(this.reply.bytes, at + 1, this.left));
    this.rewind();
  }
}

class PayloadWalk extends PinnedWalk {
  private readonly reader: Collection;
  private readonly payload: Payload;

  constructor(
    private readonly collections: Collections,
    reply: Reply,
    value: Collection,
    pin: number,
  ) {
    super(value.pages.shard, pin, reply.protocol, value.wholeBytes);
    this.reader = collections.takeReader(value);
    this.payload = payloadOf(this.reader);
  }

  step(reply: Reply): boolean {
    const before = reply.written;
    const more = this.payload.step(reply);
    this.pending = Math.max(0, this.pending - (reply.written - before));
    return more;
  }

  close(): void {
    this.collections.giveReader(this.reader);
  }
}

// ---- reading ----

/** What an entry takes beyond its bytes, at most, bytes. */
const ENTRY_OVERHEAD = 64;

/**
 * Makes the selected key the collection that readCollection left in `rdbItems`, with a deadline (ms, 0 = none); a key that
 * is there goes. Nothing changes when it is refused.
 */
export function restoreCollection(call: Call, reply: Reply, kind: RdbKind, deadlineMs: number): Outcome | void {
  const { store } = call;
  const fill = FILLS[kind];
  if (fill === undefined) {
    reply.error("ERR RESTORE does not know this type in this version");
    return Done;
  }
  const bytes = kind === RdbKind.Stream ? rdbStream.room : rdbItems.bytes + rdbItems.count * ENTRY_OVERHEAD;
  const value = fill.open(call.collections);
  value.pages.select(store.shard, store.header);
  if (!value.pages.admits(bytes)) return refuse(call, reply, Status.Busy);
  if (store.find() !== NO_ADDRESS) store.remove(KeyEvent.Deleted);
  const found = value.begin(bytes, true);
  if (found < 0) return refuse(call, reply, found);
  fill.fill(value);
  value.finish();
  rdbItems.clear();
  rdbStream.clear();
  if (deadlineMs === 0) return;
  store.find();
  store.pool.urgent = true;
  const status = store.setDeadline(deadlineMs);
  store.pool.urgent = false;
  assert(status === 0, "an admitted command finds room");
}

/** How the items become a collection, between `begin` and `finish`. */
interface Fill {
  open(collections: Collections): Collection;
  fill(value: Collection): void;
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
      list.beforeGrowth(items.bytes, items.count);
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
        const isNew = set.add(items.sourceOf(i), items.atOf(i), items.lengthOf(i));
        assert(isNew, "no member comes twice (F4)");
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
        const isNew = hash.set(
          items.sourceOf(i),
          items.atOf(i),
          items.lengthOf(i),
          items.sourceOf(i + 1),
          items.atOf(i + 1),
          items.lengthOf(i + 1),
          0,
        );
        assert(isNew, "no field comes twice (F4)");
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
        const source = items.sourceOf(i);
        const at = items.atOf(i);
        const length = items.lengthOf(i);
        const isThere = sorted.has(source, at, length);
        assert(!isThere, "no member comes twice (F4)");
        sorted.add(source, at, length, items.scores[i]!);
      }
    },
  },
};
