/** Argument descriptions that many commands share, and short forms for the rest (COMMAND DOCS). */
import type { ArgumentDoc } from "./spec.ts";

export const KEY: ArgumentDoc = { name: "key", type: "key", keySpecIndex: 0 };
export const KEYS: ArgumentDoc = { name: "key", type: "key", keySpecIndex: 0, multiple: true };
export const VALUE: ArgumentDoc = { name: "value", type: "string" };

export function string(name: string, token?: string): ArgumentDoc {
  return token === undefined ? { name, type: "string" } : { name, type: "string", token };
}
export function integer(name: string, token?: string): ArgumentDoc {
  return token === undefined ? { name, type: "integer" } : { name, type: "integer", token };
}
export function unixTime(name: string, token?: string): ArgumentDoc {
  return token === undefined ? { name, type: "unix-time" } : { name, type: "unix-time", token };
}
/** A word that stands for itself. */
export function flag(name: string, token: string): ArgumentDoc {
  return { name, type: "pure-token", token };
}
export function oneOf(name: string, ...choices: ArgumentDoc[]): ArgumentDoc {
  return { name, type: "oneof", arguments: choices };
}
export function optional(argument: ArgumentDoc, since?: string): ArgumentDoc {
  return since === undefined ? { ...argument, optional: true } : { ...argument, optional: true, since };
}

/** EX, PX, EXAT and PXAT, as SET and GETEX take them. */
export const DEADLINES: readonly ArgumentDoc[] = [
  integer("seconds", "EX"),
  integer("milliseconds", "PX"),
  unixTime("unix-time-seconds", "EXAT"),
  unixTime("unix-time-milliseconds", "PXAT"),
];
