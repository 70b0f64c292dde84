/**
 * `ferrite health`: asks the server that runs with this configuration for PONG. It is the health check of containers, which
 * have no other client. Exit code 0 when the server answers, else 1.
 *
 * An error is an answer too: a server that wants a password, is loading or is busy with a script is alive, and to restart it
 * would help nobody. With --ready only PONG counts, or NOAUTH where the configuration has no password to send.
 */
import { connect, type Socket } from "node:net";
import { basename } from "node:path";
import { connect as connectTls } from "node:tls";
import type { Config } from "../base/config/config.ts";
import { readText, realFiles } from "../base/files.ts";
import { StartupError } from "../base/errors.ts";
import { parseHealthArguments, parseServerArguments, type ServerArguments } from "./arguments.ts";
import { load } from "./configuration.ts";

/** The longest reply that is looked at. */
const REPLY_BYTES_MAX = 4096;

export async function runHealth(argv: readonly string[]): Promise<number> {
  const { server, pid, mustBeReady, timeoutMs, isQuiet } = parseHealthArguments(argv);
  const { config } = load(pid === 0 ? server : argumentsOf(pid));
  const say = (text: string): void => {
    if (!isQuiet) console.log(text);
  };
  const { name, open } = placeOf(config);
  try {
    const reply = await ask(open(), config.requiredPassword, timeoutMs);
    say(`${name}: ${reply}`);
    return isHealthy(reply, mustBeReady) ? 0 : 1;
  } catch (thrown) {
    say(`${name}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    return 1;
  }
}

/** The arguments that a running server was started with. Paths in them are seen from its folder. Throws FileFailure. */
function argumentsOf(pid: number): ServerArguments {
  const words = readText(realFiles, `/proc/${pid}/cmdline`).split("\0").slice(0, -1);
  // In a container another program may be process 1, with the server's command line behind its own.
  const at = words.findIndex((word) => SERVER_NAMES.has(basename(word)));
  if (at < 0) throw new StartupError(`process ${pid} is no ferrite: ${words.join(" ")}`, [], 1);
  process.chdir(`/proc/${pid}/cwd`);
  const own = words.slice(at + 1);
  return parseServerArguments(own[0]?.endsWith("/entry.ts") ? own.slice(1) : own);
}

const SERVER_NAMES: ReadonlySet<string> = new Set(["ferrite", "redis-server"]);

function isHealthy(reply: string, mustBeReady: boolean): boolean {
  if (!mustBeReady) return reply.startsWith("+") || reply.startsWith("-");
  return reply === "+PONG" || reply.startsWith("-NOAUTH");
}

interface Place {
  /** For messages: "127.0.0.1:6379". */
  readonly name: string;
  open(): Socket;
}

/** Where the server listens: the Unix socket if there is one, else the plain port, else that of TLS. */
function placeOf(config: Config): Place {
  const path = config.text("server.unix_socket");
  if (path !== "") return { name: path, open: () => connect(path) };
  const plain = config.number("server.port");
  const port = plain === 0 ? config.tlsPort : plain;
  const host = reachable(config.bindHosts[0]?.host ?? "127.0.0.1");
  return {
    name: `${host}:${port}`,
    open: () => (plain === 0 ? openTls(config, host, port) : connect(port, host)),
  };
}

/** The address for all interfaces cannot be connected to. */
function reachable(host: string): string {
  if (host === "0.0.0.0" || host === "*") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}

/** Whether the certificate is good is for clients to say: this one asks its own server. */
function openTls(config: Config, host: string, port: number): Socket {
  return connectTls({
    host,
    port,
    rejectUnauthorized: false,
    // For a server that wants certificates of clients; it takes its own if its authority has signed it.
    cert: readText(realFiles, config.text("server.tls_cert_file")),
    key: readText(realFiles, config.text("server.tls_key_file")),
    passphrase: config.text("server.tls_key_file_pass") || undefined,
  });
}

/** Sends PING, after AUTH where there is a password. Resolves with the first line of PING's reply. */
function ask(socket: Socket, password: string, timeoutMs: number): Promise<string> {
  const commands = password === "" ? [["PING"]] : [["AUTH", password], ["PING"]];
  let timer: ReturnType<typeof setTimeout> | undefined;
  return new Promise<string>((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
    let text = "";
    socket.on("data", (part: Buffer) => {
      text += part.toString("latin1");
      const lines = text.split("\r\n");
      if (lines.length > commands.length) resolve(lines[commands.length - 1]!);
      // An error such as DENIED comes once, before the connection is closed.
      else if (text.length > REPLY_BYTES_MAX) reject(new Error("this is no Redis server"));
    });
    socket.on("error", (error: Error) => reject(error));
    socket.on("close", () => {
      const [first = ""] = text.split("\r\n");
      if (first.startsWith("-")) resolve(first);
      else reject(new Error("the server closed the connection"));
    });
    socket.write(commands.map(encoded).join(""));
  }).finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

function encoded(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
}
