/**
 * Reads docs/STATUS.md: its rows, and the tests that they name. Run as a program it writes the counts into the page's head:
 * bun scripts/status.ts
 *
 * A proof is `file > test; test, file > test (remark)`: a test file without `test/` and `.test.ts`, then titles of it. Text that
 * names no file is a remark. A title may be cut short in front of a remark or a comma.
 */
import { join } from "node:path";

export const STATES = ["works", "partly", "not yet"] as const;
export type State = (typeof STATES)[number];

export interface StatusRow {
  readonly row: string;
  readonly state: State;
  readonly proof: string;
}

const ROOT = join(import.meta.dir, "..");
const BEGIN = "<!-- counts: bun scripts/status.ts -->";
const END = "<!-- end of counts -->";

/** The rows of all tables whose third column is a state. */
export function statusRows(page: string): StatusRow[] {
  const rows: StatusRow[] = [];
  for (const line of page.split("\n")) {
    const [, row, , state, ...proof] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    const known = STATES.find((each) => each === state);
    if (row !== undefined && known !== undefined) rows.push({ row, state: known, proof: proof.slice(0, -1).join("|") });
  }
  return rows;
}

/** The page with the counts of its rows between the marks. */
export function withCounts(page: string): string {
  const rows = statusRows(page);
  const count = (state: State): number => rows.filter((row) => row.state === state).length;
  const text = `Of ${rows.length} rows ${count("works")} work, ${count("partly")} work partly, ${count("not yet")} do not yet.`;
  return `${page.slice(0, page.indexOf(BEGIN))}${BEGIN}\n${text}\n${page.slice(page.indexOf(END))}`;
}

/** Texts of a test file's source that can be titles, those of helpers included: of groups, and all literals of two words and more. */
export function titlesOf(source: string): string[] {
  const token = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"((?:\\.|[^"\\\n])*)"|`((?:\\.|[^`\\])*)`/g;
  const titles = [...source.matchAll(/\bdescribe\("(\w+)"/g)].map(([, title]) => title!);
  for (const [, plain, template] of source.matchAll(token)) {
    const title = plain ?? template;
    if (title?.includes(" ") === true) titles.push(title.replace(/\\(["`\\])/g, "$1"));
  }
  return titles;
}

/** Characters of `title` at the start of `text`, 0 = `text` does not begin with it. `${X}` and `%d` match any words. */
function lengthOfTitle(text: string, title: string): number {
  const parts = title.replace(/^%s: /, "").split(/\$\{[^}]*\}|%[a-z]/);
  const pattern = new RegExp(`^(?:%s: )?${parts.map((part) => RegExp.escape(part)).join("[^;]{0,40}?")}`);
  return pattern.exec(text)?.[0].length ?? 0;
}

export interface TestFiles {
  /** Names of test files, without `test/` and `.test.ts`. */
  readonly names: ReadonlySet<string>;
  titles(name: string): readonly string[];
}

/** The test files of this repository. */
export async function testFiles(): Promise<TestFiles> {
  const titles = new Map<string, string[]>();
  for (const path of new Bun.Glob("**/*.test.ts").scanSync(join(ROOT, "test")))
    titles.set(path.slice(0, -".test.ts".length), titlesOf(await Bun.file(join(ROOT, "test", path)).text()));
  return { names: new Set(titles.keys()), titles: (name) => titles.get(name) ?? [] };
}

export interface Proof {
  /** How many test files and titles were found. */
  readonly named: number;
  /** What is named and does not exist. */
  readonly missing: readonly string[];
}

/** Looks up the tests that a proof names. */
export function examineProof(proof: string, files: TestFiles): Proof {
  const missing: string[] = [];
  let named = 0;
  let rest = proof;
  for (let match = nextFile(rest, files); match !== null; match = nextFile(rest, files)) {
    const [whole, name, arrow] = match;
    rest = rest.slice(match.index + whole.length);
    if (!files.names.has(name!)) missing.push(name!);
    else named++;
    if (arrow !== undefined && files.names.has(name!)) {
      const taken = takeTitles(rest, files.titles(name!));
      if (taken.count === 0) missing.push(`${name} > ${rest.slice(0, 60)}`);
      named += taken.count;
      rest = taken.rest;
    }
  }
  return { named, missing };
}

/** The next name of a test file in a text: one that exists, or a path below a folder of tests that has no extension. */
function nextFile(text: string, files: TestFiles): RegExpExecArray | null {
  const folders = new Set([...files.names].map((name) => name.split("/")[0]!));
  const pattern = /(?<![\w/.`-])([a-z][a-z0-9-]*(?:\/[a-z0-9-]+)*)(?![\w/*-]|\.\w)( > )?/g;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const name = match[1]!;
    if (files.names.has(name) && (name.includes("/") || match[2] !== undefined)) return match;
    if (match[2] !== undefined || (name.includes("/") && folders.has(name.split("/")[0]!))) return match;
  }
  return null;
}

/** Takes the titles at the start of a text, with `; ` or `, ` between them and remarks in parentheses behind them. */
function takeTitles(text: string, titles: readonly string[]): { count: number; rest: string } {
  let count = 0;
  let rest = text;
  for (;;) {
    const length = Math.max(0, ...titles.map((title) => lengthOfTitle(rest, title)));
    if (length === 0) return { count, rest };
    count++;
    rest = rest.slice(length);
    const between = /^(?: \([^()]*\))?[;,:] /.exec(rest);
    if (between === null) return { count, rest };
    rest = rest.slice(between[0].length);
  }
}

if (import.meta.main) {
  const path = join(ROOT, "docs/STATUS.md");
  await Bun.write(path, withCounts(await Bun.file(path).text()));
}
