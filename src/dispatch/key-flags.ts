/** How a command uses its keys: for COMMAND, and for the rights of users. */
import { token } from "../base/bytes.ts";
import type { Call } from "./call.ts";
import { type CommandSpec, type KeyPlace, WRITE } from "./spec.ts";

const VARIABLE = " variable_flags";

/** The key specs of a row. A shard channel is one of them, with the flag not_key. */
export function keySpecsOf(spec: CommandSpec): readonly KeyPlace[] {
  if (spec.places !== undefined) return spec.places;
  if (spec.channels !== undefined) return [{ ...spec.channels, flags: "not_key" }];
  if (spec.keys.first === 0) return [];
  const byKind = (spec.flags & WRITE) !== 0 ? "RW update" : "RO access";
  return [{ ...spec.keys, flags: spec.keyFlags ?? byKind }];
}

/** The flags of the keys at `key`, for the command whose `given` arguments begin with argument `from` of the call. */
export function keyFlagsHere(call: Call, spec: CommandSpec, key: KeyPlace, from: number, given: number): string {
  return key.flags.endsWith(VARIABLE) ? variableFlags(call, spec.name, key.flags, from, given) : key.flags;
}

/** Flags that depend on the arguments: SET reads only with GET, BITFIELD writes only with SET or INCRBY. */
function variableFlags(call: Call, name: string, flags: string, from: number, given: number): string {
  const end = from + given;
  if (name === "SET" && !hasWord(call, from + 3, end, GET)) return "OW update";
  if (name === "BITFIELD" && !hasWord(call, from + 2, end, SET) && !hasWord(call, from + 2, end, INCRBY))
    return "RO access";
  return flags.slice(0, -VARIABLE.length);
}
const GET = token("get");
const SET = token("set");
const INCRBY = token("incrby");

function hasWord(call: Call, first: number, end: number, word: Uint8Array): boolean {
  for (let i = first; i < end; i++) if (call.argAt(i) >= 0 && call.argIs(i, word)) return true;
  return false;
}
