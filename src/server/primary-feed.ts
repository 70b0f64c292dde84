/**
 * A worker's part of being a primary: the replicas whose connections it has, and the clients that wait for acknowledgements.
 *
 * Who appends to the stream pokes, at the end of its turn, each worker that has replicas and was not poked since it last
 * looked. A poked worker runs a turn, at whose end all its replicas are sent what is new.
 *
 * Invariants
 *   FEED-1  a worker takes its mark away before it reads the stream's end, so what is appended afterwards pokes it again
 */
import { resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import { specOf } from "../base/config/schema.ts";
import type { Clock } from "../base/clock.ts";
import { type FileDescriptor, FileFailure, type Files } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import { soon as afterEvents } from "../base/soon.ts";
import type { ReplicaService } from "../dispatch/services.ts";
import { Replies, type Session } from "../dispatch/session.ts";
import { type Control, STREAM_MARK_AT } from "../memory/control.ts";
import type { Reply } from "../protocol/reply.ts";
import { ReplicaPeer, type SyncRequest } from "../replication/peer.ts";
import { Phase, ReplicaSlots } from "../replication/slots.ts";
import { Failover, type ReplicationState } from "../replication/state.ts";
import { BACKLOG_MAX } from "../replication/stream.ts";
import { backlogPath } from "./backlog-file.ts";
import { Cell, type Cells } from "./cells.ts";
import type { Client } from "./client.ts";
import type { ToMain, ToWorker } from "./messages.ts";
import { AttachedReplica, makePiece, OVERRUN, type ReplicaHost } from "./primary-replica.ts";
import { pressureOf, pressureOfTime, WriteBrake } from "./write-brake.ts";

/** A file that grows is looked at again after so long, ms. */
const GROWTH_MS = 5;
const SECOND_MS = 1000;
/** The distance of replicas is looked at some times a second, and after so many bytes of the stream. */
const MEASURE_BYTES = 1 << 20;
/** A replica that has said nothing for so long may be dead: nobody waits for it. */
const PATIENCE_MS = 5000;
export const GETACK = Buffer.from("*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n");
const PING = Buffer.from("*1\r\n$4\r\nPING\r\n");
const NEWLINE = Buffer.from("\n");

export interface FeedHost {
  readonly worker: number;
  readonly workers: number;
  readonly control: Control;
  readonly config: Config;
  readonly files: Files;
  readonly clock: Clock;
  readonly cells: Cells;
  readonly log: Pick<Logger, "info" | "warn">;
  client(id: number): Client | undefined;
  post(message: ToMain): void;
  /** Runs a turn of this worker, and of another one. */
  touch(): void;
  wake(worker: number): void;
  guard(work: () => void): void;
  /** Changes of keys by this worker so far. */
  changes(): number;
  /** Suspends the writes of this worker's clients, or no longer. */
  hold(isHeld: boolean): void;
  /** The file of a snapshot with the functions alone. */
  functions(): Buffer;
}

export class PrimaryFeed implements ReplicaService, ReplicaHost {
  readonly slots: ReplicaSlots;
  readonly files: Files;
  private readonly replicas = new Map<number, AttachedReplica>();
  private readonly marks: Int32Array;
  /** Looks of clients that wait for acknowledgements. */
  private readonly watching = new Set<() => void>();
  /** A client has begun to wait in this turn. */
  private wantsAcknowledgement = false;
  private seenEnd = 0;
  private seenDrop: number;
  private secondMs = 0;
  private pingedMs = 0;
  /** Monotonic ms since when there is no replica; -1 = there are some. */
  private aloneSinceMs = -1;
  private spare: Buffer | null = null;
  private readonly brake: WriteBrake;

  constructor(
    private readonly state: ReplicationState,
    private readonly around: FeedHost,
  ) {
    this.slots = new ReplicaSlots(around.control);
    this.files = around.files;
    this.marks = around.control.i32;
    this.seenDrop = state.dropEpoch;
    this.brake = new WriteBrake(around);
    this.configure();
    around.config.onChange("*", () => this.configure());
  }

  private markAt(worker: number): number {
    return this.around.control.workerAt(worker) + STREAM_MARK_AT;
  }

  // ---- turns ----

  /** The commands of a turn have run: what they appended is sent. */
  endTurn(): void {
    const { state, around } = this;
    if (this.wantsAcknowledgement) {
      this.wantsAcknowledgement = false;
      if (state.replicas > 0 && state.failover === Failover.None) state.stream.appendOwn(GETACK);
    }
    Atomics.store(this.marks, this.markAt(around.worker), 0); // FEED-1
    if (state.dropEpoch !== this.seenDrop) this.dropAll();
    const { end } = state.stream;
    if (end !== this.seenEnd) {
      this.seenEnd = end;
      if (state.replicas > this.replicas.size) this.pokeOthers();
    }
    for (const replica of this.replicas.values())
      if (replica.phase === Phase.Online && replica.offset !== end) replica.more();
    if (this.watching.size > 0) for (const look of [...this.watching]) look();
    if (state.replicas === 0) return;
    if (end - this.measuredEnd > MEASURE_BYTES) this.measureLag();
    this.brake.endTurn();
  }

  /** Drops replicas that are too far behind, and says how near the others are to that. */
  private measureLag(): void {
    this.measuredEnd = this.end;
    let pressure = 0;
    for (const replica of [...this.replicas.values()]) pressure = Math.max(pressure, this.checkLag(replica));
    this.brake.measure(this.state.isReplica ? 0 : pressure);
  }
  private measuredEnd = 0;

  /** Wakes the other workers that have replicas, or all of them. */
  private pokeOthers(all = false): void {
    const { around, marks } = this;
    for (let worker = 0; worker < around.workers; worker++) {
      if (worker === around.worker || (!all && around.cells.of(worker, Cell.replicas) === 0)) continue;
      if (Atomics.exchange(marks, this.markAt(worker), 1) === 0) around.wake(worker);
    }
  }

  /** True when too few replicas are good for a write (min-replicas-to-write). */
  get lacksReplicas(): boolean {
    if (this.leastGood === 0 || this.state.isReplica) return false;
    return this.slots.countGood(this.around.clock.wallMs(), this.lagMaxSeconds) < this.leastGood;
  }
  private leastGood = 0;
  private lagMaxSeconds = 0;
  /** How far a replica may be behind; 0 = without a limit. */
  private hardBytes = 0;

  private configure(): void {
    const { config } = this.around;
    const own = config.number("replication.repl_buffer_size");
    const isOwn = own !== specOf("replication.repl_buffer_size").default;
    this.hardBytes = isOwn ? own : config.outputBufferLimits.replica.hardBytes;
    this.lagMaxSeconds = config.number("replication.min_replicas_max_lag");
    // Redis too checks nothing with a lag of 0.
    this.leastGood = this.lagMaxSeconds === 0 ? 0 : config.number("replication.min_replicas_to_write");
  }

  /** Called some times a second. */
  tick(): void {
    const { state, around } = this;
    if (state.dropEpoch !== this.seenDrop) this.dropAll();
    this.measureLag();
    this.brake.tick();
    const now = this.nowMs;
    if (now - this.secondMs < SECOND_MS) return;
    this.secondMs = now;
    for (const replica of [...this.replicas.values()]) this.checkSilence(replica, now);
    if (around.worker === 0 && state.stream.isOn) this.keepStream(now);
  }

  /** The first worker keeps the stream: pings, memory, and its end when it has not been needed for long. */
  private keepStream(now: number): void {
    const { state, around } = this;
    state.stream.trim(this.slots.lowestSent());
    // Its target would never catch up.
    if (state.isReplica || state.failover !== Failover.None) return;
    if (state.replicas > 0) {
      this.aloneSinceMs = -1;
      if (now - this.pingedMs < around.config.number("replication.repl_ping_period") * SECOND_MS) return;
      this.pingedMs = now;
      state.stream.appendOwn(PING);
      around.touch();
      return;
    }
    if (this.aloneSinceMs < 0) this.aloneSinceMs = now;
    const ttl = around.config.number("replication.repl_backlog_ttl");
    if (ttl === 0 || now - this.aloneSinceMs < ttl * SECOND_MS) return;
    this.aloneSinceMs = -1;
    state.stream.stop();
    state.renew();
    around.log.info(`Replication backlog freed after ${ttl} seconds without connected replicas.`);
  }

  // ---- commands of replicas ----

  attach(session: Session, request: SyncRequest, reply: Reply): void {
    const { state, around } = this;
    // A replica that comes after the role has changed is not one of those whose connections end for it.
    if (state.dropEpoch !== this.seenDrop) this.dropAll();
    const client = around.client(session.id);
    if (client === undefined) return;
    const slot = this.slots.claim(around.worker, session.id, around.clock.wallMs());
    if (slot < 0) return reply.error(`ERR at most ${this.slots.count} replicas can be attached`);
    const peer = session.peer ?? new ReplicaPeer();
    const replica = new AttachedReplica(this, client, slot, peer, request.id !== "");
    this.slots.setAddress(slot, peer.host === "" ? hostOf(client.address) : peer.host, peer.port);
    if (peer.wantsSnapshotAlone) this.slots.setSnapshotAlone(slot);
    this.replicas.set(session.id, replica);
    around.cells.set(Cell.replicas, this.replicas.size);
    state.countReplicas(1);
    client.output.source = replica;
    const name = nameOf(replica);
    around.log.info(`Replica ${name} asks for synchronization`);
    const continues = this.continues(request, name);
    session.isReplica = true;
    if (continues) {
      state.countPartialSync();
      reply.simple(peer.hasPsync2 ? `CONTINUE ${state.id}` : "CONTINUE");
      around.log.info(
        `Partial resynchronization request from ${name} accepted. Sending ${state.stream.end - request.offset} bytes of backlog starting from offset ${request.offset + 1}.`,
      );
      replica.continueFrom(request.offset);
    } else {
      this.beginFull(replica);
    }
    // From here on the connection carries the snapshot and the stream alone.
    session.replies = Replies.Off;
  }

  /** True when the replica can be sent what it lacks from the backlog. Without a backlog it cannot. */
  private continues({ id, offset }: SyncRequest, name: string): boolean {
    const { state, around } = this;
    if (id === "" || id === "?") return false;
    const isKnown = id === state.id || (id === state.id2 && offset < state.secondOffset);
    if (isKnown && state.stream.isInBacklog(offset)) return true;
    state.countRefusedPartialSync();
    if (id === state.id2 && !isKnown)
      around.log.info(
        `Partial resynchronization not accepted: Requested offset for second ID was ${offset + 1}, but I can reply up to ${state.secondOffset}`,
      );
    else if (!isKnown)
      around.log.info(
        `Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '${id}', my replication IDs are '${state.id}' and '${state.id2}')`,
      );
    else
      around.log.info(
        `Unable to partial resync with replica ${name} for lack of backlog (Replica request was: ${offset + 1}).`,
      );
    return false;
  }

  private beginFull(replica: AttachedReplica): void {
    const { state, around } = this;
    around.log.info(`Full resync requested by replica ${nameOf(replica)}`);
    state.countFullSync();
    if (replica.peer.wantsFunctionsAlone) return replica.sendWhole(around.functions());
    const { client, peer } = replica;
    around.post({ kind: "replicaWaits", worker: around.worker, client: client.session.id, hasEof: peer.hasEof });
  }

  acknowledged(session: Session, offset: number, synced: number): void {
    const replica = this.replicas.get(session.id);
    if (replica === undefined) return;
    this.slots.acknowledge(replica.slot, offset, synced, this.around.clock.wallMs());
    replica.heard();
    // The end of this turn looks at the waiting clients of this worker.
    if (this.state.hasWaiting) this.pokeOthers(true);
  }

  watchReplicas(look: () => void): () => void {
    this.watching.add(look);
    this.state.countWaiting(1);
    this.wantsAcknowledgement = true;
    this.around.touch();
    return () => {
      if (this.watching.delete(look)) this.state.countWaiting(-1);
    };
  }

  // ---- messages of the main thread ----

  /** Takes a message. Returns false when it is about something else. */
  receive(message: ToWorker): boolean {
    switch (message.kind) {
      case "syncBegun":
        this.around.guard(() => {
          for (const client of message.clients) this.replicas.get(client)?.begin(message.sync);
        });
        return true;
      case "syncEnded":
        this.around.guard(() => this.syncEnded(message.sync, message.bytes, message.failure));
        return true;
      case "feedReplicas":
        this.around.touch();
        return true;
      case "syncRefused": {
        const replica = this.replicas.get(message.client);
        if (replica !== undefined) this.drop(replica, "no snapshot could be taken");
        return true;
      }
      default:
        return false;
    }
  }

  private syncEnded(sync: number, bytes: number, failure: string): void {
    for (const replica of [...this.replicas.values()]) {
      if (replica.sync?.number !== sync || replica.phase === Phase.Online) continue;
      if (failure !== "") this.drop(replica, failure);
      else replica.complete(bytes);
    }
  }

  // ---- for the replicas ----

  get piece(): Buffer {
    this.spare ??= makePiece();
    return this.spare;
  }
  get end(): number {
    return this.state.stream.end;
  }
  get nowMs(): number {
    return this.around.clock.monotonicMs();
  }
  holds(offset: number): boolean {
    return this.state.stream.holds(offset);
  }
  view(offset: number, end: number): Buffer {
    return this.state.stream.view(offset, end);
  }
  readOlder(offset: number): number {
    const { files, piece } = this;
    const { stream } = this.state;
    const { generation, fileBytes, fileEnd } = stream;
    if (!stream.isInFile(offset)) return 0;
    const at = offset % fileBytes;
    const most = Math.min(piece.length, fileEnd - offset, fileBytes - at);
    try {
      this.older ??= files.open(backlogPath(resolve(this.around.config.text("storage.data_dir"))), "r", 0);
      const read = files.read(this.older, piece, 0, most, at);
      // STREAM-4
      return generation === stream.generation && stream.isInFile(offset) ? read : 0;
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      this.around.log.warn(`the backlog's file cannot be read: ${thrown.message}`);
      return 0;
    }
  }
  /** The file of the backlog, once it was needed. */
  private older: FileDescriptor | null = null;

  later(replica: AttachedReplica, soon: boolean): void {
    const more = () =>
      this.around.guard(() => {
        // So that what it leaves to the end of a turn is done.
        this.around.touch();
        replica.more();
      });
    if (soon) afterEvents(more);
    else setTimeout(more, GROWTH_MS);
  }
  setPhase({ slot }: AttachedReplica, phase: Phase): void {
    if (phase === Phase.Online) this.slots.setHeard(slot, this.around.clock.wallMs());
    this.slots.setPhase(slot, phase);
  }
  setSent({ slot }: AttachedReplica, offset: number): void {
    this.slots.setSent(slot, offset);
  }
  hasLeft({ client }: AttachedReplica): void {
    this.around.post({ kind: "replicaLeft", client: client.session.id });
  }
  succeeded(replica: AttachedReplica): void {
    const { log } = this.around;
    if (replica.peer.wantsSnapshotAlone)
      log.info(`RDB transfer completed, rdb only replica (${nameOf(replica)}) should be disconnected asap`);
    else log.info(`Synchronization with replica ${nameOf(replica)} succeeded`);
  }
  drop(replica: AttachedReplica, why: string): void {
    this.around.log.warn(`Disconnecting replica ${nameOf(replica)}: ${why}`);
    replica.client.kill();
    replica.client.transport.terminate();
  }
  gone(replica: AttachedReplica): void {
    const { around, state } = this;
    const { session } = replica.client;
    if (!this.replicas.delete(session.id)) return;
    around.cells.set(Cell.replicas, this.replicas.size);
    state.countReplicas(-1);
    this.slots.release(replica.slot);
    around.post({ kind: "replicaLeft", client: session.id });
    if (!replica.peer.wantsSnapshotAlone) around.log.info(`Connection with replica ${nameOf(replica)} lost.`);
  }

  // ---- limits ----

  private dropAll(): void {
    this.seenDrop = this.state.dropEpoch;
    for (const replica of [...this.replicas.values()]) this.drop(replica, "the replication has begun anew");
  }

  /**
   * Drops a replica that is too far behind. The limits never count below the size of the backlog, from which it could
   * continue anyway. Returns how near it is to that, 0 to 1.
   */
  private checkLag(replica: AttachedReplica): number {
    if (replica.phase === Phase.Waiting && replica.sync === null) return 0;
    const { config, log } = this.around;
    const { stream } = this.state;
    const { softBytes, softSeconds } = config.outputBufferLimits.replica;
    const { hardBytes } = this;
    const lag = stream.end - replica.offset;
    const least = stream.reachBytes;
    const isOverHard = hardBytes > 0 && lag > Math.max(hardBytes, least);
    const isOverSoft = softBytes > 0 && lag > Math.max(softBytes, least);
    const now = this.nowMs;
    if (!isOverSoft) replica.overSoftSince = 0;
    else if (replica.overSoftSince === 0) replica.overSoftSince = now;
    const isTooLong = isOverSoft && now - replica.overSoftSince > softSeconds * SECOND_MS;
    if (!isOverHard && !isTooLong && stream.keeps(replica.offset)) {
      if (this.mayBeDead(replica)) return 0;
      const most = Math.max(BACKLOG_MAX, stream.fileBytes);
      const limit = hardBytes > 0 ? Math.min(Math.max(hardBytes, least), most) : most;
      const share = isOverSoft ? (now - replica.overSoftSince) / (softSeconds * SECOND_MS) : 0;
      return Math.max(pressureOf(lag, limit), pressureOfTime(share));
    }
    log.warn(
      `Client ${nameOf(replica)} scheduled to be closed ASAP for overcoming of output buffer limits: ${lag} bytes behind`,
    );
    this.drop(replica, OVERRUN);
    return 0;
  }

  private mayBeDead(replica: AttachedReplica): boolean {
    if (replica.phase !== Phase.Online) return this.nowMs - replica.progressMs > PATIENCE_MS;
    // While it loads the data set it says nothing.
    return !replica.isHeld && this.around.clock.wallMs() - this.slots.heardMs(replica.slot) > PATIENCE_MS;
  }

  private checkSilence(replica: AttachedReplica, now: number): void {
    const { config, log, clock } = this.around;
    const timeoutMs = config.number("replication.repl_timeout") * SECOND_MS;
    if (replica.phase === Phase.Waiting) {
      // So that the replica knows that its primary lives.
      replica.client.push(NEWLINE);
      return;
    }
    const isOnline = replica.phase === Phase.Online;
    const silentMs = isOnline ? clock.wallMs() - this.slots.heardMs(replica.slot) : now - replica.progressMs;
    if (silentMs <= timeoutMs) return;
    log.warn(`Disconnecting timedout replica (${isOnline ? "streaming sync" : "full sync"}): ${nameOf(replica)}`);
    this.drop(replica, "it was silent for too long");
  }
}

/** A replica as the log names it: the address at which it can be reached. */
function nameOf({ client, peer }: AttachedReplica): string {
  const host = peer.host === "" ? hostOf(client.address) : peer.host;
  return peer.port === 0 ? client.address : `${host}:${peer.port}`;
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
}
