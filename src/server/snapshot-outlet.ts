/** Where a worker's pieces of a snapshot go: to the thread that writes the file, as far as that keeps up. */
import type { Dropped } from "../persistence/rdb-record.ts";
import type { PieceOutlet } from "../persistence/snapshot-run.ts";
import type { PieceMessage } from "./snapshot-messages.ts";

/** Bytes that wait for the file: where walks rest, where writes of clients wait, and of one source within a key. */
const WALK_BYTES = 8 << 20;
const WRITE_BYTES = 32 << 20;
const SOURCE_BYTES = 2 << 20;

/** Words of `queued`: all bytes that wait, then those of each source. */
export function queuedWords(workers: number): number {
  return 1 + workers * 2;
}

export class SnapshotOutlet implements PieceOutlet {
  private readonly queued: Int32Array;

  constructor(
    private readonly port: MessagePort,
    queued: SharedArrayBuffer,
  ) {
    this.queued = new Int32Array(queued);
  }

  get isFull(): boolean {
    return Atomics.load(this.queued, 0) > WALK_BYTES;
  }
  isBehind(source: number): boolean {
    return Atomics.load(this.queued, 1 + source) > SOURCE_BYTES;
  }
  /** Writes that would emit more wait: they are faster than the file. */
  get mustHoldWrites(): boolean {
    return Atomics.load(this.queued, 0) > WRITE_BYTES;
  }

  /** `position` of the change log, and the number of keys, at the cut. */
  header(bytes: Uint8Array, position: number, keys: number): void {
    this.post({ kind: "header", bytes, position, keys }, []);
  }

  put(source: number, bytes: Buffer, length: number, isOpen: boolean): void {
    const piece = new Uint8Array(length);
    piece.set(bytes.subarray(0, length));
    Atomics.add(this.queued, 0, length);
    Atomics.add(this.queued, 1 + source, length);
    this.post({ kind: "piece", source, bytes: piece, isOpen }, [piece.buffer]);
  }

  fail(reason: string): void {
    this.post({ kind: "failed", reason }, []);
  }

  end(dropped: Dropped, segments: readonly number[]): void {
    this.post({ kind: "end", dropped, segments }, []);
  }

  private post(message: PieceMessage, transfer: ArrayBuffer[]): void {
    this.port.postMessage(message, transfer);
  }
}
