/**
 * Goal:   commands on one key take effect one after another, whichever workers execute them.
 * Method: many connections send random commands on 1 to 5 hot keys, alone and in short pipelines. Calls and replies are
 *         timed on one monotonic clock. A checker searches for an order that explains all replies
 *         (test/support/linearizability.ts). The same check must catch the built-in faults of the lock.
 *         FERRITE_HISTORIES=<n> per number of workers (default 30; long run 500), FERRITE_SEED=<n> replays the choices
 *         (the interleaving is the machine's).
 */
import { describe, expect, test } from "bun:test";
import { checkHistory, type Command, type Operation } from "../support/linearizability.ts";
import { LOCK_MUTANTS } from "../support/mutants.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { encodeCommand, type RespClient, show } from "../support/resp.ts";
import { type Server, standsInForFerrite, startFerrite } from "../support/servers.ts";
import { ALL_COLD } from "../support/tier-server.ts";

const HISTORIES = countFrom("FERRITE_HISTORIES", 30);
const OPERATIONS = 240;
const CLIENTS = 8;
const HANG_MS = 15_000;
const MUTANT_MS = 60_000;
const COMMANDS: readonly (readonly [number, Command])[] = [
  [5, "GET"],
  [3, "SET"],
  [6, "INCR"],
  [2, "DEL"],
  [4, "APPEND"],
  [2, "SETNX"],
  [4, "GETSET"],
  [2, "GETDEL"],
];
const TAKES_ARGUMENT: ReadonlySet<Command> = new Set(["SET", "APPEND", "SETNX", "GETSET"]);

type Ending = { kind: "passed" } | { kind: "undecided" } | { kind: "violation" | "hang" | "exit"; text: string };

/** Arguments of so many bytes: the values go to disk. */
const COLD_BYTES = 20;

/** Enough connections for every worker to have several, although the kernel spreads them by hash. */
/** Number of histories after which a mutant gets other connections. */
const SPREAD_ANEW = 20;

async function openConnections(server: Server, workers: number): Promise<RespClient[]> {
  return Promise.all(Array.from({ length: Math.max(8, workers * 4) }, () => server.connect()));
}

/**
 * One history: eight of the connections, different ones each time, send their share and wait for the replies of one
 * pipeline before the next. More at once would find no more faults, and would take the checker long.
 */
async function runHistory(
  connections: readonly RespClient[],
  seed: number,
  name: string,
  argumentBytes: number,
): Promise<{ operations: Operation[]; hung: boolean }> {
  const random = new SeededRandom(seed);
  const clients = random.shuffle([...connections]).slice(0, CLIENTS);
  const keys = Array.from({ length: random.between(1, 5) }, (_, i) => `${name}:${i}`);
  const operations: Operation[] = [];
  let hung = false,
    unique = 0;
  const perClient = Math.ceil(OPERATIONS / clients.length);

  await Promise.all(
    clients.map(async (client, process) => {
      for (let sent = 0; sent < perClient && !hung; ) {
        const depth = Math.min(random.pick([1, 1, 2, 4]), perClient - sent);
        const pipeline: Operation[] = [];
        for (let i = 0; i < depth; i++) {
          const command = random.weighted(COMMANDS),
            key = random.pick(keys);
          // Unique values tell the checker which write a read saw; letters are appended, so that INCR sometimes fails.
          const argument = !TAKES_ARGUMENT.has(command)
            ? ""
            : command === "APPEND" && random.chance(0.3)
              ? "x"
              : String(++unique).padStart(argumentBytes, "0");
          pipeline.push({
            process,
            key,
            command,
            argument,
            called: 0,
            returned: Infinity,
            output: null,
            after: pipeline.findLast((earlier) => earlier.key === key) ?? null,
          });
        }
        operations.push(...pipeline);
        sent += depth;
        const bytes = Buffer.concat(
          pipeline.map(({ command, key, argument }) =>
            encodeCommand(argument === "" ? [command, key] : [command, key, argument]),
          ),
        );
        const called = performance.now();
        for (const operation of pipeline) operation.called = called;
        client.write(bytes);
        const replies = Promise.all(
          pipeline.map((operation) =>
            client.next().then((reply) => {
              operation.returned = performance.now();
              operation.output = show(reply);
            }),
          ),
        );
        let guard: ReturnType<typeof setTimeout> | undefined;
        const silence = new Promise<"hang">((done) => {
          guard = setTimeout(() => done("hang"), HANG_MS);
        });
        const ending = await Promise.race([replies, silence]).catch(() => "lost");
        clearTimeout(guard);
        if (ending === "hang" || ending === "lost") hung = true;
      }
    }),
  );
  return { operations, hung };
}

/** Moves all values to disk again and again. */
async function startDemoter(server: Server): Promise<{ stop(): Promise<void> }> {
  const client = await server.connect();
  let isOver = false;
  const done = (async () => {
    while (!isOver) await client.command("TIER", "MATCH", "*", "DEMOTE");
  })();
  return {
    async stop() {
      isOver = true;
      await done;
      client.close();
    },
  };
}

async function judge(
  server: Server,
  clients: readonly RespClient[],
  seed: number,
  name: string,
  argumentBytes = 1,
): Promise<Ending> {
  const { operations, hung } = await runHistory(clients, seed, name, argumentBytes);
  if (server.hasExited) return { kind: "exit", text: server.log().slice(-1500) };
  const verdict = checkHistory(operations);
  if (verdict.linearizable === false) return { kind: "violation", text: `key ${verdict.key}, ${verdict.explanation}` };
  if (hung)
    return {
      kind: "hang",
      text: `${operations.filter((operation) => operation.output === null).length} operations without a reply for ${HANG_MS} ms`,
    };
  return { kind: verdict.linearizable === null ? "undecided" : "passed" };
}

describe("linearizability", () => {
  // The last row is the control for the mutants below: the same server with its checks on and no fault must pass.
  test.each([
    [2, ""],
    [3, ""],
    [8, ""],
    [3, ", with checks on"],
    [3, ", with nearly every value on disk"],
  ] as const)(
    `${HISTORIES} histories on %d workers%s`,
    async (workers, kind) => {
      const seed = testSeed();
      const isCold = kind.includes("disk");
      const env: Record<string, string> = kind === "" ? {} : { FERRITE_CHECKS: "1" };
      const server = await startFerrite({ workers, env, settings: isCold ? ALL_COLD : {} });
      const demoter = isCold ? await startDemoter(server) : null;
      try {
        const clients = await openConnections(server, workers);
        let undecided = 0;
        for (let i = 0; i < HISTORIES; i++) {
          const ending = await judge(server, clients, seed + i, `h${i}`, isCold ? COLD_BYTES : 1);
          if (ending.kind === "undecided") undecided++;
          else if (ending.kind !== "passed")
            throw new Error(
              `${ending.kind} in history ${i}, ${workers} workers (FERRITE_SEED=${seed}): ${ending.text}`,
            );
        }
        await demoter?.stop();
        const info = show(await clients[0]!.command("INFO", "hybridlog"));
        if (isCold) expect(Number(/tier_disk_reads:(\d+)/.exec(info)?.[1])).toBeGreaterThan(HISTORIES);
        for (const client of clients) client.close();
        expect(undecided).toBeLessThanOrEqual(HISTORIES * 0.05);
      } finally {
        await server.stop();
      }
    },
    120_000 + HISTORIES * 2_000,
  );
});

// A redis-server that stands in for Ferrite has no built-in faults.
if (!standsInForFerrite()) {
  describe("the check catches faults that are built in on purpose", () => {
    test.each(LOCK_MUTANTS.map(({ name, fault }) => [name, fault] as const))(
      "%s: %s",
      async (name) => {
        const seed = testSeed();
        const server = await startFerrite({ workers: 3, env: { FERRITE_CHECKS: "1", FERRITE_MUTANT: name } });
        try {
          let clients = await openConnections(server, 3);
          const deadline = performance.now() + MUTANT_MS;
          let histories = 0,
            caught: Ending["kind"] | null = null;
          while (caught === null && performance.now() < deadline) {
            const ending = await judge(server, clients, seed + histories, `m${histories}`);
            histories++;
            if (ending.kind !== "passed" && ending.kind !== "undecided") caught = ending.kind;
            else if (histories % SPREAD_ANEW === 0) {
              // The kernel spreads connections randomly. With all of them on two workers no thread waits for another sleeper.
              for (const client of clients) client.close();
              clients = await openConnections(server, 3);
            }
          }
          console.log(`mutant ${name}: ${caught ?? "NOT CAUGHT"} after ${histories} histories`);
          expect(caught).not.toBeNull();
          for (const client of clients) client.close();
        } finally {
          await server.kill();
        }
      },
      MUTANT_MS + 60_000,
    );
  });
}
