/**
 * The collections that one worker has open. A command that works on several of a type at a time (SINTER, LMOVE) takes
 * one of each number; what it opened is valid until the command ends.
 */
import type { Collection } from "./collection.ts";
import { type HashLimits, HashValue } from "./hash-value.ts";
import { type ListLimits, ListValue } from "./list-value.ts";
import { type SetLimits, SetValue } from "./set-value.ts";
import { type SortedSetLimits, SortedSetValue } from "./sorted-set-value.ts";
import type { Store } from "./store.ts";
import { ENCODING_MASK, RecordType } from "./record.ts";
import type { StreamLimits } from "./stream-entries.ts";
import { StreamValue } from "./stream-value.ts";

/** When Redis would convert each type's small form; see the configuration's storage.*_max_listpack_*. */
export interface CollectionLimits {
  hash: HashLimits;
  list: ListLimits;
  set: SetLimits;
  sortedSet: SortedSetLimits;
  stream: StreamLimits;
}

/** Redis's names of the encodings of a type, by the number that a collection keeps. */
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

/** Readers of each type that are kept for the next one. */
const READERS_KEPT = 16;

export class Collections {
  readonly limits: CollectionLimits = {
    hash: { listpackEntries: 128, listpackValue: 64 },
    list: { listpackSize: -2 },
    set: { intsetEntries: 512, listpackEntries: 128, listpackValue: 64 },
    sortedSet: { listpackEntries: 128, listpackValue: 64 },
    stream: { nodeEntries: 100, nodeBytes: 4096 },
  };
  private readonly hashes: HashValue[] = [];
  private readonly lists: ListValue[] = [];
  private readonly sets: SetValue[] = [];
  private readonly sortedSets: SortedSetValue[] = [];
  private readonly streams: StreamValue[] = [];

  constructor(private readonly store: Store) {
    store.openCollection = () => this.openFound();
  }

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

  /** Opens the record that the store found, for who does not know its type (checkers, OBJECT, DUMP). Not for strings. */
  openFound(): Collection {
    const value = this.ofType(this.store.cursor.type);
    value.open();
    return value;
  }

  /**
   * Another of `value`'s type, open on the same tree, for a reader with a pin who outlives the command and gives it back
   * by `giveReader`.
   */
  takeReader<T extends Collection>(value: T): T {
    const reader = (this.readers[value.type]?.pop() as T | undefined) ?? value.newReader();
    reader.openPinned(value.pages.shard, value.pages.header, value.root);
    reader.encoding = value.encoding;
    reader.hasTimed = value.hasTimed;
    return reader;
  }
  giveReader(reader: Collection): void {
    this.readers[reader.type] ??= [];
    const kept = this.readers[reader.type]!;
    if (kept.length < READERS_KEPT) kept.push(reader);
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
