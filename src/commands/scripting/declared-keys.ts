/**
 * Whether a script uses no keys but those that it was given in KEYS, as far as its text shows (lua/host-calls.ts). Such a script
 * holds the locks of these keys alone; any other one runs under the script lock.
 */
import type { HostArgument, HostCall, HostCalls } from "../../lua/host-calls.ts";
import type { CommandTable } from "../../dispatch/command-table.ts";
import { ALL_SHARDS, type KeyPlace, type KeySpec, READONLY, WRITE } from "../../dispatch/spec.ts";

export function usesDeclaredKeys({ calls, isComplete }: HostCalls, table: CommandTable): boolean {
  return isComplete && calls.every((call) => namesDeclaredKeys(call, table));
}

function namesDeclaredKeys({ args }: HostCall, table: CommandTable): boolean {
  const name = args[0];
  if (name?.kind !== "literal") return false;
  const spec = table.byName(String(name.value));
  // Without such a command the call fails, and with subcommands only a look at them would tell.
  if (spec === null) return true;
  if (spec.subcommands !== undefined || (spec.flags & ALL_SHARDS) !== 0) return false;
  const { places, keys } = spec;
  if (places !== undefined) return places.every((place) => isRange(place) && hasKeys(args, place));
  if (keys.first === 0) return (spec.flags & (READONLY | WRITE)) === 0;
  return hasKeys(args, keys);
}

/** True for keys that are found by their argument numbers alone. */
function isRange({ keyword, countAt, unknown, half }: KeyPlace): boolean {
  return keyword === undefined && countAt === undefined && unknown !== true && half !== true;
}

function hasKeys(args: readonly HostArgument[], { first, last, step }: KeySpec): boolean {
  if (last === first) return args[first] === undefined || args[first].kind === "element";
  // With any number of values in the middle, argument numbers say nothing.
  const hasMany = args.some(({ kind }) => kind === "elements" || kind === "others");
  if (last < -1 || hasMany) return last === -1 && step === 1 && args.slice(first).every(isKey);
  const end = last === -1 ? args.length : last + 1;
  for (let i = first; i < end; i += step) if (args[i] !== undefined && args[i]!.kind !== "element") return false;
  return true;
}

function isKey({ kind }: HostArgument): boolean {
  return kind === "element" || kind === "elements";
}
