/**
 * Runs the Sentinel tests of the public Redis test suite (tests/sentinel) with Ferrite as the data nodes. Sentinels are stock.
 *
 *   bun scripts/redis-sentinel-suite.ts CHECKOUT [options] [unit ...]
 *
 *   CHECKOUT        a directory with a Redis source tree; its tests/ is copied to a temporary place. Needs tclsh.
 *   --workers N     workers of each Ferrite (default 2)
 *   --redis PATH    this redis-server as the data nodes instead: what fails there is the environment
 *   --output PATH   writes what the suite prints
 *
 * The suite starts src/redis-server with a redis.conf: a script that becomes Ferrite. src/redis-sentinel is the installed one.
 * Without units: all. A test that begins with "(" sets a unit up, and is counted apart.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { ferriteCommand, redisBinary } from "../test/support/servers.ts";

interface Unit {
  readonly name: string;
  ok: number;
  failed: number;
  setUp: number;
  readonly failures: string[];
}

const given: string[] = [];
const options = { workers: "2", redis: "", output: "" };
for (let i = 2; i < process.argv.length; i++) {
  const name = process.argv[i]!;
  if (/^--(workers|redis|output)$/.test(name)) options[name.slice(2) as keyof typeof options] = process.argv[++i] ?? "";
  else given.push(name);
}
const [source, ...units] = given;
if (source === undefined || !existsSync(join(source, "tests/sentinel/run.tcl"))) {
  console.error("usage: redis-sentinel-suite.ts CHECKOUT [options] [unit ...]   (see the head of the file)");
  process.exit(2);
}

const checkout = mkdtempSync(join(tmpdir(), "redis-sentinel-suite-"));
process.on("exit", () => rmSync(checkout, { recursive: true, force: true }));
cpSync(join(resolve(source), "tests"), join(checkout, "tests"), { recursive: true });
mkdirSync(join(checkout, "tests/sentinel/tmp"), { recursive: true });
placeExecutables();
const text = run();
if (options.output !== "") writeFileSync(options.output, text);
report(parse(text));
process.exit(0);

function placeExecutables(): void {
  const directory = join(checkout, "src");
  mkdirSync(directory, { recursive: true });
  const flags = options.redis === "" ? ` --workers ${options.workers}` : "";
  const command = (options.redis === "" ? ferriteCommand() : [options.redis]).join(" ");
  const script = join(directory, "redis-server");
  writeFileSync(script, `#!/bin/sh\nexec setpriv --pdeathsig KILL -- ${command} "$@"${flags}\n`);
  chmodSync(script, 0o755);
  // redis-server looks at the name that it is called by.
  symlinkSync(redisBinary() ?? "/usr/bin/redis-server", join(directory, "redis-sentinel"));
  symlinkSync(Bun.which("redis-cli") ?? "/usr/bin/redis-cli", join(directory, "redis-cli"));
}

function run(): string {
  const chosen = units.flatMap((unit) => ["--single", unit]);
  const child = Bun.spawnSync(["tclsh", "tests/sentinel/run.tcl", ...chosen], {
    cwd: checkout,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  return child.stdout.toString();
}

function parse(output: string): Unit[] {
  const found: Unit[] = [];
  // Without the escape sequences of its colours.
  for (const line of output.replace(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g"), "").split("\n")) {
    const named = /^Testing unit: (.*)\.tcl/.exec(line);
    if (named !== null) found.push({ name: named[1]!, ok: 0, failed: 0, setUp: 0, failures: [] });
    const unit = found.at(-1);
    const result = /^\d\d:\d\d:\d\d> (.*?): (?:.* )?(OK|FAILED:.*)$/.exec(line);
    if (unit === undefined || result === null) continue;
    if (result[2] !== "OK") {
      unit.failed++;
      unit.failures.push(`${result[1]}: ${result[2]}`);
    } else if (result[1]!.startsWith("(")) unit.setUp++;
    else unit.ok++;
  }
  return found;
}

function report(found: readonly Unit[]): void {
  console.log("| unit | ok | failed | set-up ok |\n| --- | --- | --- | --- |");
  for (const { name, ok, failed, setUp } of found) console.log(`| ${name} | ${ok} | ${failed} | ${setUp} |`);
  const sum = (value: (unit: Unit) => number): number => found.reduce((total, unit) => total + value(unit), 0);
  console.log(`| all | ${sum((u) => u.ok)} | ${sum((u) => u.failed)} | ${sum((u) => u.setUp)} |`);
  for (const { name, failures } of found) for (const failure of failures) console.log(`${name}: ${failure}`);
}
