/**
 * Busy sockets: the connections of a worker whose event loop a script keeps from turning. The script calls `poll` now and
 * then (commands/scripting/run.ts), which reads and answers them by system calls, so that BUSY is answered and SCRIPT
 * KILL works even with one worker.
 *
 *   poll    send what the turn has gathered ─ poll ─ accept ─ receive ─ parse ─ BUSY │ SCRIPT KILL, FUNCTION KILL, SHUTDOWN NOSAVE │ anything else waits
 *   finish  accepted connections are handed to the event loop; bytes that were read and not used run as if they came then
 *
 * Only connections without anything on its way are answered: no reply is held back, no command is incomplete. The others wait,
 * and so do those that have sent a command which is allowed but needs the engine (AUTH, HELLO).
 *
 * Invariant
 *   BUSY-1  replies leave in the order of the commands: a connection whose bytes wait is not answered any more
 */
import { Parser, type ParserLimits, Progress } from "../protocol/parser.ts";
import { ErrorText, scriptBusy } from "../protocol/errors.ts";
import { ALLOW_BUSY, type CommandSpec, NO_AUTH } from "../dispatch/spec.ts";
import type { Session } from "../dispatch/session.ts";
import type { CommandTable } from "../dispatch/command-table.ts";
import { ScriptKind, type ScriptState } from "../store/script-state.ts";
import type { NativeSockets } from "./native-sockets.ts";

/** A connection that may be answered meanwhile. */
export interface BusyClient {
  readonly descriptor: number;
  readonly session: Session;
  /** True while nothing of it is on its way: no reply, no command. */
  readonly isQuiet: boolean;
  /** Whether it has begun a transaction. */
  readonly isInTransaction: boolean;
  /** A command was refused: its transaction fails. */
  refused(): void;
  /** EXEC was refused: the transaction ends. Called after the script. */
  discard(): void;
  /** Bytes that were read. Called after the script. */
  receive(bytes: Buffer): void;
  /** Replies that the socket did not take. Called after the script. */
  push(bytes: Buffer): void;
}

export interface BusyHost {
  readonly table: CommandTable;
  readonly limits: ParserLimits;
  readonly state: ScriptState;
  clients(): Iterable<BusyClient>;
  /** Descriptors of the listeners. */
  listeners(): readonly number[];
  /** A connection was accepted from this listener. */
  accepted(descriptor: number, listener: number): void;
  /** True when a new connection may be answered before the event loop has seen it. */
  mayAnswer(descriptor: number): boolean;
  /** Whether the user of a client (null = the default user) has the right to run the command. */
  mayRun(client: BusyClient | null, spec: CommandSpec): boolean;
  /** Takes a connection over, with the bytes of it that were read. */
  adopt(descriptor: number, bytes: Buffer): void;
  /** Sends replies that wait for the end of the turn. */
  sendEarly(send: (descriptor: number, bytes: Buffer) => number): void;
  /** SHUTDOWN NOSAVE. */
  shutdown(): void;
}

/** A connection that is answered: its client, or null for one that was just accepted. */
interface Connection {
  readonly client: BusyClient | null;
  /** Bytes that were read and not used. */
  bytes: Buffer;
  /** Replies that the socket did not take. */
  unsent: Buffer;
  /** It waits for the end of the script (BUSY-1). */
  waits: boolean;
  /** EXEC was refused. */
  discards: boolean;
}

const NOTHING = Buffer.alloc(0);
const CHUNK_BYTES = 64 << 10;
/** Most bytes of a connection that are read meanwhile. */
const INPUT_MAX = 1 << 20;
/** Time between two polls, ms. */
const POLL_MS = 2;

export class BusySockets {
  private connections = new Map<number, Connection>();
  private polledMs = 0;
  private readonly chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  private readonly parser: Parser;
  private readonly progress = new Progress();

  constructor(
    private readonly sockets: NativeSockets,
    private readonly host: BusyHost,
    private readonly now: () => number,
  ) {
    this.parser = new Parser(host.limits);
  }

  /** Called by the script, often. */
  poll(): void {
    const now = this.now();
    if (now - this.polledMs < POLL_MS) return;
    this.polledMs = now;
    this.host.sendEarly((descriptor, bytes) => this.sockets.send(descriptor, bytes));
    for (const client of this.host.clients()) {
      const { descriptor } = client;
      if (descriptor >= 0 && client.isQuiet && !this.connections.has(descriptor)) this.add(descriptor, client);
    }
    const { sockets, host } = this;
    for (const listener of sockets.readable(host.listeners())) this.accept(listener);
    const active = [...this.connections.keys()].filter((descriptor) => !this.connections.get(descriptor)!.waits);
    for (const descriptor of sockets.readable(active)) this.read(descriptor, this.connections.get(descriptor)!);
  }

  private add(descriptor: number, client: BusyClient | null): Connection {
    const connection = { client, bytes: NOTHING, unsent: NOTHING, waits: false, discards: false };
    this.connections.set(descriptor, connection);
    return connection;
  }

  private accept(listener: number): void {
    const { sockets, host } = this;
    for (let descriptor = sockets.accept(listener); descriptor >= 0; descriptor = sockets.accept(listener)) {
      host.accepted(descriptor, listener);
      this.add(descriptor, null).waits = !host.mayAnswer(descriptor);
    }
  }

  private read(descriptor: number, connection: Connection): void {
    const length = this.sockets.receive(descriptor, this.chunk);
    if (length <= 0) {
      // The event loop will see its end.
      connection.waits = true;
      return;
    }
    connection.bytes = Buffer.concat([connection.bytes, this.chunk.subarray(0, length)]);
    const replies = this.answer(connection);
    if (replies !== "") {
      const bytes = Buffer.from(replies, "latin1");
      const sent = this.sockets.send(descriptor, bytes);
      if (sent < bytes.length) {
        connection.unsent = bytes.subarray(sent);
        connection.waits = true;
      }
    }
    if (connection.bytes.length > INPUT_MAX) connection.waits = true;
  }

  /** The replies to the complete commands of a connection. */
  private answer(connection: Connection): string {
    const { parser, progress } = this;
    let replies = "";
    while (connection.bytes.length > 0) {
      progress.clear();
      const end = parser.parse(connection.bytes, 0, connection.bytes.length, 1, progress, true);
      if (parser.error !== "" || parser.commands === 0) break;
      const reply = this.reply(connection);
      if (connection.waits) break;
      replies += reply;
      connection.bytes = connection.bytes.subarray(end);
    }
    return replies;
  }

  /** The reply to the command that was parsed. Sets `waits` when there is none yet. */
  private reply(connection: Connection): string {
    const { host } = this;
    const { state, table } = host;
    const name = this.word(connection, 0);
    const second = this.word(connection, 1);
    const spec = table.byName(name);
    const row = spec !== null && second !== "" ? (table.findSubcommand(spec, second) ?? spec) : spec;
    // Who lacks the right hears so from the engine.
    if (row !== null && !host.mayRun(connection.client, row)) {
      connection.waits = true;
      return "";
    }
    if (name === "SCRIPT" && second === "KILL") return this.kill(ScriptKind.Eval);
    if (name === "FUNCTION" && second === "KILL") return this.kill(ScriptKind.Function);
    if (name === "SHUTDOWN" && second === "NOSAVE") {
      state.killAll();
      host.shutdown();
      connection.waits = true;
      return "";
    }
    if (row !== null && name !== "SHUTDOWN" && (row.flags & (ALLOW_BUSY | NO_AUTH)) !== 0) {
      connection.waits = true;
      return "";
    }
    if (name === "EXEC" && connection.client?.isInTransaction === true && !connection.discards) {
      connection.discards = true;
      return `-EXECABORT Transaction discarded because of: ${this.busyText()}\r\n`;
    }
    connection.client?.refused();
    return `-${this.busyText()}\r\n`;
  }

  private busyText(): string {
    return scriptBusy(this.host.state.busyKiller);
  }

  private kill(kind: ScriptKind): string {
    const killed = this.host.state.kill(kind);
    if (killed < 0) return `-${ErrorText.scriptHasWritten}\r\n`;
    if (killed > 0) return "+OK\r\n";
    return `-${this.host.state.busy === 0 ? ErrorText.noScriptRuns : this.busyText()}\r\n`;
  }

  private word(connection: Connection, i: number): string {
    const { parser } = this;
    if (i >= parser.argumentCount[0]!) return "";
    const at = parser.argumentAt[parser.firstArgument[0]! + i]!;
    return connection.bytes
      .toString("latin1", at, at + parser.argumentBytes[parser.firstArgument[0]! + i]!)
      .toUpperCase();
  }

  /** The event loop turns again. */
  finish(): void {
    const all = this.connections;
    this.connections = new Map();
    for (const [descriptor, { client, bytes, unsent, discards }] of all) {
      if (client === null) this.host.adopt(descriptor, bytes);
      else {
        if (discards) client.discard();
        if (unsent.length > 0) client.push(Buffer.from(unsent));
        if (bytes.length > 0) client.receive(Buffer.from(bytes));
      }
    }
  }
}
