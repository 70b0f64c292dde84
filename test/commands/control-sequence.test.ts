/**
 * Goal:   EXEC runs commands whose answers come from other threads one by one, in order, and replies as Redis does: it is
 *         what Sentinel sends to a server that it promotes.
 * Method: such transactions over a socket to a server of two workers.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, encodeCommand, type RespClient, show } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";

let server: Server;
let client: RespClient;
let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "ferrite-control-"));
  const config = join(directory, "ferrite.toml");
  writeFileSync(config, "# kept\n");
  server = await startFerrite({ args: ["--config", config] });
  client = await server.connect();
}, 120_000);
afterAll(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Sends a transaction in one packet. Returns the reply of EXEC. */
async function transaction(...commands: string[][]): Promise<string> {
  const replies = await client.pipeline([["MULTI"], ...commands, ["EXEC"]]);
  expect(replies.slice(1, -1).map(show)).toEqual(commands.map(() => "+QUEUED"));
  return show(replies.at(-1)!);
}

test("the transaction of a promotion", async () => {
  const other = await server.connect();
  const reply = await transaction(
    ["SLAVEOF", "NO", "ONE"],
    ["CONFIG", "REWRITE"],
    ["CLIENT", "KILL", "TYPE", "normal"],
    ["CLIENT", "KILL", "TYPE", "pubsub"],
  );
  expect(reply).toBe("*[+OK, +OK, :1, :0]");
  await expect(other.command("PING")).rejects.toThrow();
  expect(await ask(client, "PING")).toBe("+PONG");
});

test("commands of all kinds, in order, behind one that fails", async () => {
  const reply = await transaction(
    ["CONFIG", "SET", "no-such-setting", "1"],
    ["CONFIG", "SET", "slowlog-max-len", "77"],
    ["CONFIG", "GET", "slowlog-max-len"],
    ["PING"],
    ["CLIENT", "SETNAME", "x"],
    ["CLIENT", "GETNAME"],
  );
  expect(reply).toMatch(/^\*\[-ERR .*no-such-setting.*, \+OK, \*\["slowlog-max-len", "77"\], \+PONG, \+OK, "x"\]$/);
});

test("they are not mixed with commands on keys, and a broken watch stops them", async () => {
  expect(await transaction(["CONFIG", "SET", "slowlog-max-len", "1"], ["SET", "a", "1"])).toMatch(/^-EXECABORT/);
  expect(await ask(client, "EXISTS", "a")).toBe(":0");
  const other = await server.connect();
  await ask(client, "WATCH", "a");
  await ask(other, "SET", "a", "1");
  expect(await transaction(["CONFIG", "SET", "slowlog-max-len", "2"])).toMatch(/^null/);
  expect(await ask(client, "CONFIG", "GET", "slowlog-max-len")).toContain('"77"');
  other.close();
});

test("messages that come meanwhile follow the reply", async () => {
  await ask(client, "HELLO", "3");
  client.write(encodeCommand(["SUBSCRIBE", "news"])); // answered by a push
  const other = await server.connect();
  const sent = Array.from({ length: 200 }, () => ["PUBLISH", "news", "message"]);
  const published = other.pipeline(sent);
  for (let n = 0; n < 20; n++) {
    const reply = await transaction(...Array.from({ length: 5 }, () => ["CONFIG", "SET", "slowlog-max-len", "5"]));
    expect(reply).toBe("*[+OK, +OK, +OK, +OK, +OK]");
  }
  await published;
  await ask(client, "PING");
  expect(client.pushes.length).toBe(201);
  other.close();
});

test("a client that is gone in the middle leaves nothing behind", async () => {
  const other = await server.connect();
  // Replicas, of which there are none: the first client still subscribes to a channel.
  other.write(Buffer.from("MULTI\r\nCONFIG SET slowlog-max-len 9\r\nCLIENT KILL TYPE replica\r\nEXEC\r\n"));
  other.close();
  expect(await ask(client, "PING")).toBe("+PONG");
});
