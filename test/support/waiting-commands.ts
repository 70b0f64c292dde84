/**
 * Random commands that wait for lists, sorted sets and streams, for a short time, and commands that fill these keys. Sent by
 * several clients at a time they serve each other.
 */
import type { SeededRandom } from "./random.ts";

const LISTS = ["wait-list-0", "wait-list-1", "wait-list-2"];
const SORTED_SETS = ["wait-sorted-0", "wait-sorted-1"];
const STREAMS = ["wait-stream-0", "wait-stream-1"];
const WAIT_SECONDS = "0.01";
const WAIT_MS = "10";

/** A command that blocks while there is nothing for it. */
export function waitingCommand(random: SeededRandom): string[] {
  const [list, other] = [random.pick(LISTS), random.pick(LISTS)];
  const [sorted, also] = [random.pick(SORTED_SETS), random.pick(SORTED_SETS)];
  const reader = ["XREADGROUP", "GROUP", "group", `consumer-${random.below(5)}`];
  return random.pick([
    ["BLPOP", list, other, WAIT_SECONDS],
    ["BRPOP", list, other, WAIT_SECONDS],
    ["BLMPOP", WAIT_SECONDS, "2", list, other, random.pick(["LEFT", "RIGHT"]), "COUNT", String(random.between(1, 4))],
    ["BLMOVE", list, other, random.pick(["LEFT", "RIGHT"]), random.pick(["LEFT", "RIGHT"]), WAIT_SECONDS],
    ["BRPOPLPUSH", list, other, WAIT_SECONDS],
    ["BZPOPMIN", sorted, also, WAIT_SECONDS],
    ["BZPOPMAX", sorted, also, WAIT_SECONDS],
    ["BZMPOP", WAIT_SECONDS, "2", sorted, also, random.pick(["MIN", "MAX"]), "COUNT", String(random.between(1, 4))],
    [...reader, "BLOCK", WAIT_MS, "STREAMS", random.pick(STREAMS), ">"],
    [...reader, "COUNT", "1", "BLOCK", WAIT_MS, "STREAMS", ...STREAMS, ">", ">"],
    [...reader, "NOACK", "BLOCK", WAIT_MS, "STREAMS", random.pick(STREAMS), ">"],
    ["SELECT", String(random.below(2))],
  ]);
}

/** A command that fills such keys, or takes from them. */
export function fillingCommand(random: SeededRandom): string[] {
  const [list, other] = [random.pick(LISTS), random.pick(LISTS)];
  const sorted = random.pick(SORTED_SETS);
  const stream = random.pick(STREAMS);
  const elements = Array.from({ length: random.between(1, 2) }, () => `e${random.below(1000)}`);
  return random.weighted<() => string[]>([
    [30, () => [random.pick(["LPUSH", "RPUSH"]), list, ...elements]],
    [4, () => ["LMOVE", list, other, "LEFT", "RIGHT"]],
    [1, () => ["RENAME", list, other]],
    [1, () => ["COPY", list, other, "REPLACE"]],
    [15, () => ["ZADD", sorted, ...elements.flatMap((element, i) => [String(i), element])]],
    [3, () => ["ZUNIONSTORE", sorted, "2", ...SORTED_SETS]],
    [15, () => ["XADD", stream, ...random.pick([[], ["MAXLEN", "~", "20"]]), "*", ...elements.flatMap((e) => [e, e])]],
    [6, () => ["XGROUP", "CREATE", stream, "group", random.pick(["0", "$"]), "MKSTREAM"]],
    [2, () => ["XAUTOCLAIM", stream, "group", "claimer", "0", "0", "COUNT", "3"]],
    [1, () => ["DEL", random.pick([sorted, stream])]],
    [3, () => ["SELECT", String(random.below(2))]],
    [1, () => ["SWAPDB", "0", "1"]],
  ])();
}
