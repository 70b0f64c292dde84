/**
 * Goal:   the change log has of hashes what redis-server has, and deadlines of fields in absolute times.
 * Method: as in effects-strings.test.ts. What redis-server 7.0 does not know is compared with what is written here.
 */
import { test } from "bun:test";
import { useEffectFeeds } from "../support/effect-feeds.ts";

const { same, ours } = useEffectFeeds();

test("a command that changes nothing", async () => {
  await same(`
    HSET h a 1
    HSETNX h a 2
    HDEL h x
    HDEL missing x
    SADD set a
    SADD set a
    SREM set x
    ZADD sorted 1 a
    ZADD sorted 1 a
    ZREM sorted x
    LREM list 0 x
  `);
});

test("members that expire", async () => {
  await ours(`
    > DEBUG SET-ACTIVE-EXPIRE 0
    > HSET hash a 1 b 2 c 3
    HSET hash a 1 b 2 c 3
    > HPEXPIREAT hash 4000000000000 FIELDS 2 a b
    HPEXPIREAT hash 4000000000000 FIELDS 2 a b
    > SADD set a b c
    SADD set a b c
    > SPEXPIREAT set 4000000000000 MEMBERS 2 a b
    SPEXPIREAT set 4000000000000 MEMBERS 2 a b
    > ZADD sorted 1 a 2 b
    ZADD sorted 1 a 2 b
    > ZPEXPIREAT sorted 4000000000000 MEMBERS 2 a b
    ZPEXPIREAT sorted 4000000000000 MEMBERS 2 a b
    > DEBUG CLOCK SET 4000000000001
    > HGET hash a
    HDEL hash a
    > HSETNX hash b 1
    MULTI
    HDEL hash b
    HSETNX hash b 1
    EXEC
    > SREM set x
    MULTI
    SREM set b
    SREM set a
    EXEC
    > ZCARD sorted
    MULTI
    ZREM sorted b
    ZREM sorted a
    EXEC
    > ZADD sorted 1 a
    ZADD sorted 1 a
    > DEBUG CLOCK RESET
    > DEBUG SET-ACTIVE-EXPIRE 1
  `);
});
