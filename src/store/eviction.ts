/**
 * Eviction: which keys go when memory is short. One per worker, over its store; approximate, by sampling.
 *
 * Keys are drawn at random, about `samples` for each one evicted, and the best seen so far wait in a pool, from which
 * the very best goes. There is a pool for the whole data set, and one for each shard:
 *
 *   evictOne   from any shard, drawn by its number of keys: used memory is above the limit
 *   makeRoom   from one shard, until its log has room for a record: all frames that the limit allows are out, and what
 *              one shard frees is of no use to another. Keys fall in shards by their hash, so each is a fair sample.
 *
 *   pool of 16 │ shard │ keyspace │ hash word B │ address │ access bits │ rank │     the higher the rank, the sooner it goes
 *
 * An entry is a hint: before its key goes it is looked up again, and dropped if it was accessed since. Policies that
 * want keys with a deadline draw until they meet some or, where those are rare, draw from the hints of the expiry wheel.
 * Locking: takes shard locks one at a time, and only if they are free; `makeRoom` as its caller says.
 */
import type { Key } from "./key.ts";
import { ACCESS_WORD, deadline, filedIn, hasDeadlineWords, keyAt, keyBytes } from "./record.ts";
import { type Address, NO_ADDRESS } from "./segments.ts";
import { BUCKETS, EXPIRES_COUNT, KEY_COUNT, WHEEL_TIMERS_AT } from "./shard.ts";
import { KeyEvent } from "./key-events.ts";
import type { Store } from "./store.ts";

/** What decides: nothing may go, chance, the last access, its frequency, the deadline. */
export const Rank = { None: 0, Random: 1, LeastRecent: 2, LeastFrequent: 3, NearestDeadline: 4 } as const;
export type Rank = (typeof Rank)[keyof typeof Rank];

export const Eviction = {
  /** No key that the policy allows to go is left. */
  Nothing: 0,
  Done: 1,
  /** None was found, or the locks were taken: worth another try. */
  Missed: 2,
} as const;
export type Eviction = (typeof Eviction)[keyof typeof Eviction];

const POOL = 16;
/** Entries looked at in one bucket's chain. */
const CHAIN = 32;
/** Buckets drawn for one eviction before it counts as missed. */
const DRAWS = 64;
/** With fewer than one key in this many having a deadline, hints of the wheel are drawn instead of keys. */
const RARE = 16;
/** Slots of a bucket that chance chooses from; an empty one is drawn again, so that every key is as likely. */
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
  private readonly stamps: Int32Array;
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
  private readonly chainStamps = new Int32Array(CHAIN);
  private readonly chainDeadlines = new Float64Array(CHAIN);

  constructor(private readonly store: Store) {
    this.key = store.newKey();
    const pools = store.shards + 1;
    this.shardsOf = new Int32Array(pools * POOL);
    this.keyspacesOf = new Int32Array(pools * POOL);
    this.hashes = new Int32Array(pools * POOL);
    this.addresses = new Int32Array(pools * POOL);
    this.stamps = new Int32Array(pools * POOL);
    this.ranks = new Float64Array(pools * POOL);
    this.counts = new Uint8Array(pools);
    this.active = new Int32Array(store.keyspaces);
    this.sums = new Float64Array(store.shards * store.keyspaces);
  }

  /** Sets what goes first. The pools begin anew: their ranks meant something else. */
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
    const all = store.shards;
    let looked = 0;
    for (let draw = 0; draw < DRAWS; draw++) {
      const shard = this.drawShard();
      if (shard < 0) return Eviction.Nothing;
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
      const shard = this.shardsOf[entry]!;
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
  makeRoom(shard: number, bytes: number): void {
    const { store } = this;
    const header = store.headerOf(shard);
    // One unit less: integers take less room than their text.
    const units = Math.ceil(bytes / UNIT_BYTES) - 1;
    if (store.log.hasRoom(header, units)) return;
    store.section.tryWithin(shard, () => {
      this.findActive();
      const enough = store.log.deadBytes + bytes * 2;
      for (let n = 0; n < FOR_ONE_RECORD && store.log.deadBytes < enough; n++) {
        if (store.log.hasRoom(header, units) || !this.evictIn(shard, header)) break;
      }
    });
  }

  /** Evicts one key of `shard`, whose lock the caller holds. Returns false when none was found. */
  private evictIn(shard: number, header: number): boolean {
    const { store } = this;
    let keys = 0;
    for (let i = 0; i < this.activeCount; i++) keys += this.keysIn(header, this.active[i]!);
    if (keys === 0) return false;
    let looked = 0;
    for (let draw = 0; draw < DRAWS && looked < this.samples; draw++) {
      let left = store.random.below(keys);
      let keyspace = 0;
      for (let i = 0; i < this.activeCount; i++) {
        keyspace = this.active[i]!;
        left -= this.keysIn(header, keyspace);
        if (left < 0) break;
      }
      if (this.rank === Rank.Random) return this.evictRandom(shard, keyspace);
      looked += this.look(shard, shard, keyspace, this.samples - looked);
    }
    for (let entry = this.best(shard); entry >= 0; entry = this.best(shard)) {
      const done = this.evictEntry(entry);
      this.drop(shard, entry);
      if (done) return true;
    }
    return false;
  }

  // ---- drawing ----

  /** Keys of a keyspace in a shard that may go. */
  private keysIn(header: number, keyspace: number): number {
    const { store } = this;
    if (store.isEmptying(keyspace)) return 0;
    return store.c[store.index.keyspaceAt(header, keyspace) + (this.volatileOnly ? EXPIRES_COUNT : KEY_COUNT)]!;
  }

  private findActive(): void {
    const { store } = this;
    if (this.activeAt === store.nowSeconds && this.activeCount > 0) return;
    this.activeAt = store.nowSeconds;
    this.activeCount = 0;
    for (let keyspace = 0; keyspace < store.keyspaces; keyspace++) {
      for (let shard = 0; shard < store.shards; shard++) {
        if (this.keysIn(store.headerOf(shard), keyspace) === 0) continue;
        this.active[this.activeCount++] = keyspace;
        break;
      }
    }
  }

  /** Draws a shard, and in `drawnKeyspace` a keyspace, by the keys that may go. Returns -1 when there is none. */
  private drawShard(): number {
    const { store, sums } = this;
    if (this.drawsLeft === 0) {
      this.activeCount = 0;
      this.findActive();
      let sum = 0;
      for (let shard = 0, at = 0; shard < store.shards; shard++) {
        const header = store.headerOf(shard);
        for (let i = 0; i < this.activeCount; i++, at++) {
          sum += this.keysIn(header, this.active[i]!);
          sums[at] = sum;
        }
      }
      if (sum === 0) return -1;
      // Few keys are counted often: they may soon be gone.
      this.drawsLeft = Math.min(COUNT_EVERY, Math.ceil(sum / 8));
      this.drawn = store.shards * this.activeCount;
    }
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
    return shard;
  }
  private drawn = 0;

  /** Evicts one key of the keyspace, each as likely. The caller holds the lock. */
  private evictRandom(shard: number, keyspace: number): boolean {
    const { store } = this;
    const header = store.headerOf(shard);
    const ks = store.index.keyspaceAt(header, keyspace);
    if (this.keysIn(header, keyspace) === 0) return false;
    if (this.deadlinesAreRare(ks)) return this.evictRandomHint(shard, header);
    for (let draw = 0; draw < DRAWS; draw++) {
      const bucket = store.random.below(store.c[ks + BUCKETS]!);
      const count = store.index.sample(shard, ks, bucket, this.chainHashes, this.chainAddresses);
      const chosen = store.random.below(Math.max(SLOTS_DRAWN, count));
      if (chosen >= count) continue;
      const address = this.chainAddresses[chosen]!;
      if (this.volatileOnly && this.deadlineAt(shard, address) === 0) continue;
      return this.evict(shard, keyspace, this.chainHashes[chosen]!, address);
    }
    return false;
  }

  private evictRandomHint(shard: number, header: number): boolean {
    for (let draw = 0; draw < DRAWS; draw++) {
      const address = this.drawHint(shard, header);
      if (address !== NO_ADDRESS) {
        const { pickedKeyspace, pickedHash } = this.store.wheel;
        return this.evict(shard, pickedKeyspace, pickedHash, address);
      }
    }
    return false;
  }

  /** True when a shard has records with a deadline. Read without the lock: nearly of this moment. */
  hasDeadlines(shard: number): boolean {
    const { store } = this;
    return store.c[store.headerOf(shard) + WHEEL_TIMERS_AT] !== 0;
  }

  /**
   * Of up to `draws` records with a deadline, drawn from a shard, the share that is due; 0 when none was drawn. The caller
   * holds the lock.
   */
  dueShare(shard: number, draws: number): number {
    const { store } = this;
    let drawn = 0;
    let due = 0;
    for (let draw = 0; draw < draws; draw++) {
      const address = this.drawHint(shard, store.headerOf(shard));
      if (address === NO_ADDRESS) continue;
      drawn++;
      if (this.deadlineAt(shard, address) <= store.nowMs) due++;
    }
    return drawn === 0 ? 0 : due / drawn;
  }

  private deadlinesAreRare(ks: number): boolean {
    const { c } = this.store;
    return this.volatileOnly && c[ks + EXPIRES_COUNT]! * RARE < c[ks + KEY_COUNT]!;
  }

  private deadlineAt(shard: number, address: Address): number {
    const w = this.store.segments.locate(shard, address);
    return deadline(this.store.segments.m, w);
  }

  /** Draws a hint of the wheel. Returns the address of a record with a deadline that it stands for, or NO_ADDRESS. */
  private drawHint(shard: number, header: number): Address {
    const { store } = this;
    const hints = store.c[header + WHEEL_TIMERS_AT]!;
    if (hints === 0 || !store.wheel.pick(shard, header, store.random.below(hints))) return NO_ADDRESS;
    const { pickedHash, pickedKeyspace, pickedIn } = store.wheel;
    const ks = store.index.keyspaceAt(header, pickedKeyspace);
    if (this.keysIn(header, pickedKeyspace) === 0) return NO_ADDRESS;
    const bucket = store.index.bucketOf(ks, pickedHash);
    const count = store.index.sample(shard, ks, bucket, this.chainHashes, this.chainAddresses);
    for (let i = 0; i < count; i++) {
      if (this.chainHashes[i] !== pickedHash) continue;
      const w = store.segments.locate(shard, this.chainAddresses[i]!);
      const { m } = store.segments;
      if (hasDeadlineWords(m, w) && deadline(m, w) !== 0 && filedIn(m, w) === pickedIn) return this.chainAddresses[i]!;
    }
    return NO_ADDRESS;
  }

  /** Looks at about `wanted` keys of a keyspace for a pool. The caller holds the lock. Returns how many it saw. */
  private look(pool: number, shard: number, keyspace: number, wanted: number): number {
    const { store, chainHashes, chainAddresses } = this;
    const header = store.headerOf(shard);
    const ks = store.index.keyspaceAt(header, keyspace);
    const buckets = store.c[ks + BUCKETS]!;
    if (buckets === 0) return 0;
    let looked = 0;
    if (this.deadlinesAreRare(ks)) {
      for (let draw = 0; draw < wanted * 2 && looked < wanted; draw++) {
        const address = this.drawHint(shard, header);
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
      // A round through the chain from any place on, as far as is wanted.
      const first = store.random.below(count);
      const some = this.volatileOnly ? count : Math.min(count, wanted - looked);
      this.read(shard, first, Math.min(some, count - first));
      this.read(shard, 0, Math.max(0, some - (count - first)));
      for (let n = 0, i = first; n < some; n++, i = i + 1 === count ? 0 : i + 1) {
        if (this.enter(pool, shard, keyspace, chainHashes[i]!, i)) looked++;
      }
      // A shard whose keys are few: what it has was seen.
      if (looked === 0 && !this.volatileOnly && draw > wanted) break;
    }
    return looked;
  }

  // ---- pools ----

  /** Reads what ranks records `from` .. of the chain: loads that wait for memory together, not one after another. */
  private read(shard: number, from: number, count: number): void {
    const { segments } = this.store;
    const { chainAddresses, chainStamps, chainDeadlines } = this;
    for (let i = from; i < from + count; i++) {
      const w = segments.locate(shard, chainAddresses[i]!);
      chainStamps[i] = segments.m[w + ACCESS_WORD]!;
    }
    if (!this.volatileOnly) return;
    for (let i = from; i < from + count; i++) {
      const w = segments.locate(shard, chainAddresses[i]!);
      chainDeadlines[i] = deadline(segments.m, w);
    }
  }

  /**
   * Enters record `i` of the chain, read before, into a pool if it ranks high enough. Returns false when the policy does
   * not allow it to go.
   */
  private enter(pool: number, shard: number, keyspace: number, hashB: number, i: number): boolean {
    const { store } = this;
    const address = this.chainAddresses[i]!;
    const stamp = this.chainStamps[i]!;
    let rank = 0;
    if (this.volatileOnly) {
      const due = this.chainDeadlines[i]!;
      if (due === 0) return false;
      rank = -due;
    }
    if (this.rank === Rank.LeastRecent) rank = store.access.idleSecondsOf(stamp);
    else if (this.rank === Rank.LeastFrequent) rank = 255 - store.access.frequencyOf(stamp);
    const first = pool * POOL;
    let entry = -1;
    let lowest = Infinity;
    for (let at = first; at < first + this.counts[pool]!; at++) {
      if (this.addresses[at] === address && this.shardsOf[at] === shard) {
        entry = at;
        break;
      }
      if (this.ranks[at]! < lowest) {
        lowest = this.ranks[at]!;
        entry = at;
      }
    }
    if (entry < 0 || this.addresses[entry] !== address || this.shardsOf[entry] !== shard) {
      if (this.counts[pool]! < POOL) entry = first + this.counts[pool]!++;
      else if (lowest >= rank) return true;
    }
    this.shardsOf[entry] = shard;
    this.keyspacesOf[entry] = keyspace;
    this.hashes[entry] = hashB;
    this.addresses[entry] = address;
    this.stamps[entry] = stamp;
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

  /** Takes an entry out of its pool: the last one moves into its place. */
  private drop(pool: number, entry: number): void {
    const last = pool * POOL + --this.counts[pool]!;
    this.shardsOf[entry] = this.shardsOf[last]!;
    this.keyspacesOf[entry] = this.keyspacesOf[last]!;
    this.hashes[entry] = this.hashes[last]!;
    this.addresses[entry] = this.addresses[last]!;
    this.stamps[entry] = this.stamps[last]!;
    this.ranks[entry] = this.ranks[last]!;
  }

  /** Evicts what an entry stands for, if it was not accessed since. The caller holds its shard's lock. */
  private evictEntry(entry: number): boolean {
    const { store } = this;
    const shard = this.shardsOf[entry]!;
    const keyspace = this.keyspacesOf[entry]!;
    const hashB = this.hashes[entry]!;
    const address = this.addresses[entry]!;
    const ks = store.index.keyspaceAt(store.headerOf(shard), keyspace);
    if (store.c[ks + BUCKETS] === 0 || !store.index.hasEntry(shard, ks, hashB, address)) return false;
    const w = store.segments.locate(shard, address);
    const { m } = store.segments;
    if (m[w + ACCESS_WORD] !== this.stamps[entry]) return false;
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
  private evict(shard: number, keyspace: number, hashB: number, address: Address): boolean {
    const { store, key } = this;
    const ks = store.index.keyspaceAt(store.headerOf(shard), keyspace);
    if (store.c[ks + KEY_COUNT] === 0 || store.isEmptying(keyspace)) return false;
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
