/** A service manager's socket: receives the datagrams that a server sends to NOTIFY_SOCKET. Bun has none of the Unix family. */
import { dlopen, FFIType, ptr } from "bun:ffi";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

const libc = dlopen("libc.so.6", {
  socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  bind: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  recv: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64_fast },
  close: { args: [FFIType.i32], returns: FFIType.i32 },
}).symbols;

export class NotifyReceiver {
  /** Every message so far, with its lines. */
  readonly messages: string[][] = [];
  private readonly descriptor: number;
  /** Messages that `next` has gone past. */
  private seen = 0;

  /** Binds a socket to `path`; "@name" is an abstract one. */
  constructor(path: string) {
    this.descriptor = libc.socket(AF_UNIX, SOCK_DGRAM, 0);
    const name = new TextEncoder().encode(path);
    const address = new Uint8Array(2 + name.length);
    address[0] = AF_UNIX;
    address.set(name, 2);
    if (path.startsWith("@")) address[2] = 0;
    if (libc.bind(this.descriptor, ptr(address), address.length) !== 0) throw new Error(`cannot bind ${path}`);
  }

  /** Waits for the next message of which `matches` is true, after the one that the last call returned. */
  async next(what: string, matches: (lines: readonly string[]) => boolean, timeoutMs = 30_000): Promise<string[]> {
    const deadline = performance.now() + timeoutMs;
    while (performance.now() < deadline) {
      this.receive();
      while (this.seen < this.messages.length) {
        const message = this.messages[this.seen++]!;
        if (matches(message)) return message;
      }
      await Bun.sleep(5);
    }
    throw new Error(`no message ${what} came; there were ${JSON.stringify(this.messages)}`);
  }

  /** Takes what has arrived. */
  receive(): void {
    const buffer = new Uint8Array(4096);
    for (;;) {
      const bytes = Number(libc.recv(this.descriptor, ptr(buffer), buffer.length, MSG_DONTWAIT));
      if (bytes < 0) return;
      this.messages.push(new TextDecoder().decode(buffer.subarray(0, bytes)).split("\n"));
    }
  }

  close(): void {
    libc.close(this.descriptor);
  }
}
