/**
 * Long reads: a command that looks at every byte of a large value does so in steps (continuation.ts). The value is pinned
 * as it was when the command began: what others write meanwhile the command does not see.
 */
import { assert } from "../base/assert.ts";
import type { PinnedRange } from "../protocol/reply.ts";
import { STRING_CHUNK_BYTES } from "../store/large.ts";
import { Encoding } from "../store/record.ts";
import type { Address } from "../store/segments.ts";
import type { Store } from "../store/store.ts";
import type { Call } from "./call.ts";
import type { Continuation } from "./continuation.ts";
import type { CommandSpec } from "./spec.ts";

/** Bytes that one step looks at: a quarter of a millisecond. */
export const STEP_BYTES = 2 << 20;

/** How far a read has come. */
export class LongRead implements Continuation, PinnedRange {
  spentMs = 0;
  readonly isResting = false;

  /**
   * `position` is the next byte, `end` the one behind the last. `sum` is what the command knows so far; `last` and
   * `length` are what it replies from at the end.
   */
  constructor(
    readonly spec: CommandSpec,
    readonly shard: number,
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
      store.section.rearranges(this.shard);
      store.large.unpin(this.shard, store.headerOf(this.shard), this.pin, store.nowSeconds);
    });
  }
}

/** The read that the command at work goes on with, null = it begins. */
export function longReadOf(call: Call): LongRead | null {
  const { continuation } = call.session;
  return continuation instanceof LongRead ? continuation : null;
}

/**
 * Begins to read bytes `position` to `end` of the string found, if it is so long that this takes several steps. Returns
 * null when it is not, or all pins of its shard are taken: it is then read at once.
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
  if (end - position <= STEP_BYTES || store.cursor.encoding !== Encoding.Chunked) return null;
  const { shard, node } = store.cursor;
  const pin = store.large.pin(store.headerOf(shard));
  if (pin < 0) return null;
  const read = new LongRead(spec, shard, node, pin, position, end, sum, last, length);
  session.continuation = read;
  return read;
}

/**
 * One step of `read`. `look` is given a piece of the value and the number of its first byte, and returns false to end the
 * whole. Returns false while there is more: the handler then returns Retry. At the end the pin is given back.
 */
export function stepLongRead(
  call: Call,
  read: LongRead,
  look: (bytes: Buffer, at: number, length: number, position: number, read: LongRead) => boolean,
): boolean {
  const { store, session, clock, statistics } = call;
  assert(read.spec === call.spec, "a long read is gone on with by its own command");
  const { large } = store;
  const beganMs = clock.monotonicMs();
  const until = Math.min(read.end, read.position + STEP_BYTES);
  let goesOn = true;
  while (goesOn && read.position < until) {
    const part = Math.min(read.end - read.position, STRING_CHUNK_BYTES - (read.position & (STRING_CHUNK_BYTES - 1)));
    const at = large.locateByte(read.shard, read.node, read.position);
    goesOn = look(large.chunkBytes, at, part, read.position, read);
    read.position += part;
  }
  if (goesOn && read.position < read.end) {
    read.spentMs += clock.monotonicMs() - beganMs;
    return false;
  }
  statistics.tookBefore(read.spentMs);
  large.unpin(read.shard, store.headerOf(read.shard), read.pin, store.nowSeconds);
  session.continuation = null;
  return true;
}
