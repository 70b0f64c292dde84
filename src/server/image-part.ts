/**
 * A worker's part in stop images (image-control.ts): it lets go of everything that is not data before one is written, and puts
 * its share of the blocks in place when one is read.
 */
import { CHECKS } from "../base/assert.ts";
import type { Files } from "../base/files.ts";
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
/** Background work between two looks, ms. */
const MAINTENANCE_MS = 1;

export interface ImagePartHost {
  guard(work: () => void): void;
  post(message: ToMain): void;
}

export class ImagePart {
  /** Nothing of this worker touches the data any more. */
  isQuiet = false;

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
        answer(() => this.read(message.request));
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

  /** Puts the blocks of this worker in place. Returns why that cannot be done, "" = it is done. */
  private read({ directory, head }: ImageReadRequest): string {
    try {
      const { arena } = this.engine;
      const chunksPerRegion = head.geometry.regionBytes >>> 20;
      const reader = ImageReader.open(this.files, directory, head, (chunks) => usedRuns(chunks, chunksPerRegion));
      if (typeof reader === "string") return reader;
      try {
        for (let block = this.worker; block < reader.blockCount; block += this.workers)
          if (!reader.restore(block, arena)) return `the checksum of block ${block} does not match`;
      } finally {
        reader.close();
      }
      return "";
    } catch (thrown) {
      if (thrown instanceof FileFailure) return thrown.message;
      throw thrown;
    }
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
