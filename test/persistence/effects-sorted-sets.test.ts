/**
 * Goal:   the effects of the sorted set and geo commands are those that redis-server feeds its own append-only file.
 * Method: both get the same commands with appendfsync always; what each writes for a command is compared. Deadlines of
 *         members are Ferrite's own: their effects are compared with what the test says.
 */
import { expect, test } from "bun:test";
import { useEffectFeeds } from "../support/effect-feeds.ts";
import { compareServed } from "../support/served-effects.ts";

const { same, ours, both } = useEffectFeeds();

test("scores set and incremented", async () => {
  await same(`
    ZADD z 1 a 2 b 3 c
    ZADD z 1 a
    ZADD z 1 a 4 d
    ZADD z NX 5 a
    ZADD z NX 5 e
    ZADD z XX 5 missing
    ZADD z XX 6 e
    ZADD z XX CH 6 e
    ZADD z GT 5 e
    ZADD z GT 7 e
    ZADD z LT 8 e
    ZADD z LT CH 6 e
    ZADD z INCR 1 a
    ZADD z INCR 0 a
    ZADD z NX INCR 1 a
    ZADD z XX INCR 1 missing
    ZADD z GT INCR -1 a
    ZADD z LT INCR -1 a
    ZADD z INCR nan a
    ZADD z NX XX 1 a
    ZADD z inf top
    ZADD z INCR -inf top
    ZADD missing XX 1 a
    ZADD missing XX INCR 1 a
    ZINCRBY z 1.5 a
    ZINCRBY z 0 a
    ZINCRBY z 0 new
    ZINCRBY z 3.0e0 a
    ZINCRBY z -inf top
    ZINCRBY z x a
    SET s 1
    ZADD s 1 a
    ZINCRBY s 1 a
  `);
});

test("members removed and popped", async () => {
  await same(`
    ZADD r 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h
    ZREM r a x
    ZREM r x
    ZREM missing x
    ZPOPMIN r
    ZPOPMAX r
    ZPOPMIN r 2
    ZPOPMAX r 0
    ZPOPMAX r 100
    ZPOPMIN r
    ZPOPMIN missing 2
    ZADD r 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h
    ZREMRANGEBYRANK r 0 0
    ZREMRANGEBYRANK r 50 60
    ZREMRANGEBYSCORE r (2 3
    ZREMRANGEBYSCORE r 100 200
    ZREMRANGEBYLEX missing - +
    ZREMRANGEBYRANK r 0 -1
    ZADD lex 0 a 0 b 0 c
    ZREMRANGEBYLEX lex [a (b
    ZREMRANGEBYLEX lex [x +
    ZREMRANGEBYLEX lex - +
    ZADD r 1 a
    ZREM r a b
    SET rs 1
    ZREM rs a
    ZPOPMIN rs
    ZREMRANGEBYRANK rs 0 1
  `);
});

test("what combines sorted sets and stores the result", async () => {
  await same(`
    ZADD a 1 x 2 y 3 z
    ZADD b 1 y 2 z 3 w
    SADD plain z q
    ZUNIONSTORE d 2 a b
    ZUNIONSTORE d 3 a b plain WEIGHTS 2 1.5 inf AGGREGATE MAX
    ZINTERSTORE d 2 a b AGGREGATE MIN
    ZINTERSTORE d 2 a missing
    ZINTERSTORE d 2 a missing
    ZDIFFSTORE d 2 a b
    ZDIFFSTORE d 2 a a
    ZDIFFSTORE d 2 missing a
    ZUNIONSTORE a 1 a
    ZUNIONSTORE d 1 missing
    ZUNIONSTORE d 0 a
    SET str 1
    ZUNIONSTORE d 2 a str
    ZUNIONSTORE str 1 a
    ZRANGESTORE d a 0 1
    ZRANGESTORE d a 2 inf BYSCORE
    ZRANGESTORE d a - + BYLEX LIMIT 0 2
    ZRANGESTORE d a 5 9
    ZRANGESTORE d a 5 9
    ZRANGESTORE d missing 0 1
    ZRANGESTORE a a 0 1 REV
    ZRANGESTORE str missing 0 1
    ZRANGESTORE str missing 0 1
  `);
});

test("pops from the first of several keys, which could block but need not", async () => {
  await same(`
    ZADD p 1 a 2 b 3 c 4 d 5 e 6 f 7 g
    ZMPOP 2 missing p MIN
    ZMPOP 2 missing p MAX COUNT 2
    ZMPOP 2 missing missing MAX
    BZPOPMIN missing p 0
    BZPOPMAX missing p 0
    BZMPOP 0 2 missing p MIN
    BZMPOP 0 2 missing p MIN COUNT 9
    BZMPOP 0.01 2 missing p MIN COUNT 9
    BZPOPMIN p 0.01
    SET ps 1
    BZPOPMIN ps 0
    ZMPOP 1 ps MIN
  `);
});

test("clients that waited are served behind the command that served them", async () => {
  const feeds = both();
  if (feeds === null) return;
  const found = await compareServed(
    feeds,
    `
    1> BZPOPMIN w1 w2 0
    ZADD w2 1 a 2 b
    1<
    1> BZPOPMAX w3 0
    ZADD w3 1 a 2 b
    1<
    1> BZMPOP 0 2 w4 w5 MIN COUNT 2
    ZADD w5 1 a 2 b 3 c
    1<
    1> BZMPOP 0 1 w4 MAX
    ZADD w4 1 a
    1<
    1> BZPOPMIN w6 0
    2> BZPOPMAX w6 0
    ZADD w6 1 a 2 b 3 c
    1<
    2<
    1> BZPOPMIN w7 0
    ZUNIONSTORE w7 1 w6
    1<
  `,
  );
  expect(found).toEqual([]);
});

test("geo", async () => {
  await same(`
    GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
    GEOADD g 13.361389 38.115556 Palermo
    GEOADD g NX 13.361389 38.2 Palermo
    GEOADD g XX 13.361389 38.2 Nowhere
    GEOADD g XX CH 13.361389 38.2 Palermo
    GEOADD g CH 2.3 48.8 Paris
    GEOADD missing XX 1 1 a
    GEOADD g 500 1 a
    GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km
    GEOSEARCHSTORE d g FROMMEMBER Palermo BYBOX 400 400 km ASC COUNT 1 STOREDIST
    GEOSEARCHSTORE d g FROMLONLAT 100 10 BYRADIUS 1 m
    GEOSEARCHSTORE d g FROMLONLAT 100 10 BYRADIUS 1 m
    GEOSEARCHSTORE d missing FROMLONLAT 100 10 BYRADIUS 1 m
    GEORADIUS g 15 37 200 km
    GEORADIUS g 15 37 200 km STORE d
    GEORADIUS g 15 37 200 km STOREDIST d
    GEORADIUS g 100 10 1 m STORE d
    GEORADIUS g 100 10 1 m STORE d
    GEORADIUSBYMEMBER g Palermo 200 km
    GEORADIUSBYMEMBER g Palermo 200 km STORE d
    GEORADIUSBYMEMBER g Nowhere 200 km STORE d
    SET s 1
    GEOADD s 1 1 a
    GEORADIUS s 15 37 200 km STORE d
  `);
});

test("deadlines of members", async () => {
  await ours(`
    > ZADD timed 1 a 2 b 3 c
    ZADD timed 1 a 2 b 3 c
    > ZEXPIRE timed 100 MEMBERS 2 a missing
    ZPEXPIREAT timed @100 MEMBERS 1 a
    > ZPEXPIRE timed 100000 XX MEMBERS 2 a b
    ZPEXPIREAT timed @100 MEMBERS 1 a
    > ZEXPIREAT timed 4000000000 GT MEMBERS 2 a b
    ZPEXPIREAT timed 4000000000000 MEMBERS 1 a
    > ZADD timed 1 a
    ZADD timed 1 a
    > ZADD timed 1 a
    > ZEXPIRE timed 100 MEMBERS 2 a b
    ZPEXPIREAT timed @100 MEMBERS 2 a b
    > ZINCRBY timed 1 a
    ZINCRBY timed 1 a
    > ZPERSIST timed MEMBERS 3 a b c
    ZPERSIST timed MEMBERS 2 a b
    > ZPEXPIREAT timed 1 MEMBERS 2 a x
    ZREM timed a
    > DEBUG SET-ACTIVE-EXPIRE 0
    > ZPEXPIREAT timed 4000000000000 MEMBERS 1 b
    ZPEXPIREAT timed 4000000000000 MEMBERS 1 b
    > DEBUG CLOCK SET 4000000000001
    > ZPOPMIN timed
    MULTI
    ZREM timed b
    ZPOPMIN timed
    EXEC
    > DEBUG CLOCK RESET
    > DEBUG SET-ACTIVE-EXPIRE 1
  `);
});
