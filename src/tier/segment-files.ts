/**
 * The segment files of one worker: their names, and the descriptors through which it reads the files of all workers.
 *
 *   data_dir/segments/00000012.seg     the file with number 12 (store/cold-files.ts): entries (store/cold.ts), one behind the other
 *
 * A file is written once, from its begin to its end, by the worker that made it, and is never truncated. What is in it is a
 * part of the running process's data set: the directory is emptied when the server starts, unless it takes over the memory of
 * the process before it (persistence/stop-image.ts).
 */
import { join } from "node:path";
import type { FileDescriptor, Files } from "../base/files.ts";

export const SEGMENTS_DIRECTORY = "segments";
const SUFFIX = ".seg";
const MODE = 0o640;
const DIRECTORY_MODE = 0o750;
/** Descriptors that are kept open for reading. */
const OPEN_MAX = 128;

export function segmentName(file: number): string {
  return `${String(file).padStart(8, "0")}${SUFFIX}`;
}

/**
 * Makes the directory, and removes what another process left in it, but for files whose number `isKept` says to keep. Returns the
 * number of files removed. Throws FileFailure.
 */
export function prepareDirectory(files: Files, dataDirectory: string, isKept: (file: number) => boolean): number {
  const directory = join(dataDirectory, SEGMENTS_DIRECTORY);
  files.mkdir(directory, DIRECTORY_MODE);
  const names = files.list(directory).filter((name) => name.endsWith(SUFFIX) && !isKept(Number.parseInt(name, 10)));
  for (const name of names) files.unlink(join(directory, name));
  return names.length;
}

/** Bytes at each end of a segment file that tell it from another. */
const FINGERPRINT_BYTES = 4096;

/**
 * The first and last bytes of the `length` bytes that were written into a segment file; null when it is shorter, or not there.
 * `sync`: makes the file durable first. Throws FileFailure.
 */
export function segmentEnds(
  files: Files,
  dataDirectory: string,
  file: number,
  length: number,
  sync: boolean,
): Buffer | null {
  const path = join(dataDirectory, SEGMENTS_DIRECTORY, segmentName(file));
  const found = files.stat(path);
  if (found === null || found.bytes < length) return null;
  const descriptor = files.open(path, sync ? "r+" : "r", MODE);
  try {
    if (sync) files.fsync(descriptor);
    const part = Math.min(FINGERPRINT_BYTES, length);
    const ends = Buffer.alloc(part * 2);
    const head = files.read(descriptor, ends, 0, part, 0);
    const tail = files.read(descriptor, ends, part, part, length - part);
    return head + tail === ends.length ? ends : null;
  } finally {
    files.close(descriptor);
  }
}

/** A descriptor for reading, and the reads through it that are under way. */
export interface OpenSegment {
  readonly file: number;
  readonly descriptor: FileDescriptor;
  users: number;
  /** Number of the last `open`. */
  lastOpen: number;
}

export class SegmentFiles {
  private readonly directory: string;
  /** By number. Reads do not change it, because maps that are changed for each read make garbage. */
  private readonly opened = new Map<number, OpenSegment>();
  private opens = 0;

  constructor(
    readonly files: Files,
    dataDirectory: string,
  ) {
    this.directory = join(dataDirectory, SEGMENTS_DIRECTORY);
  }

  pathOf(file: number): string {
    return join(this.directory, segmentName(file));
  }

  /** Opens a new file for writing. Throws FileFailure. */
  create(file: number): FileDescriptor {
    return this.files.open(this.pathOf(file), "wx", MODE);
  }

  /** Opens a file for one read, which `release` ends. Throws FileFailure. */
  open(file: number): OpenSegment {
    let segment = this.opened.get(file);
    if (segment === undefined) {
      segment = { file, descriptor: this.files.open(this.pathOf(file), "r", 0), users: 0, lastOpen: 0 };
      if (this.opened.size >= OPEN_MAX) this.closeOldest();
      this.opened.set(file, segment);
    }
    segment.lastOpen = ++this.opens;
    segment.users++;
    return segment;
  }
  release(segment: OpenSegment): void {
    segment.users--;
    if (segment.users === 0 && this.opened.get(segment.file) !== segment) this.files.close(segment.descriptor);
  }

  private closeOldest(): void {
    let oldest: OpenSegment | null = null;
    for (const segment of this.opened.values())
      if (segment.users === 0 && (oldest === null || segment.lastOpen < oldest.lastOpen)) oldest = segment;
    if (oldest !== null) this.forget(oldest.file);
  }

  /** The file is gone, or is to be opened anew: its descriptor is closed once no read uses it. */
  forget(file: number): void {
    const segment = this.opened.get(file);
    if (segment === undefined) return;
    this.opened.delete(file);
    if (segment.users === 0) this.files.close(segment.descriptor);
  }

  /** Closes the descriptors of files of which `isThere` says no: another worker has unlinked them. */
  forgetGone(isThere: (file: number) => boolean): void {
    for (const file of [...this.opened.keys()]) if (!isThere(file)) this.forget(file);
  }

  unlink(file: number): void {
    this.forget(file);
    this.files.unlink(this.pathOf(file));
  }
}
