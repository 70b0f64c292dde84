/**
 * The main thread's side of a snapshot that becomes a file:
 *
 *   open the file (its thread) → workers ready → one worker cuts → workers walk ─pieces─► thread ─► finished
 */
import type { Logger } from "../base/log.ts";
import type { Control } from "../memory/control.ts";
import { SnapshotState } from "../store/snapshot.ts";
import type { ToWorker } from "./messages.ts";
import type { FromSaver, SnapshotRequest, SnapshotResult, ToSaver } from "./snapshot-messages.ts";
import { queuedWords } from "./snapshot-outlet.ts";

/** The longest wait for the removal of an unfinished file, ms. */
const ABANDON_MS = 1000;

export class SnapshotControl {
  readonly state: SnapshotState;
  private saver: Worker | null = null;
  private request: SnapshotRequest | null = null;
  private done: (result: SnapshotResult) => void = () => {};
  /** Hears of the cut, before the workers walk. */
  private cut: (position: number) => void = () => {};
  private ready = 0;
  private position = 0;

  constructor(
    control: Control,
    private readonly workers: number,
    private readonly log: Logger,
    private readonly send: (worker: number, message: ToWorker, transfer: MessagePort[]) => void,
  ) {
    this.state = new SnapshotState(control);
  }

  /** Takes a snapshot, whose claim the caller holds. `cut` hears of its position. */
  take(request: SnapshotRequest, cut: (position: number) => void = () => {}): Promise<SnapshotResult> {
    this.request = request;
    this.cut = cut;
    this.ready = 0;
    this.position = 0;
    this.saver ??= this.startSaver();
    this.tellSaver({ kind: "begin", request }, []);
    return new Promise((resolve) => {
      this.done = resolve;
    });
  }

  private startSaver(): Worker {
    const saver = new Worker(new URL("./snapshot-thread.ts", import.meta.url));
    saver.onmessage = (event: MessageEvent<FromSaver>) => this.receive(event.data);
    saver.onerror = (event) =>
      this.log.error("saver_failed", `the thread that writes snapshots failed: ${event.message}`);
    this.saver = saver;
    const channels = Array.from({ length: this.workers }, () => new MessageChannel());
    const ports = channels.map((channel) => channel.port1);
    const queued = new SharedArrayBuffer(queuedWords(this.workers) * 4);
    this.tellSaver({ kind: "connect", ports, queued }, ports);
    for (const [worker, { port2 }] of channels.entries())
      this.send(worker, { kind: "snapshotPort", port: port2, queued }, [port2]);
    return saver;
  }

  private tellSaver(message: ToSaver, transfer: MessagePort[]): void {
    this.saver!.postMessage(message, transfer);
  }

  private receive(message: FromSaver): void {
    const { request } = this;
    switch (message.kind) {
      case "begun":
        for (let worker = 0; worker < this.workers; worker++)
          this.send(worker, { kind: "snapshotPrepare", format: request!.format }, []);
        return;
      case "failing":
        this.state.discard();
        return;
      case "abandoned":
        this.abandoned();
        return;
      case "finished":
        this.request = null;
        this.done({ ...message.result, position: this.position });
    }
  }

  /** A worker would emit to the file from now on: when all would, one cuts. */
  workerReady(): void {
    if (++this.ready === this.workers) this.send(0, { kind: "snapshotCut", purpose: this.request!.purpose }, []);
  }

  /** It is cut: `position` is that of the change log. */
  cutDone(position: number): void {
    this.position = position;
    this.cut(position);
    for (let worker = 0; worker < this.workers; worker++) this.send(worker, { kind: "snapshotWalk" }, []);
  }

  /**
   * The process ends: the thread that writes the file removes it, also one that it has not begun yet. Waits for that, a second
   * at most: a disk may hang.
   */
  async abandon(): Promise<void> {
    if (this.request === null) return;
    const abandoned = new Promise<void>((resolve) => {
      this.abandoned = resolve;
    });
    this.tellSaver({ kind: "abandon" }, []);
    await Promise.race([abandoned, Bun.sleep(ABANDON_MS)]);
  }
  private abandoned: () => void = () => {};
}
