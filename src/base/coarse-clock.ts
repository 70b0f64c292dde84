/**
 * Linux's coarse monotonic clock: the time of the last timer interrupt (1 to 10 ms ago), which costs 5 ns to read through
 * bun:ffi where performance.now costs 32 (bench/micro/clock.ts). Null where FFI does not load, or FERRITE_FFI=0.
 */
import { FFIType, ptr } from "bun:ffi";
import { openLibc } from "./libc.ts";

const CLOCK_MONOTONIC_COARSE = 6;
/**
 * struct timespec: 64 bits of seconds, 64 of nanoseconds. Its memory is an ArrayBuffer's and so stays where it is. JSC moves
 * the elements of a short array without one when optimized code reads them, and the call would write into freed memory.
 */
const timespec = new Int32Array(new ArrayBuffer(16));

/** A number that changes with every timer interrupt. It only shows that time has advanced. */
export const coarseTick: (() => number) | null = load();

function load(): (() => number) | null {
  const libc = openLibc({ clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 } });
  if (libc === null) return null;
  const { clock_gettime } = libc;
  const at = ptr(timespec);
  if (clock_gettime(CLOCK_MONOTONIC_COARSE, at) !== 0) return null;
  return () => {
    clock_gettime(CLOCK_MONOTONIC_COARSE, at);
    return (timespec[0]! + timespec[2]!) | 0;
  };
}
