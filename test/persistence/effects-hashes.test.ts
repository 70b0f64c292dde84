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

test("hashes without deadlines", async () => {
  await same(`
    HSET h a 1 b 2
    HSET h a 1
    HSET h a
    HSETNX h a 2
    HSETNX h c 2
    HMSET h d 4 e 5
    HDEL h x y
    HDEL h a x
    HDEL missing x
    HINCRBY h n 4
    HINCRBY h n 0
    HINCRBY h n x
    HSET h text t
    HINCRBY h text 1
    HINCRBYFLOAT h text 1
    HINCRBYFLOAT h f 1.5
    HINCRBYFLOAT h f 1e3
    HINCRBYFLOAT fresh f -0.5
    HGET h f
    HGETALL h
    HRANDFIELD h 2
    HDEL fresh f
    HEXISTS fresh f
    SET s 1
    HSET s a 1
    HDEL s a
    HINCRBYFLOAT s a 1
  `);
});

test("a hash that expires", async () => {
  await same(`
    DEBUG SET-ACTIVE-EXPIRE 0
    HSET soon a 1
    PEXPIREAT soon 4000000000000
    HSET later a 1
    PEXPIRE later 1
    PEXPIRE soon 1
    sleep 5
    HSET soon b 2
    HDEL later a
    DEBUG SET-ACTIVE-EXPIRE 1
  `);
});

test("deadlines of fields", async () => {
  await ours(`
    > HSET h a 1 b 2 c 3 d 4
    HSET h a 1 b 2 c 3 d 4
    > HEXPIRE h 100 FIELDS 2 a b
    HPEXPIREAT h @100 FIELDS 2 a b
    > HEXPIRE h 200 NX FIELDS 3 a c x
    HPEXPIREAT h @200 FIELDS 1 c
    > HPEXPIRE h 50000 XX FIELDS 1 d
    > HPEXPIRE h 50000 GT FIELDS 1 a
    > HPEXPIRE h 150000 GT FIELDS 2 a c
    HPEXPIREAT h @150 FIELDS 1 a
    > HEXPIREAT h 4000000000 FIELDS 1 a
    HPEXPIREAT h 4000000000000 FIELDS 1 a
    > HPEXPIREAT h 4000000000001 FIELDS 1 a
    HPEXPIREAT h 4000000000001 FIELDS 1 a
    > HPEXPIREAT h 4000000000001 FIELDS 1 x
    > HPEXPIREAT h 1000 FIELDS 2 a x
    HDEL h a
    > HEXPIRE h 0 FIELDS 1 d
    HDEL h d
    > HPERSIST h FIELDS 2 b x
    HPERSIST h FIELDS 1 b
    > HPERSIST h FIELDS 1 b
    > HPERSIST missing FIELDS 1 b
    > HEXPIRE missing 100 FIELDS 1 b
    > HEXPIRE h x FIELDS 1 b
    > HEXPIRE h 0 FIELDS 2 b c
    HDEL h b c
    > EXISTS h
  `);
});

test("fields that are read or set with a deadline", async () => {
  await ours(`
    > HSETEX x FIELDS 2 a 1 b 2
    HSET x a 1 b 2
    > HSETEX x EX 100 FIELDS 1 a 1
    HSETEX x PXAT @100 FIELDS 1 a 1
    > HSETEX x KEEPTTL FIELDS 2 a 2 b 3
    HSETEX x KEEPTTL FIELDS 2 a 2 b 3
    > HSETEX x FNX FIELDS 1 a 3
    > HSETEX x FXX PXAT 4000000000000 FIELDS 1 a 3
    HSETEX x PXAT 4000000000000 FIELDS 1 a 3
    > HSETEX missing FXX FIELDS 1 a 3
    > HSETEX x PXAT 1000 FIELDS 2 a 4 z 5
    HDEL x a
    > HSETEX x PXAT 0 FIELDS 1 z 5
    > HGETEX x FIELDS 1 b
    > HGETEX x EX 100 FIELDS 2 b z
    HPEXPIREAT x @100 FIELDS 1 b
    > HGETEX x PERSIST FIELDS 2 b z
    HPERSIST x FIELDS 1 b
    > HGETEX x PERSIST FIELDS 1 b
    > HINCRBYFLOAT x n 1.5
    HSET x n 1.5
    > HPEXPIREAT x 4000000000000 FIELDS 1 n
    HPEXPIREAT x 4000000000000 FIELDS 1 n
    > HINCRBYFLOAT x n 1.5
    HSETEX x KEEPTTL FIELDS 1 n 3
    > HINCRBY x n 1
    HINCRBY x n 1
    > HGETEX x PXAT 0 FIELDS 2 n z
    HDEL x n
    > HGETDEL x FIELDS 2 z b
    HDEL x b
    > HGETDEL x FIELDS 2 z b
  `);
});

test("fields that expire before they are read or set", async () => {
  await ours(`
    > DEBUG SET-ACTIVE-EXPIRE 0
    > HSETEX y PXAT 4000000000000 FIELDS 6 a 1 b 1 c 1 d 1 e 1 f 1
    HSETEX y PXAT 4000000000000 FIELDS 6 a 1 b 1 c 1 d 1 e 1 f 1
    > HSET y stays 1
    HSET y stays 1
    > HSETEX due-1 PXAT 4000000000000 FIELDS 1 field 9
    HSETEX due-1 PXAT 4000000000000 FIELDS 1 field 9
    > DEBUG CLOCK SET 4000000000001
    > HGETEX y PERSIST FIELDS 1 a
    HDEL y a
    > HSETEX y FXX FIELDS 1 b 1
    HDEL y b
    > HINCRBY y c 5
    MULTI
    HDEL y c
    HINCRBY y c 5
    EXEC
    > HDEL y d
    HDEL y d
    > HMGET y e
    HDEL y e
    > HRANDFIELD y
    HDEL y f
    > RPUSH numbers 1 2
    RPUSH numbers 1 2
    > SORT numbers BY nosort GET due-*->field STORE sorted
    MULTI
    HDEL due-1 field
    SORT numbers BY nosort GET due-*->field STORE sorted
    EXEC
    > LRANGE sorted 0 -1
    > DEBUG CLOCK RESET
    > DEBUG SET-ACTIVE-EXPIRE 1
  `);
});
