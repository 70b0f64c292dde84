/**
 * x^y as C's pow computes it, which rounds almost always correctly. The engine multiplies repeatedly when y is a whole number up
 * to 1000, and is then off by several units in the last place. Here those products are kept as the sum of two doubles.
 */

/** The engine multiplies up to here. */
const WHOLE_EXPONENT_MAX = 1000;
const SPLITTER = 2 ** 27 + 1;
const WORDS = new DataView(new ArrayBuffer(8));

/** A product on its way: (high + low) * 2^exponent, with high in [0.5, 1). */
interface Product {
  high: number;
  low: number;
  exponent: number;
}

const result: Product = { high: 0, low: 0, exponent: 0 };
const square: Product = { high: 0, low: 0, exponent: 0 };

export function power(x: number, y: number): number {
  if (y === 2) return x * x;
  const plain = x ** y;
  if (x === 1 || (x === -1 && !Number.isFinite(y) && !Number.isNaN(y))) return 1; // JavaScript says NaN
  if (y === -0.5 && x > INVERTED_MIN && x < INVERTED_MAX) return inverseRoot(x);
  if (!Number.isInteger(y) || y > WHOLE_EXPONENT_MAX || y < -WHOLE_EXPONENT_MAX) return plain;
  if (Number.isSafeInteger(plain) && Number.isInteger(x)) return plain; // nothing was rounded
  if (x === 0 || !Number.isFinite(x) || y === 0 || y === 1) return plain;
  const size = wholePower(Math.abs(x), Math.abs(y), y < 0);
  return x < 0 && y % 2 !== 0 ? -size : size;
}

/** Where the products of inverseRoot neither overflow nor become subnormal. */
const INVERTED_MIN = 1e-290;
const INVERTED_MAX = 1e290;

/** x^-0.5: the engine takes 1 / sqrt(x), which rounds twice. One step of Newton's makes up for it. */
function inverseRoot(x: number): number {
  const root = 1 / Math.sqrt(x);
  const square = root * root;
  const product = square * x;
  const error = productError(square, x, product) + productError(root, root, square) * x;
  return root + 0.5 * root * (1 - product - error);
}

/** x^n, or 1 / x^n, of a positive finite number. */
function wholePower(x: number, n: number, isInverse: boolean): number {
  result.high = 0.5;
  result.low = 0;
  result.exponent = 1;
  square.high = x;
  square.low = 0;
  square.exponent = 0;
  normalize(square);
  for (let left = n; ; left >>= 1) {
    if ((left & 1) === 1) multiply(result, square);
    if (left <= 1) break;
    multiply(square, square);
  }
  const { high, low, exponent } = result;
  if (!isInverse) return scaled(high, low, exponent);
  const inverse = 1 / high;
  // what is missing from 1 after inverse * (high + low)
  const rest = 1 - inverse * high - productError(inverse, high, inverse * high) - inverse * low;
  return scaled(inverse, rest * inverse, -exponent);
}

/** (high + low) * 2^exponent, rounded once unless it is subnormal. */
function scaled(high: number, low: number, exponent: number): number {
  const sum = high + low;
  if (exponent > 1000) return sum * 2 ** 1000 * 2 ** Math.min(exponent - 1000, 1000);
  if (exponent < -1000) return sum * 2 ** -1000 * 2 ** Math.max(exponent + 1000, -1000);
  return sum * 2 ** exponent;
}

/** a * b - product, exactly (Dekker). */
function productError(a: number, b: number, product: number): number {
  const aBig = SPLITTER * a;
  const aHigh = aBig - (aBig - a);
  const aLow = a - aHigh;
  const bBig = SPLITTER * b;
  const bHigh = bBig - (bBig - b);
  const bLow = b - bHigh;
  return aHigh * bHigh - product + aHigh * bLow + aLow * bHigh + aLow * bLow;
}

function multiply(a: Product, b: Product): void {
  const product = a.high * b.high;
  const error = productError(a.high, b.high, product) + a.high * b.low + a.low * b.high;
  a.exponent += b.exponent;
  a.high = product + error;
  a.low = error - (a.high - product);
  normalize(a);
}

/** Brings `high` into [0.5, 1). */
function normalize(product: Product): void {
  let high = product.high;
  if (high < 2 ** -1022) {
    product.high *= 2 ** 54;
    product.low *= 2 ** 54;
    product.exponent -= 54;
    high = product.high;
  }
  WORDS.setFloat64(0, high);
  const shift = ((WORDS.getUint32(0) >>> 20) & 0x7ff) - 1022;
  if (shift === 0) return;
  // a shift of 1024 is that of numbers that 2^-1024 would make subnormal, in two steps
  const half = shift >> 1;
  const first = 2 ** -half;
  const second = 2 ** (half - shift);
  product.high = product.high * first * second;
  product.low = product.low * first * second;
  product.exponent += shift;
}
