/**
 * Goal:   what the store removes by itself is in the change log: each key and member once, in the database that it was in at
 *         that time; and nothing of a database that was emptied.
 * Method: keys get a deadline in all databases, then the clock is set behind it, and what the background work writes into
 *         the append-only file is read. Evictions are compared with the keys that are left.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { type Feed, startFerriteFeed } from "../support/effect-feeds.ts";
import { type RespClient, show } from "../support/resp.ts";

const DUE_MS = 4_000_000_000_000;

let feed: Feed;
let client: RespClient;
beforeEach(async () => {
  feed = await startFerriteFeed();
  client = await feed.client(0);
}, 60_000);
afterEach(async () => feed.stop(), 60_000);

async function statistic(name: string): Promise<number> {
  return Number(new RegExp(`${name}:(\\d+)`).exec(show(await client.command("INFO", "everything")))![1]);
}

/** Waits until a counter of INFO has grown to `count`. */
async function waitFor(name: string, count: number): Promise<void> {
  while ((await statistic(name)) < count) await Bun.sleep(5);
}

/** Effects with their databases: "2 DEL key". MULTI and EXEC are left out. */
function withDatabases(effects: readonly string[]): string[] {
  let db = "0";
  const found: string[] = [];
  for (const effect of effects) {
    if (effect.startsWith("SELECT ")) db = effect.slice(7);
    else if (effect !== "MULTI" && effect !== "EXEC") found.push(`${db} ${effect}`);
  }
  return found;
}

async function send(...lines: readonly string[]): Promise<void> {
  const replies = await client.pipeline(lines.map((line) => line.split(" ")));
  for (const reply of replies) expect(show(reply)).not.toStartWith("-");
}

test("keys that expire, in every database", async () => {
  const expected: string[] = [];
  for (let db = 0; db < 4; db++) {
    await send(`SELECT ${db}`);
    await send(...Array.from({ length: 100 }, (_, n) => `SET key:${n} ${n} PXAT ${DUE_MS}`));
    for (let n = 0; n < 100; n++) expected.push(`${[1, 0, 2, 3][db]} DEL key:${n}`);
    await send(`SET stays:${db} 1`);
  }
  await send("SELECT 0", "SWAPDB 0 1");
  feed.take();
  await send(`DEBUG CLOCK SET ${DUE_MS + 1}`);
  await waitFor("expired_keys", 400);
  await send("SELECT 0");
  await send("SET end 1");
  const found = withDatabases(feed.take());
  expect(found.filter((effect) => effect.includes("DEL")).sort()).toEqual(expected.sort());
}, 60_000);

test("members that expire", async () => {
  const members = Array.from({ length: 300 }, (_, n) => (n === 7 ? "long".repeat(500) : `m${n}`));
  await send("SELECT 2");
  for (const member of members) await send(`HSET hash ${member} 1`, `SADD set ${member}`, `ZADD sorted 1 ${member}`);
  await send("HSET small a 1 b 2", `HPEXPIREAT small ${DUE_MS} FIELDS 1 a`, "SADD set stays");
  await send(`HPEXPIREAT hash ${DUE_MS} FIELDS 300 ${members.join(" ")}`);
  await send(`SPEXPIREAT set ${DUE_MS} MEMBERS 300 ${members.join(" ")}`);
  await send(`ZPEXPIREAT sorted ${DUE_MS} MEMBERS 300 ${members.join(" ")}`);
  feed.take();
  await send(`DEBUG CLOCK SET ${DUE_MS + 1}`);
  while (show(await client.command("EXISTS", "hash", "sorted")) !== ":0") await Bun.sleep(5);
  while (show(await client.command("SCARD", "set")) !== ":1") await Bun.sleep(5);
  while (show(await client.command("HLEN", "small")) !== ":1") await Bun.sleep(5);
  await send("SET end 1");
  const expected = members.flatMap((member) => [`HDEL hash ${member}`, `SREM set ${member}`, `ZREM sorted ${member}`]);
  const found = feed.take().filter((effect) => effect !== "MULTI" && effect !== "EXEC");
  expect(found.sort()).toEqual([...expected, "HDEL small a", "SET end 1"].sort());
}, 60_000);

test("a database that was emptied says no more of its keys", async () => {
  await send("SELECT 3", "DEBUG POPULATE 20000");
  await send(...Array.from({ length: 200 }, (_, n) => `PEXPIREAT key:${n} ${DUE_MS}`));
  feed.take();
  await send("FLUSHALL ASYNC", `DEBUG CLOCK SET ${DUE_MS + 1}`, "SET key:1 1");
  // The keys that are due count as neither.
  await waitFor("lazyfreed_objects", 19_800);
  await send("DEBUG SLEEP 0", "DEL key:1");
  expect(feed.take()).toEqual(["FLUSHALL ASYNC", "SET key:1 1", "DEL key:1"]);
}, 60_000);

test("keys that are evicted", async () => {
  const used = Number(/used_memory:(\d+)/.exec(show(await client.command("INFO", "memory")))![1]);
  await send("CONFIG SET maxmemory-policy allkeys-random", `CONFIG SET maxmemory ${used + (8 << 20)}`);
  const value = "v".repeat(10_000);
  for (let n = 0; n < 2000; n += 20) {
    await send(`SELECT ${(n / 20) % 3}`, ...Array.from({ length: 20 }, (_, i) => `SET key:${n + i} ${value}`));
  }
  await send("CONFIG SET maxmemory-policy noeviction", "SELECT 0");
  // No reply waits for what a turn evicts at its beginning. This one waits for all before it.
  await send("SET last 1", "DEL last");
  const model = new Set<string>();
  let evicted = 0;
  for (const effect of withDatabases(feed.take())) {
    const [db, name, key] = effect.split(" ");
    if (key === "last") continue;
    if (name === "SET") model.add(`${db} ${key}`);
    else if (model.delete(`${db} ${key}`)) evicted++;
    else throw new Error(`${effect}: no such key`);
  }
  const left: string[] = [];
  for (let db = 0; db < 3; db++) {
    await send(`SELECT ${db}`);
    const keys = await client.command("KEYS", "*");
    if (keys.type !== "array") throw new Error("KEYS replies an array");
    for (const key of keys.value) left.push(`${db} ${key.type === "bulk" ? key.value : ""}`);
  }
  expect(evicted).toBeGreaterThan(100);
  expect(evicted).toBe(await statistic("evicted_keys"));
  expect([...model].sort()).toEqual(left.sort());
}, 60_000);

test("a copy in steps is logged when it is put in place", async () => {
  for (let n = 0; n < 200; n++) {
    const fields = Array.from({ length: 100 }, (_, i) => `f${n * 100 + i} ${"v".repeat(100)}`).join(" ");
    await send(`HSET large ${fields}`);
  }
  feed.take();
  await send(
    "COPY large copy",
    "COPY large other DB 2",
    "RENAME copy renamed",
    "COPY large renamed",
    "COPY large renamed REPLACE",
  );
  expect(feed.take()).toEqual([
    "COPY large copy",
    "COPY large other DB 2",
    "RENAME copy renamed",
    "COPY large renamed REPLACE",
  ]);
}, 60_000);
