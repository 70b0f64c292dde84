/** The main thread's side of the log: the queue, and the thread that writes it. */
import { systemClock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import { realFiles } from "../base/files.ts";
import type { LogRoot } from "../base/log.ts";
import { LogQueue } from "../memory/log-queue.ts";
import { ClockWatch } from "./clock-watch.ts";
import type { LogThreadStart } from "./log-thread.ts";
import { LogWriter } from "./log-writer.ts";

/** At the end of the process the last lines have this long. A disk that hangs does not keep it from ending. */
const CLOSE_MS = 2000;
/** Lines that repeat are reported so often, and the clock is looked at. */
const LOOK_MS = 1000;
/** Without its thread the log is written so often. */
const STEP_MS = 100;

export class LogControl {
  readonly queue: LogQueue;
  private substitute: LogWriter | null = null;
  private isClosed = false;

  /** From here on the lines of the main thread go through the queue. */
  constructor(
    private readonly config: Config,
    private readonly logs: LogRoot,
    /** Workers have the rings 0 to workers-1, the main thread has the last one. */
    workers: number,
  ) {
    this.queue = LogQueue.make(workers + 1, config.number("logging.buffer_size"));
    logs.redirect(this.queue.sink(workers, () => this.close()));
    const clock = new ClockWatch(systemClock, logs.target("server"));
    setInterval(() => {
      clock.look();
      logs.tick();
    }, LOOK_MS).unref();
    const thread = new Worker(new URL("./log-thread.ts", import.meta.url));
    thread.onerror = (event) => this.failed(event.message);
    const { buffer, rings, size } = this.queue;
    const start: LogThreadStart = { queue: buffer, rings, size, config: config.toSnapshot() };
    thread.postMessage(start);
  }

  /** Has the log file opened anew. Returns false when there is none. */
  reopen(): boolean {
    if (this.config.text("logging.log_file") === "") return false;
    this.queue.askReopen();
    return true;
  }

  /** Writes the lines here from now on. A disk that hangs can then hold up the main thread, but no worker. */
  private failed(text: string): void {
    if (this.isClosed || this.substitute !== null) return;
    const writer = this.writer();
    this.substitute = writer;
    setInterval(() => writer.step(), STEP_MS).unref();
    this.logs
      .target("log")
      .error("log_thread_failed", `the main thread writes the log, because its thread failed: ${text}`);
  }

  private writer(): LogWriter {
    return new LogWriter(this.queue, this.config, realFiles, systemClock);
  }

  private close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.substitute !== null) return this.substitute.end();
    if (!this.queue.close(CLOSE_MS) && this.queue.beginWriting()) this.writer().end();
  }
}
