/**
 * The functions of a TypeScript source and their lengths, found by brackets, without a parser.
 *
 * Comments, strings, templates and regular expressions are blanked first. A `{` begins a function's body when it follows
 * "=>", or ")" with or without a return type, and the word before that parenthesis is none of if, for, while, switch, catch.
 */

export interface FunctionShape {
  name: string;
  /** From 1. */
  line: number;
  /** Lines from the one with its name to the one with the closing brace. */
  lines: number;
}

const CONTROL = new Set(["if", "for", "while", "switch", "catch", "with"]);
/** Behind these a slash begins a regular expression. */
const BEFORE_REGEX = /(?:^|[(,=:[&|?{};+\-*%<>~^]|(?<![\w\])])!|\breturn|\btypeof|\bcase)\s*$/;
const CLOSING: Readonly<Record<string, string>> = { ")": "(", "]": "[", "}": "{" };

/** The source with everything blank that is no code; its length and its lines stay. */
export function codeOnly(source: string): string {
  let code = "";
  let i = 0;
  const blank = (end: number): void => {
    code += source.slice(i, end).replace(/[^\n]/g, " ");
    i = Math.min(end, source.length);
  };
  while (i < source.length) {
    const here = source[i]!;
    const next = source[i + 1];
    if (here === "/" && next === "/") blank(endOf(source, "\n", i));
    else if (here === "/" && next === "*") blank(endOf(source, "*/", i + 2) + 2);
    else if (here === '"' || here === "'") blank(endOfQuoted(source, i));
    else if (here === "`") blank(endOfTemplate(source, i));
    else if (here === "/" && BEFORE_REGEX.test(code.slice(-40))) blank(endOfRegex(source, i));
    else code += source[i++];
  }
  return code;
}

function endOf(source: string, mark: string, from: number): number {
  const at = source.indexOf(mark, from);
  return at < 0 ? source.length : at;
}

function endOfQuoted(source: string, start: number): number {
  let i = start + 1;
  while (i < source.length && source[i] !== source[start]) i += source[i] === "\\" ? 2 : 1;
  return i + 1;
}

/** The end of a template, templates within its expressions included. */
function endOfTemplate(source: string, start: number): number {
  let i = start + 1;
  while (i < source.length && source[i] !== "`") {
    if (source[i] === "\\") i += 2;
    else if (source[i] === "$" && source[i + 1] === "{") i = endOfExpression(source, i + 2);
    else i++;
  }
  return i + 1;
}

function endOfExpression(source: string, start: number): number {
  let depth = 1;
  let i = start;
  while (i < source.length && depth > 0) {
    const here = source[i]!;
    if (here === "`") i = endOfTemplate(source, i);
    else if (here === '"' || here === "'") i = endOfQuoted(source, i);
    else {
      if (here === "{") depth++;
      if (here === "}") depth--;
      i++;
    }
  }
  return i;
}

function endOfRegex(source: string, start: number): number {
  let i = start + 1;
  let isInClass = false;
  while (i < source.length && source[i] !== "\n" && (isInClass || source[i] !== "/")) {
    if (source[i] === "[") isInClass = true;
    if (source[i] === "]") isInClass = false;
    i += source[i] === "\\" ? 2 : 1;
  }
  return i + 1;
}

/** Where each closing bracket's partner is. */
function partners(code: string): Map<number, number> {
  const open: number[] = [];
  const found = new Map<number, number>();
  for (let i = 0; i < code.length; i++) {
    const here = code[i]!;
    if (here === "(" || here === "[" || here === "{") open.push(i);
    const wanted = CLOSING[here];
    if (wanted === undefined) continue;
    const at = open.pop();
    if (at === undefined || code[at] !== wanted) throw new Error(`unbalanced ${here} at ${i}`);
    found.set(i, at);
    found.set(at, i);
  }
  return found;
}

/** Offset of the parenthesis that closes the parameters before the brace at `brace`; -1 = it is no function's. */
function endOfParameters(code: string, brace: number, partner: ReadonlyMap<number, number>): number {
  let i = brace - 1;
  let type = "";
  for (; i >= 0 && brace - i < 2000; i--) {
    const here = code[i]!;
    const before = type.trim();
    if (here === ")" && (before === "" || (before.startsWith(":") && /[\w>]$/.test(before)))) return i;
    if (here === "}" || here === "]" || here === ")") {
      // In a return type a brace follows one of these.
      const start = partner.get(i)!;
      if (here === "}" && !/[:|&<,>]\s*$/.test(code.slice(Math.max(0, start - 80), start))) return -1;
      type = `T${type}`;
      i = start;
      continue;
    }
    if (!/[\w\s.|&<>,:?$]/.test(here)) return -1;
    type = here + type;
  }
  return -1;
}

/** The offset at which the function whose body opens at `brace` begins, and its name; null = the brace opens none. */
function headOf(
  code: string,
  brace: number,
  partner: ReadonlyMap<number, number>,
): { at: number; name: string } | null {
  const before = lastOfCode(code, brace);
  if (code.slice(before - 1, before + 1) === "=>") {
    const last = lastOfCode(code, before - 1);
    const end = code[last] === ")" ? last : endOfParameters(code, last + 1, partner);
    const at = end >= 0 ? partner.get(end)! : last;
    const named = /(\w+)\s*(?::[^=;]*)?=\s*(?:async\s*)?$/.exec(code.slice(Math.max(0, at - 200), at));
    return { at, name: named?.[1] ?? "=>" };
  }
  const end = endOfParameters(code, brace, partner);
  if (end < 0) return null;
  const start = partner.get(end)!;
  const head = code
    .slice(Math.max(0, start - 200), start)
    .replace(/<[^<>()]*>\s*$/, (types) => " ".repeat(types.length));
  const name = /(#?\w+)\s*$/.exec(head)?.[1] ?? "";
  if (name === "" || CONTROL.has(name)) return null;
  return { at: start - head.length + head.trimEnd().length - 1, name };
}

/** Offset of the last character before `end` that is no blank; -1 = there is none. */
function lastOfCode(code: string, end: number): number {
  let i = end - 1;
  while (i >= 0 && /\s/.test(code[i]!)) i--;
  return i;
}

/** The functions of a source, nested ones too, in the order of their bodies. */
export function functionsOf(source: string): FunctionShape[] {
  const code = codeOnly(source);
  const partner = partners(code);
  const lineAt = new Int32Array(code.length);
  for (let i = 0, line = 1; i < code.length; i++) {
    lineAt[i] = line;
    if (code[i] === "\n") line++;
  }
  const found: FunctionShape[] = [];
  for (let i = 0; i < code.length; i++) {
    if (code[i] !== "{") continue;
    const head = headOf(code, i, partner);
    if (head === null) continue;
    const line = lineAt[head.at]!;
    found.push({ name: head.name, line, lines: lineAt[partner.get(i)!]! - line + 1 });
  }
  return found;
}
