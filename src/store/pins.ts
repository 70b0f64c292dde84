/**
 * Pins and epochs of a shard. A pin is the right of a reader to see a value as it was at the pin's epoch, without the lock.
 *
 *   epoch of the shard │ 1 │ 2 │ 3 │ ...       a pin begins the next one if a page was made or retired in the newest one
 *   pin slots          │ 0 │ 2 │ 2 │ 0 │ ...   each holds the epoch of one live pin, 0 = the slot is free
 *
 * A page carries the epoch at which it was made, which is above that of every pin of that moment. A writer changes a page
 * in place if it is younger than the newest pin. Otherwise it copies the page, and the old one is retired: it waits until
 * no pin is as old as its retirement.
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

/** Epoch of the newest live pin, 0 when there is none. */
export function newestPin(shard: Shard): number {
  return shard.pins === 0 ? 0 : shard.epoch;
}

/** Epoch of a page that is made now: above every pin's. */
export function epochNow(shard: Shard): number {
  shard.isEpochUsed = true;
  return shard.epoch + 1;
}

/** Epoch of what is retired now: pins up to it may see it. */
export function retiredEpoch(shard: Shard): number {
  shard.isEpochUsed = true;
  return shard.epoch;
}
