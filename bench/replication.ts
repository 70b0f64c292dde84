/**
 * Replication: how fast a replica applies, what a replica costs its primary, and what a slow link costs writers.
 *
 *   bun bench/replication.ts apply  [--seconds 8] [--value 64] [--keys 1m] [--workers 2]
 *   bun bench/replication.ts cpu    [--requests 1m] [--pairs 3]
 *   bun bench/replication.ts shaped [--seconds 90] [--rate 1m] [--disk 0]
 *   bun bench/replication.ts fullsync [--keys 5m] [--rate 1m] [--servers ferrite,redis]
 *
 * apply   A primary that is none sends SETs as fast as the replica reads them, first without and then with parallel_sync. CPU of the
 *         replica's process and of each of its workers, for each command: what the busiest worker needs bounds the rate on a
 *         machine with a core for each.
 * cpu     redis-benchmark, SET at P=16: Ferrite alone, Ferrite with a Ferrite replica, redis-server with one. CPU of the primary
 *         for each request, in turn, several rounds.
 * shaped  Writers of 500-byte SETs at full rate while the replica's link passes `rate` bytes a second (LinkProxy). Full
 *         synchronizations after the first, and the latency of a bystander that writes.
 * fullsync  replication/full-sync.ts: three replicas at once, one of which reads `rate` bytes a second.
 */
import { readdirSync, readFileSync } from "node:fs";
import { LinkProxy } from "../test/support/link-proxy.ts";
import { acknowledged, info, linkUp } from "../test/support/replication.ts";
import { ask } from "../test/support/resp.ts";
import { type Server, type ServerKind, startFerrite, startRedis } from "../test/support/servers.ts";
import { Options, printHead, processCpuUs, showSpread, spread, table } from "./machine.ts";
import { measureFullSync } from "./replication/full-sync.ts";
import { StreamSource } from "./stream-source.ts";

const [what = "apply"] = process.argv.splice(2, process.argv[2]?.startsWith("--") === false ? 1 : 0);
const options = new Options(
  {
    seconds: "apply: length of a measurement, default 8; shaped: of the phase, default 90",
    value: "apply: bytes of a value, default 64",
    keys: "apply: different keys, default 1m; fullsync: keys, default 5m",
    workers: "workers of Ferrite, default 2",
    requests: "cpu: requests of a sample, default 1m",
    pairs: "cpu: rounds, default 3",
    rate: "shaped, fullsync: bytes a second of the (slow) link, default 1m",
    disk: "shaped: replication.backlog_disk_size, default 0",
    servers: "fullsync: default ferrite,redis",
  },
  "bun bench/replication.ts apply|cpu|shaped|fullsync [options]",
);
const workers = options.number("workers", 2);
const WARM_MS = 3000;
const DEADLINE_SECONDS = 600;

// ---- apply ----

/** CPU of the threads named worker-N, us. */
function workerCpuUs(pid: number): number[] {
  const found: number[] = [];
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const name = /^worker-(\d+)/.exec(readFileSync(`/proc/${pid}/task/${task}/comm`, "latin1"));
    if (name === null) continue;
    const ns = Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "latin1").split(" ")[0]);
    found[Number(name[1])] = ns / 1000;
  }
  return found;
}

async function applied(isParallel: boolean): Promise<string[]> {
  const source = await StreamSource.start(options.number("value", 64), options.number("keys", 1e6));
  const settings: Record<string, string> = isParallel ? { "replication.parallel_sync": "yes" } : {};
  const server = await startFerrite({ workers, settings });
  try {
    const client = await server.connect();
    await ask(client, "REPLICAOF", "127.0.0.1", source.port);
    await linkUp(client);
    await Bun.sleep(WARM_MS);
    const read = async () => ({
      offset: Number(await info(client, "slave_repl_offset")),
      cpu: processCpuUs(server.pid),
      each: workerCpuUs(server.pid),
      at: performance.now(),
    });
    const before = await read();
    await Bun.sleep(options.number("seconds", 8) * 1000);
    const after = await read();
    const commands = (after.offset - before.offset) / source.commandBytes;
    const each = after.each.map((us, n) => (us - before.each[n]!) / commands);
    client.close();
    return [
      isParallel ? "with parallel_sync" : "one worker",
      `${Math.round(commands)}`,
      `${Math.round((commands * 1000) / (after.at - before.at))}`,
      ((after.cpu - before.cpu) / commands).toFixed(2),
      each.map((us) => us.toFixed(2)).join(" + "),
      `${Math.round(1e6 / Math.max(...each))}`,
    ];
  } finally {
    await server.kill();
    source.stop();
  }
}

// ---- cpu ----

async function benchmark(port: number, requests: number): Promise<void> {
  const args = ["-p", `${port}`, "-t", "set", "-n", `${requests}`, "-c", "50", "-P", "16", "-r", "1000000", "-d", "64"];
  const child = Bun.spawn(["timeout", `${DEADLINE_SECONDS}`, "redis-benchmark", ...args, "-q"], {
    stdout: "ignore",
    stderr: "ignore",
  });
  if ((await child.exited) !== 0) throw new Error("redis-benchmark has failed");
}

async function withReplica(primary: Server, replica: Server): Promise<void> {
  const client = await replica.connect();
  await ask(client, "REPLICAOF", "127.0.0.1", primary.port);
  await linkUp(client);
  client.close();
}

async function measureCpu(): Promise<void> {
  const quick = { "replication.repl_diskless_sync_delay": "0" };
  const redis = { settings: { "repl-diskless-sync-delay": "0" } };
  const servers = await Promise.all([
    startFerrite({ workers }),
    startFerrite({ workers, settings: quick }),
    startFerrite({ workers }),
    startRedis(redis),
    startRedis(),
  ]);
  const [alone, led, follower, redisLed, redisFollower] = servers as [Server, Server, Server, Server, Server];
  try {
    await withReplica(led, follower);
    await withReplica(redisLed, redisFollower);
    const requests = options.number("requests", 1e6);
    const sides = [alone, led, redisLed];
    const figures: number[][] = sides.map(() => []);
    for (let round = -1; round < options.number("pairs", 3); round++)
      for (const [n, server] of sides.entries()) {
        const before = processCpuUs(server.pid);
        await benchmark(server.port, requests);
        const us = (processCpuUs(server.pid) - before) / requests;
        if (n > 0) {
          const client = await server.connect();
          await ask(client, "SET", "end", "1");
          await acknowledged(client, 1);
          client.close();
        }
        if (round >= 0) figures[n]!.push(us); // the first round warms up
      }
    const ratio = (a: number[], b: number[]) => showSpread(spread(a.map((us, i) => us / b[i]!)));
    const [own, with1, redis1] = figures as [number[], number[], number[]];
    const rows = [
      ["alone", showSpread(spread(own)), "1"],
      ["with a replica", showSpread(spread(with1)), `${ratio(with1, own)} of alone`],
      ["redis-server with one", showSpread(spread(redis1)), `Ferrite ${ratio(with1, redis1)} of it`],
    ];
    console.log(table([["primary", "CPU a SET, us", "ratio"], ...rows]));
  } finally {
    await Promise.all(servers.map((server) => server.kill()));
  }
}

// ---- shaped ----

async function measureShaped(): Promise<void> {
  const disk = options.text("disk", "0");
  const settings = { "replication.repl_diskless_sync_delay": "0", "replication.backlog_disk_size": disk };
  const primary = await startFerrite({ workers, settings });
  const replica = await startFerrite({ workers });
  const proxy = await LinkProxy.before(primary.port);
  try {
    const follower = await replica.connect();
    await ask(follower, "REPLICAOF", "127.0.0.1", proxy.port);
    await linkUp(follower);
    const client = await primary.connect();
    const full = await info(client, "sync_full", "stats");
    proxy.slow(options.number("rate", 1e6));
    const seconds = options.number("seconds", 90);
    const writers = Bun.spawn(
      ["timeout", `${seconds}`, "redis-benchmark", "-p", `${primary.port}`, "-t", "set", "-n", "1000000000"].concat([
        ...["-c", "50", "-r", "1000000", "-d", "500", "-q"],
      ]),
      { stdout: "ignore", stderr: "ignore" },
    );
    const times: number[] = [];
    for (const until = performance.now() + seconds * 1000; performance.now() < until; await Bun.sleep(5)) {
      const from = performance.now();
      await ask(client, "SET", "bystander", "v".repeat(500));
      times.push(performance.now() - from);
    }
    await writers.exited;
    const sorted = times.toSorted((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!.toFixed(1);
    const after = await info(client, "sync_full", "stats");
    for (const line of primary
      .log()
      .split("\n")
      .filter((text) => /WARN|lost/.test(text)))
      console.log(`# ${line}`);
    const written = Number(await info(client, "master_repl_offset"));
    const reached = Number(await info(follower, "slave_repl_offset"));
    console.log(
      table([
        ["full synchronizations before, after", "stream, MB", "the replica has, MB", "p50, ms", "p99, ms", "worst, ms"],
        [`${full}, ${after}`, `${Math.round(written / 1e6)}`, `${Math.round(reached / 1e6)}`, at(0.5), at(0.99), at(1)],
      ]),
    );
    client.close();
    follower.close();
  } finally {
    proxy.stop();
    await Promise.all([primary.kill(), replica.kill()]);
  }
}

printHead(`replication: ${what}`);
if (what === "apply") {
  const heading = ["replica", "commands", "a second", "CPU, us", "by worker", "busiest worker allows a second"];
  console.log(table([heading, await applied(false), await applied(true)]));
} else if (what === "cpu") {
  await measureCpu();
} else if (what === "shaped") {
  await measureShaped();
} else if (what === "fullsync") {
  await measureFullSync(options.list("servers", "ferrite,redis") as ServerKind[], {
    keys: options.number("keys", 5e6),
    workers,
    rate: options.number("rate", 1e6),
    idleSeconds: 10,
  });
} else {
  throw new Error(`${what}: apply, cpu, shaped or fullsync`);
}
process.exit(0);
