/**
 * The main thread's control of stop images (persistence/stop-image.ts).
 *
 *   start  findImage: is there one, for this program and this data file? │ its seeds │ ImageControl.load: regions, all workers read
 *          their blocks, and refuse connections with LOADING │ all checksums hold: the pool, the words of the control block and
 *          the segment files are put in place │ removed │ only then the workers serve clients
 *   stop   no client is left, all workers are quiet, the append-only file is synced │ ImageControl.save
 *
 * Whatever speaks against an image, the data file is loaded instead, and a log line says why.
 */
import { soon } from "../base/soon.ts";
import { join, resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import { FileFailure, type Files, realFiles } from "../base/files.ts";
import { reached } from "../base/kill-point.ts";
import { layout } from "../base/layout.ts";
import type { Logger } from "../base/log.ts";
import { systemClock } from "../base/clock.ts";
import { FRAME_BYTES } from "../memory/arena.ts";
import { CLOCK_OFFSET_AT } from "../memory/control.ts";
import { FRAMES_OF, usedRuns } from "../memory/frame-pool.ts";
import { releasePages } from "../memory/native.ts";
import { type ImagePlaces, imageSource, isOlder, isSame } from "../persistence/image-source.ts";
import type { SavedHistory } from "../persistence/saved-history.ts";
import { checkpointDirectory } from "../persistence/save-plan.ts";
import { SaveState } from "../persistence/save-state.ts";
import {
  type ImageHead,
  ImageReader,
  ImageWriter,
  readImageHead,
  removeImage,
  SEGMENT_ENTRY_WORDS,
  sumWords,
} from "../persistence/stop-image.ts";
import { UNIT_BYTES } from "../store/address.ts";
import { ENTRY_UNIT_BYTES } from "../store/cold.ts";
import { ColdFiles } from "../store/cold-files.ts";
import { keyCount } from "../store/keyspace.ts";
import { Keyspaces } from "../store/keyspaces.ts";
import { restoreDataWords, saveDataWords, unsettledShard } from "../store/data-words.ts";
import { Segments, SegmentState } from "../store/segments.ts";
import { Shard } from "../store/shard.ts";
import { segmentEnds, SEGMENTS_DIRECTORY } from "../tier/segment-files.ts";
import { Cell, type Cells } from "./cells.ts";
import type { Adopted } from "./image-messages.ts";
import type { Memory } from "./memory.ts";
import type { ToMain, ToWorker } from "./messages.ts";

/** Blocks that are written in one turn of the event loop. */
const BLOCKS_A_TURN = 64;

export function imagePlaces(config: Config): ImagePlaces {
  return {
    directory: resolve(config.text("storage.data_dir")),
    rdbName: config.text("persistence.rdb_filename"),
    checkpoints: checkpointDirectory(config),
    aofName: config.flag("persistence.enable_aof") ? config.text("persistence.aof_filename") : "",
  };
}

function isWanted(config: Config): boolean {
  const choice = config.text("persistence.stop_image");
  return choice === "yes" || (choice === "auto" && config.flag("storage.tiering"));
}

/** The image that the start can use; null = none. One that cannot be used is removed. */
export function findImage(config: Config, log: Logger, files: Files = realFiles): ImageHead | null {
  const places = imagePlaces(config);
  let head: ImageHead | string;
  let why: string;
  try {
    head = readImageHead(files, places.directory);
    why = typeof head === "string" ? head : objection(config, files, places, head);
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    head = why = thrown.message;
  }
  if (typeof head !== "string" && why === "") return head;
  if (why !== "") passOver(log, why);
  discard(files, log, places.directory);
  return null;
}

function passOver(log: Logger, why: string): void {
  log.warn(`the stop image is not used, the data is loaded instead: ${why}`);
}

function discard(files: Files, log: Logger, directory: string): void {
  try {
    removeImage(files, directory);
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    log.warn(`a stop image could not be removed: ${thrown.message}`);
  }
}

/** Why the image does not fit this start, "" = it does. */
function objection(config: Config, files: Files, places: ImagePlaces, head: ImageHead): string {
  const { geometry } = head;
  if (!isWanted(config)) return `persistence.stop_image is ${config.text("persistence.stop_image")}`;
  if (head.layout !== layout()) return "it is of another version of Ferrite";
  const differs = (name: string, then: number, now: number) =>
    then === now ? "" : `${name} was ${then}, and is ${now}`;
  const reasons = [
    differs("the number of workers", geometry.workers - 1, config.workerThreads),
    differs("storage.num_shards", geometry.shards, config.number("storage.num_shards")),
    differs("server.databases", geometry.databases, config.number("server.databases")),
    differs("storage.region_size", geometry.regionBytes, config.number("storage.region_size")),
  ];
  const reason = reasons.find((each) => each !== "");
  if (reason !== undefined) return reason;
  if (head.frameBytes > config.maxMemoryBytes) return "max_memory is less than it takes";
  if (head.segmentFiles > 0 && !config.flag("storage.tiering")) return "storage.tiering is off, and values are on disk";
  return isSame(files, places, head.source) ? "" : `${head.source.path} has changed since it was written`;
}

type UsedBytes = Omit<Adopted, "files">;
const NO_BYTES: UsedBytes = { logBytes: 0, deadBytes: 0, heapBytes: 0, chunkBytes: 0 };

/** The end of a log. */
export interface LogEnd {
  readonly logId: string;
  readonly position: number;
}

export interface ImageHost {
  readonly workers: number;
  send(worker: number, message: ToWorker): void;
}

export class ImageControl {
  private answers: { left: number; failure: string; resolve: (failure: string) => void } | null = null;
  private readonly coldFiles: ColdFiles;
  private get places(): ImagePlaces {
    return imagePlaces(this.config);
  }

  constructor(
    private readonly config: Config,
    private readonly log: Logger,
    private readonly memory: Memory,
    private readonly cells: Cells,
    private readonly host: ImageHost,
    private readonly files: Files = realFiles,
  ) {
    this.coldFiles = new ColdFiles(memory.control);
  }

  /** Takes a message of a worker. Returns false when it is about something else. */
  receive(message: ToMain): boolean {
    if (message.kind !== "imageAnswer") return false;
    const answers = this.answers!;
    if (answers.failure === "") answers.failure = message.failure;
    if (--answers.left === 0) answers.resolve(answers.failure);
    return true;
  }

  /** Sends the message to the first `count` workers. Resolves with the first failure that one answers, "" = there is none. */
  private ask(message: ToWorker, count: number): Promise<string> {
    return new Promise((resolve) => {
      this.answers = { left: count, failure: "", resolve };
      for (let worker = 0; worker < count; worker++) this.host.send(worker, message);
    });
  }

  // ---- the start ----

  /**
   * Puts the data set of the image in place, and removes the image. Returns false when that cannot be done: nothing has changed then.
   * The workers serve nobody before `serve`.
   */
  async load(head: ImageHead): Promise<boolean> {
    const { directory } = this.places;
    const beganMs = systemClock.monotonicMs();
    this.log.info(`a stop image of ${head.frameBytes} bytes is read`);
    let failure: string;
    try {
      failure = await this.ask({ kind: "readImage", request: { directory, head } }, this.host.workers);
      if (failure === "") failure = this.install(head);
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      failure = thrown.message;
    }
    if (failure !== "") {
      passOver(this.log, failure);
      // What the workers have read lies in free frames.
      for (const region of this.memory.regions.keys())
        releasePages(this.memory.arena.bytesOf(region), 0, head.geometry.regionBytes);
    }
    if (failure === "") reached("image-used");
    discard(this.files, this.log, directory); // STOPIMAGE-3
    if (failure !== "") return false;
    reached("image-removed");
    const seconds = ((systemClock.monotonicMs() - beganMs) / 1000).toFixed(3);
    this.log.info(
      `DB loaded from the stop image: ${head.keys} keys, ${head.frameBytes} bytes, ${head.segmentFiles} segment files, ${seconds} s`,
    );
    return true;
  }

  /** The workers serve clients from now on, after what was sent to them before. */
  serve(): void {
    for (let worker = 0; worker < this.host.workers; worker++) this.host.send(worker, { kind: "imageDone" });
  }

  private install(head: ImageHead): string {
    const { control, pool } = this.memory;
    const chunksPerRegion = control.geometry.regionBytes >>> 20;
    const reader = ImageReader.open(this.files, this.places.directory, head, (chunks) =>
      usedRuns(chunks, chunksPerRegion),
    );
    if (typeof reader === "string") return reader;
    reader.close();
    const { tables } = reader;
    const { segments } = tables;
    for (let at = 0; at < segments.length; at += SEGMENT_ENTRY_WORDS) {
      const [file, written, , , low, high] = segments.subarray(at, at + SEGMENT_ENTRY_WORDS);
      const ends = segmentEnds(this.files, this.places.directory, file!, written! * ENTRY_UNIT_BYTES, false);
      const sum = ends === null ? null : sumWords(ends);
      if (sum === null || sum[0] !== low || sum[1] !== high) return `segment file ${file} is not as it was written`;
    }
    if (!pool.isUnused) return "memory is in use already";
    pool.restore(tables.chunks);
    restoreDataWords(control, tables.data);
    for (let at = 0; at < segments.length; at += SEGMENT_ENTRY_WORDS) {
      const [file, written, live, records] = segments.subarray(at, at + SEGMENT_ENTRY_WORDS);
      this.coldFiles.adopt(file!, written!, live!, records!, head.lastSegment);
    }
    const files: number[] = [];
    for (let at = 0; at < segments.length; at += SEGMENT_ENTRY_WORDS) files.push(segments[at]!, segments[at + 1]!);
    this.adopt(files, this.usedBytes());
    return "";
  }

  /** The workers learn what is theirs now: of `segments`, which are numbers and units, each has some. */
  private adopt(segments: readonly number[], used: UsedBytes): void {
    const { workers } = this.host;
    for (let worker = 0; worker < workers; worker++) {
      const files: number[] = [];
      for (let at = 0; at < segments.length; at += 2)
        if (segments[at]! % workers === worker) files.push(segments[at]!, segments[at + 1]!);
      this.host.send(worker, { kind: "adoptImage", adopted: { ...(worker === 0 ? used : NO_BYTES), files } });
    }
  }
  /** As for the files of an image: numbers and units of segment files that were there before. */
  shareOut(segments: readonly number[]): void {
    this.adopt(segments, NO_BYTES);
  }

  /** What the data takes, by what it is taken for. */
  private usedBytes(): UsedBytes {
    const { control, pool, arena } = this.memory;
    const segments = new Segments(arena, pool);
    let logBytes = 0;
    let deadBytes = 0;
    let heapBytes = 0;
    let chunkBytes = pool.framesOut * FRAME_BYTES;
    for (let number = 0; number < control.geometry.shards; number++) {
      const shard = new Shard(control, number);
      logBytes += shard.liveUnits * UNIT_BYTES;
      deadBytes += shard.deadUnits * UNIT_BYTES;
      heapBytes += shard.heapLiveBytes;
      for (let segment = 1; segment <= shard.highestSegment; segment++)
        if (segments.state(shard, segment) !== SegmentState.Free)
          chunkBytes -= FRAMES_OF[segments.frameSize(shard, segment)] * FRAME_BYTES;
    }
    return { logBytes, deadBytes, heapBytes, chunkBytes };
  }

  /** Whether a file of the disk tier belongs to the data that is in place. */
  keepsSegment(file: number): boolean {
    return this.coldFiles.isOpen(file);
  }

  // ---- the stop ----

  /** True when the end of the server is to leave an image. */
  get isWanted(): boolean {
    return isWanted(this.config);
  }

  /**
   * Writes the image. All workers are quiet, and the append-only file is complete up to `aof`; null = it is off. A failure only means that the next start takes longer.
   */
  async save(aof: LogEnd | null, history: SavedHistory | null): Promise<void> {
    const { directory } = this.places;
    try {
      removeImage(this.files, directory);
      const why = (await this.ask({ kind: "prepareImage" }, 1)) || this.refusal(aof);
      if (why !== "") return this.log.info(`no stop image is written: ${why}`);
      await this.write(history);
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      this.log.warn(`the stop image could not be written: ${thrown.message}`);
      discard(this.files, this.log, directory);
    }
  }

  /** Why an image would not be exactly what the data file has, "" = it is. */
  private refusal(aof: LogEnd | null): string {
    const { files, places, cells } = this;
    const { control } = this.memory;
    const source = imageSource(files, places);
    if (source === null) return "there is no data file that it could stand for";
    if (source.kind === "aof") {
      if (source.position !== aof?.position || source.logId !== aof.logId)
        return `${source.path} does not have all changes`;
    } else {
      const saves = new SaveState(control);
      if (this.hasChanged) return `${source.path} does not have all changes`;
      if (!isOlder(files, join(places.directory, source.path), saves.get("lastSaveMs")))
        return `${source.path} is not the file that was loaded or saved`;
    }
    if (control.f64[CLOCK_OFFSET_AT >>> 1] !== 0) return "DEBUG CLOCK has changed the time";
    if (cells.sum(Cell.coldReadFailures) > 0) return "values on disk are damaged";
    const unsettled = unsettledShard(control);
    if (unsettled !== null) return `shard ${unsettled.number} is still in use`;
    const { logBytes, heapBytes, chunkBytes } = this.usedBytes();
    const unknown = cells.sum(Cell.usedBytes) - logBytes - heapBytes - chunkBytes;
    return unknown === 0 ? "" : `${unknown} bytes belong to no key`;
  }
  private get hasChanged(): boolean {
    return this.cells.sum(Cell.changes) !== new SaveState(this.memory.control).get("savedChanges");
  }

  private async write(history: SavedHistory | null): Promise<void> {
    const { files, log, memory } = this;
    const { control, pool, arena } = memory;
    const { directory } = this.places;
    const beganMs = systemClock.monotonicMs();
    const chunks = pool.save();
    const segments = await this.syncSegments();
    if (typeof segments === "string") return log.warn(`no stop image is written: ${segments}`);
    const writer = new ImageWriter(files, directory, arena, usedRuns(chunks, control.geometry.regionBytes >>> 20));
    for (let block = 1; writer.step(); block++) if (block % BLOCKS_A_TURN === 0) await nextTurn();
    const head = {
      layout: layout(),
      geometry: control.geometry,
      regions: memory.regions.length,
      source: imageSource(files, this.places)!,
      history,
      keys: this.keys,
      frameBytes: writer.bytes,
      segmentFiles: segments.length / SEGMENT_ENTRY_WORDS,
      lastSegment: this.coldFiles.last,
    };
    const bytes = writer.complete(head, { data: saveDataWords(control), chunks, segments }, reached);
    const seconds = ((systemClock.monotonicMs() - beganMs) / 1000).toFixed(3);
    log.info(`stop image written: ${bytes} bytes, ${head.segmentFiles} segment files, ${seconds} s`);
  }

  private get keys(): number {
    const { control } = this.memory;
    const keyspaces = new Keyspaces(control);
    let keys = 0;
    for (let number = 0; number < control.geometry.shards; number++) {
      const shard = new Shard(control, number);
      for (let db = 0; db < keyspaces.databases; db++) keys += keyCount(control.i32, shard.keyspace(keyspaces.of(db)));
    }
    return keys;
  }

  /** Makes the segment files durable, and lists them. Returns why that cannot be done. */
  private async syncSegments(): Promise<Int32Array | string> {
    const { coldFiles, files, places } = this;
    const entries: number[] = [];
    for (const file of coldFiles.needed()) {
      const written = coldFiles.writtenUnits(file);
      const ends = segmentEnds(files, places.directory, file, written * ENTRY_UNIT_BYTES, true);
      if (ends === null) return `segment file ${file} is shorter than it was written`;
      entries.push(file, written, coldFiles.liveUnits(file), coldFiles.liveRecords(file), ...sumWords(ends));
      await nextTurn();
    }
    if (entries.length > 0) files.syncDirectory(join(places.directory, SEGMENTS_DIRECTORY));
    return Int32Array.from(entries);
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => soon(resolve));
}
