/**
 * Lock: one word of shared memory.
 *
 *   0  free
 *   1  held
 *   2  held, and threads may be sleeping on it
 *
 * Invariants
 *   LOCK-L1  a thread that replaces 2 by 0 wakes one sleeper
 *   LOCK-L2  a thread that has slept takes the lock as 2: others may still be sleeping, and 1 would lose their wakeup
 *   LOCK-L3  a thread sleeps at most 1 ms at a time, and waits no longer than the bound it gave
 *
 * Source: Drepper, "Futexes are tricky", mutex 2, with a bounded wait. An uncontended pair costs about 4 ns.
 */
import { CHECKS } from "../base/assert.ts";

const FREE = 0;
const HELD = 1;
export const HELD_WITH_SLEEPERS = 2;

/** Spins before sleeping: about 3 us of Atomics.pause, which is longer than nearly every section. */
const SPINS = navigator.hardwareConcurrency > 1 ? 100 : 0;
export const SLEEP_MS = 1;

/**
 * Deliberate faults (FERRITE_CHECKS=1 FERRITE_MUTANT=name), which prove that the tests would notice a real one: each must
 * fail the linearizability check, or hang, or fail the check that it names. Never set in production. Without FERRITE_CHECKS the name is ignored.
 */
export const MUTANT = CHECKS ? (process.env.FERRITE_MUTANT ?? "") : "";
/**
 * Every mutant's name. "released-early" is implemented in dispatch/dispatcher.ts; those of invalidations, in
 * dispatch/tracking.ts, server/client.ts and server/invalidations.ts, must fail the check of caching clients.
 */
export const MUTANTS = [
  "",
  "lock-skipped",
  "lost-wakeup",
  "spin-gives-up",
  "unlocked-twice",
  "released-early",
  "invalidation-lost",
  "invalidation-late",
  "invalidation-overtakes",
  "mailbox-read-early",
];
const LOSES_SLEEPERS = MUTANT === "lost-wakeup";
const SKIPS_LOCK = MUTANT === "lock-skipped";
const GIVES_UP = MUTANT === "spin-gives-up";
const UNLOCKS_TWICE = MUTANT === "unlocked-twice";

/** Takes the lock if it is free. */
export function tryLock(words: Int32Array, at: number): boolean {
  if (SKIPS_LOCK) return true;
  return Atomics.compareExchange(words, at, FREE, HELD) === FREE;
}

/** How often this thread has slept for a lock, at most SLEEP_MS each time. */
export const waits = { sleeps: 0 };

/** Tries to take the lock for about 3 us. */
export function spinLock(words: Int32Array, at: number): boolean {
  for (let spin = 0; spin < SPINS; spin++) {
    Atomics.pause();
    if (Atomics.load(words, at) === FREE && Atomics.compareExchange(words, at, FREE, HELD) === FREE) return true;
  }
  return false;
}

/** Takes the lock, sleeping for about `boundMs` at most (LOCK-L3). Returns false when the lock stayed held. */
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
 * Takes the lock, waiting for about `boundMs` at most (LOCK-L3). Returns false when the lock stayed held: the caller then
 * releases the locks it holds and tries again later.
 */
export function lockWithin(words: Int32Array, at: number, boundMs: number): boolean {
  return tryLock(words, at) || spinLock(words, at) || sleepLock(words, at, boundMs);
}

/** Takes a leaf lock, however long it takes. Leaf locks are held for nanoseconds. */
export function lock(words: Int32Array, at: number): void {
  while (!lockWithin(words, at, 1000)) {
    // The holder of a leaf lock never waits. If the holder died, worker supervision stops the process.
  }
}

/** Releases a lock that this thread holds, and wakes one sleeper if there may be any (LOCK-L1). */
export function unlock(words: Int32Array, at: number): void {
  if (SKIPS_LOCK) return;
  if (Atomics.exchange(words, at, FREE) === HELD_WITH_SLEEPERS) Atomics.notify(words, at, 1);
  if (UNLOCKS_TWICE) unlockAgain(words, at);
}

/** Mutant: frees the lock a second time, when another thread may hold it. */
function unlockAgain(words: Int32Array, at: number): void {
  for (let i = 0; i < 50; i++) Atomics.pause();
  Atomics.store(words, at, FREE);
  Atomics.notify(words, at, 1);
}

/** Mutant of LOCK-L2: takes the lock as 1 after sleeping, without a time limit. */
function lockLosingSleepers(words: Int32Array, at: number): boolean {
  while (Atomics.compareExchange(words, at, FREE, HELD) !== FREE) {
    Atomics.compareExchange(words, at, HELD, HELD_WITH_SLEEPERS);
    Atomics.wait(words, at, HELD_WITH_SLEEPERS);
  }
  return true;
}
