#!/usr/bin/env node
/**
 * The program behind `npx ferrite` and `bunx ferrite`: finds Bun and runs the server with it, under the name ferrite.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ENTRY = join(dirname(dirname(fileURLToPath(import.meta.url))), "src", "cli", "entry.ts");

/** Signals that this process forwards. SIGINT of a terminal reaches the server anyway, because it goes to the whole group. */
const FORWARDED = ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"];

/** Bun uses its pool to load the sources, so storage.tier_io_threads would come too late. */
const POOL = { UV_THREADPOOL_SIZE: "32" };

/** Runs the server with this Bun until it ends. Resolves with its exit code. */
export function serve(bun, args) {
  return new Promise((done) => {
    const server = spawn(bun, [ENTRY, ...args], {
      stdio: "inherit",
      argv0: "ferrite",
      env: { ...POOL, ...process.env },
    });
    for (const signal of FORWARDED) process.on(signal, () => server.kill(signal));
    process.on("SIGINT", () => {
      if (!process.stdin.isTTY) server.kill("SIGINT");
    });
    server.on("error", (error) => {
      console.error(`ferrite: ${bun}: ${error.message}`);
      done(1);
    });
    server.on("exit", (code, signal) => done(code ?? (signal === null ? 1 : 128)));
  });
}

function works(binary) {
  return spawnSync(binary, ["--version"], { stdio: ["ignore", "pipe", "ignore"] }).status === 0;
}

/** The Bun that runs us, the one installed beside us (its install script may not have run), or the one on PATH. */
function findBun() {
  if (process.versions.bun) return process.execPath;
  const candidates = [];
  try {
    const bunFolder = dirname(createRequire(import.meta.url).resolve("bun/package.json"));
    candidates.push(join(bunFolder, "bin", "bun.exe"));
    const platforms = join(dirname(bunFolder), "@oven");
    for (const name of existsSync(platforms) ? readdirSync(platforms) : []) {
      candidates.push(join(platforms, name, "bin", "bun"), join(platforms, name, "bin", "bun.exe"));
    }
  } catch {
    // not installed beside us
  }
  return [...candidates.filter((path) => existsSync(path)), "bun"].find(works);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const bun = findBun();
  if (bun === undefined) {
    console.error("ferrite: needs Bun 1.4 or later, and found none: npm install bun");
    process.exitCode = 1;
  } else {
    process.exitCode = await serve(bun, process.argv.slice(2));
  }
}
