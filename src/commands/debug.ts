/**
 * DEBUG: for tests and for those who look after a server. Allowed as enable-debug-command says: no, local, yes.
 *
 * Its subcommands are not rows of their own, as in Redis. Those that look at data take the shard's lock themselves, a
 * thing no other handler does: they belong to no key spec.
 */
import { CHECKS } from "../base/assert.ts";
import { matchGlob } from "../base/glob.ts";
import { Int64Kind } from "../base/integers.ts";
import { ErrorText } from "../protocol/errors.ts";
import type { Reply } from "../protocol/reply.ts";
import { accessClock, Encoding } from "../store/record.ts";
import { NO_ADDRESS } from "../store/segments.ts";
import type { Call } from "./call.ts";
import { type HelpEntry, replyHelp } from "./help.ts";
import { ADMIN, type CommandSpec, Later, LOADING, NO_KEYS, NO_SCRIPT, type Outcome, Retry, STALE } from "./spec.ts";

export const debugFamily: readonly CommandSpec[] = [
  {
    name: "DEBUG",
    arity: -2,
    keys: NO_KEYS,
    flags: ADMIN | NO_SCRIPT | LOADING | STALE,
    categories: [],
    run: debug,
    docs: {
      summary: "Commands for testing and looking inside.",
      since: "1.0.0",
      group: "server",
      complexity: "Depends on subcommand.",
      arguments: [{ name: "subcommand", type: "string" }],
    },
  },
];

const NOT_ALLOWED =
  'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.';

/** Longest DEBUG SLEEP, seconds: a worker that sleeps serves nobody. */
const SLEEP_MAX = 3600;
/** Longest string that Redis keeps in one piece with its header. */
const EMBEDDED_MAX = 44;

function debug(call: Call, reply: Reply): Outcome | void {
  const allowed = call.config.text("server.enable_debug_command");
  if (allowed === "no" || (allowed === "local" && !call.server.isLocal(call.session))) return reply.error(NOT_ALLOWED);
  const name = call.argText(1).toLowerCase();
  switch (`${name}/${call.argCount - 2}`) {
    case "help/0":
      return replyHelp(reply, "DEBUG", HELP);
    case "sleep/1":
      return sleep(call, reply);
    case "check/0":
      return check(call, reply);
    case "object/1":
      return object(call, reply);
    case "set-active-expire/1":
      return setActiveExpire(call);
    case "stringmatch-len/2":
      return stringMatch(call, reply);
    case "error/1":
      return reply.error(call.argText(2));
    case "panic/0":
      if (CHECKS) return panic(call, reply);
  }
  reply.error(`ERR unknown subcommand or wrong number of arguments for '${call.argText(1)}'. Try DEBUG HELP.`);
}

/** DEBUG SLEEP seconds: this worker stands still; then everything expired goes, in all shards. */
function sleep(call: Call, reply: Reply): void {
  const seconds = Number.parseFloat(call.argText(2));
  if (seconds > 0) Bun.sleepSync(Math.min(seconds, SLEEP_MAX) * 1000);
  call.server.expirePass();
  reply.ok();
}

/** DEBUG CHECK: walks shard after shard under its lock, asserting every invariant. Replies the number of keys. */
function check(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  let keys = 0;
  for (let shard = 0; shard < store.shards; shard++) {
    if (!store.lock(shard)) return Retry;
    try {
      keys += store.check(shard);
    } finally {
      store.unlock(shard);
    }
  }
  reply.integer(keys);
}

/** DEBUG OBJECT key */
function object(call: Call, reply: Reply): Outcome | void {
  const { store, key } = call;
  if (!key.load(call.bytes, call.argAt(2), call.argBytes(2))) return reply.error(ErrorText.noSuchKey);
  const shard = store.shardOf(key.hashA);
  if (!store.lock(shard)) return Retry;
  store.select(call.keyspaces.of(call.session.db), key);
  const text = store.find() === NO_ADDRESS ? null : describeFound(call);
  store.unlock(shard);
  if (text === null) reply.error(ErrorText.noSuchKey);
  else reply.simple(text);
}

function describeFound(call: Call): string {
  const { store } = call;
  const length = store.stringLength();
  const isInt = store.encoding === Encoding.Int;
  const encoding = isInt ? "int" : length <= EMBEDDED_MAX && !store.isGrown ? "embstr" : "raw";
  const clock = accessClock(store.m, store.w);
  const idle = store.idleSecondsOf(clock);
  const serialized = isInt ? serializedInt(store.intLow, store.intHigh, length) : serializedString(length);
  return `Value at:0x${store.address.toString(16)} refcount:1 encoding:${encoding} serializedlength:${serialized} lru:${clock} lru_seconds_idle:${idle}`;
}

/** Bytes of a string in an RDB file: its length in 1, 2 or 5 bytes, then itself. */
function serializedString(length: number): number {
  return length + (length < 64 ? 1 : length < 16384 ? 2 : 5);
}

/** Integers of up to 32 bits are written in binary behind a byte that says so, wider ones as text. */
function serializedInt(low: number, high: number, textLength: number): number {
  if (high !== low >> 31) return serializedString(textLength);
  if (low === (low << 24) >> 24) return 2;
  return low === (low << 16) >> 16 ? 3 : 5;
}

/** DEBUG SET-ACTIVE-EXPIRE 0|1: in every worker. */
function setActiveExpire(call: Call): Outcome {
  const { server, session } = call;
  const on = call.argInt64(2) !== Int64Kind.None && call.argInteger(2) !== 0;
  server.setActiveExpire(on, () => server.resume(session, (later) => later.ok()));
  return Later;
}

/** DEBUG STRINGMATCH-LEN bytes pattern: matches a text of that many "a" with the pattern; replies 1 or 0. */
function stringMatch(call: Call, reply: Reply): void {
  const length = call.argInteger(2);
  if (!(length >= 0 && length <= 1 << 20)) return reply.error(ErrorText.notInteger);
  const text = Buffer.alloc(length, "a");
  reply.integer(Number(matchGlob(call.bytes, call.argAt(3), call.argBytes(3), text, 0, length, false)));
}

/**
 * DEBUG PANIC, under FERRITE_CHECKS=1 only: the next write of this worker that changes an existing key throws in the
 * middle of its critical section. The process must stop with a clear line, and hang nobody.
 */
function panic(call: Call, reply: Reply): void {
  const { store } = call;
  store.snapshotting = true;
  store.hooks = {
    beforeChange() {
      throw new Error("DEBUG PANIC");
    },
    touched() {},
    removedByStore() {},
  };
  reply.ok();
}

const HELP: readonly HelpEntry[] = [
  ["CHECK", "Walk all shards and check every invariant; replies the number of keys."],
  ["ERROR <string>", "Return a Redis protocol error with <string> as message."],
  ["OBJECT <key>", "Show low level info about `key` and associated value."],
  ["SET-ACTIVE-EXPIRE <0|1>", "Turn the removal of expired keys in the background off or on."],
  ["SLEEP <seconds>", "Stop one worker for <seconds>, then remove what has expired. Decimals allowed."],
  ["STRINGMATCH-LEN <bytes> <pattern>", "Match a text of <bytes> letters a with the pattern."],
];
