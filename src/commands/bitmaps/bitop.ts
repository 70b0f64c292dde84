/**
 * BITOP: strings combined bit by bit.
 *
 * The result is built in chunks that belong to no key yet, so that a source may be the destination.
 */
import { Status } from "../../base/status.ts";
import { type Address, NO_ADDRESS } from "../../store/address.ts";
import { Encoding, INLINE_VALUE_MAX, RecordType } from "../../store/record.ts";
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { STRING_CHUNK_BYTES, StagedValue } from "../../store/large.ts";
import { KeyEvent } from "../../store/key-events.ts";
import { PLAIN } from "../../store/store.ts";
import { addOnce, Combine, combineBits, combineTwo, invertBits } from "../../structures/bits.ts";
import type { Call } from "../../dispatch/call.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";

const Operation = { And: 0, Or: 1, Xor: 2, Not: 3, Diff: 4, Diff1: 5, AndOr: 6, One: 7 } as const;
type Operation = (typeof Operation)[keyof typeof Operation];
const OPERATIONS = ["and", "or", "xor", "not", "diff", "diff1", "andor", "one"].map(token);
const OPERATION_NAMES = ["AND", "OR", "XOR", "NOT", "DIFF", "DIFF1", "ANDOR", "ONE"];
const FIRST_SOURCE = 3;
const MIB = 1 << 20;

/**
 * BITOP operation destkey key [key ...]. X is the first source, Y the others:
 *   DIFF = X and no Y     DIFF1 = any Y and not X     ANDOR = X and any Y     ONE = exactly one source
 * Replies: the length of the result, that of the longest source. An empty result deletes the destination.
 */
export function bitop(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const operation = OPERATIONS.findIndex((name) => call.argIs(1, name)) as Operation | -1;
  if (operation === -1) return reply.error(ErrorText.syntax);
  const sources = call.argCount - FIRST_SOURCE;
  if (operation === Operation.Not && sources !== 1) {
    return reply.error("ERR BITOP NOT must be called with a single source key.");
  }
  if (operation >= Operation.Diff && operation !== Operation.One && sources < 2) {
    return reply.error(`ERR BITOP ${OPERATION_NAMES[operation]} must be called with at least two source keys.`);
  }
  let length = 0;
  for (let i = FIRST_SOURCE; i < call.argCount; i++) {
    call.selectKey(i);
    if (store.findForRead() === NO_ADDRESS) continue;
    if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
    length = Math.max(length, call.strings.lengthFound);
  }
  // A long result is built only when memory for all of it is there, or each new region would begin it again.
  if (length > MIB && store.pool.freeChunks < Math.ceil(length / MIB) + 1) return refuse(call, reply, Status.Busy);
  if (length > INLINE_VALUE_MAX) return bitopLarge(call, reply, operation, length);
  if (length > 0) {
    openSources(call);
    combineChunk(call, operation, 0, length, scratch, 0);
  }
  call.selectKey(2);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const found = store.find() !== NO_ADDRESS;
  if (length > 0) {
    const status = call.strings.setBytes(scratch, 0, length, 0, true);
    if (status < 0) return refuse(call, reply, status);
  } else if (found) {
    store.remove(KeyEvent.Deleted);
  }
  reply.integer(length);
}
/** Buffers for a short result. `more` is used by ONE. */
const scratch = Buffer.alloc(STRING_CHUNK_BYTES);
const more = Buffer.alloc(STRING_CHUNK_BYTES);

/** BITOP with a result of many chunks. They are filled one by one and then become the value of the destination. */
function bitopLarge(call: Call, reply: Reply, operation: Operation, length: number): Outcome | void {
  const { store } = call;
  openSources(call);
  const result = new StagedValue(store.arena, store.pool, length);
  for (let position = 0; position < length; position += STRING_CHUNK_BYTES) {
    const part = Math.min(STRING_CHUNK_BYTES, length - position);
    if (!result.extend(part)) {
      result.discard(store.nowSeconds);
      return refuse(call, reply, Status.Busy);
    }
    combineChunk(call, operation, position, part, result.chunkBytes, result.chunkAt);
  }
  call.selectKey(2);
  const prepared = store.prepareInsert();
  const status = prepared < 0 ? prepared : setResult(call, result);
  if (status < 0) {
    result.discard(store.nowSeconds);
    return refuse(call, reply, status);
  }
  reply.integer(length);
}

function setResult(call: Call, result: StagedValue): number {
  call.store.find();
  return call.strings.setStaged(result, 0, PLAIN);
}

/** The sources in order: length, and for chunked strings shard and node; NO_ADDRESS for the others. */
let sourceLengths = new Float64Array(16);
let sourceShards = new Int32Array(16);
let sourceNodes = new Int32Array(16);

function openSources(call: Call): void {
  const { store, argCount } = call;
  if (argCount > sourceLengths.length) {
    sourceLengths = new Float64Array(argCount * 2);
    sourceShards = new Int32Array(argCount * 2);
    sourceNodes = new Int32Array(argCount * 2);
  }
  for (let i = FIRST_SOURCE; i < argCount; i++) {
    call.selectKey(i);
    const found = store.find() !== NO_ADDRESS;
    sourceLengths[i] = found ? call.strings.lengthFound : 0;
    const isLarge = found && store.cursor.encoding === Encoding.Chunked;
    sourceShards[i] = store.cursor.shard.number;
    sourceNodes[i] = isLarge ? store.cursor.node : NO_ADDRESS;
  }
}

/** Opens source `i` at `position`, the start of a chunk, in `sourceBytes` at `sourceAt`. Returns its bytes, at most `part`. */
function openSource(call: Call, i: number, position: number, part: number): number {
  const had = Math.min(part, sourceLengths[i]! - position);
  if (had <= 0) return 0;
  const { store } = call;
  if (sourceNodes[i] === NO_ADDRESS) {
    call.selectKey(i);
    store.find();
    call.strings.open();
    sourceBytes = call.strings.bytes;
    sourceAt = call.strings.at;
    if (had >= ALIGNED_FROM_BYTES) {
      // A value inside a record may be unaligned, and only aligned words can be combined.
      sourceBytes.copy(aligned, 0, sourceAt, sourceAt + had);
      sourceBytes = aligned;
      sourceAt = 0;
    }
  } else {
    sourceAt = store.large.locateByte(store.shards[sourceShards[i]!]!, sourceNodes[i]! as Address, position);
    sourceBytes = store.large.chunkBytes;
  }
  return had;
}
const ALIGNED_FROM_BYTES = 64;
const aligned = Buffer.alloc(STRING_CHUNK_BYTES);
let sourceBytes: Buffer = scratch;
let sourceAt = 0;

/** Writes `length` bytes of the result, from `position` on, to `target`: a chunk or the rest of one. */
function combineChunk(
  call: Call,
  operation: Operation,
  position: number,
  length: number,
  target: Buffer,
  at: number,
): void {
  const all = FIRST_SOURCE;
  const last = call.argCount - 1;
  switch (operation) {
    case Operation.And:
      return combineAll(call, Combine.And, all, position, length, target, at);
    case Operation.Or:
      return combineAll(call, Combine.Or, all, position, length, target, at);
    case Operation.Xor:
      return combineAll(call, Combine.Xor, all, position, length, target, at);
    case Operation.Not:
      openSource(call, all, position, length); // the only one, and so as long as the result
      return invertBits(target, at, sourceBytes, sourceAt, length);
    case Operation.Diff:
      return combineAll(call, Combine.AndNot, all, position, length, target, at);
    case Operation.Diff1:
    case Operation.AndOr:
      combineAll(call, Combine.Or, all + 1, position, length, target, at);
      return combineSource(
        call,
        operation === Operation.Diff1 ? Combine.AndNot : Combine.And,
        all,
        position,
        length,
        target,
        at,
      );
    default:
      target.fill(0, at, at + length);
      more.fill(0, 0, length);
      for (let i = all; i <= last; i++) {
        const had = openSource(call, i, position, length);
        addOnce(target, at, more, 0, sourceBytes, sourceAt, had);
      }
      return combineBits(Combine.AndNot, target, at, more, 0, length);
  }
}

/** target = source `first` (combined with) the next, and so on to the last. */
function combineAll(
  call: Call,
  how: Combine,
  first: number,
  position: number,
  length: number,
  target: Buffer,
  at: number,
): void {
  let next = first + 1;
  let had = openSource(call, first, position, length);
  if (had === length && next < call.argCount && sourceNodes[first] !== NO_ADDRESS) {
    // The first two are combined in one pass if both are long enough. (A short one may be an integer in a shared buffer.)
    const bytes = sourceBytes;
    const bytesAt = sourceAt;
    if (openSource(call, next, position, length) === length) {
      combineTwo(how, target, at, bytes, bytesAt, sourceBytes, sourceAt, length);
      next++;
      had = -1;
    } else {
      sourceBytes = bytes;
      sourceAt = bytesAt;
    }
  }
  if (had >= 0) {
    if (had > 0) sourceBytes.copy(target, at, sourceAt, sourceAt + had);
    target.fill(0, at + had, at + length);
  }
  for (; next < call.argCount; next++) combineSource(call, how, next, position, length, target, at);
}

/** target = target (combined with) source `i`, padded with zeros. */
function combineSource(
  call: Call,
  how: Combine,
  i: number,
  position: number,
  length: number,
  target: Buffer,
  at: number,
): void {
  const had = openSource(call, i, position, length);
  combineBits(how, target, at, sourceBytes, sourceAt, had);
  if (how === Combine.And) target.fill(0, at + had, at + length);
}
