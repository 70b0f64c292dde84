/**
 * A pipelined sender of any commands, for filling collections: one connection with two batches of about 64 KiB in flight.
 * Each reply must be one line and no error. Replies are counted by their line feeds.
 */

export interface FillPlan {
  port: number;
  /** Number of commands. */
  count: number;
  /** Arguments of command i. */
  command: (i: number) => readonly string[];
  /** Line feeds in one reply: 2 where it is a bulk string. Default 1. */
  replyLines?: number;
}

const BATCH_BYTES = 64 << 10;
const LF = 10;
const MINUS = 45;

/** One command as an array of bulk strings; every character is one byte. */
export function encode(args: readonly string[]): string {
  let text = `*${args.length}\r\n`;
  for (const arg of args) text += `$${arg.length}\r\n${arg}\r\n`;
  return text;
}

/** Sends all commands and awaits their replies. Rejects on an error reply or a lost connection. Returns the seconds taken. */
export async function fill(plan: FillPlan): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const replyLines = plan.replyLines ?? 1;
  const started = performance.now();
  const underWay: number[] = [];
  let next = 0;
  let lines = 0;
  let rest: Uint8Array = new Uint8Array(0);

  function write(socket: Bun.Socket): void {
    if (rest.length === 0) return;
    rest = rest.subarray(Math.max(socket.write(rest), 0));
  }
  function send(socket: Bun.Socket): void {
    while (underWay.length < 2 && rest.length === 0 && next < plan.count) {
      let text = "";
      let commands = 0;
      for (; next < plan.count && text.length < BATCH_BYTES; next++, commands++) text += encode(plan.command(next));
      underWay.push(commands * replyLines);
      rest = Buffer.from(text, "latin1");
      write(socket);
    }
    if (underWay.length === 0 && next >= plan.count) resolve();
  }

  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: plan.port,
    socket: {
      open: send,
      drain(socket) {
        write(socket);
        send(socket);
      },
      data(socket, bytes) {
        if (bytes[0] === MINUS) return reject(new Error(bytes.toString("latin1", 0, 200)));
        for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) lines++;
        while (underWay.length > 0 && lines >= underWay[0]!) lines -= underWay.shift()!;
        send(socket);
      },
      error: (_, error) => reject(error),
      close: () => reject(new Error("the server closed the connection")),
    },
  });
  await promise;
  socket.end();
  return (performance.now() - started) / 1000;
}
