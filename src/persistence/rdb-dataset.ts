/**
 * Writes what the store holds as an RDB file: one record at a time, with the record's shard locked; or the whole data set,
 * with all shards locked.
 *
 * What the file's version has no form for is written without it, and counted in `dropped`: deadlines of fields below
 * version 12, and of members of sets and sorted sets in any but Ferrite's own files.
 */
import type { Address } from "../store/address.ts";
import { bucketCount, expiresCount, keyCount } from "../store/keyspace.ts";
import { Encoding, RecordType, accessClock, deadline, keyAt, keyBytes } from "../store/record.ts";
import type { Config } from "../base/config/config.ts";
import { payloadOf } from "../commands/keys/dump-collection.ts";
import type { DeadlineForms } from "../commands/keys/dump-entries.ts";
import { REDIS_VERSION } from "../dispatch/services.ts";
import type { Key } from "../store/key.ts";
import { STRING_CHUNK_BYTES } from "../store/large.ts";
import type { TimedCollection } from "../store/timed-collection.ts";
import { RDB_STRING, RDB_VERSION_FIELD_DEADLINES, writeInteger, writeLength } from "../structures/rdb-string.ts";
import type { LoadTarget } from "./rdb-loader.ts";
import type { KeyFacts, RdbWriter } from "./rdb-writer.ts";

export interface RdbFormat {
  /** 10 to 12. */
  readonly version: number;
  /** Ferrite's own forms are used where Redis has none. No other server then reads the file. */
  readonly isOwn: boolean;
  /** The checksum is written. */
  readonly sums: boolean;
}

/** Deadlines that the version has no form for: of fields, and of members of sets and sorted sets. */
export interface Dropped {
  fields: number;
  members: number;
}

/** The aux fields that Redis writes. `isBase`: the file begins an append-only file. */
export function auxFields(nowMs: number, usedBytes: number, isBase: boolean): (readonly [string, string])[] {
  return [
    ["redis-ver", REDIS_VERSION],
    ["redis-bits", "64"],
    ["ctime", String(Math.floor(nowMs / 1000))],
    ["used-mem", String(Math.round(usedBytes))],
    ["aof-base", isBase ? "1" : "0"],
  ];
}

/** Writes records into a file. */
export class RecordWriter {
  readonly dropped: Dropped = { fields: 0, members: 0 };
  private readonly keeps: DeadlineForms;
  private readonly facts: KeyFacts = { deadlineMs: 0, idleSeconds: -1, frequency: -1 };
  private readonly order: string;

  constructor(
    private readonly target: LoadTarget,
    private readonly writer: RdbWriter,
    private readonly format: RdbFormat,
    config: Config,
  ) {
    this.keeps = { ofFields: format.version >= RDB_VERSION_FIELD_DEADLINES || format.isOwn, ofMembers: format.isOwn };
    // Redis writes the access dates of the policies that use them.
    this.order = config.text("storage.maxmemory_policy").split("-")[1] ?? "";
  }

  /** Writes the key and value of the record that the store's cursor is on. Its shard's lock is held. */
  write(): void {
    const { store } = this.target;
    const { m, w, b, type } = store.cursor;
    const { facts, order } = this;
    facts.deadlineMs = deadline(m, w);
    const access = accessClock(m, w);
    facts.idleSeconds = order === "lru" ? store.access.idleSecondsOf(access) : -1;
    facts.frequency = order === "lfu" ? store.access.frequencyOf(access) : -1;
    this.writer.openKey(b, keyAt(m, w) << 2, keyBytes(m, w), facts);
    if (type === RecordType.String) this.writeString();
    else this.writeCollection();
  }

  private writeString(): void {
    const { writer } = this;
    const { store } = this.target;
    const { cursor } = store;
    writer.begin(RDB_STRING);
    if (cursor.encoding === Encoding.Int) {
      writer.ensure(24);
      writer.wrote(writeInteger(writer.bytes, writer.at, cursor.intLow, cursor.intHigh));
      return;
    }
    const length = cursor.valueBytes;
    writer.ensure(9);
    writer.wrote(writeLength(writer.bytes, writer.at, length));
    if (cursor.encoding === Encoding.Raw) return writer.range(cursor.b, cursor.rawAt, length);
    for (let done = 0; done < length; done += STRING_CHUNK_BYTES) {
      const part = Math.min(STRING_CHUNK_BYTES, length - done);
      writer.ensure(part);
      store.large.read(cursor.shard, cursor.node, done, writer.bytes, writer.at, part);
      writer.wrote(part);
    }
  }

  private writeCollection(): void {
    const { target, keeps, dropped, format } = this;
    const { nowMs } = target.store;
    const value = target.collections.openFound();
    if (value.hasTimed) {
      // What has no member left that is not due is gone for commands.
      const due = (value as TimedCollection).countDueAt(nowMs);
      if (due === value.entries.count) return;
      if (value.type !== RecordType.Hash && !keeps.ofMembers) dropped.members += value.timed - due;
      if (value.type === RecordType.Hash && !keeps.ofFields) dropped.fields += value.timed - due;
    }
    const payload = payloadOf(value, nowMs, format.version, keeps);
    while (payload.step(this.writer));
  }
}

/** Writes a whole file. All shard locks are held. Returns what was dropped. */
export function writeDataset(
  target: LoadTarget,
  writer: RdbWriter,
  format: RdbFormat,
  config: Config,
  fields: readonly (readonly [string, string])[],
  libraries: readonly Uint8Array[],
): Dropped {
  const records = new RecordWriter(target, writer, format, config);
  const key = target.store.newKey();
  writer.header(format.version, fields, libraries);
  for (let db = 0; db < target.keyspaces.databases; db++) writeDatabase(target, writer, records, key, db);
  writer.finish();
  return records.dropped;
}

function writeDatabase(target: LoadTarget, writer: RdbWriter, records: RecordWriter, key: Key, db: number): void {
  const { store, keyspaces } = target;
  const { index, segments } = store;
  const keyspace = keyspaces.of(db);
  let keys = 0;
  let expires = 0;
  for (const shard of store.shards) {
    const ks = shard.keyspace(keyspace);
    keys += keyCount(shard.c, ks);
    expires += expiresCount(shard.c, ks);
  }
  if (keys === 0) return;
  writer.database(db, keys, expires);
  for (const shard of store.shards) {
    const ks = shard.keyspace(keyspace);
    if (keyCount(shard.c, ks) === 0) continue;
    for (let bucket = 0; bucket < bucketCount(shard.c, ks); bucket++) {
      const count = index.collect(shard, ks, bucket, chain);
      for (let i = 0; i < count; i++) {
        const address = chain.addresses[i]! as Address;
        const w = segments.locate(shard, address);
        key.loadWords(segments.m, keyAt(segments.m, w), keyBytes(segments.m, w));
        store.selectRecord(keyspace, key, address);
        records.write();
      }
    }
  }
}
const chain = { addresses: new Int32Array(64) };
