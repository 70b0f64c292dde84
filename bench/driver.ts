/**
 * A closed-loop client for commands that redis-benchmark cannot send, because it writes its random numbers with leading
 * zeros, which bit offsets may not have.   bun bench/driver.ts '<DriverPlan as JSON>' prints requests per second.
 *
 * Every connection cycles through prepared batches, one at a time. Replies are counted by their line feeds. One that begins
 * with "-" ends the run.
 */
import type { Socket } from "bun";
import { randomSource } from "./loader.ts";

export interface DriverPlan {
  port: number;
  clients: number;
  /** Commands in a batch. */
  pipeline: number;
  requests: number;
  /** Arguments; "<n>" anywhere in one becomes a random number below n, "<+n>" the random number before plus n. */
  command: string[];
  /** Line feeds in one reply. */
  replyLines: number;
}

const BATCHES = 512;
const LF = 10;
const MINUS = 45;

const plan = JSON.parse(process.argv[2]!) as DriverPlan;
const random = randomSource(11);

function encode(command: readonly string[]): string {
  let last = 0;
  const args = command.map((arg) =>
    arg.replace(/<(\+?)(\d+)>/g, (_, plus, number) => {
      if (plus === "+") return String(last + Number(number));
      last = Math.floor(random() * Number(number));
      return String(last);
    }),
  );
  return `*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join("")}`;
}
const batches = Array.from({ length: BATCHES }, () =>
  Buffer.from(Array.from({ length: plan.pipeline }, () => encode(plan.command)).join(""), "latin1"),
);

let sent = 0;
let answered = 0;
let batch = 0;
const linesPerBatch = plan.pipeline * plan.replyLines;
const start = performance.now();
const done = Promise.withResolvers<void>();

function send(socket: Socket<{ lines: number }>): void {
  if (sent >= plan.requests) return;
  sent += plan.pipeline;
  const bytes = batches[batch++ % BATCHES]!;
  if (socket.write(bytes) !== bytes.length) done.reject(new Error("a batch did not fit the socket"));
}

for (let i = 0; i < plan.clients; i++) {
  await Bun.connect<{ lines: number }>({
    hostname: "127.0.0.1",
    port: plan.port,
    data: { lines: 0 },
    socket: {
      open: send,
      data(socket, bytes) {
        if (bytes[0] === MINUS) return done.reject(new Error(Buffer.from(bytes).toString("latin1", 0, 200)));
        for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) socket.data.lines++;
        if (socket.data.lines < linesPerBatch) return;
        socket.data.lines = 0;
        answered += plan.pipeline;
        if (answered >= plan.requests) done.resolve();
        else send(socket);
      },
      error: (_, error) => done.reject(error),
      close: () => done.reject(new Error("the server closed the connection")),
    },
  });
}
await done.promise;
console.log((answered / ((performance.now() - start) / 1000)).toFixed(1));
process.exit(0);
