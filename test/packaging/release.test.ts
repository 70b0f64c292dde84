/**
 * Goal:   a release is complete, its sums are right, and its bill of materials names what users get and nothing else.
 * Method: make one, let sha256sum check it, and compare the bill with package.json.
 */
import { afterAll, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { arch, platform, tmpdir } from "node:os";
import { join } from "node:path";
import { dependencies, devDependencies, version } from "../../package.json" with { type: "json" };
import { makeRelease } from "../../scripts/packaging/release.ts";

const TIMEOUT_MS = 300_000;
const folder = mkdtempSync(join(tmpdir(), "ferrite-release-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test(
  "a release",
  async () => {
    const names = await makeRelease(folder, false);
    expect(names).toEqual([
      `ferrite-${version}-${platform()}-${arch()}`,
      `ferrite-${version}.cdx.json`,
      `ferrite-${version}.tgz`,
      "ferrite.1",
      "ferrite.toml.5",
      expect.stringMatching(new RegExp(`^ferrite_${version}_\\w+\\.deb$`)),
      "SHA256SUMS",
    ]);
    const check = (): number =>
      Bun.spawnSync(["sha256sum", "--check", "--quiet", "SHA256SUMS"], { cwd: folder }).exitCode;
    expect(check()).toBe(0);
    appendFileSync(join(folder, "ferrite.1"), "x");
    expect(check()).toBe(1);

    const bill = JSON.parse(readFileSync(join(folder, `ferrite-${version}.cdx.json`), "utf8"));
    expect([bill.bomFormat, bill.metadata.component.name, bill.metadata.component.type]).toEqual([
      "CycloneDX",
      "ferrite",
      "application",
    ]);
    const inside = bill.components.map((each: { name: string; version: string }) => `${each.name}@${each.version}`);
    for (const [name, exact] of Object.entries(dependencies)) expect(inside).toContain(`${name}@${exact}`);
    for (const [name, exact] of Object.entries(devDependencies)) expect(inside).not.toContain(`${name}@${exact}`);
  },
  TIMEOUT_MS,
);
