/**
 * Deadlines of members: the same commands for the fields of hashes (HEXPIRE, Redis 7.4), and for the members of sets and
 * sorted sets (SEXPIRE as in Redis 8.12, and ZEXPIRE like it). The types differ in the names, in the keyword before the
 * members, and in whether the options have a fixed order.
 *
 * A deadline is at most 2^46 - 1 ms after the epoch, as in Redis. A deadline in the past removes the member.
 */
import { token } from "../../base/bytes.ts";
import { Int64Kind, int64 } from "../../base/integers.ts";
import { ErrorText, invalidExpire } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import { KeyEvent, keyEvent } from "../../store/key-events.ts";
import type { TimedCollection } from "../../store/timed-collection.ts";
import type { Call } from "../../dispatch/call.ts";
import { effectText } from "../../dispatch/effects.ts";
import { failed, refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";

/** The commands of one type. */
export interface DeadlineFamily {
  /** First letter of their names. */
  letter: string;
  /** Version of Redis that has them. */
  since: string;
  words: MemberWords;
  open(call: Call): TimedCollection;
  /** The options of EXPIRE may come in any order, even after the members. */
  isFree: boolean;
  effects: DeadlineEffects;
  /** The event of a member that is removed because its deadline is in the past. */
  removed: KeyEvent;
}

/** Beginnings of the effects of one type. */
export interface DeadlineEffects {
  readonly setting: Buffer;
  readonly dropping: Buffer;
  readonly removal: Buffer;
  readonly members: Buffer;
}

/** `letter`: the first one of the commands' names. */
export function deadlineEffects(letter: string, removal: string, words: MemberWords): DeadlineEffects {
  return {
    setting: effectText(`${letter}PEXPIREAT`),
    dropping: effectText(`${letter}PERSIST`),
    removal: effectText(removal),
    members: effectText(words.many.toUpperCase()),
  };
}

/** The keyword before the members, and the error texts that contain it. */
export interface MemberWords {
  /** The word for a member, and its plural. */
  one: string;
  many: string;
  sought: Uint8Array;
  missing: string;
  wrongCount: string;
  notPositive: string;
  notPositiveExpire: string;
}

/** `counted`: the name of the number of members in the error texts. */
export function memberWords(one: string, counted: string): MemberWords {
  const many = `${one}s`;
  return {
    one,
    many,
    sought: token(many),
    missing: `ERR Mandatory argument ${many.toUpperCase()} is missing or not at the right position`,
    wrongCount: `ERR The \`num${many}\` parameter must match the number of arguments`,
    notPositive: `ERR Number of ${many} must be a positive integer`,
    notPositiveExpire: `ERR Parameter \`${counted}\` should be greater than 0`,
  };
}

const MEMBERS = memberWords("member", "numMembers");

export const SET_DEADLINES: DeadlineFamily = {
  letter: "S",
  since: "8.12.0",
  words: MEMBERS,
  open: (call) => call.collections.set(),
  isFree: true,
  effects: deadlineEffects("S", "SREM", MEMBERS),
  removed: keyEvent("srem"),
};

export const SORTED_SET_DEADLINES: DeadlineFamily = {
  letter: "Z",
  since: "8.12.0",
  words: MEMBERS,
  open: (call) => call.collections.sortedSet(),
  isFree: true,
  effects: deadlineEffects("Z", "ZREM", MEMBERS),
  removed: keyEvent("zrem"),
};

// ---- arguments ----

const NEGATIVE_TIME = "ERR invalid expire time, must be >= 0";

/** Latest deadline of a member, ms. */
const MEMBER_DEADLINE_MAX = 2 ** 46 - 1;
const COUNT_MAX = 0x7fffffff;

const NX = 1;
const XX = 2;
const GT = 3;
const LT = 4;
const CONDITIONS = [token("nx"), token("xx"), token("gt"), token("lt")];

/** The condition that argument `i` names; 0 = none. */
function conditionAt(call: Call, i: number): number {
  for (let n = 0; n < CONDITIONS.length; n++) if (call.argIs(i, CONDITIONS[n]!)) return n + 1;
  return 0;
}

/** `had`: the current deadline of the member, 0 = none, which counts as infinite. */
function permits(condition: number, due: number, had: number): boolean {
  if (condition === NX) return had === 0;
  if (condition === XX) return had !== 0;
  if (condition === GT) return had !== 0 && due > had;
  if (condition === LT) return had === 0 || due < had;
  return true;
}

/**
 * Reads the keyword and the number of members from argument `i` on, and checks that as many follow. Returns the argument
 * number of the first member, 0 after an error reply. `countError`: the error for an invalid number.
 */
export function readMembers(call: Call, reply: Reply, words: MemberWords, i: number, countError: string): number {
  if (i >= call.argCount || !call.argIs(i, words.sought)) {
    reply.error(words.missing);
    return 0;
  }
  if (i + 1 >= call.argCount) {
    reply.error(countError);
    return 0;
  }
  const kind = call.argInt64(i + 1);
  if (kind === Int64Kind.None || (kind === Int64Kind.Wide ? int64.hi < 0 : int64.value < 1)) {
    reply.error(countError);
    return 0;
  }
  if (kind === Int64Kind.Wide || int64.value !== call.argCount - i - 2) {
    reply.error(words.wrongCount);
    return 0;
  }
  return i + 2;
}

/** Reads argument `i`, a time in units of `unitMs` after `baseMs`. Returns the deadline, ms; -1 after an error reply. */
export function readTime(call: Call, reply: Reply, i: number, unitMs: number, baseMs: number): number {
  const kind = call.argInt64(i);
  if (kind === Int64Kind.None) {
    reply.error(ErrorText.notInteger);
    return -1;
  }
  if (kind === Int64Kind.Wide ? int64.hi < 0 : int64.value < 0) {
    reply.error(NEGATIVE_TIME);
    return -1;
  }
  if (
    kind === Int64Kind.Wide ||
    int64.value > MEMBER_DEADLINE_MAX / unitMs ||
    int64.value * unitMs > MEMBER_DEADLINE_MAX - baseMs
  ) {
    reply.error(invalidExpire(call.spec.name.toLowerCase()));
    return -1;
  }
  return int64.value * unitMs + baseMs;
}

/** The arguments of EXPIRE after the time: the condition, and the range of the members. One per thread. */
const asked = { condition: 0, first: 0, end: 0 };

/** Reads [NX | XX | GT | LT] and the members, in this order. Returns false after an error reply. */
function readInOrder(call: Call, reply: Reply, words: MemberWords): boolean {
  asked.condition = conditionAt(call, 3);
  asked.first = readMembers(call, reply, words, asked.condition === 0 ? 3 : 4, words.notPositiveExpire);
  asked.end = call.argCount;
  return asked.first !== 0;
}

/** Like readInOrder, in any order. */
function readInAnyOrder(call: Call, reply: Reply, words: MemberWords): boolean {
  const { argCount } = call;
  const { many, one } = words;
  asked.condition = 0;
  asked.first = 0;
  let isTwofold = false;
  for (let i = 3; i < argCount; i++) {
    if (!call.argIs(i, words.sought)) {
      const condition = conditionAt(call, i);
      // Redis prints a C string: it ends at the first NUL.
      if (condition === 0) return failed(reply, `ERR unknown argument: ${call.argText(i).split("\0")[0]}`);
      if (asked.condition !== 0 && asked.condition !== condition) isTwofold = true;
      asked.condition = condition;
      continue;
    }
    if (asked.first !== 0) return failed(reply, `ERR ${many.toUpperCase()} keyword specified multiple times`);
    if (i >= argCount - 2) {
      return failed(reply, `ERR ${many.toUpperCase()} requires at least num${many} and one ${one} argument`);
    }
    const count = call.argInteger(i + 1);
    if (!(count >= 1 && count <= COUNT_MAX)) return failed(reply, words.notPositiveExpire);
    if (count > argCount - i - 2) return failed(reply, "ERR wrong number of arguments");
    asked.first = i + 2;
    asked.end = asked.first + count;
    i = asked.end - 1;
  }
  if (asked.first === 0) return failed(reply, `ERR missing ${many.toUpperCase()} argument`);
  return isTwofold ? failed(reply, "ERR Multiple condition flags specified") : true;
}

/** The reply without a key: `number` for each argument from `first` to `end`. */
function replyEach(reply: Reply, first: number, end: number, number: number): void {
  reply.array(end - first);
  for (let i = first; i < end; i++) reply.integer(number);
}

// ---- effects ----

/** The arguments whose members a command has changed. One per thread. */
const changed = { count: 0, at: new Int32Array(64) };

/** Begins the list of a command's changed members. */
export function beginChanges(): void {
  changed.count = 0;
}
/** Adds the member of argument `i` to the list. */
export function noteChanged(i: number): void {
  if (changed.count === changed.at.length) {
    const wider = new Int32Array(changed.count * 2);
    wider.set(changed.at);
    changed.at = wider;
  }
  changed.at[changed.count++] = i;
}

/**
 * Writes the effect on the listed members: they have the deadline `due` (ms) now, or none (0), or are removed if that time
 * has passed. Returns their number.
 */
export function logChanged(call: Call, { setting, dropping, removal, members }: DeadlineEffects, due: number): number {
  const { effects, store } = call;
  const { count, at } = changed;
  const isGone = due > 0 && due <= store.dueMs;
  const head = isGone ? 2 : due === 0 ? 4 : 5;
  if (count === 0) return count;
  // Replicas that know no deadlines of members hear when one is removed.
  if (!(isGone ? effects.begins(call, head + count) : effects.beginsNewer(call, head + count))) return count;
  effects.constant(isGone ? removal : due === 0 ? dropping : setting).argument(call, 1);
  if (!isGone && due !== 0) effects.integer(due);
  if (!isGone) effects.constant(members).integer(count);
  for (let n = 0; n < count; n++) effects.argument(call, at[n]!);
  return count;
}

// ---- the commands ----

const NO_MEMBER = -2;
const NO_DEADLINE = -1;
const NOT_SET = 0;
const SET = 1;
const DELETED = 2;

/** Most bytes of a deadline outside of its member's entry: an entry in the tree by deadline. */
const DEADLINE_ROOM = 64;

/**
 * EXPIRE key time [NX | XX | GT | LT] MEMBERS number member [member ...]
 * Replies for each member: 1 = set, 2 = deleted because the time is past, 0 = the condition failed, -2 = no such member.
 */
export function expire(
  call: Call,
  reply: Reply,
  family: DeadlineFamily,
  unitMs: number,
  baseMs: number,
): Outcome | void {
  const value = family.open(call);
  const found = value.begin(SMALL_CHANGE + call.argCount * DEADLINE_ROOM, false);
  if (found < 0) return refuse(call, reply, found);
  const due = readTime(call, reply, 2, unitMs, baseMs);
  if (due < 0) return;
  const { words } = family;
  if (!(family.isFree ? readInAnyOrder(call, reply, words) : readInOrder(call, reply, words))) return;
  const { first, end, condition } = asked;
  if (found === 0) return replyEach(reply, first, end, NO_MEMBER);
  reply.array(end - first);
  beginChanges();
  for (let i = first; i < end; i++) {
    const result = expireMember(call, value, i, due, condition);
    if (result > 0) noteChanged(i);
    reply.integer(result);
  }
  logChanged(call, family.effects, Math.max(due, 1));
  value.finish(changed.count > 0, due <= call.store.dueMs ? family.removed : KeyEvent.Value);
}

function expireMember(call: Call, value: TimedCollection, i: number, due: number, condition: number): number {
  const { bytes } = call;
  const at = call.argAt(i);
  const length = call.argBytes(i);
  if (value.entries.count === 0 || !value.seekLive(bytes, at, length)) return NO_MEMBER;
  if (condition !== 0 && !permits(condition, due, value.deadlineHere)) return NOT_SET;
  return setDeadline(call, value, i, due);
}

/** Sets the deadline of the current member, which argument `i` names. A deadline in the past removes it. */
export function setDeadline(call: Call, value: TimedCollection, i: number, due: number): number {
  if (due <= call.store.dueMs) {
    value.removeMember();
    return DELETED;
  }
  value.setDeadline(call.bytes, call.argAt(i), call.argBytes(i), due);
  return SET;
}

/** TTL key MEMBERS number member [member ...]. Replies, for each member: the time, -1 without a deadline, -2 without it. */
export function timeLeft(
  call: Call,
  reply: Reply,
  family: DeadlineFamily,
  unitMs: number,
  baseMs: number,
): Outcome | void {
  const value = family.open(call);
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  const first = readMembers(call, reply, family.words, 2, family.words.notPositive);
  if (first === 0) return;
  if (found === 0) return replyEach(reply, first, call.argCount, NO_MEMBER);
  reply.array(call.argCount - first);
  for (let i = first; i < call.argCount; i++) {
    if (!value.seekLive(call.bytes, call.argAt(i), call.argBytes(i))) {
      reply.integer(NO_MEMBER);
      continue;
    }
    const due = value.deadlineHere;
    reply.integer(due === 0 ? NO_DEADLINE : Math.ceil((due - baseMs) / unitMs));
  }
}

/** PERSIST key MEMBERS number member [member ...]. Replies, for each member: 1, -1 without a deadline, -2 without it. */
export function persist(call: Call, reply: Reply, family: DeadlineFamily): Outcome | void {
  const value = family.open(call);
  const found = value.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  const first = readMembers(call, reply, family.words, 2, family.words.notPositive);
  if (first === 0) return;
  if (found === 0) return replyEach(reply, first, call.argCount, NO_MEMBER);
  reply.array(call.argCount - first);
  beginChanges();
  for (let i = first; i < call.argCount; i++) {
    const at = call.argAt(i);
    const length = call.argBytes(i);
    if (!value.seekLive(call.bytes, at, length)) {
      reply.integer(NO_MEMBER);
    } else if (value.deadlineHere === 0) {
      reply.integer(NO_DEADLINE);
    } else {
      value.setDeadline(call.bytes, at, length, 0);
      noteChanged(i);
      reply.integer(SET);
    }
  }
  logChanged(call, family.effects, 0);
  value.finish(changed.count > 0);
}
