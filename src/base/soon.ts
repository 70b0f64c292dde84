/**
 * What a thread does after its current events: `setImmediate`, counted. A loop that waits for events in a system call of its own
 * (server/transport/event-loop.ts) must know whether work is due, because nothing else tells.
 */
let due = 0;

/** Runs `work` after the current events. */
export function soon(work: () => void): void {
  due++;
  setImmediate(() => {
    due--;
    work();
  });
}

/** True while work waits that was given to `soon` in this thread. */
export function isWorkDue(): boolean {
  return due > 0;
}
