/**
 * Goal:   garbage of the JS heap does not count as data: no key is evicted and no write refused for bytes that the next
 *         collection frees.
 * Method: the same scenes at redis-server and at the executable, with limits equally far above the memory each uses at first.
 *         A large value is set repeatedly, which leaves socket buffers behind each time. A value far above the limit is
 *         refused, and then small values are set.
 */
import { expect, test } from "bun:test";
import { type Argument, encodeCommand, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, type Server, type ServerKind, startFerrite, startRedis } from "../support/servers.ts";

const GUARD_MS = 60_000;
const TIMEOUT_MS = 180_000;
const KINDS: ServerKind[] = requireRedis() ? ["redis", "ferrite"] : ["ferrite"];

async function ask(client: RespClient, ...args: Argument[]): Promise<string> {
  return show(await within(client.command(...args), GUARD_MS, String(args[0])));
}

async function info(client: RespClient, field: string): Promise<number> {
  const text = await ask(client, "INFO", "everything");
  const found = new RegExp(`${field}:(\\d+)`).exec(text);
  if (found === null) throw new Error(`INFO has no ${field}`);
  return Number(found[1]);
}

/** Sends the commands in pipelines of 100. Returns the number of error replies. */
async function errorsOf(client: RespClient, commands: readonly Argument[][]): Promise<number> {
  let errors = 0;
  for (let i = 0; i < commands.length; i += 100) {
    const part = commands.slice(i, i + 100);
    client.write(Buffer.concat(part.map((args) => encodeCommand(args))));
    for (let n = 0; n < part.length; n++) {
      const reply = await within(client.next(), GUARD_MS, "a reply");
      if (reply.type === "error") errors++;
    }
  }
  return errors;
}

async function limit(client: RespClient, bytesMore: number, policy: string): Promise<void> {
  // Just after the start the workers have not measured their JS heaps yet: wait until the figure rests.
  let used = 0;
  for (let before = -Infinity; Math.abs(used - before) > 200_000; ) {
    before = used;
    await Bun.sleep(500);
    used = await info(client, "used_memory");
  }
  const bytes = used + bytesMore;
  expect(await ask(client, "CONFIG", "SET", "maxmemory", String(bytes), "maxmemory-policy", policy)).toBe("+OK");
}

function onEach(name: string, body: (server: Server) => Promise<void>): void {
  test.each(KINDS)(
    `%s: ${name}`,
    async (kind) => {
      const server = kind === "redis" ? await startRedis() : await startFerrite({ workers: 2 });
      try {
        await body(server);
      } finally {
        await server.stop();
      }
    },
    TIMEOUT_MS,
  );
}

onEach("a large value that is set repeatedly evicts nothing while all keys fit", async (server) => {
  const client = await server.connect();
  await limit(client, 200_000_000, "allkeys-lru");
  const value = Buffer.alloc(10_000, "v");
  const sets = Array.from({ length: 12_000 }, (_, i) => ["SET", `k${i}`, value]);
  expect(await errorsOf(client, sets)).toBe(0);
  const large = Buffer.alloc(20_000_000, "l");
  for (let i = 0; i < 15; i++) expect(await ask(client, "SET", "large", large)).toBe("+OK");
  expect(await info(client, "evicted_keys")).toBe(0);
  expect(await ask(client, "DBSIZE")).toBe(":12001");
  client.close();
});

onEach("writes after a value that was too large are not refused", async (server) => {
  const client = await server.connect();
  await limit(client, 5_000_000, "noeviction");
  const sets = Array.from({ length: 200 }, (_, i) => ["SET", `k${i}`, "v".repeat(100)]);
  expect(await errorsOf(client, sets)).toBe(0);
  const sender = await server.connect();
  expect(await ask(sender, "SET", "huge", Buffer.alloc(30_000_000, "h"))).toMatch(/^-OOM /);
  sender.close();
  await within(sender.closed, GUARD_MS, "the end of the connection");
  // Redis counts the query buffer until it has noticed the end of the connection.
  while (server.kind === "redis" && (await info(client, "connected_clients")) > 1) await Bun.sleep(1);
  for (let round = 0; round < 50; round++) expect(await errorsOf(client, sets)).toBe(0);
  expect(await ask(client, "DBSIZE")).toBe(":200");
  client.close();
});
