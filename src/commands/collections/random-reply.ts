/**
 * Replies of random entries: SRANDMEMBER, HRANDFIELD and ZRANDMEMBER with a count.
 *
 * A positive count asks for that many different entries, and a negative one for as many draws as its amount, in which an
 * entry may come again. The amount of a negative count is bounded only by 2^63, so a long reply is a walk: the command
 * ends, and the draws are made as the socket drains, until the last one or until the connection is closed. The walk over a
 * tree reads from a pin. The walk over a packed collection copies the entries in the form of the reply, and pins nothing.
 */
import { failed } from "../../dispatch/refuse.ts";
import { Int64Kind, addInt64, int64, negateInt64, splitInt64 } from "../../base/integers.ts";
import type { Shard } from "../../store/shard.ts";
import type { Random } from "../../base/random.ts";
import type { Call } from "../../dispatch/call.ts";
import { type Outcome, Retry } from "../../dispatch/spec.ts";
import { ErrorText } from "../../protocol/errors.ts";
import { NO_PIN, PinnedWalk, Reply, WALK_STEP_BYTES } from "../../protocol/reply.ts";
import type { Collection } from "../../store/collection.ts";
import type { Collections } from "../../store/collections.ts";
import { bytesOf, isLong } from "./long-reply.ts";

const OUT_OF_RANGE = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
const OUT_OF_HALF_RANGE = "ERR value is out of range";
const HALF_HIGH = 0x40000000;

/** The count of the current command: as a double, rounded above 2^53, and as the words of a 64-bit integer. */
const asked = { count: 0, low: 0, high: 0 };

/**
 * Reads argument 2 as a count into `asked`. Returns false after an error reply. -2^63 is refused, as it has no opposite;
 * the bound on a count of pairs is checkPairs'.
 */
export function readCount(call: Call, reply: Reply): boolean {
  const kind = call.argInt64(2);
  if (kind === Int64Kind.None) return failed(reply, ErrorText.notInteger);
  if (kind === Int64Kind.Safe) splitInt64(int64.value);
  asked.low = int64.lo;
  asked.high = int64.hi;
  asked.count = kind === Int64Kind.Safe ? int64.value : int64.hi * 2 ** 32 + (int64.lo >>> 0);
  return asked.high !== -0x80000000 || asked.low !== 0 || failed(reply, OUT_OF_RANGE);
}

/** The count asked for, rounded above 2^53. */
export function countAsked(): number {
  return asked.count;
}

/** Returns false after an error reply: twice the count asked for does not fit into 64 bits. */
export function checkPairs(reply: Reply): boolean {
  const { low, high } = asked;
  const fits = high < HALF_HIGH && (high > -HALF_HIGH || (high === -HALF_HIGH && low !== 0));
  return fits || failed(reply, OUT_OF_HALF_RANGE);
}

/** Ranks of entries, drawn one at a time. */
class Draws {
  private random!: Random;
  private size = 0;
  private way: Way = Way.Repeated;
  /** Different ones still to be drawn. */
  private wanted = 0;
  private rank = 0;
  /** The ranks drawn: open addressing, 0 = empty, else rank + 1. */
  private table = new Int32Array(TABLE_LEAST);

  /** Begins to draw from 0 to `size` - 1; `wanted` different ones, fewer than `size`, or with 0 repeated ones. */
  begin(random: Random, size: number, wanted: number): void {
    this.random = random;
    this.size = size;
    this.wanted = wanted;
    this.rank = 0;
    this.way = wanted === 0 ? Way.Repeated : wanted * 3 > size ? Way.Ascending : Way.Distinct;
    if (this.way !== Way.Distinct) return;
    let slots = TABLE_LEAST;
    while (slots < wanted * 2) slots *= 2;
    if (this.table.length !== slots) this.table = new Int32Array(slots);
    else this.table.fill(0);
  }

  next(): number {
    if (this.way === Way.Repeated) return this.random.below(this.size);
    return this.way === Way.Ascending ? this.ascending() : this.distinct();
  }

  /** Each rank is drawn with the chance that leaves as many as are still wanted. */
  private ascending(): number {
    while (this.random.below(this.size - this.rank) >= this.wanted) this.rank++;
    this.wanted--;
    return this.rank++;
  }

  private distinct(): number {
    const { table, random, size } = this;
    const mask = table.length - 1;
    for (;;) {
      const rank = random.below(size);
      let slot = Math.imul(rank, 0x9e3779b1) & mask;
      while (table[slot] !== 0 && table[slot] !== rank + 1) slot = (slot + 1) & mask;
      if (table[slot] !== 0) continue;
      table[slot] = rank + 1;
      return rank;
    }
  }
}
const Way = { Repeated: 0, Ascending: 1, Distinct: 2 } as const;
type Way = (typeof Way)[keyof typeof Way];
const TABLE_LEAST = 256;

/** Draws of short replies. One per thread. */
const few = new Draws();
/** Where the entries of packed collections are written for a walk. */
const encoder = new Reply();

type Emit<T extends Collection> = (reply: Reply, value: T) => void;

/**
 * Replies to the count asked for, which is neither 0 nor as much as `size`. `value` was opened by `find`; `ranks` are
 * those of the `size` entries to draw from, null = all of them. `emit` writes the entry at which `value.entries` stands
 * as `items` items of the reply's array; it is called after the command has ended, too, with another value of the type.
 */
export function replyRandom<T extends Collection>(
  call: Call,
  reply: Reply,
  value: T,
  ranks: readonly number[] | null,
  size: number,
  items: 1 | 2,
  emit: Emit<T>,
): Outcome | void {
  const { random } = call.store;
  const { count } = asked;
  const amount = Math.abs(count);
  const wanted = Math.max(count, 0);
  const pin = isLong(value, amount) && value.isTree ? call.store.large.pin(value.pages.shard) : -1;
  // With all pins of the shard taken, the command waits for one. A transaction cannot wait.
  const isAtOnce = pin < 0 && call.store.section.isAtOnce;
  if (!isLong(value, amount) || (value.isTree && isAtOnce)) {
    replyHead(reply, items);
    few.begin(random, size, wanted);
    return emitDraws(reply, value, few, ranks, amount, emit);
  }
  const draws = new Draws();
  draws.begin(random, size, wanted);
  if (!value.isTree) {
    const entries = encodeAll(reply, value, ranks, size, emit);
    replyHead(reply, items);
    return reply.walk(new PackedDrawsWalk(reply, value.pages.shard, entries, draws, amount));
  }
  if (pin < 0) return Retry;
  replyHead(reply, items);
  reply.walk(new DrawsWalk(call.collections, reply, value, pin, draws, ranks, amount, emit));
}

function emitDraws<T extends Collection>(
  reply: Reply,
  value: T,
  draws: Draws,
  ranks: readonly number[] | null,
  count: number,
  emit: Emit<T>,
): void {
  const { entries } = value;
  for (let n = 0; n < count; n++) {
    const rank = draws.next();
    entries.seekRank(ranks === null ? rank : ranks[rank]!);
    entries.normalize();
    emit(reply, value);
  }
}

/** Head of the array: the amount of the count asked for, times `items`. */
function replyHead(reply: Reply, items: 1 | 2): void {
  let { low, high } = asked;
  if (high < 0) {
    negateInt64(low, high);
    takeWords();
  }
  if (items === 2) {
    addInt64(low, high, low, high);
    takeWords();
  }
  reply.array64(low, high);

  function takeWords(): void {
    low = int64.lo;
    high = int64.hi;
  }
}

/** The entries that may be drawn from a packed collection, each as the bytes of its reply. */
function encodeAll<T extends Collection>(
  reply: Reply,
  value: T,
  ranks: readonly number[] | null,
  size: number,
  emit: Emit<T>,
): Buffer[] {
  encoder.protocol = reply.protocol;
  encoder.at = 0;
  const ends: number[] = [];
  const { entries } = value;
  for (let n = 0; n < size; n++) {
    entries.seekRank(ranks === null ? n : ranks[n]!);
    entries.normalize();
    emit(encoder, value);
    ends.push(encoder.at);
  }
  const bytes = Buffer.from(encoder.bytes.subarray(0, encoder.at));
  return ends.map((end, n) => bytes.subarray(n === 0 ? 0 : ends[n - 1]!, end));
}

/** A longer reply is declared as long as this: sums of bytes stay exact, and no limit is as high. */
const PENDING_MOST = 2 ** 50;
/** Most draws of a step: each is a descent in a tree. */
const DRAWS_A_STEP = 512;

/** Draws from a pinned tree. */
class DrawsWalk<T extends Collection> extends PinnedWalk {
  private readonly reader: T;
  private readonly entryBytes: number;

  constructor(
    private readonly collections: Collections,
    reply: Reply,
    value: T,
    pin: number,
    private readonly draws: Draws,
    private readonly ranks: readonly number[] | null,
    /** Draws to come. A number above 2^53 does not change by 1, and its reply has no end that anybody sees. */
    private left: number,
    private readonly emit: Emit<T>,
  ) {
    const entryBytes = bytesOf(value, 1);
    super(value.pages.shard, pin, reply.protocol, Math.min(PENDING_MOST, entryBytes * left));
    this.entryBytes = entryBytes;
    this.reader = collections.acquireReader(value);
  }
  override readonly isMade = true;

  step(reply: Reply): boolean {
    const until = reply.written + WALK_STEP_BYTES;
    let draws = Math.min(this.left, DRAWS_A_STEP);
    while (draws > 0 && reply.written < until) {
      emitDraws(reply, this.reader, this.draws, this.ranks, 1, this.emit);
      this.left--;
      draws--;
    }
    this.pending = Math.min(PENDING_MOST, this.entryBytes * this.left);
    return this.left > 0;
  }

  close(): void {
    this.collections.releaseReader(this.reader);
  }
}

/** Draws from the entries of a packed collection, which were copied. */
class PackedDrawsWalk extends PinnedWalk {
  private readonly entryBytes: number;

  constructor(
    reply: Reply,
    shard: Shard,
    private readonly entries: readonly Buffer[],
    private readonly draws: Draws,
    private left: number,
  ) {
    const entryBytes = Math.ceil(entries.reduce((sum, entry) => sum + entry.length, 0) / entries.length);
    super(shard, NO_PIN, reply.protocol, Math.min(PENDING_MOST, entryBytes * left));
    this.entryBytes = entryBytes;
  }
  override readonly isMade = true;

  step(reply: Reply): boolean {
    const { entries, draws } = this;
    const until = reply.written + WALK_STEP_BYTES;
    while (this.left > 0 && reply.written < until) {
      reply.constant(entries[draws.next()]!);
      this.left--;
    }
    this.pending = Math.min(PENDING_MOST, this.entryBytes * this.left);
    return this.left > 0;
  }

  close(): void {}
}
