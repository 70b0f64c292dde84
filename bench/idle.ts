/**
 * Holds idle connections, as many as its second argument says, until its input ends.   (run by connections.ts)
 * Each has sent a PING. Prints "ready" when all are there.
 */
const [port, count] = process.argv.slice(2).map(Number) as [number, number];
/** Connections that are being opened at the same time: the accept queue has 511 places. */
const TOGETHER = 100;

let answered = 0;
const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
const socket = {
  open: (one: Bun.Socket) => void one.write("PING\r\n"),
  data: () => {
    answered++;
    if (answered === count) resolve();
  },
  close: () => reject(new Error("the server has closed an idle connection")),
};
for (let opened = 0; opened < count; opened += TOGETHER) {
  const some = Math.min(TOGETHER, count - opened);
  await Promise.all(Array.from({ length: some }, () => Bun.connect({ hostname: "127.0.0.1", port, socket })));
}
await ready;
console.log("ready");
for await (const _ of Bun.stdin.stream()) {
  // Nothing is said: only the end counts.
}
process.exit(0);

export {};
