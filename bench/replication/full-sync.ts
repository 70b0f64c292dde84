/**
 * A full synchronization of three replicas at once, one of which reads slowly, while clients write. Ferrite, then redis-server.
 * How long the two others take, how long a writer waits at worst, by how much the primary grows, and how many snapshots it takes.
 */
import { readFileSync } from "node:fs";
import { LinkProxy } from "../../test/support/link-proxy.ts";
import { info } from "../../test/support/replication.ts";
import { ask, type RespClient } from "../../test/support/resp.ts";
import { residentBytes, type Server, type ServerKind, startFerrite, startRedis } from "../../test/support/servers.ts";
import { processCpuUs, table } from "../machine.ts";

export interface FullSyncOptions {
  readonly keys: number;
  readonly workers: number;
  /** Of the slow replica, bytes a second. */
  readonly rate: number;
  /** Length of the measurement before the synchronization, seconds. */
  readonly idleSeconds: number;
}

const LIMIT_MS = 560_000;
const BATCH = 50;

async function start(kind: ServerKind, workers: number): Promise<Server> {
  if (kind === "redis")
    return startRedis({ settings: { "repl-diskless-sync-delay": "1", "enable-debug-command": "yes" } });
  const settings = { "replication.repl_diskless_sync_delay": "1", "server.enable_debug_command": "yes" };
  return startFerrite({ workers, settings });
}

/** CPU of a server and of its children that have ended, seconds. */
function cpuSeconds({ pid }: Server): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const [children, childrenSystem] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(13, 15);
  return processCpuUs(pid) / 1e6 + (Number(children) + Number(childrenSystem)) / 100;
}

/** Writes 5,000 keys a second, and asks a second client for one write after the other, until it is stopped. */
class Writers {
  private isOver = false;
  private readonly done: Promise<unknown>;
  /** Of the second client, ms. */
  times: number[] = [];

  constructor(writer: RespClient, bystander: RespClient, keys: number) {
    this.done = Promise.all([this.write(writer, keys), this.watch(bystander)]);
  }

  private async write(client: RespClient, keys: number): Promise<void> {
    for (let n = 0; !this.isOver; n += BATCH) {
      const key = (i: number): string => `key:${((n + i) * 7919) % keys}`;
      await client.pipeline(Array.from({ length: BATCH }, (_, i) => ["SET", key(i), `changed ${n}`]));
      await Bun.sleep(10);
    }
  }
  private async watch(client: RespClient): Promise<void> {
    while (!this.isOver) {
      const from = performance.now();
      await ask(client, "SET", "bystander", "1");
      this.times.push(performance.now() - from);
      await Bun.sleep(1);
    }
  }
  /** The times since it was asked before: median, 99 %, 99.9 % and worst. */
  figures(): string {
    if (this.times.length === 0) return "";
    const sorted = this.times.splice(0).toSorted((a, b) => a - b);
    const at = (share: number): string =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!.toFixed(1);
    return [at(0.5), at(0.99), at(0.999), at(1)].join(" ");
  }
  async stop(): Promise<void> {
    this.isOver = true;
    await this.done;
  }
}

async function measure(kind: ServerKind, { keys, workers, rate, idleSeconds }: FullSyncOptions): Promise<string[]> {
  const servers = await Promise.all([kind, kind, kind, kind].map((each) => start(each, workers)));
  const [primary, ...replicas] = servers as [Server, Server, Server, Server];
  const proxy = await LinkProxy.before(primary.port);
  const clients = await Promise.all(servers.map((server) => server.connect()));
  const [client, ...followers] = clients as [RespClient, RespClient, RespClient, RespClient];
  try {
    const populated = await client.command("DEBUG", "POPULATE", keys, "key", 10);
    if (populated.type === "error") throw new Error(populated.value);
    const writers = new Writers(await primary.connect(), await primary.connect(), keys);
    await Bun.sleep(idleSeconds * 1000);
    const idle = writers.figures();
    const before = residentBytes(primary.pid).anonymous;
    let peak = before;
    const cpu = servers.map(cpuSeconds);
    proxy.slow(rate);
    const began = performance.now();
    for (const [n, follower] of followers.entries())
      await ask(follower, "REPLICAOF", "127.0.0.1", n === 2 ? proxy.port : primary.port);
    const upAt = replicas.map(() => 0);
    let quick = "";
    while (upAt.includes(0)) {
      if (performance.now() - began > LIMIT_MS) throw new Error("the replicas are not there in time");
      peak = Math.max(peak, residentBytes(primary.pid).anonymous);
      for (const [n, follower] of followers.entries())
        if (upAt[n] === 0 && (await info(follower, "master_link_status").catch(() => "")) === "up")
          upAt[n] = performance.now() - began;
      if (quick === "" && upAt[0]! > 0 && upAt[1]! > 0) quick = writers.figures();
      await Bun.sleep(50);
    }
    await writers.stop();
    const [led, followed] = servers.map((server, n) => (cpuSeconds(server) - cpu[n]!).toFixed(1));
    proxy.restore();
    const snapshots = primary.log().match(/Starting BGSAVE for SYNC/g)?.length ?? 0;
    const full = await info(client, "sync_full", "stats");
    const equal = await sameData(client, followers);
    const [one, two, slow] = upAt.map((ms) => (ms / 1000).toFixed(1));
    const growth = ((peak - before) / 2 ** 20).toFixed(0);
    const times = [idle, quick, writers.figures()];
    return [kind, `${one}, ${two}`, slow!, ...times, `${led}, ${followed}`, growth, `${snapshots}, ${full}`, equal];
  } finally {
    proxy.stop();
    await Promise.all(servers.map((server) => server.kill()));
  }
}

async function sameData(primary: RespClient, followers: readonly RespClient[]): Promise<string> {
  const offset = await info(primary, "master_repl_offset");
  for (const follower of followers)
    while (Number(await info(follower, "slave_repl_offset")) < Number(offset)) await Bun.sleep(50);
  const sizes = await Promise.all([primary, ...followers].map((each) => ask(each, "DBSIZE")));
  return sizes.every((size) => size === sizes[0]) ? "yes" : `no: ${sizes.join(" ")}`;
}

export async function measureFullSync(kinds: readonly ServerKind[], options: FullSyncOptions): Promise<void> {
  const rows = [];
  for (const kind of kinds) rows.push(await measure(kind, options));
  const times = "p50 p99 p99.9 worst, ms";
  const heading = ["server", "two replicas, s", "slow one, s", `idle: ${times}`, "until the two are up", "then"];
  console.log(
    table([
      [...heading, "CPU of primary, of a replica, s", "growth, MiB", "snapshots, sync_full", "same size"],
      ...rows,
    ]),
  );
}
