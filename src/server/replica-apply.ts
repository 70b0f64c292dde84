/**
 * Applies the stream of a primary in this worker's engine, as the commands of a client that reads no reply.
 *
 *   bytes ─► StreamUnits ─► some commands, or one unit ─► Client.receive ─► each one's section:
 *                                                          change │ the unit's bytes into our own stream │ unlock
 *
 * Commands that follow each other are run as one pipeline, so that the keys of all are prefetched together. A unit's bytes enter our stream while the locks of what it changed are held, so the data at any cut is that of one offset.
 * A unit that changes nothing enters it when it has run. The next unit begins when the last one has ended: what a command
 * retries for, waits for everything behind it.
 *
 * Where many commands of one key each wait, they are run as a *whole*: one section holds the locks of all shards meanwhile, and
 * their bytes enter our stream together. Readers see none of them or all, as they see a transaction.
 *
 * Commands run with due keys visible (ExpiryMode.Replay): the primary says when a key goes.
 */
import { fails } from "../base/kill-point.ts";
import { ExpiryMode } from "../store/expiry-mode.ts";
import { FatalError } from "../store/section.ts";
import { SERVER_ITSELF } from "../dispatch/user.ts";
import type { ReplicationState } from "../replication/state.ts";
import { StreamFailure, StreamUnits, UnitKind } from "../replication/stream-units.ts";
import type { LinkFacts } from "../replication/link-facts.ts";
import { type Crew, partOf, WHOLE_BYTES, WHOLE_UNITS } from "./apply-crew.ts";
import { WHOLE_CHUNKS } from "./apply-helper.ts";
import { Client, type ClientHost } from "./client.ts";
import type { Key } from "../store/key.ts";
import type { Engine } from "./engine.ts";
import { PlainCommands } from "./plain-commands.ts";

/** A slice ends after so long, ms. The clock is read after as many commands, or bytes, as one pipeline has. */
const SLICE_MS = 2;
const PIPELINE_UNITS = 64;
const PIPELINE_BYTES = 64 << 10;
/** A whole has from so many commands up to WHOLE_UNITS, or WHOLE_BYTES: readers wait for its locks, about half a millisecond. */
const WHOLE_LEAST = 32;
/** Several workers share a whole of so many commands or more. */
const SHARED_LEAST = 256;
/** The helpers are called while so many bytes wait. */
const CALL_BYTES = 64 << 10;
/** After a whole whose locks somebody waits for nobody takes them for so long, ms: a thread that sleeps needs it to wake. */
const WAY_MS = 0.1;
const NOBODY = new Int32Array(new SharedArrayBuffer(4));
/** Reading from the socket stops while so many bytes wait, and resumes below the second number. */
const FULL_BYTES = 4 << 20;
const RESUME_BYTES = 1 << 20;

export interface ApplyHost extends ClientHost {
  /** Runs `work` soon, after other events. */
  later(work: () => void): void;
  /** The primary wants to know the offset: it asks with the next unit. */
  acknowledge(): void;
  /** The stream cannot be applied any further. */
  failed(reason: string): void;
  /** Its client was closed (CLIENT KILL). What was applied is right. */
  killed(): void;
  /** A command of the primary has replied an error. */
  replied(error: string, command: string): void;
  /** The socket is read, or not. */
  throttle(stops: boolean): void;
}

export class ReplicaApply {
  private readonly units = new StreamUnits();
  private client: Client | null = null;
  private isRunning = false;
  private isScheduled = false;
  private isThrottled = false;
  /** Units were handed to the client, and not all have ended. */
  private isBusy = false;
  /** Of a pipeline: where each of its units ends, how many there are, and how many have ended. 0 units = a unit alone. */
  private readonly ends = new Int32Array(WHOLE_UNITS);
  private count = 0;
  private done = 0;
  /** The unit under way is units.bytes[from .. to). */
  private from = 0;
  private to = 0;
  /** A unit that runs alone follows the pipeline: the one that `units` has found. */
  private hasSpecial = false;
  /** The unit under way is not in our stream yet. */
  private isOwed = false;
  /** The pipeline runs as a whole. */
  private isWhole = false;
  private readonly plain: PlainCommands;
  /** What is gathered goes into this half of the crew's inboxes too; -1 = nobody helps. */
  private half = -1;
  private readonly key: Key;
  /** The own part of a whole that is shared runs. */
  private isShared = false;
  /** The primary has asked for the offset since the last slice. */
  private wasAsked = false;
  private readonly appendThis = (): void => this.appendUnit();

  constructor(
    private readonly engine: Engine,
    private readonly state: ReplicationState,
    private readonly facts: LinkFacts,
    private readonly host: ApplyHost,
    /** Workers that help; null = none do. */
    private readonly crew: Crew | null = null,
  ) {
    this.plain = new PlainCommands(engine.dispatcher.table);
    this.key = engine.store.newKey();
  }

  /** The stream begins, or continues, in the database that the state names. `id` and `address` are those of its client. */
  begin(id: number, address: string): Client {
    const { engine, state } = this;
    const transport = {
      write: (_bytes: Uint8Array, _offset: number, length: number) => length,
      end: () => this.host.killed(),
      terminate: () => this.host.killed(),
    };
    const client = new Client(id, engine, transport, {
      proceedLater: () => this.proceedLater(client),
      closed: (closed) => this.host.closed(closed),
    });
    const { session } = client;
    session.isPrimary = true;
    session.deniesBlocking = true;
    session.authenticateAs(SERVER_ITSELF);
    session.address = address;
    session.db = state.streamDatabase;
    session.createdMs = engine.clock.wallMs();
    client.ran = this.unitRan;
    this.client = client;
    this.isRunning = true;
    this.schedule();
    return client;
  }

  /** Bytes that have come and are not applied. */
  get waitingBytes(): number {
    const { units } = this;
    if (this.isBusy) return units.bytesBehind(this.isOwed ? this.from : this.to);
    if (this.isGathered && this.count > 0) return units.bytesBehind(this.from);
    return units.bytesBehind(this.hasSpecial ? units.from : units.to);
  }
  /** True while a unit is half done. */
  get isUnitOpen(): boolean {
    return this.isBusy;
  }

  /** Takes bytes of the stream. Before `begin` they only wait. */
  push(bytes: Buffer): void {
    this.units.push(bytes);
    this.facts.set("readOffset", this.state.offset + this.waitingBytes);
    if (!this.isBusy && !this.isScheduled) this.slice();
    // Only while a unit is under way, or the next one is there: of a longer one the rest must come.
    if (this.units.waitingBytes > FULL_BYTES && (this.isBusy || this.isScheduled)) this.throttle(true);
  }

  /**
   * The link is lost. What came and was not applied is forgotten; a unit under way ends first, and `done` is called behind
   * it.
   */
  end(done: () => void): void {
    this.isRunning = false;
    this.ended = done;
    if (!this.isBusy) this.endNow();
  }
  private ended: (() => void) | null = null;

  /** Bytes that came before the stream has begun are forgotten. */
  forget(): void {
    if (this.isBusy) return;
    this.clear();
  }

  private clear(): void {
    this.units.clear();
    this.hasSpecial = this.isGathered = this.units.isHeld = false;
  }

  private endNow(): void {
    const { client, ended } = this;
    this.clear();
    this.throttle(false);
    this.client = null;
    this.ended = null;
    client?.disconnected();
    ended?.();
  }

  private throttle(stops: boolean): void {
    if (stops === this.isThrottled) return;
    this.isThrottled = stops;
    this.host.throttle(stops);
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.host.later(() => {
      this.isScheduled = false;
      this.slice();
    });
  }

  /** Applies units for some milliseconds. */
  private slice(): void {
    const { engine, units } = this;
    if (!this.isRunning || this.isBusy) return;
    this.enter();
    try {
      this.until = engine.clock.monotonicMs() + SLICE_MS;
      const { until } = this;
      if (units.waitingBytes > CALL_BYTES) this.crew?.call();
      while (this.mayApply && (this.isGathered || this.gatherFor(this.crew))) {
        this.apply(this.client!);
        if (engine.clock.monotonicMs() < until) continue;
        this.schedule();
        break;
      }
    } catch (thrown) {
      if (!(thrown instanceof StreamFailure)) throw thrown;
      this.host.failed(`what the primary sends is no stream: ${thrown.message}`);
    } finally {
      this.crew?.dismiss();
      this.leave();
    }
    // With no whole unit at hand the rest of a long one must come, however much of it waits.
    const lacksBytes = !this.isBusy && !this.isScheduled;
    if (this.isThrottled && (lacksBytes || units.waitingBytes < RESUME_BYTES)) this.throttle(false);
    if (!this.wasAsked || this.isBusy || !this.isRunning) return;
    this.wasAsked = false;
    this.host.acknowledge();
  }

  /** When the slice ends, monotonic ms. */
  private until = 0;

  /** False also when the client was killed, and will be gone at the end of the turn. */
  private get mayApply(): boolean {
    return this.isRunning && !this.isBusy && !this.client!.isClosing;
  }

  private enter(): void {
    const { engine } = this;
    engine.turn.enter();
    engine.store.setExpiryMode(ExpiryMode.Replay);
    this.onError = engine.reply.onError;
    engine.reply.onError = this.noteError;
  }
  private leave(): void {
    const { engine } = this;
    engine.reply.onError = this.onError;
    engine.applyExpiryMode();
    engine.turn.leave();
  }
  private onError: (text: string) => void = () => {};

  /** As `gather`, for the helpers that have come too. */
  private gatherFor(crew: Crew | null): boolean {
    this.half = crew !== null && crew.muster() > 1 ? 0 : -1;
    return this.gather();
  }

  /** Finds what is applied next: a pipeline of commands, or a unit alone. Returns false when nothing more has come. */
  private gather(): boolean {
    const { units, ends } = this;
    this.count = this.done = 0;
    if (this.hasSpecial) return true;
    if (this.half >= 0) this.crew!.begin(this.half);
    let most = WHOLE_UNITS;
    let mostBytes = WHOLE_BYTES;
    this.isWhole = true;
    for (let first = -1; this.count < most && units.next(); ) {
      const isPlain = units.kind === UnitKind.Command && this.takes();
      if (units.kind !== UnitKind.Command || (!isPlain && this.isWhole && this.count >= WHOLE_LEAST)) {
        this.hasSpecial = true;
        break;
      }
      if (first < 0) this.from = first = units.from;
      ends[this.count++] = units.to;
      if (this.isWhole && !isPlain) {
        this.isWhole = false;
        most = PIPELINE_UNITS;
        mostBytes = PIPELINE_BYTES;
      }
      if (units.to - first >= mostBytes) break;
    }
    return this.count > 0 || this.hasSpecial;
  }

  /** True when the unit that was found may belong to a whole. It is given to the worker of its shard. */
  private takes(): boolean {
    const { units, half } = this;
    if (units.to - units.from > WHOLE_BYTES || !this.plain.has(units)) return false;
    if (half < 0 || !this.isWhole) return true;
    const { key } = this;
    if (!key.load(units.bytes, units.secondAt, units.secondBytes)) return false;
    this.crew!.give(half, units.bytes, units.from, units.to, this.engine.store.shardOf(key.hashA).number);
    return true;
  }

  /** Applies what was found. */
  private apply(client: Client): void {
    this.isGathered = false;
    if (this.count === 0) return this.applyAlone(client);
    const { units, ends, count } = this;
    this.to = ends[0]!;
    const bytes = units.bytes.subarray(this.from, ends[count - 1]!);
    this.isWhole = this.isWhole && count >= WHOLE_LEAST && this.enterWhole();
    if (!this.isWhole) this.run(client, bytes);
    else if (this.isSharable) this.runShared(client);
    else this.runWhole(client, bytes);
  }

  private get isSharable(): boolean {
    return this.isWhole && this.half >= 0 && this.count >= SHARED_LEAST;
  }

  /** Takes the locks for a whole. Returns false when the commands are better run one by one: one of them might have to wait. */
  private enterWhole(): boolean {
    const { engine } = this;
    const { section } = engine.store;
    const { dispatcher, effects } = engine;
    if (engine.tier !== null || dispatcher.observer !== null || dispatcher.mustHoldWrites?.() === true) return false;
    if (effects.log?.admits(WHOLE_BYTES * 2) === false || !section.reserve(WHOLE_CHUNKS)) return false;
    return section.enterAll();
  }

  /** Leaves the section of a whole. Who has slept until then gets the locks before the next whole does. */
  private leaveWhole(): void {
    const { section } = this.engine.store;
    const { isWaitedFor } = section;
    section.leave();
    if (isWaitedFor) Atomics.wait(NOBODY, 0, 0, WAY_MS);
  }

  /** Runs the pipeline in the section that was entered. What does not run at once is run by itself afterwards. */
  private runWhole(client: Client, bytes: Buffer): void {
    const { section } = this.engine.store;
    const { from } = this;
    this.isBusy = this.units.isHeld = client.runsWhole = true;
    try {
      client.receive(bytes);
      if (this.done > 0) this.append(from, this.ends[this.done - 1]!);
      this.leaveWhole();
    } catch (thrown) {
      throw section.failed(thrown);
    } finally {
      client.runsWhole = this.isWhole = false;
    }
    this.isOwed = this.done < this.count;
    this.settle(client);
  }

  private applyAlone(client: Client): void {
    const { units } = this;
    this.hasSpecial = false;
    this.from = units.from;
    this.to = units.to;
    if (units.kind === UnitKind.Transaction || units.kind === UnitKind.Command)
      return this.run(client, units.bytes.subarray(this.from, this.to));
    if (units.kind === UnitKind.GetAck) {
      // As Redis: with the offset before the question. A primary that hands over waits for the one behind it.
      this.host.acknowledge();
      this.wasAsked = true;
    }
    this.appendUnit();
  }

  private run(client: Client, bytes: Buffer): void {
    this.isOwed = this.isBusy = this.units.isHeld = true;
    this.await();
    client.receive(bytes);
    this.settle(client);
  }

  /**
   * Runs wholes together with the crew, from the one whose section was entered on. While the helpers run one, the next is
   * gathered. What is gathered at the end is left to `slice`.
   */
  private runShared(client: Client): void {
    const { crew, engine } = this;
    const { section, shards } = engine.store;
    this.units.isHeld = true;
    let isGathered = false;
    for (let isNextThere = true; isNextThere; ) {
      const { half, from } = this;
      const to = this.ends[this.count - 1]!;
      for (const shard of shards) {
        const part = partOf(shard.number, crew!.size);
        if (part > 0) section.lend(shard, crew!.workerOf(part));
      }
      crew!.go(half, client.session.db);
      this.runOwnPart(client, half);
      this.half = 1 - half;
      isGathered = engine.clock.monotonicMs() < this.until && this.gather();
      this.endShared(half, from, to);
      isNextThere = isGathered && this.isSharable && this.mayApply && this.enterWhole();
      crew!.keep(isNextThere);
    }
    this.half = -1;
    if (!this.isRunning) return;
    this.isGathered = isGathered;
    this.units.isHeld = isGathered && this.count > 0;
  }
  /** `gather` has found something that was not applied yet. */
  private isGathered = false;

  private runOwnPart(client: Client, half: number): void {
    const { crew, engine } = this;
    this.isShared = client.runsWhole = true;
    this.done = 0;
    crew!.effects.begin();
    engine.effects.capture = crew!.effects;
    try {
      client.receive(crew!.ownPart(half));
    } catch (thrown) {
      throw new FatalError(thrown);
    } finally {
      engine.effects.capture = null;
      this.isShared = client.runsWhole = false;
    }
    this.isTorn = this.done !== crew!.ownCommands(half);
  }
  /** Some commands of a whole have not run: memory was short, although some had been set aside. */
  private isTorn = false;

  /** All parts have ended: effects and bytes are appended, and the locks released. */
  private endShared(half: number, from: number, to: number): void {
    const { crew, engine, facts } = this;
    const { effects } = engine;
    const errors = crew!.finish();
    if (errors < 0 || fails("part-torn")) this.isTorn = true;
    else if (errors > 0) facts.set("errors", facts.get("errors") + errors);
    const { db } = this.client!.session;
    if (effects.isOn) effects.appendMerged(crew!.mergedBytes, crew!.merge(half), db);
    facts.set("helped", facts.get("helped") + crew!.commandsOfHelpers(half));
    if (!this.isTorn) this.append(from, to);
    this.leaveWhole();
    if (this.isTorn) this.host.failed("a command could not be applied together with others: memory is short");
  }

  /** The next change is that of the unit under way. */
  private await(): void {
    if (this.isOwed) this.engine.store.section.nextChange = this.appendThis;
  }

  /** A command of the pipeline has run: the next unit is under way. */
  private readonly unitRan = (): void => {
    if (this.isShared) {
      this.engine.store.section.flushEffects();
      this.crew!.effects.endCommand();
      this.engine.reply.at = 0;
      this.done++;
      return;
    }
    if (this.done === this.count) return;
    if (this.isWhole) {
      this.engine.store.section.flushEffects();
      // Nobody reads the replies.
      this.engine.reply.at = 0;
    } else if (this.isOwed) {
      this.appendUnit();
    }
    this.done++;
    if (this.done === this.count) return;
    this.from = this.to;
    this.to = this.ends[this.done]!;
    if (this.isWhole) return;
    this.isOwed = true;
    this.await();
  };

  /** The client has run what it was given, or will continue it. */
  private settle(client: Client): void {
    this.engine.store.section.nextChange = null;
    if (client.isSuspended || client.isPaused) return;
    if (client.isWaiting && this.done < this.count) return this.settleLater(client);
    const isCut = client.isClosing && (this.count === 0 ? this.isOwed : this.done < this.count);
    this.isBusy = this.units.isHeld = false;
    // What its client was closed before is asked for again, with the next link.
    if (isCut && !client.isKilled) return this.host.failed("a command that cannot be read");
    if (this.count === 0 && this.isOwed && !isCut) this.appendUnit();
    if (this.ended !== null) this.endNow();
  }

  /** The reply of a command comes later: the rest of the pipeline runs behind it. */
  private settleLater(client: Client): void {
    this.host.later(() => {
      if (this.client !== client) return;
      this.settle(client);
      if (!this.isBusy) this.schedule();
    });
  }

  /** Counts what a command of the primary replies, and only that: a client that it serves may get an error too. */
  private readonly noteError = (text: string): void => {
    const { facts, engine, onError } = this;
    onError(text);
    if (!engine.call.session.isPrimary) return;
    facts.set("errors", facts.get("errors") + 1);
    this.host.replied(text, engine.call.spec.name.toLowerCase());
  };

  private appendUnit(): void {
    this.isOwed = false;
    this.append(this.from, this.to);
  }

  private append(from: number, to: number): void {
    // First: a snapshot between the two then names a database whose SELECT its replica reads once more, not one too old.
    this.state.streamDatabase = this.client!.session.db;
    this.state.stream.appendVerbatim(this.units.bytes, from, to);
  }

  /** A command is retried in the next turn, or the rest of the pipeline has its turn. */
  private proceedLater(client: Client): void {
    this.engine.turn.proceedLater({
      isClosed: client.isClosed,
      proceed: () => {
        this.enter();
        try {
          this.await();
          client.proceed();
          this.settle(client);
        } finally {
          this.leave();
        }
        if (!this.isBusy) this.schedule();
      },
    });
  }
}
