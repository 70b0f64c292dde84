/**
 * Goal:   counting, finding, combining and fields agree with a string of "0" and "1", for any alignment and length.
 * Method: seeded bytes against naive models. Ranges start anywhere, so that the word loops meet all their edge cases.
 */
import { describe, expect, test } from "bun:test";
import {
  addOnce,
  Combine,
  combineBits,
  combineTwo,
  countBits,
  findBit,
  invertBits,
  NARROW_BITS_MAX,
  readField,
  readWideField,
  writeField,
  writeWideField,
} from "../../src/structures/bits.ts";
import { SeededRandom, testSeed } from "../support/random.ts";

const random = new SeededRandom(testSeed());

function randomBytes(length: number): Buffer {
  const fill = random.pick([null, 0, 0xff]);
  const bytes = Buffer.alloc(length, fill ?? 0);
  if (fill === null) for (let i = 0; i < length; i++) bytes[i] = random.below(256);
  else if (random.chance(0.7) && length > 0) bytes[random.below(length)] = random.below(256);
  return bytes;
}
const bitsOf = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");

describe("ranges", () => {
  test("counting and finding", () => {
    for (let step = 0; step < 3000; step++) {
      const bytes = randomBytes(random.below(random.chance(0.05) ? 20_000 : 200));
      const at = random.below(bytes.length + 1);
      const length = random.below(bytes.length - at + 1);
      const bits = bitsOf(bytes.subarray(at, at + length));
      expect(countBits(bytes, at, length)).toBe(bits.split("1").length - 1);
      expect(findBit(bytes, at, length, 1)).toBe(bits.indexOf("1"));
      expect(findBit(bytes, at, length, 0)).toBe(bits.indexOf("0"));
    }
  });

  test("combining and inverting change only the range", () => {
    for (let step = 0; step < 3000; step++) {
      const target = randomBytes(random.below(200));
      const source = randomBytes(random.below(200));
      const targetAt = random.below(target.length + 1);
      const sourceAt = random.below(source.length + 1);
      const length = random.below(Math.min(target.length - targetAt, source.length - sourceAt) + 1);
      const how = random.pick([Combine.And, Combine.Or, Combine.Xor, Combine.AndNot]);
      const expected = Buffer.from(target);
      for (let i = 0; i < length; i++) {
        const a = expected[targetAt + i]!;
        const b = source[sourceAt + i]!;
        expected[targetAt + i] = [a & b, a | b, a ^ b, a & ~b][how]!;
      }
      combineBits(how, target, targetAt, source, sourceAt, length);
      expect(target.equals(expected)).toBe(true);
      for (let i = targetAt; i < targetAt + length; i++) expected[i] = expected[i]! ^ 0xff;
      invertBits(target, targetAt, target, targetAt, length);
      expect(target.equals(expected)).toBe(true);
    }
  });

  test("two ranges into a third, each at its own alignment", () => {
    for (let step = 0; step < 300; step++) {
      const length = random.below(random.chance(0.1) ? 3000 : 300);
      const [left, right, target] = [randomBytes(length + 8), randomBytes(length + 8), randomBytes(length + 8)];
      const isAligned = random.chance(0.5);
      const [leftAt, rightAt, at] = [0, 0, 0].map(() => (isAligned ? 4 : random.below(9))) as [number, number, number];
      const how = random.pick([Combine.And, Combine.Or, Combine.Xor, Combine.AndNot]);
      const expected = Buffer.from(target);
      for (let i = 0; i < length; i++) {
        const a = left[leftAt + i]!;
        const b = right[rightAt + i]!;
        expected[at + i] = [a & b, a | b, a ^ b, a & ~b][how]!;
      }
      combineTwo(how, target, at, left, leftAt, right, rightAt, length);
      expect(target.equals(expected)).toBe(true);
      for (let i = 0; i < length; i++) expected[at + i] = ~left[leftAt + i]!;
      invertBits(target, at, left, leftAt, length);
      expect(target.equals(expected)).toBe(true);
    }
  });

  test("bits of exactly one source", () => {
    const length = 100;
    const sources = Array.from({ length: 4 }, () => Buffer.from(random.bytes(length), "latin1"));
    const once = Buffer.alloc(length);
    const more = Buffer.alloc(length);
    for (const source of sources) addOnce(once, 0, more, 0, source, 0, length);
    combineBits(Combine.AndNot, once, 0, more, 0, length);
    for (let bit = 0; bit < length * 8; bit++) {
      const owners = sources.filter((source) => readField(source, bit, 1) === 1).length;
      expect(readField(once, bit, 1)).toBe(owners === 1 ? 1 : 0);
    }
  });
});

test("fields of 1 to 64 bits at any bit", () => {
  for (let step = 0; step < 5000; step++) {
    const bytes = randomBytes(16);
    const width = random.between(1, 64);
    const at = random.below(16 * 8 - width + 1);
    const bits = bitsOf(bytes);
    expect(readWideField(bytes, at, width)).toBe(BigInt(`0b${bits.slice(at, at + width)}`));
    if (width <= NARROW_BITS_MAX) expect(readField(bytes, at, width)).toBe(parseInt(bits.slice(at, at + width), 2));
    const text = Array.from({ length: width }, () => random.below(2)).join("");
    if (width <= NARROW_BITS_MAX) writeField(bytes, at, width, parseInt(text, 2));
    else writeWideField(bytes, at, width, BigInt(`0b${text}`));
    expect(bitsOf(bytes)).toBe(bits.slice(0, at) + text + bits.slice(at + width));
  }
});
