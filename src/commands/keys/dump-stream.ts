/** Streams in DUMP and RESTORE payloads, in the form of Redis 7.0 (structures/rdb-stream.ts draws it). */
import { assert } from "../../base/assert.ts";
import { splitInt64, int64 } from "../../base/integers.ts";
import { WALK_STEP_BYTES } from "../../protocol/reply.ts";
import type { Member } from "../../store/members.ts";
import type { StreamValue } from "../../store/stream-value.ts";
import {
  integerBytes,
  LISTPACK_END,
  LISTPACK_HEAD,
  textBytes,
  writeHead,
  writeInteger,
  writeText,
} from "../../structures/listpack.ts";
import {
  ENTRY_ELEMENTS,
  ENTRY_SAME_NAMES,
  node,
  pendingEntry,
  RdbStreamType,
  type RdbGroup,
  rdbStream,
  readPending,
} from "../../structures/rdb-stream.ts";
import { lengthBytes, wordsBytes, writeLength, writeWords } from "../../structures/rdb-string.ts";
import { StreamId } from "../../structures/stream-id.ts";
import { Payload, type ValueSink } from "./dump-payload.ts";

// ---- writing ----

const ID_BYTES = 16;
const TWO_32 = 4294967296;
/** A node of the payload ends with a node of the stream, or when it reaches these limits. */
const NODE_BYTES = 256 << 10;
const NODE_ENTRIES = 4096;
/** Elements before the names of a node, and after them. */
const HEAD_ELEMENTS = 4;
/** Most bytes of a node's head without its names, and of an entry without names and values. */
const HEAD_ROOM = 64;
const ENTRY_ROOM = 64;

/** The payload of a stream: entries, state, groups. */
export class StreamPayload extends Payload {
  private readonly parts: Generator<void, void>;
  private isMeasured = false;
  private done = 0;
  /** Offset of the next bytes to write. */
  private to = 0;
  // For each node: its entries, its elements, and the bytes of its listpack.
  private readonly counts: number[] = [];
  private readonly elements: number[] = [];
  private readonly sizes: number[] = [];
  /** The first ID of the current node, and its names if other entries share them. */
  private readonly first = new StreamId();
  private firstNames = 0;
  private readonly difference = new StreamId();

  /** `isThird`: with the time when each consumer last read something, which Redis writes from RDB version 11 on. */
  constructor(
    private readonly stream: StreamValue,
    private readonly isThird: boolean,
  ) {
    super();
    this.parts = this.run();
  }

  step(sink: ValueSink): boolean {
    this.sink = sink;
    this.done = 0;
    return this.parts.next().done !== true;
  }

  private *run(): Generator<void, void> {
    this.bytes = 1 + lengthBytes(0);
    yield* this.measureNodes();
    this.bytes += lengthBytes(this.counts.length) - lengthBytes(0);
    yield* this.rest();
    this.isMeasured = true;
    this.sink.begin(this.isThird ? RdbStreamType.Third : RdbStreamType.Second, this.bytes);
    this.begin(9);
    this.number(0, this.counts.length);
    this.finish();
    yield* this.writeNodes();
    yield* this.rest();
    this.end();
  }

  // ---- entries ----

  private *measureNodes(): Generator<void, void> {
    const { stream, counts, elements, sizes } = this;
    const { entries } = stream;
    let last = -1;
    entries.seekRank(0);
    for (let more = entries.normalize(); more; more = entries.next()) {
      stream.openHere();
      if (last < 0 || stream.isNodeStart || sizes[last]! >= NODE_BYTES || counts[last]! >= NODE_ENTRIES) {
        this.endNode(last);
        last++;
        this.beginNode();
        counts.push(0);
        elements.push(HEAD_ELEMENTS + stream.fields);
        sizes.push(LISTPACK_HEAD + 1 + integerBytes(0, 0) * 2 + integerBytes(stream.fields, 0) + this.namesBytes());
        stream.openHere();
      }
      const isSame = this.isSame(counts[last]!);
      counts[last] = counts[last]! + 1;
      elements[last] = elements[last]! + 1 + elementsOf(stream.fields, isSame);
      sizes[last] = sizes[last]! + this.entryBytes(isSame);
      if (this.isDue()) yield;
      entries.reposition();
    }
    this.endNode(last);
  }

  /** Called when all entries of a node are measured. */
  private endNode(i: number): void {
    if (i < 0) return;
    const size = this.sizes[i]! + integerBytes(this.counts[i]!, 0);
    this.sizes[i] = size;
    this.bytes += lengthBytes(ID_BYTES) + ID_BYTES + lengthBytes(size) + size;
  }

  private *writeNodes(): Generator<void, void> {
    const { stream, counts, elements, sizes } = this;
    const { entries } = stream;
    entries.seekRank(0);
    let more = entries.normalize();
    for (let i = 0; i < counts.length; i++) {
      stream.openHere();
      this.beginNode();
      const names = this.namesBytes();
      stream.openHere();
      const at = this.room(HEAD_ROOM + names);
      const b = this.sink.bytes;
      this.to = at + writeLength(b, at, ID_BYTES);
      this.first.write(b, this.to);
      this.to += ID_BYTES;
      this.to += writeLength(b, this.to, sizes[i]!);
      this.to = writeHead(b, this.to, sizes[i]!, elements[i]!);
      for (const value of [counts[i]!, 0, stream.fields]) this.to = writeInteger(b, this.to, value, 0);
      for (let field = 0; field < stream.fields; field++) {
        stream.nextField();
        this.to = writeText(b, this.to, stream.name, stream.nameStart, stream.nameLength);
      }
      this.to = writeInteger(b, this.to, 0, 0);
      this.finish();
      for (let entry = 0; entry < counts[i]!; entry++) {
        assert(more, "a stream has as many entries as it counts");
        entries.reposition();
        stream.openHere();
        this.writeEntry(this.isSame(entry));
        if (this.isDue()) yield;
        entries.reposition();
        more = entries.next();
      }
      this.begin(1);
      this.sink.bytes[this.to++] = LISTPACK_END;
      this.finish();
    }
  }

  /** The current entry begins a node. */
  private beginNode(): void {
    this.first.copyFrom(this.stream.id);
    this.firstNames = this.stream.names;
  }

  /** True when entry `i` of the open node has the names of the node. May miss equal names that are expensive to compare. */
  private isSame(i: number): boolean {
    return i === 0 || (this.firstNames !== 0 && this.stream.names === this.firstNames);
  }

  /** Bytes of the names of the current entry, as elements. */
  private namesBytes(): number {
    const { stream } = this;
    let bytes = 0;
    for (let field = 0; field < stream.fields; field++) {
      stream.nextField();
      bytes += textBytes(stream.name, stream.nameStart, stream.nameLength);
    }
    return bytes;
  }

  /** Bytes of the current entry. Sets `difference`. */
  private entryBytes(isSame: boolean): number {
    const { stream, difference } = this;
    difference.copyFrom(stream.id);
    difference.subtract(this.first);
    let bytes = integerBytes(0, 0);
    bytes += integerBytes(difference.msLow | 0, difference.msHigh | 0);
    bytes += integerBytes(difference.sequenceLow | 0, difference.sequenceHigh | 0);
    if (!isSame) bytes += integerBytes(stream.fields, 0);
    for (let field = 0; field < stream.fields; field++) {
      stream.nextField();
      if (!isSame) bytes += textBytes(stream.name, stream.nameStart, stream.nameLength);
      bytes += textBytes(stream.value, stream.valueStart, stream.valueLength);
    }
    this.done += bytes;
    return bytes + integerBytes(elementsOf(stream.fields, isSame), 0);
  }

  private writeEntry(isSame: boolean): void {
    const { stream, difference } = this;
    this.room(this.entryBytes(isSame) + ENTRY_ROOM);
    stream.openHere();
    const b = this.sink.bytes;
    let to = writeInteger(b, this.sink.at, isSame ? ENTRY_SAME_NAMES : 0, 0);
    to = writeInteger(b, to, difference.msLow | 0, difference.msHigh | 0);
    to = writeInteger(b, to, difference.sequenceLow | 0, difference.sequenceHigh | 0);
    if (!isSame) to = writeInteger(b, to, stream.fields, 0);
    for (let field = 0; field < stream.fields; field++) {
      stream.nextField();
      if (!isSame) to = writeText(b, to, stream.name, stream.nameStart, stream.nameLength);
      to = writeText(b, to, stream.value, stream.valueStart, stream.valueLength);
    }
    this.to = writeInteger(b, to, elementsOf(stream.fields, isSame), 0);
    this.finish();
  }

  // ---- state and groups: measured and written alike ----

  private *rest(): Generator<void, void> {
    const { stream } = this;
    const [, groups] = stream.trees;
    this.begin(90);
    this.number(0, stream.count);
    this.id(stream.last);
    this.id(stream.firstId());
    this.id(stream.maxDeleted);
    this.count(stream.added);
    this.number(0, groups.count);
    this.finish();
    for (let rank = 0; rank < groups.count; rank++) {
      groups.seekRank(rank);
      groups.normalize();
      stream.loadGroupHere();
      groups.reposition();
      stream.group.name.openKey(groups.leaf, groups.at, stream.pages);
      yield* this.group();
    }
  }

  private *group(): Generator<void, void> {
    const { group } = this.stream;
    const { pending, consumers } = group;
    this.text(group.name);
    this.begin(36);
    this.id(group.last);
    if (group.entriesRead < 0) this.number(TWO_32 - 1, TWO_32 - 1);
    else this.count(group.entriesRead);
    this.number(0, pending.count);
    this.finish();
    pending.seekRank(0);
    for (let more = pending.normalize(); more; more = pending.next()) {
      group.readPending();
      this.begin(ID_BYTES + 8 + 9);
      this.wholeId(group.id);
      this.time(group.deliveredMs);
      this.count(group.deliveries);
      this.finish();
      this.done += ID_BYTES;
      if (this.isDue()) yield;
      pending.reposition();
    }
    this.begin(9);
    this.number(0, consumers.count);
    this.finish();
    for (let rank = 0; rank < consumers.count; rank++) {
      consumers.seekRank(rank);
      consumers.normalize();
      group.readConsumer();
      this.text(group.name);
      this.begin(25);
      this.time(group.seenMs);
      if (this.isThird) this.time(group.activeMs);
      const own = group.pendingOf(group.consumer);
      this.number(0, own);
      this.finish();
      let more = group.seekFirstOwned(group.consumer);
      for (let i = 0; i < own; i++) {
        assert(more, "a consumer has the entries it counts");
        group.readOwned(group.id);
        this.begin(ID_BYTES);
        this.wholeId(group.id);
        this.finish();
        this.done += ID_BYTES;
        if (this.isDue()) yield;
        group.owned.reposition();
        more = group.nextOwned(group.consumer);
      }
    }
  }

  // ---- bytes ----

  private isDue(): boolean {
    return this.done >= WALK_STEP_BYTES;
  }

  /** Begins to write up to `bytes`. Does nothing while measuring. */
  private begin(bytes: number): void {
    if (this.isMeasured) this.to = this.room(bytes);
  }
  private finish(): void {
    if (this.isMeasured) this.wrote(this.to - this.sink.at);
  }

  private number(high: number, low: number): void {
    if (this.isMeasured) this.to += writeWords(this.sink.bytes, this.to, high, low);
    else this.bytes += wordsBytes(high, low);
  }
  /** A count below 2^63, rounded to a double. */
  private count(value: number): void {
    if (value >= 2 ** 63) return this.number(0x7fffffff, TWO_32 - 1);
    this.number(Math.floor(value / TWO_32), value % TWO_32);
  }
  private id(id: StreamId): void {
    this.number(id.msHigh, id.msLow);
    this.number(id.sequenceHigh, id.sequenceLow);
  }
  private wholeId(id: StreamId): void {
    if (!this.isMeasured) {
      this.bytes += ID_BYTES;
      return;
    }
    id.write(this.sink.bytes, this.to);
    this.to += ID_BYTES;
  }
  private time(ms: number): void {
    if (!this.isMeasured) {
      this.bytes += 8;
      return;
    }
    splitInt64(ms);
    this.sink.bytes.writeInt32LE(int64.lo, this.to);
    this.sink.bytes.writeInt32LE(int64.hi, this.to + 4);
    this.to += 8;
  }
  private text(text: Member): void {
    if (this.isMeasured) this.string(text);
    else this.bytes += lengthBytes(text.length) + text.length;
    this.done += text.length;
  }
}

/** The number of elements that an entry declares. */
function elementsOf(fields: number, isSame: boolean): number {
  return ENTRY_ELEMENTS + (isSame ? fields : fields * 2 + 1);
}

// ---- reading ----

/** Creates the selected key, which was not found, from `rdbStream`. Its memory has been reserved. */
export function fillStream(stream: StreamValue): void {
  stream.create();
  for (const at of rdbStream.nodes) {
    const end = node.open(at);
    assert(end > 0, "a node that was read is sound");
    let begins = true;
    for (; node.next() > 0; begins = false) {
      stream.appendLoaded(node.id, node, node.fields, node.namesBytes, node.valuesBytes, begins);
    }
    if (!begins) stream.setLastNode(node.entries, node.nodeBytes);
  }
  stream.last.copyFrom(rdbStream.last);
  stream.maxDeleted.copyFrom(rdbStream.maxDeleted);
  stream.added = rdbStream.added;
  for (const group of rdbStream.groups) fillGroup(stream, group);
}

function fillGroup(stream: StreamValue, read: RdbGroup): void {
  const { group } = stream;
  const { name } = read;
  const entriesRead = rdbStream.isOld ? stream.addedUpTo(read.last) : read.entriesRead;
  const exists = stream.findGroup(name, 0, name.length);
  assert(!exists, "no group comes twice (RDBSTREAM-F3)");
  group.last.copyFrom(read.last);
  stream.setEntriesRead(entriesRead);
  stream.addGroup(name, 0, name.length);
  const numbers: number[] = [];
  for (const { name: consumer, seenMs, activeMs } of read.consumers) {
    const isThere = group.findConsumer(consumer, 0, consumer.length);
    assert(!isThere, "no consumer comes twice (RDBSTREAM-F3)");
    group.addConsumer(consumer, 0, consumer.length, seenMs);
    group.activeMs = activeMs;
    group.writeConsumer(consumer, 0, consumer.length);
    numbers.push(group.consumer);
  }
  for (let i = 0; i < read.pending.length; i++) {
    readPending(rdbStream.payload, read.pending[i]!, rdbStream.end);
    const { id, deliveredMs, deliveries } = pendingEntry;
    const isThere = group.findPending(id);
    assert(!isThere, "no entry is pending twice (RDBSTREAM-F3)");
    group.addPending(id, numbers[read.owners[i]!]!, deliveredMs, deliveries);
  }
  stream.finishGroup(name, 0, name.length);
}
