/**
 * Lua texts run by our compiler and by Debian's lua5.1, for comparison. Both sides print the results in the same form.
 */
import { type CompiledChunk, compile } from "../../src/lua/compile.ts";
import { freeze } from "../../src/lua/environment.ts";
import { toText } from "../../src/lua/lib/base.ts";
import { chunkId } from "../../src/lua/lib/load.ts";
import { openGlobals, standardGlobals } from "../../src/lua/standard.ts";
import { firstOf, listOf, LuaError, type LuaTable, typeName } from "../../src/lua/value.ts";
import { showValue } from "./lua-oracle.ts";

/** Globals that a script may change, as in lua5.1. */
export { openGlobals };

/** Globals as EVAL has them: frozen, so that names are resolved when the chunk is compiled. */
export function frozenGlobals(): LuaTable {
  const globals = standardGlobals();
  freeze(globals);
  return globals;
}

/** The results of a text, or its error, as one line. */
export function ourRun(text: string, globals: LuaTable = frozenGlobals()): string {
  const environment = { globals, parameters: [], changing: [] };
  try {
    const chunk = compile(text, { chunkName: chunkId("=input"), environment });
    return listOf(chunk.run()).map(showValue).join(" ");
  } catch (error) {
    if (!(error instanceof LuaError)) throw error;
    return `error: ${showValue(error.value)}`;
  }
}

const THEIR_DRIVER = `
local function show(v)
  local t = type(v)
  if t == 'string' then return '"' .. v .. '"' end
  if t == 'table' or t == 'function' or t == 'thread' then return t end
  return tostring(v)
end
local function answer(text)
  local f, message = loadstring(text, '=input')
  if not f then return 'no Lua: ' .. message end
  local counts = 0
  debug.sethook(function() error('too long', 0) end, '', 2000000)
  local results = {pcall(f)}
  debug.sethook()
  return tostring(results[1]) .. ' ' .. show(results[2])
end
for length in io.lines() do
  local text = io.read(tonumber(length))
  io.read()
  G1, G2 = nil, nil
  local line = answer(text)
  io.write(#line, '\\n', line, '\\n')
end
`;

/** What lua5.1 answers to each text. */
export async function theirRuns(texts: readonly string[]): Promise<string[]> {
  const child = Bun.spawn(["lua5.1", "-e", THEIR_DRIVER], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  for (const text of texts) child.stdin.write(Buffer.from(`${text.length}\n${text}\n`, "latin1"));
  void child.stdin.end();
  const output = Buffer.from(await new Response(child.stdout).arrayBuffer()).toString("latin1");
  const complaint = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(complaint);
  const answers: string[] = [];
  for (let at = 0; at < output.length; ) {
    const end = output.indexOf("\n", at);
    const length = Number(output.slice(at, end));
    answers.push(output.slice(end + 1, end + 1 + length));
    at = end + length + 2;
  }
  return answers;
}

/** What we answer, in the same form. */
export function ourAnswer(text: string, globals: LuaTable): string {
  const environment = { globals, parameters: [], changing: [] };
  const show = (value: unknown): string => {
    if (typeof value === "string") return `"${value}"`;
    if (typeof value === "object" || typeof value === "function") return typeName(value);
    return String(toText(value));
  };
  let chunk: CompiledChunk;
  try {
    chunk = compile(text, { chunkName: "input", environment });
  } catch (error) {
    if (!(error instanceof LuaError)) throw error;
    return `no Lua: ${error.value}`;
  }
  try {
    return `true ${show(firstOf(chunk.run()))}`;
  } catch (error) {
    if (!(error instanceof LuaError)) throw error;
    return `false ${show(error.value)}`;
  }
}

/** A text as a function of its own, called by pcall: its results, or its error, become one string. */
export function wrapped(text: string): string {
  return `local function show(...) local s = '' for i = 1, select('#', ...) do local v = select(i, ...) local t = type(v)
if t == 'table' or t == 'function' or t == 'thread' then v = t elseif t == 'string' then v = '"' .. v .. '"' else v = tostring(v) end s = s .. v .. ' ' end return s end
local f, m = loadstring(${luaQuote(text)}, '=input') if not f then return 'no Lua: ' .. m end return show(pcall(f))`;
}

export const ourResults = (text: string, globals: LuaTable): string => ourAnswer(wrapped(text), globals);

/** A string as a literal of Lua. */
export function luaQuote(text: string): string {
  return `"${text.replace(/[^ !#-[\]-~]/g, (c) => `\\${c.charCodeAt(0).toString().padStart(3, "0")}`)}"`;
}
