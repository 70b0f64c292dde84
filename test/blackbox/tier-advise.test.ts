/**
 * Goal:   `ferrite tier advise` predicts, from the access clocks of a running server, the hit ratio that a disk tier has there.
 * Method: a server with a tier whose memory holds a part of the values, and GETs after Zipf's law. DEBUG CLOCK moves the time on between
 *         two rounds, so that minutes of load take seconds. What the tier then counts is compared with what the tool says of
 *         the memory that the data has.
 */
import { expect, test } from "bun:test";
import { SeededRandom, testSeed } from "../support/random.ts";
import { type RespClient, show } from "../support/resp.ts";
import { ferriteCommand, startFerrite } from "../support/servers.ts";

const TIMEOUT_MS = 120_000;
const KEYS = 6000;
const VALUE = "v".repeat(1000);
const ROUNDS = 40;
const READS = 600;
const EXPONENT = 0.9;

/** Numbers of keys after Zipf's law. */
function zipf(random: SeededRandom): () => number {
  const sums = new Float64Array(KEYS);
  let sum = 0;
  for (let n = 0; n < KEYS; n++) sums[n] = sum += 1 / (n + 1) ** EXPONENT;
  return () => {
    const at = (random.below(1e9) / 1e9) * sum;
    let low = 0;
    for (let high = KEYS - 1; low < high; ) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < at) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

async function figure(client: RespClient, name: string): Promise<number> {
  const text = show(await client.command("INFO", "hybridlog"));
  return Number(new RegExp(`${name}:([0-9.]+)`).exec(text)?.[1] ?? Number.NaN);
}

async function advise(port: number, ...more: string[]): Promise<string> {
  const command = [...ferriteCommand(), "tier", "advise", "--port", String(port), "--seconds", "1", ...more];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const [out, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect([await child.exited, errors]).toEqual([0, ""]);
  return out;
}

test(
  "what the tool says of the memory that the data has is near what the tier counts",
  async () => {
    const server = await startFerrite({
      workers: 1,
      settings: {
        "storage.tiering": "true",
        "storage.hybridlog_mutable_size": "2mb",
        "storage.hybridlog_readonly_size": "1mb",
        "storage.tier_read_buffer": "0",
        "server.enable_debug_command": "yes",
      },
    });
    const client = await server.connect();
    try {
      const draw = zipf(new SeededRandom(testSeed()));
      for (let n = 0; n < KEYS; n += 500)
        await client.pipeline(Array.from({ length: 500 }, (_, i) => ["SET", `k${n + i}`, VALUE]));
      let lookups = 0;
      let advice = "";
      let isDone = false;
      const round = async (): Promise<void> => {
        const replies = await client.pipeline(Array.from({ length: READS }, () => ["GET", `k${draw()}`]));
        expect(replies.every((reply) => show(reply).length > 900)).toBe(true);
        await client.command("DEBUG", "CLOCK", "ADVANCE", "1000");
      };
      for (let n = 0; n < ROUNDS; n++) {
        if (n === ROUNDS / 2) lookups = await figure(client, "tier_lookups");
        await round();
      }
      const measured = 1 - ((await figure(client, "tier_lookups")) - lookups) / (READS * (ROUNDS / 2));
      // The load goes on while the tool counts accesses.
      const asked = advise(server.port, "--json").then((text) => {
        advice = text;
        isDone = true;
      });
      while (!isDone) await round();
      await asked;
      const said = JSON.parse(advice) as {
        keys: number;
        sampled: number;
        sizes: { memoryBytes: number; hitRatio: number }[];
        accessesPerSecond: number;
        dataBytes: number;
      };
      expect([said.keys, said.sampled]).toEqual([KEYS, KEYS]);
      const memory = (await figure(client, "hybridlog_live_bytes")) + KEYS * 8;
      const above = said.sizes.findIndex(({ memoryBytes }) => memoryBytes >= memory);
      const [low, high] = [said.sizes[Math.max(0, above - 1)]!, said.sizes[above]!];
      expect(measured).toBeGreaterThan(low.hitRatio - 0.15);
      expect(measured).toBeLessThan(high.hitRatio + 0.15);
      expect(await advise(server.port)).toMatch(/memory for data {3}of all {3}hit ratio {3}reads of disk\/s\n/);
    } finally {
      client.close();
      await server.stop();
    }
  },
  TIMEOUT_MS,
);
