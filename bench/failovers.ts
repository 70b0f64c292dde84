/**
 * Failovers by three stock Sentinels: three Ferrites, and three redis-servers beside them, each in its network namespace with a
 * disk of its own. Applications with ioredis and redis-py write by their Sentinel support. Needs root, redis-py and node.
 *
 *   bun bench/failovers.ts [--rounds 30] [--redis-rounds 10] [--faults kill,stop,partition,disk] [--down-after 1000]
 *
 * A round: the primary is killed (-9), stopped (SIGSTOP), cut off together with its Sentinel, or its disk is filled. When the
 * others have gone over to a new primary the fault is undone, and the old primary becomes a replica.
 *
 * failover     longest time between two acknowledged writes of an application
 * detected     from the fault to the first +odown;  promoted: from there to +promoted-slave;  told: from there until the last
 *              Sentinel of those that are not cut off knows
 * continued    the surviving replica continued the stream of the new primary (no full synchronization)
 * lost         writes that WAIT 1 had acknowledged, and (in brackets) that were acknowledged without it
 */
import { join } from "node:path";
import { eventually } from "../test/support/replication.ts";
import { pythonWithRedis } from "../test/support/programs.ts";
import { ROOT, type ServerKind } from "../test/support/servers.ts";
import { Cluster, FAILOVER_TIMEOUT_MS, NAME, type Node, now, type Report } from "./failover/cluster.ts";
import { Network } from "./failover/hosts.ts";
import { Options, printHead, showSpread, spread, table } from "./machine.ts";

const FAULTS = ["kill", "stop", "partition", "disk"] as const;
type Fault = (typeof FAULTS)[number];

const options = new Options(
  {
    rounds: "rounds with Ferrite, default 30",
    "redis-rounds": "rounds with redis-server, default 10",
    faults: `default ${FAULTS.join(",")}`,
    "down-after": "down-after-milliseconds of Sentinel, default 1000",
    keep: "leaves logs and disks where they are",
  },
  "bun bench/failovers.ts [options]",
);

const DISK_BYTES = 192 << 20;
const WARM_MS = 1500;
/** Writes of the applications before the return of the old primary, at least. */
const AFTERWARDS_MS = 500;

interface Acknowledged {
  readonly at: number;
  readonly key: string;
  readonly replicas: number;
}

/** An application that writes until `stop`. */
class Application {
  readonly writes: Acknowledged[] = [];
  readonly errors: string[] = [];
  private readonly child: Bun.Subprocess<"pipe", "pipe", "ignore">;
  private readonly read: Promise<void>;

  constructor(
    readonly name: string,
    private readonly prefix: string,
    command: readonly string[],
  ) {
    this.child = Bun.spawn([...command, prefix], { cwd: ROOT, stdin: "pipe", stdout: "pipe", stderr: "ignore" });
    this.read = this.readLines();
  }

  private async readLines(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of this.child.stdout) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        const [at, number, replicas] = line.split(" ");
        if (at === "error") this.errors.push(line);
        else this.writes.push({ at: Number(at), key: `${this.prefix}:${number}`, replicas: Number(replicas) });
      }
    }
  }

  /** Longest time between two acknowledged writes of which the second came after `from` and before `to`. */
  longestGap(from: number, to: number): number {
    let longest = 0;
    for (let i = 1; i < this.writes.length; i++) {
      const { at } = this.writes[i]!;
      if (at > from && at <= to) longest = Math.max(longest, at - this.writes[i - 1]!.at);
    }
    return longest;
  }

  get state(): string {
    const { exitCode, signalCode } = this.child;
    return `ended with ${exitCode ?? signalCode}, ${this.writes.length} writes, ${this.errors.slice(-3).join("; ")}`;
  }

  async stop(): Promise<void> {
    this.child.stdin.end();
    const late = setTimeout(() => this.child.kill("SIGKILL"), 3000);
    await this.child.exited;
    clearTimeout(late);
    await this.read;
  }
}

interface Result {
  readonly kind: ServerKind;
  readonly fault: Fault;
  /** Of each application. */
  readonly gaps: readonly number[];
  readonly gapsAtReturn: readonly number[];
  readonly detected: number;
  readonly promoted: number;
  readonly told: number;
  readonly isContinued: boolean;
  readonly safe: number;
  readonly lostSafe: number;
  readonly lostOther: number;
  readonly areEqual: boolean;
}

function begin(fault: Fault, node: Node): void {
  if (fault === "kill") node.signal("SIGKILL");
  else if (fault === "stop") node.signal("SIGSTOP");
  else if (fault === "partition") node.host.cutOff();
  else node.host.fillDisk();
}
async function undo(fault: Fault, node: Node): Promise<void> {
  if (fault === "kill") {
    await node.child!.exited;
    node.start();
  } else if (fault === "stop") node.signal("SIGCONT");
  else if (fault === "partition") node.host.reconnect();
  else node.host.emptyDisk();
}

function startApplications(cluster: Cluster, primary: Node, fault: Fault, round: number): Application[] {
  const sentinel = [cluster.sentinelAddresses, NAME];
  const javascript = ["node", join(ROOT, "bench/failover/writer.mjs")];
  const python = [pythonWithRedis()!, join(ROOT, "bench/failover/writer.py")];
  const found = [
    new Application("ioredis", `i${round}`, [...javascript, ...sentinel]),
    new Application("redis-py", `p${round}`, [...python, ...sentinel]),
  ];
  // One that stays with the primary that is cut off.
  const beside = [...primary.host.wrapper, ...javascript, "direct", `${primary.host.address}:6379`];
  if (fault === "partition") found.push(new Application("beside", `b${round}`, beside));
  return found;
}

/** Waits until the Sentinels that can be reached and the applications have gone over. Returns the new primary. */
async function goneOver(cluster: Cluster, old: Node, fault: Fault, applications: Application[]): Promise<Node> {
  const reachable = [...cluster.hosts.keys()].filter((n) => fault !== "partition" || cluster.hosts[n] !== old.host);
  let promoted: Node | null = null;
  await eventually("the Sentinels name another primary", async () => {
    const named = await Promise.all(reachable.map((n) => cluster.primaryBy(n)));
    promoted = named[0]!;
    return promoted !== null && promoted !== old && named.every((node) => node === promoted);
  });
  const from = now();
  for (const application of applications.slice(0, 2))
    await eventually(
      `${application.name} writes again`,
      () => (application.writes.at(-1)?.at ?? 0) > from + AFTERWARDS_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${application.state}`);
    });
  return promoted!;
}

const isAfter = (event: string, from: number) => (report: Report) => report.event === event && report.at >= from;

async function round(cluster: Cluster, fault: Fault, number: number): Promise<Result> {
  const old = await cluster.settled();
  await old.ask("FLUSHALL");
  const applications = startApplications(cluster, old, fault, number);
  const counted = new Map<Node, number>();
  for (const node of cluster.nodes) counted.set(node, Number((await node.info()).get("sync_full")));
  await eventually("all write", () => applications.every(({ writes }) => writes.length > 20));
  await Bun.sleep(WARM_MS + Math.random() * 1000);
  const from = now();
  begin(fault, old);
  const promoted = await goneOver(cluster, old, fault, applications);
  const survivor = cluster.nodes.find((node) => node !== old && node !== promoted)!;
  await eventually("the surviving replica follows", async () => {
    const info = await survivor.info();
    return info.get("master_host") === promoted.host.address && info.get("master_link_status") === "up";
  });
  const info = await promoted.info();
  const isContinued =
    Number(info.get("sync_full")) === counted.get(promoted) && Number(info.get("sync_partial_ok")) > 0;
  const undoneAt = now();
  await undo(fault, old);
  await cluster.settled();
  for (const application of applications) await application.stop();
  const lost = await lostWrites(promoted, applications);
  const writes = applications.flatMap((application) => application.writes);
  const timeOf = (event: string): number => cluster.reports.find(isAfter(event, from))?.at ?? NaN;
  const toldAt = cluster.reports.filter(isAfter("+switch-master", from)).filter(({ at }) => at < undoneAt);
  const result: Result = {
    kind: cluster.kind,
    fault,
    gaps: applications.slice(0, 2).map((application) => application.longestGap(from, undoneAt)),
    gapsAtReturn: applications.slice(0, 2).map((application) => application.longestGap(undoneAt, Infinity)),
    detected: timeOf("+odown") - from,
    promoted: timeOf("+promoted-slave") - timeOf("+odown"),
    told: Math.max(...toldAt.map(({ at }) => at)) - timeOf("+promoted-slave"),
    isContinued,
    safe: writes.filter(({ replicas }) => replicas > 0).length,
    lostSafe: lost.filter(({ replicas }) => replicas > 0).length,
    lostOther: lost.filter(({ replicas }) => replicas === 0).length,
    areEqual: await haveSameData(cluster, promoted),
  };
  console.log(line(result), applications.map(({ errors }) => errors.length).join("/"));
  // Sentinel begins no other failover sooner.
  await Bun.sleep(Math.max(0, timeOf("+odown") + 2 * FAILOVER_TIMEOUT_MS + 1500 - now()));
  cluster.reports.length = 0;
  return result;
}

async function lostWrites(promoted: Node, applications: readonly Application[]): Promise<Acknowledged[]> {
  const writes = applications.flatMap((application) => application.writes);
  const missing = new Set(await promoted.missing(writes.map(({ key }) => key)));
  return writes.filter(({ key }) => missing.has(key));
}

async function haveSameData(cluster: Cluster, primary: Node): Promise<boolean> {
  let are = false;
  await eventually("replicas have everything", async () => {
    const offset = (await primary.info()).get("master_repl_offset");
    const others = await Promise.all(cluster.nodes.map(async (node) => (await node.info()).get("master_repl_offset")));
    return others.every((other) => other === offset);
  });
  const digests = await Promise.all(cluster.nodes.map((node) => node.ask("DEBUG", "DIGEST")));
  are = digests.every((digest) => digest === digests[0]);
  return are;
}

const seconds = (ms: number): string => (ms / 1000).toFixed(2);
function line(result: Result): string {
  const { kind, fault, gaps, gapsAtReturn, detected, promoted, told, isContinued, safe, lostSafe, lostOther } = result;
  const parts = [
    `${kind} ${fault}: failover ${gaps.map(seconds).join(" ")}`,
    `detected ${seconds(detected)} promoted ${seconds(promoted)} told ${seconds(told)}`,
    `at the return ${gapsAtReturn.map(seconds).join(" ")}`,
    isContinued ? "continued" : "FULL SYNCHRONIZATION",
    `${safe} safe, lost ${lostSafe} (${lostOther})`,
    result.areEqual ? "equal" : "DIFFERENT DATA",
  ];
  return parts.join(", ");
}

function report(results: readonly Result[]): void {
  const rows = [
    ["server, fault", "rounds", "ioredis, s", "redis-py, s", "detected", "promoted", "told", "continued", "lost"],
  ];
  const add = (name: string, some: readonly Result[]): void => {
    if (some.length === 0) return;
    const over = (value: (result: Result) => number): string => showSpread(spread(some.map((r) => value(r) / 1000)));
    rows.push([
      ...[name, `${some.length}`, over((r) => r.gaps[0]!), over((r) => r.gaps[1]!)],
      ...[over((r) => r.detected), over((r) => r.promoted), over((r) => r.told)],
      `${some.filter((r) => r.isContinued).length}`,
      `${some.reduce((sum, r) => sum + r.lostSafe, 0)} (${some.reduce((sum, r) => sum + r.lostOther, 0)})`,
    ]);
  };
  for (const kind of ["ferrite", "redis"] as const) {
    const own = results.filter((r) => r.kind === kind);
    for (const fault of FAULTS)
      add(
        `${kind} ${fault}`,
        own.filter((r) => r.fault === fault),
      );
    add(`${kind} all`, own);
  }
  console.log(table(rows));
  console.log(`rounds after which the nodes' data was not the same: ${results.filter((r) => !r.areEqual).length}`);
}

printHead("failovers by Sentinel");
const faults = options.list("faults", FAULTS.join(",")) as Fault[];
const network = new Network(6, DISK_BYTES);
const downAfterMs = options.number("down-after", 1000);
const clusters = [
  new Cluster("ferrite", network.hosts.slice(0, 3), downAfterMs),
  new Cluster("redis", network.hosts.slice(3), downAfterMs),
] as const;
function end(): void {
  for (const cluster of clusters) cluster.stop();
  if (!options.has("keep")) network.remove();
}
for (const name of ["SIGINT", "SIGTERM"] as const)
  process.on(name, () => {
    end();
    process.exit(1);
  });

const results: Result[] = [];
try {
  const wanted = [options.number("rounds", 30), options.number("redis-rounds", 10)];
  for (const [n, cluster] of clusters.entries()) if (wanted[n]! > 0) await cluster.start();
  const rounds = wanted[0]! + wanted[1]!;
  // In turn, by their shares; each server goes through the faults in their order.
  const done = [0, 0];
  for (let n = 0; n < rounds; n++) {
    const side = done[0]! * wanted[1]! <= done[1]! * wanted[0]! && done[0]! < wanted[0]! ? 0 : 1;
    results.push(await round(clusters[side]!, faults[done[side]!++ % faults.length]!, n));
  }
} catch (error) {
  for (const node of clusters[0].nodes) console.log(node.log().slice(-3000));
  throw error;
} finally {
  if (results.length > 0) report(results);
  await Bun.sleep(0);
  end();
}
process.exit(0);
