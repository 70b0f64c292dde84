/** Ferrite as a replica, and redis-servers as its primaries: for tests of replication over sockets. */
import { expect } from "bun:test";
import { acknowledged, digest, linkUp, RandomWrites } from "./replication.ts";
import { ask, type RespClient } from "./resp.ts";
import { type FerriteOptions, type Server, startFerrite, startRedis, type StartOptions } from "./servers.ts";

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

/** Makes `replica` follow `primary`, and waits until it has its data. */
export async function follow(replica: RespClient, primary: Server): Promise<void> {
  expect(await ask(replica, "REPLICAOF", "127.0.0.1", primary.port)).toBe("+OK");
  await linkUp(replica);
}

/** Waits until the replicas of a primary have acknowledged everything that any client has written. */
export async function caughtUp(client: RespClient, replicas = 1): Promise<void> {
  // WAIT is about the writes of its own client.
  expect(await ask(client, "SET", "replicated-up-to", `${performance.now()}`)).toBe("+OK");
  await acknowledged(client, replicas);
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

/**
 * True for what redis-server as a primary changes without telling its replicas: a BITFIELD that fails with OVERFLOW FAIL makes or
 * extends its string all the same, and a PFADD keeps the elements before the one at which it meets damage.
 */
function isLeftOut([name = "", ...args]: readonly string[]): boolean {
  if (/^BITFIELD$/i.test(name)) return args.some((arg) => /^fail$/i.test(arg));
  if (/^PFADD$/i.test(name)) return args.length > 2;
  return /^(OBJECT|RESTORE)$/i.test(name);
}

/** Random writes of the commands that the server of `client` knows. */
export async function randomWritesOn(client: RespClient, seed: number): Promise<RandomWrites> {
  const reply = await client.command("COMMAND", "LIST");
  const names = new Set(
    reply.type === "array" ? reply.value.map((name) => String("value" in name ? name.value : "").toUpperCase()) : [],
  );
  const supports = (command: string): boolean => names.has(command.toUpperCase());
  return new RandomWrites(client, seed, { supports, leftOut: isLeftOut });
}
