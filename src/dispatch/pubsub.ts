/**
 * Pub/sub: the subscriptions of this worker's clients, and the way of a published message to them.
 *
 *   PUBLISH ─ Channels.open: the stripe is locked, the receivers are counted
 *           ─ the message goes to the ring of each other worker with subscribers, and into `pending` for this one
 *           ─ unlock ─ deliver: into the output of each subscriber here, or into `batch`, which goes there at the end of the turn
 *
 * All workers see the messages of a channel in the order in which they were sent under its stripe's lock (CHANNELS-3). For
 * that a worker takes what others have sent out of its ring, under the same lock, before it adds a message of its own. The
 * same holds when a client begins or ends a subscription: it gets exactly the messages that were published in between.
 *
 * Inside a section that runs at once (EXEC) messages are gathered, as those about changed keys are in every section. They
 * are sent at its end: when the effects have their log position, before the locks are released. The clients of this worker
 * get them after the locks.
 *
 * Invariants
 *   PUBSUB-1  the table of channels counts exactly the subscriptions of each worker
 *   PUBSUB-2  `pending` has the messages of each channel in their order; whoever adds to it has emptied the ring before
 *   PUBSUB-3  what is in `batch` is in the clients' outputs before anything else is that comes to one of them later: another message,
 *             a reply, another push
 */
import { equal, latin1Text } from "../base/bytes.ts";
import { matchGlob } from "../base/glob.ts";
import { KEY_BYTES_MAX } from "../store/record.ts";
import { ChannelKind, Channels } from "../store/channels.ts";
import type { MessagesOfSection } from "../store/section.ts";
import type { Store } from "../store/store.ts";
import type { Effects } from "./effects.ts";
import { MessageBatch } from "./message-batch.ts";
import { asPush, Published } from "./published.ts";
import type { Session } from "./session.ts";

/** A client of this worker, as what is pushed reaches it. */
export interface Receiver {
  readonly session: Session;
  /** Adds bytes to its output, behind the reply of the command that runs for it. They must not change. */
  deliver(bytes: Buffer, position: number): void;
  /** As deliver, for bytes that are copied. */
  deliverCopy(bytes: Buffer, at: number, length: number, position: number): void;
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
  publishAll(to: number, run: MessageBatch): void;
  /** Takes what other workers have sent out of the ring: messages are passed to `PubSub.receive`. */
  fetch(): void;
  /** True when so much waits for the worker that a publisher should wait. */
  isBehind(to: number): boolean;
  readonly isAnyBehind: boolean;
}

/** Subscribers of this worker to one channel or pattern. */
interface Audience {
  readonly kind: ChannelKind;
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
/** A longer message is encoded before the stripe is locked, although nobody may receive it. */
const ENCODED_LOCKED_MAX = 16 << 10;
/** A message of up to COPIED_MAX bytes is copied for each of up to FEW receivers. Others share a buffer. */
const COPIED_MAX = 1024;
const FEW = 16;
/** A batch for so few is copied in pieces of up to this many bytes, each of them whole messages. */
const PIECE_BYTES = 4096;

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
  /** The message that is published or gathered now. */
  private readonly atHand = new Published();
  /** Messages of the section at work; each section that has any gets a list of its own. */
  gathered: Published[] = [];
  /** Messages may be gathered until the turn ends. The owner then calls `deliver`. */
  batches = false;
  /** Messages for the clients of `batchAudience` (PUBSUB-3). */
  private readonly batch = new MessageBatch();
  private batchAudience: Audience | null = null;
  /** A client with subscriptions publishes: what it receives itself comes between its replies. */
  private isAmongReplies = false;

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
    publisher: Session,
    kind: ChannelKind,
    channel: Buffer,
    channelAt: number,
    channelBytes: number,
    payload: Buffer,
    payloadAt: number,
    payloadBytes: number,
  ): number {
    const { channels, atHand } = this;
    if (!this.hasSubscribers(kind)) return 0;
    const isLong = payloadBytes > ENCODED_LOCKED_MAX;
    if (isLong) atHand.encode(kind, channel, channelAt, channelBytes, payload, payloadAt, payloadBytes);
    const matching = this.beginCount(kind, channel, channelAt, channelBytes);
    const total = matching + channels.open(kind, channel, channelAt, channelBytes);
    let delivers = false;
    if (total > 0) {
      this.addSubscribers();
      if (this.isAnyBehind()) {
        channels.close();
        return BEHIND;
      }
      if (!isLong) atHand.encode(kind, channel, channelAt, channelBytes, payload, payloadAt, payloadBytes);
      if (this.store.section.isAtOnce) this.gather(atHand);
      else delivers = this.send(atHand);
    }
    channels.close();
    if (delivers) {
      this.isAmongReplies = publisher.subscriptions !== null;
      if (this.pending.length > 0) this.deliverPending();
      this.deliverOne(atHand);
      this.isAmongReplies = false;
    }
    return total;
  }

  /** True when messages may be published by `publishAll`. `isFirst`: none of them is taken yet, so the publisher may wait. */
  mayPublishAll(kind: ChannelKind, isFirst: boolean): boolean {
    if (!this.batches || !this.hasSubscribers(kind)) return false;
    return !isFirst || this.mail === null || !this.mail.isAnyBehind;
  }

  /** Publishes the messages of `run`, outside of sections. Returns the number of clients that receive each. */
  publishAll(run: MessageBatch): number {
    const { channels, wanted } = this;
    const { kind, bytes, channelAt, channelBytes } = run;
    const matching = this.beginCount(kind, bytes, channelAt, channelBytes);
    const total = matching + channels.open(kind, bytes, channelAt, channelBytes);
    let delivers = false;
    if (total > 0) {
      this.addSubscribers();
      run.position = this.messagePosition;
      this.touch();
      const { mail } = this;
      const { worker } = this.store;
      if (mail !== null)
        for (let to = 0; to < wanted.length; to++) if (wanted[to]! > 0 && to !== worker) mail.publishAll(to, run);
      delivers = wanted[worker]! > 0;
      if (delivers) mail?.fetch();
    }
    channels.close();
    if (delivers) {
      if (this.pending.length > 0) this.deliverPending();
      this.deliverAll(run);
    }
    return total;
  }

  /** Adds the subscribers of the opened channel to those who want the message. */
  private addSubscribers(): void {
    const { wanted } = this;
    const { clients } = this.channels;
    for (let worker = 0; worker < wanted.length; worker++) wanted[worker]! += clients[worker]!;
  }

  /** True when a worker that wants the message is behind, and the publisher may wait. */
  private isAnyBehind(): boolean {
    const { wanted, mail } = this;
    if (mail === null || this.store.section.isAtOnce) return false;
    const { worker } = this.store;
    for (let to = 0; to < wanted.length; to++) if (wanted[to]! > 0 && to !== worker && mail.isBehind(to)) return true;
    return false;
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

  /**
   * Sends a message to the workers that want it, with the lock of its stripe held (CHANNELS-3). Returns true when clients of
   * this worker want it too: what others have sent is then taken, and to be delivered before it.
   */
  private send(message: Published): boolean {
    const { wanted, mail } = this;
    const { worker } = this.store;
    message.position = this.messagePosition;
    this.touch();
    if (mail !== null)
      for (let to = 0; to < wanted.length; to++) if (wanted[to]! > 0 && to !== worker) mail.publish(to, message);
    if (wanted[worker] === 0) return false;
    mail?.fetch();
    return true;
  }

  /** Log position of what is published now. */
  private get messagePosition(): number {
    return this.effects.log?.waitsForSync === true ? this.effects.position : 0;
  }

  // ---- messages of a section ----

  /** Publishes a message to a channel at the end of the section at work, if somebody would receive it now. */
  publishLater(channel: Buffer, channelBytes: number, payload: Buffer, payloadBytes: number): void {
    if (channelBytes > KEY_BYTES_MAX) return;
    const matching = this.beginCount(ChannelKind.Channel, channel, 0, channelBytes);
    const subscribers = this.channels.open(ChannelKind.Channel, channel, 0, channelBytes);
    this.channels.close();
    if (matching + subscribers === 0) return;
    this.atHand.encode(ChannelKind.Channel, channel, 0, channelBytes, payload, 0, payloadBytes);
    this.gather(this.atHand);
  }

  private gather(message: Published): void {
    this.gathered.push(message.copy());
    this.store.section.noteMessages();
  }

  /** Sends what was gathered. */
  flush(): void {
    const { channels, gathered } = this;
    this.gathered = [];
    for (const message of gathered) {
      const { kind, bytes, channelAt, channelBytes } = message;
      this.beginCount(kind, bytes, channelAt, channelBytes);
      channels.open(kind, bytes, channelAt, channelBytes);
      this.addSubscribers();
      if (this.send(message)) this.pending.push(message);
      channels.close();
    }
  }

  /** Forgets what was gathered, because the section has changed nothing. */
  discard(): void {
    this.gathered = [];
  }

  // ---- delivering ----

  /**
   * Receives a message of another worker, which is valid during the call. It is delivered at once, unless messages wait or the
   * caller holds the lock of a stripe and delivers afterwards.
   */
  receive(message: Published): void {
    if (this.channels.isOpen || this.pending.length > 0) this.pending.push(message.copy());
    else this.deliverOne(message);
  }

  /** As receive, for a run of messages. */
  receiveAll(run: MessageBatch): void {
    if (!this.channels.isOpen && this.pending.length === 0) return this.deliverAll(run);
    for (let n = 0; n < run.count; n++) {
      run.toMessage(n, this.ofRun);
      this.pending.push(this.ofRun.copy());
    }
  }
  private readonly ofRun = new Published();

  /**
   * Takes and delivers what other workers have sent. Called before a client that may be sent something runs a command: what
   * was published before it sent the command comes before the reply.
   */
  catchUp(): void {
    this.mail?.fetch();
    this.deliver();
  }

  /** As catchUp, and cheap, for any client: takes what others have sent, and delivers it if the client may be sent any of it. */
  fetchFor(session: Session): void {
    this.mail?.fetch();
    if (session.subscriptions !== null) this.deliver();
  }

  /** Delivers what is pending to the clients of this worker. */
  deliver(): void {
    if (this.pending.length > 0) this.deliverPending();
    if (!this.batch.isEmpty) this.sendBatch();
  }

  private deliverPending(): void {
    const { pending } = this;
    this.pending = [];
    for (const message of pending) this.deliverOne(message);
  }

  private deliverOne(message: Published): void {
    const { kind, bytes, at, channelAt, channelBytes } = message;
    const audience = this.audienceOf(kind, bytes, at + channelAt, channelBytes);
    const matches = kind === ChannelKind.Channel && this.audiences[ChannelKind.Pattern]!.size > 0;
    if (audience !== null && !matches && this.addToBatch(audience, message)) return;
    if (!this.batch.isEmpty) this.sendBatch();
    if (audience !== null) deliverTo(audience.receivers, message);
    if (matches) this.deliverToPatterns(message);
  }

  private deliverAll(run: MessageBatch): void {
    const { batch } = this;
    const audience = this.audienceOf(run.kind, run.bytes, run.channelAt, run.channelBytes);
    const matches = run.kind === ChannelKind.Channel && this.audiences[ChannelKind.Pattern]!.size > 0;
    if (audience !== null && !matches && this.batches && !this.isAmongReplies) {
      if (!batch.isEmpty && (audience !== this.batchAudience || !batch.hasRoomForAll(run))) this.sendBatch();
      this.batchAudience = audience;
      batch.addAll(run);
      return;
    }
    for (let n = 0; n < run.count; n++) {
      run.toMessage(n, this.ofRun);
      this.deliverOne(this.ofRun);
    }
  }

  /** Adds a message to the batch, behind those before it. Returns false when it has to be delivered at once. */
  private addToBatch(audience: Audience, message: Published): boolean {
    const { batch } = this;
    if (!this.batches || this.isAmongReplies || message.length > COPIED_MAX) return false;
    if (!batch.isEmpty && (audience !== this.batchAudience || !batch.hasRoomFor(message))) this.sendBatch();
    this.batchAudience = audience;
    batch.add(message);
    return true;
  }

  /** True when messages wait for the end of the turn. */
  get hasBatch(): boolean {
    return !this.batch.isEmpty;
  }

  /** Delivers the messages of the batch. */
  sendBatch(): void {
    const { batch, batchAudience } = this;
    if (batchAudience === null) return;
    this.batchAudience = null;
    const { receivers } = batchAudience;
    try {
      for (const receiver of receivers) {
        const { protocol } = receiver.session;
        if (protocol === 2 && receivers.size <= FEW) batch.copyTo(receiver, PIECE_BYTES);
        else receiver.deliver(batch.inProtocol(protocol), batch.position);
      }
    } finally {
      batch.clear();
    }
  }

  private deliverToPatterns(message: Published): void {
    const { bytes, at, channelAt, channelBytes } = message;
    const patterns = this.audiences[ChannelKind.Pattern]!;
    for (const { name, receivers } of patterns.values()) {
      if (!matchGlob(name, 0, name.length, bytes, at + channelAt, channelBytes, false)) continue;
      const inResp2 = message.forPattern(name);
      let inResp3: Buffer | null = null;
      for (const receiver of receivers) {
        if (receiver.session.protocol === 3) inResp3 ??= asPush(inResp2);
        receiver.deliver(receiver.session.protocol === 3 ? inResp3! : inResp2, message.position);
      }
    }
  }

  /** The subscribers of a channel here, null = none. */
  private audienceOf(kind: ChannelKind, name: Buffer, at: number, bytes: number): Audience | null {
    const { last } = this;
    if (last !== null && last.kind === kind && last.name.length === bytes && equal(last.name, 0, name, at, bytes))
      return last;
    const found = this.audiences[kind]!.get(latin1Text(name, at, bytes)) ?? null;
    if (found !== null) this.last = found;
    return found;
  }
  /** The audience found last: messages to one channel often follow each other. */
  private last: Audience | null = null;

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
      this.audiences[kind]!.set(text, { kind, name: copy, receivers: new Set([receiver]) });
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
    if (audience.receivers.size === 0) {
      this.audiences[kind]!.delete(text);
      if (this.last === audience) this.last = null;
    }
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

/** Delivers a message to clients. */
function deliverTo(receivers: ReadonlySet<Receiver>, message: Published): void {
  const { bytes, at, length, position } = message;
  if (receivers.size > FEW || length > COPIED_MAX) {
    for (const receiver of receivers) receiver.deliver(message.inProtocol(receiver.session.protocol), position);
    return;
  }
  for (const receiver of receivers) {
    const { protocol } = receiver.session;
    if (protocol === 3) message.turnTo(3);
    receiver.deliverCopy(bytes, at, length, position);
    if (protocol === 3) message.turnTo(2);
  }
}
