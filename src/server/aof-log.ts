/**
 * The main thread's side of the append-only file: starts its thread, passes changes of the configuration on, reports its
 * trouble, and stops it.
 */
import { dirname, join } from "node:path";
import { systemClock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import { realFiles } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import { ChangeLog } from "../memory/change-log.ts";
import type { Control } from "../memory/control.ts";
import { AppendState } from "../persistence/append-state.ts";
import { hasGrown } from "../persistence/rewrite-rule.ts";
import type { AofBase } from "../persistence/rdb-persistence.ts";
import type { RecoveredAof } from "./aof-recovery.ts";
import type { AofThreadMessage, AofThreadStart, FromAofThread } from "./messages.ts";

/** Pause after a rewrite that failed, doubled with each, ms. */
const RETRY_MS = 500;
const RETRY_MS_MAX = 60_000;
/** The thread must have written what is left within this time. */
const STOP_MS = 10_000;
/** What a rewrite came to whose file was turned off meanwhile. */
const STOPPED = "the append-only file was turned off";

export class AofLog {
  private thread: Worker | null = null;
  private port: MessagePort | null = null;
  private changeLog: ChangeLog | null = null;
  /** Position behind the last effect. */
  get end(): number {
    return this.changeLog!.end;
  }
  private begun: { resolve: () => void; reject: (error: Error) => void } | null = null;
  private rewriteBegun: (() => void) | null = null;
  private replaced: ((failure: string) => void) | null = null;
  /** The file cannot be trusted any more, and when the next rewrite may begin, monotonic ms. */
  private mustRewrite = false;
  private retryMs = 0;
  private isStopped = false;
  private readonly state: AppendState;
  private stopped: ((isSafe: boolean) => void) | null = null;

  constructor(
    private readonly config: Config,
    private readonly log: Logger,
    private readonly control: Control,
    private readonly workers: number,
    readonly recovered: RecoveredAof,
    /** Stops the process: appendfsync is always, and the file cannot be written. */
    private readonly failed: (text: string) => void,
  ) {
    this.state = new AppendState(control);
    this.state.set("rewriteSeconds", -1);
    config.onChange("persistence.aof_fsync", () => this.tell({ kind: "fsync", fsync: this.fsync }));
  }

  private get fsync(): AofThreadStart["fsync"] {
    return this.config.text("persistence.aof_fsync") as AofThreadStart["fsync"];
  }

  /** Begins the log and starts the thread. Resolves with a port for each worker, through which it hears of syncs. */
  async start(): Promise<MessagePort[]> {
    const { recovered, control } = this;
    this.changeLog = new ChangeLog(control, Bun.mmap(recovered.ring, { shared: true }));
    // Positions of shards and replies outlive a log that was turned off: the next one never goes back behind them.
    this.changeLog.begin(Math.max(recovered.position, this.changeLog.end));
    this.state.set("cutBytes", recovered.cutBytes);
    this.state.set("ringBytes", recovered.ringBytes);
    const channels = Array.from({ length: this.workers }, () => new MessageChannel());
    const own = new MessageChannel();
    this.port = own.port1;
    const start: AofThreadStart = {
      control: control.buffer,
      ring: recovered.ring,
      path: recovered.path,
      target: recovered.target,
      bytes: recovered.bytes,
      logId: recovered.logId,
      fsync: this.fsync,
      port: own.port2,
      workers: channels.map((channel) => channel.port1),
    };
    this.thread = new Worker(new URL("./aof-thread.ts", import.meta.url));
    this.thread.onmessage = (event: MessageEvent<FromAofThread>) => this.receive(event.data);
    const begun = new Promise<void>((resolve, reject) => {
      this.begun = { resolve, reject };
    });
    this.thread.postMessage(start, [own.port2, ...start.workers]);
    await begun;
    return channels.map((channel) => channel.port2);
  }

  private tell(message: AofThreadMessage): void {
    this.port?.postMessage(message);
    this.changeLog?.wake();
  }

  private receive(message: FromAofThread): void {
    switch (message.kind) {
      case "begun":
        this.begun!.resolve();
        return;
      case "failed":
        this.begun!.reject(new Error(message.text));
        return;
      case "rewriteBegun":
        this.rewriteBegun!();
        return;
      case "replaced":
        this.replaced!(message.failure);
        return;
      case "stopped":
        this.stopped!(message.isSafe);
        return;
      case "trouble":
        if (message.isFatal) this.failed(message.text);
        else this.report(message.text, message.isLasting);
    }
  }

  private report(text: string, isLasting: boolean): void {
    if (isLasting) this.mustRewrite = true;
    if (text === "") this.log.info("the append-only file is written again; writes are accepted");
    else if (isLasting) this.log.error("aof_failed", `${text}: writes are refused until the file has been rewritten`);
    else this.log.error("aof_failed", `${text}: writes are refused until it succeeds`);
  }

  /** True while the file is rewritten. */
  get isRewriting(): boolean {
    return this.state.get("isRewriting") === 1;
  }

  /** True when a rewrite that is wanted may begin. */
  get mayRewrite(): boolean {
    return !this.isRewriting && this.thread !== null && systemClock.monotonicMs() >= this.retryMs;
  }

  /** True when the file has grown so much that it is to be rewritten, or must be because it cannot be trusted. */
  get wantsRewrite(): boolean {
    const { config, state } = this;
    return this.mayRewrite && (this.mustRewrite || hasGrown(config, state.get("bytes"), state.get("baseBytes")));
  }

  /**
   * Rewrites the file. `writeBase` has a worker write the data as of some position of the log to a file of that name. A
   * crash at any moment leaves the old file or the new one.
   */
  rewrite(writeBase: (name: string) => Promise<AofBase>): Promise<void> {
    this.rewriting = this.rewriteNow(writeBase);
    return this.rewriting;
  }
  /** Resolves when no rewrite is under way any more, also after `stop`. */
  rewriting: Promise<void> = Promise.resolve();

  private async rewriteNow(writeBase: (name: string) => Promise<AofBase>): Promise<void> {
    const { state } = this;
    const beganMs = systemClock.monotonicMs();
    state.set("isRewriting", 1);
    state.set("rewriteBeganMs", systemClock.wallMs());
    const failure = await this.replaceFile(writeBase);
    const seconds = (systemClock.monotonicMs() - beganMs) / 1000;
    state.set("isRewriting", 0);
    state.set("rewriteSeconds", Math.floor(seconds));
    if (failure === STOPPED) return this.log.info("the rewrite of the append-only file was given up with the file");
    if (failure === "") {
      this.mustRewrite = false;
      state.set("rewrites", state.get("rewrites") + 1);
      state.set("rewriteFailures", 0);
      this.log.info(`append-only file rewritten: ${state.get("baseBytes")} bytes, ${seconds.toFixed(3)} s`);
      return;
    }
    const failures = state.get("rewriteFailures") + 1;
    state.set("rewriteFailures", failures);
    this.retryMs = systemClock.monotonicMs() + Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** failures);
    this.log.error("aof_rewrite_failed", `the append-only file could not be rewritten: ${failure}`);
  }

  /** Returns why it failed, "" = it did not. */
  private async replaceFile(writeBase: (name: string) => Promise<AofBase>): Promise<string> {
    const begun = new Promise<void>((resolve) => {
      this.rewriteBegun = resolve;
    });
    this.tell({ kind: "beginRewrite" });
    await begun;
    if (this.isStopped) return STOPPED;
    const name = `temp-rewriteaof-${process.pid}.aof`;
    const base = await writeBase(name);
    if (base.failure !== "") {
      base.settle?.(false);
      this.tell({ kind: "abandonRewrite" });
      return base.failure;
    }
    if (this.isStopped) {
      realFiles.unlink(join(dirname(this.recovered.target), name));
      base.settle?.(false);
      return STOPPED;
    }
    const replaced = new Promise<string>((resolve) => {
      this.replaced = resolve;
    });
    this.tell({ kind: "replaceBy", base: join(dirname(this.recovered.target), name), position: base.position });
    const failure = await replaced;
    // After a failure either file may be in place: what both refer to stays.
    if (failure === "") base.settle?.(true);
    return failure;
  }

  /** Writes and syncs what is left. Resolves with false when that failed. */
  async stop(): Promise<boolean> {
    if (this.thread === null) return true;
    const stopped = new Promise<boolean>((resolve) => {
      this.stopped = resolve;
      setTimeout(() => resolve(false), STOP_MS);
    });
    this.tell({ kind: "stop" });
    const isSafe = await stopped;
    // The thread is gone: it answers no rewrite any more.
    this.isStopped = true;
    this.rewriteBegun?.();
    this.replaced?.(STOPPED);
    return isSafe;
  }
}
