/**
 * Effects: what a section changed, as the commands that reproduce the change, deterministic and with absolute times. They
 * are gathered here while the section lasts and appended, as one unit, before its locks go: to the change log, for the
 * append-only file, and to the replication stream.
 *
 *   bytes   │ MULTI, if there are several │ command │ command │ ... │ free
 *                                                                   at
 *   request │ the only command, as the client has sent it, in the client's buffer │     instead of `bytes`
 *
 * A unit is one command, or several between MULTI and EXEC: keys that the store removed by itself, the command, and the
 * blocked clients that its change served. The order is the order in which they happened.
 *
 * A row of the command table says how its command is written (Effect in spec.ts). A command that is written as it was sent
 * is written by the dispatcher when it has changed something. The handler of another one writes its own effect, with
 * `begin` and as many arguments as it announced there:
 *
 *   if (effects.begins(call, 3)) effects.constant(PEXPIREAT).argument(call, 1).integer(deadlineMs);
 *
 * A command that only some options make another one (SET .. EX) says AsSent, and calls `replaceRequest` behind its own
 * effect.
 *
 * Invariants
 *   EFFECTS-1  a command is complete: as many arguments as `begin` said
 *   EFFECTS-2  nothing is left when the locks of the section go
 */
import { assert, CHECKS } from "../base/assert.ts";
import { copy, writeText } from "../base/bytes.ts";
import { formatInt, formatInt64, intTextBytes } from "../base/integers.ts";
import { doubleText } from "../base/double-text.ts";
import type { ChangeLog } from "../memory/change-log.ts";
import type { ReplicationStream } from "../replication/stream.ts";
import type { Key } from "../store/key.ts";
import type { MemberBytes } from "../store/key-events.ts";
import type { StagedValue } from "../store/large.ts";
import { RecordType } from "../store/record.ts";
import type { Section } from "../store/section.ts";
import type { Call } from "./call.ts";
import { EffectDialect, For } from "./effect-dialect.ts";
import type { Session } from "./session.ts";

/** Texts as they are written into an effect: "$3\r\nDEL\r\n". Made once, when a module is loaded. */
export function effectText(...texts: readonly string[]): Buffer {
  return Buffer.from(texts.map((text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`).join(""));
}

const MULTI = Buffer.from("*1\r\n$5\r\nMULTI\r\n");
const EXEC = Buffer.from("*1\r\n$4\r\nEXEC\r\n");
const DEL = effectText("DEL");
const PEXPIREAT = effectText("PEXPIREAT");
const PERSIST = effectText("PERSIST");
const SELECT = effectText("SELECT");

/** The commands that remove a member, by the type of the collection. */
const REMOVALS: Partial<Record<RecordType, Buffer>> = {
  [RecordType.Hash]: effectText("HDEL"),
  [RecordType.Set]: effectText("SREM"),
  [RecordType.SortedSet]: effectText("ZREM"),
};

const NOTHING = Buffer.alloc(0);
const LEAST_BYTES = 64 << 10;
/** A buffer that grew beyond this is given up when it is empty. */
const MOST_BYTES = 4 << 20;
/** Bytes of a number with its length line. */
const NUMBER_BYTES = 64;

export class Effects {
  /** Where effects go; with both null none are written. */
  log: ChangeLog | null = null;
  /** Null = no replica needs them. Changes between commands only (Engine.noteReplication). */
  stream: ReplicationStream | null = null;
  /** Takes what would go into the log: the leader of a crew puts it there (server/apply-crew.ts). */
  capture: { put(bytes: Uint8Array, from: number, to: number): void } | null = null;
  private bytes = Buffer.allocUnsafeSlow(LEAST_BYTES);
  private at = 0;
  /** Number of commands in the open unit, and the databases of the first and the last. */
  private commands = 0;
  private first = 0;
  private last = 0;
  /** Copies of the long arguments of the running command. */
  private staged: Buffer[] = [];
  /** Arguments that the command being written still lacks (EFFECTS-1). */
  private left = 0;
  private readonly dialect = new EffectDialect();
  /** The only command of the unit so far is this request; end 0 = it is not. */
  private request: Buffer = NOTHING;
  private requestStart = 0;
  private requestEnd = 0;
  /** Commands have the names of their rows, so a request may be copied. */
  copiesRequests = true;
  /** Position in the change log behind the last unit appended by this thread. */
  position = 0;

  constructor(
    private readonly section: Section,
    /** Whose session has changed something. */
    private readonly of: { readonly session: Session },
  ) {
    section.effects = this;
  }

  /** True while effects are wanted. */
  get isOn(): boolean {
    return (this.stream !== null || this.log?.isOn === true) && !this.isMuted;
  }
  /** True while effects may be wanted. */
  get isAttached(): boolean {
    return this.log !== null || this.stream !== null;
  }
  /** A script has asked that what it writes goes nowhere, or to one of the two alone (redis.set_repl). */
  isMuted = false;
  only: For = For.Both;

  // ---- writing a command ----

  /** Begins a command of `count` arguments in the database of the session, if effects are wanted. */
  begins(call: Call, count: number): boolean {
    if (!this.isOn) return false;
    this.begin(call.db, count);
    return true;
  }

  /** True while replicas are sent what Redis 7.0 understands. */
  get speaksRedis70(): boolean {
    return this.stream !== null && !this.stream.isOwnDialect && !this.isMuted;
  }

  /** As `begins`, for a command that Redis 7.0 lacks. */
  beginsNewer(call: Call, count: number): boolean {
    if (!this.speaksRedis70) return this.begins(call, count);
    if (this.log?.isOn !== true || this.only === For.Stream) return false;
    this.beginFor(For.Log, call.db, count);
    return true;
  }

  /** As `begins`, for a command that replicas which speak Redis 7.0 are sent instead. */
  beginsInstead(call: Call, count: number): boolean {
    if (!this.speaksRedis70 || this.only === For.Log) return false;
    this.beginFor(For.Stream, call.db, count);
    return true;
  }

  private beginFor(is: For, db: number, count: number): void {
    if (this.requestEnd !== 0) this.takeRequest();
    // What goes before the command is for both: the SELECT of its database.
    this.begin(db, count, is);
  }

  /** Begins a command of `count` arguments, its name included, in database `db`. */
  begin(db: number, count: number, is: For = this.only): void {
    if (this.requestEnd !== 0) this.takeRequest();
    this.dialect.end(this.at);
    if (CHECKS) assert(this.left === 0, "a command has as many arguments as it announced (EFFECTS-1)");
    if (this.commands === 0) {
      this.first = this.last = db;
      this.section.noteEffects();
    } else {
      if (this.commands === 1) this.wrap();
      if (db !== this.last) this.selectInUnit(db);
    }
    this.commands++;
    if (is !== For.Both) this.dialect.begin(is, this.at);
    this.left = count;
    this.reserve(NUMBER_BYTES);
    this.line(STAR, count);
  }

  /** The request that was to be copied as it is goes into the buffer: another command follows in its unit. */
  private takeRequest(): void {
    const { request, requestStart, requestEnd } = this;
    const length = requestEnd - requestStart;
    this.requestEnd = 0;
    this.reserve(length);
    copy(request, requestStart, this.bytes, this.at, length);
    this.at += length;
  }

  /** The unit gets a second command: MULTI goes before the first. */
  private wrap(): void {
    this.reserve(MULTI.length);
    this.bytes.copyWithin(MULTI.length, 0, this.at);
    MULTI.copy(this.bytes, 0);
    this.at += MULTI.length;
    this.dialect.shift(MULTI.length);
  }

  private selectInUnit(db: number): void {
    this.last = db;
    this.reserve(NUMBER_BYTES);
    this.line(STAR, 2);
    this.left = 2;
    this.constant(SELECT).integer(db);
  }

  /** An argument made by `effectText`. */
  constant(text: Buffer): this {
    this.left--;
    this.reserve(text.length);
    copy(text, 0, this.bytes, this.at, text.length);
    this.at += text.length;
    return this;
  }
  /** `length` bytes of `source`. */
  bulk(source: Uint8Array, from: number, length: number): this {
    this.left--;
    this.reserve(length + NUMBER_BYTES);
    this.line(DOLLAR, length);
    copy(source, from, this.bytes, this.at, length);
    this.at += length;
    this.lineEnd();
    return this;
  }
  /** Latin-1 text, for names and numbers. */
  text(text: string): this {
    this.left--;
    this.reserve(text.length + NUMBER_BYTES);
    this.line(DOLLAR, text.length);
    this.at += writeText(this.bytes, this.at, text);
    this.lineEnd();
    return this;
  }
  /** An integer that a double holds exactly. */
  integer(value: number): this {
    this.left--;
    this.reserve(NUMBER_BYTES);
    this.line(DOLLAR, intTextBytes(value));
    this.at += formatInt(this.bytes, this.at, value);
    this.lineEnd();
    return this;
  }
  /** A 64-bit integer by its halves. */
  int64(lo: number, hi: number): this {
    const length = formatInt64(NUMBER, 0, lo, hi);
    return this.bulk(NUMBER, 0, length);
  }
  /** A double, with as many digits as it needs to be read back the same. */
  double(value: number): this {
    return this.text(doubleText(value));
  }
  /** Argument `i` of the command. */
  argument(call: Call, i: number): this {
    const at = call.argAt(i);
    if (at >= 0) return this.bulk(call.bytes, at, call.argBytes(i));
    const staged = this.staged[-at - 1]!;
    return this.bulk(staged, 0, staged.length);
  }

  /** Keeps a copy of long arguments: the command takes their chunks over. Called before it runs. */
  copyStaged(staged: readonly StagedValue[]): void {
    this.staged = staged.map((value) => value.copy());
  }
  dropStaged(): void {
    this.staged = [];
  }
  /** A key as it is selected in the store. */
  key(key: Key): this {
    return this.bulk(new Uint8Array(key.words.buffer, key.words.byteOffset + key.at * 4), 0, key.bytes);
  }

  private line(mark: number, value: number): void {
    const { bytes } = this;
    bytes[this.at++] = mark;
    if (value < 10) bytes[this.at++] = 48 + value;
    else this.at += formatInt(bytes, this.at, value);
    this.lineEnd();
  }
  private lineEnd(): void {
    this.bytes[this.at++] = CR;
    this.bytes[this.at++] = LF;
  }

  private reserve(more: number): void {
    if (this.at + more + EXEC.length <= this.bytes.length) return;
    const wider = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.at + more + EXEC.length));
    this.bytes.copy(wider, 0, 0, this.at);
    this.bytes = wider;
  }

  // ---- whole commands ----

  /**
   * The command of `call` as it was sent, under the name of its row. Its request, from `start` to `end` of the call's bytes,
   * is copied as it is where it is what would be written.
   */
  requestAsSent(call: Call, start: number, end: number): void {
    if (this.isReplaced) {
      this.isReplaced = false;
      return;
    }
    if (this.commands !== 0 || !this.isOn || !this.copiesRequests || !isCanonical(call, start))
      return this.asSent(call);
    this.first = this.last = call.db;
    this.commands = 1;
    this.request = call.bytes;
    this.requestStart = start;
    this.requestEnd = end;
    this.section.noteEffects();
  }

  /**
   * The handler of a command with one key, whose row says AsSent, has changed something and written another effect for it:
   * the request is not written.
   */
  replaceRequest(): void {
    this.isReplaced = this.isOn;
  }
  private isReplaced = false;

  /** The command of `call` as it was sent, under the name of its row. */
  asSent(call: Call): void {
    if (!this.isOn) return;
    const { argCount, spec } = call;
    this.begin(call.db, argCount);
    this.constant(spec.effectName);
    let i = 1;
    if (spec.isSubcommand) {
      this.left--;
      i = 2;
    }
    for (; i < argCount; i++) this.argument(call, i);
  }

  /** The command of `call`, which has changed something inside a transaction: as it was sent, unless it was replaced. */
  changed(call: Call): void {
    if (this.isReplaced) this.isReplaced = false;
    else this.asSent(call);
  }

  /** DEL of the key in argument `i`. */
  deletes(call: Call, i: number): void {
    if (this.begins(call, 2)) this.constant(DEL).argument(call, i);
  }
  /** The key in argument `i` has a deadline (ms), or with 0 none any more. */
  setsDeadline(call: Call, i: number, deadlineMs: number): void {
    if (deadlineMs === 0) {
      if (this.begins(call, 2)) this.constant(PERSIST).argument(call, i);
    } else if (this.begins(call, 3)) {
      this.constant(PEXPIREAT).argument(call, i).integer(deadlineMs);
    }
  }

  /** The store removed `key` of `db` by itself (-1: of a database that was flushed before). */
  removedByStore(db: number, key: Key): void {
    if (db < 0 || !this.isOn) return;
    this.begin(db, 2);
    this.constant(DEL).key(key);
  }

  /** The store is about to remove `member` of the collection at `key`, which is due. */
  memberExpires(db: number, key: Key, type: RecordType, member: MemberBytes): void {
    if (db < 0 || !this.isOn) return;
    this.begin(db, 3);
    this.constant(REMOVALS[type]!).key(key).bulk(member.bytes, member.at, member.length);
  }

  // ---- the end of a unit ----

  /** Appends what was gathered. Called by the section, which still holds its locks. */
  flush(): void {
    if (this.requestEnd !== 0) {
      this.append(this.request, this.requestStart, this.requestEnd, this.first);
      this.requestEnd = 0;
      this.commands = 0;
      return;
    }
    if (CHECKS) assert(this.left === 0, "a command has as many arguments as it announced (EFFECTS-1)");
    this.dialect.end(this.at);
    if (this.commands > 1) {
      EXEC.copy(this.bytes, this.at);
      this.at += EXEC.length;
    }
    if (!this.dialect.isEmpty) this.appendParts();
    else if (this.commands > 0) this.append(this.bytes, 0, this.at, this.last);
    this.at = 0;
    this.commands = 0;
    if (this.bytes.length > MOST_BYTES) this.bytes = Buffer.allocUnsafeSlow(LEAST_BYTES);
  }

  private append(bytes: Buffer, from: number, to: number, last: number): void {
    this.appendToLog(bytes, from, to, last);
    this.appendToStream(bytes, from, to, last);
  }
  private appendToLog(bytes: Buffer, from: number, to: number, last: number): void {
    const { log } = this;
    if (this.capture !== null) this.capture.put(bytes, from, to);
    else if (log?.isOn === true) this.position = log.append(bytes, from, to, this.first, last);
  }
  /** Appends the effects that several workers have captured, of database `db`. */
  appendMerged(bytes: Buffer, length: number, db: number): void {
    if (length > 0 && this.log?.isOn === true) this.position = this.log.append(bytes, 0, length, db, db);
  }
  private appendToStream(bytes: Buffer, from: number, to: number, last: number): void {
    const { stream } = this;
    if (stream !== null) this.of.session.changedUpTo = stream.append(bytes, from, to, this.first, last);
  }

  /** Some of the commands are for the log or for the stream alone. */
  private appendParts(): void {
    const { dialect, bytes, at, commands, last } = this;
    const forLog = dialect.unitFor(For.Log, bytes, at, commands, MULTI, EXEC);
    if (forLog !== null) this.appendToLog(forLog.bytes, forLog.from, forLog.to, last);
    const forStream = dialect.unitFor(For.Stream, bytes, at, commands, MULTI, EXEC);
    if (forStream !== null) this.appendToStream(forStream.bytes, forStream.from, forStream.to, last);
    dialect.clear();
  }
}

/**
 * True when the request of `call`, which begins at `start`, has the form that an effect has. The parser has seen to the
 * numbers; it does not look at every line end.
 */
function isCanonical(call: Call, start: number): boolean {
  const { bytes, argCount } = call;
  if (bytes[start] !== STAR) return false;
  for (let i = 0; i < argCount; i++) {
    const at = call.argAt(i);
    if (at < 0 || bytes[at - 1] !== LF) return false;
    const end = at + call.argBytes(i);
    if (bytes[end] !== CR || bytes[end + 1] !== LF) return false;
  }
  return bytes[start + 1 + digitsOf(argCount) + 1] === LF;
}
function digitsOf(count: number): number {
  return count < 10 ? 1 : intTextBytes(count);
}

const STAR = 42;
const DOLLAR = 36;
const CR = 13;
const LF = 10;
const NUMBER = Buffer.alloc(32);
