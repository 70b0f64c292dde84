/**
 * MONITOR: a connection that is told of every command that any client runs, as
 *
 *   +1339518083.107412 [0 127.0.0.1:60866] "keys" "*"
 *
 * Commands of administration are not told, and secrets are not shown. Redis counts who monitors among the replicas, so
 * its answer to a command on keys speaks of one.
 */
import { latin1Text, token } from "../base/bytes.ts";
import type { Reply } from "../protocol/reply.ts";
import type { Call } from "./call.ts";
import {
  ADMIN,
  type CommandSpec,
  Later,
  LOADING,
  NO_KEYS,
  NO_SCRIPT,
  type Outcome,
  READONLY,
  SKIP_MONITOR,
  STALE,
  WRITE,
} from "./spec.ts";

export const monitorFamily: readonly CommandSpec[] = [
  {
    name: "MONITOR",
    arity: 1,
    keys: NO_KEYS,
    flags: ADMIN | NO_SCRIPT | LOADING | STALE,
    categories: [],
    run: monitor,
    docs: {
      summary: "Tells of every command that any client runs, as it runs.",
      since: "1.0.0",
      group: "server",
      complexity: "",
    },
  },
];

/** MONITOR. Replies OK when every worker tells of its commands; nothing to a client that monitors already, as Redis. */
function monitor(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  if (session.monitors) return;
  if (server.monitor === undefined) return reply.error("ERR Clients of an embedded Ferrite cannot monitor each other");
  server.monitor(session, () => server.resume(session, (later) => later.ok()));
  return Later;
}

export const MONITORS_NO_KEYS = "ERR Replica can't interact with the keyspace";

/** True when a connection that monitors may not send the command. `mayWrite`: it has no flag, and writes all the same. */
export function isDeniedToMonitors(spec: CommandSpec, mayWrite: boolean): boolean {
  return (spec.flags & (READONLY | WRITE)) !== 0 || mayWrite;
}

export function isTold(spec: CommandSpec): boolean {
  return (spec.flags & (ADMIN | SKIP_MONITOR)) === 0;
}

const AUTH = token("auth");
const REDACTED = Buffer.from('"(redacted)"');

/**
 * The line for the command that `call` holds. `from`: database and address of the client ("0 127.0.0.1:60866");
 * `values`: what its staged arguments were.
 */
export function monitorLine(call: Call, wallMicros: number, from: string, values: readonly Buffer[]): Buffer {
  const seconds = Math.floor(wallMicros / 1e6);
  const head = `+${seconds}.${String(wallMicros - seconds * 1e6).padStart(6, "0")} [${from}]`;
  let most = head.length + 2;
  for (let i = 0; i < call.argCount; i++) most += Math.max(call.argBytes(i) * 4 + 3, REDACTED.length + 1);
  const line = Buffer.allocUnsafe(most);
  let at = line.write(head, 0, "latin1");
  const secret = firstSecret(call);
  for (let i = 0; i < call.argCount; i++) {
    line[at++] = 0x20;
    if (secret.first <= i && i < secret.end) {
      at += REDACTED.copy(line, at);
      continue;
    }
    const staged = call.argAt(i) < 0 ? values[-call.argAt(i) - 1]! : null;
    at = quote(line, at, staged ?? call.bytes, staged === null ? call.argAt(i) : 0, call.argBytes(i));
  }
  line[at++] = 0x0d;
  line[at++] = 0x0a;
  return line.subarray(0, at);
}

/** Arguments that are secret: of AUTH all, of HELLO the two behind its AUTH. */
function firstSecret(call: Call): { first: number; end: number } {
  if (call.spec.name === "AUTH") return { first: 1, end: call.argCount };
  if (call.spec.name === "HELLO") {
    for (let i = 2; i < call.argCount; i++) if (call.argIs(i, AUTH)) return { first: i + 1, end: i + 3 };
  }
  return { first: 0, end: 0 };
}

const ESCAPES = new Map([
  [0x5c, 0x5c],
  [0x22, 0x22],
  [0x0a, 0x6e],
  [0x0d, 0x72],
  [0x09, 0x74],
  [0x07, 0x61],
  [0x08, 0x62],
]);
const HEX = Buffer.from("0123456789abcdef");

/** Writes bytes in quotes, with what is not printable escaped. Returns the offset behind them. */
function quote(target: Buffer, at: number, source: Buffer, offset: number, length: number): number {
  target[at++] = 0x22;
  for (let i = offset; i < offset + length; i++) {
    const byte = source[i]!;
    const escape = ESCAPES.get(byte);
    if (escape !== undefined) {
      target[at++] = 0x5c;
      target[at++] = escape;
    } else if (byte >= 0x20 && byte < 0x7f) {
      target[at++] = byte;
    } else {
      target[at++] = 0x5c;
      target[at++] = 0x78;
      target[at++] = HEX[byte >> 4]!;
      target[at++] = HEX[byte & 15]!;
    }
  }
  target[at++] = 0x22;
  return at;
}

/** Key `i` of the command that `call` holds, a character a byte. */
export function keyText(call: Call, i: number): string {
  return latin1Text(call.bytes, call.argAt(i), call.argBytes(i));
}
