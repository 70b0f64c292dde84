/**
 * Goal:   what the change log says of scripts and libraries is what redis-server feeds its own append-only file: the commands
 *         that a script ran, as one unit, and FUNCTION commands as they were sent.
 * Method: as in effects-strings.test.ts.
 */
import { expect, test } from "bun:test";
import { differences, useEffectFeeds } from "../support/effect-feeds.ts";

const { both } = useEffectFeeds();

async function same(...commands: (readonly string[])[]): Promise<void> {
  const feeds = both();
  if (feeds === null) return;
  for (const command of commands) expect(differences(command.join(" "), await feeds.run(...command))).toBe("");
}
const words = (line: string) => line.split(" ");
const script = (text: string, ...rest: string[]) => ["EVAL", text, ...(rest.length === 0 ? ["0"] : rest)];

test("the commands of a script are one unit", async () => {
  await same(
    script("return redis.call('SET', KEYS[1], ARGV[1])", "1", "a", "1"),
    script("redis.call('SET', 'a', 1) redis.call('INCR', 'b') return redis.call('GET', 'a')"),
    script("return redis.call('GET', 'a')"),
    script("redis.call('SET', 'c', 'x', 'EX', 100) redis.call('EXPIRE', 'a', 100)"),
    script("redis.call('SELECT', 3) redis.call('SET', 'in3', 1)"),
    script("redis.call('SET', 'before', 1) redis.call('SELECT', 4) redis.call('SET', 'in4', 1)"),
    script("redis.call('SET', 'half', 1) error('boom')"),
    script("redis.call('SET', 'half', 1) redis.call('INCR', 'c') redis.call('SET', 'never', 1)"),
    script("redis.pcall('INCR', 'c') return redis.call('DEL', 'missing')"),
    script("for i = 1, 5 do redis.call('RPUSH', 'list', i) end"),
    script("return redis.call('SPOP', 'none')"),
    script("redis.call('SADD', 'set', 'only') return redis.call('SPOP', 'set')"),
    script("redis.set_repl(redis.REPL_NONE) redis.call('SET', 'unseen', 1)"),
    script("redis.call('SET', 'seen', 1) redis.set_repl(redis.REPL_NONE) redis.call('SET', 'unseen', 2)"),
    script("return redis.call('LPOP', 'list', 2)"),
    script("redis.call('FLUSHDB')"),
    ["MULTI"],
    script("redis.call('SET', 'x', 1) redis.call('SET', 'y', 1)"),
    ["SET", "z", "1"],
    ["EXEC"],
  );
});

test("SCRIPT commands have none, libraries are logged as they were sent", async () => {
  const code = "#!lua name=lib\nredis.register_function('f', function(k) return redis.call('INCR', k[1]) end)";
  await same(
    ["SCRIPT", "LOAD", "return 1"],
    words("SCRIPT FLUSH"),
    [...words("FUNCTION LOAD"), code],
    [...words("FUNCTION LOAD"), code],
    [...words("FUNCTION LOAD REPLACE"), code],
    ["FCALL", "f", "1", "counter"],
    words("FUNCTION DELETE none"),
    words("FUNCTION DELETE lib"),
    [...words("FUNCTION LOAD"), code],
    words("FUNCTION FLUSH"),
    words("FUNCTION FLUSH ASYNC"),
    words("FUNCTION RESTORE damaged"),
  );
});

test("FUNCTION RESTORE of redis-server's payload", async () => {
  const feeds = both();
  if (feeds === null) return;
  const code = "#!lua name=lib\nredis.register_function('f', function(k) return redis.call('INCR', k[1]) end)";
  await same(["FUNCTION", "LOAD", code]);
  const dumped = await (await feeds.redis.client(0)).command("FUNCTION", "DUMP");
  if (dumped.type !== "bulk") throw new Error("FUNCTION DUMP replies a payload");
  const payload = Buffer.from(dumped.value, "latin1");
  for (const feed of [feeds.redis, feeds.ferrite]) {
    const client = await feed.client(0);
    await client.command("FUNCTION", "FLUSH");
    await client.command("FUNCTION", "RESTORE", payload);
    await client.command("FUNCTION", "RESTORE", payload, "REPLACE");
    expect(await client.command("FUNCTION", "LIST", "WITHCODE")).toEqual(
      await (await feeds.redis.client(0)).command("FUNCTION", "LIST", "WITHCODE"),
    );
  }
});
