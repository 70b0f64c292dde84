/**
 * The line that MONITOR shows for a command. Administrative commands are not shown, and secrets are redacted.
 *
 * To Redis a monitoring client is a kind of replica. If it sends a command on keys, it gets the error for replicas.
 */
import { token } from "../base/bytes.ts";
import type { Call } from "./call.ts";
import { ADMIN, type CommandSpec, READONLY, SKIP_MONITOR, WRITE } from "./spec.ts";

export const MONITORS_NO_KEYS = "ERR Replica can't interact with the keyspace";

/** True when a monitoring connection may not send the command. `mayWrite`: the command may write without the flag WRITE. */
export function isDeniedToMonitors(spec: CommandSpec, mayWrite: boolean): boolean {
  return (spec.flags & (READONLY | WRITE)) !== 0 || mayWrite;
}

export function isShown(spec: CommandSpec): boolean {
  return (spec.flags & (ADMIN | SKIP_MONITOR)) === 0;
}

const AUTH = token("auth");
const REDACTED = Buffer.from('"(redacted)"');

/**
 * The line for the command of `call`. `from`: database and address of the client ("0 127.0.0.1:60866"). `values`: the bytes
 * of its staged arguments.
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

/** The secret arguments: all of AUTH, and the two after the option AUTH of HELLO. */
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

/** Writes bytes in quotes and escapes those that are not printable. Returns the offset after them. */
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
