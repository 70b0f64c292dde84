/**
 * Goal:   dist/ferrite is the product: it runs from any directory and takes nothing from the one it is started in.
 * Method: run it in a directory laid out as a trap, next to a control that shows that the trap would be noticed.
 */
import { beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { version } from "../package.json" with { type: "json" };

const ROOT = resolve(import.meta.dir, "..");
const FERRITE = join(ROOT, "dist", "ferrite");

beforeAll(() => {
  if (!existsSync(FERRITE)) Bun.spawnSync([process.execPath, "build.ts"], { cwd: ROOT, stderr: "inherit" });
});

function inFolder(fill: (folder: string) => void): {
  run: (command: string[], env?: Record<string, string>) => string;
} {
  const folder = mkdtempSync(join(tmpdir(), "ferrite-executable-"));
  fill(folder);
  return {
    run(command, env = {}) {
      try {
        const { PATH = "", HOME = "" } = process.env;
        const result = Bun.spawnSync(command, { cwd: folder, env: { PATH, HOME, ...env }, timeout: 10_000 });
        return result.stdout.toString() + result.stderr.toString();
      } finally {
        if (command[0] === FERRITE) rmSync(folder, { recursive: true, force: true });
      }
    },
  };
}

test("runs from another directory, and knows its version and commit", () => {
  const output = inFolder(() => {}).run([FERRITE, "--version"]);
  expect(output).toContain(`ferrite ${version} `);
  expect(output).toMatch(/commit ([0-9a-f]{7,}(-dirty)?|unknown)/);
});

test("runs through a symlink", () => {
  const link = "./ferrite-link";
  const output = inFolder((folder) => symlinkSync(FERRITE, join(folder, link))).run([link, "--version"]);
  expect(output).toContain(`ferrite ${version} `);
});

test("reads no .env and no bunfig.toml of the current directory", () => {
  const trap = (folder: string): void => {
    writeFileSync(join(folder, ".env"), "FERRITE_PORT=16999\n");
    writeFileSync(join(folder, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
    writeFileSync(join(folder, "preload.ts"), 'console.log("PRELOADED");\n');
    writeFileSync(join(folder, "script.ts"), "console.log(process.env.FERRITE_PORT);\n");
  };
  const control = inFolder(trap).run([process.execPath, "script.ts"]);
  expect(control).toContain("PRELOADED");
  expect(control).toContain("16999");
  expect(inFolder(() => {}).run([FERRITE, "--dump-config"], { FERRITE_PORT: "16999" })).toContain("16999");

  const output = inFolder(trap).run([FERRITE, "--dump-config"]);
  expect(output).toContain("port");
  expect(output).not.toContain("16999");
  expect(output).not.toContain("PRELOADED");
});
