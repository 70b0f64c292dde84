/**
 * The step `switch`: the target becomes the primary without a lost write.
 *
 *   source   CLIENT PAUSE WRITE ─ fence ────────────────────────────────────────────── REPLICAOF target ─ CLIENT UNPAUSE
 *   target                              equal offsets ─ comparison ─ REPLICAOF NO ONE
 *   clients                                                                --on-switch
 *
 * Invariants
 *   MIGRATE-S1  no moment exists in which both servers accept writes
 *   MIGRATE-S2  the target is promoted only when it has everything that the source has acknowledged
 *   MIGRATE-S3  what is written to the target is never undone
 *
 * The *fence* is `min-replicas-to-write` of a number that no primary reaches: the source refuses writes with NOREPLICAS when the
 * pause is over, or when this tool is killed. It keeps S1 and is raised before the offsets are compared, for S2. A source that has
 * become a replica refuses writes by READONLY instead, and its fence is taken down. A failure undoes the step as a whole, unless the
 * target has changed since its promotion (S3).
 */
import { type Finding, fine, note } from "../finding.ts";
import { addressText, addressWord } from "./address.ts";
import { comparePaused, type KeyName } from "./compare.ts";
import { followSource } from "./replicate.ts";
import { relationOf, type Relation } from "./roles.ts";
import { bytesText, type Run, type Undo, undoable } from "./run.ts";
import { errorMessage } from "../../base/errors.ts";
import { MigrationFailed, numberOf, type Server } from "./server.ts";

export const FENCE = "999999";
export const FENCE_PARAMETER = "min-replicas-to-write";
const LAG_PARAMETER = "min-replicas-max-lag";
/** The pause lasts a little longer than the step may take, so that the step ends it. */
const PAUSE_MARGIN_MS = 2000;
const LOOK_MS = 5;
/** Keys that are compared while writes are paused. */
const LAST_KEYS_MAX = 1000;

export interface Switched {
  readonly findings: Finding[];
  /** How long writes were paused. */
  readonly pausedMs: number;
}

/** `changing`: keys that could not be compared while clients wrote them. */
export async function switchOver(run: Run, changing: readonly KeyName[]): Promise<Switched> {
  const { options, source, target, clock } = run;
  const before = await relationOf(source, target, options.sourceSeen);
  if (before.isReversed) return wasDone("the source is a replica of the target");
  const isResumed = before.isPromoted && (await source.parameter(FENCE_PARAMETER)) === FENCE;
  if (isResumed && !options.keepsSource) return wasDone("the source refuses writes");
  if (!isResumed) mustBeReady(run, before);
  return undoable(run, async (undo) => {
    const step = new SwitchOver(run, undo);
    const startedMs = clock.monotonicMs();
    if (!isResumed) await step.promote(changing);
    if (options.keepsSource) await step.keepSource();
    undo.forget();
    await step.liftPause();
    const pausedMs = Math.round(clock.monotonicMs() - startedMs);
    const text = isResumed
      ? "the switch is complete"
      : `the target is the primary; writes were paused for ${pausedMs} ms`;
    return { findings: [fine("switch", text), ...step.findings, note("next", whatNow(run))], pausedMs };
  });
}

/** True when an earlier run has promoted the target: all other steps were taken. */
export async function isSwitching({ options, source, target }: Run): Promise<boolean> {
  const relation = await relationOf(source, target, options.sourceSeen);
  if (relation.isReversed) return true;
  return relation.isPromoted && (await source.parameter(FENCE_PARAMETER)) === FENCE;
}

function wasDone(how: string): Switched {
  return { findings: [fine("switch", `the switch was made already: ${how}`)], pausedMs: 0 };
}

/** Throws MigrationFailed for roles in which a switch would lose something. */
function mustBeReady({ options, source, target }: Run, relation: Relation): void {
  if (relation.source.get("role") === "slave")
    throw new MigrationFailed(
      "roles",
      `${source.title} is a replica itself`,
      "Its primary still accepts writes: a pause of the replica stops nothing.",
      "migrate from the primary",
    );
  if (!relation.isLinked)
    throw new MigrationFailed(
      "roles",
      `${target.title} does not follow ${source.title}`,
      "It does not have all data.",
      "ferrite migrate --only replicate first",
    );
  if (relation.lagBytes > options.lagBytesMax)
    throw new MigrationFailed(
      "lag",
      `${target.title} is ${bytesText(relation.lagBytes)} behind`,
      "Writes would be paused for as long as it takes to receive that.",
      "wait, or try at a quieter time; --max-lag is the limit",
    );
}

class SwitchOver {
  readonly findings: Finding[] = [];
  /** What `min-replicas-to-write` of the source was without the fence. */
  private fenceBefore = "0";
  private lagBefore = "";

  constructor(
    private readonly run: Run,
    private readonly undo: Undo,
  ) {}

  /** Everything up to the promotion of the target, and the command that moves the clients. */
  async promote(changing: readonly KeyName[]): Promise<void> {
    const { options, source, interruption } = this.run;
    this.undo.add("the pause of the source is lifted", () => source.ask("CLIENT", "UNPAUSE"));
    await source.ask("CLIENT", "PAUSE", options.pauseMs + PAUSE_MARGIN_MS, "WRITE");
    await this.raiseFence();
    await equalOffsets(this.run);
    await compareLast(this.run, changing);
    interruption.check();
    await this.promoteTarget();
    if (options.onSwitch === "") return;
    await moveClients(this.run);
    this.findings.push(fine("on-switch", "the command that moves the clients has succeeded"));
  }

  private async raiseFence(): Promise<void> {
    const { source } = this.run;
    const before = (await source.parameter(FENCE_PARAMETER)) ?? "0";
    this.fenceBefore = before === FENCE ? "0" : before;
    this.undo.add(`${FENCE_PARAMETER} of the source is ${this.fenceBefore}`, () => this.takeFenceDown());
    this.lagBefore = (await source.parameter(LAG_PARAMETER)) ?? "";
    // Without a lag the number of replicas is not looked at.
    if (this.lagBefore === "0") await source.setParameter(LAG_PARAMETER, "10");
    await source.setParameter(FENCE_PARAMETER, FENCE);
  }

  private async takeFenceDown(): Promise<void> {
    await this.run.source.setParameter(FENCE_PARAMETER, this.fenceBefore);
    if (this.lagBefore === "0") await this.run.source.setParameter(LAG_PARAMETER, "0");
  }

  private async promoteTarget(): Promise<void> {
    const { options, source, target } = this.run;
    // A switch in the other direction may have left it.
    if ((await target.parameter(FENCE_PARAMETER)) === FENCE) {
      this.undo.add(`${FENCE_PARAMETER} of the target`, () => target.setParameter(FENCE_PARAMETER, FENCE));
      await target.setParameter(FENCE_PARAMETER, "0");
    }
    const changes = await changesOf(target);
    const { host, port } = options.sourceSeen;
    this.undo.add("the target follows the source again", () => target.ask("REPLICAOF", host, port));
    this.undo.unless(async () => {
      // A replica of a dead server would serve nobody, and this one has everything.
      if (!(await isAlive(source)))
        return `${source.title} is gone; ${target.title} has everything, and stays the primary`;
      if ((await changesOf(target)) === changes) return "";
      return `${target.title} has received writes, and stays the primary; run the same command again to finish`;
    });
    await target.ask("REPLICAOF", "NO", "ONE");
    if ((await target.info("replication")).get("role") !== "master")
      throw new MigrationFailed("roles", `${target.title} did not become a primary`, "", "read its log");
  }

  /** The source becomes a replica of the target. What it has is what the target has, so it continues from its offset. */
  async keepSource(): Promise<void> {
    const { options, source, target, clock, interruption, progress } = this.run;
    if ((await source.parameter("replica-read-only")) === "no") {
      this.undo.add("replica-read-only of the source is no", () => source.setParameter("replica-read-only", "no"));
      await source.setParameter("replica-read-only", "yes");
    }
    await followSource(source, options.targetSeen, this.undo);
    const untilMs = clock.monotonicMs() + options.timeoutMs;
    for (;;) {
      const info = await source.info("replication");
      if (info.get("role") === "slave" && info.get("master_link_status") === "up") break;
      progress.show("switch: waiting for the source to follow the target");
      if (clock.monotonicMs() > untilMs) throw this.noWayBack();
      await interruption.wait(LOOK_MS);
    }
    await this.takeFenceDown();
    this.findings.push(fine("way-back", `the source is a replica of ${target.title}`));
  }

  private noWayBack(): MigrationFailed {
    const { options, source } = this.run;
    const flag = options.isBack ? "--from-address" : "--to-address";
    return new MigrationFailed(
      "way-back",
      `${source.title} has no link to ${addressText(options.targetSeen)} after ${options.timeoutMs / 1000} s`,
      "The old server cannot follow the new one, so there is no quick way back.",
      `read its log; if it needs another address: ${flag} HOST:PORT; or switch without --keep-source-as-replica`,
    );
  }

  /** The source refuses writes by now. When it cannot be asked, the pause ends by itself. */
  async liftPause(): Promise<void> {
    try {
      await this.run.source.ask("CLIENT", "UNPAUSE");
    } catch (thrown) {
      if (!(thrown instanceof MigrationFailed)) throw thrown;
      this.findings.push(note("pause", `the pause was not lifted, and ends by itself: ${errorMessage(thrown)}`));
    }
  }
}

/** Waits until the target has the source's offset, which no write changes any more. */
async function equalOffsets({ options, source, target, clock, interruption, progress }: Run): Promise<void> {
  const untilMs = clock.monotonicMs() + options.pauseMs;
  for (;;) {
    const relation = await relationOf(source, target, options.sourceSeen);
    if (relation.isLinked && relation.lagBytes === 0) return;
    progress.show(`switch: ${bytesText(relation.lagBytes)} to go`);
    if (clock.monotonicMs() > untilMs)
      throw new MigrationFailed(
        "lag",
        relation.isLinked
          ? `${target.title} is still ${bytesText(relation.lagBytes)} behind after ${options.pauseMs / 1000} s`
          : `${target.title} has lost its link to the source`,
        "Writes were paused, and are not any more. The roles are as before.",
        "try again at a quieter time; --pause SECONDS is the limit",
      );
    await interruption.wait(LOOK_MS);
  }
}

async function compareLast(run: Run, changing: readonly KeyName[]): Promise<void> {
  if (changing.length === 0) return;
  const different = await comparePaused(run, changing.slice(0, LAST_KEYS_MAX));
  if (different.length === 0) return;
  throw new MigrationFailed(
    "compare",
    `keys differ while writes are paused: ${different.slice(0, run.options.differencesMax).join(", ")}`,
    "The target does not have the data of the source.",
    "replicate again: ferrite migrate --only replicate --replace",
  );
}

async function isAlive(server: Server): Promise<boolean> {
  try {
    await server.tryAsk("PING");
    return true;
  } catch (thrown) {
    if (!(thrown instanceof MigrationFailed)) throw thrown;
    return false;
  }
}

/** Changes of a server's data. As long as the number stays, nobody has written to it. */
async function changesOf(server: Server): Promise<number> {
  return numberOf(await server.info("persistence"), "rdb_changes_since_last_save");
}

/** Runs the operator's command. It has the addresses in its environment, and no password. */
async function moveClients({ options, clock, interruption }: Run): Promise<void> {
  const variables = Object.entries(process.env).filter(([name]) => !/^MIGRATE_\w+_PASSWORD$/.test(name));
  const child = Bun.spawn(["sh", "-c", options.onSwitch], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    env: {
      ...Object.fromEntries(variables),
      MIGRATE_SOURCE: addressText(options.source),
      MIGRATE_TARGET: addressText(options.target),
    },
  });
  const untilMs = clock.monotonicMs() + options.pauseMs;
  try {
    while (child.exitCode === null && child.signalCode === null) {
      if (clock.monotonicMs() > untilMs) child.kill("SIGKILL");
      await Promise.race([child.exited, interruption.wait(LOOK_MS)]);
    }
  } finally {
    child.kill("SIGKILL");
  }
  if (child.exitCode === 0) return;
  throw new MigrationFailed(
    "on-switch",
    child.signalCode === null
      ? `the command of --on-switch ended with ${child.exitCode}`
      : `the command of --on-switch was ended by ${child.signalCode}; it has as long as --pause, ${options.pauseMs / 1000} s`,
    "Clients are not at the target.",
    "try the command by itself, and run the switch again",
  );
}

function whatNow({ options, source, target }: Run): string {
  if (options.keepsSource)
    return `point the clients at ${addressText(target.address)}. The way back: ${commandLine(options, !options.isBack, "--switch --keep-source-as-replica")}`;
  return `point the clients at ${addressText(target.address)}, and stop ${source.title}: it refuses writes until CONFIG SET ${FENCE_PARAMETER} 0, or its restart`;
}

/** The command line for the same two servers. Passwords are not part of it. */
export function commandLine(options: Run["options"], isBack: boolean, rest: string): string {
  const [from, to] = options.isBack ? [options.target, options.source] : [options.source, options.target];
  return `ferrite migrate ${addressWord(from)} --to ${addressWord(to)}${isBack ? " --back" : ""} ${rest}`.trimEnd();
}
