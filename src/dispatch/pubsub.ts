/**
 * Pub/sub: who of this worker's clients subscribes to what, and the way of a published message to them.
 *
 *   PUBLISH ─ Channels.open: the stripe is locked, the receivers are counted
 *           ─ the message goes to the ring of each other worker with subscribers, and into `pending` for this one
 *           ─ unlock ─ deliver: into the output of each subscriber here
 *
 * All workers see the messages of a channel in the order in which they were sent under its stripe's lock (CHANNELS-3). For
 * that a worker takes what others have sent out of its ring, under the same lock, before it adds a message of its own. The
 * same holds when a client begins or ends a subscription: it gets the messages that were published after the one, and those
 * before the other.
 *
 * Inside a section that runs at once (EXEC) messages are gathered, as those about changed keys are in every section. They
 * are sent at its end: when the effects have their log position, before the locks are released. The clients of this worker
 * get them after the locks.
 *
 * Invariants
 *   PUBSUB-1  the table of channels counts exactly the subscriptions of each worker
 *   PUBSUB-2  `pending` has the messages of each channel in their order; whoever adds to it has emptied the ring before
 */
import { latin1Text } from "../base/bytes.ts";
import { matchGlob } from "../base/glob.ts";
import { KEY_BYTES_MAX } from "../store/record.ts";
import { ChannelKind, Channels } from "../store/channels.ts";
import type { MessagesOfSection } from "../store/section.ts";
import type { Store } from "../store/store.ts";
import type { Effects } from "./effects.ts";
import { asPush, encodeMessage, type Published } from "./published.ts";
import type { Session } from "./session.ts";

/** A client of this worker, as what is pushed reaches it. */
export interface Receiver {
  readonly session: Session;
  /** Adds bytes to its output, behind the reply of the command that runs for it. They must not change. */
  deliver(bytes: Buffer, position: number): void;
  /** Writes what was delivered while its command runs before that command's reply. */
  writeDelivered(): void;
}

/** The subscriptions of one client. */
export class Subscriptions {
  /** Names by kind, a byte a character. */
  readonly names: readonly Set<string>[] = [new Set(), new Set(), new Set()];
  /** Memory of them, about. */
  bytes = 0;

  /** Subscriptions of a kind. */
  count(kind: ChannelKind): number {
    return this.names[kind]!.size;
  }
  /** The number that a confirmation for this kind gives: shard channels are counted separately. */
  shownCount(kind: ChannelKind): number {
    if (kind === ChannelKind.Shard) return this.count(kind);
    return this.count(ChannelKind.Channel) + this.count(ChannelKind.Pattern);
  }
  get isEmpty(): boolean {
    return this.names.every((names) => names.size === 0);
  }
}
/** Memory of a subscription besides its name: its places in the maps here and in the table. */
const SUBSCRIPTION_BYTES = 128;

/** Takes messages to other workers. See server/mailbox.ts. */
export interface PublishMail {
  publish(to: number, message: Published): void;
  /** Takes what other workers have sent out of the ring: messages are passed to `PubSub.receive`. */
  fetch(): void;
  /** True when so much waits for the worker that a publisher should wait. */
  isBehind(to: number): boolean;
}

/** Subscribers of this worker to one channel or pattern. */
interface Audience {
  readonly name: Buffer;
  readonly receivers: Set<Receiver>;
}

/** A pattern of any worker, with its clients by worker and in all. */
interface KnownPattern {
  readonly name: Buffer;
  readonly clients: Int32Array;
  readonly total: number;
}

/** PubSub.publish: a worker is behind, so the publisher should try again. */
export const BEHIND = -1;
/** A message of up to this many bytes is encoded while the stripe is locked: only then it is known to have receivers. */
const ENCODED_LOCKED_MAX = 16 << 10;

export class PubSub implements MessagesOfSection {
  readonly channels: Channels;
  /** The way to other workers; null = there are none. */
  mail: PublishMail | null = null;
  /** Opens a turn, so that what is delivered leaves at its end. */
  touch: () => void = () => {};
  /** Clients of this worker with subscriptions. */
  subscribers = 0;
  private readonly audiences: readonly Map<string, Audience>[] = [new Map(), new Map(), new Map()];
  /** All patterns as of `knownVersion`. */
  private known: KnownPattern[] = [];
  private knownVersion = 0;
  /** Clients that receive the message at hand, by worker. */
  private readonly wanted: Int32Array;
  /** Messages for the clients of this worker that are not delivered yet (PUBSUB-2). */
  private pending: Published[] = [];
  /** Messages of the section at work; each section that has any gets a list of its own. */
  gathered: Published[] = [];

  constructor(
    private readonly store: Store,
    private readonly effects: Effects,
  ) {
    this.channels = new Channels(store);
    this.wanted = new Int32Array(this.channels.clients.length);
    store.section.messages = this;
  }

  // ---- publishing ----

  /**
   * Publishes a message to a channel or shard channel. Returns the number of clients that receive it, or BEHIND with nothing
   * done. Inside a section that runs at once the message is sent at its end.
   */
  publish(
    kind: ChannelKind,
    channel: Buffer,
    channelAt: number,
    channelBytes: number,
    payload: Buffer,
    payloadAt: number,
    payloadBytes: number,
  ): number {
    const { channels, wanted, store } = this;
    if (!this.hasSubscribers(kind)) return 0;
    const encode = (): Published =>
      encodeMessage(kind, channel, channelAt, channelBytes, payload, payloadAt, payloadBytes);
    const early = payloadBytes > ENCODED_LOCKED_MAX ? encode() : null;
    const matching = this.beginCount(kind, channel, channelAt, channelBytes);
    const total = matching + channels.open(kind, channel, channelAt, channelBytes);
    try {
      if (total === 0) return 0;
      const { isAtOnce } = store.section;
      for (let worker = 0; worker < wanted.length; worker++) {
        wanted[worker]! += channels.clients[worker]!;
        if (!isAtOnce && wanted[worker]! > 0 && this.isBehind(worker)) return BEHIND;
      }
      const message = early ?? encode();
      if (isAtOnce) this.gather(message);
      else this.send(message);
    } finally {
      channels.close();
    }
    this.deliver();
    return total;
  }

  /** Clients that subscribe to a channel or shard channel, without those of patterns. */
  countSubscribers(kind: ChannelKind, name: Buffer, at: number, bytes: number): number {
    const count = this.channels.open(kind, name, at, bytes);
    this.channels.close();
    return count;
  }

  private hasSubscribers(kind: ChannelKind): boolean {
    return (kind === ChannelKind.Shard ? this.channels.count(kind) : this.channels.subscribed) > 0;
  }

  private isBehind(worker: number): boolean {
    return worker !== this.store.worker && this.mail!.isBehind(worker);
  }

  /** Sets `wanted` to the clients whose patterns match the channel. Returns their number. */
  private beginCount(kind: ChannelKind, channel: Buffer, at: number, bytes: number): number {
    const { wanted } = this;
    wanted.fill(0);
    if (kind !== ChannelKind.Channel) return 0;
    if (this.knownVersion !== this.channels.patternVersion) this.readPatterns();
    const { known } = this;
    let total = 0;
    for (let n = 0; n < known.length; n++) {
      const { name, clients, total: all } = known[n]!;
      if (!matchGlob(name, 0, name.length, channel, at, bytes, false)) continue;
      total += all;
      for (let worker = 0; worker < wanted.length; worker++) wanted[worker]! += clients[worker]!;
    }
    return total;
  }

  private readPatterns(): void {
    const known: KnownPattern[] = [];
    // Before the patterns: a change meanwhile is then read again.
    this.knownVersion = this.channels.patternVersion;
    this.channels.each(ChannelKind.Pattern, (pattern) => known.push(pattern));
    this.known = known;
  }

  /** Sends a message to the workers that want it, with the lock of its stripe held (CHANNELS-3). */
  private send(message: Published): void {
    const { wanted } = this;
    const { worker } = this.store;
    message.position = this.effects.log?.waitsForSync === true ? this.effects.position : 0;
    for (let to = 0; to < wanted.length; to++) {
      if (wanted[to] === 0) continue;
      if (to !== worker) {
        this.mail!.publish(to, message);
      } else {
        this.mail?.fetch();
        this.pending.push(message);
      }
    }
    this.touch();
  }

  // ---- messages of a section ----

  /** Publishes a message to a channel at the end of the section at work, if somebody would receive it now. */
  publishLater(channel: Buffer, channelBytes: number, payload: Buffer, payloadBytes: number): void {
    if (channelBytes > KEY_BYTES_MAX) return;
    const matching = this.beginCount(ChannelKind.Channel, channel, 0, channelBytes);
    const subscribers = this.channels.open(ChannelKind.Channel, channel, 0, channelBytes);
    this.channels.close();
    if (matching + subscribers > 0)
      this.gather(encodeMessage(ChannelKind.Channel, channel, 0, channelBytes, payload, 0, payloadBytes));
  }

  private gather(message: Published): void {
    this.gathered.push(message);
    this.store.section.hasMessages();
  }

  /** Sends what was gathered. */
  flush(): void {
    const { channels, wanted } = this;
    const { gathered } = this;
    this.gathered = [];
    for (const message of gathered) {
      const { kind, bytes, channelAt, channelBytes } = message;
      this.beginCount(kind, bytes, channelAt, channelBytes);
      channels.open(kind, bytes, channelAt, channelBytes);
      for (let worker = 0; worker < wanted.length; worker++) wanted[worker]! += channels.clients[worker]!;
      this.send(message);
      channels.close();
    }
  }

  /** Forgets what was gathered, because the section has changed nothing. */
  discard(): void {
    this.gathered = [];
  }

  // ---- delivering ----

  /** Receives a message of another worker. `deliver` follows. */
  receive(message: Published): void {
    this.pending.push(message);
  }

  /**
   * Takes and delivers what other workers have sent. Called before a client that may be sent something runs a command: what
   * was published before it sent the command comes before the reply.
   */
  catchUp(): void {
    this.mail?.fetch();
    this.deliver();
  }

  /** Delivers what is pending to the clients of this worker. */
  deliver(): void {
    const { pending } = this;
    if (pending.length === 0) return;
    this.pending = [];
    for (const message of pending) this.deliverOne(message);
  }

  private deliverOne(message: Published): void {
    const { kind, bytes, channelAt, channelBytes, position } = message;
    const audience = this.audiences[kind]!.get(latin1Text(bytes, channelAt, channelBytes));
    if (audience !== undefined) {
      for (const receiver of audience.receivers) {
        receiver.deliver(message.inProtocol(receiver.session.protocol), position);
      }
    }
    const patterns = this.audiences[ChannelKind.Pattern]!;
    if (kind !== ChannelKind.Channel || patterns.size === 0) return;
    for (const { name, receivers } of patterns.values()) {
      if (!matchGlob(name, 0, name.length, bytes, channelAt, channelBytes, false)) continue;
      const inResp2 = message.forPattern(name);
      let inResp3: Buffer | null = null;
      for (const receiver of receivers) {
        if (receiver.session.protocol === 3) inResp3 ??= asPush(inResp2);
        receiver.deliver(receiver.session.protocol === 3 ? inResp3! : inResp2, position);
      }
    }
  }

  // ---- subscribing ----

  /** Subscribes a client of this worker. Returns false when there is no memory for it now. */
  subscribe(receiver: Receiver, kind: ChannelKind, name: Buffer, at: number, bytes: number): boolean {
    const { channels } = this;
    const { session } = receiver;
    const text = latin1Text(name, at, bytes);
    if (session.subscriptions !== null && session.subscriptions.names[kind]!.has(text)) return true;
    if (!channels.reserve(bytes)) return false;
    channels.open(kind, name, at, bytes);
    channels.add();
    this.mail?.fetch();
    channels.close();
    // Published before: for those who have subscribed before.
    this.deliver();
    const audience = this.audiences[kind]!.get(text);
    if (audience === undefined) {
      const copy = Buffer.from(name.subarray(at, at + bytes));
      this.audiences[kind]!.set(text, { name: copy, receivers: new Set([receiver]) });
    } else {
      audience.receivers.add(receiver);
    }
    if (session.subscriptions === null) {
      session.subscriptions = new Subscriptions();
      this.subscribers++;
    }
    session.subscriptions.names[kind]!.add(text);
    session.subscriptions.bytes += SUBSCRIPTION_BYTES + bytes;
    return true;
  }

  /** Ends a subscription. Returns false when the client has none to this name. */
  unsubscribe(receiver: Receiver, kind: ChannelKind, text: string): boolean {
    const { session } = receiver;
    const { subscriptions } = session;
    if (subscriptions === null || !subscriptions.names[kind]!.delete(text)) return false;
    const { channels } = this;
    const audience = this.audiences[kind]!.get(text)!;
    channels.open(kind, audience.name, 0, audience.name.length);
    channels.remove();
    this.mail?.fetch();
    channels.close();
    // Published before: still for this client.
    this.deliver();
    audience.receivers.delete(receiver);
    if (audience.receivers.size === 0) this.audiences[kind]!.delete(text);
    subscriptions.bytes -= SUBSCRIPTION_BYTES + text.length;
    if (subscriptions.isEmpty) {
      session.subscriptions = null;
      this.subscribers--;
    }
    return true;
  }

  /** Ends all subscriptions of a client, which is gone or is reset. */
  unsubscribeAll(receiver: Receiver): void {
    const { subscriptions } = receiver.session;
    if (subscriptions === null) return;
    for (const kind of Object.values(ChannelKind)) {
      for (const text of [...subscriptions.names[kind]!]) this.unsubscribe(receiver, kind, text);
    }
  }
}
