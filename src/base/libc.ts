/** The C library, through bun:ffi: the one place that knows its names, and when it is not used. */
import { dlopen, type FFIFunction } from "bun:ffi";

/** glibc, and musl's library under its names. */
const NAMES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];

/**
 * Looks the functions of `table` up. Returns null where one of them is missing or FFI does not load, on other systems than
 * Linux, and with FERRITE_FFI=0.
 */
export function openLibc<T extends Record<string, FFIFunction>>(
  table: T,
): ReturnType<typeof dlopen<T>>["symbols"] | null {
  if (process.env.FERRITE_FFI === "0" || process.platform !== "linux") return null;
  for (const name of NAMES) {
    try {
      return dlopen(name, table).symbols;
    } catch {
      // This C library is not installed, or lacks a function. Try the next name.
    }
  }
  return null;
}
