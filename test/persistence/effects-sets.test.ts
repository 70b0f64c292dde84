/**
 * Goal:   the effects of the set commands are those that redis-server feeds its own append-only file.
 * Method: both get the same commands with appendfsync always; what each writes for a command is compared. Deadlines of
 *         members are Ferrite's own in this form: their effects are compared with what the test says.
 */
import { expect, test } from "bun:test";
import { useEffectFeeds } from "../support/effect-feeds.ts";
import { show } from "../support/resp.ts";

const { same, ours, both } = useEffectFeeds();

test("members added, removed and moved", async () => {
  await same(`
    SADD s a b c
    SADD s a
    SADD s a d
    SADD i 1 2 3
    SADD i 2
    SREM s a x
    SREM s x
    SREM missing x
    SREM i 1 2 3 4
    SMOVE s t b
    SMOVE s t x
    SMOVE missing t x
    SMOVE s s c
    SADD t c
    SMOVE s t c
    SMOVE s t d
    SMOVE s t d
    SET str 1
    SADD str a
    SMOVE t str c
    SMOVE str t c
    SREM str a
  `);
});

test("what combines sets and stores the result", async () => {
  await same(`
    SADD a 1 2 3
    SADD b 2 3 4
    SADD c x y z
    SINTERSTORE d a b
    SINTERSTORE d a c
    SINTERSTORE d a c
    SUNIONSTORE d a c missing
    SUNIONSTORE d missing
    SUNIONSTORE d missing
    SDIFFSTORE d a b
    SDIFFSTORE d a a
    SDIFFSTORE a a b
    SDIFFSTORE d a missing
    SET string 1
    SUNIONSTORE string a b
    SET string 1
    SUNIONSTORE d a string
    SINTERSTORE string a c
    SINTERSTORE string a c
  `);
});

test("SPOP", async () => {
  await same(`
    SADD p a
    SPOP p
    SPOP p
    SADD p a b c
    SPOP p 0
    SPOP p 5
    SPOP p 5
    SPOP p -1
    SADD p a
    SPOP p 1
    SET ps 1
    SPOP ps
    SPOP ps 1
  `);
});

test("SPOP of some members names them", async () => {
  const feeds = both();
  if (feeds === null) return;
  await feeds.run("SADD", "some", "a", "b", "c", "d", "e", "f", "g", "h");
  const { redis, ferrite, redisReply, ferriteReply } = await feeds.run("SPOP", "some", "3");
  // redis-server writes an SREM for each member, or an SREM of them all.
  const removed = redis
    .filter((effect) => effect.startsWith("SREM some"))
    .flatMap((effect) => effect.split(" ").slice(2));
  expect(removed.join(" ")).toBe(membersOf(redisReply));
  expect(ferrite).toEqual([`SREM some ${membersOf(ferriteReply)}`]);
});

test("SPOP of many members is several commands of one unit", async () => {
  const feeds = both();
  if (feeds === null) return;
  const client = await feeds.ferrite.client(0);
  await client.command("SADD", "many", ...Array.from({ length: 3000 }, (_, i) => `m${i}`));
  feeds.ferrite.take();
  const reply = show(await client.command("SPOP", "many", "2500"));
  const effects = feeds.ferrite.take();
  expect([effects[0], effects.at(-1)]).toEqual(["MULTI", "EXEC"]);
  const removals = effects.slice(1, -1).map((effect) => effect.split(" ").slice(2));
  expect(removals.map((members) => members.length)).toEqual([1024, 1024, 452]);
  expect(removals.flat()).toEqual(reply.match(/m\d+/g)!);
});

function membersOf(reply: string): string {
  return reply.replace(/[^a-z ]/g, "");
}

test("deadlines of members are absolute, and those that are past remove the members", async () => {
  await ours(`
    > SADD timed a b c d 1 2
    SADD timed a b c d 1 2
    > SEXPIRE timed 100 MEMBERS 2 a missing
    SPEXPIREAT timed @100 MEMBERS 1 a
    > SPEXPIRE timed 100000 NX MEMBERS 3 a b c
    SPEXPIREAT timed @100 MEMBERS 2 b c
    > SEXPIREAT timed 4000000000 XX MEMBERS 2 a d
    SPEXPIREAT timed 4000000000000 MEMBERS 1 a
    > SPEXPIREAT timed 4000000000001 GT MEMBERS 3 a b d
    SPEXPIREAT timed 4000000000001 MEMBERS 2 a b
    > SPEXPIREAT timed 4000000000000 GT MEMBERS 1 a
    > SPEXPIREAT timed 4000000000000 LT MEMBERS 2 a d
    SPEXPIREAT timed 4000000000000 MEMBERS 2 a d
    > SPERSIST timed MEMBERS 3 a 1 missing
    SPERSIST timed MEMBERS 1 a
    > SPERSIST timed MEMBERS 1 a
    > SPEXPIREAT timed 1000 MEMBERS 2 b missing
    SREM timed b
    > SEXPIRE timed 0 MEMBERS 2 c 2
    SREM timed c 2
    > SEXPIREAT timed 0 MEMBERS 1 d
    SREM timed d
    > SEXPIRE missing 100 MEMBERS 1 a
    > SPERSIST missing MEMBERS 1 a
    > SEXPIRE timed -1 MEMBERS 1 a
    > SMEMBERS timed
    > SPOP timed 5
    DEL timed
  `);
});

test("members that expire go before the command that came upon them", async () => {
  await ours(`
    > DEBUG SET-ACTIVE-EXPIRE 0
    > SADD x a b
    SADD x a b
    > SPEXPIREAT x 4000000000000 MEMBERS 1 a
    SPEXPIREAT x 4000000000000 MEMBERS 1 a
    > SADD y a
    SADD y a
    > SPEXPIREAT y 4000000000000 MEMBERS 1 a
    SPEXPIREAT y 4000000000000 MEMBERS 1 a
    > SADD z b
    SADD z b
    > DEBUG CLOCK SET 4000000000001
    > SUNIONSTORE x x y z
    MULTI
    SREM x a
    SREM y a
    SUNIONSTORE x x y z
    EXEC
    > SCARD x
    > SADD y a
    SADD y a
    > SPEXPIREAT y 4000000100000 MEMBERS 1 a
    SPEXPIREAT y 4000000100000 MEMBERS 1 a
    > DEBUG CLOCK SET 4000000100001
    > SADD y b
    MULTI
    SREM y a
    SADD y b
    EXEC
    > DEBUG CLOCK RESET
    > DEBUG SET-ACTIVE-EXPIRE 1
  `);
});
