/**
 * Builds dist/ferrite: one executable with Bun, the server and its workers inside.       npm run build
 *
 * Worker URLs (tried out on Bun 1.4.5, started from another directory)
 *   Every file that runs as a worker is an entry point of its own below. Compiled, all code of one entry point sees
 *   import.meta.url = file:///$bunfs/root/ferrite, whatever folder it came from. With `naming: [name].[ext]` the other
 *   entry points lie flat beside it: src/server/worker.ts becomes file:///$bunfs/root/worker.js, and Bun finds it under
 *   the name worker.ts as well. Hence this one form works both from source and compiled,
 *
 *       new Worker(new URL("./worker.ts", import.meta.url))
 *
 *   provided that it stands in a file of the SAME FOLDER as the worker, and that no two entry points have the same file
 *   name. Forms that fail: "./worker.ts" as a plain string (compiled only); "../server/worker.ts" (source only); any
 *   form with a folder once compiled; without `naming`, "./server/worker.ts" (compiled only).
 *
 * What the executable does not read: .env and bunfig.toml of the current directory (both off below; by default Bun loads
 * them, and a bunfig preload runs code). It does obey BUN_OPTIONS and BUN_BE_BUN of the environment: the service unit
 * must not pass them on.
 *
 * Names: the process shows as `ferrite` in ps -o comm, pidof and pgrep -x, its threads as worker-0, aof, snapshot, log. Called through a
 * symlink, process.argv0 holds the link's name; process.argv[0] is always "bun".
 *
 * Identifiers stay whole: profiles and stack traces (mapped to the sources, the map is inside) name the functions.
 * Bytecode is on: first PONG after 57 ms instead of 101, --dump-config in 16 ms instead of 30 (medians, bench/startup.ts),
 * for 3 MB more. It changes nothing once the server is warm.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { version } from "./package.json" with { type: "json" };
import { realFiles } from "./src/base/files.ts";
import { layoutOf } from "./src/base/layout.ts";

const ROOT = import.meta.dir;
const OUTFILE = join(ROOT, "dist", "ferrite");

/** The command line, and every file that is started as a worker. */
const ENTRY_POINTS = [
  "src/cli/entry.ts",
  "src/server/worker.ts",
  "src/server/aof-thread.ts",
  "src/server/snapshot-thread.ts",
  "src/server/log-thread.ts",
];

function git(...args: string[]): string {
  const result = Bun.spawnSync(["git", ...args], { cwd: ROOT, stderr: "ignore" });
  return result.success ? result.stdout.toString().trim() : "";
}

/** Where there is no git, as in the build of an image, the variable FERRITE_COMMIT says which commit it is. */
function commit(): string {
  const told = process.env["FERRITE_COMMIT"] ?? "";
  if (told !== "") return told;
  if (!Bun.which("git")) return "unknown";
  const hash = git("rev-parse", "--short=12", "HEAD");
  if (hash === "") return "unknown";
  return git("status", "--porcelain", "--untracked-files=no") === "" ? hash : `${hash}-dirty`;
}

const started = performance.now();
const result = await Bun.build({
  entrypoints: ENTRY_POINTS.map((path) => join(ROOT, path)),
  naming: { entry: "[name].[ext]" },
  minify: { whitespace: true, syntax: true, identifiers: false },
  sourcemap: "linked",
  bytecode: true,
  format: "esm", // what bytecode needs for the await of the entry point
  define: {
    FERRITE_COMMIT: JSON.stringify(commit()),
    FERRITE_VERSION: JSON.stringify(version),
    FERRITE_LAYOUT: JSON.stringify(layoutOf(realFiles, join(ROOT, "src"))),
  },
  compile: { outfile: OUTFILE, autoloadDotenv: false, autoloadBunfig: false },
}).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
if (!result.success) {
  for (const message of result.logs) console.error(message);
  process.exit(1);
}
// the maps also lie inside the executable, which is all that anyone needs
for (const output of result.outputs) if (output.path.endsWith(".map")) rmSync(output.path, { force: true });
console.log(
  `dist/ferrite: ${(Bun.file(OUTFILE).size / 1e6).toFixed(0)} MB, ${Math.round(performance.now() - started)} ms`,
);
