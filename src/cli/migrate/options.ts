/** The command line of `ferrite migrate`, and where its passwords come from. */
import { existsSync } from "node:fs";
import { FileFailure, readText, realFiles } from "../../base/files.ts";
import { type Given, parse, UsageError, within } from "../arguments.ts";
import { ACCEPTED_CHECKS, commandSpec, MIGRATION_STEPS, type MigrationStep } from "../options.ts";
import { type Address, addressText, parseAddress } from "./address.ts";

export interface TlsFiles {
  /** In PEM form; "" = none. */
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
  readonly isInsecure: boolean;
}

export interface MigrateOptions {
  readonly source: Address;
  readonly target: Address;
  /** Both as the other server reaches them; their users and passwords are those above. */
  readonly sourceSeen: Address;
  readonly targetSeen: Address;
  readonly tls: TlsFiles;
  readonly steps: ReadonlySet<MigrationStep>;
  /** The two addresses have changed their places. */
  readonly isBack: boolean;
  readonly isAbort: boolean;
  readonly keepsSource: boolean;
  /** A command of the shell; "" = none. */
  readonly onSwitch: string;
  readonly replaces: boolean;
  /** Names of checks whose errors do not stop the migration. */
  readonly accepted: ReadonlySet<string>;
  /** Number of keys to compare; Infinity = all. */
  readonly keys: number;
  /** First and last hash slot of the keys that are compared; null = all. */
  readonly slots: readonly [number, number] | null;
  readonly differencesMax: number;
  readonly ttlToleranceMs: number;
  readonly lagBytesMax: number;
  readonly timeoutMs: number;
  readonly pauseMs: number;
  readonly isJson: boolean;
  /** Things to say before the first step. */
  readonly warnings: readonly string[];
}

const DEFAULT_TARGET = "127.0.0.1:6379";
const KEYS_DEFAULT = 10_000;
const SLOT_LAST = 16_383;
const DAY_SECONDS = 86_400;

/** Parses the arguments of `migrate`. Throws UsageError. */
export function parseMigrateArguments(argv: readonly string[], environment: NodeJS.ProcessEnv): MigrateOptions {
  const given = parse(argv, commandSpec("migrate").options, true);
  if (given.operands.length !== 1) throw new UsageError("migrate takes one address: FROM");
  refuseFile(given.operands[0]!);
  if (given.has("cert") !== given.has("key")) throw new UsageError("--cert and --key need each other");
  const warnings: string[] = [];
  const ends = [
    end(given, "from", given.operands[0]!, environment, warnings),
    end(given, "to", given.text("to", DEFAULT_TARGET), environment, warnings),
  ] as const;
  if (addressText(ends[0].own) === addressText(ends[1].own))
    throw new UsageError(`FROM and --to are the same server: ${addressText(ends[0].own)}`);
  const [source, target] = given.has("back") ? [ends[1], ends[0]] : ends;
  const seconds = (name: string, otherwise: number): number =>
    (within(given, name, 0.1, DAY_SECONDS, false) ?? otherwise) * 1000;
  return {
    source: source.own,
    target: target.own,
    sourceSeen: source.seen,
    targetSeen: target.seen,
    tls: tlsFiles(given),
    steps: stepsOf(given),
    isBack: given.has("back"),
    isAbort: given.has("abort"),
    keepsSource: given.has("keep-source-as-replica"),
    onSwitch: given.text("on-switch"),
    replaces: given.has("replace"),
    accepted: acceptedOf(given),
    keys: keysOf(given),
    slots: slotsOf(given),
    differencesMax: within(given, "differences", 1, 1_000_000, true) ?? 20,
    ttlToleranceMs: (within(given, "ttl-tolerance", 0, DAY_SECONDS, false) ?? 2) * 1000,
    lagBytesMax: within(given, "max-lag", 0, Number.MAX_SAFE_INTEGER, true) ?? 65_536,
    timeoutMs: seconds("timeout", 60),
    pauseMs: seconds("pause", 10),
    isJson: given.has("json"),
    warnings,
  };
}

/** A path is a likely mistake, because Ferrite loads Redis's files. */
function refuseFile(from: string): void {
  if (from.includes("://") || !(from.includes("/") || existsSync(from))) return;
  throw new UsageError(
    `migrate moves from a running server, and ${from} is a path: put dump.rdb or appendonlydir into the data directory, and start Ferrite`,
  );
}

function end(
  given: Given,
  name: "from" | "to",
  text: string,
  environment: NodeJS.ProcessEnv,
  warnings: string[],
): { readonly own: Address; readonly seen: Address } {
  const parsed = parseAddress(text, name === "from" ? "FROM" : "--to");
  const variable = `MIGRATE_${name.toUpperCase()}_PASSWORD`;
  const path = given.text(`${name}-password-file`);
  if (parsed.password !== "")
    warnings.push(
      `the password in ${name === "from" ? "FROM" : "--to"} is visible in the list of processes: give it by ${variable} or --${name}-password-file`,
    );
  // redis-cli's own variable, for the server that the operator has.
  const otherwise = name === "from" ? (environment["REDISCLI_AUTH"] ?? "") : "";
  const password = path === "" ? (environment[variable] ?? (parsed.password || otherwise)) : secretOf(path);
  const own = { ...parsed, password };
  const seenText = given.text(`${name}-address`);
  if (seenText === "") return { own, seen: own };
  const { host, port } = parseAddress(seenText, `--${name}-address`);
  return { own, seen: { ...own, host, port } };
}

/** The first line of a file. */
function secretOf(path: string): string {
  return contentOf(path).split(/\r?\n/)[0]!;
}

function contentOf(path: string): string {
  if (path === "") return "";
  try {
    return readText(realFiles, path);
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    throw new UsageError(thrown.message);
  }
}

function tlsFiles(given: Given): TlsFiles {
  return {
    authority: contentOf(given.text("cacert")),
    certificate: contentOf(given.text("cert")),
    key: contentOf(given.text("key")),
    isInsecure: given.has("insecure"),
  };
}

function stepsOf(given: Given): Set<MigrationStep> {
  const steps = new Set<MigrationStep>();
  for (const word of given.list("only")) {
    const step = MIGRATION_STEPS.find((name) => name === word);
    if (step === undefined) throw new UsageError(`--only ${word}: expected one of ${MIGRATION_STEPS.join(", ")}`);
    steps.add(step);
  }
  if (steps.size === 0) for (const step of ["check", "replicate", "compare"] as const) steps.add(step);
  if (given.has("switch")) steps.add("switch");
  if (!steps.has("switch") && (given.has("keep-source-as-replica") || given.has("on-switch")))
    throw new UsageError("--keep-source-as-replica and --on-switch need --switch");
  if (given.has("abort") && (given.has("only") || given.has("switch")))
    throw new UsageError("--abort is a step of its own: without --only and --switch");
  return steps;
}

function acceptedOf(given: Given): Set<string> {
  const names = given.list("accept");
  const unknown = names.find((name) => !(ACCEPTED_CHECKS as readonly string[]).includes(name));
  if (unknown !== undefined) throw new UsageError(`--accept ${unknown}: expected one of ${ACCEPTED_CHECKS.join(", ")}`);
  return new Set(names);
}

function keysOf(given: Given): number {
  if (given.text("keys") === "all") return Number.POSITIVE_INFINITY;
  return within(given, "keys", 1, Number.MAX_SAFE_INTEGER, true) ?? KEYS_DEFAULT;
}

function slotsOf(given: Given): [number, number] | null {
  if (!given.has("slots")) return null;
  const text = given.text("slots");
  const match = /^(\d{1,5})-(\d{1,5})$/.exec(text);
  const [first, last] = [Number(match?.[1]), Number(match?.[2])];
  if (!(first <= last && last <= SLOT_LAST))
    throw new UsageError(`--slots ${text}: expected FIRST-LAST between 0 and ${SLOT_LAST}`);
  return [first, last];
}
