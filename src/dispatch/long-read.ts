/**
 * Long reads: a command that reads every byte of a large value does so in steps (continuation.ts). The value is pinned when
 * the command begins, so the command does not see what other clients write meanwhile.
 */
import type { Address } from "../store/address.ts";
import { Encoding } from "../store/record.ts";
import type { Shard } from "../store/shard.ts";
import { assert } from "../base/assert.ts";
import type { PinnedRange } from "../protocol/reply.ts";
import { STRING_CHUNK_BYTES } from "../store/large.ts";
import type { Store } from "../store/store.ts";
import type { Call } from "./call.ts";
import type { Continuation } from "./continuation.ts";
import type { CommandSpec } from "./spec.ts";

/** Bytes that one step reads, which takes a quarter of a millisecond. */
export const STEP_BYTES = 2 << 20;

/** The state of a read between two steps. */
export class LongRead implements Continuation, PinnedRange {
  spentMs = 0;
  readonly isResting = false;

  /**
   * `position` is the next byte, and `end` follows the last one. `sum` is the command's result so far. The command computes
   * its reply from `last` and `length` at the end.
   */
  constructor(
    readonly spec: CommandSpec,
    readonly shard: Shard,
    readonly node: Address,
    readonly pin: number,
    public position: number,
    readonly end: number,
    public sum: number,
    readonly last: number,
    readonly length: number,
  ) {}

  drop(store: Store): boolean {
    return store.section.within(this.shard, () => {
      this.shard.rearranges();
      store.large.unpin(this.shard, this.pin, store.nowSeconds);
    });
  }
}

/** The read that the current command continues, null when it begins one. */
export function longReadOf(call: Call): LongRead | null {
  const { continuation } = call.session;
  return continuation instanceof LongRead ? continuation : null;
}

/**
 * Begins to read bytes `position` to `end` of the found string, if that takes more than one step. Returns null when it does
 * not, inside a transaction, or when all pins of the shard are in use. The command then reads the string in one step.
 */
export function beginLongRead(
  call: Call,
  position: number,
  end: number,
  sum: number,
  last: number,
  length: number,
): LongRead | null {
  const { store, session, spec } = call;
  if (store.section.isAtOnce) return null;
  if (end - position <= STEP_BYTES || store.cursor.encoding !== Encoding.Chunked) return null;
  const { shard, node } = store.cursor;
  const pin = store.large.pin(shard);
  if (pin < 0) return null;
  const read = new LongRead(spec, shard, node, pin, position, end, sum, last, length);
  session.continuation = read;
  return read;
}

/**
 * Runs one step of `read`. `visit` gets a piece of the value and the position of its first byte, and returns false to end
 * the read. Returns false while there is more, and the handler then returns Retry. At the end the pin is released.
 */
export function stepLongRead(
  call: Call,
  read: LongRead,
  visit: (bytes: Buffer, at: number, length: number, position: number, read: LongRead) => boolean,
): boolean {
  const { store, session, clock, statistics } = call;
  assert(read.spec === call.spec, "a long read is continued by its own command");
  const { large } = store;
  const beganMs = clock.monotonicMs();
  const until = Math.min(read.end, read.position + STEP_BYTES);
  let continues = true;
  while (continues && read.position < until) {
    const part = Math.min(read.end - read.position, STRING_CHUNK_BYTES - (read.position & (STRING_CHUNK_BYTES - 1)));
    const at = large.locateByte(read.shard, read.node, read.position);
    continues = visit(large.chunkBytes, at, part, read.position, read);
    read.position += part;
  }
  if (continues && read.position < read.end) {
    read.spentMs += clock.monotonicMs() - beganMs;
    return false;
  }
  statistics.tookBefore(read.spentMs);
  large.unpin(read.shard, read.pin, store.nowSeconds);
  session.continuation = null;
  return true;
}
