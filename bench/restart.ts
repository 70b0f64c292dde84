/**
 * Seconds from exec to the first value, after a planned stop and after kill -9, with and without a disk tier; and of redis-server
 * with an RDB file of the same data.
 *
 *   npm run bench -- restart [options]
 *
 * Keys of 16 bytes; values of random printable bytes. The file pages are in the page cache. The prober connects and sends GET until
 * a value comes. CPU is that of the process up to then, all threads. An image that is not used ends the run.
 */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RespClient, show } from "../test/support/resp.ts";
import { type Server, startFerrite, startRedis } from "../test/support/servers.ts";
import { Options, printHead, processCpuUs, showSpread, spread, table } from "./machine.ts";

const BATCH = 500;
const START_MAX_MS = 3_600_000;

const options = new Options(
  {
    keys: "keys, default 500000",
    bytes: "bytes of a value, default 1000",
    tier: "max_memory with a disk tier, such as 384mb; default: no tier",
    references: "persistence.aof_segment_references, default true",
    rounds: "restarts of each kind, default 3",
    nice: "niceness of the measured servers, default 0",
  },
  "bun bench/restart.ts [options]: exec to the first value after a planned stop, after kill -9, and of Redis",
);
const keys = options.number("keys", 500_000);
const bytes = options.number("bytes", 1000);
const tier = options.text("tier", "");
const wrapper = ["nice", "-n", options.text("nice", "0")];
printHead("ferrite restart");

const keyOf = (n: number): string => `key:${String(n).padStart(12, "0")}`;
const directory = mkdtempSync(join(tmpdir(), "ferrite-restart-"));
const settings: Record<string, string> = {
  "persistence.stop_image": "yes",
  "persistence.enable_checkpoints": "false",
  "persistence.aof_segment_references": options.text("references", "true"),
  ...(tier === "" ? {} : { "storage.tiering": "true", "storage.max_memory": tier }),
};

async function fill(client: RespClient): Promise<void> {
  const body = Buffer.alloc(bytes);
  crypto.getRandomValues(body.subarray(0, Math.min(bytes, 1 << 16)));
  for (let i = 0; i < bytes; i++) body[i] = 33 + (body[i]! % 90);
  for (let n = 0; n < keys; n += BATCH) {
    const many = Array.from({ length: Math.min(BATCH, keys - n) }, (_, i) => ["SET", keyOf(n + i), body]);
    await client.pipeline(many);
  }
}

interface Start {
  readonly server: Server;
  readonly seconds: number;
  readonly cpu: number;
}

/** Starts a server and waits for the value of a key. */
async function timed(begin: () => Promise<Server>): Promise<Start> {
  const beganMs = performance.now();
  const server = await begin();
  for (;;) {
    try {
      const client = await server.connect();
      const reply = await client.command("GET", keyOf(keys - 1));
      client.close();
      if (show(reply).length > bytes) break;
    } catch {
      if (server.hasExited) throw new Error(`the server has ended: ${server.log().slice(-2000)}`);
    }
    await Bun.sleep(2);
  }
  const seconds = (performance.now() - beganMs) / 1000;
  return { server, seconds, cpu: processCpuUs(server.pid) / 1e6 };
}

const ferrite = () =>
  startFerrite({
    dataDir: directory,
    persistence: true,
    settings,
    wrapper,
    waitForReply: false,
    startTimeoutMs: START_MAX_MS,
  });
const results: Record<string, { seconds: number[]; cpu: number[] }> = {};
function note(name: string, { seconds, cpu }: { seconds: number; cpu: number }): void {
  results[name] ??= { seconds: [], cpu: [] };
  results[name].seconds.push(seconds);
  results[name].cpu.push(cpu);
}

const redisDirectory = mkdtempSync(join(tmpdir(), "ferrite-restart-redis-"));
let server = await startFerrite({ dataDir: directory, persistence: true, settings, wrapper });
const filler = await server.connect();
await fill(filler);
if (tier === "") {
  await filler.command("SAVE");
  copyFileSync(join(directory, "dump.rdb"), join(redisDirectory, "dump.rdb"));
}
filler.close();
for (let round = 0; round < options.number("rounds", 3); round++) {
  const stopMs = performance.now();
  await server.stop(START_MAX_MS);
  note("planned stop", { seconds: (performance.now() - stopMs) / 1000, cpu: 0 });
  const warm = await timed(ferrite);
  if (!warm.server.log().includes("DB loaded from the stop image")) throw new Error(warm.server.log());
  note("start after it", warm);
  await warm.server.kill();
  const cold = await timed(ferrite);
  note("start after kill -9", cold);
  server = cold.server;
  if (tier !== "") continue;
  const redis = await timed(() => startRedis({ dataDir: redisDirectory, wrapper, waitForReply: false }));
  note("redis-server, its RDB file", redis);
  await redis.server.kill();
}
await server.kill();
rmSync(directory, { recursive: true });
rmSync(redisDirectory, { recursive: true });
const lines = Object.entries(results).map(([name, { seconds, cpu }]) => [
  name,
  showSpread(spread(seconds), 2),
  showSpread(spread(cpu), 2),
]);
console.log(`\n${table([["what", "s", "CPU s"], ...lines])}\n\nmedian [minimum..maximum]`);
