/**
 * `ferrite diagnostics`: one archive with everything needed to find out why a server misbehaves: version,
 * configuration, log, figures of the running server, facts of the system. It needs no root, changes nothing, and leaves out
 * passwords, keys and values (redaction.ts). What cannot be had is named in README.txt.
 */
import { resolve } from "node:path";
import { systemClock } from "../base/clock.ts";
import { dumpConfig } from "../base/config/dump.ts";
import type { LoadedConfig } from "../base/config/load.ts";
import { errorMessage, StartupError } from "../base/errors.ts";
import { AT_CURSOR, FileFailure, realFiles, writeFully } from "../base/files.ts";
import { LOCK_FILE } from "../memory/native.ts";
import { type DiagnosticsArguments, parseDiagnosticsArguments } from "./arguments.ts";
import { load, sourceText } from "./configuration.ts";
import { askServer } from "./diagnostics-server.ts";
import { addProcess, addSystem, toolText } from "./diagnostics-system.ts";
import { examine } from "./doctor.ts";
import { redactedLogLine, Redaction, withoutErrorWords } from "./redaction.ts";
import { read, realSurroundings } from "./surroundings.ts";
import { versionLine } from "./version.ts";

/** The end of a log file that is read. */
const LOG_BYTES_MAX = 16 << 20;
const HTTP_MS = 5000;

const ABOUT = `Diagnostics of a Ferrite server.

It has no passwords, keys or values: arguments in the slow log, names of clients, and what log lines
quote are left out. Addresses, paths, names of users and figures are in it. Have a look before you
give it away.
`;

/** Exit code 0, also when parts are missing; 1 when the archive cannot be written. */
export async function runDiagnostics(argv: readonly string[]): Promise<number> {
  const options = parseDiagnosticsArguments(argv, process.env["REDISCLI_AUTH"] ?? "");
  const stamp = new Date(systemClock.wallMs()).toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-");
  const name = `ferrite-diagnostics-${stamp}`;
  const output = options.output === "" ? `${name}.tar.gz` : options.output;
  const archive = new Archive(name);
  await gather(options, archive);
  try {
    const file = realFiles.open(output, "wx", 0o600);
    try {
      writeFully(realFiles, file, await archive.bytes());
    } finally {
      realFiles.close(file);
    }
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    throw new StartupError(
      `the archive could not be written: ${thrown.message}`,
      ["Name another one with --output."],
      1,
    );
  }
  for (const text of archive.missing) console.log(`missing: ${text}`);
  console.log(`wrote ${output}`);
  return 0;
}

class Archive {
  readonly redaction = new Redaction();
  readonly missing: string[] = [];
  private readonly texts = new Map<string, string>();

  constructor(private readonly name: string) {}

  readonly add = (name: string, text: string): void => {
    this.texts.set(name, text);
  };

  /** The archive, with the last net over every text: by now all secrets are known. */
  bytes(): Promise<Uint8Array> {
    const lines = this.missing.map((text) => `missing: ${text}\n`);
    this.add("README.txt", `${ABOUT}\n${lines.join("")}`);
    const entries: Record<string, string> = {};
    for (const [path, text] of this.texts) entries[`${this.name}/${path}`] = this.redaction.text(text);
    return new Bun.Archive(entries, { compress: "gzip" }).bytes();
  }
}

async function gather(options: DiagnosticsArguments, archive: Archive): Promise<void> {
  const { add, redaction, missing } = archive;
  redaction.add(options.password);
  const bun = toolText(["bun", "--version"]);
  add("version.txt", `${versionLine()}\nbun in PATH: ${bun}`);
  let loaded: LoadedConfig;
  try {
    loaded = load(options.server);
  } catch (thrown) {
    if (!(thrown instanceof StartupError)) throw thrown;
    // A message may quote the line that is wrong.
    missing.push(`the configuration, and with it the server: ${redactedLogLine(thrown.message)}`);
    addSystem(realFiles, ".", add);
    return;
  }
  const { config, warnings } = loaded;
  redaction.addConfig(config);
  redaction.add(read(realFiles, config.text("server.tls_key_file")));
  add("config.toml", dumpConfig(config, false));
  add("config-source.txt", [sourceText(loaded), ...warnings, ""].join("\n"));
  const directory = resolve(config.text("storage.data_dir"));
  await addFigures(options, loaded, archive);
  add("log.txt", logText(config.text("logging.log_file"), options.logLines, missing));
  add("doctor.json", `${JSON.stringify(await examine(config, realSurroundings()), null, 1)}\n`);
  addProcess(realFiles, Number.parseInt(read(realFiles, `${directory}/${LOCK_FILE}`), 10) || 0, add);
  addSystem(realFiles, directory, add);
}

/** What the server says, by its own protocol and over HTTP. */
async function addFigures(options: DiagnosticsArguments, { config }: LoadedConfig, archive: Archive): Promise<void> {
  const { add, redaction, missing } = archive;
  const login = { user: options.user, password: options.password || config.requiredPassword };
  try {
    await askServer(config, realFiles, login, redaction, add);
  } catch (thrown) {
    missing.push(`the server's answers: ${errorMessage(thrown).trim()}`);
  }
  if (!config.flag("metrics.enabled")) return;
  const host = config.text("metrics.bind");
  const base = `http://${host.includes(":") ? `[${host}]` : host}:${config.number("metrics.port")}`;
  const pages = { "metrics.txt": "/metrics", "loop.json": "/debug/loop", "ready.txt": "/readyz" };
  for (const [name, path] of Object.entries(pages)) {
    try {
      const response = await fetch(base + path, { signal: AbortSignal.timeout(HTTP_MS) });
      add(name, withoutErrorWords(await response.text()));
    } catch (thrown) {
      missing.push(`${path}: ${errorMessage(thrown)}`);
      return;
    }
  }
}

/** The last lines of the log: of the file, else of the journal. */
function logText(path: string, lines: number, missing: string[]): string {
  let text: string;
  try {
    text =
      path === ""
        ? toolText(["journalctl", "-u", "ferrite", "-n", String(lines), "-o", "cat", "--no-pager"])
        : endOf(path);
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    missing.push(`the log: ${thrown.message}`);
    return "";
  }
  const last = text.split("\n").filter((line) => line !== "");
  return `${last.slice(-lines).map(redactedLogLine).join("\n")}\n`;
}

function endOf(path: string): string {
  const file = realFiles.open(path, "r", 0);
  try {
    const bytes = realFiles.size(file);
    const part = Buffer.alloc(Math.min(bytes, LOG_BYTES_MAX));
    const from = bytes - part.length;
    const got = realFiles.read(file, part, 0, part.length, from === 0 ? AT_CURSOR : from);
    const text = part.toString("utf8", 0, got);
    // The first line of a part is not whole.
    return from === 0 ? text : text.slice(text.indexOf("\n") + 1);
  } finally {
    realFiles.close(file);
  }
}
