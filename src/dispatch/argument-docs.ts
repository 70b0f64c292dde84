/** Argument descriptions that many commands share, and short forms for the rest (COMMAND DOCS). */
import type { ArgumentDoc } from "./spec.ts";

export const KEY: ArgumentDoc = { name: "key", type: "key", keySpecIndex: 0 };
export const KEYS: ArgumentDoc = { name: "key", type: "key", keySpecIndex: 0, multiple: true };
export const VALUE: ArgumentDoc = { name: "value", type: "string" };

export function key(name: string, keySpecIndex: number, token?: string): ArgumentDoc {
  return token === undefined ? { name, type: "key", keySpecIndex } : { name, type: "key", keySpecIndex, token };
}
export function string(name: string, token?: string): ArgumentDoc {
  return typed("string", name, token);
}
export function integer(name: string, token?: string): ArgumentDoc {
  return typed("integer", name, token);
}
export function double(name: string, token?: string): ArgumentDoc {
  return typed("double", name, token);
}
export function unixTime(name: string, token?: string): ArgumentDoc {
  return typed("unix-time", name, token);
}
export function pattern(name: string, token?: string): ArgumentDoc {
  return typed("pattern", name, token);
}
function typed(type: ArgumentDoc["type"], name: string, token: string | undefined): ArgumentDoc {
  return token === undefined ? { name, type } : { name, type, token };
}
/** A token without a value. */
export function flag(name: string, token: string): ArgumentDoc {
  return { name, type: "pure-token", token };
}
/** Exactly one of several arguments. */
export function oneOf(name: string, ...choices: ArgumentDoc[]): ArgumentDoc {
  return { name, type: "oneof", arguments: choices };
}
/** Several arguments in a row, after `token` if it is given. */
export function block(name: string, parts: readonly ArgumentDoc[], token?: string): ArgumentDoc {
  return token === undefined
    ? { name, type: "block", arguments: parts }
    : { name, type: "block", token, arguments: parts };
}
/** An argument that may be repeated. */
export function many(argument: ArgumentDoc): ArgumentDoc {
  return { ...argument, multiple: true };
}
/** An argument that may be repeated, each time with its token. */
export function manyTokens(argument: ArgumentDoc): ArgumentDoc {
  return { ...argument, multiple: true, multipleToken: true };
}
export function optional(argument: ArgumentDoc, since?: string): ArgumentDoc {
  return since === undefined ? { ...argument, optional: true } : { ...argument, optional: true, since };
}
export function since(version: string, argument: ArgumentDoc): ArgumentDoc {
  return { ...argument, since: version };
}

export function deprecated(version: string, argument: ArgumentDoc): ArgumentDoc {
  return { ...argument, deprecatedSince: version };
}

/** EX, PX, EXAT and PXAT, as SET and GETEX take them. */
export const DEADLINES: readonly ArgumentDoc[] = [
  integer("seconds", "EX"),
  integer("milliseconds", "PX"),
  unixTime("unix-time-seconds", "EXAT"),
  unixTime("unix-time-milliseconds", "PXAT"),
];
