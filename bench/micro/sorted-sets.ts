/**
 * Cost of sorted sets in process, on one thread: the set of redis-benchmark's zadd, one of a million members, and many small
 * ones, by commands in pipelines of 16 through Client, Parser, Dispatcher and Store.
 *
 * Run: npm run bench -- sorted-sets [--members N] [--only word[,word]] [--rounds N]
 */
import { batches, drawn, isWanted, option, random, report, reportOnce, run, shuffled } from "./in-process.ts";

const members = Number(option("--members", "1000000"));
const score = () => String(random.below(members));
run(batches(64_000, (i) => ["ZADD", "warm", String((i * 31) % 500), `m${(i * 7919) % 3000}`]));
report("SET, one key", 100_000, () => ["SET", "text", "value"]);
report("ZADD, set of 1", 100_000, () => ["ZADD", "one", "1", "element:000000000001"]);
report("ZADD, set of 1, other score", 100_000, (i) => ["ZADD", "one", String(i % 1000), "element:000000000001"]);

const RANGE = Number(option("--range", "100000"));
report("redis-benchmark's zadd", 400_000, () => [
  "ZADD",
  "myzset",
  String(random.below(RANGE)),
  drawn(random.below(RANGE)),
]);
report("redis-benchmark's zadd, with NX", 200_000, () => [
  "ZADD",
  "myzset",
  "NX",
  String(random.below(RANGE)),
  drawn(random.below(RANGE)),
]);
report("redis-benchmark's zpopmin", 50_000, () => ["ZPOPMIN", "myzset"], 1);

if (isWanted("many") || isWanted("many: ")) {
  const order = shuffled(members);
  for (let part = 0; part < 10; part++) {
    const adding = batches(members / 10, (i) => ["ZADD", "large", score(), drawn(order[(part * members) / 10 + i]!)]);
    const each = run(adding);
    if (part % 3 === 0) reportOnce(`ZADD, new members, ${part + 1}/10 of ${members}`, each);
  }
  const count = 100_000;
  const any = () => drawn(random.below(members));
  report("many: ZADD, other score", count, () => ["ZADD", "large", score(), any()]);
  report("many: ZINCRBY 1", count, () => ["ZINCRBY", "large", "1", any()]);
  report("many: ZINCRBY by much", count, () => ["ZINCRBY", "large", String(random.below(1000)), any()]);
  report("many: ZSCORE", count, () => ["ZSCORE", "large", any()]);
  report("many: ZRANK", count, () => ["ZRANK", "large", any()]);
  report("many: ZCOUNT", count, () => ["ZCOUNT", "large", score(), score()]);
  report("many: ZRANGE of 100", count >> 3, () => {
    const from = random.below(members - 100);
    return ["ZRANGE", "large", String(from), String(from + 99)];
  });
  report("many: ZRANGE of 100 WITHSCORES", count >> 3, () => {
    const from = random.below(members - 100);
    return ["ZRANGE", "large", String(from), String(from + 99), "WITHSCORES"];
  });
  report("many: ZRANGEBYSCORE LIMIT 0 10", count, () => [
    "ZRANGEBYSCORE",
    "large",
    score(),
    "+inf",
    "LIMIT",
    "0",
    "10",
  ]);
  report("many: ZADD and ZREM (each)", count, (i) =>
    i % 2 === 0 ? ["ZADD", "large", "5", "x"] : ["ZREM", "large", "x"],
  );
  report("many: ZPOPMIN", count, () => ["ZPOPMIN", "large"], 2);
}

for (const [what, size, keys] of [
  ["tens", 10, 100_000],
  ["hundreds", 100, 1000],
] as const) {
  if (!isWanted(what)) continue;
  const any = () => `m:${random.below(size)}`;
  const key = () => `${what}:${random.below(keys)}`;
  run(
    batches(keys * size, (i) => [
      "ZADD",
      `${what}:${i % keys}`,
      String((i * 7919) % 1000),
      `m:${Math.floor(i / keys)}`,
    ]),
  );
  report(`${what}: ZADD`, 100_000, () => ["ZADD", key(), score(), any()]);
  report(`${what}: ZINCRBY 1`, 100_000, () => ["ZINCRBY", key(), "1", any()]);
  report(`${what}: ZSCORE`, 100_000, () => ["ZSCORE", key(), any()]);
  report(`${what}: ZRANK`, 100_000, () => ["ZRANK", key(), any()]);
  report(`${what}: ZRANGE 0 9`, 100_000, () => ["ZRANGE", key(), "0", "9"]);
}
