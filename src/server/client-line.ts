/** What CLIENT LIST says of a client, and whether CLIENT KILL means it: the same in the server and embedded. */
import type { Clock } from "../base/clock.ts";
import type { KillFilter } from "../commands/services.ts";
import { BLOCKING } from "../commands/spec.ts";
import type { CommandTable } from "../commands/table.ts";
import type { Client } from "./client.ts";

/** Waiting in a blocking command; a client that waits for other workers (CLIENT LIST) is not blocked. */
export function isBlocked(client: Client, table: CommandTable): boolean {
  const last = client.session.lastCommand;
  if (!client.waiting || last < 0) return false;
  const { flags, name } = table.all[last]!;
  return (flags & BLOCKING) !== 0 || name === "WAIT"; // Redis gives WAIT no such flag
}

/**
 * One line of CLIENT LIST: the fields of Redis 7.0 in their order, then lib-name and lib-ver of 7.2. What Bun hides (fd)
 * or Ferrite does not keep per client (argv-mem) is -1 or 0.
 */
export function clientLine(client: Client, table: CommandTable, clock: Clock): string {
  const { session } = client;
  const last = session.lastCommand < 0 ? "NULL" : table.all[session.lastCommand]!.name.toLowerCase();
  return [
    `id=${session.id}`,
    `addr=${client.address}`,
    `laddr=${client.localAddress}`,
    `fd=${client.descriptor}`,
    `name=${session.name}`,
    `age=${Math.max(0, Math.floor((clock.wallMs() - session.createdMs) / 1000))}`,
    `idle=${Math.max(0, Math.floor((clock.monotonicMs() - session.activeMs) / 1000))}`,
    `flags=${flagsOf(client, table)}`,
    `db=${session.db}`,
    "sub=0",
    "psub=0",
    "ssub=0",
    "multi=-1",
    `qbuf=${client.queryBytes}`,
    "qbuf-free=0",
    "argv-mem=0",
    "multi-mem=0",
    "rbs=0",
    "rbp=0",
    "obl=0",
    `oll=${client.outputBytes > 0 ? 1 : 0}`,
    `omem=${client.outputBytes}`,
    `tot-mem=${client.queryBytes + client.outputBytes}`,
    `events=${client.outputBytes > 0 ? "rw" : "r"}`,
    `cmd=${session.commandName === "" ? last : session.commandName}`,
    "user=default",
    "redir=-1",
    `resp=${session.protocol}`,
    `lib-name=${session.libName}`,
    `lib-ver=${session.libVersion}`,
  ].join(" ");
}

function flagsOf(client: Client, table: CommandTable): string {
  const { session } = client;
  const flags = [
    client.paused || isBlocked(client, table) ? "b" : "",
    isUnixAddress(client.address) ? "U" : "",
    session.noEvict ? "e" : "",
    session.noTouch ? "T" : "",
  ].join("");
  return flags === "" ? "N" : flags;
}

/** Addresses are "1.2.3.4:5", "[::1]:5", or the path of a unix socket and ":0". */
export function isUnixAddress(address: string): boolean {
  return !/^(\d|\[|\?)/.test(address) && address !== "";
}

export function isLoopbackAddress(address: string): boolean {
  return address.startsWith("127.") || address.startsWith("[::1]:") || address.startsWith("[::ffff:127.");
}

export function matchesFilter(client: Client, filter: KillFilter, clock: Clock): boolean {
  const { session } = client;
  if (filter.id !== undefined && session.id !== filter.id) return false;
  if (filter.address !== undefined && client.address !== filter.address) return false;
  if (filter.localAddress !== undefined && client.localAddress !== filter.localAddress) return false;
  if (filter.type !== undefined && filter.type !== "normal") return false;
  if (filter.user !== undefined && filter.user !== "default") return false;
  if (filter.skip !== undefined && session.id === filter.skip) return false;
  const ageMs = clock.wallMs() - session.createdMs;
  if (filter.maxAgeSeconds !== undefined && ageMs < filter.maxAgeSeconds * 1000) return false;
  const idleMs = clock.monotonicMs() - session.activeMs;
  return filter.idleSeconds === undefined || idleMs >= filter.idleSeconds * 1000;
}
