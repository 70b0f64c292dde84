/**
 * Prepares a new clone: installs the packages of package-lock.json and makes sure that Bun runs. Needs only Node.js and npm.
 * Takes a millisecond when everything is in place.      node scripts/setup.mjs [--system]
 *
 * --system also installs the Debian packages that the tests use (as root, by apt-get).
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const MODULES = join(ROOT, "node_modules");

/** A file with the hash of the lock file from which node_modules was made. */
const STAMP = join(MODULES, ".ferrite-setup");

/** The executable behind node_modules/.bin/bun, on every system. */
export const BUN = join(MODULES, "bun", "bin", "bun.exe");

function say(text) {
  console.error(`ferrite: ${text}`);
}

/** Runs a command with our own input and output; its exit code. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { stdio: "inherit", cwd: ROOT, ...options });
  if (result.error) say(`${command}: ${result.error.message}`);
  return result.status ?? (result.signal ? 128 : 1);
}

function works(binary) {
  if (!existsSync(binary)) return false;
  const result = spawnSync(binary, ["--version"], { encoding: "utf8" });
  return result.status === 0 && /^\d+\.\d+/.test(result.stdout);
}

/** npm itself: the one that runs us, else the one on PATH. */
function npm(args) {
  const cli = process.env.npm_execpath;
  if (cli && /npm-cli\.c?js$/.test(cli)) return run(process.execPath, [cli, ...args]);
  return run(process.platform === "win32" ? "npm.cmd" : "npm", args, { shell: process.platform === "win32" });
}

/**
 * Puts Bun's executable in its place. npm may skip install scripts (npm 11 with its defaults, --ignore-scripts, company
 * policy); then node_modules/bun/bin/bun.exe is a placeholder, but the platform's package has the real one.
 */
function placeBun() {
  if (works(BUN)) return true;
  const platforms = join(MODULES, "@oven");
  for (const name of existsSync(platforms) ? readdirSync(platforms) : []) {
    for (const file of ["bun", "bun.exe"]) {
      const binary = join(platforms, name, "bin", file);
      if (!existsSync(binary)) continue;
      chmodSync(binary, 0o755);
      if (!works(binary)) continue; // another C library's or another processor's
      for (const target of [BUN, join(dirname(BUN), "bunx.exe")]) {
        rmSync(target, { force: true });
        try {
          linkSync(binary, target);
        } catch {
          copyFileSync(binary, target);
        }
      }
      return works(BUN);
    }
  }
  run(process.execPath, ["install.js"], { cwd: join(MODULES, "bun") }); // Bun's own way, as a last resort
  return works(BUN);
}

/** Installs the packages unless node_modules was made from this very lock file. Exits the process when it cannot. */
export function setup() {
  const lock = createHash("sha256")
    .update(readFileSync(join(ROOT, "package-lock.json")))
    .digest("hex");
  const wanted = `${lock} ${process.platform}-${process.arch}\n`;
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === wanted && existsSync(BUN)) return;
  say("installing packages (npm ci)");
  if (npm(["ci", "--include=dev", "--include=optional", "--no-audit", "--no-fund"]) !== 0) {
    say("npm ci failed: see above. Is the network there?");
    process.exit(1);
  }
  if (!placeBun()) {
    say(`Bun does not run on this machine (${process.platform} ${process.arch}).`);
    process.exit(1);
  }
  writeFileSync(STAMP, wanted);
}

const SYSTEM_PACKAGES = {
  "redis-server": "redis-server",
  "redis-cli": "redis-tools",
  "redis-benchmark": "redis-tools",
  "lua5.1": "lua5.1",
  adduser: "adduser",
  groff: "groff-base",
  "systemd-analyze": "systemd",
  jq: "jq",
};

/** Modules of Python that tests use, and their packages. */
const PYTHON_PACKAGES = { redis: "python3-redis" };

/** The folders of PATH that have `program`. */
function placesOf(program) {
  return (process.env.PATH ?? "").split(":").filter((folder) => folder !== "" && existsSync(join(folder, program)));
}

function onPath(program) {
  return placesOf(program).length > 0;
}

/** Whether any Python of PATH has the module: a package of the system is for the system's Python, not for the first. */
function hasPythonModule(name) {
  return placesOf("python3").some(
    (folder) => spawnSync(join(folder, "python3"), ["-c", `import ${name}`], { stdio: "ignore" }).status === 0,
  );
}

/** The programs that tests compare Ferrite with, or that the guide uses. Installs them where it may; otherwise says so, loudly. */
export function setupSystem() {
  const programs = Object.keys(SYSTEM_PACKAGES).filter((program) => !onPath(program));
  const modules = Object.keys(PYTHON_PACKAGES).filter((name) => !hasPythonModule(name));
  const missing = [...programs, ...modules.map((name) => PYTHON_PACKAGES[name])];
  if (missing.length === 0) return;
  const packages = [
    ...new Set([
      ...programs.map((program) => SYSTEM_PACKAGES[program]),
      ...modules.map((name) => PYTHON_PACKAGES[name]),
    ]),
  ];
  if (process.platform === "linux" && process.getuid?.() === 0 && onPath("apt-get")) {
    say(`installing ${packages.join(" ")} (apt-get)`);
    // RUNLEVEL=1 keeps the package from starting a redis-server of its own on port 6379
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
    const options = { env, stdio: ["ignore", "ignore", "inherit"] };
    run("apt-get", ["-qq", "update"], options);
    if (run("apt-get", ["-qq", "-y", "--no-install-recommends", "install", ...packages], options) === 0) return;
  }
  const line = "!".repeat(78);
  say(`\n${line}\n  MISSING: ${missing.join(", ")}. The tests that need them WILL FAIL.`);
  say(`Install them, for instance: sudo apt-get install ${packages.join(" ")}\n${line}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setup();
  if (process.argv.includes("--system")) setupSystem();
}
