/**
 * Goal:   a file holds one idea and a function fits on a screen: at most 700 and 60 lines.
 * Method: measure each source file and each function in it (test/support/source-shape.ts), except tables: the docs of
 *         commands and the schema of the configuration.
 */
import { describe, expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { codeOnly, type FunctionShape, functionsOf } from "./support/source-shape.ts";

const SOURCE = resolve(import.meta.dir, "../src");
const FILE_LINES_MAX = 700;
const FUNCTION_LINES_MAX = 60;

const isTable = (path: string): boolean => path === "base/config/schema.ts" || path.endsWith("/docs.ts");

/** Longer on purpose: the full adders of countWords take 17 % longer when they are functions. */
const UNROLLED = "structures/bits.ts countWords";

/** The parts of a source file that are too long. */
function complaints(path: string, source: string, functions: readonly FunctionShape[]): string[] {
  const found: string[] = [];
  const check = (name: string, lines: number, most: number): void => {
    if (lines > most && name !== UNROLLED) found.push(`${name} has ${lines} lines, ${most} are allowed`);
  };
  check(path, source.split("\n").length - 1, FILE_LINES_MAX);
  for (const { name, lines } of functions) check(`${path} ${name}`, lines, FUNCTION_LINES_MAX);
  return found;
}

describe("shape", () => {
  test("files have at most 700 lines, functions at most 60", async () => {
    const found: string[] = [];
    let functions = 0;
    for (const path of new Bun.Glob("**/*.ts").scanSync(SOURCE)) {
      const source = await Bun.file(join(SOURCE, path)).text();
      if (isTable(path)) continue;
      const shapes = functionsOf(source);
      functions += shapes.length;
      found.push(...complaints(path, source, shapes));
    }
    expect(functions).toBeGreaterThan(1000);
    expect(found).toEqual([]);
  }, 60_000);

  test("the measure finds functions of every form, and no other code", () => {
    const source = `
class Store extends Map<string, { a: number }> {
  private items: { key: string }[] = [];
  get size(): number {
    return 1;
  }
  async #load<T>(path: string, { deep }: { deep: boolean }): Promise<{ value: T }[]> {
    if (deep) {
      for (const item of this.items) {
        switch (item.key) {
        }
      }
    }
    return [];
  }
}
export function plain(
  a: number,
): a is 5 {
  const text = "{ not code }" + \`\${[1].map((n) => { return "}"; })} function b() {\`;
  const pattern = /[/{]"/;
  const half = text.length! / 2;
  const table = { a: { b: 1 } };
  return half > 0 && pattern.test(text) && table.a.b === a;
}
const arrow = (a: number): { b: number } => {
  return { b: a };
};
const short = (a: number) => ({ b: a });
list.forEach((item) => {
  item();
});
interface Shape {
  method(a: number): void;
  other: { a: number };
}
`;
    expect(functionsOf(source).map(({ name, line, lines }) => `${name} ${line} ${lines}`)).toEqual([
      "size 4 3",
      "#load 7 9",
      "plain 17 9",
      "arrow 26 3",
      "=> 30 3",
    ]);
    expect(codeOnly(source).split("\n").length).toBe(source.split("\n").length);
    const long = `function f() {\n${"  g();\n".repeat(FUNCTION_LINES_MAX - 2)}}\n`;
    const measured = (text: string): string[] => complaints("a.ts", text, functionsOf(text));
    expect(measured(long)).toEqual([]);
    expect(measured(long.replace("{\n", "{\n\n"))).toEqual(["a.ts f has 61 lines, 60 are allowed"]);
    expect(measured("\n".repeat(FILE_LINES_MAX + 1))).toEqual(["a.ts has 701 lines, 700 are allowed"]);
  });
});
