/** A store over small regions in this process, and the loop of a seeded test. */
import { Encoding } from "../../src/store/record.ts";
import { NO_ADDRESS } from "../../src/store/address.ts";
import type { Keyspaces } from "../../src/store/keyspaces.ts";
import type { Shard } from "../../src/store/shard.ts";
import { HeldClock } from "../../src/base/clock.ts";
import { Random } from "../../src/base/random.ts";
import { Memory } from "../../src/server/memory.ts";
import { Maintenance } from "../../src/store/maintenance.ts";
import { checkShard } from "../../src/store/shard-check.ts";
import { Store } from "../../src/store/store.ts";
import { StringValue } from "../../src/store/string-value.ts";
import { ValueTransfer } from "../../src/store/value-transfer.ts";
import type { Key } from "../../src/store/key.ts";
import { testSeed } from "../support/random.ts";

export interface FixtureOptions {
  shards?: number;
  databases?: number;
  regions?: number;
  regionBytes?: number;
  workers?: number;
}

export const START_MS = 1_800_000_000_000;

export class Fixture {
  readonly memory: Memory;
  readonly store: Store;
  readonly strings: StringValue;
  readonly transfer: ValueTransfer;
  readonly keyspaces: Keyspaces;
  /** The first shard. */
  readonly shard: Shard;
  readonly maintenance: Maintenance;
  readonly clock = new HeldClock(START_MS, 1000);
  readonly key: Key;
  private readonly bytes = Buffer.alloc(1 << 19);

  constructor(options: FixtureOptions = {}) {
    const databases = options.databases ?? 2;
    this.memory = new Memory({
      shards: options.shards ?? 1,
      workers: options.workers ?? 2,
      databases,
      regionBytes: options.regionBytes ?? 16 << 20,
      regions: options.regions ?? 1,
      seedA: 0x1234567,
      seedB: 0x89abcde,
      hugePages: false,
    });
    this.store = new Store(this.memory.arena, 0);
    this.strings = new StringValue(this.store);
    this.transfer = new ValueTransfer(this.store, this.strings);
    this.keyspaces = this.store.keyspaces;
    this.shard = this.store.shards[0]!;
    this.maintenance = new Maintenance(this.store, { deadFraction: 0.3, mutableUnits: 0 });
    this.key = this.store.newKey();
    this.tick(0);
  }

  tick(ms: number): void {
    this.clock.advance(ms);
    this.store.setTime(this.clock.wallMs(), this.clock.monotonicMs());
  }

  /** Selects a key given as latin1 text. */
  select(key: string, keyspace = 0): void {
    const length = this.bytes.write(key, 0, "latin1");
    if (!this.key.load(this.bytes, 0, length)) throw new Error("key too long");
    this.store.select(keyspace, this.key);
  }

  set(key: string, value: Buffer, deadlineMs = 0, keyspace = 0): number {
    this.select(key, keyspace);
    this.store.section.enter(this.store.cursor.shard);
    this.store.find();
    const status = this.strings.set(value, 0, value.length, deadlineMs);
    this.store.section.leave();
    return status;
  }

  /** The value, null when there is none. */
  get(key: string, keyspace = 0): Buffer | null {
    this.select(key, keyspace);
    if (this.store.find() === NO_ADDRESS) return null;
    return this.read();
  }

  /** Bytes of the string found. */
  read(): Buffer {
    const { store } = this;
    if (store.cursor.encoding !== Encoding.Chunked) {
      this.strings.open();
      return Buffer.from(this.strings.bytes.subarray(this.strings.at, this.strings.at + this.strings.length));
    }
    const bytes = Buffer.alloc(store.cursor.valueBytes);
    store.large.read(store.cursor.shard, store.cursor.node, 0, bytes, 0, bytes.length);
    store.segments.locate(store.cursor.shard, store.cursor.address);
    return bytes;
  }

  checkAll(): number {
    let keys = 0;
    for (const shard of this.store.shards) keys += checkShard(this.store, shard);
    return keys;
  }

  /** Runs maintenance until nothing is left to do. */
  settle(limit = 100_000): void {
    for (const shard of this.store.shards) {
      for (let n = 0; this.maintenance.step(shard); n++) if (n > limit) throw new Error("maintenance never ends");
    }
    this.maintenance.releaseEmptied();
  }
}

/** Runs a randomized test; prints the seed when it fails. FERRITE_SEED=<n> replays it. */
export function seeded(run: (random: Random) => void): () => void {
  return () => {
    const seed = testSeed();
    try {
      run(new Random(seed));
    } catch (thrown) {
      console.error(`replay with FERRITE_SEED=${seed}`);
      throw thrown;
    }
  };
}

export function bytesOf(random: Random, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  random.fill(bytes, 0, length);
  return bytes;
}
