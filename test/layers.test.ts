/**
 * Goal:   imports under src/ point only downward through the layers. Subsystems of the same layer import each other only by
 *         their index.ts. No files import each other in a circle, except within src/dispatch/, where a call, its session
 *         and its services are one thing in several files.
 * Method: read every import, export-from and import() of every file, compare the ranks of the two folders, and search for
 *         strongly connected files. A type import counts, because it couples the files as well.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const SOURCE = resolve(import.meta.dir, "../src");

/** From the bottom to the top. Folders of one row are beside each other. Files in src/ itself are above all. */
const LAYERS: readonly (readonly string[])[] = [
  ["base"],
  ["lua", "top"],
  ["memory"],
  ["replication"],
  ["structures"],
  ["store"],
  ["tier"],
  ["protocol"],
  ["dispatch"],
  ["acl"],
  ["commands"],
  ["metrics", "persistence"],
  ["server"],
  ["cli"],
  ["embedded"],
];
const TOP = LAYERS.length;

function rankOf(folder: string): number {
  return folder === "" ? TOP : LAYERS.findIndex((row) => row.includes(folder));
}

/** Replaces comments by spaces, so that an example in a docstring is no import. Strings stay, because they hold the paths. */
function withoutComments(source: string): string {
  return source.replace(
    /("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (whole, text) => text ?? whole.replace(/\S/g, " "),
  );
}

/** The paths that a source text imports, re-exports, requires, or makes a URL of beside itself. */
function importsOf(source: string): string[] {
  const pattern =
    /\b(?:from|import)\s*\(?\s*["']([^"'\n]+)["']|\brequire\s*\(\s*["']([^"'\n]+)["']|\bnew\s+URL\s*\(\s*["'](\.[^"'\n]+)["']/g;
  return [...withoutComments(source).matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3]!);
}

function folderOf(file: string): string {
  const path = relative(SOURCE, file);
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : "";
}

/** The errors in the imports of one file. */
function complaints(file: string, source: string): string[] {
  const found: string[] = [];
  const from = folderOf(file);
  const fromRank = rankOf(from);
  if (fromRank < 0) return [`src/${from}/ is in no layer: add it to the design and to this test`];
  for (const path of importsOf(source)) {
    if (!path.startsWith(".")) continue; // a package or a module of the runtime
    const target = resolve(dirname(file), path);
    const line = `${relative(SOURCE, file)} imports ${path}`;
    if (target === resolve(SOURCE, "../package.json")) continue;
    if (target.startsWith("..") || relative(SOURCE, target).startsWith("..")) {
      found.push(`${line}: outside of src/`);
      continue;
    }
    const to = folderOf(target);
    const toRank = rankOf(to);
    if (toRank < 0) found.push(`${line}: src/${to}/ is in no layer`);
    else if (toRank > fromRank) found.push(`${line}: upward, from ${from} to ${to}`);
    else if (toRank === fromRank && to !== from && relative(SOURCE, target) !== join(to, "index.ts")) {
      found.push(`${line}: the inside of ${to}, which is beside ${from}`);
    }
  }
  return found;
}

/** The files that each file of the sources imports, by path under src/. */
function importGraph(sources: ReadonlyMap<string, string>): Map<string, string[]> {
  const graph = new Map<string, string[]>();
  for (const [path, source] of sources) {
    const file = join(SOURCE, path);
    const targets = importsOf(source).filter((target) => target.startsWith("."));
    graph.set(
      path,
      targets.map((target) => relative(SOURCE, resolve(dirname(file), target))),
    );
  }
  return graph;
}

/** The shortest circle through `start`, as "a.ts → b.ts → a.ts"; null when there is none. */
function circleThrough(graph: ReadonlyMap<string, readonly string[]>, start: string): string | null {
  const cameFrom = new Map<string, string>();
  const queue = [start];
  for (let head = 0; head < queue.length; head++) {
    const here = queue[head]!;
    for (const next of graph.get(here) ?? []) {
      if (next === start) {
        const path = [start];
        for (let at = here; at !== start; at = cameFrom.get(at)!) path.unshift(at);
        return [start, ...path].join(" → ");
      }
      if (cameFrom.has(next)) continue;
      cameFrom.set(next, here);
      queue.push(next);
    }
  }
  return null;
}

/** Circles among files outside of src/dispatch/, one for each file in a circle. */
function circles(sources: ReadonlyMap<string, string>): string[] {
  const graph = importGraph(sources);
  const found: string[] = [];
  for (const file of graph.keys()) {
    const circle = file.startsWith("dispatch/") ? null : circleThrough(graph, file);
    if (circle !== null) found.push(circle);
  }
  return found;
}

describe("layers", () => {
  test("every import under src/ points downward", async () => {
    const found: string[] = [];
    let files = 0;
    for (const path of new Bun.Glob("**/*.{ts,mts,js,mjs}").scanSync(SOURCE)) {
      files++;
      const file = join(SOURCE, path);
      found.push(...complaints(file, await Bun.file(file).text()));
    }
    expect(files).toBeGreaterThan(10);
    expect(found).toEqual([]);
  });

  test("the layers are the folders that exist", () => {
    const folders = readdirSync(SOURCE, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(LAYERS.flat().sort()).toEqual(folders.map(({ name }) => name).sort());
  });

  test("nothing looks up the name of an address: there is no reverse DNS", async () => {
    const lookup = /["'](?:node:)?dns(?:\/promises)?["']|\bBun\.dns\b|\blookupService\b/;
    const users: string[] = [];
    for (const path of new Bun.Glob("**/*.{ts,mts,js,mjs}").scanSync(SOURCE))
      if (lookup.test(withoutComments(await Bun.file(join(SOURCE, path)).text()))) users.push(path);
    expect(users).toEqual([]);
    expect(lookup.test('import dns from "node:dns/promises";')).toBe(true);
  });

  test("every relative import names an existing file, with its extension", async () => {
    const missing: string[] = [];
    for (const path of new Bun.Glob("**/*.ts").scanSync(SOURCE)) {
      const file = join(SOURCE, path);
      for (const target of importsOf(await Bun.file(file).text())) {
        if (target.startsWith(".") && !existsSync(resolve(dirname(file), target))) missing.push(`${path}: ${target}`);
      }
    }
    expect(missing).toEqual([]);
  });

  test("no file outside of src/dispatch/ imports itself through others", async () => {
    const sources = new Map<string, string>();
    for (const path of new Bun.Glob("**/*.ts").scanSync(SOURCE)) {
      sources.set(path, await Bun.file(join(SOURCE, path)).text());
    }
    expect(sources.size).toBeGreaterThan(10);
    expect(circles(sources)).toEqual([]);
  });

  test("the checker notices a circle, also of types", () => {
    const importing = (...targets: string[]): string =>
      targets.map((target) => `import type { T } from "${target}";`).join("\n");
    const tree = [
      ["store/a.ts", importing("./b.ts", "../memory/m.ts")],
      ["store/b.ts", importing("./c.ts")],
      ["memory/m.ts", ""],
    ] as const;
    expect(circles(new Map([...tree, ["store/c.ts", importing("../memory/m.ts")]]))).toEqual([]);
    expect(circles(new Map([...tree, ["store/c.ts", importing("./a.ts")]]))).toEqual([
      "store/a.ts → store/b.ts → store/c.ts → store/a.ts",
      "store/b.ts → store/c.ts → store/a.ts → store/b.ts",
      "store/c.ts → store/a.ts → store/b.ts → store/c.ts",
    ]);
    expect(circles(new Map([["store/a.ts", 'export * from "./a.ts";']]))).toEqual(["store/a.ts → store/a.ts"]);
    const inDispatch = new Map([
      ["dispatch/a.ts", importing("./b.ts")],
      ["dispatch/b.ts", importing("./a.ts")],
    ]);
    expect(circles(inDispatch)).toEqual([]);
  });

  test("the checker notices every kind of violation", () => {
    const check = (path: string, source: string): number => complaints(join(SOURCE, path), source).length;
    expect(check("store/log.ts", 'import { a } from "../memory/arena.ts";')).toBe(0);
    expect(check("store/log.ts", 'import { readFileSync } from "node:fs";')).toBe(0);
    expect(check("store/log.ts", 'import { a } from "../protocol/reply.ts";')).toBe(1);
    expect(check("store/log.ts", 'import type {\n  A,\n} from "../commands/a.ts";')).toBe(1);
    expect(check("base/a.ts", 'export * from "../memory/arena.ts";')).toBe(1);
    expect(check("base/a.ts", 'const a = await import("../memory/arena.ts");')).toBe(1);
    expect(check("base/a.ts", 'import "../memory/arena.ts";')).toBe(1);
    expect(check("base/a.ts", "import '../memory/arena.ts';")).toBe(1);
    expect(check("base/a.ts", 'new Worker(new URL("../server/worker.ts", import.meta.url));')).toBe(1);
    expect(check("base/a.ts", '// import "../memory/arena.ts";\n/* from "../cli/a.ts" */')).toBe(0);
    expect(check("base/config/a.ts", 'import { a } from "../../memory/arena.ts";')).toBe(1);
    expect(check("metrics/a.ts", 'import { a } from "../persistence/inside.ts";')).toBe(1);
    expect(check("metrics/a.ts", 'import { a } from "../persistence/index.ts";')).toBe(0);
    expect(check("metrics/a.ts", 'import { a } from "./b.ts";')).toBe(0);
    expect(check("embedded/index.ts", 'import { a } from "../server/a.ts";')).toBe(0);
    expect(check("server/a.ts", 'import { a } from "../embedded/index.ts";')).toBe(1);
    expect(check("server/a.ts", 'import { a } from "../../test/b.ts";')).toBe(1);
    expect(check("unheard/a.ts", "")).toBe(1);
    expect(check("store/a.ts", 'import { a } from "../unheard/b.ts";')).toBe(1);
  });
});
