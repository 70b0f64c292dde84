/**
 * Goal:   sha1Hex hashes the bytes of a text of one character per byte.
 * Method: known sums, one of them of bytes beyond ASCII.
 */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { sha1Hex } from "../../src/lua/lib/sha1.ts";

test("known sums", () => {
  expect(sha1Hex("")).toBe("da39a3ee5e6b4b0d3255bfef95601890afd80709");
  expect(sha1Hex("return 1")).toBe("e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
});

test("every byte counts as it is", () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, code) => code));
  expect(sha1Hex(bytes.toString("latin1"))).toBe(createHash("sha1").update(bytes).digest("hex"));
});
