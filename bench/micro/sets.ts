/**
 * Cost of sets and hashes in process, on one thread: one of a million members, one of a tenth of that, and small ones.
 *
 * Run: npm run bench -- sets [--members N] [--only word[,word]] [--rounds N]
 */
import { batches, drawn, isWanted, option, random, report, reportOnce, run, send, shuffled } from "./in-process.ts";

const members = Number(option("--members", "1000000"));
const MOST = 640_000;

run(batches(64_000, (i) => ["SADD", "warm", `m${(i * 7919) % 3000}`]));
run(batches(64_000, (i) => ["SISMEMBER", "warm", `m${(i * 7919) % 6000}`]));
run(batches(1600, () => ["SPOP", "warm"]));
run(batches(64_000, () => ["SET", "text", "value"]));
report("SET, one key", 128_000, () => ["SET", "text", "value"]);
report("SADD, one member that is there", 128_000, () => ["SADD", "one", "element:1"]);
report("SISMEMBER, set of 1", 128_000, () => ["SISMEMBER", "one", "element:1"]);
report("SPOP, key not there", 128_000, () => ["SPOP", "none"]);
report("SADD and SPOP, set of 1 (each)", 128_000, (i) => (i % 2 === 0 ? ["SADD", "two", "x"] : ["SPOP", "two"]));
report("HSET, one field that is there", 128_000, () => ["HSET", "fields", "element:1", "xxx"]);
report("HGET, hash of 1", 128_000, () => ["HGET", "fields", "element:1"]);

const small = 100_000;
for (let i = 0; i < small; i++) {
  send("HSET", `small:${drawn(i)}`, ...Array.from({ length: 10 }, (_, j) => [`field${j}`, `value${j}`]).flat());
}
const anySmall = () => `small:${drawn(random.below(small))}`;
report("HGETALL, hashes of 10", small, () => ["HGETALL", anySmall()]);
report("HMGET, hashes of 10", small, () => ["HMGET", anySmall(), "field2", "field5", "field8"]);

for (const size of [members / 10, members]) {
  const name = `of ${size}`;
  const count = Math.min(size, MOST);
  const order = shuffled(size);
  const any = () => drawn(random.below(size));
  const filled = (what: string, make: (i: number) => string[]) => {
    const each = run(batches(size, make));
    if (isWanted(what)) reportOnce(what, each);
  };
  filled(`SADD, new, ${name}`, (i) => ["SADD", `set${size}`, drawn(order[i]!)]);
  report(`SADD, there, ${name}`, count, () => ["SADD", `set${size}`, any()]);
  report(`SISMEMBER, ${name}`, count, () => ["SISMEMBER", `set${size}`, any()]);
  report(`SRANDMEMBER, ${name}`, count, () => ["SRANDMEMBER", `set${size}`]);
  filled(`HSET, new, ${name}`, (i) => ["HSET", `hash${size}`, drawn(order[i]!), "xxx"]);
  report(`HSET, there, ${name}`, count, () => ["HSET", `hash${size}`, any(), "xxx"]);
  report(`HGET, ${name}`, count, () => ["HGET", `hash${size}`, any()]);
  filled(`HSET, integers, ${name}`, (i) => ["HSET", `counts${size}`, drawn(order[i]!), "100"]);
  report(`HINCRBY, ${name}`, count, () => ["HINCRBY", `counts${size}`, any(), "1"]);
  report(`SPOP, ${name}`, size >> 5, () => ["SPOP", `set${size}`]);
}
