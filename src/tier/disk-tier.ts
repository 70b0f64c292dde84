/**
 * The disk tier of one worker: values that are used less than others live in segment files under data_dir, and are read
 * back when a command needs them.
 *
 *   memory is short ─► spiller.ts chooses values ─► segment-writer.ts writes them, their records become cold
 *   a command needs one ─► cold-reader.ts reads it, other commands run meanwhile
 *   values are overwritten, expire, come back ─► parts of files are dead ─► compactor.ts
 *
 * A file outlives the process only if the next one takes over its memory (persistence/stop-image.ts): the append-only file,
 * RDB files and checkpoints have the values of cold keys too.
 */
import type { FileDescriptor, Files } from "../base/files.ts";
import { ENTRY_UNIT_BYTES } from "../store/cold.ts";
import type { ColdTotals } from "../store/cold-files.ts";
import type { Store } from "../store/store.ts";
import type { IoRing } from "../memory/io-ring.ts";
import { SegmentReader, type Waiting } from "./cold-reader.ts";
import { Compactor } from "./compactor.ts";
import { PoolReads, RingReads } from "./entry-reads.ts";
import { SegmentFiles } from "./segment-files.ts";
import { SegmentWriter, type WriterHost } from "./segment-writer.ts";
import { Spiller } from "./spiller.ts";

export interface TierSettings {
  /** Bytes of a segment file. */
  readonly fileBytes: number;
  /** Most bytes of all segment files, 0 = no limit. */
  readonly diskBytesMax: number;
  /** Shortest value that goes to disk, and the longest of those that do not lie in their record. */
  readonly valueBytesMin: number;
  readonly valueBytesMax: number;
  /** Bytes of values read back that a worker keeps for commands. */
  readonly readBytesKept: number;
  /** Values in the page cache are read at once. */
  readonly readsCached: boolean;
  /** A value that is read again comes back into memory. */
  readonly promotes: boolean;
  /** Share of a file that may be dead, how often files are looked at (ms), and bytes per second that compaction reads. */
  readonly deadFraction: number;
  readonly compactionIntervalMs: number;
  readonly compactionRate: number;
}

export interface TierHost {
  monotonicMs(): number;
  later(work: () => void): void;
  /** As later, about a millisecond later. */
  soon(work: () => void): void;
  warn(text: string): void;
  /**
   * Reads bytes of a file that need no wait for the disk. Returns their number: less, or -1, when some of them do.
   */
  readCached(file: FileDescriptor, into: Uint8Array, length: number, position: number): number;
  /** Values that commands wait for are read through it. null = by the threads of the pool. */
  readonly ring: IoRing | null;
  /** Reads through the ring are under way: `collectReads` is to be called when some have ended. */
  watchRing(): void;
}

/** How often `tick` is expected, ms: the compactor's rate is divided by it. */
export const TICK_MS = 100;
/** No entry is longer: a step of the compactor reads at least one. */
const ENTRY_BYTES_MAX = 512 << 10;
/** How long a hand that found nothing rests, in ticks. */
const REST_TICKS = 100;
/** The same failure is logged once in so many ms. */
const LOG_MS = 10_000;

export class DiskTier implements WriterHost {
  readonly reader: SegmentReader;
  readonly writer: SegmentWriter;
  readonly spiller: Spiller;
  readonly compactor: Compactor;
  private readonly segments: SegmentFiles;
  private settings!: TierSettings;
  private totals: ColdTotals;
  private ticks = 0;
  private lookedMs = 0;
  private loggedMs = -Infinity;
  /** Clients whose commands wait for room in memory. */
  private waiting: Waiting[] = [];

  constructor(
    private readonly store: Store,
    files: Files,
    dataDirectory: string,
    private readonly host: TierHost,
    worker: number,
    workers: number,
    settings: TierSettings,
  ) {
    this.segments = new SegmentFiles(files, dataDirectory);
    const pool = new PoolReads(files);
    const { ring } = host;
    const later = (work: () => void): void => host.later(work);
    const reads = ring === null ? pool : new RingReads(ring, pool, { later, watch: () => host.watchRing() });
    this.reader = new SegmentReader(this.segments, settings.readBytesKept, store.cold.waits, host, reads);
    this.writer = new SegmentWriter(store, this.segments, this, settings.fileBytes);
    this.spiller = new Spiller(store, this.writer, worker, workers);
    this.compactor = new Compactor(store, this.segments, this.writer, (text) => this.complain(text));
    this.reader.onFailure = (text) => this.complain(text);
    this.configure(settings);
    this.totals = store.cold.files.totals();
    store.cold.reader = this.reader;
    this.lookedMs = host.monotonicMs();
  }

  configure(settings: TierSettings): void {
    this.settings = settings;
    this.reader.keptMax = settings.readBytesKept;
    this.reader.readsCache = settings.readsCached;
    this.writer.fileBytesMax = settings.fileBytes;
    this.spiller.valueBytesMin = settings.valueBytesMin;
    this.spiller.valueBytesMax = settings.valueBytesMax;
    this.compactor.deadFraction = settings.deadFraction;
    this.compactor.stepBytes = Math.max(ENTRY_BYTES_MAX, Math.floor((settings.compactionRate * TICK_MS) / 1000));
    this.store.cold.promotes = settings.promotes;
  }

  // ---- memory is short ----

  /** True when values can be made cold: there are some, and the disk takes them. */
  get mayHelp(): boolean {
    return !this.spiller.isExhausted && !this.writer.isFailing && !this.isFull;
  }
  private get isFull(): boolean {
    const { diskBytesMax } = this.settings;
    return diskBytesMax > 0 && this.totals.writtenUnits * ENTRY_UNIT_BYTES + this.writer.pendingBytes >= diskBytesMax;
  }

  /** Begins to make values of about `bytes` cold, until `untilMs`. `usedBytes`: memory of all data. */
  spill(bytes: number, untilMs: number, usedBytes: number): void {
    if (this.writer.isFailing || this.isFull || this.isStopping) return;
    this.spiller.spill(bytes, untilMs, usedBytes, () => this.host.monotonicMs());
  }

  /** Why values cannot be moved to disk now, "" = they can. */
  get refusal(): string {
    if (this.writer.isFailing) return `IOERR ${this.writer.failure}`;
    return this.isFull ? "ERR segment files have reached max_disk" : "";
  }

  /** Values come back into memory when they are read again, or not: memory is short. */
  set hasRoom(hasRoom: boolean) {
    this.store.cold.promotes = hasRoom && this.settings.promotes;
    this.store.cold.isShort = !hasRoom && this.mayHelp;
  }

  beginTurn(): void {
    this.reader.images.beginTurn();
  }
  /** The commands of a turn have ended: the reads that they asked for begin. */
  endCommands(): void {
    this.reader.entryReads.submit();
  }
  /** Reads have ended. */
  collectReads(): void {
    this.reader.entryReads.collect();
  }

  // ---- clients that wait ----

  /** The client's command waits for what it has asked for, or for room in memory. */
  add(client: Waiting): void {
    if (this.reader.park(client)) return;
    this.waiting.push(client);
    if (this.waiting.length === 1) this.host.soon(() => this.settled());
  }

  // ---- WriterHost ----

  monotonicMs(): number {
    return this.host.monotonicMs();
  }
  later(work: () => void): void {
    this.host.later(work);
  }
  settled(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const client of waiting) client.endPause();
  }
  failed(text: string): void {
    this.complain(text);
    this.settled();
  }
  private complain(text: string): void {
    const now = this.host.monotonicMs();
    if (now < this.loggedMs + LOG_MS) return;
    this.loggedMs = now;
    this.host.warn(text);
  }

  // ---- the end of the process ----

  /** Begins to move no more values. What is on its way comes to its end. */
  stop(): void {
    this.isStopping = true;
    this.compactor.stop();
    this.writer.flush();
  }
  private isStopping = false;
  get isSettled(): boolean {
    return this.writer.isIdle && this.writer.writesUnderWay === 0;
  }

  // ---- background ----

  /** Background work, about every 100 ms. */
  tick(): void {
    if (this.isStopping) return;
    this.ticks++;
    this.totals = this.store.cold.files.totals();
    this.reader.tick();
    if (this.ticks % REST_TICKS === 0) this.spiller.rest();
    this.writer.unlinkDead();
    const now = this.host.monotonicMs();
    const isDue = now >= this.lookedMs + this.settings.compactionIntervalMs || this.isFull;
    if (isDue && !this.compactor.isAtWork) {
      this.compactor.begin();
      // As long as there are files to compact, one follows the other.
      if (!this.compactor.isAtWork) this.lookedMs = now;
    }
    this.compactor.step();
    const { files } = this.store.cold;
    this.segments.forgetGone((file) => files.isOpen(file));
    this.settled();
  }

  /** Figures of all workers' files, as of the last tick. */
  get fileTotals(): ColdTotals {
    return this.totals;
  }
}
