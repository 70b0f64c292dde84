/**
 * Long copies: COPY and RENAME of a large collection copy its trees in steps (continuation.ts). The source is pinned as it
 * was when the command began, and nobody sees the copy. Once the copy is whole, and if the source is still what was
 * pinned, the command puts the copy's root in place under the locks of both keys. Others therefore see all of the command
 * or nothing.
 *
 *   locked: pin, first step │ others │ step │ others │ ... │ step, same root? put in place, unpin
 *
 * A write to the source between two steps gives it another root, since the pin sees the old one: the copy begins anew.
 * From the second time on, clients' writes to the source wait until the copy is done (the dispatcher retries them);
 * otherwise the copy might never end. When even that does not help, the copy is made at once.
 */
import { assert } from "../base/assert.ts";
import { Status } from "../base/status.ts";
import { type CollectionCopy, Copying } from "../store/collection-copy.ts";
import { type Address, NO_ADDRESS } from "../store/segments.ts";
import { WRITE_FROZEN_AT, WRITE_FROZEN_HASH_AT } from "../store/shard.ts";
import type { Store } from "../store/store.ts";
import { NO_REF, type Ref } from "../structures/pages.ts";
import type { Call } from "./call.ts";
import type { Continuation } from "./continuation.ts";
import type { CommandSpec } from "./spec.ts";

/** What is not larger is copied at once: a tenth of a millisecond. */
const AT_ONCE_BYTES = 256 << 10;
/** A step ends after so many ms, looked at every so many blocks, and after so many blocks in any case. */
const STEP_MS = 0.3;
const LOOK_BLOCKS = 16;
const STEP_BLOCKS = 32;
/** Time for which a step waits until fresh memory was touched by the main thread, ms; and while writes wait for the copy. */
const TOUCH_MS = 10;
const TOUCH_STILL_MS = 4;
/** Times that a copy is begun; from which of them on writes to the source wait. */
const TRIES = 5;
const STILL_TRIES = 2;

/** What `copyAhead` says when the copy goes on in another turn. */
export const GOES_ON = 1;

export class LongCopy implements Continuation {
  /** The source: its shard, its root and the pin that holds it still. */
  shard = 0;
  root: Address = NO_ADDRESS;
  pin = -1;
  /** The copy, in this shard; null when it is to be made at once. */
  copy: CollectionCopy | null = null;
  target = 0;
  tries = 0;
  /** True while writes to the source wait. */
  isStill = false;
  /** Monotonic ms since when it has waited for memory that others touch first; 0 = it does not. */
  waitsSinceMs = 0;
  spentMs = 0;

  constructor(readonly spec: CommandSpec) {}

  get isResting(): boolean {
    return this.waitsSinceMs !== 0;
  }

  drop(store: Store): boolean {
    if (this.copy === null) return true;
    const { section } = store;
    section.beginSet(2);
    section.want(this.shard);
    section.want(this.target);
    return section.withinSet(() => {
      section.rearranges(this.shard);
      giveUp(store, this);
    });
  }
}

/** The copy that the command at work goes on with, null = it begins. */
function longCopyOf(call: Call): LongCopy | null {
  const { continuation } = call.session;
  return continuation instanceof LongCopy ? continuation : null;
}

/**
 * To be called between `take` and `put` of a transfer, with the destination selected and looked up. Returns 0 when `put`
 * may follow, with `copiedRoot`, and `endCopy` after it; GOES_ON when the command is to be retried; or Status.
 */
export function copyAhead(call: Call, moves: boolean): number {
  const { store, session } = call;
  let long = longCopyOf(call);
  if (long === null) {
    if (!call.transfer.copiesMore(AT_ONCE_BYTES, moves)) return 0;
    long = new LongCopy(call.spec);
    if (!begin(call, long)) return 0;
    session.continuation = long;
  }
  assert(long.spec === call.spec, "a long copy is gone on with by its own command");
  if (long.copy !== null && (!isSame(call, long) || long.target !== store.cursor.shard)) {
    giveUp(store, long);
    // Another value may be there by now, one that is not copied in steps.
    const isLarge = call.transfer.copiesMore(AT_ONCE_BYTES, moves);
    if (++long.tries < TRIES && isLarge) begin(call, long);
    if (long.copy !== null && long.tries >= STILL_TRIES) keepStill(call, long);
  }
  const { copy } = long;
  if (copy === null) return 0;
  return step(call, long, copy);
}

/** Root of the copy that `copyAhead` has finished, NO_REF when the value is to be copied or handed over at once. */
export function copiedRoot(call: Call): Ref {
  return longCopyOf(call)?.copy?.made ?? NO_REF;
}

/** The value taken was put, from the copy if there is one: the source is let go, for `removeSource` if that follows. */
export function endCopy(call: Call): void {
  const { store, session, statistics } = call;
  const long = longCopyOf(call);
  if (long === null) return;
  session.continuation = null;
  statistics.tookBefore(long.spentMs);
  if (long.copy === null) return;
  long.copy.made = NO_REF;
  letGo(store, long);
}

/** Pins the source and begins to copy it. Returns false when all pins of its shard are taken. */
function begin(call: Call, long: LongCopy): boolean {
  const { store } = call;
  long.pin = store.large.pin(call.transfer.header);
  if (long.pin < 0) return false;
  long.shard = call.transfer.shard;
  long.root = call.transfer.node;
  long.target = store.cursor.shard;
  long.copy = call.transfer.copyInSteps();
  return true;
}

function isSame(call: Call, long: LongCopy): boolean {
  return call.transfer.isTree && call.transfer.shard === long.shard && call.transfer.node === long.root;
}

function giveUp(store: Store, long: LongCopy): void {
  long.copy!.drop();
  long.copy = null;
  letGo(store, long);
}

/** Lets writes to the source, the first key, wait, unless they do for somebody else's sake. */
function keepStill(call: Call, long: LongCopy): void {
  const { store } = call;
  const header = store.headerOf(long.shard);
  if (store.c[header + WRITE_FROZEN_AT] !== 0) return;
  const key = store.newKey();
  key.load(call.bytes, call.argAt(1), call.argBytes(1));
  store.c[header + WRITE_FROZEN_AT] = 1;
  store.c[header + WRITE_FROZEN_HASH_AT] = key.hashB;
  long.isStill = true;
}

function letGo(store: Store, long: LongCopy): void {
  if (long.isStill) store.c[store.headerOf(long.shard) + WRITE_FROZEN_AT] = 0;
  long.isStill = false;
  store.large.unpin(long.shard, store.headerOf(long.shard), long.pin, store.nowSeconds);
}

/** Returns 0 when the copy is whole, GOES_ON, or Status. */
function step(call: Call, long: LongCopy, copy: CollectionCopy): number {
  const { clock, store } = call;
  const beganMs = clock.monotonicMs();
  if (copy.made === 0 && !store.pool.nextIsTouched) {
    if (long.waitsSinceMs === 0) long.waitsSinceMs = beganMs;
    if (beganMs - long.waitsSinceMs < (long.isStill ? TOUCH_STILL_MS : TOUCH_MS)) return GOES_ON;
  }
  long.waitsSinceMs = 0;
  for (let blocks = 0; ; blocks += LOOK_BLOCKS) {
    const state = copy.made !== 0 ? Copying.Done : copy.step(LOOK_BLOCKS);
    if (state === Copying.Done) return 0;
    if (state === Copying.NoRoom) return Status.Busy;
    if (blocks >= STEP_BLOCKS || !store.pool.nextIsTouched || clock.monotonicMs() - beganMs >= STEP_MS) break;
  }
  long.spentMs += clock.monotonicMs() - beganMs;
  return GOES_ON;
}
