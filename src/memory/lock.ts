/**
 * The lock word: 0 free, 1 held, 2 held and somebody may sleep on it.
 *
 * Invariants
 *   L1  a free lock has no sleepers: whoever sets 0 over 2 wakes one
 *   L2  whoever has slept takes the lock as 2, since others may still sleep behind it (taking it as 1 loses them)
 *   L3  nobody sleeps longer than 1 ms at a time, nor waits longer than the bound it gives
 *
 * Source: Drepper, "Futexes are tricky", mutex 2, with a bounded wait. An uncontended pair costs about 4 ns.
 */
import { CHECKS } from "../base/assert.ts";

const FREE = 0;
const HELD = 1;
export const HELD_WITH_SLEEPERS = 2;

/** Spins before sleeping: about 3 us of Atomics.pause, longer than nearly every critical section. */
const SPINS = navigator.hardwareConcurrency > 1 ? 100 : 0;
export const SLEEP_MS = 1;

/**
 * Deliberate faults for the tests of the tests (FERRITE_CHECKS=1 FERRITE_MUTANT=name): each must be caught by the
 * linearizability check or as a hang. Never set in production; without FERRITE_CHECKS the name is ignored.
 */
export const MUTANT = CHECKS ? (process.env.FERRITE_MUTANT ?? "") : "";
/** The names there are; "released-early" stands in dispatch/dispatcher.ts. */
export const MUTANTS = ["", "lock-skipped", "lost-wakeup", "spin-gives-up", "unlocked-twice", "released-early"];
const LOSES_SLEEPERS = MUTANT === "lost-wakeup";
const SKIPS_LOCK = MUTANT === "lock-skipped";
const GIVES_UP = MUTANT === "spin-gives-up";
const UNLOCKS_TWICE = MUTANT === "unlocked-twice";

/** Takes the lock if it is free now. */
export function tryLock(words: Int32Array, at: number): boolean {
  if (SKIPS_LOCK) return true;
  return Atomics.compareExchange(words, at, FREE, HELD) === FREE;
}

/** Sleeps of this thread for locks, of SLEEP_MS each at most. */
export const waits = { sleeps: 0 };

/** Tries for about 3 us to take the lock. */
export function spinLock(words: Int32Array, at: number): boolean {
  for (let spin = 0; spin < SPINS; spin++) {
    Atomics.pause();
    if (Atomics.load(words, at) === FREE && Atomics.compareExchange(words, at, FREE, HELD) === FREE) return true;
  }
  return false;
}

/** Takes the lock, sleeping for it at most about `boundMs` (L3). Returns false when it was not to be had. */
export function sleepLock(words: Int32Array, at: number, boundMs: number): boolean {
  if (GIVES_UP) return true;
  if (LOSES_SLEEPERS) return lockLosingSleepers(words, at);
  for (let waited = 0; Atomics.exchange(words, at, HELD_WITH_SLEEPERS) !== FREE; waited += SLEEP_MS) {
    if (waited >= boundMs) return false;
    waits.sleeps++;
    Atomics.wait(words, at, HELD_WITH_SLEEPERS, SLEEP_MS);
  }
  return true;
}

/**
 * Takes the lock, waiting at most about `boundMs` (L3). Returns false when it was not to be had: the caller releases
 * what it holds and tries again later.
 */
export function lockWithin(words: Int32Array, at: number, boundMs: number): boolean {
  return tryLock(words, at) || spinLock(words, at) || sleepLock(words, at, boundMs);
}

/** For leaf locks, held for nanoseconds: waits until it has the lock. */
export function lock(words: Int32Array, at: number): void {
  while (!lockWithin(words, at, 1000)) {
    // A leaf lock is never held across anything that waits; a dead holder stops the process (worker supervision).
  }
}

/** Releases a lock this thread holds, waking one sleeper if there may be any (L1). */
export function unlock(words: Int32Array, at: number): void {
  if (SKIPS_LOCK) return;
  if (Atomics.exchange(words, at, FREE) === HELD_WITH_SLEEPERS) Atomics.notify(words, at, 1);
  if (UNLOCKS_TWICE) unlockAgain(words, at);
}

/** A mutant: frees the lock a second time, when somebody else may have it. */
function unlockAgain(words: Int32Array, at: number): void {
  for (let i = 0; i < 50; i++) Atomics.pause();
  Atomics.store(words, at, FREE);
  Atomics.notify(words, at, 1);
}

/** The mutant of L2: takes the lock as 1 after sleeping, without a time limit. */
function lockLosingSleepers(words: Int32Array, at: number): boolean {
  while (Atomics.compareExchange(words, at, FREE, HELD) !== FREE) {
    Atomics.compareExchange(words, at, HELD, HELD_WITH_SLEEPERS);
    Atomics.wait(words, at, HELD_WITH_SLEEPERS);
  }
  return true;
}
