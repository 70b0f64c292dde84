/**
 * Goal:   a replica whose workers apply its primary's stream together (replication.parallel_sync) has the primary's data, keeps
 *         the order of each key and whole transactions, passes the stream on as it is, and logs what a restart needs. Readers see
 *         no effect of a connection without those before it.
 * Method: redis-server → Ferrite with three workers → redis-server. The link is held up while the primary takes many commands
 *         whose result depends on their order, so that much waits; the link is cut, and the replica is promoted in the middle.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LinkProxy } from "../support/link-proxy.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { expectSameData, startPrimaryRedis, startReplicaFerrite } from "../support/replicas.ts";
import { acknowledged, digest, eventually, info, linkUp } from "../support/replication.ts";
import { ask, type RespClient } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite } from "../support/servers.ts";

const START_MS = 60_000;
const TEST_MS = 60_000;
const SETTINGS = {
  "replication.parallel_sync": "yes",
  "replication.sync_threads": "3",
  "replication.repl_diskless_sync_delay": "0",
  "replication.repl_backlog_size": "64mb",
};

/** Commands whose result depends on the order of those on their key, most of them with one key. */
function commands(random: SeededRandom, count: number): string[][] {
  const made: string[][] = [];
  for (let n = 0; n < count; n++) {
    const key = `${random.below(300)}`;
    const value = `${n}${"v".repeat(random.below(60))}`;
    made.push(
      random.pick([
        ["SET", `s${key}`, value],
        ["APPEND", `s${key}`, value],
        ["INCRBY", `n${key}`, `${random.below(100)}`],
        ["RPUSH", `l${key}`, value],
        ["LPOP", `l${key}`],
        ["HSET", `h${key}`, `f${random.below(20)}`, value],
        ["HDEL", `h${key}`, `f${random.below(20)}`],
        ["SADD", `e${key}`, value.slice(0, 6)],
        ["ZADD", `z${key}`, `${n}`, `m${random.below(30)}`],
        ["ZREMRANGEBYRANK", `z${key}`, "20", "-1"],
        ["XADD", `x${key}`, "MAXLEN", "50", "*", "f", value],
        ["PEXPIRE", `s${key}`, "10000000"],
        ["DEL", `${random.pick(["s", "l", "h"])}${key}`],
      ]),
    );
    if (n % 997 === 0) made.push(["MULTI"], ["INCR", "n1"], ["RPUSH", "l2", "in"], ["EXEC"]);
    if (n % 1499 === 0) made.push(["MSET", "s3", value, "s4", value], ["RENAME", "s3", "s5"]);
    if (n % 4001 === 0) made.push(["SELECT", `${random.below(3)}`]);
  }
  made.push(["SELECT", "0"]);
  return made;
}

describe.skipIf(!requireRedis())("workers that apply together", () => {
  const servers: Server[] = [];
  let primary: RespClient;
  let replica: RespClient;
  let last: RespClient;
  let proxy: LinkProxy;
  beforeAll(async () => {
    const redis = { settings: { "repl-backlog-size": "67108864" } };
    servers.push(
      ...(await Promise.all([
        startPrimaryRedis(redis),
        startReplicaFerrite({ workers: 3, persistence: true, settings: SETTINGS }),
        startPrimaryRedis(redis),
      ])),
    );
    [primary, replica, last] = (await Promise.all(servers.map((server) => server.connect()))) as [
      RespClient,
      RespClient,
      RespClient,
    ];
    proxy = await LinkProxy.before(servers[0]!.port);
    await ask(replica, "REPLICAOF", "127.0.0.1", proxy.port);
    await linkUp(replica);
    await ask(last, "REPLICAOF", "127.0.0.1", servers[1]!.port);
    await linkUp(last);
  }, START_MS);
  afterAll(async () => {
    if (servers[1]?.hasExited === true) console.log(servers[1].log().slice(-4000));
    proxy?.stop();
    await Promise.all(servers.map((server) => server.kill()));
  });

  /** Holds the link up while `count` commands run, and lets what waits come at once. */
  async function flood(seed: number, count: number, cutAfter = Infinity): Promise<void> {
    proxy.block("down");
    await primary.pipeline(commands(new SeededRandom(seed), count));
    proxy.restore();
    if (cutAfter !== Infinity) proxy.cutAfter(cutAfter);
  }
  async function expectSame(): Promise<void> {
    const offset = Number(await info(primary, "master_repl_offset"));
    for (const client of [replica, last])
      await eventually("the offset", async () => Number(await info(client, "master_repl_offset")) >= offset);
    const expected = await digest(primary);
    expect(await digest(replica)).toBe(expected);
    expect(await digest(last)).toBe(expected);
  }

  test(
    "end with the primary's data, and pass its bytes on",
    async () => {
      const seed = testSeed();
      for (let round = 0; round < 2; round++) {
        await flood(seed + round, 6000);
        await expectSame();
      }
      expect(Number(await info(replica, "parallel_sync_commands"))).toBeGreaterThan(0);
      expect(await info(primary, "sync_full", "stats")).toBe("1");
      expect(servers[1]!.log()).not.toContain("CRITICAL");
    },
    TEST_MS,
  );

  test(
    "links that are cut anywhere",
    async () => {
      const seed = testSeed();
      for (let round = 0; round < 4; round++) {
        await flood(seed + round, 3000, 20_000 + round * 15_555);
        await eventually("the cut", () => proxy.cuts > round);
      }
      await expectSame();
      expect(await info(primary, "sync_full", "stats")).toBe("1");
    },
    TEST_MS,
  );

  test(
    "a command that is longer than what may wait comes behind slow ones",
    async () => {
      await ask(primary, "SADD", "much", ...Array.from({ length: 3000 }, (_, n) => `${n}m`));
      proxy.block("down");
      await primary.pipeline([
        ...Array.from({ length: 400 }, () => ["SUNIONSTORE", "union", "much"]),
        ["RPUSH", "long", ...Array.from({ length: 12_000 }, (_, n) => `${n}`.padEnd(1000, "v"))],
      ]);
      proxy.restore();
      await expectSame();
      await ask(primary, "DEL", "much", "union", "long");
    },
    TEST_MS,
  );

  test(
    "readers see no command without those before it",
    async () => {
      const [one, two] = ["{a}first", "{b}second"];
      proxy.block("down");
      const writes: string[][] = [];
      for (let n = 1; n <= 5000; n++) writes.push(["SET", one, `${n}`], ["SET", two, `${n}`]);
      await primary.pipeline(writes);
      const reader = await servers[1]!.connect();
      let isDone = false;
      const looks = (async () => {
        while (!isDone) {
          // EXEC reads both at one moment; `second` is never ahead of `first`.
          const reply = await reader.pipeline([["MULTI"], ["GET", one], ["GET", two], ["EXEC"]]);
          const [first, second] = numbersOf(reply.at(-1));
          expect(first! - second!).toBeGreaterThanOrEqual(0);
          expect(first! - second!).toBeLessThanOrEqual(1);
        }
      })();
      proxy.restore();
      await expectSame();
      isDone = true;
      await looks;
      reader.close();
    },
    TEST_MS,
  );

  test(
    "the append-only file has what was applied, in its order",
    async () => {
      await ask(replica, "BGREWRITEAOF");
      await eventually(
        "the file is new",
        async () => (await info(replica, "aof_rewrite_in_progress", "persistence")) === "0",
      );
      await flood(testSeed(), 2000);
      await expectSame();
      await ask(replica, "WAITAOF", 1, 0, 10_000);
      await ask(replica, "DEBUG", "LOADAOF");
      expect(await digest(replica)).toBe(await digest(primary));
    },
    TEST_MS,
  );

  test(
    "a promotion in the middle leaves whole commands, and a prefix of them",
    async () => {
      const counts: string[][] = [];
      for (let n = 1; n <= 20_000; n++) counts.push(["SET", `counted:${n % 512}`, `${n}`]);
      proxy.block("down");
      await primary.pipeline(counts);
      proxy.restore();
      await eventually("some have come", async () => (await ask(replica, "EXISTS", "counted:1")) === ":1");
      expect(await ask(replica, "REPLICAOF", "NO", "ONE")).toBe("+OK");
      const values: number[] = [];
      for (let n = 0; n < 512; n++) {
        const reply = await ask(replica, "GET", `counted:${n}`);
        values.push(reply.startsWith('"') ? Number(reply.slice(1, -1)) : 0);
      }
      // Of a prefix of length L each key has the last number of its residue up to L.
      const length = Math.max(...values);
      expect(values).toEqual(values.map((_, n) => lastUpTo(length, n)));
      await ask(replica, "SET", "own", "1");
      expect(await ask(replica, "GET", "own")).toBe('"1"');
    },
    TEST_MS,
  );
});

test.skipIf(!requireRedis())(
  "a part that cannot be run: the data set is asked for anew, and nothing of the whole is acknowledged or applied twice",
  async () => {
    const redis = await startPrimaryRedis();
    const env = { FERRITE_CHECKS: "1", FERRITE_FAULT: "part-torn" };
    const ferrite = await startReplicaFerrite({ workers: 2, settings: SETTINGS, env });
    const proxy = await LinkProxy.before(redis.port);
    try {
      const [primary, replica] = await Promise.all([redis.connect(), ferrite.connect()]);
      await ask(replica, "REPLICAOF", "127.0.0.1", proxy.port);
      await linkUp(replica);
      // Until the first whole that several workers share.
      for (let n = 0; (await info(primary, "sync_full", "stats")) === "1" && n < 100; n++) {
        proxy.block("down");
        await primary.pipeline(Array.from({ length: 4000 }, (_, i) => ["APPEND", `key:${i % 500}`, `${n},`]));
        proxy.restore();
        await acknowledged(primary, 1);
      }
      expect(ferrite.log()).toContain("a command could not be applied together with others: memory is short");
      await expectSameData(primary, replica);
      expect(await info(primary, "sync_full", "stats")).toBe("2");
    } finally {
      proxy.stop();
      await Promise.all([redis.kill(), ferrite.kill()]);
    }
  },
  TEST_MS,
);

test("without parallel_sync INFO does not tell of it", async () => {
  const server = await startFerrite({ workers: 2 });
  const client = await server.connect();
  await ask(client, "REPLICAOF", "127.0.0.1", 1);
  expect(await info(client, "parallel_sync_commands")).toBe("");
  await eventually("why there is no link", async () => (await info(client, "master_link_error")) !== "");
  expect(await info(client, "master_link_status")).toBe("down");
  expect((await info(client, "master_link_error")).toLowerCase()).toContain("refused");
  await server.kill();
});

function lastUpTo(length: number, residue: number): number {
  const last = length - ((((length - residue) % 512) + 512) % 512);
  return last < 1 ? 0 : last;
}

function numbersOf(reply: unknown): number[] {
  const { value } = reply as { value: readonly { value?: string | null }[] };
  return value.map((item) => Number(item.value ?? 0));
}
