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
 * Commands run with due keys visible (ExpiryMode.Replay): the primary says when a key goes.
 */
import { ExpiryMode } from "../store/expiry-mode.ts";
import { SERVER_ITSELF } from "../dispatch/user.ts";
import type { ReplicationState } from "../replication/state.ts";
import { StreamFailure, StreamUnits, UnitKind } from "../replication/stream-units.ts";
import type { LinkFacts } from "../replication/link-facts.ts";
import { Client, type ClientHost } from "./client.ts";
import type { Engine } from "./engine.ts";

/** A slice ends after so long, ms. The clock is read after as many commands, or bytes, as one pipeline has. */
const SLICE_MS = 2;
const PIPELINE_UNITS = 64;
const PIPELINE_BYTES = 64 << 10;
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
  private readonly ends = new Int32Array(PIPELINE_UNITS);
  private count = 0;
  private done = 0;
  /** The unit under way is units.bytes[from .. to). */
  private from = 0;
  private to = 0;
  /** A unit that is no plain command follows the pipeline: the one that `units` has found. */
  private hasSpecial = false;
  /** The unit under way is not in our stream yet. */
  private isOwed = false;
  /** The primary has asked for the offset since the last slice. */
  private wasAsked = false;
  private readonly append = (): void => this.appendUnit();

  constructor(
    private readonly engine: Engine,
    private readonly state: ReplicationState,
    private readonly facts: LinkFacts,
    private readonly host: ApplyHost,
  ) {}

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
    this.units.clear();
    this.hasSpecial = false;
  }

  private endNow(): void {
    const { client, ended } = this;
    this.units.clear();
    this.hasSpecial = false;
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
      const until = engine.clock.monotonicMs() + SLICE_MS;
      while (this.mayApply && this.gather()) {
        this.apply(this.client!);
        if (engine.clock.monotonicMs() < until) continue;
        this.schedule();
        break;
      }
    } catch (thrown) {
      if (!(thrown instanceof StreamFailure)) throw thrown;
      this.host.failed(`what the primary sends is no stream: ${thrown.message}`);
    } finally {
      this.leave();
    }
    if (this.isThrottled && units.waitingBytes < RESUME_BYTES) this.throttle(false);
    if (!this.wasAsked || this.isBusy || !this.isRunning) return;
    this.wasAsked = false;
    this.host.acknowledge();
  }

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

  /** Finds what is applied next: a pipeline of commands, or a unit alone. Returns false when nothing more has come. */
  private gather(): boolean {
    const { units, ends } = this;
    this.count = this.done = 0;
    if (this.hasSpecial) return true;
    for (let first = -1; this.count < PIPELINE_UNITS && units.next(); ) {
      if (units.kind !== UnitKind.Command) {
        this.hasSpecial = true;
        break;
      }
      if (first < 0) this.from = first = units.from;
      ends[this.count++] = units.to;
      if (units.to - first >= PIPELINE_BYTES) break;
    }
    return this.count > 0 || this.hasSpecial;
  }

  /** Applies what was found. */
  private apply(client: Client): void {
    if (this.count === 0) return this.applyAlone(client);
    const { units, ends, count } = this;
    this.to = ends[0]!;
    this.run(client, units.bytes.subarray(this.from, ends[count - 1]!));
  }

  private applyAlone(client: Client): void {
    const { units } = this;
    this.hasSpecial = false;
    this.from = units.from;
    this.to = units.to;
    if (units.kind === UnitKind.Transaction) return this.run(client, units.bytes.subarray(this.from, this.to));
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

  /** The next change is that of the unit under way. */
  private await(): void {
    if (this.isOwed) this.engine.store.section.nextChange = this.append;
  }

  /** A command of the pipeline has run: the next unit is under way. */
  private readonly unitRan = (): void => {
    if (this.done === this.count) return;
    if (this.isOwed) this.appendUnit();
    this.done++;
    if (this.done === this.count) return;
    this.from = this.to;
    this.to = this.ends[this.done]!;
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
    // First: a snapshot between the two then names a database whose SELECT its replica reads once more, not one too old.
    this.state.streamDatabase = this.client!.session.db;
    this.state.stream.appendVerbatim(this.units.bytes, this.from, this.to);
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
