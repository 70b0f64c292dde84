/** The command table's rows of server. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  ADMIN,
  ALL_SHARDS,
  ALLOW_BUSY,
  ASKS_THREADS,
  type CommandSpec,
  FAST,
  LOADING,
  NO_ASYNC_LOADING,
  NO_MULTI,
  NO_SCRIPT,
  READONLY,
  SECOND,
  STALE,
  BLOCKING,
} from "../../dispatch/spec.ts";
import { role } from "../replication/role.ts";
import { waitAof } from "../replication/wait.ts";
import * as server from "./server.ts";
import * as config from "./config.ts";
import * as monitor from "./monitor.ts";
import * as hotkeys from "./hotkeys.ts";
import * as info from "./info.ts";
import * as commandLogs from "./command-logs.ts";
import * as latency from "./latency.ts";
import * as command from "./command.ts";
import * as debug from "./debug.ts";
import * as memory from "./memory.ts";
import * as persistence from "./persistence.ts";
import * as module from "./module.ts";
import { SERVER_DOCS } from "./docs.ts";

const ALWAYS = LOADING | STALE;
const CONTROL = ADMIN | LOADING | STALE;
const OPERATOR = ADMIN | NO_SCRIPT | LOADING | STALE;

const TRAITS = { group: "server", categories: [], docs: SERVER_DOCS };

// biome-ignore format: a table, one command a line
export const serverFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "TIME",                      arity:  1, flags: FAST | LOADING | STALE,             run: server.time },
  { name: "ROLE",                      arity:  1, flags: FAST | LOADING | STALE | NO_SCRIPT, run: role, categories: ["admin", "dangerous"] },
  { name: "LOLWUT",                    arity: -1, flags: READONLY | FAST,                    run: server.lolwut },
  { name: "SHUTDOWN",                  arity: -1, flags: ADMIN | LOADING | STALE | ALLOW_BUSY | NO_SCRIPT | NO_MULTI, run: server.shutdown },
  { name: "SAVE",                      arity:  1, flags: ADMIN | NO_SCRIPT | NO_ASYNC_LOADING | NO_MULTI | ALL_SHARDS, run: persistence.save },
  { name: "BGREWRITEAOF",              arity:  1, flags: ADMIN | NO_SCRIPT | NO_ASYNC_LOADING | ASKS_THREADS, run: persistence.bgRewriteAof },
  { name: "WAITAOF",                   arity:  4, flags: NO_SCRIPT | BLOCKING,               run: waitAof, categories: ["connection"] },
  { name: "BGSAVE",                    arity: -1, flags: ADMIN | NO_SCRIPT | NO_ASYNC_LOADING | ASKS_THREADS, run: persistence.backgroundSave },
  { name: "LASTSAVE",                  arity:  1, flags: FAST | LOADING | STALE,             run: persistence.lastSave, categories: ["admin", "dangerous"] },
  { name: "CONFIG", arity: -2, subcommands: [
    { name: "CONFIG|GET",              arity: -3, flags: OPERATOR,                           run: config.get },
    { name: "CONFIG|SET",              arity: -4, flags: OPERATOR | ASKS_THREADS, run: config.set },
    { name: "CONFIG|RESETSTAT",        arity:  2, flags: OPERATOR | ASKS_THREADS, run: config.resetStat },
    { name: "CONFIG|REWRITE",          arity:  2, flags: OPERATOR | ASKS_THREADS, run: config.rewrite },
    { name: "CONFIG|HELP",             arity:  2, flags: ALWAYS,                             run: config.help },
  ] },
  { name: "MONITOR",                   arity:  1, flags: OPERATOR,                           run: monitor.monitor },
  { name: "HOTKEYS", arity: -2, subcommands: [
    { name: "HOTKEYS|START",           arity: -2, flags: ADMIN | NO_SCRIPT | ASKS_THREADS, run: hotkeys.start },
    { name: "HOTKEYS|STOP",            arity:  2, flags: ADMIN | NO_SCRIPT | ASKS_THREADS, run: hotkeys.stop },
    { name: "HOTKEYS|GET",             arity:  2, flags: ADMIN | NO_SCRIPT | ASKS_THREADS, run: hotkeys.get },
    { name: "HOTKEYS|RESET",           arity:  2, flags: ADMIN | NO_SCRIPT | ASKS_THREADS, run: hotkeys.reset },
    { name: "HOTKEYS|HELP",            arity:  2, flags: ADMIN | NO_SCRIPT,                  run: hotkeys.help },
  ] },
  { name: "INFO",                      arity: -1, flags: ALWAYS,                             run: info.info, categories: ["dangerous"] },
  { name: "SLOWLOG", arity: -2, subcommands: [
    { name: "SLOWLOG|GET",             arity: -2, flags: CONTROL | ASKS_THREADS, run: commandLogs.slowlogGet },
    { name: "SLOWLOG|LEN",             arity:  2, flags: CONTROL | ASKS_THREADS, run: commandLogs.slowlogLen },
    { name: "SLOWLOG|RESET",           arity:  2, flags: CONTROL | ASKS_THREADS, run: commandLogs.slowlogReset },
    { name: "SLOWLOG|HELP",            arity:  2, flags: ALWAYS,                             run: commandLogs.slowlogHelp },
  ] },
  { name: "COMMANDLOG", arity: -2, subcommands: [
    { name: "COMMANDLOG|GET",          arity:  4, flags: CONTROL | ASKS_THREADS, run: commandLogs.commandlogGet },
    { name: "COMMANDLOG|LEN",          arity:  3, flags: CONTROL | ASKS_THREADS, run: commandLogs.commandlogLen },
    { name: "COMMANDLOG|RESET",        arity:  3, flags: CONTROL | ASKS_THREADS, run: commandLogs.commandlogReset },
    { name: "COMMANDLOG|HELP",         arity:  2, flags: ALWAYS,                             run: commandLogs.commandlogHelp },
  ] },
  { name: "LATENCY", arity: -2, subcommands: [
    { name: "LATENCY|LATEST",          arity:  2, flags: OPERATOR | ASKS_THREADS, run: latency.latest },
    { name: "LATENCY|HISTORY",         arity:  3, flags: OPERATOR | ASKS_THREADS, run: latency.history },
    { name: "LATENCY|RESET",           arity: -2, flags: OPERATOR | ASKS_THREADS, run: latency.reset },
    { name: "LATENCY|GRAPH",           arity:  3, flags: OPERATOR | ASKS_THREADS, run: latency.graph },
    { name: "LATENCY|DOCTOR",          arity:  2, flags: OPERATOR | ASKS_THREADS, run: latency.doctor },
    { name: "LATENCY|HISTOGRAM",       arity: -2, flags: OPERATOR,                           run: latency.histogram },
    { name: "LATENCY|HELP",            arity:  2, flags: ALWAYS,                             run: latency.help },
  ] },
  { name: "COMMAND",                   arity: -1, flags: ALWAYS,                             run: command.all, categories: ["connection"], subcommands: [
    { name: "COMMAND|COUNT",           arity:  2, flags: ALWAYS,                             run: command.count, categories: ["connection"] },
    { name: "COMMAND|INFO",            arity: -2, flags: ALWAYS,                             run: command.info, categories: ["connection"] },
    { name: "COMMAND|LIST",            arity: -2, flags: ALWAYS,                             run: command.list, categories: ["connection"] },
    { name: "COMMAND|DOCS",            arity: -2, flags: ALWAYS,                             run: command.docs, categories: ["connection"] },
    { name: "COMMAND|GETKEYS",         arity: -4, flags: ALWAYS,                             run: command.getKeys, categories: ["connection"] },
    { name: "COMMAND|GETKEYSANDFLAGS", arity: -4, flags: ALWAYS,                             run: command.getKeysAndFlags, categories: ["connection"] },
    { name: "COMMAND|HELP",            arity:  2, flags: ALWAYS,                             run: command.help, categories: ["connection"] },
  ] },
  { name: "DEBUG",                     arity: -2, flags: OPERATOR | ASKS_THREADS, run: debug.debug },
  { name: "MEMORY", arity: -2, subcommands: [
    { name: "MEMORY|USAGE",            arity: -3, flags: READONLY,                           run: memory.usage, keys: SECOND, keyFlags: "RO" },
    { name: "MEMORY|STATS",            arity:  2, flags: 0,                                  run: memory.stats },
    { name: "MEMORY|DOCTOR",           arity:  2, flags: 0,                                  run: memory.doctor },
    { name: "MEMORY|PURGE",            arity:  2, flags: 0,                                  run: memory.purge },
    { name: "MEMORY|MALLOC-STATS",     arity:  2, flags: 0,                                  run: memory.mallocStats },
    { name: "MEMORY|HELP",             arity:  2, flags: ALWAYS,                             run: memory.help },
  ] },
  { name: "MODULE", arity: -2, subcommands: [
    { name: "MODULE|LIST",             arity:  2, flags: ADMIN | NO_SCRIPT,                  run: module.list },
    { name: "MODULE|LOAD",             arity: -3, flags: ADMIN | NO_SCRIPT | NO_ASYNC_LOADING, run: module.refuseNotAllowed },
    { name: "MODULE|LOADEX",           arity: -3, flags: ADMIN | NO_SCRIPT | NO_ASYNC_LOADING, run: module.refuseNotAllowed },
    { name: "MODULE|UNLOAD",           arity:  3, flags: ADMIN | NO_SCRIPT | NO_ASYNC_LOADING, run: module.refuseNotAllowed },
    { name: "MODULE|HELP",             arity:  2, flags: ALWAYS,                             run: module.help },
  ] },
]);
