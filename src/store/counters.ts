/** Counters of one worker's store, published in the worker's cells once per turn. */
export class StoreCounters {
  expired = 0;
  /** Members of collections that expired. */
  expiredMembers = 0;
  evicted = 0;
  hits = 0;
  misses = 0;
  /**
   * Values freed in steps: those of flushed keyspaces, counted when their memory is freed, and collections that were trees,
   * counted when their key is removed.
   */
  lazyFreed = 0;
}
