/**
 * `ferrite doctor`: checks the configuration and the machine as a start would, and reports problems: what each means, and what
 * mends it. It only creates and removes a probe file in each directory that must be writable. Where there is a disk tier, or with
 * --disk, it measures the disk for a second. With --fix it also mends what is
 * safe to mend: directories that are missing, and files that others may read or change. Exit code 1 when there is an error.
 */
import type { Config } from "../base/config/config.ts";
import { StartupError } from "../base/errors.ts";
import { FileFailure } from "../base/files.ts";
import { parseDoctorArguments, type ServerArguments } from "./arguments.ts";
import { load, sourceText } from "./configuration.ts";
import { checkAof } from "./doctor-aof.ts";
import { checkDiskSpeed } from "./doctor-disk.ts";
import { checkDirectories, checkStrayFiles } from "./doctor-files.ts";
import { checkMachine } from "./doctor-machine.ts";
import { checkAccess, checkPorts } from "./doctor-ports.ts";
import { checkTls } from "./doctor-tls.ts";
import { type Finding, failure, fine, note, warning } from "./finding.ts";
import { realSurroundings, type Surroundings } from "./surroundings.ts";
import { versionLine } from "./version.ts";

export async function runDoctor(argv: readonly string[]): Promise<number> {
  const { server, json, fix, disk } = parseDoctorArguments(argv);
  const mended: string[] = [];
  let findings = await examineAll(server, disk);
  if (fix) {
    mended.push(...repair(findings));
    if (mended.length > 0) findings = await examineAll(server, disk);
  }
  const errors = findings.filter((finding) => finding.level === "error").length;
  const warnings = findings.filter((finding) => finding.level === "warning").length;
  if (json) {
    console.log(JSON.stringify({ ok: errors === 0, errors, warnings, findings, ...(fix ? { mended } : {}) }));
  } else {
    for (const finding of findings) console.log(textOf(finding));
    for (const text of mended) console.log(`[fix    ] ${text}`);
    console.log(`${errors} errors, ${warnings} warnings`);
  }
  return errors === 0 ? 0 : 1;
}

const INDENT = " ".repeat(10);

function textOf({ check, level, text, meaning, mend }: Finding): string {
  const lines = [`[${level.padEnd(7)}] ${check}: ${text}`];
  if (meaning !== undefined) lines.push(`${INDENT}means: ${meaning}`);
  if (mend !== undefined) lines.push(`${INDENT}mend:  ${mend}`);
  return lines.join("\n");
}

/** Loads the configuration and runs all checks. */
async function examineAll(server: ServerArguments, measuresDisk: boolean): Promise<Finding[]> {
  const findings: Finding[] = [note("version", versionLine())];
  try {
    const loaded = load(server);
    findings.push(fine("config", `configuration source: ${sourceText(loaded)}`));
    for (const text of loaded.warnings)
      findings.push(
        warning("config", {
          text,
          meaning: "The server starts, but not with what the line seems to say.",
          mend: "ferrite --dump-config shows what is in force; docs/CONFIGURATION.md has all keys",
        }),
      );
    findings.push(...(await examine(loaded.config, realSurroundings(), measuresDisk)));
  } catch (thrown) {
    if (!(thrown instanceof StartupError)) throw thrown;
    findings.push(
      failure("config", {
        text: thrown.printed.replace(/^Error: /, ""),
        meaning: "The server does not start with this configuration.",
        mend: "change the line that is named, then: ferrite --test-config",
      }),
    );
  }
  return findings;
}

/** Runs all checks that need a loaded configuration. */
export async function examine(config: Config, around: Surroundings, measuresDisk = false): Promise<Finding[]> {
  return [
    ...(await checkPorts(config, around)),
    ...checkTls(config, around.files, around.wallMs),
    ...checkDirectories(config, around),
    ...(await checkDiskSpeed(config, around, measuresDisk)),
    ...checkAof(config, around),
    ...checkMachine(config, around),
    ...checkAccess(config),
    ...checkStrayFiles(around),
  ];
}

/** Mends what can be mended. Returns what was done, or why it could not be. */
export function repair(findings: readonly Finding[]): string[] {
  return findings.flatMap(({ check, text, repair: mend }) => {
    if (mend === undefined) return [];
    try {
      mend();
      return [`${check}: mended (${text})`];
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      return [`${check}: could not be mended: ${thrown.message}`];
    }
  });
}
