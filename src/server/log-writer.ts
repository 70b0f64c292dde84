/** Writes what waits in the log queue. It belongs to the log's thread, or to the main thread when that one is not there. */
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import { logsOver, openOutput } from "../base/config/open-logs.ts";
import { StartupError } from "../base/errors.ts";
import { FileFailure, type Files } from "../base/files.ts";
import type { LogRoot } from "../base/log.ts";
import { DescriptorSink, type LogOutput, STANDARD_OUTPUT } from "../base/log-output.ts";
import { type LogQueue, QueueState } from "../memory/log-queue.ts";

/** Dropped lines are reported so often at most. */
const REPORT_EVERY_MS = 1000;

export class LogWriter {
  private readonly output: LogOutput;
  private readonly logs: LogRoot;
  private readonly lines: Buffer;
  private reopens = 0;
  /** Lost lines that are counted, and dropped lines that are reported. */
  private counted = 0;
  private reported = 0;
  private reportedMs = -Infinity;

  constructor(
    private readonly queue: LogQueue,
    config: Config,
    files: Files,
    private readonly clock: Clock,
  ) {
    const mayWait = (): boolean => queue.state === QueueState.Writing;
    this.output = openOrStandard(() => openOutput(config, files, clock, mayWait), files, mayWait);
    this.logs = logsOver(this.output, config, clock, process.env, { name: "log", id: queue.rings });
    this.lines = Buffer.allocUnsafeSlow(queue.size);
    this.reopens = queue.reopens;
  }

  /** Writes all lines that are there. */
  step(): void {
    const { queue, output } = this;
    const { reopens } = queue;
    if (reopens !== this.reopens) output.reopen();
    this.reopens = reopens;
    for (let ring = 0; ring < queue.rings; ring++) {
      const bytes = queue.take(ring, this.lines);
      if (bytes > 0) output.writeLines(this.lines, 0, bytes);
    }
    queue.countLost(output.lost - this.counted);
    this.counted = output.lost;
    this.report(false);
  }

  /** Says how many lines are missing, as soon as lines can be written. */
  private report(isLast: boolean): void {
    const { dropped } = this.queue;
    if (dropped === this.reported || this.output.isFailing) return;
    const now = this.clock.monotonicMs();
    if (!isLast && now - this.reportedMs < REPORT_EVERY_MS) return;
    this.logs
      .target("log")
      .warn("lines of the log were dropped, because it could not be written as fast as they came", {
        dropped: dropped - this.reported,
        dropped_in_all: dropped,
      });
    this.reported = dropped;
    this.reportedMs = now;
  }

  end(): void {
    this.step();
    this.report(true);
    this.output.close();
  }
}

/** The main thread has opened the file before. If that fails now, the log goes to standard output. */
function openOrStandard(open: () => LogOutput, files: Files, mayWait: () => boolean): LogOutput {
  try {
    return open();
  } catch (thrown) {
    if (!(thrown instanceof StartupError) && !(thrown instanceof FileFailure)) throw thrown;
    const output = new DescriptorSink(files, STANDARD_OUTPUT, mayWait);
    output.write(`the log goes to standard output: ${thrown.message}\n`);
    return output;
  }
}
