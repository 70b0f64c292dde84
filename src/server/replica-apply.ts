/**
 * Applies the stream of a primary in this worker's engine, as the commands of a client that reads no reply.
 *
 *   bytes ─► StreamUnits ─► one unit ─► Client.receive ─► its section: change │ the unit's bytes into our own stream │ unlock
 *
 * A unit's bytes enter our stream while the locks of what it changed are held, so the data at any cut is that of one offset.
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

/** A slice ends after so long, ms; the clock is read after so many units. */
const SLICE_MS = 2;
const UNITS_A_READING = 16;
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
  /** A unit was handed to the client, and has not ended. */
  private isBusy = false;
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
    this.client = client;
    this.isRunning = true;
    this.schedule();
    return client;
  }

  /** Bytes that have come and are not applied. */
  get waitingBytes(): number {
    return this.units.waitingBytes;
  }
  /** True while a unit is half done. */
  get isUnitOpen(): boolean {
    return this.isBusy;
  }

  /** Takes bytes of the stream. Before `begin` they only wait. */
  push(bytes: Buffer): void {
    this.units.push(bytes);
    this.facts.set("readOffset", this.state.offset + this.units.waitingBytes);
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
    if (!this.isBusy) this.units.clear();
  }

  private endNow(): void {
    const { client, ended } = this;
    this.units.clear();
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
      for (let n = 1; this.mayApply && units.next(); n++) {
        this.apply(this.client!);
        if (n % UNITS_A_READING !== 0 || engine.clock.monotonicMs() < until) continue;
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

  /** Applies the unit that was found. */
  private apply(client: Client): void {
    const { units } = this;
    if (units.kind === UnitKind.GetAck) {
      // As Redis: with the offset before the question. A primary that hands over waits for the one behind it.
      this.host.acknowledge();
      this.wasAsked = true;
    }
    this.isOwed = true;
    if (units.kind !== UnitKind.Command && units.kind !== UnitKind.Transaction) return this.appendUnit();
    this.isBusy = true;
    this.await();
    client.receive(units.bytes.subarray(units.from, units.to));
    this.settle(client);
  }

  /** The next change is that of the unit under way. */
  private await(): void {
    if (this.isOwed) this.engine.store.section.nextChange = this.append;
  }

  /** The client has run the unit, or will continue it. */
  private settle(client: Client): void {
    this.engine.store.section.nextChange = null;
    if (client.isSuspended) return;
    this.isBusy = false;
    // It was not run: what it would have changed is lost.
    if (client.isClosing && this.isOwed) return this.host.failed("a command that cannot be read");
    if (this.isOwed) this.appendUnit();
    if (this.ended !== null) this.endNow();
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
    const { units } = this;
    this.isOwed = false;
    // First: a snapshot between the two then names a database whose SELECT its replica reads once more, not one too old.
    this.state.streamDatabase = this.client!.session.db;
    this.state.stream.appendVerbatim(units.bytes, units.from, units.to);
  }

  /** The unit's command is retried in the next turn. */
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
