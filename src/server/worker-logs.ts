/** The loggers of a worker, whose lines go into its ring of the log queue. */
import { systemClock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import { logsOver } from "../base/config/open-logs.ts";
import type { LogRoot } from "../base/log.ts";
import { LogQueue } from "../memory/log-queue.ts";
import type { ToWorker } from "./messages.ts";

export function workerLogs(
  { worker, logs: buffer, logRings, logBytes }: Extract<ToWorker, { kind: "start" }>,
  config: Config,
): { logs: LogRoot; queue: LogQueue } {
  const queue = new LogQueue(buffer, logRings, logBytes);
  const label = { name: `worker-${worker}`, id: worker + 1 };
  return {
    queue,
    logs: logsOver(
      queue.sink(worker, () => {}),
      config,
      systemClock,
      process.env,
      label,
    ),
  };
}
