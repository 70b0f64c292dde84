/** Takes 100 lines out of a queue, sleeping while there are none. */
import { LogQueue } from "../../src/memory/log-queue.ts";

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<SharedArrayBuffer>) => {
  const queue = new LogQueue(data, 1, 64);
  const into = Buffer.alloc(64);
  for (let got = 0; got < 100; ) {
    const bytes = queue.take(0, into);
    got += into.toString("latin1", 0, bytes).split("\n").length - 1;
    if (bytes === 0) queue.sleep(30_000);
  }
  self.postMessage("all");
};
