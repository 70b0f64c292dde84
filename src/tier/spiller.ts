/**
 * Chooses which values become cold: those in memory that were used less than others.
 *
 * A hand goes round the keys of this worker's home shards, in the order of SCAN, as in CLOCK. The half of the values that it
 * sees which was used least recently, or under a policy of LFU least frequently, becomes cold; what divides the halves is
 * the median of the last values seen.
 * Locking: takes shard locks one at a time, and only if they are free.
 */
import type { Address } from "../store/address.ts";
import { keyCount } from "../store/keyspace.ts";
import { accessWord, Encoding, isPinned, recordEncoding, valueBytes } from "../store/record.ts";
import type { KeyspaceRef, Shard } from "../store/shard.ts";
import type { Store } from "../store/store.ts";
import type { SegmentWriter } from "./segment-writer.ts";

const POSITIONS = 2 ** 32;
/** Buckets of one hold of a lock. */
const BUCKETS = 16;
/** Bytes of values written in one hold of a lock, about. */
const HOLD_BYTES = 256 << 10;
/** Values whose ranks are compared. */
const SEEN = 256;

export class Spiller {
  /** Shortest and longest value that becomes cold, bytes. */
  valueBytesMin = 64;
  valueBytesMax = 256 << 10;
  /** The hand went round, and found no value that it may take. Records seen in that round; used memory at its end. */
  isExhausted = false;
  private roundRecords = 0;
  private exhaustedBytes = 0;
  private seenRecords = 0;
  private shard: number;
  private keyspace = 0;
  private position = 0;
  /** Shards since a value was last taken. */
  private fruitless = 0;
  private readonly seen = new Int32Array(SEEN);
  private seenCount = 0;
  /** Rank from which on a value is taken. */
  private threshold = 0;
  private readonly chain = { addresses: new Int32Array(64) };
  /** The next record of the bucket at `position`: of those before it the values were taken. */
  private nextInBucket = 0;
  /** Bytes that were written under the lock which is held. */
  private heldBytes = 0;

  constructor(
    private readonly store: Store,
    private readonly writer: SegmentWriter,
    private readonly worker: number,
    private readonly workers: number,
  ) {
    this.shard = worker;
  }

  /**
   * Takes values of about `bytes` into batches, until `untilMs`. `usedBytes`: memory of the data. A hand that found nothing
   * goes round again when the data has grown by a byte for each record that it will see: the way is worth it then.
   */
  spill(bytes: number, untilMs: number, usedBytes: number, now: () => number): void {
    const { store, writer } = this;
    if (usedBytes < this.exhaustedBytes) this.exhaustedBytes = usedBytes;
    if (this.isExhausted && usedBytes > this.exhaustedBytes + this.roundRecords) this.isExhausted = false;
    if (this.isExhausted) return writer.flush();
    let left = bytes - writer.pendingBytes;
    while (left > 0 && now() < untilMs) {
      if (writer.batch() === null) return;
      const before = writer.pendingBytes;
      const shard = store.shards[this.shard]!;
      if (!store.section.tryWithin(shard, () => this.sweep(shard))) this.nextShard(false);
      left -= writer.pendingBytes - before;
      if (!this.isExhausted) continue;
      this.exhaustedBytes = usedBytes;
      break;
    }
    if (left <= 0 || this.isExhausted) writer.flush();
  }

  /** Values may have become older, or their deadlines and types others. */
  rest(): void {
    this.isExhausted = false;
  }

  /** Goes on in a locked shard. */
  private sweep(shard: Shard): void {
    const { store } = this;
    this.heldBytes = 0;
    for (let buckets = 0; buckets < BUCKETS && this.heldBytes < HOLD_BYTES; ) {
      const ks = shard.keyspace(this.keyspace);
      if (this.position >= POSITIONS || this.isPassedOver(shard, ks)) {
        this.position = this.nextInBucket = 0;
        this.keyspace++;
        if (this.keyspace < store.keyspaceCount) continue;
        this.keyspace = 0;
        return this.nextShard(true);
      }
      const bucket = store.index.bucketAtPosition(ks, this.position);
      if (!this.takeBucket(shard, ks, bucket)) return;
      this.position = store.index.nextPosition;
      this.nextInBucket = 0;
      buckets++;
    }
  }

  private isPassedOver(shard: Shard, ks: KeyspaceRef): boolean {
    const { keyspaces } = this.store;
    return keyCount(shard.c, ks) === 0 || keyspaces.isInternal(this.keyspace) || this.store.isEmptying(this.keyspace);
  }

  private nextShard(isDone: boolean): void {
    const { store } = this;
    this.shard += this.workers;
    if (this.shard >= store.shardCount) this.shard = this.worker;
    if (!isDone) return;
    this.fruitless++;
    // Twice: the first time the threshold may have been too high.
    if (this.fruitless * this.workers > store.shardCount * 2 + this.workers) {
      this.isExhausted = true;
      this.fruitless = 0;
      this.roundRecords = this.seenRecords;
      this.seenRecords = 0;
    }
    if (this.fruitless * this.workers > store.shardCount) this.threshold = 0;
  }

  /** Takes values of a bucket. Returns false when that must wait: the rest of the bucket is to be seen again. */
  private takeBucket(shard: Shard, ks: KeyspaceRef, bucket: number): boolean {
    const { store, writer, chain } = this;
    const { segments } = store;
    const { nextPosition } = store.index;
    const count = store.index.collect(shard, ks, bucket, chain);
    for (let i = this.nextInBucket; i < count; i++) {
      const w = segments.locate(shard, chain.addresses[i]! as Address);
      const { m, b } = segments;
      this.seenRecords++;
      if (!this.isWanted(shard, m, w)) continue;
      this.nextInBucket = i;
      if (this.heldBytes >= HOLD_BYTES) return false;
      const before = writer.pendingBytes;
      if (!writer.take(shard, this.keyspace, m, b, w)) return false;
      this.nextInBucket = i + 1;
      if (writer.pendingBytes === before) continue;
      this.heldBytes += writer.pendingBytes - before;
      this.fruitless = this.seenRecords = 0;
    }
    store.index.nextPosition = nextPosition;
    return true;
  }

  /** True when the value of the record at `w` is one that may become cold. */
  mayTake(shard: Shard, m: Int32Array, w: number): boolean {
    const encoding = recordEncoding(m, w);
    if (encoding === Encoding.Int || encoding >= Encoding.Cold || isPinned(m, w)) return false;
    if (encoding === Encoding.Raw) return valueBytes(m, w) >= this.valueBytesMin;
    const bytes = this.store.cold.large.bytesOf(shard, m, w);
    return bytes >= this.valueBytesMin && bytes <= this.valueBytesMax;
  }

  private isWanted(shard: Shard, m: Int32Array, w: number): boolean {
    if (!this.mayTake(shard, m, w)) return false;
    const { access } = this.store;
    const word = accessWord(m, w);
    const rank = access.countsFrequency ? 255 - access.frequencyOf(word) : access.idleSecondsOf(word);
    this.seen[this.seenCount++ % SEEN] = rank;
    if (this.seenCount % SEEN === 0) this.threshold = this.seen.slice().sort()[SEEN >> 1]!;
    return rank >= this.threshold;
  }
}
