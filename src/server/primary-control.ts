/**
 * The main thread's side of full synchronizations: which replicas wait, when a snapshot is taken for them, and how long its
 * file stays. One snapshot serves all that wait for the same form of it, and those that come while its file is there and the
 * backlog reaches back to its offset.
 *
 *   replicaWaits ──► delay (repl-diskless-sync-delay) ──► snapshot ──► cut: syncBegun ──► file complete: syncEnded
 *                └─► joins the snapshot that is there                                      └─► no reader: removed
 */
import { join, resolve } from "node:path";
import { systemClock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import { realFiles } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import { Pause } from "../dispatch/services.ts";
import type { Control } from "../memory/control.ts";
import { droppedTexts, type RdbFormat } from "../persistence/rdb-record.ts";
import { BACKLOG_MAX } from "../replication/stream.ts";
import { ReplicaSlots } from "../replication/slots.ts";
import type { ReplicationState } from "../replication/state.ts";
import type { Ask, ToMain, ToWorker } from "./messages.ts";
import { BACKLOG_FILE, BacklogFile } from "./backlog-file.ts";
import { GETACK } from "./primary-feed.ts";
import { SYNC_FILE, type Sync } from "./primary-messages.ts";
import type { SnapshotControl } from "./snapshot-control.ts";
import type { SnapshotResult } from "./snapshot-messages.ts";

/** How often replicas are asked at the end what they have, ms. */
const CATCH_UP_MS = 50;
/** How often a claim is tried that another snapshot has, ms. */
const CLAIM_MS = 20;

/** Replicas acknowledge once a second: after so long without it they are asked, ms. */
const UNASKED_MS = 1500;

interface Replica {
  readonly worker: number;
  readonly client: number;
  readonly hasEof: boolean;
  /** The snapshot that it receives; null = it waits. */
  sync: RunningSync | null;
}

/** A snapshot whose file is there. */
interface RunningSync extends Sync {
  isComplete: boolean;
}

export interface PrimaryControlHost {
  readonly workers: number;
  send(worker: number, message: ToWorker): void;
}

export class PrimaryControl {
  private readonly files = realFiles;
  private readonly slots: ReplicaSlots;
  private readonly backlog: BacklogFile;
  private readonly replicas = new Map<number, Replica>();
  private readonly syncs = new Set<RunningSync>();
  private next = 1;
  private timer: Timer | null = null;
  private isTaking = false;

  constructor(
    private readonly config: Config,
    private readonly log: Logger,
    control: Control,
    private readonly state: ReplicationState,
    private readonly snapshots: SnapshotControl,
    private readonly host: PrimaryControlHost,
  ) {
    this.slots = new ReplicaSlots(control);
    const diskBytes = config.number("replication.backlog_disk_size");
    this.backlog = new BacklogFile(state.stream, realFiles, systemClock, log, this.directory, diskBytes);
    this.configure();
    config.onChange("*", () => this.configure());
  }

  private configure(): void {
    const bytes = this.config.number("replication.repl_backlog_size");
    const { stream } = this.state;
    if (bytes > BACKLOG_MAX && stream.backlogBytes < BACKLOG_MAX)
      this.log.warn(`repl-backlog-size is ${bytes}, but a backlog of at most ${BACKLOG_MAX} bytes is kept`);
    stream.backlogBytes = bytes;
    stream.isOwnDialect = this.config.text("replication.dialect") === "ferrite";
  }

  /** The server starts: removes files that an earlier process left. */
  tidy(): void {
    for (const name of this.files.list(this.directory)) {
      if (!SYNC_FILE.test(name) && !BACKLOG_FILE.test(name)) continue;
      this.files.unlink(join(this.directory, name));
    }
    this.backlog.begin();
  }

  private get directory(): string {
    return resolve(this.config.text("storage.data_dir"));
  }

  /** Takes a message of a worker. Returns false when it is about something else. */
  receive(message: ToMain): boolean {
    switch (message.kind) {
      case "replicaWaits":
        this.waits({ worker: message.worker, client: message.client, hasEof: message.hasEof, sync: null });
        return true;
      case "replicaLeft":
        this.left(message.client);
        return true;
      default:
        return false;
    }
  }

  // ---- replicas ----

  private waits(replica: Replica): void {
    this.replicas.set(replica.client, replica);
    const isEof = this.isEof(replica);
    for (const sync of this.syncs) {
      if (sync.isEof !== isEof || !this.state.stream.isInBacklog(sync.offset)) continue;
      if (sync.id !== this.state.id) continue;
      replica.sync = sync;
      this.host.send(replica.worker, { kind: "syncBegun", sync: plain(sync), clients: [replica.client] });
      if (sync.isComplete) this.sendEnd(sync, replica.worker);
      return;
    }
    this.schedule();
  }

  private isEof(replica: Replica): boolean {
    return replica.hasEof && this.config.flag("replication.repl_diskless_sync");
  }

  private left(client: number): void {
    const replica = this.replicas.get(client);
    this.replicas.delete(client);
    if (replica?.sync != null) this.removeUnread(replica.sync);
  }

  /** Removes the file of a snapshot that is complete and that nobody reads. */
  private removeUnread(sync: RunningSync): void {
    if (!sync.isComplete) return;
    for (const replica of this.replicas.values()) if (replica.sync === sync) return;
    if (!this.syncs.delete(sync)) return;
    this.bytes.delete(sync.number);
    this.unlink(sync.path);
  }

  private unlink(path: string): void {
    try {
      this.files.unlink(path);
    } catch {
      // It was not made.
    }
  }

  // ---- taking a snapshot ----

  private waiting(): Replica[] {
    return [...this.replicas.values()].filter(({ sync }) => sync === null);
  }

  /** Takes a snapshot for the replicas that wait, or sets the time at which it is taken. */
  private schedule(): void {
    if (this.isTaking) return;
    const waiting = this.waiting();
    if (waiting.length === 0) return;
    const ofDisk = waiting.some((replica) => !this.isEof(replica));
    const most = this.config.number("replication.repl_diskless_sync_max_replicas");
    const isFull = most > 0 && waiting.length >= most;
    const delay = this.config.number("replication.repl_diskless_sync_delay");
    if (ofDisk || isFull || delay === 0) {
      if (this.timer !== null) clearTimeout(this.timer);
      this.timer = null;
      void this.take();
      return;
    }
    if (this.timer !== null) return;
    this.log.info("Delay next BGSAVE for diskless SYNC");
    this.timer = setTimeout(() => {
      this.timer = null;
      void this.take();
    }, delay * 1000);
  }

  private async take(): Promise<void> {
    if (this.isTaking) return;
    this.isTaking = true;
    const { snapshots } = this;
    while (!snapshots.state.claim()) await new Promise((next) => setTimeout(next, CLAIM_MS));
    const first = this.waiting()[0];
    if (first !== undefined) {
      this.beginStream();
      await this.takeFor(this.isEof(first));
    }
    snapshots.state.release();
    this.isTaking = false;
    this.schedule();
  }

  /** The stream begins with the first replica, and with it a history of its own. */
  private beginStream(): void {
    const { state } = this;
    if (state.stream.isOn) return;
    if (!state.isReplica) state.renew();
    state.stream.begin(state.stream.end, !state.isReplica);
    this.log.info(`Replication backlog created, my new replication IDs are '${state.id}' and '${state.id2}'`);
  }

  private async takeFor(isEof: boolean): Promise<void> {
    const { log, snapshots, syncs } = this;
    const number = this.next++;
    const name = `sync-${process.pid}-${number}.rdb`;
    const path = join(this.directory, name);
    log.info(`Starting BGSAVE for SYNC with target: ${isEof ? "replicas sockets" : "disk"}`);
    const format = this.format;
    let sync: RunningSync | null = null;
    const result = await snapshots.take(
      { directory: this.directory, name, temporary: name, format, checkpoint: null, isSpool: true, purpose: "sync" },
      (offset) => {
        sync = { number, id: this.state.id, offset, path, isEof, isComplete: false };
        syncs.add(sync);
        this.begin(sync);
      },
    );
    this.tell(result, format);
    if (sync === null) return this.fail();
    this.end(sync, result);
  }

  /** The form of the snapshot: one that every server of the dialect reads. */
  private get format(): RdbFormat {
    return {
      version: this.config.number("replication.rdb_version"),
      isOwn: this.config.text("replication.dialect") === "ferrite",
      sums: this.config.flag("persistence.rdb_checksum"),
      compresses: this.config.flag("persistence.rdb_compression"),
    };
  }

  private begin(sync: RunningSync): void {
    const clients: number[][] = Array.from({ length: this.host.workers }, () => []);
    for (const replica of this.waiting()) {
      if (this.isEof(replica) !== sync.isEof) continue;
      replica.sync = sync;
      clients[replica.worker]!.push(replica.client);
    }
    for (const [worker, all] of clients.entries())
      if (all.length > 0) this.host.send(worker, { kind: "syncBegun", sync: plain(sync), clients: all });
  }

  private end(sync: RunningSync, { failure, bytes }: SnapshotResult): void {
    sync.isComplete = true;
    this.bytes.set(sync.number, bytes);
    for (let worker = 0; worker < this.host.workers; worker++)
      this.host.send(worker, { kind: "syncEnded", sync: sync.number, bytes, failure });
    if (failure !== "") {
      this.syncs.delete(sync);
      this.bytes.delete(sync.number);
      this.unlink(sync.path);
      return;
    }
    this.removeUnread(sync);
  }
  /** Lengths of the complete files. */
  private readonly bytes = new Map<number, number>();

  private sendEnd(sync: RunningSync, worker: number): void {
    const bytes = this.bytes.get(sync.number)!;
    this.host.send(worker, { kind: "syncEnded", sync: sync.number, bytes, failure: "" });
  }

  /** No file could be made: those that wait come again. */
  private fail(): void {
    for (const replica of this.waiting())
      this.host.send(replica.worker, { kind: "syncRefused", client: replica.client });
  }

  private tell({ failure, bytes, dropped }: SnapshotResult, format: RdbFormat): void {
    if (failure !== "") return this.log.error("sync_failed", `Background saving for SYNC failed: ${failure}`);
    for (const text of droppedTexts(dropped, format)) this.log.warn(text);
    this.log.info(`Background saving for SYNC terminated with success: ${bytes} bytes`);
  }

  // ---- the end ----

  /**
   * The server ends: writes of clients wait from now on, until the replicas that are online have everything. After
   * shutdown-timeout it ends in any case.
   */
  async catchUp(): Promise<void> {
    const { state, log, config } = this;
    const untilMs = systemClock.monotonicMs() + config.number("server.shutdown_timeout") * 1000;
    if (!state.stream.takesEffects || this.slots.countOnline() === 0 || systemClock.monotonicMs() >= untilMs) return;
    const ask: Ask = { kind: "pause", mode: Pause.Writes, untilMs: Number.MAX_SAFE_INTEGER };
    this.sendAll({ kind: "ask", id: 0, from: 0, ask });
    // What ran when the pause began has ended by then.
    await new Promise((next) => setTimeout(next, CATCH_UP_MS));
    const { end } = state.stream;
    const isInSync = () => this.slots.countAcknowledged(end) >= this.slots.countOnline();
    if (!isInSync()) log.info("Waiting for replicas before shutting down.");
    // What was saved at the end has the offset of before: replicas continue with it, unless the stream has gone on.
    const asksFromMs = systemClock.monotonicMs() + UNASKED_MS;
    while (!isInSync() && systemClock.monotonicMs() < untilMs) {
      if (systemClock.monotonicMs() > asksFromMs) state.stream.appendOwn(GETACK);
      this.sendAll({ kind: "feedReplicas" });
      await new Promise((next) => setTimeout(next, CATCH_UP_MS));
    }
    const online = this.slots.countOnline();
    log.info(`${this.slots.countAcknowledged(end)} of ${online} replicas are in sync when shutting down.`);
  }

  private sendAll(message: ToWorker): void {
    for (let worker = 0; worker < this.host.workers; worker++) this.host.send(worker, message);
  }

  /** The process ends. */
  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    for (const sync of this.syncs) this.unlink(sync.path);
    this.backlog.stop();
  }
}

/** What the workers are told of a snapshot. */
function plain({ number, id, offset, path, isEof }: RunningSync): Sync {
  return { number, id, offset, path, isEof };
}
