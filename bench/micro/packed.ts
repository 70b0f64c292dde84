/**
 * Cost of small hashes and sets in process, on one thread: packed pages of 10 and of 100 members, and trees that are
 * listpacks in Redis, whose members keep the order in which they came (structures/ordered.ts).
 *
 * Run: npm run bench -- packed [--only word[,word]] [--rounds N]
 */
import { random, report, send } from "./in-process.ts";

const KEYS = 1000;
const anyKey = (name: string) => `${name}:${random.below(KEYS)}`;

for (const [name, fields, valueBytes] of [
  ["page of 10", 10, 10],
  ["page of 100", 100, 10],
  ["ordered tree of 400", 400, 60],
] as const) {
  const value = "v".repeat(valueBytes);
  const field = () => `field:${random.below(fields)}`;
  for (let key = 0; key < KEYS; key++) {
    for (let i = 0; i < fields; i++) send("HSET", `h${fields}:${key}`, `field:${i}`, value);
  }
  report(`HSET, there, ${name}`, 128_000, () => ["HSET", anyKey(`h${fields}`), field(), value]);
  report(`HGET, ${name}`, 128_000, () => ["HGET", anyKey(`h${fields}`), field()]);
  report(`HDEL and HSET (each), ${name}`, 64_000, (i) => {
    const key = `h${fields}:${(i >> 1) % KEYS}`;
    return i % 2 === 0 ? ["HDEL", key, "field:5"] : ["HSET", key, "field:5", value];
  });
  report(`HGETALL, ${name}`, 128_000 / fields, () => ["HGETALL", anyKey(`h${fields}`)]);
}

for (const [name, members, bytes] of [
  ["page of 10", 10, 10],
  ["page of 100", 100, 10],
  ["ordered tree of 128", 128, 64],
] as const) {
  const member = (i: number) => `${i}`.padStart(bytes, "m");
  const any = () => member(random.below(members));
  for (let key = 0; key < KEYS; key++) {
    for (let i = 0; i < members; i++) send("SADD", `s${members}:${key}`, member(i));
  }
  report(`SADD, there, ${name}`, 128_000, () => ["SADD", anyKey(`s${members}`), any()]);
  report(`SISMEMBER, ${name}`, 128_000, () => ["SISMEMBER", anyKey(`s${members}`), any()]);
  report(`SREM and SADD (each), ${name}`, 64_000, (i) => {
    const key = `s${members}:${(i >> 1) % KEYS}`;
    return [i % 2 === 0 ? "SREM" : "SADD", key, member(5)];
  });
  report(`SMEMBERS, ${name}`, 128_000 / members, () => ["SMEMBERS", anyKey(`s${members}`)]);
}
