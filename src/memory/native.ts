/**
 * System calls that Bun has no API for, through bun:ffi: madvise, posix_fadvise, flock, setrlimit, getrlimit, prctl,
 * setenv, preadv2. They are optional: where
 * FFI does not load (or with FERRITE_FFI=0) each call reports that it did nothing, and the server works less efficiently.
 */
import { FFIType, ptr } from "bun:ffi";
import { openLibc } from "../base/libc.ts";

const MADV_DONTNEED = 4;
const MADV_HUGEPAGE = 14;
const MADV_NOHUGEPAGE = 15;
const FADV_RANDOM = 1;
const FADV_DONTNEED = 4;
const LOCK_EXCLUSIVE_NOW = 2 | 4;
const RLIMIT_NOFILE = 7;
const PR_SET_NAME = 15;
const RWF_NOWAIT = 8;
const TWO_32 = 2 ** 32;

const libc = openLibc({
  madvise: { args: [FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i32 },
  flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  getrlimit: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
  prctl: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.u64, FFIType.u64], returns: FFIType.i32 },
  posix_fadvise: { args: [FFIType.i32, FFIType.i64, FFIType.i64, FFIType.i32], returns: FFIType.i32 },
  setenv: { args: [FFIType.ptr, FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
  setrlimit: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
});

/** Asks the system to back a region with huge pages. Returns false when it cannot. */
export function adviseHugePages(region: Uint8Array): boolean {
  return libc !== null && libc.madvise(ptr(region), region.byteLength, MADV_HUGEPAGE) === 0;
}

/** The region gets no further huge pages. Returns false when that cannot be said. */
export function refuseHugePages(region: Uint8Array): boolean {
  return libc !== null && libc.madvise(ptr(region), region.byteLength, MADV_NOHUGEPAGE) === 0;
}

/** Returns `length` bytes of `region` from `offset` on to the system. Both are multiples of the system's page size. */
export function releasePages(region: Uint8Array, offset: number, length: number): boolean {
  return libc !== null && libc.madvise(ptr(region, offset), length, MADV_DONTNEED) === 0;
}

/** True when `releasePages` works on this system. */
export const CAN_RELEASE = libc !== null;

/** Drops the synced pages of an open file from the page cache, and turns reading ahead off. Returns false when it cannot. */
export function dropCached(descriptor: number): boolean {
  if (libc === null) return false;
  libc.posix_fadvise(descriptor, 0, 0, FADV_RANDOM);
  return libc.posix_fadvise(descriptor, 0, 0, FADV_DONTNEED) === 0;
}

/** preadv2 is younger than the others, so it is looked up alone. */
const reads = openLibc({
  preadv2: { args: [FFIType.i32, FFIType.ptr, FFIType.i32, FFIType.i64_fast, FFIType.i32], returns: FFIType.i64_fast },
});
/** struct iovec: where the bytes go and their number, two words each. The memory is never moved. */
const iovecBuffer = new ArrayBuffer(16);
const iovec = new Uint32Array(iovecBuffer);
const iovecAt = libc === null ? 0 : ptr(iovecBuffer);

/**
 * Reads `length` bytes of a file from `position` on if that needs no wait for the disk: all are in the page cache. Returns the
 * number of bytes that were read, less or -1 when that is not so.
 */
export function readCached(descriptor: number, into: Uint8Array, length: number, position: number): number {
  if (reads === null) return -1;
  const at = ptr(into);
  iovec[0] = at % TWO_32;
  iovec[1] = at / TWO_32;
  iovec[2] = length;
  return Number(reads.preadv2(descriptor, iovecAt as typeof at, 1, position, RWF_NOWAIT));
}

/** The file in the data directory that a running server keeps locked. It contains the process id. */
export const LOCK_FILE = "ferrite.lock";

/** Tries to lock an open file exclusively, without waiting. Returns "unknown" when FFI is not available. */
export function lockFile(descriptor: number): "locked" | "taken" | "unknown" {
  if (libc === null) return "unknown";
  return libc.flock(descriptor, LOCK_EXCLUSIVE_NOW) === 0 ? "locked" : "taken";
}

/** Raises the soft limit of descriptors to the hard limit. Returns the limit in force; 0 = unknown. */
export function raiseDescriptorLimit(): number {
  if (libc === null) return 0;
  const limit = new BigUint64Array(2);
  if (libc.getrlimit(RLIMIT_NOFILE, ptr(limit)) !== 0) return 0;
  const hard = limit[1]!;
  if (limit[0]! < hard) {
    limit[0] = hard;
    if (libc.setrlimit(RLIMIT_NOFILE, ptr(limit)) !== 0) libc.getrlimit(RLIMIT_NOFILE, ptr(limit));
  }
  return Number(limit[0]! > 1_000_000_000n ? 1_000_000_000n : limit[0]!);
}

const POOL_VARIABLE = "UV_THREADPOOL_SIZE";

/**
 * Limits the threads of Bun's pool, which run asynchronous file calls, to `count`; without it there are as many as cores. Works
 * before the pool is first used, and not when the environment has a limit already. Returns false when it cannot.
 */
export function limitPoolThreads(count: number): boolean {
  const text = (value: string) => ptr(Buffer.from(`${value}\0`, "latin1"));
  return libc !== null && libc.setenv(text(POOL_VARIABLE), text(String(count)), 0) === 0;
}

/** Names the calling thread, for `top -H` and its like: at most 15 characters. */
export function nameThread(name: string): void {
  if (libc !== null) libc.prctl(PR_SET_NAME, ptr(Buffer.from(`${name.slice(0, 15)}\0`, "latin1")), 0, 0, 0);
}
