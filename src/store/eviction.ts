/**
 * Eviction: which keys go when memory is short. One per worker, over its store. Approximate, by sampling.
 *
 * Keys are drawn at random, about `samples` for each one evicted. The best candidates wait in a pool, and the best of them
 * is evicted. There is a pool for the whole data set, and one for each shard:
 *
 *   evictOne   from any shard, drawn by its number of keys: used memory is above the limit
 *   makeRoom   from one shard, until its log has room for a record: all frames that the limit allows are allocated, and
 *              what one shard frees is of no use to another. The hash spreads keys over shards, so each is a fair sample
 *
 *   pool of 16 │ shard │ keyspace │ hash word B │ address │ access bits │ rank │     the higher the rank, the sooner it goes
 *
 * An entry is a hint: before its key is evicted it is looked up again, and dropped if it was accessed since. Policies for
 * keys with a deadline draw until they meet some or, where those are rare, draw timer entries from the expiry wheel.
 * Locking: takes shard locks one at a time, and only if they are free.
 */
import { type Address, NO_ADDRESS } from "./address.ts";
import { bucketCount, bucketOf, expiresCount, keyCount } from "./keyspace.ts";
import { accessWord, deadline, filedIn, hasDeadlineWords, keyAt, keyBytes } from "./record.ts";
import type { KeyspaceRef, Shard } from "./shard.ts";
import type { Key } from "./key.ts";
import { KeyEvent } from "./key-events.ts";
import type { Store } from "./store.ts";

/** What decides: nothing may go; chance; the last access; its frequency; the deadline. */
export const Rank = { None: 0, Random: 1, LeastRecent: 2, LeastFrequent: 3, NearestDeadline: 4 } as const;
export type Rank = (typeof Rank)[keyof typeof Rank];

export const Eviction = {
  /** No key that the policy allows to go is left. */
  Nothing: 0,
  Done: 1,
  /** None was found, or the locks were held: another try may succeed. */
  Missed: 2,
} as const;
export type Eviction = (typeof Eviction)[keyof typeof Eviction];

const POOL = 16;
/** Entries looked at in one bucket's chain. */
const CHAIN = 32;
/** Buckets drawn for one eviction before it counts as missed. */
const DRAWS = 64;
/** If fewer than one key in this many has a deadline, timer entries are drawn instead of keys. */
const RARE = 16;
/** Slots of a bucket that a random number chooses from. An empty one is drawn again, so that every key is as likely. */
const SLOTS_DRAWN = 16;
/** Draws of a shard between two counts of the keys. */
const COUNT_EVERY = 1024;
/** Keys evicted at most to make room for one record. */
const FOR_ONE_RECORD = 16;
const UNIT_BYTES = 8;
const NEVER = -Infinity;

export class Evictor {
  rank: Rank = Rank.None;
  /** Only keys with a deadline may go. */
  volatileOnly = false;
  /** Keys looked at for each one evicted (maxmemory-samples). */
  samples = 5;

  private readonly shardsOf: Int32Array;
  private readonly keyspacesOf: Int32Array;
  private readonly hashes: Int32Array;
  private readonly addresses: Int32Array;
  private readonly accesses: Int32Array;
  private readonly ranks: Float64Array;
  /** Entries in each pool: one per shard, and the last one for all. */
  private readonly counts: Uint8Array;
  /** Keyspaces that hold keys, found once a second. */
  private readonly active: Int32Array;
  private activeCount = 0;
  private activeAt = -1;
  /** Running sums of keys over shards and active keyspaces, to draw by. */
  private readonly sums: Float64Array;
  private drawsLeft = 0;
  private drawnKeyspace = 0;
  private readonly key: Key;
  private readonly chainHashes = new Int32Array(CHAIN);
  private readonly chainAddresses = new Int32Array(CHAIN);
  private readonly chainAccesses = new Int32Array(CHAIN);
  private readonly chainDeadlines = new Float64Array(CHAIN);

  constructor(private readonly store: Store) {
    this.key = store.newKey();
    const pools = store.shardCount + 1;
    this.shardsOf = new Int32Array(pools * POOL);
    this.keyspacesOf = new Int32Array(pools * POOL);
    this.hashes = new Int32Array(pools * POOL);
    this.addresses = new Int32Array(pools * POOL);
    this.accesses = new Int32Array(pools * POOL);
    this.ranks = new Float64Array(pools * POOL);
    this.counts = new Uint8Array(pools);
    this.active = new Int32Array(store.keyspaceCount);
    this.sums = new Float64Array(store.shardCount * store.keyspaceCount);
  }

  /** Sets what goes first. The pools are cleared: their ranks meant something else. */
  setPolicy(rank: Rank, volatileOnly: boolean, samples: number): void {
    this.samples = samples;
    if (rank === this.rank && volatileOnly === this.volatileOnly) return;
    this.rank = rank;
    this.volatileOnly = volatileOnly;
    this.counts.fill(0);
    this.drawsLeft = 0;
  }

  /** Evicts one key, of any shard. */
  evictOne(): Eviction {
    if (this.rank === Rank.None) return Eviction.Nothing;
    const { store } = this;
    const all = store.shardCount;
    let looked = 0;
    for (let draw = 0; draw < DRAWS; draw++) {
      const shard = this.drawShard();
      if (shard === null) return Eviction.Nothing;
      let done = false;
      const isFree = store.section.tryWithin(shard, () => {
        if (this.rank === Rank.Random) done = this.evictRandom(shard, this.drawnKeyspace);
        else looked += this.look(all, shard, this.drawnKeyspace, this.samples - looked);
      });
      if (!isFree) continue;
      if (done) return Eviction.Done;
      if (looked >= this.samples) break;
    }
    for (let entry = this.best(all); entry >= 0; entry = this.best(all)) {
      const shard = store.shards[this.shardsOf[entry]!]!;
      let done = false;
      const isFree = store.section.tryWithin(shard, () => {
        done = this.evictEntry(entry);
      });
      if (!isFree) return Eviction.Missed;
      this.drop(all, entry);
      if (done) return Eviction.Done;
    }
    this.drawsLeft = 0; // the counts may be old
    return Eviction.Missed;
  }

  /** Evicts keys of `shard` until its log has room for a record of `bytes`, if that helps. Takes the lock. */
  makeRoom(shard: Shard, bytes: number): void {
    const { store } = this;
    // One unit less: integers take less room than their text.
    const units = Math.ceil(bytes / UNIT_BYTES) - 1;
    if (store.log.hasRoom(shard, units)) return;
    store.section.tryWithin(shard, () => {
      this.findActive();
      const enough = store.log.deadBytes + bytes * 2;
      for (let n = 0; n < FOR_ONE_RECORD && store.log.deadBytes < enough; n++) {
        if (store.log.hasRoom(shard, units) || !this.evictIn(shard)) break;
      }
    });
  }

  /** Evicts one key of `shard`, whose lock the caller holds. Returns false when none was found. */
  private evictIn(shard: Shard): boolean {
    const { store } = this;
    let keys = 0;
    for (let i = 0; i < this.activeCount; i++) keys += this.keysIn(shard, this.active[i]!);
    if (keys === 0) return false;
    let looked = 0;
    for (let draw = 0; draw < DRAWS && looked < this.samples; draw++) {
      let left = store.random.below(keys);
      let keyspace = 0;
      for (let i = 0; i < this.activeCount; i++) {
        keyspace = this.active[i]!;
        left -= this.keysIn(shard, keyspace);
        if (left < 0) break;
      }
      if (this.rank === Rank.Random) return this.evictRandom(shard, keyspace);
      looked += this.look(shard.number, shard, keyspace, this.samples - looked);
    }
    for (let entry = this.best(shard.number); entry >= 0; entry = this.best(shard.number)) {
      const done = this.evictEntry(entry);
      this.drop(shard.number, entry);
      if (done) return true;
    }
    return false;
  }

  // ---- drawing ----

  /** Keys of a keyspace in a shard that may go. */
  private keysIn(shard: Shard, keyspace: number): number {
    if (this.store.isEmptying(keyspace) || this.store.keyspaces.isInternal(keyspace)) return 0;
    const ks = shard.keyspace(keyspace);
    return this.volatileOnly ? expiresCount(shard.c, ks) : keyCount(shard.c, ks);
  }

  private findActive(): void {
    const { store } = this;
    if (this.activeAt === store.nowSeconds && this.activeCount > 0) return;
    this.activeAt = store.nowSeconds;
    // The counts for the draws are by the keyspaces that were active when they were made.
    this.drawsLeft = 0;
    this.activeCount = 0;
    for (let keyspace = 0; keyspace < store.keyspaceCount; keyspace++) {
      if (store.shards.some((shard) => this.keysIn(shard, keyspace) !== 0)) this.active[this.activeCount++] = keyspace;
    }
  }

  /** Draws a shard, and in `drawnKeyspace` a keyspace, by the keys that may go. Returns null when there are none. */
  private drawShard(): Shard | null {
    const { store, sums } = this;
    if (this.drawsLeft === 0 && !this.countKeys()) return null;
    this.drawsLeft--;
    const wanted = store.random.fraction() * sums[this.drawn - 1]!;
    let low = 0;
    for (let high = this.drawn - 1; low < high; ) {
      const middle = (low + high) >>> 1;
      if (sums[middle]! > wanted) high = middle;
      else low = middle + 1;
    }
    const shard = Math.floor(low / this.activeCount);
    this.drawnKeyspace = this.active[low - shard * this.activeCount]!;
    return store.shards[shard]!;
  }

  /** Counts the keys that may go, for the next draws. Returns false when there are none. */
  private countKeys(): boolean {
    this.activeCount = 0;
    this.findActive();
    let sum = 0;
    let at = 0;
    for (const shard of this.store.shards) {
      for (let i = 0; i < this.activeCount; i++, at++) {
        sum += this.keysIn(shard, this.active[i]!);
        this.sums[at] = sum;
      }
    }
    if (sum === 0) return false;
    // Few keys are counted often: they may soon be gone.
    this.drawsLeft = Math.min(COUNT_EVERY, Math.ceil(sum / 8));
    this.drawn = at;
    return true;
  }
  private drawn = 0;

  /** Evicts one key of the keyspace, each as likely. The caller holds the lock. */
  private evictRandom(shard: Shard, keyspace: number): boolean {
    const { store } = this;
    const ks = shard.keyspace(keyspace);
    if (this.keysIn(shard, keyspace) === 0) return false;
    if (this.deadlinesAreRare(shard, ks)) return this.evictRandomEntry(shard);
    for (let draw = 0; draw < DRAWS; draw++) {
      const bucket = store.random.below(bucketCount(shard.c, ks));
      const count = store.index.sample(shard, ks, bucket, this.chainHashes, this.chainAddresses);
      const chosen = store.random.below(Math.max(SLOTS_DRAWN, count));
      if (chosen >= count) continue;
      const address = this.chainAddresses[chosen]! as Address;
      if (this.volatileOnly && this.deadlineAt(shard, address) === 0) continue;
      return this.evict(shard, keyspace, this.chainHashes[chosen]!, address);
    }
    return false;
  }

  private evictRandomEntry(shard: Shard): boolean {
    for (let draw = 0; draw < DRAWS; draw++) {
      const address = this.drawEntry(shard);
      if (address !== NO_ADDRESS) {
        const { pickedKeyspace, pickedHash } = this.store.wheel;
        return this.evict(shard, pickedKeyspace, pickedHash, address);
      }
    }
    return false;
  }

  /** True when a shard has records with a deadline. Read without the lock: nearly of this moment. */
  hasDeadlines(shard: Shard): boolean {
    return shard.timers !== 0;
  }

  /**
   * Of up to `draws` records with a deadline, drawn from a shard, the share that is due; 0 when none was drawn. The caller
   * holds the lock.
   */
  dueShare(shard: Shard, draws: number): number {
    const { store } = this;
    let drawn = 0;
    let due = 0;
    for (let draw = 0; draw < draws; draw++) {
      const address = this.drawEntry(shard);
      if (address === NO_ADDRESS) continue;
      drawn++;
      if (this.deadlineAt(shard, address) <= store.nowMs) due++;
    }
    return drawn === 0 ? 0 : due / drawn;
  }

  private deadlinesAreRare(shard: Shard, ks: KeyspaceRef): boolean {
    return this.volatileOnly && expiresCount(shard.c, ks) * RARE < keyCount(shard.c, ks);
  }

  private deadlineAt(shard: Shard, address: Address): number {
    const w = this.store.segments.locate(shard, address);
    return deadline(this.store.segments.m, w);
  }

  /** Draws a timer entry. Returns the address of the record with a deadline that it stands for, or NO_ADDRESS. */
  private drawEntry(shard: Shard): Address {
    const { store } = this;
    const entries = shard.timers;
    if (entries === 0 || !store.wheel.pick(shard, store.random.below(entries))) return NO_ADDRESS;
    const { pickedHash, pickedKeyspace, pickedIn } = store.wheel;
    const ks = shard.keyspace(pickedKeyspace);
    if (this.keysIn(shard, pickedKeyspace) === 0) return NO_ADDRESS;
    const bucket = bucketOf(shard.c, ks, pickedHash);
    const count = store.index.sample(shard, ks, bucket, this.chainHashes, this.chainAddresses);
    for (let i = 0; i < count; i++) {
      if (this.chainHashes[i] !== pickedHash) continue;
      const w = store.segments.locate(shard, this.chainAddresses[i]! as Address);
      const { m } = store.segments;
      if (hasDeadlineWords(m, w) && deadline(m, w) !== 0 && filedIn(m, w) === pickedIn)
        return this.chainAddresses[i]! as Address;
    }
    return NO_ADDRESS;
  }

  /** Looks at about `wanted` keys of a keyspace for a pool. The caller holds the lock. Returns how many it saw. */
  private look(pool: number, shard: Shard, keyspace: number, wanted: number): number {
    const { store, chainHashes, chainAddresses } = this;
    const ks = shard.keyspace(keyspace);
    const buckets = bucketCount(shard.c, ks);
    if (buckets === 0) return 0;
    let looked = 0;
    if (this.deadlinesAreRare(shard, ks)) {
      for (let draw = 0; draw < wanted * 2 && looked < wanted; draw++) {
        const address = this.drawEntry(shard);
        if (address === NO_ADDRESS) continue;
        chainAddresses[0] = address;
        this.read(shard, 0, 1);
        this.enter(pool, shard, store.wheel.pickedKeyspace, store.wheel.pickedHash, 0);
        looked++;
      }
      if (looked > 0) return looked;
    }
    for (let draw = 0; draw < DRAWS && looked < wanted; draw++) {
      const bucket = store.random.below(buckets);
      const count = store.index.sample(shard, ks, bucket, chainHashes, chainAddresses);
      if (count === 0) continue;
      // Round the chain from a random entry on, as far as is wanted.
      const first = store.random.below(count);
      const some = this.volatileOnly ? count : Math.min(count, wanted - looked);
      this.read(shard, first, Math.min(some, count - first));
      this.read(shard, 0, Math.max(0, some - (count - first)));
      for (let n = 0, i = first; n < some; n++, i = i + 1 === count ? 0 : i + 1) {
        if (this.enter(pool, shard, keyspace, chainHashes[i]!, i)) looked++;
      }
      // The shard has few keys, and all of them were seen.
      if (looked === 0 && !this.volatileOnly && draw > wanted) break;
    }
    return looked;
  }

  // ---- pools ----

  /** Reads what ranks `count` records of the chain, from `from` on, in one loop: their cache misses overlap. */
  private read(shard: Shard, from: number, count: number): void {
    const { segments } = this.store;
    const { chainAddresses, chainAccesses, chainDeadlines } = this;
    for (let i = from; i < from + count; i++) {
      const w = segments.locate(shard, chainAddresses[i]! as Address);
      chainAccesses[i] = accessWord(segments.m, w);
    }
    if (!this.volatileOnly) return;
    for (let i = from; i < from + count; i++) {
      const w = segments.locate(shard, chainAddresses[i]! as Address);
      chainDeadlines[i] = deadline(segments.m, w);
    }
  }

  /**
   * Enters record `i` of the chain, read before, into a pool if it ranks high enough. Returns false when the policy does
   * not allow it to go.
   */
  private enter(pool: number, shard: Shard, keyspace: number, hashB: number, i: number): boolean {
    const { store } = this;
    const address = this.chainAddresses[i]! as Address;
    const access = this.chainAccesses[i]!;
    let rank = 0;
    if (this.volatileOnly) {
      const due = this.chainDeadlines[i]!;
      if (due === 0) return false;
      rank = -due;
    }
    if (this.rank === Rank.LeastRecent) rank = store.access.idleSecondsOf(access);
    else if (this.rank === Rank.LeastFrequent) rank = 255 - store.access.frequencyOf(access);
    const first = pool * POOL;
    let entry = -1;
    let lowest = Infinity;
    for (let at = first; at < first + this.counts[pool]!; at++) {
      if (this.addresses[at] === address && this.shardsOf[at] === shard.number) {
        entry = at;
        break;
      }
      if (this.ranks[at]! < lowest) {
        lowest = this.ranks[at]!;
        entry = at;
      }
    }
    if (entry < 0 || this.addresses[entry] !== address || this.shardsOf[entry] !== shard.number) {
      if (this.counts[pool]! < POOL) entry = first + this.counts[pool]!++;
      else if (lowest >= rank) return true;
    }
    this.shardsOf[entry] = shard.number;
    this.keyspacesOf[entry] = keyspace;
    this.hashes[entry] = hashB;
    this.addresses[entry] = address;
    this.accesses[entry] = access;
    this.ranks[entry] = rank;
    return true;
  }

  /** The entry of a pool that goes first, -1 = the pool is empty. */
  private best(pool: number): number {
    const first = pool * POOL;
    let entry = -1;
    let highest = NEVER;
    for (let i = first; i < first + this.counts[pool]!; i++) {
      if (this.ranks[i]! <= highest) continue;
      highest = this.ranks[i]!;
      entry = i;
    }
    return entry;
  }

  /** Removes an entry from its pool: the last one moves into its place. */
  private drop(pool: number, entry: number): void {
    const last = pool * POOL + --this.counts[pool]!;
    this.shardsOf[entry] = this.shardsOf[last]!;
    this.keyspacesOf[entry] = this.keyspacesOf[last]!;
    this.hashes[entry] = this.hashes[last]!;
    this.addresses[entry] = this.addresses[last]!;
    this.accesses[entry] = this.accesses[last]!;
    this.ranks[entry] = this.ranks[last]!;
  }

  /** Evicts the record of an entry, if it was not accessed since. The caller holds its shard's lock. */
  private evictEntry(entry: number): boolean {
    const { store } = this;
    const shard = store.shards[this.shardsOf[entry]!]!;
    const keyspace = this.keyspacesOf[entry]!;
    const hashB = this.hashes[entry]!;
    const address = this.addresses[entry]! as Address;
    const ks = shard.keyspace(keyspace);
    if (bucketCount(shard.c, ks) === 0 || !store.index.hasEntry(shard, ks, hashB, address)) return false;
    const w = store.segments.locate(shard, address);
    const { m } = store.segments;
    if (accessWord(m, w) !== this.accesses[entry]) return false;
    if (this.volatileOnly) {
      const due = deadline(m, w);
      if (due === 0 || (this.rank === Rank.NearestDeadline && -due !== this.ranks[entry])) return false;
    }
    return this.evict(shard, keyspace, hashB, address);
  }

  /**
   * Evicts the record at `address` if it is still the one of a key with `hashB` in `keyspace`. The caller holds the
   * shard's lock; its selection is lost. Returns false when there is no such record any more.
   */
  private evict(shard: Shard, keyspace: number, hashB: number, address: Address): boolean {
    const { store, key } = this;
    const ks = shard.keyspace(keyspace);
    if (keyCount(shard.c, ks) === 0 || store.isEmptying(keyspace)) return false;
    if (!store.index.hasEntry(shard, ks, hashB, address)) return false;
    const w = store.segments.locate(shard, address);
    const { m } = store.segments;
    key.loadWords(m, keyAt(m, w), keyBytes(m, w));
    store.selectRecord(keyspace, key, address);
    store.removeUnasked(KeyEvent.Evicted);
    store.garbage.note(shard);
    return true;
  }
}
