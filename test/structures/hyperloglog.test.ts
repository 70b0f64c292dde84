/**
 * Goal:   a sketch, sparse or dense, holds the maximum rank of each register. Hostile bytes never lead outside its buffer.
 * Method: seeded updates against an array of registers, with small limits for the sparse form; random bytes as opcodes.
 *         test/commands/bits-and-sketches.test.ts compares the bytes with redis-server's.
 */
import { describe, expect, test } from "bun:test";
import {
  CORRUPT,
  countRegisters,
  DENSE_BYTES,
  isSketch,
  hashElement,
  hashed,
  REGISTERS,
  Sketch,
  SPARSE_BYTES_MAX,
} from "../../src/structures/hyperloglog.ts";
import { SeededRandom, testSeed } from "../support/random.ts";

const random = new SeededRandom(testSeed());

function registersOf(sketch: Sketch): Uint8Array {
  const registers = new Uint8Array(REGISTERS);
  expect(sketch.mergeInto(registers)).toBe(true);
  return registers;
}

describe("a sketch against an array of registers", () => {
  test.each([0, 40, 300, 3000, 1_000_000])("sparse up to %d bytes", (bytesMax) => {
    const sketch = new Sketch();
    sketch.clear();
    const model = new Uint8Array(REGISTERS);
    for (let step = 0; step < 4000; step++) {
      const register = random.chance(0.5) ? random.below(REGISTERS) : random.below(40);
      const value = random.chance(0.999) ? random.between(1, 8) : random.between(30, 51);
      const rises = value > model[register]!;
      expect(sketch.raise(register, value, bytesMax)).toBe(rises ? 1 : 0);
      if (rises) model[register] = value;
      if (step % 500 === 0) expect(registersOf(sketch)).toEqual(model);
    }
    expect(registersOf(sketch)).toEqual(model);
    expect(sketch.count()).toBe(countRegisters(model));
    expect(isSketch(sketch.bytes, 0, sketch.length)).toBe(true);
    expect(sketch.makeDense()).toBe(true);
    expect(sketch.length).toBe(DENSE_BYTES);
    expect(registersOf(sketch)).toEqual(model);
    expect(sketch.count()).toBe(countRegisters(model));
  });

  test("the estimate is close for every cardinality", () => {
    const sketch = new Sketch();
    sketch.clear();
    let checkpoint = 10;
    for (let i = 1; i <= 100_000; i++) {
      const element = Buffer.from(`element:${i}`);
      hashElement(element, 0, element.length);
      sketch.raise(hashed.register, hashed.rank, 3000);
      if (i !== checkpoint) continue;
      expect(Math.abs(sketch.count() - i)).toBeLessThanOrEqual(Math.ceil(i * 0.05));
      checkpoint *= 10;
    }
  });

  test("MurmurHash64A of an element does not depend on its offset", () => {
    for (let length = 0; length < 40; length++) {
      const text = random.bytes(length);
      hashElement(Buffer.from(text, "latin1"), 0, length);
      const { register, rank } = hashed;
      hashElement(Buffer.from(`xyz${text}!`, "latin1"), 3, length);
      expect(hashed).toEqual({ register, rank });
    }
  });
});

test("hostile opcodes: every operation ends and stays within the buffer", () => {
  const sketch = new Sketch();
  for (let step = 0; step < 3000; step++) {
    const length = random.chance(0.05) ? SPARSE_BYTES_MAX - 16 : random.below(300);
    const body = random.chance(0.5)
      ? random.bytes(length)
      : random.pick(["\x80", "\x40", "\x7f\xff"]).repeat(length / 2);
    const bytes = Buffer.from(`HYLL\x01${"\0".repeat(11)}${body}`, "latin1");
    expect(sketch.load(bytes, 0, bytes.length)).toBe(true);
    const count = sketch.count();
    expect(count === CORRUPT || count >= 0).toBe(true);
    sketch.decode();
    for (let i = 0; i < 5; i++) {
      const raised = sketch.raise(random.below(REGISTERS), random.between(1, 51), random.pick([0, 3000, 1e9]));
      expect([CORRUPT, 0, 1]).toContain(raised);
    }
    sketch.makeDense();
  }
  expect(sketch.load(Buffer.alloc(SPARSE_BYTES_MAX + 1), 0, SPARSE_BYTES_MAX + 1)).toBe(false);
});
