/**
 * The loads that run beside the bystander of latency.ts, each in a process of its own.
 *
 *   bun bench/loads.ts load     PORT COUNT    SET of COUNT new keys, so that the index grows all the time
 *   bun bench/loads.ts large    PORT BYTES    one value of BYTES is set, read, appended to (1 MiB) and deleted, repeatedly
 *   bun bench/loads.ts pipeline PORT BYTES    one connection sends BYTES of SET and GET in one write and reads the replies,
 *                                             repeatedly
 *
 * Ends when its work is done (load) or when killed. Prints one line of progress per round.
 */
import { encodeCommand, RespClient } from "../test/support/resp.ts";
import { load } from "./loader.ts";

const [name, portText, sizeText] = process.argv.slice(2) as [string, string, string];
const port = Number(portText),
  size = Number(sizeText);
const FIRST_NEW_KEY = 1_000_000_000; // far from the keys of the bystander

const CHUNK = Buffer.alloc(1 << 20, "v");

/** Sends a command whose last argument is `bytes` of payload, in chunks, and waits for its one-line reply. */
function sendLarge(prefix: readonly string[], bytes: number): Promise<void> {
  return exchange(
    [
      Buffer.from(
        `*${prefix.length + 1}\r\n${prefix.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}$${bytes}\r\n`,
        "latin1",
      ),
      ...Array.from({ length: Math.ceil(bytes / CHUNK.length) }, (_, i) =>
        CHUNK.subarray(0, Math.min(CHUNK.length, bytes - i * CHUNK.length)),
      ),
      Buffer.from("\r\n"),
    ],
    (chunk) => (chunk[chunk.length - 1] === 10 ? chunk.toString("latin1") : null),
  );
}

function readLarge(key: string, bytes: number): Promise<void> {
  const expected = `$${bytes}\r\n`.length + bytes + 2;
  let received = 0;
  return exchange([encodeCommand(["GET", key])], (chunk) => {
    if (received === 0 && chunk[0] === 45) return chunk.toString("latin1");
    received += chunk.length;
    return received >= expected ? "+" : null;
  });
}

/** One request and its reply on a fresh connection. `finished` gives the reply's first line once the reply is whole. */
function exchange(pieces: Uint8Array[], finished: (chunk: Buffer) => string | null): Promise<void> {
  return new Promise((done, fail) => {
    let piece = 0,
      offset = 0;
    const send = (socket: Bun.Socket): void => {
      while (piece < pieces.length) {
        const written = socket.write(pieces[piece]!.subarray(offset));
        if (written <= 0) return;
        offset += written;
        if (offset < pieces[piece]!.length) return;
        piece++;
        offset = 0;
      }
    };
    Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: send,
        drain: send,
        data(socket, chunk) {
          const line = finished(chunk);
          if (line === null) return;
          if (line.startsWith("-")) fail(new Error(line.trim()));
          else done();
          socket.end();
        },
        close() {
          fail(new Error("closed by the server"));
        },
        error(_, error) {
          fail(error);
        },
      },
    }).catch(fail);
  });
}

switch (name) {
  case "load": {
    const done = await load({ port, count: size, keyOf: (i) => FIRST_NEW_KEY + i, connections: 2, batch: 64 });
    console.log(`loaded ${done.sent} keys in ${done.seconds.toFixed(1)} s`);
    break;
  }
  case "large":
    for (let round = 1; ; round++) {
      const times: string[] = [];
      for (const step of [
        () => sendLarge(["SET", "large"], size),
        () => readLarge("large", size),
        () => sendLarge(["APPEND", "large"], CHUNK.length),
        () => exchange([encodeCommand(["DEL", "large"])], (chunk) => chunk.toString("latin1")),
      ]) {
        const start = performance.now();
        await step();
        times.push((performance.now() - start).toFixed(0));
      }
      console.log(`round ${round}: set, get, append, del took ${times.join(", ")} ms`);
    }
  case "pipeline": {
    const client = await RespClient.connect({ port });
    const commands: Buffer[] = [];
    for (let bytes = 0, i = 0; bytes < size; i++) {
      const key = `pipeline:${i % 5000}`;
      commands.push(encodeCommand(i % 2 === 0 ? ["SET", key, "v".repeat(64)] : ["GET", key]));
      bytes += commands.at(-1)!.length;
    }
    const request = Buffer.concat(commands);
    for (let round = 1; ; round++) {
      const start = performance.now();
      client.write(request);
      for (let i = 0; i < commands.length; i++) await client.next();
      if (round % 50 === 0)
        console.log(`round ${round}: ${commands.length} commands took ${(performance.now() - start).toFixed(1)} ms`);
      await Bun.sleep(20);
    }
  }
  default:
    console.error(`unknown load ${name}`);
    process.exit(2);
}
process.exit(0);
