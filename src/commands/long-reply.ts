/** Replies of many entries of a collection. */
import type { Reply } from "../protocol/reply.ts";
import type { Collection } from "../store/collection.ts";
import type { Call } from "./call.ts";

/**
 * Replies `count` entries of `value`, which was opened by `find`, from rank `from` on, forward or backward. `emit` writes
 * the entry that `value.entries` stands on; the head of the reply was written before.
 */
export function replyEntries<T extends Collection>(
  _call: Call,
  reply: Reply,
  value: T,
  from: number,
  count: number,
  step: 1 | -1,
  emit: (reply: Reply, value: T) => void,
): void {
  const { entries } = value;
  if (count === 0) return;
  entries.seekRank(from);
  let more = entries.settle();
  for (let i = 0; i < count && more; i++) {
    emit(reply, value);
    entries.standAgain();
    more = step > 0 ? entries.next() : entries.previous();
  }
}
