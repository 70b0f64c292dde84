/**
 * Goal:   no caching client keeps a value that is older than an acknowledged write, whichever workers serve it and the writer.
 * Method: 50 clients that cache (CLIENT TRACKING with several options) read at random, four writers write at random. A checker
 *         looks at every reply and at all caches behind it (test/support/caching-clients.ts). The same check must catch
 *         faults of the server that are built in on purpose.
 *         FERRITE_HISTORIES=<n> (default 4; long run 100), FERRITE_SEED=<n> replays the choices.
 */
import { describe, expect, test } from "bun:test";
import { CachingClient, type CachingMode, Truth, Writer } from "../support/caching-clients.ts";
import { INVALIDATION_MUTANTS } from "../support/mutants.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { standsInForFerrite, startFerrite } from "../support/servers.ts";

const HISTORIES = countFrom("FERRITE_HISTORIES", 4);
const CLIENTS = 50;
const WRITERS = 4;
const KEYS_EACH = 3;
const WRITES = 150;
/** Cached values that a history checks at least. */
const CHECKED_MIN = 2000;
const MUTANT_HISTORIES = 100;
const MODES: readonly CachingMode[] = ["default", "default", "optin", "prefix", "redirect"];

/** Runs one history. Returns what the checker complains about. */
async function history(port: number, seed: number): Promise<string[]> {
  const truth = new Truth();
  const random = new SeededRandom(seed);
  const keys: string[] = [];
  const writers: Writer[] = [];
  for (let n = 0; n < WRITERS; n++) {
    const own = Array.from({ length: KEYS_EACH }, (_, i) => `key:${seed}:${n}:${i}`);
    keys.push(...own);
    writers.push(await Writer.open(port, truth, own));
  }
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, (_, n) => CachingClient.open(port, `client ${n}`, MODES[n % MODES.length]!, truth)),
  );
  let writing = WRITERS;
  const chooses = () => new SeededRandom(random.below(1 << 30));
  await Promise.all([
    ...writers.map(async (writer) => {
      const choice = chooses();
      for (let n = 0; n < WRITES; n++) await writer.write(choice);
      writing--;
    }),
    ...clients.map(async (client) => {
      const choice = chooses();
      while (writing > 0) await client.read(choice, keys);
    }),
  ]);
  // What is cached at the end is what the keys hold.
  for (const client of clients) await client.barrier();
  if (truth.checked < CHECKED_MIN) truth.complaints.push(`only ${truth.checked} cached values were checked`);
  for (const client of clients) if (client.isLost) truth.complaints.push("a connection was lost");
  for (const client of [...clients, ...writers]) client.close();
  return truth.complaints;
}

describe("client-side caching", () => {
  test.each([
    [1, "no"],
    [2, "no"],
    [2, "always"],
  ] as const)(
    `${HISTORIES} histories of ${CLIENTS} caching clients on %d workers, appendfsync %s`,
    async (workers, fsync) => {
      const seed = testSeed();
      const isAppending = fsync !== "no";
      const settings = { appendonly: isAppending ? "yes" : "no", appendfsync: fsync, save: "" };
      const server = await startFerrite(isAppending ? { workers, persistence: true, settings } : { workers });
      try {
        for (let n = 0; n < HISTORIES; n++) {
          expect({ seed: seed + n, complaints: await history(server.port, seed + n) }).toEqual({
            seed: seed + n,
            complaints: [],
          });
        }
      } finally {
        await server.stop();
      }
    },
    60_000 + HISTORIES * 5_000,
  );
});

// A redis-server that stands in for Ferrite has no built-in faults.
if (!standsInForFerrite()) {
  describe("the check catches faults that are built in on purpose", () => {
    test.each(INVALIDATION_MUTANTS.map(({ name, fault }) => [name, fault] as const))(
      "%s: %s",
      async (name) => {
        const seed = testSeed();
        const server = await startFerrite({ workers: 2, env: { FERRITE_CHECKS: "1", FERRITE_MUTANT: name } });
        try {
          let complaints: string[] = [];
          let n = 0;
          while (complaints.length === 0 && n < MUTANT_HISTORIES) complaints = await history(server.port, seed + n++);
          console.log(`mutant ${name}: ${complaints[0] ?? "NOT CAUGHT"} after ${n} histories`);
          expect(complaints).not.toEqual([]);
        } finally {
          await server.kill();
        }
      },
      60_000 + MUTANT_HISTORIES * 5_000,
    );
  });
}
