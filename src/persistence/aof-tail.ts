/**
 * Tail of a rewritten append-only file: what the change log had since the base was taken, copied from the old file.
 *
 *   old file │ ... │ batch, annotation │ batch, annotation │
 *                      ▲ position of the base, perhaps within a batch
 *   new file │ base │ marker │ rest of the batch, its annotation │ batch, annotation │
 */
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { type FileDescriptor, FileFailure, type Files, writeFully } from "../base/files.ts";
import { reached } from "../base/kill-point.ts";
import { annotationLine } from "./aof-format.ts";

const BLOCK_BYTES = 4 << 20;
/** A sync while the file grows takes this much at a time, so that the last one is short. */
const SYNC_BYTES = 32 << 20;

/** Bytes of the log, from position `from` to `to`, that lie at `offset` of the file. `isEnd`: a batch ends with them. */
export interface LogRange {
  readonly from: number;
  readonly to: number;
  readonly offset: number;
  readonly isEnd: boolean;
}

export class AofTail {
  private readonly source: FileDescriptor;
  private readonly target: FileDescriptor;
  private length: number;
  private unsynced = 0;
  /** Number of ranges that were copied. */
  private copied = 0;
  /** Checksum and length of the batch that is being copied. */
  private crc = 0;
  private bytes = 0;

  /** The file at `base`, which holds the data as of `position`, is to become `goal` in place of `path`. Throws FileFailure. */
  constructor(
    private readonly files: Files,
    private readonly path: string,
    private readonly base: string,
    private readonly position: number,
    private readonly logId: string,
    private readonly goal: string,
  ) {
    this.source = files.open(path, "r", 0);
    let target: FileDescriptor | null = null;
    try {
      this.target = target = files.open(base, "a", 0o640);
      this.length = files.size(target);
      this.annotate(position, 0, 0);
    } catch (thrown) {
      if (target !== null) files.close(target);
      files.close(this.source);
      throw thrown;
    }
  }

  /** Copies the next of `ranges`. Returns false when there is none. Throws FileFailure. */
  step(ranges: readonly LogRange[]): boolean {
    const range = ranges[this.copied];
    if (range === undefined) return false;
    this.copied++;
    const { from, to, offset, isEnd } = range;
    if (to <= this.position) return true;
    const skipped = Math.max(0, this.position - from);
    this.copy(offset + skipped, to - from - skipped);
    if (!isEnd) return true;
    this.annotate(to, this.bytes, this.crc);
    this.bytes = this.crc = 0;
    return true;
  }

  private copy(from: number, length: number): void {
    const block = Buffer.allocUnsafeSlow(Math.min(length, BLOCK_BYTES));
    for (let done = 0; done < length; ) {
      const got = this.files.read(this.source, block, 0, Math.min(block.length, length - done), from + done);
      if (got === 0) throw new FileFailure("read", this.path, "", "it is shorter than what was written");
      const part = block.subarray(0, got);
      this.crc = crc32(part, this.crc);
      this.append(part);
      done += got;
    }
    this.bytes += length;
  }

  private annotate(position: number, bytes: number, crc: number): void {
    this.append(Buffer.from(annotationLine({ logId: this.logId, position, bytes, crc })));
  }

  private append(bytes: Uint8Array): void {
    writeFully(this.files, this.target, bytes);
    this.length += bytes.length;
    this.unsynced += bytes.length;
    if (this.unsynced < SYNC_BYTES) return;
    this.files.fdatasync(this.target);
    this.unsynced = 0;
  }

  /** The new file is complete: it takes the place of the old one. Returns it. Throws FileFailure, with the old one in place. */
  commit(): { file: FileDescriptor; length: number; position: number } {
    const { files, target: file, length, position } = this;
    files.fsync(file);
    reached("rewrite-tail");
    files.rename(this.base, this.goal);
    reached("rewrite-renamed");
    files.syncDirectory(dirname(this.goal));
    reached("rewrite-directory");
    files.close(this.source);
    if (this.path !== this.goal) files.unlink(this.path);
    return { file, length, position };
  }

  /** The new file is not wanted. */
  abandon(): void {
    try {
      this.files.close(this.source);
      this.files.close(this.target);
      this.files.unlink(this.base);
    } catch (thrown) {
      // A file that stays is removed by the next start.
      if (!(thrown instanceof FileFailure)) throw thrown;
    }
  }
}
