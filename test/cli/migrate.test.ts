/**
 * Goal:   the command line of `ferrite migrate` and its step `check`: what is asked for, what is found, and that no password is shown.
 * Method: the executable between a fake source, which answers what the test says, and a Ferrite; the modules by themselves.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../src/cli/arguments.ts";
import { addressText, addressWord, parseAddress } from "../../src/cli/migrate/address.ts";
import { hashSlotOf } from "../../src/cli/migrate/hash-slot.ts";
import { ErrorReply, type Reply, ReplyReader } from "../../src/cli/migrate/link.ts";
import { parseMigrateArguments } from "../../src/cli/migrate/options.ts";
import { identityOf, parseInfo } from "../../src/cli/migrate/server.ts";
import { FakeServer } from "../support/fake-server.ts";
import { at, migrate, type Outcome } from "../support/migration.ts";
import { ask } from "../support/resp.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { freePort, type Server, startFerrite } from "../support/servers.ts";

let ferrite: Server;
const folder = mkdtempSync(join(tmpdir(), "ferrite-migrate-"));

beforeAll(async () => {
  ferrite = await startFerrite({ settings: { maxmemory: "64mb", "server.databases": "16" } });
}, 60_000);
afterAll(async () => {
  await ferrite.stop();
  rmSync(folder, { recursive: true });
});

interface Found {
  readonly ok: boolean;
  readonly errors: number;
  readonly findings: readonly { step: string; check: string; level: string; text: string; mend?: string }[];
}

/** What `--only check --json` says about a source that answers as `replies` say. */
async function checked(replies: Record<string, string>, args: string[] = []): Promise<{ code: number; found: Found }> {
  const source = await FakeServer.start(replies);
  try {
    const { code, text, errors } = await migrate([
      source.address,
      "--to",
      at(ferrite),
      "--only",
      "check",
      "--json",
      ...args,
    ]);
    expect(errors).toBe("");
    return { code, found: JSON.parse(text) as Found };
  } finally {
    source.stop();
  }
}

function texts({ findings }: Found, check: string, level: string): string[] {
  return findings.filter((each) => each.check === check && each.level === level).map(({ text }) => text);
}

const HEALTHY: Record<string, string> = {
  "INFO everything": [
    "redis_version:7.0.15",
    "role:master",
    "used_memory:1000000",
    "cluster_enabled:0",
    "db0:keys=3,expires=0",
  ].join("\r\n"),
  "INFO commandstats": "cmdstat_get:calls=5,usec=1\r\ncmdstat_config|get:calls=1,usec=1",
  "INFO replication": "role:master\r\nmaster_replid:1111\r\nmaster_repl_offset:0",
  "ACL WHOAMI": "default",
};

describe("the step check", () => {
  test("a source that Ferrite can take over has no errors, and exit code 0", async () => {
    const { code, found } = await checked(HEALTHY);
    expect(found.findings.filter(({ level }) => level === "error")).toEqual([]);
    expect(texts(found, "commands", "ok")).toEqual(["2 commands were used, and the target has them all"]);
    expect(texts(found, "version", "info")[0]).toMatch(/^from Redis 7\.0\.15 to Ferrite /);
    expect(code).toBe(0);
  });

  test("commands that Ferrite lacks are named with their calls, and stop the migration unless they are accepted", async () => {
    const stats = [
      "cmdstat_ft.search:calls=70,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0",
      "cmdstat_cluster|migration:calls=2,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0",
      "cmdstat_json.get:calls=3,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=3",
      "cmdstat_psync:calls=1,usec=1",
      "cmdstat_client|setinfo:calls=1,usec=1",
      "cmdstat_get:calls=5,usec=1",
    ];
    const replies = { ...HEALTHY, "INFO commandstats": stats.join("\r\n") };
    const { code, found } = await checked(replies);
    expect(texts(found, "commands", "error")).toEqual([
      "the target does not know ft.search (70 calls), cluster migration (2 calls)",
    ]);
    expect(code).toBe(1);
    const { code: accepted, found: then } = await checked(replies, ["--accept", "commands"]);
    expect(texts(then, "commands", "warning")[0]).toEndWith("(accepted)");
    expect(accepted).toBe(0);
  });

  test("modules, cluster mode, too many databases, too much data and a newer RDB format are errors", async () => {
    const info = [
      "redis_version:8.6.1",
      "role:master",
      "used_memory:80000000",
      "cluster_enabled:1",
      "db40:keys=3,expires=0",
    ];
    const { code, found } = await checked({
      ...HEALTHY,
      "INFO everything": info.join("\r\n"),
      "MODULE LIST": "*1\r\n*4\r\n$4\r\nname\r\n$6\r\nsearch\r\n$3\r\nver\r\n:20811\r\n",
    });
    expect(code).toBe(1);
    expect(texts(found, "modules", "error")).toEqual(["the source has modules: search"]);
    expect(texts(found, "cluster", "error")).toHaveLength(1);
    expect(texts(found, "databases", "error")).toEqual(["keys in database 40, and the target has 16 databases"]);
    expect(texts(found, "memory", "error")).toEqual(["the source uses 76.3 MiB, the target may use 64.0 MiB"]);
    expect(texts(found, "rdb-version", "error")).toEqual([
      "the source sends RDB version 13, and the target reads up to 12",
    ]);
  });

  test("parameters, users, scripts and a replica as the source are warnings", async () => {
    const info = ["redis_version:7.2.4", "role:slave", "master_host:10.0.0.1", "master_port:6379", "used_memory:1000"];
    info.push("connected_slaves:2");
    const { code, found } = await checked({
      ...HEALTHY,
      "INFO everything": [...info, "number_of_cached_scripts:4"].join("\r\n"),
      "INFO replication": "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_replid:1111",
      "CONFIG GET maxmemory-policy": "*2\r\n$16\r\nmaxmemory-policy\r\n$11\r\nallkeys-lru\r\n",
      "CONFIG GET notify-keyspace-events": "*2\r\n$22\r\nnotify-keyspace-events\r\n$2\r\nKE\r\n",
      "CLIENT LIST": "id=1 name=app cmd=get\nid=2 name=sentinel-12345678-cmd cmd=ping",
      "ACL USERS": "*2\r\n$7\r\ndefault\r\n$3\r\napp\r\n",
    });
    expect(texts(found, "parameters", "warning")).toEqual([
      "maxmemory-policy is allkeys-lru on the source and noeviction on the target",
      'notify-keyspace-events is KE on the source and "" on the target',
    ]);
    expect(texts(found, "users", "warning")).toEqual(["the target has no user app"]);
    expect(texts(found, "sentinel", "warning")).toEqual(["Sentinels watch the source"]);
    expect(texts(found, "replicas", "info")).toEqual([
      "2 replicas of the source: with --keep-source-as-replica they get the changes through it, else not",
    ]);
    expect(texts(found, "scripts", "warning")).toEqual(["the source has 4 cached scripts"]);
    expect(texts(found, "role", "warning")).toEqual(["the source is a replica of 10.0.0.1:6379"]);
    expect(code).toBe(0);
  });

  test("a user without the right to PSYNC is told so before anything is changed", async () => {
    const { code, found } = await checked({
      ...HEALTHY,
      "ACL WHOAMI": "mover",
      "ACL DRYRUN mover PSYNC ? -1": "This user has no permissions to run the 'psync' command",
      "ACL DRYRUN": "OK",
    });
    expect(code).toBe(1);
    expect(texts(found, "rights", "error")[0]).toMatch(/user mover on source \S+ has no right to PSYNC$/);
    expect(found.findings.find(({ check, level }) => check === "rights" && level === "error")?.mend).toContain(
      "ACL SETUSER mover +psync",
    );
  });

  test("a target with keys is an error, and nothing when they may be replaced", async () => {
    const client = await ferrite.connect();
    await ask(client, "SET", "here", "already");
    expect(texts((await checked(HEALTHY)).found, "keys", "error")).toEqual([`target ${at(ferrite)} has 1 key`]);
    expect((await checked(HEALTHY, ["--replace"])).code).toBe(0);
    expect(await ask(client, "GET", "here")).toBe('"already"');
    await ask(client, "DEL", "here");
    client.close();
  });
});

describe("the command line", () => {
  function refused(...args: string[]): string {
    try {
      parseMigrateArguments(args, {});
    } catch (thrown) {
      if (thrown instanceof UsageError) return thrown.message;
      throw thrown;
    }
    return "it is not refused";
  }

  test("what makes no sense is refused", () => {
    expect(refused()).toBe("migrate takes one address: FROM");
    expect(refused("127.0.0.1:6379")).toBe("FROM and --to are the same server: 127.0.0.1:6379");
    expect(refused("h:1", "--only", "everything")).toContain("--only everything: expected one of check, replicate");
    expect(refused("h:1", "--accept", "commnds")).toContain("--accept commnds: expected one of version, ");
    expect(refused("h:1", "--keep-source-as-replica")).toContain("need --switch");
    expect(refused("h:1", "--abort", "--switch")).toContain("--abort is a step of its own");
    expect(refused("h:1", "--slots", "5-3")).toContain("expected FIRST-LAST between 0 and 16383");
    expect(refused("h:1", "--pause", "0")).toContain("--pause 0");
    expect(refused("h:1", "--from-password-file", join(folder, "none"))).toContain("none");
    expect(refused("/var/lib/redis/dump.rdb")).toContain("put dump.rdb or appendonlydir into the data directory");
    expect(refused("http://h:1")).toContain("the scheme is redis:// or rediss://");
    expect(refused("redis://u:secret@h:1/3")).toBe("FROM: all databases are moved; leave the number out");
    expect(refused("h:1")).toBe("it is not refused");
  });

  test("an invalid command line has exit code 2", async () => {
    expect(await migrate(["h:1", "--bogus"])).toMatchObject({ code: 2, errors: expect.stringContaining("--bogus") });
  });

  test("a server that is not there is named, with what to do, and exit code 1", async () => {
    const port = await freePort();
    const { code, text } = await migrate([`127.0.0.1:${port}`, "--to", at(ferrite)]);
    expect(code).toBe(1);
    expect(text).toContain(`connect: source: source 127.0.0.1:${port}:`);
    expect(text).toContain(
      `mend:  check that it runs, and that this machine reaches it: redis-cli -h 127.0.0.1 -p ${port} PING`,
    );
  });

  test("a server that is no Redis, and one that does not answer", async () => {
    const web = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    try {
      expect((await migrate([`127.0.0.1:${web.port}`, "--to", at(ferrite)])).text).toMatch(
        /this is no Redis server|closed the connection/,
      );
      const late = await migrate([`127.0.0.1:${silent.port}`, "--to", at(ferrite), "--timeout", "0.2"]);
      expect(late).toMatchObject({ code: 1 });
      expect(late.text).toContain("no answer within 0.2 s");
    } finally {
      await web.stop(true);
      silent.stop(true);
    }
  });
});

describe("passwords", () => {
  const SECRET = "pa ss%wörd";
  const shown = ({ text, errors }: Outcome): string => text + errors;
  let guarded: Server;
  beforeAll(async () => {
    guarded = await startFerrite({ settings: { requirepass: SECRET } });
  }, 60_000);
  afterAll(async () => {
    await guarded.stop();
  });
  const check = (from: string, args: string[] = [], env: Record<string, string> = {}): Promise<Outcome> =>
    migrate([from, "--to", at(ferrite), "--only", "check", ...args], env);

  test("come from the environment, a file or the address, and are in no output", async () => {
    const file = join(folder, "password");
    writeFileSync(file, `${SECRET}\n`);
    const ways = [
      await check(at(guarded), [], { MIGRATE_FROM_PASSWORD: SECRET }),
      await check(at(guarded), ["--from-password-file", file], { MIGRATE_FROM_PASSWORD: "wrong" }),
      await check(`redis://:${encodeURIComponent(SECRET)}@${at(guarded)}`),
      await check(`redis://default@${at(guarded)}`, [], { MIGRATE_FROM_PASSWORD: SECRET }),
      await migrate([at(ferrite), "--to", at(guarded), "--only", "check"], { MIGRATE_TO_PASSWORD: SECRET }),
      await check(at(guarded), [], { REDISCLI_AUTH: SECRET }),
      await check(at(guarded), [], { MIGRATE_FROM_PASSWORD: SECRET, REDISCLI_AUTH: "wrong" }),
    ];
    for (const way of ways) {
      expect(shown(way)).not.toContain(SECRET);
      expect(shown(way)).not.toContain(encodeURIComponent(SECRET));
      expect(way).toMatchObject({ code: 0 });
    }
    expect(ways[0]!.errors).toBe("");
    expect(ways[2]!.errors).toContain("Warning: the password in FROM is visible in the list of processes");
  });

  test("a missing and a wrong one are told apart", async () => {
    const none = await check(at(guarded));
    expect(none).toMatchObject({ code: 1 });
    expect(none.text).toContain("refused PING: NOAUTH");
    expect(none.text).toContain("means: The server wants a password.");
    const wrong = await check(at(guarded), [], { MIGRATE_FROM_PASSWORD: "not-this-one" });
    expect(wrong).toMatchObject({ code: 1 });
    expect(wrong.text).toContain("refused AUTH: WRONGPASS");
    expect(shown(wrong)).not.toContain("not-this-one");
  });
});

describe("addresses", () => {
  test("are read in all their forms, and written without a password", () => {
    const parsed = (text: string) => parseAddress(text, "FROM");
    expect(parsed("host")).toEqual({ host: "host", port: 6379, user: "default", password: "", isTls: false });
    expect(parsed("[::1]:7000")).toMatchObject({ host: "::1", port: 7000 });
    expect(parsed("rediss://ann:p%40ss:word@host:1/0")).toEqual({
      host: "host",
      port: 1,
      user: "ann",
      password: "p@ss:word",
      isTls: true,
    });
    expect(parsed("redis://:pw@host")).toMatchObject({ user: "default", password: "pw" });
    expect(addressText(parsed("redis://ann:pw@[::1]:7000"))).toBe("[::1]:7000");
    expect(addressWord(parsed("rediss://ann:pw@host:1"))).toBe("rediss://ann@host:1");
    expect(addressWord(parsed("redis://:pw@host:1"))).toBe("host:1");
    for (const bad of ["", "host:0", "host:70000", "a b", "redis://", "::1", "redis://u:%zz@h"])
      expect(() => parsed(bad)).toThrow();
  });

  test("--back exchanges the two, with their users and passwords", () => {
    const options = parseMigrateArguments(
      ["redis://old@a:1", "--to", "b:2", "--back", "--from-address", "10.0.0.1:9"],
      { MIGRATE_FROM_PASSWORD: "A", MIGRATE_TO_PASSWORD: "B" },
    );
    expect(options.source).toMatchObject({ host: "b", port: 2, password: "B" });
    expect(options.target).toMatchObject({ host: "a", port: 1, user: "old", password: "A" });
    expect(options.targetSeen).toMatchObject({ host: "10.0.0.1", port: 9, user: "old" });
  });
});

describe("parts", () => {
  test("replies are read whatever the packets, with bytes that are no text", () => {
    const seed = testSeed();
    const random = new SeededRandom(seed);
    const wire = Buffer.from(
      "*4\r\n$3\r\n\x00\r\n\r\n:-7\r\n$-1\r\n*2\r\n+OK\r\n-ERR no\r\n$0\r\n\r\n*-1\r\n",
      "latin1",
    );
    for (let round = 0; round < 200; round++) {
      const reader = new ReplyReader();
      const replies: Reply[] = [];
      for (let from = 0; from < wire.length; ) {
        const to = Math.min(wire.length, from + 1 + random.below(9));
        reader.push(wire.subarray(from, to));
        for (let reply = reader.take(); reply !== undefined; reply = reader.take()) replies.push(reply);
        from = to;
      }
      expect(replies, `seed ${seed}`).toEqual([
        [Buffer.from("\0\r\n"), -7, null, [Buffer.from("OK"), new ErrorReply("ERR no")]],
        Buffer.alloc(0),
        null,
      ]);
    }
  });

  test("hash slots are those of Redis Cluster", () => {
    const slot = (key: string): number => hashSlotOf(Buffer.from(key));
    expect(["", "123456789", "foo", "bar"].map(slot)).toEqual([0, 12_739, 12_182, 5061]);
    expect(slot("{user1000}.following")).toBe(slot("user1000"));
    expect(slot("foo{}{bar}")).not.toBe(slot("bar"));
    expect(slot("foo{{bar}}zap")).toBe(slot("{bar"));
  });

  test("a server is known by its INFO", () => {
    const identity = (text: string) => identityOf(parseInfo(text));
    expect(identity("redis_version:7.0.15")).toEqual({ product: "Redis", version: "7.0.15", rdbVersion: 10 });
    expect(identity("redis_version:6.2.1").rdbVersion).toBe(9);
    expect(identity("redis_version:8.4.0").rdbVersion).toBe(12);
    expect(identity("redis_version:8.10.0").rdbVersion).toBe(15);
    expect(identity("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0")).toMatchObject({
      product: "Valkey",
      rdbVersion: 11,
    });
    expect(identity("redis_version:7.2.4\r\nferrite_version:0.1.0").product).toBe("Ferrite");
    expect(identity("redis_version:7.4.0\r\ndragonfly_version:df-1").product).toBe("dragonfly");
  });
});
