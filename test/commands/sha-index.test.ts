/** The index of scripts by the bytes of their digests: it may forget, and never confuses two. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { SHA_BYTES, ShaIndex } from "../../src/commands/scripting/sha-index.ts";

const digest = (n: number) => createHash("sha1").update(String(n)).digest("hex");

test("finds what was set last at its place, and nothing else", () => {
  const index = new ShaIndex<string>();
  const digests = Array.from({ length: 5000 }, (_, n) => digest(n));
  let found = 0;
  for (const sha of digests) {
    const bytes = Buffer.from(`..${sha}..`);
    expect(index.find(bytes, 2)).toBeNull();
    index.set(sha, sha);
    expect(index.find(bytes, 2)).toBe(sha);
  }
  for (const sha of digests) {
    const value = index.find(Buffer.from(sha), 0);
    if (value === null) continue;
    expect(value).toBe(sha);
    found++;
  }
  expect(found).toBeGreaterThan(100);
});

test("a digest that differs in one place only, or in case, is not found", () => {
  const index = new ShaIndex<string>();
  const sha = digest(1);
  index.set(sha, "script");
  for (let i = 0; i < SHA_BYTES; i++) {
    const other = Buffer.from(sha);
    other[i] = other[i] === 48 ? 49 : 48;
    expect(index.find(other, 0)).toBeNull();
  }
  expect(index.find(Buffer.from(sha.toUpperCase()), 0)).toBeNull();
  index.clear();
  expect(index.find(Buffer.from(sha), 0)).toBeNull();
});
