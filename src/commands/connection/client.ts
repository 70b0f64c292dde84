/**
 * CLIENT: lists, describes and controls connections.
 *
 * LIST, KILL, PAUSE and UNBLOCK concern the clients of every worker. They return Later and reply through ServerServices.
 */
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { isPlain } from "./connection.ts";
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import { type ClientFilter, type ClientLine, type ClientTraits, Pause } from "../../dispatch/services.ts";
import { Replies } from "../../dispatch/session.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";
import { readMilliseconds } from "../../dispatch/timeouts.ts";

const ON = token("on");
const OFF = token("off");
const LIB_NAME = token("lib-name");
const LIB_VER = token("lib-ver");

export function id(call: Call, reply: Reply): void {
  reply.integer(call.session.id);
}

export function getName(call: Call, reply: Reply): void {
  if (call.session.name === "") reply.nullBulk();
  else reply.text(call.session.name);
}

export function setName(call: Call, reply: Reply): void {
  if (!isPlain(call, 2)) {
    return reply.error("ERR Client names cannot contain spaces, newlines or special characters.");
  }
  call.session.name = call.argText(2);
  reply.ok();
}

export function setInfo(call: Call, reply: Reply): void {
  const isName = call.argIs(2, LIB_NAME);
  if (!isName && !call.argIs(2, LIB_VER)) return reply.error(`ERR Unrecognized option '${call.argText(2)}'`);
  if (!isPlain(call, 3)) {
    return reply.error(`ERR ${call.argText(2)} cannot contain spaces, newlines or special characters.`);
  }
  if (isName) call.session.libName = call.argText(3);
  else call.session.libVersion = call.argText(3);
  reply.ok();
}

export function info(call: Call, reply: Reply): void {
  reply.verbatim(`${call.server.describeClient(call.session)}\n`);
}

/** Reads ON or OFF. Returns null after an error reply. */
function onOff(call: Call, reply: Reply): boolean | null {
  if (call.argIs(2, ON)) return true;
  if (call.argIs(2, OFF)) return false;
  reply.error(ErrorText.syntax);
  return null;
}

export function noEvict(call: Call, reply: Reply): void {
  const on = onOff(call, reply);
  if (on === null) return;
  call.session.noEvict = on;
  reply.ok();
}

export function noTouch(call: Call, reply: Reply): void {
  const on = onOff(call, reply);
  if (on === null) return;
  call.session.noTouch = on;
  reply.ok();
}

const SKIP = token("skip");
const WRITE_MODE = token("write");
const ALL_MODE = token("all");
const TIMEOUT = token("timeout");
const ERROR = token("error");

/** CLIENT REPLY ON | OFF | SKIP. Only ON gets a reply. */
export function replies(call: Call, reply: Reply): void {
  const { session } = call;
  if (call.argIs(2, ON)) {
    session.replies = Replies.On;
    reply.ok();
  } else if (call.argIs(2, OFF)) {
    session.replies = Replies.Off;
  } else if (call.argIs(2, SKIP)) {
    if (session.replies !== Replies.Off) session.replies = Replies.SkipNext;
  } else {
    reply.error(ErrorText.syntax);
  }
}

function tooMany(call: Call): string {
  return `ERR unknown subcommand or wrong number of arguments for '${call.argText(1).slice(0, 128)}'. Try CLIENT HELP.`;
}

/**
 * CLIENT PAUSE timeout [WRITE | ALL]
 * Replies OK when no worker runs such a command any more. Of two pauses, the longer time and the stricter mode apply.
 * Suspended commands run in the order of their arrival. CLIENT UNPAUSE and SHUTDOWN are served during any pause.
 */
export function pause(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  let mode: Pause = Pause.All;
  if (call.argCount > 4) return reply.error(tooMany(call));
  if (call.argCount === 4) {
    if (call.argIs(3, WRITE_MODE)) mode = Pause.Writes;
    else if (!call.argIs(3, ALL_MODE)) return reply.error("ERR CLIENT PAUSE mode must be WRITE or ALL");
  }
  const timeoutMs = readMilliseconds(call, reply, 2);
  if (timeoutMs < 0) return;
  if (server.pauseClients === undefined) return reply.error(NO_WAITING);
  server.pauseClients(mode, call.clock.wallMs() + timeoutMs, () => server.resume(session, (later) => later.ok()));
  return Later;
}

const NO_WAITING = "ERR Clients of an embedded Ferrite cannot wait for each other";

/** CLIENT UNPAUSE */
export function unpause(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  if (server.unpauseClients === undefined) return reply.ok();
  server.unpauseClients(() => server.resume(session, (later) => later.ok()));
  return Later;
}

/** CLIENT UNBLOCK client-id [TIMEOUT | ERROR]. Replies: 1 when the client was blocked. A paused client is not blocked. */
export function unblock(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  if (call.argCount > 4) return reply.error(tooMany(call));
  let withError = false;
  if (call.argCount === 4) {
    withError = call.argIs(3, ERROR);
    if (!withError && !call.argIs(3, TIMEOUT)) {
      return reply.error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    }
  }
  const id = call.argLong(2);
  if (Number.isNaN(id)) return reply.error(ErrorText.notInteger);
  if (server.unblock === undefined) return reply.integer(0);
  server.unblock(id, withError, (found) => {
    server.resume(session, (later) => later.integer(found ? 1 : 0));
  });
  return Later;
}

/** The client type that argument `i` names: "normal", "replica", "pubsub" or "master"; "" = unknown. */
function clientType(call: Call, i: number): string {
  const name = call.argText(i).toLowerCase();
  if (name === "slave") return "replica";
  if (name === "primary") return "master";
  return name === "normal" || name === "replica" || name === "pubsub" || name === "master" ? name : "";
}

/** CLIENT LIST [filter value ...]. Replies the lines by ID. With only the filter ID, in the order of its arguments. */
export function list(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  const filter = readFilter(call, "ERR Invalid client ID", true);
  if (typeof filter === "string") return reply.error(filter);
  const { ids } = filter.only;
  const isOnlyIds = ids !== undefined && ids.length === call.argCount - 3;
  server.listClients(filter, (lines) => {
    const text = (isOnlyIds ? inOrder(lines, ids) : lines).map(({ line }) => `${line}\n`).join("");
    server.resume(session, (later) => later.verbatim(text));
  });
  return Later;
}

function inOrder(lines: ClientLine[], ids: readonly number[]): ClientLine[] {
  const byId = new Map(lines.map((line) => [line.id, line]));
  return ids.flatMap((wanted) => byId.get(wanted) ?? []);
}

/** CLIENT KILL ip:port, or CLIENT KILL filter value [filter value ...] */
export function kill(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  if (call.argCount === 3) {
    server.killClients({ only: { address: call.argText(2) }, not: {} }, session, (killed, self) => {
      server.resume(session, (later) => (killed > 0 ? later.ok() : later.error("ERR No such client")), self);
    });
    return Later;
  }
  const filter = readFilter(call, "ERR client-id should be greater than 0", false);
  if (typeof filter === "string") return reply.error(filter);
  if (filter.skip === undefined && !isGiven(call, "skipme")) filter.skip = session.id;
  server.killClients(filter, session, (killed, self) => {
    server.resume(session, (later) => later.integer(killed), self);
  });
  return Later;
}

/** The filters by lower-case name. Filters with a trait have a negated form with "not-". */
const TRAIT_OF: Readonly<Record<string, keyof ClientTraits>> = {
  id: "ids",
  type: "type",
  user: "user",
  addr: "address",
  laddr: "localAddress",
  ip: "ip",
  name: "name",
  "lib-name": "libName",
  "lib-ver": "libVersion",
  db: "db",
  flags: "flags",
  capa: "capabilities",
};
const WITHOUT_TRAIT = new Set(["skipme", "maxage", "idle"]);
/** The valid letters of the field "flags", in any version of Redis or Valkey, and of capabilities. */
const FLAG_LETTERS = /^[AbBcdeiIMNOPrRStTuUx]*$/;
const CAPABILITY_LETTERS = /^r*$/;

function traitOf(filter: string): keyof ClientTraits | undefined {
  return TRAIT_OF[filter.startsWith("not-") ? filter.slice(4) : filter];
}

function isGiven(call: Call, filter: string): boolean {
  for (let i = 2; i < call.argCount; i++) if (call.argText(i).toLowerCase() === filter) return true;
  return false;
}

/** The filter in the arguments from 2 on, or the text of an error. `badId`: the error for a bad ID. */
function readFilter(call: Call, badId: string, lists: boolean): ClientFilter | string {
  const filter: ClientFilter = { only: {}, not: {} };
  for (let i = 2; i < call.argCount; ) {
    const name = call.argText(i).toLowerCase();
    const trait = traitOf(name);
    if ((trait === undefined && !WITHOUT_TRAIT.has(name)) || i + 1 === call.argCount) return ErrorText.syntax;
    const traits = name.startsWith("not-") ? filter.not : filter.only;
    if (trait === "ids") {
      const ids = readIds(call, i + 1, lists);
      if (ids === null) return badId;
      traits.ids = [...(traits.ids ?? []), ...ids];
      i += 1 + ids.length;
      continue;
    }
    const problem = trait === undefined ? readCondition(call, i, filter) : readTrait(call, i + 1, trait, traits);
    if (problem !== "") return problem;
    i += 2;
  }
  return filter;
}

/**
 * Reads one or more IDs, up to the next filter. Returns null when one is invalid. For LIST every number is valid, even if no
 * client has it. For KILL an argument that is no number is the next filter, and a syntax error if there is no such filter.
 */
function readIds(call: Call, first: number, lists: boolean): number[] | null {
  const ids: number[] = [];
  for (let i = first; i < call.argCount; i++) {
    const id = call.argLong(i);
    if (Number.isNaN(id)) {
      const name = call.argText(i).toLowerCase();
      return ids.length > 0 && (!lists || traitOf(name) !== undefined || WITHOUT_TRAIT.has(name)) ? ids : null;
    }
    if (id < 1 && !lists) return ids.length > 0 ? ids : null;
    ids.push(id);
  }
  return ids;
}

/** Reads the value of a filter that has a trait. Returns the text of an error, or "". */
function readTrait(
  call: Call,
  i: number,
  trait: Exclude<keyof ClientTraits, "ids">,
  traits: Partial<ClientTraits>,
): string {
  const value = call.argText(i);
  switch (trait) {
    case "type":
      traits.type = clientType(call, i);
      return traits.type === "" ? `ERR Unknown client type '${value}'` : "";
    case "user":
      traits.user = value;
      return call.users.find(value) !== null ? "" : `ERR No such user '${value}'`;
    case "db": {
      const db = call.argLong(i);
      if (Number.isNaN(db)) return "ERR DB is not an integer or out of range";
      const { databases } = call.keyspaces;
      if (db < 0 || db >= databases) return `ERR DB number should be between 0 and ${databases - 1}`;
      traits.db = db;
      return "";
    }
    case "flags":
      traits.flags = value;
      return FLAG_LETTERS.test(value) ? "" : `ERR Unknown flags found in the provided filter: ${value}`;
    case "capabilities":
      traits.capabilities = value;
      return CAPABILITY_LETTERS.test(value) ? "" : `ERR Unknown capa found in the provided filter: ${value}`;
    default:
      traits[trait] = value;
      return "";
  }
}

/** Reads SKIPME, MAXAGE or IDLE, and its value. Returns the text of an error, or "". */
function readCondition(call: Call, i: number, filter: ClientFilter): string {
  const name = call.argText(i).toLowerCase();
  if (name === "skipme") {
    const value = call.argText(i + 1).toLowerCase();
    if (value !== "yes" && value !== "no") return ErrorText.syntax;
    if (value === "yes") filter.skip = call.session.id;
    else delete filter.skip;
    return "";
  }
  const seconds = call.argLong(i + 1);
  if (Number.isNaN(seconds)) return `ERR ${name} is not an integer or out of range`;
  if (seconds <= 0) return `ERR ${name} should be greater than 0`;
  if (name === "maxage") filter.maxAgeSeconds = seconds;
  else filter.idleSeconds = seconds;
  return "";
}

const MORE_FILTERS = [
  "* NAME <name>, LIB-NAME <name>, LIB-VER <version>, DB <db>, IP <ip>, FLAGS <letters>, CAPA <letters>",
  "  Kill connections by these fields of LIST; of the letters, all must be there.",
  "* NOT-<option> <value>",
  "  Kill the other connections; for all options but SKIPME, MAXAGE and IDLE.",
];

const HELP: readonly HelpEntry[] = [
  ["CACHING (YES|NO)", "Say whether the keys of the next command are tracked, in OPTIN and OPTOUT mode."],
  ["GETREDIR", "Return the ID of the client that gets the invalidations."],
  ["GETNAME", "Return the name of the current connection."],
  ["ID", "Return the ID of the current connection."],
  ["INFO", "Return information about the current client connection."],
  ["KILL <ip:port>", "Kill connection made from <ip:port>."],
  [
    "KILL <option> <value> [<option> <value> [...]]",
    "Kill connections. Options are:",
    "* ADDR (<ip:port>|<unixsocket>:0)",
    "  Kill connections made from the specified address",
    "* LADDR (<ip:port>|<unixsocket>:0)",
    "  Kill connections made to specified local address",
    "* TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "  Kill connections by type.",
    "* USER <username>",
    "  Kill connections authenticated by <username>.",
    "* SKIPME (YES|NO)",
    "  Skip killing current connection (default: yes).",
    "* ID <client-id> [<client-id> ...]",
    "  Kill connections by client id.",
    "* MAXAGE <maxage>",
    "  Kill connections older than the specified age, in seconds.",
    "* IDLE <seconds>",
    "  Kill connections that have been idle for at least as long.",
    ...MORE_FILTERS,
  ],
  [
    "LIST [options ...]",
    "Return information about client connections. Options:",
    "* TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "  Return clients of specified type.",
    "* ID <client-id> [<client-id> ...]",
    "  Return clients of specified IDs only.",
    "* The other options of KILL",
    "  Return the clients that KILL would close.",
  ],
  ["UNPAUSE", "Stop the current client pause, resuming traffic."],
  ["PAUSE <timeout> [WRITE|ALL]", "Suspend all, or just write, clients for <timeout> milliseconds."],
  ["REPLY (ON|OFF|SKIP)", "Control the replies sent to the current connection."],
  ["SETINFO (LIB-NAME|LIB-VER) <value>", "Set client meta attributes."],
  ["SETNAME <name>", "Assign the name <name> to the current connection."],
  ["UNBLOCK <clientid> [TIMEOUT|ERROR]", "Unblock the specified blocked client."],
  ["NO-EVICT (ON|OFF)", "Protect current client connection from eviction."],
  ["NO-TOUCH (ON|OFF)", "Will not touch LRU/LFU stats when this mode is on."],
  [
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
    "    [OPTIN] [OPTOUT] [NOLOOP]",
    "Control server assisted client side caching.",
  ],
  ["TRACKINGINFO", "Describe client side caching of the current connection."],
];

export function help(_call: Call, reply: Reply): void {
  replyHelp(reply, "CLIENT", HELP);
}
