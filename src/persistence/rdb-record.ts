/**
 * Writes records of the store into an RDB file: whole, with the record's shard locked; or a large value that is pinned, in
 * steps and without the lock.
 *
 * Deadlines that the file's version has no form for are left out and counted in `dropped`: those of fields below version
 * 12, and those of members of sets and sorted sets in all files but Ferrite's own.
 */
import type { Config } from "../base/config/config.ts";
import { payloadOf } from "../commands/keys/dump-collection.ts";
import type { DeadlineForms } from "../commands/keys/dump-entries.ts";
import type { Payload } from "../commands/keys/dump-payload.ts";
import type { Collection } from "../store/collection.ts";
import type { Collections } from "../store/collections.ts";
import { STRING_CHUNK_BYTES } from "../store/large.ts";
import { accessClock, Encoding, keyAt, keyBytes, RecordType } from "../store/record.ts";
import type { FoundRecord } from "../store/record-cursor.ts";
import { type Address, NO_ADDRESS } from "../store/address.ts";
import type { Shard } from "../store/shard.ts";
import type { Store } from "../store/store.ts";
import type { TimedCollection } from "../store/timed-collection.ts";
import {
  mayPack,
  PACKED_HEAD_MAX,
  RDB_STRING,
  RDB_VERSION_FIELD_DEADLINES,
  writeInteger,
  writeLength,
  writePacked,
} from "../structures/rdb-string.ts";
import { writeReference } from "./rdb-reference.ts";
import type { KeyFacts, RdbWriter } from "./rdb-writer.ts";

export interface RdbFormat {
  /** 10 to 12. */
  readonly version: number;
  /** Ferrite's own forms are used where Redis has none. No other server then reads the file. */
  readonly isOwn: boolean;
  /** The checksum is written. */
  readonly sums: boolean;
  /** Strings that become shorter by it are compressed, up to 64 KiB. */
  readonly compresses: boolean;
  /** Id of the manifest (segment-manifest.ts) with which strings in segment files are only referred to; "" = values are written. */
  readonly manifest?: string;
}

/**
 * Deadlines that the version has no form for: of fields, and of members of sets and sorted sets; and those that only forms
 * of Ferrite's own kept.
 */
export interface Dropped {
  fields: number;
  members: number;
  kept: number;
}

/** The form of files for other programs, as the configuration says. */
export function rdbFormat(config: Config): RdbFormat {
  return {
    version: config.number("persistence.rdb_version"),
    isOwn: false,
    sums: config.flag("persistence.rdb_checksum"),
    compresses: config.flag("persistence.rdb_compression"),
  };
}

/** The form of the base of an append-only file: Redis 7.0 reads it, as long as no member has a deadline. */
export const AOF_BASE_FORMAT: RdbFormat = { version: 10, isOwn: true, sums: true, compresses: false };

/** The form of the file of DEBUG RELOAD, which only Ferrite reads: nothing is lost. */
export const RELOAD_FORMAT: RdbFormat = { version: 12, isOwn: true, sums: true, compresses: false };

/** Log lines about the deadlines that a file lacks. */
export function droppedTexts(dropped: Dropped, format: RdbFormat): string[] {
  const texts: string[] = [];
  if (dropped.fields > 0)
    texts.push(
      `the RDB file is of version ${format.version} and lacks the deadlines of ${dropped.fields} fields of hashes: version 12 has a form for them (persistence.rdb_version)`,
    );
  if (dropped.members > 0)
    texts.push(
      `the RDB file lacks the deadlines of ${dropped.members} members of sets and sorted sets: no version has a form for them`,
    );
  return texts;
}

/** A key whose value is pinned, and how far it has been written. */
export interface PinnedValue {
  readonly shard: Shard;
  readonly pin: number;
  readonly database: number;
  readonly key: Buffer;
  readonly facts: KeyFacts;
  /** A string's node and length, and the bytes written. */
  readonly node: Address;
  readonly length: number;
  done: number;
  /** A reader of a collection's trees, null = a string; and its payload once it has begun. */
  readonly reader: Collection | null;
  payload: Payload | null;
}

export class RecordWriter {
  readonly dropped: Dropped = { fields: 0, members: 0, kept: 0 };
  private readonly keeps: DeadlineForms;
  private readonly facts: KeyFacts = { deadlineMs: 0, idleSeconds: -1, frequency: -1 };
  private readonly order: string;

  /** `collections`: those of the caller, that no command has open. */
  constructor(
    private readonly store: Store,
    private readonly collections: Collections,
    private readonly format: RdbFormat,
    config: Config,
  ) {
    this.keeps = { ofFields: format.version >= RDB_VERSION_FIELD_DEADLINES || format.isOwn, ofMembers: format.isOwn };
    // Redis writes the access dates of the policies that use them.
    this.order = config.text("storage.maxmemory_policy").split("-")[1] ?? "";
  }

  /** Writes the record that `at` is on. Its shard's lock is held. */
  write(at: FoundRecord, writer: RdbWriter): void {
    this.readFacts(at);
    writer.openKey(at.b, keyAt(at.m, at.w) << 2, keyBytes(at.m, at.w), this.facts);
    if (at.type === RecordType.String) this.writeString(at, writer);
    else this.writeCollection(at, writer);
  }

  private readFacts(at: FoundRecord): void {
    const { facts, order, store } = this;
    facts.deadlineMs = at.deadlineMs;
    const access = accessClock(at.m, at.w);
    facts.idleSeconds = order === "lru" ? store.access.idleSecondsOf(access) : -1;
    facts.frequency = order === "lfu" ? store.access.frequencyOf(access) : -1;
  }

  private writeString(at: FoundRecord, writer: RdbWriter): void {
    writer.begin(RDB_STRING);
    if (at.encoding === Encoding.Int) {
      writer.ensure(24);
      writer.wrote(writeInteger(writer.bytes, writer.at, at.intLow, at.intHigh));
      return;
    }
    const length = at.valueBytes;
    if (writer.compresses && at.encoding === Encoding.Raw && mayPack(length)) {
      writer.ensure(PACKED_HEAD_MAX + length);
      const packed = writePacked(writer.bytes, writer.at, at.b, at.rawAt, length);
      if (packed > 0) return writer.wrote(packed);
    }
    writer.ensure(9);
    writer.wrote(writeLength(writer.bytes, writer.at, length));
    if (at.encoding === Encoding.Raw) return writer.range(at.b, at.rawAt, length);
    for (let done = 0; done < length; ) done += this.writePart(writer, at.shard, at.node, done, length);
  }

  /** Writes the next chunk of a long string. Returns its length. */
  private writePart(writer: RdbWriter, shard: Shard, node: Address, done: number, length: number): number {
    const part = Math.min(STRING_CHUNK_BYTES, length - done);
    writer.ensure(part);
    this.store.large.read(shard, node, done, writer.bytes, writer.at, part);
    writer.wrote(part);
    return part;
  }

  private writeCollection(at: FoundRecord, writer: RdbWriter): void {
    const value = this.collections.openRecord(at);
    if (!this.isThere(value)) return;
    const payload = payloadOf(value, this.store.nowMs, this.format.version, this.keeps);
    while (payload.step(writer));
  }

  /** False when all members are due: the value is gone for commands. Otherwise counts the deadlines that are dropped. */
  private isThere(value: Collection): boolean {
    if (!value.hasTimed) return true;
    const { keeps, dropped } = this;
    const due = (value as TimedCollection).countDueAt(this.store.nowMs);
    if (due === value.entries.count) return false;
    const timed = value.timed - due;
    if (value.type === RecordType.Hash) {
      if (!keeps.ofFields) dropped.fields += timed;
      else if (this.format.version < RDB_VERSION_FIELD_DEADLINES) dropped.kept += timed;
    } else if (keeps.ofMembers) dropped.kept += timed;
    else dropped.members += timed;
    return true;
  }

  /** Writes the cold record that `at` is on as a reference. Its shard's lock is held. */
  writeReference(at: FoundRecord, writer: RdbWriter): void {
    this.readFacts(at);
    writer.openKey(at.b, keyAt(at.m, at.w) << 2, keyBytes(at.m, at.w), this.facts);
    writeReference(at, writer);
  }

  // ---- pinned ----

  /** Bytes of the value that `at` is on, as far as they lie outside its record. */
  bytesOutside(at: FoundRecord): number {
    if (at.encoding === Encoding.Chunked) return at.valueBytes;
    return at.encoding === Encoding.Tree ? this.collections.openRecord(at).wholeBytes : 0;
  }

  /** Notes everything that is needed to write the pinned value of the record at `at` later. */
  pinned(at: FoundRecord, database: number, pin: number): PinnedValue {
    this.readFacts(at);
    const start = keyAt(at.m, at.w) << 2;
    const isString = at.type === RecordType.String;
    return {
      shard: at.shard,
      pin,
      database,
      key: Buffer.from(at.b.subarray(start, start + keyBytes(at.m, at.w))),
      facts: { ...this.facts },
      node: isString ? at.node : NO_ADDRESS,
      length: isString ? at.valueBytes : 0,
      done: 0,
      reader: isString ? null : this.collections.acquireReader(this.collections.openRecord(at)),
      payload: null,
    };
  }

  /** Writes a part of a pinned value: 32 to 64 KiB. Returns false when it is complete. */
  writePinned(value: PinnedValue, writer: RdbWriter): boolean {
    if (value.reader === null) return this.writePinnedString(value, writer);
    if (value.payload === null) {
      writer.openKey(value.key, 0, value.key.length, value.facts);
      if (!this.isThere(value.reader)) return false;
      value.payload = payloadOf(value.reader, this.store.nowMs, this.format.version, this.keeps);
    }
    return value.payload.step(writer);
  }

  private writePinnedString(value: PinnedValue, writer: RdbWriter): boolean {
    const { shard, node, length } = value;
    if (value.done === 0) {
      writer.openKey(value.key, 0, value.key.length, value.facts);
      writer.begin(RDB_STRING);
      writer.ensure(9);
      writer.wrote(writeLength(writer.bytes, writer.at, length));
    }
    value.done += this.writePart(writer, shard, node, value.done, length);
    return value.done < length;
  }

  /** The value is written, or not wanted. */
  release(value: PinnedValue): void {
    if (value.reader !== null) this.collections.releaseReader(value.reader);
  }
}
