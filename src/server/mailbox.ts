/**
 * Mailbox: carries replies to blocked clients from the worker that served them to the client's own worker.
 *
 * Each worker has a ring (memory/ring.ts) that the other workers push to. A busy worker reads its ring at the end of its
 * turn. A sleeping one is woken by an empty message through a port between the two workers. This is the cheapest way to
 * wake a worker in Bun 1.4.5: 7 us one way, as with Atomics.waitAsync. The way over the main thread takes 22 us, and that
 * thread may be busy touching fresh memory.
 *
 *   message │ slot (int32) │ bytes of error (int32) │ tookMs (double) │ position (double) │ error, UTF-8 │ reply
 *
 * A reply that does not fit into the ring goes through the port itself. Their number is bounded, because each waiting client
 * gets one reply.
 */
import type { Served } from "../dispatch/blocking.ts";
import { Ring, ringBytes } from "../memory/ring.ts";

/** Bytes of data of a worker's ring. */
const SIZE = 256 << 10;
/** Longest reply that goes through the ring. A few longer ones would fill it. */
const RING_REPLY_MAX = 32 << 10;
const SLOT_AT = 0,
  ERROR_BYTES_AT = 4,
  TOOK_AT = 8,
  POSITION_AT = 16,
  ERROR_AT = 24;

/** A message through a port: a served reply, or null to wake the worker. */
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
   * `ports` has a port to each other worker, and null for this one. `woken` is called when a message woke this worker, and
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

  /** Sends replies to the worker `to`. */
  send(to: number, all: readonly Served[]): void {
    const ring = this.rings[to]!;
    const port = this.ports[to]!;
    for (const served of all) {
      const length = this.encode(served);
      if (length < 0 || !ring.push(this.scratch, length)) port.postMessage(served);
    }
    if (ring.mustWake()) port.postMessage(null);
  }

  /** Wakes the worker `to`, so that it runs a turn. */
  wake(to: number): void {
    this.ports[to]!.postMessage(null);
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

  /** Called when a turn begins: until `rest`, this worker reads its ring without being woken. */
  work(): void {
    this.own.work();
  }

  /** Delivers the replies in the ring. Called between commands. */
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

  /** Called before this worker sleeps. Returns false when the ring is not empty. */
  rest(): boolean {
    return this.own.rest();
  }
}
