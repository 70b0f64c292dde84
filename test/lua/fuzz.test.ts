/**
 * Goal:   random programs give the same output here and in lua5.1: values, control flow, closures, metatables, coroutines, and
 *         every error message with its position.
 * Method: test/support/lua-fuzz.ts writes programs that always end; lua5.1 runs them in batches. Half of them run with globals
 *         that are resolved when the program is compiled. FERRITE_LUA_PROGRAMS sets the number.
 */
import { afterEach, expect, test } from "bun:test";
import { spelling } from "../../src/lua/number.ts";
import { Killed, setRunHost, UNLIMITED } from "../../src/lua/limits.ts";
import { LuaProgram } from "../support/lua-fuzz.ts";
import { requireLua } from "../support/lua-oracle.ts";
import { frozenGlobals, openGlobals, ourAnswer, theirRuns } from "../support/lua-run.ts";
import type { LuaTable } from "../../src/lua/value.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";

const COUNT = countFrom("FERRITE_LUA_PROGRAMS", 1000);
const BATCH = 1000;

/** A program is ended after this many polls; lua5.1 ends it too, and neither answer counts. */
const POLLS_MAX = 100;

afterEach(() => {
  setRunHost(UNLIMITED);
});

/**
 * Known differences are taken out: the sign of NaN, which JavaScript hides; -0 and what is divided by it, because lua5.1
 * merges a constant -0 with 0; and names of what comes out of `and` and `or`, which lua5.1 guesses from the last instruction.
 */
function comparable(answer: string, withNames: boolean): string {
  const numbers = answer
    .replace(/-(nan|inf)/gi, "$1")
    .replace(/-0(?![.\de])/g, "0")
    .replace(/\b(table|function|thread): 0x[\da-f]+/g, "$1: 0x0");
  return withNames ? numbers : numbers.replace(/(?:local|upvalue|global|field) '[^']*' \((a [a-z]+ value)\)/g, "$1");
}

/**
 * True when the answers differ only in numbers that come of a 0 or an infinity with the other sign: lua5.1
 * merges a constant -0 with 0, and what is computed from it later may be another number.
 */
function differOnlyInLimits(ours: string, theirs: string): boolean {
  const ourWords = ours.split(/[\s|"]+/);
  const theirWords = theirs.split(/[\s|"]+/);
  return (
    ourWords.length === theirWords.length &&
    ourWords.every((word, at) => word === theirWords[at] || (LIMIT.test(word) && LIMIT.test(theirWords[at]!)))
  );
}
const LIMIT = /^-?(inf|nan|0)$/i;

interface Program {
  readonly seed: number;
  readonly text: string;
  readonly assignsGlobals: boolean;
}

function programs(random: SeededRandom, count: number): Program[] {
  return Array.from({ length: count }, () => {
    const seed = random.below(2 ** 31);
    const own = new SeededRandom(seed);
    const assignsGlobals = own.chance(0.5);
    return { seed, assignsGlobals, text: new LuaProgram(own, own.chance(0.3), assignsGlobals).text() };
  });
}

/** What we answer, or null for a program that takes too long. */
function limited(program: Program, frozen: LuaTable): string | null {
  let polls = 0;
  const poll = (): void => {
    if (++polls > POLLS_MAX) throw new Killed("too long");
  };
  setRunHost({ poll, charge: () => {} });
  try {
    return ourAnswer(program.text, program.assignsGlobals ? openGlobals() : frozen);
  } catch (error) {
    if (error instanceof Killed) return null;
    throw new Error(`program of seed ${program.seed}`, { cause: error });
  }
}

/** True when lua5.1 itself answers differently in another process: the program prints or compares what addresses are. */
async function looksAtAddresses(text: string, answer: string): Promise<boolean> {
  for (let n = 0; n < ADDRESS_RUNS; n++) if ((await theirRuns([text]))[0] !== answer) return true;
  return false;
}
const ADDRESS_RUNS = 5;

/** True when the answer depends on how a NaN is written: on its sign, which JavaScript hides. */
function looksAtNan(program: Program, frozen: LuaTable, answer: string): boolean {
  spelling.nan = "nan";
  try {
    return comparable(limited(program, frozen) ?? "", false) !== comparable(answer, false);
  } finally {
    spelling.nan = "-nan";
  }
}

const hasLua = requireLua();

test.if(hasLua)(
  "random programs",
  async () => {
    const random = new SeededRandom(testSeed());
    const frozen = frozenGlobals();
    let compared = 0;
    let nameless = 0;
    for (let done = 0; done < COUNT; done += BATCH) {
      const batch = programs(random, Math.min(BATCH, COUNT - done));
      const theirs = await theirRuns(batch.map((program) => program.text));
      expect(theirs.length).toBe(batch.length);
      for (const [at, program] of batch.entries()) {
        const ours = limited(program, frozen);
        const other = theirs[at]!;
        if (ours === null || other.includes("too long")) continue;
        compared++;
        if (comparable(ours, true) === comparable(other, true)) continue;
        nameless++;
        if (comparable(ours, false) === comparable(other, false)) continue;
        if (differOnlyInLimits(ours, other)) continue;
        if (await looksAtAddresses(program.text, other)) continue;
        if (looksAtNan(program, frozen, ours)) continue;
        // The runner prints only what lies around a difference.
        console.error(`FERRITE_SEED=${random.seed}, program of seed ${program.seed}\n${program.text}`);
        expect(ours).toBe(other);
      }
    }
    expect(compared).toBeGreaterThan(COUNT * 0.95);
    expect(nameless).toBeLessThan(10 + COUNT * 0.002);
  },
  900_000 + COUNT * 100,
);
