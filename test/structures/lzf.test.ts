/**
 * Goal:   what is compressed unpacks to what it was, and is never longer than it may be.
 * Method: seeded strings, random and repetitive, at offsets; both unpackers; redis-server loads such files in
 *         persistence/rdb-exchange.
 */
import { expect, test } from "bun:test";
import { decompressLzf } from "../../src/persistence/packed-check.ts";
import { compressLzf } from "../../src/structures/lzf.ts";
import { unpack, unpackedLength } from "../../src/structures/rdb-string.ts";
import { SeededRandom, testSeed } from "../support/random.ts";

function packed(text: string, at = 0, room = text.length - at - 1): Buffer {
  const source = Buffer.from(text, "latin1");
  const target = Buffer.alloc(room + 8, 0xee);
  const length = compressLzf(source, at, source.length - at, target, 3, room);
  expect(target.subarray(3 + Math.max(length, room)).every((byte) => byte === 0xee)).toBe(true);
  return target.subarray(3, 3 + length);
}

test("a repetition becomes short, random bytes stay", () => {
  expect(packed("a".repeat(1000)).length).toBeLessThan(20);
  expect(packed("abcabcabcabcabcabcabcabc").length).toBeLessThan(10);
  expect(packed(new SeededRandom(1).bytes(100))).toHaveLength(0);
  expect(packed("ab")).toHaveLength(0);
});

test("it unpacks to what it was", () => {
  const seed = testSeed();
  const random = new SeededRandom(seed);
  let shorter = 0;
  for (let n = 0; n < 3000; n++) {
    const words = Array.from({ length: random.between(1, 6) }, () => random.bytes(random.between(1, 12)));
    let text = "";
    for (const length = random.pick([3, 20, 21, 60, 300, 5000, 65_535]); text.length < length; )
      text += random.pick(words);
    text = text.slice(0, 65_535);
    const at = random.below(Math.min(3, text.length));
    const bytes = packed(text, at);
    if (bytes.length === 0) continue;
    shorter++;
    expect(bytes.length).toBeLessThan(text.length - at);
    const length = text.length - at;
    expect(`seed ${seed}: ${unpackedLength(bytes, 0, bytes.length)}`).toBe(`seed ${seed}: ${length}`);
    const plain = Buffer.alloc(length);
    unpack(bytes, 0, bytes.length, plain);
    expect(plain.toString("latin1") === text.slice(at)).toBe(true);
    expect(Buffer.from(decompressLzf(bytes, length)!).equals(plain)).toBe(true);
  }
  expect(shorter).toBeGreaterThan(1000);
});
