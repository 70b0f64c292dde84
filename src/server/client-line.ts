/** The line of CLIENT LIST for a client, and the filters of CLIENT LIST and KILL. The server and the embedded mode use them. */
import type { Clock } from "../base/clock.ts";
import type { ClientFilter, ClientTraits } from "../dispatch/services.ts";
import { BLOCKING } from "../dispatch/spec.ts";
import type { CommandTable } from "../dispatch/command-table.ts";
import { ChannelKind } from "../store/channels.ts";
import type { Client } from "./client.ts";

/** True while the client waits in a blocking command. A client that waits for answers of other workers is not blocked. */
export function isBlocked(client: Client, table: CommandTable): boolean {
  const last = client.session.lastCommand;
  if (!client.isWaiting || last < 0) return false;
  const { flags, name } = table.all[last]!;
  return (flags & BLOCKING) !== 0 || name === "WAIT"; // Redis gives WAIT no such flag
}

/**
 * One line of CLIENT LIST, with the fields of Redis 8 in their order. `fd` is -1 because Bun hides it. `rbs`, `rbp` and
 * `obl` are 0 because replies gather in a buffer of the worker, not of the client.
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
    `sub=${session.subscriptions?.count(ChannelKind.Channel) ?? 0}`,
    `psub=${session.subscriptions?.count(ChannelKind.Pattern) ?? 0}`,
    `ssub=${session.subscriptions?.count(ChannelKind.Shard) ?? 0}`,
    `multi=${session.transaction?.count ?? -1}`,
    `watch=${session.watch?.keys.length ?? 0}`,
    `qbuf=${client.unreadBytes}`,
    `qbuf-free=${client.input.freeBytes}`,
    `argv-mem=${client.argumentBytes}`,
    `multi-mem=${client.queuedBytes}`,
    "rbs=0",
    "rbp=0",
    "obl=0",
    `oll=${client.output.parts}`,
    `omem=${client.output.heldBytes}`,
    `tot-mem=${client.memoryBytes}`,
    `events=${client.output.bytes > 0 ? "rw" : "r"}`,
    `cmd=${session.commandName === "" ? last : session.commandName}`,
    `user=${session.user.name}`,
    `redir=${session.tracking?.redirect ?? -1}`,
    `resp=${session.protocol}`,
    `lib-name=${session.libName}`,
    `lib-ver=${session.libVersion}`,
    `tot-net-in=${client.totalInput}`,
    `tot-net-out=${client.output.total}`,
    `tot-cmds=${session.commands}`,
  ].join(" ");
}

function flagsOf(client: Client, table: CommandTable): string {
  const { session } = client;
  const flags = [
    session.monitors ? "O" : "",
    session.isReplica ? "S" : "",
    session.isPrimary ? "M" : "",
    session.subscriptions !== null ? "P" : "",
    session.transaction !== null ? "x" : "",
    client.isPaused || isBlocked(client, table) ? "b" : "",
    session.tracking !== null ? "t" : "",
    session.tracking?.isBroken === true ? "R" : "",
    session.tracking?.isBroadcast === true ? "B" : "",
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

/** A client's address as MONITOR shows it. */
export function monitorAddress(client: Client | undefined): string {
  if (client === undefined) return "?";
  return isUnixAddress(client.address) ? `unix:${client.address.slice(0, -2)}` : client.address;
}

export function isLoopbackAddress(address: string): boolean {
  return address.startsWith("127.") || address.startsWith("[::1]:") || address.startsWith("[::ffff:127.");
}

export function matchesFilter(client: Client, filter: ClientFilter, table: CommandTable, clock: Clock): boolean {
  const { session } = client;
  if (filter.skip !== undefined && session.id === filter.skip) return false;
  for (const name of Object.keys(filter.only) as (keyof ClientTraits)[]) {
    if (!hasTrait(client, name, filter.only, table)) return false;
  }
  for (const name of Object.keys(filter.not) as (keyof ClientTraits)[]) {
    if (hasTrait(client, name, filter.not, table)) return false;
  }
  const ageMs = clock.wallMs() - session.createdMs;
  if (filter.maxAgeSeconds !== undefined && ageMs < filter.maxAgeSeconds * 1000) return false;
  const idleMs = clock.monotonicMs() - session.activeMs;
  return filter.idleSeconds === undefined || idleMs >= filter.idleSeconds * 1000;
}

/** True when the client has the value that `wanted` gives for trait `name`. */
function hasTrait(
  client: Client,
  name: keyof ClientTraits,
  wanted: Partial<ClientTraits>,
  table: CommandTable,
): boolean {
  const { session } = client;
  switch (name) {
    case "ids":
      return wanted.ids!.includes(session.id);
    case "type":
      return wanted.type === typeOf(client);
    case "user":
      return wanted.user === session.user.name;
    case "address":
      return wanted.address === client.address;
    case "localAddress":
      return wanted.localAddress === client.localAddress;
    case "ip":
      return wanted.ip === hostOf(client.address);
    case "name":
      return wanted.name === session.name;
    case "libName":
      return wanted.libName === session.libName;
    case "libVersion":
      return wanted.libVersion === session.libVersion;
    case "db":
      return wanted.db === session.db;
    case "flags": {
      const flags = flagsOf(client, table);
      return [...wanted.flags!].every((flag) => flags.includes(flag));
    }
    case "capabilities":
      return wanted.capabilities === "";
  }
}

function typeOf({ session }: Client): string {
  if (session.isPrimary) return "master";
  if (session.isReplica) return "replica";
  return session.subscriptions !== null ? "pubsub" : "normal";
}

/** An address without its port, and without the brackets of IPv6. */
function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
}
