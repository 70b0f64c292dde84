/**
 * Trackers: the clients, of any worker, that track keys (CLIENT TRACKING). Each has a slot in the control block, which every
 * thread reads: where its invalidations go.
 *
 *   line    │ slots ever used │ slots in use │
 *   tracker │ use │ bits │ client (double) │ redirect (int64) │ 0 │ 0 │
 *
 * `use` is odd while the slot has a client, and counts: what names a slot and its use never means another client.
 *
 * Invariants
 *   TRACKER-1  only the worker of the client writes the slots of its part
 *   TRACKER-2  the client of a slot is written before its use becomes odd, and does not change until it is even
 * Access: `use`, `bits`, `redirect` and the line by Atomics; the client plainly, after `use` was read (TRACKER-2).
 */
import { assert } from "../base/assert.ts";
import { type Control, TRACKER_WORDS, TRACKERS, TRACKERS_LINE } from "../memory/control.ts";

/** Bits of a tracker. */
export const Tracks = { Prefixes: 1, NoLoop: 2, Redirects: 4 } as const;

// The line, and the words of a tracker.
const USED_AT = 0;
const COUNT_AT = 1;
const USE = 0;
const BITS = 1;
const CLIENT = 2;
const REDIRECT = 4;

const NONE: readonly number[] = [];

export class Trackers {
  private readonly c: Int32Array;
  private readonly f64: Float64Array;
  private readonly i64: BigInt64Array;
  private readonly first: number;
  private readonly workers: number;
  private readonly own: number;
  private readonly freeSlots: number[] = [];

  constructor(
    control: Control,
    private readonly worker: number,
  ) {
    this.c = control.i32;
    this.f64 = control.f64;
    this.i64 = new BigInt64Array(control.buffer);
    this.first = control.trackersAt;
    this.workers = control.geometry.workers;
    this.own = this.lineOf(worker);
  }

  private lineOf(worker: number): number {
    return this.first + worker * (TRACKERS_LINE + TRACKERS * TRACKER_WORDS);
  }
  private at(slot: number): number {
    return this.lineOf(Math.floor(slot / TRACKERS)) + TRACKERS_LINE + (slot % TRACKERS) * TRACKER_WORDS;
  }

  // ---- the client's own worker (TRACKER-1) ----

  /** Gives `client` a slot. Returns -1 when this worker has no free one. */
  begin(client: number): number {
    const { c, own } = this;
    const used = c[own + USED_AT]!;
    const reused = this.freeSlots.pop();
    if (reused === undefined && used === TRACKERS) return -1;
    const slot = reused ?? this.worker * TRACKERS + used;
    const at = this.at(slot);
    assert((c[at + USE]! & 1) === 0, "a client gets a slot that is free");
    this.f64[(at + CLIENT) >> 1] = client;
    Atomics.store(c, at + USE, (c[at + USE]! + 1) | 0);
    if (reused === undefined) Atomics.store(c, own + USED_AT, used + 1);
    Atomics.add(c, own + COUNT_AT, 1);
    return slot;
  }

  /** Sets what the client of a slot wants. `redirect`: the client that its invalidations go to, 0 = itself. */
  set(slot: number, bits: number, redirect: number): void {
    const at = this.at(slot);
    Atomics.store(this.i64, (at + REDIRECT) >> 1, BigInt(redirect));
    Atomics.store(this.c, at + BITS, redirect === 0 ? bits : bits | Tracks.Redirects);
  }

  /** Frees a slot. What names it is stale from now on. */
  end(slot: number): void {
    const { c } = this;
    const at = this.at(slot);
    assert((c[at + USE]! & 1) === 1, "a slot in use is freed");
    Atomics.store(c, at + USE, (c[at + USE]! + 1) | 0);
    Atomics.sub(c, this.own + COUNT_AT, 1);
    this.freeSlots.push(slot);
  }

  // ---- any thread ----

  useOf(slot: number): number {
    return Atomics.load(this.c, this.at(slot) + USE);
  }
  isLive(slot: number, use: number): boolean {
    return this.useOf(slot) === use;
  }
  bitsOf(slot: number): number {
    return Atomics.load(this.c, this.at(slot) + BITS);
  }
  clientOf(slot: number): number {
    return this.f64[(this.at(slot) + CLIENT) >> 1]!;
  }
  /** The client that the invalidations of a slot go to, 0 = its own. */
  redirectOf(slot: number): number {
    if ((this.bitsOf(slot) & Tracks.Redirects) === 0) return 0;
    return Number(Atomics.load(this.i64, (this.at(slot) + REDIRECT) >> 1));
  }

  /** Clients that track keys or prefixes, of all workers. */
  get count(): number {
    let count = 0;
    for (let worker = 0; worker < this.workers; worker++) count += Atomics.load(this.c, this.lineOf(worker) + COUNT_AT);
    return count;
  }

  /** The slots in use. */
  all(): readonly number[] {
    if (this.count === 0) return NONE;
    const slots: number[] = [];
    for (let worker = 0; worker < this.workers; worker++) {
      const used = Atomics.load(this.c, this.lineOf(worker) + USED_AT);
      for (let n = 0; n < used; n++) {
        const slot = worker * TRACKERS + n;
        if ((this.useOf(slot) & 1) === 1) slots.push(slot);
      }
    }
    return slots;
  }
}
