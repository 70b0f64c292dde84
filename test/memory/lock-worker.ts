/** A thread of lock.test.ts: takes the lock `rounds` times and increments a counter with a plain read and write. */
import { lock, lockWithin, unlock } from "../../src/memory/lock.ts";

declare const self: Worker;

const LOCK = 0;
const COUNTER = 64;
const GO = 128;
const DONE = 160;

self.onmessage = (event: MessageEvent<{ buffer: SharedArrayBuffer; rounds: number; hold: number; bound: number }>) => {
  const { buffer, rounds, hold, bound } = event.data;
  const words = new Int32Array(buffer);
  Atomics.add(words, GO + 1, 1);
  Atomics.notify(words, GO + 1);
  Atomics.wait(words, GO, 0);
  let failed = 0;
  for (let i = 0; i < rounds; i++) {
    if (bound > 0) {
      while (!lockWithin(words, LOCK, bound)) failed++;
    } else {
      lock(words, LOCK);
    }
    const before = words[COUNTER]!;
    for (let pause = 0; pause < hold; pause++) Atomics.pause();
    words[COUNTER] = before + 1;
    unlock(words, LOCK);
  }
  Atomics.add(words, DONE, 1);
  Atomics.notify(words, DONE);
  self.postMessage({ failed });
};
