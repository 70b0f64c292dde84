/**
 * Goal:   keyspace_hits and keyspace_misses count what Redis counts, command by command.
 * Method: each command on an existing and on a missing key, at redis-server and at Ferrite, with the counters set to 0
 *         before. All commands of the table that Redis 7.0 has and that name keys are included.
 */
import { describe, expect, test } from "bun:test";
import { commandTable } from "../../src/commands/families.ts";
import { bothServers } from "../support/both-servers.ts";
import { type RespClient, show } from "../support/resp.ts";
import { requireRedis } from "../support/servers.ts";

/** The data before each command. */
const SETUP = `
SET str abcdef
SET other abcxyz
SET int 10
SETBIT bits 7 1
PFADD hll a b c
PFADD hll2 c d
HSET hash f 1 g 2
RPUSH list a b c
RPUSH list2 x
SADD set a b c
SADD set2 b c d
ZADD zset 1 a 2 b 3 c
ZADD zset2 2 b
GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
XADD stream 1-1 f v
XADD stream 1-2 f v
XGROUP CREATE stream group 0
XREADGROUP GROUP group consumer COUNT 1 STREAMS stream >
`;

/** K stands for an existing key of the line's type, and then for "none". */
const COMMANDS = `
str GET K
str GETDEL K
str GETEX K EX 100
str GETEX K PERSIST
str GETEX K
str GETSET K x
str SET K x
str SET K x GET
str SET K x NX
str SET K x XX
str SET K x NX GET
str SETNX K x
str SETEX K 100 x
str PSETEX K 100000 x
str APPEND K x
str STRLEN K
str GETRANGE K 0 1
str SUBSTR K 0 1
str SETRANGE K 1 x
str LCS K other
str LCS other K IDX
str MGET K other
str MGET other none K
list MGET K
str MSET K x other y
str MSETNX K x none2 y
int INCR K
int INCRBY K 2
int DECR K
int DECRBY K 2
int INCRBYFLOAT K 1.5
bits SETBIT K 3 1
bits GETBIT K 3
bits BITCOUNT K
bits BITCOUNT K 0 0 BIT
bits BITPOS K 1
bits BITFIELD K GET u4 0
bits BITFIELD K SET u4 0 3
bits BITFIELD K INCRBY u4 0 1
bits BITFIELD_RO K GET u4 0
bits BITOP AND result K other
bits BITOP NOT result K
hll PFADD K x
hll PFCOUNT K
hll PFCOUNT K hll2
hll PFMERGE result K hll2
hll PFMERGE K hll2
hll PFDEBUG ENCODING K
hll PFDEBUG GETREG K
hash HSET K f 2
hash HSETNX K f 2
hash HMSET K f 2
hash HGET K f
hash HGET K nothing
hash HMGET K f g
hash HGETALL K
hash HKEYS K
hash HVALS K
hash HLEN K
hash HEXISTS K f
hash HSTRLEN K f
hash HDEL K f
hash HDEL K f g
hash HINCRBY K f 1
hash HINCRBYFLOAT K f 1.5
hash HRANDFIELD K
hash HRANDFIELD K 2
hash HSCAN K 0
list LPUSH K x
list RPUSH K x
list LPUSHX K x
list RPUSHX K x
list LPOP K
list RPOP K
list LPOP K 2
list LPOP K 0
list LLEN K
list LINDEX K 0
list LRANGE K 0 -1
list LSET K 0 x
list LINSERT K BEFORE b x
list LREM K 0 a
list LTRIM K 0 1
list LPOS K b
list RPOPLPUSH K list2
list RPOPLPUSH list2 K
list LMOVE K list2 LEFT RIGHT
list LMOVE K K LEFT RIGHT
list LMPOP 1 K LEFT
list LMPOP 2 none2 K LEFT COUNT 2
list BLPOP K 0.01
list BRPOP K 0.01
list BLPOP none2 K 0.01
list BLMOVE K list2 LEFT RIGHT 0.01
list BRPOPLPUSH K list2 0.01
list BLMPOP 0.01 1 K LEFT
list BLMPOP 0.01 2 none2 K LEFT
set SADD K x
set SREM K a
set SCARD K
set SISMEMBER K a
set SMISMEMBER K a b
set SMEMBERS K
set SPOP K
set SPOP K 2
set SPOP K 0
set SRANDMEMBER K
set SRANDMEMBER K 2
set SRANDMEMBER K 0
set SMOVE K set2 a
set SMOVE set2 K b
set SMOVE K K a
set SINTER K set2
set SINTER set2 K
set SINTER K
set SINTERCARD 2 K set2
set SINTERCARD 2 set2 K
set SINTERSTORE result K set2
set SUNION K set2
set SUNIONSTORE result K set2
set SDIFF K set2
set SDIFF set2 K
set SDIFFSTORE result K set2
set SSCAN K 0
zset ZADD K 1 x
zset ZADD K XX 5 a
zset ZADD K INCR 1 a
zset ZINCRBY K 1 a
zset ZREM K a
zset ZCARD K
zset ZSCORE K a
zset ZMSCORE K a b
zset ZRANK K a
zset ZREVRANK K a
zset ZCOUNT K 1 2
zset ZLEXCOUNT K - +
zset ZRANGE K 0 -1
zset ZRANGE K 1 2 BYSCORE
zset ZREVRANGE K 0 -1
zset ZRANGEBYSCORE K 1 2
zset ZREVRANGEBYSCORE K 2 1
zset ZRANGEBYLEX K - +
zset ZREVRANGEBYLEX K + -
zset ZRANGESTORE result K 0 -1
zset ZREMRANGEBYRANK K 0 0
zset ZREMRANGEBYSCORE K 1 1
zset ZREMRANGEBYLEX K - +
zset ZPOPMIN K
zset ZPOPMAX K 2
zset ZPOPMIN K 0
zset ZMPOP 1 K MIN
zset ZMPOP 2 none2 K MIN COUNT 2
zset BZPOPMIN K 0.01
zset BZPOPMAX none2 K 0.01
zset BZMPOP 0.01 1 K MIN
zset ZRANDMEMBER K
zset ZRANDMEMBER K 2
zset ZINTER 2 K zset2
zset ZINTER 2 zset2 K
zset ZINTERCARD 2 K zset2
zset ZINTERSTORE result 2 K zset2
zset ZUNION 2 K zset2
zset ZUNION 2 K set
zset ZUNIONSTORE result 2 K zset2
zset ZDIFF 2 K zset2
zset ZDIFFSTORE result 2 K zset2
zset ZSCAN K 0
geo GEOADD K 13 38 x
geo GEODIST K Palermo Catania
geo GEOHASH K Palermo
geo GEOPOS K Palermo
geo GEORADIUS K 15 37 200 km
geo GEORADIUS K 15 37 200 km STORE result
geo GEORADIUS_RO K 15 37 200 km
geo GEORADIUSBYMEMBER K Palermo 200 km
geo GEORADIUSBYMEMBER_RO K Palermo 200 km
geo GEOSEARCH K FROMLONLAT 15 37 BYRADIUS 200 km
geo GEOSEARCHSTORE result K FROMLONLAT 15 37 BYRADIUS 200 km
stream XADD K * f v
stream XADD K NOMKSTREAM * f v
stream XLEN K
stream XRANGE K - +
stream XREVRANGE K + -
stream XDEL K 1-1
stream XTRIM K MAXLEN 1
stream XSETID K 5-5
stream XREAD STREAMS K 0
stream XREAD STREAMS K other2 0 0
stream XREAD BLOCK 10 STREAMS K $
stream XREADGROUP GROUP group consumer STREAMS K >
stream XREADGROUP GROUP group consumer STREAMS K 0
stream XACK K group 1-1
stream XPENDING K group
stream XPENDING K group - + 10
stream XCLAIM K group other 0 1-1
stream XAUTOCLAIM K group other 0 0
stream XGROUP CREATE K group2 0
stream XGROUP CREATE K group2 0 MKSTREAM
stream XGROUP SETID K group 0
stream XGROUP DESTROY K group
stream XGROUP CREATECONSUMER K group c
stream XGROUP DELCONSUMER K group consumer
stream XINFO STREAM K
stream XINFO STREAM K FULL
stream XINFO GROUPS K
stream XINFO CONSUMERS K group
str EXISTS K
str EXISTS K K none2
str DEL K
str UNLINK K
str TYPE K
str TOUCH K
str TOUCH K none2 other
str TTL K
str PTTL K
str EXPIRETIME K
str PEXPIRETIME K
str EXPIRE K 100
str EXPIRE K 100 NX
str EXPIRE K -1
str PEXPIRE K 100000
str EXPIREAT K 99999999999
str PEXPIREAT K 99999999999999
str PERSIST K
str RENAME K result
str RENAMENX K result
str RENAMENX K other
str COPY K result
str COPY K other REPLACE
str COPY other K REPLACE
str MOVE K 3
str DUMP K
list DUMP K
str OBJECT ENCODING K
str OBJECT REFCOUNT K
str OBJECT IDLETIME K
str MEMORY USAGE K
list MEMORY USAGE K
list SORT K ALPHA
list SORT K ALPHA STORE result
list SORT K BY nosort GET #
list SORT K BY w_* GET g_* ALPHA
list SORT K BY w_*->f GET str GET hash->f ALPHA
list SORT_RO K ALPHA
str SCAN 0
str KEYS *
str RANDOMKEY
str DBSIZE
str DEBUG OBJECT K
str DEBUG DIGEST-VALUE K
hash GET K
hash LLEN K
hash INCR K
hash SADD K x
hash SINTER set K
hash TTL K
hash SET K x GET
`;

/** RESTORE needs a payload, OBJECT FREQ a policy. */
const ELSEWHERE = new Set([
  "RESTORE",
  "OBJECT|FREQ",
  "WATCH",
  // The commands that a script runs count, as they do outside.
  "EVAL",
  "EVALSHA",
  "EVAL_RO",
  "EVALSHA_RO",
  "FCALL",
  "FCALL_RO",
]);

async function counters(client: RespClient, commands: readonly string[][]): Promise<string> {
  await client.command("FLUSHALL");
  await client.pipeline(
    SETUP.trim()
      .split("\n")
      .map((line) => line.split(" ")),
  );
  await client.command("CONFIG", "RESETSTAT");
  for (const args of commands) await client.command(...args);
  const text = show(await client.command("INFO", "stats"));
  return `hits ${/keyspace_hits:(\d+)/.exec(text)![1]}, misses ${/keyspace_misses:(\d+)/.exec(text)![1]}`;
}

const lines = COMMANDS.trim().split("\n");

describe("keyspace_hits and keyspace_misses", () => {
  if (!requireRedis()) return;
  const both = bothServers({ workers: 1 });

  test("every command of Redis's that names keys is among them", async () => {
    const tested = new Set(
      lines.flatMap((line) => {
        const [, name, sub] = line.split(" ");
        return [name!, `${name}|${sub}`];
      }),
    );
    const client = await both.redis!.connect();
    const missing: string[] = [];
    for (const spec of commandTable().rows) {
      if (spec.keys.first === 0 && spec.places === undefined) continue;
      if (tested.has(spec.name) || ELSEWHERE.has(spec.name)) continue;
      // Commands of newer servers cannot be compared with Redis 7.0.
      if (!show(await client.command("COMMAND", "INFO", spec.name)).includes("null")) missing.push(spec.name);
    }
    client.close();
    expect(missing).toEqual([]);
  });

  test("equal Redis's, command by command", async () => {
    const clients = [await both.redis!.connect(), await both.ferrite.connect()] as const;
    const differences: string[] = [];
    for (const line of lines) {
      const [present, ...words] = line.split(" ");
      for (const key of [present!, "none"]) {
        const args = words.map((word) => (word === "K" ? key : word));
        const [redis, ferrite] = [await counters(clients[0], [args]), await counters(clients[1], [args])];
        if (redis !== ferrite) differences.push(`${args.join(" ")}: Redis ${redis}; Ferrite ${ferrite}`);
      }
    }
    for (const client of clients) client.close();
    expect(differences).toEqual([]);
  });
});
