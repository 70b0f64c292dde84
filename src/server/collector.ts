/**
 * Paces the garbage collector of one worker, and estimates the live bytes of its JS heap.
 *
 * JavaScriptCore counts each shared region at full length as heap, so once regions are mapped it hardly ever collects by
 * itself. Every socket event leaves a buffer of up to 512 KiB behind. The worker therefore collects the young generation
 * after a number of events or bytes, and the whole heap when it has doubled or when the worker has become quiet.
 *
 * Garbage does not count as used memory: no key may be evicted, and no write refused, for bytes that the next collection
 * frees. `liveBytes` is the heap that the last full collection left, without the buffers of clients, which are counted
 * exactly (Client.memoryBytes). Objects that became live since are left out until the next full collection. It comes at
 * the latest when the heap has doubled and grown by FULL_GROWTH.
 */
import { soon } from "../base/soon.ts";
import { edenGC, fullGC, heapSize } from "bun:jsc";

/** Socket events and event bytes after which the young generation is collected. */
const EDEN_EVENTS = 2048;
const EDEN_BYTES = 16 << 20;
/** Reads that leave about as much garbage behind as one event of a socket of Bun. */
const READS_PER_EVENT = 8;
/** A full collection runs when the heap is twice the size that the last one left, and larger by this. */
const FULL_GROWTH = 32 << 20;
/** Rounds of background work (100 ms) without an event after which the old generation is collected, if there was a load. */
const QUIET_ROUNDS = 10;
/** Event bytes between two collections that count as a load. */
const LOAD_BYTES = 1 << 20;
/** Pause between the background work and a collection of the young generation, ms. */
const REST_MS = 2;

export class Collector {
  /** Live bytes of the JS heap, without garbage, regions and clients' buffers. */
  liveBytes = 0;
  /** Live bytes before the first client. liveBytes is never less. */
  private leastBytes = 0;
  /** Bytes of the JS heap without the regions that the last full collection left. */
  private afterFull = 0;
  private events = 0;
  private eventBytes = 0;
  private isScheduled = false;
  /** True when there was a load since the last full collection. quietRounds: rounds without an event. */
  private hadLoad = false;
  private quietRounds = 0;
  /** Events and reads since the last round. */
  private seen = 0;

  constructor(
    /** Bytes of shared memory that the collector counts as heap. */
    private readonly sharedBytes: () => number,
    /** Bytes of the buffers of clients. */
    private readonly clientBytes: () => number,
  ) {}

  /** Measures the live bytes of a worker that is complete and has no clients yet. */
  begin(): void {
    this.collectFull();
    this.leastBytes = this.liveBytes;
  }

  /** Counts a socket event with `bytes` of input. */
  countEvent(bytes: number): void {
    this.eventBytes += bytes;
    this.seen++;
    if (++this.events >= EDEN_EVENTS || this.eventBytes >= EDEN_BYTES) this.collectSoon();
  }

  /** Counts an event whose `bytes` of input were received into a buffer that is used again: it leaves little behind. */
  countRead(bytes: number): void {
    this.reads++;
    this.seen++;
    this.readBytes += bytes;
    if (this.reads < READS_PER_EVENT) return;
    this.countEvent(this.readBytes);
    this.reads = 0;
    this.readBytes = 0;
  }
  private reads = 0;
  private readBytes = 0;

  /** True when quiet rounds bring no further collection. */
  get isSettled(): boolean {
    return this.events === 0 && !this.hadLoad;
  }

  /** Called after a round of background work. A worker with little to do collects now. */
  endRound(): void {
    const seen = this.seen;
    this.seen = 0;
    this.quietRounds = seen === 0 ? this.quietRounds + 1 : 0;
    // Not at once, because the background work has just blocked the worker for up to a millisecond.
    if (this.events > 0 && seen < EDEN_EVENTS >> 4) setTimeout(() => this.collectIdle(), REST_MS);
    else if (this.quietRounds >= QUIET_ROUNDS && (this.hadLoad || this.events > 0)) this.collectFull();
  }

  /**
   * Collects once the stack is empty. The buffer of the current event would survive because it is on the stack, count as old
   * and stay until the next full collection. At 512 KiB each, such buffers would be most of the garbage.
   */
  private collectSoon(): void {
    this.events = 0;
    this.eventBytes = 0;
    if (this.isScheduled) return;
    this.isScheduled = true;
    soon(() => {
      this.isScheduled = false;
      this.collectYoung();
    });
  }

  private collectYoung(): void {
    this.events = 0;
    this.eventBytes = 0;
    this.hadLoad = true;
    edenGC();
    if (this.ownBytes() > this.afterFull * 2 + FULL_GROWTH) this.collectFull();
  }

  private collectIdle(): void {
    if (this.eventBytes >= LOAD_BYTES) this.hadLoad = true;
    this.events = 0;
    this.eventBytes = 0;
    edenGC();
  }

  private collectFull(): void {
    this.hadLoad = false;
    this.events = 0;
    this.eventBytes = 0;
    fullGC();
    this.afterFull = this.ownBytes();
    this.liveBytes = Math.max(this.leastBytes, this.afterFull - this.clientBytes());
  }

  private ownBytes(): number {
    return Math.max(0, heapSize() - this.sharedBytes());
  }
}
