/**
 * The system calls of the epoll transport, through bun:ffi. Linux only; `openSystemCalls` returns null where they do not load, or with
 * FERRITE_FFI=0.
 *
 * Memory that the kernel reads or writes between calls lies in ArrayBuffers of its own: the bytes of a short typed array move
 * when it gets an ArrayBuffer. An object keeps each of them, because an address alone keeps nothing alive.
 *
 *   epoll_event   │ events (4) │ descriptor (4) │ generation (4) │            x86-64, packed
 *                 │ events (4) │ - (4) │ descriptor (4) │ generation (4) │    elsewhere
 *   iovec         │ address (8) │ length (8) │
 */
import { FFIType, type Pointer, ptr, read } from "bun:ffi";
import { openLibc } from "../../base/libc.ts";

const { i32, u32, u64, ptr: pointer, i64_fast: length } = FFIType;

const TABLE = {
  epoll_create1: { args: [i32], returns: i32 },
  epoll_ctl: { args: [i32, i32, i32, pointer], returns: i32 },
  epoll_wait: { args: [i32, pointer, i32, i32], returns: i32 },
  eventfd: { args: [u32, i32], returns: i32 },
  recv: { args: [i32, pointer, u64, i32], returns: length },
  readv: { args: [i32, pointer, i32], returns: length },
  send: { args: [i32, pointer, u64, i32], returns: length },
  accept4: { args: [i32, pointer, pointer, i32], returns: i32 },
  getsockname: { args: [i32, pointer, pointer], returns: i32 },
  getpeername: { args: [i32, pointer, pointer], returns: i32 },
  inet_ntop: { args: [i32, pointer, pointer, u32], returns: pointer },
  setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
  shutdown: { args: [i32, i32], returns: i32 },
  dup: { args: [i32], returns: i32 },
  close: { args: [i32], returns: i32 },
  __errno_location: { args: [], returns: pointer },
} as const;

/** The calls by their names in C. A length is -1 after an error. */
export type SystemCalls = NonNullable<ReturnType<typeof openSystemCalls>>;

export function openSystemCalls() {
  return openLibc(TABLE);
}

/** The error of the call before. */
export function errorNumber(calls: SystemCalls): number {
  const at = calls.__errno_location();
  return at === null ? 0 : read.i32(at);
}

/** Words that the kernel reads or writes, with their address. */
export class Words {
  readonly words: Int32Array;
  readonly address: Pointer;

  constructor(count: number) {
    this.words = new Int32Array(new ArrayBuffer(count * 4));
    this.address = ptr(this.words);
  }
}
