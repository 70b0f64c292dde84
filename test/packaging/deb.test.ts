/**
 * Goal:   the Debian package lives as an administrator expects: data and changed configuration survive an upgrade and a
 *         removal, a purge leaves nothing; and the systemd units are sound.
 * Method: install, start, upgrade, remove, install again and purge two versions with dpkg in a chroot (deb-life.sh), whose root
 *         is this machine's, copy on write. systemd-analyze reads the units.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildDeb } from "../../scripts/packaging/deb.ts";
import { manPages } from "../../scripts/packaging/man-page.ts";
import { KEYS } from "../../src/base/config/schema.ts";
import { SERVER_OPTIONS, SUBCOMMANDS } from "../../src/cli/options.ts";
import { inChroot, requireChroot } from "../support/chroot.ts";
import { freePort, ROOT } from "../support/servers.ts";

const TIMEOUT_MS = 300_000;
const folder = mkdtempSync(join(tmpdir(), "ferrite-packages-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const canRun = requireChroot();
beforeAll(() => {
  if (!canRun) return;
  const executable = join(ROOT, "dist/ferrite");
  for (const [version, name] of [
    ["0.1.0", "old"],
    ["0.2.0", "new"],
  ] as const)
    buildDeb({ executable, version, output: join(folder, name), isCompressed: false });
}, TIMEOUT_MS);

test.if(canRun)(
  "install, start, upgrade with data, remove, install again, purge",
  async () => {
    const port = await freePort();
    const { code, lines, text } = await inChroot(join(import.meta.dir, "deb-life.sh"), folder, [String(port)]);
    if (code !== 0) throw new Error(text);
    expect(lines).toEqual([
      "installed: 0.1.0 install ok installed, ferrite, Redis server",
      "owners: ferrite:ferrite 750 /var/lib/ferrite ferrite:ferrite 750 /var/log/ferrite ferrite:ferrite 2750 /etc/ferrite ferrite:ferrite 640 /etc/ferrite/ferrite.toml",
      "runs: ferrite, OK, OK, OK",
      "upgraded while it runs: 0.2.0, value",
      "restarted: value, maxclients 77, configuration 1",
      "diagnostics: wrote /tmp/report.tar.gz, 1",
      "removed: no program, data is there, ferrite.toml",
      "installed again: value, maxclients 77",
      "purged: 0 left, user gone, unknown to dpkg",
    ]);
  },
  TIMEOUT_MS,
);

describe.if(canRun)("systemd units", () => {
  const units = join(folder, "units");
  const read = (name: string): string => readFileSync(join(ROOT, "scripts/packaging/systemd", name), "utf8");
  const valuesOf = (unit: string, key: string): string[] =>
    [...unit.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map((match) => match[1]!);

  test("systemd finds nothing wrong with them, and little that is exposed", () => {
    mkdirSync(units);
    for (const name of ["ferrite.service", "ferrite@.service"])
      writeFileSync(join(units, name), read(name).replaceAll("/usr/bin/ferrite", "/usr/bin/true"));
    for (const name of ["ferrite.service", "ferrite@one.service"]) {
      const path = join(units, name);
      if (name.includes("one")) writeFileSync(path, readFileSync(join(units, "ferrite@.service")));
      const { exitCode, stderr } = Bun.spawnSync(["systemd-analyze", "verify", "--man=no", path]);
      expect([exitCode, stderr.toString()]).toEqual([0, ""]);
      // 10 is a service without any protection; redis-server's of Debian has 1.2.
      const security = ["systemd-analyze", "security", "--offline=yes", "--threshold=15", path];
      expect(Bun.spawnSync(security).exitCode).toBe(0);
    }
  });

  test("they start what the package installs, and tell the server's protocol", () => {
    for (const name of ["ferrite.service", "ferrite@.service"]) {
      const unit = read(name);
      expect(valuesOf(unit, "Type")).toEqual(["notify"]);
      expect(valuesOf(unit, "LimitNOFILE")).toEqual(["65536"]);
      // A drop-in sets the limit, which depends on max_memory.
      expect(valuesOf(unit, "MemoryAccounting")).toEqual(["yes"]);
      expect(valuesOf(unit, "MemoryMax")).toEqual(["infinity"]);
      expect(Number(valuesOf(unit, "TimeoutStopSec")[0])).toBeGreaterThanOrEqual(300);
      // The server calls a worker stuck after 20 seconds; the watchdog must be longer than that and a period of feeding.
      expect(Number(valuesOf(unit, "WatchdogSec")[0])).toBeGreaterThan(40);
      expect(valuesOf(unit, "ExecStart")[0]).toStartWith("/usr/bin/ferrite --config /etc/ferrite/");
      // JavaScript is compiled as it runs.
      expect(valuesOf(unit, "MemoryDenyWriteExecute")).toEqual([]);
    }
  });
});

describe("manual pages", () => {
  const pages = manPages("1.2.3");

  test("they name every option, command and key", () => {
    const plain = (name: string): string => pages[name]!.replaceAll("\\-", "-");
    for (const { name } of SERVER_OPTIONS) expect(plain("ferrite.1")).toContain(`--${name}`);
    for (const name of SUBCOMMANDS) expect(plain("ferrite.1")).toContain(`.SS ferrite ${name}`);
    for (const spec of KEYS) expect(plain("ferrite.toml.5")).toContain(`.B ${spec.key}\n`);
  });

  test.if(canRun)("groff has nothing to warn of", () => {
    for (const [name, page] of Object.entries(pages)) {
      const options = { stdin: Buffer.from(page), env: { ...process.env, LC_ALL: "C.UTF-8" } };
      const { exitCode, stderr, stdout } = Bun.spawnSync(["groff", "-man", "-Tutf8", "-Kutf8", "-ww"], options);
      expect([name, exitCode, stderr.toString()]).toEqual([name, 0, ""]);
      expect(stdout.length).toBeGreaterThan(2000);
    }
  });
});
