/**
 * The step `check`: whether the target can take over what the source has and does. It only reads.
 *
 * The target itself is asked for its commands and parameters, so that renamed and disabled commands count, and so that the way
 * back to an older Redis is checked by the same code.
 */
import { type Finding, failure, fine, note, warning } from "../finding.ts";
import { addressText, isLoopback } from "./address.ts";
import { checkCommands, checkRights, checkScripts } from "./check-commands.ts";
import { checkParameters, checkUsers } from "./check-parameters.ts";
import { relationOf } from "./roles.ts";
import { bytesText, counted, type Facts, type Run } from "./run.ts";
import { atLeast, identityOf, keysByDatabase, MigrationFailed, numberOf, text } from "./server.ts";

export async function check(run: Run): Promise<Finding[]> {
  const facts: Facts = { source: await run.source.info("everything"), target: await run.target.info("everything") };
  return [
    ...checkVersions(facts),
    ...checkRoles(facts),
    ...checkAddresses(run),
    ...(await checkFollowers(run, facts)),
    ...(await checkRights(run)),
    ...(await checkCommands(run)),
    ...(await checkModules(run)),
    ...(await checkScripts(run, facts)),
    ...(await checkDatabases(run, facts)),
    ...(await checkMemory(run, facts)),
    ...(await checkParameters(run, facts)),
    ...(await checkUsers(run)),
    ...(await checkKeys(run)),
  ];
}

function checkVersions({ source, target }: Facts): Finding[] {
  const from = identityOf(source);
  const to = identityOf(target);
  const findings = [note("version", `from ${from.product} ${from.version} to ${to.product} ${to.version}`)];
  if (from.product !== "Ferrite" && to.product !== "Ferrite")
    findings.push(
      warning("version", {
        text: "neither of the two is Ferrite",
        meaning: "This tool is tested with Ferrite on one side.",
        mend: "check both addresses",
      }),
    );
  for (const { product, version } of [from, to])
    if (product !== "Ferrite" && (!["Redis", "Valkey"].includes(product) || !atLeast(version, 6, 2)))
      findings.push(
        failure("version", {
          text: `${product} ${version} is not Redis 6.2 or newer, nor Valkey`,
          meaning: "It cannot pause writes alone, or it replicates in another way.",
          mend: "move an RDB file instead: docs/MIGRATION.md, Move the files",
        }),
      );
  return [...findings, ...checkRdbVersions(from.rdbVersion, to.rdbVersion, from.product)];
}

/** Ferrite sends RDB 10, which Redis 7.0 reads. Others send their own version, except Valkey, which sends 11 to strangers. */
function checkRdbVersions(from: number, to: number, product: string): Finding[] {
  const sent = product === "Ferrite" ? 10 : from === 80 ? 11 : from;
  if (sent === 0 || to === 0)
    return [
      warning("rdb-version", {
        text: "the version of the source's RDB format is not known",
        meaning: "Replication fails at its start when the target cannot read it. The source notices nothing.",
        mend: "try it: ferrite migrate --only replicate",
      }),
    ];
  if (sent <= to || (to === 80 && sent <= 11))
    return [fine("rdb-version", `RDB version ${sent}, which the target reads`)];
  return [
    failure("rdb-version", {
      text: `the source sends RDB version ${sent}, and the target reads up to ${to}`,
      meaning: "The target refuses the first synchronization.",
      mend: "copy the keys by DUMP and RESTORE, or through a server of an older version",
    }),
  ];
}

function checkRoles({ source, target }: Facts): Finding[] {
  const findings: Finding[] = [];
  if (source.get("cluster_enabled") === "1")
    findings.push(
      failure("cluster", {
        text: "the source is a node of a cluster",
        meaning: "Ferrite has no cluster mode: its keys are only a part of the data, and clients expect MOVED.",
        mend: "bring the data together on one server without cluster mode first",
      }),
    );
  if (source.get("role") === "slave")
    findings.push(
      warning("role", {
        text: `the source is a replica of ${source.get("master_host")}:${source.get("master_port")}`,
        meaning: "It can be replicated and compared, but writes are paused on a primary: the switch refuses a replica.",
        mend: "migrate from the primary",
      }),
    );
  for (const [name, info] of [
    ["source", source],
    ["target", target],
  ] as const)
    if (info.get("loading") === "1")
      findings.push(
        failure("role", {
          text: `the ${name} is still loading its data`,
          meaning: "It answers no command about keys.",
          mend: "wait until it has loaded",
        }),
      );
  return findings;
}

/** A loopback address names another machine for each of the two. */
function checkAddresses({ options }: Run): Finding[] {
  const { source, target, sourceSeen, targetSeen, keepsSource } = options;
  const differ = isLoopback(source) !== isLoopback(target);
  const findings: Finding[] = [];
  if (differ && isLoopback(sourceSeen))
    findings.push(addressFinding("target", "source", addressText(sourceSeen), options.isBack ? "to" : "from"));
  if (differ && keepsSource && isLoopback(targetSeen))
    findings.push(addressFinding("source", "target", addressText(targetSeen), options.isBack ? "from" : "to"));
  return findings;
}

function addressFinding(who: string, whom: string, address: string, option: string): Finding {
  return failure("address", {
    text: `the ${who} would look for the ${whom} at ${address}, which is its own machine`,
    meaning: "The two servers connect to each other, not through this tool.",
    mend: `--${option}-address HOST:PORT: the ${whom} as the ${who} reaches it`,
  });
}

/** What else may change the roles: a Sentinel would undo the switch, and other replicas stay with the source. */
async function checkFollowers({ source }: Run, facts: Facts): Promise<Finding[]> {
  const findings: Finding[] = [];
  const clients = text(await source.tryAsk("CLIENT", "LIST"));
  if (/\bname=sentinel-/.test(clients))
    findings.push(
      warning("sentinel", {
        text: "Sentinels watch the source",
        meaning: "They take the switch for a failure, and change the roles again.",
        mend: "before the switch, on each Sentinel: SENTINEL REMOVE <name>; afterwards: SENTINEL MONITOR <name> with the new address",
      }),
    );
  const replicas = numberOf(facts.source, "connected_slaves");
  if (replicas > 0)
    findings.push(
      note(
        "replicas",
        `${counted(replicas, "replica")} of the source: with --keep-source-as-replica they get the changes through it, else not`,
      ),
    );
  return findings;
}

async function checkModules({ source }: Run): Promise<Finding[]> {
  const reply = await source.tryAsk("MODULE", "LIST");
  if (!Array.isArray(reply)) return [note("modules", "the source does not tell its modules")];
  const names = reply.map((module) => {
    const pairs = Array.isArray(module) ? module.map(String) : [];
    return pairs[pairs.indexOf("name") + 1] ?? "?";
  });
  if (names.length === 0) return [fine("modules", "the source has no modules")];
  return [
    failure("modules", {
      text: `the source has modules: ${names.join(", ")}`,
      meaning: "Ferrite loads no modules. Their keys stop the synchronization, and their commands are unknown.",
      mend: "if the application does not use them: --accept modules",
    }),
  ];
}

async function checkDatabases({ target }: Run, { source }: Facts): Promise<Finding[]> {
  const used = [...keysByDatabase(source)].map(([database]) => database);
  const databases = Number((await target.parameter("databases")) ?? 16);
  const beyond = used.filter((database) => database >= databases);
  if (beyond.length === 0)
    return [fine("databases", used.length === 0 ? "the source is empty" : `in use: ${used.join(", ")}`)];
  return [
    failure("databases", {
      text: `keys in database ${beyond.join(", ")}, and the target has ${databases} databases`,
      meaning: "The target refuses the data.",
      mend: `start the target with databases ${Math.max(...beyond) + 1}`,
    }),
  ];
}

async function checkMemory({ target }: Run, { source, target: ofTarget }: Facts): Promise<Finding[]> {
  const used = numberOf(source, "used_memory");
  const limit = Number((await target.parameter("maxmemory")) ?? 0);
  const room = limit > 0 ? limit : numberOf(ofTarget, "total_system_memory");
  const policy = (await target.parameter("maxmemory-policy")) ?? "noeviction";
  const sizes = `the source uses ${bytesText(used)}, the target may use ${bytesText(room)}`;
  if (room === 0 || used <= room * MEMORY_SHARE) return [fine("memory", sizes)];
  const isTooMuch = used > room;
  const problem = {
    text: sizes,
    meaning:
      policy === "noeviction"
        ? "Writes are refused when the target is full."
        : `The target evicts keys when it is full (${policy}).`,
    mend: "raise the target's maxmemory",
  };
  return [isTooMuch ? failure("memory", problem) : warning("memory", problem)];
}

/** Share of the target's memory that the source's data may need without a warning. */
const MEMORY_SHARE = 0.8;

/** What the target has already. Throws MigrationFailed for what `replicate` refuses too. */
async function checkKeys(run: Run): Promise<Finding[]> {
  try {
    return [await targetIsFree(run)];
  } catch (thrown) {
    if (!(thrown instanceof MigrationFailed) || thrown.check !== "keys") throw thrown;
    return [failure("keys", { text: thrown.message, meaning: thrown.meaning, mend: thrown.mend })];
  }
}

/** Whether the target may be overwritten. Throws MigrationFailed when not. */
export async function targetIsFree({ options, source, target }: Run): Promise<Finding> {
  const relation = await relationOf(source, target, options.sourceSeen);
  if (relation.isFollowing) return fine("keys", "the target is a replica of the source already");
  if (relation.isUnchangedCopy) return fine("keys", "the target has a copy of the source's data, and nothing else");
  if (relation.isReversed) return fine("keys", "the source is a replica of the target already: the switch was made");
  if (relation.target.get("role") === "slave" && !options.replaces)
    throw new MigrationFailed(
      "keys",
      `${target.title} is a replica of ${relation.target.get("master_host")}:${relation.target.get("master_port")}`,
      "It would leave its primary.",
      "if it may: --replace",
    );
  const keys = [...keysByDatabase(await target.info("keyspace")).values()].reduce((sum, count) => sum + count, 0);
  if (keys === 0) return fine("keys", "the target has no keys");
  if (options.replaces) return note("keys", `the target has ${counted(keys, "key")}, which are replaced`);
  throw new MigrationFailed(
    "keys",
    `${target.title} has ${counted(keys, "key")}`,
    "They would be lost: a replica has its primary's keys and no others.",
    "check the address; if they may be lost: --replace",
  );
}
