/**
 * Writer of the append-only file: takes the change log from its ring into the file, a batch at a time, and syncs the file.
 *
 *   change log  ... drained ──── end ...        write: bytes, annotation │ fdatasync │ durable = end
 *
 * A batch is written with its annotation, or taken back: after a failed write the file is truncated to the batch before, so
 * that nothing half written ever lies between two batches. A sync that failed makes the file unusable, although a later one
 * may succeed: the system has marked the pages clean that it could not write. Then only a new file helps.
 *
 * Invariants
 *   AOFWRITER-1  bytes before `length` are whole batches
 *   AOFWRITER-2  `durable` never passes a position whose bytes were not synced
 */
import { reached } from "../base/kill-point.ts";
import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import { writeText } from "../base/bytes.ts";
import { errorNumberWords } from "../base/errors.ts";
import { AT_CURSOR, type FileDescriptor, FileFailure, type Files } from "../base/files.ts";
import { type ChangeLog, LogState } from "../memory/change-log.ts";
import { ANNOTATION_MAX, annotationLine } from "./aof-format.ts";
import { AofTail, type LogRange } from "./aof-tail.ts";

/** A batch that is longer is written in several parts: of a unit that the ring cannot hold. */
const PART_SHARE = 0.5;

/** A batch of up to this length is written in one piece. */
const BLOCK_BYTES = 64 << 10;

/** A sync that takes longer delays the next one of appendfsync everysec, ms. */
const SLOW_MS = 1000;

/** What went wrong last, for INFO, MISCONF and the log. */
export interface WriterTrouble {
  /** "" = all is well. */
  text: string;
  /** The system's number of the error, 0 = none or unknown. */
  number: number;
  /** A sync failed, or effects were dropped: the file lacks data until it is written anew. */
  isLasting: boolean;
}

export class AofWriter {
  readonly trouble: WriterTrouble = { text: "", number: 0, isLasting: false };
  /** Bytes of the file (AOFWRITER-1), and of it those that were synced. */
  length: number;
  syncedLength: number;
  /** Checksum and length of a batch that is written in parts; 0 = none is. */
  private partCrc = 0;
  private partBytes = 0;
  /** Where the bytes of the log lie in the file, since a rewrite began; null = none is under way. */
  private ranges: LogRange[] | null = null;
  private tail: AofTail | null = null;
  private readonly block = Buffer.allocUnsafeSlow(BLOCK_BYTES + ANNOTATION_MAX);
  syncs = 0;
  /** Syncs that took so long that the next one was late. */
  delayedSyncs = 0;
  /** Longest sync, ms. */
  longestSyncMs = 0;

  /** Appends to `file`, opened for appending, of `length` bytes. */
  constructor(
    private readonly files: Files,
    public file: FileDescriptor,
    length: number,
    private readonly log: ChangeLog,
    private readonly logId: string,
    private readonly monotonicMs: () => number,
  ) {
    this.length = this.syncedLength = length;
  }

  /** True when the file holds bytes that were not synced. */
  get isDirty(): boolean {
    return this.length !== this.syncedLength || this.partBytes > 0;
  }

  /** Marks where this log begins in the file. Throws FileFailure. */
  begin(): void {
    this.writeParts([Buffer.from(annotationLine({ logId: this.logId, position: this.log.drained, bytes: 0, crc: 0 }))]);
    this.files.fdatasync(this.file);
    this.syncedLength = this.length;
  }

  /** Writes what the log has, whole units. Returns false when the file cannot be written now. */
  drain(): boolean {
    const { log } = this;
    if (this.trouble.isLasting) return false;
    const { drained, end, written } = log;
    if (log.droppedBytes > 0) {
      // A unit that did not fit while nothing could be written is not whole: the file ends before it.
      this.trouble.isLasting = true;
      return false;
    }
    try {
      if (end > drained) this.writeBatch(drained, end);
      else if (written - drained > log.size * PART_SHARE || this.partBytes > 0) this.writePart(drained, written);
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      this.failed(thrown);
      return false;
    }
    if (this.trouble.text !== "") this.recovered();
    return true;
  }

  private writeBatch(from: number, end: number): void {
    const { log } = this;
    const parts: Buffer[] = [];
    let crc = this.partCrc;
    for (let at = from; at < end; at += parts.at(-1)!.length) {
      const part = log.view(at, end);
      crc = crc32(part, crc);
      parts.push(part);
    }
    const bytes = this.partBytes + end - from;
    const line = annotationLine({ logId: this.logId, position: end, bytes, crc });
    const offset = this.length;
    if (end - from <= BLOCK_BYTES) {
      this.writeParts([this.gathered(parts, line)]);
    } else {
      parts.push(Buffer.from(line));
      this.writeParts(parts);
    }
    reached("aof-written");
    this.ranges?.push({ from, to: end, offset, isEnd: true });
    this.partBytes = this.partCrc = 0;
    log.drain(end);
  }

  /** A short batch and its annotation in one piece: a second write costs more than the copy. Valid until the next call. */
  private gathered(parts: readonly Buffer[], line: string): Buffer {
    const { block } = this;
    let at = 0;
    for (const part of parts) at += part.copy(block, at);
    return block.subarray(0, at + writeText(block, at, line));
  }

  /** A unit longer than the ring: its bytes go as they come, the annotation follows its last part. */
  private writePart(from: number, to: number): void {
    if (to === from) return;
    const part = this.log.view(from, to);
    const offset = this.length;
    this.writeParts([part]);
    this.ranges?.push({ from, to: from + part.length, offset, isEnd: false });
    this.partCrc = crc32(part, this.partCrc);
    this.partBytes += part.length;
    this.log.drain(from + part.length);
  }

  private writeParts(parts: readonly Buffer[]): void {
    let written = 0;
    try {
      for (const part of parts) {
        for (let at = 0; at < part.length; ) {
          const count = this.files.write(this.file, part, at, part.length - at, AT_CURSOR);
          at += count;
          written += count;
        }
      }
    } catch (thrown) {
      if (written > 0) this.takeBack();
      throw thrown;
    }
    this.length += written;
  }

  /** AOFWRITER-1 */
  private takeBack(): void {
    try {
      this.files.truncate(this.file, this.length);
    } catch {
      this.trouble.isLasting = true;
    }
  }

  /** Syncs the file. Returns false when that failed: the file is then not written any more. */
  sync(): boolean {
    if (!this.isDirty) return !this.trouble.isLasting;
    const { length } = this;
    const position = this.log.drained;
    const fromMs = this.monotonicMs();
    try {
      this.files.fdatasync(this.file);
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      this.trouble.isLasting = true;
      this.failed(thrown);
      return false;
    }
    const tookMs = this.monotonicMs() - fromMs;
    this.longestSyncMs = Math.max(this.longestSyncMs, tookMs);
    if (tookMs > SLOW_MS) this.delayedSyncs++;
    this.syncs++;
    reached("aof-synced");
    this.syncedLength = length;
    if (this.partBytes === 0) this.log.setDurable(position); // AOFWRITER-2
    return true;
  }

  private failed(failure: FileFailure): void {
    this.trouble.text = failure.message;
    this.trouble.number = failure.number;
    this.log.fail(failure.number);
  }

  /** A worker that had borrowed the file met an error: the file cannot be trusted. */
  takeFailureOver(number: number): void {
    this.trouble.isLasting = true;
    this.trouble.number = number;
    this.trouble.text = `append-only file: ${errorNumberWords(number)}`;
  }

  /** True when nothing of the file is known to this thread alone (AOFSHARE-2). */
  get canBeLent(): boolean {
    return this.ranges === null && this.partBytes === 0 && this.trouble.text === "" && !this.trouble.isLasting;
  }

  private recovered(): void {
    this.trouble.text = "";
    this.trouble.number = 0;
    this.log.state = LogState.On;
  }

  // ---- a new file ----

  /** A rewrite begins: from now on it is noted where the bytes of the log lie in the file. */
  beginRewrite(): void {
    this.ranges = [];
  }
  /** The rewrite has failed or was ended: the old file stays. */
  abandonRewrite(): void {
    this.tail?.abandon();
    this.tail = this.ranges = null;
  }

  /**
   * The file at `base` holds the data as of `position`; it is to become `target`, in place of the one at `path`, which is
   * written now. What the log had since is copied behind it by `stepTail`. Throws FileFailure.
   */
  beginTail(base: string, position: number, path: string, target: string): void {
    assert(this.ranges !== null, "a rewrite was begun");
    reached("rewrite-base");
    this.tail = new AofTail(this.files, path, base, position, this.logId, target);
  }

  /** Copies a part of what the new file lacks. Returns true when it lacks nothing. Throws FileFailure. */
  stepTail(): boolean {
    return !this.tail!.step(this.ranges!) && this.partBytes === 0;
  }

  /**
   * Puts the new file, which lacks nothing, in the place of the old one. Afterwards the writer is healthy, whatever was
   * wrong with the old file. Throws FileFailure, with the old file in place.
   */
  finishTail(): void {
    const { tail, log } = this;
    assert(tail !== null && this.partBytes === 0, "the new file is complete, and no batch is half written");
    const { file, length, position } = tail.commit();
    this.files.close(this.file);
    this.file = file;
    this.length = this.syncedLength = length;
    this.tail = this.ranges = null;
    // While the old file could not be written, the log had nothing behind the base.
    if (log.drained < position) log.drain(position);
    log.setDurable(log.drained);
    this.trouble.isLasting = false;
    this.recovered();
  }

  close(): void {
    this.files.close(this.file);
  }
}
