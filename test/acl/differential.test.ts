/**
 * Goal:   users made of random rules have the same rights as on redis-server, and are described in the same words.
 * Method: random SETUSER commands, valid and invalid ones, on both servers. After each: GETUSER and LIST are equal, but for
 *         the rules about commands, which Redis 7.0 computes anew; those are given to redis-server as another user's. Then
 *         DRYRUN of many commands gives the same reply for the user on both servers, and for that other user.
 */
import { describe, expect, test } from "bun:test";
import { bothServers } from "../support/both-servers.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { type Reply, type RespClient, show } from "../support/resp.ts";

const both = bothServers({ workers: 2 });
const ROUNDS = 400;
const TRIED_COMMANDS = 60;

const KEYS = ["a", "ab", "b", "x:1", "x:2", "y", "a*", ""];
const CHANNELS = ["c", "news:1", "news:*", "other", "*"];

/** Commands with keys and channels in every kind of place. K and C stand for a key and a channel. */
const TEMPLATES = `
  GET K|SET K 1|SET K 1 GET|SET K get|SETEX K 1 1|GETDEL K|GETEX K|GETSET K 1|MGET K K|MSET K 1 K 2|MSETNX K 1|APPEND K 1|STRLEN K|INCR K
  INCRBYFLOAT K 1|LCS K K|SETRANGE K 0 a|SUBSTR K 0 1|EXISTS K K|DEL K|UNLINK K K|TYPE K|TOUCH K|TTL K|EXPIRE K 1|PERSIST K|RENAME K K
  RENAMENX K K|COPY K K|MOVE K 1|DUMP K|RESTORE K 0 x|OBJECT ENCODING K|OBJECT HELP|MEMORY USAGE K|RANDOMKEY|KEYS *|SCAN 0|DBSIZE|FLUSHALL
  SORT K|SORT K STORE K|SORT_RO K|BITOP AND K K K|BITCOUNT K|BITFIELD K GET u8 0|BITFIELD K SET u8 0 1|BITFIELD K INCRBY u8 0 1
  BITFIELD_RO K GET u8 0|GETBIT K 0|SETBIT K 0 1|BITPOS K 1|LPUSH K 1|LPOP K|RPOPLPUSH K K|LMOVE K K LEFT LEFT|BLPOP K K 0
  BLMOVE K K LEFT LEFT 0|BLMPOP 0 2 K K LEFT|LMPOP 2 K K LEFT|LMPOP x K LEFT|LMPOP 9 K LEFT|LRANGE K 0 1|LINSERT K BEFORE 1 2|LPOS K 1
  SADD K 1|SPOP K|SRANDMEMBER K|SMOVE K K 1|SINTER K K|SINTERSTORE K K K|SINTERCARD 2 K K|SUNIONSTORE K K|SDIFF K K|SSCAN K 0
  ZADD K 1 a|ZRANGE K 0 1|ZRANGESTORE K K 0 1|ZUNION 2 K K|ZUNIONSTORE K 2 K K|ZINTERCARD 1 K|ZDIFFSTORE K 1 K|ZMPOP 1 K MIN|BZPOPMIN K 0
  HSET K f 1|HGET K f|HGETALL K|HRANDFIELD K|HSCAN K 0|HDEL K f|GEOADD K 1 1 a|GEORADIUS K 1 1 1 km|GEORADIUS K 1 1 1 km STORE K
  GEORADIUS K 1 1 1 km STOREDIST K|GEORADIUS_RO K 1 1 1 km|GEOSEARCHSTORE K K FROMMEMBER a BYRADIUS 1 km|PFADD K 1|PFCOUNT K K|PFMERGE K K
  XADD K * f 1|XREAD STREAMS K K 0 0|XREAD COUNT 1 STREAMS K 0|XREADGROUP GROUP g c STREAMS K >|XLEN K|XDEL K 1-1|XACK K g 1-1|XTRIM K MAXLEN 1
  XGROUP CREATE K g $|XGROUP HELP|XINFO STREAM K|XPENDING K g|XCLAIM K g c 0 1-1|XAUTOCLAIM K g c 0 0|XSETID K 1-1|EVAL r 0|EVAL r 1 K
  EVAL r 2 K K|EVAL_RO r 1 K|EVALSHA s 1 K|FCALL f 2 K K|FCALL_RO f 1 K|SCRIPT LOAD x|SCRIPT KILL|FUNCTION LIST|FUNCTION LOAD x|WATCH K K|MULTI
  EXEC|DISCARD|UNWATCH|PUBLISH C m|SPUBLISH C m|SUBSCRIBE C C|PSUBSCRIBE C C|SSUBSCRIBE C|UNSUBSCRIBE C|PUNSUBSCRIBE C|SUNSUBSCRIBE C
  PUBSUB CHANNELS|PUBSUB NUMSUB C|PING|ECHO x|AUTH p|HELLO|SELECT 0|SELECT 1|SWAPDB 0 1|QUIT|RESET|CLIENT ID|CLIENT LIST|CLIENT KILL x
  CLIENT NO-EVICT on|CLIENT TRACKING on|CONFIG GET x|CONFIG SET x y|CONFIG RESETSTAT|CONFIG HELP|INFO|COMMAND|COMMAND COUNT
  COMMAND GETKEYS GET K|ACL WHOAMI|ACL LIST|ACL CAT|ACL LOG|DEBUG OBJECT K|DEBUG SLEEP 0|SLOWLOG GET|LATENCY LATEST|MONITOR|TIME|LASTSAVE|SAVE
  BGSAVE|SHUTDOWN|ROLE|WAIT 0 0|LOLWUT|MODULE LIST|CLUSTER INFO|READONLY|GET|NOSUCH|CLIENT NOSUCH`
  .split(/[|\n]/)
  .map((line) => line.trim().split(" "))
  .filter(([name]) => name !== "");

/** Names of commands that both servers have, in the spelling of rules. */
const NAMES = [
  ...new Set(TEMPLATES.filter(([name]) => name !== "NOSUCH").map(([name]) => name!.toLowerCase())),
  ..."config|get config|set client|list client|kill acl|setuser object|encoding memory|usage xgroup|create".split(" "),
];
const CATEGORIES =
  "keyspace read write set sortedset list hash string bitmap hyperloglog geo stream pubsub admin fast slow blocking dangerous connection transaction scripting all";
const FIRST_ARGUMENTS = ["select|0", "select|1", "debug|object", "debug|SLEEP", "get|a", "GET|x:1", "auth|p"];
const MISTAKES =
  "+nosuch -nosuch +@nosuch +config|nosuch +config|get|x +select| -select|0 x & ~a\tb %~a %x~a %RR~a <none !abc #abc > >".split(
    " ",
  );
const HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const PLAIN = [
  ..."on off nopass resetpass sanitize-payload skip-sanitize-payload".split(" "),
  ...`>p >q <p #${HASH} !${HASH} ON NoPass`.split(" "),
];

class RuleGenerator {
  constructor(private readonly random: SeededRandom) {}

  /** The rules of one SETUSER command. */
  rules(): string[] {
    const { random } = this;
    const rules = Array.from({ length: random.between(1, 6) }, () => this.rule());
    if (random.chance(0.2)) rules.unshift("reset");
    if (random.chance(0.15)) rules.push("clearselectors");
    if (random.chance(0.3)) rules.push(...this.selector());
    if (random.chance(0.1)) rules.splice(random.below(rules.length + 1), 0, random.pick(MISTAKES));
    return rules;
  }

  private rule(): string {
    return this.random.chance(0.25) ? this.random.pick(PLAIN) : this.selectorRule();
  }

  private selector(): string[] {
    const { random } = this;
    const rules = Array.from({ length: random.between(0, 4) }, () => this.selectorRule());
    const text = `(${rules.join(" ")})`;
    // The parts of a selector may be arguments of their own.
    return random.chance(0.5) ? [text] : text.split(" ");
  }

  private selectorRule(): string {
    const { random } = this;
    const pattern = random.pick(["a*", "ab", "x:*", "[ab]", "y", "?", "caf\u00e9"]);
    return random.weighted([
      [3, () => `${random.pick(["~", "%R~", "%W~", "%RW~", "%rw~", "%WR~"])}${pattern}`],
      [1, () => random.pick(["allkeys", "~*", "%R~*", "resetkeys", "resetkeys"])],
      [2, () => `&${random.pick(CHANNELS)}`],
      [1, () => random.pick(["allchannels", "resetchannels", "resetchannels"])],
      [4, () => `${random.pick(["+", "-"])}@${random.pick(CATEGORIES.split(" "))}`],
      [5, () => `${random.pick(["+", "-"])}${random.pick(NAMES)}`],
      [1, () => `+${random.pick(FIRST_ARGUMENTS)}`],
      [1, () => random.pick(["allcommands", "nocommands"])],
    ])();
  }

  /** A command to try. */
  command(): string[] {
    const { random } = this;
    return random
      .pick(TEMPLATES)
      .map((word) => (word === "K" ? random.pick(KEYS) : word === "C" ? random.pick(CHANNELS) : word));
  }
}

/** What GETUSER replies, with the rules about commands left out, and these rules by themselves: of the user, then of each selector. */
function describe7(reply: Reply): { text: string; commands: string[] } {
  const commands: string[] = [];
  const cut = (at: Reply, next: Reply | undefined): Reply => {
    if (at.type === "bulk" && String(at.value) === "commands" && next !== undefined) commands.push(bulkText(next));
    return at;
  };
  const walk = (at: Reply): string => {
    if (at.type !== "array") return show(at);
    const items = at.value as Reply[];
    return `[${items.map((item, i) => (isCommands(items[i - 1]) ? "" : walk(cut(item, items[i + 1])))).join(" ")}]`;
  };
  return { text: walk(reply), commands };
}
function isCommands(reply: Reply | undefined): boolean {
  return reply?.type === "bulk" && bulkText(reply) === "commands";
}
function bulkText(reply: Reply): string {
  const { value } = reply as { value: unknown };
  return typeof value === "string" ? value : Buffer.from(value as Uint8Array).toString("latin1");
}

describe("against redis-server", () => {
  test("random rules: errors, descriptions, and what the users may do", async () => {
    const { redis } = both;
    if (redis === null) return;
    const random = new SeededRandom(testSeed());
    const generator = new RuleGenerator(random);
    const ours = await both.ferrite.connect();
    const theirs = await redis.connect();
    for (let round = 0; round < ROUNDS; round++) {
      const user = `u${random.below(4)}`;
      const set = ["ACL", "SETUSER", user, ...generator.rules()];
      const here = await same(ours, theirs, [set]);
      expect(here.length).toBe(1);
      await compareUser(ours, theirs, user, generator);
    }
    for (const client of [ours, theirs]) client.close();
  }, 120_000);
});

async function compareUser(
  ours: RespClient,
  theirs: RespClient,
  user: string,
  generator: RuleGenerator,
): Promise<void> {
  const getUser = ["ACL", "GETUSER", user];
  const here = describe7((await ours.pipeline([getUser]))[0]!);
  const there = describe7((await theirs.pipeline([getUser]))[0]!);
  expect(here.text).toBe(there.text);
  if (here.commands.length === 0) return;
  const lines = (await ours.pipeline([["ACL", "LIST"]]))[0] as { value: Reply[] };
  const line = lines.value.map(bulkText).find((text) => text.startsWith(`user ${user} `))!;
  // The line, with our form of the rules about commands, makes the same user on redis-server.
  const [copied] = await theirs.pipeline([["ACL", "SETUSER", "copy", "reset", ...line.split(" ").slice(2)]]);
  expect([line, show(copied!)]).toEqual([line, "+OK"]);
  const commands = Array.from({ length: TRIED_COMMANDS }, () => generator.command());
  const tried = commands.map((command) => ["ACL", "DRYRUN", user, ...command]);
  const results = await same(ours, theirs, tried);
  const copies = await theirs.pipeline(commands.map((command) => ["ACL", "DRYRUN", "copy", ...command]));
  expect(copies.map((reply, i) => [commands[i], show(reply)])).toEqual(results.map((text, i) => [commands[i], text]));
}

/** Runs the commands on both servers and expects the same replies. Returns them. */
async function same(ours: RespClient, theirs: RespClient, commands: string[][]): Promise<string[]> {
  const [here, there] = await Promise.all([ours.pipeline(commands), theirs.pipeline(commands)]);
  const label = (replies: readonly Reply[]): string[] =>
    replies.map((reply, i) => `${commands[i]!.join(" ")} → ${show(reply)}`);
  expect(label(here)).toEqual(label(there));
  return here.map(show);
}
