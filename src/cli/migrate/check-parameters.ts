/** Checks of `ferrite migrate` about the configuration of the two servers, and their users. */
import { type Finding, fine, note, warning } from "../finding.ts";
import { bytesText, type Facts, type Run } from "./run.ts";
import { numberOf, type Server, text } from "./server.ts";

/** Parameters that clients notice, and what a difference means to them. */
const NOTICED: readonly (readonly [string, string])[] = [
  ["maxmemory-policy", "When memory is full, other keys go, or writes are refused."],
  ["notify-keyspace-events", "Subscribers of keyspace events hear other events, or none."],
  ["timeout", "Idle connections are closed at another time."],
  ["maxclients", "Another number of clients can connect."],
  ["databases", "SELECT takes other numbers."],
  ["appendonly", "Another part of the newest writes is lost in a crash."],
  ["appendfsync", "Another part of the newest writes is lost in a crash."],
  ["min-replicas-to-write", "Writes are refused when there are too few replicas."],
  ["proto-max-bulk-len", "The longest value is another."],
  ["lfu-log-factor", "The frequency of keys is counted in another way."],
  ["lfu-decay-time", "The frequency of keys is counted in another way."],
  ["client-output-buffer-limit", "Slow subscribers are disconnected at another time."],
];

/** The buffer from which a replica continues after a broken link. Redis's default is small for a large data set. */
const BACKLOG_BYTES = 64 << 20;
const LARGE_BYTES = 1 << 30;

export async function checkParameters({ source, target }: Run, facts: Facts): Promise<Finding[]> {
  const findings: Finding[] = [];
  const unreadable: string[] = [];
  for (const [name, meaning] of NOTICED) {
    const from = await source.parameter(name);
    const to = await target.parameter(name);
    if (from === null || to === null) unreadable.push(name);
    else if (uniform(from) !== uniform(to))
      findings.push(
        warning("parameters", {
          text: `${name} is ${quoted(from)} on the source and ${quoted(to)} on the target`,
          meaning,
          mend: `if the target should be as the source: CONFIG SET ${name} ${quoted(from)}, and CONFIG REWRITE`,
        }),
      );
  }
  if (unreadable.length > 0) findings.push(note("parameters", `not compared: ${unreadable.join(", ")}`));
  if (findings.length === 0) findings.push(fine("parameters", "the parameters that clients notice are the same"));
  findings.push(...(await checkPassword(source, target)), ...(await checkBacklog(source, facts)));
  return findings;
}

/** Values that mean the same: memory sizes of a limit are written in several ways. */
function uniform(value: string): string {
  return value.trim().toLowerCase().replaceAll("slave", "replica");
}

function quoted(value: string): string {
  return value === "" || value.includes(" ") ? `"${value}"` : value;
}

async function checkPassword(source: Server, target: Server): Promise<Finding[]> {
  const from = await source.parameter("requirepass");
  const to = await target.parameter("requirepass");
  if (from === null || to === null || (from === "") === (to === "")) return [];
  const has = from === "" ? "target" : "source";
  return [
    warning("password", {
      text: `only the ${has} has a password`,
      meaning:
        has === "source"
          ? "The target serves everybody. A client that sends a password gets an error from it."
          : "Clients without a password are refused after the switch.",
      mend: "set requirepass on both, or on neither",
    }),
  ];
}

async function checkBacklog(source: Server, facts: Facts): Promise<Finding[]> {
  const bytes = Number((await source.parameter("repl-backlog-size")) ?? BACKLOG_BYTES);
  const used = numberOf(facts.source, "used_memory");
  if (bytes >= BACKLOG_BYTES || used < LARGE_BYTES) return [];
  return [
    warning("backlog", {
      text: `repl-backlog-size of the source is ${bytesText(bytes)}, for ${bytesText(used)} of data`,
      meaning: "After a broken link the target may need all data again.",
      mend: `on the source, until the switch: CONFIG SET repl-backlog-size ${BACKLOG_BYTES}`,
    }),
  ];
}

/** Users are no data: they are not replicated. */
export async function checkUsers({ source, target }: Run): Promise<Finding[]> {
  const from = await userNames(source);
  const to = await userNames(target);
  if (from === null || to === null) return [note("users", "the users are not compared: no right to ACL USERS")];
  const missing = from.filter((name) => !to.includes(name));
  if (missing.length === 0)
    return [fine("users", "the target has the users of the source; passwords and rights are not compared")];
  return [
    warning("users", {
      text: `the target has no user ${missing.join(", ")}`,
      meaning: "Users are not replicated. Clients that log in as one are refused.",
      mend: "copy the lines of ACL LIST, or the aclfile",
    }),
  ];
}

async function userNames(server: Server): Promise<string[] | null> {
  const reply = await server.tryAsk("ACL", "USERS");
  return Array.isArray(reply) ? reply.map((name) => text(name)) : null;
}
