/**
 * Session: the state of one client between commands, as handlers see it. The connection (socket, queues) belongs to the
 * server.
 */

import type { ReplicaPeer } from "../replication/peer.ts";
import type { Continuation } from "./continuation.ts";
import type { ControlSequence } from "./control-sequence.ts";
import type { Receiver, Subscriptions } from "./pubsub.ts";
import type { CommandSpec } from "./spec.ts";
import type { Transaction } from "./transaction.ts";
import type { Tracker } from "./tracking.ts";
import { SERVER_ITSELF, type User } from "./user.ts";
import type { Watch } from "./watches.ts";

/** A command that waits for keys. It is counted and logged when the wait is over. */
export interface WaitingCommand {
  /** Its row in the statistics. */
  readonly row: number;
  readonly spec: CommandSpec;
  /** The time that it took before it began to wait, and the time that serving it took, ms. */
  tookMs: number;
  servedMs: number;
  /** Its arguments for the slow log; null = the log is off. */
  readonly args: string[] | null;
}

/** CLIENT REPLY. SkipNext: the next command gets no reply. Skipping: the command that runs now gets none. */
export const Replies = { On: 0, Off: 1, SkipNext: 2, Skipping: 3 } as const;
export type Replies = (typeof Replies)[keyof typeof Replies];

export class Session {
  db = 0;
  protocol: 2 | 3 = 2;
  /** What the client may do. */
  user: User = SERVER_ITSELF;
  /** It has authenticated, or needed not to when it connected. */
  private hasAuthenticated = true;
  /** It may send commands: it has authenticated, or need not now. */
  authenticated = true;
  /** True while its commands need no check of rights: it has authenticated, and nothing is denied to its user. */
  isTrusted = true;
  /** The client's address and port, as CLIENT LIST shows them. */
  address = "";
  name = "";
  libName = "";
  libVersion = "";
  /** Table index of the last command; -1 = none. */
  lastCommand = -1;
  /** Its row number, or its subcommand's. */
  lastRow = 0;
  /** Lower-case name of the last subcommand run ("client|list"), "" when the last command had none. */
  commandName = "";
  commands = 0;
  /** CLIENT NO-TOUCH: reads do not update the access time. */
  noTouch = false;
  noEvict = false;
  /** Its commands are those of a file that is loaded. */
  isLoader = false;
  /** What the client has said of itself as a replica (REPLCONF); null = nothing. isReplica: SYNC or PSYNC has made it one. */
  peer: ReplicaPeer | null = null;
  isReplica = false;
  /** Offset of the replication stream behind its last change: what WAIT waits for. */
  changedUpTo = 0;
  /** Its commands are those of the server's primary. */
  isPrimary = false;
  /** MONITOR: the connection receives every command. */
  monitors = false;
  /** Other clients cause pushes to it (pushToClient). It is dropped when some were lost. */
  isPushed = false;
  /** How pushes reach the client; null = it has no connection. */
  receiver: Receiver | null = null;
  /** What the client subscribes to; null = nothing. */
  subscriptions: Subscriptions | null = null;
  /** CLIENT REPLY. */
  replies: Replies = Replies.On;
  /** State of a command that runs in steps, between two of them; null = no such command has begun. */
  continuation: Continuation | null = null;
  /** When its command was first parked for a cold value, monotonic ms; 0 = it was not. */
  coldSinceMs = 0;
  /** Its number (`commands`). */
  coldCommand = 0;
  /** Blocking commands reply at once, as if their timeout had passed. */
  deniesBlocking = false;
  /** The command that waits for keys; null = none. */
  waits: WaitingCommand | null = null;
  /** SCRIPT DEBUG was refused: EVAL is too, so that redis-cli --ldb does not run a script that it means to debug. */
  wantsDebugger = false;
  /** The commands since MULTI; null = none. */
  transaction: Transaction | null = null;
  /** EXEC is under way, and waits for the reply of one of its commands; null = it is not. */
  sequence: ControlSequence | null = null;
  /** The keys that the client watches; null = none. */
  watch: Watch | null = null;
  /** CLIENT TRACKING; null = off. */
  tracking: Tracker | null = null;
  /** Wall ms at creation; monotonic ms of the last command. */
  createdMs = 0;
  activeMs = 0;

  constructor(
    /** Unique in the process. */
    readonly id: number,
  ) {}

  /** The client is connected, or begins anew, as the default user. */
  beginAs(defaultUser: User): void {
    this.user = defaultUser;
    this.hasAuthenticated = defaultUser.isOpen;
    this.noteDefault(defaultUser);
  }

  /** AUTH: the client is this user. */
  authenticateAs(user: User): void {
    this.user = user;
    this.hasAuthenticated = this.authenticated = true;
    this.isTrusted = user.isUnrestricted;
  }

  /** The rights of its user have changed. */
  replaceUser(user: User): void {
    this.user = user;
    this.isTrusted = this.authenticated && user.isUnrestricted;
  }

  /** The default user may have changed: nobody needs to authenticate while it is open. */
  noteDefault(defaultUser: User): void {
    this.authenticated = this.hasAuthenticated || defaultUser.isOpen;
    this.isTrusted = this.authenticated && this.user.isUnrestricted;
  }

  /** A command is about to run: its table index, its row number, and its name if it is a subcommand. */
  noteCommand(index: number, row: number, subcommand: string): void {
    this.lastCommand = index;
    this.lastRow = row;
    this.commandName = subcommand;
  }

  /** In RESP2 a subscriber may send few commands, because messages look like replies. */
  get isRestricted(): boolean {
    return this.subscriptions !== null && this.protocol === 2;
  }

  /** Its commands were run elsewhere before, so they are never refused, and have the names of their rows. */
  get isReplayed(): boolean {
    return this.isLoader || this.isPrimary;
  }

  /** Back to the state of a new connection (RESET). */
  reset(defaultUser: User): void {
    this.db = 0;
    this.protocol = 2;
    this.beginAs(defaultUser);
    this.name = "";
    this.noTouch = false;
    this.noEvict = false;
    this.wantsDebugger = false;
    this.replies = Replies.On;
  }
}
