/**
 * Pins and epochs of a shard. A pin is the right of a reader to see a value as it was at the pin's epoch, without the lock.
 *
 *   time ───►       pin A     page X made     pin B, pin C     page X changed
 *   shard.epoch         1               1                2                  2
 *   written down     A: 1            X: 2       B: 2, C: 2        copy of X: 3, X retired at 2
 *
 *   pin slots   │ 0 │ 2 │ 2 │ 0 │ ...   each holds the epoch of one live pin, 0 = the slot is free
 *
 * A pin gets the shard's epoch, which it first raises if a page was made or retired since the pin before. A page gets the
 * epoch that the next pin will have, so it is above every pin's of that moment. A writer changes a page in place if the
 * page's epoch is above that of the newest pin. Otherwise it copies the page and retires the old one, which gets the
 * epoch of its retirement and is freed when every live pin has a higher one.
 *
 * Invariants
 *   PIN-1  a page with an epoch at or below a live pin's, which that pin can see, never changes
 *   PIN-2  the number of pins is the number of slots that are not 0
 * Locking: the holder of the shard lock.
 */
import { assert } from "../base/assert.ts";
import { Status } from "../base/status.ts";
import { PIN_SLOTS, type Shard, SNAPSHOT_PINS } from "./shard.ts";

/** Above all epochs: the oldest pin of a shard without pins. */
const NO_PIN_EPOCH = 0x7fffffff;

/** Pins the shard as it is now. Returns a pin slot, or Status.Busy when all of them are in use. */
export function takePin(shard: Shard): number {
  return takeOneOf(shard, PIN_SLOTS);
}
/** As takePin, also with the slots that clients cannot use up. */
export function takeSnapshotPin(shard: Shard): number {
  return takeOneOf(shard, PIN_SLOTS + SNAPSHOT_PINS);
}

function takeOneOf(shard: Shard, slots: number): number {
  for (let slot = 0; slot < slots; slot++) {
    if (shard.pinEpoch(slot) !== 0) continue;
    // Readers between two writes share an epoch: 2^31 of them last for as many writes, not reads.
    if (shard.isEpochUsed || shard.epoch === 0) {
      shard.epoch++;
      assert(shard.epoch > 0, "an epoch is positive");
      shard.isEpochUsed = false;
    }
    shard.setPinEpoch(slot, shard.epoch);
    shard.pins++;
    return slot;
  }
  return Status.Busy;
}

/** Ends a pin. The caller then frees what only this pin could see. */
export function dropPin(shard: Shard, slot: number): void {
  assert(shard.pinEpoch(slot) !== 0, "a pin is released once");
  shard.setPinEpoch(slot, 0);
  shard.pins--;
}

/** Epoch of the oldest live pin; above all epochs when there is none. */
export function oldestPin(shard: Shard): number {
  let oldest = NO_PIN_EPOCH;
  if (shard.pins === 0) return oldest;
  for (let slot = 0; slot < PIN_SLOTS + SNAPSHOT_PINS; slot++) {
    const epoch = shard.pinEpoch(slot);
    if (epoch !== 0 && epoch < oldest) oldest = epoch;
  }
  return oldest;
}

/** The highest epoch that a live pin may have, 0 when there is none. The newest pin of all may have ended already. */
export function newestPin(shard: Shard): number {
  return shard.pins === 0 ? 0 : shard.epoch;
}

/** Epoch of a page that is made now: above every pin's, and that of the next pin. */
export function epochNow(shard: Shard): number {
  shard.isEpochUsed = true;
  return shard.epoch + 1;
}

/** Epoch of what is retired now: pins with this epoch or a lower one may see it. */
export function retiredEpoch(shard: Shard): number {
  shard.isEpochUsed = true;
  return shard.epoch;
}
