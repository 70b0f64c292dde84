/**
 * DEBUG: subcommands for tests and for operators. enable-debug-command (no, local, yes) says whether they are allowed.
 *
 * Its subcommands are not rows of their own, as in Redis. Those that look at data take the shard's lock themselves, a
 * thing no other handler does: they belong to no key spec.
 */
import { Int64Kind } from "../../base/integers.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { bucketCount, expiresCount, keyCount } from "../../store/keyspace.ts";
import { Encoding, RecordType, accessClock, spareBits } from "../../store/record.ts";
import { CHECKS } from "../../base/assert.ts";
import { quoted } from "../../base/log.ts";
import { matchGlob } from "../../base/glob.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { datasetDigest, NO_VALUE_DIGEST, valueDigest } from "./debug-digest.ts";
import { loadAof, reload } from "./debug-reload.ts";
import { matchTest, packedThreshold, pauseCron, replyBuffer, skipChecksums } from "./debug-tuning.ts";
import { heap, profile } from "./debug-profiles.ts";
import { collectionStats, logCollection, stringLengths } from "./debug-values.ts";
import { encodingName } from "../../store/collections.ts";
import { checkShard } from "../../store/shard-check.ts";
import type { Call } from "../../dispatch/call.ts";
import { effectText } from "../../dispatch/effects.ts";
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Continuation } from "../../dispatch/continuation.ts";
import { type CommandSpec, type Handler, Later, type Outcome, Retry } from "../../dispatch/spec.ts";

const NOT_ALLOWED =
  'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.';

/** Longest DEBUG SLEEP, seconds. A sleeping worker serves no client. */
const SLEEP_MAX = 3600;
/** Longest string that Redis keeps in one piece with its header. */
const EMBEDDED_MAX = 44;

export function debug(call: Call, reply: Reply): Outcome | void {
  const allowed = call.config.text("server.enable_debug_command");
  if (allowed === "no" || (allowed === "local" && !call.server.isLocal(call.session))) return reply.error(NOT_ALLOWED);
  const name = call.argText(1).toLowerCase();
  // The others wait for threads, or enter sections of their own.
  if (call.isScript && !IN_SCRIPTS.has(name)) return reply.error(NOT_IN_SCRIPTS);
  const run = SUBCOMMANDS[`${name}/${call.argCount - 2}`] ?? SUBCOMMANDS[`${name}/*`];
  if (run !== undefined) return run(call, reply);
  reply.error(`ERR unknown subcommand or wrong number of arguments for '${call.argText(1)}'. Try DEBUG HELP.`);
}

/** Subcommands that scripts may call after SET-DISABLE-DENY-SCRIPTS 1. */
const IN_SCRIPTS: ReadonlySet<string> = new Set(["error", "protocol", "sleep"]);
const NOT_IN_SCRIPTS = "ERR scripts may call DEBUG ERROR, PROTOCOL and SLEEP only";

const ok: Handler = (_call, reply) => reply.ok();

/** By name and number of arguments; `*` is any number. */
const SUBCOMMANDS: Readonly<Record<string, Handler>> = {
  "help/0": (_call, reply) => replyHelp(reply, "DEBUG", HELP),
  "sleep/1": sleep,
  "check/0": check,
  "object/1": object,
  "object/2": object,
  "populate/1": populate,
  "populate/2": populate,
  "populate/3": populate,
  "set-active-expire/1": setActiveExpire,
  "set-disable-deny-scripts/1": setDisableDenyScripts,
  "stringmatch-len/2": stringMatch,
  "stringmatch-test/0": matchTest,
  "clock/1": clock,
  "clock/2": clock,
  "digest/0": digest,
  "digest-value/*": digestValue,
  "reload/*": reload,
  "loadaof/0": loadAof,
  "htstats/1": tableStats,
  "htstats/2": tableStats,
  "htstats-key/1": collectionStats,
  "htstats-key/2": collectionStats,
  "sdslen/1": stringLengths,
  "listpack/1": (call, reply) => logCollection(call, reply, "listpack"),
  "quicklist/1": (call, reply) => logCollection(call, reply, "quicklist"),
  "quicklist/2": (call, reply) => logCollection(call, reply, "quicklist"),
  "log/1": log,
  "heap/0": heap,
  "profile/1": profile,
  "protocol/1": protocol,
  "error/1": (call, reply) => reply.error(call.argText(2)),
  "pause-cron/1": pauseCron,
  "set-skip-checksum-validation/1": skipChecksums,
  "quicklist-packed-threshold/1": packedThreshold,
  "replybuffer/2": replyBuffer,
  // They tune structures that only Redis has.
  "dict-resizing/1": ok,
  "client-enforce-reply-list/1": ok,
  ...(CHECKS ? { "panic/0": panic } : {}),
};

/** DEBUG SLEEP seconds: stops this worker for so long, then removes everything that has expired, in all shards. */
function sleep(call: Call, reply: Reply): void {
  const seconds = Number.parseFloat(call.argText(2));
  if (seconds > SLEEP_MAX) return reply.error("ERR timeout is out of range");
  if (seconds > 0) Bun.sleepSync(seconds * 1000);
  // No key expires while a script runs.
  if (!call.isScript) call.server.expirePass();
  reply.ok();
}

/** Keys made in one turn, and bytes of values after which a turn ends: less than a millisecond. */
const POPULATE_KEYS = 512;
const POPULATE_BYTES = 1 << 20;
const NOT_POSITIVE = "ERR value is out of range, must be positive";

/** DEBUG POPULATE count [prefix] [size]: makes its keys in steps. */
function populate(call: Call, reply: Reply): Outcome | void {
  const { session, clock, spec } = call;
  const count = call.argInteger(2);
  const bytes = call.argCount === 5 ? call.argInteger(4) : 0;
  if (!(count >= 0 && bytes >= 0)) return reply.error(NOT_POSITIVE);
  if (bytes > call.stringMax) return reply.error(ErrorText.outOfMemory);
  const longest = Buffer.from(`${populatePrefix(call)}:${count}`, "latin1");
  if (!call.key.load(longest, 0, longest.length)) return reply.error(ErrorText.keyTooLong);
  const beganMs = clock.monotonicMs();
  const begun = session.continuation;
  const progress = begun instanceof Population ? begun : new Population(spec);
  session.continuation = progress;
  const status = populateSome(call, progress, count, bytes);
  progress.spentMs += clock.monotonicMs() - beganMs;
  if (status < 0) {
    const outcome = refuse(call, reply, status);
    if (outcome !== Retry) session.continuation = null;
    return outcome;
  }
  if (progress.next < count) return Retry;
  call.statistics.tookBefore(progress.spentMs);
  session.continuation = null;
  reply.ok();
}

/** How far a DEBUG POPULATE has come. */
class Population implements Continuation {
  /** The next key to make. */
  next = 0;
  spentMs = 0;
  readonly isResting = false;

  constructor(readonly spec: CommandSpec) {}

  drop(): boolean {
    return true;
  }
}

function populatePrefix(call: Call): string {
  return call.argCount > 3 ? call.argText(3) : "key";
}

const SET = effectText("SET");

/** Makes keys up to `count`, or as many as a turn may. Returns 0, or Status with the key at `progress` not made. */
function populateSome(call: Call, progress: Population, count: number, bytes: number): number {
  const { store, key } = call;
  const keyspace = call.keyspaces.of(call.session.db);
  const prefix = populatePrefix(call);
  const keysMost = Math.min(POPULATE_KEYS, Math.max(1, Math.floor(POPULATE_BYTES / Math.max(bytes, 1))));
  const end = Math.min(count, progress.next + keysMost);
  for (; progress.next < end; progress.next++) {
    const name = Buffer.from(`${prefix}:${progress.next}`, "latin1");
    const text = Buffer.from(`value:${progress.next}`, "latin1");
    const value = bytes === 0 ? text : Buffer.alloc(bytes);
    if (bytes > 0) text.copy(value, 0, 0, bytes);
    key.load(name, 0, name.length);
    const shard = store.shardOf(key.hashA);
    let status = 0;
    const isMade = store.section.within(shard, () => {
      store.select(keyspace, key);
      status = store.prepareInsert();
      if (status < 0 || store.find() !== NO_ADDRESS) return;
      status = call.strings.set(value, 0, value.length, 0);
      if (status >= 0 && call.effects.begins(call, 3))
        call.effects.constant(SET).bulk(name, 0, name.length).bulk(value, 0, value.length);
    });
    if (!isMade) return 0;
    if (status < 0) return status;
  }
  return 0;
}

/** DEBUG CHECK: walks shard after shard under its lock, asserting every invariant. Replies the number of keys. */
function check(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  let keys = 0;
  for (const shard of store.shards) {
    const checks = (): void => {
      keys += checkShard(store, shard);
      call.blocking.waiters.check(shard);
      call.tracking.keys.check(shard);
    };
    if (!store.section.within(shard, checks)) return Retry;
  }
  reply.integer(keys);
}

/** DEBUG OBJECT key */
function object(call: Call, reply: Reply): Outcome | void {
  const { store, key } = call;
  if (!key.load(call.bytes, call.argAt(2), call.argBytes(2))) return reply.error(ErrorText.noSuchKey);
  const shard = store.shardOf(key.hashA);
  let text: string | null = null;
  const isFound = store.section.within(shard, () => {
    store.select(call.keyspaces.of(call.session.db), key);
    if (store.find() !== NO_ADDRESS) text = describeFound(call);
  });
  if (!isFound) return Retry;
  if (text === null) reply.error(ErrorText.noSuchKey);
  else reply.simple(text);
}

function describeFound(call: Call): string {
  const { store } = call;
  if (store.cursor.type !== RecordType.String) return describeCollection(call);
  const length = call.strings.lengthFound;
  const isInt = store.cursor.storedEncoding === Encoding.Int;
  const encoding = isInt ? "int" : length <= EMBEDDED_MAX && !store.cursor.isGrown ? "embstr" : "raw";
  const clock = accessClock(store.cursor.m, store.cursor.w);
  const idle = store.access.idleSecondsOf(clock);
  const serialized = isInt
    ? serializedInt(store.cursor.intLow, store.cursor.intHigh, length)
    : serializedString(length);
  return `Value at:0x${store.cursor.address.toString(16)} refcount:1 encoding:${encoding} serializedlength:${serialized} lru:${clock} lru_seconds_idle:${idle}`;
}

function describeCollection(call: Call): string {
  const { store } = call;
  const clock = accessClock(store.cursor.m, store.cursor.w);
  const name = encodingName(store.cursor.type, spareBits(store.cursor.m, store.cursor.w));
  const where = store.cursor.address.toString(16);
  const idle = store.access.idleSecondsOf(clock);
  const bytes = store.cursor.valueBytes + call.collections.openFound().wholeBytes;
  return `Value at:0x${where} refcount:1 encoding:${name} serializedlength:${bytes} lru:${clock} lru_seconds_idle:${idle}`;
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

/** DEBUG SET-DISABLE-DENY-SCRIPTS 0|1: whether scripts may call DEBUG, for tests of how they read replies. */
function setDisableDenyScripts(call: Call, reply: Reply): void {
  const { scripts } = call;
  if (scripts !== null) scripts.state.runsDebug = call.argInt64(2) !== Int64Kind.None && call.argInteger(2) !== 0;
  reply.ok();
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
 * middle of its critical section. The process must stop with a clear line, and no client may hang.
 */
function panic(call: Call, reply: Reply): void {
  const { store } = call;
  for (const shard of store.shards) shard.isInSnapshot = true;
  store.hooks.beforeChange = () => {
    throw new Error("DEBUG PANIC");
  };
  reply.ok();
}

/** Latest time that DEBUG CLOCK takes, ms: the year 10889. */
const CLOCK_MAX_MS = 2 ** 48;

/** DEBUG CLOCK SET unix-ms | ADVANCE ms | RESET: moves the wall time of every worker, which continues from there. */
function clock(call: Call, reply: Reply): void {
  const { clock: shared, store } = call;
  const given = call.argCount === 4 ? call.argInteger(3) : Number.NaN;
  switch (`${call.argText(2).toLowerCase()}/${call.argCount - 3}`) {
    case "reset/0":
      shared.reset();
      break;
    case "set/1":
    case "advance/1": {
      const target = call.argText(2).toLowerCase() === "set" ? given : shared.wallMs() + given;
      if (!(target >= 0 && target <= CLOCK_MAX_MS)) return reply.error(ErrorText.notInteger);
      shared.set(target);
      break;
    }
    default:
      return reply.error(ErrorText.syntax);
  }
  // The rest of this turn lives in the new time; the other workers do from their next turn on.
  store.setTime(shared.wallMs(), shared.monotonicMs());
  reply.ok();
}

/** DEBUG DIGEST: 40 hexadecimal digits over all data, Redis's. */
function digest(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  if (!store.section.withinAll(() => reply.simple(datasetDigest(call)))) return Retry;
}

/** DEBUG DIGEST-VALUE key [key ...]: the digest of each value, zeros for a key that is not there. */
function digestValue(call: Call, reply: Reply): Outcome | void {
  const { store, key } = call;
  const found: string[] = [];
  for (let i = 2; i < call.argCount; i++) {
    if (!key.load(call.bytes, call.argAt(i), call.argBytes(i))) {
      found.push(NO_VALUE_DIGEST);
      continue;
    }
    const shard = store.shardOf(key.hashA);
    const isFound = store.section.within(shard, () => {
      store.select(call.keyspaces.of(call.session.db), key);
      found.push(store.find() === NO_ADDRESS ? NO_VALUE_DIGEST : valueDigest(call));
    });
    if (!isFound) return Retry;
  }
  reply.array(found.length);
  for (const text of found) reply.simple(text);
}

/** DEBUG LOG message */
function log(call: Call, reply: Reply): void {
  const { logs } = call.server;
  if (logs === undefined) return reply.error("ERR there is no log");
  logs.target("commands").warn(`DEBUG LOG: ${quoted(call.argUtf8(2))}`);
  reply.ok();
}

/** DEBUG HTSTATS dbid: how the keys of a database lie in the index. Read shard by shard, so only nearly of one moment. */
function tableStats(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const db = call.argInteger(2);
  if (Number.isNaN(db)) return reply.error(ErrorText.notInteger);
  if (!(db >= 0 && db < call.config.number("server.databases"))) return reply.error("ERR Out of range database");
  const keyspace = call.keyspaces.of(db);
  let keys = 0;
  let expires = 0;
  let buckets = 0;
  let largest = 0;
  const byCount: number[] = [];
  const chain = { addresses: new Int32Array(64) };
  for (const shard of store.shards) {
    const looks = (): void => {
      const ks = shard.keyspace(keyspace);
      keys += keyCount(shard.c, ks);
      expires += expiresCount(shard.c, ks);
      largest = Math.max(largest, keyCount(shard.c, ks));
      const count = bucketCount(shard.c, ks);
      buckets += count;
      for (let bucket = 0; bucket < count; bucket++) {
        const held = store.index.collect(shard, ks, bucket, chain);
        byCount[held] = (byCount[held] ?? 0) + 1;
      }
    };
    if (!store.section.within(shard, looks)) return Retry;
  }
  const lines = [
    `[Index of database ${db}]`,
    ` shards: ${store.shardCount}`,
    ` keys: ${keys}`,
    ` keys with a deadline: ${expires}`,
    ` most keys in a shard: ${largest}`,
    ` buckets: ${buckets}`,
    ` most keys in a bucket: ${Math.max(0, byCount.length - 1)}`,
    " Keys in a bucket:",
  ];
  byCount.forEach((count, held) => {
    lines.push(`   ${held}: ${count} (${((count / buckets) * 100).toFixed(2)}%)`);
  });
  reply.verbatim(`${lines.join("\n")}\n`);
}

/** Redis's example of a double, which is not pi. */
const PROTOCOL_DOUBLE = 3141 / 1000;
const TYPES = "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false";

/** DEBUG PROTOCOL type: a reply of that type, with Redis's values, for tests of clients. */
function protocol(call: Call, reply: Reply): void {
  switch (call.argText(2).toLowerCase()) {
    case "string":
      return reply.text("Hello World");
    case "integer":
      return reply.integer(12345);
    case "double":
      return reply.double(PROTOCOL_DOUBLE);
    case "bignum":
      return reply.bigNumber("1234567999999999999999999999999999999");
    case "null":
      return reply.nullBulk();
    case "array":
      reply.array(3);
      for (let i = 0; i < 3; i++) reply.integer(i);
      return;
    case "set":
      reply.set(3);
      for (let i = 0; i < 3; i++) reply.integer(i);
      return;
    case "map":
      reply.map(3);
      for (let i = 0; i < 3; i++) {
        reply.integer(i);
        reply.bool(i === 1);
      }
      return;
    case "attrib":
      if (reply.protocol === 3) {
        reply.attribute(1);
        reply.text("key-popularity");
        reply.array(2);
        reply.text("key:123");
        reply.integer(90);
      }
      return reply.text("Some real reply following the attribute");
    case "push":
      if (reply.protocol !== 3) return reply.error("ERR RESP2 is not supported by this command");
      reply.push(2);
      reply.text("server-cpu-usage");
      reply.integer(42);
      return reply.text("Some real reply following the push reply");
    case "verbatim":
      return reply.verbatim("This is a verbatim\nstring");
    case "true":
      return reply.bool(true);
    case "false":
      return reply.bool(false);
  }
  reply.error(`ERR Wrong protocol type name. Please use one of the following: ${TYPES}`);
}

const HELP: readonly HelpEntry[] = [
  ["CHECK", "Walk all shards and check every invariant; replies the number of keys."],
  ["CLIENT-ENFORCE-REPLY-LIST <0|1>", "Accepted. It tunes reply buffers that only Redis has."],
  ["CLOCK SET <unix-time-ms>", "Set the time of all workers, which continues from there. Tests use it."],
  ["CLOCK ADVANCE <ms>", "Move the time on, or back with a negative number."],
  ["CLOCK RESET", "Back to the time of the system."],
  ["DICT-RESIZING <0|1>", "Accepted. It tunes hash tables that only Redis has."],
  ["DIGEST", "Output a hex signature representing the current DB content."],
  ["DIGEST-VALUE <key> [<key> ...]", "Output a hex signature of the values of all the specified keys."],
  ["ERROR <string>", "Return a Redis protocol error with <string> as message."],
  ["HEAP", "Write a snapshot of the heap of each worker to server.profile_dir; replies the paths."],
  ["HTSTATS <dbid>", "Return statistics of the index of a database."],
  ["HTSTATS-KEY <key> [FULL]", "Return statistics of the pages of a large hash, set or sorted set."],
  ["LISTPACK <key>", "Write to the log what a collection of the encoding listpack takes."],
  ["LOADAOF", "Write what is left to the append-only file, empty all databases, and load that file."],
  ["LOG <message>", "Write <message> to the server log."],
  ["OBJECT <key>", "Show low level info about `key` and associated value."],
  ["PAUSE-CRON <0|1>", "Stop or resume the background work of all workers."],
  [
    "POPULATE <count> [<prefix>] [<size>]",
    "Make <count> strings, <prefix>:0 (key:0) and so on, that are not there yet, others being served meanwhile.",
    "The values are value:0 and so on, cut or filled with zero bytes to <size>.",
  ],
  ["PROFILE <seconds>", "Sample where the time of each worker goes; replies the paths of the .cpuprofile files."],
  [
    "PROTOCOL <type>",
    "Reply with a test value of the specified type. <type> can be:",
    `${TYPES.replaceAll("|", ", ")}.`,
  ],
  ["QUICKLIST <key> [<0|1>]", "Write to the log what a collection of the encoding quicklist takes."],
  ["QUICKLIST-PACKED-THRESHOLD <size>", "Accepted. It tunes quicklists, which only Redis has."],
  [
    "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
    "Save the data in the RDB file, unless NOSAVE says not to, and load it from there, while no other client is served.",
  ],
  [
    "REPLYBUFFER PEAK-RESET-TIME <never|reset|time>",
    "Accepted, as is REPLYBUFFER RESIZING <0|1>. They tune reply buffers that only Redis has.",
  ],
  ["SDSLEN <key>", "Show the lengths of `key` and of the string that is its value."],
  ["SET-ACTIVE-EXPIRE <0|1>", "Turn the removal of expired keys in the background off or on."],
  ["SET-DISABLE-DENY-SCRIPTS <0|1>", "Let scripts call DEBUG ERROR, PROTOCOL and SLEEP."],
  ["SET-SKIP-CHECKSUM-VALIDATION <0|1>", "Let RESTORE take payloads whose version or checksum is wrong."],
  ["SLEEP <seconds>", "Stop one worker for <seconds>, then remove what has expired. Decimals allowed."],
  ["STRINGMATCH-LEN <bytes> <pattern>", "Match a text of <bytes> letters a with the pattern."],
  ["STRINGMATCH-TEST", "Match random texts with random patterns."],
];
