/**
 * Makes a JavaScript function of a pattern, for patterns that are used more than a few times.
 *
 * Straight-line code tries the items one after another. Only where a repetition may have to give characters back do the
 * items behind it become a function of their own, which is called for each length:
 *
 *   (%w+)=(%d*)    no such place: "=" is no %w, so only the longest run can be followed by it; and the end follows always
 *   (.*)=x         one: the characters of .* contain "="
 *
 * The text of the function holds numbers and names of this module only, nothing from the pattern's own text.
 */
import { raise } from "../errors.ts";
import { poll } from "../limits.ts";
import { balanceEnd, captures, isRepeated, MATCH_START, type Search } from "./captures.ts";
import { type CharacterSet, type Item, ItemKind, type Program } from "./program.ts";

/** What the code does at a place where the match has failed, and where it is complete. */
interface Outcome {
  readonly fail: string;
  readonly done: string;
}

const RETURN: Outcome = { fail: "return -1;", done: "return at;" };

export function generated(program: Program): Search {
  const generator = new Generator(program);
  const text = generator.text();
  const make = new Function(
    "sets",
    "captures",
    "balanceEnd",
    "isRepeated",
    "poll",
    "defect",
    `"use strict"; let fuel = 0; ${text}`,
  );
  const defect = (index: number): never => raise(program.items[index]!.message);
  return make(generator.sets, captures, balanceEnd, isRepeated, poll, defect) as Search;
}

function areDisjoint(a: CharacterSet, b: CharacterSet): boolean {
  for (let code = 0; code < 256; code++) if (a[code] === 1 && b[code] === 1) return false;
  return true;
}

/** Whether the item is passed without looking at a character. */
function isMark(item: Item): boolean {
  return item.kind === ItemKind.Open || item.kind === ItemKind.Close || item.kind === ItemKind.Position;
}

class Generator {
  readonly sets: CharacterSet[] = [];
  readonly #items: readonly Item[];
  readonly #isAnchored: boolean;
  /** Texts of the functions for the rest of the items. */
  readonly #rests: string[] = [];

  constructor(program: Program) {
    this.#items = program.items;
    this.#isAnchored = program.isAnchored;
  }

  text(): string {
    const search = this.#isAnchored ? this.#anchored() : this.#scan();
    const sets = this.sets.map((_, i) => `const k${i} = sets[${i}];`).join(" ");
    return `${sets}\n${this.#rests.join("\n")}\nreturn (s, n, from) => {\n${search}\n};`;
  }

  #anchored(): string {
    const done = `captures[${MATCH_START}] = from; return at;`;
    return `if (--fuel < 0) fuel = poll(); let at = from; if (at > n) return -1;
${this.#code(0, { fail: RETURN.fail, done })}`;
  }

  #scan(): string {
    const done = `captures[${MATCH_START}] = start; return at;`;
    return `scan: for (let start = from; start <= n; start++) {
if (--fuel < 0) fuel = poll();
${this.#skip()}
let at = start;
${this.#code(0, { fail: "continue scan;", done })}
}
return -1;`;
  }

  /** Moves `start` to the next character that the first item can take. */
  #skip(): string {
    const first = this.#items[this.#afterMarks(0)];
    if (first === undefined) return "";
    const takes = first.kind === ItemKind.Single || (first.kind === ItemKind.Greedy && first.count > 0);
    if (!takes) return "";
    if (first.code >= 0) {
      return `start = s.indexOf(String.fromCharCode(${first.code}), start); if (start < 0) return -1;`;
    }
    return `while (start < n && !(${this.#has(first, "start")})) start++; if (start >= n) return -1;`;
  }

  #afterMarks(index: number): number {
    let at = index;
    while (at < this.#items.length && isMark(this.#items[at]!)) at++;
    return at;
  }

  /** Whether the items from `index` on match at any place. */
  #cannotFail(index: number): boolean {
    return this.#afterMarks(index) === this.#items.length;
  }

  /** Whether the items from `index` on fail at each place where a character of `set` comes next, and there without an error. */
  #needsOther(index: number, set: CharacterSet): boolean {
    const next = this.#items[this.#afterMarks(index)];
    if (next === undefined) return false;
    if (next.kind === ItemKind.End) return true;
    const takes = next.kind === ItemKind.Single || (next.kind === ItemKind.Greedy && next.count > 0);
    return takes && areDisjoint(next.set, set);
  }

  #has(item: Item, at: string): string {
    if (item.code >= 0) return `s.charCodeAt(${at}) === ${item.code}`;
    return `k${this.#setNumber(item.set)}[s.charCodeAt(${at})] === 1`;
  }

  #setNumber(set: CharacterSet): number {
    const known = this.sets.indexOf(set);
    return known >= 0 ? known : this.sets.push(set) - 1;
  }

  /** A call of the function for the items from `index` on. */
  #rest(index: number, at: string): string {
    const name = `rest${index}`;
    if (!this.#rests.some((text) => text.startsWith(`function ${name}(`))) {
      this.#rests.push(`function ${name}(s, n, at) {\n${this.#code(index, RETURN)}\n}`);
    }
    return `${name}(s, n, ${at})`;
  }

  /** The code for the items from `first` on, which ends in `done` or `fail`. `at` is the place. */
  #code(first: number, outcome: Outcome): string {
    const lines: string[] = [];
    for (let index = first; index < this.#items.length; index++) {
      const item = this.#items[index]!;
      const isLast = this.#repeat(item, index, outcome, lines);
      if (isLast) return lines.join("\n");
      if (item.kind === ItemKind.Defect) return `${lines.join("\n")}\ndefect(${index});`;
      if (item.kind > ItemKind.Optional) lines.push(this.#other(item, outcome.fail));
    }
    lines.push(outcome.done);
    return lines.join("\n");
  }

  /** Adds the code of an item that takes characters. Returns true when the code of all further items is in it. */
  #repeat(item: Item, index: number, outcome: Outcome, lines: string[]): boolean {
    const { fail, done } = outcome;
    switch (item.kind) {
      case ItemKind.Single:
        lines.push(`if (at >= n || !(${this.#has(item, "at")})) ${fail}`, "at++;");
        return false;
      case ItemKind.Optional: {
        const test = `at < n && ${this.#has(item, "at")}`;
        if (this.#cannotFail(index + 1) || this.#needsOther(index + 1, item.set)) {
          lines.push(`if (${test}) at++;`);
          return false;
        }
        const rest = this.#rest(index + 1, "at + 1");
        lines.push(`if (${test}) { const end = ${rest}; if (end >= 0) { at = end; ${done} } }`);
        return false;
      }
      case ItemKind.Greedy:
        return this.#greedy(item, index, outcome, lines);
      case ItemKind.Lazy:
        return this.#lazy(item, index, outcome, lines);
      default:
        return false;
    }
  }

  #greedy(item: Item, index: number, { fail, done }: Outcome, lines: string[]): boolean {
    const run = `let end${index} = at; while (end${index} < n && ${this.#has(item, `end${index}`)}) end${index}++;
fuel -= end${index} - at;`;
    lines.push(run);
    if (item.count > 0) lines.push(`if (end${index} === at) ${fail}`);
    if (this.#cannotFail(index + 1) || this.#needsOther(index + 1, item.set)) {
      lines.push(`at = end${index};`);
      return false;
    }
    const last = item.count > 0 ? "at + 1" : "at";
    lines.push(`for (const last = ${last}; end${index} >= last; end${index}--) {
if (--fuel < 0) fuel = poll();
const end = ${this.#rest(index + 1, `end${index}`)}; if (end >= 0) { at = end; ${done} }
}
${fail}`);
    return true;
  }

  #lazy(item: Item, index: number, { fail, done }: Outcome, lines: string[]): boolean {
    if (this.#cannotFail(index + 1)) return false; // takes nothing
    const nextAt = this.#afterMarks(index + 1);
    const next = this.#items[nextAt]!;
    const isFinal = next.kind === ItemKind.Single && (this.#cannotFail(nextAt + 1) || areDisjoint(next.set, item.set));
    if (isFinal) {
      lines.push(`{ const first = at; for (;;) {
if (at >= n) { fuel -= at - first; ${fail} }
if (${this.#has(next, "at")}) break;
if (!(${this.#has(item, "at")})) { fuel -= at - first; ${fail} }
at++;
} fuel -= at - first; }`);
      return false;
    }
    lines.push(`for (;;) {
if (--fuel < 0) fuel = poll();
const end = ${this.#rest(index + 1, "at")}; if (end >= 0) { at = end; ${done} }
if (at >= n || !(${this.#has(item, "at")})) ${fail}
at++;
}`);
    return true;
  }

  /** The code of an item that takes no set of characters. */
  #other(item: Item, fail: string): string {
    switch (item.kind) {
      case ItemKind.Open:
      case ItemKind.Position:
        return `captures[${2 * item.count}] = at;`;
      case ItemKind.Close:
        return `captures[${2 * item.count + 1}] = at;`;
      case ItemKind.Balance:
        return `at = balanceEnd(s, n, at, ${item.code}, ${item.count}); if (at < 0) ${fail}`;
      case ItemKind.Frontier: {
        const set = `k${this.#setNumber(item.set)}`;
        return `if (${set}[at === 0 ? 0 : s.charCodeAt(at - 1)] === 1 || ${set}[at === n ? 0 : s.charCodeAt(at)] !== 1) ${fail}`;
      }
      case ItemKind.Again:
        if (item.code === 1) return fail; // a position capture has no text
        return `if (!isRepeated(s, n, at, ${item.count})) ${fail}
at += captures[${2 * item.count + 1}] - captures[${2 * item.count}];`;
      default:
        return `if (at !== n) ${fail}`; // the end
    }
  }
}
