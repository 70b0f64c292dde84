/** A full expire pass: removes every due key of all shards, not only of the worker's home shards. */
import type { Engine } from "./engine.ts";

/** Timer entries handled in one section. */
const PASS_STEP = 256;

/** Reads the clock again and visits each shard. A shard whose lock is not free is left to its home worker. */
export function expirePass(engine: Engine): void {
  engine.readClock();
  const { store } = engine;
  for (const shard of store.shards) {
    let isWhole = false;
    const step = (): void => {
      isWhole = store.wheel.turn(shard, store.nowMs, PASS_STEP, store.deadlines);
    };
    while (!isWhole && store.section.within(shard, step));
  }
}
