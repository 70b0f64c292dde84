/**
 * Goal:   a stock Sentinel monitors Ferrite, promotes a replica when the primary dies, has the others follow it without another
 *         full synchronization, and turns the old primary into a replica when it is back.
 * Method: three redis-server in Sentinel's mode, three Ferrite with configuration files; the primary is killed.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { caughtUp, follow } from "../support/replicas.ts";
import { digest, eventually, info } from "../support/replication.ts";
import { ask, RespClient } from "../support/resp.ts";
import { freePort, redisBinary, requireRedis, type Server, startFerrite } from "../support/servers.ts";

const START_MS = 180_000;
/** So long that a stall of the machine begins no failover, and what the Sentinels are told when one is wanted. */
const NEVER_MS = 150_000;
const DOWN_AFTER_MS = 1000;
/** Sentinels look often, and leave a primary that is back in its role for four of these periods. */
const PERIODS = ["info-period", "300", "publish-period", "300"];
const TRIES = 100;

/**
 * A server. Each Sentinel closes the connections of one that it promotes or demotes, so each question has its own, and is asked again
 * when that was closed.
 */
class Node {
  constructor(
    readonly server: Server,
    readonly config: string,
  ) {}

  async with<T>(work: (client: RespClient) => Promise<T>): Promise<T> {
    for (let left = TRIES; ; left--) {
      const client = await this.server.connect();
      try {
        return await work(client);
      } catch (thrown) {
        if (!client.isClosed || left === 0) throw thrown;
      } finally {
        client.close();
      }
      await Bun.sleep(20);
    }
  }
  ask(...args: (string | number)[]): Promise<string> {
    return this.with((client) => ask(client, ...args));
  }
  info(field: string): Promise<string> {
    return this.with((client) => info(client, field));
  }
  async has(field: string, value: string): Promise<boolean> {
    return (await this.info(field)) === value;
  }
  digest(): Promise<string> {
    return this.with(digest);
  }
}

describe.skipIf(!requireRedis())("Sentinel", () => {
  let directory: string;
  const nodes: Node[] = [];
  const sentinels: Bun.Subprocess[] = [];
  const sentinelPorts: number[] = [];

  async function startNode(number: number, port?: number): Promise<Node> {
    const config = join(directory, `ferrite-${number}.toml`);
    const server = await startFerrite({
      workers: 1,
      args: ["--config", config],
      dataDir: join(directory, `data-${number}`),
      settings: { "server.enable_debug_command": "yes", "replication.repl_diskless_sync_delay": "0" },
      ...(port === undefined ? {} : { port }),
    });
    return new Node(server, config);
  }

  async function startSentinel(number: number, primary: number): Promise<void> {
    const port = await freePort();
    const file = join(directory, `sentinel-${number}.conf`);
    const lines = [
      `port ${port}`,
      "bind 127.0.0.1",
      `dir ${directory}`,
      `sentinel monitor ferrite 127.0.0.1 ${primary} 2`,
      `sentinel down-after-milliseconds ferrite ${NEVER_MS}`,
      "sentinel failover-timeout ferrite 20000",
      "sentinel parallel-syncs ferrite 1",
    ];
    writeFileSync(file, `${lines.join("\n")}\n`);
    const log = Bun.file(join(directory, `sentinel-${number}.log`));
    sentinels.push(Bun.spawn([redisBinary()!, file, "--sentinel"], { stdin: "ignore", stdout: log, stderr: log }));
    sentinelPorts.push(port);
    await eventually("the sentinel answers", async () => (await askSentinel(port, "PING").catch(() => "")) === "+PONG");
    expect(await askSentinel(port, "SENTINEL", "DEBUG", ...PERIODS)).toBe("+OK");
  }
  /** After which time without an answer the Sentinels fail over. */
  async function setDownAfter(ms: number): Promise<void> {
    for (const port of sentinelPorts)
      expect(await askSentinel(port, "SENTINEL", "SET", "ferrite", "down-after-milliseconds", ms)).toBe("+OK");
  }

  async function askSentinel(port: number, ...args: (string | number)[]): Promise<string> {
    const client = await RespClient.connect({ port });
    const text = await ask(client, ...args);
    client.close();
    return text;
  }
  const primaryOf = (port: number): Promise<string> =>
    askSentinel(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "ferrite");

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "ferrite-sentinel-"));
    for (let n = 0; n < 3; n++) {
      writeFileSync(join(directory, `ferrite-${n}.toml`), "# kept by CONFIG REWRITE\n");
      nodes.push(await startNode(n));
    }
    for (const node of nodes.slice(1)) await node.with((client) => follow(client, nodes[0]!.server));
    await Promise.all([0, 1, 2].map((n) => startSentinel(n, nodes[0]!.server.port)));
  }, START_MS);
  afterAll(async () => {
    for (const sentinel of sentinels) sentinel.kill("SIGKILL");
    await Promise.all(nodes.map(({ server }) => server.stop()));
    rmSync(directory, { recursive: true, force: true });
  });

  test(
    "finds the replicas and the other sentinels",
    async () => {
      for (const port of sentinelPorts) {
        await eventually("it knows all", async () => {
          const text = await askSentinel(port, "SENTINEL", "MASTER", "ferrite");
          return text.includes('"num-slaves", "2"') && text.includes('"num-other-sentinels", "2"');
        });
        const replicas = await askSentinel(port, "SENTINEL", "REPLICAS", "ferrite");
        for (const { server } of nodes.slice(1)) expect(replicas).toContain(`"port", "${server.port}"`);
        await eventually("the links are up", async () =>
          /("master-link-status", "ok".*){2}/.test(await askSentinel(port, "SENTINEL", "REPLICAS", "ferrite")),
        );
      }
    },
    START_MS,
  );

  test(
    "promotes a replica when the primary is killed, and the other one follows it",
    async () => {
      const [old, ...others] = nodes as [Node, Node, Node];
      await old.with(async (client) => {
        for (let n = 0; n < 200; n++) await ask(client, "RPUSH", `list:${n % 7}`, `value ${n}`);
        await caughtUp(client, 2);
      });
      const before = await others[0].digest();
      process.kill(old.server.pid, "SIGKILL");
      await old.server.exited;
      await setDownAfter(DOWN_AFTER_MS);
      const ports = others.map(({ server }) => `"${server.port}"`);
      await eventually("all sentinels name the new primary", async () => {
        const found = await Promise.all(sentinelPorts.map(primaryOf));
        return ports.some((port) => found.every((text) => text.includes(port)));
      });
      await setDownAfter(NEVER_MS);
      const isNew = await Promise.all(others.map((node) => node.has("role", "master")));
      const promoted = others[isNew.indexOf(true)]!;
      const follower = others[isNew.indexOf(false)]!;
      await eventually("the other one follows", async () => {
        const isItsReplica = await follower.has("master_port", String(promoted.server.port));
        return isItsReplica && (await follower.has("master_link_status", "up"));
      });
      expect(await promoted.digest()).toBe(before);
      expect(await promoted.info("sync_full")).toBe("0");
      expect(Number(await promoted.info("sync_partial_ok"))).toBeGreaterThan(0);
      await promoted.with((client) => caughtUp(client));
      expect(await follower.digest()).toBe(await promoted.digest());
      // The files say so too, and keep what else was in them.
      expect(readFileSync(promoted.config, "utf8")).toContain("# kept by CONFIG REWRITE");
      expect(readFileSync(promoted.config, "utf8")).not.toMatch(/primary_host = "1/);
      await eventually("the file names the new primary", async () =>
        readFileSync(follower.config, "utf8").includes(`primary_port = ${promoted.server.port}`),
      );
    },
    START_MS,
  );

  test(
    "turns the old primary into a replica when it is back",
    async () => {
      const old = await startNode(0, nodes[0]!.server.port);
      nodes[0] = old;
      await eventually("it is a replica", () => old.has("role", "slave"));
      await eventually("its link is up", () => old.has("master_link_status", "up"));
      const port = await old.info("master_port");
      const promoted = nodes.find(({ server }) => String(server.port) === port)!;
      await promoted.with((client) => caughtUp(client, 2));
      expect(await old.digest()).toBe(await promoted.digest());
    },
    START_MS,
  );
});
