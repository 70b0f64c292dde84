/**
 * Calls of Lua's library functions, once on ours directly and once as a line of Lua text in Debian's lua5.1 or in a script of
 * redis-server. All results, or the message of the error, become a text that both sides write in the same form.
 *
 * The calls are made by pcall itself, so messages name the function "?" and have no position, on every side.
 */
import { LuaError, LuaTable, listOf, NULL_USERDATA, type LuaFunction } from "../../src/lua/value.ts";
import { general } from "../../src/lua/number.ts";
import type { RespClient } from "./resp.ts";
import { replyTo } from "./resp.ts";

/** An argument that is the same thing in both languages: a function, or a table with a metatable. */
export class Twin {
  constructor(
    readonly lua: string,
    readonly make: () => unknown,
  ) {}
}

/** The pairs of a table. Keys and values are arguments themselves. */
export class Pairs {
  constructor(readonly pairs: readonly (readonly [Argument, Argument])[]) {}
}

/** An array is a table of its elements. */
export type Argument = undefined | boolean | number | string | null | Twin | Pairs | readonly Argument[];

export interface LibraryCall {
  /** "string.rep": the name on the other side. */
  readonly name: string;
  readonly run: LuaFunction;
  readonly args: readonly Argument[];
}

/** The argument as Lua text. `Z` is a variable of value 0, because a constant -0 may be merged with 0. */
export function luaText(value: Argument): string {
  if (value === undefined) return "nil";
  if (value === null) return "cjson.null";
  if (typeof value === "boolean") return `${value}`;
  if (typeof value === "number") return numberLiteral(value);
  if (typeof value === "string") return stringLiteral(value);
  if (value instanceof Twin) return value.lua;
  if (value instanceof Pairs) return `{${value.pairs.map(([k, v]) => `[${luaText(k)}]=${luaText(v)}`).join(",")}}`;
  return `{${value.map(luaText).join(",")}}`;
}

function numberLiteral(value: number): string {
  if (Object.is(value, -0)) return "(-Z)";
  if (Number.isNaN(value)) return "(Z/Z)";
  if (!Number.isFinite(value)) return value > 0 ? "(1/Z)" : "(-1/Z)";
  return general(value, 17, false);
}

function stringLiteral(value: string): string {
  const inner = value.replace(/[^A-Za-z0-9 ,.:;_{}[\]()%=+*/<>^$#@!?~|&-]/g, (c) => {
    return `\\${c.charCodeAt(0).toString().padStart(3, "0")}`;
  });
  return `"${inner}"`;
}

/** The argument as a value of ours. */
export function ourValue(value: Argument): unknown {
  if (value === null) return NULL_USERDATA;
  if (typeof value !== "object") return value;
  if (value instanceof Twin) return value.make();
  if (value instanceof Pairs) {
    const table = new LuaTable();
    for (const [key, item] of value.pairs) table.set(ourValue(key), ourValue(item));
    return table;
  }
  return LuaTable.fromArray(value.map(ourValue));
}

/** Both sides write values so. Pairs are in the order of their keys: numbers, strings, others by their text. */
export function showValue(value: unknown): string {
  if (value === undefined) return "nil";
  if (value === NULL_USERDATA) return "null";
  if (typeof value === "number") return Number.isNaN(value) ? "nan" : general(value, 17, false);
  if (typeof value === "string") {
    return `"${value.replace(/[\x00-\x1f"\\\x7f-\xff]/g, (c) => `\\${c.charCodeAt(0).toString().padStart(3, "0")}`)}"`;
  }
  if (!(value instanceof LuaTable)) return typeof value === "function" ? "function" : String(value);
  const pairs: [unknown, unknown][] = [];
  for (let at = value.after(-1); at >= 0; at = value.after(at)) pairs.push([value.keyAt(at), value.valueAt(at)]);
  const rank = (key: unknown): number => (typeof key === "number" ? 0 : typeof key === "string" ? 1 : 2);
  const order = (key: unknown): string | number => (rank(key) < 2 ? (key as string | number) : showValue(key));
  pairs.sort(([a], [b]) => rank(a) - rank(b) || (order(a) < order(b) ? -1 : 1));
  return `{${pairs.map(([k, v]) => `[${showValue(k)}]=${showValue(v)},`).join("")}}`;
}

const SHOW = `
local function quote(s)
  return (s:gsub('[%c"\\\\\\127-\\255]', function(c) return string.format('\\\\%03d', c:byte()) end))
end
local rank = { number = 0, string = 1 }
local show
function show(v)
  local t = type(v)
  if t == 'nil' or t == 'boolean' then return tostring(v) end
  if t == 'number' then return v ~= v and 'nan' or string.format('%.17g', v) end
  if t == 'string' then return '"' .. quote(v) .. '"' end
  if t == 'userdata' then return 'null' end
  if t ~= 'table' then return t end
  local keys = {}
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b)
    local ra, rb = rank[type(a)] or 2, rank[type(b)] or 2
    if ra ~= rb then return ra < rb end
    if ra < 2 then return a < b end
    return show(a) < show(b)
  end)
  local out = {}
  for i, k in ipairs(keys) do out[i] = '[' .. show(k) .. ']=' .. show(v[k]) .. ',' end
  return '{' .. table.concat(out) .. '}'
end
local function showAll(...)
  local out = {}
  for i = 1, select('#', ...) do out[i] = show((select(i, ...))) end
  return table.concat(out, ' ')
end
local function answer(line)
  local f, message = loadstring('local Z = ... return ' .. line)
  if not f then return 'no Lua: ' .. message end
  return showAll(f(0))
end
`;

/** What a call answers with our functions. The arguments that are tables are shown too, when `withArguments`. */
export function ourAnswer(call: LibraryCall, withArguments = false): string {
  const args = call.args.map(ourValue);
  let results: readonly unknown[];
  try {
    results = [true, ...listOf(call.run(...args))];
  } catch (error) {
    if (!(error instanceof LuaError)) throw error;
    results = [false, error.value];
  }
  const tables = withArguments ? args.filter((value) => value instanceof LuaTable) : [];
  return [...results, ...tables].map(showValue).join(" ");
}

/** The call as Lua text. */
export function callText(call: LibraryCall, withArguments = false): string {
  const args = call.args.map(luaText);
  if (!withArguments) return `pcall(${[call.name, ...args].join(", ")})`;
  const names = args.map((_, i) => `a${i}`);
  const tables = names.filter((_, i) => Array.isArray(call.args[i]) || call.args[i] instanceof Pairs);
  const results = `(function(...) local t = {...} for _, v in ipairs({${tables.join(",")}}) do t[select('#', ...) + _] = v end
return unpack(t, 1, select('#', ...) + ${tables.length}) end)(pcall(${[call.name, ...names].join(", ")}))`;
  return `(function(${names.join(", ")}) return ${results.replaceAll("\n", " ")} end)(${args.join(", ")})`;
}

/** Which of the other sides answers. */
export type Oracle = (lines: readonly string[]) => Promise<readonly string[]>;

/** Debian's lua5.1. */
export const lua51: Oracle = async (lines) => {
  const driver = `${SHOW}for line in io.lines() do print(answer(line)) end`;
  const child = Bun.spawn(["lua5.1", "-e", driver], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  child.stdin.write(Buffer.from(`${lines.join("\n")}\n`, "latin1"));
  void child.stdin.end();
  const output = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
  return output.split("\n").slice(0, -1);
};

const BATCH = 1000;

/** A script of redis-server. */
export function redisOracle(client: RespClient): Oracle {
  const driver = `${SHOW}local out = {} for i, line in ipairs(ARGV) do out[i] = answer(line) end return out`;
  return async (lines) => {
    const answers: string[] = [];
    for (let from = 0; from < lines.length; from += BATCH) {
      const reply = await replyTo(client, "EVAL", driver, 0, ...lines.slice(from, from + BATCH));
      if (reply.type !== "array") throw new Error(JSON.stringify(reply));
      for (const item of reply.value) answers.push((item as { value: string }).value);
    }
    return answers;
  };
}

/** The sign of a NaN is hidden from us. */
function withoutNanSign(text: string): string {
  return text.replace(/-nan/gi, (word) => word.slice(1));
}

/** Where a function that a line defines has called one of the library. */
const POSITION = /\[string \\034local Z = [^\]]*\]:1: /g;

function firstDifference(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return at;
}

/** The calls whose answers differ, as one text; empty when all agree. */
export async function differences(
  oracle: Oracle,
  calls: readonly LibraryCall[],
  withArguments = false,
): Promise<string> {
  const lines = calls.map((call) => callText(call, withArguments));
  const theirs = await oracle(lines);
  const found: string[] = [];
  if (theirs.length !== calls.length) found.push(`${theirs.length} answers to ${calls.length} calls`);
  for (let i = 0; i < calls.length; i++) {
    const ours = withoutNanSign(ourAnswer(calls[i]!, withArguments));
    const other = withoutNanSign(theirs[i] ?? "").replace(POSITION, "");
    if (ours === other) continue;
    const from = Math.max(0, firstDifference(ours, other) - 150);
    found.push(
      `${lines[i]!.slice(0, 400)}\n  ours   ${ours.slice(from, from + 400)}\n  theirs ${other.slice(from, from + 400)}`,
    );
  }
  return found.slice(0, 20).join("\n");
}

/**
 * True when lua5.1 is at hand. Otherwise says so loudly, and fails under CI=true: a comparison that did not run must never
 * look like one that passed.
 */
export function requireLua(): boolean {
  if (Bun.which("lua5.1") !== null) return true;
  const message = "lua5.1 is missing: the comparisons with Lua DID NOT RUN (install lua5.1)";
  if (process.env["CI"] === "true") throw new Error(message);
  console.error(`\n${"!".repeat(message.length)}\n${message}\n${"!".repeat(message.length)}\n`);
  return false;
}
