/**
 * Replication state: role, ids and what all threads must know of them, as words of the control block.
 *
 *   id    40 hex characters that name the history of the data. A server with the same id and an offset has that history up to the offset.
 *   id2   the id that this server's history had before, valid for offsets up to `secondOffset`; NO_ID = none.
 *
 * The offset is that of the stream (stream.ts). Ids are read and written under the stream's lock, which is a leaf lock.
 *
 * Who changes the role is one thread at a time (the main thread brings it into order). `dropEpoch` grows when the connections
 * of all replicas must end: each worker compares it with the one it saw.
 */
import type { Control } from "../memory/control.ts";
import { lock, unlock } from "../memory/lock.ts";
import type { ReplicationStream } from "./stream.ts";
import { LINK_AT, LOCK_AT, STATE_AT } from "./words.ts";

export const Role = { Primary: 0, Replica: 1 } as const;
export type Role = (typeof Role)[keyof typeof Role];

/** How far a FAILOVER is (failover-control.ts). The names are those of INFO. */
export const Failover = { None: 0, WaitingForSync: 1, InProgress: 2 } as const;
export type Failover = (typeof Failover)[keyof typeof Failover];
export const FAILOVER_NAMES = ["no-failover", "waiting-for-sync", "failover-in-progress"] as const;

export const ID_BYTES = 40;
/** The second id while there is none. */
export const NO_ID = "0".repeat(ID_BYTES);

// Words from STATE_AT; doubles at even words.
const ROLE = 0;
const ROLE_EPOCH = 1;
const DROP_EPOCH = 2;
/** Replicas that the stream is sent to, or that wait for it. */
const REPLICAS = 3;
const SECOND = 4;
/** Clients that wait for replicas (WAIT, WAITAOF), of all threads. */
const WAITING = 6;
/** Full and partial synchronizations, and refused partial ones: doubles. */
const SYNC_FULL = 8;
const SYNC_OK = 10;
const SYNC_REFUSED = 12;
const STREAM_DATABASE = 14;
const FAILOVER = 15;
const ID_AT = 32;
const ID2_AT = 48;

/** A new id: no other history has it. */
export function newId(): string {
  return crypto.getRandomValues(new Uint8Array(ID_BYTES / 2)).toHex();
}

export class ReplicationState {
  private readonly c: Int32Array;
  private readonly f64: Float64Array;
  private readonly lockAt: number;
  private readonly at: number;
  private readonly bytes: Buffer;
  /** First word of what the link to the primary tells: LINK_WORDS, its own to lay out. */
  readonly linkAt: number;

  constructor(
    control: Control,
    readonly stream: ReplicationStream,
  ) {
    this.c = control.i32;
    this.f64 = control.f64;
    this.lockAt = control.replicationAt + LOCK_AT;
    this.at = control.replicationAt + STATE_AT;
    this.linkAt = control.replicationAt + LINK_AT;
    this.bytes = Buffer.from(control.buffer);
  }

  /** At the start, before other threads look: a primary with a new history. */
  initialize(): void {
    this.setId(ID_AT, newId());
    this.setId(ID2_AT, NO_ID);
    this.f64[(this.at + SECOND) >>> 1] = -1;
  }

  // ---- facts ----

  get role(): Role {
    return this.c[this.at + ROLE] as Role;
  }
  get isReplica(): boolean {
    return this.c[this.at + ROLE] === Role.Replica;
  }
  /** Grows with every change of the role. */
  get roleEpoch(): number {
    return Atomics.load(this.c, this.at + ROLE_EPOCH);
  }
  get id(): string {
    return this.idAt(ID_AT);
  }
  get id2(): string {
    return this.idAt(ID2_AT);
  }
  /** Offsets up to this one are also those of `id2`; -1 = there is none. */
  get secondOffset(): number {
    return this.f64[(this.at + SECOND) >>> 1]!;
  }
  /** master_repl_offset. */
  get offset(): number {
    return this.stream.end;
  }

  /** Database of the next command of the stream: on a replica that of its primary's last command; on a primary each command says it. */
  get streamDatabase(): number {
    return this.isReplica ? this.c[this.at + STREAM_DATABASE]! : 0;
  }
  set streamDatabase(database: number) {
    this.c[this.at + STREAM_DATABASE] = database;
  }

  private idAt(at: number): string {
    lock(this.c, this.lockAt);
    const first = (this.at + at) * 4;
    const id = this.bytes.toString("latin1", first, first + ID_BYTES);
    unlock(this.c, this.lockAt);
    return id;
  }
  private setId(at: number, id: string): void {
    this.bytes.write(id, (this.at + at) * 4, ID_BYTES, "latin1");
  }

  // ---- changes of the history ----

  /** A new history begins here: the backlog was made anew, or is gone. */
  renew(): void {
    lock(this.c, this.lockAt);
    this.setId(ID_AT, newId());
    this.clearSecond();
    unlock(this.c, this.lockAt);
  }

  /** The data is that of another server, as of `offset` of the history `id`: a full synchronization. The backlog begins there. */
  adopt(id: string, offset: number): void {
    lock(this.c, this.lockAt);
    this.setId(ID_AT, id);
    this.clearSecond();
    unlock(this.c, this.lockAt);
    this.stream.begin(offset, !this.isReplica);
    this.dropReplicas();
  }

  /**
   * The server starts with data of an older history, as of `offset`. A replica continues it. A primary begins a new one, and
   * its former replicas may continue in that.
   */
  restore({ id, offset, database }: { id: string; offset: number; database: number }): void {
    lock(this.c, this.lockAt);
    this.setId(this.isReplica ? ID_AT : ID2_AT, id);
    if (!this.isReplica) this.f64[(this.at + SECOND) >>> 1] = offset + 1;
    unlock(this.c, this.lockAt);
    this.streamDatabase = database;
    this.stream.begin(offset, !this.isReplica);
    this.isRestored = true;
  }
  /** By this thread. */
  isRestored = false;

  /** The history has another id from here on (+CONTINUE id). */
  continueAs(id: string): void {
    if (id === this.id) return;
    this.shift(id);
    this.dropReplicas();
  }

  private shift(id: string): void {
    const old = this.id;
    lock(this.c, this.lockAt);
    this.setId(ID2_AT, old);
    this.setId(ID_AT, id);
    this.f64[(this.at + SECOND) >>> 1] = this.stream.end + 1;
    unlock(this.c, this.lockAt);
  }

  private clearSecond(): void {
    this.setId(ID2_AT, NO_ID);
    this.f64[(this.at + SECOND) >>> 1] = -1;
  }

  // ---- the role ----

  /** This server is a replica from now on. Its history so far stays known, so that its primary may continue it. */
  becomeReplica(): void {
    this.setRole(Role.Replica);
  }
  /** All workers have noted that this is a replica, and their last writes are in the stream: now it takes the primary's. */
  follow(): void {
    this.stream.setTakesEffects(false);
  }

  /** This server is a primary from now on. Its replicas must come again, to hear of the new id. */
  promote(): void {
    this.shift(newId());
    // Before the role: who sees that it may write sees where its effects go.
    this.stream.setTakesEffects(true);
    this.setRole(Role.Primary);
    this.dropReplicas();
  }

  private setRole(role: Role): void {
    Atomics.store(this.c, this.at + ROLE, role);
    Atomics.add(this.c, this.at + ROLE_EPOCH, 1);
  }

  /** The main thread alone sets it. While it is not None, clients' writes are suspended and nothing is pinged. */
  get failover(): Failover {
    return Atomics.load(this.c, this.at + FAILOVER) as Failover;
  }
  set failover(state: Failover) {
    Atomics.store(this.c, this.at + FAILOVER, state);
  }

  // ---- replicas ----

  /** The connections of all replicas end. */
  dropReplicas(): void {
    Atomics.add(this.c, this.at + DROP_EPOCH, 1);
  }
  get dropEpoch(): number {
    return Atomics.load(this.c, this.at + DROP_EPOCH);
  }
  /** Replicas whose connections are there. */
  get replicas(): number {
    return Atomics.load(this.c, this.at + REPLICAS);
  }
  countReplicas(change: number): void {
    Atomics.add(this.c, this.at + REPLICAS, change);
  }
  /** `change` more clients wait for replicas. */
  countWaiting(change: number): void {
    Atomics.add(this.c, this.at + WAITING, change);
  }
  get hasWaiting(): boolean {
    return Atomics.load(this.c, this.at + WAITING) > 0;
  }

  // ---- counters of INFO ----

  get fullSyncs(): number {
    return this.c[this.at + SYNC_FULL]!;
  }
  get partialSyncs(): number {
    return this.c[this.at + SYNC_OK]!;
  }
  get refusedPartialSyncs(): number {
    return this.c[this.at + SYNC_REFUSED]!;
  }
  countFullSync(): void {
    Atomics.add(this.c, this.at + SYNC_FULL, 1);
  }
  countPartialSync(): void {
    Atomics.add(this.c, this.at + SYNC_OK, 1);
  }
  countRefusedPartialSync(): void {
    Atomics.add(this.c, this.at + SYNC_REFUSED, 1);
  }
  resetCounters(): void {
    for (const word of [SYNC_FULL, SYNC_OK, SYNC_REFUSED]) Atomics.store(this.c, this.at + word, 0);
  }
}
