/**
 * Blocking: commands that wait until a key holds something. A command that finds nothing files a request at each of its
 * keys (store/waiters.ts) and returns Later. A command that fills one of these keys, on any worker, serves the requests
 * inside its critical section (store/section.ts), before it releases the locks. It serves them in the order in which they
 * came: it claims the client, takes the wanted elements out of the key, and sends the finished reply to the client's worker.
 *
 *   command that changes a key ─ store.changed ─► ready keys ─ serve, locks held ─► replies ─ end of turn ─► workers
 *
 * A request with a target (BLMOVE) needs the lock of a second shard. The worker only tries for that lock, so the order of
 * locks does not matter. When the lock is not free, the worker serves the key in a later turn. Until then no later request
 * for that key is served.
 *
 * Invariants
 *   BLOCKING-1  a client gets a reply from here exactly when its state went from Waiting to Claimed
 *   BLOCKING-2  a key that became ready is served before the command's locks are released, or noted in `postponed`
 *   BLOCKING-3  the client's own worker frees the requests of a wait, after the wait has ended
 */
import { Status } from "../base/status.ts";
import { NO_ADDRESS } from "../store/address.ts";
import { ColdFailure } from "../store/cold-stops.ts";
import type { RecordType } from "../store/record.ts";
import type { Shard } from "../store/shard.ts";
import { NO_REF, type Ref } from "../structures/pages.ts";
import { assert } from "../base/assert.ts";
import { Reply } from "../protocol/reply.ts";
import type { ReadyKey } from "../store/section.ts";
import { KeyEvent, keyEvent } from "../store/key-events.ts";
import type { Store } from "../store/store.ts";
import { ENDS_WITH_KEY, WATCH, Waiters } from "../store/waiters.ts";
import type { Call } from "./call.ts";
import { refuse } from "./refuse.ts";
import type { Session } from "./session.ts";
import { type CommandSpec, Later, type Outcome } from "./spec.ts";

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

/** Whether a value can be read now. */
const Readable = { Yes: 0, Later: 1, No: 2 } as const;
type Readable = (typeof Readable)[keyof typeof Readable];

/**
 * Takes the wanted elements out of the key of argument 1, which holds a value of the right type, and writes the whole
 * reply. `front`: from the front of a list, or the lowest scores. `toFront` and the key of argument 2 belong to a move.
 */
export type ServeHandler = (call: Call, reply: Reply, front: boolean, toFront: boolean, count: number) => void;

/**
 * Returns true when a request can be served now. For wants that a key of the right type may still not satisfy (a stream
 * without newer entries). `type` is the type of the key of argument 1, null when it does not exist. Argument 2 is the note
 * of the wait's plan.
 */
export type Readiness = (call: Call, type: RecordType | null) => boolean;

/** How each want is served. */
const wants: { type: RecordType; serve: ServeHandler; isReady: Readiness | null }[] = [];

/** Registers how a want is served. Each family registers its own wants when its module loads. */
export function registerServeHandler(
  want: Want,
  type: RecordType,
  serve: ServeHandler,
  isReady: Readiness | null = null,
): void {
  wants[want] = { type, serve, isReady };
}

/** A wait as its command begins it. `firstKey` to `lastKey` are the arguments that name the keys. */
export interface WaitPlan {
  want: Want;
  firstKey: number;
  lastKey: number;
  front: boolean;
  toFront: boolean;
  count: number;
  /** Argument of the target's key, 0 = none. */
  target: number;
  /** Bytes that a request carries in place of a target, by key argument. */
  note?: (key: number) => Buffer;
  /** When to check the keys again although no command has changed them. Wall time, ms; Infinity = never. */
  recheckMs?: number;
  timeoutMs: number;
  /** Writes the reply of a wait that timed out. */
  write: (reply: Reply) => void;
}

// Bits of a request's kind.
const WANT_MASK = 0xff;
const FRONT = 0x100;
const TO_FRONT = 0x200;
const RESP3 = 0x400;

/** A slot and its requests, request `n` in shard `n`. */
export interface Requests {
  readonly slot: number;
  readonly shards: Shard[];
  readonly requests: Ref[];
}

/** A command that waits, with a copy of its arguments. */
export interface WaitingRequest {
  readonly spec: CommandSpec;
  readonly bytes: Buffer;
  readonly starts: Int32Array;
  readonly lengths: Int32Array;
}

/** A waiting client of this worker. */
interface Wait extends Requests {
  readonly session: Session;
  /** The command that waits. */
  readonly request: WaitingRequest;
  /** Keys to check again at `recheckMs`. */
  readonly rechecked: PendingKey[];
  recheckMs: number;
  timer: Timer | null;
}

/** A key to be served in a later turn. */
interface PendingKey {
  readonly shard: Shard;
  readonly db: number;
  readonly key: Buffer;
  /** The wait that checks the key at intervals; null = the key waits for a target's lock. */
  readonly wait: Wait | null;
}

/** A finished reply on its way to the worker of its client. */
export interface Served {
  slot: number;
  reply: Uint8Array;
  /** Text of the error reply, "" when the reply is no error. */
  error: string;
  /** Time that serving took, ms. */
  tookMs: number;
  /** Log position that must be released before the reply may leave. See Reply.position. */
  position: number;
}

/** Commands that change a group and never the entries of its stream. */
const GROUP_COMMANDS = new Set([
  "XGROUP|SETID",
  "XGROUP|DESTROY",
  "XGROUP|CREATECONSUMER",
  "XGROUP|DELCONSUMER",
  "XREADGROUP",
  "XCLAIM",
  "XAUTOCLAIM",
  "XACK",
]);
const CONSUMER_MADE = keyEvent("xgroup-createconsumer");

const TOO_MANY = "ERR too many clients of this worker wait in blocking commands";
const RETRY_MS = 1;
/** Longest time between two checks of a wait that has its keys checked at intervals, ms. */
const RECHECK_MS = 60_000;
/** Longest delay that setTimeout accepts, ms. */
const TIMER_MS_MAX = 0x7fffffff;

export class Blocking {
  readonly waiters: Waiters;
  private readonly store: Store;
  /** Keys to serve in a later turn: a target's lock was not free, or a check is due. */
  private postponed: PendingKey[] = [];
  /** Earliest time that `requestRecheck` was given for the key being served. */
  private nextRecheckMs = Infinity;
  private readonly waits = new Map<number, Wait>();
  /** Waits and watches that have ended and whose requests are not freed yet. */
  private ended: Requests[] = [];
  /** Replies made here, by the worker of their client. */
  private outgoing: Served[][] = [];
  private isTurnRequested = false;
  /** True when the current handler has begun a wait. */
  private begun = false;
  /** Text of the error that the current reply to a waiting client is, "" = none. */
  private errorText = "";
  private postponeTimer: Timer | null = null;
  /** False in an engine without timers. Its owner calls `recheckDue` instead. */
  usesTimers = true;
  /** Makes `turn` run after the current commands. Set by the owner. */
  scheduleTurn: () => void = () => {};
  /** Sends replies to another worker. Set by the server. */
  send: (worker: number, served: Served[]) => void = () => {};

  // The keys of the request being served, as arguments of the call.
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
    store.hooks.blocked = (shard, keyspace, event) => this.keyChanged(shard, keyspace, event);
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

  /** Makes the client of the call wait. The handler, which holds the locks of the keys, returns the result of this. */
  wait(reply: Reply, plan: WaitPlan): Outcome | void {
    const { call, waiters } = this;
    const { server, session } = call;
    if (server.block === undefined || session.deniesBlocking) return plan.write(reply);
    const slot = waiters.begin();
    if (slot < 0) return reply.error(TOO_MANY);
    const request = copyOf(call);
    const wait: Wait = {
      session,
      request,
      slot,
      shards: [],
      requests: [],
      rechecked: [],
      recheckMs: Infinity,
      timer: null,
    };
    const looks = plan.recheckMs !== undefined && plan.recheckMs < Infinity;
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
      wait.rechecked.push({ shard: this.store.cursor.shard, db: session.db, key, wait });
    }
    this.waits.set(slot, wait);
    this.begun = true;
    if (looks) this.recheckAt(wait, plan.recheckMs!);
    server.block(session, plan.timeoutMs, plan.write, () => this.cancel(wait));
    return Later;
  }

  /** Visits the clients that wait. A visit may end the wait of its client. */
  eachWaiting(visit: (session: Session, request: WaitingRequest) => void): void {
    for (const { session, request } of [...this.waits.values()]) visit(session, request);
  }

  /** Returns true once when the command that has just ended began to wait. */
  hasBegun(): boolean {
    const { begun } = this;
    this.begun = false;
    return begun;
  }

  /** Ends a wait that no reply has ended: timeout, UNBLOCK, disconnect. Returns false when the reply is on its way. */
  private cancel(wait: Wait): boolean {
    if (!this.waiters.cancel(wait.slot)) return false;
    this.end(wait);
    return true;
  }

  private end(wait: Wait): void {
    this.waits.delete(wait.slot);
    if (wait.timer !== null) clearTimeout(wait.timer);
    this.freeLater(wait);
  }

  /** True while nothing is left to be sent, freed or served in a later turn. */
  get isIdle(): boolean {
    return this.ended.length === 0 && this.postponed.length === 0 && this.outgoing.length === 0;
  }

  /** Frees the requests of a wait or a watch that has ended in a later turn, when no lock is held (BLOCKING-3). */
  freeLater(ended: Requests): void {
    this.ended.push(ended);
    this.requestTurn();
  }

  /** Checks the keys of `wait` again at `ms`, unless an earlier check is scheduled. */
  private recheckAt(wait: Wait, ms: number): void {
    if (ms >= wait.recheckMs) return;
    if (wait.timer !== null) clearTimeout(wait.timer);
    wait.recheckMs = ms;
    if (!this.usesTimers) return;
    const left = Math.min(Math.max(ms - this.call.clock.wallMs(), 1), TIMER_MS_MAX);
    wait.timer = setTimeout(() => {
      wait.timer = null;
      this.recheck(wait);
    }, left);
  }

  private recheck(wait: Wait): void {
    wait.recheckMs = Infinity;
    this.postponed.push(...wait.rechecked);
    this.requestTurn();
  }

  /** Checks the keys whose time has come. For engines without timers. */
  recheckDue(): void {
    const now = this.call.clock.wallMs();
    for (const wait of this.waits.values()) if (wait.recheckMs <= now) this.recheck(wait);
  }

  /** Called by a Readiness that returns false: the key is worth another check at `ms`, wall time. */
  requestRecheck(ms: number): void {
    this.nextRecheckMs = Math.min(this.nextRecheckMs, ms);
  }

  /** Frees the requests of ended waits, as far as the locks of their shards are free (BLOCKING-3). */
  private removeEnded(): void {
    const { waiters } = this;
    const { section } = this.store;
    const waits = this.ended;
    this.ended = [];
    for (const wait of waits) {
      for (let shard = wait.shards.at(-1); shard !== undefined; shard = wait.shards.at(-1)) {
        const isFree = section.within(shard, () => waiters.remove(shard, wait.requests.pop()!));
        if (!isFree) break;
        wait.shards.pop();
      }
      if (wait.shards.length > 0) this.ended.push(wait);
      else waiters.release(wait.slot);
    }
  }

  // ---- keys that become ready ----

  private keyChanged(shard: Shard, keyspace: number, event: KeyEvent): void {
    const { store, waiters } = this;
    if (event === KeyEvent.Flushed) {
      waiters.visitAll(shard, (waitedKey, db) => this.noteReady(shard, keyspace, waitedKey, db));
    } else {
      waiters.visitKey(shard, store.cursor.key, (waitedKey, db) => {
        if (this.call.keyspaces.of(db) === keyspace) this.waitedKeyChanged(shard, keyspace, waitedKey, db, event);
      });
    }
  }

  private waitedKeyChanged(shard: Shard, keyspace: number, waitedKey: Ref, db: number, event: KeyEvent): void {
    const { waiters } = this;
    if (waiters.isWatched(waitedKey) && !this.isOfGroup(event)) {
      waiters.breakWatches(waitedKey, event === KeyEvent.Expired);
      // A key that nobody waits for any more is dropped where it would be served.
      if (waiters.isEmpty(waitedKey)) return this.noteReady(shard, keyspace, waitedKey, db);
    }
    if (event === KeyEvent.Deadline || event === KeyEvent.Persisted || !waiters.isBlockedAt(waitedKey)) return;
    this.noteReady(shard, keyspace, waitedKey, db);
  }

  /** True when the current command has changed a consumer group only. To Redis the watched stream is then unchanged. */
  private isOfGroup(event: KeyEvent): boolean {
    const mayBe = event === KeyEvent.Value || event === KeyEvent.Silent || event === CONSUMER_MADE;
    return mayBe && GROUP_COMMANDS.has(this.call.spec.name);
  }

  /**
   * Database `db`, whose keyspace is `before`, is about to be emptied, or to get keyspace `after` (-1: none). Breaks the
   * watches of keys that are there before or afterwards. The caller holds all shard locks.
   */
  databaseChanges(db: number, before: number, after: number): void {
    const { store, waiters, call } = this;
    for (const shard of store.shards) {
      if (shard.watchedKeys === 0) continue;
      const watched: Ref[] = [];
      waiters.visitAll(shard, (waitedKey, ofDb) => {
        if (ofDb === db && waiters.isWatched(waitedKey)) watched.push(waitedKey);
      });
      for (const waitedKey of watched) {
        waiters.select(shard);
        const key = waiters.keyOf(waitedKey);
        call.key.load(key, 0, key.length);
        if (!this.isThere(before) && (after < 0 || !this.isThere(after))) continue;
        waiters.select(shard);
        waiters.breakWatches(waitedKey, false);
        if (waiters.isEmpty(waitedKey)) this.noteReady(shard, before, waitedKey, db);
      }
    }
  }
  private isThere(keyspace: number): boolean {
    this.store.select(keyspace, this.call.key);
    return this.store.find() !== NO_ADDRESS;
  }

  private noteReady(shard: Shard, keyspace: number, waitedKey: Ref, db: number): void {
    if (this.call.keyspaces.of(db) !== keyspace) return;
    if (!this.waiters.makeReady(waitedKey)) return;
    shard.rearranges();
    this.store.section.addReady(shard, waitedKey);
  }

  // ---- serving ----

  /** Serves all ready keys, in the section that made them ready (BLOCKING-2). */
  private serve(ready: readonly ReadyKey[]): void {
    const { call } = this;
    this.isServing = true;
    const outer = call.cold.beginAtOnce();
    call.pushArguments(this.arguments, this.starts, this.lengths);
    // The list grows meanwhile: clients may wait for the key that BLMOVE pushes to.
    for (let i = 0; i < ready.length; i++) this.serveWaitedKey(ready[i]!.shard, ready[i]!.waitedKey);
    call.popArguments();
    call.cold.endAtOnce(outer);
    this.isServing = false;
  }
  /** True while waiting clients are served: what changes is changed for them. */
  isServing = false;
  /** The slot of the client that is being served, -1 = none. */
  servedSlot = -1;
  /** The client of this worker whose reply to a wait is not here yet, by its slot; -1 = none. */
  waitingIn(slot: number): number {
    return this.waits.get(slot)?.session.id ?? -1;
  }

  private serveWaitedKey(shard: Shard, waitedKey: Ref): void {
    const { waiters, store, call } = this;
    const length = waiters.openWaitedKey(shard, waitedKey);
    if (length > this.arguments.length) this.growArguments(length);
    waiters.copyKey(waitedKey, length, this.arguments);
    this.lengths[1] = length;
    const db = waiters.databaseOf(waitedKey);
    call.db = db;
    call.keyspace = call.keyspaces.of(db);
    for (let ref = waiters.firstOf(waitedKey), next: Ref = NO_REF; ref !== NO_REF; ref = next) {
      const request = waiters.openRequest(ref);
      next = request.next;
      if (!waiters.isWaiting) {
        waiters.unlink(ref);
        continue;
      }
      if ((request.kind & WATCH) !== 0) continue;
      call.selectKey(1);
      let isRefused = false;
      const exists = store.find() !== NO_ADDRESS;
      const want = wants[request.kind & WANT_MASK];
      if (want === undefined) continue;
      if (exists && this.readability(shard, db, length) !== Readable.Yes) break;
      if (want.isReady !== null) {
        this.copyTarget(ref, length, request.targetBytes);
        const isReady = want.isReady(call, exists ? store.cursor.type : null);
        // `isReady` may have removed due members, and `keyChanged` then selected other pages.
        waiters.select(shard);
        waiters.openRequest(ref);
        if (!isReady) continue;
      } else if (!exists || want.type !== store.cursor.type) {
        continue;
      } else if (request.targetBytes > 0 || (request.kind & WANT_MASK) === Want.ListMove) {
        this.copyTarget(ref, length, request.targetBytes);
        if (!this.lockTarget()) {
          this.postpone(shard, db, length);
          break;
        }
        const target = store.find() === NO_ADDRESS ? Readable.Yes : this.readability(shard, db, length);
        if (target === Readable.Later) break;
        isRefused = target === Readable.No;
        waiters.select(shard);
        waiters.openRequest(ref);
      }
      const { slot, kind, count } = request;
      const isClaimed = waiters.claim();
      waiters.unlink(ref);
      if (!isClaimed) continue;
      this.deliver(slot, isRefused ? this.refuseTarget : want.serve, kind, count);
      // The handler may have changed another key, and `keyChanged` then selected other pages.
      waiters.select(shard);
    }
    waiters.dropIfEmpty(shard, waitedKey);
  }

  /**
   * Makes the value of the record found readable if it is cold, before anything is taken for a client. Later: there is no
   * memory, and the key is served in a later turn. No: it is damaged. Of a key that clients wait for nothing can be taken, so
   * they stay blocked; one that has to push to it is refused.
   */
  private readability(shard: Shard, db: number, length: number): Readable {
    try {
      this.store.cursor.makeReadable();
      return Readable.Yes;
    } catch (thrown) {
      if (!(thrown instanceof ColdFailure)) throw thrown;
      if (!thrown.isForMemory) {
        this.damage = thrown.message;
        return Readable.No;
      }
      this.postpone(shard, db, length);
      return Readable.Later;
    }
  }

  /** Why a value is not readable. */
  private damage = "";
  /** Serves a client whose target is damaged: as one whose target is of another type, it gets an error. */
  private readonly refuseTarget: ServeHandler = (_call, reply) => reply.error(this.damage);

  /** Copies the target of a request behind its key, as argument 2. */
  private copyTarget(ref: Ref, keyBytes: number, targetBytes: number): void {
    if (keyBytes + targetBytes > this.arguments.length) this.growArguments(keyBytes + targetBytes);
    this.waiters.copyTarget(ref, targetBytes, this.arguments, keyBytes);
    this.starts[2] = keyBytes;
    this.lengths[2] = targetBytes;
  }

  private growArguments(bytes: number): void {
    const wider = Buffer.alloc(bytes * 2);
    this.arguments.copy(wider);
    this.arguments = wider;
    this.call.bytes = wider;
  }

  /** Locks the shard of argument 2. Returns false when the lock is not free now. */
  private lockTarget(): boolean {
    const { store, call } = this;
    call.selectKey(2);
    return store.section.tryAdd(store.cursor.shard);
  }

  /** Runs the handler that serves one request. Returns its reply. */
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

  /** Serves a claimed client, and queues the reply for its worker. */
  private deliver(slot: number, serve: ServeHandler, kind: number, count: number): void {
    const { clock } = this.call;
    const worker = Waiters.workerOf(slot);
    this.outgoing[worker] ??= [];
    this.errorText = "";
    const fromMs = clock.monotonicMs();
    this.servedSlot = slot;
    const reply = this.run(serve, kind, count);
    this.servedSlot = -1;
    this.outgoing[worker].push({
      slot,
      reply,
      error: this.errorText,
      tookMs: clock.monotonicMs() - fromMs,
      position: 0,
    });
    this.requestTurn();
  }

  private postpone(shard: Shard, db: number, length: number): void {
    this.postponed.push({ shard, db, key: Buffer.from(this.arguments.subarray(0, length)), wait: null });
    this.requestTurn();
  }

  // ---- between commands ----

  private requestTurn(): void {
    if (this.isTurnRequested) return;
    this.isTurnRequested = true;
    this.scheduleTurn();
  }

  /** Sends the queued replies, frees the requests of ended waits, and serves postponed keys. Call without locks. */
  turn(): void {
    // Requests for a turn are ignored until the end of this one: a key that is postponed again must not cause one turn
    // after the other. RETRY_MS later a timer asks for the next.
    this.isTurnRequested = true;
    const { outgoing } = this;
    this.outgoing = [];
    const { worker } = this.store;
    const { effects } = this.call;
    const position = Math.max(this.reply.position, effects.log?.waitsForSync === true ? effects.position : 0);
    this.reply.position = 0;
    for (let to = 0; to < outgoing.length; to++) {
      const served = outgoing[to];
      if (served === undefined) continue;
      for (const one of served) one.position = position;
      if (to !== worker) this.send(to, served);
    }
    for (const served of outgoing[worker] ?? []) this.receive(served);
    if (this.ended.length > 0) this.removeEnded();
    if (this.postponed.length > 0) this.servePostponed();
    this.isTurnRequested = false;
    if (this.outgoing.length > 0) this.requestTurn();
    if ((this.ended.length > 0 || this.postponed.length > 0) && this.postponeTimer === null) {
      this.postponeTimer = setTimeout(() => {
        this.postponeTimer = null;
        this.requestTurn();
      }, RETRY_MS);
    }
  }

  /** Delivers a reply to a client of this worker. */
  receive(served: Served): void {
    const { slot, reply, error, tookMs, position } = served;
    const wait = this.waits.get(slot);
    assert(wait !== undefined, "a client is served once (BLOCKING-1)");
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
      this.nextRecheckMs = Infinity;
      const isServed = store.section.within(shard, () => {
        call.key.load(key, 0, key.length);
        waiters.visitKey(shard, call.key, (waitedKey, ofDb) => {
          if (ofDb === db) this.noteReady(shard, call.keyspaces.of(db), waitedKey, db);
        });
      });
      if (!isServed) {
        this.postponed.push(item);
        continue;
      }
      if (wait !== null) this.recheckAt(wait, Math.min(this.nextRecheckMs, call.clock.wallMs() + RECHECK_MS));
    }
  }
}

function copyOf(call: Call): WaitingRequest {
  const { argCount, spec } = call;
  const starts = new Int32Array(argCount);
  const lengths = new Int32Array(argCount);
  const first = call.argAt(0);
  for (let i = 0; i < argCount; i++) {
    starts[i] = call.argAt(i) - first;
    lengths[i] = call.argBytes(i);
  }
  const end = call.argAt(argCount - 1) + call.argBytes(argCount - 1);
  return { spec, bytes: Buffer.from(call.bytes.subarray(first, end)), starts, lengths };
}
