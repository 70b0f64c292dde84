/** load and loadstring. */
import { checkString, optionalString, wrongType } from "../arguments.ts";
import { luaErrorOf, mark, restore } from "../catch.ts";
import { compile } from "../compile.ts";
import type { Environment } from "../environment.ts";
import { state } from "../state.ts";
import { type Builtin, callValue, firstOf, type LuaFunction, type LuaTable, raise } from "../value.ts";

const ID_MAX = 60;

/** Name of a chunk in messages: luaO_chunkid. */
export function chunkId(whole: string): string {
  const end = whole.indexOf("\0");
  const name = end < 0 ? whole : whole.slice(0, end);
  if (name[0] === "=") return name.slice(1, ID_MAX);
  if (name[0] === "@") {
    const rest = name.slice(1);
    const most = ID_MAX - " '...' ".length;
    return rest.length > most ? `...${rest.slice(rest.length - most)}` : rest;
  }
  const most = ID_MAX - ' [string "..."] '.length - 1;
  const lineEnd = /[\n\r]/.exec(name)?.index ?? name.length;
  const shown = Math.min(lineEnd, most);
  return shown < name.length ? `[string "${name.slice(0, shown)}..."]` : `[string "${name}"]`;
}

/** What a reader function gives, until it gives nil or nothing. */
function readAll(reader: LuaFunction): string {
  let text = "";
  for (;;) {
    const piece = firstOf(callValue(reader));
    if (piece === undefined || piece === "") return text;
    if (typeof piece !== "string" && typeof piece !== "number") raise("reader function must return a string");
    text += typeof piece === "string" ? piece : checkString(piece, 1, 1);
  }
}

/** The functions, for chunks with these globals. `changing` are globals that runs set. */
export function loadLibrary(globals: LuaTable, changing: readonly string[]): readonly Builtin[] {
  const environment: Environment = { globals, parameters: [], changing };
  const compiled = (text: string, name: string): unknown => {
    const chunkName = chunkId(name);
    try {
      return compile(text, { chunkName, environment, levels: state.nested + 1 }).main;
    } catch (thrown) {
      return [undefined, luaErrorOf(thrown).value];
    }
  };
  function loadString(text?: unknown, name?: unknown): unknown {
    const source = checkString(text, 1, arguments.length);
    return compiled(source, optionalString(name, 2, arguments.length, source));
  }
  function load(reader?: unknown, name?: unknown): unknown {
    if (typeof reader !== "function") wrongType(reader, 1, arguments.length, "function");
    const chunkName = optionalString(name, 2, arguments.length, "=(load)");
    const before = mark();
    try {
      return compiled(readAll(reader as LuaFunction), chunkName);
    } catch (thrown) {
      const { value } = luaErrorOf(thrown);
      restore(before);
      return [undefined, value];
    }
  }
  return [
    { name: "load", run: load, single: false },
    { name: "loadstring", run: loadString, single: false },
  ];
}
