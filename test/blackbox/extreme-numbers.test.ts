/**
 * Goal:   no number in an argument keeps the server from serving other clients, and each gets Redis's reply.
 * Method: every command of the table that takes a number gets extreme ones in its numeric arguments, one at a time and
 *         together, on the same small data in both servers. Another client is answered after each of them, and during
 *         endless replies. A command of the table without a line here fails the test. One run
 *         takes a random third of the numbers for each placeholder, and half as many where a line has several placeholders.
 *         FERRITE_NUMBERS=n takes one of n instead of one of three.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { countFrom, testSeed } from "../support/random.ts";
import { encodeCommand, type Reply, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

const HANG_MS = 30_000;
const TEST_MS = 120_000;
/** Of so many numbers, one is taken. */
const PART = countFrom("FERRITE_NUMBERS", 3);

const NUMBERS =
  `0 -0 1 -1 3 -3 100 -100 2147483647 2147483648 -2147483648 -2147483649 4294967295 4294967296 9007199254740991
  9007199254740993 -9007199254740993 4611686018427387904 -4611686018427387904 -4611686018427387905 9223372036854775806
  9223372036854775807 9223372036854775808 -9223372036854775807 -9223372036854775808 -9223372036854775809
  18446744073709551615 18446744073709551616 inf -inf nan 1e308 -1e308 1e400 1e-400 1.5 0x7f x`
    .split(/\s+/)
    .concat("", " 1");

/** They would make the server or the connection a replica. See the next test. */
const CHANGE_THE_SERVER = new Set(["REPLICAOF", "SLAVEOF", "PSYNC"]);

/** The data before every command. */
const DATA = [
  "SET s abcdefgh",
  "SET i 7",
  "RPUSH l a b c a b",
  "SADD set a b c",
  "SADD ints 1 2 3",
  "HSET h a 1 b 2 c 3",
  "ZADD z 1 a 2 b 3 c",
  "GEOADD g 13.361389 38.115556 p 15.087269 37.502669 q",
  "XADD x 1-1 a 1",
  "XADD x 2-1 b 2",
  "XGROUP CREATE x grp 0",
  "XREADGROUP GROUP grp c COUNT 1 STREAMS x >",
];

/**
 * N is any number, P any except large negative counts, B any except IDs of clients, T any except short times. Lines that
 * begin with "!" may have an endless reply, which Redis would not survive. Lines with "?" have commands, options or limits
 * that Redis 7.0 does not know. Both are sent to Ferrite only.
 */
const LINES = `
  BITCOUNT s N N|BITCOUNT s N N BIT|BITPOS s N N N|BITPOS s 1 N N BIT|GETBIT s N|SETBIT s N N|BITFIELD_RO s GET u8 N
  BITFIELD s GET i64 N|BITFIELD s GET u8 #N|BITFIELD s INCRBY u8 8 N|BITFIELD s SET i64 0 N|BITFIELD s OVERFLOW SAT INCRBY i64 0 N
  BITFIELD s GET uN 0|BITFIELD s GET iN 0|FAILOVER TIMEOUT N|FAILOVER TO h N TIMEOUT N
  GETRANGE s N N|SUBSTR s N N|SETRANGE s N x|INCRBY i N|DECRBY i N|INCRBYFLOAT i N|LCS s i IDX MINMATCHLEN N
  SETEX s N v|PSETEX s N v|SET s v EX N|SET s v PXAT N|GETEX s EX N|EXPIRE s N|PEXPIRE s N|EXPIREAT s N|PEXPIREAT s N
  COPY s s2 DB N|MOVE s N|SWAPDB N N|RESTORE new N payload|RESTORE new 0 payload IDLETIME N|RESTORE new 0 payload FREQ N
  SORT l ALPHA LIMIT N N|SORT_RO l ALPHA LIMIT N N|SORT ints BY nosort LIMIT N N|SORT ints LIMIT N N STORE d
  LINDEX l N|LSET l N x|LRANGE l N N|LTRIM l N N|LREM l N a|LPOP l N|RPOP l N|LPOS l a RANK N|LPOS l a COUNT N MAXLEN N
  LPOS l a RANK N COUNT N MAXLEN N|LMPOP N l LEFT|LMPOP 1 l LEFT COUNT N|BLMPOP 0.001 N none LEFT|BLMPOP N 1 l LEFT COUNT N
  BLPOP l N|BRPOP l N|BLMOVE l l LEFT RIGHT N|BRPOPLPUSH l l N|BZPOPMIN z N|BZPOPMAX z N|BZMPOP N 1 z MIN COUNT N|BZMPOP 0.001 N none MIN
  SPOP ints N|SRANDMEMBER set P|SINTERCARD N set|SINTERCARD 1 set LIMIT N|HINCRBY h a N|HINCRBYFLOAT h a N
  HRANDFIELD h P|HRANDFIELD h P WITHVALUES|ZRANDMEMBER z P|ZRANDMEMBER z P WITHSCORES
  ZADD z N m|ZADD z INCR N a|ZADD z GT N b|ZINCRBY z N a|ZCOUNT z N N|ZCOUNT z (N (N|ZLEXCOUNT z - +|ZPOPMIN z N|ZPOPMAX z N|ZMPOP N z MIN
  ZMPOP 1 z MIN COUNT N|ZRANGE z N N|ZRANGE z N N REV|ZRANGE z N N BYSCORE LIMIT N N|ZRANGE z - + BYLEX LIMIT N N|ZREVRANGE z N N
  ZRANGESTORE d z N N|ZRANGESTORE d z N N BYSCORE LIMIT N N|ZRANGEBYSCORE z N N LIMIT N N|ZRANGEBYSCORE z -inf +inf LIMIT N N
  ZREVRANGEBYSCORE z N N LIMIT N N|ZRANGEBYLEX z - + LIMIT N N|ZREVRANGEBYLEX z + - LIMIT N N|ZREMRANGEBYRANK z N N
  ZREMRANGEBYSCORE z N N|ZUNION N z set|ZINTER N z set|ZDIFF N z set|ZUNION 2 z set WEIGHTS N N WITHSCORES
  ZINTER 2 z set WEIGHTS N N AGGREGATE MIN WITHSCORES|ZUNIONSTORE d N z|ZINTERSTORE d N z|ZDIFFSTORE d N z|ZUNIONSTORE d 1 z WEIGHTS N
  ZINTERSTORE d 1 z WEIGHTS N|ZINTERCARD N z|ZINTERCARD 1 z LIMIT N
  GEOADD g N N m|GEORADIUS g N N 100 km|GEORADIUS g 15 37 N m|GEORADIUS g 15 37 1000 km COUNT N|GEORADIUS_RO g 15 37 N km COUNT N ASC
  GEORADIUSBYMEMBER g p N km|GEORADIUSBYMEMBER_RO g p 1000 km COUNT N|GEOSEARCH g FROMLONLAT N N BYRADIUS 1 m
  GEOSEARCH g FROMMEMBER p BYBOX N N km ASC|GEOSEARCH g FROMMEMBER p BYRADIUS N km ASC|GEOSEARCH g FROMMEMBER p BYRADIUS 900 km COUNT N ANY
  GEOSEARCHSTORE d g FROMMEMBER p BYBOX N N m COUNT N
  XADD x N v v|XADD x N-N v v|XADD x MAXLEN N 3-1 v v|XADD x MAXLEN ~ N LIMIT N 3-1 v v|XTRIM x MAXLEN N|XTRIM x MINID N
  XTRIM x MAXLEN ~ N LIMIT N|XTRIM x MINID ~ N-N LIMIT N|XRANGE x N N COUNT N|XRANGE x - + COUNT N|XREVRANGE x + - COUNT N|XREVRANGE x N N
  XREAD COUNT N STREAMS x N|XREAD STREAMS x N-N|XREAD BLOCK N STREAMS x 0|XREADGROUP GROUP grp c COUNT N STREAMS x 0
  XREADGROUP GROUP grp c COUNT N BLOCK N STREAMS x >|XPENDING x grp - + N|XPENDING x grp IDLE N - + 0|XPENDING x grp N N 0
  XCLAIM x grp c T 1-1 JUSTID|XCLAIM x grp c 0 N JUSTID|XCLAIM x grp c 0 1-1 IDLE N RETRYCOUNT N JUSTID|XCLAIM x grp c 0 1-1 TIME N JUSTID
  XAUTOCLAIM x grp c T 0 JUSTID|XAUTOCLAIM x grp c 0 N JUSTID|XDEL x N-N|XACK x grp N-N
  XGROUP CREATE x new N|XGROUP CREATE x new 0 ENTRIESREAD N|XGROUP SETID x grp N|XINFO STREAM x FULL COUNT N
  SSCAN set 0 COUNT N|HSCAN h 0 COUNT N|ZSCAN z 0 COUNT N|SSCAN set N|HSCAN h N|ZSCAN z N|SCAN 0 COUNT N
  SELECT N|HELLO N|WAIT N 1|WAIT 0 N|CLIENT UNBLOCK B|CLIENT KILL ID B|CLIENT LIST ID B|CLIENT PAUSE N WRITE|CLIENT PAUSE N NONE
  SLOWLOG GET N|MEMORY USAGE s SAMPLES N|CONFIG SET slowlog-max-len N
  ?WAITAOF N 0 1|?WAITAOF 0 N 1|?WAITAOF 0 0 N|?XSETID x N|?XSETID x 9-0 ENTRIESADDED N|?XGROUP SETID x grp 0 ENTRIESREAD N|?SCAN N|?XAUTOCLAIM x grp c 0 0 COUNT N
  !SRANDMEMBER set N|!HRANDFIELD h N|!HRANDFIELD h N WITHVALUES|!ZRANDMEMBER z N|!ZRANDMEMBER z N WITHSCORES
  ?HEXPIRE h N FIELDS 1 a|?HEXPIREAT h N FIELDS 1 a|?HPEXPIRE h N FIELDS 1 a|?HPEXPIREAT h N FIELDS 1 a|?HEXPIRE h 9 FIELDS N a
  ?HTTL h FIELDS N a|?HPTTL h FIELDS N a|?HEXPIRETIME h FIELDS N a|?HPEXPIRETIME h FIELDS N a|?HPERSIST h FIELDS N a
  ?SEXPIRE set N MEMBERS 1 a|?SEXPIREAT set N MEMBERS 1 a|?SPEXPIRE set N MEMBERS 1 a|?SPEXPIREAT set N MEMBERS 1 a
  ?STTL set MEMBERS N a|?SPTTL set MEMBERS N a|?SEXPIRETIME set MEMBERS N a|?SPEXPIRETIME set MEMBERS N a|?SPERSIST set MEMBERS N a
  ?ZEXPIRE z N MEMBERS 1 a|?ZEXPIREAT z N MEMBERS 1 a|?ZPEXPIRE z N MEMBERS 1 a|?ZPEXPIREAT z N MEMBERS 1 a
  ?ZTTL z MEMBERS N a|?ZPTTL z MEMBERS N a|?ZEXPIRETIME z MEMBERS N a|?ZPEXPIRETIME z MEMBERS N a|?ZPERSIST z MEMBERS N a
  ?HGETEX h EX N FIELDS 1 a|?HGETEX h FIELDS N a|?HGETDEL h FIELDS N a|?HSETEX h EX N FIELDS 1 a 1|?HSETEX h FIELDS N a 1
  ?MSETEX N s v|?MSETEX 1 s v EX N|?INCREX i BYINT N|?INCREX i BYINT 1 EX N|?INCREX i BYFLOAT N|?INCREX i UBOUND N LBOUND N
  ?XACKDEL x grp IDS N 1-1|?XDELEX x IDS N 1-1|?COMMANDLOG GET N slow|?HOTKEYS START METRICS N CPU COUNT N|?LOLWUT VERSION N N N
  EVAL return N a b|EVAL_RO return N a b|EVALSHA ffffffffffffffffffffffffffffffffffffffff N a b
  EVALSHA_RO ffffffffffffffffffffffffffffffffffffffff N a b|FCALL f N a b|FCALL_RO f N a b
  ?CLIENT TRACKING on REDIRECT N|?ACL GENPASS N|?ACL LOG N
  ?CLUSTER ADDSLOTS N|?CLUSTER ADDSLOTSRANGE N N|?CLUSTER COUNTKEYSINSLOT N|?CLUSTER DELSLOTS N|?CLUSTER DELSLOTSRANGE N N
  ?CLUSTER GETKEYSINSLOT N N|?CLUSTER MEET 127.0.0.1 N|?CLUSTER SET-CONFIG-EPOCH N|?CLUSTER SETSLOT N STABLE
  ?TIER SAMPLE N|?TIER SAMPLE 0 COUNT N|?TIER SAMPLE N COUNT N`
  .split(/[|\n]/)
  .map((line) => line.trim())
  .filter((line) => line !== "");

/** Intended differences. */
function isMeant(args: readonly string[], ferrite: string): boolean {
  const line = args.join(" ");
  // A timeout whose end overflows is refused from Redis 7.2 on; 7.0 wraps around.
  if (ferrite.startsWith("-ERR timeout is out of range")) return true;
  // Likewise the rank whose negation does not exist.
  if (line.startsWith("LPOS l a RANK -9223372036854775808")) return ferrite.startsWith("-ERR value is out of range");
  // The offset of such an integer overflows: Redis multiplies and wraps around.
  return /^BITFIELD s GET u8 #-?\d{19}/.test(line) && ferrite.startsWith("-ERR bit offset is not an integer");
}

function textOf(args: readonly string[], reply: Reply): string {
  const name = args[0]!;
  // Replies that are random, or in any order.
  if (/^(SPOP|[SHZ]RAND|[SHZ]?SCAN|SRAND)/.test(name) && "value" in reply && Array.isArray(reply.value)) {
    return `${reply.type} of ${reply.value.length}`;
  }
  if (/^(MEMORY|SLOWLOG|HELLO|XINFO)$/.test(name) || /^CLIENT (LIST|KILL)/.test(args.join(" "))) return shapeOf(reply);
  if (name === "XPENDING") return show(reply).replace(/, :\d+, (:\d+\])/g, ", ms, $1");
  return show(reply).replace(/"(-?\d+(\.\d+)?(e[+-]\d+)?)"/g, (_, digits) => String(Number(digits)));
}

function shapeOf(reply: Reply): string {
  return reply.type === "error" ? show(reply) : reply.type;
}

let ferrite: Server;
let redis: Server | null = null;
beforeAll(async () => {
  ferrite = await startFerrite({ workers: 2 });
  if (requireRedis()) redis = await startRedis({ settings: { "enable-debug-command": "yes" } });
}, TEST_MS);
afterAll(async () => {
  await ferrite?.stop();
  await redis?.stop();
}, TEST_MS);

const LONG_MAX = 2n ** 63n - 1n;

function isLong(number: string, least: bigint, most: bigint): boolean {
  return /^-?\d+$/.test(number) && BigInt(number) >= least && BigInt(number) <= most;
}

/** The values of each placeholder. */
const RANGES: Record<string, readonly string[]> = {
  N: NUMBERS,
  P: NUMBERS.filter((number) => !isLong(number, -LONG_MAX, -1000n)),
  T: NUMBERS.filter((number) => !isLong(number, 1n, 1000n)),
  B: NUMBERS.filter((number) => !isLong(number, 1n, 2n ** 31n)),
};
const PLACEHOLDER = /\b[NPTB]\b|(?<=[#(ui])N\b/g;

/** The commands of a line: each number at each placeholder, with 1 or random numbers at the others. */
function* fillings(line: string, random: Random): Generator<string[]> {
  const words = line.replace(/^[!?]/, "").split(" ");
  const places = words.flatMap((word) => word.match(PLACEHOLDER) ?? []);
  for (let place = 0; place < places.length; place++) {
    for (const number of RANGES[places[place]!]!) {
      if (random.below(places.length > 1 ? 2 * PART : PART) !== 0) continue;
      const isAlone = random.below(2) === 0;
      const chosen = places.map((kind, n) => {
        const range = RANGES[kind]!;
        return n === place ? number : isAlone ? "1" : range[random.below(range.length)]!;
      });
      yield words.map((word) => word.replace(PLACEHOLDER, () => chosen.shift()!));
    }
  }
}

test("every command of the table that takes a number has a line here", async () => {
  const client = await ferrite.connect();
  await client.command("HELLO", "3");
  const docs = await client.command("COMMAND", "DOCS");
  client.close();
  const asked: string[] = [];
  type Doc = Map<string, Reply>;
  const read = (reply: Reply): Doc => {
    if (reply.type !== "map") throw new Error(show(reply));
    return new Map(reply.value.map(([key, value]) => [(key as { value: string }).value, value]));
  };
  const items = (reply: Reply | undefined): Reply[] =>
    reply?.type === "array" || reply?.type === "set" ? reply.value : [];
  const takesNumber = (argument: Reply): boolean => {
    const doc = read(argument);
    const type = doc.get("type");
    if (type !== undefined && "value" in type && /^(integer|double|unix-time)$/.test(String(type.value))) return true;
    return items(doc.get("arguments")).some(takesNumber);
  };
  const visit = (docOf: Doc): void => {
    for (const [name, reply] of docOf) {
      const doc = read(reply);
      if (items(doc.get("arguments")).some(takesNumber)) asked.push(name.toUpperCase().replace("|", " "));
      const subcommands = doc.get("subcommands");
      if (subcommands !== undefined) visit(read(subcommands));
    }
  };
  visit(read(docs));
  expect(asked.length).toBeGreaterThan(100);
  const lines = LINES.map((line) => `${line.replace(/^[!?]/, "")} `);
  const others = asked.filter((name) => !CHANGE_THE_SERVER.has(name));
  expect(others.filter((name) => !lines.some((line) => line.startsWith(`${name} `)))).toEqual([]);
});

test.each(LINES)(
  "%s",
  async (line) => {
    const random = new Random(testSeed());
    const ours = new Side(ferrite);
    const theirs = /^[!?]/.test(line) || redis === null ? null : new Side(redis);
    const payload = redis === null ? "" : await dumped(redis);
    const different: string[] = [];
    for (const args of fillings(line, random)) {
      const bytes = args.map((word) => Buffer.from(word === "payload" ? payload : word, "latin1"));
      if (line.startsWith("!")) {
        await ours.begin(args, bytes);
        continue;
      }
      const [own, other] = await Promise.all([ours.outcome(args, bytes), theirs?.outcome(args, bytes)]);
      if (other === undefined || own === other || isMeant(args, own)) continue;
      different.push(`${args.join(" ")}\n  Redis   ${other}\n  Ferrite ${own}`);
    }
    ours.close();
    theirs?.close();
    expect(different.slice(0, 5).join("\n")).toBe("");
  },
  TEST_MS,
);

async function dumped(server: Server): Promise<string> {
  const client = await server.connect();
  await client.command("SET", "dumped", "v");
  const reply = await client.command("DUMP", "dumped");
  client.close();
  return (reply as { value: string }).value;
}

/** A server, a client that sends the commands, and another that must be answered meanwhile. */
class Side {
  private client: RespClient | null = null;
  private other: RespClient | null = null;
  private id = "";

  constructor(private readonly server: Server) {}

  close(): void {
    this.client?.close();
    this.other?.close();
    this.client = null;
  }

  private async ready(): Promise<[RespClient, RespClient]> {
    this.other ??= await this.server.connect();
    if (this.client === null) {
      this.client = await this.server.connect();
      this.id = show(await this.client.command("CLIENT", "ID")).slice(1);
    }
    const { client, other } = this;
    await client.pipeline([["RESET"], ["FLUSHALL"], ...DATA.map((line) => line.split(" "))]);
    return [client, other];
  }

  private async expectServed(other: RespClient, args: readonly string[]): Promise<void> {
    const what = `beside ${args.join(" ")}`;
    const unpaused = other.pipeline([["PING"], ["CLIENT", "UNPAUSE"], ["SET", "beside", "1"], ["DEL", "beside"]]);
    expect((await within(unpaused, HANG_MS, what)).map(show)).toEqual(["+PONG", "+OK", "+OK", ":1"]);
  }

  /** The reply to a command that runs on DATA, and a digest of the data afterwards. */
  async outcome(args: readonly string[], bytes: readonly Buffer[]): Promise<string> {
    const [client, other] = await this.ready();
    let isOver = false;
    const reply = within(client.command(...bytes), HANG_MS, args.join(" ")).finally(() => {
      isOver = true;
    });
    if (/^(BL|BR|BZ|XREAD|WAIT)/.test(args[0]!)) {
      while (!isOver) await other.command("CLIENT", "UNBLOCK", this.id);
    }
    const text = textOf(args, await reply);
    await this.expectServed(other, args);
    // A deadline may have passed by now, and popped members are random.
    if (/EX|PX|^SPOP|^RESTORE/.test(args.join(" "))) return text;
    return `${text} ${show(await other.command("DEBUG", "DIGEST"))}`;
  }

  /** Sends a command, waits for the beginning of its reply, and disconnects. */
  async begin(args: readonly string[], bytes: readonly Buffer[]): Promise<void> {
    const [client, other] = await this.ready();
    client.keepRaw = true;
    client.write(encodeCommand(bytes));
    expect(await client.rawBytes(4, HANG_MS)).toBe(true);
    await this.expectServed(other, args);
    client.reset();
    this.client = null;
  }
}

test(
  "ports of REPLICAOF and offsets of PSYNC that are refused are so as in redis-server",
  async () => {
    if (!requireRedis()) return;
    const ferrite = await startFerrite({ workers: 1 });
    const redis = await startRedis();
    const ours = await ferrite.connect();
    const theirs = await redis.connect();
    let refused = 0;
    for (const number of NUMBERS) {
      for (const command of [
        ["REPLICAOF", "127.0.0.1", number],
        ["SLAVEOF", "127.0.0.1", number],
        ["PSYNC", "?", number],
      ]) {
        // What redis-server does not refuse would change both servers.
        if (command[0] === "PSYNC" ? isInt64(number) : isInt64(number) && Number(number) >= 0 && Number(number) < 65536)
          continue;
        const expected = show(await theirs.command(...command));
        expect(expected).toStartWith("-");
        expect([command, show(await ours.command(...command))]).toEqual([command, expected]);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(60);
    ours.close();
    theirs.close();
    await ferrite.stop();
    await redis.stop();
  },
  TEST_MS,
);

function isInt64(text: string): boolean {
  return /^(0|-?[1-9]\d*)$/.test(text) && BigInt(text) === BigInt.asIntN(64, BigInt(text));
}
