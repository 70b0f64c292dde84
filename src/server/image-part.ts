/**
 * A worker's part in stop images (image-control.ts): it lets go of everything that is not data before one is written, and puts
 * its share of the blocks in place when one is read.
 */
import { CHECKS } from "../base/assert.ts";
import type { Files } from "../base/files.ts";
import { soon } from "../base/soon.ts";
import { FileFailure } from "../base/files.ts";
import { usedRuns } from "../memory/frame-pool.ts";
import { ImageReader } from "../persistence/stop-image.ts";
import { checkShard } from "../store/shard-check.ts";
import type { Client } from "./client.ts";
import type { Engine } from "./engine.ts";
import type { Adopted, ImageReadRequest } from "./image-messages.ts";
import type { ToMain, ToWorker } from "./messages.ts";

/** How often a worker looks whether everything has ended, and for how long, ms. */
const LOOK_MS = 2;
const SETTLE_MS = 3000;
/** Blocks are read for so long between two turns of the event loop, in which clients hear that the server is loading; ms. */
const SLICE_MS = 10;
/** Background work between two looks, ms. */
const MAINTENANCE_MS = 1;

export interface ImagePartHost {
  guard(work: () => void): void;
  post(message: ToMain): void;
}

/** What the work returns, or why a file failed. */
function attempt<T>(work: () => T): T | string {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof FileFailure) return thrown.message;
    throw thrown;
  }
}

export class ImagePart {
  /** Nothing of this worker touches the data any more. */
  isQuiet = false;
  /** An image is being put in place: what a client does would take memory that belongs to the data. */
  isReading = false;

  constructor(
    private readonly engine: Engine,
    private readonly files: Files,
    private readonly workers: number,
    private readonly host: ImagePartHost,
  ) {
    this.worker = engine.worker;
  }
  private readonly worker: number;

  /** Takes a message of the main thread. Returns false when it is about something else. */
  receive(message: ToWorker): boolean {
    const answer = (work: () => string): void =>
      this.host.guard(() => this.host.post({ kind: "imageAnswer", failure: work() }));
    switch (message.kind) {
      case "readImage":
        this.isReading = true;
        this.host.guard(() => this.read(message.request));
        return true;
      case "imageDone":
        this.isReading = false;
        return true;
      case "prepareImage":
        answer(() => this.prepare());
        return true;
      case "adoptImage":
        this.adopt(message.adopted);
        return true;
      default:
        return false;
    }
  }

  // ---- the end of the process ----

  /** Closes all clients, has what they kept freed, and then does nothing more. Gives up after some seconds. */
  settle(clients: ReadonlyMap<number, Client>, done: () => void): void {
    const { engine } = this;
    const until = engine.clock.monotonicMs() + SETTLE_MS;
    engine.tier?.stop();
    const look = (): void =>
      this.host.guard(() => {
        for (const client of [...clients.values()]) client.disconnected();
        engine.turn.touch();
        const isMore = engine.maintain(this.workers, MAINTENANCE_MS);
        const isOver = engine.clock.monotonicMs() >= until;
        if (!isOver && (isMore || clients.size > 0 || !engine.isSettled)) return void setTimeout(look, LOOK_MS);
        engine.turn.finish();
        this.isQuiet = true;
        engine.store.pool.unreserve(0);
        engine.publishCounters();
        done();
      });
    look();
  }

  /** All workers are quiet: frees what belongs to none of them. Returns why that cannot be done, "" = it is done. */
  private prepare(): string {
    const { call, store, scripts } = this.engine;
    store.section.beginTurn();
    const isDone = store.section.withinAll(() => {
      for (const shard of store.shards) call.tracking.keys.clear(shard);
    });
    if (!isDone || !scripts.flush()) return "a lock is held";
    const check = (): void => {
      for (const shard of store.shards) checkShard(store, shard);
    };
    if (CHECKS) store.section.withinAll(check);
    store.pool.unreserve(0);
    this.engine.publishCounters();
    return "";
  }

  // ---- the start ----

  /** Puts the blocks of this worker in place, in slices. Answers why that cannot be done, "" = it is done. */
  private read({ directory, head }: ImageReadRequest): void {
    const chunksPerRegion = head.geometry.regionBytes >>> 20;
    const reader = attempt(() =>
      ImageReader.open(this.files, directory, head, (chunks) => usedRuns(chunks, chunksPerRegion)),
    );
    if (typeof reader === "string") return this.host.post({ kind: "imageAnswer", failure: reader });
    let block = this.worker;
    const slice = (): string | null => {
      const until = this.engine.clock.monotonicMs() + SLICE_MS;
      for (; block < reader.blockCount; block += this.workers) {
        if (this.engine.clock.monotonicMs() > until) return null;
        if (!reader.restore(block, this.engine.arena)) return `the checksum of block ${block} does not match`;
      }
      return "";
    };
    const next = (): void =>
      this.host.guard(() => {
        const failure = attempt(slice);
        if (failure === null) return soon(next);
        reader.close();
        this.host.post({ kind: "imageAnswer", failure });
      });
    next();
  }

  /** The data is in place. */
  private adopt({ logBytes, deadBytes, heapBytes, chunkBytes, files }: Adopted): void {
    const { store, tier } = this.engine;
    store.log.usedBytes += logBytes;
    store.log.deadBytes += deadBytes;
    store.heap.usedBytes += heapBytes;
    store.large.usedBytes += chunkBytes;
    // It began with the seeds of the process before.
    store.random.reseed(crypto.getRandomValues(new Uint32Array(1))[0]!);
    for (let n = 0; n < files.length; n += 2) tier!.writer.adopt(files[n]!, files[n + 1]!);
    this.engine.publishCounters();
  }
}
