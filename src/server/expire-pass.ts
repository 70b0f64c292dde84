/** One full expire pass: every key that is due goes, in all shards, whoever is home to them. */
import type { Engine } from "./engine.ts";

/** Hints turned in one go under a shard's lock. */
const PASS_STEP = 256;

/** Reads the clock anew, then visits each shard. A shard whose lock is not free is left to its home worker. */
export function expirePass(engine: Engine): void {
  engine.readClock();
  const { store } = engine;
  for (let shard = 0; shard < store.shards; shard++) {
    let isWhole = false;
    const step = (): void => {
      isWhole = store.wheel.turn(shard, store.headerOf(shard), store.nowMs, PASS_STEP, store.deadlines);
    };
    while (!isWhole && store.section.within(shard, step));
  }
}
