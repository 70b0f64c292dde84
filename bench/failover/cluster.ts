/** Three data nodes and three Sentinels, one of each on a host, and applications that write to the primary. */
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../../test/support/replication.ts";
import { ask, type Reply, RespClient, show } from "../../test/support/resp.ts";
import { ferriteCommand, redisBinary, type ServerKind } from "../../test/support/servers.ts";
import type { Host } from "./hosts.ts";

export const NAME = "bench";
const DATA_PORT = 6379;
const SENTINEL_PORT = 26_379;
/** Of a Sentinel, and of a node, which may be busy. */
const SENTINEL_ANSWERS_MS = 1000;
const NODE_ANSWERS_MS = 20_000;

/** Works with a connection that is closed afterwards. Fails when it takes too long: the host may be cut off. */
async function withClient<T>(host: string, port: number, work: (client: RespClient) => Promise<T>): Promise<T> {
  const patienceMs = port === SENTINEL_PORT ? SENTINEL_ANSWERS_MS : NODE_ANSWERS_MS;
  let client: RespClient | null = null;
  const connected = async (): Promise<T> => {
    client = await RespClient.connect({ host, port });
    return work(client);
  };
  try {
    const late = Bun.sleep(patienceMs).then(() => {
      throw new Error(`${host}:${port} does not answer`);
    });
    return await Promise.race([connected(), late]);
  } finally {
    (client as RespClient | null)?.close();
  }
}

export class Node {
  child: Bun.Subprocess | null = null;
  readonly logPath: string;

  constructor(
    readonly kind: ServerKind,
    readonly host: Host,
  ) {
    this.logPath = join(host.directory, "server.out");
    const config = kind === "ferrite" ? "# written by CONFIG REWRITE\n" : 'save ""\nappendonly yes\n';
    writeFileSync(this.configPath, config);
  }

  private get configPath(): string {
    return join(this.host.directory, this.kind === "ferrite" ? "ferrite.toml" : "redis.conf");
  }

  start(): void {
    const { address, directory } = this.host;
    const common = ["--port", `${DATA_PORT}`, "--bind", address];
    const command =
      this.kind === "ferrite"
        ? [...ferriteCommand(), "--config", this.configPath, "--data-dir", directory, ...common, ...FERRITE_SETTINGS]
        : [redisBinary()!, this.configPath, ...common, "--dir", directory, ...REDIS_SETTINGS];
    // The log is not on the disk that is filled.
    const log = openSync(`${directory}.log`, "a");
    this.child = Bun.spawn([...this.host.wrapper, ...command], {
      cwd: directory,
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    closeSync(log);
  }

  signal(name: NodeJS.Signals): void {
    this.child!.kill(name);
  }
  ask(...args: (string | number)[]): Promise<string> {
    return withClient(this.host.address, DATA_PORT, (client) => ask(client, ...args));
  }
  /** All fields of INFO. */
  async info(): Promise<Map<string, string>> {
    const reply = await withClient(this.host.address, DATA_PORT, (client) => client.command("INFO"));
    const text = "value" in reply ? String(reply.value) : "";
    return new Map([...text.matchAll(/^([^#:\r\n]+):(.*?)\r?$/gm)].map((field) => [field[1]!, field[2]!]));
  }
  log(): string {
    return readFileSync(`${this.host.directory}.log`, "utf8");
  }
  /** Which of the keys are not there. */
  async missing(keys: readonly string[]): Promise<string[]> {
    const lost: string[] = [];
    await withClient(this.host.address, DATA_PORT, async (client) => {
      for (let at = 0; at < keys.length; at += 1000) {
        const some = keys.slice(at, at + 1000);
        const reply = await client.command("MGET", ...some);
        if (reply.type !== "array") throw new Error(show(reply));
        lost.push(...some.filter((_, i) => reply.value[i]!.type === "null"));
      }
    });
    return lost;
  }
}

const FERRITE_SETTINGS = [
  "metrics.enabled=false",
  "persistence.enable_aof=true",
  "persistence.enable_checkpoints=false",
  "server.protected_mode=no",
  "server.enable_debug_command=yes",
  "replication.repl_diskless_sync_delay=0",
].flatMap((setting) => ["--set", setting]);
const REDIS_SETTINGS = ["--protected-mode", "no", "--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"];

/** What a Sentinel told, and when this process heard it. */
export interface Report {
  readonly at: number;
  readonly sentinel: number;
  readonly event: string;
  readonly text: string;
}

export const now = (): number => performance.timeOrigin + performance.now();

export class Cluster {
  readonly nodes: Node[];
  readonly reports: Report[] = [];
  private readonly sentinels: Bun.Subprocess[] = [];
  private readonly listeners: (RespClient | null)[] = [];
  private isOver = false;

  constructor(
    readonly kind: ServerKind,
    readonly hosts: readonly Host[],
    private readonly downAfterMs: number,
  ) {
    this.nodes = hosts.map((host) => new Node(kind, host));
  }

  get sentinelAddresses(): string {
    return this.hosts.map(({ address }) => `${address}:${SENTINEL_PORT}`).join(",");
  }

  async start(): Promise<void> {
    for (const node of this.nodes) node.start();
    for (const node of this.nodes)
      await eventually("it answers", async () => (await node.ask("PING").catch(() => "")) === "+PONG");
    for (const node of this.nodes.slice(1)) await node.ask("REPLICAOF", this.hosts[0]!.address, DATA_PORT);
    for (const [n, host] of this.hosts.entries()) this.startSentinel(n, host);
    for (const n of this.hosts.keys()) void this.listen(n);
    await this.settled();
  }

  private startSentinel(n: number, host: Host): void {
    const file = `${host.directory}.sentinel.conf`;
    const lines = [
      `port ${SENTINEL_PORT}`,
      `bind ${host.address}`,
      "protected-mode no",
      `dir ${host.directory}`,
      `sentinel monitor ${NAME} ${this.hosts[0]!.address} ${DATA_PORT} 2`,
      `sentinel down-after-milliseconds ${NAME} ${this.downAfterMs}`,
      `sentinel failover-timeout ${NAME} ${FAILOVER_TIMEOUT_MS}`,
      `sentinel parallel-syncs ${NAME} 1`,
    ];
    writeFileSync(file, `${lines.join("\n")}\n`);
    const log = openSync(`${host.directory}.sentinel.log`, "a");
    const command = [...host.wrapper, redisBinary()!, file, "--sentinel"];
    this.sentinels[n] = Bun.spawn(command, { stdin: "ignore", stdout: log, stderr: log });
    closeSync(log);
  }

  /** Collects what a Sentinel publishes, and connects again when it was cut off. */
  private async listen(n: number): Promise<void> {
    while (!this.isOver) {
      const client = await RespClient.connect({ host: this.hosts[n]!.address, port: SENTINEL_PORT }).catch(() => null);
      if (client === null) {
        await Bun.sleep(100);
        continue;
      }
      this.listeners[n] = client;
      await client.command("HELLO", 3).catch(() => {});
      void client.command("PSUBSCRIBE", "*").catch(() => {}); // answered by a push
      while (!client.isClosed && !this.isOver) {
        for (const push of client.pushes.splice(0)) this.note(n, push);
        await Bun.sleep(5);
      }
    }
  }
  private note(sentinel: number, push: Reply): void {
    if (push.type !== "push" || push.value.length !== 4) return;
    const [, , event, text] = push.value.map((item) => ("value" in item ? String(item.value) : ""));
    this.reports.push({ at: now(), sentinel, event: event!, text: text! });
  }

  async askSentinel(n: number, ...args: (string | number)[]): Promise<string> {
    return withClient(this.hosts[n]!.address, SENTINEL_PORT, (client) => ask(client, ...args));
  }

  /** The node that the Sentinel calls primary, or null when it does not answer. */
  async primaryBy(n: number): Promise<Node | null> {
    const text = await this.askSentinel(n, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME).catch(() => "");
    return this.nodes.find(({ host }) => text.includes(`"${host.address}"`)) ?? null;
  }

  /** Waits until all nodes and Sentinels are in their places and every replica has what the primary has. Returns the primary. */
  async settled(): Promise<Node> {
    let found: Node | null = null;
    await eventually("the cluster is whole", async () => {
      const named = await Promise.all(this.hosts.map((_, n) => this.primaryBy(n)));
      found = named[0]!;
      if (found === null || named.some((node) => node !== found)) return false;
      return (await this.isFollowed(found)) && (await this.areCalm());
    });
    return found!;
  }

  private async isFollowed(primary: Node): Promise<boolean> {
    try {
      const info = await primary.info();
      if (info.get("role") !== "master" || info.get("connected_slaves") !== "2") return false;
      for (const node of this.nodes) {
        if (node === primary) continue;
        const own = await node.info();
        if (own.get("master_host") !== primary.host.address || own.get("master_link_status") !== "up") return false;
      }
      return true;
    } catch {
      return false;
    }
  }

  /** No Sentinel thinks that something is down, and each knows the others. */
  private async areCalm(): Promise<boolean> {
    for (const n of this.hosts.keys()) {
      const text = await this.askSentinel(n, "SENTINEL", "MASTER", NAME).catch(() => "");
      const replicas = await this.askSentinel(n, "SENTINEL", "REPLICAS", NAME).catch(() => "");
      if (!text.includes('"flags", "master"') || !text.includes('"num-other-sentinels", "2"')) return false;
      if (replicas.match(/"flags", "slave"/g)?.length !== 2) return false;
      if (replicas.match(/"master-link-status", "ok"/g)?.length !== 2) return false;
    }
    return true;
  }

  stop(): void {
    this.isOver = true;
    for (const client of this.listeners) client?.close();
    for (const child of [...this.sentinels, ...this.nodes.map((node) => node.child)]) child?.kill("SIGKILL");
  }
}

/** Sentinel begins the next failover at the earliest after twice this time. */
export const FAILOVER_TIMEOUT_MS = 5000;
