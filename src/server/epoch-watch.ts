/**
 * Epochs of all shards for monitoring: how much memory waits for readers, and whether one of them holds it back for long.
 * Reads the headers of the shards without their locks, so the figures are hints.
 */
import type { EpochFacts } from "../metrics/facts.ts";
import { oldestPin } from "../store/pins.ts";
import { NO_ADDRESS } from "../store/address.ts";
import type { Shard } from "../store/shard.ts";

/** Memory that waits for the same epoch for so long is held back by a reader that does not end, ms. */
const STALLED_MS = 60_000;

export class EpochWatch {
  /** Epoch of the oldest reader of each shard, and since when it has been the oldest while memory waited, ms. */
  private readonly oldest: Float64Array;
  private readonly sinceMs: Float64Array;

  constructor(private readonly shards: readonly Shard[]) {
    this.oldest = new Float64Array(shards.length);
    this.sinceMs = new Float64Array(shards.length);
  }

  /** The state at `nowMs` of a monotonic clock. Long waits are noticed between two calls. */
  read(nowMs: number): EpochFacts {
    const facts = { current: 0, pins: 0, oldestLag: 0, waitingShards: 0, waitingBytes: 0, stalledShards: 0 };
    for (const [n, shard] of this.shards.entries()) {
      const { epoch } = shard;
      const oldest = oldestPin(shard);
      facts.current = Math.max(facts.current, epoch);
      facts.pins += shard.pins;
      facts.oldestLag = Math.max(facts.oldestLag, epoch - oldest);
      if (!hasRetired(shard)) {
        this.oldest[n] = 0;
        continue;
      }
      facts.waitingShards++;
      facts.waitingBytes += shard.retiredUnits * 8;
      if (this.oldest[n] !== oldest) {
        this.oldest[n] = oldest;
        this.sinceMs[n] = nowMs;
      }
      if (nowMs - this.sinceMs[n]! >= STALLED_MS) facts.stalledShards++;
    }
    return facts;
  }
}

function hasRetired(shard: Shard): boolean {
  return shard.retiredHead !== NO_ADDRESS || shard.retiredValues !== NO_ADDRESS || shard.retiredBlocksHead !== 0;
}
