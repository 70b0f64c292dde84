/**
 * Thread of the append-only file: takes the change log from its ring into the file and syncs the file, as
 * persistence.aof_fsync says. It sleeps on a word of the log, so its messages are looked for whenever it wakes. While it
 * sleeps, workers may have the file (persistence/aof-share.ts).
 *
 *   always    written and synced when a worker asks for it, at the latest after 100 ms
 *   everysec  written about ten times a second, synced once a second (persistence/sync-schedule.ts)
 *   no        written about ten times a second
 */
import { receiveMessageOnPort } from "node:worker_threads";
import { systemClock } from "../base/clock.ts";
import { FileFailure, realFiles } from "../base/files.ts";
import { ChangeLog, LogState } from "../memory/change-log.ts";
import { nameThread } from "../memory/native.ts";
import { Control } from "../memory/control.ts";
import { AppendState } from "../persistence/append-state.ts";
import { AofShare } from "../persistence/aof-share.ts";
import { AofWriter } from "../persistence/aof-writer.ts";
import { SyncSchedule } from "../persistence/sync-schedule.ts";
import type { AofThreadMessage, AofThreadStart, FromAofThread } from "./messages.ts";

declare const self: Worker;

nameThread("aof");

/** A new file is completed for so long between two looks at the log, ms. */
const TAIL_MS = 20;

function tell(message: FromAofThread): void {
  self.postMessage(message);
}

class AofThread {
  private readonly log: ChangeLog;
  private readonly writer: AofWriter;
  private readonly state: AppendState;
  private readonly share: AofShare;
  private readonly schedule = new SyncSchedule(systemClock.monotonicMs());
  private told = "";
  private isStopping = false;
  /** A new file is being completed. */
  private isReplacing = false;
  private fsync: AofThreadStart["fsync"];

  /** The file that is appended to. */
  private path: string;

  constructor(private readonly start: AofThreadStart) {
    this.path = start.path;
    const control = Control.attach(start.control);
    this.log = new ChangeLog(control, Bun.mmap(start.ring, { shared: true }));
    this.state = new AppendState(control);
    this.state.set("baseBytes", start.bytes);
    this.share = new AofShare(control);
    this.share.begin();
    const file = realFiles.open(start.path, "a", 0o640);
    this.writer = new AofWriter(realFiles, file, start.bytes, this.log, start.logId, () => systemClock.monotonicMs());
    this.fsync = start.fsync;
  }

  begin(): void {
    this.writer.begin();
    this.log.waitsForSync = this.fsync === "always";
    this.log.state = LogState.On;
    this.state.set("isOn", 1);
    tell({ kind: "begun" });
  }

  run(): void {
    while (!this.isStopping) {
      const { log } = this;
      const seen = log.wakeCount;
      this.share.take(this.writer);
      this.receive();
      const isWritten = this.writeAndSync();
      if (this.isReplacing) this.stepReplace();
      this.giveFile();
      this.report();
      if (!this.isReplacing && !this.isStopping)
        log.sleep(seen, this.schedule.sleepMs(isWritten, systemClock.monotonicMs()));
    }
    this.finish();
  }

  /** Gives the file away until the next step, and wakes the workers whose replies may have become free. */
  private giveFile(): void {
    const { share, writer, state, fsync } = this;
    state.set("hasFailed", writer.trouble.text === "" ? 0 : 1);
    share.give(writer, fsync === "always" && !this.isStopping && writer.canBeLent);
    for (const [worker, port] of this.start.workers.entries()) if (share.unmark(worker)) port.postMessage(null);
  }

  /** Writes and syncs what is due. Returns false when the file cannot be written. */
  private writeAndSync(): boolean {
    const { log } = this;
    const { durable } = log;
    const isWritten = this.schedule.run(this.writer, this.fsync, systemClock.monotonicMs());
    if (isWritten && log.hasWaiting && log.durable !== durable) this.wakeAll();
    return isWritten;
  }

  /** All workers look for replies that may leave, and for clients that need not wait any more. */
  private wakeAll(): void {
    for (const port of this.start.workers) port.postMessage(null);
  }

  /** Tells the main thread of trouble, once, and when it is over. */
  private report(): void {
    const { text, isLasting } = this.writer.trouble;
    if (text === this.told) return;
    this.told = text;
    // What was promised to be on the disk before its reply cannot be: nothing more is promised (Redis does the same).
    const isFatal = text !== "" && this.fsync === "always";
    tell({ kind: "trouble", text, isLasting, isFatal });
  }

  private receive(): void {
    for (let got = receiveMessageOnPort(this.start.port); got; got = receiveMessageOnPort(this.start.port)) {
      const message = got.message as AofThreadMessage;
      this.obey(message);
    }
  }

  private obey(message: AofThreadMessage): void {
    switch (message.kind) {
      case "stop":
        this.isStopping = true;
        return;
      case "fsync":
        return this.setFsync(message.fsync);
      case "beginRewrite":
        this.writer.beginRewrite();
        return tell({ kind: "rewriteBegun" });
      case "abandonRewrite":
        this.isReplacing = false;
        return this.writer.abandonRewrite();
      case "replaceBy":
        return this.replace(() => {
          this.writer.beginTail(message.base, message.position, this.path, this.start.target);
          this.isReplacing = true;
        });
    }
  }

  /** A part of what the new file lacks, and its change of place when it lacks nothing. */
  private stepReplace(): void {
    this.replace(() => {
      const until = systemClock.monotonicMs() + TAIL_MS;
      while (!this.writer.stepTail()) if (systemClock.monotonicMs() > until) return;
      this.writer.finishTail();
      this.isReplacing = false;
      this.path = this.start.target;
      this.state.set("baseBytes", this.writer.length);
      tell({ kind: "replaced", failure: "", bytes: this.writer.length });
    });
  }

  private replace(work: () => void): void {
    try {
      work();
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      this.isReplacing = false;
      this.writer.abandonRewrite();
      tell({ kind: "replaced", failure: thrown.message, bytes: 0 });
    }
  }

  private setFsync(fsync: AofThreadStart["fsync"]): void {
    this.fsync = fsync;
    this.log.waitsForSync = fsync === "always";
    // Replies that waited for a sync need none any more.
    if (fsync !== "always") this.wakeAll();
  }

  private finish(): void {
    const { writer, log } = this;
    this.share.take(writer);
    const isSafe = writer.drain() && writer.sync();
    this.share.give(writer, false);
    if (this.fsync === "always") this.wakeAll();
    log.waitsForSync = false;
    log.state = LogState.Off;
    this.state.set("isOn", 0);
    writer.close();
    tell({ kind: "stopped", isSafe });
  }
}

self.onmessage = (event: MessageEvent<AofThreadStart>) => {
  try {
    const thread = new AofThread(event.data);
    thread.begin();
    thread.run();
  } catch (thrown) {
    tell({ kind: "failed", text: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown) });
  }
};
