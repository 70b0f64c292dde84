import { expect, test } from "bun:test";
import {
  compareBytes,
  copy,
  equal,
  equalsToken,
  latin1Text,
  readDigits,
  token,
  writeText,
} from "../../src/base/bytes.ts";
import { Random } from "../../src/base/random.ts";
import { latin1, testSeed } from "./redis.ts";

function sources(random: Random, size: number): Uint8Array[] {
  const views = [new Uint8Array(size), Buffer.alloc(size), new Uint8Array(new SharedArrayBuffer(size))];
  for (const view of views) random.fill(view, 0, size);
  return views;
}

test("copy: every small size and some large ones, between all kinds of view, changing no other byte", () => {
  const random = new Random(testSeed());
  for (const source of sources(random, 5000)) {
    for (const target of sources(random, 5000)) {
      for (let length = 0; length <= 4096; length += length < 80 ? 1 : 803) {
        const from = random.below(900);
        const to = random.below(900);
        const wanted = Uint8Array.from(target);
        for (let i = 0; i < length; i++) wanted[to + i] = source[from + i]!;
        copy(source, from, target, to, length);
        expect(Buffer.compare(target, wanted)).toBe(0);
      }
    }
  }
});

test("copy: overlapping ranges behave as memmove", () => {
  const random = new Random(testSeed());
  for (const view of sources(random, 600)) {
    for (let i = 0; i < 2000; i++) {
      const length = random.below(120);
      const from = random.below(400);
      const to = Math.max(0, from + random.between(-30, 30));
      const wanted = Uint8Array.from(view);
      wanted.set(wanted.slice(from, from + length), to);
      copy(view, from, view, to, length);
      expect(Buffer.compare(view, wanted)).toBe(0);
    }
  }
});

test("equal and compareBytes agree with Buffer.compare", () => {
  const random = new Random(testSeed());
  for (const a of sources(random, 400)) {
    for (const b of sources(random, 400)) {
      let same = 0;
      for (let i = 0; i < 1500; i++) {
        const aLength = random.below(130);
        const bLength = random.chance(0.7) ? aLength : random.below(130);
        const aAt = random.below(200);
        const bAt = random.below(200);
        copy(a, aAt, b, bAt, Math.min(aLength, bLength));
        if (random.chance(0.6) && bLength > 0) b[bAt + random.below(bLength)] = random.bits();
        const wanted = Buffer.compare(a.slice(aAt, aAt + aLength), b.slice(bAt, bAt + bLength));
        expect(Math.sign(compareBytes(a, aAt, aLength, b, bAt, bLength))).toBe(wanted);
        if (aLength === bLength) expect(equal(a, aAt, b, bAt, aLength)).toBe(wanted === 0);
        if (wanted === 0) same++;
      }
      expect(same).toBeGreaterThan(100);
      expect(same).toBeLessThan(1400);
    }
  }
});

test("readDigits: accepts leading zeros and nothing but digits", () => {
  for (const [text, wanted] of [
    ["0", 0],
    ["007", 7],
    ["999999999999999", 999999999999999],
    ["1234567890123456", -1],
    ["", -1],
    ["-1", -1],
    ["1a", -1],
    ["/", -1],
    [":", -1],
  ] as const) {
    expect([text, readDigits(latin1(`5${text}5`), 1, text.length)]).toEqual([text, wanted]);
  }
});

test("equalsToken folds ASCII letters only", () => {
  const get = token("GET");
  for (const [text, wanted] of [
    ["get", true],
    ["GET", true],
    ["gEt", true],
    ["ge", false],
    ["gets", false],
    ["\x07et", false],
    ["g\xc5t", false],
  ] as const) {
    expect([text, equalsToken(latin1(`x${text}x`), 1, text.length, get)]).toEqual([text, wanted]);
  }
  expect(equalsToken(latin1("@[`{"), 0, 4, token("@[`{"))).toBe(true);
  expect(equalsToken(latin1("`"), 0, 1, token("@"))).toBe(false); // 0x60 and 0x40 differ by the case bit only
});

test("text in and out", () => {
  const bytes = new Uint8Array(8).fill(46);
  expect(writeText(bytes, 2, "abc")).toBe(3);
  expect(latin1Text(bytes, 0, 8)).toBe("..abc...");
});
