/**
 * Goal:   `ferrite migrate` moves a running redis-server to Ferrite and back while a client writes, and no acknowledged write is lost
 *         or executed twice; what fails or is interrupted leaves the roles as they were.
 * Method: real servers, the executable, and a writer that goes to the server that accepts writes (test/support/migration.ts).
 */
import { afterEach, describe, expect, test } from "bun:test";
import { at, migrate, Writer } from "../support/migration.ts";
import { info } from "../support/replication.ts";
import { startPrimaryRedis } from "../support/replicas.ts";
import type { RespClient } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite } from "../support/servers.ts";

const HAS_REDIS = requireRedis();

const servers = new Set<Server>();
const clients = new Set<RespClient>();
afterEach(async () => {
  for (const client of clients) client.close();
  await Promise.all([...servers].map((server) => server.kill()));
  clients.clear();
  servers.clear();
});

interface Place {
  readonly server: Server;
  readonly client: RespClient;
}

async function placed(server: Server): Promise<Place> {
  servers.add(server);
  return { server, client: await connect(server) };
}

async function connect(server: Server): Promise<RespClient> {
  const client = await server.connect();
  clients.add(client);
  return client;
}

async function startBoth(): Promise<{ redis: Place; ferrite: Place }> {
  const [redis, ferrite] = await Promise.all([startPrimaryRedis(), startFerrite({ settings: FERRITE })]);
  return { redis: await placed(redis), ferrite: await placed(ferrite) };
}

const FERRITE = { "replication.repl_diskless_sync_delay": "0" };

describe.if(HAS_REDIS)("a migration with a writer", () => {
  test("from redis-server to Ferrite and back: each acknowledged write is there, and counts once", async () => {
    const { redis, ferrite } = await startBoth();
    const writer = new Writer([await connect(redis.server), await connect(ferrite.server)]);
    writer.start();
    const both = [at(redis.server), "--to", at(ferrite.server)];

    const there = await migrate([...both, "--switch", "--keep-source-as-replica"]);
    expect(there).toMatchObject({ code: 0, text: expect.stringContaining("the target is the primary") });
    expect(await info(redis.client, "role")).toBe("slave");
    expect(await info(ferrite.client, "role")).toBe("master");

    const back = await migrate([...both, "--back", "--switch", "--keep-source-as-replica"]);
    expect(back).toMatchObject({ code: 0, text: expect.stringContaining("the target is the primary") });
    expect(await info(redis.client, "role")).toBe("master");

    await writer.stop();
    expect(writer.written.size).toBeGreaterThan(10);
    expect(await writer.missing(redis.client)).toEqual([]);
    expect((await migrate([...both, "--only", "compare", "--keys", "all", "--back"])).code).toBe(0);
  }, 60_000);
});
