/** Counters of one worker, published to its cells once per turn. */
export class StoreCounters {
  expired = 0;
  /** Members of collections that expired. */
  expiredMembers = 0;
  evicted = 0;
  hits = 0;
  misses = 0;
  /**
   * Values freed in steps: those that went with their keyspace (FLUSHALL), counted when their memory is given back, and
   * collections that were trees, counted when their key goes.
   */
  lazyFreed = 0;
}
