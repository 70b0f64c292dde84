/**
 * The link of a replica to its primary, in worker 0: connects, shakes hands, receives the data set, then the stream, and
 * acknowledges it.
 *
 *   Connect ─► Connecting ─► Handshake ─► Sync: spool, check, load ─► Connected: the stream
 *      ▲                         └──────────────── +CONTINUE ────────────┘
 *      └── the link is lost, or silent for repl-timeout: at once, then once a second
 *
 * The history that we have is the id and the offset of the replication state. `hasHistory` is false where the data is nobody's:
 * at the start, and after a synchronization that failed when the old data was gone.
 *
 * Files are written and read here between turns, in pieces as the socket hands them over.
 */
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import { BadFile } from "../base/file-reader.ts";
import { FileFailure, type Files } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import { encodeRequest, Handshake, type HandshakeEnd } from "../replication/handshake.ts";
import { type LinkFacts, LinkState } from "../replication/link-facts.ts";
import { PayloadReader, PayloadState } from "../replication/payload.ts";
import { newId, type ReplicationState } from "../replication/state.ts";
import type { ReplicaApply } from "./replica-apply.ts";
import { ReplicaSpool } from "./replica-spool.ts";

const CRON_MS = 1000;
/** A slice of the check of a file ends after so long, ms. */
const SLICE_MS = 5;

/** A connection, as the link uses it. */
export interface LinkSocket {
  write(bytes: Uint8Array): void;
  pause(): void;
  resume(): void;
  terminate(): void;
}
export interface LinkEvents {
  opened(socket: LinkSocket): void;
  data(bytes: Buffer): void;
  /** `reason`: "" = the primary has closed it. */
  closed(reason: string): void;
}

/** The file of a full synchronization, to be loaded by all workers. */
export interface SyncedFile {
  readonly path: string;
  readonly replId: string;
  readonly offset: number;
  /** The target that the file is of: a newer one makes it void. */
  readonly epoch: number;
}

export interface LinkHost {
  readonly config: Config;
  readonly clock: Clock;
  readonly files: Files;
  readonly log: Logger;
  readonly directory: string;
  readonly databases: number;
  connect(host: string, port: number, events: LinkEvents): void;
  /** The main thread replaces the data by the file's, and calls `loaded`. */
  load(file: SyncedFile): void;
  /** The target of a failover has answered. `refusal`: "" = it is the primary now. */
  handedOver(epoch: number, refusal: string): void;
  /** The stream's client for CLIENT LIST. Returns its id. */
  beginStream(address: string): void;
  later(work: () => void): void;
}

export class ReplicaLink {
  private target: { host: string; port: number; epoch: number } | null = null;
  private hasHistory = false;
  /** The target is to take this server's place, and has not answered yet. */
  private handsOver = false;
  /** The primary was asked by SYNC: it wants no acknowledgements, and each link begins with the whole data set. */
  private isBySync = false;
  private socket: LinkSocket | null = null;
  /** Events of older connections are not heard. */
  private connection = 0;
  private handshake: Handshake | null = null;
  private payload: PayloadReader | null = null;
  private spool: ReplicaSpool | null = null;
  private synced: SyncedFile | null = null;
  private isChecking = false;
  private isLoading = false;
  /** The stream of the last connection has not ended: its last unit is under way. */
  private isEnding = false;
  private timer: Timer | null = null;

  constructor(
    private readonly state: ReplicationState,
    private readonly facts: LinkFacts,
    private readonly apply: ReplicaApply,
    private readonly host: LinkHost,
  ) {}

  // ---- what the main thread says ----

  /**
   * The server follows that primary. `hasHistory`: its data may be a part of the primary's history. `handsOver`: the other
   * server is a replica still, and is asked to be the primary.
   */
  follow(host: string, port: number, epoch: number, hasHistory: boolean, handsOver: boolean): void {
    this.hasHistory ||= hasHistory;
    this.drop();
    this.handsOver = handsOver;
    this.facts.state = LinkState.Connect;
    this.target = { host, port, epoch };
    this.facts.set("lostMs", 0);
    this.facts.set("errors", 0);
    this.facts.set("helped", 0);
    this.facts.failure = "";
    this.timer ??= setInterval(() => this.everySecond(), CRON_MS);
    this.host.log.info(`Connecting to MASTER ${host}:${port}`);
    this.connect();
  }

  /** The server is to be a primary: `done` is called when nothing of the stream is under way. */
  unfollow(done: () => void): void {
    this.target = null;
    this.drop(done);
    this.facts.state = LinkState.None;
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  /** The main thread has loaded the file, or could not. `isCurrent`: the target is still that of the file. */
  loaded(isDone: boolean): void {
    const { socket, synced } = this;
    this.isLoading = false;
    this.spool?.discard();
    this.spool = this.synced = null;
    this.hasHistory = isDone && !this.isBySync;
    if (this.target === null || synced === null) return;
    if (!isDone || synced.epoch !== this.target.epoch) return this.lost("the data set could not be loaded");
    this.host.log.info("MASTER <-> REPLICA sync: Finished with success");
    if (socket === null) return this.lost("the connection was closed meanwhile");
    this.beginStream();
    socket.resume();
  }

  /** What came cannot be applied: the data set is asked for anew. */
  failed(reason: string): void {
    this.hasHistory = false;
    this.lost(reason);
  }

  acknowledge(): void {
    if (this.isBySync) return;
    this.send(encodeRequest(["REPLCONF", "ACK", String(this.state.offset)]));
  }

  throttle(stops: boolean): void {
    if (stops) this.socket?.pause();
    else if (!this.isLoading && !this.isChecking) this.socket?.resume();
  }

  // ---- the connection ----

  private connect(): void {
    const { target, facts, host } = this;
    if (target === null || this.isLoading || this.isEnding) return;
    facts.state = LinkState.Connecting;
    this.hear();
    const connection = ++this.connection;
    const mine = (work: () => void): void => {
      if (connection === this.connection) work();
    };
    host.connect(target.host, target.port, {
      opened: (socket) => (connection === this.connection ? this.opened(socket) : socket.terminate()),
      data: (bytes) => mine(() => this.receive(bytes)),
      closed: (reason) => mine(() => this.lost(reason === "" ? "the primary has closed the connection" : reason)),
    });
  }

  private opened(socket: LinkSocket): void {
    const { host, state } = this;
    const { config } = host;
    this.socket = socket;
    this.isBySync = false;
    this.facts.state = LinkState.Handshake;
    this.hear();
    const announced = config.number("replication.replica_announce_port");
    this.handshake = new Handshake(
      {
        user: config.text("replication.primary_user"),
        password: config.text("replication.primary_auth"),
        listeningPort: announced !== 0 ? announced : this.ownPort(),
        announcedAddress: config.text("replication.replica_announce_ip"),
        replId: this.hasHistory ? state.id : "?",
        offset: this.hasHistory ? state.offset + 1 : -1,
        handsOver: this.handsOver,
      },
      (bytes) => this.send(bytes),
    );
    this.handshake.begin();
  }

  /** The port at which the primary, and Sentinel, find this server. */
  private ownPort(): number {
    const { config } = this.host;
    const [port, tlsPort] = [config.number("server.port"), config.tlsPort];
    return config.flag("replication.primary_tls") ? tlsPort || port : port || tlsPort;
  }

  private send(bytes: Uint8Array): void {
    this.socket?.write(bytes);
  }

  private hear(): void {
    this.facts.set("heardMs", this.host.clock.wallMs());
  }

  private receive(bytes: Buffer): void {
    this.hear();
    let rest = bytes;
    if (this.handshake !== null) {
      rest = rest.subarray(this.handshake.receive(rest));
      const { end, warnings } = this.handshake;
      if (end === null) return;
      for (const warning of warnings) this.host.log.info(`not critical: the primary does not know ${warning}`);
      if (this.handshake.hasAskedSync) this.toldHandOver(end);
      this.handshake = null;
      if (!this.shookHands(end)) return;
    }
    if (this.payload !== null) {
      const taken = this.receivePayload(this.payload, rest);
      if (taken < 0) return;
      rest = rest.subarray(taken);
    }
    if (rest.length > 0) this.apply.push(rest);
  }

  /** The target of a failover has answered PSYNC. A connection that failed before is made again, until somebody aborts. */
  private toldHandOver(end: HandshakeEnd): void {
    if (!this.handsOver) return;
    this.handsOver = false;
    const isRefused = end.kind === "later" || end.kind === "failed";
    this.host.handedOver(this.target!.epoch, isRefused ? end.reason : "");
  }

  /** Returns false when the connection has ended. */
  private shookHands(end: HandshakeEnd): boolean {
    const { host, state } = this;
    switch (end.kind) {
      case "full":
        this.isBySync = end.replId === "";
        return this.beginSync(this.isBySync ? newId() : end.replId, end.offset);
      case "continue":
        host.log.info("Successful partial resynchronization with master.");
        if (end.replId !== "" && end.replId !== state.id) {
          host.log.info(`Master replication ID changed to ${end.replId}`);
          state.continueAs(end.replId);
        }
        host.log.info("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
        this.beginStream();
        return true;
      default:
        this.lost(end.reason);
        return false;
    }
  }

  // ---- full synchronization ----

  private beginSync(replId: string, offset: number): boolean {
    const { host, facts, target } = this;
    host.log.info(`Full resync from master: ${replId}:${offset}`);
    this.synced = { path: "", replId, offset, epoch: target!.epoch };
    facts.state = LinkState.Sync;
    facts.set("syncBytes", -1);
    facts.set("syncReceived", 0);
    facts.set("syncHeardMs", host.clock.wallMs());
    try {
      const spool = new ReplicaSpool(host.files, host.directory);
      this.spool = spool;
      this.payload = new PayloadReader((bytes, from, to) => spool.put(bytes, from, to));
      return true;
    } catch (thrown) {
      this.lost(reasonOf(thrown));
      return false;
    }
  }

  /** Returns how many bytes belong to the file, -1 = the connection has ended. */
  private receivePayload(payload: PayloadReader, bytes: Buffer): number {
    const { facts, host } = this;
    let taken: number;
    try {
      taken = payload.receive(bytes);
      if (payload.state === PayloadState.Complete) this.spool!.close();
    } catch (thrown) {
      this.lost(reasonOf(thrown));
      return -1;
    }
    facts.set("syncBytes", payload.bytes);
    facts.set("syncReceived", payload.received);
    facts.set("syncHeardMs", host.clock.wallMs());
    if (payload.state === PayloadState.Failed) {
      this.lost(payload.failure);
      return -1;
    }
    if (payload.state !== PayloadState.Complete) return taken;
    this.payload = null;
    this.isChecking = true;
    this.socket?.pause();
    const { connection } = this;
    host.later(() => this.check(connection));
    return taken;
  }

  /** Reads the file through, in slices: only a good one replaces the data. */
  private check(connection: number): void {
    const { host, spool } = this;
    if (connection !== this.connection || spool === null) return;
    try {
      const now = () => host.clock.monotonicMs();
      if (!spool.check(host.databases, now, now() + SLICE_MS)) return host.later(() => this.check(connection));
    } catch (thrown) {
      return this.lost(`the primary's file is not used, the data stays as it is: ${reasonOf(thrown)}`);
    }
    this.isChecking = false;
    this.isLoading = true;
    // From here on the old data is going.
    this.hasHistory = false;
    this.state.streamDatabase = spool.database;
    host.log.info("MASTER <-> REPLICA sync: Flushing old data, Loading DB in memory");
    this.synced = { ...this.synced!, path: spool.path };
    host.load(this.synced);
  }

  // ---- the stream ----

  private beginStream(): void {
    const { facts, host, target } = this;
    facts.state = LinkState.Connected;
    facts.failure = "";
    facts.set("lostMs", 0);
    facts.set("readOffset", this.state.offset + this.apply.waitingBytes);
    host.beginStream(addressOf(target!.host, target!.port));
    // The primary streams nothing before it has this.
    this.acknowledge();
  }

  // ---- the end of a connection, and time ----

  /** The connection has ended: another one is made. */
  lost(reason: string): void {
    const { facts, host, target } = this;
    if (target === null) return;
    const wasConnected = facts.state === LinkState.Connected;
    const at = `${target.host}:${target.port}`;
    facts.failure = reason;
    if (wasConnected) host.log.info("Connection with master lost.");
    if (wasConnected || facts.state === LinkState.Sync) host.log.warn(`the link to ${at} is lost: ${reason}`);
    else host.log.warn(`Failed to connect to primary: ${reason} (${at})`);
    if (wasConnected) facts.set("lostMs", host.clock.wallMs());
    this.drop();
    facts.state = LinkState.Connect;
    if (wasConnected) host.later(() => this.reconnect());
  }

  private reconnect(): void {
    if (this.facts.state === LinkState.Connect) this.connect();
  }

  /** Ends the connection, if there is one. */
  private drop(done: () => void = NOTHING_TO_DO): void {
    this.connection++;
    const { socket, facts } = this;
    this.socket = null;
    this.handshake = this.payload = null;
    this.isChecking = false;
    if (!this.isLoading) {
      this.spool?.discard();
      this.spool = this.synced = null;
    }
    if (facts.state === LinkState.Connected) {
      this.isEnding = true;
      this.apply.end(() => {
        this.isEnding = false;
        facts.set("readOffset", this.state.offset);
        done();
      });
    } else if (this.isEnding) {
      // The unit of the connection before ends, and its `done` is older.
      this.apply.end(() => {
        this.isEnding = false;
        done();
      });
    } else {
      this.apply.forget();
      done();
    }
    socket?.terminate();
  }

  private everySecond(): void {
    const { facts, host } = this;
    if (this.isLoading || this.isChecking) return this.send(NEWLINE);
    if (facts.state === LinkState.Connected) this.acknowledge();
    else if (facts.state === LinkState.Connect) return this.connect();
    const silentMs = host.clock.wallMs() - facts.get("heardMs");
    if (silentMs <= host.config.number("replication.repl_timeout") * 1000) return;
    this.lost(`silent for ${Math.floor(silentMs / 1000)} s: the limit is replication.repl_timeout`);
  }
}

const NOTHING_TO_DO = (): void => {};
const NEWLINE = Buffer.from("\n");

function addressOf(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function reasonOf(thrown: unknown): string {
  if (thrown instanceof BadFile || thrown instanceof FileFailure) return thrown.message;
  throw thrown;
}
