/**
 * Goal:   what the change log says of a transaction is what redis-server feeds its own append-only file: one unit, whole.
 * Method: as in effects-strings.test.ts.
 */
import { expect, test } from "bun:test";
import { useEffectFeeds } from "../support/effect-feeds.ts";

const { same, both } = useEffectFeeds();

test("one unit", async () => {
  await same(`
    MULTI
    SET a 1
    INCR b
    GET a
    RPUSH l x y
    EXEC
    MULTI
    SET a 2
    EXEC
    MULTI
    GET a
    LRANGE l 0 -1
    EXEC
    MULTI
    EXEC
    MULTI
    SET a 3
    DISCARD
    MULTI
    SET a
    SET a 4
    EXEC
    MULTI
    INCR l
    DEL missing
    SET a 5
    EXEC
    MULTI
    INCR l
    SET a 6 EX 100
    GETDEL b
    MSET c 1 d 2
    EXEC
  `);
});

test("several databases", async () => {
  await same(`
    SELECT 0
    MULTI
    SET a 1
    SELECT 3
    SET a 2
    SELECT 3
    SET b 2
    SELECT 0
    SET c 3
    EXEC
    SET d 4
    MULTI
    SELECT 5
    SET a 5
    EXEC
    SET b 6
    SELECT 0
    SET b 7
    MULTI
    MOVE b 7
    SWAPDB 0 7
    FLUSHDB
    EXEC
  `);
});

test("blocking commands, and commands in other words", async () => {
  await same(`
    RPUSH l 1 2 3
    MULTI
    BLPOP l 0
    BLMOVE l m LEFT RIGHT 0
    BLPOP none 0
    INCRBYFLOAT f 1.5
    EXPIRE f 100
    EXPIRE f -1
    EXEC
    MULTI
    SPOP missing
    SADD s a
    SPOP s
    EXEC
  `);
});

test("a blocked client is served in the same unit", async () => {
  const feeds = both();
  if (feeds === null) return;
  await feeds.block(1, "BLPOP", "q", "0");
  for (const command of ["MULTI", "RPUSH q 1 2", "SET after 1"]) await feeds.run(...command.split(" "));
  const { ferrite } = await feeds.run("EXEC");
  expect(ferrite).toEqual(["MULTI", "RPUSH q 1 2", "SET after 1", "LPOP q", "EXEC"]);
});
