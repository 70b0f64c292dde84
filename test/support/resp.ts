/**
 * A small raw RESP2/RESP3 client for tests and benches: bytes in, bytes out, and a reply tree that keeps the types.
 *
 * Text in arguments and in trees is latin1, one character per byte, so every byte is preserved: "\xff\x00" is two bytes.
 * This client knows no commands. Replies come in the order of the requests. RESP3 pushes are collected in `pushes`.
 */
import { createConnection, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";

export type Reply =
  | { type: "simple" | "error" | "bulk" | "bignum" | "bulkerror"; value: string }
  | { type: "verbatim"; format: string; value: string }
  | { type: "int"; value: string } // as text: 64 bits do not fit a number
  | { type: "double"; value: string } // as text, because the digits are compared
  | { type: "bool"; value: boolean }
  | { type: "null"; form: "_" | "$" | "*" }
  | { type: "array" | "set" | "push"; value: Reply[] }
  | { type: "map"; value: [Reply, Reply][] };

export type Argument = string | number | bigint | Uint8Array;

export class ProtocolError extends Error {}

const CR = 13,
  LF = 10;

/** One command as an array of bulk strings. */
export function encodeCommand(args: readonly Argument[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`, "latin1")];
  for (const argument of args) {
    const bytes =
      argument instanceof Uint8Array
        ? Buffer.from(argument.buffer, argument.byteOffset, argument.byteLength)
        : Buffer.from(String(argument), "latin1");
    parts.push(Buffer.from(`$${bytes.length}\r\n`, "latin1"), bytes, Buffer.from("\r\n", "latin1"));
  }
  return Buffer.concat(parts);
}

/**
 * Incremental parser. `take()` returns the next complete reply, or null. When more bytes arrive it parses again from the
 * reply's start, which is fast enough for tests. It waits for the bytes of an incomplete bulk string before that.
 */
export class ReplyParser {
  #bytes = Buffer.alloc(1 << 16);
  #start = 0;
  #end = 0;
  #at = 0;
  #needed = 0;

  push(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#bytes.length) {
      const kept = this.#end - this.#start;
      const target =
        kept + chunk.length > this.#bytes.length / 2
          ? Buffer.alloc(Math.max(this.#bytes.length * 2, (kept + chunk.length) * 2))
          : this.#bytes;
      this.#bytes.copy(target, 0, this.#start, this.#end);
      this.#bytes = target;
      this.#start = 0;
      this.#end = kept;
    }
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Bytes received and not yet taken as a reply. */
  get pendingBytes(): number {
    return this.#end - this.#start;
  }

  take(): Reply | null {
    if (this.#end - this.#start < Math.max(this.#needed, 1)) return null;
    this.#at = this.#start;
    this.#needed = 0;
    const reply = this.#value(0);
    if (reply === null) return null;
    this.#start = this.#at;
    return reply;
  }

  #line(): string | null {
    const end = this.#bytes.indexOf(LF, this.#at);
    if (end < 0 || end >= this.#end) return null;
    if (end === this.#at || this.#bytes[end - 1] !== CR)
      throw new ProtocolError(`a line without CR at byte ${this.#at - this.#start}`);
    const line = this.#bytes.toString("latin1", this.#at, end - 1);
    this.#at = end + 1;
    return line;
  }

  #value(depth: number): Reply | null {
    if (depth > 64) throw new ProtocolError("replies nested deeper than 64");
    const line = this.#line();
    if (line === null) return null;
    const rest = line.slice(1);
    switch (line[0]) {
      case "+":
        return { type: "simple", value: rest };
      case "-":
        return { type: "error", value: rest };
      case ":":
        if (!/^[+-]?\d+$/.test(rest)) throw new ProtocolError(`not an integer reply: ${line}`);
        return { type: "int", value: rest };
      case ",":
        return { type: "double", value: rest };
      case "(":
        return { type: "bignum", value: rest };
      case "#":
        if (rest !== "t" && rest !== "f") throw new ProtocolError(`not a boolean reply: ${line}`);
        return { type: "bool", value: rest === "t" };
      case "_":
        if (rest !== "") throw new ProtocolError(`not a null reply: ${line}`);
        return { type: "null", form: "_" };
      case "$":
      case "!":
      case "=":
        return this.#bulk(line[0], rest);
      case "*":
      case "~":
      case ">": {
        const count = this.#length(rest);
        if (count < 0) return { type: "null", form: "*" };
        const items: Reply[] = [];
        for (let i = 0; i < count; i++) {
          const item = this.#value(depth + 1);
          if (item === null) return null;
          items.push(item);
        }
        return { type: line[0] === "*" ? "array" : line[0] === "~" ? "set" : "push", value: items };
      }
      case "%": {
        const count = this.#length(rest);
        const pairs: [Reply, Reply][] = [];
        for (let i = 0; i < count; i++) {
          const key = this.#value(depth + 1);
          if (key === null) return null;
          const value = this.#value(depth + 1);
          if (value === null) return null;
          pairs.push([key, value]);
        }
        return { type: "map", value: pairs };
      }
      default:
        throw new ProtocolError(`unknown reply type in ${JSON.stringify(line.slice(0, 80))}`);
    }
  }

  #length(text: string): number {
    if (!/^(-1|\d{1,10})$/.test(text)) throw new ProtocolError(`not a length: ${JSON.stringify(text.slice(0, 40))}`);
    return Number(text);
  }

  #bulk(kind: "$" | "!" | "=", text: string): Reply | null {
    const length = this.#length(text);
    if (length < 0) return { type: "null", form: "$" };
    const end = this.#at + length;
    if (end + 2 > this.#end) {
      this.#needed = end + 2 - this.#start;
      return null;
    }
    if (this.#bytes[end] !== CR || this.#bytes[end + 1] !== LF)
      throw new ProtocolError("a bulk that does not end in CRLF");
    const value = this.#bytes.toString("latin1", this.#at, end);
    this.#at = end + 2;
    if (kind === "=") return { type: "verbatim", format: value.slice(0, 3), value: value.slice(4) };
    return { type: kind === "$" ? "bulk" : "bulkerror", value };
  }
}

export interface ConnectOptions {
  port?: number;
  host?: string;
  /** Path of a unix socket, instead of host and port. */
  path?: string;
  /** Connect over TLS. */
  tls?: ConnectionOptions;
}

interface Waiter {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

export class RespClient {
  readonly pushes: Reply[] = [];
  /** With `keepRaw` true, everything received so far (bounded by the test's own sense). */
  keepRaw = false;
  /** Settles when the connection is gone, from either side. */
  readonly closed: Promise<void>;
  isClosed = false;
  #socket: Socket;
  #parser = new ReplyParser();
  #waiters: Waiter[] = [];
  #ready: Reply[] = [];
  #raw: Buffer[] = [];
  #failure: Error | null = null;
  #rawWatcher: (() => void) | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("error", (error: Error) => {
      this.#failure ??= error;
    });
    this.closed = new Promise((done) => {
      socket.on("close", () => {
        this.isClosed = true;
        this.#rawWatcher?.();
        const error = this.#failure ?? new Error("connection closed by the server");
        for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
        done();
      });
    });
  }

  static connect(options: ConnectOptions): Promise<RespClient> {
    return new Promise((done, fail) => {
      if (options.tls !== undefined) return done(RespClient.#secure(options.port ?? 6379, options.tls));
      const socket =
        options.path !== undefined
          ? createConnection({ path: options.path, allowHalfOpen: true })
          : createConnection({ port: options.port ?? 6379, host: options.host ?? "127.0.0.1", allowHalfOpen: true });
      socket.setNoDelay(true);
      socket.once("error", fail);
      socket.once("connect", () => {
        socket.off("error", fail);
        const client = new RespClient(socket);
        // Half-open sockets let a test shut down its sending side and still read; a server's end closes ours.
        socket.on("end", () => socket.end());
        done(client);
      });
    });
  }

  /** Connects over TLS. Fails when the handshake does; a certificate that the server refuses shows only later. */
  static #secure(port: number, options: ConnectionOptions): Promise<RespClient> {
    return new Promise((done, fail) => {
      const socket = connectTls({ port, host: "127.0.0.1", ...options });
      socket.once("error", fail);
      socket.once("secureConnect", () => {
        socket.off("error", fail);
        done(new RespClient(socket));
      });
    });
  }

  #received(chunk: Buffer): void {
    if (this.keepRaw) {
      this.#raw.push(Buffer.from(chunk));
      this.#rawWatcher?.();
      return;
    }
    try {
      this.#parser.push(chunk);
      for (let reply = this.#parser.take(); reply !== null; reply = this.#parser.take()) {
        if (reply.type === "push") {
          this.pushes.push(reply);
          continue;
        }
        const waiter = this.#waiters.shift();
        if (waiter !== undefined) waiter.resolve(reply);
        else this.#ready.push(reply);
      }
    } catch (error) {
      this.#failure = error as Error;
      this.#socket.destroy();
    }
  }

  /** Sends bytes as they are. */
  write(bytes: Uint8Array | string): void {
    this.#socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** The next reply, in order. Rejects when the connection ends first. */
  next(): Promise<Reply> {
    const reply = this.#ready.shift();
    if (reply !== undefined) return Promise.resolve(reply);
    if (this.isClosed) return Promise.reject(this.#failure ?? new Error("connection closed by the server"));
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  command(...args: Argument[]): Promise<Reply> {
    this.write(encodeCommand(args));
    return this.next();
  }

  /** All commands in one write; the replies in order. */
  pipeline(commands: readonly (readonly Argument[])[]): Promise<Reply[]> {
    if (commands.length === 0) return Promise.resolve([]);
    this.write(Buffer.concat(commands.map(encodeCommand)));
    return Promise.all(commands.map(() => this.next()));
  }

  /** Raw bytes received since keepRaw was set. */
  raw(): Buffer {
    return Buffer.concat(this.#raw);
  }

  /** Waits until `bytes` raw bytes have arrived or the connection ended; false when neither happens within `guardMs`. */
  async rawBytes(bytes: number, guardMs: number): Promise<boolean> {
    const have = (): number => this.#raw.reduce((sum, chunk) => sum + chunk.length, 0);
    return this.#until(() => have() >= bytes || this.isClosed, guardMs);
  }

  async #until(condition: () => boolean, guardMs: number): Promise<boolean> {
    if (condition()) return true;
    return new Promise((done) => {
      const guard = setTimeout(() => {
        this.#rawWatcher = null;
        done(false);
      }, guardMs);
      this.#rawWatcher = () => {
        if (!condition()) return;
        clearTimeout(guard);
        this.#rawWatcher = null;
        done(true);
      };
    });
  }

  /** Stops reading, so that the server's output buffer has to grow. */
  pause(): void {
    this.#socket.pause();
  }
  resume(): void {
    this.#socket.resume();
  }

  /** Shuts down the sending side only. */
  end(): void {
    this.#socket.end();
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Closes with a TCP reset. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }
}

/** A promise that fails after `guardMs` with `what` in its text: a guard against hangs, not an assertion on time. */
export function within<T>(promise: Promise<T>, guardMs: number, what: string): Promise<T> {
  let guard: ReturnType<typeof setTimeout>;
  const hang = new Promise<never>((_, fail) => {
    guard = setTimeout(() => fail(new Error(`${what}: nothing for ${guardMs} ms`)), guardMs);
  });
  return Promise.race([promise, hang]).finally(() => clearTimeout(guard));
}

const GUARD_MS = 10_000;
/** Sends one command. Returns its reply. */
export function replyTo(client: RespClient, ...args: Argument[]): Promise<Reply> {
  return within(client.command(...args), GUARD_MS, args.join(" ").slice(0, 100));
}
/** Sends one command. Returns the text of its reply: +OK, :1, "bulk", -ERR ... */
export async function ask(client: RespClient, ...args: Argument[]): Promise<string> {
  return show(await replyTo(client, ...args));
}

/** One line that names type and content, for messages and comparisons. Two replies are equal when their text is. */
export function show(reply: Reply): string {
  switch (reply.type) {
    case "simple":
      return `+${escape(reply.value)}`;
    case "error":
      return `-${escape(reply.value)}`;
    case "bulkerror":
      return `!"${escape(reply.value)}"`;
    case "bulk":
      return `"${escape(reply.value)}"`;
    case "verbatim":
      return `=${reply.format}:"${escape(reply.value)}"`;
    case "bignum":
      return `(${reply.value}`;
    case "int":
      return `:${reply.value}`;
    case "double":
      return `,${reply.value}`;
    case "bool":
      return reply.value ? "#t" : "#f";
    case "null":
      return `null${reply.form}`;
    case "map":
      return `%{${reply.value.map(([key, value]) => `${show(key)} => ${show(value)}`).join(", ")}}`;
    default:
      return `${reply.type === "array" ? "*" : reply.type === "set" ? "~" : ">"}[${reply.value.map(show).join(", ")}]`;
  }
}

/** Latin1 text with control and high bytes as \xHH. */
export function escape(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\xff"\\]/g, (c) =>
    c === '"' || c === "\\"
      ? `\\${c}`
      : c === "\r"
        ? "\\r"
        : c === "\n"
          ? "\\n"
          : `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
