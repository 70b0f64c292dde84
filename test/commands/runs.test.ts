/**
 * Goal:   a run, for which the lock is held and the collection stays open from one command to the next, has the same effect
 *         as its commands alone.
 * Method: random runs on few keys of every type go to one engine as pipelines, and to another one by one. Replies and the
 *         digest of all keys are compared. Scenes show what ends a run, and clients that wait during one.
 */
import { describe, expect, test } from "bun:test";
import { type TestClient, testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { type Argument, encodeCommand, type Reply, type RespClient, show, within } from "../support/resp.ts";
import { startFerrite } from "../support/servers.ts";

const ROUNDS = 80;
const RUN_MS = 60_000;
const KEYS = 3;
const HANG_MS = 20_000;
const LONG = "x".repeat(1500);

/** The kinds of run: a command, and the arguments of each call. */
const RUNS: readonly ((random: SeededRandom, key: string) => Argument[])[] = [
  (random, key) => ["LPUSH", `l${key}`, ...words(random, 2)],
  (random, key) => ["RPUSH", `l${key}`, ...words(random, 1)],
  (_, key) => ["LPOP", `l${key}`],
  (random, key) => ["RPOP", `l${key}`, ...(random.chance(0.2) ? [random.below(30)] : [])],
  (_, key) => ["LLEN", `l${key}`],
  (random, key) => ["LINDEX", `l${key}`, random.between(-40, 40)],
  (random, key) => ["LSET", `l${key}`, random.between(-40, 40), word(random)],
  (random, key) => ["HSET", `h${key}`, field(random), word(random)],
  (random, key) => ["HINCRBY", `h${key}`, `n${random.below(5)}`, random.below(100)],
  (random, key) => ["HDEL", `h${key}`, field(random), field(random)],
  (random, key) => ["HGET", `h${key}`, field(random)],
  (random, key) => ["HEXPIRE", `h${key}`, random.below(3) * 50, "FIELDS", 1, field(random)],
  (random, key) => ["HPERSIST", `h${key}`, "FIELDS", 1, field(random)],
  (random, key) => ["SADD", `s${key}`, random.below(600), random.chance(0.01) ? "m" : 1],
  (random, key) => ["SREM", `s${key}`, random.below(600), random.below(600)],
  (random, key) => ["SEXPIRE", `s${key}`, random.below(3) * 50, "MEMBERS", 1, random.below(600)],
  (random, key) => ["SISMEMBER", `s${key}`, random.below(600)],
  (random, key) => ["ZADD", `z${key}`, random.below(50), `m${random.below(600)}`],
  (random, key) => ["ZREM", `z${key}`, `m${random.below(600)}`, `m${random.below(600)}`],
  (_, key) => ["ZPOPMIN", `z${key}`],
  (random, key) => ["ZEXPIRE", `z${key}`, random.below(3) * 50, "MEMBERS", 1, `m${random.below(600)}`],
  (random, key) => ["ZPERSIST", `z${key}`, "MEMBERS", 1, `m${random.below(600)}`],
  (random, key) => ["ZRANK", `z${key}`, `m${random.below(600)}`],
  (_, key) => ["XADD", `x${key}`, "MAXLEN", 200, "1-*", "f", key],
  (_, key) => ["XDEL", `x${key}`, "1-1"],
  (_, key) => ["XLEN", `x${key}`],
  (_, key) => ["INCR", `i${key}`],
  (_, key) => ["GET", `i${key}`],
  // Keys of the wrong type, and a key that is removed in the middle of the run.
  (_, key) => ["LPUSH", `h${key}`, "x"],
  (random, key) => ["DEL", `${random.pick(["l", "h", "s", "z", "x"])}${key}`],
  (random, key) => ["PEXPIRE", `${random.pick(["l", "h", "s", "z", "x"])}${key}`, random.below(2000)],
];

function word(random: SeededRandom): string {
  return random.chance(0.02) ? LONG : random.chance(0.3) ? String(random.below(1000)) : `word${random.below(1000)}`;
}
function words(random: SeededRandom, most: number): string[] {
  return Array.from({ length: random.between(1, most) }, () => word(random));
}
function field(random: SeededRandom): string {
  return `f${random.below(700)}`;
}

describe("a run of one command on one key", () => {
  const seed = testSeed();
  test(
    `equals its commands one by one (FERRITE_SEED=${seed})`,
    () => {
      const random = new SeededRandom(seed);
      const together = testEngine();
      const alone = testEngine();
      const pipelined = together.connect();
      const single = alone.connect();
      for (let round = 0; round < ROUNDS; round++) {
        const commands: Argument[][] = [];
        for (let run = random.between(1, 3); run > 0; run--) {
          const make = random.pick(RUNS);
          const key = String(random.below(KEYS));
          for (let count = random.chance(0.1) ? 300 : random.between(1, 40); count > 0; count--) {
            commands.push(make(random, key));
          }
        }
        const replies = pipelined
          .raw(Buffer.concat(commands.map((args) => encodeCommand(args))))
          .map((reply) => show(reply));
        const expected = commands.map((args) => show(single.raw(encodeCommand(args))[0]!));
        expect(replies).toEqual(expected);
        together.check();
        expect(everything(pipelined)).toEqual(everything(single));
        const passed = random.below(400);
        together.advance(passed);
        alone.advance(passed);
      }
    },
    RUN_MS,
  );

  test("counts each access for LFU, of reads and of writes", () => {
    const engine = testEngine();
    const { config } = engine;
    for (const [name, value] of [
      ["storage.maxmemory_policy", "allkeys-lfu"],
      ["storage.lfu_log_factor", 0],
    ] as const) {
      config.apply([{ name, value, previous: config.get(name) }]);
    }
    const client = engine.connect();
    for (let i = 0; i < 600; i++) client.send("SADD", "set", `m${i}`);
    for (const command of ["SISMEMBER", "SREM"]) {
      engine.send("COPY", "set", command);
      const before = Number(client.send("OBJECT", "FREQ", command).slice(1));
      client.raw(Buffer.concat(Array.from({ length: 50 }, (_, i) => encodeCommand([command, command, `m${i}`]))));
      expect(client.send("OBJECT", "FREQ", command)).toBe(`:${before + 50}`);
    }
  });

  test(
    "serves clients that wait for its key, element by element",
    async () => {
      const server = await startFerrite({ workers: 2 });
      try {
        const clients = await Promise.all([1, 2, 3, 4].map(() => server.connect()));
        const [pusher, admin, ...waiting] = clients as [RespClient, RespClient, ...RespClient[]];
        const got: Promise<Reply>[] = [];
        for (const client of waiting) {
          got.push(client.command("BLPOP", "list", "0"));
          await within(seenBlocked(admin, got.length), HANG_MS, "a client that waits");
        }
        const pushes = Array.from({ length: 700 }, (_, i) => ["RPUSH", "list", `e${i}`]);
        const lengths = (await pusher.pipeline(pushes)).map(show);
        expect(lengths).toEqual(pushes.map((_, i) => `:${Math.max(i - 1, 1)}`));
        expect((await Promise.all(got)).map(show)).toEqual(['*["list", "e0"]', '*["list", "e1"]']);
        const left = pushes.slice(2).map((args) => `"${args[2]}"`);
        expect(show(await admin.command("LRANGE", "list", "0", "-1"))).toBe(`*[${left.join(", ")}]`);
      } finally {
        await server.stop();
      }
    },
    RUN_MS,
  );
});

async function seenBlocked(admin: RespClient, count: number): Promise<void> {
  for (;;) {
    if (show(await admin.command("INFO", "clients")).includes(`blocked_clients:${count}`)) return;
    await Bun.sleep(5);
  }
}

/** The contents of all keys of the runs. */
function everything(client: TestClient): string[] {
  const said: string[] = [];
  for (let key = 0; key < KEYS; key++) {
    said.push(
      client.send("LRANGE", `l${key}`, 0, -1),
      client.send("HGETALL", `h${key}`),
      client.send("SMEMBERS", `s${key}`),
    );
    said.push(client.send("ZRANGE", `z${key}`, 0, -1, "WITHSCORES"), client.send("XRANGE", `x${key}`, "-", "+"));
    said.push(client.send("GET", `i${key}`));
    for (const type of "lhszx") {
      said.push(client.send("PTTL", type + key), client.send("OBJECT", "ENCODING", type + key));
    }
  }
  return said;
}
