/**
 * A fast pipelined writer: fills a server with SETs, or deletes keys, over raw sockets.
 *
 * Each connection owns one request buffer of `batch` equal commands, in which only the twelve digits of each key change:
 *
 *   *3 CRLF $3 CRLF SET CRLF $16 CRLF key:000000012345 CRLF $64 CRLF <64 bytes> CRLF  *3 CRLF ...
 *                                         └─ 12 digits ┘
 *
 * The keys are those of redis-benchmark (key:%012d), so that its GETs hit what was loaded here. Every reply must be one
 * line and no error; replies are counted by their line feeds.
 */
import type { Socket } from "bun";

export const KEY_BYTES = 16;
const DIGITS = 12,
  LF = 10,
  MINUS = 45;

/** A buffer the kernel has not taken whole yet continues here. */
class Writer {
  #queue: Uint8Array[] = [];

  send(socket: Socket, bytes: Uint8Array): void {
    if (this.#queue.length > 0) {
      this.#queue.push(bytes.slice());
      return;
    }
    const written = socket.write(bytes);
    if (written < bytes.length) this.#queue.push(bytes.slice(Math.max(written, 0)));
  }

  drain(socket: Socket): void {
    while (this.#queue.length > 0) {
      const first = this.#queue[0]!;
      const written = Math.max(socket.write(first), 0);
      if (written < first.length) {
        this.#queue[0] = first.subarray(written);
        return;
      }
      this.#queue.shift();
    }
  }
}

/** Seeded 32-bit generator (mulberry32): quick, and the same sequence everywhere. */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function randomBytes(length: number, random: () => number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = 33 + Math.floor(random() * 94); // printable: readable in a debugger
  return bytes;
}

function writeDigits(buffer: Uint8Array, at: number, value: number): void {
  for (let i = DIGITS - 1; i >= 0; i--) {
    const next = Math.floor(value / 10);
    buffer[at + i] = 48 + (value - next * 10);
    value = next;
  }
}

export interface LoadPlan {
  port: number;
  /** Number of commands in all. */
  count: number;
  /** Key number of command i, or -1 to leave it out. Default: i. */
  keyOf?: (i: number) => number;
  /** Length of command i's value; batches hold commands of one length. Default: 64. Not used by DEL. */
  valueBytes?: number;
  command?: "SET" | "DEL";
  connections?: number;
  /** Commands per write; smaller for large values, so that a write stays near 64 KiB. */
  batch?: number;
  /** Called about once a batch; answering false stops early. */
  keepGoing?: (sent: number) => boolean;
  seed?: number;
}

export interface LoadResult {
  sent: number;
  seconds: number;
}

/** Runs the plan to its end; rejects on an error reply or a lost connection. */
export async function load(plan: LoadPlan): Promise<LoadResult> {
  const valueBytes = plan.valueBytes ?? 64,
    isSet = (plan.command ?? "SET") === "SET";
  const batch = plan.batch ?? Math.max(1, Math.min(512, Math.floor(65_536 / (valueBytes + 60))));
  const random = randomSource(plan.seed ?? 1);
  const started = performance.now();
  let next = 0,
    sent = 0;

  const one = (): Promise<void> =>
    new Promise((done, fail) => {
      const before = isSet ? `*3\r\n$3\r\nSET\r\n$${KEY_BYTES}\r\nkey:` : `*2\r\n$3\r\nDEL\r\n$${KEY_BYTES}\r\nkey:`;
      const value = isSet ? `$${valueBytes}\r\n` : "";
      const commandBytes = before.length + DIGITS + 2 + (isSet ? value.length + valueBytes + 2 : 0);
      const buffers = [0, 1].map(() => {
        const buffer = Buffer.alloc(commandBytes * batch);
        for (let i = 0; i < batch; i++) {
          let at = i * commandBytes;
          at += buffer.write(before, at, "latin1") + DIGITS;
          at += buffer.write(`\r\n${value}`, at, "latin1");
          if (isSet) {
            buffer.set(randomBytes(valueBytes, random), at);
            buffer.write("\r\n", at + valueBytes, "latin1");
          }
        }
        return buffer;
      });
      const writer = new Writer();
      let inFlight: number[] = [],
        turn = 0,
        finished = false;

      const fill = (socket: Socket): void => {
        while (inFlight.length < 2 && !finished) {
          const buffer = buffers[turn]!;
          let filled = 0;
          while (filled < batch && next < plan.count) {
            const key = plan.keyOf === undefined ? next : plan.keyOf(next);
            next++;
            if (key < 0) continue;
            writeDigits(buffer, filled * commandBytes + before.length, key);
            filled++;
          }
          if (filled < batch) finished = true;
          if (filled > 0) {
            turn ^= 1;
            inFlight.push(filled);
            sent += filled;
            writer.send(socket, buffer.subarray(0, filled * commandBytes));
            if (plan.keepGoing !== undefined && !plan.keepGoing(sent)) next = plan.count;
          }
        }
        if (finished && inFlight.length === 0) {
          socket.end();
          done();
        }
      };

      Bun.connect({
        hostname: "127.0.0.1",
        port: plan.port,
        socket: {
          open(socket) {
            socket.setNoDelay(true);
            fill(socket);
          },
          drain(socket) {
            writer.drain(socket);
          },
          data(socket, chunk) {
            if (chunk.indexOf(MINUS) >= 0) {
              fail(new Error(`error reply: ${chunk.toString("latin1").slice(0, 200)}`));
              socket.terminate();
              return;
            }
            for (let at = chunk.indexOf(LF); at >= 0; at = chunk.indexOf(LF, at + 1)) {
              if (--inFlight[0]! === 0) inFlight.shift();
            }
            fill(socket);
          },
          close() {
            if (!finished || inFlight.length > 0) fail(new Error("the server closed a loader connection"));
          },
          error(_, error) {
            fail(error);
          },
          connectError(_, error) {
            fail(error);
          },
        },
      }).catch(fail);
    });

  await Promise.all(Array.from({ length: plan.connections ?? 4 }, one));
  return { sent, seconds: (performance.now() - started) / 1000 };
}
