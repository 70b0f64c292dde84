/**
 * Replies of many entries of a collection. A short reply is written at once. A long one is a walk: the command pins the
 * shard and ends, and the entries are read from the pin in steps, as the socket drains. So a long reply holds no lock, and
 * takes no memory for its entries.
 */
import { assert } from "../../base/assert.ts";
import { PinnedWalk, type Reply, WALK_STEP_BYTES } from "../../protocol/reply.ts";
import type { Collection } from "../../store/collection.ts";
import type { Collections } from "../../store/collections.ts";
import type { Call } from "../../dispatch/call.ts";

/** A reply of this many entries, or about this many bytes, is a walk. */
const STREAM_ENTRIES = 1000;
const STREAM_BYTES = 64 << 10;

/** True when a reply of `count` entries of the open value is long enough for a walk. */
export function isStreamed(value: Collection, count: number): boolean {
  return value.isTree && isLong(value, count);
}

/** True when a reply of `count` entries of the open collection has many entries, or many bytes by their mean size. */
export function isLong(value: Collection, count: number): boolean {
  return count >= STREAM_ENTRIES || bytesOf(value, count) >= STREAM_BYTES;
}

/** Approximate bytes of `count` entries of the open value. */
export function bytesOf(value: Collection, count: number): number {
  return Math.ceil((value.bytes / value.entries.count) * count);
}

/**
 * Replies `count` entries of `value`, which was opened by `find`, from rank `from` on, forward or backward. `emit` writes
 * the current entry of `value.entries`; the head of the reply was written before. It may be called after the command
 * has ended, with another value of the type: it must use nothing but its arguments.
 */
export function replyEntries<T extends Collection>(
  call: Call,
  reply: Reply,
  value: T,
  from: number,
  count: number,
  step: 1 | -1,
  emit: (reply: Reply, value: T) => void,
): void {
  const { entries } = value;
  if (count === 0) return;
  if (isStreamed(value, count)) {
    const { store } = call;
    const pin = store.large.pin(value.pages.shard);
    // All pins of the shard are taken, so the reply is written at once.
    if (pin >= 0) {
      const bytes = bytesOf(value, count);
      reply.walk(new EntriesWalk(call.collections, reply, value, pin, bytes, from, count, step, emit));
      return;
    }
  }
  entries.seekRank(from);
  let more = entries.normalize();
  for (let i = 0; i < count && more; i++) {
    emit(reply, value);
    entries.reposition();
    more = step > 0 ? entries.next() : entries.previous();
  }
}

class EntriesWalk<T extends Collection> extends PinnedWalk {
  private readonly reader: T;
  private left: number;

  constructor(
    private readonly collections: Collections,
    reply: Reply,
    value: T,
    pin: number,
    bytes: number,
    from: number,
    private readonly count: number,
    private readonly direction: 1 | -1,
    private readonly emit: (reply: Reply, value: T) => void,
  ) {
    super(value.pages.shard, pin, reply.protocol, bytes);
    this.bytes = bytes;
    this.left = count;
    this.reader = collections.acquireReader(value);
    this.reader.entries.seekRank(from);
    assert(this.reader.entries.normalize(), "a reply begins at an entry");
  }
  private readonly bytes: number;

  step(reply: Reply): boolean {
    const { reader, emit, direction } = this;
    const { entries } = reader;
    const until = reply.written + WALK_STEP_BYTES;
    for (;;) {
      entries.reposition();
      emit(reply, reader);
      if (--this.left === 0) return false;
      entries.reposition();
      assert(direction > 0 ? entries.next() : entries.previous(), "a reply has as many entries as its head says");
      if (reply.written < until) continue;
      this.pending = Math.ceil((this.bytes / this.count) * this.left);
      return true;
    }
  }

  close(): void {
    this.collections.releaseReader(this.reader);
  }
}
