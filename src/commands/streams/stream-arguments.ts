/** Shared by the stream commands: parsing of arguments and writing of replies. */
import { token } from "../../base/bytes.ts";
import { joinInt64 } from "../../base/integers.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { ID_TEXT_BYTES_MAX, IdText, StreamId } from "../../structures/stream-id.ts";
import { References } from "../../store/stream-entries.ts";
import type { StreamValue } from "../../store/stream-value.ts";
import type { Call } from "../../dispatch/call.ts";

const INVALID_ID = "ERR Invalid stream ID specified as stream command argument";

/** A list of IDs. The next command reuses its objects. */
export class Ids {
  private readonly ids: StreamId[] = [];
  count = 0;

  clear(): void {
    this.count = 0;
    if (this.ids.length > KEPT_IDS) this.ids.length = KEPT_IDS;
  }
  /** Appends an ID, which the caller sets. */
  add(): StreamId {
    this.ids[this.count] ??= new StreamId();
    return this.ids[this.count++]!;
  }
  at(i: number): StreamId {
    return this.ids[i]!;
  }
}
const KEPT_IDS = 4096;

/** Reads argument `i` as an ID, but not "-" or "+". Returns false after an error reply. */
export function strictId(call: Call, reply: Reply, i: number, into: StreamId): boolean {
  if (isStrictId(call, i, into)) return true;
  reply.error(INVALID_ID);
  return false;
}
export function isStrictId(call: Call, i: number, into: StreamId): boolean {
  const text = into.parse(call.bytes, call.argAt(i), call.argBytes(i));
  return text === IdText.Whole || text === IdText.Milliseconds;
}

/** Reads argument `i` as an ID, "-" or "+". Returns false after an error reply. */
export function looseId(call: Call, reply: Reply, i: number, into: StreamId): boolean {
  const text = into.parse(call.bytes, call.argAt(i), call.argBytes(i));
  if (text !== IdText.None && text !== IdText.OpenSequence) return true;
  reply.error(INVALID_ID);
  return false;
}

/** Reads argument `i` as the first or last ID of a range. "(" makes it exclusive. Returns false after an error reply. */
export function intervalId(call: Call, reply: Reply, i: number, isEnd: boolean, into: StreamId): boolean {
  const { bytes } = call;
  let at = call.argAt(i);
  let length = call.argBytes(i);
  const excludes = length > 1 && bytes[at] === OPEN;
  if (excludes) {
    at++;
    length--;
  }
  const text = into.parse(bytes, at, length);
  const isSign = text === IdText.Least || text === IdText.Most;
  if (text === IdText.None || text === IdText.OpenSequence || (excludes && isSign)) {
    reply.error(INVALID_ID);
    return false;
  }
  if (isEnd && text === IdText.Milliseconds) into.setSequence(0xffffffff, 0xffffffff);
  if (!excludes || (isEnd ? into.decrement() : into.increment())) return true;
  reply.error(isEnd ? "ERR invalid end ID for the interval" : "ERR invalid start ID for the interval");
  return false;
}
const OPEN = 40;

/** Reads arguments `from` to `to` as IDs. Returns false after an error reply. */
export function strictIds(call: Call, reply: Reply, from: number, to: number, into: Ids): boolean {
  into.clear();
  for (let i = from; i < to; i++) if (!strictId(call, reply, i, into.add())) return false;
  return true;
}

/** Reads argument `i` as a 64-bit integer, rounded to a double. Returns NaN after an error reply, `text` if it is given. */
export function long(call: Call, reply: Reply, i: number, text: string = ErrorText.notInteger): number {
  const value = call.argLong(i);
  if (Number.isNaN(value)) reply.error(text);
  return value;
}

/** Replies a count that may exceed 2^53. */
export function replyLong(reply: Reply, value: number): void {
  if (Number.isSafeInteger(value)) return reply.integer(value);
  const exact = BigInt.asIntN(64, value >= 2 ** 63 ? (1n << 63n) - 1n : BigInt(value));
  joinInt64(Number(BigInt.asIntN(32, exact)), Number(exact >> 32n));
  reply.integer64(Number(BigInt.asIntN(32, exact)), Number(exact >> 32n));
}

const TEXT = Buffer.alloc(ID_TEXT_BYTES_MAX + 7);

// The milliseconds that TEXT contains. Neighbouring entries often have the same.
const inText = new StreamId();
let inTextBytes = inText.formatMs(TEXT, 0);

export function replyId(reply: Reply, id: StreamId): void {
  if (id.msLow !== inText.msLow || id.msHigh !== inText.msHigh) {
    inText.copyFrom(id);
    inTextBytes = id.formatMs(TEXT, 0);
  }
  reply.bulk(TEXT, 0, inTextBytes + id.formatSequence(TEXT, inTextBytes));
}

/** Replies the current entry: its ID, then its names and values. `items`: the length of the array, with what follows. */
export function emitEntry(reply: Reply, stream: StreamValue, items = 2): void {
  stream.openHere();
  reply.array(items);
  replyId(reply, stream.id);
  emitFields(reply, stream);
}

/** Replies the names and values of the current entry. */
export function emitFields(reply: Reply, stream: StreamValue): void {
  const { fields } = stream;
  reply.array(fields * 2);
  for (let i = 0; i < fields; i++) {
    stream.nextField();
    reply.bulk(stream.name, stream.nameStart, stream.nameLength);
    reply.bulk(stream.value, stream.valueStart, stream.valueLength);
  }
}

/** Argument `i` as Redis prints it in an error, up to the first zero byte. */
export function errorArgument(call: Call, i: number): string {
  return untilNul(call.argText(i));
}
export function untilNul(text: string): string {
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

export function noGroup(call: Call, reply: Reply, key: number, group: number, where = ""): void {
  reply.error(
    `NOGROUP No such key '${errorArgument(call, key)}' or consumer group '${errorArgument(call, group)}'${where}`,
  );
}

const MAXLEN = token("maxlen");
const MINID = token("minid");
const LIMIT = token("limit");
const NOMKSTREAM = token("nomkstream");
const KEEPREF = token("keepref");
const DELREF = token("delref");
const ACKED = token("acked");
const ALMOST = token("~");
const EXACTLY = token("=");
export const AUTOMATIC = token("*");

/** The treatment of references that argument `i` names; -1 = none. */
export function referencesOf(call: Call, i: number): References | -1 {
  if (call.argIs(i, KEEPREF)) return References.Keep;
  if (call.argIs(i, DELREF)) return References.Delete;
  return call.argIs(i, ACKED) ? References.Acked : -1;
}

/** Options of XADD and XTRIM. */
export class TrimOptions {
  /** Most entries that remain; -1 = all with IDs of at least `least`. */
  most = -1;
  /** The threshold's argument, and whether = or ~ is before it. */
  thresholdAt = 0;
  hasOperator = false;
  readonly least = new StreamId();
  trims = false;
  approximate = false;
  /** Most entries to remove; 0 = any number. */
  limit = 0;
  references: References = References.Keep;
  makesNone = false;
  /** The ID for XADD; `text` None: it was "*". */
  readonly id = new StreamId();
  text: IdText = IdText.None;

  /** Reads arguments from 2 on. Returns the number of the next argument, for XADD the one after the ID; -1 after an error reply. */
  parse(call: Call, reply: Reply, adds: boolean): number {
    this.trims = false;
    this.approximate = false;
    this.limit = 0;
    this.references = References.Keep;
    this.makesNone = false;
    this.text = IdText.None;
    let hasLimit = false;
    let hasReferences = false;
    let i = 2;
    for (; i < call.argCount; i++) {
      const isLast = i === call.argCount - 1;
      if (adds && call.argIs(i, AUTOMATIC)) break;
      if (!isLast && (call.argIs(i, MAXLEN) || call.argIs(i, MINID))) {
        i = this.parseStrategy(call, reply, i, call.argIs(i, MAXLEN));
        if (i < 0) return -1;
      } else if (!isLast && call.argIs(i, LIMIT)) {
        this.limit = long(call, reply, ++i);
        if (Number.isNaN(this.limit)) return -1;
        if (this.limit < 0) return failed(reply, "ERR The LIMIT argument must be >= 0.");
        hasLimit = true;
      } else if (adds && call.argIs(i, NOMKSTREAM)) {
        this.makesNone = true;
      } else if (referencesOf(call, i) >= 0 && !hasReferences) {
        this.references = referencesOf(call, i) as References;
        hasReferences = true;
      } else if (adds) {
        this.text = this.id.parse(call.bytes, call.argAt(i), call.argBytes(i));
        if (this.text === IdText.None || this.text === IdText.Least || this.text === IdText.Most) {
          return failed(reply, INVALID_ID);
        }
        break;
      } else {
        return failed(reply, ErrorText.syntax);
      }
    }
    if (this.limit !== 0 && !this.trims) {
      return failed(reply, "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
    }
    if (!adds && !this.trims) {
      return failed(reply, "ERR syntax error, XTRIM must be called with a trimming strategy");
    }
    if (call.session.isReplayed) {
      // The log and the stream of redis-server have the exact threshold that a trim came to, and LIMIT where it was.
      this.limit = 0;
    } else if (hasLimit && !this.approximate) {
      return failed(reply, "ERR syntax error, LIMIT cannot be used without the special ~ option");
    } else if (!hasLimit && this.approximate) {
      const nodeEntries = call.collections.limits.stream.nodeEntries;
      this.limit = nodeEntries === 0 ? LIMIT_WITHOUT_NODES : Math.min(nodeEntries * LIMIT_NODES, LIMIT_MOST);
    }
    return adds ? i + 1 : i;
  }

  private parseStrategy(call: Call, reply: Reply, i: number, byCount: boolean): number {
    if (this.trims) {
      return failed(reply, "ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
    }
    this.approximate = i + 2 < call.argCount && call.argIs(i + 1, ALMOST);
    this.hasOperator = this.approximate || (i + 2 < call.argCount && call.argIs(i + 1, EXACTLY));
    if (this.hasOperator) i++;
    this.thresholdAt = i + 1;
    if (byCount) {
      this.most = long(call, reply, i + 1);
      if (Number.isNaN(this.most)) return -1;
      if (this.most < 0) return failed(reply, "ERR The MAXLEN argument must be >= 0.");
    } else {
      this.most = -1;
      if (!strictId(call, reply, i + 1, this.least)) return -1;
    }
    this.trims = true;
    return i + 1;
  }

  /** Trims the stream. Returns the number of entries removed. */
  apply(stream: StreamValue): number {
    return stream.trim(this.most, this.least, this.approximate, this.limit, this.references);
  }
}
/** Without LIMIT an approximate trim ends after this many full nodes, or entries. */
const LIMIT_NODES = 100;
const LIMIT_WITHOUT_NODES = 10_000;
const LIMIT_MOST = 1_000_000;

function failed(reply: Reply, text: string): -1 {
  reply.error(text);
  return -1;
}

/**
 * Reads [KEEPREF | DELREF | ACKED] IDS numids id [id ...] from argument `i` on, with the IDs into `into`. Returns the
 * treatment of references, -1 after an error reply.
 */
export function parseIdsBlock(call: Call, reply: Reply, i: number, into: Ids): References | -1 {
  let references: References | -1 = -1;
  let firstId = -1;
  let idCount = 0;
  while (i < call.argCount) {
    const named = referencesOf(call, i);
    if (named >= 0 && references < 0) {
      references = named;
      i++;
    } else if (call.argIs(i, IDS_TOKEN) && i + 1 < call.argCount) {
      idCount = call.argInteger(i + 1);
      if (!(idCount >= 1)) {
        reply.error("ERR Number of IDs must be a positive integer");
        return -1;
      }
      if (idCount > call.argCount - i - 2) {
        reply.error("ERR The `numids` parameter must match the number of arguments");
        return -1;
      }
      firstId = i + 2;
      i = firstId + idCount;
    } else {
      reply.error(ErrorText.syntax);
      return -1;
    }
  }
  if (firstId < 0) {
    reply.error("ERR IDS option is required");
    return -1;
  }
  if (!strictIds(call, reply, firstId, firstId + idCount, into)) return -1;
  return references < 0 ? References.Keep : references;
}
const IDS_TOKEN = token("ids");
