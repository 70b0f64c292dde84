/**
 * Slots of replicas: what all threads may know of each attached replica, as words of the control block. INFO, ROLE, WAIT and
 * the check of min-replicas-to-write read them without asking anybody.
 *
 *   word  0 │ phase │ worker │ client (double) │ acknowledged (double) │ synced (double) │
 *         8 │ heard of, wall ms (double) │ sent up to (double) │ port │ flags │ host bytes │
 *        16 │ host, HOST_BYTES of Latin-1 ...
 *
 * The worker of the replica's connection claims the slot, writes it and releases it. All others read. The phase is the first
 * word that is set and the last one that is cleared, so a reader may find words of a replica that has just gone.
 */
import type { Control } from "../memory/control.ts";
import { REPLICAS, SLOT_WORDS, SLOTS_AT } from "./words.ts";

/** Free: no replica. Waits for a snapshot, receives one, has it and is sent the stream. */
export const Phase = { Free: 0, Waiting: 1, Receiving: 2, Online: 3 } as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** What INFO calls the phases. */
export const PHASE_NAMES = ["", "wait_bgsave", "send_bulk", "online"] as const;

const PHASE = 0;
const WORKER = 1;
const CLIENT = 2;
const ACKNOWLEDGED = 4;
const SYNCED = 6;
const HEARD_MS = 8;
const SENT = 10;
const PORT = 12;
const FLAGS = 13;
const HOST_LENGTH = 14;
const HOST_AT = 16;
export const HOST_BYTES = (SLOT_WORDS - HOST_AT) * 4;

/** The replica has acknowledged something since it is online. */
const HAS_ACKNOWLEDGED = 1;
/** It only wants the snapshot. */
const WANTS_SNAPSHOT_ALONE = 2;

export class ReplicaSlots {
  private readonly c: Int32Array;
  private readonly f64: Float64Array;
  private readonly bytes: Buffer;
  private readonly first: number;

  constructor(control: Control) {
    this.c = control.i32;
    this.f64 = control.f64;
    this.bytes = Buffer.from(control.buffer);
    this.first = control.replicationAt + SLOTS_AT;
  }

  get count(): number {
    return REPLICAS;
  }

  private at(slot: number): number {
    return this.first + slot * SLOT_WORDS;
  }
  private double(slot: number, field: number): number {
    return this.f64[(this.at(slot) + field) >>> 1]!;
  }
  private setDouble(slot: number, field: number, value: number): void {
    this.f64[(this.at(slot) + field) >>> 1] = value;
  }

  // ---- the worker of the connection ----

  /** Claims a slot for a replica that waits for a snapshot; -1 = all are taken. */
  claim(worker: number, client: number, wallMs: number): number {
    for (let slot = 0; slot < REPLICAS; slot++) {
      const at = this.at(slot);
      if (Atomics.compareExchange(this.c, at + PHASE, Phase.Free, Phase.Waiting) !== Phase.Free) continue;
      this.c[at + WORKER] = worker;
      this.c[at + FLAGS] = 0;
      this.setDouble(slot, CLIENT, client);
      this.setDouble(slot, ACKNOWLEDGED, 0);
      this.setDouble(slot, SYNCED, 0);
      this.setDouble(slot, SENT, Number.MAX_SAFE_INTEGER);
      this.setDouble(slot, HEARD_MS, wallMs);
      return slot;
    }
    return -1;
  }
  release(slot: number): void {
    Atomics.store(this.c, this.at(slot) + PHASE, Phase.Free);
  }
  setPhase(slot: number, phase: Phase): void {
    Atomics.store(this.c, this.at(slot) + PHASE, phase);
  }
  setAddress(slot: number, host: string, port: number): void {
    const at = this.at(slot);
    this.c[at + HOST_LENGTH] = this.bytes.write(host, (at + HOST_AT) * 4, HOST_BYTES, "latin1");
    this.c[at + PORT] = port;
  }
  setSnapshotAlone(slot: number): void {
    this.c[this.at(slot) + FLAGS]! |= WANTS_SNAPSHOT_ALONE;
  }
  /** The replica has everything up to `offset`, and on the disk up to `synced`. */
  acknowledge(slot: number, offset: number, synced: number, wallMs: number): void {
    this.setDouble(slot, ACKNOWLEDGED, Math.max(offset, this.acknowledged(slot)));
    this.setDouble(slot, SYNCED, Math.max(synced, this.synced(slot)));
    this.setDouble(slot, HEARD_MS, wallMs);
    this.c[this.at(slot) + FLAGS]! |= HAS_ACKNOWLEDGED;
  }
  setHeard(slot: number, wallMs: number): void {
    this.setDouble(slot, HEARD_MS, wallMs);
  }
  /** The stream is needed from `offset` on. */
  setSent(slot: number, offset: number): void {
    this.setDouble(slot, SENT, offset);
  }

  // ---- readers ----

  phase(slot: number): Phase {
    return Atomics.load(this.c, this.at(slot) + PHASE) as Phase;
  }
  isSnapshotAlone(slot: number): boolean {
    return (this.c[this.at(slot) + FLAGS]! & WANTS_SNAPSHOT_ALONE) !== 0;
  }
  hasAcknowledged(slot: number): boolean {
    return (this.c[this.at(slot) + FLAGS]! & HAS_ACKNOWLEDGED) !== 0;
  }
  worker(slot: number): number {
    return this.c[this.at(slot) + WORKER]!;
  }
  client(slot: number): number {
    return this.double(slot, CLIENT);
  }
  acknowledged(slot: number): number {
    return this.double(slot, ACKNOWLEDGED);
  }
  synced(slot: number): number {
    return this.double(slot, SYNCED);
  }
  heardMs(slot: number): number {
    return this.double(slot, HEARD_MS);
  }
  sent(slot: number): number {
    return this.double(slot, SENT);
  }
  host(slot: number): string {
    const first = (this.at(slot) + HOST_AT) * 4;
    return this.bytes.toString("latin1", first, first + this.c[this.at(slot) + HOST_LENGTH]!);
  }
  port(slot: number): number {
    return this.c[this.at(slot) + PORT]!;
  }

  /** The slots of replicas, without clients that only want a snapshot. */
  all(): number[] {
    const taken: number[] = [];
    for (let slot = 0; slot < REPLICAS; slot++)
      if (this.phase(slot) !== Phase.Free && !this.isSnapshotAlone(slot)) taken.push(slot);
    return taken;
  }
  countOnline(): number {
    let count = 0;
    for (let slot = 0; slot < REPLICAS; slot++) if (this.phase(slot) === Phase.Online) count++;
    return count;
  }
  /** Online replicas that have everything up to `offset`. */
  countAcknowledged(offset: number): number {
    let count = 0;
    for (let slot = 0; slot < REPLICAS; slot++)
      if (this.phase(slot) === Phase.Online && this.acknowledged(slot) >= offset) count++;
    return count;
  }
  /** Online replicas that have everything up to `offset` on the disk. */
  countSynced(offset: number): number {
    let count = 0;
    for (let slot = 0; slot < REPLICAS; slot++)
      if (this.phase(slot) === Phase.Online && this.synced(slot) >= offset) count++;
    return count;
  }
  /** Online replicas that were heard of in the last `seconds`. */
  countGood(wallMs: number, seconds: number): number {
    let count = 0;
    const second = Math.floor(wallMs / 1000);
    for (let slot = 0; slot < REPLICAS; slot++)
      if (this.phase(slot) === Phase.Online && second - Math.floor(this.heardMs(slot) / 1000) <= seconds) count++;
    return count;
  }
  /** The lowest offset from which a replica still needs the stream; MAX_SAFE_INTEGER = none does. */
  lowestSent(): number {
    let lowest = Number.MAX_SAFE_INTEGER;
    for (let slot = 0; slot < REPLICAS; slot++)
      if (this.phase(slot) !== Phase.Free) lowest = Math.min(lowest, this.sent(slot));
    return lowest;
  }
}
