/**
 * The main thread's control of the role: when the server becomes a replica, of whom, and when a primary again; and the loading
 * of the data set of a full synchronization. The link is worker 0's (replica-link.ts).
 *
 *   to replica   role: replica ─► every worker has noted it, and writes no more ─► the stream takes the primary's bytes ─► link
 *   to primary   the link has ended ─► a new id, the stream takes effects ─► role: primary
 *
 * In this order no write is acknowledged that the stream lacks. The wanted role is the configuration's: REPLICAOF changes
 * replication.primary_host and primary_port, so that CONFIG REWRITE keeps them.
 */
import type { Config } from "../base/config/config.ts";
import type { Logger } from "../base/log.ts";
import { Failover, type ReplicationState } from "../replication/state.ts";
import type { AofControl } from "./aof-control.ts";
import type { ToMain, ToWorker } from "./messages.ts";
import type { RdbLoadRequest } from "./rdb-load.ts";
import type { SyncedFile } from "./replica-link.ts";

/** The worker that has the link. */
const LINK_WORKER = 0;

export interface ReplicaControlHost {
  readonly workers: number;
  send(worker: number, message: ToWorker): void;
  loadRdb(request: RdbLoadRequest): Promise<unknown>;
  /** The server is a primary again. */
  promoted(): void;
}

export class ReplicaControl {
  /** Number of the target: messages about an older one are void. */
  private epoch = 0;
  private host: string;
  private port: number;
  /** The server has loaded its own data: the link may begin. */
  private hasBegun = false;
  /** Whether the data of the server may be a part of the primary's history. */
  private hasHistory = false;
  private waitsForWorkers = 0;

  constructor(
    private readonly config: Config,
    private readonly log: Logger,
    private readonly state: ReplicationState,
    private readonly aof: AofControl,
    private readonly server: ReplicaControlHost,
  ) {
    this.host = config.text("replication.primary_host");
    this.port = config.number("replication.primary_port");
    // Before a client writes.
    if (this.isWanted) state.becomeReplica();
    config.onChange("replication.primary_host", () => this.followConfig());
    config.onChange("replication.primary_port", () => this.followConfig());
  }

  /** An answer of the link counts while its target is this one. */
  isPresent(epoch: number): boolean {
    return epoch === this.epoch;
  }

  private get isWanted(): boolean {
    return this.host !== "";
  }

  /** The server has its data, and its workers listen. */
  begin(): void {
    this.hasBegun = true;
    this.hasHistory = this.state.isRestored;
    if (this.isWanted) this.tellWorkers();
  }

  /** Takes a message of a worker. Returns false when it is about something else. */
  receive(message: ToMain): boolean {
    switch (message.kind) {
      case "roleNoted":
        if (message.epoch === this.epoch && --this.waitsForWorkers === 0) this.follow();
        return true;
      case "unfollowed":
        if (message.epoch === this.epoch) this.promote();
        return true;
      case "synced":
        void this.load(message.file);
        return true;
      default:
        return false;
    }
  }

  private followConfig(): void {
    const { config } = this;
    const host = config.text("replication.primary_host");
    const port = config.number("replication.primary_port");
    if (host === this.host && (port === this.port || host === "")) return;
    this.host = host;
    this.port = port;
    this.epoch++;
    if (!this.isWanted) {
      this.server.send(LINK_WORKER, { kind: "unfollow", epoch: this.epoch });
      return;
    }
    this.log.info(`before turning into a replica of ${host}:${port}: ${this.state.id}:${this.state.offset}`);
    // What this server has written is its own history, which its new primary may have continued.
    if (!this.state.isReplica) this.hasHistory = true;
    this.state.becomeReplica();
    if (this.hasBegun) this.tellWorkers();
  }

  private tellWorkers(): void {
    this.waitsForWorkers = this.server.workers;
    for (let worker = 0; worker < this.server.workers; worker++)
      this.server.send(worker, { kind: "role", epoch: this.epoch });
  }

  /** No worker writes any more. */
  private follow(): void {
    const { host, port, epoch, hasHistory } = this;
    this.state.follow();
    this.hasHistory = false;
    const handsOver = this.state.failover === Failover.InProgress;
    this.server.send(LINK_WORKER, { kind: "follow", host, port, epoch, hasHistory, handsOver });
  }

  private promote(): void {
    this.state.promote();
    this.log.info(`MASTER MODE enabled: ${this.state.id}, second id valid up to ${this.state.secondOffset}`);
    this.server.promoted();
  }

  /** Replaces the data by that of the file, which was checked. */
  private async load(file: SyncedFile): Promise<void> {
    const { state } = this;
    // What is written to a file meanwhile is nobody's data.
    state.renew();
    const fill = async (): Promise<void> => {
      await this.server.loadRdb({ path: file.path, isPreamble: false, isReplicas: true });
      // A target that has changed meanwhile has this history as well, but nobody knows with a primary.
      if (state.isReplica) state.adopt(file.replId, file.offset);
      else state.renew();
    };
    const failure = await this.aof.replaceData({ prepare: () => Promise.resolve(""), empties: true, fill });
    if (failure !== "") {
      state.renew();
      this.log.error("sync_failed", `the data set of the primary could not be loaded: ${failure}`);
    }
    this.server.send(LINK_WORKER, { kind: "syncLoaded", isDone: failure === "" });
  }
}
