/** The stream family's part of the random stream. IDs are given explicitly, and times in replies are not compared. */
import type { Step } from "./generator.ts";
import type { SeededRandom } from "./random.ts";
import { StreamCommands } from "./streams.ts";

/** Keys that are mostly streams. */
export const STREAM_KEYS: readonly string[] = ["stream0", "stream1", "stream2"];

export class StreamSteps {
  private readonly commands: StreamCommands;
  private readonly random: SeededRandom;

  constructor(random: SeededRandom, others: readonly string[]) {
    this.random = random;
    this.commands = new StreamCommands(random, STREAM_KEYS, others);
  }

  /** Some steps that belong together. */
  next(): Step[] {
    const { random } = this;
    if (random.chance(0.06)) return [this.generic()];
    const args = this.commands.next();
    const steps = [...this.commands.consumersOf(args), args];
    return steps.map((one) => ({ args: one, compare: "timeless", asItIs: true }));
  }

  /** Commands on any key, on streams. */
  private generic(): Step {
    const { random } = this;
    const key = random.pick(STREAM_KEYS);
    const other = random.pick(STREAM_KEYS);
    return random.weighted<() => Step>([
      [6, () => ({ args: ["DUMP", key], compare: "dump" })],
      [2, () => ({ args: ["COPY", key, other, ...random.pick([[], ["REPLACE"]])], compare: "exact" })],
      [1, () => ({ args: ["RENAME", key, other], compare: "exact" })],
      [1, () => ({ args: ["OBJECT", "ENCODING", key], compare: "exact" })],
      [1, () => ({ args: ["SORT", key], compare: "exact" })],
    ])();
  }
}
