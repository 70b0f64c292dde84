/**
 * Clocks of Linux through bun:ffi. Null where FFI does not load, or FERRITE_FFI=0.
 *
 *   coarseTick   the time of the last timer interrupt (1 to 10 ms ago), which costs 5 ns where performance.now costs 32
 *                (bench/micro/clock.ts)
 *   wallMicros   the wall clock in microseconds, the same in all threads. performance.timeOrigin is read anew in each, so
 *                their times would differ by some microseconds, and more on a busy machine
 */
import { FFIType, ptr } from "bun:ffi";
import { openLibc } from "./libc.ts";

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC_COARSE = 6;
/**
 * struct timespec: 64 bits of seconds, 64 of nanoseconds. Its memory is an ArrayBuffer's and so stays where it is. JSC moves
 * the elements of a short array without one when optimized code reads them, and the call would write into freed memory.
 */
const timespec = new Int32Array(new ArrayBuffer(16));
const at = ptr(timespec);

const libc = openLibc({ clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 } });

/** A number that changes with every timer interrupt. It only shows that time has advanced. */
export const coarseTick: (() => number) | null = load(CLOCK_MONOTONIC_COARSE, () => (timespec[0]! + timespec[2]!) | 0);

/** Microseconds since the Unix epoch, a whole number. */
export const wallMicros: (() => number) | null = load(
  CLOCK_REALTIME,
  () => (timespec[1]! * 2 ** 32 + (timespec[0]! >>> 0)) * 1e6 + Math.floor(timespec[2]! / 1000),
);

/** A reader of one of the clocks: `valueOf` makes a number of `timespec`. */
function load(clock: number, valueOf: () => number): (() => number) | null {
  if (libc === null) return null;
  const { clock_gettime } = libc;
  if (clock_gettime(clock, at) !== 0) return null;
  return () => {
    clock_gettime(clock, at);
    return valueOf();
  };
}
