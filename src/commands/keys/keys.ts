/** Commands on whole keys (delete, rename, copy, move), on whole databases, and OBJECT. */
import { Int64Kind, int64 } from "../../base/integers.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { bucketCount, keyCount } from "../../store/keyspace.ts";
import { Encoding, RecordType, accessClock, spareBits } from "../../store/record.ts";
import { NO_REF } from "../../structures/pages.ts";
import { equal, token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { encodingName } from "../../store/collections.ts";
import { KeyEvent, keyEvent } from "../../store/key-events.ts";
import type { Call } from "../../dispatch/call.ts";
import { copiedRoot, copyAhead, endCopy } from "../../dispatch/long-copy.ts";
import { refuse } from "../../dispatch/refuse.ts";
import { type Outcome, Retry } from "../../dispatch/spec.ts";

const RENAME_FROM = keyEvent("rename_from");
const MOVE_FROM = keyEvent("move_from");

// ---- looking ----

/** DEL key [key ...]. Replies: the number of keys deleted. */
export function del(call: Call, reply: Reply): void {
  const { store } = call;
  let deleted = 0;
  for (let i = 1; i < call.argCount; i++) {
    call.selectKey(i);
    if (store.find() === NO_ADDRESS) continue;
    store.remove(KeyEvent.Deleted);
    deleted++;
  }
  reply.integer(deleted);
}

/** EXISTS key [key ...]. Replies: the number of keys that exist. A key that is named twice counts twice. */
export function exists(call: Call, reply: Reply): void {
  let count = 0;
  for (let i = 1; i < call.argCount; i++) {
    call.selectKey(i);
    if (call.store.findUntouched() !== NO_ADDRESS) count++;
  }
  reply.integer(count);
}

/** TOUCH key [key ...]. Replies as EXISTS. Updates the access times even under CLIENT NO-TOUCH. */
export function touch(call: Call, reply: Reply): void {
  let count = 0;
  call.store.datesAccess = true;
  for (let i = 1; i < call.argCount; i++) {
    call.selectKey(i);
    if (call.store.findForRead() !== NO_ADDRESS) count++;
  }
  reply.integer(count);
}

const TYPE_REPLIES: Record<RecordType, Buffer> = {
  [RecordType.String]: Buffer.from("+string\r\n"),
  [RecordType.List]: Buffer.from("+list\r\n"),
  [RecordType.Set]: Buffer.from("+set\r\n"),
  [RecordType.SortedSet]: Buffer.from("+zset\r\n"),
  [RecordType.Hash]: Buffer.from("+hash\r\n"),
  [RecordType.Stream]: Buffer.from("+stream\r\n"),
};
const TYPE_NONE = Buffer.from("+none\r\n");

/** TYPE key. Replies: the type's name, or none. */
export function type(call: Call, reply: Reply): void {
  const { store } = call;
  reply.constant(store.findUntouched() === NO_ADDRESS ? TYPE_NONE : TYPE_REPLIES[store.cursor.type]);
}

// ---- renaming, copying, moving ----

function isSameKey(call: Call): boolean {
  const length = call.argBytes(1);
  return length === call.argBytes(2) && equal(call.bytes, call.argAt(1), call.bytes, call.argAt(2), length);
}

/**
 * Moves the value that `call.transfer` took to the selected key, just looked up. A large value is first copied in steps.
 * Returns 0, CONTINUES when the command must be retried, or Status.
 */
function putTaken(call: Call, deadlineMs: number, moves: boolean): number {
  const ahead = copyAhead(call, moves);
  if (ahead !== 0) return ahead;
  // If it is refused, the copy stays for the next attempt.
  const status = call.transfer.put(deadlineMs, moves, copiedRoot(call));
  if (status >= 0) endCopy(call);
  return status;
}

/** RENAME key newkey. Errors: no such key. */
export function rename(call: Call, reply: Reply): Outcome | void {
  return renameUnless(call, reply, false);
}
/** RENAMENX key newkey. Replies: 1 when renamed, 0 when newkey exists. */
export function renamenx(call: Call, reply: Reply): Outcome | void {
  return renameUnless(call, reply, true);
}

function renameUnless(call: Call, reply: Reply, unlessThere: boolean): Outcome | void {
  const { store } = call;
  call.selectKey(1);
  if (store.find() === NO_ADDRESS) return reply.error(ErrorText.noSuchKey);
  if (isSameKey(call)) {
    if (unlessThere) reply.integer(0);
    else reply.ok();
    return;
  }
  const due = store.cursor.deadlineMs;
  call.transfer.take();
  call.selectKey(2);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  if (store.find() !== NO_ADDRESS && unlessThere) return reply.integer(0);
  const status = putTaken(call, due, true);
  if (status > 0) return Retry;
  if (status < 0) return refuse(call, reply, status);
  call.selectKey(1);
  store.find();
  call.transfer.removeSource(RENAME_FROM);
  if (unlessThere) reply.integer(1);
  else reply.ok();
}

/**
 * Reads argument `i` as a database number. Returns -1 after an error reply. `notInteger`: the error when it is no 32-bit
 * integer, "" = the usual ones.
 */
function readDatabase(call: Call, reply: Reply, i: number, notInteger: string): number {
  const kind = call.argInt64(i);
  const isInt = kind === Int64Kind.Safe && int64.value >= -2147483648 && int64.value <= 2147483647;
  if (isInt && int64.value >= 0 && int64.value < call.keyspaces.databases) return int64.value;
  if (isInt) reply.error(ErrorText.databaseOutOfRange);
  else if (notInteger !== "") reply.error(notInteger);
  else if (kind === Int64Kind.None) reply.error(ErrorText.notInteger);
  else reply.error("ERR value is out of range, value must between -2147483648 and 2147483647");
  return -1;
}

const DB = token("db");
const REPLACE = token("replace");

/** COPY source destination [DB db] [REPLACE]. Replies: 1 when copied. */
export function copy(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  let replaces = false;
  let db = call.session.db;
  for (let i = 3; i < call.argCount; i++) {
    if (call.argIs(i, REPLACE)) {
      replaces = true;
    } else if (call.argIs(i, DB) && i + 1 < call.argCount) {
      db = readDatabase(call, reply, ++i, "");
      if (db < 0) return;
    } else {
      return reply.error(ErrorText.syntax);
    }
  }
  if (db === call.session.db && isSameKey(call)) return reply.error(ErrorText.sameObject);
  call.selectKey(1);
  // A copy in steps was counted as a read when it began.
  const found = call.session.continuation === null ? store.findForRead() : store.find();
  if (found === NO_ADDRESS) return reply.integer(0);
  const due = store.cursor.deadlineMs;
  call.transfer.take();
  call.selectKeyIn(call.keyspaces.of(db), 2);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  if (store.find() !== NO_ADDRESS && !replaces) return reply.integer(0);
  const status = putTaken(call, due, false);
  if (status > 0) return Retry;
  if (status < 0) return refuse(call, reply, status);
  reply.integer(1);
}

/** MOVE key db. Replies: 1 when moved, 0 when the key does not exist or the other database has it. */
export function move(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const db = readDatabase(call, reply, 2, "");
  if (db < 0) return;
  if (db === call.session.db) return reply.error(ErrorText.sameObject);
  if (store.find() === NO_ADDRESS) return reply.integer(0);
  const due = store.cursor.deadlineMs;
  const { key } = store.cursor;
  call.transfer.take();
  store.select(call.keyspaces.of(db), key);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  if (store.find() !== NO_ADDRESS) return reply.integer(0);
  const status = call.transfer.put(due, true, NO_REF);
  if (status < 0) return refuse(call, reply, status);
  store.select(call.keyspace, key);
  store.find();
  call.transfer.removeSource(MOVE_FROM);
  reply.integer(1);
}

// ---- whole databases ----

/** SWAPDB index1 index2 */
export function swapdb(call: Call, reply: Reply): void {
  // Both are parsed before either is checked.
  if (!isInt32(call, 1)) return reply.error("ERR invalid first DB index");
  if (!isInt32(call, 2)) return reply.error("ERR invalid second DB index");
  const a = readDatabase(call, reply, 1, "");
  if (a < 0) return;
  const b = readDatabase(call, reply, 2, "");
  if (b < 0) return;
  if (a !== b) {
    const [before, after] = [call.keyspaces.of(a), call.keyspaces.of(b)];
    call.blocking.databaseChanges(a, before, after);
    call.blocking.databaseChanges(b, after, before);
    call.keyspaces.swap(a, b);
    call.tracking.flushed();
    call.store.keyspaceChanged(call.keyspaces.of(a));
    call.store.keyspaceChanged(call.keyspaces.of(b));
  }
  reply.ok();
}

function isInt32(call: Call, i: number): boolean {
  return call.argInt64(i) === Int64Kind.Safe && int64.value >= -2147483648 && int64.value <= 2147483647;
}

/** A database with at most this many buckets and keys is emptied at once, with all shards locked, in about a millisecond. */
const AT_ONCE_MAX = 4096;
const ASYNC = token("async");
const SYNC = token("sync");

/**
 * True when the arguments of FLUSHDB or FLUSHALL are well formed. With either modifier a small database is emptied at once,
 * and a large one is detached at once and freed in steps.
 */
function isFlush(call: Call): boolean {
  return call.argCount === 1 || (call.argCount === 2 && (call.argIs(1, ASYNC) || call.argIs(1, SYNC)));
}

/** FLUSHDB [ASYNC | SYNC] */
export function flushdb(call: Call, reply: Reply): Outcome | void {
  if (!isFlush(call)) return reply.error(ErrorText.syntax);
  const { db } = call.session;
  const size = tableSize(call, db);
  if (size > AT_ONCE_MAX && freeKeyspaces(call) === 0 && !call.store.section.isAtOnce) return Retry;
  if (size > 0) flush(call, db, size);
  call.tracking.flushed();
  reply.ok();
}

/** FLUSHALL [ASYNC | SYNC] */
export function flushall(call: Call, reply: Reply): Outcome | void {
  if (!isFlush(call)) return reply.error(ErrorText.syntax);
  const { databases } = call.keyspaces;
  let wanted = 0;
  for (let db = 0; db < databases; db++) if (tableSize(call, db) > AT_ONCE_MAX) wanted++;
  // Earlier flushes are still being freed in steps. What runs at once cannot wait, and empties in place instead.
  if (freeKeyspaces(call) < wanted && !call.store.section.isAtOnce) return Retry;
  for (let db = 0; db < databases; db++) {
    const size = tableSize(call, db);
    if (size > 0) flush(call, db, size);
  }
  call.tracking.flushed();
  call.server.persistence?.noteFlushed();
  reply.ok();
}

/** Buckets and keys of a database; 0 when it is empty. */
function tableSize(call: Call, db: number): number {
  const { store, keyspaces } = call;
  const keyspace = keyspaces.of(db);
  let size = 0;
  for (const shard of store.shards) {
    const ks = shard.keyspace(keyspace);
    size += bucketCount(shard.c, ks) + keyCount(shard.c, ks);
  }
  return size;
}

function freeKeyspaces(call: Call): number {
  const { store, keyspaces } = call;
  let free = 0;
  for (let keyspace = 0; keyspace < store.keyspaceCount; keyspace++) {
    const isUsed = keyspaces.isEmptying(keyspace) || keyspaces.isInternal(keyspace);
    if (!isUsed && keyspaces.databaseOf(keyspace) < 0) free++;
  }
  return free;
}

function flush(call: Call, db: number, size: number): void {
  const keyspace = call.keyspaces.of(db);
  call.blocking.databaseChanges(db, keyspace, -1);
  const isDetached = size > AT_ONCE_MAX && call.keyspaces.flush(db) === 0;
  call.store.keyspaceChanged(keyspace);
  if (!isDetached) call.maintenance.emptyNow(keyspace);
}

// ---- OBJECT ----

/** Finds OBJECT's key without updating its access time. Returns false after the null reply. */
function openObject(call: Call, reply: Reply): boolean {
  call.selectKey(2);
  if (call.store.findUntouched() !== NO_ADDRESS) return true;
  reply.nullBulk();
  return false;
}

/** Longest string that Redis calls embstr. */
const EMBSTR_BYTES_MAX = 44;
const INT = Buffer.from("$3\r\nint\r\n");
const EMBSTR = Buffer.from("$6\r\nembstr\r\n");
const RAW = Buffer.from("$3\r\nraw\r\n");

/** OBJECT ENCODING key. Replies: Redis's name of the encoding. */
export function objectEncoding(call: Call, reply: Reply): void {
  if (!openObject(call, reply)) return;
  const { store } = call;
  if (store.cursor.type !== RecordType.String)
    reply.text(encodingName(store.cursor.type, spareBits(store.cursor.m, store.cursor.w)));
  else if (store.cursor.storedEncoding === Encoding.Int) reply.constant(INT);
  else reply.constant(store.cursor.valueBytes <= EMBSTR_BYTES_MAX && !store.cursor.isGrown ? EMBSTR : RAW);
}

/** The integers below this are shared objects in Redis, and this is their reference count there. */
const SHARED_INTEGERS = 10_000;
const SHARED_COUNT = 2147483647;

const HOT = Buffer.from("$6\r\nmemory\r\n");
const COLD = Buffer.from("$4\r\ndisk\r\n");

/** OBJECT TIER key. Replies: where its value is, "memory" or "disk". */
export function objectTier(call: Call, reply: Reply): void {
  if (!openObject(call, reply)) return;
  reply.constant(call.store.cursor.isCold ? COLD : HOT);
}

/** OBJECT REFCOUNT key. Replies: 1, or for small integers Redis's count of shared objects. */
export function objectRefCount(call: Call, reply: Reply): void {
  if (!openObject(call, reply)) return;
  const { store } = call;
  // A shared object has one access time for all its keys, so Redis shares none under a policy that uses access times.
  const isShared =
    store.cursor.storedEncoding === Encoding.Int &&
    store.cursor.intHigh === 0 &&
    store.cursor.intLow >= 0 &&
    store.cursor.intLow < SHARED_INTEGERS &&
    (call.config.number("storage.max_memory") === 0 || !/-l[rf]u$/.test(call.config.text("storage.maxmemory_policy")));
  reply.integer(isShared ? SHARED_COUNT : 1);
}

function isFrequencyKept(call: Call): boolean {
  return call.config.text("storage.maxmemory_policy").endsWith("lfu");
}
const SWITCHING =
  "Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";

/** OBJECT IDLETIME key. Replies: seconds since the last access. */
export function objectIdleTime(call: Call, reply: Reply): void {
  if (!openObject(call, reply)) return;
  if (isFrequencyKept(call)) {
    return reply.error(`ERR An LFU maxmemory policy is selected, idle time not tracked. ${SWITCHING}`);
  }
  const { store } = call;
  reply.integer(store.access.idleSecondsOf(accessClock(store.cursor.m, store.cursor.w)));
}

/** OBJECT FREQ key. Replies: the access frequency, which only exists under an LFU policy. */
export function objectFreq(call: Call, reply: Reply): void {
  if (!openObject(call, reply)) return;
  if (!isFrequencyKept(call)) {
    return reply.error(`ERR An LFU maxmemory policy is not selected, access frequency not tracked. ${SWITCHING}`);
  }
  reply.integer(call.store.access.frequencyOf(accessClock(call.store.cursor.m, call.store.cursor.w)));
}

const HELP = [
  "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
  "ENCODING <key>",
  "    Return the kind of internal representation used in order to store the value",
  "    associated with a <key>.",
  "FREQ <key>",
  "    Return the access frequency index of the <key>. The returned integer is",
  "    proportional to the logarithm of the recent access frequency of the key.",
  "IDLETIME <key>",
  "    Return the idle time of the <key>, that is the approximated number of",
  "    seconds elapsed since the last access to the key.",
  "REFCOUNT <key>",
  "    Return the number of references of the value associated with the specified",
  "    <key>.",
  "HELP",
  "    Prints this help.",
];

export function objectHelp(_call: Call, reply: Reply): void {
  reply.array(HELP.length);
  for (const line of HELP) reply.simple(line);
}
