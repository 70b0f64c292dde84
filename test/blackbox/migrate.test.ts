/**
 * Goal:   `ferrite migrate` moves a running redis-server to Ferrite and back while a client writes, and no acknowledged write is lost
 *         or executed twice; what fails or is interrupted leaves the roles as they were.
 * Method: real servers, the executable, and a writer that goes to the server that accepts writes (test/support/migration.ts).
 */
import { afterEach, describe, expect, test } from "bun:test";
import { Certificates, requireOpenssl, type Signed } from "../support/certificates.ts";
import { at, migrate, startMigration, Writer } from "../support/migration.ts";
import { acknowledged, eventually, info, linkUp } from "../support/replication.ts";
import { startPrimaryRedis } from "../support/replicas.ts";
import { ask, type RespClient } from "../support/resp.ts";
import { freePort, requireRedis, type Server, startFerrite } from "../support/servers.ts";

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

interface Both {
  readonly redis: Place;
  readonly ferrite: Place;
}

async function startBoth(): Promise<Both> {
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

  test("without --keep-source-as-replica the source refuses writes, and repeating the command changes nothing", async () => {
    const { redis, ferrite } = await startBoth();
    await ask(redis.client, "CONFIG", "SET", "min-replicas-max-lag", "0");
    await ask(redis.client, "SET", "before", "1");
    const command = [at(redis.server), "--to", at(ferrite.server), "--switch"];
    expect(await migrate(command)).toMatchObject({ code: 0 });
    expect(await ask(redis.client, "SET", "after", "1")).toStartWith("-NOREPLICAS");
    expect(await ask(ferrite.client, "SET", "after", "1")).toBe("+OK");

    const again = await migrate(command);
    expect(again.text).toContain("the switch was made already: the source refuses writes");
    expect(again.code).toBe(0);
    expect(await ask(ferrite.client, "GET", "after")).toBe('"1"');

    const kept = await migrate([...command, "--keep-source-as-replica"]);
    expect(kept.text).toContain("the switch is complete");
    expect(await info(redis.client, "role")).toBe("slave");
    expect(await info(redis.client, "sync_full", "stats")).toBe("1");
    expect((await migrate([...command, "--keep-source-as-replica"])).text).toContain(
      "the source is a replica of the target",
    );
  }, 60_000);
});

/** What a failed step must have left: the roles and settings from before, and a source that accepts writes. */
async function expectAsBefore({ redis, ferrite }: Both, role: "master" | "slave"): Promise<void> {
  expect(await info(redis.client, "role")).toBe("master");
  expect(await info(ferrite.client, "role")).toBe(role);
  expect(await ask(redis.client, "CONFIG", "GET", "min-replicas-to-write")).toBe('*["min-replicas-to-write", "0"]');
  expect(await ask(redis.client, "SET", "accepted", "again")).toBe("+OK");
  if (role === "slave") await acknowledged(redis.client, 1);
}

describe.if(HAS_REDIS)("a migration that fails", () => {
  test("keys on the target are not overwritten without --replace", async () => {
    const { redis, ferrite } = await startBoth();
    await ask(redis.client, "SET", "a", "new");
    await ask(ferrite.client, "SET", "a", "old");
    const command = [at(redis.server), "--to", at(ferrite.server), "--only", "replicate"];
    const refused = await migrate(command);
    expect(refused.text).toContain(`keys: target ${at(ferrite.server)} has 1 key`);
    expect(refused.code).toBe(1);
    expect(await ask(ferrite.client, "GET", "a")).toBe('"old"');
    expect(await migrate([...command, "--replace"])).toMatchObject({ code: 0 });
    expect(await ask(ferrite.client, "GET", "a")).toBe('"new"');
  }, 60_000);

  test("a command of --on-switch that fails undoes the switch, and the next try succeeds", async () => {
    const both = await startBoth();
    const { redis, ferrite } = both;
    const command = [at(redis.server), "--to", at(ferrite.server), "--switch", "--on-switch"];
    const failed = await migrate([...command, "echo to $MIGRATE_TARGET; exit 3"]);
    expect(failed.text).toContain(`to ${at(ferrite.server)}`);
    expect(failed.text).toContain("on-switch: the command of --on-switch ended with 3");
    expect(failed.errors).toContain("undone: the target follows the source again");
    expect(failed.code).toBe(1);
    await linkUp(ferrite.client);
    await expectAsBefore(both, "slave");
    expect(await migrate([...command, "true"])).toMatchObject({ code: 0 });
    expect(await ask(ferrite.client, "GET", "accepted")).toBe('"again"');
  }, 60_000);

  test("what clients have written to the target by then is not undone", async () => {
    const { redis, ferrite } = await startBoth();
    const command = [at(redis.server), "--to", at(ferrite.server), "--switch", "--keep-source-as-replica"];
    const failed = await migrate([
      ...command,
      "--on-switch",
      `redis-cli -p ${ferrite.server.port} SET moved yes; exit 1`,
    ]);
    expect(failed.errors).toContain("has received writes, and stays the primary");
    expect(await info(ferrite.client, "role")).toBe("master");
    expect(await ask(redis.client, "SET", "lost", "1")).toStartWith("-NOREPLICAS");
    expect(await migrate(command)).toMatchObject({ code: 0, text: expect.stringContaining("the switch is complete") });
    expect(await ask(redis.client, "GET", "moved")).toBe('"yes"');
  }, 60_000);

  test("Ctrl-C in the pause undoes the switch; what a kill leaves is undone by --abort", async () => {
    const both = await startBoth();
    const { redis, ferrite } = both;
    const addresses = [at(redis.server), "--to", at(ferrite.server)];
    const sleeping = [...addresses, "--switch", "--pause", "30", "--on-switch", "sleep 3"];
    const interrupted = startMigration([...sleeping, "--keep-source-as-replica"]);
    await eventually("the target is promoted", async () => (await info(ferrite.client, "role")) === "slave");
    await eventually("the target is promoted", async () => (await info(ferrite.client, "role")) === "master");
    interrupted.child.kill("SIGINT");
    expect(await interrupted.ended).toMatchObject({ code: 1, errors: expect.stringContaining("interrupted: undoing") });
    await linkUp(ferrite.client);
    await expectAsBefore(both, "slave");

    const killed = startMigration(sleeping);
    await eventually("the target is promoted", async () => (await info(ferrite.client, "role")) === "master");
    killed.child.kill("SIGKILL");
    await killed.ended;
    // The fence holds longer than the pause, which only delays.
    expect(await ask(redis.client, "CLIENT", "UNPAUSE")).toBe("+OK");
    expect(await ask(redis.client, "SET", "both", "1")).toStartWith("-NOREPLICAS");
    expect(await migrate([...addresses, "--abort"])).toMatchObject({ code: 0 });
    await expectAsBefore(both, "master");
    // Its data is a copy of the source's, so it may be replaced without being asked.
    expect(await migrate([...addresses, "--only", "replicate"])).toMatchObject({ code: 0 });
    await expectAsBefore(both, "slave");
  }, 60_000);

  test("a source that dies or stands still is named, and the target is a primary again", async () => {
    const { redis, ferrite } = await startBoth();
    const command = [at(redis.server), "--to", at(ferrite.server), "--only", "replicate", "--timeout", "1"];
    redis.server.signal("SIGSTOP");
    expect((await migrate(command)).text).toContain("no answer within 1 s");
    redis.server.signal("SIGCONT");
    // The snapshot does not begin within the time.
    await ask(redis.client, "CONFIG", "SET", "repl-diskless-sync-delay", "100");
    const stalled = await migrate(command);
    expect(stalled.text).toContain("made no progress for 1 s");
    expect(stalled.errors).toContain("undone: the target is a primary again");
    expect(await info(ferrite.client, "role")).toBe("master");

    const dying = startMigration([...command, "--timeout", "20"]);
    await eventually("the target follows", async () => (await info(ferrite.client, "role")) === "slave");
    await redis.server.kill();
    const dead = await dying.ended;
    expect(dead.code).toBe(1);
    expect(dead.text).toMatch(/\[error {2}\] replicate: source: source \S+: \w+/);
    expect(await info(ferrite.client, "role")).toBe("master");
  }, 60_000);

  test("a source that needs a user is replicated with it, also on the way back", async () => {
    const { redis, ferrite } = await startBoth();
    const [old, young] = ["old secret", "young secret"];
    await ask(redis.client, "ACL", "SETUSER", "mover", "on", `>${old}`, "~*", "&*", "+@all");
    await ask(redis.client, "ACL", "SETUSER", "default", "resetpass", ">other");
    await ask(ferrite.client, "CONFIG", "SET", "requirepass", young);
    const env = { MIGRATE_FROM_PASSWORD: old, MIGRATE_TO_PASSWORD: young };
    const command = [
      `redis://mover@${at(redis.server)}`,
      "--to",
      at(ferrite.server),
      "--switch",
      "--keep-source-as-replica",
    ];
    await ask(redis.client, "SET", "a", "1");
    const there = await migrate(command, env);
    expect(there).toMatchObject({ code: 0 });
    expect(there.text + there.errors).not.toContain("secret");
    expect(await migrate([...command, "--back"], env)).toMatchObject({ code: 0 });
    expect(await info(redis.client, "role")).toBe("master");

    await ask(redis.client, "ACL", "SETUSER", "mover", "-psync", "-sync");
    const denied = await migrate(command, env);
    expect(denied.text).toContain("has no right to PSYNC");
    expect(denied.code).toBe(1);
  }, 60_000);

  test("a source that dies once the target is promoted leaves the target as the primary", async () => {
    const { redis, ferrite } = await startBoth();
    await ask(redis.client, "SET", "a", "1");
    const command = [at(redis.server), "--to", at(ferrite.server), "--switch", "--keep-source-as-replica"];
    const failed = await migrate([...command, "--on-switch", `kill -9 ${redis.server.pid}`]);
    expect(failed.code).toBe(1);
    expect(failed.errors).toContain("has everything, and stays the primary");
    expect(await ask(ferrite.client, "INCR", "a")).toBe(":2");
  }, 60_000);
});

describe.if(HAS_REDIS && requireOpenssl())("a migration over TLS", () => {
  test("of a source that wants certificates", async () => {
    const made = new Certificates();
    try {
      const authority = made.authority("authority");
      const signed = (name: string) => made.signed(name, authority, 90, name, "IP:127.0.0.1");
      const settingsOf = ({ cert, key }: Signed): Record<string, string> => ({
        "tls-cert-file": cert,
        "tls-key-file": key,
        "tls-ca-cert-file": authority.cert,
      });
      const port = await freePort();
      const redis = await placed(
        await startPrimaryRedis({ settings: { "tls-port": String(port), ...settingsOf(signed("old")) } }),
      );
      const ferrite = await placed(await startFerrite({ settings: { ...FERRITE, ...settingsOf(signed("new")) } }));
      await ask(redis.client, "SET", "a", "1");
      const { cert, key } = signed("operator");
      const command = [`rediss://127.0.0.1:${port}`, "--to", at(ferrite.server), "--switch"];
      expect((await migrate(command)).text).toMatch(/certificate|closed|self.signed/i);
      const done = await migrate([...command, "--cacert", authority.cert, "--cert", cert, "--key", key]);
      expect(done).toMatchObject({ code: 0 });
      expect(await ask(ferrite.client, "GET", "a")).toBe('"1"');
    } finally {
      made.remove();
    }
  }, 60_000);
});
