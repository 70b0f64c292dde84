/**
 * Measures the disk of the data directory, and says what a disk tier gains there: sequential writes, syncs, and random reads of
 * 4 KiB, one after the other and several at a time. It takes about a second and at most 64 MiB.
 *
 * The file has no name while it is measured: it is unlinked as soon as it is open, so it is gone however the program ends.
 */
import { join } from "node:path";
import type { Config } from "../base/config/config.ts";
import { errorMessage, osErrorText } from "../base/errors.ts";
import { type FileDescriptor, FileFailure, type Files } from "../base/files.ts";
import { Random } from "../base/random.ts";
import { type Finding, fine, note, warning } from "./finding.ts";
import { nearestExisting, type Surroundings } from "./surroundings.ts";

const CHUNK_BYTES = 1 << 20;
const PAGE_BYTES = 4096;
/** Bytes between two syncs of the sequential writes. */
const SYNC_BYTES = 8 << 20;
/** Reads at a time, as many as the threads of the file pool keep under way. */
const DEPTH = 16;
const SYNCS_MAX = 16;
const READS_MAX = 4096;

export interface DiskLimits {
  /** Most bytes written. */
  readonly bytes: number;
  /** About how long each of the four parts may take, ms. */
  readonly partMs: number;
}
export const DISK_LIMITS: DiskLimits = { bytes: 64 << 20, partMs: 250 };
/** Free space that must be left beside the file. */
const SPARE_BYTES = 256 << 20;

export interface DiskSpeed {
  readonly writeBytesPerSecond: number;
  readonly syncMs: number;
  readonly readP50Micros: number;
  readonly readP99Micros: number;
  /** With DEPTH reads at a time. */
  readonly readsPerSecond: number;
  /** The reads may have come from the page cache: the system could not be asked to drop the file from it. */
  readonly isCached: boolean;
}

/** What measuring needs of the machine. */
export type DiskBench = Pick<Surroundings, "files" | "nowMs" | "dropCached">;

/** Throws FileFailure. */
export async function measureDisk(bench: DiskBench, directory: string, limits: DiskLimits): Promise<DiskSpeed> {
  const { files } = bench;
  const path = join(directory, `.ferrite-doctor-${process.pid}`);
  const file = openNameless(files, path);
  try {
    const { bytes, writeBytesPerSecond } = writeAll(bench, file, limits);
    const syncMs = syncTimes(bench, file, limits);
    const isCached = !bench.dropCached(file);
    const reads = readTimes(bench, file, bytes, limits);
    bench.dropCached(file);
    const readsPerSecond = await readsAtOnce(bench, file, bytes, limits);
    return {
      writeBytesPerSecond,
      syncMs,
      readP50Micros: quantile(reads, 0.5) * 1000,
      readP99Micros: quantile(reads, 0.99) * 1000,
      readsPerSecond,
      isCached,
    };
  } finally {
    files.close(file);
  }
}

/** Opens a new file for reading and writing, which has no name. */
function openNameless(files: Files, path: string): FileDescriptor {
  files.close(files.open(path, "wx", 0o600));
  try {
    return files.open(path, "r+", 0);
  } finally {
    files.unlink(path);
  }
}

function writeAll({ files, nowMs }: DiskBench, file: FileDescriptor, { bytes, partMs }: DiskLimits) {
  const random = new Random(1);
  const chunk = new Uint8Array(CHUNK_BYTES);
  const words = new Uint32Array(chunk.buffer);
  // Bytes that no file system makes smaller.
  for (let i = 0; i < words.length; i++) words[i] = random.bits();
  const beganMs = nowMs();
  let written = 0;
  // Synced in between: else a slow disk would show only at the end, when everything is written.
  while (written < bytes && nowMs() < beganMs + partMs) {
    const untilBytes = Math.min(bytes, written + SYNC_BYTES);
    while (written < untilBytes)
      written += files.write(file, chunk, 0, Math.min(CHUNK_BYTES, untilBytes - written), written);
    files.fdatasync(file);
  }
  return { bytes: written, writeBytesPerSecond: (written * 1000) / Math.max(nowMs() - beganMs, 0.001) };
}

/** The median time of a write of 4 KiB that is synced. */
function syncTimes({ files, nowMs }: DiskBench, file: FileDescriptor, { partMs }: DiskLimits): number {
  const page = new Uint8Array(PAGE_BYTES);
  const times: number[] = [];
  const untilMs = nowMs() + partMs;
  while (times.length < SYNCS_MAX && (times.length === 0 || nowMs() < untilMs)) {
    const beganMs = nowMs();
    files.write(file, page, 0, PAGE_BYTES, times.length * PAGE_BYTES);
    files.fdatasync(file);
    times.push(nowMs() - beganMs);
  }
  return quantile(times, 0.5);
}

/** Times of reads one after the other, ms. */
function readTimes({ files, nowMs }: DiskBench, file: FileDescriptor, bytes: number, { partMs }: DiskLimits): number[] {
  const random = new Random(2);
  const page = new Uint8Array(PAGE_BYTES);
  const pages = Math.max(1, Math.floor(bytes / PAGE_BYTES));
  const times: number[] = [];
  const untilMs = nowMs() + partMs;
  while (times.length < READS_MAX && (times.length === 0 || nowMs() < untilMs)) {
    const beganMs = nowMs();
    files.read(file, page, 0, PAGE_BYTES, random.below(pages) * PAGE_BYTES);
    times.push(nowMs() - beganMs);
  }
  return times;
}

/** Reads a second with DEPTH of them under way. */
async function readsAtOnce(bench: DiskBench, file: FileDescriptor, bytes: number, limits: DiskLimits): Promise<number> {
  const { files, nowMs } = bench;
  const random = new Random(3);
  const pages = Math.max(1, Math.floor(bytes / PAGE_BYTES));
  const beganMs = nowMs();
  let done = 0;
  const reader = async (): Promise<void> => {
    const page = new Uint8Array(PAGE_BYTES);
    while (done < READS_MAX && nowMs() < beganMs + limits.partMs) {
      await readOnce(files, file, page, random.below(pages) * PAGE_BYTES);
      done++;
    }
  };
  await Promise.all(Array.from({ length: DEPTH }, reader));
  return (done * 1000) / Math.max(nowMs() - beganMs, 0.001);
}

function readOnce(files: Files, file: FileDescriptor, page: Uint8Array, position: number): Promise<void> {
  return new Promise((resolve, reject) =>
    files.readLater(file, page, PAGE_BYTES, position, (failure) => (failure === null ? resolve() : reject(failure))),
  );
}

/** The value that `share` of the numbers do not exceed. */
function quantile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

// ---- what that means ----

/** Median of a read, us: up to here a cold value costs little more than the network; above, clients feel each one. */
const QUICK_MICROS = 500;
const SLOW_MICROS = 3000;
/** Reads a second, below which a tenth of an ordinary load would queue. */
const READS_MIN = 2000;

/** What a disk tier gains on such a disk. */
export function judgeDisk(speed: DiskSpeed, isOn: boolean): Finding {
  const text = describe(speed);
  if (speed.isCached)
    return note("disk_speed", `${text}; the reads may have come from the page cache, so they say nothing about a tier`);
  const { readP50Micros, readsPerSecond } = speed;
  if (readP50Micros <= QUICK_MICROS && readsPerSecond >= READS_MIN)
    return fine(
      "disk_speed",
      `${text}: a disk tier pays off here, for data of which up to ${Math.round(readsPerSecond)} values a second are read from disk`,
    );
  const isSlow = readP50Micros > SLOW_MICROS || readsPerSecond < READS_MIN / 10;
  const verdict = isSlow
    ? "a disk tier does not pay off here, except for data that is hardly ever read"
    : `a disk tier pays off here where few reads miss memory: fewer than ${Math.round(readsPerSecond)} a second`;
  if (!isSlow || !isOn) return note("disk_speed", `${text}: ${verdict}`);
  return warning("disk_speed", {
    text: `${text}: ${verdict}`,
    meaning: "Clients whose values are on disk wait for that long, and reads queue when there are more.",
    mend: "storage.data_dir on an SSD; or storage.tiering = false; ferrite tier advise says how many reads would miss memory",
  });
}

function describe(speed: DiskSpeed): string {
  const { writeBytesPerSecond, syncMs, readP50Micros, readP99Micros, readsPerSecond } = speed;
  return (
    `writes ${Math.round(writeBytesPerSecond / 1e6)} MB/s, a sync takes ${syncMs.toFixed(2)} ms, ` +
    `a read of 4 KiB p50 ${Math.round(readP50Micros)} us, p99 ${Math.round(readP99Micros)} us, ` +
    `${Math.round(readsPerSecond)} reads/s with ${DEPTH} at a time`
  );
}

/** Measures the disk where there is a disk tier, or the operator wants it (`--disk`). */
export async function checkDiskSpeed(
  config: Config,
  around: Surroundings,
  isWanted: boolean,
  limits = DISK_LIMITS,
): Promise<Finding[]> {
  const isOn = config.flag("storage.tiering");
  if (!isOn && !isWanted) return [];
  const directory = nearestExisting(around.files, config.text("storage.data_dir"));
  const space = around.space(directory);
  if (space !== null && space.freeBytes < limits.bytes + SPARE_BYTES)
    return [
      note(
        "disk_speed",
        `not measured: ${Math.floor(space.freeBytes / 2 ** 20)} MiB are free on the disk of ${directory}`,
      ),
    ];
  try {
    return [judgeDisk(await measureDisk(around, directory, limits), isOn)];
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    const reason = thrown.code !== "" ? osErrorText(thrown.code) : errorMessage(thrown);
    return [
      warning("disk_speed", {
        text: `the disk of ${directory} could not be measured: ${reason}`,
        meaning: "The server would fail in the same way when it writes there.",
        mend: `df -h ${directory}; ls -ld ${directory}`,
      }),
    ];
  }
}
