/**
 * Reads streams of RDB files and DUMP payloads. `readStream` validates a whole stream and stores the offsets of its parts
 * in `rdbStream`. `RdbNode` then reads the entries of a node one by one.
 *
 *   stream   │ nodes │ (string: id, 16 bytes │ string: listpack) ... │ entries │ last id │
 *            │ first id │ greatest deleted id │ entries ever added │                       from type 19 on
 *            │ groups │ group ... │
 *   group    │ string: name │ last id │ entries read, from type 19 on │
 *            │ pending │ (id, 16 bytes │ time (8) │ deliveries) ... │
 *            │ consumers │ (string: name │ seen (8) │ active (8), type 21 │ pending │ id, 16 bytes ...) ... │
 *   node     │ entries │ deleted │ names │ name ... │ 0 │ entry ... │         listpack.ts; all of the first entry's names
 *   entry    │ flags: 1 deleted, 2 the node's names │ id less the node's id: ms, sequence │
 *            │ fields │ name │ value ... │ or value ... │ elements of all this │
 *   Numbers are encoded as RDB lengths; ids as two of them, or as 16 bytes big-endian; times as int64 of ms, little-endian.
 *
 * The bytes to read are untrusted. Invariants
 *   RDBSTREAM-F1  nothing is read outside [at, end)
 *   RDBSTREAM-F2  allocations are bounded by the bytes of the payload, never by a count that the payload claims
 *   RDBSTREAM-F3  in an accepted stream ids rise, over the stream and in each list of pending entries, and none is above
 *                 the last id; all counts are right; names of groups, and of consumers in a group, are unique; each pending
 *                 entry of a group belongs to one consumer
 * The first id is ignored because the entries determine it. Source: rdb.c and t_stream.c of Redis 7.0 and 7.2.
 */
import { formatInt64 } from "../base/integers.ts";
import { element, isListpack, LISTPACK_HEAD, readElement } from "./listpack.ts";
import { numberBytes } from "./numbers.ts";
import { rdbLength, rdbString, rdbWords, readLength, readString, readWords } from "./rdb-string.ts";
import { StreamId } from "./stream-id.ts";

export const RdbStreamType = { First: 15, Second: 19, Third: 21 } as const;

const MALFORMED = -1;
export const ENTRY_DELETED = 1;
export const ENTRY_SAME_NAMES = 2;
/** Elements of an entry besides names, values and the number of fields. */
export const ENTRY_ELEMENTS = 3;
const ID_BYTES = 16;
const TWO_32 = 4294967296;
/** An upper word from here on belongs to a negative int64. */
const SIGN = 0x80000000;
/** Most bytes that the compressed strings of one payload may unpack to. */
const UNPACKED_MAX = 1 << 30;
/** Most lists of field names that the entries of a stream share, and most bytes of one: see store/stream-entries.ts. */
export const SHARED_MAX = 16;
export const SHARED_BYTES_MAX = 512;
/** Most memory that an entry, a pending entry, a consumer and a group need besides their strings, bytes. */
const ENTRY_OVERHEAD = 56;
const PENDING_OVERHEAD = 128;
const CONSUMER_OVERHEAD = 256;
const GROUP_OVERHEAD = 4096;

export interface RdbConsumer {
  name: Buffer;
  seenMs: number;
  /** -1: never. */
  activeMs: number;
}

export interface RdbGroup {
  name: Buffer;
  readonly last: StreamId;
  /** -1: unknown. */
  entriesRead: number;
  /** Offset of each pending entry in the payload, and the index of its consumer. */
  pending: Uint32Array;
  owners: Int32Array;
  consumers: RdbConsumer[];
}

/** The stream that readStream read. Valid as long as the payload and until the next call. */
export const rdbStream = {
  payload: Buffer.alloc(0) as Buffer,
  /** Offsets of the nodes, end of the payload, longest string that is accepted. */
  nodes: [] as number[],
  end: 0,
  longest: 0,
  count: 0,
  last: new StreamId(),
  maxDeleted: new StreamId(),
  added: 0,
  /** The payload is of a version without the numbers of entries added and read. */
  isOld: false,
  groups: [] as RdbGroup[],
  /** Most memory that the stream needs, bytes. */
  room: 0,
  clear(): void {
    this.payload = NOTHING;
    this.nodes = [];
    this.groups = [];
    node.clear();
  },
};
const NOTHING = Buffer.alloc(0);

export function isStreamType(type: number): boolean {
  return type === RdbStreamType.First || type === RdbStreamType.Second || type === RdbStreamType.Third;
}

/** The pending entry that readPending read. */
export const pendingEntry = { id: new StreamId(), deliveredMs: 0, deliveries: 0 };

/** Reads an id that is encoded as two RDB lengths. */
function readId(bytes: Buffer, at: number, end: number, into: StreamId): number {
  at = readWords(bytes, at, end);
  if (at < 0) return MALFORMED;
  const { high, low } = rdbWords;
  at = readWords(bytes, at, end);
  if (at < 0) return MALFORMED;
  into.set(high, low, rdbWords.high, rdbWords.low);
  return at;
}

/** Reads a time, ms. NaN when it is below `least` or not exact in a double. */
function timeAt(bytes: Buffer, at: number, end: number, least: number): number {
  if (end - at < 8) return Number.NaN;
  const ms = bytes.readInt32LE(at + 4) * TWO_32 + bytes.readUInt32LE(at);
  return ms >= least && Number.isSafeInteger(ms) ? ms : Number.NaN;
}

/**
 * Reads the stream of RDB type `type` at `at` in a payload that ends at `end` into `rdbStream`. `longest` is the longest
 * string accepted. Returns false when the stream is malformed.
 */
export function readStream(type: number, bytes: Buffer, at: number, end: number, longest: number): boolean {
  const stream = rdbStream;
  stream.clear();
  stream.payload = bytes;
  stream.end = end;
  stream.longest = longest;
  stream.count = 0;
  stream.room = 0;
  stream.isOld = type === RdbStreamType.First;
  at = readNodes(bytes, at, end);
  if (at < 0) return false;
  at = readLength(bytes, at, end);
  if (at < 0 || rdbLength.value !== stream.count) return false;
  at = readId(bytes, at, end, stream.last);
  if (at < 0 || (stream.count > 0 && stream.last.compare(lastId) < 0)) return false;
  stream.maxDeleted.setZero();
  stream.added = stream.count;
  if (!stream.isOld) {
    at = readId(bytes, at, end, scratchId);
    if (at >= 0) at = readId(bytes, at, end, stream.maxDeleted);
    if (at >= 0) at = readWords(bytes, at, end);
    if (at < 0) return false;
    stream.added = rdbWords.high * TWO_32 + rdbWords.low;
    if (stream.added < stream.count || rdbWords.high >= SIGN) return false;
  }
  at = readLength(bytes, at, end);
  if (at < 0) return false;
  const names = new Set<string>();
  // Every group needs some bytes, so a wrong count soon ends the loop.
  for (let left = rdbLength.value; left > 0; left--) {
    at = readGroup(type, bytes, at, end, names);
    if (at < 0) return false;
  }
  return true;
}
const scratchId = new StreamId();
const lastId = new StreamId();

/** Validates all nodes and their entries. Returns where they end, or -1. */
function readNodes(bytes: Buffer, at: number, end: number): number {
  const stream = rdbStream;
  at = readLength(bytes, at, end);
  if (at < 0) return MALFORMED;
  let unpacked = 0;
  const shared = new Set<string>();
  for (let left = rdbLength.value; left > 0; left--) {
    stream.nodes.push(at);
    at = node.open(at);
    if (at < 0) return MALFORMED;
    let areShared: boolean | null = null;
    if (node.isUnpacked) unpacked += node.nodeBytes;
    if (unpacked > UNPACKED_MAX) return MALFORMED;
    let more = node.next();
    for (; more > 0; more = node.next()) {
      if (stream.count > 0 && node.id.compare(lastId) <= 0) return MALFORMED;
      lastId.copyFrom(node.id);
      stream.count++;
      stream.room += node.valuesBytes + ENTRY_OVERHEAD;
      if (!node.isSame) {
        stream.room += node.namesBytes;
        if (shared.size < SHARED_MAX && mayShare()) share(shared);
      } else {
        areShared ??= mayShare() && share(shared);
        if (!areShared) stream.room += node.namesBytes;
      }
    }
    if (more < 0) return MALFORMED;
  }
  return at;
}

function mayShare(): boolean {
  return node.namesBytes + numberBytes(node.fields) <= SHARED_BYTES_MAX;
}

/** True when the current entry's field names are shared already, or can be added to the shared lists. */
function share(shared: Set<string>): boolean {
  let names = "";
  for (let i = 0; i < node.fields; i++) {
    const at = node.argAt(i * 2);
    const length = node.argBytes(i * 2);
    names += `${length}:${node.bytes.toString("latin1", at, at + length)}`;
  }
  if (shared.has(names)) return true;
  if (shared.size >= SHARED_MAX) return false;
  shared.add(names);
  return true;
}

function readGroup(type: number, bytes: Buffer, at: number, end: number, names: Set<string>): number {
  const stream = rdbStream;
  at = readString(bytes, at, end, stream.longest);
  if (at < 0) return MALFORMED;
  const name = copyString();
  if (!isNew(names, name)) return MALFORMED;
  const group: RdbGroup = {
    name,
    last: new StreamId(),
    entriesRead: UNKNOWN,
    pending: new Uint32Array(0),
    owners: new Int32Array(0),
    consumers: [],
  };
  at = readId(bytes, at, end, group.last);
  if (at < 0) return MALFORMED;
  if (!stream.isOld) {
    at = readWords(bytes, at, end);
    if (at < 0) return MALFORMED;
    // Redis's counter may have overflowed into negative numbers.
    group.entriesRead = rdbWords.high >= SIGN ? UNKNOWN : rdbWords.high * TWO_32 + rdbWords.low;
  }
  at = readLength(bytes, at, end);
  if (at < 0) return MALFORMED;
  let count = 0;
  for (let left = rdbLength.value; left > 0; left--, count++) {
    const begin = at;
    at = readPending(bytes, at, end);
    if (at < 0 || (count > 0 && pendingEntry.id.compare(lastId) <= 0)) return MALFORMED;
    lastId.copyFrom(pendingEntry.id);
    if (count === group.pending.length) {
      const wider = new Uint32Array(Math.max(16, count * 2));
      wider.set(group.pending);
      group.pending = wider;
    }
    group.pending[count] = begin;
  }
  group.pending = group.pending.subarray(0, count);
  group.owners = new Int32Array(count).fill(NOBODY);
  at = readConsumers(type, bytes, at, end, group);
  if (at < 0 || group.owners.includes(NOBODY)) return MALFORMED;
  stream.room += GROUP_OVERHEAD + name.length + count * PENDING_OVERHEAD;
  stream.groups.push(group);
  return at;
}
const UNKNOWN = -1;
const NOBODY = -1;

/** Reads the pending entry at `at` into `pendingEntry`. Returns where it ends, or -1. */
export function readPending(bytes: Buffer, at: number, end: number): number {
  if (end - at < ID_BYTES + 8) return MALFORMED;
  pendingEntry.id.read(bytes, at);
  pendingEntry.deliveredMs = timeAt(bytes, at + ID_BYTES, end, 0);
  if (Number.isNaN(pendingEntry.deliveredMs)) return MALFORMED;
  at = readWords(bytes, at + ID_BYTES + 8, end);
  pendingEntry.deliveries = rdbWords.high * TWO_32 + rdbWords.low;
  return at;
}

function readConsumers(type: number, bytes: Buffer, at: number, end: number, group: RdbGroup): number {
  at = readLength(bytes, at, end);
  if (at < 0) return MALFORMED;
  const names = new Set<string>();
  for (let left = rdbLength.value; left > 0; left--) {
    at = readString(bytes, at, end, rdbStream.longest);
    if (at < 0) return MALFORMED;
    const name = copyString();
    const seenMs = timeAt(bytes, at, end, 0);
    if (!isNew(names, name) || Number.isNaN(seenMs)) return MALFORMED;
    at += 8;
    // Older versions store only one of the two times.
    let activeMs = seenMs;
    if (type === RdbStreamType.Third) {
      activeMs = timeAt(bytes, at, end, -1);
      if (Number.isNaN(activeMs)) return MALFORMED;
      at += 8;
    }
    at = readOwned(bytes, at, end, group);
    if (at < 0) return MALFORMED;
    group.consumers.push({ name, seenMs, activeMs });
    rdbStream.room += CONSUMER_OVERHEAD + name.length;
  }
  return at;
}

/** Reads the next consumer's pending entries: a rising subset of the group's, none of which has a consumer yet. */
function readOwned(bytes: Buffer, at: number, end: number, group: RdbGroup): number {
  const { pending, owners, consumers } = group;
  at = readLength(bytes, at, end);
  if (at < 0) return MALFORMED;
  let from = 0;
  for (let left = rdbLength.value; left > 0; left--, at += ID_BYTES) {
    if (end - at < ID_BYTES) return MALFORMED;
    // Binary search for the group's first pending entry that is not lower.
    let to = pending.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      const place = pending[middle]!;
      if (bytes.compare(bytes, at, at + ID_BYTES, place, place + ID_BYTES) < 0) from = middle + 1;
      else to = middle;
    }
    if (from === pending.length || owners[from] !== NOBODY) return MALFORMED;
    const place = pending[from]!;
    if (bytes.compare(bytes, at, at + ID_BYTES, place, place + ID_BYTES) !== 0) return MALFORMED;
    owners[from++] = consumers.length;
  }
  return at;
}

/** A copy of the string that readString read. */
function copyString(): Buffer {
  const { bytes, at, length } = rdbString;
  return Buffer.from(bytes.subarray(at, at + length));
}

function isNew(names: Set<string>, name: Buffer): boolean {
  const text = name.toString("latin1");
  if (names.has(text)) return false;
  names.add(text);
  return true;
}

/**
 * Reads the entries of a node one after another. The current entry's field names and values are in `bytes`, addressed like
 * a command's arguments: names are arguments 0, 2, 4 ..., values 1, 3, 5 ...
 */
export class RdbNode {
  readonly id = new StreamId();
  fields = 0;
  /** Bytes of this entry's names and of its values, each with a length prefix. */
  namesBytes = 0;
  valuesBytes = 0;
  /** The entry has the node's field names. */
  isSame = false;
  bytes: Buffer = Buffer.alloc(0);
  /** Bytes of the listpack, and whether it was compressed. */
  nodeBytes = 0;
  isUnpacked = false;
  /** Entries of the node, including deleted ones. */
  entries = 0;

  private readonly master = new StreamId();
  private source: Buffer = NOTHING;
  private at = 0;
  private end = 0;
  private left = 0;
  private live = 0;
  private names = 0;
  /** Where the node's field names end in `bytes`. */
  private namesEnd = 0;
  private textEnd = 0;
  private masterBytes = 0;
  private masters: Int32Array = new Int32Array(32);
  private runs: Int32Array = new Int32Array(64);

  argAt(i: number): number {
    return this.isSame && i % 2 === 0 ? this.masters[i]! : this.runs[i * 2]!;
  }
  argBytes(i: number): number {
    return this.isSame && i % 2 === 0 ? this.masters[i + 1]! : this.runs[i * 2 + 1]!;
  }

  clear(): void {
    this.source = NOTHING;
    if (this.bytes.length > REUSED_BYTES_MAX) this.bytes = Buffer.alloc(0);
    if (this.runs.length > REUSED_RUNS_MAX) this.runs = new Int32Array(64);
    if (this.masters.length > REUSED_RUNS_MAX) this.masters = new Int32Array(32);
  }

  /** Opens the node at `at` in the payload of `rdbStream`. Returns where it ends, or -1 when it is malformed. */
  open(at: number): number {
    const { payload, end, longest } = rdbStream;
    at = readString(payload, at, end, longest);
    if (at < 0 || rdbString.length !== ID_BYTES) return MALFORMED;
    this.master.read(rdbString.bytes, rdbString.at);
    at = readString(payload, at, end, longest);
    if (at < 0 || !isListpack(rdbString.bytes, rdbString.at, rdbString.length)) return MALFORMED;
    this.source = rdbString.bytes;
    this.isUnpacked = this.source !== payload;
    this.nodeBytes = rdbString.length;
    this.at = rdbString.at + LISTPACK_HEAD;
    this.end = rdbString.at + rdbString.length - 1;
    return this.readHead() ? at : MALFORMED;
  }

  private readHead(): boolean {
    this.live = this.integer();
    const deleted = this.integer();
    this.names = this.integer();
    if (!(this.live >= 0 && deleted >= 0 && this.names >= 0)) return false;
    this.left = this.live + deleted;
    this.entries = this.left;
    this.textEnd = 0;
    for (let i = 0; i < this.names; i++) {
      if (i * 2 + 2 > this.masters.length) this.masters = wider(this.masters);
      if (!this.text(this.masters, i)) return false;
    }
    this.namesEnd = this.textEnd;
    this.masterBytes = 0;
    for (let i = 0; i < this.names; i++) this.masterBytes += withLength(this.masters[i * 2 + 1]!);
    return this.integer() === 0;
  }

  /** Reads the next entry that is not deleted. Returns 1, 0 at the end of the node, or -1 when the node is malformed. */
  next(): number {
    while (this.left > 0) {
      this.left--;
      if (!this.readInteger()) return MALFORMED;
      const flags = element.low;
      if (!this.readDifference()) return MALFORMED;
      this.isSame = (flags & ENTRY_SAME_NAMES) !== 0;
      if (!this.readFields()) return MALFORMED;
      if ((flags & ENTRY_DELETED) !== 0) continue;
      this.live--;
      return 1;
    }
    return this.at === this.end && this.live === 0 ? 0 : MALFORMED;
  }

  private readDifference(): boolean {
    this.id.copyFrom(this.master);
    if (!this.readInteger()) return false;
    const { low, high } = element;
    if (!this.readInteger()) return false;
    this.id.add(low, high, element.low, element.high);
    return true;
  }

  private readFields(): boolean {
    const { isSame } = this;
    this.textEnd = this.namesEnd;
    this.fields = isSame ? this.names : this.integer();
    if (!(this.fields > 0)) return false;
    this.namesBytes = isSame ? this.masterBytes : 0;
    this.valuesBytes = 0;
    for (let i = 0; i < this.fields; i++) {
      if (i * 4 + 4 > this.runs.length) this.runs = wider(this.runs);
      if (!isSame) {
        if (!this.text(this.runs, i * 2)) return false;
        this.namesBytes += withLength(this.runs[i * 4 + 1]!);
      }
      if (!this.text(this.runs, i * 2 + 1)) return false;
      this.valuesBytes += withLength(this.runs[i * 4 + 3]!);
    }
    return this.integer() === ENTRY_ELEMENTS + (isSame ? this.fields : this.fields * 2 + 1);
  }

  /** Reads the next element as an integer, rounded from 2^53 on. NaN when it is not one. */
  private integer(): number {
    return this.readInteger() ? element.high * TWO_32 + (element.low >>> 0) : Number.NaN;
  }
  private readInteger(): boolean {
    const next = readElement(this.source, this.at, this.end);
    this.at = next;
    return next >= 0 && element.isInteger;
  }

  /** Copies the next element as a string, and records its place as run `i`. */
  private text(runs: Int32Array, i: number): boolean {
    const next = readElement(this.source, this.at, this.end);
    this.at = next;
    if (next < 0) return false;
    const bytes = element.isInteger ? INTEGER_TEXT_MAX : element.length;
    if (this.textEnd + bytes > this.bytes.length) {
      const more = Buffer.allocUnsafeSlow(Math.max(1024, (this.textEnd + bytes) * 2));
      this.bytes.copy(more, 0, 0, this.textEnd);
      this.bytes = more;
    }
    const at = this.textEnd;
    if (element.isInteger) {
      this.textEnd += formatInt64(this.bytes, at, element.low, element.high);
    } else {
      this.source.copy(this.bytes, at, element.at, element.at + bytes);
      this.textEnd += bytes;
    }
    runs[i * 2] = at;
    runs[i * 2 + 1] = this.textEnd - at;
    return true;
  }
}
const REUSED_BYTES_MAX = 1 << 16;
const REUSED_RUNS_MAX = 1 << 12;
const INTEGER_TEXT_MAX = 20;

function withLength(length: number): number {
  return length + numberBytes(length);
}

function wider(from: Int32Array): Int32Array {
  const to = new Int32Array(from.length * 2);
  to.set(from);
  return to;
}

/** The reader that readStream uses, and RESTORE after it. */
export const node = new RdbNode();
