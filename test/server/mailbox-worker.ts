/** A thread of mailbox.test.ts: a worker that sends, or the one that receives (worker 0). */
import { Mailbox, type MailHandlers } from "../../src/server/mailbox.ts";

declare const self: Worker;

export interface MailRun {
  memory: SharedArrayBuffer;
  ports: (MessagePort | null)[];
  worker: number;
  messages: number;
  /** Message `n` has `lengths[n % lengths.length]` bytes. */
  lengths: number[];
}

const SLEEP = new Int32Array(new SharedArrayBuffer(4));
const none = () => {};
const NOBODY: MailHandlers = {
  woken: none,
  served: none,
  pushed: none,
  published: none,
  publishedAll: none,
  invalid: none,
  broken: none,
  deliver: none,
  lost: none,
};

function send({ memory, ports, worker, messages, lengths }: MailRun): void {
  const mailbox = new Mailbox(worker, memory, ports, NOBODY);
  for (let n = 0; n < messages; n++) {
    const bytes = Buffer.alloc(lengths[n % lengths.length]!, n & 0xff);
    const nothing = bytes.subarray(0, 0);
    mailbox.push(0, n * 100 + worker, n % 2 === 0 ? bytes : nothing, n % 2 === 0 ? nothing : bytes, n);
    if (n % 16 !== 15) continue;
    mailbox.wake();
    if (n % 64 === 63) while (mailbox.isBehind(0)) Atomics.wait(SLEEP, 0, 0, 1);
  }
  mailbox.wake();
  self.postMessage("sent");
}

function receive({ memory, ports, messages, lengths }: MailRun): void {
  const next = new Map<number, number>();
  let left = messages * (ports.length - 1);
  let isOpen = false;
  const turn = (): void => {
    if (isOpen) return;
    isOpen = true;
    mailbox.work();
    setImmediate(() => {
      isOpen = false;
      mailbox.collect();
      if (!mailbox.rest()) turn();
    });
  };
  const pushed = (client: number, resp2: Buffer, resp3: Buffer, position: number): void => {
    const from = client % 100;
    const n = (client - from) / 100;
    const wanted = next.get(from) ?? 0;
    next.set(from, wanted + 1);
    const bytes = n % 2 === 0 ? resp2 : resp3;
    const isWhole = bytes.length === lengths[n % lengths.length] && bytes.every((byte) => byte === (n & 0xff));
    if (n !== wanted || position !== n || !isWhole || resp2.length + resp3.length !== bytes.length)
      self.postMessage(`message ${n} of ${from} in place of ${wanted}`);
    if (--left === 0) self.postMessage("received");
  };
  const mailbox = new Mailbox(0, memory, ports, {
    ...NOBODY,
    woken: turn,
    pushed,
    lost: () => self.postMessage("lost"),
  });
  turn();
}

self.onmessage = (event: MessageEvent<MailRun>) => {
  if (event.data.worker === 0) receive(event.data);
  else send(event.data);
};
