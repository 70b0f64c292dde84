/**
 * Memory per key, fresh and after many changes, Ferrite and redis-server.
 *
 * 1. RSS of the idle server; then `keys` keys of 16 bytes with values of 64 bytes; RSS again.
 *      overhead per key = (RSS after - RSS before) / keys - 16 - 64
 * 2. Ten rounds: a random half of the keys is deleted and written again with values of four other sizes (8 to 160 bytes).
 *    RSS beyond the bytes of the keys and values shows fragmentation and what the server does about it.
 * RSS is RssAnon + RssShmem of /proc/PID/status: the pages of the executable's file are left out (they are shared and clean).
 */
import { writeFileSync } from "node:fs";
import { residentBytes, type Server, type ServerKind, startFerrite, startRedis } from "../test/support/servers.ts";
import { KEY_BYTES, load, randomSource } from "./loader.ts";
import { Options, printHead, table } from "./machine.ts";

const options = new Options(
  {
    keys: "number of keys, default 5m",
    rounds: "rounds of churn, default 10",
    workers: "workers of Ferrite, default 2",
    servers: "ferrite,redis: which, in this order; default both",
    quick: "200k keys, 3 rounds",
    json: "file for the full result",
    "redis-args": "further arguments for redis-server, space-separated",
    "ferrite-args": "further arguments for ferrite, space-separated",
  },
  "bun bench/memory.ts [options]: resident memory per key",
);

const FIRST_VALUE_BYTES = 64,
  SIZES_PER_ROUND = 4;
const keys = options.number("keys", options.has("quick") ? 2e5 : 5e6);
const rounds = options.number("rounds", options.has("quick") ? 3 : 10);

interface Point {
  stage: string;
  rssBytes: number;
  dataBytes: number;
  seconds: number;
}
interface Result {
  server: ServerKind;
  idleBytes: number;
  points: Point[];
}

const headLines = printHead(
  `ferrite memory: ${keys} keys of ${KEY_BYTES} bytes, values of ${FIRST_VALUE_BYTES}, then ${rounds} rounds of churn`,
);
const extra = (name: string): string[] =>
  options
    .text(name, "")
    .split(" ")
    .filter((word) => word !== "");
const results: Result[] = [];
for (const kind of options.list("servers", "ferrite,redis") as ServerKind[]) {
  const server =
    kind === "ferrite"
      ? await startFerrite({ workers: options.number("workers", 2), args: extra("ferrite-args") })
      : await startRedis({ args: extra("redis-args") });
  try {
    results.push(await measure(server));
  } finally {
    await server.stop();
  }
  if (options.has("json"))
    writeFileSync(options.text("json", ""), JSON.stringify({ head: headLines, keys, results }, null, 1));
}
console.log(`\n${summary()}`);
process.exit(0);

async function measure(server: Server): Promise<Result> {
  await load({ port: server.port, count: 20_000, keyOf: () => 0 }); // the code is compiled before "idle" is read
  const idleBytes = await settled(server);
  const sizes = new Uint16Array(keys).fill(FIRST_VALUE_BYTES);
  const points: Point[] = [];
  const point = async (stage: string, seconds: number): Promise<void> => {
    let dataBytes = keys * KEY_BYTES;
    for (let i = 0; i < keys; i++) dataBytes += sizes[i]!;
    points.push({ stage, rssBytes: (await settled(server)) - idleBytes, dataBytes, seconds });
    console.log(`${server.kind} ${line(points.at(-1)!).join("  ")}`);
  };
  await point("fresh", (await load({ port: server.port, count: keys, valueBytes: FIRST_VALUE_BYTES })).seconds);

  for (let round = 1; round <= rounds; round++) {
    const random = randomSource(1000 + round);
    const valueSizes = Array.from({ length: SIZES_PER_ROUND }, () => 8 + Math.floor(random() * 153));
    const choice = new Uint8Array(keys); // 0: kept; 1..4: rewritten at that size
    for (let i = 0; i < keys; i++) choice[i] = random() < 0.5 ? 0 : 1 + Math.floor(random() * SIZES_PER_ROUND);
    let seconds = (
      await load({ port: server.port, count: keys, command: "DEL", keyOf: (i) => (choice[i] === 0 ? -1 : i) })
    ).seconds;
    for (let size = 1; size <= SIZES_PER_ROUND; size++) {
      seconds += (
        await load({
          port: server.port,
          count: keys,
          valueBytes: valueSizes[size - 1]!,
          keyOf: (i) => (choice[i] === size ? i : -1),
        })
      ).seconds;
    }
    for (let i = 0; i < keys; i++) if (choice[i] !== 0) sizes[i] = valueSizes[choice[i]! - 1]!;
    await point(`churn ${round}`, seconds);
  }
  await verify(server, sizes);
  return { server: server.kind, idleBytes, points };
}

/** RSS once it has stopped moving by more than half a percent a second, after ten seconds at the latest. */
async function settled(server: Server): Promise<number> {
  let last = residentBytes(server.pid).anonymous;
  for (let i = 0; i < 10; i++) {
    await Bun.sleep(1000);
    const now = residentBytes(server.pid).anonymous;
    if (Math.abs(now - last) < last * 0.005) return now;
    last = now;
  }
  return last;
}

async function verify(server: Server, sizes: Uint16Array): Promise<void> {
  const client = await server.connect();
  const size = await client.command("DBSIZE");
  let wrong = size.type === "int" && Number(size.value) === keys ? 0 : 1;
  const random = randomSource(3);
  for (let i = 0; i < 1000; i++) {
    const key = Math.floor(random() * keys);
    const reply = await client.command("STRLEN", `key:${String(key).padStart(12, "0")}`);
    if (reply.type !== "int" || Number(reply.value) !== sizes[key]) wrong++;
  }
  client.close();
  if (wrong > 0) throw new Error(`${server.kind}: ${wrong} wrong answers after the churn`);
}

function line(p: Point): string[] {
  return [
    p.stage,
    (p.rssBytes / 2 ** 20).toFixed(0),
    (p.dataBytes / 2 ** 20).toFixed(0),
    (p.rssBytes / keys).toFixed(1),
    ((p.rssBytes - p.dataBytes) / keys).toFixed(1),
    (p.rssBytes / p.dataBytes).toFixed(3),
    p.seconds.toFixed(1),
  ];
}

function summary(): string {
  const lines = [["server", "stage", "RSS MiB", "data MiB", "RSS/key", "overhead/key", "RSS/data", "seconds"]];
  for (const result of results) {
    lines.push([result.server, "idle", (result.idleBytes / 2 ** 20).toFixed(0), "0", "", "", "", ""]);
    for (const p of result.points) lines.push([result.server, ...line(p)]);
  }
  const [ferrite, redis] = ["ferrite", "redis"].map((kind) => results.find((result) => result.server === kind));
  if (ferrite === undefined || redis === undefined) return table(lines);
  const ratio = (i: number): string => (ferrite.points.at(i)!.rssBytes / redis.points.at(i)!.rssBytes).toFixed(3);
  return `${table(lines)}\n\nferrite / redis, RSS beyond idle: fresh ${ratio(0)}, after churn ${ratio(-1)}`;
}
