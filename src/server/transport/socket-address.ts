/**
 * The addresses of a socket, as the kernel has them.
 *
 *   sockaddr_in    │ family (2) │ port, big-endian (2) │ address (4) │
 *   sockaddr_in6   │ family (2) │ port, big-endian (2) │ flow (4) │ address (16) │ scope (4) │
 */
import { ptr } from "bun:ffi";
import { AF_INET, AF_INET6, SOCKADDR_BYTES } from "../socket-numbers.ts";
import { type SystemCalls, Words } from "./system-calls.ts";

const TEXT_BYTES = 48;

export interface SocketAddress {
  /** "" = it has none: a Unix socket, or a connection that is gone. */
  readonly host: string;
  readonly port: number;
}

const NONE: SocketAddress = { host: "", port: 0 };

export class SocketAddresses {
  private readonly length = new Words(1);
  private readonly bytes = Buffer.from(new ArrayBuffer(SOCKADDR_BYTES));
  private readonly text = Buffer.from(new ArrayBuffer(TEXT_BYTES));

  constructor(private readonly calls: SystemCalls) {}

  /** Address of this end of a connection, or of the other one. */
  of(descriptor: number, isPeer: boolean): SocketAddress {
    const { calls, bytes, text, length } = this;
    length.words[0] = SOCKADDR_BYTES;
    const call = isPeer ? calls.getpeername : calls.getsockname;
    if (call(descriptor, ptr(bytes), length.address) !== 0) return NONE;
    const family = bytes.readUInt16LE(0);
    if (family !== AF_INET && family !== AF_INET6) return NONE;
    calls.inet_ntop(family, ptr(bytes, family === AF_INET ? 4 : 8), ptr(text), TEXT_BYTES);
    return { host: text.toString("latin1", 0, text.indexOf(0)), port: bytes.readUInt16BE(2) };
  }
}
