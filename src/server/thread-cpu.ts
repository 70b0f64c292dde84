/** CPU time of threads, as INFO shows it. */
import { Cell, type Cells } from "./cells.ts";

/** Publishes the CPU time of the calling thread in its cells, us; NaN where the system does not tell. */
export function publishThreadCpu(cells: Cells): void {
  // Bun's types of 1.4.5 leave the call out.
  const { threadCpuUsage } = process as { threadCpuUsage?: () => { user: number; system: number } };
  const { user, system } = threadCpuUsage?.call(process) ?? { user: Number.NaN, system: Number.NaN };
  cells.set(Cell.cpuUserMicros, user);
  cells.set(Cell.cpuSystemMicros, system);
}
