/**
 * Paces the garbage collector of one worker, and knows what of its JS heap is live.
 *
 * JavaScriptCore counts each shared region at full length as heap, so with regions mapped it hardly ever collects by
 * itself. Every socket event leaves a buffer of up to 512 KiB behind, so the worker collects the young generation after
 * so many events or bytes, and everything when the heap has doubled or when the worker has become quiet.
 *
 * Garbage does not count as used memory: keys must not be evicted, and writes not refused, for bytes that the next
 * collection frees. `liveBytes` is the heap that the last full collection left, without the buffers of clients, which
 * are counted exactly (Client.memoryBytes). What became live since is left out until the next full collection, which
 * comes at the latest when the heap has doubled and grown by FULL_GROWTH.
 */
import { edenGC, fullGC, heapSize } from "bun:jsc";

/** Socket events and event bytes after which the young generation is collected. */
const EDEN_EVENTS = 2048;
const EDEN_BYTES = 16 << 20;
/** The heap is collected whole when it is twice what the last full collection left, and larger by this. */
const FULL_GROWTH = 32 << 20;
/** After a load, rounds of background work (100 ms) without an event until the old generation is collected. */
const QUIET_ROUNDS = 10;
/** Event bytes between two collections that are a load. */
const LOAD_BYTES = 1 << 20;
/** Pause between the background work and a collection of the young generation, ms. */
const REST_MS = 2;

export class Collector {
  /** Bytes of the JS heap that are live: without garbage, regions and clients' buffers. */
  liveBytes = 0;
  /** What was live before the first client: liveBytes is never less. */
  private leastBytes = 0;
  /** Bytes of the JS heap without the regions that the last full collection left. */
  private afterFull = 0;
  private events = 0;
  private eventBytes = 0;
  private isScheduled = false;
  /** There was a load since the last full collection; rounds of background work without an event. */
  private hadLoad = false;
  private quietRounds = 0;
  private eventsSeen = 0;

  constructor(
    /** Bytes of shared memory that the collector counts as heap. */
    private readonly sharedBytes: () => number,
    /** Bytes of the buffers of clients. */
    private readonly clientBytes: () => number,
  ) {}

  /** The worker is complete and has no clients yet: what is live now is its least. */
  begin(): void {
    this.collectFull();
    this.leastBytes = this.liveBytes;
  }

  /** A socket event brought `bytes`. */
  countEvent(bytes: number): void {
    this.eventBytes += bytes;
    if (++this.events >= EDEN_EVENTS || this.eventBytes >= EDEN_BYTES) this.collectSoon();
  }

  /** A round of background work is done: a worker with little to do collects now. */
  endRound(): void {
    this.quietRounds = this.events === this.eventsSeen ? this.quietRounds + 1 : 0;
    this.eventsSeen = this.events;
    // Apart from the background work, which has had its millisecond.
    if (this.events > 0 && this.events < EDEN_EVENTS >> 4) setTimeout(() => this.collectIdle(), REST_MS);
    else if (this.quietRounds >= QUIET_ROUNDS && (this.hadLoad || this.events > 0)) this.collectFull();
  }

  /**
   * Collects once the stack is empty. The buffer of the event at work would survive for being on the stack, be old from
   * then on, and stay until the next full collection; at 512 KiB each that is most of the garbage.
   */
  private collectSoon(): void {
    this.events = 0;
    this.eventBytes = 0;
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(() => {
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
