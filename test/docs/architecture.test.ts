/**
 * Goal:   docs/ARCHITECTURE.md and docs/GLOSSARY.md speak of code that exists, a word has one meaning, and the label of an
 *         invariant (LOCK-L1) names one invariant.
 * Method: look for each `Owner.member` and each file that the pages name in the sources; compare the table of folders with
 *         src/; look for headwords of the glossary that stand twice, and for labels that two head comments define or none.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");
const SOURCE = join(ROOT, "src");

const sources = new Map<string, string>();
for (const path of new Bun.Glob("**/*.ts").scanSync(SOURCE))
  sources.set(path, await Bun.file(join(SOURCE, path)).text());

const pages = await Promise.all(
  ["docs/ARCHITECTURE.md", "docs/GLOSSARY.md"].map((path) => Bun.file(join(ROOT, path)).text()),
);
const [architecture, glossary] = pages as [string, string];

/** What is named as `Owner.member` in a page, and is in no file that declares the owner. */
function unknownMembers(page: string): string[] {
  const found: string[] = [];
  for (const [named, owner, member] of page.matchAll(/\b([A-Z]\w*)\.([a-z]\w*)\b/g)) {
    const declares = new RegExp(`\\b(?:class|interface|const|type) ${owner}\\b`);
    const has = new RegExp(`\\b${member}\\b`);
    const isKnown = [...sources.values()].some((source) => declares.test(source) && has.test(source));
    if (!isKnown) found.push(named);
  }
  return found;
}

/** The source files named in a page that do not exist. A name without a folder may be in any. */
function unknownFiles(page: string): string[] {
  const named = [...page.matchAll(/[\w./-]+\.ts\b/g)].map(([path]) => path);
  return named.filter((path) => {
    const isSource = [...sources.keys()].some((source) => `src/${source}`.endsWith(`/${path}`) || source === path);
    return !isSource && path !== "test.ts" && !existsSync(join(ROOT, path));
  });
}

/** The first cells of the rows of a page's tables, without code marks. */
function headwords(page: string): string[] {
  const rows = [...page.matchAll(/^\| (?!-|word |folder )([^|]+) \|/gm)];
  return rows.map(([, cell]) => cell!.replaceAll("`", ""));
}

/** Names of the form of a label that are none. */
const STANDARDS = new Set(["CRC-32", "CRC-64", "SHA-1", "SHA-256", "UTF-8", "UTF-16", "UTF-32"]);

/** The labels that two of the texts define, and those that they cite and none defines. */
function wrongLabels(texts: readonly string[]): string[] {
  const defined = texts.flatMap((text) =>
    [...text.matchAll(/^ \* {3}([A-Z][A-Z-]*-[A-Z]?\d+) {2}/gm)].map(([, label]) => label!),
  );
  const cited = texts.flatMap((text) =>
    [...text.matchAll(/\b([A-Z]{2,}(?:-[A-Z]+)*-[A-Z]?\d+)\b/g)].map(([, label]) => label!),
  );
  const twice = defined.filter((label, n) => defined.indexOf(label) !== n);
  const unknown = cited.filter((label) => !defined.includes(label) && !STANDARDS.has(label));
  return [...new Set([...twice, ...unknown])];
}

describe("docs/ARCHITECTURE.md and docs/GLOSSARY.md", () => {
  test("every member and every file that they name exists", () => {
    for (const page of pages) expect([...unknownMembers(page), ...unknownFiles(page)]).toEqual([]);
  });

  test("the table of folders names the folders of src/, and no others", () => {
    const section = architecture.slice(architecture.indexOf("## Folders"), architecture.indexOf("## Three commands"));
    const folders = readdirSync(SOURCE, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(headwords(section).sort()).toEqual(folders.map(({ name }) => `${name}/`).sort());
  });

  test("the glossary explains a word once", () => {
    const words = headwords(glossary).flatMap((cell) => cell.split(", "));
    expect(words.length).toBeGreaterThan(100);
    expect(words.filter((word, n) => words.indexOf(word) !== n)).toEqual([]);
  });

  test("a label names one invariant", () => {
    expect(wrongLabels([...sources.values()])).toEqual([]);
  });

  test("the checks notice what does not exist", () => {
    expect(unknownMembers("`Store.place` and `Store.levitate`, `Stork.place`")).toEqual([
      "Store.levitate",
      "Stork.place",
    ]);
    expect(unknownFiles("`store/record.ts`, `record.ts`, `store/stork.ts`, `src/store/record.ts`")).toEqual([
      "store/stork.ts",
    ]);
    const heads = [" *   LOCK-L1  a thread\n", " *   LOCK-L1  another\n", "// LOCK-L2, UTF-8"];
    expect(wrongLabels(heads)).toEqual(["LOCK-L1", "LOCK-L2"]);
    expect(headwords("| word | meaning |\n| --- | --- |\n| ring | a |\n| `memory/` | b |\n")).toEqual([
      "ring",
      "memory/",
    ]);
  });
});
