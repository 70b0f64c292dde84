/** Goal: WAITAOF answers when the client's changes are on the disk, at once when they are, and 0 when its time is over. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { show } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";

let server: Server;
beforeAll(async () => {
  server = await startFerrite({ workers: 2, persistence: true });
}, 30_000);
afterAll(async () => {
  await server.stop();
});

test("everysec: after a write it waits for the sync, then answers at once", async () => {
  const client = await server.connect();
  await client.command("SET", "a", "1");
  expect(show(await client.command("WAITAOF", 1, 0, 0))).toBe("*[:1, :0]");
  expect(show(await client.command("WAITAOF", 1, 0, 0))).toBe("*[:1, :0]");
  await client.command("SET", "a", "2");
  expect(show(await client.command("WAITAOF", 1, 1, 30))).toBe("*[:0, :0]");
  expect(show(await client.command("WAITAOF", 0, 0, 0))).toMatch(/^\*\[:[01], :0\]$/);
});

test("a client that waits and goes leaves nothing behind", async () => {
  const client = await server.connect();
  await client.command("SET", "b", "1");
  client.write("WAITAOF 1 1 0\r\n");
  await Bun.sleep(20);
  client.close();
  const other = await server.connect();
  await other.command("SET", "b", "2");
  expect(show(await other.command("WAITAOF", 1, 0, 5000))).toBe("*[:1, :0]");
});

test("without fsync it ends with its time; with always each write is synced already", async () => {
  const client = await server.connect();
  await client.command("CONFIG", "SET", "appendfsync", "no");
  await client.command("SET", "c", "1");
  expect(show(await client.command("WAITAOF", 1, 0, 50))).toBe("*[:0, :0]");
  await client.command("CONFIG", "SET", "appendfsync", "always");
  await Bun.sleep(300);
  await client.command("SET", "c", "2");
  expect(show(await client.command("WAITAOF", 1, 0, 1000))).toBe("*[:1, :0]");
});

test("its arguments", async () => {
  const client = await server.connect();
  const ask = async (...args: (string | number)[]) => show(await client.command("WAITAOF", ...args));
  expect(await ask(2, 0, 0)).toBe("-ERR value is out of range, value must between 0 and 1");
  expect(await ask("x", 0, 0)).toBe("-ERR value is not an integer or out of range");
  expect(await ask(1, -1, 0)).toBe("-ERR value is out of range, must be positive");
  expect(await ask(1, 0, -1)).toBe("-ERR timeout is negative");
  const off = await startFerrite({ workers: 1 });
  const other = await off.connect();
  expect(show(await other.command("WAITAOF", 1, 0, 0))).toBe(
    "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
  );
  expect(show(await other.command("WAITAOF", 0, 0, 0))).toBe("*[:0, :0]");
  await off.stop();
});
