/**
 * Makes the files of a release in dist/release/.      bun scripts/packaging/release.ts [--output DIR] [--fast]
 *
 *   ferrite-VERSION-linux-ARCH       the executable
 *   ferrite_VERSION_ARCH.deb         the Debian package
 *   ferrite-VERSION.tgz              the npm package
 *   ferrite-VERSION.cdx.json         bill of materials: what is inside, CycloneDX, by `npm sbom`
 *   ferrite.1, ferrite.toml.5        manual pages
 *   SHA256SUMS                       of all these; `sha256sum --check SHA256SUMS`
 *
 * dist/ferrite must have been built. --fast does not compress the Debian package.
 */
import { chmodSync, copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { arch, platform } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { version } from "../../package.json" with { type: "json" };
import { buildDeb } from "./deb.ts";
import { manPages } from "./man-page.ts";

const ROOT = resolve(import.meta.dir, "../..");

/** Runs a program in the repository. Returns its output. */
function run(...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: ROOT });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}

/**
 * The packages that users get: those of package.json's dependencies, without what tests and builds need. Bun is among them,
 * since the executable contains it.
 */
function billOfMaterials(): string {
  const bill = run(
    "npm",
    "sbom",
    "--package-lock-only",
    "--omit=dev",
    "--sbom-format=cyclonedx",
    "--sbom-type=application",
  );
  // npm names the program by its folder.
  const { metadata } = JSON.parse(bill) as { metadata: { component: { name: string } } };
  return bill.replace(`"name": ${JSON.stringify(metadata.component.name)}`, '"name": "ferrite"');
}

/** A file in chunks, because the executable is large. */
async function sha256(path: string): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const part of Bun.file(path).stream()) hasher.update(part);
  return hasher.digest("hex");
}

/** Makes all files. Returns their names. */
export async function makeRelease(output: string, isCompressed: boolean): Promise<string[]> {
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  const executable = join(ROOT, "dist/ferrite");
  const copy = join(output, `ferrite-${version}-${platform()}-${arch()}`);
  copyFileSync(executable, copy);
  chmodSync(copy, 0o755);
  buildDeb({ executable, version, output, isCompressed });
  run("npm", "pack", "--pack-destination", output);
  writeFileSync(join(output, `ferrite-${version}.cdx.json`), billOfMaterials());
  for (const [name, page] of Object.entries(manPages(version))) writeFileSync(join(output, name), page);
  const names = readdirSync(output).sort();
  const sums = await Promise.all(names.map(async (name) => `${await sha256(join(output, name))}  ${name}\n`));
  writeFileSync(join(output, "SHA256SUMS"), sums.join(""));
  return [...names, "SHA256SUMS"];
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      output: { type: "string", default: join(ROOT, "dist/release") },
      fast: { type: "boolean", default: false },
    },
  });
  for (const name of await makeRelease(values.output, !values.fast)) console.log(join(values.output, name));
}
