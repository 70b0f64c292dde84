/**
 * `ferrite migrate FROM`: moves the data of a running server to another one in four steps, each of which can be run alone:
 *
 *   check      reads, and names what prevents the migration
 *   replicate  makes the target a replica, and waits until the lag is small
 *   compare    reads keys on both sides while clients write
 *   switch     pauses writes, waits for equal offsets, and changes the roles
 *
 * A step undoes what it did when it fails or is interrupted, and finds out by itself what an earlier run has done already.
 * Findings go to standard output, progress to standard error. Exit code 0: all steps done; 1: not; 2: a wrong command line.
 */
import { isatty } from "node:tty";
import { systemClock } from "../../base/clock.ts";
import { type Finding, failure, type FindingLevel, note, warning } from "../finding.ts";
import { MIGRATION_STEPS, type MigrationStep } from "../options.ts";
import { addressText } from "./address.ts";
import { abort } from "./abort.ts";
import { check } from "./check.ts";
import { compare, type KeyName } from "./compare.ts";
import { type MigrateOptions, parseMigrateArguments } from "./options.ts";
import { replicate } from "./replicate.ts";
import { relationOf } from "./roles.ts";
import { bytesText, Interruption, Progress, type Run } from "./run.ts";
import { MigrationFailed, Server } from "./server.ts";
import { commandLine, isSwitching, switchOver } from "./switch.ts";

const STANDARD_ERROR = 2;
/** Longest time for an answer. Everything that is asked is answered at once by a healthy server. */
const ANSWER_MS = 10_000;

export async function runMigrate(argv: readonly string[]): Promise<number> {
  const options = parseMigrateArguments(argv, process.env);
  const progress = new Progress(systemClock, isatty(STANDARD_ERROR), (text) => process.stderr.write(text));
  for (const text of options.warnings) progress.say(`Warning: ${text}`);
  const answerMs = Math.min(ANSWER_MS, options.timeoutMs);
  const run: Run = {
    options,
    source: new Server("source", options.source, options.tls, answerMs),
    target: new Server("target", options.target, options.tls, answerMs),
    clock: systemClock,
    interruption: new Interruption(),
    progress,
  };
  const report = new Report(options);
  const stopListening = run.interruption.listen((text) => progress.say(text));
  try {
    await runSteps(run, report);
  } finally {
    stopListening();
    run.source.close();
    run.target.close();
  }
  report.end();
  return report.isGood ? 0 : 1;
}

/** Runs the steps up to the first that fails. */
async function runSteps(run: Run, report: Report): Promise<void> {
  try {
    await run.source.open();
    await run.target.open();
    if (run.options.isAbort) {
      report.step = "abort";
      return report.add(await abort(run));
    }
    const onlySwitch = run.options.steps.has("switch") && (await isSwitching(run));
    for (const step of MIGRATION_STEPS) {
      if (!run.options.steps.has(step) || (onlySwitch && step !== "switch")) continue;
      run.interruption.check();
      await runStep(step, run, report);
      run.progress.clear();
      if (!report.isGood) return;
    }
    if (run.options.steps.has("replicate") && !run.options.steps.has("switch")) report.add([await readiness(run)]);
  } catch (thrown) {
    run.progress.clear();
    if (!(thrown instanceof MigrationFailed)) throw thrown;
    report.add([failure(thrown.check, { text: thrown.message, meaning: thrown.meaning, mend: thrown.mend })]);
  }
}

async function runStep(step: MigrationStep, run: Run, report: Report): Promise<void> {
  report.step = step;
  switch (step) {
    case "check":
      return report.add(accepted(await check(run), run.options));
    case "replicate": {
      const { findings, lagBytes } = await replicate(run);
      report.figures[step] = { lagBytes };
      return report.add(findings);
    }
    case "compare": {
      const { findings, changing, compared, different } = await compare(run);
      report.figures[step] = { compared, different, changing: changing.length };
      report.changing = changing;
      return report.add(findings);
    }
    case "switch": {
      const { findings, pausedMs } = await switchOver(run, report.changing);
      report.figures[step] = { pausedMs };
      return report.add(findings);
    }
  }
}

/** When and how to switch. */
async function readiness(run: Run): Promise<Finding> {
  const { lagBytes } = await relationOf(run.source, run.target, run.options.sourceSeen);
  const { isBack } = run.options;
  const command = commandLine(run.options, isBack, "--switch --keep-source-as-replica");
  return note("next", `ready to switch, ${bytesText(lagBytes)} behind. At a quiet time: ${command}`);
}

/** Errors of checks that the operator has accepted become warnings. */
function accepted(findings: readonly Finding[], options: MigrateOptions): Finding[] {
  return findings.map((finding) => {
    const { check: name, level, text, meaning = "", mend = "" } = finding;
    if (level !== "error" || !options.accepted.has(name)) return finding;
    return warning(name, { text: `${text} (accepted)`, meaning, mend });
  });
}

/** What the steps have found: lines as they come, or one JSON object at the end. */
class Report {
  step: MigrationStep | "connect" | "abort" = "connect";
  /** Numbers of the steps, for --json. */
  readonly figures: Partial<Record<MigrationStep, Readonly<Record<string, unknown>>>> = {};
  /** Keys that `switch` compares again. */
  changing: readonly KeyName[] = [];
  private readonly findings: (Finding & { readonly step: string })[] = [];

  constructor(private readonly options: MigrateOptions) {}

  get isGood(): boolean {
    return this.count("error") === 0;
  }

  add(findings: readonly Finding[]): void {
    for (const finding of findings) {
      this.findings.push({ step: this.step, ...finding });
      if (!this.options.isJson) console.log(textOf(this.step, finding));
    }
  }

  end(): void {
    const { source, target, isJson } = this.options;
    const [errors, warnings] = [this.count("error"), this.count("warning")];
    if (!isJson) {
      console.log(`${errors} errors, ${warnings} warnings`);
      return;
    }
    const [from, to] = [addressText(source), addressText(target)];
    console.log(
      JSON.stringify({ ok: this.isGood, from, to, errors, warnings, ...this.figures, findings: this.findings }),
    );
  }

  private count(level: FindingLevel): number {
    return this.findings.filter((finding) => finding.level === level).length;
  }
}

const INDENT = " ".repeat(10);

function textOf(step: string, { check: name, level, text, meaning, mend }: Finding): string {
  const lines = [`[${level.padEnd(7)}] ${step === name ? step : `${step}: ${name}`}: ${text}`];
  if (meaning !== undefined && meaning !== "") lines.push(`${INDENT}means: ${meaning}`);
  if (mend !== undefined && mend !== "") lines.push(`${INDENT}mend:  ${mend}`);
  return lines.join("\n");
}
