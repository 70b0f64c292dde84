/**
 * Runs all micro benches, each in a process of its own, so that code that one warms up or makes megamorphic does not affect
 * the next.
 * Run: bun bench/micro/run.ts
 */
import { cpus } from "node:os";

const BENCHES: readonly (readonly string[])[] = [
  ["clock.ts"],
  ["copy.ts"],
  ["parts.ts"],
  ["engine.ts"],
  ["engine.ts", "--no-huge-pages", "--pipeline", "16"],
  ["engine.ts", "--no-ahead", "--pipeline", "16"],
  ["lists.ts"],
  ["sets.ts"],
  ["sorted-sets.ts"],
  ["lua.ts"],
  ["lua-libs.ts"],
];

console.log(`Bun ${Bun.version}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`);
for (const [file, ...options] of BENCHES) {
  console.log(`\n── ${[file, ...options].join(" ")}`);
  const path = new URL(file!, import.meta.url).pathname;
  const child = Bun.spawnSync([process.execPath, path, ...options], { stdout: "inherit", stderr: "inherit" });
  if (child.exitCode !== 0) process.exit(child.exitCode);
}
