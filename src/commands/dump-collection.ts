/**
 * Collections in DUMP and RESTORE payloads. Written are the plain forms of RDB (structures/rdb-collection.ts), which
 * every Redis reads and gives the encoding of its own limits.
 *
 * A payload begins with its length and ends with a checksum of all of it, so the entries are walked twice: measured, then
 * written. A long one is walked from a pin, as long replies are.
 */
import { assert } from "../base/assert.ts";
import { crc64, updateCrc64 } from "../base/crc64.ts";
import { PinnedWalk, type Reply, WALK_STEP_BYTES } from "../protocol/reply.ts";
import type { Collection } from "../store/collection.ts";
import type { Collections } from "../store/collections.ts";
import type { Member } from "../store/members.ts";
import { RecordType } from "../store/record.ts";
import type { SetValue } from "../store/set-value.ts";
import { NO_ADDRESS } from "../store/segments.ts";
import { KeyEvent } from "../store/store.ts";
import { Status } from "../base/status.ts";
import { RdbKind, RdbType, rdbItems } from "../structures/rdb-collection.ts";
import { lengthBytes, RDB_VERSION, writeLength } from "../structures/rdb-string.ts";
import type { Call } from "./call.ts";
import { refuse } from "./refuse.ts";
import type { Outcome } from "./spec.ts";

// ---- writing ----

/** How a type's entries are written. Both stand on the entry of `value.entries`, and may leave it. */
interface Form {
  type: number;
  /** Bytes that `write` will write. */
  measure(value: Collection): number;
  write(value: Collection, payload: Payload): void;
}

const FORMS: Partial<Record<RecordType, Form>> = {
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
};

function stringBytes(length: number): number {
  return lengthBytes(length) + length;
}

/** Replies the DUMP payload of `value`, which was opened by `openFound`. */
export function dumpCollection(call: Call, reply: Reply, value: Collection): void {
  const form = FORMS[value.type];
  if (form === undefined) return reply.error("ERR DUMP does not know this type in this version");
  const { store, collections } = call;
  if (value.isTree && (value.entries.count >= STREAM_ENTRIES || value.bytes >= WALK_STEP_BYTES)) {
    const pin = store.large.pin(store.headerOf(value.pages.shard));
    // With all pins of the shard taken, it is written at once.
    if (pin >= 0) return reply.walk(new PayloadWalk(collections, reply, value, form, pin));
  }
  const payload = new Payload(value, form);
  while (payload.step(reply));
}
const STREAM_ENTRIES = 1000;

/** The payload of a collection, written in steps. */
class Payload {
  private crcLow = 0;
  private crcHigh = 0;
  private left: number;
  private bytes: number;
  private isMeasured = false;
  private reply!: Reply;

  constructor(
    private readonly value: Collection,
    private readonly form: Form,
  ) {
    const { entries } = value;
    this.left = entries.count;
    this.bytes = 1 + lengthBytes(entries.count);
    this.rewind();
  }

  /** Goes on for about WALK_STEP_BYTES. Returns false when it is done. */
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
    const { reply, value, form } = this;
    this.left = value.entries.count;
    reply.bulkHead(this.bytes + FOOTER_BYTES);
    const at = this.room(1 + 5);
    reply.bytes[at] = form.type;
    this.wrote(1 + writeLength(reply.bytes, at + 1, this.left));
    this.rewind();
  }

  private end(): void {
    const { reply } = this;
    let at = this.room(2);
    reply.bytes.writeUInt16LE(RDB_VERSION, at);
    this.wrote(2);
    at = this.room(8);
    reply.bytes.writeInt32LE(this.crcLow, at);
    reply.bytes.writeInt32LE(this.crcHigh, at + 4);
    reply.at += 8;
    reply.bulkEnd();
  }

  string(member: Member): void {
    const { bytes, at, length } = member;
    const to = this.room(5 + length);
    const head = writeLength(this.reply.bytes, to, length);
    (bytes as Buffer).copy(this.reply.bytes, to + head, at, at + length);
    this.wrote(head + length);
  }

  double(value: number): void {
    const at = this.room(8);
    this.reply.bytes.writeDoubleLE(value, at);
    this.wrote(8);
  }

  private room(bytes: number): number {
    this.reply.ensure(bytes);
    return this.reply.at;
  }
  private wrote(bytes: number): void {
    const { reply } = this;
    updateCrc64(this.crcLow, this.crcHigh, reply.bytes, reply.at, bytes);
    this.crcLow = crc64.lo;
    this.crcHigh = crc64.hi;
    reply.at += bytes;
  }
}
const FOOTER_BYTES = 10;

class PayloadWalk extends PinnedWalk {
  private readonly reader: Collection;
  private readonly payload: Payload;

  constructor(
    private readonly collections: Collections,
    reply: Reply,
    value: Collection,
    form: Form,
    pin: number,
  ) {
    super(value.pages.shard, pin, reply.protocol, value.bytes);
    this.reader = collections.takeReader(value);
    this.reader.openPinned(value.pages.shard, value.pages.header, value.root);
    this.reader.encoding = value.encoding;
    this.payload = new Payload(this.reader, form);
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
  const { store, collections } = call;
  if (kind !== RdbKind.Set) return reply.error("ERR RESTORE does not know this type in this version");
  const value = collections.set();
  const bytes = rdbItems.bytes + rdbItems.count * ENTRY_OVERHEAD;
  value.pages.select(store.shard, store.header);
  if (!value.pages.admits(bytes)) return refuse(call, reply, Status.Busy);
  if (store.find() !== NO_ADDRESS) store.remove(KeyEvent.Deleted);
  const found = value.begin(bytes, true);
  if (found < 0) return refuse(call, reply, found);
  fillSet(value);
  value.finish();
  rdbItems.clear();
  if (deadlineMs === 0) return;
  store.find();
  store.pool.urgent = true;
  const status = store.setDeadline(deadlineMs);
  store.pool.urgent = false;
  assert(status === 0, "an admitted command finds room");
}

function fillSet(set: SetValue): void {
  const items = rdbItems;
  set.create(items.bytes, set.firstEncoding(items.sourceOf(0), items.atOf(0), items.lengthOf(0)));
  for (let i = 0; i < items.count; i++) {
    const added = set.add(items.sourceOf(i), items.atOf(i), items.lengthOf(i));
    assert(added, "no member comes twice");
  }
}
