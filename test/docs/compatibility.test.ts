/**
 * Goal:   docs/COMPATIBILITY.md lists every command of Redis 8 and Valkey 9, and what it says about each is so.
 * Method: compare the table behind the page with the rows that COMMAND LIST names; look for each command's name in the test that is its proof.
 */
import { describe, expect, test } from "bun:test";
import { dirname, join, normalize } from "node:path";
import { COMPATIBILITY, compatibilityPage, knownCommands } from "../../scripts/generate-compatibility.ts";
import { commandTable } from "../../src/commands/families.ts";

const TESTS = join(import.meta.dir, "..");
const known = await knownCommands();

/** A test file's source with those of the helpers that it imports, except servers and clients. */
async function sourceOf(path: string, seen = new Set<string>()): Promise<string> {
  if (seen.has(path) || /support\/(servers|resp|allow-list)\.ts$/.test(path)) return "";
  seen.add(path);
  const source = await Bun.file(path).text();
  const imported = [...source.matchAll(/ from "(\.[^"]+)"/g)].map(([, name]) => normalize(join(dirname(path), name!)));
  const helpers = imported.filter((name) => name.startsWith(join(TESTS, "support")));
  return source + (await Promise.all(helpers.map((name) => sourceOf(name, seen)))).join("\n");
}

describe("docs/COMPATIBILITY.md", () => {
  test("has the list of its script (else: bun scripts/generate-compatibility.ts)", async () => {
    expect(await Bun.file(COMPATIBILITY).text()).toBe(await compatibilityPage());
  });

  test("the commands that are there are those that COMMAND LIST names (scripts/known-commands.tsv)", () => {
    const { listed } = commandTable();
    const specs = listed.flatMap((spec) => [spec, ...(spec.subcommands ?? [])]);
    const names = specs.map(({ name }) => name.replace("|", " ")).sort();
    expect(names.length).toBeGreaterThan(400);
    expect(known.filter(({ proof }) => proof !== "").map(({ name }) => name)).toEqual(names);
  });

  test("a command is listed once, in order, and one that is not there has a reason", () => {
    const names = known.map(({ name }) => name);
    expect(names).toEqual([...new Set(names)].sort());
    expect(known.filter(({ proof, note }) => proof === "" && note === "").map(({ name }) => name)).toEqual([]);
  });

  test("the proving test of each command uses it", async () => {
    const proofs = [...new Set(known.map(({ proof }) => proof))].filter((proof) => proof !== "");
    const sources = new Map<string, string>();
    for (const proof of proofs) sources.set(proof, await sourceOf(join(TESTS, `${proof}.test.ts`)));
    const uses = (proof: string, name: string): boolean =>
      name.split(" ").every((word) => new RegExp(`(?<![\\w-])${word}(?![\\w-])`, "i").test(sources.get(proof)!));
    expect(uses("commands/geo", "GEODIST")).toBe(true);
    expect(uses("commands/geo", "HPEXPIRETIME")).toBe(false);
    expect(known.filter(({ proof, name }) => proof !== "" && !uses(proof, name)).map(({ name }) => name)).toEqual([]);
  });
});
