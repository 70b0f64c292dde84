/** The library `redis` of scripts: redis.call, redis.pcall, and functions for errors, logs and settings. */
import { type Builtin, badArgument, LuaError, LuaTable, raise } from "../../lua/value.ts";
import { sha1Hex } from "../../lua/lib/sha1.ts";
import { numberText } from "../../lua/number.ts";
import { Denied } from "../../dispatch/access.ts";
import type { Call } from "../../dispatch/call.ts";
import { For } from "../../dispatch/effect-dialect.ts";
import { REDIS_VERSION } from "../../dispatch/services.ts";
import { errorTable } from "./lua-reader.ts";
import type { ScriptCalls } from "./script-calls.ts";

const LEVELS = { LOG_DEBUG: 0, LOG_VERBOSE: 1, LOG_NOTICE: 2, LOG_WARNING: 3 } as const;
const REPL_NONE = 0;
const REPL_AOF = 1;
const REPL_REPLICA = 2;
const REPL_ALL = 3;

/** 7.2.4 as 0x00070204. */
const VERSION_NUMBER = REDIS_VERSION.split(".").reduce((number, part) => number * 256 + Number(part), 0);

/** Constants of the library, by name. */
export const REDIS_CONSTANTS: Readonly<Record<string, string | number>> = {
  ...LEVELS,
  REPL_NONE,
  REPL_AOF,
  REPL_SLAVE: REPL_REPLICA,
  REPL_REPLICA,
  REPL_ALL,
  REDIS_VERSION,
  REDIS_VERSION_NUM: VERSION_NUMBER,
};

/** Raises a table with the field `err`, as the library of Redis does. */
function fail(text: string): never {
  throw new LuaError(errorTable(`ERR ${text}`));
}

/** The functions of the library, for the scripts of one worker. `log`: receives what redis.log() writes. */
export function redisLibrary(call: Call, calls: ScriptCalls, log: (level: number, text: string) => void): Builtin[] {
  return [...callFunctions(call, calls), ...textFunctions(), ...logFunctions(log), ...settingFunctions(call, calls)];
}

function callFunctions(call: Call, calls: ScriptCalls): Builtin[] {
  return [
    {
      name: "call",
      single: true,
      run: (...args: unknown[]) => {
        const value = calls.run(args);
        if (!calls.hasFailed) return value;
        throw new LuaError(value);
      },
    },
    { name: "pcall", single: true, run: (...args: unknown[]) => calls.run(args) },
    {
      name: "acl_check_cmd",
      single: true,
      run: (...args: unknown[]) => {
        const wrong = calls.take(args);
        if (wrong !== "") throw new LuaError(errorTable(wrong));
        const spec = calls.rowFor(args)?.spec ?? null;
        if (spec === null) fail("Invalid command passed to redis.acl_check_cmd()");
        const { user } = call.session;
        return user.isUnrestricted || call.access.check(user, spec, 0, args.length) === Denied.None;
      },
    },
  ];
}

function textFunctions(): Builtin[] {
  return [
    {
      name: "sha1hex",
      single: true,
      run: (...args: unknown[]) => {
        if (args.length !== 1) fail("wrong number of arguments");
        return sha1Hex(textOf(args[0]));
      },
    },
    { name: "error_reply", single: true, run: (...args: unknown[]) => errorReply(args) },
    {
      name: "status_reply",
      single: true,
      run: (...args: unknown[]) => {
        if (args.length !== 1 || typeof args[0] !== "string") return errorTable(WRONG_TYPES);
        const table = new LuaTable();
        table.setStr("ok", args[0]);
        return table;
      },
    },
  ];
}

/** redis.error_reply(text): the text may begin with "-", or with its code when it has several words. */
function errorReply(args: readonly unknown[]): LuaTable {
  const text = args[0];
  if (args.length !== 1 || typeof text !== "string") return errorTable(WRONG_TYPES);
  const table = new LuaTable();
  const bare = text.startsWith("-") ? text.slice(1) : text;
  const hasCode = text.startsWith("-") || bare.includes(" ");
  table.setStr("err", hasCode ? bare : `ERR ${bare}`);
  return table;
}

function logFunctions(log: (level: number, text: string) => void): Builtin[] {
  return [
    {
      name: "log",
      single: false,
      run: (...args: unknown[]) => {
        if (args.length < 2) fail("redis.log() requires two arguments or more.");
        const level = args[0];
        if (typeof level !== "number") fail("First argument must be a number (log level).");
        if (level < LEVELS.LOG_DEBUG || level > LEVELS.LOG_WARNING) fail("Invalid log level.");
        log(Math.trunc(level), args.slice(1).map(textOf).join(" "));
        return [];
      },
    },
  ];
}

function settingFunctions(call: Call, calls: ScriptCalls): Builtin[] {
  return [
    {
      name: "setresp",
      single: false,
      run: (...args: unknown[]) => {
        if (args.length !== 1) fail("redis.setresp() requires one argument.");
        const version = args[0];
        if (version !== 2 && version !== 3) fail("RESP version must be 2 or 3.");
        calls.protocol = version;
        return [];
      },
    },
    {
      name: "set_repl",
      single: false,
      run: (...args: unknown[]) => {
        if (args.length !== 1) fail("redis.set_repl() requires one argument.");
        const flags = Number(args[0]);
        if (!(flags >= REPL_NONE && flags <= REPL_ALL)) {
          fail("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
        }
        const { effects } = call;
        effects.isMuted = (flags & REPL_ALL) === 0;
        if ((flags & REPL_ALL) === REPL_ALL) effects.only = For.Both;
        else effects.only = (flags & REPL_AOF) !== 0 ? For.Log : For.Stream;
        return [];
      },
    },
    { name: "replicate_commands", single: true, run: () => true },
    { name: "breakpoint", single: true, run: () => false },
    { name: "debug", single: false, run: () => [] },
  ];
}

/** A string or number as text; anything else is a wrong argument. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return numberText(value);
  if (value === undefined) badArgument(1, "string expected, got nil");
  raise("bad argument (string expected)");
}

const WRONG_TYPES = "ERR wrong number or type of arguments";
