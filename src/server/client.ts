/**
 * Client: one connection's input and output, whatever carries the bytes. It keeps the incomplete tail of the input,
 * runs commands within the turn's budget, and queues what the transport does not take at once.
 *
 * States: reading; *suspended* (a command could not get a lock or room: it is retried next turn, its bytes still in the
 * query buffer); *waiting* (a reply comes later); *full* (the output queue is above its bound: no further command runs
 * until it drains, input is still taken up to the query buffer's limit).
 */
import { Close, Done, Later, Retry, type Outcome } from "../commands/spec.ts";
import { Session } from "../commands/session.ts";
import { BATCH_MAX, Progress } from "../protocol/parser.ts";
import type { Reply, ReplyTarget } from "../protocol/reply.ts";
import type { Engine } from "./engine.ts";

/** What carries the bytes: a socket, or a test. */
export interface Transport {
  /** Sends bytes. Returns how many were taken: fewer = wait for `drained`; -1 = closed. */
  write(bytes: Uint8Array, offset: number, length: number): number;
  /** Ends the connection once what was written is sent. */
  end(): void;
  /** Drops the connection at once. */
  terminate(): void;
}

export interface ClientHost {
  /** Calls `client.proceed()` again in a later turn. */
  proceedLater(client: Client): void;
  closed(client: Client): void;
}

/** Bytes of replies waiting for the socket at which a connection's commands wait. */
const OUTPUT_FULL = 32 << 20;
const FIRST_QUERY_BYTES = 4096;

export class Client implements ReplyTarget {
  readonly session: Session;
  readonly progress = new Progress();
  /** Input not processed yet: bytes `queryAt` to `queryEnd` of `query`. */
  private query: Buffer | null = null;
  private queryAt = 0;
  private queryEnd = 0;
  private readonly output: Buffer[] = [];
  private outputAt = 0;
  outputBytes = 0;
  suspended = false;
  waiting = false;
  closing = false;
  closed = false;
  address = "";
  localAddress = "";
  descriptor = -1;
  totalInput = 0;
  totalOutput = 0;

  constructor(
    id: number,
    private readonly engine: Engine,
    public transport: Transport,
    private readonly host: ClientHost,
  ) {
    this.session = new Session(id);
  }

  /** Takes bytes from the transport. They may be kept only until the call returns. */
  receive(bytes: Buffer): void {
    if (this.closing) return;
    const { engine } = this;
    engine.inputBytes += bytes.length;
    this.totalInput += bytes.length;
    engine.beginTurn();
    this.session.activeMs = engine.monotonicMs;
    if (this.query !== null || this.suspended || this.waiting || this.outputBytes > OUTPUT_FULL) {
      this.keep(bytes, 0, bytes.length);
      if (!this.suspended && !this.waiting) this.proceed();
    } else {
      const at = this.process(bytes, 0, bytes.length);
      if (at < bytes.length && !this.closing) this.keep(bytes, at, bytes.length);
      this.flush();
    }
    engine.endTurn();
  }

  /** Goes on with the input kept: after a suspension, a late reply, a drain, or a turn that ran out. */
  proceed(): void {
    if (this.query === null || this.waiting || this.closing || this.outputBytes > OUTPUT_FULL) {
      this.suspended = false;
      return;
    }
    this.suspended = false;
    const query = this.query;
    this.queryAt = this.process(query, this.queryAt, this.queryEnd);
    if (this.closing || this.queryAt === this.queryEnd) {
      this.query = null;
      this.queryAt = 0;
      this.queryEnd = 0;
    }
    this.flush();
  }

  /** Runs commands from `start`. Returns the offset of what is left. */
  private process(bytes: Buffer, start: number, end: number): number {
    const { engine, session } = this;
    const { parser, dispatcher, reply } = engine;
    reply.protocol = session.protocol;
    reply.target = this;
    let at = start;
    let budget = engine.turnCommands;
    while (at < end && budget > 0) {
      at = parser.parse(bytes, at, end, Math.min(BATCH_MAX, budget), this.progress, session.authenticated);
      const count = parser.commands;
      if (count > 0) {
        dispatcher.prepare(parser, bytes, session);
        for (let i = 0; i < count; i++) {
          const outcome = dispatcher.run(parser, i, bytes, session);
          if (outcome === Done) continue;
          const rest = this.stop(outcome, parser.startOf[i]!, parser.endOf[i]!);
          if (rest >= 0) {
            this.progress.clear();
            return rest;
          }
        }
        budget -= count;
      }
      if (parser.error !== "") {
        reply.error(parser.error);
        this.closing = true;
        return end;
      }
      if (count === 0) return at;
      if (this.outputBytes > OUTPUT_FULL) return at;
    }
    if (at < end) this.later();
    return at;
  }

  /** Returns where to go on later, or -1 to go on now. */
  private stop(outcome: Outcome, startOf: number, endOf: number): number {
    if (outcome === Retry) {
      this.later();
      return startOf;
    }
    if (outcome === Later) {
      this.waiting = true;
      return endOf;
    }
    if (outcome === Close) {
      this.closing = true;
      return endOf;
    }
    return -1;
  }

  private later(): void {
    this.suspended = true;
    this.host.proceedLater(this);
  }

  /** Writes the reply of a Later command and goes on. */
  resume(write: (reply: Reply) => void): void {
    if (this.closed) return;
    const { reply } = this.engine;
    reply.protocol = this.session.protocol;
    reply.target = this;
    write(reply);
    this.waiting = false;
    this.flush();
    this.proceed();
  }

  private keep(bytes: Buffer, from: number, to: number): void {
    const length = to - from;
    if (length === 0) return;
    const needs = this.engine.parser.needs;
    if (this.query === null) {
      this.query = Buffer.allocUnsafeSlow(Math.max(FIRST_QUERY_BYTES, length, this.suspended ? 0 : needs));
      this.queryAt = 0;
      this.queryEnd = 0;
    } else if (this.queryEnd + length > this.query.length) {
      const held = this.queryEnd - this.queryAt;
      let room = this.query;
      if (held + length > room.length) room = Buffer.allocUnsafeSlow(Math.max(room.length * 2, held + length));
      this.query.copy(room, 0, this.queryAt, this.queryEnd);
      this.query = room;
      this.queryAt = 0;
      this.queryEnd = held;
    }
    bytes.copy(this.query, this.queryEnd, from, to);
    this.queryEnd += length;
  }

  /** Bytes of input waiting. */
  get queryBytes(): number {
    return this.queryEnd - this.queryAt;
  }

  // ---- output ----

  handOn(bytes: Buffer, length: number): void {
    this.send(bytes, length);
  }

  /** Sends what the batch replied; ends the connection when it is to close. */
  private flush(): void {
    const { reply } = this.engine;
    if (reply.at > 0) {
      this.send(reply.bytes, reply.at);
      reply.at = 0;
    }
    if (this.closing && !this.closed && this.output.length === 0) this.transport.end();
  }

  private send(bytes: Buffer, length: number): void {
    if (this.closed) return;
    this.engine.outputBytes += length;
    this.totalOutput += length;
    let sent = 0;
    if (this.output.length === 0) {
      sent = this.transport.write(bytes, 0, length);
      if (sent === length) return;
      if (sent < 0) return this.lost();
    }
    this.output.push(Buffer.from(bytes.subarray(sent, length)));
    this.outputBytes += length - sent;
  }

  /** The transport takes bytes again. */
  drained(): void {
    while (this.output.length > 0) {
      const next = this.output[0]!;
      const sent = this.transport.write(next, this.outputAt, next.length - this.outputAt);
      if (sent < 0) return this.lost();
      this.outputAt += sent;
      this.outputBytes -= sent;
      if (this.outputAt < next.length) return;
      this.output.shift();
      this.outputAt = 0;
    }
    if (this.closing) this.transport.end();
    else if (this.query !== null && !this.suspended) this.later();
  }

  private lost(): void {
    this.closing = true;
    this.transport.terminate();
  }

  /** Closes the connection from outside (CLIENT KILL): what is queued is still sent. */
  kill(): void {
    this.closing = true;
    this.query = null;
    this.transport.end();
  }

  /** The connection is gone. */
  disconnected(): void {
    if (this.closed) return;
    this.closed = true;
    this.closing = true;
    this.output.length = 0;
    this.query = null;
    this.host.closed(this);
  }
}
