/**
 * Goal:   values that are read through io_uring wake their clients over both transports, whatever else happens to the files and the
 *         clients; without io_uring the threads of the pool read them.
 * Method: servers with two workers and every value on disk, whose page cache is not looked at first. Many reads at once, by
 *         pipelines, MGET and clients that leave.
 */
import { expect, test } from "bun:test";
import { readdirSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { IoRing } from "../../src/memory/io-ring.ts";
import { dropFiles } from "../../bench/tier/pread.ts";
import { show, within } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";
import { ALL_COLD, guarded } from "../support/tier-server.ts";

const GUARD_MS = 60_000;
const KEYS = 600;
const { ask, figure, until } = guarded(GUARD_MS);
const keys = Array.from({ length: KEYS }, (_, n) => `k${n}`);
/** Nobody reads these before they are damaged: a worker keeps what was asked for by a client that has left. */
const damaged = ["d0", "d1", "d2"];
const text = (n: number): string => `${n}:`.padEnd(200 + (n % 90) * 13, `v${n}`);

async function loaded(settings: Record<string, string>, env: Record<string, string> = {}): Promise<Server> {
  const kept = { "storage.tier_promotion": "false", "storage.tier_read_buffer": "0" };
  const server = await startFerrite({ workers: 2, settings: { ...ALL_COLD, ...kept, ...settings }, env });
  const client = await server.connect();
  await client.pipeline(keys.map((key, n) => ["SET", key, text(n)]));
  await client.pipeline(damaged.map((key, n) => ["SET", key, text(n)]));
  const count = KEYS + damaged.length;
  await until(async () => (await figure(client, "hybridlog", "tier_cold_values")) === count, "all values on disk");
  client.close();
  return server;
}

/** Reads all values, several times at once, while a client leaves whose reads are under way. */
async function readAll(server: Server): Promise<void> {
  dropFiles(join(server.dataDir, "segments"));
  const gets = keys.map((key) => ["GET", key]);
  const leaving = await server.connect();
  void leaving.pipeline(gets).catch(() => {});
  const clients = [await server.connect(), await server.connect(), await server.connect()] as const;
  const all = Promise.all([
    clients[0].pipeline(gets),
    clients[1].pipeline([["MGET", ...keys]]),
    clients[2].pipeline(gets.slice(0, 50)),
  ]);
  leaving.close();
  const [pipelined, [together], others] = await within(all, GUARD_MS, "all values");
  const expected = keys.map((_, n) => text(n));
  expect(pipelined.map(show)).toEqual(expected.map((each) => `"${each}"`));
  expect(show(together!)).toBe(`*[${expected.map((each) => `"${each}"`).join(", ")}]`);
  expect(others.map(show)).toEqual(expected.slice(0, 50).map((each) => `"${each}"`));
  expect(await figure(clients[0], "hybridlog", "tier_disk_reads")).toBeGreaterThanOrEqual(KEYS);
  await until(
    async () => (await figure(clients[0], "hybridlog", "tier_disk_reads_pending")) === 0,
    "no reads under way",
  );
  for (const client of clients) client.close();
}

async function methodOf(server: Server): Promise<string> {
  const client = await server.connect();
  const info = await ask(client, "INFO", "hybridlog");
  client.close();
  return /tier_read_method:(\w+)/.exec(info)![1]!;
}

test.each(["bun", "epoll"])("many reads at once, damage and a crash, transport %s", async (transport) => {
  const ring = IoRing.open(1);
  ring?.close();
  const server = await loaded({ "server.transport": transport });
  try {
    expect(await methodOf(server)).toBe(ring === null ? "pool" : "io_uring");
    await readAll(server);
    const client = await server.connect();
    const directory = join(server.dataDir, "segments");
    for (const name of readdirSync(directory)) truncateSync(join(directory, name), 8);
    for (const key of damaged)
      expect(await ask(client, "GET", key)).toMatch(
        /^-IOERR segment \d{8}\.seg cannot be read at offset \d+: it ends within/,
      );
    expect(await ask(client, "STRLEN", "k1")).toBe(`:${text(1).length}`);
    // Its reads are under way when the process ends.
    void client.pipeline(keys.map((key) => ["GET", key])).catch(() => {});
    await server.kill();
    client.close();
  } finally {
    await server.stop();
  }
});

test("without system calls the pool reads, and the start says that this was not wished", async () => {
  const server = await loaded({ "storage.tier_reads": "io_uring" }, { FERRITE_FFI: "0" });
  try {
    expect(await methodOf(server)).toBe("pool");
    expect(server.log()).toContain("io_uring is not available: values of the disk tier are read by threads");
    await readAll(server);
  } finally {
    await server.stop();
  }
});
