/**
 * Thread that writes the file of a snapshot from the workers' pieces: writes and syncs block here and nowhere else. Started by
 * the first background save.
 */
import { FileFailure, realFiles } from "../base/files.ts";
import { nameThread } from "../memory/native.ts";
import { PieceFile } from "../persistence/piece-file.ts";
import type { SavedFile } from "../persistence/rdb-file.ts";
import type { Dropped } from "../persistence/rdb-record.ts";
import { openSave } from "../persistence/save-plan.ts";
import { syncSegments } from "../persistence/segment-manifest.ts";
import type { FromSaver, PieceMessage, SnapshotRequest, ToSaver } from "./snapshot-messages.ts";

declare const self: Worker;

nameThread("snapshot");

function tell(message: FromSaver): void {
  self.postMessage(message);
}

class Saver {
  private readonly queued: Int32Array;
  private readonly workers: number;
  private file: SavedFile | null = null;
  private pieces: PieceFile | null = null;
  private failure = "";
  private ended = 0;
  private dropped: Dropped = { fields: 0, members: 0, kept: 0 };
  private position = 0;
  private keys = 0;
  private segments: number[] = [];
  private request: SnapshotRequest | null = null;

  constructor(ports: readonly MessagePort[], queued: SharedArrayBuffer) {
    this.queued = new Int32Array(queued);
    this.workers = ports.length;
    for (const port of ports) port.onmessage = (event) => this.receive(event.data as PieceMessage);
  }

  begin(request: SnapshotRequest): void {
    this.failure = "";
    this.ended = 0;
    this.segments = [];
    this.request = request;
    this.dropped = { fields: 0, members: 0, kept: 0 };
    this.queued.fill(0);
    try {
      this.file = openSave(realFiles, request);
      this.pieces = new PieceFile(this.file, request.format.sums, (source, bytes) => this.taken(source, bytes));
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      this.failure = thrown.message;
      return this.tellFinished();
    }
    tell({ kind: "begun" });
  }

  private taken(source: number, bytes: number): void {
    Atomics.sub(this.queued, 0, bytes);
    Atomics.sub(this.queued, 1 + source, bytes);
  }

  private receive(message: PieceMessage): void {
    if (message.kind === "end") {
      this.segments.push(...message.segments);
      return this.end(message.dropped);
    }
    if (this.failure !== "") return;
    if (message.kind === "failed") return this.fail(message.reason);
    this.attempt(() => {
      const { bytes } = message;
      const piece = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      if (message.kind === "header") {
        this.position = message.position;
        this.keys = message.keys;
        this.pieces!.header(piece);
      } else this.pieces!.piece(message.source, piece, message.isOpen);
    });
  }

  private attempt(work: () => void): void {
    try {
      work();
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      this.fail(thrown.message);
    }
  }

  private fail(reason: string): void {
    this.failure = reason;
    this.file!.discard();
    this.queued.fill(0);
    tell({ kind: "failing" });
  }

  private end(dropped: Dropped): void {
    this.dropped.fields += dropped.fields;
    this.dropped.members += dropped.members;
    this.dropped.kept += dropped.kept;
    if (++this.ended < this.workers) return;
    if (this.failure === "")
      this.attempt(() => {
        const { position, keys, segments } = this;
        if (segments.length > 0) syncSegments(realFiles, this.request!.directory, new Set(segments)); // MANIFEST-1
        this.dropped = this.pieces!.finish({ position, keys, dropped: this.dropped });
      });
    this.tellFinished();
  }

  /** The process ends: removes the unfinished file, and takes no further pieces. */
  abandon(): void {
    if (this.file !== null && this.failure === "") {
      this.failure = "the server ends";
      this.file.discard();
    }
    tell({ kind: "abandoned" });
  }

  private tellFinished(): void {
    const { failure, dropped, file, segments } = this;
    const { bytes, warnings, path } = file ?? { bytes: 0, warnings: [], path: "" };
    tell({ kind: "finished", result: { failure, dropped, bytes, warnings: [...warnings], path, segments } });
    this.pieces = null;
    this.file = null;
  }
}

let saver: Saver | null = null;

self.onmessage = (event: MessageEvent<ToSaver>) => {
  const message = event.data;
  if (message.kind === "connect") saver = new Saver(message.ports, message.queued);
  else if (message.kind === "begin") saver!.begin(message.request);
  else saver!.abandon();
};
