/** Ferrite as a primary, and redis-servers as its replicas: for tests of replication over sockets. */
import { expect } from "bun:test";
import { CommandGenerator } from "./generator.ts";
import { SeededRandom } from "./random.ts";
import { ask, type RespClient } from "./resp.ts";
import { type FerriteOptions, type Server, startFerrite, startRedis, type StartOptions } from "./servers.ts";

/** Longest wait for a state that must come, and pause between two looks. */
const SETTLE_MS = 60_000;
const LOOK_MS = 20;
/** Looks at two digests that do not agree yet, because keys are due. */
const DIGESTS = 200;

/** A server with a connection to it. */
export interface Node {
  readonly server: Server;
  readonly client: RespClient;
}

export async function startPrimary(options: FerriteOptions = {}): Promise<Node> {
  const settings = {
    "server.enable_debug_command": "yes",
    "replication.repl_diskless_sync_delay": "0",
    ...options.settings,
  };
  const server = await startFerrite({ ...options, settings });
  return { server, client: await server.connect() };
}

/** A redis-server that follows `primary` from its start on. */
export async function startReplicaOf(primary: Server, options: StartOptions = {}): Promise<Node> {
  const settings = {
    "enable-debug-command": "yes",
    replicaof: `127.0.0.1 ${primary.port}`,
    ...options.settings,
  };
  const server = await startRedis({ ...options, settings });
  return { server, client: await server.connect() };
}

export async function stopAll(...nodes: (Node | undefined)[]): Promise<void> {
  for (const node of nodes) node?.client.close();
  await Promise.all(nodes.map((node) => node?.server.kill()));
}

/** Waits until `is` is true. `what` is shown when it does not come. */
export async function eventually(what: string, is: () => Promise<boolean> | boolean): Promise<void> {
  const until = performance.now() + SETTLE_MS;
  while (!(await is())) {
    if (performance.now() > until) throw new Error(`it did not come: ${what}`);
    await Bun.sleep(LOOK_MS);
  }
}

/** A field of INFO; "" = it is not there. */
export async function infoField({ client }: Node, field: string, section = "replication"): Promise<string> {
  const reply = await client.command("INFO", section);
  const text = "value" in reply ? String(reply.value) : "";
  return new RegExp(`^${field}:(.*?)\r?$`, "m").exec(text)?.[1] ?? "";
}

export async function infoNumber(node: Node, field: string, section = "replication"): Promise<number> {
  return Number(await infoField(node, field, section));
}

/** Waits until the replica has its data and its link. */
export function linkUp(replica: Node): Promise<void> {
  return eventually("master_link_status:up", async () => (await infoField(replica, "master_link_status")) === "up");
}

/** Waits until `replicas` replicas have acknowledged everything that was written so far. */
export async function caughtUp(primary: Node, replicas = 1): Promise<void> {
  await eventually(`${replicas} replicas have acknowledged`, async () => {
    const reply = await ask(primary.client, "WAIT", replicas, 1000);
    return Number(reply.slice(1)) >= replicas;
  });
}

export function digest({ client }: Node): Promise<string> {
  return ask(client, "DEBUG", "DIGEST");
}

/** The replicas have the primary's data. */
export async function expectSameData(primary: Node, ...replicas: Node[]): Promise<void> {
  await caughtUp(primary, replicas.length);
  for (const replica of replicas) {
    // Due keys that the primary has yet to remove are in a digest.
    for (let i = 0; i < DIGESTS && (await digest(primary)) !== (await digest(replica)); i++) {
      await Bun.sleep(LOOK_MS);
      await caughtUp(primary, replicas.length);
    }
    expect(await digest(replica)).toBe(await digest(primary));
  }
}

/** What is not about data, or waits. */
const NOT_SENT =
  /^(CLIENT|CONFIG|DEBUG|HELLO|RESET|QUIT|AUTH|WAIT|SHUTDOWN|MONITOR|SUBSCRIBE|PSUBSCRIBE|SSUBSCRIBE|MULTI|EXEC|DISCARD|WATCH|BL|BR|BZ|XREAD)/i;

/** Random commands of all types, some of them in transactions. Replies do not matter. */
export class RandomWrites {
  private readonly random: SeededRandom;
  private readonly generator: CommandGenerator;

  constructor(seed: number, supports: (command: string) => boolean) {
    this.random = new SeededRandom(seed);
    this.generator = new CommandGenerator(this.random, Date.now(), supports);
  }

  async send({ client }: Node, count: number): Promise<void> {
    const batch: string[][] = [];
    while (batch.length < count) {
      const { args } = this.generator.next();
      if (args.length === 0 || NOT_SENT.test(args[0]!)) continue;
      if (this.random.chance(0.02)) batch.push(["SELECT", String(this.random.below(3))]);
      if (!this.random.chance(0.05)) batch.push(args);
      else batch.push(["MULTI"], args, ["INCR", "transactions"], ["EXEC"]);
    }
    await client.pipeline(batch);
  }
}
