/**
 * Tracked keys: which clients are to hear of the next change of a key (CLIENT TRACKING without BCAST). Per shard a table of
 * keys; per key the clients, by their slots in trackers.ts. As in Redis a key is a name: the database does not matter.
 *
 *   table       │ first tracked key of each bucket │                         2^n words, doubled when keys outnumber buckets
 *   tracked key │ next of its bucket │ hash │ bytes of the key │ block of items, 0 = inside │ logarithm of its places │
 *               │ items │ item │ item │ key ... │
 *   block       │ item │ item │ ...                                         2^n places, hashed by slot, open addressing
 *   item        │ slot + 1, 0 = free │ use of the slot │
 *
 * A change takes the key out with all its items. An item whose slot has another use by now is stale: its client has stopped
 * tracking. Stale items go when the block grows, or with their key.
 *
 * Invariants
 *   TRACKED-1  the shard counts its tracked keys and their items, and has INTEREST_TRACKED while there are any keys
 *   TRACKED-2  TRACKED_KEYS_AT of the control block is the sum over all shards, less what `claim` has claimed
 *   TRACKED-3  a tracked key has an item, and no two items with the same slot
 * Locking: the holder of the shard lock; the sum by Atomics.
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import { TRACKED_KEYS_AT } from "../memory/control.ts";
import { NO_REF, type Ref } from "../structures/pages.ts";
import type { Key } from "./key.ts";
import { INTEREST_TRACKED, type Shard } from "./shard.ts";
import type { ShardPages } from "./shard-pages.ts";
import type { Store } from "./store.ts";
import type { Trackers } from "./trackers.ts";

const KEY_NEXT = 0;
const KEY_HASH = 1;
const KEY_BYTES = 2;
const KEY_BLOCK = 3;
const KEY_BITS = 4;
const KEY_ITEMS = 5;
const KEY_INSIDE = 6;
const INSIDE = 2;
const KEY_WORDS = KEY_INSIDE + INSIDE * 2;

const FIRST_TABLE_BITS = 4;
const TABLE_BITS_MAX = 17;
const FIRST_BLOCK_BITS = 3;
const BLOCK_BITS_MAX = 16;
const ITEM_BYTES = 8;

/** What `add` did. NoRoom: there is no memory, or too many clients track the key. */
export const Tracked = { New: 0, Before: 1, NoRoom: 2 } as const;
export type Tracked = (typeof Tracked)[keyof typeof Tracked];

/** Is told of the clients of a key that is taken out. */
export interface TrackedSink {
  tracked(slot: number): void;
}

export class TrackedKeys {
  private readonly pages: ShardPages;
  private readonly c: Int32Array;

  constructor(
    store: Store,
    private readonly trackers: Trackers,
  ) {
    this.pages = store.newPages();
    this.c = store.arena.control.i32;
  }

  /** Tracked keys of all shards. */
  get total(): number {
    return Atomics.load(this.c, TRACKED_KEYS_AT);
  }

  /** Claims one of the keys beyond `most`: the caller then takes one out, or returns the claim. False: there are no more. */
  claim(most: number): boolean {
    for (let total = this.total; total > most; total = this.total) {
      if (Atomics.compareExchange(this.c, TRACKED_KEYS_AT, total, total - 1) === total) return true;
    }
    return false;
  }
  returnClaim(): void {
    Atomics.add(this.c, TRACKED_KEYS_AT, 1);
  }

  // ---- adding ----

  /** The client of `slot` is to hear of the next change of `key`, which lies in `shard`. */
  add(shard: Shard, key: Key, slot: number): Tracked {
    const { pages } = this;
    pages.select(shard);
    const found = this.find(shard, key);
    if (found !== NO_REF) return this.addItem(shard, found, slot);
    const bytes = (KEY_WORDS + wordsOf(key.bytes)) * 4;
    if (!pages.reserve(bytes + this.tableGrowth(shard))) return Tracked.NoRoom;
    shard.rearranges();
    this.growTable(shard);
    const made = pages.allocate(bytes);
    const w = pages.locate(made) >> 2;
    const { m } = pages;
    m[w + KEY_HASH] = key.hashB;
    m[w + KEY_BYTES] = key.bytes;
    m[w + KEY_BLOCK] = NO_REF;
    m[w + KEY_BITS] = 0;
    m[w + KEY_ITEMS] = 1;
    m[w + KEY_INSIDE] = slot + 1;
    m[w + KEY_INSIDE + 1] = this.trackers.useOf(slot);
    m[w + KEY_INSIDE + 2] = 0;
    m[w + KEY_INSIDE + 3] = 0;
    for (let i = 0; i < wordsOf(key.bytes); i++) m[w + KEY_WORDS + i] = key.words[key.at + i]!;
    this.link(shard, made, key.hashB);
    shard.trackedKeys++;
    shard.trackedItems++;
    shard.addInterest(INTEREST_TRACKED);
    Atomics.add(this.c, TRACKED_KEYS_AT, 1);
    return Tracked.New;
  }

  private addItem(shard: Shard, tracked: Ref, slot: number): Tracked {
    const { pages } = this;
    const use = this.trackers.useOf(slot);
    let w = this.placeOf(tracked, slot);
    if (w >= 0 && pages.m[w] === slot + 1) {
      const isLive = pages.m[w + 1] === use;
      if (!isLive) shard.rearranges();
      pages.m[w + 1] = use;
      return isLive ? Tracked.Before : Tracked.New;
    }
    if (w < 0 || this.isFull(tracked)) {
      if (!this.growBlock(shard, tracked)) return Tracked.NoRoom;
      w = this.placeOf(tracked, slot);
      assert(w >= 0, "a block that has grown has a free place");
    }
    shard.rearranges();
    pages.m[w] = slot + 1;
    pages.m[w + 1] = use;
    shard.trackedItems++;
    this.pages.setWord(tracked, KEY_ITEMS, this.pages.wordOf(tracked, KEY_ITEMS) + 1);
    return Tracked.New;
  }

  /** Word, in `pages.m`, of the item of `slot`, or of the free place where it belongs; -1 = there is none. */
  private placeOf(tracked: Ref, slot: number): number {
    const { pages } = this;
    const block = this.pages.wordOf(tracked, KEY_BLOCK);
    if (block === NO_REF) {
      const w = (pages.locate(tracked) >> 2) + KEY_INSIDE;
      for (let i = 0; i < INSIDE; i++) {
        const owner = pages.m[w + i * 2]!;
        if (owner === slot + 1 || owner === 0) return w + i * 2;
      }
      return -1;
    }
    const bits = this.pages.wordOf(tracked, KEY_BITS);
    return this.placeIn(block, bits, slot);
  }

  private placeIn(block: Ref, bits: number, slot: number): number {
    const { pages } = this;
    const w = pages.locate(block) >> 2;
    const mask = (1 << bits) - 1;
    let place = Math.imul(slot, 0x9e3779b1) >>> (32 - bits);
    for (let hops = 0; hops <= mask; hops++) {
      const owner = pages.m[w + place * 2]!;
      if (owner === slot + 1 || owner === 0) return w + place * 2;
      place = (place + 1) & mask;
    }
    return -1;
  }

  /** True when a block has no room for another item: above three quarters the searches get long. */
  private isFull(tracked: Ref): boolean {
    if (this.pages.wordOf(tracked, KEY_BLOCK) === NO_REF) return false;
    return (this.pages.wordOf(tracked, KEY_ITEMS) + 1) * 4 > (1 << this.pages.wordOf(tracked, KEY_BITS)) * 3;
  }

  /** Moves the items of a key into a new block, without stale ones. Returns false when there is no room. */
  private growBlock(shard: Shard, tracked: Ref): boolean {
    const { pages } = this;
    const before = this.pages.wordOf(tracked, KEY_BLOCK);
    const bitsBefore = this.pages.wordOf(tracked, KEY_BITS);
    const live: number[] = [];
    const all = this.pages.wordOf(tracked, KEY_ITEMS);
    this.visit(tracked, (slot) => live.push(slot));
    let bits = FIRST_BLOCK_BITS;
    while ((live.length + 1) * 2 > 1 << bits) bits++;
    if (bits > BLOCK_BITS_MAX || !pages.reserve(ITEM_BYTES << bits)) return false;
    shard.rearranges();
    const block = pages.allocate(ITEM_BYTES << bits);
    const w = pages.locate(block) >> 2;
    pages.m.fill(0, w, w + (2 << bits));
    for (const slot of live) {
      const at = this.placeIn(block, bits, slot);
      pages.m[at] = slot + 1;
      pages.m[at + 1] = this.trackers.useOf(slot);
    }
    this.pages.setWord(tracked, KEY_BLOCK, block);
    this.pages.setWord(tracked, KEY_BITS, bits);
    this.pages.setWord(tracked, KEY_ITEMS, live.length);
    shard.trackedItems += live.length - all;
    if (before !== NO_REF) pages.free(before, ITEM_BYTES << bitsBefore);
    return true;
  }

  // ---- taking out ----

  /** `key` has changed: takes it out, and tells of its clients. Returns false when nobody tracks it. */
  take(shard: Shard, key: Key, sink: TrackedSink): boolean {
    this.pages.select(shard);
    const tracked = this.find(shard, key);
    if (tracked === NO_REF) return false;
    this.remove(shard, tracked, sink);
    Atomics.sub(this.c, TRACKED_KEYS_AT, 1);
    return true;
  }

  /** Takes out some key of a shard that has one, for a claim. `random`: 0 to 1. Returns a copy of the key. */
  takeAny(shard: Shard, random: number, sink: TrackedSink): Buffer {
    const { pages } = this;
    pages.select(shard);
    const buckets = 1 << shard.trackedBits;
    let bucket = Math.floor(random * buckets);
    let tracked = this.firstOf(shard, bucket);
    for (let n = 1; tracked === NO_REF; n++) {
      assert(n < buckets, "a shard with tracked keys has one in a bucket (TRACKED-1)");
      bucket = (bucket + 1) & (buckets - 1);
      tracked = this.firstOf(shard, bucket);
    }
    const key = Buffer.allocUnsafeSlow(this.pages.wordOf(tracked, KEY_BYTES));
    copy(pages.b, pages.locate(tracked) + KEY_WORDS * 4, key, 0, key.length);
    this.remove(shard, tracked, sink);
    return key;
  }

  private remove(shard: Shard, tracked: Ref, sink: TrackedSink): void {
    const { pages } = this;
    shard.rearranges();
    this.visit(tracked, (slot) => sink.tracked(slot));
    shard.trackedItems -= this.pages.wordOf(tracked, KEY_ITEMS);
    this.unlink(shard, tracked);
    this.free(tracked);
    pages.select(shard);
    shard.trackedKeys--;
    if (shard.trackedKeys === 0) shard.removeInterest(INTEREST_TRACKED);
  }

  private free(tracked: Ref): void {
    const { pages } = this;
    const block = this.pages.wordOf(tracked, KEY_BLOCK);
    if (block !== NO_REF) pages.free(block, ITEM_BYTES << this.pages.wordOf(tracked, KEY_BITS));
    pages.free(tracked, (KEY_WORDS + wordsOf(this.pages.wordOf(tracked, KEY_BYTES))) * 4);
  }

  /** Takes out all keys of a shard, and its table. Tells nobody. */
  clear(shard: Shard): void {
    if (shard.trackedTable === NO_REF) return;
    const { pages } = this;
    pages.select(shard);
    shard.rearranges();
    for (let bucket = 0; bucket < 1 << shard.trackedBits; bucket++) {
      for (let tracked = this.firstOf(shard, bucket), next: Ref = NO_REF; tracked !== NO_REF; tracked = next) {
        next = this.pages.wordOf(tracked, KEY_NEXT);
        this.free(tracked);
      }
    }
    pages.free(shard.trackedTable, 4 << shard.trackedBits);
    Atomics.sub(this.c, TRACKED_KEYS_AT, shard.trackedKeys);
    shard.trackedTable = NO_REF;
    shard.trackedBits = shard.trackedKeys = shard.trackedItems = 0;
    shard.removeInterest(INTEREST_TRACKED);
  }

  /** Visits the slots of a key whose clients still track. */
  private visit(tracked: Ref, visit: (slot: number) => void): void {
    const { pages, trackers } = this;
    const block = this.pages.wordOf(tracked, KEY_BLOCK);
    const places = block === NO_REF ? INSIDE : 1 << this.pages.wordOf(tracked, KEY_BITS);
    const w = block === NO_REF ? (pages.locate(tracked) >> 2) + KEY_INSIDE : pages.locate(block) >> 2;
    const { m } = pages;
    for (let i = 0; i < places; i++) {
      const owner = m[w + i * 2]!;
      if (owner !== 0 && trackers.isLive(owner - 1, m[w + i * 2 + 1]!)) visit(owner - 1);
    }
  }

  // ---- the table ----

  private find(shard: Shard, key: Key): Ref {
    if (shard.trackedTable === NO_REF) return NO_REF;
    let tracked = this.firstOf(shard, key.hashB & ((1 << shard.trackedBits) - 1));
    while (tracked !== NO_REF && !this.isOf(tracked, key)) tracked = this.pages.wordOf(tracked, KEY_NEXT);
    return tracked;
  }

  private isOf(tracked: Ref, key: Key): boolean {
    const w = this.pages.locate(tracked) >> 2;
    const { m } = this.pages;
    if (m[w + KEY_HASH] !== key.hashB || m[w + KEY_BYTES] !== key.bytes) return false;
    for (let i = 0; i < wordsOf(key.bytes); i++) if (m[w + KEY_WORDS + i] !== key.words[key.at + i]) return false;
    return true;
  }

  private firstOf(shard: Shard, bucket: number): Ref {
    return this.pages.wordOf(shard.trackedTable, bucket);
  }

  private link(shard: Shard, tracked: Ref, hash: number): void {
    const bucket = hash & ((1 << shard.trackedBits) - 1);
    this.pages.setWord(tracked, KEY_NEXT, this.firstOf(shard, bucket));
    this.pages.setWord(shard.trackedTable, bucket, tracked);
  }

  private unlink(shard: Shard, tracked: Ref): void {
    const bucket = this.pages.wordOf(tracked, KEY_HASH) & ((1 << shard.trackedBits) - 1);
    const next = this.pages.wordOf(tracked, KEY_NEXT);
    let before = this.firstOf(shard, bucket);
    if (before === tracked) return this.pages.setWord(shard.trackedTable, bucket, next);
    for (
      let after = this.pages.wordOf(before, KEY_NEXT);
      after !== tracked;
      after = this.pages.wordOf(before, KEY_NEXT)
    ) {
      before = after;
    }
    this.pages.setWord(before, KEY_NEXT, next);
  }

  /** Bits of the table that the next key needs. */
  private nextBits(shard: Shard): number {
    if (shard.trackedTable === NO_REF) return FIRST_TABLE_BITS;
    const { trackedBits, trackedKeys } = shard;
    return trackedKeys < 1 << trackedBits || trackedBits === TABLE_BITS_MAX ? trackedBits : trackedBits + 1;
  }
  private tableGrowth(shard: Shard): number {
    const bits = this.nextBits(shard);
    return shard.trackedTable !== NO_REF && bits === shard.trackedBits ? 0 : 4 << bits;
  }

  private growTable(shard: Shard): void {
    const bytes = this.tableGrowth(shard);
    if (bytes === 0) return;
    const { pages } = this;
    const before = shard.trackedTable;
    const bucketsBefore = before === NO_REF ? 0 : 1 << shard.trackedBits;
    const table = pages.allocate(bytes);
    const w = pages.locate(table) >> 2;
    pages.m.fill(NO_REF, w, w + (bytes >> 2));
    shard.trackedBits = this.nextBits(shard);
    shard.trackedTable = table;
    for (let bucket = 0; bucket < bucketsBefore; bucket++) {
      for (let tracked = this.pages.wordOf(before, bucket), next: Ref = NO_REF; tracked !== NO_REF; tracked = next) {
        next = this.pages.wordOf(tracked, KEY_NEXT);
        this.link(shard, tracked, this.pages.wordOf(tracked, KEY_HASH));
      }
    }
    if (before !== NO_REF) pages.free(before, bucketsBefore * 4);
  }

  /** Asserts the invariants of a shard's tracked keys. */
  check(shard: Shard): void {
    this.pages.select(shard);
    let keys = 0;
    let items = 0;
    const buckets = shard.trackedTable === NO_REF ? 0 : 1 << shard.trackedBits;
    for (let bucket = 0; bucket < buckets; bucket++) {
      for (let ref = this.firstOf(shard, bucket); ref !== NO_REF; ref = this.pages.wordOf(ref, KEY_NEXT)) {
        keys++;
        const slots = this.checkItems(ref);
        assert(slots === this.pages.wordOf(ref, KEY_ITEMS) && slots > 0, "a tracked key counts its items (TRACKED-3)");
        items += slots;
        assert((this.pages.wordOf(ref, KEY_HASH) & (buckets - 1)) === bucket, "a tracked key lies in its bucket");
      }
    }
    assert(keys === shard.trackedKeys, "the tracked keys are counted (TRACKED-1)");
    assert(items === shard.trackedItems, "the items are counted (TRACKED-1)");
    assert(((shard.interest & INTEREST_TRACKED) !== 0) === keys > 0, "the interest word tells of them (TRACKED-1)");
  }

  private checkItems(tracked: Ref): number {
    const { pages } = this;
    const block = this.pages.wordOf(tracked, KEY_BLOCK);
    const places = block === NO_REF ? INSIDE : 1 << this.pages.wordOf(tracked, KEY_BITS);
    const slots = new Set<number>();
    for (let i = 0; i < places; i++) {
      const w = block === NO_REF ? (pages.locate(tracked) >> 2) + KEY_INSIDE : pages.locate(block) >> 2;
      const owner = pages.m[w + i * 2]!;
      if (owner === 0) continue;
      assert(!slots.has(owner), "a client has one item of a key (TRACKED-3)");
      slots.add(owner);
      assert(this.placeOf(tracked, owner - 1) === w + i * 2, "an item is found by its slot");
    }
    return slots.size;
  }
}

function wordsOf(bytes: number): number {
  return (bytes + 3) >>> 2;
}
