/** A worker's disk tier: starts it where the configuration has one, and does its background work. */
import { realFiles } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import { TICK_MS } from "../tier/disk-tier.ts";
import type { Engine } from "./engine.ts";

/** `guard` runs what is called by timers and by the disk. */
export function startTier(engine: Engine, workers: number, log: Logger, guard: (work: () => void) => void): void {
  engine.startTier(realFiles, workers, {
    later: (work) => setImmediate(() => guard(work)),
    soon: (work) => setTimeout(() => guard(work), 1),
    warn: (text) => log.warn(text),
  });
  const { tier } = engine;
  if (tier !== null) setInterval(() => guard(() => tier.tick()), TICK_MS);
}
