/**
 * Channels: how many clients of each worker subscribe to which channel, shard channel or pattern. All workers share the table.
 * A worker that publishes learns from it which workers to send to, and how many clients receive the message. Each worker
 * knows its own subscribers (dispatch/pubsub.ts).
 *
 *   stripe  │ lock │ channels │ shard channels │ version │ buckets │ blocks of buckets, 13 │       control block
 *   buckets │ first entry of each bucket │ block 0 has 64, each further one as many as all before it │   heap of the stripe
 *   entry   │ next of its bucket │ hash │ kind (2 bits), bytes of the name │ clients of worker 0 │ ... │ name │
 *
 * A channel's hash chooses one of CHANNEL_STRIPES stripes. The patterns have a stripe of their own, whose version lets a
 * worker retain a copy of all of them. The buckets of a stripe grow and shrink one at a time, as those of a shard's index.
 *
 * Invariants
 *   CHANNELS-1  an entry has a client of some worker
 *   CHANNELS-2  the stripe counts its entries by kind; SUBSCRIBED_AT those of all stripes but for shard channels
 *   CHANNELS-3  messages are sent to the workers under the lock of their channel's stripe, so all see one order of a channel
 *
 * Locking: the stripe's lock. It comes after the locks of shards; its holder takes only leaf locks, and one stripe at a time.
 */
import { assert } from "../base/assert.ts";
import { CHANNEL_STRIPES, type Control, STRIPE_WORDS, STRIPES, SUBSCRIBED_AT } from "../memory/control.ts";
import { lock, unlock } from "../memory/lock.ts";
import { NO_REF, type Ref } from "../structures/pages.ts";
import type { Key } from "./key.ts";
import { Shard } from "./shard.ts";
import type { ShardPages } from "./shard-pages.ts";
import type { Store } from "./store.ts";

export const ChannelKind = { Channel: 0, Shard: 1, Pattern: 2 } as const;
export type ChannelKind = (typeof ChannelKind)[keyof typeof ChannelKind];

// Words of a stripe.
const LOCK_AT = 0;
const COUNT_AT = 1; // one for each kind
const VERSION_AT = 4;
const BUCKETS_AT = 5;
const BLOCK_AT = 6;
const BLOCKS = 13;
assert(BLOCK_AT + BLOCKS <= STRIPE_WORDS, "the blocks of buckets end with the stripe");
const FIRST_BUCKETS = 64;
const BUCKETS_MAX = FIRST_BUCKETS << (BLOCKS - 1);
/** A stripe with fewer entries than this share of its buckets has one bucket less with each that is removed. */
const SPARSE = 4;

// Words of an entry.
const NEXT = 0;
const HASH = 1;
const NAME_INFO = 2;
const CLIENTS = 3;
const KIND_BITS = 2;
const KIND_MASK = 3;

/** An entry as `each` visits it. */
export interface ChannelEntry {
  readonly name: Buffer;
  /** Clients by worker, and in all. */
  readonly clients: Int32Array;
  readonly total: number;
}

/** Names of a kind that have subscribers. Read without a lock. */
export function channelCount({ i32, channelsAt }: Control, kind: ChannelKind): number {
  let total = 0;
  for (let n = 0; n < STRIPES; n++) total += Atomics.load(i32, channelsAt + n * STRIPE_WORDS + COUNT_AT + kind);
  return total;
}

export class Channels {
  /** Clients of the opened channel, by worker. */
  readonly clients: Int32Array;
  private readonly c: Int32Array;
  private readonly workers: number;
  private readonly shards: readonly Shard[];
  private readonly firstStripeAt: number;
  private readonly pages: ShardPages;
  private readonly key: Key;
  /** Word of the stripe whose lock is held, the kind that was asked for, and the entry found, NO_REF = none. */
  private stripe = -1;
  private kind: ChannelKind = ChannelKind.Channel;
  private entry: Ref = NO_REF;

  constructor(private readonly store: Store) {
    const { control } = store.arena;
    this.c = control.i32;
    this.workers = control.geometry.workers;
    this.clients = new Int32Array(this.workers);
    this.firstStripeAt = control.channelsAt;
    this.shards = Array.from({ length: STRIPES }, (_, n) => new Shard(control, store.shardCount + n));
    this.pages = store.newPages();
    this.key = store.newKey();
  }

  // ---- counts, without a lock ----

  /** Channels and patterns with subscribers. */
  get subscribed(): number {
    return Atomics.load(this.c, SUBSCRIBED_AT);
  }
  /** Names of this kind that have subscribers. */
  count(kind: ChannelKind): number {
    return channelCount(this.store.arena.control, kind);
  }
  /** Advanced by each change of the patterns and their numbers of clients. */
  get patternVersion(): number {
    return Atomics.load(this.c, this.stripeAt(CHANNEL_STRIPES) + VERSION_AT);
  }

  private stripeAt(n: number): number {
    return this.firstStripeAt + n * STRIPE_WORDS;
  }

  // ---- one channel ----

  /**
   * Locks the stripe of a channel or pattern, of at most KEY_BYTES_MAX bytes, until `close`, and looks it up. Returns its
   * number of clients, by worker in `clients`.
   */
  open(kind: ChannelKind, name: Uint8Array, at: number, bytes: number): number {
    const { key, clients } = this;
    const isLoaded = key.load(name, at, bytes);
    assert(isLoaded, "a channel's name is not longer than a key");
    const n = kind === ChannelKind.Pattern ? CHANNEL_STRIPES : key.hashA & (CHANNEL_STRIPES - 1);
    this.lockStripe(n);
    this.kind = kind;
    this.entry = this.find();
    if (this.entry === NO_REF) return clients.fill(0) && 0;
    const w = (this.pages.locate(this.entry) >> 2) + CLIENTS;
    let total = 0;
    for (let worker = 0; worker < this.workers; worker++) total += clients[worker] = this.pages.m[w + worker]!;
    return total;
  }

  /** True from `open` to `close`. */
  get isOpen(): boolean {
    return this.stripe >= 0;
  }

  close(): void {
    const { stripe } = this;
    this.stripe = -1;
    unlock(this.c, stripe + LOCK_AT);
  }

  private lockStripe(n: number): void {
    assert(this.stripe < 0, "one stripe is locked at a time");
    const stripe = this.stripeAt(n);
    lock(this.c, stripe + LOCK_AT);
    this.stripe = stripe;
    this.pages.select(this.shards[n]!);
  }

  /** Makes sure that `add` finds memory. Before `open`. Returns false when there is none now. */
  reserve(bytes: number): boolean {
    return this.pages.reserve(this.entryBytes(bytes));
  }

  /** One more client of this worker subscribes to the opened channel. */
  add(): void {
    if (this.entry === NO_REF) this.insert();
    const w = (this.pages.locate(this.entry) >> 2) + CLIENTS + this.store.worker;
    this.pages.m[w] = this.pages.m[w]! + 1;
    this.changed();
  }

  /** One client less. */
  remove(): void {
    assert(this.entry !== NO_REF, "a channel with a client has an entry (CHANNELS-1)");
    const { m } = this.pages;
    const w = (this.pages.locate(this.entry) >> 2) + CLIENTS;
    const { worker } = this.store;
    assert(m[w + worker]! > 0, "a client unsubscribes from what it subscribes to");
    m[w + worker] = m[w + worker]! - 1;
    let left = 0;
    for (let n = 0; n < this.workers; n++) left += m[w + n]!;
    if (left === 0) this.delete();
    this.changed();
  }

  private changed(): void {
    const at = this.stripe + VERSION_AT;
    if (this.kind === ChannelKind.Pattern) Atomics.store(this.c, at, (this.c[at]! + 1) | 0);
  }

  /** Counts an entry in or out. */
  private countEntry(change: 1 | -1): void {
    const at = this.stripe + COUNT_AT + this.kind;
    Atomics.store(this.c, at, this.c[at]! + change);
    if (this.kind !== ChannelKind.Shard) Atomics.add(this.c, SUBSCRIBED_AT, change);
  }

  // ---- all names of a kind ----

  /** Visits every name of a kind, while the lock of its stripe is held. */
  each(kind: ChannelKind, visit: (entry: ChannelEntry) => void): void {
    const isPattern = kind === ChannelKind.Pattern;
    const first = isPattern ? CHANNEL_STRIPES : 0;
    const end = isPattern ? STRIPES : CHANNEL_STRIPES;
    for (let n = first; n < end; n++) {
      this.lockStripe(n);
      try {
        this.eachOfStripe(kind, visit);
      } finally {
        this.close();
      }
    }
  }

  private eachOfStripe(kind: ChannelKind, visit: (entry: ChannelEntry) => void): void {
    const { pages } = this;
    for (let bucket = 0; bucket < this.buckets; bucket++) {
      for (let ref = this.firstOf(bucket), next: Ref = NO_REF; ref !== NO_REF; ref = next) {
        const w = pages.locate(ref) >> 2;
        next = pages.m[w + NEXT]!;
        const info = pages.m[w + NAME_INFO]!;
        if ((info & KIND_MASK) !== kind) continue;
        const clients = pages.m.slice(w + CLIENTS, w + CLIENTS + this.workers);
        const nameAt = (w + CLIENTS + this.workers) * 4;
        const name = Buffer.from(pages.b.subarray(nameAt, nameAt + (info >>> KIND_BITS)));
        visit({ name, clients, total: clients.reduce((sum, count) => sum + count, 0) });
      }
    }
  }

  // ---- entries ----

  private entryBytes(nameBytes: number): number {
    return (CLIENTS + this.workers) * 4 + ((nameBytes + 3) & ~3);
  }

  private find(): Ref {
    if (this.buckets === 0) return NO_REF;
    const { pages, key } = this;
    const info = (key.bytes << KIND_BITS) | this.kind;
    for (let ref = this.firstOf(this.bucketOf(key.hashB)), next: Ref = NO_REF; ref !== NO_REF; ref = next) {
      const w = pages.locate(ref) >> 2;
      const { m } = pages;
      if (m[w + HASH] === key.hashB && m[w + NAME_INFO] === info && this.hasName(m, w)) return ref;
      next = m[w + NEXT]!;
    }
    return NO_REF;
  }

  private hasName(m: Int32Array, w: number): boolean {
    const { key } = this;
    const nameAt = w + CLIENTS + this.workers;
    for (let i = 0; i << 2 < key.bytes; i++) if (m[nameAt + i] !== key.words[i]) return false;
    return true;
  }

  private insert(): void {
    const { pages, key } = this;
    if (this.buckets === 0) this.begin();
    const ref = pages.allocate(this.entryBytes(key.bytes));
    const bucket = this.bucketOf(key.hashB);
    const first = this.firstOf(bucket);
    const w = pages.locate(ref) >> 2;
    const { m } = pages;
    m[w + NEXT] = first;
    m[w + HASH] = key.hashB;
    m[w + NAME_INFO] = (key.bytes << KIND_BITS) | this.kind;
    m.fill(0, w + CLIENTS, w + CLIENTS + this.workers);
    const nameAt = w + CLIENTS + this.workers;
    for (let i = 0; i << 2 < key.bytes; i++) m[nameAt + i] = key.words[i]!;
    this.setFirst(bucket, ref);
    this.entry = ref;
    this.countEntry(1);
    if (this.entries > this.buckets && this.buckets < BUCKETS_MAX) this.split();
  }

  private delete(): void {
    const { pages, entry } = this;
    const w = pages.locate(entry) >> 2;
    const next = pages.m[w + NEXT]!;
    const bucket = this.bucketOf(pages.m[w + HASH]!);
    const nameBytes = pages.m[w + NAME_INFO]! >>> KIND_BITS;
    if (this.firstOf(bucket) === entry) {
      this.setFirst(bucket, next);
    } else {
      let before = this.firstOf(bucket);
      while (pages.wordOf(before, NEXT) !== entry) before = pages.wordOf(before, NEXT);
      this.setWord(before, NEXT, next);
    }
    pages.free(entry, this.entryBytes(nameBytes));
    this.entry = NO_REF;
    this.countEntry(-1);
    if (this.entries === 0) this.end();
    else if (this.entries * SPARSE < this.buckets && this.buckets > FIRST_BUCKETS) this.merge();
  }

  private setWord(ref: Ref, word: number, value: number): void {
    const w = this.pages.locate(ref) >> 2;
    this.pages.m[w + word] = value;
  }

  /** Entries of the stripe. */
  private get entries(): number {
    const at = this.stripe + COUNT_AT;
    return this.c[at]! + this.c[at + 1]! + this.c[at + 2]!;
  }

  // ---- buckets: linear hashing ----

  private get buckets(): number {
    return this.c[this.stripe + BUCKETS_AT]!;
  }
  private set buckets(count: number) {
    this.c[this.stripe + BUCKETS_AT] = count;
  }

  private bucketOf(hash: number): number {
    const { buckets } = this;
    const half = 1 << (31 - Math.clz32(buckets));
    const bucket = hash & (half * 2 - 1);
    return bucket < buckets ? bucket : bucket & (half - 1);
  }

  /** Word of a bucket, in `pages.m`. */
  private wordOfBucket(bucket: number): number {
    const block = blockOf(bucket);
    const ref = this.c[this.stripe + BLOCK_AT + block]!;
    return (this.pages.locate(ref) >> 2) + bucket - firstOfBlock(block);
  }
  private firstOf(bucket: number): Ref {
    const w = this.wordOfBucket(bucket);
    return this.pages.m[w]!;
  }
  private setFirst(bucket: number, ref: Ref): void {
    const w = this.wordOfBucket(bucket);
    this.pages.m[w] = ref;
  }

  private allocateBlock(block: number): void {
    const ref = this.pages.allocate(bucketsOf(block) * 4);
    const w = this.pages.locate(ref) >> 2;
    this.pages.m.fill(NO_REF, w, w + bucketsOf(block));
    this.c[this.stripe + BLOCK_AT + block] = ref;
  }
  private freeBlock(block: number): void {
    this.pages.free(this.c[this.stripe + BLOCK_AT + block]!, bucketsOf(block) * 4);
    this.c[this.stripe + BLOCK_AT + block] = NO_REF;
  }

  private begin(): void {
    this.allocateBlock(0);
    this.buckets = FIRST_BUCKETS;
  }
  private end(): void {
    for (let block = blockOf(this.buckets - 1); block >= 0; block--) this.freeBlock(block);
    this.buckets = 0;
  }

  /** Adds a bucket, which gets the entries of another that belong there now. */
  private split(): void {
    const { pages } = this;
    const added = this.buckets;
    if (firstOfBlock(blockOf(added)) === added) this.allocateBlock(blockOf(added));
    const source = partnerOf(added);
    let ref = this.firstOf(source);
    this.setFirst(source, NO_REF);
    this.setFirst(added, NO_REF);
    this.buckets = added + 1;
    while (ref !== NO_REF) {
      const next = pages.wordOf(ref, NEXT);
      const bucket = this.bucketOf(pages.wordOf(ref, HASH));
      this.setWord(ref, NEXT, this.firstOf(bucket));
      this.setFirst(bucket, ref);
      ref = next;
    }
  }

  /** Removes the last bucket. Its entries go to the one that it was split from. */
  private merge(): void {
    const { pages } = this;
    const removed = this.buckets - 1;
    const target = partnerOf(removed);
    for (let ref = this.firstOf(removed); ref !== NO_REF; ) {
      const next = pages.wordOf(ref, NEXT);
      this.setWord(ref, NEXT, this.firstOf(target));
      this.setFirst(target, ref);
      ref = next;
    }
    if (firstOfBlock(blockOf(removed)) === removed) this.freeBlock(blockOf(removed));
    this.buckets = removed;
  }

  /** Asserts the invariants of all stripes. Nobody else may be using them. */
  check(): void {
    let subscribed = 0;
    for (let n = 0; n < STRIPES; n++) {
      this.lockStripe(n);
      const counts = [0, 0, 0];
      for (let bucket = 0; bucket < this.buckets; bucket++) {
        for (let ref = this.firstOf(bucket); ref !== NO_REF; ref = this.pages.wordOf(ref, NEXT)) {
          const kind = this.pages.wordOf(ref, NAME_INFO) & KIND_MASK;
          counts[kind]!++;
          assert((kind === ChannelKind.Pattern) === (n === CHANNEL_STRIPES), "patterns have a stripe of their own");
          assert(this.bucketOf(this.pages.wordOf(ref, HASH)) === bucket, "an entry is in its bucket");
          let clients = 0;
          for (let worker = 0; worker < this.workers; worker++) clients += this.pages.wordOf(ref, CLIENTS + worker);
          assert(clients > 0, "an entry has a client (CHANNELS-1)");
        }
      }
      for (let kind = 0; kind < counts.length; kind++) {
        assert(this.c[this.stripe + COUNT_AT + kind] === counts[kind], "a stripe counts its entries (CHANNELS-2)");
        if (kind !== ChannelKind.Shard) subscribed += counts[kind]!;
      }
      this.store.heap.check(this.shards[n]!);
      this.close();
    }
    assert(subscribed === this.subscribed, "channels and patterns are counted (CHANNELS-2)");
  }
}

/** Block 0 has the first 64 buckets, each further one as many as all before it. */
function blockOf(bucket: number): number {
  return bucket < FIRST_BUCKETS ? 0 : 26 - Math.clz32(bucket);
}
function firstOfBlock(block: number): number {
  return block === 0 ? 0 : FIRST_BUCKETS << (block - 1);
}
function bucketsOf(block: number): number {
  return block === 0 ? FIRST_BUCKETS : FIRST_BUCKETS << (block - 1);
}
/** The bucket that `bucket` was split from. */
function partnerOf(bucket: number): number {
  return bucket - (1 << (31 - Math.clz32(bucket)));
}
