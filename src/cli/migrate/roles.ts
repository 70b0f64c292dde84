/**
 * What two servers are to each other, by INFO replication of both. The replication ids tell it even after a run was killed:
 *
 *   replid     names the changes that a server makes or follows now
 *   replid2    names those that it followed before its promotion, up to second_repl_offset
 */
import { type Info, numberOf, type Server } from "./server.ts";

export interface Relation {
  readonly source: Info;
  readonly target: Info;
  /** The target is a replica of the source, whether or not its link is up. */
  readonly isFollowing: boolean;
  /** It has all data, and receives changes. */
  readonly isLinked: boolean;
  /** The target was promoted, and has nothing but what the source had. */
  readonly isUnchangedCopy: boolean;
  /** The target was promoted from a replica of the source. */
  readonly isPromoted: boolean;
  /** The source is a replica of the target. */
  readonly isReversed: boolean;
  /** Bytes of the stream that the target does not have yet. */
  readonly lagBytes: number;
}

/** Asks both servers. `seen`: the source's address as the target knows it. Throws MigrationFailed. */
export async function relationOf(
  source: Server,
  target: Server,
  seen: { host: string; port: number },
): Promise<Relation> {
  // The source first: what it has written by then, a target with the same offset has.
  const ofSource = await source.info("replication");
  const ofTarget = await target.info("replication");
  const isSourceMaster = ofSource.get("role") === "master";
  const isTargetReplica = ofTarget.get("role") === "slave";
  const sameId = ofSource.get("master_replid") === ofTarget.get("master_replid");
  const isNamed = ofTarget.get("master_host") === seen.host && numberOf(ofTarget, "master_port") === seen.port;
  const isFollowing = isTargetReplica && (sameId || isNamed) && !(ofSource.get("role") === "slave" && !isNamed);
  const wasFollowing = !isTargetReplica && ofTarget.get("master_replid2") === ofSource.get("master_replid");
  return {
    source: ofSource,
    target: ofTarget,
    isFollowing,
    isLinked: isFollowing && sameId && ofTarget.get("master_link_status") === "up",
    isPromoted: isSourceMaster && wasFollowing,
    isUnchangedCopy:
      isSourceMaster &&
      wasFollowing &&
      numberOf(ofTarget, "second_repl_offset") > numberOf(ofTarget, "master_repl_offset"),
    isReversed: !isSourceMaster && !isTargetReplica && sameId,
    lagBytes: Math.max(0, numberOf(ofSource, "master_repl_offset") - numberOf(ofTarget, "slave_repl_offset")),
  };
}
