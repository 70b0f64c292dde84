/**
 * Shebang: the first line of a script or library, "#!lua flags=no-writes,allow-oom" or "#!lua name=mylib". It is cut off before
 * the text is compiled; its line end stays, so that line numbers are right.
 */
import { splitQuotedWords } from "../../base/quoted-words.ts";

export interface ScriptFlags {
  readonly noWrites: boolean;
  readonly allowOom: boolean;
  readonly allowStale: boolean;
  readonly noCluster: boolean;
  readonly allowCrossSlotKeys: boolean;
}

export const NO_FLAGS: ScriptFlags = {
  noWrites: false,
  allowOom: false,
  allowStale: false,
  noCluster: false,
  allowCrossSlotKeys: false,
};

const FIELDS: Readonly<Record<string, keyof ScriptFlags>> = {
  "no-writes": "noWrites",
  "allow-oom": "allowOom",
  "allow-stale": "allowStale",
  "no-cluster": "noCluster",
  "allow-cross-slot-keys": "allowCrossSlotKeys",
};
/** In the order in which FUNCTION LIST shows them. */
export const FLAG_NAMES: readonly string[] = Object.keys(FIELDS);

/** Flags by their names; null when one is unknown. Functions may write them in any case. */
export function flagsOf(names: readonly string[]): ScriptFlags | null {
  const flags: Record<keyof ScriptFlags, boolean> = { ...NO_FLAGS };
  for (const name of names) {
    const field = FIELDS[name.toLowerCase()];
    if (field === undefined) return null;
    flags[field] = true;
  }
  return flags;
}

export function hasFlag(flags: ScriptFlags, name: string): boolean {
  return flags[FIELDS[name]!];
}

/** A script's text without its shebang, and what that says. `flags` null: there is none. `error`: "" = none. */
export interface ParsedScript {
  readonly body: string;
  readonly flags: ScriptFlags | null;
  readonly error: string;
}

export function parseScript(text: string): ParsedScript {
  if (!text.startsWith("#!")) return { body: text, flags: null, error: "" };
  const end = text.indexOf("\n");
  if (end < 0) return failed("ERR Invalid script shebang");
  const words = splitQuotedWords(text.slice(0, end));
  if (words === null) return failed("ERR Invalid engine in script shebang");
  const [engine, ...options] = words;
  if (engine === undefined || engine.toLowerCase() !== "#!lua") {
    return failed(`ERR Unexpected engine in script shebang: ${engine ?? ""}`);
  }
  let flags = NO_FLAGS;
  for (const option of options) {
    if (!option.startsWith("flags=")) return failed(`ERR Unknown lua shebang option: ${option}`);
    const list = option.slice("flags=".length);
    for (const name of list === "" ? [] : list.split(",")) {
      const field = FIELDS[name];
      if (field === undefined) return failed(`ERR Unexpected flag in script shebang: ${name}`);
      flags = { ...flags, [field]: true };
    }
  }
  return { body: text.slice(end), flags, error: "" };
}

function failed(error: string): ParsedScript {
  return { body: "", flags: null, error };
}

/** The text of a library without its shebang, and its name. `error`: "" = none. */
export interface ParsedLibrary {
  readonly body: string;
  readonly name: string;
  readonly error: string;
}

const NAME = /^[A-Za-z0-9_]+$/;
export const NAME_ERROR =
  "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/** True when `name` may be that of a library or function. */
export function isName(name: string): boolean {
  return NAME.test(name);
}

export function parseLibrary(text: string): ParsedLibrary {
  const wrong = (error: string) => ({ body: "", name: "", error });
  const end = text.indexOf("\n");
  if (!text.startsWith("#!")) return wrong("ERR Missing library metadata");
  if (end < 0) return wrong("ERR Invalid library metadata");
  const words = splitQuotedWords(text.slice(0, end));
  if (words === null) return wrong("ERR Invalid library metadata");
  const [engine, ...options] = words;
  let name: string | null = null;
  for (const option of options) {
    if (!option.toLowerCase().startsWith("name=")) return wrong(`ERR Invalid metadata value given: ${option}`);
    if (name !== null) return wrong("ERR Invalid metadata value, name argument was given multiple times");
    name = option.slice("name=".length);
  }
  if (name === null) return wrong("ERR Library name was not given");
  if (!isName(name)) return wrong(NAME_ERROR);
  const engineName = (engine ?? "").slice(2);
  if (engineName.toLowerCase() !== "lua") return wrong(`ERR Engine '${engineName}' not found`);
  return { body: text.slice(end), name, error: "" };
}
