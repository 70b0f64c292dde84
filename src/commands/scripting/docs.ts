/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { flag, integer, KEY, many, oneOf, optional, since, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

const KEYS_AND_ARGUMENTS = [integer("numkeys"), optional(many(KEY)), optional(many(string("arg")))];
const SCRIPT_COMPLEXITY = "Depends on the script";
const FUNCTION_COMPLEXITY = "Depends on the function";
const WHEN = oneOf("async", flag("async", "ASYNC"), flag("sync", "SYNC"));

const EVERY_NODE = ["request_policy:all_nodes", "response_policy:all_succeeded"];
const EVERY_SHARD = ["request_policy:all_shards", "response_policy:all_succeeded"];
const ONE_SHARD = ["request_policy:all_shards", "response_policy:one_succeeded"];

export const SCRIPTING_DOCS: FamilyDocs = {
  EVAL: {
    summary: "Runs a Lua script.",
    since: "2.6.0",
    complexity: SCRIPT_COMPLEXITY,
    arguments: [string("script"), ...KEYS_AND_ARGUMENTS],
  },
  EVALSHA: {
    summary: "Runs a Lua script of the cache, named by its SHA1.",
    since: "2.6.0",
    complexity: SCRIPT_COMPLEXITY,
    arguments: [string("sha1"), ...KEYS_AND_ARGUMENTS],
  },
  EVAL_RO: {
    summary: "Runs a Lua script that only reads.",
    since: "7.0.0",
    complexity: SCRIPT_COMPLEXITY,
    arguments: [string("script"), ...KEYS_AND_ARGUMENTS],
  },
  EVALSHA_RO: {
    summary: "Runs a Lua script of the cache that only reads.",
    since: "7.0.0",
    complexity: SCRIPT_COMPLEXITY,
    arguments: [string("sha1"), ...KEYS_AND_ARGUMENTS],
  },
  FCALL: {
    summary: "Calls a function.",
    since: "7.0.0",
    complexity: FUNCTION_COMPLEXITY,
    arguments: [string("function"), ...KEYS_AND_ARGUMENTS],
  },
  FCALL_RO: {
    summary: "Calls a function that only reads.",
    since: "7.0.0",
    complexity: FUNCTION_COMPLEXITY,
    arguments: [string("function"), ...KEYS_AND_ARGUMENTS],
  },
  SCRIPT: { summary: "Manages the cache of scripts.", since: "2.6.0", complexity: "Depends on the subcommand" },
  "SCRIPT|DEBUG": {
    summary: "Refuses the script debugger, which is not there.",
    since: "3.2.0",
    complexity: "O(1)",
    arguments: [oneOf("mode", flag("yes", "YES"), flag("sync", "SYNC"), flag("no", "NO"))],
  },
  "SCRIPT|EXISTS": {
    summary: "Tells which scripts are in the cache.",
    since: "2.6.0",
    complexity: "O(N) for N scripts",
    arguments: [many(string("sha1"))],
    tips: ["request_policy:all_shards", "response_policy:agg_logical_and"],
  },
  "SCRIPT|FLUSH": {
    summary: "Empties the cache of scripts.",
    since: "2.6.0",
    complexity: "O(N) for N scripts",
    history: [["6.2.0", "ASYNC and SYNC were added."]],
    arguments: [optional(since("6.2.0", WHEN))],
    tips: EVERY_NODE,
  },
  "SCRIPT|HELP": { summary: "Lists the subcommands.", since: "5.0.0", complexity: "O(1)" },
  "SCRIPT|KILL": {
    summary: "Ends the scripts that run too long and have not written.",
    since: "2.6.0",
    complexity: "O(1)",
    tips: ONE_SHARD,
  },
  "SCRIPT|LOAD": {
    summary: "Puts a script into the cache. It stays until SCRIPT FLUSH.",
    since: "2.6.0",
    complexity: "O(N) for N bytes",
    arguments: [string("script")],
    tips: EVERY_NODE,
  },
  FUNCTION: { summary: "Manages functions.", since: "7.0.0", complexity: "Depends on the subcommand" },
  "FUNCTION|DELETE": {
    summary: "Deletes a library.",
    since: "7.0.0",
    complexity: "O(1)",
    arguments: [string("library-name")],
    tips: EVERY_SHARD,
  },
  "FUNCTION|DUMP": {
    summary: "Replies all libraries in one payload.",
    since: "7.0.0",
    complexity: "O(N) for N functions",
  },
  "FUNCTION|FLUSH": {
    summary: "Deletes all libraries.",
    since: "7.0.0",
    complexity: "O(N) for N functions",
    arguments: [optional(WHEN)],
    tips: EVERY_SHARD,
  },
  "FUNCTION|HELP": { summary: "Lists the subcommands.", since: "7.0.0", complexity: "O(1)" },
  "FUNCTION|KILL": {
    summary: "Ends the functions that run too long and have not written.",
    since: "7.0.0",
    complexity: "O(1)",
    tips: ONE_SHARD,
  },
  "FUNCTION|LIST": {
    summary: "Lists libraries and their functions.",
    since: "7.0.0",
    complexity: "O(N) for N functions",
    arguments: [optional(string("library-name-pattern", "LIBRARYNAME")), optional(flag("withcode", "WITHCODE"))],
    tips: ["nondeterministic_output_order"],
  },
  "FUNCTION|LOAD": {
    summary: "Loads a library of functions.",
    since: "7.0.0",
    complexity: "O(1), and the compilation",
    arguments: [optional(flag("replace", "REPLACE")), string("function-code")],
    tips: EVERY_SHARD,
  },
  "FUNCTION|RESTORE": {
    summary: "Loads the libraries of a payload.",
    since: "7.0.0",
    complexity: "O(N) for N functions",
    arguments: [
      string("serialized-value"),
      optional(oneOf("policy", flag("flush", "FLUSH"), flag("append", "APPEND"), flag("replace", "REPLACE"))),
    ],
    tips: EVERY_SHARD,
  },
  "FUNCTION|STATS": {
    summary: "Tells what runs now, and how many libraries and functions there are.",
    since: "7.0.0",
    complexity: "O(1)",
    tips: ["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
  },
};
