/** Thread of the log: writes the lines of all threads (memory/log-queue.ts). A slow disk holds up nobody but it. */
import { systemClock } from "../base/clock.ts";
import { Config, type ConfigSnapshot } from "../base/config/config.ts";
import { realFiles } from "../base/files.ts";
import { LogQueue, QueueState } from "../memory/log-queue.ts";
import { nameThread } from "../memory/native.ts";
import { LogWriter } from "./log-writer.ts";

declare const self: Worker;

/** What the thread starts with. */
export interface LogThreadStart {
  readonly queue: SharedArrayBuffer;
  readonly rings: number;
  readonly size: number;
  readonly config: ConfigSnapshot;
}

/** It looks for dropped lines so often. */
const LOOK_MS = 500;

self.onmessage = (event: MessageEvent<LogThreadStart>) => {
  nameThread("log");
  const { queue: buffer, rings, size, config } = event.data;
  const queue = new LogQueue(buffer, rings, size);
  // The process has ended meanwhile.
  if (!queue.beginWriting()) return;
  const writer = new LogWriter(queue, Config.fromSnapshot(config), realFiles, systemClock);
  while (queue.state === QueueState.Writing) {
    writer.step();
    queue.sleep(LOOK_MS);
  }
  writer.end();
  queue.endWriting();
};
