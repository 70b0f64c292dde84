/**
 * Goal:   the effects of the stream commands are those that redis-server feeds its own append-only file, and commands that
 *         redis-server 7.0 does not know are logged in words that it knows.
 * Method: both get the same commands with appendfsync always; what each writes for a command is compared.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { useEffectFeeds } from "../support/effect-feeds.ts";
import { show } from "../support/resp.ts";
import { requireRedis, startFerrite, startRedis } from "../support/servers.ts";
import { compareServed } from "../support/served-effects.ts";

const { same, ours, both } = useEffectFeeds({ "stream-node-max-entries": "3" });

test("entries added", async () => {
  await same(`
    XADD auto * f v
    XADD auto NOMKSTREAM * f v g w
    XADD s 1-1 f v
    XADD s 1-* f v
    XADD s 1-1 f v
    XADD s 0-0 f v
    XADD s 5 f v
    XADD missing NOMKSTREAM * f v
    XADD s * f
    SET string 1
    XADD string * f v
    XADD s 18446744073709551615-18446744073709551614 f v
    XADD s 18446744073709551615-* f v
    XADD s * f v
  `);
});

test("entries added to a stream that is trimmed", async () => {
  await same(`
    XADD t 1-1 f v
    XADD t MAXLEN 10 2-1 f v
    XADD t MAXLEN = 2 3-1 f v
    XADD t MAXLEN = 2 4-1 f v
    XADD t MINID 4 5-1 f v
    XADD t MINID = 5-0 6-1 f v
    XADD t MAXLEN ~ 100 7-1 f v
    XADD t 8-1 f v
    XADD t 9-1 f v
    XADD t 10-1 f v
    XADD t 11-1 f v
    XADD t 12-1 f v
    XADD t MAXLEN ~ 4 13-1 f v
    XADD t NOMKSTREAM MINID ~ 12 14-1 f v
    XADD t MAXLEN 0 16-1 f v
    XADD t MAXLEN 5 MINID 5 17-1 f v
    XADD t MAXLEN -1 17-1 f v
    XADD t MAXLEN 5 LIMIT 5 17-1 f v
  `);
});

test("trims", async () => {
  await same(`
    XADD t2 1-1 f v
    XADD t2 2-1 f v
    XADD t2 3-1 f v
    XADD t2 4-1 f v
    XADD t2 5-1 f v
    XADD t2 6-1 f v
    XADD t2 7-1 f v
    XADD t2 8-1 f v
    XADD t2 9-1 f v
    XADD t2 10-1 f v
    XTRIM t2 MAXLEN 20
    XTRIM t2 MAXLEN ~ 8
    XTRIM t2 MAXLEN ~ 7
    XTRIM t2 MINID ~ 6
    XTRIM t2 MINID ~ 7
    XTRIM t2 MINID 8
    XTRIM t2 MINID = 8
    XTRIM t2 MAXLEN = 1
    XTRIM t2 MINID 50
    XTRIM t2 MAXLEN 0
    XTRIM missing MAXLEN 0
    XTRIM t2 MAXLEN x
  `);
});

test("LIMIT is left out, so that a file can be replayed by any client", async () => {
  await ours(`
    > XADD l 1-1 f v
    XADD l 1-1 f v
    > XADD l 2-1 f v
    XADD l 2-1 f v
    > XADD l 3-1 f v
    XADD l 3-1 f v
    > XADD l MAXLEN ~ 1 LIMIT 3 4-1 f v
    XADD l MAXLEN = 1 4-1 f v
    > XADD l 5-1 f v
    XADD l 5-1 f v
    > XADD l 6-1 f v
    XADD l 6-1 f v
    > XADD l 7-1 f v
    XADD l 7-1 f v
    > XTRIM l MAXLEN ~ 0 LIMIT 2
    > XTRIM l MINID ~ 7 LIMIT 3
    XTRIM l MINID = 7-1
  `);
});

test("entries and IDs changed", async () => {
  await same(`
    XADD c 1-1 f v
    XADD c 2-1 f v
    XADD c 3-1 f v
    XDEL c 1-1 9-9
    XDEL c 1-1
    XDEL missing 1-1
    XDEL c x
    XSETID c 5-0
    XSETID c 5-0
    XSETID c 6-0 ENTRIESADDED 10 MAXDELETEDID 2-0
    XSETID c 1-0
    XSETID missing 1-0
    XDEL c 2-1 3-1
  `);
});

test("groups and consumers", async () => {
  await same(`
    XGROUP CREATE g1 g $
    XGROUP CREATE g1 g $ MKSTREAM
    XGROUP CREATE g1 g $
    XADD g1 1-1 f v
    XGROUP CREATE g1 h $
    XGROUP CREATE g1 i 0 ENTRIESREAD 0
    XGROUP SETID g1 g 1-1
    XGROUP SETID g1 g $ ENTRIESREAD 1
    XGROUP SETID g1 none $
    XGROUP CREATECONSUMER g1 g c
    XGROUP CREATECONSUMER g1 g c
    XGROUP CREATECONSUMER g1 none c
    XGROUP DELCONSUMER g1 g c
    XGROUP DELCONSUMER g1 g c
    XGROUP DESTROY g1 h
    XGROUP DESTROY g1 h
    XGROUP DESTROY missing h
  `);
});

const FIVE = `
    XADD KEY 1-1 f v
    XADD KEY 2-1 f v
    XADD KEY 3-1 f v
    XADD KEY 4-1 f v
    XADD KEY 5-1 f v
    XGROUP CREATE KEY g 0
    XGROUP CREATE KEY h 0
`;

/**
 * What redis-server 7.0 does not write, so that its replay lacks it: a consumer that has nothing pending, and the number of
 * entries that a group has read. For a pending entry that was deleted it writes XCLAIM, which then removes it.
 */
function isCommon(effect: string): boolean {
  return !/^(MULTI|EXEC|XGROUP CREATECONSUMER .*|XGROUP SETID .* ENTRIESREAD \d+)$/.test(effect);
}

async function sameButGroups(script: string): Promise<void> {
  const feeds = both();
  if (feeds === null) return;
  expect(await compareServed(feeds, script, isCommon)).toEqual([]);
}

test("reading for a group", async () => {
  await sameButGroups(`
    ${FIVE.replaceAll("KEY", "r")}
    XREADGROUP GROUP g c COUNT 2 STREAMS r >
    XREADGROUP GROUP g c STREAMS r 0
    XREADGROUP GROUP g d COUNT 1 NOACK STREAMS r >
    XREADGROUP GROUP g d STREAMS r >
    XREADGROUP GROUP g d STREAMS r >
    XREADGROUP GROUP g e STREAMS r >
    XREADGROUP GROUP g f STREAMS r 0
    XREADGROUP GROUP none f STREAMS r 0
    XREADGROUP GROUP g f STREAMS missing 0
    ${FIVE.replaceAll("KEY", "r2")}
    XREADGROUP GROUP h c COUNT 2 STREAMS r r2 > >
    XDEL r2 4-1
    XREADGROUP GROUP h c STREAMS r r2 > >
    XACK r h 1-1 2-1
    XACK r h 1-1
    XACK r none 1-1
    XACK missing h 1-1
    XGROUP DELCONSUMER r h c
  `);
});

test("claims", async () => {
  await sameButGroups(`
    ${FIVE.replaceAll("KEY", "cl")}
    XREADGROUP GROUP g c STREAMS cl >
    XCLAIM cl g d 0 1-1
    XCLAIM cl g d 0 2-1 3-1 JUSTID
    XCLAIM cl g d 100000 1-1
    XCLAIM cl g e 0 1-1 TIME 1500000000000 RETRYCOUNT 7
    XCLAIM cl g e 0 1-1 IDLE 1000
    XCLAIM cl g e 0 9-9 FORCE
    XCLAIM cl h e 0 1-1
    XCLAIM cl h e 0 1-1 FORCE
    XCLAIM cl h e 0 9-9 LASTID 3-1
    XCLAIM cl h e 0 1-1 LASTID 4-1
    XCLAIM cl h x 0 9-9 LASTID 1-1
    XCLAIM cl none c 0 3-1
    XCLAIM missing g c 0 3-1
    XAUTOCLAIM cl g c 0 0 COUNT 1
    XAUTOCLAIM cl g c 0 0 COUNT 2 JUSTID
    XAUTOCLAIM cl g new 0 0
    XAUTOCLAIM cl g new 1000000 0
    XAUTOCLAIM cl g newer 1000000 0
    XAUTOCLAIM missing g newer 1000000 0
  `);
});

test("what redis-server does not write of groups", async () => {
  await ours(`
    > XADD o 1-1 f v
    XADD o 1-1 f v
    > XADD o 2-1 f v
    XADD o 2-1 f v
    > XADD o 3-1 f v
    XADD o 3-1 f v
    > XGROUP CREATE o g 0
    XGROUP CREATE o g 0
    > XREADGROUP GROUP g c STREAMS o >
    MULTI
    XGROUP CREATECONSUMER o g c
    XCLAIM o g c 0 1-1 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1
    XCLAIM o g c 0 2-1 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 2-1
    XCLAIM o g c 0 3-1 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 3-1
    XGROUP SETID o g 3-1 ENTRIESREAD 3
    EXEC
    > XREADGROUP GROUP g d STREAMS o >
    XGROUP CREATECONSUMER o g d
    > XREADGROUP GROUP g e STREAMS o 0
    XGROUP CREATECONSUMER o g e
    > XREADGROUP GROUP g e STREAMS o 0
    > XDEL o 2-1 3-1
    XDEL o 2-1 3-1
    > XCLAIM o g f 0 1-1 2-1
    MULTI
    XGROUP CREATECONSUMER o g f
    XCLAIM o g f 0 1-1 TIME @0 RETRYCOUNT 2 FORCE JUSTID LASTID 3-1
    XACK o g 2-1
    EXEC
    > XAUTOCLAIM o g h 0 0
    MULTI
    XGROUP CREATECONSUMER o g h
    XCLAIM o g h 0 1-1 TIME @0 RETRYCOUNT 3 FORCE JUSTID LASTID 3-1
    XACK o g 3-1
    EXEC
    > XADD o MINID ~ 99 15-1 f v
    XADD o MINID = 99-0 15-1 f v
  `);
});

test("clients that waited", async () => {
  await sameButGroups(`
    XGROUP CREATE w g $ MKSTREAM
    1> XREADGROUP GROUP g c BLOCK 0 STREAMS w >
    XADD w 1-1 f v
    1<
    1> XREADGROUP GROUP g c NOACK BLOCK 0 STREAMS w >
    XADD w 2-1 f v
    1<
    1> XREADGROUP GROUP g new COUNT 1 BLOCK 0 STREAMS w >
    2> XREADGROUP GROUP g other COUNT 1 BLOCK 0 STREAMS w >
    XADD w 3-1 f v
    1<
    XADD w 4-1 f v
    2<
    1> XREAD BLOCK 0 STREAMS w $
    XADD w 5-1 f v
    1<
  `);
});

test("commands that redis-server 7.0 does not know", async () => {
  await ours(`
    > XADD n 1-1 f v
    XADD n 1-1 f v
    > XADD n 2-1 f v
    XADD n 2-1 f v
    > XADD n 3-1 f v
    XADD n 3-1 f v
    > XADD n KEEPREF 4-1 f v
    XADD n 4-1 f v
    > XADD n 5-1 f v
    XADD n 5-1 f v
    > XGROUP CREATE n g 0
    XGROUP CREATE n g 0
    > XGROUP CREATE n h 0
    XGROUP CREATE n h 0
    > XDELEX n IDS 2 1-1 9-9
    XDEL n 1-1
    > XDELEX n IDS 1 9-9
    > XDELEX missing IDS 1 9-9
    > XDELEX n ACKED IDS 1 2-1
    > XREADGROUP GROUP g c COUNT 2 NOACK STREAMS n >
    MULTI
    XGROUP CREATECONSUMER n g c
    XGROUP SETID n g 3-1 ENTRIESREAD 3
    EXEC
    > XDELEX n DELREF IDS 1 2-1
    MULTI
    XACK n g 2-1
    XACK n h 2-1
    XDEL n 2-1
    EXEC
    > XREADGROUP GROUP g c COUNT 2 STREAMS n >
    MULTI
    XCLAIM n g c 0 4-1 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 4-1
    XCLAIM n g c 0 5-1 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 5-1
    XGROUP SETID n g 5-1 ENTRIESREAD 5
    EXEC
    > XACKDEL n g ACKED IDS 2 4-1 9-9
    XACK n g 4-1
    > XACKDEL n g DELREF IDS 1 5-1
    MULTI
    XACK n g 5-1
    XACK n g 5-1
    XACK n h 5-1
    XDEL n 5-1
    EXEC
    > XACKDEL n g IDS 1 5-1
    > XADD n 6-1 f v
    XADD n 6-1 f v
    > XADD n MAXLEN 1 ACKED 7-1 f v
    XADD n MAXLEN = 4 ACKED 7-1 f v
    > XTRIM n MINID 4 DELREF
    XTRIM n MINID 4 DELREF
    > XTRIM n MAXLEN 2 KEEPREF
    XTRIM n MAXLEN 2
    > XREADGROUP GROUP g d COUNT 1 CLAIM 0 STREAMS n >
    MULTI
    XGROUP CREATECONSUMER n g d
    XCLAIM n g d 0 6-1 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 6-1
    XGROUP SETID n g 6-1 ENTRIESREAD 6
    EXEC
    > XREADGROUP GROUP g c COUNT 1 CLAIM 0 STREAMS n >
    XCLAIM n g c 0 6-1 TIME @0 RETRYCOUNT 2 FORCE JUSTID LASTID 6-1
    > XGROUP CREATECONSUMER n g c
    > XREADGROUP GROUP h c COUNT 1 STREAMS n >
    MULTI
    XGROUP CREATECONSUMER n h c
    XCLAIM n h c 0 6-1 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 6-1
    XGROUP SETID n h 6-1 ENTRIESREAD 6
    EXEC
    > XDEL n 6-1
    XDEL n 6-1
    > XACKDEL n g DELREF IDS 1 6-1
    XACK n g 6-1
  `);
});

test("a file of redis-server with LIMIT beside exact thresholds is loaded", async () => {
  if (!requireRedis()) return;
  const dataDir = mkdtempSync(join(tmpdir(), "ferrite-limit-"));
  try {
    const redis = await startRedis({ dataDir, args: ["--appendonly", "yes", "--appendfsync", "always"] });
    const client = await redis.connect();
    await client.command("CONFIG", "SET", "stream-node-max-entries", "3");
    for (let n = 1; n <= 6; n++) await client.command("XADD", "limited", `${n}-1`, "f", "v");
    await client.command("XADD", "limited", "MAXLEN", "~", "2", "LIMIT", "3", "7-1", "f", "v");
    expect(show(await client.command("XLEN", "limited"))).toBe(":4");
    await redis.stop();
    const ferrite = await startFerrite({ dataDir, persistence: true });
    expect(show(await (await ferrite.connect()).command("XLEN", "limited"))).toBe(":4");
    await ferrite.stop();
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});
