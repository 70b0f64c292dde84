/**
 * Long copies: COPY and RENAME of a large collection copy its trees in steps (continuation.ts). The source is pinned when
 * the command begins, and no other client can reach the copy. When the copy is complete and the source still has the
 * pinned root, the command puts the copy's root in place under the locks of both keys. Other clients therefore see all of
 * the command or nothing.
 *
 *   locked: pin, first step │ others │ step │ others │ ... │ step, same root? put in place, unpin
 *
 * A write to the source between two steps gives it another root, because the pin holds the old one. The copy then begins
 * anew. From the second time on the source is write-frozen: the dispatcher retries clients' writes to it until the copy is
 * done, because the copy might never end otherwise. After TRIES attempts the copy is made in one step.
 */
import { Status } from "../base/status.ts";
import { type Address, NO_ADDRESS } from "../store/address.ts";
import type { Shard } from "../store/shard.ts";
import { NO_REF, type Ref } from "../structures/pages.ts";
import { assert } from "../base/assert.ts";
import { type CollectionCopy, Copying } from "../store/collection-copy.ts";
import type { Store } from "../store/store.ts";
import type { Call } from "./call.ts";
import type { Continuation } from "./continuation.ts";
import type { CommandSpec } from "./spec.ts";

/** Collections up to this size are copied in one step, which takes a tenth of a millisecond. */
const AT_ONCE_BYTES_MAX = 256 << 10;
/** A step ends after STEP_MS or STEP_BLOCKS blocks. The clock is read after every CLOCK_BLOCKS blocks. */
const STEP_MS = 0.3;
const CLOCK_BLOCKS = 16;
const STEP_BLOCKS = 32;
/**
 * Longest time that a step waits for the main thread to touch fresh memory, ms. A first touch is a page fault, which this
 * worker's clients would wait for. TOUCH_FROZEN_MS is the limit while the source is write-frozen.
 */
const TOUCH_MS = 10;
const TOUCH_FROZEN_MS = 4;
/** Times that a copy is begun, and after how many of them the source is write-frozen. */
const TRIES = 5;
const FREEZE_TRIES = 2;

/** Result of `copyAhead` when the copy continues in another turn. */
export const CONTINUES = 1;

export class LongCopy implements Continuation {
  /** The source: its shard, its root and the pin on its shard. */
  shard: Shard;
  root: Address = NO_ADDRESS;
  pin = -1;
  /** The copy so far, null when it is made in one step. */
  copy: CollectionCopy | null = null;
  /** Shard of the copy. */
  target: Shard;
  tries = 0;
  /** True while this copy has its source write-frozen. */
  freezesWrites = false;
  /** Monotonic ms at which it began to wait for touched memory, 0 = it does not wait. */
  waitsSinceMs = 0;
  spentMs = 0;

  constructor(
    readonly spec: CommandSpec,
    shard: Shard,
  ) {
    this.shard = shard;
    this.target = shard;
  }

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
      this.shard.rearranges();
      abandonCopy(store, this);
    });
  }
}

/** The copy that the current command continues, null when it begins one. */
function longCopyOf(call: Call): LongCopy | null {
  const { continuation } = call.session;
  return continuation instanceof LongCopy ? continuation : null;
}

/**
 * Runs one step of the copy. Call it between `take` and `put` of a transfer, with the destination selected and looked up.
 * Returns 0 when `put` (with `copiedRoot`) and then `endCopy` may follow, CONTINUES when the command must be retried, or
 * Status.
 */
export function copyAhead(call: Call, moves: boolean): number {
  const { store, session } = call;
  let long = longCopyOf(call);
  if (long === null) {
    if (store.section.isAtOnce || !call.transfer.mustCopyMoreThan(AT_ONCE_BYTES_MAX, moves)) return 0;
    long = new LongCopy(call.spec, call.transfer.shard);
    if (!begin(call, long)) return 0;
    session.continuation = long;
  }
  assert(long.spec === call.spec, "a long copy is continued by its own command");
  if (long.copy !== null && (!isSame(call, long) || long.target !== store.cursor.shard)) {
    abandonCopy(store, long);
    // The key may have another value by now, which need not be copied in steps.
    const isLarge = call.transfer.mustCopyMoreThan(AT_ONCE_BYTES_MAX, moves);
    if (++long.tries < TRIES && isLarge) begin(call, long);
    if (long.copy !== null && long.tries >= FREEZE_TRIES) freezeWrites(call, long);
  }
  const { copy } = long;
  if (copy === null) return 0;
  return step(call, long, copy);
}

/** Root of the copy that `copyAhead` has finished. NO_REF when `put` must copy or move the value itself. */
export function copiedRoot(call: Call): Ref {
  return longCopyOf(call)?.copy?.made ?? NO_REF;
}

/** Ends the copy after `put`. It releases the source, so that `removeSource` may follow. */
export function endCopy(call: Call): void {
  const { store, session, statistics } = call;
  const long = longCopyOf(call);
  if (long === null) return;
  session.continuation = null;
  statistics.tookBefore(long.spentMs);
  if (long.copy === null) return;
  long.copy.made = NO_REF;
  releaseSource(store, long);
}

/** Pins the source and begins to copy it. Returns false when all pins of its shard are in use. */
function begin(call: Call, long: LongCopy): boolean {
  const { store } = call;
  long.pin = store.large.pin(call.transfer.shard);
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

function abandonCopy(store: Store, long: LongCopy): void {
  long.copy!.drop();
  long.copy = null;
  releaseSource(store, long);
}

/** Write-freezes the source, which is the first key. A shard has one frozen key, so another copy's frozen key stays. */
function freezeWrites(call: Call, long: LongCopy): void {
  const { store } = call;
  if (long.shard.isWriteFrozen) return;
  const key = store.newKey();
  key.load(call.bytes, call.argAt(1), call.argBytes(1));
  long.shard.freezeWrites(key.hashB);
  long.freezesWrites = true;
}

function releaseSource(store: Store, long: LongCopy): void {
  if (long.freezesWrites) long.shard.thawWrites();
  long.freezesWrites = false;
  store.large.unpin(long.shard, long.pin, store.nowSeconds);
}

/** Returns 0 when the copy is complete, CONTINUES, or Status. */
function step(call: Call, long: LongCopy, copy: CollectionCopy): number {
  const { clock, store } = call;
  const beganMs = clock.monotonicMs();
  if (copy.made === 0 && !store.pool.nextIsResident) {
    if (long.waitsSinceMs === 0) long.waitsSinceMs = beganMs;
    if (beganMs - long.waitsSinceMs < (long.freezesWrites ? TOUCH_FROZEN_MS : TOUCH_MS)) return CONTINUES;
  }
  long.waitsSinceMs = 0;
  for (let blocks = 0; ; blocks += CLOCK_BLOCKS) {
    const state = copy.made !== 0 ? Copying.Done : copy.step(CLOCK_BLOCKS);
    if (state === Copying.Done) return 0;
    if (state === Copying.NoRoom) return Status.Busy;
    if (blocks >= STEP_BLOCKS || !store.pool.nextIsResident || clock.monotonicMs() - beganMs >= STEP_MS) break;
  }
  long.spentMs += clock.monotonicMs() - beganMs;
  return CONTINUES;
}
