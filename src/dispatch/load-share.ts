/**
 * Load share: how several workers load one append-only file together. Each reads all commands, in order, and runs those of
 * one key whose shard it is home to. Any other command is run by worker 0 while the others wait in front of it.
 *
 *   words │ arrived of worker 0 │ 1 │ ... │ done │      numbers of such commands, counted from 1
 *
 * Invariants
 *   LOADSHARE-1  worker 0 runs command n of this kind when all workers have arrived at it, and no worker passes it before
 *   LOADSHARE-2  commands on one key run in the order of the file: they are all one worker's, or wait for each other by
 *                LOADSHARE-1
 */
import type { Store } from "../store/store.ts";
import type { Call } from "./call.ts";
import type { CommandSpec } from "./spec.ts";

/** What becomes of a command in this worker. */
export const Share = { Run: 0, Skip: 1, Wait: 2 } as const;
export type Share = (typeof Share)[keyof typeof Share];

/** Looks at another worker's word before this one sleeps: some tens of microseconds. */
const TRIES = 1000;
/** A worker that waits for the others sleeps so long before it ends its turn, ms: spinning would take the time that they need. */
const SLEEP_MS = 1;

/** Bytes of the words of `workers` workers. */
export function loadShareBytes(workers: number): number {
  return (workers + 1) * 4;
}

export class LoadShare {
  private readonly words: Int32Array;
  /** Number of the last command that all workers stop at. */
  private number = 0;
  /** Worker 0 runs command `number`. */
  private isRunning = false;
  private isRetried = false;
  /** Commands that this worker ran. */
  commands = 0;

  constructor(
    buffer: SharedArrayBuffer,
    private readonly worker: number,
    private readonly workers: number,
  ) {
    this.words = new Int32Array(buffer);
  }

  isHome(shard: number): boolean {
    return shard % this.workers === this.worker;
  }

  /** Decides about the command of `call`; `isOfOneKey`: argument 1 is its only key. */
  decide(spec: CommandSpec, call: Call, store: Store, isOfOneKey: boolean): Share {
    if (this.isRetried) {
      this.isRetried = false;
      return Share.Run;
    }
    if (this.isRunning) this.finish();
    if (spec.name === "SELECT") return Share.Run;
    if (isOfOneKey && call.key.load(call.bytes, call.argAt(1), call.argBytes(1))) {
      if (!this.isHome(store.shardOf(call.key.hashA).number)) return Share.Skip;
      this.commands++;
      return Share.Run;
    }
    return this.meet();
  }

  /** All workers stop here (LOADSHARE-1). */
  private meet(): Share {
    const { worker, workers } = this;
    const number = this.number + 1;
    this.publish(worker, number);
    if (worker !== 0) {
      if (!this.reaches(workers, number)) return Share.Wait;
      this.number = number;
      return Share.Skip;
    }
    for (let other = 1; other < workers; other++) if (!this.reaches(other, number)) return Share.Wait;
    this.number = number;
    this.isRunning = true;
    this.commands++;
    return Share.Run;
  }

  private publish(at: number, number: number): void {
    Atomics.store(this.words, at, number);
    Atomics.notify(this.words, at);
  }

  /** Waits a millisecond at most until word `at` is `number` or more. */
  private reaches(at: number, number: number): boolean {
    const { words } = this;
    let seen = 0;
    for (let n = 0; n < TRIES; n++) {
      seen = Atomics.load(words, at);
      if (seen >= number) return true;
      Atomics.pause();
    }
    Atomics.wait(words, at, seen, SLEEP_MS);
    return Atomics.load(words, at) >= number;
  }

  /** The command that was to run will run again. */
  retried(): void {
    this.isRetried = true;
  }

  /** The last command has ended. The other workers may pass it. */
  finish(): void {
    if (!this.isRunning) return;
    this.isRunning = false;
    this.publish(this.workers, this.number);
  }
}
