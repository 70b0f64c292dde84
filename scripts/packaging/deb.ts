/**
 * Builds the Debian package of dist/ferrite.      bun scripts/packaging/deb.ts [--output DIR] [--version V] [--fast]
 *
 *   /usr/bin/ferrite                 and links: ferrite-check-aof, ferrite-check-rdb
 *   /usr/bin/ferrite-diagnostics.sh  what a report needs, also where the server does not start
 *   /usr/lib/ferrite/redis/          links under Redis's names, in nobody's PATH
 *   /etc/ferrite/ferrite.toml        a conffile: dpkg keeps what the administrator changes
 *   /usr/lib/systemd/system/         ferrite.service, ferrite@.service
 *   manual pages, completions of bash, zsh and fish, the licence
 *
 * The user and its directories are made by debian/postinst, and removed by a purge (debian/postrm). Needs dpkg-deb. --fast
 * does not compress.
 */
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { arch, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "bun";
import { version as ownVersion } from "../../package.json" with { type: "json" };
import { initialConfig } from "../../src/base/config/dump.ts";
import { completionScript } from "../../src/cli/completion.ts";
import { manPages } from "./man-page.ts";

const HERE = import.meta.dir;
const ROOT = resolve(HERE, "../..");
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

export interface DebOptions {
  readonly executable: string;
  readonly version: string;
  /** The folder that the package is written to. */
  readonly output: string;
  readonly isCompressed: boolean;
}

/** Builds the package. Returns its path. */
export function buildDeb({ executable, version, output, isCompressed }: DebOptions): string {
  const architecture = ARCHITECTURES[arch()];
  if (architecture === undefined) throw new Error(`no Debian architecture for ${arch()}`);
  const tree = mkdtempSync(join(tmpdir(), "ferrite-deb-"));
  try {
    fill(tree, executable, version);
    writeControl(tree, version, architecture);
    mkdirSync(output, { recursive: true });
    const path = join(output, `ferrite_${version}_${architecture}.deb`);
    run(["dpkg-deb", "--root-owner-group", isCompressed ? "-Zxz" : "-Znone", "--build", tree, path]);
    return path;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/** The files of the package. */
function fill(tree: string, executable: string, version: string): void {
  const put = (path: string, content: string | Uint8Array, mode = 0o644): void => {
    const target = join(tree, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, content);
    chmodSync(target, mode);
  };
  const link = (path: string, target: string): void => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    symlinkSync(target, join(tree, path));
  };
  mkdirSync(join(tree, "usr/bin"), { recursive: true });
  copyFileSync(executable, join(tree, "usr/bin/ferrite"));
  chmodSync(join(tree, "usr/bin/ferrite"), 0o755);
  for (const name of ["ferrite-check-aof", "ferrite-check-rdb"]) link(`usr/bin/${name}`, "ferrite");
  put("usr/bin/ferrite-diagnostics.sh", text(join(ROOT, "scripts/ferrite-diagnostics.sh")), 0o755);
  for (const name of ["redis-server", "redis-check-aof", "redis-check-rdb"])
    link(`usr/lib/ferrite/redis/${name}`, "../../../bin/ferrite");
  put(
    "etc/ferrite/ferrite.toml",
    initialConfig({ values: { "storage.data_dir": "/var/lib/ferrite" }, minimal: false }),
    0o640,
  );
  for (const name of ["ferrite.service", "ferrite@.service"])
    put(`usr/lib/systemd/system/${name}`, text(join(HERE, "systemd", name)));
  put("usr/share/bash-completion/completions/ferrite", `${completionScript("bash")}\n`);
  put("usr/share/zsh/vendor-completions/_ferrite", `${completionScript("zsh")}\n`);
  put("usr/share/fish/vendor_completions.d/ferrite.fish", `${completionScript("fish")}\n`);
  for (const [name, page] of Object.entries(manPages(version)))
    put(`usr/share/man/man${name.at(-1)}/${name}.gz`, gzipSync(page, { level: 9 }));
  put("usr/share/doc/ferrite/copyright", COPYRIGHT);
  put("usr/share/doc/ferrite/README.md", text(join(ROOT, "README.md")));
}

const COPYRIGHT = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: ferrite

Files: *
Copyright: the authors of Ferrite
License: Apache-2.0
 On Debian systems, the full text of the Apache License, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
`;

function writeControl(tree: string, version: string, architecture: string): void {
  const control = join(tree, "DEBIAN");
  mkdirSync(control);
  for (const name of ["postinst", "prerm", "postrm"]) {
    copyFileSync(join(HERE, "debian", name), join(control, name));
    chmodSync(join(control, name), 0o755);
  }
  writeFileSync(join(control, "conffiles"), "/etc/ferrite/ferrite.toml\n");
  writeFileSync(
    join(control, "control"),
    `Package: ferrite
Version: ${version}
Architecture: ${architecture}
Maintainer: Ferrite <ferrite@localhost>
Section: database
Priority: optional
Depends: adduser, libc6 (>= 2.17)
Suggests: redis-tools
Installed-Size: ${Math.ceil(bytesIn(tree) / 1024)}
Description: server that speaks the Redis protocol
 Ferrite keeps strings, lists, hashes, sets, sorted sets and streams in memory
 and serves them to the clients of Redis, on all cores of the machine. Every
 change goes to an append-only file.
`,
  );
}

function bytesIn(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  return bytes;
}

function text(path: string): string {
  return readFileSync(path, "utf8");
}

function run(command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      output: { type: "string", default: join(ROOT, "dist") },
      version: { type: "string", default: ownVersion },
      fast: { type: "boolean", default: false },
    },
  });
  const executable = join(ROOT, "dist/ferrite");
  const { output, version, fast } = values;
  console.log(buildDeb({ executable, version, output, isCompressed: !fast }));
}
