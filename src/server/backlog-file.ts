/**
 * The replication stream's older part in a file (replication.backlog_disk_size), so that a replica on a slow link, or one that was
 * away for long, continues instead of being synchronized in full. The main thread writes what enters the stream behind it, in pieces
 * and not in the way of anybody; the workers read it (primary-feed.ts). It is never synced, and nothing beyond the process.
 *
 *   ring of the stream ──► piece ──► file, byte n at n modulo its length ──► replicas that are further behind than memory reaches
 *
 * When the file cannot be written, the backlog is that of memory again, and the file is tried anew after a while. When the disk is so
 * slow that the ring overtakes it, the file begins anew.
 */
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { type FileDescriptor, FileFailure, type Files } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import type { ReplicationStream } from "../replication/stream.ts";

const LOOK_MS = 20;
const PIECE_BYTES = 1 << 20;
const RETRY_MS = 30_000;
/** Names of the file in the data directory. */
export const BACKLOG_FILE = /^backlog-\d+\.stream$/;

export function backlogPath(directory: string): string {
  return join(directory, `backlog-${process.pid}.stream`);
}

export class BacklogFile {
  private readonly path: string;
  private file: FileDescriptor | null = null;
  private timer: Timer | null = null;
  private isWriting = false;
  private generation = -1;
  private start = 0;
  private end = 0;
  private retryAtMs = 0;

  constructor(
    private readonly stream: ReplicationStream,
    private readonly files: Files,
    private readonly clock: Clock,
    private readonly log: Pick<Logger, "error" | "info">,
    directory: string,
    private readonly bytes: number,
  ) {
    this.path = backlogPath(directory);
  }

  begin(): void {
    if (this.bytes > 0) this.timer = setInterval(() => this.look(), LOOK_MS);
  }

  /** The process ends. */
  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    if (this.file !== null) this.files.unlink(this.path);
  }

  private look(): void {
    const { stream } = this;
    if (this.isWriting || !stream.isOn || this.clock.monotonicMs() < this.retryAtMs) return;
    // Opened for reading by others, too: it stays the same file.
    if (this.file === null && !this.open()) return;
    if (this.generation !== stream.generation || this.end < stream.floor) this.beginAnew();
    this.write();
  }

  private open(): boolean {
    try {
      this.file = this.files.open(this.path, "w", 0o600);
      return true;
    } catch (thrown) {
      this.failed(thrown);
      return false;
    }
  }

  /** What the file has is void: it begins where memory does. */
  private beginAnew(): void {
    const { stream } = this;
    this.generation = stream.generation;
    this.start = this.end = Math.max(stream.floor, stream.end - this.bytes);
    stream.noteFile(this.generation, this.bytes, this.start, this.end);
  }

  /** Writes the next piece, and then what has come meanwhile. */
  private write(): void {
    const { bytes, stream, files } = this;
    const from = this.end;
    const at = from % bytes;
    const length = Math.min(stream.end - from, PIECE_BYTES, bytes - at);
    if (length <= 0) return;
    const piece = stream.view(from, from + length);
    this.start = Math.max(this.start, from + piece.length - bytes);
    if (!stream.noteFile(this.generation, bytes, this.start, from)) return; // STREAM-5
    this.isWriting = true;
    files.writeLater(this.file!, piece, piece.length, at, (failure, written) => {
      this.isWriting = false;
      if (this.timer === null) return;
      if (failure !== null) return this.failed(failure);
      // STREAM-4: what the ring overtook meanwhile is not what was written.
      if (!stream.holds(from)) return;
      this.end = from + written;
      if (stream.noteFile(this.generation, bytes, this.start, this.end)) this.write();
    });
  }

  private failed(thrown: unknown): void {
    if (!(thrown instanceof FileFailure)) throw thrown;
    this.log.error("backlog_failed", `the backlog is that of memory alone: ${thrown.message}`);
    this.retryAtMs = this.clock.monotonicMs() + RETRY_MS;
    this.stream.noteFile(this.stream.generation, 0, this.end, this.end);
    this.generation = -1;
  }
}
