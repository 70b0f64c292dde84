/** CPU time of threads, for INFO. */
import { Cell, type Cells } from "./cells.ts";

/** Publishes the CPU time of the calling thread in its cells, us. NaN if the runtime cannot tell it. */
export function publishThreadCpu(cells: Cells): void {
  // The types of Bun 1.4.5 lack this function.
  const { threadCpuUsage } = process as { threadCpuUsage?: () => { user: number; system: number } };
  const { user, system } = threadCpuUsage?.call(process) ?? { user: Number.NaN, system: Number.NaN };
  cells.set(Cell.cpuUserMicros, user);
  cells.set(Cell.cpuSystemMicros, system);
}
