/** COMMAND: the command table as clients see it, in the reply formats of Redis 7.0. */
import { matchGlob } from "../../base/glob.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import { categoriesOf } from "../../dispatch/categories.ts";
import { KeyArguments } from "../../dispatch/key-arguments.ts";
import { keyFlagsHere, keySpecsOf } from "../../dispatch/key-flags.ts";
import {
  ADMIN,
  ALLOW_BUSY,
  type ArgumentDoc,
  BLOCKING,
  type CommandSpec,
  DENY_OOM,
  FAST,
  type KeyPlace,
  LOADING,
  MOVABLE_KEYS,
  NO_ASYNC_LOADING,
  NO_AUTH,
  NO_MANDATORY_KEYS,
  NO_MULTI,
  NO_SCRIPT,
  READONLY,
  SKIP_MONITOR,
  SKIP_SLOWLOG,
  PUBSUB,
  STALE,
  WRITE,
} from "../../dispatch/spec.ts";
import type { CommandTable } from "../../dispatch/command-table.ts";

// ---- what a row means ----

/** Flags in the order Redis lists them. */
const FLAG_NAMES: readonly (readonly [flag: number, name: string])[] = [
  [WRITE, "write"],
  [READONLY, "readonly"],
  [DENY_OOM, "denyoom"],
  [ADMIN, "admin"],
  [PUBSUB, "pubsub"],
  [NO_SCRIPT, "noscript"],
  [BLOCKING, "blocking"],
  [LOADING, "loading"],
  [STALE, "stale"],
  [SKIP_MONITOR, "skip_monitor"],
  [SKIP_SLOWLOG, "skip_slowlog"],
  [FAST, "fast"],
  [NO_AUTH, "no_auth"],
  [NO_ASYNC_LOADING, "no_async_loading"],
  [NO_MULTI, "no_multi"],
  [NO_MANDATORY_KEYS, "no_mandatory_keys"],
  [MOVABLE_KEYS, "movablekeys"],
  [ALLOW_BUSY, "allow_busy"],
];

function flagNames(spec: CommandSpec): string[] {
  return FLAG_NAMES.filter(([flag]) => (spec.flags & flag) !== 0).map(([, name]) => name);
}

// ---- COMMAND, COMMAND INFO ----

export function all(call: Call, reply: Reply): void {
  const { table } = call.server;
  reply.array(table.listed.length);
  for (const spec of table.listed) writeInfo(reply, table, spec);
}

export function count(call: Call, reply: Reply): void {
  reply.integer(call.server.table.listed.length);
}

export function info(call: Call, reply: Reply): void {
  if (call.argCount === 2) return all(call, reply);
  reply.array(call.argCount - 2);
  for (let i = 2; i < call.argCount; i++) {
    const spec = named(call, call.argText(i));
    if (spec === null) reply.nullBulk();
    else writeInfo(reply, call.server.table, spec);
  }
}

/** The row of a name like "get" or "client|list"; null when there is none. */
function named(call: Call, name: string): CommandSpec | null {
  const bar = name.indexOf("|");
  const { table } = call.server;
  if (bar < 0) return table.byName(name);
  const container = table.byName(name.slice(0, bar));
  return container === null ? null : table.findSubcommand(container, name.slice(bar + 1));
}

function simples(reply: Reply, names: readonly string[]): void {
  reply.set(names.length);
  for (const name of names) reply.simple(name);
}

function writeInfo(reply: Reply, table: CommandTable, spec: CommandSpec): void {
  reply.array(10);
  reply.text(table.nameOf(spec).toLowerCase());
  reply.integer(spec.arity);
  simples(reply, flagNames(spec));
  const { first, last, step } = spec.channels ?? spec.keys;
  for (const number of [first, last, step]) reply.integer(number);
  simples(
    reply,
    categoriesOf(spec).map((name) => `@${name}`),
  );
  const tips = spec.tips ?? [];
  reply.set(tips.length);
  for (const tip of tips) reply.text(tip);
  const keys = keySpecsOf(spec);
  reply.set(keys.length);
  for (const key of keys) writeKeySpec(reply, key);
  const subcommands = table.subcommandsOf(spec);
  reply.set(subcommands.length);
  for (const sub of subcommands) writeInfo(reply, table, sub);
}

function writeKeySpec(reply: Reply, key: KeyPlace): void {
  reply.map(key.notes === undefined ? 3 : 4);
  if (key.notes !== undefined) field(reply, "notes", key.notes);
  reply.text("flags");
  simples(reply, key.flags.split(" "));
  reply.text("begin_search");
  reply.map(2);
  reply.text("type");
  if (key.unknown === true) {
    for (const text of ["unknown", "spec"]) reply.text(text);
    reply.map(0);
    for (const text of ["find_keys"]) reply.text(text);
    reply.map(2);
    for (const text of ["type", "unknown", "spec"]) reply.text(text);
    reply.map(0);
    return;
  }
  const { keyword, countAt } = key;
  reply.text(keyword === undefined ? "index" : "keyword");
  reply.text("spec");
  reply.map(keyword === undefined ? 1 : 2);
  if (keyword !== undefined) {
    reply.text("keyword");
    reply.text(keyword);
    reply.text("startfrom");
    reply.integer(key.first);
  } else {
    reply.text("index");
    reply.integer(countAt ?? key.first);
  }
  reply.text("find_keys");
  reply.map(2);
  reply.text("type");
  reply.text(countAt === undefined ? "range" : "keynum");
  reply.text("spec");
  reply.map(3);
  if (countAt !== undefined) {
    reply.text("keynumidx");
    reply.integer(0);
    reply.text("firstkey");
    reply.integer(key.first - countAt);
    reply.text("keystep");
    reply.integer(key.step);
    return;
  }
  reply.text("lastkey");
  reply.integer(key.last <= 0 ? key.last : key.last - key.first);
  reply.text("keystep");
  reply.integer(key.step);
  reply.text("limit");
  reply.integer(key.half === true ? 2 : 0);
}

// ---- COMMAND LIST ----

/** COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN glob] */
export function list(call: Call, reply: Reply): void {
  const { table } = call.server;
  let wanted: (spec: CommandSpec) => boolean = () => true;
  if (call.argCount !== 2) {
    if (call.argCount !== 5 || call.argText(2).toLowerCase() !== "filterby") return reply.error(ErrorText.syntax);
    const value = call.argText(4);
    switch (call.argText(3).toLowerCase()) {
      case "module":
        wanted = () => false;
        break;
      case "aclcat":
        wanted = (spec) => categoriesOf(spec).includes(value.toLowerCase());
        break;
      case "pattern": {
        const pattern = Buffer.from(value, "latin1");
        wanted = (spec) => {
          const name = Buffer.from(table.nameOf(spec));
          return matchGlob(pattern, 0, pattern.length, name, 0, name.length, true);
        };
        break;
      }
      default:
        return reply.error(ErrorText.syntax);
    }
  }
  const names = table.listed
    .flatMap((spec) => [spec, ...table.subcommandsOf(spec)])
    .filter(wanted)
    .map((spec) => table.nameOf(spec).toLowerCase());
  reply.array(names.length);
  for (const name of names) reply.text(name);
}

// ---- COMMAND DOCS ----

export function docs(call: Call, reply: Reply): void {
  const { table } = call.server;
  const specs: CommandSpec[] = [];
  if (call.argCount === 2) specs.push(...table.listed);
  for (let i = 2; i < call.argCount; i++) {
    const spec = named(call, call.argText(i));
    if (spec !== null) specs.push(spec);
  }
  reply.map(specs.length);
  for (const spec of specs) writeDocs(reply, table, spec);
}

function writeDocs(reply: Reply, table: CommandTable, spec: CommandSpec): void {
  const { summary, since, group, complexity, deprecated, isInternal } = spec.docs;
  const args = spec.docs.arguments ?? [];
  const history = spec.docs.history ?? [];
  const subcommands = table.subcommandsOf(spec);
  const flag = deprecated !== undefined ? "deprecated" : isInternal === true ? "syscmd" : "";
  reply.text(table.nameOf(spec).toLowerCase());
  reply.map(
    3 +
      Number(complexity !== "") +
      Number(flag !== "") +
      2 * Number(deprecated !== undefined) +
      Number(history.length > 0) +
      Number(args.length > 0) +
      Number(subcommands.length > 0),
  );
  field(reply, "summary", summary);
  field(reply, "since", since);
  field(reply, "group", group);
  if (complexity !== "") field(reply, "complexity", complexity);
  if (flag !== "") {
    reply.text("doc_flags");
    simples(reply, [flag]);
  }
  if (deprecated !== undefined) {
    field(reply, "deprecated_since", deprecated[0]);
    field(reply, "replaced_by", deprecated[1]);
  }
  if (history.length > 0) writeHistory(reply, history);
  if (args.length > 0) {
    reply.text("arguments");
    writeArguments(reply, args);
  }
  if (subcommands.length > 0) {
    reply.text("subcommands");
    reply.map(subcommands.length);
    for (const sub of subcommands) writeDocs(reply, table, sub);
  }
}

function writeHistory(reply: Reply, history: NonNullable<CommandSpec["docs"]["history"]>): void {
  reply.text("history");
  reply.set(history.length);
  for (const [version, change] of history) {
    reply.array(2);
    reply.text(version);
    reply.text(change);
  }
}

function field(reply: Reply, name: string, value: string): void {
  reply.text(name);
  reply.text(value);
}

function writeArguments(reply: Reply, args: readonly ArgumentDoc[]): void {
  reply.array(args.length);
  for (const argument of args) {
    const { token, since, deprecatedSince } = argument;
    const keySpec = argument.keySpecIndex ?? (argument.type === "key" ? 0 : undefined);
    const flags: string[] = [];
    if (argument.optional === true) flags.push("optional");
    if (argument.multiple === true) flags.push("multiple");
    if (argument.multipleToken === true) flags.push("multiple_token");
    const inner = argument.arguments ?? [];
    reply.map(
      2 +
        Number(keySpec !== undefined) +
        Number(token !== undefined) +
        Number(since !== undefined) +
        Number(deprecatedSince !== undefined) +
        Number(flags.length > 0) +
        Number(inner.length > 0),
    );
    field(reply, "name", argument.name);
    field(reply, "type", argument.type);
    if (keySpec !== undefined) {
      reply.text("key_spec_index");
      reply.integer(keySpec);
    }
    if (token !== undefined) field(reply, "token", token);
    if (since !== undefined) field(reply, "since", since);
    if (deprecatedSince !== undefined) field(reply, "deprecated_since", deprecatedSince);
    if (flags.length > 0) {
      reply.text("flags");
      simples(reply, flags);
    }
    if (inner.length > 0) {
      reply.text("arguments");
      writeArguments(reply, inner);
    }
  }
}

// ---- COMMAND GETKEYS ----

interface FoundKey {
  /** Number of the argument of COMMAND that is the key. */
  argument: number;
  flags: string;
}

const ARGUMENTS = new KeyArguments();

/** The keys of the command in the arguments from 2 on; or the text of an error. */
function findKeys(call: Call): FoundKey[] | string {
  const FROM = 2;
  let spec = call.server.table.byName(call.argText(FROM));
  if (spec?.subcommands !== undefined && call.argCount > FROM + 1) {
    spec = call.server.table.findSubcommand(spec, call.argText(FROM + 1));
  }
  if (spec === null) return "ERR Invalid command specified";
  if (spec.keys.first === 0 && spec.places === undefined) return "ERR The command has no key arguments";
  const given = call.argCount - FROM;
  if (spec.arity > 0 ? given !== spec.arity : given < -spec.arity) {
    return "ERR Invalid number of arguments specified for command";
  }
  const found: FoundKey[] = [];
  for (const key of keySpecsOf(spec)) {
    const flags = keyFlagsHere(call, spec, key, FROM, given);
    ARGUMENTS.count = 0;
    ARGUMENTS.isInvalid = false;
    ARGUMENTS.findPlace(call, key, FROM, given);
    if (ARGUMENTS.isInvalid) return "ERR Invalid arguments specified for command";
    for (let n = 0; n < ARGUMENTS.count; n++) found.push({ argument: ARGUMENTS.at[n]!, flags });
  }
  if (spec.places !== undefined && found.length === 0) return "ERR Invalid arguments specified for command";
  return found;
}

export function getKeys(call: Call, reply: Reply): void {
  const found = findKeys(call);
  if (typeof found === "string") return reply.error(found);
  reply.array(found.length);
  for (const { argument } of found) reply.bulk(call.bytes, call.argAt(argument), call.argBytes(argument));
}

export function getKeysAndFlags(call: Call, reply: Reply): void {
  const found = findKeys(call);
  if (typeof found === "string") return reply.error(found);
  reply.array(found.length);
  for (const { argument, flags } of found) {
    reply.array(2);
    reply.bulk(call.bytes, call.argAt(argument), call.argBytes(argument));
    simples(reply, flags.split(" "));
  }
}

const HELP: readonly HelpEntry[] = [
  ["(no subcommand)", "Return details about all Redis commands."],
  ["COUNT", "Return the total number of commands in this Redis server."],
  ["LIST", "Return a list of all commands in this Redis server."],
  [
    "INFO [<command-name> ...]",
    "Return details about multiple Redis commands.",
    "If no command names are given, documentation details for all",
    "commands are returned.",
  ],
  [
    "DOCS [<command-name> ...]",
    "Return documentation details about multiple Redis commands.",
    "If no command names are given, documentation details for all",
    "commands are returned.",
  ],
  ["GETKEYS <full-command>", "Return the keys from a full Redis command."],
  ["GETKEYSANDFLAGS <full-command>", "Return the keys and the access flags from a full Redis command."],
];

export function help(_call: Call, reply: Reply): void {
  replyHelp(reply, "COMMAND", HELP);
}
