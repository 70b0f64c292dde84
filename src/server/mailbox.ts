/**
 * Mailbox: carries messages from worker to worker, in one order for each receiving worker.
 *
 * Each worker has a ring (memory/ring.ts) that the other workers push to. A busy worker reads its ring at the end of its
 * turn. A sleeping one is woken by an empty message through a port between the two workers. This is the cheapest way to
 * wake a worker in Bun 1.4.5: 7 us one way, as with Atomics.waitAsync. The way over the main thread takes 22 us, and that
 * thread may be busy touching fresh memory.
 *
 *   Served  │ kind │ slot (int32) │ bytes of error (int32) │ tookMs (double) │ position (double) │ error, UTF-8 │ reply
 *   Push    │ kind │ bytes of RESP2 (int32) │ client (double) │ position (double) │ bytes in RESP2 │ bytes in RESP3
 *   Invalid │ kind │ 1 = all keys (int32) │ client (double) │ position (double) │ redirect (double) │ slot (int32) │ keys
 *   Broken  │ kind │ 0 │ client (double) │ redirect (double)
 *   Publish │ kind │ channel: kind, offset, bytes │ payload: offset, bytes (int32 each) │ position (double) │ message
 *   Run     │ kind │ channel: kind, offset, bytes │ messages (int32 each) │ position (double) │ ends (int32 each) │ messages
 *
 * A message that is long or that the ring has no room for goes outside: through the port, with its number. Its bytes are
 * there before the ring counts it, so the receiver can take it at once. Long ones are copied into shared memory first, and
 * the port carries a reference.
 *
 * OUTSIDE_MAX bounds the bytes that wait outside for one worker. Messages beyond it are lost, and the receiver learns that
 * some were (`lost`). Served replies are never lost: their number is bounded by that of the waiting clients.
 *
 * Invariants
 *   MAIL-1  a worker takes messages in the order of the pushes to its ring, whichever way they came. Served replies then wait
 *           for the end of the turn, because the clients run their next commands; other messages do not
 *   MAIL-2  a message of a section is pushed before the section's locks are released, with the position of its effects
 */
import { receiveMessageOnPort } from "node:worker_threads";
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import type { Served } from "../dispatch/blocking.ts";
import { Published } from "../dispatch/published.ts";
import { MessageBatch } from "../dispatch/message-batch.ts";
import type { PublishMail } from "../dispatch/pubsub.ts";
import type { ChannelKind } from "../store/channels.ts";
import { Message } from "../memory/message.ts";
import { type Outside, Ring, ringBytes } from "../memory/ring.ts";

/** Bytes of data of a worker's ring. */
const SIZE = 1 << 20;
/** Longest message that goes through the ring. A few longer ones would fill it, and they would hold its lock for long. */
const RING_MESSAGE_MAX = 32 << 10;
/** A worker with more bytes in its ring is behind: a sender that can wait should. */
const BEHIND_BYTES = SIZE >> 1;
/** Most bytes that wait outside a ring. */
const OUTSIDE_MAX = 256 << 20;

const Kind = { Served: 0, Push: 1, Publish: 2, Invalid: 3, Broken: 4, Run: 5 } as const;

// Fields of a served reply, after its kind.
const SLOT_AT = 4,
  ERROR_BYTES_AT = 8,
  TOOK_AT = 12,
  POSITION_AT = 20,
  ERROR_AT = 28;
// Fields of a push.
const RESP2_BYTES_AT = 4,
  CLIENT_AT = 8,
  PUSH_POSITION_AT = 16,
  RESP2_AT = 24;
// Fields of a published message.
const CHANNEL_KIND_AT = 4,
  CHANNEL_AT = 8,
  CHANNEL_BYTES_AT = 12,
  PAYLOAD_AT = 16,
  PAYLOAD_BYTES_AT = 20,
  PUBLISH_POSITION_AT = 24,
  MESSAGE_AT = 32;
// Further fields of a run of published messages.
const RUN_COUNT_AT = 16,
  RUN_POSITION_AT = 20,
  RUN_ENDS_AT = 28;

// Further fields of an invalidation, and of a redirection that is broken.
const ALL_KEYS_AT = 4,
  REDIRECT_AT = 24,
  SERVED_SLOT_AT = 32,
  KEYS_AT = 36,
  BROKEN_REDIRECT_AT = 16;

/** A message that went outside the ring, with its number there. Through a port, null wakes the worker. */
interface Parcel {
  readonly n: number;
  readonly bytes: Uint8Array;
}
export type PortMessage = Parcel | null;

/** Receives the messages. */
export interface MailHandlers {
  /** A message woke this worker. */
  woken(): void;
  /** The reply to a client of this worker that waited. */
  served(served: Served): void;
  /** Bytes for a client of this worker that are no reply to it, by its protocol. Empty ones are not sent. */
  pushed(client: number, resp2: Buffer, resp3: Buffer, position: number): void;
  /** A message that another worker has published, valid during the call. `deliver` follows once no more is at hand. */
  published(message: Published): void;
  publishedAll(run: MessageBatch): void;
  deliver(): void;
  /** An invalidation whose receiver is a client of this worker: see PushService.invalidate. */
  invalid(client: number, redirect: number, keys: Buffer | null, position: number, servedSlot: number): void;
  /** The client to which a client of this worker redirects its invalidations is gone. */
  broken(client: number, redirect: number): void;
  /** Pushes or messages to this worker were lost: more than OUTSIDE_MAX bytes waited. */
  lost(): void;
}

/** Makes the shared memory of the mailboxes of `workers` workers. */
export function makeMailboxes(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * ringBytes(SIZE) + workers * LOST_STRIDE * 4);
}
/** The words by which workers are told that something was lost lie behind the rings, each in a cache line of its own. */
const LOST_STRIDE = 32;

export class Mailbox implements PublishMail {
  private readonly addressees: Addressee[];
  private readonly own: Ring;
  private readonly lostWords: Int32Array;
  private readonly message = new Message();
  /** Messages from outside that came before their turn, by number. */
  private readonly early = new Map<number, Uint8Array>();
  private readonly empty = Buffer.alloc(0);
  /** Served replies that were taken and not delivered yet. */
  private served: Served[] = [];

  /** `ports` has a port to each other worker, and null for this one. */
  constructor(
    private readonly worker: number,
    memory: SharedArrayBuffer,
    private readonly ports: readonly (MessagePort | null)[],
    private readonly handlers: MailHandlers,
  ) {
    const rings = ports.map((_, i) => new Ring(memory, i * ringBytes(SIZE), SIZE, RING_MESSAGE_MAX));
    this.addressees = ports.map((port, i) => new Addressee(rings[i]!, port));
    this.lostWords = new Int32Array(memory, ports.length * ringBytes(SIZE));
    this.toWake = new Uint8Array(ports.length);
    this.own = rings[worker]!;
    this.own.rest();
    for (const port of ports) {
      if (port !== null) port.onmessage = (event) => this.receive(event.data as PortMessage);
    }
  }

  // ---- sending ----

  /** Sends replies to waiting clients of the worker `to`. */
  send(to: number, all: readonly Served[]): void {
    for (const { slot, error, tookMs, position, reply } of all) {
      const text = error === "" ? this.empty : Buffer.from(error);
      const message = this.message.begin().int(Kind.Served).int(slot).int(text.length).double(tookMs).double(position);
      message.add(text, 0, text.length).add(Buffer.from(reply.buffer, reply.byteOffset, reply.length), 0, reply.length);
      this.post(to, Infinity);
    }
  }

  /**
   * Sends bytes that are no reply to a client of the worker `to`: `resp2` or `resp3`, by the client's protocol when they
   * arrive. They leave once `position` is released. May be called inside a section; a turn must be open.
   */
  push(to: number, client: number, resp2: Buffer, resp3: Buffer, position: number): void {
    this.message.begin().int(Kind.Push).int(resp2.length).double(client).double(position);
    this.message.add(resp2, 0, resp2.length).add(resp3, 0, resp3.length);
    this.post(to, OUTSIDE_MAX);
  }

  /** Sends an invalidation to the worker `to`. As with `push`. */
  invalidate(to: number, of: Parameters<MailHandlers["invalid"]>): void {
    const [client, redirect, keys, position, servedSlot] = of;
    const bytes = keys ?? this.empty;
    const message = this.message
      .begin()
      .int(Kind.Invalid)
      .int(keys === null ? 1 : 0);
    message.double(client).double(position).double(redirect).int(servedSlot).add(bytes, 0, bytes.length);
    this.post(to, OUTSIDE_MAX);
  }
  /** Tells the worker `to` that its client redirects to one that is gone. */
  tellBroken(to: number, client: number, redirect: number): void {
    this.message.begin().int(Kind.Broken).int(0).double(client).double(redirect);
    this.post(to, OUTSIDE_MAX);
  }

  /** Sends a published message. The lock of its channel's stripe is held; a turn must be open. */
  publish(to: number, published: Published): void {
    const { kind, bytes, at, length, channelAt, channelBytes, payloadAt, payloadBytes, position } = published;
    this.message.begin().int(Kind.Publish).int(kind).int(channelAt).int(channelBytes).int(payloadAt).int(payloadBytes);
    this.message.double(position).add(bytes, at, length);
    this.post(to, OUTSIDE_MAX);
  }

  /** As publish, for a run of messages. */
  publishAll(to: number, run: MessageBatch): void {
    const { kind, bytes, endBytes, count, length, channelAt, channelBytes, position } = run;
    this.message.begin().int(Kind.Run).int(kind).int(channelAt).int(channelBytes).int(count).double(position);
    this.message.add(endBytes, 0, count * 4).add(bytes, 0, length);
    this.post(to, OUTSIDE_MAX);
  }

  /** Sends `message`. At most `outsideMax` bytes may then wait outside the ring. */
  private post(to: number, outsideMax: number): void {
    assert(to !== this.worker, "a worker sends nothing to itself");
    const { message } = this;
    const addressee = this.addressees[to]!;
    if (message.bytes > RING_MESSAGE_MAX) addressee.copyAhead(message);
    if (!addressee.ring.push(message, addressee, outsideMax)) Atomics.store(this.lostWords, to * LOST_STRIDE, 1);
    addressee.copy = null;
    message.release();
    this.toWake[to] = 1;
    this.wakesAny = true;
  }
  /** Workers that were sent something in this turn. */
  private readonly toWake: Uint8Array;
  private wakesAny = false;

  /** Wakes those of them that sleep. Called once a turn. */
  wake(): void {
    if (!this.wakesAny) return;
    this.wakesAny = false;
    for (let to = 0; to < this.toWake.length; to++) {
      if (this.toWake[to] === 0) continue;
      this.toWake[to] = 0;
      const { ring, port } = this.addressees[to]!;
      if (ring.mustWake()) port!.postMessage(null);
    }
  }

  /** Wakes the worker `to`, so that it runs a turn. */
  wakeOne(to: number): void {
    this.addressees[to]!.port!.postMessage(null);
  }

  /** True when so much waits for the worker `to` that a sender that can wait should. */
  isBehind(to: number): boolean {
    return this.addressees[to]!.ring.backlog > BEHIND_BYTES;
  }

  /** True when that is so for some other worker. */
  get isAnyBehind(): boolean {
    for (let to = 0; to < this.addressees.length; to++) if (to !== this.worker && this.isBehind(to)) return true;
    return false;
  }

  // ---- receiving ----

  private receive(message: PortMessage): void {
    if (message !== null) this.early.set(message.n, message.bytes);
    this.handlers.woken();
  }

  /** Called when a turn begins: until `rest`, this worker reads its ring without being woken. */
  work(): void {
    this.own.work();
  }

  /** Delivers all messages. Called between commands. */
  collect(): void {
    const { handlers, lostWords, worker } = this;
    this.fetch();
    handlers.deliver();
    if (this.served.length > 0) {
      const { served } = this;
      this.served = [];
      for (const one of served) handlers.served(one);
    }
    if (Atomics.load(lostWords, worker * LOST_STRIDE) === 0) return;
    Atomics.store(lostWords, worker * LOST_STRIDE, 0);
    handlers.lost();
  }

  /** Takes all messages (MAIL-1). Pushes are delivered at once. No command runs, so it may be called at any time. */
  fetch(): void {
    const { own } = this;
    if (own.isEmpty) return;
    const head = own.outsideHead;
    for (let length = own.take(); length >= 0; length = own.take()) this.receiveOne(own.taken, length);
    while (own.outsideTail !== head) {
      const bytes = this.takeOutside(own.outsideTail);
      own.tookOutside(bytes.length);
      this.receiveOne(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), bytes.length);
    }
  }

  /** Takes message `n` from outside (RING-R6). */
  private takeOutside(n: number): Uint8Array {
    const { early } = this;
    if (!early.has(n)) this.readPorts();
    const bytes = early.get(n);
    assert(bytes !== undefined, "a message counted as outside is there (RING-R6)");
    early.delete(n);
    return bytes;
  }

  /** Reads what has come through the ports and no event has told of yet. */
  private readPorts(): void {
    for (const port of this.ports) {
      if (port === null) continue;
      for (let taken = receiveMessageOnPort(port); taken !== undefined; taken = receiveMessageOnPort(port)) {
        const parcel = taken.message as PortMessage;
        if (parcel !== null) this.early.set(parcel.n, parcel.bytes);
      }
    }
  }

  /** Receives the message in the first `length` bytes of `message`, which are valid until the next is taken. */
  private receiveOne(message: Buffer, length: number): void {
    const kind = message.readInt32LE(0);
    if (kind === Kind.Publish) this.published(message, length);
    else if (kind === Kind.Run) this.publishedAll(message, length);
    else if (kind === Kind.Push) this.pushed(message, length);
    else if (kind === Kind.Invalid) this.invalid(message, length);
    else if (kind === Kind.Broken)
      this.handlers.broken(message.readDoubleLE(CLIENT_AT), message.readDoubleLE(BROKEN_REDIRECT_AT));
    else this.served.push(servedOf(message, length));
  }

  private invalid(message: Buffer, length: number): void {
    const keys = message.readInt32LE(ALL_KEYS_AT) === 1 ? null : Buffer.from(message.subarray(KEYS_AT, length));
    this.handlers.invalid(
      message.readDoubleLE(CLIENT_AT),
      message.readDoubleLE(REDIRECT_AT),
      keys,
      message.readDoubleLE(PUSH_POSITION_AT),
      message.readInt32LE(SERVED_SLOT_AT),
    );
  }

  private published(message: Buffer, length: number): void {
    const { incoming } = this;
    incoming.set(
      message.readInt32LE(CHANNEL_KIND_AT) as ChannelKind,
      message,
      MESSAGE_AT,
      length - MESSAGE_AT,
      message.readInt32LE(CHANNEL_AT),
      message.readInt32LE(CHANNEL_BYTES_AT),
      message.readInt32LE(PAYLOAD_AT),
      message.readInt32LE(PAYLOAD_BYTES_AT),
    );
    incoming.position = message.readDoubleLE(PUBLISH_POSITION_AT);
    this.handlers.published(incoming);
  }
  private readonly incoming = new Published();

  private publishedAll(message: Buffer, length: number): void {
    const { run } = this;
    const count = message.readInt32LE(RUN_COUNT_AT);
    const at = RUN_ENDS_AT + count * 4;
    run.kind = message.readInt32LE(CHANNEL_KIND_AT) as ChannelKind;
    run.channelAt = message.readInt32LE(CHANNEL_AT);
    run.channelBytes = message.readInt32LE(CHANNEL_BYTES_AT);
    run.position = message.readDoubleLE(RUN_POSITION_AT);
    run.count = count;
    run.length = length - at;
    copy(message, RUN_ENDS_AT, run.endBytes, 0, count * 4);
    copy(message, at, run.bytes, 0, length - at);
    this.handlers.publishedAll(run);
    run.clear();
  }
  private readonly run = new MessageBatch();

  private pushed(message: Buffer, length: number): void {
    const resp2End = RESP2_AT + message.readInt32LE(RESP2_BYTES_AT);
    this.handlers.pushed(
      message.readDoubleLE(CLIENT_AT),
      Buffer.from(message.subarray(RESP2_AT, resp2End)),
      Buffer.from(message.subarray(resp2End, length)),
      message.readDoubleLE(PUSH_POSITION_AT),
    );
  }

  /** Called before this worker sleeps. Returns false when the ring is not empty. */
  rest(): boolean {
    this.wake();
    return this.own.rest();
  }
}

function servedOf(message: Buffer, length: number): Served {
  const errorEnd = ERROR_AT + message.readInt32LE(ERROR_BYTES_AT);
  return {
    slot: message.readInt32LE(SLOT_AT),
    reply: Buffer.from(message.subarray(errorEnd, length)),
    error: message.toString("utf8", ERROR_AT, errorEnd),
    tookMs: message.readDoubleLE(TOOK_AT),
    position: message.readDoubleLE(POSITION_AT),
  };
}

/** A worker as others send to it. */
class Addressee implements Outside {
  /** The copy of a long message; null = the message is short. */
  copy: Uint8Array | null = null;

  constructor(
    readonly ring: Ring,
    readonly port: MessagePort | null,
  ) {}

  /** Copies a long message into shared memory, before the lock of the ring is taken. */
  copyAhead(message: Message): void {
    this.copy = new Uint8Array(new SharedArrayBuffer(message.bytes));
    message.copyTo(this.copy);
  }

  put(n: number, message: Message): void {
    let bytes = this.copy;
    if (bytes === null) {
      bytes = new Uint8Array(message.bytes);
      message.copyTo(bytes);
    }
    this.port!.postMessage({ n, bytes } satisfies Parcel);
  }
}
