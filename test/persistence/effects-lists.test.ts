/**
 * Goal:   the effects of the list commands are those that redis-server feeds its own append-only file.
 * Method: both get the same commands with appendfsync always; what each writes for a command is compared.
 */
import { expect, test } from "bun:test";
import { useEffectFeeds } from "../support/effect-feeds.ts";
import { compareServed } from "../support/served-effects.ts";

const { same, both } = useEffectFeeds();

test("pushes, pops and changes in place", async () => {
  await same(`
    LPUSH l a b c
    RPUSH l d e f
    LPUSHX l g
    RPUSHX l h
    LPUSHX missing g
    RPUSHX missing h
    LPOP l
    RPOP l
    LPOP l 2
    RPOP l 0
    LPOP missing
    LPOP missing 3
    LPOP l -1
    LSET l 0 x
    LSET l 0 x
    LSET l 99 x
    LSET l nan x
    LSET missing 0 x
    LINSERT l BEFORE x w
    LINSERT l AFTER x y
    LINSERT l AFTER none y
    LINSERT missing AFTER x y
    LINSERT l OVER x y
    RPUSH l y y z
    LREM l 1 y
    LREM l 0 none
    LREM missing 0 y
    LREM l -2 y
    LTRIM l 0 -1
    LTRIM l 0 99
    LTRIM l 1 2
    LTRIM l 5 1
    LTRIM l 0 0
    LTRIM missing 0 1
    SET s 1
    LPUSH s a
    LPOP s
    LSET s 0 x
    LTRIM s 0 1
    RPUSH big 0 1 2 3 4 5 6 7 8 9
    RPOP big 100
    EXISTS big
  `);
});

test("moves from list to list", async () => {
  await same(`
    RPUSH m1 a b c
    LMOVE m1 m2 LEFT RIGHT
    LMOVE m1 m1 LEFT RIGHT
    RPOPLPUSH m1 m2
    RPOPLPUSH m1 m2
    RPOPLPUSH m1 m2
    LMOVE m1 m2 LEFT LEFT
    RPOPLPUSH m2 m2
    LMOVE m2 m3 UP LEFT
    SET ms 1
    LMOVE m2 ms LEFT LEFT
    LMOVE ms m2 LEFT LEFT
    RPUSH one x
    LMOVE one one LEFT RIGHT
  `);
});

test("pops from the first of several lists", async () => {
  await same(`
    RPUSH p2 a b c d e
    LMPOP 2 p1 p2 LEFT
    LMPOP 2 p1 p2 RIGHT COUNT 2
    LMPOP 2 p1 p2 LEFT COUNT 10
    LMPOP 2 p1 p2 LEFT
    LMPOP 0 p1 LEFT
    RPUSH p2 a b c d e
    BLMPOP 1 2 p1 p2 LEFT
    BLMPOP 1 2 p1 p2 RIGHT COUNT 2
    BLMPOP 1 2 p1 p2 RIGHT COUNT 9
    SET ps 1
    LMPOP 2 p1 ps LEFT
  `);
});

test("commands that could block, but need not", async () => {
  await same(`
    RPUSH b2 a b c d e
    BLPOP b1 b2 0
    BRPOP b1 b2 0
    BLMOVE b2 b3 LEFT RIGHT 0
    BRPOPLPUSH b2 b3 0
    BLMOVE b2 b2 LEFT RIGHT 0
    BLPOP b1 b2 0
    BLPOP b1 b2 0.01
    BLMOVE b1 b3 LEFT RIGHT 0.01
    SET bs 1
    BLPOP bs 0
  `);
});

test("a list that expired goes before what is written in its place", async () => {
  const feeds = both();
  if (feeds === null) return;
  await feeds.run("RPUSH", "expires", "a");
  await feeds.run("PEXPIRE", "expires", "20");
  await Bun.sleep(100);
  // It goes by itself, or with the command that comes upon it and then in one unit.
  const { redis, ferrite } = await feeds.run("LPUSH", "expires", "b");
  for (const effects of [redis, ferrite]) {
    expect(effects.filter((effect) => !/^(MULTI|EXEC)$/.test(effect))).toEqual(["DEL expires", "LPUSH expires b"]);
  }
});

test("clients that waited are served behind the command that served them", async () => {
  const feeds = both();
  if (feeds === null) return;
  const found = await compareServed(
    feeds,
    `
    1> BLPOP w1 w2 0
    RPUSH w2 a b
    1<
    1> BRPOP w3 0
    LPUSH w3 a
    1<
    1> BLMOVE w4 w5 LEFT RIGHT 0
    2> BRPOPLPUSH w5 w6 0
    3> BLMOVE w6 w6 RIGHT LEFT 0
    RPUSH w4 a
    1<
    2<
    3<
    1> BLMPOP 0 2 w7 w8 LEFT COUNT 5
    RPUSH w8 a b c
    1<
    1> BLMPOP 0 1 w7 RIGHT
    RPUSH w7 a b c
    1<
    1> BLPOP w9 0
    2> BLPOP w9 0
    RPUSH w9 a b c
    1<
    2<
    SET target 1
    1> BLMOVE w10 target LEFT RIGHT 0
    RPUSH w10 a b
    1<
    1> BRPOP w11 0
    LPUSH other x
    RENAME other w11
    1<
    LPUSH other x
    1> BRPOP w12 0
    LMOVE other w12 LEFT LEFT
    1<
  `,
  );
  expect(found).toEqual([]);
});

test("effects go to the database in which a client waited", async () => {
  const feeds = both();
  if (feeds === null) return;
  await feeds.run("SELECT", "3");
  await feeds.block(2, "BLPOP", "elsewhere", "0");
  const first = await feeds.run("RPUSH", "elsewhere", "a");
  await feeds.run("SELECT", "0");
  const second = await feeds.run("RPUSH", "elsewhere", "b");
  expect(first.ferrite).toEqual(["SELECT 3", "RPUSH elsewhere a"]);
  expect(first.ferrite).toEqual(first.redis);
  expect(second.ferrite).toEqual(["SELECT 0", "MULTI", "RPUSH elsewhere b", "LPOP elsewhere", "EXEC"]);
  for (const feed of [feeds.redis, feeds.ferrite]) await (await feed.client(2)).next();
});
