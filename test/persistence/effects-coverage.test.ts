/**
 * Goal:   no command that changes data is without a test of its effect.
 * Method: the name of each such row of the command table stands in one of the tests beside this one.
 */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { commandTable } from "../../src/commands/families.ts";
import { Effect, WRITE } from "../../src/dispatch/spec.ts";

test("every command that changes data", () => {
  const files = readdirSync(import.meta.dir).filter((name) => /^effects-.*\.test\.ts$/.test(name));
  const text = files.map((name) => readFileSync(join(import.meta.dir, name), "utf8")).join("\n");
  const changing = commandTable().rows.filter(({ flags, effect }) => (flags & WRITE) !== 0 || effect !== Effect.Never);
  expect(changing.length).toBeGreaterThan(120);
  const names = changing.map(({ name }) => name.replace("|", " "));
  expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(text))).toEqual([]);
});
