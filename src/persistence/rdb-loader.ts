/**
 * Loads an RDB file into the store, in steps: each key goes in under its shard's lock alone, so the other work of the threads
 * continues. Several workers may load one file together; each reads it whole and stores the keys of its shards.
 *
 *   step ─ next item ─ key: decode │ reserve │ lock its shard │ store it with deadline and access date │ unlock
 *
 * A key that finds no lock or memory is kept, and tried again by the next step. Three things are noted at the first key they
 * meet, and reported at the end of the file: a key that is there twice, a key that is there already, and a database that is
 * not there. A wrong byte may look like one of them, and is then named by the checksum instead, as check-rdb names it.
 */
import { NO_ADDRESS } from "../store/address.ts";
import { BadFile, type FileReader } from "../base/file-reader.ts";
import type { Call } from "../dispatch/call.ts";
import { restoreItems } from "../commands/keys/dump-collection.ts";
import type { Key } from "../store/key.ts";
import { KeyEvent } from "../store/key-events.ts";
import { StagedValue } from "../store/large.ts";
import { PLAIN } from "../store/store.ts";
import { RdbKind } from "../structures/rdb-collection.ts";
import { rdbString } from "../structures/rdb-string.ts";
import { NOT_GIVEN, RdbItem, RdbReader } from "./rdb-reader.ts";

/** The data set that a file is loaded into. */
export type LoadTarget = Pick<Call, "store" | "keyspaces" | "collections" | "strings" | "clock">;

export interface LoadOptions {
  /** The checksum is compared. */
  verifies: boolean;
  /** Keys whose deadline has passed are left out, as on a primary; else they are stored, and a DEL in the log removes them. */
  dropsExpired: boolean;
  /** A key that is there already is replaced instead of being an error. */
  merges: boolean;
  /** Stores only the keys of shards of which `worker` of `workers` is home worker. */
  worker: number;
  workers: number;
  /** The file has nothing behind the RDB part. Otherwise it is the base of an append-only file, which may refer to segment files. */
  isWhole: boolean;
}

/** Result of a step. Waits: a lock or memory was not available; the caller asks for a region and calls again soon. */
export const Loaded = { More: 0, Waits: 1, Done: 2 } as const;
export type Loaded = (typeof Loaded)[keyof typeof Loaded];

/** Keys between two readings of the clock. */
const KEYS_A_READING = 64;

export class RdbLoader {
  keys = 0;
  expired = 0;
  /** Keys whose value has no elements left, which are not stored. */
  empty = 0;
  /** Deadlines of keys that were stored. */
  expires = 0;
  readonly fields: (readonly [string, string])[] = [];
  /** Sources of the libraries of functions, to be written again. */
  readonly libraries: Buffer[] = [];
  readonly rdb: RdbReader;
  private readonly key: Key;
  private hasKey = false;
  private isDecoded = false;
  private kind: RdbKind = RdbKind.None;
  private staged: StagedValue | null = null;
  private pendingPart = 0;
  private partDone = 0;
  private complaint: BadFile | null = null;

  /** Throws BadFile when the file does not begin as an RDB file does. */
  constructor(
    private readonly target: LoadTarget,
    private readonly file: FileReader,
    private readonly options: LoadOptions,
  ) {
    this.key = target.store.newKey();
    // One worker of several compares the checksum.
    file.sums = options.verifies && options.worker === 0;
    this.rdb = new RdbReader(file, file.sums, target.store.memberSeed);
  }

  /** Loads until `untilMs` (monotonic), the end or a shortage. Throws BadFile. */
  step(untilMs: number): Loaded {
    const { target } = this;
    target.store.section.beginTurn();
    for (let keys = 1; ; keys++) {
      if (this.hasKey || this.findKey()) {
        if (!this.storeKey()) return Loaded.Waits;
        this.hasKey = false;
      } else {
        this.finish();
        return Loaded.Done;
      }
      if (keys % KEYS_A_READING === 0 || this.rdb.isLong) {
        if (target.clock.monotonicMs() >= untilMs) return Loaded.More;
      }
    }
  }

  /** Frees the chunks that a failed or abandoned load still holds. */
  abandon(): void {
    this.staged?.discard(this.target.store.nowSeconds);
    this.staged = null;
  }

  /** Reads up to the next key to be stored. Returns false at the end of the file. */
  private findKey(): boolean {
    const { rdb } = this;
    for (;;) {
      switch (rdb.next()) {
        case RdbItem.Field:
          this.fields.push([rdb.name, rdb.text]);
          break;
        case RdbItem.Library:
          this.libraries.push(rdb.library);
          break;
        case RdbItem.Database:
          if (rdb.database >= this.target.keyspaces.databases) {
            const { databases } = this.target.keyspaces;
            this.complain(`database ${rdb.database}: this server is configured with ${databases}`);
          }
          break;
        case RdbItem.Key:
          if (!this.isWanted()) break;
          this.hasKey = true;
          this.isDecoded = false;
          return true;
        case RdbItem.End:
          return false;
        default:
          break;
      }
    }
  }

  /** Loads the key's name into the store's key. Returns false when the key is not to be stored here. */
  private isWanted(): boolean {
    const { target, rdb, options } = this;
    const { store } = target;
    if (rdb.database >= target.keyspaces.databases) return this.passOver();
    this.key.load(rdb.key, 0, rdb.keyBytes);
    if (options.workers > 1 && store.shardOf(this.key.hashA).number % options.workers !== options.worker) return false;
    if (options.dropsExpired && rdb.deadlineMs !== NOT_GIVEN && rdb.deadlineMs <= store.nowMs) {
      this.expired++;
      return this.passOver();
    }
    return true;
  }

  /** A value that is not stored is checked all the same, since check-rdb does. */
  private passOver(): false {
    if (!this.rdb.isLong) this.rdb.decode();
    return false;
  }

  /** Stores the key that the reader is at. Returns false when it is to be tried again. */
  private storeKey(): boolean {
    const { target, rdb } = this;
    const { store } = target;
    if (!this.isDecoded) {
      if (rdb.isReference) this.checkReference();
      if (rdb.isLong) this.beginLong();
      else this.kind = rdb.decode();
      this.isDecoded = true;
    }
    if (this.staged !== null && !this.stage(this.staged)) return false;
    if (!store.pool.reserve(store.pool.commandChunks)) return false;
    if (!store.section.enter(store.shardOf(this.key.hashA))) return false;
    let stored: number;
    try {
      store.select(target.keyspaces.of(rdb.database), this.key);
      stored = this.place();
      store.section.leave();
    } catch (thrown) {
      throw store.section.failed(thrown);
    }
    if (stored < 0) return false;
    if (stored > 0) this.keys++;
    this.staged = null;
    return true;
  }

  /** Gives the selected key its value. Returns 1, 0 when it is not stored, or Status with nothing changed. */
  private place(): number {
    const { target, rdb } = this;
    const { store, strings } = target;
    const prepared = store.prepareInsert();
    if (prepared < 0) return prepared;
    if (store.find() !== NO_ADDRESS) {
      if (!this.options.merges) {
        this.complain(`key ${rdb.keyText()} is there already`);
        this.abandon();
        return 0;
      }
      if (this.kind !== RdbKind.None) {
        store.remove(KeyEvent.Silent);
        store.find();
      }
    }
    const due = rdb.deadlineMs === NOT_GIVEN ? 0 : rdb.deadlineMs;
    let stored: number;
    if (this.kind !== RdbKind.None) {
      stored = restoreItems(store, target.collections, this.kind, due);
      if (stored === 0) this.empty++;
      if (stored <= 0) return stored;
    } else if (rdb.isReference) {
      stored = strings.setCold(rdb.reference, due);
      if (stored < 0) return stored;
    } else {
      stored =
        this.staged !== null
          ? strings.setStaged(this.staged, due, PLAIN)
          : strings.set(rdbString.bytes, rdbString.at, rdbString.length, due);
      if (stored < 0) return stored;
    }
    store.access.restore(store.cursor.m, store.cursor.w, rdb.idleSeconds, rdb.frequency);
    if (due !== 0) this.expires++;
    return 1;
  }

  private checkReference(): void {
    const { rdb, target } = this;
    const { file } = rdb.reference;
    const why = this.options.isWhole ? "this file may not refer to any" : target.store.cold.objectionTo(file);
    if (why !== "")
      throw new BadFile(rdb.keyOffset, `the value of ${rdb.keyText()} is in segment file ${file}: ${why}`);
  }

  // ---- long strings ----

  private beginLong(): void {
    const { store } = this.target;
    this.kind = RdbKind.None;
    this.staged = new StagedValue(store.arena, store.pool, this.rdb.longBytes);
    this.pendingPart = 0;
    this.partDone = 0;
  }

  /** Copies the long string into chunks. Returns false when there is no chunk now. */
  private stage(staged: StagedValue): boolean {
    const { rdb } = this;
    for (;;) {
      if (this.partDone === this.pendingPart) {
        this.pendingPart = rdb.part();
        this.partDone = 0;
        if (this.pendingPart === 0) return true;
      }
      const left = this.pendingPart - this.partDone;
      const taken = staged.write(rdb.partBytes, rdb.partAt + this.partDone, left);
      this.partDone += taken;
      if (taken < left) return false;
    }
  }

  // ---- the end ----

  private complain(reason: string): void {
    this.complaint ??= new BadFile(this.rdb.keyOffset, reason);
  }

  private finish(): void {
    const { file } = this;
    if (this.options.isWhole && file.left > 0)
      throw new BadFile(file.offset, `${file.left} bytes follow the end of the file's content`);
    if (this.complaint !== null) throw this.complaint;
  }
}
