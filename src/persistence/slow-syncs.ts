/** Tells operators of syncs of the append-only file that took over a second: the disk is slow, busy or failing. */
import type { Logger } from "../base/log.ts";
import type { AppendState } from "./append-state.ts";

export class SlowSyncs {
  private seen = 0;

  constructor(
    private readonly state: AppendState,
    private readonly log: Logger,
  ) {}

  /** Logs a line when there were slow syncs since the last call. Called about once a second. */
  look(): void {
    const count = this.state.get("delayedSyncs");
    const more = count - this.seen;
    // A file that is turned on again counts from zero.
    this.seen = count;
    if (more <= 0) return;
    const longest = Math.round(this.state.get("longestSyncMs"));
    this.log.warn(
      "syncing the append-only file takes over a second: the disk is slow or busy. A crash of the machine may lose more than a second; with aof_fsync always, replies wait",
      { slow_syncs: more, longest_sync_ms: longest },
    );
  }
}
