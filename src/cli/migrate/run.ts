/** What the steps of a migration share: the two servers, waiting, progress, Ctrl-C, and what undoes a step. */
import type { Clock } from "../../base/clock.ts";
import { errorMessage } from "../../base/errors.ts";
import type { MigrateOptions } from "./options.ts";
import { type Info, MigrationFailed, type Server } from "./server.ts";

export interface Run {
  readonly options: MigrateOptions;
  readonly source: Server;
  readonly target: Server;
  readonly clock: Clock;
  readonly interruption: Interruption;
  readonly progress: Progress;
}

/** INFO of both servers, whole. */
export interface Facts {
  readonly source: Info;
  readonly target: Info;
}

/** Ctrl-C, SIGTERM, and the end of the terminal. A step notices it at its next wait, and undoes what it did. */
export class Interruption {
  private isAsked = false;
  private wake: () => void = () => {};

  /** Returns what removes the handlers. `say` is told what happens. */
  listen(say: (text: string) => void): () => void {
    const handler = (): void => {
      say(this.isAsked ? "still undoing; a moment" : "interrupted: undoing what this step did");
      this.isAsked = true;
      this.wake();
    };
    for (const signal of SIGNALS) process.on(signal, handler);
    return () => {
      for (const signal of SIGNALS) process.removeListener(signal, handler);
    };
  }

  /** Throws MigrationFailed once the user has interrupted. */
  check(): void {
    if (this.isAsked)
      throw new MigrationFailed(
        "interrupted",
        "interrupted",
        "The step was not finished.",
        "run the same command again",
      );
  }

  /** Waits. Throws MigrationFailed once the user has interrupted. */
  async wait(ms: number): Promise<void> {
    this.check();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.check();
  }
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Lines about a long step on standard error: one that changes on a terminal, else one every few seconds. */
export class Progress {
  private shownAtMs: number;
  private shown = "";

  constructor(
    private readonly clock: Clock,
    private readonly isTerminal: boolean,
    private readonly write: (text: string) => void,
  ) {
    this.shownAtMs = clock.monotonicMs();
  }

  /** A state that may be replaced by the next. */
  show(line: string): void {
    const nowMs = this.clock.monotonicMs();
    if (line === this.shown || nowMs - this.shownAtMs < (this.isTerminal ? 100 : PLAIN_MS)) return;
    this.shownAtMs = nowMs;
    this.shown = line;
    this.write(this.isTerminal ? `\r\x1b[K${line}` : `${line}\n`);
  }

  /** A line that stays. */
  say(line: string): void {
    this.clear();
    this.write(`${line}\n`);
  }

  /** Removes the state from a terminal. */
  clear(): void {
    if (this.isTerminal && this.shown !== "") this.write("\r\x1b[K");
    this.shown = "";
    this.shownAtMs = this.clock.monotonicMs();
  }
}

/** Time between two lines where the output is no terminal. */
const PLAIN_MS = 5000;

/** What undoes a step, the last action first. */
export class Undo {
  private readonly actions: { readonly what: string; readonly run: () => Promise<unknown> }[] = [];
  /** Why nothing may be undone any more; "" = it may. */
  private obstacle: () => Promise<string> = async () => "";

  /** `what`: "the pause of the source is lifted". */
  add(what: string, run: () => Promise<unknown>): void {
    this.actions.push({ what, run });
  }

  /** From now on `obstacle` is asked before anything is undone. */
  unless(obstacle: () => Promise<string>): void {
    this.obstacle = obstacle;
  }

  /** The step is finished: there is nothing to undo. */
  forget(): void {
    this.actions.length = 0;
  }

  /** Runs all actions, also after one has failed. Says what was done, and what could not be. */
  async run(say: (text: string) => void): Promise<void> {
    if (this.actions.length === 0) return;
    const obstacle = await this.obstacle().catch(errorMessage);
    if (obstacle !== "") return say(`NOT undone: ${obstacle}`);
    for (const { what, run } of this.actions.splice(0).reverse())
      try {
        await run();
        say(`undone: ${what}`);
      } catch (thrown) {
        say(`NOT undone: ${what}: ${errorMessage(thrown)}`);
      }
  }
}

/** Runs a step, and undoes it when it fails. */
export async function undoable<T>(run: Run, step: (undo: Undo) => Promise<T>): Promise<T> {
  const undo = new Undo();
  try {
    return await step(undo);
  } catch (thrown) {
    run.progress.clear();
    await undo.run((text) => run.progress.say(text));
    throw thrown;
  }
}

/** "1.5 MiB" */
export function bytesText(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** "1 key", "20 keys" */
export function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}
