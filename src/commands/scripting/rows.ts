/** The command table's rows of scripting. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  ALLOW_BUSY,
  type CommandSpec,
  DENY_OOM,
  Effect,
  type KeyPlace,
  LOADING,
  LOCKS_ITSELF,
  MOVABLE_KEYS,
  NO_KEYS,
  NO_MANDATORY_KEYS,
  NO_SCRIPT,
  READONLY,
  SKIP_MONITOR,
  STALE,
  WRITE,
} from "../../dispatch/spec.ts";
import * as evaluation from "./eval.ts";
import * as functions from "./function-commands.ts";
import * as script from "./script-commands.ts";
import { SCRIPTING_DOCS } from "./docs.ts";

const RUNS = NO_SCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLE_KEYS | LOCKS_ITSELF;
const RUNS_RO = RUNS | READONLY;
const CHANGES = WRITE | NO_SCRIPT | LOCKS_ITSELF;

const COUNTED = { first: 3, last: 0, step: 1, countAt: 2 };
const UNKNOWN_USE: readonly KeyPlace[] = [
  {
    ...COUNTED,
    flags: "RW access update",
    notes: "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",
  },
];
const UNKNOWN_READ: readonly KeyPlace[] = [
  {
    ...COUNTED,
    flags: "RO access",
    notes: "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",
  },
];
const WRITTEN: readonly KeyPlace[] = [{ ...COUNTED, flags: "RW access update" }];
const READ: readonly KeyPlace[] = [{ ...COUNTED, flags: "RO access" }];

const TRAITS = { group: "scripting", categories: ["scripting"], docs: SCRIPTING_DOCS };

// biome-ignore format: a table, one command a line
export const scriptingFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "EVAL",       arity: -3, keys: NO_KEYS, flags: RUNS,    run: evaluation.evalText,   places: UNKNOWN_USE },
  { name: "EVALSHA",    arity: -3, keys: NO_KEYS, flags: RUNS,    run: evaluation.evalSha,    places: WRITTEN },
  { name: "EVAL_RO",    arity: -3, keys: NO_KEYS, flags: RUNS_RO, run: evaluation.evalTextRo, places: UNKNOWN_READ },
  { name: "EVALSHA_RO", arity: -3, keys: NO_KEYS, flags: RUNS_RO, run: evaluation.evalShaRo,  places: READ },
  { name: "FCALL",      arity: -3, keys: NO_KEYS, flags: RUNS,    run: functions.fcall,       places: UNKNOWN_USE },
  { name: "FCALL_RO",   arity: -3, keys: NO_KEYS, flags: RUNS_RO, run: functions.fcallRo,     places: UNKNOWN_READ },
  { name: "SCRIPT", arity: -2, subcommands: [
    { name: "SCRIPT|DEBUG",  arity:  3, flags: NO_SCRIPT,                        run: script.debug },
    { name: "SCRIPT|EXISTS", arity: -3, flags: NO_SCRIPT | LOCKS_ITSELF,         run: script.exists },
    { name: "SCRIPT|FLUSH",  arity: -2, flags: NO_SCRIPT | LOCKS_ITSELF,         run: script.flush },
    { name: "SCRIPT|HELP",   arity:  2, flags: LOADING | STALE,                  run: script.help },
    { name: "SCRIPT|KILL",   arity:  2, flags: NO_SCRIPT | ALLOW_BUSY,           run: script.kill },
    { name: "SCRIPT|LOAD",   arity:  3, flags: NO_SCRIPT | STALE | LOCKS_ITSELF, run: script.load },
  ] },
  { name: "FUNCTION", arity: -2, subcommands: [
    { name: "FUNCTION|DELETE",  arity:  3, flags: CHANGES,                       run: functions.remove,  effect: Effect.Rewritten },
    { name: "FUNCTION|DUMP",    arity:  2, flags: NO_SCRIPT | LOCKS_ITSELF,      run: functions.dump },
    { name: "FUNCTION|FLUSH",   arity: -2, flags: CHANGES,                       run: functions.flush,   effect: Effect.Rewritten },
    { name: "FUNCTION|HELP",    arity:  2, flags: LOADING | STALE,               run: functions.help },
    { name: "FUNCTION|KILL",    arity:  2, flags: NO_SCRIPT | ALLOW_BUSY,        run: functions.kill },
    { name: "FUNCTION|LIST",    arity: -2, flags: NO_SCRIPT | LOCKS_ITSELF,      run: functions.list },
    { name: "FUNCTION|LOAD",    arity: -3, flags: CHANGES | DENY_OOM,            run: functions.load,    effect: Effect.Rewritten },
    { name: "FUNCTION|RESTORE", arity: -3, flags: CHANGES | DENY_OOM,            run: functions.restore, effect: Effect.Rewritten },
    { name: "FUNCTION|STATS",   arity:  2, flags: NO_SCRIPT | ALLOW_BUSY | LOCKS_ITSELF, run: functions.stats },
  ] },
]);
