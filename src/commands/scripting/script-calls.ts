/**
 * Script calls: redis.call() and redis.pcall(). The arguments are written one behind the other into a buffer of the worker and
 * run as an inner command (dispatch/inner-commands.ts); its reply is written into a buffer of its own, and read as a Lua value.
 *
 *   bytes │ argument 0 │ argument 1 │ ... │ free
 *         starts[0]    starts[1]          used
 *
 * The reply goes through RESP: handlers are compiled for one class of reply, and a second one would make each of their calls
 * dearer for all commands.
 */
import { assert } from "../../base/assert.ts";
import { writeLatin1 } from "../../base/bytes.ts";
import { argumentText } from "../../lua/number.ts";
import { NO_PIN, PinnedWalk, type PinnedRange, Reply, type ReplyTarget } from "../../protocol/reply.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Shard } from "../../store/shard.ts";
import { Denied } from "../../dispatch/access.ts";
import type { Call } from "../../dispatch/call.ts";
import type { CommandTable } from "../../dispatch/command-table.ts";
import type { InnerHost } from "../../dispatch/inner-commands.ts";
import { ALL_SHARDS, type CommandSpec, DENY_OOM, NO_SCRIPT, READONLY, STALE, WRITE } from "../../dispatch/spec.ts";
import { isOfOneKey, KeyArguments } from "../../dispatch/key-arguments.ts";
import { LuaTable } from "../../lua/value.ts";
import { errorTable, LuaReader } from "./lua-reader.ts";

const FIRST_BYTES = 16 << 10;
/** A buffer that grew beyond this is given up after the script. */
const KEPT_BYTES = 1 << 20;
const FIRST_ARGUMENTS = 64;

/** What a script asks of the dispatcher. */
export interface ScriptHost extends InnerHost {
  readonly table: CommandTable;
  /** Why the session's writes are refused, "" = they are not. */
  writeRefusal(): string;
  /** A replica without its primary, which runs no command without the flag STALE. */
  readonly isStale: boolean;
}

/** What the running script may do. */
export interface Permissions {
  /** EVAL_RO, FCALL_RO, the flag no-writes. */
  isReadOnly: boolean;
  /** The flag allow-oom, or a script that was let through before it began. */
  allowsOutOfMemory: boolean;
  /** All its keys are keys that it declared: only their shards are locked. */
  isDeclared: boolean;
}

/** A row of the command table with its number. */
interface NumberedRow {
  readonly spec: CommandSpec;
  readonly row: number;
}

export class ScriptCalls {
  /** RESP version of the replies that the script sees. */
  protocol: 2 | 3 = 2;
  /** The script has run a command that writes. */
  hasWritten = false;
  /** Called before the first one. */
  onWrite: () => void = () => {};
  /** Whether scripts may call DEBUG. */
  runsDebug: () => boolean = () => false;
  /** What the script's only command replies is the script's reply: a text is not made of it. */
  private returnsCall = false;
  permissions: Permissions = { isReadOnly: false, allowsOutOfMemory: false, isDeclared: false };
  private readonly reply = new Reply();
  private readonly reader = new LuaReader();
  private readonly keyArguments = new KeyArguments();
  private bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  private used = 0;
  private starts = new Int32Array(FIRST_ARGUMENTS);
  private lengths = new Int32Array(FIRST_ARGUMENTS);
  /** Rows by the name that a script used. */
  private readonly rows = new Map<string, NumberedRow | null>();
  /** What the reply handed on before its end. */
  private handedOn: Buffer[] = [];

  constructor(
    private readonly call: Call,
    private readonly host: ScriptHost,
  ) {
    this.reply.target = this.target;
    this.reply.onError = (text) => host.statistics.errors.count(text);
  }

  get table(): CommandTable {
    return this.host.table;
  }

  /** A script begins. */
  begin(permissions: Permissions, returnsCall: boolean): void {
    this.returnsCall = returnsCall;
    this.protocol = 2;
    this.hasWritten = false;
    this.permissions = permissions;
  }
  end(): void {
    if (this.bytes.length > KEPT_BYTES) this.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    if (this.reply.bytes.length > KEPT_BYTES) this.reply.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  }

  /** The text of the error for the arguments, or "" when they were written into the buffer. */
  take(args: ArrayLike<unknown>): string {
    const count = args.length;
    if (count === 0) return NO_ARGUMENTS;
    if (count > this.starts.length) this.moreArguments(count);
    this.used = 0;
    for (let i = 0; i < count; i++) {
      const argument = args[i];
      if (typeof argument === "string") this.add(i, argument);
      else if (typeof argument === "number") this.add(i, argumentText(argument));
      else return WRONG_ARGUMENTS;
    }
    return "";
  }

  private add(i: number, text: string): void {
    const { used } = this;
    const { length } = text;
    if (used + length > this.bytes.length) this.moreBytes(used + length);
    this.starts[i] = used;
    this.lengths[i] = length;
    this.used = used + writeLatin1(this.bytes, used, text);
  }

  private moreArguments(count: number): void {
    const size = Math.max(count, this.starts.length * 2);
    this.starts = new Int32Array(size);
    this.lengths = new Int32Array(size);
  }
  private moreBytes(least: number): void {
    const wider = Buffer.allocUnsafeSlow(Math.max(least, this.bytes.length * 2));
    this.bytes.copy(wider, 0, 0, this.used);
    this.bytes = wider;
  }

  /**
   * Runs a command. Returns its reply as a Lua value; an error, also of the call itself, is a table with the field `err`, and
   * then `hasFailed` is true.
   */
  run(args: ArrayLike<unknown>): unknown {
    const wrong = this.take(args);
    if (wrong !== "") return this.fails(wrong);
    const row = this.rowFor(args);
    if (row === null) return this.fails(UNKNOWN_COMMAND);
    const refusal = this.refusal(row.spec, args.length);
    if (refusal !== "") {
      this.host.statistics.rejected(row.row);
      return this.fails(refusal);
    }
    return this.runRow(row);
  }
  hasFailed = false;

  /** Points the call at the arguments that `take` has taken. Returns their row, null = there is no such command. */
  rowFor(args: ArrayLike<unknown>): NumberedRow | null {
    this.call.setArguments(this.bytes, this.starts, this.lengths, 0, args.length);
    const name = args[0] as string;
    return this.rowOf(typeof name === "string" ? name : String(name));
  }

  /** The call itself fails: it counts as an error of the server. */
  private fails(text: string): LuaTable {
    this.hasFailed = true;
    this.host.statistics.errors.count(text);
    return errorTable(text);
  }

  /** The row of a name, with its subcommand. Renamed and disabled commands have the names of clients. */
  private rowOf(name: string): NumberedRow | null {
    const { table } = this.host;
    let named = this.rows.get(name);
    if (named === undefined) {
      const index = table.find(this.bytes, 0, this.lengths[0]!);
      named = index < 0 ? null : { spec: table.all[index]!, row: table.rowOf(table.all[index]!) };
      if (this.rows.size < ROWS_MAX) this.rows.set(name, named);
    }
    if (named === null || named.spec.subcommands === undefined || this.call.argCount < 2) return named;
    const spec = table.findSubcommand(named.spec, this.call.argText(1));
    return spec === null ? null : { spec, row: table.rowOf(spec) };
  }

  /** Why the script may not run the command, "" = it may. In Redis's order. */
  private refusal(spec: CommandSpec, count: number): string {
    const { arity, flags } = spec;
    const { host, permissions } = this;
    if (arity > 0 ? count !== arity : count < -arity) return WRONG_ARITY;
    if ((flags & NO_SCRIPT) !== 0 && !(spec.name === "DEBUG" && this.runsDebug())) return NOT_ALLOWED;
    if (!this.call.session.isTrusted) {
      const denied = this.call.access.test(spec, "lua");
      if (denied !== Denied.None) return DENIED[denied];
    }
    if (host.isStale && (flags & STALE) === 0) return ON_STALE_REPLICA;
    if ((flags & (WRITE | DENY_OOM)) === 0) return "";
    if ((flags & WRITE) !== 0) {
      if (permissions.isReadOnly) return READ_ONLY;
      const refusal = host.writeRefusal();
      if (refusal !== "") return refusal;
    }
    // A script that has written something is let finish.
    const isLimited = (flags & DENY_OOM) !== 0 && !this.hasWritten && !permissions.allowsOutOfMemory;
    return isLimited && host.memoryExceeded ? ErrorText.outOfMemory : "";
  }

  private runRow({ spec, row }: NumberedRow): unknown {
    const { call, reply } = this;
    if ((spec.flags & WRITE) !== 0 && !this.hasWritten) {
      this.onWrite();
      this.hasWritten = true;
    }
    const hasKey = this.lockKeys(spec);
    reply.at = 0;
    reply.protocol = this.protocol;
    const { errors } = reply;
    call.store.index.hintWord = -1;
    call.inner.run(spec, row, NO_VALUES, reply, hasKey ? call.key : null);
    this.hasFailed = reply.errors !== errors && reply.bytes[0] === MINUS && this.handedOn.length === 0;
    if (this.handedOn.length > 0) return this.readLong();
    if (this.returnsCall && isPassedOn(reply.bytes)) return PASSED_ON;
    return this.reader.read(reply.bytes, 0);
  }

  /** Writes the reply of the script's only command, for which `run` has returned PASSED_ON. */
  passOn(to: Reply): void {
    const { bytes, at } = this.reply;
    to.copied(bytes, 0, at);
  }

  /**
   * Takes the locks that the command needs and the script does not hold yet. Returns true when the command's only key is loaded
   * into `call.key`.
   */
  private lockKeys(spec: CommandSpec): boolean {
    const { call, keyArguments } = this;
    const { section, shards } = call.store;
    if (isOfOneKey(spec, call.argCount)) return this.lockKey(1);
    if (section.heldCount === shards.length) return false;
    if (needsAll(spec)) {
      for (const shard of shards) this.lockShard(shard);
      return false;
    }
    keyArguments.find(call, spec, 0, call.argCount);
    for (let n = 0; n < keyArguments.count; n++) this.lockKey(keyArguments.at[n]!);
    return false;
  }

  private lockKey(i: number): boolean {
    const { call } = this;
    const { store, key } = call;
    // A key that is too long is refused when the command runs.
    if (!key.load(call.bytes, call.argAt(i), call.argBytes(i))) return false;
    this.lockShard(store.shardOf(key.hashA));
    return true;
  }

  private lockShard(shard: Shard): void {
    const { section } = this.call.store;
    if (section.holds(shard)) return;
    assert(!this.permissions.isDeclared, "a script uses the keys that the compiler has seen");
    section.waitOutOfOrder(shard, this.poll);
  }
  /** Called while the script waits for a lock; throws when it is killed. */
  poll: () => void = () => {};

  // ---- long replies ----

  private readonly target: ReplyTarget = {
    isGone: false,
    handOn: (bytes, length) => {
      this.handedOn.push(Buffer.from(bytes.subarray(0, length)));
      return bytes;
    },
    stream: (part) => {
      if (part instanceof PinnedWalk) this.takeWalk(part);
      else this.takeRange(part);
    },
  };

  /** Reads a value that would be streamed to a client. */
  private takeRange({ shard, node, pin, position, end }: PinnedRange): void {
    const { store, inner } = this.call;
    const bytes = Buffer.allocUnsafe(end - position);
    for (let done = 0; done < bytes.length; done += PART_BYTES) {
      const part = Math.min(PART_BYTES, bytes.length - done);
      store.large.read(shard, node, position + done, bytes, done, part);
    }
    this.handedOn.push(bytes);
    inner.unpin(shard, pin);
  }

  /** Writes the reply of a walk to its end. */
  private takeWalk(walk: PinnedWalk): void {
    const step = new Reply();
    step.protocol = this.protocol;
    step.target = {
      isGone: false,
      handOn: (bytes, length) => {
        this.handedOn.push(Buffer.from(bytes.subarray(0, length)));
        return bytes;
      },
      stream: () => {
        throw new Error("a walk writes bytes");
      },
    };
    while (walk.step(step)) step.handOnNow();
    step.handOnNow();
    if (walk.pin !== NO_PIN) this.call.inner.unpin(walk.shard, walk.pin);
    walk.close();
  }

  private readLong(): unknown {
    const { reply } = this;
    const parts = this.handedOn;
    this.handedOn = [];
    parts.push(reply.bytes.subarray(0, reply.at));
    const whole = Buffer.concat(parts);
    this.hasFailed = whole[0] === MINUS;
    return this.reader.read(whole, 0);
  }
}

/** Stands for the reply of the script's only command, which is the script's reply (ScriptCalls.passOn). */
export const PASSED_ON = new LuaTable();

/** True for the replies of which a Lua value would make the same bytes: strings and statuses. */
function isPassedOn(reply: Buffer): boolean {
  return reply[0] === STATUS || (reply[0] === BULK && reply[1] !== MINUS);
}

/** A command without keys that looks at all data: SCAN, DBSIZE, KEYS. */
function needsAll({ flags, keys, places }: CommandSpec): boolean {
  return (flags & ALL_SHARDS) !== 0 || (keys.first === 0 && places === undefined && (flags & (WRITE | READONLY)) !== 0);
}

const MINUS = 45;
const STATUS = 43;
const BULK = 36;
const ROWS_MAX = 1024;
const PART_BYTES = 64 << 10;
const NO_VALUES: readonly never[] = [];
const NO_ARGUMENTS = "ERR Please specify at least one argument for this redis lib call";
const WRONG_ARGUMENTS = "ERR Lua redis lib command arguments must be strings or integers";
const UNKNOWN_COMMAND = "ERR Unknown Redis command called from script";
const WRONG_ARITY = "ERR Wrong number of args calling Redis command from script";
const NOT_ALLOWED = "ERR This Redis command is not allowed from script";
const DENIED: Readonly<Record<Denied, string>> = {
  [Denied.None]: "",
  [Denied.Auth]: "ERR The user executing the script lacking the permissions for the command",
  [Denied.Command]: "ERR The user executing the script can't run this command or subcommand",
  [Denied.Key]:
    "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments",
  [Denied.Channel]: "ERR The user executing the script can't publish to the channel mentioned in the command",
};
const ON_STALE_REPLICA = "ERR Can not execute the command on a stale replica";
const READ_ONLY = "ERR Write commands are not allowed from read-only scripts.";
