/**
 * Goal:   what the change log says of a command on keys and databases is what redis-server feeds its own append-only file.
 * Method: as in effects-strings.test.ts.
 */
import { test } from "bun:test";
import { useEffectFeeds } from "../support/effect-feeds.ts";

const { same, ours } = useEffectFeeds();

test("DEL, RENAME, COPY, MOVE", async () => {
  await same(`
    MSET a 1 b 2 c 3
    DEL missing
    DEL a missing
    UNLINK b
    UNLINK b
    RENAME c d
    RENAME missing d
    RENAME d d
    SET e 1 EX 100
    RENAME e d
    SET f 1
    RENAMENX d f
    RENAMENX d g
    RENAMENX g g
    COPY g h
    COPY g h
    COPY g h REPLACE
    COPY g h DB 3
    COPY g h DB 3 REPLACE
    COPY missing h
    COPY g g
    COPY g h DB 99
    MOVE g 1
    MOVE g 1
    SET g 2
    MOVE g 1
    MOVE g 0
    MOVE missing 1
    SELECT 1
    DEL g
    SELECT 0
    RPUSH list a b
    COPY list other
    RENAME other list
    TOUCH list
    EXISTS list
    OBJECT ENCODING list
  `);
});

test("deadlines of keys", async () => {
  await same(`
    SET a 1
    EXPIRE a 100
    EXPIRE a 100 NX
    EXPIRE a 50 GT
    EXPIRE a 200 GT
    EXPIRE a 100 LT
    EXPIRE a 100 XX
    EXPIRE missing 100
    EXPIRE a x
    PEXPIRE a 100000
    PEXPIRE a 200000 XX GT
    EXPIREAT a 4000000000
    PEXPIREAT a 4000000000001
    PEXPIREAT a 4000000000001 GT
    PERSIST a
    PERSIST a
    PERSIST missing
    EXPIRE a 100 XX
    EXPIRE a 100 NX
    EXPIRE a 0
    EXPIRE a 0
    SET a 1
    EXPIRE a -1
    SET a 1
    PEXPIREAT a 1000
    SET a 1
    EXPIREAT a 0
    SET a 1
    PEXPIRE a -5 NX
  `);
});

test("keys that expired", async () => {
  await same(`
    DEBUG SET-ACTIVE-EXPIRE 0
    SET source 1 PX 1
    SET target 1 PX 1
    SET left 1
    SET gone 1 PX 1
    SET also 1 PX 1
    SET moved 1 PX 1
    SET copied 1 PX 1
    SET persisted 1 PX 1
    SET expiring 1 PX 1
    SET touched 1 PX 1
    SET typed 1 PX 1
    SET timed 1 PX 1
    SET existing 1 PX 1
    sleep 5
    RENAME source x
    RENAME left target
    DEL gone also
    MOVE moved 2
    COPY copied left
    PERSIST persisted
    EXPIRE expiring 100
    TOUCH touched
    TYPE typed
    TTL timed
    EXISTS existing
    DEBUG SET-ACTIVE-EXPIRE 1
  `);
});

test("names of what expired", async () => {
  await same(`
    DEBUG SET-ACTIVE-EXPIRE 0
    FLUSHALL
    SET a 1 PX 1
    sleep 5
    SCAN 0
    SET a 1 PX 1
    sleep 5
    KEYS *
    SET a 1 PX 1
    sleep 5
    GET a
    SELECT 5
    SET a 1 PX 1
    sleep 5
    SCAN 0
    SELECT 0
    SET a 1 PX 1
    sleep 5
    DBSIZE
    GET a
    DEBUG SET-ACTIVE-EXPIRE 1
  `);
});

test("whole databases", async () => {
  await same(`
    SET a 1
    FLUSHALL
    SET a 1
    FLUSHDB
    SET a 1
    SELECT 3
    SET b 1
    FLUSHALL ASYNC
    SET b 1
    FLUSHDB SYNC
    SELECT 0
    SET a 1
    SWAPDB 0 1
    SWAPDB 2 3
    SWAPDB 0 99
    SELECT 1
    GET a
    DEL a
    SELECT 0
  `);
});

test("SORT", async () => {
  await same(`
    RPUSH list 3 1 2
    SORT list
    SORT list STORE sorted
    SORT list DESC LIMIT 0 2 STORE sorted
    SADD set b a
    SORT set ALPHA STORE sorted
    SORT set BY nosort GET # STORE sorted
    SORT missing STORE sorted
    SORT missing STORE sorted
    SORT set STORE sorted
    SORT_RO list
  `);
});

/** What DUMP replies for the string "10". */
const DUMPED = String.raw`\x00\xc0\x0a\x0a\x00n\x9fWE\x0e\xaec\xbb`;

test("RESTORE", async () => {
  await same(`
    RESTORE a 0 ${DUMPED}
    RESTORE a 0 ${DUMPED}
    RESTORE a 0 ${DUMPED} REPLACE
    RESTORE a 100000 ${DUMPED} REPLACE
    RESTORE a 4000000000000 ${DUMPED} REPLACE ABSTTL
    RESTORE b 100000 ${DUMPED} IDLETIME 10
    RESTORE a 1000 ${DUMPED} REPLACE ABSTTL
    RESTORE a 1000 ${DUMPED} REPLACE ABSTTL
    RESTORE c 0 nothing
  `);
});

test("what has no counterpart in redis-server", async () => {
  await ours(`
    > SET a 1
    SET a 1
    > FLUSHALL
    FLUSHALL
    // Redis logs these, although they do nothing.
    > FLUSHALL
    > FLUSHDB ASYNC
    > SWAPDB 2 2
    > SET a 1
    SET a 1
    // Redis logs nothing of what DEBUG makes.
    > DEBUG POPULATE 2 k
    SET k:0 value:0
    SET k:1 value:1
    > DEBUG POPULATE 3 k
    SET k:2 value:2
    > DEBUG RELOAD
    > SELECT 7
    > DEBUG POPULATE 1 k 3
    SELECT 7
    SET k:0 val
    > SELECT 0
  `);
  // Redis removes the key that RANDOMKEY draws; here it stays hidden until its time entry comes up.
  await ours(`
    > DEBUG SET-ACTIVE-EXPIRE 0
    > FLUSHALL
    SELECT 0
    FLUSHALL
    > SET a 1 PXAT 4000000000000
    SET a 1 PXAT 4000000000000
    > DEBUG CLOCK SET 4000000000001
    > RANDOMKEY
    > GET a
    DEL a
    > SET a 1 PXAT 4000000100000
    SET a 1 PXAT 4000000100000
    > DEBUG CLOCK SET 4000000100001
    // What Redis leaves out when it loads, it does not log.
    > DEBUG RELOAD
    DEL a
    > DEBUG CLOCK RESET
    > DEBUG SET-ACTIVE-EXPIRE 1
  `);
});
