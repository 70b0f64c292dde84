/**
 * HyperLogLog in Redis's representation: a string of exactly the bytes that Redis would write.
 *
 *   byte 0     4    5      8                  16
 *        │HYLL│enc │ zero │ cardinality, LE   │ registers ...
 *
 *   enc 0, dense   16384 registers of 6 bits, the low bits of a byte first: register 0 is byte 16 & 63
 *   enc 1, sparse  opcodes, together 16384 registers long
 *        00llllll            ZERO    1-64 registers of 0
 *        01llllll llllllll   XZERO   1-16384 registers of 0
 *        1vvvvvll            VAL     1-4 registers of value 1-32
 *   cardinality: the last count. The top bit of byte 15 marks it as out of date
 *
 * Invariants
 *   HLL-H1  a sketch has its own buffer, with SLACK_BYTES behind it. The first of them is 0: a truncated opcode reads 0
 *   HLL-H2  clients can write any bytes (SET): the length of every run is checked before a register is accessed
 * Source: Redis hyperloglog.c (format only); Flajolet et al. 2007; Ertl, arXiv:1702.01284 (estimator);
 * MurmurHash64A by Appleby.
 */
import { assert } from "../base/assert.ts";

export const REGISTERS = 16384;
const INDEX_BITS = 14;
/** Bits of the hash that determine the register's value: 64 - 14. */
const RANK_BITS = 50;
export const HEADER_BYTES = 16;
export const DENSE_BYTES = HEADER_BYTES + (REGISTERS * 6) / 8;
assert(1 << INDEX_BITS === REGISTERS && DENSE_BYTES === 12304, "sizes are those of Redis's format");
/** Spare bytes behind a sparse sketch for the longest change: XZERO becomes XZERO VAL XZERO. */
export const SLACK_BYTES = 8;
/** Longer strings cannot be sparse sketches: an opcode of at most two bytes is at least one register long. */
export const SPARSE_BYTES_MAX = HEADER_BYTES + REGISTERS * 2;

export const DENSE = 0;
export const SPARSE = 1;
const ENCODING_AT = 4;
export const CARDINALITY_AT = 8;
/** The byte whose top bit marks the cardinality as out of date. */
export const STALE_AT = 15;
export const STALE_BIT = 0x80;

const VALUE_MAX = 32;
const ZERO_RUN_MAX = 64;
const VAL_RUN_MAX = 4;

/** Result for a corrupt sketch. Valid results are not negative. */
export const CORRUPT = -1;

/** True when the bytes have the header of a sketch. */
export function isSketch(bytes: Uint8Array, at: number, length: number): boolean {
  if (length < HEADER_BYTES) return false;
  if (bytes[at] !== 72 || bytes[at + 1] !== 89 || bytes[at + 2] !== 76 || bytes[at + 3] !== 76) return false;
  const encoding = bytes[at + ENCODING_AT]!;
  return encoding === SPARSE || (encoding === DENSE && length === DENSE_BYTES);
}

export function encodingOf(bytes: Uint8Array, at: number): number {
  return bytes[at + ENCODING_AT]!;
}

/** True when the cardinality in the header is up to date. */
export function isCounted(bytes: Uint8Array, at: number): boolean {
  return (bytes[at + STALE_AT]! & STALE_BIT) === 0;
}

// ---- hashing ----

const SEED = 0xadc83b19 | 0;
const M_HIGH = 0xc6a4a793 | 0;
const M_LOW = 0x5bd1e995;
let low = 0;
let high = 0;

/** (high, low) *= m, modulo 2^64. Math.imul confines the partial products to 32 bits; otherwise they would be doubles. */
function multiply(): void {
  const a = low >>> 16;
  const b = low & 0xffff;
  const p0 = Math.imul(b, M_LOW & 0xffff);
  const p1 = Math.imul(a, M_LOW & 0xffff);
  const p2 = Math.imul(b, M_LOW >>> 16);
  const p3 = Math.imul(a, M_LOW >>> 16);
  const middle = (p0 >>> 16) + (p1 & 0xffff) + (p2 & 0xffff);
  const carry = p3 + (p1 >>> 16) + (p2 >>> 16) + (middle >>> 16);
  high = (carry + Math.imul(high, M_LOW) + Math.imul(low, M_HIGH)) | 0;
  low = (middle << 16) | (p0 & 0xffff);
}

/** The register of an element, and the element's rank. Valid until the next call of hashElement. */
export const hashed = { register: 0, rank: 0 };

/** Hashes an element (MurmurHash64A) into `hashed`. */
export function hashElement(bytes: Uint8Array, at: number, length: number): void {
  low = length | 0;
  high = 0;
  multiply();
  let hLow = SEED ^ low;
  let hHigh = high;
  const end = at + (length & ~7);
  for (; at < end; at += 8) {
    low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    high = bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24);
    multiply();
    low ^= high >>> 15; // k ^= k >> 47
    multiply();
    low ^= hLow;
    high ^= hHigh;
    multiply();
    hLow = low;
    hHigh = high;
  }
  low = hLow;
  high = hHigh;
  const rest = length & 7;
  if (rest > 0) {
    for (let i = 0; i < rest; i++) {
      if (i < 4) low ^= bytes[at + i]! << (i * 8);
      else high ^= bytes[at + i]! << ((i - 4) * 8);
    }
    multiply();
  }
  low ^= high >>> 15;
  multiply();
  low ^= high >>> 15;
  hashed.register = low & (REGISTERS - 1);
  const rankLow = (low >>> INDEX_BITS) | (high << (32 - INDEX_BITS));
  const rankHigh = (high >>> INDEX_BITS) | (1 << (RANK_BITS - 32)); // a final 1 bit limits the rank
  hashed.rank = 1 + (rankLow !== 0 ? trailingZeros(rankLow) : 32 + trailingZeros(rankHigh));
}

function trailingZeros(word: number): number {
  return 31 - Math.clz32(word & -word);
}

// ---- dense ----

/** Value of a register; `at` is where the sketch begins. */
export function denseRegister(bytes: Uint8Array, at: number, register: number): number {
  const bit = register * 6;
  const byte = at + HEADER_BYTES + (bit >>> 3);
  const shift = bit & 7;
  // The last register ends at the end of its byte.
  return ((bytes[byte]! | (shift > 2 ? bytes[byte + 1]! << 8 : 0)) >>> shift) & 63;
}

export function setDenseRegister(bytes: Uint8Array, at: number, register: number, value: number): void {
  const bit = register * 6;
  const byte = at + HEADER_BYTES + (bit >>> 3);
  const shift = bit & 7;
  bytes[byte] = (bytes[byte]! & ~(63 << shift)) | (value << shift);
  if (shift > 2) bytes[byte + 1] = (bytes[byte + 1]! & ~(63 >> (8 - shift))) | (value >> (8 - shift));
}

// Four registers occupy three bytes: 00000011 11112222 22333333, the low bits of each byte first.

/** Sets each of `registers` (a byte each) to the maximum of itself and the register of the dense sketch `bytes`. */
function raiseRegisters(bytes: Uint8Array, registers: Uint8Array): void {
  for (let i = 0, at = HEADER_BYTES; i < REGISTERS; i += 4, at += 3) {
    const four = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
    const a = four & 63;
    const b = (four >>> 6) & 63;
    const c = (four >>> 12) & 63;
    const d = four >>> 18;
    registers[i] = greater(a, registers[i]!);
    registers[i + 1] = greater(b, registers[i + 1]!);
    registers[i + 2] = greater(c, registers[i + 2]!);
    registers[i + 3] = greater(d, registers[i + 3]!);
  }
}

/** The greater of two bytes, without a branch, which could not be predicted. */
function greater(a: number, b: number): number {
  const difference = a - b;
  return a - (difference & (difference >> 31));
}

/** Fills HISTOGRAM with the number of registers of each value in the dense sketch `bytes`. */
function countDense(bytes: Uint8Array): void {
  for (let at = HEADER_BYTES; at < DENSE_BYTES; at += 3) {
    const four = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
    const a = four & 63;
    const b = 64 + ((four >>> 6) & 63);
    const c = 128 + ((four >>> 12) & 63);
    const d = 192 + (four >>> 18);
    HISTOGRAM[a] = HISTOGRAM[a]! + 1;
    HISTOGRAM[b] = HISTOGRAM[b]! + 1;
    HISTOGRAM[c] = HISTOGRAM[c]! + 1;
    HISTOGRAM[d] = HISTOGRAM[d]! + 1;
  }
}

/** Writes `registers` (a byte each) into the dense sketch `bytes`. */
function packRegisters(registers: Uint8Array, bytes: Uint8Array): void {
  for (let i = 0, at = HEADER_BYTES; i < REGISTERS; i += 4, at += 3) {
    const four = registers[i]! | (registers[i + 1]! << 6) | (registers[i + 2]! << 12) | (registers[i + 3]! << 18);
    bytes[at] = four;
    bytes[at + 1] = four >>> 8;
    bytes[at + 2] = four >>> 16;
  }
}

// ---- sparse ----

const isVal = (opcode: number): boolean => (opcode & 0x80) !== 0;
const isXzero = (opcode: number): boolean => (opcode & 0xc0) === 0x40;
const valValue = (opcode: number): number => ((opcode >>> 2) & 31) + 1;
const valRun = (opcode: number): number => (opcode & 3) + 1;
const valOpcode = (value: number, run: number): number => 0x80 | ((value - 1) << 2) | (run - 1);

/** Number of registers that the opcode at `at` covers. */
function runOf(bytes: Uint8Array, at: number): number {
  const opcode = bytes[at]!;
  if (isVal(opcode)) return valRun(opcode);
  if (isXzero(opcode)) return (((opcode & 0x3f) << 8) | bytes[at + 1]!) + 1;
  return (opcode & 0x3f) + 1;
}

/** Writes opcodes for `run` zero registers. Returns where they end. */
function writeZeros(bytes: Uint8Array, at: number, run: number): number {
  if (run > ZERO_RUN_MAX) {
    bytes[at] = 0x40 | ((run - 1) >>> 8);
    bytes[at + 1] = (run - 1) & 0xff;
    return at + 2;
  }
  bytes[at] = run - 1;
  return at + 1;
}

/** A sketch in a separate buffer (HLL-H1). */
export class Sketch {
  bytes = Buffer.alloc(SPARSE_BYTES_MAX + SLACK_BYTES);
  length = 0;

  /** Makes this the empty sketch. */
  clear(): void {
    this.bytes.fill(0, 0, HEADER_BYTES);
    this.bytes.write("HYLL", 0, "latin1");
    this.bytes[ENCODING_AT] = SPARSE;
    this.length = writeZeros(this.bytes, HEADER_BYTES, REGISTERS);
    this.bytes.fill(0, this.length, this.length + SLACK_BYTES);
  }

  /** Copies a sketch. Returns false when the bytes are too long for one. */
  load(source: Buffer, at: number, length: number): boolean {
    if (length > SPARSE_BYTES_MAX) return false;
    source.copy(this.bytes, 0, at, at + length);
    this.length = length;
    for (let i = 0; i < SLACK_BYTES; i++) this.bytes[length + i] = 0;
    return true;
  }

  get isDense(): boolean {
    return this.bytes[ENCODING_AT] === DENSE;
  }

  /** Marks the cardinality in the header as out of date. */
  markStale(): void {
    this.bytes[STALE_AT] = this.bytes[STALE_AT]! | STALE_BIT;
  }

  /** Raises a register to `value`. Returns 1 if it was lower, 0 if not, CORRUPT if the sketch is corrupt. */
  raise(register: number, value: number, sparseBytesMax: number): number {
    if (!this.isDense) return this.raiseSparse(register, value, sparseBytesMax);
    if (denseRegister(this.bytes, 0, register) >= value) return 0;
    setDenseRegister(this.bytes, 0, register, value);
    return 1;
  }

  private raiseSparse(register: number, value: number, sparseBytesMax: number): number {
    if (value > VALUE_MAX) return this.promote(register, value);
    const { bytes } = this;
    let at = HEADER_BYTES;
    let previousAt = -1;
    let first = 0;
    let run = 0;
    const end = this.length;
    // As runOf, inlined: PFADD spends most of its time here.
    while (at < end) {
      const opcode = bytes[at]!;
      let opcodeBytes = 1;
      if (opcode >= 0x80) {
        run = (opcode & 3) + 1;
      } else if (opcode < 0x40) {
        run = opcode + 1;
      } else {
        run = (((opcode & 0x3f) << 8) | bytes[at + 1]!) + 1;
        opcodeBytes = 2;
      }
      if (register < first + run) break;
      previousAt = at;
      at += opcodeBytes;
      first += run;
    }
    if (at >= end) return CORRUPT;
    const opcode = bytes[at]!;
    if (isVal(opcode) && valValue(opcode) >= value) return 0;
    if (run === 1 && !isXzero(opcode)) {
      bytes[at] = valOpcode(value, 1);
    } else {
      // The opcode is replaced by up to three: the registers before, the register, the registers behind it.
      let splitBytes = 0;
      const before = register - first;
      const behind = first + run - 1 - register;
      if (before > 0) splitBytes = this.writeRun(splitBytes, opcode, before);
      SPLIT[splitBytes++] = valOpcode(value, 1);
      if (behind > 0) splitBytes = this.writeRun(splitBytes, opcode, behind);
      const old = isXzero(opcode) ? 2 : 1;
      const growth = splitBytes - old;
      const most = sparseBytesMax < SPARSE_BYTES_MAX ? sparseBytesMax : SPARSE_BYTES_MAX;
      if (growth > 0 && this.length + growth > most) return this.promote(register, value);
      if (growth !== 0 && at + old < this.length) bytes.copyWithin(at + old + growth, at + old, this.length);
      for (let i = 0; i < splitBytes; i++) bytes[at + i] = SPLIT[i]!;
      this.length += growth;
      assert(this.length <= SPARSE_BYTES_MAX, "a sparse sketch fits in its buffer");
      for (let i = 0; i < SLACK_BYTES; i++) bytes[this.length + i] = 0;
    }
    this.mergeValues(previousAt < 0 ? HEADER_BYTES : previousAt);
    this.markStale();
    return 1;
  }

  private writeRun(end: number, opcode: number, run: number): number {
    if (!isVal(opcode)) return writeZeros(SPLIT, end, run);
    SPLIT[end] = valOpcode(valValue(opcode), run);
    return end + 1;
  }

  /** Merges neighbours of equal value among the five opcodes from `at` on. */
  private mergeValues(at: number): void {
    const { bytes } = this;
    for (let steps = 0; steps < 5 && at < this.length; steps++) {
      const opcode = bytes[at]!;
      if (!isVal(opcode)) {
        at += isXzero(opcode) ? 2 : 1;
        continue;
      }
      if (at + 1 < this.length && isVal(bytes[at + 1]!) && valValue(opcode) === valValue(bytes[at + 1]!)) {
        const run = valRun(opcode) + valRun(bytes[at + 1]!);
        if (run <= VAL_RUN_MAX) {
          bytes.copyWithin(at, at + 1, this.length);
          bytes[at] = valOpcode(valValue(opcode), run);
          this.length--;
          bytes[this.length] = 0;
          continue;
        }
      }
      at++;
    }
  }

  private promote(register: number, value: number): number {
    if (!this.makeDense()) return CORRUPT;
    return this.raise(register, value, 0);
  }

  /** Converts a sparse sketch to dense. Returns false, with nothing changed, when it is corrupt. */
  makeDense(): boolean {
    if (this.isDense) return true;
    REGISTERS_SCRATCH.fill(0);
    if (!this.mergeInto(REGISTERS_SCRATCH)) return false;
    this.bytes.fill(0, HEADER_BYTES, DENSE_BYTES + SLACK_BYTES);
    this.bytes[ENCODING_AT] = DENSE;
    this.length = DENSE_BYTES;
    packRegisters(REGISTERS_SCRATCH, this.bytes);
    return true;
  }

  /** Sets all registers of a dense sketch, given as a byte each. */
  setRegisters(registers: Uint8Array): void {
    assert(this.isDense, "only a dense sketch has all registers set at once");
    packRegisters(registers, this.bytes);
  }

  /** Sets each of `registers` (a byte each) to the maximum of itself and this one's. Returns false when corrupt. */
  mergeInto(registers: Uint8Array): boolean {
    const { bytes } = this;
    if (this.isDense) {
      raiseRegisters(bytes, registers);
      return true;
    }
    let register = 0;
    for (let at = HEADER_BYTES; at < this.length; ) {
      const opcode = bytes[at]!;
      const run = runOf(bytes, at);
      if (register + run > REGISTERS) return false; // HLL-H2
      if (isVal(opcode)) {
        const value = valValue(opcode);
        for (let i = 0; i < run; i++) if (value > registers[register + i]!) registers[register + i] = value;
      }
      register += run;
      at += isXzero(opcode) ? 2 : 1;
    }
    return register === REGISTERS;
  }

  /** Estimated number of different elements, or CORRUPT. */
  count(): number {
    HISTOGRAM.fill(0);
    const { bytes } = this;
    if (this.isDense) {
      countDense(bytes);
      return estimate();
    }
    let register = 0;
    for (let at = HEADER_BYTES; at < this.length; ) {
      const opcode = bytes[at]!;
      const run = runOf(bytes, at);
      const value = isVal(opcode) ? valValue(opcode) : 0;
      HISTOGRAM[value] = HISTOGRAM[value]! + run;
      register += run;
      if (register > REGISTERS) return CORRUPT; // HLL-H2
      at += isXzero(opcode) ? 2 : 1;
    }
    return register === REGISTERS ? estimate() : CORRUPT;
  }

  /** The sparse opcodes as PFDEBUG DECODE prints them. */
  decode(): string {
    const parts: string[] = [];
    for (let at = HEADER_BYTES; at < this.length; ) {
      const opcode = this.bytes[at]!;
      const run = runOf(this.bytes, at);
      if (isVal(opcode)) parts.push(`v:${valValue(opcode)},${run}`);
      else parts.push(`${isXzero(opcode) ? "Z" : "z"}:${run}`);
      at += isXzero(opcode) ? 2 : 1;
    }
    return parts.join(" ");
  }
}

const SPLIT = new Uint8Array(8);
const REGISTERS_SCRATCH = new Uint8Array(REGISTERS);
/** Number of registers of each value, as four counters to be summed: equal neighbours would wait for a single counter. */
const HISTOGRAM = new Int32Array(4 * 64);

/** As Sketch.count, for registers given as a byte each. */
export function countRegisters(registers: Uint8Array): number {
  HISTOGRAM.fill(0);
  for (let i = 0; i < REGISTERS; i += 4) {
    const a = registers[i]! & 63;
    const b = 64 + (registers[i + 1]! & 63);
    const c = 128 + (registers[i + 2]! & 63);
    const d = 192 + (registers[i + 3]! & 63);
    HISTOGRAM[a] = HISTOGRAM[a]! + 1;
    HISTOGRAM[b] = HISTOGRAM[b]! + 1;
    HISTOGRAM[c] = HISTOGRAM[c]! + 1;
    HISTOGRAM[d] = HISTOGRAM[d]! + 1;
  }
  return estimate();
}

const ALPHA_INFINITY = 0.7213475204444817; // 0.5 / ln 2

/** Ertl's improved estimator, applied to HISTOGRAM. */
function estimate(): number {
  for (let i = 0; i < 64; i++) {
    HISTOGRAM[i] = HISTOGRAM[i]! + HISTOGRAM[i + 64]! + HISTOGRAM[i + 128]! + HISTOGRAM[i + 192]!;
  }
  let z = REGISTERS * tau((REGISTERS - HISTOGRAM[RANK_BITS + 1]!) / REGISTERS);
  for (let i = RANK_BITS; i >= 1; i--) z = (z + HISTOGRAM[i]!) * 0.5;
  z += REGISTERS * sigma(HISTOGRAM[0]! / REGISTERS);
  return Math.round((ALPHA_INFINITY * REGISTERS * REGISTERS) / z);
}

function sigma(x: number): number {
  if (x === 1) return Number.POSITIVE_INFINITY;
  let y = 1;
  let z = x;
  for (let before = Number.NaN; before !== z; ) {
    x *= x;
    before = z;
    z += x * y;
    y += y;
  }
  return z;
}

function tau(x: number): number {
  if (x === 0 || x === 1) return 0;
  let y = 1;
  let z = 1 - x;
  for (let before = Number.NaN; before !== z; ) {
    x = Math.sqrt(x);
    before = z;
    y *= 0.5;
    z -= (1 - x) * (1 - x) * y;
  }
  return z / 3;
}
