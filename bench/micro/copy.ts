/**
 * The fastest way of copying and comparing at each size. The thresholds in src/base/bytes.ts rely on it.
 * Run: npm run bench -- copy
 */
import { copy, equal } from "../../src/base/bytes.ts";
import { updateCrc64 } from "../../src/base/crc64.ts";

type Move = (source: Uint8Array, from: number, target: Uint8Array, to: number, length: number) => unknown;

const SIZES = [4, 8, 16, 20, 24, 32, 48, 64, 128, 256, 1024, 4096, 65536];
const ordinary = Buffer.alloc(1 << 23, 7);
const shared = new Uint8Array(new SharedArrayBuffer(1 << 23)).fill(7);
const bufferCopy = Buffer.prototype.copy;
const bufferCompare = Buffer.prototype.compare;

// Each way is a function of its own, because a common caller would become megamorphic and slow all of them.
const ways: Record<string, Move> = {
  "bytes.copy": (s, from, t, to, n) => copy(s, from, t, to, n),
  loop: (s, from, t, to, n) => {
    for (let i = 0; i < n; i++) t[to + i] = s[from + i]!;
  },
  "Buffer.copy": (s, from, t, to, n) => bufferCopy.call(s, t, to, from, from + n),
  "set(subarray)": (s, from, t, to, n) => t.set(s.subarray(from, from + n), to),
  "bytes.equal": (s, from, t, to, n) => equal(s, from, t, to, n),
  "equal by loop": (s, from, t, to, n) => {
    for (let i = 0; i < n; i++) if (s[from + i] !== t[to + i]) return false;
    return true;
  },
  "Buffer.compare": (s, from, t, to, n) => bufferCompare.call(s, t, to, to + n, from, from + n) === 0,
};

function nanoseconds(move: Move, length: number): number {
  let best = Number.POSITIVE_INFINITY;
  const calls = Math.max(1000, Math.min(100_000, Math.floor(5e6 / length)));
  for (let round = 0; round < 5; round++) {
    const start = Bun.nanoseconds();
    for (let i = 0; i < calls; i++) move(ordinary, (i * 64) & 0xffff, shared, (i * 4096) & 0x3ffff8, length);
    best = Math.min(best, (Bun.nanoseconds() - start) / calls);
  }
  return best;
}

console.log(`ns per call, ordinary to shared buffer, Bun ${Bun.version}`);
console.log("way".padEnd(16) + SIZES.map((size) => String(size).padStart(8)).join(""));
for (const [name, move] of Object.entries(ways)) {
  console.log(name.padEnd(16) + SIZES.map((size) => nanoseconds(move, size).toFixed(1).padStart(8)).join(""));
}
const crc = nanoseconds((s, from, _t, _to, n) => updateCrc64(0, 0, s, from, n), 65536);
console.log(`crc64: ${(65536 / crc).toFixed(2)} bytes per ns`);
