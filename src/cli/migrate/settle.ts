/**
 * Decides whether a reading differs for good, while clients write:
 *
 *   1  read the source      2  wait until the target has everything up to now      3  read the target
 *   4  read the source again
 *
 * The target equals one of the two readings of the source: the same. The source did not change between 1 and 4, and the target
 * is another: different. The source changed: nobody knows, and it is tried again.
 */
import { relationOf } from "./roles.ts";
import type { Run } from "./run.ts";
import { MigrationFailed, numberOf, type Server } from "./server.ts";
import type { Reading } from "./values.ts";

export type Verdict = "same" | "different" | "changing";

/** A reading of one key, with what may be compared apart from the text: a deadline has a tolerance. */
export interface Question {
  readonly reading: Reading;
  /** Compares two views; equality when left out. */
  readonly agrees?: (a: string, b: string) => boolean;
}

/** A value that goes away and comes back could look different once. */
const TIMES_DIFFERENT = 2;
const ROUNDS_MAX = 10;
const PAUSE_MS = 20;

/** The verdicts about questions, in their order. Both servers have the database of the keys selected. */
export async function settle(
  run: Run,
  source: Server,
  target: Server,
  questions: readonly Question[],
): Promise<Verdict[]> {
  const verdicts = questions.map((): Verdict => "changing");
  const different = questions.map(() => 0);
  let open = questions.map((_, at) => at);
  for (let round = 0; round < ROUNDS_MAX && open.length > 0; round++) {
    if (round > 0) await run.interruption.wait(PAUSE_MS);
    const asked = open.map((at) => questions[at]!);
    const before = await viewsOf(source, asked);
    await targetHasAll(run);
    const there = await viewsOf(target, asked);
    const after = await viewsOf(source, asked);
    for (const [place, at] of open.entries()) {
      const { agrees = same } = questions[at]!;
      const view = there[place]!;
      if (agrees(before[place]!, view) || agrees(after[place]!, view)) verdicts[at] = "same";
      else if (agrees(before[place]!, after[place]!) && ++different[at]! >= TIMES_DIFFERENT) verdicts[at] = "different";
    }
    open = open.filter((at) => verdicts[at] === "changing");
  }
  return verdicts;
}

function same(a: string, b: string): boolean {
  return a === b;
}

/** The views of readings on one server, in their order. */
export async function viewsOf(server: Server, questions: readonly Question[]): Promise<string[]> {
  const replies = await server.batch(questions.flatMap(({ reading }) => reading.commands));
  let at = 0;
  return questions.map(({ reading: { commands, view } }) => {
    const own = replies.slice(at, at + commands.length);
    at += commands.length;
    return view(own);
  });
}

/** Waits until the target has everything that the source has written until now. Throws MigrationFailed. */
async function targetHasAll(run: Run): Promise<void> {
  const { options, source, target, clock, interruption } = run;
  const first = await relationOf(source, target, options.sourceSeen);
  // Two servers that do not replicate are compared as they are.
  if (!first.isFollowing || first.lagBytes === 0) return;
  const goal = numberOf(first.source, "master_repl_offset");
  const untilMs = clock.monotonicMs() + options.timeoutMs;
  while (numberOf(await target.info("replication"), "slave_repl_offset") < goal) {
    if (clock.monotonicMs() > untilMs)
      throw new MigrationFailed(
        "lag",
        `${target.title} did not reach the source's offset ${goal} within ${options.timeoutMs / 1000} s`,
        "What differs may only be late.",
        "look at master_link_status of INFO replication on the target, and run the command again",
      );
    await interruption.wait(1);
  }
}
