/**
 * The HyperLogLog family. A sketch is a string in Redis's format (structures/hyperloglog.ts), so GET and SET move it between
 * servers. Its bytes may come from a client and are never trusted.
 *
 * A dense sketch is read and changed in place. A sparse one has at most a few kilobytes. It is copied, changed and set again,
 * so that a command does all or nothing.
 */
import { Status } from "../../base/status.ts";
import { token } from "../../base/bytes.ts";
import type { Reply } from "../../protocol/reply.ts";
import { RecordType } from "../../store/record.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { KeyEvent } from "../../store/key-events.ts";
import {
  CARDINALITY_AT,
  CORRUPT,
  countRegisters,
  DENSE,
  denseRegister,
  encodingOf,
  HEADER_BYTES,
  isCounted,
  isSketch,
  hashElement,
  hashed,
  REGISTERS,
  setDenseRegister,
  Sketch,
  SPARSE_BYTES_MAX,
  STALE_AT,
  STALE_BIT,
} from "../../structures/hyperloglog.ts";
import type { Call } from "../../dispatch/call.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";

const NOT_A_SKETCH = "WRONGTYPE Key is not a valid HyperLogLog string value.";
const CORRUPT_SKETCH = "INVALIDOBJ Corrupted HLL object detected";

/** The current sketch, and the registers of a union. */
const sketch = new Sketch();
const union = new Uint8Array(REGISTERS);
const header = Buffer.alloc(HEADER_BYTES);

/** The result of checkFound. */
const Kind = { Sketch: 0, Refused: 1 } as const;
type Kind = (typeof Kind)[keyof typeof Kind];

/**
 * Checks that the value found is a string with the header of a sketch. Otherwise it replies the error. The first bytes of
 * the sketch are then open (call.strings.bytes from call.strings.at on).
 */
function checkFound(call: Call, reply: Reply): Kind {
  const { store } = call;
  if (store.cursor.type !== RecordType.String) {
    reply.status(Status.WrongType);
    return Kind.Refused;
  }
  const length = call.strings.lengthFound;
  const had = call.strings.openPart(0);
  if (had < HEADER_BYTES || !isSketch(call.strings.bytes, call.strings.at, length)) {
    reply.error(NOT_A_SKETCH);
    return Kind.Refused;
  }
  return Kind.Sketch;
}

/** Copies the sketch found to `sketch`. Returns false when it is too long for one. */
function loadFound(call: Call): boolean {
  const length = call.strings.lengthFound;
  if (length > SPARSE_BYTES_MAX) return false;
  call.strings.open(); // no longer than an inline value
  return sketch.load(call.strings.bytes, call.strings.at, call.strings.length);
}

/** Sets the key just looked up to `sketch` and keeps its deadline. Returns 0, or Status with nothing changed. */
function storeSketch(call: Call): number {
  const { store } = call;
  const due = store.cursor.address === NO_ADDRESS ? 0 : store.cursor.deadlineMs;
  return call.strings.setBytes(sketch.bytes, 0, sketch.length, due, true);
}

function sparseBytesMax(call: Call): number {
  return call.config.number("storage.hll_sparse_max_bytes");
}

// ---- PFADD ----

/** PFADD key [element ...]. Replies: 1 when a register changed or the key was created. */
export function pfadd(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  let changes = 0;
  if (store.find() === NO_ADDRESS) {
    sketch.clear();
    changes = 1;
  } else {
    if (checkFound(call, reply) === Kind.Refused) return;
    if (encodingOf(call.strings.bytes, call.strings.at) === DENSE) return addDense(call, reply);
    if (!loadFound(call)) return reply.error(CORRUPT_SKETCH);
  }
  const bytesMax = sparseBytesMax(call);
  for (let i = 2; i < call.argCount; i++) {
    hashElement(call.bytes, call.argAt(i), call.argBytes(i));
    const raised = sketch.raise(hashed.register, hashed.rank, bytesMax);
    if (raised === CORRUPT) return reply.error(CORRUPT_SKETCH);
    changes += raised;
  }
  if (changes > 0) {
    sketch.markStale();
    const status = storeSketch(call);
    if (status < 0) return refuse(call, reply, status);
  } else if (!store.cursor.isGrown) {
    // Redis makes the encoding "raw" even if no register changes.
    store.hooks.valueEvent = KeyEvent.Silent;
    const status = call.strings.writeAt(0, sketch.bytes, 0, 1);
    if (status < 0) return refuse(call, reply, status);
  }
  reply.integer(changes > 0 ? 1 : 0);
}

/** PFADD into the dense sketch found, which is open, in place. */
function addDense(call: Call, reply: Reply): Outcome | void {
  let { bytes, at } = call.strings;
  let changes = 0;
  for (let i = 2; i < call.argCount; i++) {
    hashElement(call.bytes, call.argAt(i), call.argBytes(i));
    const { register, rank } = hashed;
    if (denseRegister(bytes, at, register) >= rank) continue;
    if (changes === 0) {
      // The first write announces the change and may relocate the record. The others write to its new place.
      header[0] = bytes[at + STALE_AT]! | STALE_BIT;
      const status = call.strings.writeAt(STALE_AT, header, 0, 1);
      if (status < 0) return refuse(call, reply, status);
      call.strings.open();
      bytes = call.strings.bytes;
      at = call.strings.at;
    }
    changes++;
    setDenseRegister(bytes, at, register, rank);
  }
  reply.integer(changes > 0 ? 1 : 0);
}

// ---- PFCOUNT and PFMERGE ----

/** PFCOUNT key [key ...]. Replies: the estimate. The estimate of a single key is cached in its header. */
export function pfcount(call: Call, reply: Reply): void {
  if (call.argCount === 2) return countOne(call, reply);
  union.fill(0);
  for (let i = 1; i < call.argCount; i++) {
    call.selectKey(i);
    if (call.store.findForRead() === NO_ADDRESS) continue;
    if (!mergeFound(call, reply)) return;
  }
  reply.integer(countRegisters(union));
}

/** Merges the value found into `union`. Returns false after an error reply. */
function mergeFound(call: Call, reply: Reply): boolean {
  if (checkFound(call, reply) === Kind.Refused) return false;
  if (loadFound(call) && sketch.mergeInto(union)) return true;
  reply.error(CORRUPT_SKETCH);
  return false;
}

function countOne(call: Call, reply: Reply): void {
  const { store } = call;
  call.selectKey(1);
  if (store.findForRead() === NO_ADDRESS) return reply.integer(0);
  if (checkFound(call, reply) === Kind.Refused) return;
  const { bytes, at } = call.strings;
  if (isCounted(bytes, at)) {
    const low = wordAt(bytes, at + CARDINALITY_AT);
    const high = wordAt(bytes, at + CARDINALITY_AT + 4);
    if (high !== 0) return reply.integer64(low, high);
    return reply.integer(low >>> 0);
  }
  const count = loadFound(call) ? sketch.count() : CORRUPT;
  if (count === CORRUPT) {
    // Redis makes the encoding "raw" before it reads the registers.
    if (!store.cursor.isGrown && call.strings.lengthFound <= SPARSE_BYTES_MAX) makeRaw(call);
    return reply.error(CORRUPT_SKETCH);
  }
  header.writeUInt32LE(count >>> 0, CARDINALITY_AT);
  header.writeUInt32LE(Math.floor(count / 4294967296), CARDINALITY_AT + 4);
  // The cache is no change that anybody is notified of. Without memory for it the next PFCOUNT estimates again.
  store.hooks.valueEvent = KeyEvent.Silent;
  if (call.strings.writeAt(CARDINALITY_AT, header, CARDINALITY_AT, 8) >= 0) call.effects.asSent(call);
  reply.integer(count);
}

/** Changes the encoding of the string found to "raw", and no data. Returns 0, or Status with nothing changed. */
function makeRaw(call: Call): number {
  const { store, strings } = call;
  const { changes } = store;
  header[0] = strings.bytes[strings.at]!;
  store.hooks.valueEvent = KeyEvent.Silent;
  const status = strings.writeAt(0, header, 0, 1);
  store.changes = changes;
  return status;
}

function wordAt(bytes: Buffer, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** PFMERGE destkey [sourcekey ...]. Replies: OK. */
export function pfmerge(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  union.fill(0);
  let anyDense = false;
  for (let i = 1; i < call.argCount; i++) {
    call.selectKey(i);
    if (store.findForRead() === NO_ADDRESS) continue;
    if (!mergeFound(call, reply)) return;
    if (sketch.isDense) anyDense = true;
  }
  call.selectKey(1);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  if (store.find() === NO_ADDRESS) sketch.clear();
  else loadFound(call); // it was merged above, so it is sound
  if (anyDense) {
    sketch.makeDense();
    sketch.setRegisters(union); // the destination's own were merged too
  } else {
    const bytesMax = sparseBytesMax(call);
    for (let i = 0; i < REGISTERS; i++) if (union[i] !== 0) sketch.raise(i, union[i]!, bytesMax);
  }
  sketch.markStale();
  const status = storeSketch(call);
  if (status < 0) return refuse(call, reply, status);
  reply.ok();
}

// ---- debugging ----

const GETREG = token("getreg");
const DECODE = token("decode");
const ENCODING = token("encoding");
const TODENSE = token("todense");

/** PFDEBUG GETREG | DECODE | ENCODING | TODENSE key */
export function pfdebug(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  call.selectKey(2);
  if (store.find() === NO_ADDRESS) return reply.error("ERR The specified key does not exist");
  if (checkFound(call, reply) === Kind.Refused) return;
  const wasDense = encodingOf(call.strings.bytes, call.strings.at) === DENSE;
  if (!store.cursor.isGrown && call.strings.lengthFound <= SPARSE_BYTES_MAX) {
    // As PFADD, for every subcommand.
    const status = makeRaw(call);
    if (status < 0) return refuse(call, reply, status);
  }
  if (call.argIs(1, ENCODING)) return reply.simple(wasDense ? "dense" : "sparse");
  if (call.argIs(1, DECODE)) {
    if (wasDense) return reply.error("ERR HLL encoding is not sparse");
    if (!loadFound(call)) return reply.error(CORRUPT_SKETCH);
    return reply.text(sketch.decode());
  }
  const getsRegisters = call.argIs(1, GETREG);
  if (!getsRegisters && !call.argIs(1, TODENSE)) {
    return reply.error(`ERR Unknown PFDEBUG subcommand '${call.argText(1)}'`);
  }
  if (!loadFound(call) || !sketch.makeDense()) return reply.error(CORRUPT_SKETCH);
  if (!wasDense) {
    const status = storeSketch(call);
    if (status < 0) return refuse(call, reply, status);
  }
  if (!getsRegisters) return reply.integer(wasDense ? 0 : 1);
  reply.array(REGISTERS);
  for (let i = 0; i < REGISTERS; i++) reply.integer(denseRegister(sketch.bytes, 0, i));
}

/** Elements of the self test. Redis takes ten million, for which other clients would wait for seconds. */
const SELF_TEST_ELEMENTS = 100_000;

/** PFSELFTEST. Replies: OK when sparse and dense agree and the estimates are within six standard errors. */
export function pfselftest(call: Call, reply: Reply): void {
  const dense = new Sketch();
  const grown = new Sketch();
  dense.clear();
  dense.makeDense();
  grown.clear();
  const { random } = call.store;
  for (let i = 0; i < REGISTERS; i++) union[i] = random.below(64);
  for (let i = 0; i < REGISTERS; i++) setDenseRegister(dense.bytes, 0, i, union[i]!);
  for (let i = 0; i < REGISTERS; i++) {
    const value = denseRegister(dense.bytes, 0, i);
    if (value !== union[i]) {
      return reply.error(`ERR TESTFAILED Register ${i} should be ${union[i]} but is ${value}`);
    }
  }
  dense.clear();
  dense.makeDense();
  const element = Buffer.alloc(8);
  const salt = random.bits();
  const bytesMax = sparseBytesMax(call);
  for (let i = 1, checkpoint = 1; i <= SELF_TEST_ELEMENTS; i++) {
    element.writeInt32LE(i ^ salt, 0);
    element.writeInt32LE(salt, 4);
    hashElement(element, 0, 8);
    dense.raise(hashed.register, hashed.rank, 0);
    grown.raise(hashed.register, hashed.rank, bytesMax);
    if (i !== checkpoint) continue;
    const count = dense.count();
    if (i < bytesMax / 2 && grown.isDense) return reply.error("ERR TESTFAILED sparse encoding not used");
    if (grown.count() !== count) return reply.error("ERR TESTFAILED dense/sparse disagree");
    const error = Math.abs(count - i);
    const most = i === 10 ? 1 : Math.ceil((1.04 / Math.sqrt(REGISTERS)) * 6 * i);
    if (error > most) return reply.error(`ERR TESTFAILED Too big error. card:${i} abserr:${error}`);
    checkpoint *= 10;
  }
  reply.ok();
}
