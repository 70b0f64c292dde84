/**
 * Garbage of shards: blocks of deleted collections, and retired pages that no pin sees any more. They are freed in steps, by
 * maintenance or by a command that needs the memory; shard-pages.ts says where they wait.
 */
import { NO_ADDRESS } from "./address.ts";
import { oldestPin } from "./pins.ts";
import type { Shard } from "./shard.ts";
import type { ShardPages } from "./shard-pages.ts";

export class Garbage {
  /** Shard in which an evicted collection is still to be freed, null = none known. */
  shard: Shard | null = null;

  constructor(
    private readonly pages: ShardPages,
    private readonly shards: readonly Shard[],
  ) {}

  /** Notes the shard of a key that was evicted, if it has left garbage. */
  note(shard: Shard): void {
    if (shard.garbage !== NO_ADDRESS) this.shard = shard;
  }

  /** Looks for a shard with garbage, into `shard`. Reads without locks: the garbage may be gone when the shard is locked. */
  find(): void {
    this.shard = this.shards.find((shard) => shard.garbage !== NO_ADDRESS) ?? null;
  }

  /** Frees up to `blocks` blocks in a shard whose lock the caller holds. Returns true when more is left. */
  empty(shard: Shard, blocks: number): boolean {
    const { pages } = this;
    if (!shard.hasReleases && shard.garbage === NO_ADDRESS) return false;
    shard.rearranges();
    pages.select(shard);
    if (shard.hasReleases) pages.release(oldestPin(shard), blocks);
    else pages.empty(blocks);
    return shard.hasReleases || pages.hasGarbage;
  }
}
