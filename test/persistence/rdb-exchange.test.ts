/**
 * Goal:   Redis's files load here and ours load there, with identical data; redis-check-rdb passes what we write.
 * Method: random data sets of all types, made by the same commands in redis-server and in an engine of this process; each
 *         saves, each loads the other's file; DEBUG DIGEST, which covers values and that there is a deadline, and the full
 *         state of deadlines and of consumer groups are compared.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readWhole } from "../../src/base/files.ts";
import { checkRdb } from "../../src/cli/check-rdb.ts";
import { type TestEngine, testEngine } from "../support/engine.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { RandomData } from "../support/random-data.ts";
import { diskWith, load, RDB_PATH } from "../support/rdb.ts";
import { type Argument, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, type Server, startRedis } from "../support/servers.ts";

/** Data sets of one run. */
const SETS = countFrom("FERRITE_RDB_SETS", 6);
const KEYS = 60;
const DATABASES = ["0", "3", "15"];

const hasRedis = requireRedis();
let server: Server;
let redis: RespClient;
beforeAll(async () => {
  if (!hasRedis) return;
  server = await startRedis({ args: ["--enable-debug-command", "yes"] });
  redis = await server.connect();
}, 60_000);
afterAll(() => server?.stop());

function newEngine(): TestEngine {
  const engine = testEngine({ regions: 12 });
  engine.checksEach = false;
  engine.config.place("server.enable_debug_command", "yes", { kind: "flag", text: "test" });
  return engine;
}

type Asked = (...args: Argument[]) => Promise<string>;
const askRedis: Asked = async (...args) => show(await within(redis.command(...args), 20_000, String(args[0])));
const asksOf =
  (engine: TestEngine): Asked =>
  async (...args) =>
    engine.send(...args);

/** Everything that the digest leaves out: deadlines, and streams with their groups. */
async function stateOf(ask: Asked, keys: readonly (readonly [string, string])[]): Promise<string[]> {
  const state = [await ask("DEBUG", "DIGEST")];
  for (const db of DATABASES) {
    await ask("SELECT", db);
    state.push(`${db}: ${await ask("DBSIZE")}`);
    for (const [, key] of keys.filter(([where]) => where === db)) {
      state.push(`${key}: ${await ask("PEXPIRETIME", key)}`);
      if ((await ask("TYPE", key)) !== "+stream") continue;
      // How a stream lies in memory, and when consumers were seen, are not of the data.
      const full = await ask("XINFO", "STREAM", key, "FULL", "COUNT", "0");
      state.push(
        full
          .replace(/"radix-tree-(keys|nodes)", :\d+/g, "")
          .replace(/"(seen-time|active-time)", :-?\d+, /g, "")
          .replace(/, :\d{13}, :/g, ", :T, :")
          // What a group lacks of an emptied stream is an estimate, in 7.2 another than in 7.0.
          .replace(/"lag", [^,]*/g, ""),
      );
    }
  }
  return state;
}

/** The keys that commands make, with their databases. */
function keysOf(commands: readonly string[][]): (readonly [string, string])[] {
  const keys = new Map<string, readonly [string, string]>();
  let db = "0";
  for (const [name, key, third] of commands) {
    if (name === "SELECT") db = key!;
    else if (name === "XGROUP") keys.set(`${db} ${third}`, [db, third!]);
    else if (name !== "XREADGROUP") keys.set(`${db} ${key}`, [db, key!]);
  }
  return [...keys.values()];
}

function savedBy(engine: TestEngine): Uint8Array {
  expect(engine.send("SAVE")).toBe("+OK");
  return readWhole(engine.files, join(engine.persistence.directory, "dump.rdb"));
}

describe("with redis-server 7.0.15", () => {
  test.skipIf(!hasRedis)(
    `${SETS} random data sets go both ways`,
    async () => {
      const seed = testSeed();
      for (let n = 0; n < SETS; n++) {
        const commands = new RandomData(new SeededRandom(seed + n)).make(KEYS);
        const keys = keysOf(commands);
        await askRedis("FLUSHALL");
        await askRedis("SELECT", "0");
        const ours = newEngine();
        for (const command of commands) {
          const [theirReply, ourReply] = [await askRedis(...command), ours.send(...command)];
          if (ourReply.startsWith("-")) throw new Error(`seed ${seed + n}: ${command[0]}: ${ourReply} ${theirReply}`);
        }
        const expected = await stateOf(askRedis, keys);
        expect([seed + n, ...(await stateOf(asksOf(ours), keys))]).toEqual([seed + n, ...expected]);

        // Theirs, here.
        await askRedis("SAVE");
        const theirFile = readFileSync(join(server.dataDir, "dump.rdb"));
        const loaded = newEngine();
        load(loaded, theirFile);
        loaded.checkNow();
        expect([seed + n, ...(await stateOf(asksOf(loaded), keys))]).toEqual([seed + n, ...expected]);

        // Ours, there.
        const ourFile = savedBy(ours);
        expect(checkRdb(diskWith(ourFile), RDB_PATH)).toMatchObject({
          ok: true,
          summary: { version: 10, checksum: "good" },
        });
        const path = join(server.dataDir, "dump.rdb");
        writeFileSync(path, ourFile);
        const checked = Bun.spawnSync(["redis-check-rdb", path]);
        expect(checked.stdout.toString()).toContain("RDB looks OK!");
        expect(checked.exitCode).toBe(0);
        expect(await askRedis("DEBUG", "RELOAD", "NOSAVE")).toBe("+OK");
        expect([seed + n, ...(await stateOf(askRedis, keys))]).toEqual([seed + n, ...expected]);

        // Ours, here, in every version.
        for (const version of [10, 11, 12]) {
          ours.config.apply([{ name: "persistence.rdb_version", value: version, previous: 10 }]);
          const back = newEngine();
          load(back, savedBy(ours));
          back.checkNow();
          expect([seed + n, ...(await stateOf(asksOf(back), keys))]).toEqual([seed + n, ...expected]);
        }
      }
    },
    300_000,
  );
});
