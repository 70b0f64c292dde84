/**
 * Cost of lists and streams in process, on one thread: both ends of a list, queues, the middle of a long list.
 *
 * Run: npm run bench -- lists [--elements N] [--only word[,word]] [--rounds N]
 */
import { batches, option, random, report, run, send } from "./in-process.ts";

const elements = Number(option("--elements", "1000000"));
const COUNT = 64_000;
const PART = 1000;

const clear = () => send("DEL", "list");
const filled = () => {
  clear();
  const part = Array.from({ length: PART }, () => "xxx");
  for (let i = 0; i <= COUNT / PART; i++) send("RPUSH", "list", ...part);
};
run(batches(COUNT, () => ["LPUSH", "list", "xxx"]));
run(batches(COUNT, () => ["RPOP", "list"]));
report("LPUSH", COUNT, () => ["LPUSH", "list", "xxx"], undefined, clear);
report("RPUSH", COUNT, () => ["RPUSH", "list", "xxx"], undefined, clear);
report("LPOP", COUNT, () => ["LPOP", "list"], undefined, filled);
report("RPOP", COUNT, () => ["RPOP", "list"], undefined, filled);
for (const length of [10, 400, 10_000]) {
  clear();
  for (let i = 0; i < length; i++) send("RPUSH", "list", `element ${i}`);
  report(`queue of ${length}: RPUSH and LPOP (each)`, COUNT, (i) =>
    i % 2 === 0 ? ["RPUSH", "list", "another one"] : ["LPOP", "list"],
  );
}
report("LLEN", COUNT, () => ["LLEN", "list"]);
report("LRANGE 0 9", COUNT, () => ["LRANGE", "list", "0", "9"]);

for (let i = 0; i < elements / PART; i++) {
  send("RPUSH", "long", ...Array.from({ length: PART }, (_, j) => `element ${i * PART + j}`));
}
const anywhere = () => String(random.below(elements));
report("LINDEX near the ends, of many", COUNT, (i) => [
  "LINDEX",
  "long",
  String(i % 2 === 0 ? i % 100 : -1 - (i % 100)),
]);
report("LINDEX anywhere, of many", COUNT, () => ["LINDEX", "long", anywhere()]);
report("LSET anywhere, of many", COUNT, () => ["LSET", "long", anywhere(), "another value"]);
report("LRANGE of 100 anywhere, of many", COUNT >> 3, () => {
  const from = random.below(elements - 100);
  return ["LRANGE", "long", String(from), String(from + 99)];
});

const cleared = () => send("DEL", "stream");
report("XADD of one field", COUNT, () => ["XADD", "stream", "*", "field", "value"], undefined, cleared);
report(
  "XADD MAXLEN ~ 1000",
  COUNT,
  () => ["XADD", "stream", "MAXLEN", "~", "1000", "*", "field", "value"],
  undefined,
  cleared,
);
report("XRANGE COUNT 10", COUNT, () => ["XRANGE", "stream", "-", "+", "COUNT", "10"]);
