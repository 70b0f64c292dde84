/** string.find, match, gmatch and gsub. */
import { checkString, optionalInt32, optionalInteger } from "../arguments.ts";
import { charge } from "../limits.ts";
import { numberText } from "../number.ts";
import {
  isPlain,
  matchStart,
  type Pattern,
  patternOf,
  type ReplacementPart,
  replacementParts,
  unanchoredPatternOf,
} from "../pattern.ts";
import { state } from "../state.ts";
import {
  badArgument,
  firstOf,
  LuaTable,
  type LuaFunction,
  NONE,
  raise,
  typeName,
  beginCall,
  endCall,
} from "../value.ts";
import { fieldOf } from "./metamethods.ts";

/** Where a search begins, from 0: `init` counts from 1, or from the end, and is within the text. */
function searchStart(init: unknown, count: number, length: number): number {
  if (init === undefined) return 0;
  const position = optionalInteger(init, 3, count, 1);
  const from = (position < 0 ? position + length + 1 : position) - 1;
  return from < 0 ? 0 : from > length ? length : from;
}

export function find(s?: unknown, pattern?: unknown, init?: unknown, plain?: unknown): unknown {
  const text = typeof s === "string" ? s : checkString(s, 1, arguments.length);
  const wanted = typeof pattern === "string" ? pattern : checkString(pattern, 2, arguments.length);
  const from = searchStart(init, arguments.length, text.length);
  if ((plain !== undefined && plain !== false) || isPlain(wanted)) {
    const at = text.indexOf(wanted, from);
    return at < 0 ? undefined : [at + 1, at + wanted.length];
  }
  const compiled = patternOf(wanted);
  const end = compiled.search(text, from);
  if (end < 0) return undefined;
  const results: unknown[] = [matchStart() + 1, end];
  for (let i = 0; i < compiled.captureCount; i++) results.push(compiled.capture(text, i, end));
  return results;
}

export function match(s?: unknown, pattern?: unknown, init?: unknown): unknown {
  const text = typeof s === "string" ? s : checkString(s, 1, arguments.length);
  const wanted = typeof pattern === "string" ? pattern : checkString(pattern, 2, arguments.length);
  const from = searchStart(init, arguments.length, text.length);
  const compiled = patternOf(wanted);
  const end = compiled.search(text, from);
  return end < 0 ? undefined : compiled.results(text, end);
}

export function gmatch(s?: unknown, pattern?: unknown): LuaFunction {
  const text = typeof s === "string" ? s : checkString(s, 1, arguments.length);
  const wanted = typeof pattern === "string" ? pattern : checkString(pattern, 2, arguments.length);
  const compiled = unanchoredPatternOf(wanted);
  let from = 0;
  return () => {
    const end = from > text.length ? -1 : compiled.search(text, from);
    if (end < 0) return NONE;
    from = end === matchStart() ? end + 1 : end;
    return compiled.results(text, end);
  };
}

const REPLACEMENT_TYPES = "string/function/table expected";

export function gsub(s?: unknown, pattern?: unknown, replacement?: unknown, most?: unknown): unknown {
  const text = typeof s === "string" ? s : checkString(s, 1, arguments.length);
  const wanted = typeof pattern === "string" ? pattern : checkString(pattern, 2, arguments.length);
  const countMax = optionalInt32(most, 4, arguments.length, text.length + 1);
  const compiled = patternOf(wanted);
  switch (typeof replacement) {
    case "string":
      return replaceByText(text, compiled, replacement, countMax);
    case "number":
      return replaceByText(text, compiled, numberText(replacement), countMax);
    case "function":
      return replaceByFunction(text, compiled, replacement as LuaFunction, countMax);
    default:
      if (!(replacement instanceof LuaTable)) badArgument(3, REPLACEMENT_TYPES);
      return replaceByTable(text, compiled, replacement, countMax);
  }
}

function replaceByText(text: string, pattern: Pattern, replacement: string, countMax: number): unknown {
  if (!replacement.includes("%")) return replaceAll(text, pattern, countMax, () => replacement);
  const parts = replacementParts(replacement);
  return replaceAll(text, pattern, countMax, (end) => expanded(text, pattern, parts, end));
}

/** The replacement text of one match. */
function expanded(text: string, pattern: Pattern, parts: readonly ReplacementPart[], end: number): string {
  let result = "";
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (typeof part === "string") result += part;
    else if (part === 0) result += text.slice(matchStart(), end);
    else {
      const value = pattern.capture(text, part - 1, end);
      result += typeof value === "string" ? value : numberText(value);
    }
  }
  return result;
}

function replaceByFunction(text: string, pattern: Pattern, f: LuaFunction, countMax: number): unknown {
  const site = state.site;
  const count = pattern.captureCount;
  // callers.ts knows it by its name, which an arrow function has not in a stack
  function callReplacement(end: number): string {
    const start = matchStart();
    let result: unknown;
    if (count <= 1) {
      const value = pattern.capture(text, 0, end);
      beginCall();
      result = f(value);
    } else {
      const values = pattern.results(text, end) as unknown[];
      beginCall();
      result = f(...values);
    }
    endCall(site);
    return replacementText(Array.isArray(result) ? result[0] : result, text, start, end);
  }
  return replaceAll(text, pattern, countMax, callReplacement);
}

function replaceByTable(text: string, pattern: Pattern, table: LuaTable, countMax: number): unknown {
  return replaceAll(text, pattern, countMax, (end) => {
    const start = matchStart();
    return replacementText(firstOf(fieldOf(table, pattern.capture(text, 0, end))), text, start, end);
  });
}

/** What replaces the match when a function or table gave `value`: nil and false leave it as it is. */
function replacementText(value: unknown, text: string, start: number, end: number): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === false) return text.slice(start, end);
  return typeof value === "number" ? numberText(value) : raise(`invalid replacement value (a ${typeName(value)})`);
}

/** Results are charged in steps of this size. */
const CHARGED_STEP = 65_536;

/** Replaces up to `countMax` matches by what `replace` makes of them. Returns the new text and how many there were. */
function replaceAll(text: string, pattern: Pattern, countMax: number, replace: (end: number) => string): unknown {
  let result = "";
  let count = 0;
  let from = 0;
  let charged = 0;
  while (count < countMax) {
    const end = pattern.search(text, from);
    if (end < 0) break;
    count++;
    const start = matchStart();
    if (start > from) result += text.slice(from, start);
    result += replace(end);
    if (result.length > charged + CHARGED_STEP) {
      charge(result.length - charged);
      charged = result.length;
    }
    if (end > start) from = end;
    else {
      if (start >= text.length) {
        from = text.length;
        break;
      }
      result += text[start];
      from = start + 1;
    }
    if (pattern.program.isAnchored) break;
  }
  return [count === 0 ? text : result + text.slice(from), count];
}
