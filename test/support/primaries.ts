/** Ferrite as a primary, and redis-servers as its replicas: for tests of replication over sockets. */
import { expect } from "bun:test";
import { acknowledged, digest, info, linkUp as linkOfClientUp } from "./replication.ts";
import type { RespClient } from "./resp.ts";
import { type FerriteOptions, type Server, startFerrite, startRedis, type StartOptions } from "./servers.ts";

/** Looks at two digests that do not agree yet, because keys are due, and the pause between two. */
const DIGESTS = 200;
const LOOK_MS = 20;

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

/** A field of INFO; "" = it is not there. */
export function infoField({ client }: Node, field: string, section = "replication"): Promise<string> {
  return info(client, field, section);
}

export async function infoNumber(node: Node, field: string, section = "replication"): Promise<number> {
  return Number(await infoField(node, field, section));
}

/** Waits until the replica has its data and its link. */
export function linkUp({ client }: Node): Promise<void> {
  return linkOfClientUp(client);
}

/** Waits until `replicas` replicas have acknowledged everything that was written so far. */
export function caughtUp({ client }: Node, replicas = 1): Promise<void> {
  return acknowledged(client, replicas);
}

/** The replicas have the primary's data. */
export async function expectSameData(primary: Node, ...replicas: Node[]): Promise<void> {
  await caughtUp(primary, replicas.length);
  for (const { client } of replicas) {
    // Due keys that the primary has yet to remove are in a digest.
    for (let i = 0; i < DIGESTS && (await digest(primary.client)) !== (await digest(client)); i++) {
      await Bun.sleep(LOOK_MS);
      await caughtUp(primary, replicas.length);
    }
    expect(await digest(client)).toBe(await digest(primary.client));
  }
}
