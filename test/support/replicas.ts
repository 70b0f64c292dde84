/** A primary and a replica of it, for tests of replication over sockets. */
import { expect } from "bun:test";
import { CommandGenerator } from "./generator.ts";
import { SeededRandom } from "./random.ts";
import { ask, type RespClient } from "./resp.ts";
import { type FerriteOptions, type Server, startFerrite, startRedis, type StartOptions } from "./servers.ts";

/** Longest wait for a state that must come. */
export const SETTLE_MS = 60_000;

const DIGESTS = 40;

/** Settings of a redis-server that is replicated from: its data is sent at once. */
const PRIMARY = { "repl-diskless-sync-delay": "0", "enable-debug-command": "yes" };
const OF_FERRITE = { "server.enable_debug_command": "yes" };

export function startPrimaryRedis(options: StartOptions = {}): Promise<Server> {
  return startRedis({ ...options, settings: { ...PRIMARY, ...options.settings } });
}
export function startReplicaFerrite(options: FerriteOptions = {}): Promise<Server> {
  return startFerrite({ ...options, settings: { ...OF_FERRITE, ...options.settings } });
}

/** Waits until `is` is true. `what` is shown when it does not come. */
export async function eventually(what: string, is: () => Promise<boolean>): Promise<void> {
  const until = performance.now() + SETTLE_MS;
  while (!(await is())) {
    if (performance.now() > until) throw new Error(`it did not come: ${what}`);
    await Bun.sleep(10);
  }
}

/** A field of INFO; "" = it is not there. */
export async function info(client: RespClient, field: string, section = "replication"): Promise<string> {
  const reply = await client.command("INFO", section);
  const text = "value" in reply ? String(reply.value) : "";
  return new RegExp(`^${field}:(.*?)\r?$`, "m").exec(text)?.[1] ?? "";
}

/** Makes `replica` follow `primary`, and waits until it has its data. */
export async function follow(replica: RespClient, primary: Server): Promise<void> {
  expect(await ask(replica, "REPLICAOF", "127.0.0.1", primary.port)).toBe("+OK");
  await linkUp(replica);
}
export function linkUp(replica: RespClient): Promise<void> {
  return eventually("master_link_status:up", async () => (await info(replica, "master_link_status")) === "up");
}

/** Waits until a replica of `primary` has acknowledged everything that `client` has written. */
export async function caughtUp(client: RespClient, replicas = 1): Promise<void> {
  expect(await ask(client, "SET", "replicated-up-to", `${performance.now()}`)).toBe("+OK");
  await eventually("all replicas have acknowledged", async () => {
    const reply = await ask(client, "WAIT", replicas, 2000);
    return Number(reply.slice(1)) >= replicas;
  });
}

/** The digest of the data; both servers use Redis's algorithm. */
export function digest(client: RespClient): Promise<string> {
  return ask(client, "DEBUG", "DIGEST");
}

/** The digest of a primary covers due keys that it will remove in a moment: it is asked again until both are the same. */
export async function expectSameData(primary: RespClient, replica: RespClient): Promise<void> {
  await caughtUp(primary);
  for (let tries = 0; tries < DIGESTS && (await digest(replica)) !== (await digest(primary)); tries++) {
    await Bun.sleep(50);
    await caughtUp(primary);
  }
  expect(await digest(replica)).toBe(await digest(primary));
}

/** Commands that are about the server and not about data, or whose reply waits. */
const NOT_SENT =
  /^(CLIENT|CONFIG|DEBUG|HELLO|RESET|QUIT|AUTH|WAIT|SHUTDOWN|MONITOR|SUBSCRIBE|PSUBSCRIBE|SSUBSCRIBE|OBJECT|RESTORE|MULTI|EXEC|DISCARD|WATCH|BL|BR|BZ|XREAD)/i;

/** Random commands of all types on a primary. Replies do not matter. */
export class RandomWrites {
  private readonly generator: CommandGenerator;
  private readonly random: SeededRandom;

  private constructor(
    private readonly client: RespClient,
    seed: number,
    supports: (command: string) => boolean,
  ) {
    this.random = new SeededRandom(seed);
    this.generator = new CommandGenerator(this.random, Date.now(), supports);
  }

  static async on(client: RespClient, seed: number): Promise<RandomWrites> {
    const reply = await client.command("COMMAND", "LIST");
    const names = new Set(
      reply.type === "array" ? reply.value.map((name) => String("value" in name ? name.value : "").toUpperCase()) : [],
    );
    return new RandomWrites(client, seed, (command) => names.has(command.toUpperCase()));
  }

  /** Sends `count` commands, some of them in transactions. */
  async send(count: number): Promise<void> {
    const batch: string[][] = [];
    while (batch.length < count) {
      const { args } = this.generator.next();
      if (args.length === 0 || NOT_SENT.test(args[0]!)) continue;
      if (!this.random.chance(0.05)) batch.push(args);
      else batch.push(["MULTI"], args, ["INCR", "transactions"], ["EXEC"]);
    }
    await this.client.pipeline(batch);
  }
}
