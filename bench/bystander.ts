/** The open-loop generator (openloop.ts) as a process of its own. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Server } from "../test/support/servers.ts";
import type { GeneratorPlan, GeneratorResult } from "./openloop.ts";

/**
 * The generator gets real-time priority if possible (as root), so that it wakes before server and load. It uses a few
 * percent of a core.
 */
const chrt = process.getuid?.() === 0 ? Bun.which("chrt") : null;
export const AHEAD_OF_OTHERS =
  chrt !== null && Bun.spawnSync([chrt, "--fifo", "1", "true"]).exitCode === 0 ? [chrt, "--fifo", "1"] : [];

/** The servers' threads run before the machine's other processes where they may, or these would stop one that has a lock. */
export const BEFORE_OTHERS = AHEAD_OF_OTHERS.length > 0 ? [chrt!, "--rr", "1"] : [];

/** The kernel's account of the threads that serve clients, in the order of the workers; see openloop.ts. */
export function schedstatsOf(server: Server): string[] {
  const tasks = `/proc/${server.pid}/task`;
  if (server.kind === "redis") return [`${tasks}/${server.pid}/schedstat`];
  const found: [worker: number, path: string][] = [];
  for (const task of readdirSync(tasks)) {
    const worker = /^worker-(\d+)$/.exec(readFileSync(`${tasks}/${task}/comm`, "latin1").trim());
    if (worker !== null) found.push([Number(worker[1]), `${tasks}/${task}/schedstat`]);
  }
  return found.sort(([x], [y]) => x - y).map(([, path]) => path);
}

export interface Bystander {
  readonly finished: Promise<GeneratorResult>;
  stop(): void;
}

/** Sends PING and GET of the first `keys` keys of loader.ts, `rate` a second, for at most `seconds`; `more` changes the plan. */
export function startBystander(
  port: number,
  rate: number,
  seconds: number,
  connections: number,
  keys: number,
  more: Partial<GeneratorPlan> = {},
): Bystander {
  const plan: GeneratorPlan = { port, connections, rate, seconds, getShare: 0.5, keys, seed: 1, ...more };
  const child = Bun.spawn(
    [...AHEAD_OF_OTHERS, process.execPath, join(import.meta.dir, "openloop.ts"), JSON.stringify(plan)],
    { stdin: "pipe", stdout: "pipe", stderr: "pipe", timeout: (seconds + 60) * 1000 },
  );
  const finished = (async () => {
    const [text, errors] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (child.exitCode !== 0) throw new Error(`the generator failed: ${errors.slice(0, 1000)}`);
    return JSON.parse(text) as GeneratorResult;
  })();
  return {
    finished,
    stop() {
      child.stdin.write("stop");
      child.stdin.end();
    },
  };
}
