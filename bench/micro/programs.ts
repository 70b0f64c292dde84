/**
 * Cost of scripts and transactions in process, on one thread, beside the same commands alone.
 *
 * Run: npm run bench -- programs [--only word[,word]] [--rounds N]
 */
import { createHash } from "node:crypto";
import { random, report, send } from "./in-process.ts";

const COUNT = 160_000;
const sha = (script: string) => createHash("sha1").update(script).digest("hex");

const ONE = "return 1";
const GET = "return redis.call('GET', KEYS[1])";
const UNDECLARED = "return redis.call('GET', 'k' .. ARGV[1])";
const LIMITER = `local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
if n > tonumber(ARGV[2]) then return 0 end
return 1`;

for (const script of [ONE, GET, UNDECLARED, LIMITER]) send("SCRIPT", "LOAD", script);
send("SET", "k", "value");

report("PING", COUNT, () => ["PING"]);
report("GET", COUNT, () => ["GET", "k"]);
report("INCR", COUNT, () => ["INCR", "i"]);
report("EVALSHA one", COUNT, () => ["EVALSHA", sha(ONE), "0"]);
report("EVALSHA get", COUNT, () => ["EVALSHA", sha(GET), "1", "k"]);
report("EVALSHA undeclared", COUNT, () => ["EVALSHA", sha(UNDECLARED), "0", ""]);
report("EVALSHA limiter", COUNT, () => ["EVALSHA", sha(LIMITER), "1", "limit", "60", "1000000000"]);

const key = () => `key:${random.below(100_000)}`;
report("SET of random keys", COUNT, () => ["SET", key(), "value"]);
// 12 commands and a filler of 4, so that a batch holds whole transactions
report("MULTI, ten SETs, EXEC (each command)", COUNT, (i) => {
  const at = i % 16;
  if (at === 0) return ["MULTI"];
  if (at === 11) return ["EXEC"];
  return at > 11 ? ["PING"] : ["SET", key(), "value"];
});
