import { expect, test } from "bun:test";
import { crc64, updateCrc64 } from "../../src/base/crc64.ts";
import { Random } from "../../src/base/random.ts";
import { Referee, testSeed } from "./redis.ts";

function hex(): string {
  return (crc64.hi >>> 0).toString(16).padStart(8, "0") + (crc64.lo >>> 0).toString(16).padStart(8, "0");
}

/** Bit by bit, in 64-bit BigInt arithmetic. */
function model(bytes: Uint8Array): string {
  let crc = 0n;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ ((crc & 1n) === 1n ? 0x95ac9329ac4bc9b5n : 0n);
  }
  return crc.toString(16).padStart(16, "0");
}

test("check value, and Redis's own second vector", () => {
  updateCrc64(0, 0, Buffer.from("123456789"), 0, 9);
  expect(hex()).toBe("e9c6d914c4b8d9ca");
  const lorem =
    "This is a test of the emergency broadcast system. This is only a test. Had this been an actual emergency, you would be dead.";
  updateCrc64(0, 0, Buffer.from(lorem), 0, lorem.length);
  expect(hex()).toBe(model(Buffer.from(lorem)));
  updateCrc64(0, 0, Buffer.from("x"), 0, 0);
  expect(hex()).toBe("0000000000000000");
});

test("any length at any offset, in any parts, agrees with the bit-by-bit model", () => {
  const random = new Random(testSeed());
  const bytes = new Uint8Array(400);
  random.fill(bytes, 0, 400);
  for (let i = 0; i < 300; i++) {
    const offset = random.below(20);
    const length = random.below(300);
    const cut = random.below(length + 1);
    const wanted = model(bytes.subarray(offset, offset + length));
    updateCrc64(0, 0, bytes, offset, length);
    expect(hex()).toBe(wanted);
    updateCrc64(0, 0, bytes, offset, cut);
    updateCrc64(crc64.lo, crc64.hi, bytes, offset + cut, length - cut);
    expect(hex()).toBe(wanted);
  }
});

test("the last eight bytes of DUMP are this checksum", async () => {
  const redis = await Referee.start();
  try {
    for (const value of ["", "1", "hello", "x".repeat(1000)]) {
      await redis.call("SET", "k", value);
      const dump = Buffer.from((await redis.call("DUMP", "k")) as string, "latin1");
      updateCrc64(0, 0, dump, 0, dump.length - 8);
      expect(dump.readInt32LE(dump.length - 8)).toBe(crc64.lo);
      expect(dump.readInt32LE(dump.length - 4)).toBe(crc64.hi);
    }
  } finally {
    redis.stop();
  }
});
