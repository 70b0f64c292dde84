/**
 * Goal:   texts that are kept are those of the bytes, whatever was kept before for the same slot.
 * Method: seeded ranges of few different bytes, so that slots and texts are often the same; compared with what Buffer makes of them.
 */
import { expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { ShortTexts } from "../../src/commands/scripting/short-texts.ts";
import { testSeed } from "../support/random.ts";

test("short and long texts of any bytes", () => {
  const random = new Random(testSeed());
  const texts = new ShortTexts();
  const bytes = Buffer.alloc(100);
  let wrong = 0;
  for (let step = 0; step < 20_000; step++) {
    const kinds = step % 2 === 0 ? 2 : 256;
    for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(kinds) * (kinds === 2 ? 255 : 1);
    const at = random.below(60);
    const length = random.below(step % 3 === 0 ? 40 : 6);
    if (texts.read(bytes, at, length) !== bytes.toString("latin1", at, at + length)) wrong++;
  }
  expect(wrong).toBe(0);
});
