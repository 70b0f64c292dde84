/**
 * The npm scripts, one per name. Each first installs what it needs.      node scripts/task.mjs NAME [arguments]
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { serve } from "./ferrite.mjs";
import { BUN, ROOT, run, setup, setupSystem } from "./setup.mjs";

const bun = (...args) => run(BUN, args);
const biome = (...args) => run(process.execPath, [join(ROOT, "node_modules/@biomejs/biome/bin/biome"), ...args]);
const tsc = (...args) => run(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), ...args]);

/** Runs all steps, even after a failure, so that one run shows every failure. Returns the number of failed steps. */
function all(steps) {
  let failed = 0;
  for (const [name, step] of steps) {
    const code = step();
    console.error(`ferrite: ${name}: ${code === 0 ? "ok" : `FAILED (exit code ${code})`}`);
    if (code !== 0) failed++;
  }
  return failed;
}

const TASKS = {
  /** Runs the server from source. */
  start: (args) => serve(BUN, args),

  build: (args) => bun("build.ts", ...args),

  /** All tests, or those whose path contains an argument. The black-box tests use dist/ferrite, so it is built first. */
  test(args) {
    setupSystem();
    const built = bun("build.ts");
    // The limit is for a test that hangs; a busy machine may take long.
    return built === 0 ? bun("test", "--parallel=2", "--timeout", "60000", ...args) : built;
  },

  /** Types, lint and format, and the order of the layers. */
  check: () =>
    all([
      ["types (tsc)", () => tsc("-p", ".")],
      ["lint and format (biome)", () => biome("ci", "--error-on-warnings", "--max-diagnostics=20")],
      ["layers", () => bun("test", "test/layers.test.ts")],
    ]),

  /** Applies the formatter and the lint's safe corrections. */
  format: () => biome("check", "--write"),

  /** `npm run bench -- NAME` runs bench/NAME.ts or bench/micro/NAME.ts, `npm run bench -- OPTIONS` runs bench/run.ts. */
  bench(args) {
    setupSystem();
    const built = bun("build.ts");
    if (built !== 0) return built;
    const named = args[0] === undefined ? [] : [`bench/${args[0]}.ts`, `bench/micro/${args[0]}.ts`];
    const file = /^[a-z]/.test(args[0] ?? "") ? named.find((path) => existsSync(join(ROOT, path))) : undefined;
    return file === undefined ? bun("bench/run.ts", ...args) : bun(file, ...args.slice(1));
  },
};

const [name, ...args] = process.argv.slice(2);
if (!Object.hasOwn(TASKS, name ?? "")) {
  console.error(`usage: node scripts/task.mjs ${Object.keys(TASKS).join("|")} [arguments]`);
  process.exit(2);
}
setup();
process.exitCode = await TASKS[name](args);
