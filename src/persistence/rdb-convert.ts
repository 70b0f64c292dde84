/**
 * Rewrites an RDB file as one of another version, in constant memory. Values of types that the version knows are copied as they
 * are. The others are written in an older form, and the facts that this form lacks are counted.
 *
 *   24, 25 hash with deadlines of fields       below version 12: 4   the deadlines are dropped
 *   222 hash of Valkey 9                       24, below version 12 as that
 *   226 string in a segment file               refused: the value is elsewhere
 *   224 set, 225 sorted set, Ferrite's own     2 and 5               the deadlines are dropped
 *   21 stream                                  below version 11: 19  the times at which consumers were last active are dropped
 *   20 set                                     below version 11: 2
 *
 * A member whose deadline has passed is left out, because without its deadline it would come back.
 */
import { BadFile, type FileReader } from "../base/file-reader.ts";
import { RdbKind, rdbItems, RdbType } from "../structures/rdb-collection.ts";
import { RDB_VERSION_FIELD_DEADLINES } from "../structures/rdb-string.ts";
import { NOT_GIVEN, RdbItem, RdbReader } from "./rdb-reader.ts";
import type { Dropped } from "./rdb-record.ts";
import type { RdbWriter } from "./rdb-writer.ts";

const STREAM_2 = 19;
const STREAM_3 = 21;
/** The version that brought types 20 and 21. */
const VERSION_7_2 = 11;

/** The result of a conversion. */
export interface Converted extends Dropped {
  readonly version: number;
  readonly keys: number;
  /** Times at which consumers of streams were last active. */
  readonly activeTimes: number;
}

class Converter {
  readonly dropped: Dropped = { fields: 0, members: 0, kept: 0 };
  activeTimes = 0;
  private readonly rdb: RdbReader;

  constructor(
    private readonly reader: FileReader,
    private readonly writer: RdbWriter,
    private readonly version: number,
    private readonly nowMs: number,
  ) {
    this.rdb = new RdbReader(reader, true, crypto.getRandomValues(new Int32Array(1))[0]!);
  }

  run(): Converted {
    const { rdb, writer, version } = this;
    writer.header(version, [], []);
    for (let item = rdb.next(); item !== RdbItem.End; item = rdb.next()) {
      if (item === RdbItem.Field) writer.field(rdb.name, rdb.text);
      else if (item === RdbItem.Library) writer.library(rdb.library);
      else if (item === RdbItem.Database) writer.select(rdb.database);
      else if (item === RdbItem.Sizes) writer.sizes(rdb.keys, rdb.expires);
      else this.key();
    }
    writer.finish();
    return { version: rdb.version, keys: writer.keys, activeTimes: this.activeTimes, ...this.dropped };
  }

  private key(): void {
    const { rdb, writer } = this;
    writer.openKey(rdb.key, 0, rdb.keyBytes, {
      // 0 would mean none, and a deadline of 1970 has passed all the same.
      deadlineMs: rdb.deadlineMs === NOT_GIVEN ? 0 : Math.max(1, rdb.deadlineMs),
      idleSeconds: rdb.idleSeconds,
      frequency: rdb.frequency,
    });
    if (rdb.isLong) return this.longString();
    if (rdb.isReference)
      throw new BadFile(rdb.keyOffset, `the value of key ${rdb.keyText()} is in segment file ${rdb.reference.file}`);
    // Every value is decoded, so that no damage is copied.
    const kind = rdb.decode();
    switch (rdb.type) {
      case RdbType.HashDeadlines:
      case RdbType.HashListpackDeadlines:
        return this.version < RDB_VERSION_FIELD_DEADLINES ? this.hash() : this.copy(rdb.type);
      case RdbType.HashMoments:
        return this.version < RDB_VERSION_FIELD_DEADLINES ? this.hash() : this.timedHash();
      case RdbType.SetDeadlines:
      case RdbType.SortedSetDeadlines:
        return this.members(kind);
      case RdbType.SetListpack:
        return this.version < VERSION_7_2 ? this.members(kind) : this.copy(rdb.type);
      case STREAM_3:
        return this.version < VERSION_7_2 ? this.stream() : this.copy(rdb.type);
      default:
        return this.copy(rdb.type);
    }
  }

  private longString(): void {
    const { rdb, writer } = this;
    writer.begin(rdb.type);
    writer.length(rdb.longBytes);
    for (let length = rdb.part(); length > 0; length = rdb.part()) writer.range(rdb.partBytes, rdb.partAt, length);
  }

  /** Copies the value as it is. */
  private copy(type: number): void {
    const { reader, writer } = this;
    writer.begin(type);
    writer.range(reader.window, reader.heldAt, reader.start - reader.heldAt);
  }

  // ---- without deadlines ----

  private isDue(i: number): boolean {
    const deadline = rdbItems.deadlineOf(i);
    return deadline !== 0 && deadline <= this.nowMs;
  }

  /** Members that stay of the `members` that were decoded; `each` hears of each. */
  private live(members: number, each: (i: number) => void): void {
    for (let i = 0; i < members; i++) if (!this.isDue(i)) each(i);
  }

  /** Counts the members that stay, and those of them whose deadline is dropped. */
  private counts(members: number): { live: number; timed: number } {
    let live = 0;
    let timed = 0;
    this.live(members, (i) => {
      live++;
      if (rdbItems.deadlineOf(i) !== 0) timed++;
    });
    return { live, timed };
  }

  private hash(): void {
    const { writer, dropped } = this;
    const fields = rdbItems.count / 2;
    const { live, timed } = this.counts(fields);
    dropped.fields += timed;
    if (live === 0) return;
    writer.begin(RdbType.Hash);
    writer.length(live);
    this.live(fields, (i) => {
      this.item(i * 2);
      this.item(i * 2 + 1);
    });
  }

  /** Writes type 24. */
  private timedHash(): void {
    const { writer } = this;
    const fields = rdbItems.count / 2;
    const { live } = this.counts(fields);
    if (live === 0) return;
    let least = 0;
    this.live(fields, (i) => {
      const deadline = rdbItems.deadlineOf(i);
      if (deadline !== 0 && (least === 0 || deadline < least)) least = deadline;
    });
    writer.begin(RdbType.HashDeadlines);
    writer.milliseconds(least);
    writer.length(live);
    this.live(fields, (i) => {
      const deadline = rdbItems.deadlineOf(i);
      writer.length(deadline === 0 ? 0 : deadline - least + 1);
      this.item(i * 2);
      this.item(i * 2 + 1);
    });
  }

  private members(kind: RdbKind): void {
    const { writer, dropped } = this;
    const { count } = rdbItems;
    const { live, timed } = this.counts(count);
    dropped.members += timed;
    if (live === 0) return;
    const isScored = kind === RdbKind.SortedSet;
    writer.begin(isScored ? RdbType.SortedSet : RdbType.Set);
    writer.length(live);
    this.live(count, (i) => {
      this.item(i);
      if (isScored) writer.double(rdbItems.scores[i]!);
    });
  }

  private item(i: number): void {
    const length = rdbItems.lengthOf(i);
    this.writer.length(length);
    this.writer.range(rdbItems.sourceOf(i), rdbItems.atOf(i), length);
  }

  // ---- streams ----

  /** Type 19 is type 21 without a time for each consumer. */
  private stream(): void {
    const { reader, writer, rdb } = this;
    const { heldAt, start } = reader;
    const times = rdb.activeTimesOf();
    this.activeTimes += times.length;
    writer.begin(STREAM_2);
    let from = heldAt;
    for (const at of times) {
      writer.range(reader.window, from, at - from);
      from = at + 8;
    }
    writer.range(reader.window, from, start - from);
  }
}

/** Reads a whole RDB file, and writes it as `version` (10 to 12). Throws BadFile and FileFailure. */
export function convertRdb(reader: FileReader, writer: RdbWriter, version: number, nowMs: number): Converted {
  return new Converter(reader, writer, version, nowMs).run();
}
