/**
 * System calls on sockets that the event loop owns: what Bun has no option for, and reading and writing while a script keeps the
 * loop from turning (busy-sockets.ts).
 * Linux only, through bun:ffi; `sockets` is null where it does not load, or with FERRITE_FFI=0.
 *
 *   pollfd   │ descriptor (4) │ events (2) │ events that are there (2) │
 */
import { FFIType, ptr } from "bun:ffi";
import { openLibc } from "../base/libc.ts";
import {
  AF_INET,
  AF_INET6,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCKADDR_BYTES,
} from "./socket-numbers.ts";

const POLLIN = 1;
const TCP_FASTOPEN = 23;
/** Connections whose first bytes came with their SYN and whose handshake is not complete. Further ones take a round trip more. */
const FAST_OPEN_WAITING = 256;

const libc = openLibc({
  poll: { args: [FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i32 },
  recv: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64_fast },
  send: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64_fast },
  accept4: { args: [FFIType.i32, FFIType.u64, FFIType.u64, FFIType.i32], returns: FFIType.i32 },
  getpeername: { args: [FFIType.i32, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  setsockopt: { args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  dup: { args: [FFIType.i32], returns: FFIType.i32 },
  close: { args: [FFIType.i32], returns: FFIType.i32 },
});

export class NativeSockets {
  private polled = new Int32Array(64);

  /** The call table, or null when there is none. */
  static open(): NativeSockets | null {
    return libc === null ? null : new NativeSockets();
  }

  /** Those of `descriptors` that have something to read or accept now. */
  readable(descriptors: readonly number[]): number[] {
    const { length } = descriptors;
    if (length === 0) return [];
    if (this.polled.length < length * 2) this.polled = new Int32Array(length * 4);
    const { polled } = this;
    for (let n = 0; n < length; n++) {
      polled[n * 2] = descriptors[n]!;
      polled[n * 2 + 1] = POLLIN;
    }
    if (libc!.poll(ptr(polled), length, 0) <= 0) return [];
    return descriptors.filter((_descriptor, n) => polled[n * 2 + 1]! >>> 16 !== 0);
  }

  /** Reads what is there. Returns the number of bytes; 0 at the end of the stream, negative when nothing is there. */
  receive(descriptor: number, into: Buffer): number {
    return Number(libc!.recv(descriptor, ptr(into), into.length, MSG_DONTWAIT));
  }

  /** Sends as much as the socket takes. Returns the number of bytes. */
  send(descriptor: number, bytes: Buffer): number {
    return Math.max(0, Number(libc!.send(descriptor, ptr(bytes), bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL)));
  }

  /** Accepts a connection. Returns its descriptor, or -1 when none waits. */
  accept(listener: number): number {
    return libc!.accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
  }

  /** Lets clients send their first bytes with the SYN (RFC 7413). Returns false when the kernel cannot. */
  allowFastOpen(listener: number): boolean {
    const waiting = new Int32Array([FAST_OPEN_WAITING]);
    return libc!.setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, ptr(waiting), waiting.byteLength) === 0;
  }

  /** A further descriptor of the same socket, or -1. */
  duplicate(descriptor: number): number {
    return libc!.dup(descriptor);
  }

  close(descriptor: number): void {
    libc!.close(descriptor);
  }

  /** True when the other end is this machine by a loopback address, or a unix socket. */
  isFromLoopback(descriptor: number): boolean {
    const address = Buffer.alloc(SOCKADDR_BYTES);
    const length = new Int32Array([SOCKADDR_BYTES]);
    if (libc!.getpeername(descriptor, ptr(address), ptr(length)) !== 0) return false;
    const family = address.readUInt16LE(0);
    if (family === AF_INET) return address[4] === 127;
    if (family !== AF_INET6) return true;
    const words = address.subarray(8, 24);
    const isOne = words.subarray(0, 15).every((byte) => byte === 0) && words[15] === 1;
    const isMapped = words.subarray(0, 10).every((byte) => byte === 0) && words[10] === 255 && words[11] === 255;
    return isOne || (isMapped && words[12] === 127);
  }
}
