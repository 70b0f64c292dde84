/**
 * Faults that are built into the server on purpose (FERRITE_CHECKS=1 FERRITE_MUTANT=<name>), to prove that the tests would
 * notice real ones. A server refuses to start with an unknown name.
 */
export interface Mutant {
  name: string;
  fault: string;
}

/** Faults of the shard lock that the linearizability test must notice, as a wrong history, a hang or a stopped process. */
export const LOCK_MUTANTS: readonly Mutant[] = [
  { name: "lock-skipped", fault: "a command runs without its shard lock" },
  { name: "released-early", fault: "the shard lock is released before the record is written" },
  { name: "lost-wakeup", fault: "a thread that slept takes the lock as 1: the other sleepers are not woken" },
  { name: "spin-gives-up", fault: "a thread that spun long enough goes on as if it had the lock" },
  { name: "unlocked-twice", fault: "a lock is freed twice, the second time when another may hold it" },
];

/** Faults of client-side caching that the check of caching clients must notice. */
export const INVALIDATION_MUTANTS: readonly Mutant[] = [
  { name: "invalidation-lost", fault: "an eighth of the invalidations is not sent" },
  { name: "invalidation-late", fault: "invalidations are sent milliseconds after their change" },
  { name: "invalidation-overtakes", fault: "invalidations leave before the replies that wait for the end of the turn" },
  {
    name: "mailbox-read-early",
    fault: "a worker reads its mailbox before it locks the keys of a tracking client only",
  },
];
