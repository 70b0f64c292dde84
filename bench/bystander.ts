/** The open-loop generator (openloop.ts) as a process of its own. */
import { join } from "node:path";
import type { GeneratorPlan, GeneratorResult } from "./openloop.ts";

/**
 * The generator gets real-time priority if possible (as root), so that it wakes before server and load. It uses a few
 * percent of a core.
 */
const chrt = process.getuid?.() === 0 ? Bun.which("chrt") : null;
export const AHEAD_OF_OTHERS =
  chrt !== null && Bun.spawnSync([chrt, "--fifo", "1", "true"]).exitCode === 0 ? [chrt, "--fifo", "1"] : [];

export interface Bystander {
  readonly finished: Promise<GeneratorResult>;
  stop(): void;
}

/** Sends PING and GET of the first `keys` keys of loader.ts, `rate` a second, for at most `seconds`. */
export function startBystander(
  port: number,
  rate: number,
  seconds: number,
  connections: number,
  keys: number,
): Bystander {
  const plan: GeneratorPlan = { port, connections, rate, seconds, getShare: 0.5, keys, seed: 1 };
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
