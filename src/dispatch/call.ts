/**
 * Call: one command as its handler sees it. Each worker has one such object and fills it anew for each command.
 */
import { Int64Kind, int64, int64ToDouble, parseInt64 } from "../base/integers.ts";
import type { Keyspaces } from "../store/keyspaces.ts";
import { equal, equalsToken, latin1Text } from "../base/bytes.ts";
import type { Config } from "../base/config/config.ts";
import type { ReplicationState } from "../replication/state.ts";
import type { SharedClock } from "../memory/shared-clock.ts";
import { Collections } from "../store/collections.ts";
import type { Key } from "../store/key.ts";
import type { StagedValue } from "../store/large.ts";
import type { Maintenance } from "../store/maintenance.ts";
import { RecordRoom } from "../store/record-room.ts";
import type { Store } from "../store/store.ts";
import { StringValue } from "../store/string-value.ts";
import { ValueTransfer } from "../store/value-transfer.ts";
import type { Access } from "./access.ts";
import { Blocking } from "./blocking.ts";
import { ColdAhead } from "./cold-ahead.ts";
import { Effects } from "./effects.ts";
import { Notifications } from "./notifications.ts";
import { PublishRun } from "./publish-run.ts";
import { PubSub } from "./pubsub.ts";
import type { CommandStatistics } from "./command-statistics.ts";
import type { InnerCommands } from "./inner-commands.ts";
import type { ScriptRunner } from "./script-runner.ts";
import type { ServerServices } from "./services.ts";
import type { Session } from "./session.ts";
import type { CommandSpec } from "./spec.ts";
import { Tracking } from "./tracking.ts";
import type { UserDirectory } from "./user-service.ts";
import type { Transactions } from "./transactions.ts";

const NOTHING = Buffer.alloc(0);

export interface Arguments {
  bytes: Buffer;
  starts: Int32Array;
  lengths: Int32Array;
  first: number;
  argCount: number;
  keyspace: number;
  db: number;
}

const NO_WORDS = new Int32Array(0);

export function noArguments(): Arguments {
  return { bytes: NOTHING, starts: NO_WORDS, lengths: NO_WORDS, first: 0, argCount: 0, keyspace: 0, db: 0 };
}

/** Drops what they keep alive. */
export function releaseArguments(args: Arguments): void {
  args.bytes = NOTHING;
}

export class Call {
  /** The buffer that holds the arguments. */
  bytes: Buffer = Buffer.alloc(0);
  /** Number of arguments, the name included. */
  argCount = 0;
  session!: Session;
  spec!: CommandSpec;
  /** Counters and logs of commands. */
  statistics!: CommandStatistics;
  /** MULTI and EXEC. */
  transactions!: Transactions;
  /** Runs the commands of EXEC and of scripts. */
  inner!: InnerCommands;
  /** Scripts and functions; null = this engine has none. */
  scripts: ScriptRunner | null = null;
  /** Whether users may run commands, and the users. Set by the dispatcher and the engine. */
  access!: Access;
  users!: UserDirectory;
  /** Role, offsets and replicas; null = this engine has no part in replication. */
  replication: ReplicationState | null = null;
  /** Why the data cannot be saved, as an error; "" = it can. */
  diskFailure = "";
  /** The command at work is one that a script calls. */
  isScript = false;
  /** The first key with its hash. Loaded before the handler runs when the command has keys. */
  readonly key: Key;
  readonly collections: Collections;
  readonly strings: StringValue;
  readonly transfer: ValueTransfer;
  /** Adds up the memory that the records of a command with many keys need. */
  readonly room: RecordRoom;
  /** Keyspace of the current database. */
  keyspace = 0;
  /** The current database: the session's, or that of a blocked client being served. */
  db = 0;
  /** The effects of the current section, for the change log. */
  readonly effects: Effects;
  /** Longest string value, bytes (proto-max-bulk-len). */
  stringMax = 512 << 20;
  private starts: Int32Array = new Int32Array(0);
  private lengths: Int32Array = new Int32Array(0);
  /** Index of the first argument in the parser's table. */
  first = 0;
  /** Behind the last argument of the batch, in the parser's table. */
  argumentsEnd = 0;
  /** Long arguments, which went from the socket into chunks of shared memory. */
  staged: readonly StagedValue[] = [];

  /** Values of the commands at work that are not in memory. */
  readonly cold: ColdAhead;
  /** Makes the client wait for keys. */
  readonly blocking: Blocking;
  /** Client-side caching. */
  readonly tracking: Tracking;
  /** Subscriptions and published messages. */
  readonly pubsub: PubSub;
  readonly publishRun: PublishRun;
  readonly notifications: Notifications;

  constructor(
    readonly store: Store,
    readonly keyspaces: Keyspaces,
    readonly maintenance: Maintenance,
    readonly clock: SharedClock,
    readonly config: Config,
    readonly server: ServerServices,
  ) {
    this.key = store.newKey();
    this.collections = new Collections(store, null);
    this.strings = new StringValue(store);
    this.transfer = new ValueTransfer(store, this.strings);
    this.room = new RecordRoom(store);
    this.effects = new Effects(store.section, this);
    store.hooks.removedByStore = (_shard, keyspace) =>
      this.effects.removedByStore(keyspaces.databaseOf(keyspace), store.cursor.key);
    store.hooks.memberExpires = (keyspace, type, member) =>
      this.effects.memberExpires(keyspaces.databaseOf(keyspace), store.cursor.key, type, member);
    this.cold = new ColdAhead(this);
    this.blocking = new Blocking(this);
    this.tracking = new Tracking(this);
    this.pubsub = new PubSub(store, this.effects);
    this.publishRun = new PublishRun(this.pubsub, store.section);
    this.notifications = new Notifications(this);
  }

  /** Replaces the arguments by others, to serve a waiting client, until `popArguments`. */
  pushArguments(bytes: Buffer, starts: Int32Array, lengths: Int32Array): void {
    this.noteArguments(this.saved);
    this.setArguments(bytes, starts, lengths, 0, starts.length);
  }
  popArguments(): void {
    const { saved } = this;
    this.setArguments(saved.bytes, saved.starts, saved.lengths, saved.first, saved.argCount);
    this.keyspace = saved.keyspace;
    this.db = saved.db;
    releaseArguments(saved);
  }
  private readonly saved = noArguments();

  /** Notes the arguments of the command at work, which runs others, for `restoreArguments`. */
  noteArguments(to: Arguments): void {
    to.bytes = this.bytes;
    to.starts = this.starts;
    to.lengths = this.lengths;
    to.first = this.first;
    to.argCount = this.argCount;
    to.keyspace = this.keyspace;
    to.db = this.db;
  }
  restoreArguments(from: Arguments): void {
    this.setArguments(from.bytes, from.starts, from.lengths, from.first, from.argCount);
  }

  /** Points the call at arguments `first` .. of the parser's table. */
  setArguments(bytes: Buffer, starts: Int32Array, lengths: Int32Array, first: number, count: number): void {
    this.bytes = bytes;
    this.starts = starts;
    this.lengths = lengths;
    this.first = first;
    this.argCount = count;
  }

  /** The client whose command is at work, and its long arguments. */
  setClient(session: Session, staged: readonly StagedValue[]): void {
    this.session = session;
    this.db = session.db;
    this.staged = staged;
  }

  /** A command of the batch of `session` threw. */
  abandonBatch(session: Session): void {
    this.publishRun.drop();
    this.transactions.endBatch(session);
  }

  /** Offset of argument `i` in `bytes`; negative when it is staged. */
  argAt(i: number): number {
    return this.starts[this.first + i]!;
  }
  argBytes(i: number): number {
    return this.lengths[this.first + i]!;
  }
  /** The staged value that argument `i` is, or null. */
  stagedArgument(i: number): StagedValue | null {
    const at = this.argAt(i);
    return at < 0 ? this.staged[-at - 1]! : null;
  }

  /** Argument `i` as text, a byte a character. For names and options, never for keys or values. */
  argText(i: number): string {
    return latin1Text(this.bytes, this.argAt(i), this.argBytes(i));
  }
  /** Argument `i` as UTF-8 text. */
  argUtf8(i: number): string {
    return this.bytes.toString("utf8", this.argAt(i), this.argAt(i) + this.argBytes(i));
  }
  /** True when the next command of the batch has the same name and the same first argument. Outside of sections that run at once. */
  get isRepeated(): boolean {
    const { bytes, starts, lengths, first } = this;
    const next = first + this.argCount;
    if (next + 1 >= this.argumentsEnd) return false;
    for (let i = 1; i >= 0; i--) {
      const at = starts[next + i]!;
      const length = lengths[next + i]!;
      if (at < 0 || length !== lengths[first + i]) return false;
      if (!equal(bytes, starts[first + i]!, bytes, at, length)) return false;
    }
    return true;
  }
  /** True when argument `i` is `lowerToken` in any case. */
  argIs(i: number, lowerToken: Uint8Array): boolean {
    return equalsToken(this.bytes, this.argAt(i), this.argBytes(i), lowerToken);
  }
  /** Reads argument `i` as a strict 64-bit integer into base/integers' `int64`. */
  argInt64(i: number): Int64Kind {
    return parseInt64(this.bytes, this.argAt(i), this.argBytes(i));
  }
  /** Reads argument `i` as an integer a double holds exactly. NaN when it is none. */
  argInteger(i: number): number {
    return parseInt64(this.bytes, this.argAt(i), this.argBytes(i)) === Int64Kind.Safe ? int64.value : Number.NaN;
  }

  /** Reads argument `i` as a 64-bit integer, rounded to a double beyond 2^53. NaN when it is none. */
  argLong(i: number): number {
    const kind = parseInt64(this.bytes, this.argAt(i), this.argBytes(i));
    if (kind === Int64Kind.Safe) return int64.value;
    return kind === Int64Kind.Wide ? int64ToDouble(int64.lo, int64.hi) : Number.NaN;
  }

  /**
   * True when both arguments are negative 64-bit integers and `i` is the greater one. `first` and `second` are what argLong
   * read of them: equal for neighbours beyond -2^53, which are then compared as they were written.
   */
  isEmptyFromEnd(i: number, first: number, j: number, second: number): boolean {
    if (first >= 0 || second >= 0 || first < second) return false;
    return first > second || (first < -(2 ** 52) && BigInt(this.argText(i)) > BigInt(this.argText(j)));
  }

  /** Makes argument `i` the store's current key, in the session's database. */
  selectKey(i: number): void {
    this.selectKeyIn(this.keyspace, i);
  }
  /** As selectKey, in another keyspace. */
  selectKeyIn(keyspace: number, i: number): void {
    this.key.load(this.bytes, this.argAt(i), this.argBytes(i));
    this.store.select(keyspace, this.key);
  }
}
