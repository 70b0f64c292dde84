/**
 * Collections: the objects through which one worker opens collections. A command that uses several of a type at a time
 * (SINTER, LMOVE) numbers them. An open collection is valid until the command ends.
 */
import type { Collection } from "./collection.ts";
import { type HashLimits, HashValue } from "./hash-value.ts";
import { type ListLimits, ListValue } from "./list-value.ts";
import { type SetLimits, SetValue } from "./set-value.ts";
import { type SortedSetLimits, SortedSetValue } from "./sorted-set-value.ts";
import type { FoundRecord } from "./record-cursor.ts";
import type { Store } from "./store.ts";
import { ENCODING_MASK, RecordType } from "./record.ts";
import type { StreamLimits } from "./stream-entries.ts";
import { StreamValue } from "./stream-value.ts";

/** The limits at which Redis would convert each type's compact encoding. See storage.*_max_listpack_* of the configuration. */
export interface CollectionLimits {
  hash: HashLimits;
  list: ListLimits;
  set: SetLimits;
  sortedSet: SortedSetLimits;
  stream: StreamLimits;
}

/** Redis's names of a type's encodings, by `Collection.encoding`. */
const ENCODING_NAMES: Record<RecordType, readonly string[]> = {
  [RecordType.String]: [],
  [RecordType.List]: ["listpack", "quicklist"],
  [RecordType.Set]: ["intset", "listpack", "hashtable"],
  [RecordType.SortedSet]: ["listpack", "skiplist"],
  [RecordType.Hash]: ["listpack", "hashtable", "listpackex"],
  [RecordType.Stream]: ["stream"],
};

/** Redis's name of a collection's encoding. */
export function encodingName(type: RecordType, encoding: number): string {
  return ENCODING_NAMES[type][encoding & ENCODING_MASK] ?? "unknown";
}

/** Most unused readers of each type that are kept for reuse. */
const READERS_MAX = 16;

export class Collections {
  private readonly hashes: HashValue[] = [];
  private readonly lists: ListValue[] = [];
  private readonly sets: SetValue[] = [];
  private readonly sortedSets: SortedSetValue[] = [];
  private readonly streams: StreamValue[] = [];

  /** `limits`: those of other collections of this store, for a reader beside them; null = its own. */
  constructor(
    private readonly store: Store,
    limits: CollectionLimits | null,
  ) {
    this.limits = limits ?? {
      hash: { listpackEntries: 128, listpackValue: 64 },
      list: { listpackSize: -2 },
      set: { intsetEntries: 512, listpackEntries: 128, listpackValue: 64 },
      sortedSet: { listpackEntries: 128, listpackValue: 64 },
      stream: { nodeEntries: 100, nodeBytes: 4096 },
    };
    if (limits === null) store.openCollection = () => this.openFound();
  }
  readonly limits: CollectionLimits;

  hash(number = 0): HashValue {
    this.hashes[number] ??= new HashValue(this.store, this.limits.hash);
    return this.hashes[number];
  }

  list(number = 0): ListValue {
    this.lists[number] ??= new ListValue(this.store, this.limits.list);
    return this.lists[number];
  }
  set(number = 0): SetValue {
    this.sets[number] ??= new SetValue(this.store, this.limits.set);
    return this.sets[number];
  }

  sortedSet(number = 0): SortedSetValue {
    this.sortedSets[number] ??= new SortedSetValue(this.store, this.limits.sortedSet);
    return this.sortedSets[number];
  }

  stream(number = 0): StreamValue {
    this.streams[number] ??= new StreamValue(this.store, this.limits.stream);
    return this.streams[number];
  }

  /** Opens the record that the store found, whatever its type (for checkers, OBJECT and DUMP). Not for strings. */
  openFound(): Collection {
    return this.openRecord(this.store.cursor);
  }

  /** As openFound, for a record that another cursor is on. */
  openRecord(at: FoundRecord): Collection {
    const value = this.ofType(at.type);
    value.openRecord(at);
    return value;
  }

  /**
   * Opens the tree of `value` in another object of its type, for a reader with a pin that outlives the command. The reader
   * ends with `releaseReader`.
   */
  acquireReader<T extends Collection>(value: T): T {
    const reader = (this.readers[value.type]?.pop() as T | undefined) ?? value.newReader();
    reader.openPinned(value.pages.shard, value.root);
    reader.encoding = value.encoding;
    reader.hasTimed = value.hasTimed;
    return reader;
  }
  releaseReader(reader: Collection): void {
    this.readers[reader.type] ??= [];
    const unused = this.readers[reader.type]!;
    if (unused.length < READERS_MAX) unused.push(reader);
  }
  private readonly readers: Collection[][] = [];

  private ofType(type: RecordType): Collection {
    if (type === RecordType.Hash) return this.hash();
    if (type === RecordType.List) return this.list();
    if (type === RecordType.Set) return this.set();
    if (type === RecordType.SortedSet) return this.sortedSet();
    if (type === RecordType.Stream) return this.stream();
    throw new Error(`no collection of type ${type} in this version`);
  }
}
