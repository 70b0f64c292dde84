/**
 * EventLoop: waits for the sockets of a worker in an epoll of its own, within Bun's event loop.
 *
 *   round     one call by Bun's loop: wait │ events of the sockets │ work that is due (the end of the turn) │ wait ...
 *             It ends after ROUND_MS, when Bun's loop has an event, or when none came. The next one is an immediate.
 *   wait      epoll_wait, for WAIT_MS at most. Bun's own epoll is in our epoll, so messages, TLS sockets and files end the wait.
 *             Bun's timers do not, and are late by WAIT_MS at most.
 *   sleep     After some rounds (IDLE) without an event Bun's loop waits instead, as long as its next timer allows. It watches a
 *             duplicate of our epoll as if that were a socket. When it becomes readable, Bun's attempt to receive
 *             from it fails, and the call of `close` wakes us.
 *
 *   busy      our epoll ──► the sockets, Bun's epoll ──► messages, TLS sockets, files
 *   asleep    Bun's epoll ──► messages ..., our epoll ──► the sockets
 *
 * Invariants
 *   LOOP-1  exactly one is true: a round runs, a round is scheduled, the loop sleeps, it has ended
 *   LOOP-2  Bun's epoll is in ours only while the loop does not sleep, because epolls must not contain each other
 *   LOOP-3  an event of a descriptor that was closed and used again is not taken for one of the new socket: the generations differ
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { TCPSocketConnectOptions } from "bun";
import { drainMicrotasks } from "bun:jsc";
import { assert } from "../../base/assert.ts";
import { isWorkDue, soon } from "../../base/soon.ts";
import { type SystemCalls, Words } from "./system-calls.ts";

export const EPOLLIN = 1;
export const EPOLLOUT = 4;
export const EPOLLERR = 8;
export const EPOLLHUP = 16;
export const EPOLLET = 1 << 31;
export const CTL_ADD = 1;
const CTL_DEL = 2;
const CTL_MOD = 3;
const CLOSE_ON_EXEC = 0o2000000;

/** Events of one call. */
const EVENTS_MAX = 256;
/** Longest wait of one call, and of a round, ms: timers of Bun are late by no more. */
const WAIT_MS = 1;
const ROUND_MS = 1;
/**
 * The loop sleeps once rounds without an event of a socket have added up to IDLE: falling asleep and waking up cost about as
 * much as four waits in vain, or as 64 rounds that ended for Bun's loop.
 */
const IDLE = 64;
const IDLE_WAIT = 16;

/** Words of an event, and the place of its descriptor. */
export const EVENT_WORDS = process.arch === "x64" ? 3 : 4;
export const DESCRIPTOR_AT = EVENT_WORDS - 2;

/** What happens to a descriptor. */
export interface Watcher {
  /** Distinguishes it from earlier users of its descriptor. */
  readonly generation: number;
  ready(events: number): void;
}

export interface LoopHost {
  /** Monotonic ms. */
  now(): number;
  /** An exception of a watcher or of work that was due. */
  failed(thrown: unknown): void;
}

export class EventLoop {
  private readonly events = new Words(EVENTS_MAX * EVENT_WORDS);
  private readonly change = new Words(EVENT_WORDS);
  private readonly watchers: (Watcher | null)[] = [];
  private due: (() => void)[] = [];
  private isInRound = false;
  private hasEnded = false;
  /** Bun's loop has an event. */
  private isBunReady = false;
  private idle = 0;
  /** For tests and benches: how often the loop fell asleep. */
  sleeps = 0;
  /** False once Bun's loop has refused to watch the epoll. The loop then waits without end. */
  private canSleep = true;

  /** Opens a loop, or returns null when Bun's epoll is not found. `known`: a descriptor that Bun's loop of this thread watches. */
  static open(calls: SystemCalls, known: number, host: LoopHost): EventLoop | null {
    const bun = epollWith(known);
    const own = bun < 0 ? -1 : calls.epoll_create1(CLOSE_ON_EXEC);
    return own < 0 ? null : new EventLoop(calls, own, bun, host);
  }

  private constructor(
    private readonly calls: SystemCalls,
    private readonly epoll: number,
    private readonly bunEpoll: number,
    private readonly host: LoopHost,
  ) {
    this.watch(bunEpoll, this.bunWatcher, EPOLLIN);
    setImmediate(this.round);
  }

  /** Calls `watcher.ready` when `descriptor` has one of `events`, an error or its end. */
  watch(descriptor: number, watcher: Watcher, events: number): void {
    this.watchers[descriptor] = watcher;
    this.control(CTL_ADD, descriptor, watcher.generation, events);
  }
  watchFor(descriptor: number, watcher: Watcher, events: number): void {
    this.control(CTL_MOD, descriptor, watcher.generation, events);
  }
  /** Must come before the descriptor is closed. */
  unwatch(descriptor: number): void {
    this.watchers[descriptor] = null;
    this.control(CTL_DEL, descriptor, 0, 0);
  }

  private control(operation: number, descriptor: number, generation: number, events: number): void {
    const { words, address } = this.change;
    words[0] = events;
    words[DESCRIPTOR_AT] = descriptor;
    words[DESCRIPTOR_AT + 1] = generation;
    this.calls.epoll_ctl(this.epoll, operation, descriptor, address);
  }

  /** Runs `work` after the events at hand. */
  readonly later = (work: () => void): void => {
    if (this.isInRound) this.due.push(work);
    else soon(work);
  };

  /** Watches nothing any more. */
  end(): void {
    this.hasEnded = true;
  }

  private readonly round = (): void => {
    if (this.hasEnded) return;
    this.isInRound = true;
    let found = 0;
    this.idle += IDLE_WAIT;
    try {
      const until = this.host.now() + ROUND_MS;
      do {
        this.isBunReady = false;
        found = this.wait(this.due.length > 0 || isWorkDue() ? 0 : WAIT_MS);
        if (found > (this.isBunReady ? 1 : 0)) this.idle = 0;
        if (this.due.length > 0) this.runDue();
        drainMicrotasks();
      } while (found > 0 && !this.isBunReady && !isWorkDue() && this.host.now() < until);
      for (let n = 0; this.due.length > 0 && n < EVENTS_MAX; n++) this.runDue();
    } finally {
      this.isInRound = false;
      for (const work of this.due.splice(0)) soon(work);
      if (this.isBunReady) this.idle = Math.max(0, this.idle - IDLE_WAIT + 1);
      if (this.idle >= IDLE && this.canSleep && !isWorkDue() && !this.hasEnded) this.sleep();
      else setImmediate(this.round);
    }
  };

  /** Returns the number of events that were there. */
  private wait(timeoutMs: number): number {
    const { events, watchers } = this;
    const { words } = events;
    const found = this.calls.epoll_wait(this.epoll, events.address, EVENTS_MAX, timeoutMs);
    for (let n = 0; n < found; n++) {
      const at = n * EVENT_WORDS;
      const watcher = watchers[words[at + DESCRIPTOR_AT]!];
      if (watcher === null || watcher === undefined || watcher.generation !== words[at + DESCRIPTOR_AT + 1]!) continue;
      try {
        watcher.ready(words[at]!);
      } catch (thrown) {
        this.host.failed(thrown);
      }
    }
    return found;
  }

  private runDue(): void {
    const { due } = this;
    this.due = this.spare;
    for (let n = 0; n < due.length; n++) {
      try {
        due[n]!();
      } catch (thrown) {
        this.host.failed(thrown);
      }
    }
    due.length = 0;
    this.spare = due;
  }
  private spare: (() => void)[] = [];

  // ---- sleep ----

  private sleep(): void {
    this.sleeps++;
    this.idle = 0;
    this.unwatch(this.bunEpoll);
    let isAsleep = true;
    const wake = (): void => {
      assert(isAsleep, "the loop is woken once (LOOP-1)");
      isAsleep = false;
      this.watch(this.bunEpoll, this.bunWatcher, EPOLLIN);
      this.round();
    };
    // Bun accepts fd here, but the types of Bun 1.4.5 lack it.
    const options = { fd: this.calls.dup(this.epoll), socket: { data() {}, close: wake } } as unknown;
    Bun.connect(options as TCPSocketConnectOptions<undefined>).catch(() => {
      this.canSleep = false;
      if (isAsleep) wake();
    });
  }
  private readonly bunWatcher: Watcher = {
    generation: 0,
    ready: () => {
      this.isBunReady = true;
    },
  };
}

/** Descriptor of the epoll of this process that watches `known`, -1 = none is found. */
export function epollWith(known: number): number {
  const line = new RegExp(`^tfd:\\s+${known} `, "m");
  for (const name of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${name}`) !== "anon_inode:[eventpoll]") continue;
      if (line.test(readFileSync(`/proc/self/fdinfo/${name}`, "latin1"))) return Number(name);
    } catch {
      // The descriptor was closed meanwhile.
    }
  }
  return -1;
}
