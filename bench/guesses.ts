/**
 * A million wrong passwords: what they cost the server's memory and its other clients, with and without the guard that makes
 * addresses wait (server.auth_delay_max). Guesses come pipelined over connections from many addresses of this machine; a
 * bystander that has logged in sends PING and GET meanwhile.
 *
 *   guard off   all guesses are looked at: ends when all are refused
 *   guard on    the connections hold their guesses back: ends after --seconds, and counts how many were looked at
 */
import { connect, type Socket } from "node:net";
import { ask, encodeCommand, type RespClient } from "../test/support/resp.ts";
import { residentBytes, type Server, startFerrite } from "../test/support/servers.ts";
import { BEFORE_OTHERS, schedstatsOf, startBystander } from "./bystander.ts";
import { load } from "./loader.ts";
import { Options, printHead, table } from "./machine.ts";

const options = new Options(
  {
    guesses: "wrong passwords, default 1m",
    connections: "from which they come, default 200",
    addresses: "of these connections, 127.0.1.1 and so on, default 100",
    seconds: "for which they are watched with the guard on, default 30",
    rate: "requests per second of the bystander, default 1000",
  },
  "bun bench/guesses.ts [options]: the cost of many wrong passwords",
);
const GUESSES = options.number("guesses", 1e6);
const CONNECTIONS = options.number("connections", 200);
const ADDRESSES = options.number("addresses", 100);
const SECONDS = options.number("seconds", 30);
const RATE = options.number("rate", 1000);
const WORKERS = 2;
const KEYS = 10_000;
const MIB = 1 << 20;
/** Guesses of one write. */
const BATCH = 500;
/** The bench gives up after so long. */
const LIMIT_SECONDS = 300;

class Guesser {
  answered = 0;
  private toSend = Math.ceil(GUESSES / CONNECTIONS);
  private readonly batch: Buffer;

  private constructor(
    private readonly socket: Socket,
    n: number,
  ) {
    const one = (i: number): Buffer => Buffer.from(encodeCommand(["AUTH", "guarded", `wrong:${n}:${i}`]));
    this.batch = Buffer.concat(Array.from({ length: BATCH }, (_, i) => one(i)));
    socket.on("data", (bytes) => {
      for (const byte of bytes) if (byte === 10) this.answered++;
    });
    socket.on("drain", () => this.send());
    socket.on("error", () => {});
  }

  static async open(port: number, n: number): Promise<Guesser> {
    const address = n % ADDRESSES;
    const localAddress = `127.0.${1 + Math.floor(address / 250)}.${1 + (address % 250)}`;
    const socket = connect({ port, host: "127.0.0.1", localAddress });
    await new Promise<void>((done, fail) => socket.once("connect", () => done()).once("error", fail));
    return new Guesser(socket, n);
  }

  send(): void {
    while (this.toSend > 0) {
      this.toSend -= BATCH;
      if (!this.socket.write(this.batch)) return;
    }
  }

  close(): void {
    this.socket.destroy();
  }
}

/** The figures of clients that do nothing wrong. Their default user needs no password; the guesses are for another user. */
async function bystander(server: Server, seconds: number): Promise<{ p50Us: number; p99Us: number; maxUs: number }> {
  const more = { workers: WORKERS, schedstats: schedstatsOf(server) };
  return (await startBystander(server.port, RATE, seconds, 8, KEYS, more).finished).all;
}

async function fieldOf(client: RespClient, name: string): Promise<number> {
  return Number(new RegExp(`${name}:(\\d+)`).exec(await ask(client, "INFO", "everything"))?.[1] ?? Number.NaN);
}

/** Number of entries in an array that a command replies. */
async function entriesOf(client: RespClient, ...command: string[]): Promise<number> {
  const reply = await client.command(...command);
  return reply.type === "array" ? reply.value.length : Number.NaN;
}

async function measure(delayMs: number): Promise<string[]> {
  const settings = [`server.auth_delay_max=${delayMs}`, "server.maxclients=5000"];
  const args = settings.flatMap((each) => ["--set", each]);
  const server = await startFerrite({ workers: WORKERS, args, wrapper: BEFORE_OTHERS });
  const guessers: Guesser[] = [];
  try {
    await load({ port: server.port, count: KEYS });
    const admin = await server.connect();
    await ask(admin, "ACL", "SETUSER", "guarded", "on", ">right", "+@all", "~*");
    const alone = await bystander(server, 5);
    const quietBytes = residentBytes(server.pid).anonymous;
    for (let n = 0; n < CONNECTIONS; n++) guessers.push(await Guesser.open(server.port, n));
    let peakBytes = 0;
    const answered = (): number => guessers.reduce((sum, one) => sum + one.answered, 0);
    const beganMs = performance.now();
    const elapsed = (): number => (performance.now() - beganMs) / 1000;
    for (const one of guessers) one.send();
    const meanwhile = bystander(server, delayMs === 0 ? 5 : SECONDS);
    let isWatched = true;
    void meanwhile.finally(() => (isWatched = false));
    while (isWatched || (delayMs === 0 && answered() < GUESSES && elapsed() < LIMIT_SECONDS)) {
      peakBytes = Math.max(peakBytes, residentBytes(server.pid).anonymous);
      await Bun.sleep(50);
    }
    const [seconds, looked] = [elapsed(), answered()];
    const beside = await meanwhile;
    for (const one of guessers) one.close();
    while ((await fieldOf(admin, "connected_clients")) > 1 && elapsed() < LIMIT_SECONDS) await Bun.sleep(50);
    await Bun.sleep(4000);
    const denied = await fieldOf(admin, "acl_access_denied_auth");
    const logged = await entriesOf(admin, "ACL", "LOG", "1000");
    admin.close();
    const mib = (bytes: number): string => (bytes / MIB).toFixed(0);
    return [
      delayMs === 0 ? "off" : "on",
      ...[String(looked), seconds.toFixed(1), String(denied), String(logged)],
      `${alone.p99Us.toFixed(0)} / ${beside.p99Us.toFixed(0)}`,
      `${alone.maxUs.toFixed(0)} / ${beside.maxUs.toFixed(0)}`,
      [quietBytes, peakBytes, residentBytes(server.pid).anonymous].map(mib).join(" / "),
    ];
  } finally {
    for (const one of guessers) one.close();
    await server.stop();
  }
}

printHead("wrong passwords");
const heading = [
  "guard",
  "answered",
  "seconds",
  "counted",
  "in ACL LOG",
  "p99 us alone / beside",
  "max us",
  "MiB before / most / after",
];
console.log(table([heading, await measure(0), await measure(2000)]));
