/**
 * Goal:   what the change log says of a command on strings is what redis-server feeds its own append-only file:
 *         deterministic, with absolute times.
 * Method: both get the same commands with appendfsync always; what each writes for a command is compared. Effects of
 *         commands that redis-server 7.0 does not know are written here. They are commands that it knows.
 */
import { test } from "bun:test";
import { useEffectFeeds } from "../support/effect-feeds.ts";

const { same, ours } = useEffectFeeds();

test("SET and its relatives", async () => {
  await same(`
    SET a 1
    SET a 1
    SET a 2 EX 100
    SET a 2 KEEPTTL
    SET a 3 NX
    SET b 3 NX
    SET b 4 XX GET
    SET b 4 GET
    SET b 5 GET EX 100
    SET b 6 GET KEEPTTL
    SET b 6 NX GET
    SET c 4 XX
    SET c 4 XX GET
    SET d 1 PX 100000 NX
    SET e 1 EXAT 4000000000
    SET e 1 PXAT 4000000000123
    SET e 1 PXAT 4000000000123 XX GET
    SET e 1 EX x
    SET e 1 EX 0
    SETNX a 1
    SETNX f 1
    SETEX g 100 v
    SETEX g 0 v
    PSETEX g 100000 v
    GETSET g w
    GETSET fresh w
    GETDEL g
    GETDEL g
    GETEX a
    GETEX missing EX 100
    GETEX a EX 100
    GETEX a PX 100000
    GETEX a EXAT 4000000000
    GETEX a PERSIST
    GETEX a PERSIST
    GETEX a PXAT 1000
    GETEX a PXAT 1000
    MSET h 1 i 2
    MSET h 1
    MSETNX h 1 j 2
    MSETNX j 1 k 2
  `);
});

test("parts of strings, and numbers", async () => {
  await same(`
    APPEND s x
    APPEND s yz
    SETRANGE s 5 y
    SETRANGE s -1 y
    SETRANGE missing 3 y
    SETRANGE s 0 wxyz
    INCR n
    DECR n
    INCRBY n 4
    INCRBY n 0
    DECRBY n 3
    INCRBY n x
    INCR s
    INCRBYFLOAT n 1.5
    INCRBYFLOAT n 0
    INCRBYFLOAT n x
    INCRBYFLOAT fresh 5
    SET n 1 EX 100
    INCR n
    INCRBYFLOAT n 0.25
    APPEND n 5
    LPUSH list a
    SET list 1 GET
    GETSET list 1
    APPEND list 1
    INCR list
    INCRBYFLOAT list 1
    SETRANGE list 1 a
    GETEX list PERSIST
    GETDEL list
    MSET list 1
  `);
});

test("bitmaps and HyperLogLogs", async () => {
  await same(`
    SETBIT b 7 1
    SETBIT b 7 0
    SETBIT b 100 0
    SETBIT b 7 2
    BITFIELD b SET u8 0 255
    BITFIELD b GET u8 0
    BITFIELD b INCRBY u8 0 10 GET u8 0
    BITFIELD b OVERFLOW SAT INCRBY u8 0 300
    BITFIELD_RO b GET u8 0
    BITFIELD missing GET u8 0
    BITFIELD made SET u8 8 0
    BITOP AND and b made
    BITOP NOT not b
    BITOP OR nothing x y
    BITOP OR and x y
    BITOP XOR nothing x
    SETBIT fresh 3 0
    PFADD p a b c
    PFADD p a
    PFADD q
    PFADD q
    PFMERGE p q
    PFMERGE r p q
    PFMERGE p
    PFADD b x
    LPUSH list a
    SETBIT list 1 1
    BITFIELD list SET u8 0 1
    PFADD list a
    BITOP AND list b
  `);
});

test("values that go around the parser", async () => {
  const long = "x".repeat(100_000);
  await same(`
    SET long ${long}
    SET long ${long} EX 100
    SET long ${long} GET
    GETSET long ${long}
    APPEND long ${long}
    SETRANGE long 5 ${long}
    SETNX long ${long}
    SETNX other ${long}
    PSETEX long 100000 ${long}
    SET long ${long} NX
  `);
});

test("a bit that is as it shall be changes nothing", async () => {
  // Redis logs such a command.
  await ours(`
    > SETBIT same 7 1
    SETBIT same 7 1
    > SETBIT same 7 1
  `);
});

test("PFCOUNT writes the count down", async () => {
  await same(`
    PFADD p2 a b c
    PFADD q2 c d
    PFCOUNT p2
    PFCOUNT p2
    PFADD p2 a
    PFADD p2 e
    PFCOUNT p2 q2
    PFCOUNT q2
    PFCOUNT missing
    PFMERGE p2 q2
    PFCOUNT p2
    PFDEBUG ENCODING p2
    PFDEBUG TODENSE p2
    PFDEBUG TODENSE p2
  `);
});

test("a key that expired goes before the command that came upon it", async () => {
  await same("DEBUG SET-ACTIVE-EXPIRE 0");
  const keys = ["set", "nx", "get", "getex", "getdel", "append", "incr", "float", "bit", "pf", "field", "range"];
  for (const key of keys) await same(`SET ${key} 1 PX 1`);
  await same(`
    SET left 1 PX 1
    SET right 1 PX 1
    sleep 5
    SET set 2
    SET nx 1 NX
    GET get
    GETEX getex PERSIST
    GETDEL getdel
    APPEND append x
    INCR incr
    INCRBYFLOAT float 1
    SETBIT bit 1 1
    PFADD pf x
    BITFIELD field GET u8 0
    SETRANGE range 2 x
    MSET left 1 right 2
    GET left
    DEBUG SET-ACTIVE-EXPIRE 1
  `);
});

test("a deadline in the past deletes", async () => {
  // Redis 7.0 sets such a key first, and deletes it when it is looked up.
  await ours(`
    > SET past 1
    SET past 1
    > SET past 2 PXAT 1000
    DEL past
    > SET past 2 PXAT 1000
    > SET past 3 GET
    SET past 3
    > SET past 4 GET EXAT 1
    DEL past
  `);
});

test("strings: commands that Redis 7.0 does not know", async () => {
  await ours(`
    > SET a 1
    SET a 1
    > SET a 2 IFEQ 1
    SET a 2
    > SET a 3 IFEQ 1
    > SET a 3 IFNE 1 GET EX 100
    SET a 3 PXAT @100
    > SET a 4 IFEQ 3 KEEPTTL
    SET a 4 KEEPTTL
    > SET a get IFEQ 4 GET
    SET a get
    > SET a 5 GET IFEQ get
    SET a 5
    > DELEX a IFEQ 4
    > DELEX a IFEQ 5
    DEL a
    > DELEX a
    > SET a 1
    SET a 1
    > DELIFEQ a 2
    > DELIFEQ a 1
    DEL a
    > MSETEX 2 a 1 b 2
    MSET a 1 b 2
    > MSETEX 2 a 1 b 2 NX
    > MSETEX 2 a 1 b 2 XX EX 100
    MULTI
    SET a 1 PXAT @100
    SET b 2 PXAT @100
    EXEC
    > MSETEX 2 a 3 b 4 KEEPTTL
    MULTI
    SET a 3 KEEPTTL
    SET b 4 KEEPTTL
    EXEC
    > MSETEX 2 a 3 c 4 PXAT 1000
    DEL a
    > INCREX m
    SET m 1
    > INCREX m BYINT 5 EX 100
    SET m 6 PXAT @100
    > INCREX m BYINT 5 UBOUND 10
    > INCREX m BYINT 5 UBOUND 10 SATURATE
    SET m 10 PXAT @100
    > INCREX m BYFLOAT 1.5 PERSIST
    SET m 11.5
    > INCREX m BYFLOAT 1 EX 50 ENX
    SET m 12.5 PXAT @50
    > INCREX m BYFLOAT 1 EX 90 ENX
    SET m 13.5 PXAT @50
    > INCREX m BYFLOAT 1 PXAT 1000
    DEL m
    > INCREX m PXAT 1000
  `);
  // The result may be long, and other commands would need all of it.
  await ours(`
    > BITOP DIFF d b a
    BITOP DIFF d b a
  `);
});
