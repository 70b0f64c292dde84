/**
 * Goal:   a running BullMQ application is migrated from redis-server to Ferrite and back: no job is lost, and none runs again beyond
 *         what BullMQ promises.
 * Method: the queue under load of bullmq.mjs, whose connections go through a relay. `ferrite migrate --on-switch` moves the relay
 *         while writes are paused. The program itself counts the runs of each job. FERRITE_BULLMQ_JOBS sets how many jobs there are.
 */
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { at, migrate } from "../support/migration.ts";
import { runProgram } from "../support/programs.ts";
import { countFrom } from "../support/random.ts";
import { Relay } from "../support/relay.ts";
import { startPrimaryRedis } from "../support/replicas.ts";
import { info } from "../support/replication.ts";
import { requireRedis, type Server, startFerrite } from "../support/servers.ts";

const JOBS = countFrom("FERRITE_BULLMQ_JOBS", 600);
/** Windows of the rate limit, 400 ms each: jobs are under way at each move. */
const WINDOWS = 10;
const GUARD_MS = 60_000 + 20 * JOBS;

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** A command of --on-switch that asks this process to move the relay, and waits until it has. */
function mover(folder: string, relay: Relay, target: Server): string {
  const asked = join(folder, `to-${target.port}`);
  const timer = setInterval(() => {
    if (!existsSync(asked) || existsSync(`${asked}.done`)) return;
    relay.moveTo(target.port);
    writeFileSync(`${asked}.done`, "");
  }, 2);
  stops.push(() => clearInterval(timer));
  return `touch ${asked}; until [ -e ${asked}.done ]; do sleep 0.01; done`;
}

test.if(requireRedis())(
  "BullMQ works while its server is migrated from redis-server to Ferrite and back",
  async () => {
    const redis = await startPrimaryRedis();
    const ferrite = await startFerrite({ settings: { "replication.repl_diskless_sync_delay": "0" } });
    const relay = await Relay.start(redis.port);
    const folder = mkdtempSync(join(tmpdir(), "ferrite-bullmq-"));
    stops.push(
      () => relay.stop(),
      () => redis.kill(),
      () => ferrite.kill(),
      () => rmSync(folder, { recursive: true }),
    );
    const command = [at(redis), "--to", at(ferrite), "--switch", "--keep-source-as-replica", "--on-switch"];
    const [there, back] = [join(folder, "there"), join(folder, "back")];
    // Some jobs are added only after a move, however slow the machine is.
    const gates = `${JOBS / 2}=${there},${JOBS - 100}=${back}`;
    const moves = [
      { after: 0.25 * JOBS, done: there, args: [...command, mover(folder, relay, ferrite)] },
      { after: 0.6 * JOBS, done: back, args: [...command, mover(folder, relay, redis), "--back"] },
    ];
    let moved: Promise<unknown> = Promise.resolve();
    const out = await runProgram(relay, "bullmq.mjs", {
      args: [String(JOBS), "restarts", String(WINDOWS), gates],
      guardMs: GUARD_MS,
      onProgress(ended) {
        if (Number(ended) < (moves[0]?.after ?? Number.POSITIVE_INFINITY)) return;
        const { args, done } = moves.shift()!;
        moved = migrate(args).then((outcome) => {
          // Opened in any case, or the program would wait for ever.
          writeFileSync(done, "");
          expect(outcome).toMatchObject({ code: 0 });
        });
        moved.catch(() => {});
      },
    });
    await moved;
    const failed = Math.ceil((JOBS - 7) / 50);
    const counts = { active: 0, completed: JOBS - failed, delayed: 0, failed, prioritized: 0, waiting: 0 };
    expect(out).toBe(`counts: ${JSON.stringify({ ...counts, "waiting-children": 0 })}\nfaults: []\nkeys left: []\n`);
    expect(moves).toEqual([]);
    const [client, between] = [await redis.connect(), await ferrite.connect()];
    expect(await info(between, "cmdstat_evalsha", "commandstats")).toMatch(/^calls=[1-9]/);
    between.close();
    expect(await info(client, "role")).toBe("master");
    client.close();
  },
  2 * GUARD_MS,
);
