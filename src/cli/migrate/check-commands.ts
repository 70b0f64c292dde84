/** Checks of `ferrite migrate` about commands: those that the source was asked for, and those that this tool needs itself. */
import { type Finding, failure, fine, note, warning } from "../finding.ts";
import { ErrorReply, type Reply } from "./link.ts";
import type { Facts, Run } from "./run.ts";
import { numberOf, parseInfo, type Server, text } from "./server.ts";

/** Commands that are listed of those that are unknown. */
const NAMED_MAX = 20;

/** Commands between servers and of operators' tools, and CLIENT SETINFO, which libraries send and whose failure they expect. */
const NOT_OF_APPLICATIONS: ReadonlySet<string> = new Set(
  "psync sync replconf restore-asking asking readonly readwrite migrate debug client|setinfo".split(" "),
);

/** The commands that the source has executed and the target does not know. */
export async function checkCommands({ source, target }: Run): Promise<Finding[]> {
  const known = await commandNames(target);
  if (known.size === 0) return [note("commands", "the target does not tell its commands")];
  const used = usedCommands(text(await source.ask("INFO", "commandstats")));
  if (used.size === 0) return [note("commands", "the source has not counted any commands yet")];
  const unknown = [...used]
    .filter(
      ([name]) =>
        !isKnown(name, known) && !NOT_OF_APPLICATIONS.has(name) && !NOT_OF_APPLICATIONS.has(name.split("|")[0]!),
    )
    .sort(([, a], [, b]) => b - a);
  if (unknown.length === 0) return [fine("commands", `${used.size} commands were used, and the target has them all`)];
  const named = unknown.slice(0, NAMED_MAX).map(([name, calls]) => `${name.replace("|", " ")} (${calls} calls)`);
  const more = unknown.length > NAMED_MAX ? ` and ${unknown.length - NAMED_MAX} more` : "";
  return [
    failure("commands", {
      text: `the target does not know ${named.join(", ")}${more}`,
      meaning: "Clients that send them get an error after the switch.",
      mend: "see docs/COMPATIBILITY.md; if the application can do without them: --accept commands",
    }),
  ];
}

/** Calls that were executed, by name in lower case, from INFO commandstats. What only failed was nothing to rely on. */
function usedCommands(info: string): Map<string, number> {
  const used = new Map<string, number>();
  for (const [field, value] of parseInfo(info)) {
    if (!field.startsWith("cmdstat_")) continue;
    const count = (name: string): number => Number(new RegExp(`\\b${name}=(\\d+)`).exec(value)?.[1] ?? 0);
    const calls = count("calls") - count("failed_calls");
    if (calls > 0) used.set(field.slice("cmdstat_".length).toLowerCase(), calls);
  }
  return used;
}

function isKnown(name: string, known: ReadonlySet<string>): boolean {
  const command = name.split("|")[0]!;
  // Servers before 7.0 list no subcommands.
  return known.has(name) || (known.has(command) && !known.has(`${command}|`));
}

/** Names of a server's commands and subcommands, as "config|get"; "config|" says that a command lists its subcommands. */
async function commandNames(server: Server): Promise<Set<string>> {
  const names = new Set<string>();
  const add = (reply: Reply): void => {
    if (!Array.isArray(reply)) return;
    const name = text(reply[0] as Reply).toLowerCase();
    names.add(name);
    const subcommands = reply[SUBCOMMANDS_AT] as Reply | undefined;
    if (!Array.isArray(subcommands) || subcommands.length === 0) return;
    names.add(`${name}|`);
    for (const each of subcommands) add(each as Reply);
  };
  const reply = await server.tryAsk("COMMAND");
  if (Array.isArray(reply)) for (const each of reply) add(each as Reply);
  return names;
}

/** Place of the subcommands in a command's row of COMMAND. */
const SUBCOMMANDS_AT = 9;

/** What this tool, and the replica that logs in as the same user, must be allowed. */
const NEEDED: Readonly<Record<"source" | "target", readonly (readonly string[])[]>> = {
  source: [
    ["INFO"],
    ["PSYNC", "?", "-1"],
    ["REPLCONF", "capa", "psync2"],
    ["SCAN", "0"],
    ["CONFIG", "GET", "databases"],
    ["CONFIG", "SET", "min-replicas-to-write", "0"],
    ["CLIENT", "PAUSE", "1", "WRITE"],
    ["CLIENT", "UNPAUSE"],
    ["REPLICAOF", "NO", "ONE"],
  ],
  target: [["INFO"], ["CONFIG", "SET", "masterauth", ""], ["REPLICAOF", "NO", "ONE"], ["SCAN", "0"]],
};

export async function checkRights(run: Run): Promise<Finding[]> {
  return [...(await rightsOf(run.source)), ...(await rightsOf(run.target))];
}

async function rightsOf(server: Server): Promise<Finding[]> {
  const name = text(await server.tryAsk("ACL", "WHOAMI"));
  const missing: string[] = [];
  for (const words of NEEDED[server.role]) {
    const reply = await server.tryAsk("ACL", "DRYRUN", name, ...words);
    if (reply instanceof ErrorReply) return [note("rights", `${server.title} does not tell the rights of this user`)];
    if (text(reply) !== "OK") missing.push(words.slice(0, isContainer(words[0]!) ? 2 : 1).join(" "));
  }
  if (missing.length === 0)
    return [fine("rights", `user ${name} has all rights that are needed on the ${server.role}`)];
  const grants = missing.map((words) => `+${words.toLowerCase().replace(" ", "|")}`).join(" ");
  return [
    failure("rights", {
      text: `user ${name} on ${server.title} has no right to ${missing.join(", ")}`,
      meaning: missing.includes("PSYNC")
        ? "The target logs in as this user, and is refused as a replica."
        : "A later step would be refused.",
      mend: `ACL SETUSER ${name} ${grants} on the ${server.role}, or another user`,
    }),
  ];
}

function isContainer(command: string): boolean {
  return command === "CONFIG" || command === "CLIENT";
}

/** Functions travel with the data, scripts do not. */
export async function checkScripts({ source, target }: Run, facts: Facts): Promise<Finding[]> {
  const findings: Finding[] = [];
  const cached = numberOf(facts.source, "number_of_cached_scripts");
  if (cached > 0)
    findings.push(
      warning("scripts", {
        text: `the source has ${cached} cached scripts`,
        meaning: "They are not replicated: EVALSHA gets NOSCRIPT on the target until a client has sent the script.",
        mend: "nothing where the client library falls back to EVAL, as most do; else SCRIPT LOAD on the target",
      }),
    );
  const libraries = await source.tryAsk("FUNCTION", "LIST");
  if (!Array.isArray(libraries) || libraries.length === 0) return findings;
  if ((await target.tryAsk("FUNCTION", "STATS")) instanceof ErrorReply)
    findings.push(
      failure("functions", {
        text: `the source has ${libraries.length} libraries of functions, and the target has no functions`,
        meaning: "The target refuses the data.",
        mend: "use a newer server as the target",
      }),
    );
  else findings.push(fine("functions", `${libraries.length} libraries of functions, which are replicated`));
  return findings;
}
