/**
 * Garbage of shards: blocks of collections whose keys are gone, and pages that were kept for pins which are gone too. They
 * are given back in steps, by maintenance or by who needs the memory; see shard-pages.ts for where they wait.
 */
import type { LargeValues } from "./large.ts";
import { NO_ADDRESS } from "./segments.ts";
import type { Section } from "./section.ts";
import { GARBAGE_AT, RELEASES_AT } from "./shard.ts";
import type { ShardPages } from "./shard-pages.ts";

export class Garbage {
  /** Shard in which an evicted collection is still to be freed, -1 = none known. */
  shard = -1;

  constructor(
    private readonly c: Int32Array,
    private readonly section: Section,
    private readonly large: LargeValues,
    private readonly pages: ShardPages,
    private readonly shards: { readonly shards: number; headerOf(shard: number): number },
  ) {}

  /** Notes the shard of a key that was evicted, if it has left garbage. */
  note(shard: number): void {
    if (this.c[this.shards.headerOf(shard) + GARBAGE_AT] !== NO_ADDRESS) this.shard = shard;
  }

  /** Looks for a shard with garbage, into `shard`. Reads without locks: what it finds may be gone by the time it is locked. */
  find(): void {
    const { shards } = this.shards;
    this.shard = -1;
    for (let shard = 0; shard < shards && this.shard < 0; shard++) this.note(shard);
  }

  /** Frees up to `blocks` blocks in a shard whose lock the caller holds. Returns true when more is left. */
  empty(shard: number, blocks: number): boolean {
    const { c, pages } = this;
    const header = this.shards.headerOf(shard);
    const releases = c[header + RELEASES_AT] !== 0;
    if (!releases && c[header + GARBAGE_AT] === NO_ADDRESS) return false;
    this.section.rearranges(shard);
    pages.select(shard, header);
    if (releases) pages.release(this.large.oldestPin(header), blocks);
    else pages.empty(blocks);
    return c[header + RELEASES_AT] !== 0 || pages.hasGarbage;
  }
}
