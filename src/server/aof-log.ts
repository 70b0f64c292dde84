/**
 * The main thread's side of the append-only file: starts its thread, passes changes of the configuration on, reports its
 * trouble, and stops it.
 */
import type { Config } from "../base/config/config.ts";
import type { Logger } from "../base/log.ts";
import { ChangeLog } from "../memory/change-log.ts";
import type { Control } from "../memory/control.ts";
import { AppendState } from "../persistence/append-state.ts";
import type { RecoveredAof } from "./aof-recovery.ts";
import type { AofThreadMessage, AofThreadStart, FromAofThread } from "./messages.ts";

/** The thread must have written what is left within this time. */
const STOP_MS = 10_000;

export class AofLog {
  private thread: Worker | null = null;
  private port: MessagePort | null = null;
  private changeLog: ChangeLog | null = null;
  private begun: { resolve: () => void; reject: (error: Error) => void } | null = null;
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
    config.onChange("persistence.aof_fsync", () => this.tell({ kind: "fsync", fsync: this.fsync }));
  }

  private get fsync(): AofThreadStart["fsync"] {
    return this.config.text("persistence.aof_fsync") as AofThreadStart["fsync"];
  }

  /** Begins the log and starts the thread. Resolves with a port for each worker, through which it hears of syncs. */
  async start(): Promise<MessagePort[]> {
    const { recovered, control } = this;
    this.changeLog = new ChangeLog(control, Bun.mmap(recovered.ring, { shared: true }));
    this.changeLog.begin(recovered.position);
    const state = new AppendState(control);
    state.set("cutBytes", recovered.cutBytes);
    state.set("ringBytes", recovered.ringBytes);
    const channels = Array.from({ length: this.workers }, () => new MessageChannel());
    const own = new MessageChannel();
    this.port = own.port1;
    const start: AofThreadStart = {
      control: control.buffer,
      ring: recovered.ring,
      path: recovered.path,
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
      case "stopped":
        this.stopped!(message.isSafe);
        return;
      case "trouble":
        if (message.isFatal) this.failed(message.text);
        else this.report(message.text, message.isLasting);
    }
  }

  private report(text: string, isLasting: boolean): void {
    if (text === "") this.log.info("the append-only file is written again; writes are accepted");
    else if (isLasting) this.log.error("aof_failed", `${text}: writes are refused until the file has been rewritten`);
    else this.log.error("aof_failed", `${text}: writes are refused until it succeeds`);
  }

  /** Writes and syncs what is left. Resolves with false when that failed. */
  async stop(): Promise<boolean> {
    if (this.thread === null) return true;
    const stopped = new Promise<boolean>((resolve) => {
      this.stopped = resolve;
      setTimeout(() => resolve(false), STOP_MS);
    });
    this.tell({ kind: "stop" });
    return stopped;
  }
}
