/**
 * Shared texts: scripts, and libraries of functions, in an internal keyspace (store/keyspaces.ts), by name. All workers read and
 * write them under the lock of the name's shard, as they do keys; no command can reach them.
 */
import { assert } from "../../base/assert.ts";
import { writeLatin1 } from "../../base/bytes.ts";
import type { Maintenance } from "../../store/maintenance.ts";
import type { Key } from "../../store/key.ts";
import { KeyEvent } from "../../store/key-events.ts";
import { bucketCount, keyCount } from "../../store/keyspace.ts";
import { NO_ADDRESS, type Address } from "../../store/address.ts";
import { keyAt, keyBytes } from "../../store/record.ts";
import type { Store } from "../../store/store.ts";
import type { StringValue } from "../../store/string-value.ts";

/** A lock was not free: nothing was done, and the command runs again. */
export const Busy = Symbol("busy");
export type Busy = typeof Busy;

const NAME_BYTES_MAX = 4096;
const chain = { addresses: new Int32Array(64) };

export class SharedTexts {
  private readonly key: Key;
  private readonly name = Buffer.alloc(NAME_BYTES_MAX);

  constructor(
    private readonly store: Store,
    private readonly strings: StringValue,
    private readonly maintenance: Maintenance,
    private readonly keyspace: number,
  ) {
    this.key = store.newKey();
  }

  /** The text, null when there is none. */
  read(name: string): Buffer | null | Busy {
    let text: Buffer | null = null;
    const isRead = this.within(name, () => {
      if (this.store.find() !== NO_ADDRESS) text = this.textFound();
    });
    return isRead ? text : Busy;
  }

  /** Stores a text. Returns 0, or Status. */
  write(name: string, text: Uint8Array): number | Busy {
    let status = 0;
    const isDone = this.within(name, () => {
      const { store } = this;
      const { changes } = store;
      status = store.prepareInsert();
      if (status < 0) return;
      store.find();
      status = this.strings.setBytes(text, 0, text.length, 0, false);
      store.changes = changes;
    });
    return isDone ? status : Busy;
  }

  /** Removes a text. Returns its bytes, -1 when there was none. */
  remove(name: string): number | Busy {
    let bytes = -1;
    const isDone = this.within(name, () => {
      const { store } = this;
      if (store.find() === NO_ADDRESS) return;
      const { changes } = store;
      bytes = this.strings.lengthFound;
      store.remove(KeyEvent.Silent);
      store.changes = changes;
    });
    return isDone ? bytes : Busy;
  }

  private within(name: string, work: () => void): boolean {
    const { store, key } = this;
    assert(name.length <= NAME_BYTES_MAX, "a name of a text is short");
    writeLatin1(this.name, 0, name);
    key.load(this.name, 0, name.length);
    return store.section.within(store.shardOf(key.hashA), () => {
      store.select(this.keyspace, key);
      work();
    });
  }

  private textFound(): Buffer {
    const text = Buffer.allocUnsafe(this.strings.lengthFound);
    this.strings.read(0, text, 0, text.length);
    return text;
  }

  /** Names and texts, in order of the names. The caller holds all shard locks. */
  all(): (readonly [name: string, text: Buffer])[] {
    const { store, key } = this;
    const found: (readonly [string, Buffer])[] = [];
    for (const shard of store.shards) {
      const ks = shard.keyspace(this.keyspace);
      if (keyCount(shard.c, ks) === 0) continue;
      for (let bucket = 0; bucket < bucketCount(shard.c, ks); bucket++) {
        const count = store.index.collect(shard, ks, bucket, chain);
        for (let i = 0; i < count; i++) {
          const address = chain.addresses[i]! as Address;
          const w = store.segments.locate(shard, address);
          const { m } = store.segments;
          const bytes = keyBytes(m, w);
          const name = Buffer.from(m.buffer, m.byteOffset + keyAt(m, w) * 4, bytes).toString("latin1");
          key.loadWords(m, keyAt(m, w), bytes);
          store.selectRecord(this.keyspace, key, address);
          found.push([name, this.textFound()]);
        }
      }
    }
    return found.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Removes all texts. The caller holds all shard locks. */
  clear(): void {
    this.maintenance.emptyNow(this.keyspace);
  }
}
