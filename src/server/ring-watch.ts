/**
 * Wakes a worker when reads through its ring (memory/io-ring.ts) have ended.
 *
 *   epoll transport    the worker's EventLoop watches the ring's event descriptor
 *   otherwise          Bun's loop cannot watch it. While reads are under way an immediate waits in its place, for WAIT_MS at most:
 *
 *   round   our epoll ──► the ring's event descriptor ──► ended
 *                    ──► Bun's epoll: messages, sockets, files ──► Bun's loop takes them, then comes the next round
 *
 * Bun's timers are late by WAIT_MS at most meanwhile. Where Bun's epoll is not found, rounds do not wait.
 *
 * The event descriptor is never read: an edge-triggered epoll reports each write to it. It stays in our epoll when an EventLoop
 * watches it too, because no round runs from then on.
 */
import type { TCPSocketConnectOptions } from "bun";
import { isWorkDue } from "../base/soon.ts";
import type { IoRing } from "../memory/io-ring.ts";
import {
  CTL_ADD,
  DESCRIPTOR_AT,
  EPOLLET,
  EPOLLIN,
  EVENT_WORDS,
  epollWith,
  type EventLoop,
} from "./transport/event-loop.ts";
import { openSystemCalls, type SystemCalls, Words } from "./transport/system-calls.ts";

const WAIT_MS = 1;
const EVENTS_MAX = 2;
const NONBLOCK_CLOEXEC = 0o2004000;

export class RingWatch {
  private readonly events = new Words(EVENTS_MAX * EVENT_WORDS);
  private readonly calls: SystemCalls | null = openSystemCalls();
  /** -1 = rounds do not wait. */
  private epoll = -1;
  private isRunning = false;
  private isOfLoop = false;

  /** `ended`: some reads have ended, or may have. */
  constructor(
    private readonly ring: IoRing,
    private readonly ended: () => void,
  ) {
    const { calls } = this;
    if (calls !== null) this.epoll = openEpoll(calls, ring.eventDescriptor, this.events);
  }

  /** Reads are under way. */
  begin(): void {
    if (this.isRunning || this.isOfLoop) return;
    this.isRunning = true;
    setImmediate(this.round);
  }

  /** `loop` watches from now on. */
  join(loop: EventLoop): void {
    this.isOfLoop = true;
    loop.watch(this.ring.eventDescriptor, { generation: 0, ready: () => this.ended() }, EPOLLIN | EPOLLET);
    // What has ended already is not reported again.
    this.ended();
  }

  private readonly round = (): void => {
    this.isRunning = false;
    if (this.isOfLoop) return;
    const { calls, epoll, events } = this;
    let hasEnded = epoll < 0;
    if (calls !== null && epoll >= 0) {
      const found = calls.epoll_wait(epoll, events.address, EVENTS_MAX, isWorkDue() ? 0 : WAIT_MS);
      for (let n = 0; n < found; n++)
        if (events.words[n * EVENT_WORDS + DESCRIPTOR_AT] === this.ring.eventDescriptor) hasEnded = true;
    }
    if (hasEnded) this.ended();
    if (this.ring.underWay > 0) this.begin();
  };
}

/** An epoll of the event descriptor `event` and of Bun's epoll of this thread, -1 = Bun's is not found. */
function openEpoll(calls: SystemCalls, event: number, words: Words): number {
  // Bun's loop watches this descriptor as if it were a socket. It never becomes ready.
  const anchor = calls.eventfd(0, NONBLOCK_CLOEXEC);
  // Bun accepts fd here, but the types of Bun 1.4.5 lack it.
  const options = { fd: anchor, socket: { data() {}, open: (socket: Bun.Socket) => socket.unref() } } as unknown;
  Bun.connect(options as TCPSocketConnectOptions<undefined>).catch(() => {});
  const bun = epollWith(anchor);
  const epoll = bun < 0 ? -1 : calls.epoll_create1(NONBLOCK_CLOEXEC & ~0o4000);
  if (epoll < 0) return -1;
  add(calls, epoll, event, EPOLLIN | EPOLLET, words);
  add(calls, epoll, bun, EPOLLIN, words);
  return epoll;
}

function add(calls: SystemCalls, epoll: number, descriptor: number, events: number, { words, address }: Words): void {
  words[0] = events;
  words[DESCRIPTOR_AT] = descriptor;
  words[DESCRIPTOR_AT + 1] = 0;
  calls.epoll_ctl(epoll, CTL_ADD, descriptor, address);
}
