/**
 * Goal:   the server replies to any bytes as Redis does, or closes that connection. It never crashes, never sends a wrong
 *         reply to another client, and never allocates memory that was only announced.
 * Method: a table of hostile inputs with exact replies (also checked against redis-server); a valid pipeline cut at every
 *         byte; seeded mutants of valid pipelines. Meanwhile valid connections check PING and their own keys.
 *         FERRITE_FUZZ=<n> mutants (default 2,000; long run 1,000,000), FERRITE_SEED=<n> replays.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { benignPipeline, HOSTILE, type HostileCase, mutate } from "../support/malformed.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { escape, ReplyParser, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, residentBytes, type Server, startFerrite, startRedis } from "../support/servers.ts";

const MUTANTS = countFrom("FERRITE_FUZZ", 2_000);
const HANG_MS = 20_000,
  TIMEOUT_MS = 5 * 60_000;
const INNOCENTS = 4;
const ONE_TURN = 16;
const RSS_GROWTH_MAX = 64 * 2 ** 20;

/** Clients that send valid requests, on as many connections as there may be workers, each with its own key. */
class Innocents {
  #clients: RespClient[] = [];

  async open(server: Server): Promise<this> {
    for (let i = 0; i < INNOCENTS; i++) {
      const client = await server.connect();
      expect(show(await client.command("SET", `innocent:${i}`, `value of ${i}`))).toBe("+OK");
      this.#clients.push(client);
    }
    return this;
  }

  /** One round trip of each. It also proves that the server has read the bytes sent before. */
  async check(after: string): Promise<void> {
    for (const [i, client] of this.#clients.entries()) {
      const replies = await within(
        client.pipeline([["PING"], ["GET", `innocent:${i}`]]),
        HANG_MS,
        `innocent ${i} after ${after}`,
      );
      const got = replies.map(show).join(" ");
      if (got !== `+PONG "value of ${i}"`) throw new Error(`innocent ${i} got ${got} after ${after}`);
    }
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}

async function rawConnection(server: Server): Promise<RespClient> {
  const client = await server.connect();
  client.keepRaw = true;
  return client;
}

/** The server's reaction to one case: the bytes it sent, and whether it then closed, continued or waited. */
async function observe(
  server: Server,
  hostile: HostileCase,
  innocents: Innocents,
): Promise<{ reply: string; outcome: string }> {
  const client = await rawConnection(server);
  try {
    if (hostile.outcome === "goes-on") {
      client.write(`${hostile.input}*1\r\n$4\r\nPING\r\n`);
      const expected = hostile.reply.length + "+PONG\r\n".length;
      const pongs = (): boolean => client.raw().toString("latin1").endsWith("+PONG\r\n");
      // A wrong reply may be shorter. Once the PONG has come and others were served, no more bytes will come.
      for (let i = 0; i < 20 && !(await client.rawBytes(expected, HANG_MS / 20)) && !pongs(); i++) {
        await innocents.check(hostile.name);
      }
      const got = client.raw().toString("latin1");
      return got.endsWith("+PONG\r\n") && !client.isClosed
        ? { reply: got.slice(0, -"+PONG\r\n".length), outcome: "goes-on" }
        : { reply: got, outcome: client.isClosed ? "closes" : "unclear" };
    }
    client.write(hostile.input);
    if (hostile.outcome === "closes") {
      const closed = await within(
        client.closed.then(() => "closes"),
        HANG_MS,
        "closing",
      ).catch(() => "stays open");
      return { reply: client.raw().toString("latin1"), outcome: closed };
    }
    for (let i = 0; i < 3; i++) await innocents.check(hostile.name);
    return { reply: client.raw().toString("latin1"), outcome: client.isClosed ? "closes" : "waits" };
  } finally {
    client.close();
  }
}

function shorten(text: string): string {
  const shown = escape(text);
  return shown.length <= 300 ? shown : `${shown.slice(0, 200)} ... ${shown.slice(-60)} (${text.length} bytes)`;
}

async function tableAgainst(server: Server): Promise<void> {
  const innocents = await new Innocents().open(server);
  const wrong: string[] = [];
  for (const hostile of HOSTILE) {
    const seen = await observe(server, hostile, innocents);
    if (seen.reply !== hostile.reply || seen.outcome !== hostile.outcome) {
      wrong.push(
        `${hostile.name}: ${shorten(hostile.input)}\n    expected ${shorten(hostile.reply)} and ${hostile.outcome}\n    got      ${shorten(seen.reply)} and ${seen.outcome}`,
      );
    }
    await innocents.check(hostile.name);
    if (server.hasExited) throw new Error(`the server is gone after ${hostile.name}\n${server.log().slice(-3000)}`);
  }
  innocents.close();
  if (wrong.length > 0) throw new Error(`${wrong.length} of ${HOSTILE.length} cases:\n${wrong.join("\n")}`);
}

if (requireRedis()) {
  test(
    "the table of hostile inputs is what redis-server 7.0.15 answers",
    async () => {
      const redis = await startRedis();
      try {
        await tableAgainst(redis);
      } finally {
        await redis.stop();
      }
    },
    TIMEOUT_MS,
  );
}

describe("Ferrite", () => {
  let ferrite: Server;
  beforeAll(async () => {
    ferrite = await startFerrite({ workers: 2 });
  }, TIMEOUT_MS);
  afterAll(async () => {
    await ferrite?.stop();
  }, TIMEOUT_MS);

  test(`${HOSTILE.length} hostile inputs get Redis's answers`, () => tableAgainst(ferrite), TIMEOUT_MS);

  test(
    "announced sizes are not allocated",
    async () => {
      const innocents = await new Innocents().open(ferrite);
      const waiting = HOSTILE.filter((hostile) => hostile.outcome === "waits");
      const before = residentBytes(ferrite.pid).anonymous;
      const clients: RespClient[] = [];
      for (let i = 0; i < 20; i++) {
        for (const hostile of waiting) {
          const client = await rawConnection(ferrite);
          client.write(hostile.input);
          clients.push(client);
        }
      }
      await innocents.check("20 of each input that waits");
      const grown = residentBytes(ferrite.pid).anonymous - before;
      for (const client of clients) client.close();
      innocents.close();
      expect(grown).toBeLessThan(RSS_GROWTH_MAX);
    },
    TIMEOUT_MS,
  );

  const PIPELINE =
    '*3\r\n$3\r\nSET\r\n$2\r\nsp\r\n$6\r\na\r\nb\r\n\r\n*2\r\n$3\r\nGET\r\n$2\r\nsp\r\nPING "x y"\r\n*1\r\n$4\r\nPING\r\n*0\r\n*2\r\n$6\r\nAPPEND\r\n$2\r\nsp\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\nGET sp\n*2\r\n$4\r\nnope\r\n$3\r\n\r\n\0\r\n';

  /** The replies to the pieces, up to the known length. Each piece is sent after the server has had a turn. */
  async function inPieces(pieces: readonly string[], replyBytes: number): Promise<string> {
    const client = await rawConnection(ferrite);
    try {
      for (const piece of pieces) {
        client.write(piece);
        await Bun.sleep(0);
      }
      await client.rawBytes(replyBytes, HANG_MS);
      return client.raw().toString("latin1");
    } finally {
      client.close();
    }
  }

  test(
    "a pipeline cut at every byte, and byte by byte, gets the same reply bytes",
    async () => {
      const end = "*1\r\n$4\r\nPING\r\n";
      const probe = await rawConnection(ferrite);
      probe.write(PIPELINE + end);
      while (
        !probe.raw().toString("latin1").endsWith("\r\n+PONG\r\n") ||
        probe.raw().toString("latin1").split("+PONG").length < 3
      ) {
        expect(await within(probe.rawBytes(probe.raw().length + 1, HANG_MS), HANG_MS, "the whole pipeline")).toBe(true);
        expect(probe.isClosed).toBe(false);
      }
      const whole = probe.raw().toString("latin1");
      probe.close();
      expect(whole).toStartWith("+OK\r\n$6\r\na\r\nb\r\n\r\n$3\r\nx y\r\n+PONG\r\n-ERR wrong number");
      for (let at = 1; at < PIPELINE.length; at++) {
        const got = await inPieces([PIPELINE.slice(0, at), PIPELINE.slice(at) + end], whole.length);
        if (got !== whole) throw new Error(`cut at byte ${at}: ${escape(got)}\nwhole: ${escape(whole)}`);
      }
      expect(await inPieces([...(PIPELINE + end)], whole.length)).toBe(whole);
    },
    TIMEOUT_MS,
  );

  test(
    `${MUTANTS} mutants of valid pipelines`,
    async () => {
      const seed = testSeed(),
        random = new SeededRandom(seed);
      const innocents = await new Innocents().open(ferrite);
      let before = residentBytes(ferrite.pid).anonymous;
      for (let done = 0; done < MUTANTS; done += ONE_TURN) {
        // The first half warms up code and buffers. A leak shows in the second half.
        if (done <= MUTANTS / 2) before = residentBytes(ferrite.pid).anonymous;
        const inputs = Array.from({ length: Math.min(ONE_TURN, MUTANTS - done) }, () =>
          mutate(benignPipeline(random), random),
        );
        await Promise.all(
          inputs.map(async (input, i) => {
            const what = `mutant ${done + i} (FERRITE_SEED=${seed}): ${shorten(input)}`;
            const client = await rawConnection(ferrite);
            client.write(input);
            client.end(); // the server sees the end of input and closes in turn
            await within(client.closed, HANG_MS, what);
            const parser = new ReplyParser();
            try {
              parser.push(client.raw());
              while (parser.take() !== null);
              expect(parser.pendingBytes).toBe(0);
            } catch (error) {
              throw new Error(
                `${(error as Error).message} in the replies to ${what}: ${shorten(client.raw().toString("latin1"))}`,
              );
            }
          }),
        );
        await innocents.check(
          `mutants ${done} to ${done + ONE_TURN} (FERRITE_SEED=${seed}), the last: ${shorten(inputs.at(-1)!)}`,
        );
        if (ferrite.hasExited)
          throw new Error(
            `the server is gone after mutants from ${done} on (FERRITE_SEED=${seed})\n${ferrite.log().slice(-3000)}`,
          );
      }
      innocents.close();
      const after = residentBytes(ferrite.pid).anonymous;
      console.log(
        `RSS halfway ${(before / 2 ** 20).toFixed(1)} MiB, after ${MUTANTS} mutants ${(after / 2 ** 20).toFixed(1)} MiB`,
      );
      expect(after - before).toBeLessThan(RSS_GROWTH_MAX);
    },
    120_000 + MUTANTS * 20,
  );

  test(
    "connections that are reset within a request leave nothing behind",
    async () => {
      const seed = testSeed(),
        random = new SeededRandom(seed);
      const innocents = await new Innocents().open(ferrite);
      for (let i = 0; i < 300; i++) {
        const client = await rawConnection(ferrite);
        const input = benignPipeline(random).repeat(20);
        client.write(input.slice(0, random.below(input.length)));
        if (random.chance(0.5)) await Bun.sleep(0);
        client.reset();
        if (i % 20 === 0) await innocents.check(`reset ${i} (FERRITE_SEED=${seed})`);
      }
      await innocents.check("all resets");
      innocents.close();
    },
    TIMEOUT_MS,
  );
});
