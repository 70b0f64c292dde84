/**
 * The step `replicate`: makes the target a replica of the source, and waits until it is as good as up to date.
 *
 * It fails after `timeout` without any progress: of the source's snapshot, of the bytes received, of the keys loaded, of the
 * offset. When it fails or is interrupted, a target that it has made a replica becomes a primary again.
 */
import { type Finding, fine } from "../finding.ts";
import { type Address, addressText } from "./address.ts";
import { targetIsFree } from "./check.ts";
import { relationOf, type Relation } from "./roles.ts";
import { bytesText, type Run, type Undo, undoable } from "./run.ts";
import { type Info, MigrationFailed, numberOf, Refused, type Server } from "./server.ts";

export interface Replicated {
  readonly findings: Finding[];
  readonly lagBytes: number;
}

export function replicate(run: Run): Promise<Replicated> {
  return undoable(run, async (undo) => {
    const { options, source, target, clock } = run;
    const before = await relationOf(source, target, options.sourceSeen);
    if (before.isReversed || (before.isPromoted && !before.isUnchangedCopy && !options.replaces))
      throw new MigrationFailed(
        "roles",
        `${target.title} was promoted from a replica of the source already`,
        "The switch was made. To replicate again would take away what was written to the target since.",
        "to go back: ferrite migrate FROM --back; to start again: --replace",
      );
    if (!before.isFollowing) {
      await targetIsFree(run);
      await followSource(target, options.sourceSeen, undo);
    }
    const startedMs = clock.monotonicMs();
    const relation = await caughtUp(run);
    run.progress.clear();
    const seconds = ((clock.monotonicMs() - startedMs) / 1000).toFixed(1);
    undo.forget();
    const text = before.isLinked
      ? `the target follows the source, ${bytesText(relation.lagBytes)} behind`
      : `the target has all data after ${seconds} s and follows the source, ${bytesText(relation.lagBytes)} behind`;
    return { findings: [fine("replicate", text)], lagBytes: relation.lagBytes };
  });
}

/** Makes `replica` follow `primary`, with the user and password of `primary`. Undoing makes it a primary again. */
export async function followSource(replica: Server, primary: Address, undo: Undo): Promise<void> {
  const user = primary.user === "default" ? "" : primary.user;
  const wanted: [string, string][] = [
    ["masteruser", user],
    ["masterauth", primary.password],
    ["tls-replication", primary.isTls ? "yes" : "no"],
  ];
  for (const [name, value] of wanted) {
    const before = await replica.parameter(name);
    if (before === value || (before === null && (value === "" || value === "no"))) continue;
    await setParameter(replica, name, value);
    undo.add(`${name} of the ${replica.role}`, () => replica.setParameter(name, before ?? ""));
  }
  undo.add(`the ${replica.role} is a primary again`, () => replica.ask("REPLICAOF", "NO", "ONE"));
  await replica.ask("REPLICAOF", primary.host, primary.port);
}

async function setParameter(replica: Server, name: string, value: string): Promise<void> {
  try {
    await replica.setParameter(name, value);
  } catch (thrown) {
    if (!(thrown instanceof Refused) || name !== "tls-replication") throw thrown;
    throw new MigrationFailed(
      "tls",
      `${replica.title} cannot replicate by TLS: ${thrown.reply}`,
      "The replica connects by TLS with its own certificate and authority.",
      "set tls-cert-file, tls-key-file and tls-ca-cert-file on it; or let the source listen on a plain port too, and give that with --from-address",
    );
  }
}

/** Time between two looks while the target is behind. */
const LOOK_MS = 50;

/** Waits until the lag is small. Throws MigrationFailed after `timeout` without progress. */
async function caughtUp(run: Run): Promise<Relation> {
  const { options, source, target, clock, interruption, progress } = run;
  let state = "";
  let changedAtMs = clock.monotonicMs();
  for (;;) {
    const relation = await relationOf(source, target, options.sourceSeen);
    if (relation.isLinked && relation.lagBytes <= options.lagBytesMax) return relation;
    const loading = await persistenceOf(target);
    const saving = await persistenceOf(source);
    progress.show(progressText(relation, loading, saving));
    const next = stateOf(relation, loading, saving);
    const nowMs = clock.monotonicMs();
    if (next !== state) changedAtMs = nowMs;
    else if (nowMs - changedAtMs > options.timeoutMs) throw stalled(run, relation);
    state = next;
    await interruption.wait(LOOK_MS);
  }
}

/** A server that is busy with its data may refuse to tell more than its role. */
async function persistenceOf(server: Server): Promise<Info> {
  try {
    return await server.info("persistence");
  } catch (thrown) {
    if (!(thrown instanceof Refused)) throw thrown;
    return new Map();
  }
}

/** Changes when something has come nearer. While the target is linked, only the shrinking lag counts. */
function stateOf({ source, target, isLinked, lagBytes }: Relation, loading: Info, saving: Info): string {
  if (isLinked) return `linked ${lagBytes}`;
  return [
    target.get("role"),
    target.get("master_link_status"),
    target.get("master_sync_in_progress"),
    target.get("master_sync_read_bytes"),
    target.get("slave_repl_offset"),
    loading.get("loading_loaded_bytes"),
    saving.get("current_save_keys_processed"),
    source.get("connected_slaves"),
  ].join(" ");
}

function progressText({ target, isLinked, lagBytes }: Relation, loading: Info, saving: Info): string {
  if (isLinked) return `replicate: ${bytesText(lagBytes)} behind`;
  if (loading.get("loading") === "1")
    return `replicate: the target loads the data, ${loading.get("loading_loaded_perc") ?? "?"} %`;
  if (target.get("master_sync_in_progress") === "1") {
    const read = numberOf(target, "master_sync_read_bytes");
    const total = numberOf(target, "master_sync_total_bytes");
    if (read > 0) return `replicate: ${bytesText(read)}${total > 0 ? ` of ${bytesText(total)}` : ""} received`;
    const keys = numberOf(saving, "current_save_keys_processed");
    return `replicate: the source makes a snapshot${keys > 0 ? `, ${keys} keys so far` : ""}`;
  }
  return "replicate: waiting for the link";
}

/** Why there is no progress, as far as both servers tell. */
function stalled({ options, source, target }: Run, relation: Relation): MigrationFailed {
  const seconds = options.timeoutMs / 1000;
  const address = addressText(options.sourceSeen);
  const flag = options.isBack ? "--to-address" : "--from-address";
  if (relation.isLinked)
    return new MigrationFailed(
      "lag",
      `${target.title} stays ${bytesText(relation.lagBytes)} behind for ${seconds} s`,
      "It does not keep up with the writes.",
      "try at a quieter time, or give the target more cores; --max-lag and --timeout are the limits",
    );
  if (numberOf(relation.source, "connected_slaves") === 0)
    return new MigrationFailed(
      "link",
      `${target.title} has no link to ${address} after ${seconds} s`,
      `${source.title} shows no replica: it is not reached there, or refuses the replica (user, password, right to PSYNC, bind, protected-mode).`,
      `read the target's log; if the target needs another address: ${flag} HOST:PORT`,
    );
  return new MigrationFailed(
    "link",
    `the synchronization of ${target.title} made no progress for ${seconds} s`,
    `The source has the replica, and the target has not all data: ${progressText(relation, new Map(), new Map())}.`,
    "read the logs of both; a large snapshot needs a longer --timeout",
  );
}
