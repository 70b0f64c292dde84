/**
 * Server CPU per request of scripts and transactions, as a ratio to redis-server in the same run.
 *
 *   bun bench/scripts.ts [--pairs 5] [--cells limiter,bucket]
 *
 * Method: Ferrite with one worker and redis-server run at the same time, and redis-benchmark drives one of them at a time, in
 * pipelines of 16 (of 1 for long scripts). A pair is a neighbouring sample of each; the figure is the median of the ratios.
 */
import { ask, encodeCommand } from "../test/support/resp.ts";
import { type Server, startFerrite, startRedis } from "../test/support/servers.ts";
import { Options, printHead, processCpuUs, table } from "./machine.ts";

interface Cell {
  readonly name: string;
  readonly script: string;
  readonly keys: readonly string[];
  readonly args: readonly string[];
  readonly pipeline: number;
  readonly requests: number;
  /** Sent as EVAL with other digits each time, so that no text was seen before. */
  readonly isUnseen?: true;
}

const LIMITER = `local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
if n > tonumber(ARGV[2]) then return 0 end
return 1`;

const BUCKET = `local key = KEYS[1]
local rate = tonumber(ARGV[1])
local cap = tonumber(ARGV[2])
local now = tonumber(ARGV[3])
local state = redis.call('HMGET', key, 'tokens', 'at')
local tokens = tonumber(state[1]) or cap
local at = tonumber(state[2]) or now
tokens = math.min(cap, tokens + math.max(0, now - at) * rate)
local allowed = 0
if tokens >= 1 then tokens = tokens - 1 allowed = 1 end
redis.call('HSET', key, 'tokens', tokens, 'at', now)
redis.call('EXPIRE', key, 60)
return {allowed, tostring(tokens)}`;

const CELLS: readonly Cell[] = [
  { name: "one", script: "return 1", keys: [], args: [], pipeline: 16, requests: 200_000 },
  { name: "get", script: "return redis.call('GET', KEYS[1])", keys: ["k"], args: [], pipeline: 16, requests: 200_000 },
  { name: "limiter", script: LIMITER, keys: ["limit"], args: ["60", "1000000000"], pipeline: 16, requests: 200_000 },
  {
    name: "bucket",
    script: BUCKET,
    keys: ["bucket"],
    args: ["10", "100", "1700000000"],
    pipeline: 16,
    requests: 100_000,
  },
  {
    name: "undeclared",
    script: "return redis.call('GET', 'k' .. ARGV[1])",
    keys: [],
    args: ["1"],
    pipeline: 16,
    requests: 200_000,
  },
  {
    name: "additions",
    script: "local x = 0 for i = 1, 10000 do x = x + i end return x",
    keys: [],
    args: [],
    pipeline: 16,
    requests: 20_000,
  },
  {
    name: "calls",
    script: "for i = 1, 1000 do redis.call('INCR', KEYS[1]) end",
    keys: ["c"],
    args: [],
    pipeline: 1,
    requests: 1500,
  },
  {
    name: "unseen",
    script: "return '__rand_int__'",
    keys: [],
    args: [],
    pipeline: 16,
    requests: 100_000,
    isUnseen: true,
  },
  {
    name: "unseen bucket",
    script: BUCKET.replace("key, 60", "key, 1__rand_int__"),
    keys: ["bucket"],
    args: ["10", "100", "1700000000"],
    pipeline: 16,
    requests: 50_000,
    isUnseen: true,
  },
];

/** A transaction of ten SETs of random keys: its commands, and the bytes of its replies. */
const SETS = 10;
const KEYS = 100_000;
const REPLY_BYTES = "+OK\r\n".length * (SETS + 1) + "+QUEUED\r\n".length * SETS + `*${SETS}\r\n`.length;
const CONNECTIONS = 20;
const TRANSACTIONS = 100_000;

function transactions(count: number): Buffer {
  const parts: Buffer[] = [];
  for (let n = 0; n < count; n++) {
    parts.push(encodeCommand(["MULTI"]));
    for (let i = 0; i < SETS; i++) {
      const key = `key:${Math.floor(Math.random() * KEYS)}`.padEnd(16, "x");
      parts.push(encodeCommand(["SET", key, "v".repeat(64)]));
    }
    parts.push(encodeCommand(["EXEC"]));
  }
  return Buffer.concat(parts);
}

/** CPU per transaction, us: each connection sends `pipeline` of them and waits for the replies. */
async function cpuOfTransactions(server: Server, pipeline: number): Promise<number> {
  const requests = Array.from({ length: 50 }, () => transactions(pipeline));
  const rounds = Math.ceil(TRANSACTIONS / pipeline / CONNECTIONS);
  const before = processCpuUs(server.pid);
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async (_, c) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      let missing = REPLY_BYTES * pipeline;
      let round = 0;
      const socket = await Bun.connect({
        hostname: "127.0.0.1",
        port: server.port,
        socket: {
          data: (own, bytes) => {
            missing -= bytes.length;
            if (missing < 0) return reject(new Error("more was replied than expected"));
            if (missing > 0) return;
            if (++round === rounds) return resolve();
            missing = REPLY_BYTES * pipeline;
            own.write(requests[(c + round) % requests.length]!);
          },
          error: (_, thrown) => reject(thrown),
        },
      });
      socket.write(requests[c]!);
      await promise;
      socket.end();
    }),
  );
  return (processCpuUs(server.pid) - before) / (rounds * pipeline * CONNECTIONS);
}

const options = new Options(
  {
    cells: "comma-separated names, default all",
    pairs: "pairs of samples per cell, default 5",
  },
  "bun bench/scripts.ts [options]: CPU per script, Ferrite against redis-server",
);

async function cpuOf(server: Server, cell: Cell, sha: string): Promise<number> {
  const before = processCpuUs(server.pid);
  const { keys, args, pipeline, requests, script, isUnseen } = cell;
  const run = Bun.spawn(
    [
      "redis-benchmark",
      "-p",
      String(server.port),
      "-n",
      String(requests),
      "-P",
      String(pipeline),
      "-c",
      "20",
      "-q",
      ...(isUnseen === true ? ["-r", "1000000000", "EVAL", script] : ["EVALSHA", sha]),
      String(keys.length),
      ...keys,
      ...args,
    ],
    { stdout: "ignore", stderr: "ignore" },
  );
  if ((await run.exited) !== 0) throw new Error("redis-benchmark failed");
  return (processCpuUs(server.pid) - before) / requests;
}

/** Medians of `pairs` samples of both servers, and of their ratios. The first of each is not counted. */
async function compared(
  name: string,
  pairs: number,
  ferrite: Server,
  redis: Server,
  measure: (server: Server) => Promise<number>,
): Promise<string[]> {
  await measure(ferrite);
  await measure(redis);
  const samples: { ours: number; theirs: number }[] = [];
  for (let n = 0; n < pairs; n++) samples.push({ ours: await measure(ferrite), theirs: await measure(redis) });
  const median = (of: (sample: { ours: number; theirs: number }) => number) =>
    samples.map(of).sort((a, b) => a - b)[samples.length >> 1]!;
  return [
    name,
    median((s) => s.ours).toFixed(2),
    median((s) => s.theirs).toFixed(2),
    median((s) => s.ours / s.theirs).toFixed(2),
  ];
}

async function main(): Promise<void> {
  printHead("CPU per script, microseconds");
  const names = options.list("cells", `${CELLS.map(({ name }) => name).join(",")},multi`);
  const pairs = options.number("pairs", 5);
  const ferrite = await startFerrite({ workers: 1 });
  const redis = await startRedis();
  const ours = await ferrite.connect();
  const theirs = await redis.connect();
  const rows: string[][] = [["script", "Ferrite", "Redis", "ratio"]];
  for (const cell of CELLS.filter(({ name }) => names.includes(name))) {
    let sha = "";
    for (const client of [ours, theirs]) {
      await ask(client, "SET", "k", "v".repeat(64));
      sha = (await ask(client, "SCRIPT", "LOAD", cell.script)).slice(1, -1);
    }
    rows.push(await compared(cell.name, pairs, ferrite, redis, (server) => cpuOf(server, cell, sha)));
  }
  for (const pipeline of [1, 16]) {
    const name = `multi p${pipeline}`;
    if (!names.includes("multi")) continue;
    rows.push(await compared(name, pairs, ferrite, redis, (server) => cpuOfTransactions(server, pipeline)));
  }
  console.log(table(rows));
  ours.close();
  theirs.close();
  await ferrite.stop();
  await redis.stop();
}

await main();
