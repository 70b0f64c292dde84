/**
 * Mailbox: the way of replies to blocked clients from the worker that served them to the client's own worker.
 *
 * Each worker has a ring (memory/ring.ts) that the others push to. A worker at work finds what came at the end of its
 * turn; one that sleeps is woken by an empty message through a port between the two. That is the cheapest way to wake
 * a worker that Bun 1.4.5 has: 7 us one way, as Atomics.waitAsync; 22 us over the main thread, which may besides be
 * touching fresh memory.
 *
 *   message │ slot (int32) │ bytes of error (int32) │ tookMs (double) │ position (double) │ error, UTF-8 │ reply
 *
 * What finds no room in the ring goes through the port itself. That is bounded: a waiting client gets one reply.
 */
import type { Served } from "../dispatch/blocking.ts";
import { Ring, ringBytes } from "../memory/ring.ts";

/** Bytes of data of a worker's ring. */
const SIZE = 256 << 10;
/** A longer reply does not go through the ring: a few of them would fill it. */
const RING_REPLY_MAX = 32 << 10;
const SLOT_AT = 0,
  ERROR_BYTES_AT = 4,
  TOOK_AT = 8,
  POSITION_AT = 16,
  ERROR_AT = 24;

/** What is sent through a port: a served reply, or null to wake. */
export type PortMessage = Served | null;

/** Makes the shared memory of the mailboxes of `workers` workers. */
export function makeMailboxes(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * ringBytes(SIZE));
}

export class Mailbox {
  private readonly rings: Ring[];
  private readonly own: Ring;
  private readonly scratch = Buffer.allocUnsafeSlow(ERROR_AT + RING_REPLY_MAX);

  /**
   * `ports`: to each other worker, null for this one. `woken` is called when something has come while this worker slept;
   * `take` with each reply.
   */
  constructor(
    worker: number,
    memory: SharedArrayBuffer,
    private readonly ports: readonly (MessagePort | null)[],
    private readonly woken: () => void,
    private readonly take: (served: Served) => void,
  ) {
    this.rings = ports.map((_, i) => new Ring(memory, i * ringBytes(SIZE), SIZE));
    this.own = this.rings[worker]!;
    this.own.rest();
    for (const port of ports) {
      if (port !== null) port.onmessage = (event) => this.receive(event.data as PortMessage);
    }
  }

  /** Hands replies to the worker `to`. */
  send(to: number, all: readonly Served[]): void {
    const ring = this.rings[to]!;
    const port = this.ports[to]!;
    for (const served of all) {
      const length = this.encode(served);
      if (length < 0 || !ring.push(this.scratch, length)) port.postMessage(served);
    }
    if (ring.mustWake()) port.postMessage(null);
  }

  /** Writes a reply into `scratch`. Returns its length, -1 = too long for the ring. */
  private encode(served: Served): number {
    const { scratch } = this;
    const errorBytes = Buffer.byteLength(served.error);
    const length = ERROR_AT + errorBytes + served.reply.length;
    if (length > scratch.length) return -1;
    scratch.writeInt32LE(served.slot, SLOT_AT);
    scratch.writeInt32LE(errorBytes, ERROR_BYTES_AT);
    scratch.writeDoubleLE(served.tookMs, TOOK_AT);
    scratch.writeDoubleLE(served.position, POSITION_AT);
    scratch.write(served.error, ERROR_AT);
    scratch.set(served.reply, ERROR_AT + errorBytes);
    return length;
  }

  private receive(message: PortMessage): void {
    this.woken();
    if (message !== null) this.take(message);
  }

  /** This worker is at work, and looks for what comes before it sleeps. */
  work(): void {
    this.own.work();
  }

  /** Takes what has come. Called between commands. */
  collect(): void {
    for (let message = this.own.take(); message !== null; message = this.own.take()) {
      const errorEnd = ERROR_AT + message.readInt32LE(ERROR_BYTES_AT);
      this.take({
        slot: message.readInt32LE(SLOT_AT),
        reply: message.subarray(errorEnd),
        error: message.toString("utf8", ERROR_AT, errorEnd),
        tookMs: message.readDoubleLE(TOOK_AT),
        position: message.readDoubleLE(POSITION_AT),
      });
    }
  }

  /** This worker is about to sleep. Returns false when something has come. */
  rest(): boolean {
    return this.own.rest();
  }
}
