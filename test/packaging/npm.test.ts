/**
 * Goal:   the npm package works for a user who has only Node.js: `npm install ferrite`, `npx ferrite`.
 * Method: pack it, install the packed file in an empty folder with nothing but node and npm in PATH, and run it from there.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../package.json" with { type: "json" };
import { ask, RespClient } from "../support/resp.ts";
import { freePort, ROOT } from "../support/servers.ts";

const TIMEOUT_MS = 300_000;
const root = mkdtempSync(join(tmpdir(), "ferrite-npm-"));
const app = join(root, "app");
const programs = join(root, "bin");
/** A test that is killed leaves no server behind. */
const setpriv = Bun.which("setpriv");
const DIES_WITH_US = setpriv === null ? [] : [setpriv, "--pdeathsig", "TERM", "--"];
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The environment of a user without Bun. npm's cache is that of the machine, so that nothing is fetched twice. */
const environment = {
  PATH: programs,
  HOME: root,
  npm_config_cache: Bun.spawnSync(["npm", "config", "get", "cache"]).stdout.toString().trim(),
  npm_config_registry: Bun.spawnSync(["npm", "config", "get", "registry"]).stdout.toString().trim(),
  npm_config_update_notifier: "false",
};

function run(...command: string[]): { code: number; out: string; err: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: app, env: environment, timeout: TIMEOUT_MS });
  return { code: exitCode, out: stdout.toString(), err: stderr.toString() };
}

beforeAll(() => {
  mkdirSync(app);
  mkdirSync(programs);
  for (const name of ["node", "npm", "npx", "sh"]) symlinkSync(realpathSync(Bun.which(name)!), join(programs, name));
  const pack = ["npm", "pack", "--pack-destination", root, "--json"];
  const { exitCode, stdout, stderr } = Bun.spawnSync(pack, { cwd: ROOT });
  if (exitCode !== 0) throw new Error(stderr.toString());
  // npm 11 answers an array, newer ones an object by name.
  const packed = JSON.parse(stdout.toString()) as Record<string, { filename: string }>;
  const { filename } = Object.values(packed)[0]!;
  const install = run("npm", "install", "--prefer-offline", "--no-audit", "--no-fund", join(root, filename));
  if (install.code !== 0) throw new Error(`${install.out}${install.err}`);
}, TIMEOUT_MS);

test("npx runs it, without Bun in PATH", () => {
  expect(readdirSync(programs)).not.toContain("bun");
  const { code, out } = run("npx", "--no-install", "ferrite", "--version");
  expect(code).toBe(0);
  expect(out).toStartWith(`ferrite ${version} (commit dev, bun `);
});

test("the package has the program and its documents, and no tests", () => {
  const files = readdirSync(join(app, "node_modules/ferrite"));
  expect(files.sort()).toEqual(["LICENSE", "README.md", "package.json", "scripts", "src"]);
});

test(
  "a server starts, serves, keeps its data, and ends with the signal that its parent gets",
  async () => {
    const port = await freePort();
    const options = ["--port", String(port), "--set", "metrics.enabled=false", "--workers", "2"];
    for (const expected of ["null$", "value"]) {
      const server = Bun.spawn([...DIES_WITH_US, join(app, "node_modules/.bin/ferrite"), ...options], {
        cwd: app,
        env: environment,
        stdout: "ignore",
        stderr: "inherit",
        timeout: TIMEOUT_MS,
      });
      let client: RespClient | null = null;
      while (client === null && server.exitCode === null) {
        client = await RespClient.connect({ port }).catch(() => null);
        if (client === null) await Bun.sleep(20);
      }
      let found = "";
      do found = await ask(client!, "GET", "key");
      while (found.startsWith("-LOADING"));
      expect(found).toContain(expected);
      expect(await ask(client!, "SET", "key", "value")).toBe("+OK");
      client!.close();
      server.kill("SIGTERM");
      expect(await server.exited).toBe(0);
    }
  },
  TIMEOUT_MS,
);
