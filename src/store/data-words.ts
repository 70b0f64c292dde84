/**
 * Data words: which words of the control block belong to the data set, as opposed to the process. Together with the frames in
 * use they are the data set, and another process that has both in place can use it (persistence/stop-image.ts).
 *
 *   saved   │ map of the keyspaces │ of each shard: header, tables of its keyspaces, segment table │ which libraries there are │
 *   others  │ locks, pins, positions in logs, waited and tracked keys, workers' cells, slots, channels, statistics │
 *
 * Segment files of the disk tier are entered one by one, after they were looked at (cold-files.ts).
 *
 * Invariants
 *   DATAWORDS-1  the words are saved and restored while no thread uses the data, and every shard is settled (Shard.isSettled)
 *   DATAWORDS-2  they are restored into a control block of the same geometry and seeds, in which all of them are still 0
 */
import { assert } from "../base/assert.ts";
import type { Control } from "../memory/control.ts";
import { bucketCount, tableVersion } from "./keyspace.ts";
import { Keyspaces } from "./keyspaces.ts";
import { ScriptState } from "./script-state.ts";
import { tableRange } from "./segments.ts";
import { KEYSPACE_WORDS, keyspacesIn, SAVED_RANGES, Shard } from "./shard.ts";

/** Words of the control block: pairs of first word and number, and the words themselves, one range behind the other. */
export interface DataWords {
  readonly ranges: Int32Array;
  readonly words: Int32Array;
}

function shardsOf(control: Control): Shard[] {
  return Array.from({ length: control.geometry.shards }, (_, number) => new Shard(control, number));
}

/** The first shard in which more than data is left, null = there is none. */
export function unsettledShard(control: Control): Shard | null {
  return shardsOf(control).find((shard) => !shard.isSettled) ?? null;
}

export function saveDataWords(control: Control): DataWords {
  const { i32, geometry } = control;
  const ranges: number[] = [];
  let count = 0;
  const add = ([at, words]: readonly [number, number]): void => {
    ranges.push(at, words);
    count += words;
  };
  add(new Keyspaces(control).range);
  for (const range of new ScriptState(control, 0).libraryRanges) add(range);
  for (const shard of shardsOf(control)) {
    for (const [at, words] of SAVED_RANGES) add([shard.header + at, words]);
    for (let keyspace = 0; keyspace < keyspacesIn(geometry.shardWords); keyspace++) {
      const ks = shard.keyspace(keyspace);
      if (bucketCount(i32, ks) !== 0 || tableVersion(i32, ks) !== 0) add([ks, KEYSPACE_WORDS]);
    }
    add(tableRange(shard));
  }
  const words = new Int32Array(count);
  for (let n = 0, to = 0; n < ranges.length; n += 2) {
    words.set(i32.subarray(ranges[n]!, ranges[n]! + ranges[n + 1]!), to);
    to += ranges[n + 1]!;
  }
  return { ranges: Int32Array.from(ranges), words };
}

export function restoreDataWords(control: Control, { ranges, words }: DataWords): void {
  const { i32 } = control;
  let from = 0;
  for (let n = 0; n < ranges.length; n += 2) {
    const at = ranges[n]!;
    const end = at + ranges[n + 1]!;
    assert(at >= control.keyspaceMapAt && end <= i32.length, "saved words lie in the control block");
    i32.set(words.subarray(from, from + end - at), at);
    from += end - at;
  }
  assert(from === words.length, "there are as many words as their ranges say");
}
