/**
 * Blocking: commands that wait until a key holds something. The command, finding nothing, leaves a request at each of its
 * keys (store/waiters.ts) and answers Later. Whoever then makes one of the keys hold something, on whatever worker, serves
 * the requests inside its critical section (store/section.ts), before it lets go of the locks: in the order they came it
 * claims the client, takes what is wanted out of the key, and hands the finished reply to the client's worker.
 *
 *   command that changes a key ─ store.changed ─► ready places ─ serve, locks held ─► replies ─ end of turn ─► workers
 *
 * A request with a target (BLMOVE) needs the lock of a second shard. It is only tried for, so the order of locks does not
 * matter. When it is not free, this worker serves the key in a later turn; until then no request behind it is served.
 *
 * Invariants
 *   G1  a reply is made for a client exactly when its state went from Waiting to Claimed
 *   G2  a key that was made ready is served before the locks of the command go, or noted in `postponed`
 *   G3  a wait's requests are given back by its own worker, after the wait has ended
 */
import { assert } from "../base/assert.ts";
import { Reply } from "../protocol/reply.ts";
import type { RecordType } from "../store/record.ts";
import { NO_ADDRESS } from "../store/segments.ts";
import type { ReadyPlace } from "../store/section.ts";
import { KeyEvent } from "../store/key-events.ts";
import type { Store } from "../store/store.ts";
import { ENDS_WITH_KEY, Waiters } from "../store/waiters.ts";
import { NO_REF, type Ref } from "../structures/pages.ts";
import type { Call } from "./call.ts";
import { refuse } from "./refuse.ts";
import type { Session } from "./session.ts";
import { Later, type Outcome } from "./spec.ts";
import { Status } from "../base/status.ts";

/** What a waiting command wants. */
export const Want = {
  ListElement: 0,
  ListElements: 1,
  ListMove: 2,
  SortedSetMember: 3,
  SortedSetMembers: 4,
  Entries: 5,
  GroupEntries: 6,
} as const;
export type Want = (typeof Want)[keyof typeof Want];

/**
 * Takes what is wanted out of the key of argument 1, which holds a value of the right type, and replies it with all
 * around it. `front`: from the front, or of the lowest scores; `toFront` and the key of argument 2 are a move's.
 */
export type ServeHandler = (call: Call, reply: Reply, front: boolean, toFront: boolean, count: number) => void;

/**
 * Tells whether a request may be served now, for wants of which a key that holds something need not hold what is wanted:
 * the key of argument 1 is there with this type, or gone (null); argument 2 is what the plan noted of it.
 */
export type Readiness = (call: Call, type: RecordType | null) => boolean;

const servers: { type: RecordType; serve: ServeHandler; isReady: Readiness | null }[] = [];

/** Tells how a want is served; each family does so for its own when it is loaded. */
export function registerServeHandler(
  want: Want,
  type: RecordType,
  serve: ServeHandler,
  isReady: Readiness | null = null,
): void {
  servers[want] = { type, serve, isReady };
}

/** A wait as its command begins it: keys `firstKey` to `lastKey`, arguments all. */
export interface WaitPlan {
  want: Want;
  firstKey: number;
  lastKey: number;
  front: boolean;
  toFront: boolean;
  count: number;
  /** Argument of the target's key, 0 = none. */
  target: number;
  /** What is noted of each key in place of a target. */
  note?: (key: number) => Buffer;
  /** When the keys are to be looked at again although nobody touches them; wall time, ms, Infinity = never. */
  lookMs?: number;
  timeoutMs: number;
  /** Replied when the time is over. */
  write: (reply: Reply) => void;
}

// Bits of a request's kind.
const WANT_MASK = 0xff;
const FRONT = 0x100;
const TO_FRONT = 0x200;
const RESP3 = 0x400;

/** A waiting client of this worker. */
interface Wait {
  readonly session: Session;
  readonly slot: number;
  readonly shards: number[];
  readonly requests: Ref[];
  /** Keys that are to be looked at again, and when. */
  readonly looked: LookedAt[];
  lookMs: number;
  timer: Timer | null;
}

/** A key to be served in a later turn. */
interface LookedAt {
  readonly shard: number;
  readonly db: number;
  readonly key: Buffer;
  /** The wait that looks at it again and again. */
  readonly wait: Wait | null;
}

/** A finished reply on its way to the worker of its client. */
export interface Served {
  slot: number;
  reply: Uint8Array;
  /** Text of the error that the reply is, "" = none. */
  error: string;
  /** Time it took, ms. */
  tookMs: number;
  /** Log position that must be released before it leaves; see Reply.position. */
  position: number;
}

const TOO_MANY = "ERR too many clients of this worker wait in blocking commands";
const POSTPONED_MS = 1;
/** Whose keys are looked at again waits for this long at most between two looks, ms. */
const LOOK_MS = 60_000;
/** Longest time of a timer, ms. */
const TIMER_MS_MAX = 0x7fffffff;

export class Blocking {
  readonly waiters: Waiters;
  private readonly store: Store;
  /** Keys that could not be served, for want of a target's lock, or are to be looked at again. */
  private postponed: LookedAt[] = [];
  /** When the key that was served is to be looked at again. */
  private lookMs = Infinity;
  private readonly waits = new Map<number, Wait>();
  /** Waits that are over, whose requests are to be given back. */
  private over: Wait[] = [];
  /** Replies made here, by the worker they go to. */
  private outgoing: Served[][] = [];
  private isTurnAsked = false;
  /** The handler at work has begun a wait. */
  private begun = false;
  /** The error replied last to a client that waits, "" = none. */
  private errorText = "";
  private postponeTimer: Timer | null = null;
  /** Without timers the owner calls `lookNow`. */
  usesTimers = true;
  /** Has `turn` run after the commands at hand. Set by the owner. */
  askTurn: () => void = () => {};
  /** Hands replies to another worker. Set by the server. */
  send: (worker: number, served: Served[]) => void = () => {};

  // Where the keys of the request served stand as arguments.
  private arguments = Buffer.alloc(1024);
  private readonly starts = new Int32Array(3);
  private readonly lengths = new Int32Array(3);
  private readonly reply = new Reply();
  private parts: Buffer[] = [];

  constructor(private readonly call: Call) {
    const { store } = call;
    this.store = store;
    this.waiters = new Waiters(store);
    store.section.serve = (ready) => this.serve(ready);
    store.hooks.blocked = (shard, keyspace, event) => this.touched(shard, keyspace, event);
    this.reply.onError = (text) => (this.errorText = text);
    this.reply.target = {
      isGone: false,
      handOn: (bytes, length) => {
        this.parts.push(Buffer.from(bytes.subarray(0, length)));
        return bytes;
      },
      stream: () => assert(false, "replies to waiting clients are not streamed"),
    };
  }

  // ---- waiting ----

  /** Makes the client of the call wait. Its handler, which holds the locks of the keys, returns what this does. */
  wait(reply: Reply, plan: WaitPlan): Outcome | void {
    const { call, waiters } = this;
    const { server, session } = call;
    if (server.block === undefined || session.deniesBlocking) return plan.write(reply);
    const slot = waiters.begin();
    if (slot < 0) return reply.error(TOO_MANY);
    const wait: Wait = { session, slot, shards: [], requests: [], looked: [], lookMs: Infinity, timer: null };
    const looks = plan.lookMs !== undefined && plan.lookMs < Infinity;
    const kind =
      plan.want |
      (plan.want === Want.GroupEntries ? ENDS_WITH_KEY : 0) |
      (plan.front ? FRONT : 0) |
      (plan.toFront ? TO_FRONT : 0) |
      (session.protocol === 3 ? RESP3 : 0);
    const target = plan.target === 0 ? 0 : call.argAt(plan.target);
    const targetBytes = plan.target === 0 ? 0 : call.argBytes(plan.target);
    for (let i = plan.firstKey; i <= plan.lastKey; i++) {
      call.selectKey(i);
      const note = plan.note?.(i);
      const request =
        note === undefined
          ? waiters.add(slot, session.db, kind, plan.count, call.bytes, target, targetBytes)
          : waiters.add(slot, session.db, kind, plan.count, note, 0, note.length);
      if (request < 0) {
        for (let n = 0; n < wait.requests.length; n++) waiters.remove(wait.shards[n]!, wait.requests[n]!);
        waiters.release(slot);
        return refuse(call, reply, Status.Busy);
      }
      if (request === NO_REF) continue;
      wait.shards.push(this.store.cursor.shard);
      wait.requests.push(request);
      if (!looks) continue;
      const key = Buffer.from(call.bytes.subarray(call.argAt(i), call.argAt(i) + call.argBytes(i)));
      wait.looked.push({ shard: this.store.cursor.shard, db: session.db, key, wait });
    }
    this.waits.set(slot, wait);
    this.begun = true;
    if (looks) this.lookAt(wait, plan.lookMs!);
    server.block(session, plan.timeoutMs, plan.write, () => this.cancel(wait));
    return Later;
  }

  /** Whether the command that ended just now waits. */
  hasBegun(): boolean {
    const { begun } = this;
    this.begun = false;
    return begun;
  }

  /** Ends a wait for another reason than a reply. Returns false when the reply is on its way. */
  private cancel(wait: Wait): boolean {
    if (!this.waiters.cancel(wait.slot)) return false;
    this.end(wait);
    return true;
  }

  private end(wait: Wait): void {
    this.waits.delete(wait.slot);
    if (wait.timer !== null) clearTimeout(wait.timer);
    this.over.push(wait);
    this.turnSoon();
  }

  /** Has the keys of `wait` looked at again at `ms`, unless that happens before. */
  private lookAt(wait: Wait, ms: number): void {
    if (ms >= wait.lookMs) return;
    if (wait.timer !== null) clearTimeout(wait.timer);
    wait.lookMs = ms;
    if (!this.usesTimers) return;
    const left = Math.min(Math.max(ms - this.call.clock.wallMs(), 1), TIMER_MS_MAX);
    wait.timer = setTimeout(() => {
      wait.timer = null;
      this.look(wait);
    }, left);
  }

  private look(wait: Wait): void {
    wait.lookMs = Infinity;
    this.postponed.push(...wait.looked);
    this.turnSoon();
  }

  /** Looks at the keys whose time it is. For who has no timers. */
  lookNow(): void {
    const now = this.call.clock.wallMs();
    for (const wait of this.waits.values()) if (wait.lookMs <= now) this.look(wait);
  }

  /** Says of a request that is not ready when its key is to be looked at again: wall time, ms. */
  lookAgain(ms: number): void {
    this.lookMs = Math.min(this.lookMs, ms);
  }

  /** Gives back the requests of waits that are over, as far as the locks are to be had. */
  private collect(): void {
    const { waiters } = this;
    const { section } = this.store;
    const waits = this.over;
    this.over = [];
    for (const wait of waits) {
      for (let shard = wait.shards.at(-1); shard !== undefined; shard = wait.shards.at(-1)) {
        const isFree = section.within(shard, () => waiters.remove(shard, wait.requests.pop()!));
        if (!isFree) break;
        wait.shards.pop();
      }
      if (wait.shards.length > 0) this.over.push(wait);
      else waiters.release(wait.slot);
    }
  }

  // ---- what becomes ready ----

  private touched(shard: number, keyspace: number, event: KeyEvent): void {
    const { store, waiters } = this;
    const header = store.headerOf(shard);
    if (event === KeyEvent.Flushed) {
      waiters.visitAll(shard, header, (place, db) => this.noteReady(shard, keyspace, place, db));
    } else if (event !== KeyEvent.Deadline && event !== KeyEvent.Persisted) {
      waiters.visitKey(shard, header, store.cursor.key, (place, db) => this.noteReady(shard, keyspace, place, db));
    }
  }

  private noteReady(shard: number, keyspace: number, place: Ref, db: number): void {
    if (this.call.keyspaces.of(db) !== keyspace) return;
    if (!this.waiters.makeReady(place)) return;
    this.store.section.rearranges(shard);
    this.store.section.addReady(shard, place);
  }

  // ---- serving ----

  /** Serves all places that are ready, in the section that made them so (G2). */
  private serve(ready: readonly ReadyPlace[]): void {
    const { call } = this;
    call.borrow(this.arguments, this.starts, this.lengths);
    // The list grows meanwhile: what is moved to another key may be waited for there too.
    for (let i = 0; i < ready.length; i++) this.servePlace(ready[i]!.shard, ready[i]!.place);
    call.giveBack();
  }

  private servePlace(shard: number, place: Ref): void {
    const { waiters, store, call } = this;
    const length = waiters.openWaitedKey(shard, place);
    if (length > this.arguments.length) this.widen(length);
    waiters.copyKey(place, length, this.arguments);
    this.lengths[1] = length;
    const db = waiters.databaseOf(place);
    call.keyspace = call.keyspaces.of(db);
    for (let ref = waiters.firstOf(place), next: Ref = NO_REF; ref !== NO_REF; ref = next) {
      const request = waiters.openRequest(ref);
      next = request.next;
      if (!waiters.isWaiting) {
        waiters.unlink(ref);
        continue;
      }
      call.selectKey(1);
      const exists = store.find() !== NO_ADDRESS;
      const server = servers[request.kind & WANT_MASK];
      if (server === undefined) continue;
      if (server.isReady !== null) {
        this.placeTarget(ref, length, request.targetBytes);
        const isReady = server.isReady(call, exists ? store.cursor.type : null);
        // It may have removed members that were due, and so looked at places.
        waiters.select(shard);
        waiters.openRequest(ref);
        if (!isReady) continue;
      } else if (!exists || server.type !== store.cursor.type) {
        continue;
      } else if (request.targetBytes > 0 || (request.kind & WANT_MASK) === Want.ListMove) {
        this.placeTarget(ref, length, request.targetBytes);
        if (!this.lockTarget()) {
          this.postpone(shard, db, length);
          break;
        }
        waiters.select(shard);
        waiters.openRequest(ref);
      }
      const { slot, kind, count } = request;
      const isClaimed = waiters.claim();
      waiters.unlink(ref);
      if (!isClaimed) continue;
      this.deliver(slot, server.serve, kind, count);
      // What was served may have looked at other places.
      waiters.select(shard);
    }
    waiters.dropIfEmpty(shard, place);
  }

  /** Writes the target of a request behind its key, as argument 2. */
  private placeTarget(ref: Ref, keyBytes: number, targetBytes: number): void {
    if (keyBytes + targetBytes > this.arguments.length) this.widen(keyBytes + targetBytes);
    this.waiters.copyTarget(ref, targetBytes, this.arguments, keyBytes);
    this.starts[2] = keyBytes;
    this.lengths[2] = targetBytes;
  }

  private widen(bytes: number): void {
    const wider = Buffer.alloc(bytes * 2);
    this.arguments.copy(wider);
    this.arguments = wider;
    this.call.bytes = wider;
  }

  /** Sees to it that the shard of argument 2 is locked. Returns false when the lock is not free now. */
  private lockTarget(): boolean {
    const { store, call } = this;
    call.selectKey(2);
    return store.section.tryAdd(store.cursor.shard);
  }

  /** Runs what serves one request. Returns its reply. */
  private run(serve: ServeHandler, kind: number, count: number): Uint8Array {
    const { reply, call } = this;
    reply.protocol = (kind & RESP3) !== 0 ? 3 : 2;
    reply.at = 0;
    this.parts.length = 0;
    serve(call, reply, (kind & FRONT) !== 0, (kind & TO_FRONT) !== 0, count);
    const rest = Buffer.from(reply.bytes.subarray(0, reply.at));
    reply.at = 0;
    if (this.parts.length === 0) return rest;
    const whole = Buffer.concat([...this.parts, rest]);
    this.parts.length = 0;
    return whole;
  }

  /** Serves a client, and keeps the reply for its worker. */
  private deliver(slot: number, serve: ServeHandler, kind: number, count: number): void {
    const { clock } = this.call;
    const worker = Waiters.workerOf(slot);
    this.outgoing[worker] ??= [];
    this.errorText = "";
    const fromMs = clock.monotonicMs();
    const reply = this.run(serve, kind, count);
    this.outgoing[worker].push({
      slot,
      reply,
      error: this.errorText,
      tookMs: clock.monotonicMs() - fromMs,
      position: 0,
    });
    this.turnSoon();
  }

  private postpone(shard: number, db: number, length: number): void {
    this.postponed.push({ shard, db, key: Buffer.from(this.arguments.subarray(0, length)), wait: null });
    this.turnSoon();
  }

  // ---- between commands ----

  private turnSoon(): void {
    if (this.isTurnAsked) return;
    this.isTurnAsked = true;
    this.askTurn();
  }

  /** Sends the replies made, gives back what ended, and serves what was postponed. Call without locks. */
  turn(): void {
    // What is asked for meanwhile is looked at below; a key that is put off again must not make one turn after the other.
    this.isTurnAsked = true;
    const { outgoing } = this;
    this.outgoing = [];
    const { worker } = this.store;
    const { position } = this.reply;
    this.reply.position = 0;
    for (let to = 0; to < outgoing.length; to++) {
      const served = outgoing[to];
      if (served === undefined) continue;
      for (const one of served) one.position = position;
      if (to !== worker) this.send(to, served);
    }
    for (const served of outgoing[worker] ?? []) this.receive(served);
    if (this.over.length > 0) this.collect();
    if (this.postponed.length > 0) this.servePostponed();
    this.isTurnAsked = false;
    if (this.outgoing.length > 0) this.turnSoon();
    if ((this.over.length > 0 || this.postponed.length > 0) && this.postponeTimer === null) {
      this.postponeTimer = setTimeout(() => {
        this.postponeTimer = null;
        this.turnSoon();
      }, POSTPONED_MS);
    }
  }

  /** Takes a reply to a client of this worker. */
  receive(served: Served): void {
    const { slot, reply, error, tookMs, position } = served;
    const wait = this.waits.get(slot);
    assert(wait !== undefined, "a client is served once (G1)");
    this.end(wait);
    if (wait.session.waits !== null) wait.session.waits.servedMs = tookMs;
    this.call.server.endBlock?.(wait.session, (to) => {
      to.constant(reply as Buffer);
      if (error !== "") to.countError(error);
      if (position > to.position) to.position = position;
    });
  }

  private servePostponed(): void {
    const { store, waiters, call } = this;
    const all = this.postponed;
    this.postponed = [];
    for (const item of all) {
      const { shard, db, key, wait } = item;
      if (wait !== null && this.waits.get(wait.slot) !== wait) continue;
      this.lookMs = Infinity;
      const isServed = store.section.within(shard, () => {
        call.key.load(key, 0, key.length);
        waiters.visitKey(shard, store.headerOf(shard), call.key, (place, ofDb) => {
          if (ofDb === db) this.noteReady(shard, call.keyspaces.of(db), place, db);
        });
      });
      if (!isServed) {
        this.postponed.push(item);
        continue;
      }
      if (wait !== null) this.lookAt(wait, Math.min(this.lookMs, call.clock.wallMs() + LOOK_MS));
    }
  }
}
