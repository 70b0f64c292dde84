/** The library `os`, of which scripts have clock alone. */
import type { Builtin } from "../value.ts";

/** Processor time of the process, in seconds. It measures work, so it does not come from the clock of the data. */
function clock(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

export const osLibrary: readonly Builtin[] = [{ name: "clock", run: clock, single: true }];
