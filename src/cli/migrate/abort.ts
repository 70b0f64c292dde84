/**
 * `ferrite migrate --abort`: undoes what a run has left that was killed before it could undo it: the pause and the fence of the
 * source, and the replication of the target. It refuses once the target was promoted and has changed.
 */
import { type Finding, failure, fine } from "../finding.ts";
import { relationOf } from "./roles.ts";
import type { Run } from "./run.ts";
import { commandLine, FENCE, FENCE_PARAMETER } from "./switch.ts";

export async function abort(run: Run): Promise<Finding[]> {
  const { options, source, target } = run;
  const findings: Finding[] = [];
  const relation = await relationOf(source, target, options.sourceSeen);
  const isWritten = relation.isPromoted && !relation.isUnchangedCopy;
  const isFenced = (await source.parameter(FENCE_PARAMETER)) === FENCE;
  if (relation.isReversed || (isWritten && isFenced && !options.accepted.has("writes")))
    return [
      failure("abort", {
        text: "the switch was made: the target is the primary",
        meaning: "What was written to it since would be lost.",
        mend: `to go back without a loss: ${commandLine(options, !options.isBack, "--switch")}; to give it up: --abort --accept writes`,
      }),
    ];
  if (relation.isFollowing) {
    await target.ask("REPLICAOF", "NO", "ONE");
    findings.push(fine("abort", "the target is a primary again, with the keys that it has received"));
  }
  if (isFenced) {
    await source.setParameter(FENCE_PARAMETER, "0");
    findings.push(fine("abort", `${FENCE_PARAMETER} of the source is 0: it accepts writes`));
  }
  await source.ask("CLIENT", "UNPAUSE");
  findings.push(fine("abort", "writes to the source are not paused"));
  return findings;
}
