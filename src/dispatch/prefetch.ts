/**
 * Prefetch: looks up the commands of a batch and overlaps their memory accesses, before the first of them runs. Every loop
 * does one step for all commands, so that the processor has as many of their cache misses in flight as it can:
 *
 *   names and key hashes ─ where each bucket is ─ a load from each bucket ─ which slot matches ─ a load from each record
 *   ─ members that the commands name in large collections (store/member-prefetch.ts)
 *
 * No lock is held, so the results are hints. `select` passes a hint to the index, which uses it under the lock if the
 * table has not changed.
 */
import type { Parser } from "../protocol/parser.ts";
import { BATCH_MAX } from "../protocol/parser.ts";
import type { Key } from "../store/key.ts";
import type { Store } from "../store/store.ts";
import type { CommandTable } from "./command-table.ts";
import type { LoadShare } from "./load-share.ts";
import { type CommandSpec, MemberPlaces } from "./spec.ts";

/** Longest key that is hashed here. The dispatcher hashes longer ones when their command runs. */
const AHEAD_KEY_BYTES = 256;
/** Words from a record's header to the next cache line, in which the value of a small record lies. */
const VALUE_LINE_WORDS = 20;

export class Prefetch {
  /** Table index of each command of the batch, -1 = unknown. */
  readonly commandOf = new Int32Array(BATCH_MAX);
  /**
   * Position of each command in a sequence of commands with the same name and key, 0 = the first. The entry after the last
   * command is 0.
   */
  readonly repeats = new Uint8Array(BATCH_MAX + 1);
  /** 1 = the first key of the command was hashed. */
  private readonly isHashed = new Uint8Array(BATCH_MAX);
  private readonly keys: Key[] = [];
  /** Index into `keys` of each command's key. A repeated command shares the key of the command before. */
  private readonly keyOf = new Int32Array(BATCH_MAX + 1);
  /** Position of each key's bucket. See Index.prefetchBucket. */
  private readonly tableOf = new Int32Array(BATCH_MAX);
  private readonly bucketWord = new Int32Array(BATCH_MAX);
  private readonly bucketRegion = new Int32Array(BATCH_MAX);
  private readonly version = new Int32Array(BATCH_MAX);
  /** Slot of each key in its bucket, and its record; see Index.prefetchSlot. */
  private readonly slot = new Int32Array(BATCH_MAX);
  private readonly recordWord = new Int32Array(BATCH_MAX);
  private readonly recordRegion = new Int32Array(BATCH_MAX);
  /** Which arguments of each command are members (MemberPlaces), and the number of its first prefetched member. */
  private readonly membersOf = new Uint8Array(BATCH_MAX);
  private readonly firstMember = new Int32Array(BATCH_MAX + 1);
  private hasBuckets = false;
  /** This worker's part of a file that is loaded, null = all commands are its own. */
  share: LoadShare | null = null;
  /** 1 = the first key of the command is another worker's. Only with `share`. */
  readonly isForeign = new Uint8Array(BATCH_MAX);
  /** Sum of the loaded words. It exists so that the compiler does not remove the loads. */
  private sum = 0;

  constructor(
    private readonly store: Store,
    private readonly table: CommandTable,
  ) {
    for (let i = 0; i < BATCH_MAX; i++) this.keys.push(store.newKey());
  }

  /** Looks up the parsed commands, and the buckets, records and members that they will read in `keyspace`. */
  prepare(parser: Parser, bytes: Buffer, keyspace: number): void {
    this.count = parser.commands;
    this.hasBuckets = parser.commands > 1;
    this.store.membersAhead.begin(bytes);
    const members = this.lookUpCommands(parser, bytes);
    if (parser.commands < 2) return;
    // SELECT or SWAPDB may change the keyspace before a command runs. A load from the wrong keyspace only costs time.
    this.locateBuckets(parser.commands, keyspace);
    this.loadBuckets(parser.commands);
    this.loadRecords(parser.commands);
    if (members !== 0) this.lookUpMembers(parser);
  }

  /** Commands of the batch. */
  count = 0;
  /** The row of command `i`, null = it is unknown. */
  specAt(i: number): CommandSpec | null {
    return this.table.all[this.commandOf[i]!] ?? null;
  }
  /** The hashed first key of command `i`, null when it was not hashed. */
  keyAt(i: number): Key | null {
    return this.isHashed[i] === 1 ? this.keys[this.keyOf[i]!]! : null;
  }

  /** As keyAt. Also passes the hints for command `i`, which runs next, to the index and to the member prefetch. */
  select(i: number): Key | null {
    this.store.index.hintWord = -1;
    if (this.isHashed[i] === 0) return null;
    const k = this.keyOf[i]!;
    if (this.hasBuckets) this.hintIndex(k);
    if (this.store.membersAhead.count > 0) this.hintMembers(i);
    return this.keys[k]!;
  }

  private hintIndex(k: number): void {
    const { index } = this.store;
    index.hintWord = this.bucketWord[k]!;
    index.hintSlot = this.slot[k]!;
    index.hintRegion = this.bucketRegion[k]!;
    index.hintHash = this.keys[k]!.hashB;
    index.hintKs = this.tableOf[k]!;
    index.hintVersion = this.version[k]!;
  }

  private hintMembers(i: number): void {
    const { membersAhead } = this.store;
    membersAhead.next = this.firstMember[i]!;
    membersAhead.end = this.firstMember[i + 1]!;
  }

  /** Finds the commands in the table and hashes their first keys. Returns 0 when no command names members. */
  private lookUpCommands(parser: Parser, bytes: Buffer): number {
    const { table, commandOf, isHashed, keyOf, repeats, share } = this;
    if (share !== null) this.isForeign.fill(0);
    const { firstArgument, argumentCount, argumentAt, argumentBytes } = parser;
    const count = parser.commands;
    let members = 0;
    repeats[count] = 0;
    for (let i = 0; i < count; i++) {
      const first = firstArgument[i]!;
      const index = this.isNamedAsBefore(parser, bytes, i)
        ? commandOf[i - 1]!
        : table.find(bytes, argumentAt[first]!, argumentBytes[first]!);
      commandOf[i] = index;
      isHashed[i] = 0;
      repeats[i] = 0;
      if (index < 0 || argumentCount[i]! < 2) continue;
      const keyAt = argumentAt[first + 1]!;
      const keyBytes = argumentBytes[first + 1]!;
      if (table.firstKey[index] !== 1 || keyBytes > AHEAD_KEY_BYTES || keyAt < 0) continue;
      isHashed[i] = 1;
      members |= this.membersOf[i] = table.members[index]!;
      if (i > 0 && commandOf[i - 1] === index && isHashed[i - 1] === 1) {
        const before = firstArgument[i - 1]! + 1;
        if (argumentBytes[before] === keyBytes && equalBackward(bytes, argumentAt[before]!, keyAt, keyBytes)) {
          keyOf[i] = keyOf[i - 1]!;
          repeats[i] = (repeats[i - 1]! + 1) & 0xff;
          continue;
        }
      }
      this.keys[i]!.load(bytes, keyAt, keyBytes);
      keyOf[i] = i;
      if (share !== null) this.leaveOut(i, share);
    }
    return members;
  }

  /** A key of another worker's part needs no prefetch. */
  private leaveOut(i: number, share: LoadShare): void {
    const isForeign = !share.isHome(this.store.shardOf(this.keys[i]!.hashA).number);
    this.isForeign[i] = isForeign ? 1 : 0;
    if (isForeign) this.isHashed[i] = 0;
  }

  private locateBuckets(count: number, keyspace: number): void {
    const { store, isHashed, keyOf, tableOf, bucketWord, bucketRegion, version } = this;
    const { index, shards } = store;
    for (let i = 0; i < count; i++) {
      if (isHashed[i] === 0 || keyOf[i] !== i) continue;
      const key = this.keys[i]!;
      const ks = store.keyspaceRef(key.hashA, keyspace);
      const w = index.prefetchBucket(shards, ks, key);
      tableOf[i] = ks;
      bucketWord[i] = w;
      version[i] = index.prefetchedVersion;
      bucketRegion[i] = index.prefetchedRegion;
    }
  }

  /** The loop contains nothing but loads, so that as many cache misses as possible are in flight at once. */
  private loadBuckets(count: number): void {
    const { isHashed, keyOf, bucketWord, bucketRegion } = this;
    const regions = this.store.arena.words;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      if (isHashed[i] === 0 || keyOf[i] !== i || bucketWord[i]! < 0) continue;
      const words = regions[bucketRegion[i]!];
      if (words !== undefined) sum += words[bucketWord[i]!]! | 0;
    }
    this.sum = (this.sum + sum) | 0;
  }

  private loadRecords(count: number): void {
    const { store, isHashed, keyOf, bucketWord, bucketRegion, slot, recordWord, recordRegion } = this;
    const { index } = store;
    for (let i = 0; i < count; i++) {
      slot[i] = -1;
      if (isHashed[i] === 0 || keyOf[i] !== i || bucketWord[i]! < 0) continue;
      slot[i] = index.prefetchSlot(bucketRegion[i]!, bucketWord[i]!, this.keys[i]!.hashB);
    }
    for (let i = 0; i < count; i++) {
      recordWord[i] = -1;
      if (slot[i]! < 0) continue;
      recordWord[i] = index.prefetchRecord(store.shardOf(this.keys[i]!.hashA), bucketRegion[i]!, slot[i]!);
      recordRegion[i] = index.prefetchedRegion;
    }
    const regions = store.arena.words;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const w = recordWord[i]!;
      if (w < 0) continue;
      const words = regions[recordRegion[i]!];
      if (words !== undefined) sum += (words[w]! + words[w + VALUE_LINE_WORDS]!) | 0;
    }
    this.sum = (this.sum + sum) | 0;
  }

  /** Looks up the members that the commands of the batch name in large collections. */
  private lookUpMembers(parser: Parser): void {
    const { store, isHashed, keyOf, membersOf, firstMember, recordWord, recordRegion } = this;
    const { firstArgument, argumentCount, argumentAt, argumentBytes } = parser;
    const ahead = store.membersAhead;
    let selected = -1;
    let isTree = false;
    for (let i = 0; i < parser.commands; i++) {
      firstMember[i] = ahead.count;
      if (isHashed[i] === 0 || membersOf[i] === MemberPlaces.None) continue;
      const k = keyOf[i]!;
      if (k !== selected) {
        selected = k;
        const shard = store.shardOf(this.keys[k]!.hashA);
        isTree = recordWord[k]! >= 0 && ahead.selectTree(shard, recordRegion[k]!, recordWord[k]!);
      }
      if (!isTree) continue;
      const places = membersOf[i]!;
      let first = firstArgument[i]! + 2;
      let last = firstArgument[i]! + argumentCount[i]!;
      if (places === MemberPlaces.Third) first++;
      // ZADD's options are not parsed here. An odd number of arguments is taken for one option and then pairs.
      if (places === MemberPlaces.Scored) first += 1 + ((last - first) & 1);
      if (places === MemberPlaces.One || places === MemberPlaces.Third) last = first + 1;
      const step = places === MemberPlaces.Pairs || places === MemberPlaces.Scored ? 2 : 1;
      for (let n = first; n < last; n += step) if (!ahead.add(argumentAt[n]!, argumentBytes[n]!)) break;
    }
    firstMember[parser.commands] = ahead.count;
    if (ahead.count > 0) ahead.prefetch();
  }

  /** True when the name of command `i` equals that of the command before, byte by byte. */
  private isNamedAsBefore(parser: Parser, bytes: Buffer, i: number): boolean {
    if (i === 0) return false;
    const { firstArgument, argumentAt, argumentBytes } = parser;
    const here = firstArgument[i]!;
    const before = firstArgument[i - 1]!;
    const length = argumentBytes[here]!;
    if (argumentBytes[before] !== length) return false;
    const at = argumentAt[here]!;
    const beforeAt = argumentAt[before]!;
    return at >= 0 && beforeAt >= 0 && equalBackward(bytes, beforeAt, at, length);
  }
}

/** True when `length` bytes at `a` and `b` are equal. Compares from the end, because keys mostly differ there. */
function equalBackward(bytes: Buffer, a: number, b: number, length: number): boolean {
  for (let i = length - 1; i >= 0; i--) if (bytes[a + i] !== bytes[b + i]) return false;
  return true;
}
