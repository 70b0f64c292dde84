/** Writes the whole data set as an RDB file, with all shards locked. */
import { FileFailure } from "../base/files.ts";
import type { Config } from "../base/config/config.ts";
import type { ReplicationState } from "../replication/state.ts";
import { REDIS_VERSION } from "../dispatch/services.ts";
import type { Address } from "../store/address.ts";
import { ColdFailure } from "../store/cold-stops.ts";
import type { Key } from "../store/key.ts";
import { bucketCount, keyCount } from "../store/keyspace.ts";
import { comesBackWhole, isCold, keyAt, keyBytes } from "../store/record.ts";
import { databaseSizes } from "../store/snapshot.ts";
import { ColdQueue } from "./cold-queue.ts";
import type { LoadTarget } from "./rdb-loader.ts";
import { type Dropped, type RdbFormat, RecordWriter } from "./rdb-record.ts";
import type { RdbWriter } from "./rdb-writer.ts";

export type AuxField = readonly [name: string, value: string];

/** The aux fields that Redis writes. `isBase`: the file begins an append-only file. `history`: see historyFields. */
export function auxFields(nowMs: number, usedBytes: number, isBase: boolean, history: readonly AuxField[]): AuxField[] {
  return [
    ["redis-ver", REDIS_VERSION],
    ["redis-bits", "64"],
    ["ctime", String(Math.floor(nowMs / 1000))],
    ["used-mem", String(Math.round(usedBytes))],
    ...history,
    ["aof-base", isBase ? "1" : "0"],
  ];
}

/**
 * What the data is in the history of its replication: none while there is no stream. The locks of all shards are held. A
 * replica that is loaded from the file continues there.
 */
export function historyFields(replication: ReplicationState | null): AuxField[] {
  if (replication?.stream.isOn !== true) return [];
  return [
    ["repl-stream-db", String(replication.streamDatabase)],
    ["repl-id", replication.id],
    ["repl-offset", String(replication.offset)],
  ];
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
  const records = new RecordWriter(target.store, target.collections, format, config);
  const key = target.store.newKey();
  writer.header(format.version, fields, libraries);
  const cold = new ColdQueue(target.store);
  const { readsNow } = target.store.cold;
  // The last save of a process belongs to no command that could wait for the disk.
  target.store.cold.readsNow = true;
  try {
    for (const { database, keys, expires } of databaseSizes(target.store, target.keyspaces)) {
      writer.database(database, keys, expires);
      writeDatabase(target, writer, records, key, database, cold);
      writeCold(cold, records, writer);
    }
  } finally {
    // After a failure there may be some left.
    cold.drop();
    target.store.cold.readsNow = readsNow;
  }
  writer.finish();
  return records.dropped;
}

function writeDatabase(
  target: LoadTarget,
  writer: RdbWriter,
  records: RecordWriter,
  key: Key,
  db: number,
  cold: ColdQueue,
): void {
  const { store, keyspaces } = target;
  const { index, segments } = store;
  const keyspace = keyspaces.of(db);
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
        // Trees and chunks are made anew for the file, one value at a time.
        if (isCold(segments.m, w) && !comesBackWhole(segments.m, w)) cold.add(store.cursor, db);
        else store.cold.keepingCold(() => writeReadable(store, records, writer));
      }
      if (cold.hasBatch) writeCold(cold, records, writer);
    }
  }
}

function writeReadable({ cursor }: LoadTarget["store"], records: RecordWriter, writer: RdbWriter): void {
  read(() => cursor.makeReadable());
  records.write(cursor, writer);
}

/** Writes the cold values so far. */
function writeCold(cold: ColdQueue, records: RecordWriter, writer: RdbWriter): void {
  read(() => cold.writeAll((at) => records.write(at, writer)));
}

/** Throws FileFailure when a value is cold and cannot be read: the file is not written. */
function read(work: () => void): void {
  try {
    work();
  } catch (thrown) {
    if (!(thrown instanceof ColdFailure)) throw thrown;
    throw new FileFailure("read", "a value of the disk tier", "", thrown.message);
  }
}
const chain = { addresses: new Int32Array(64) };
