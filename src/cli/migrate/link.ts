/**
 * A connection to a server that speaks RESP2, of any version and product. Keys and values are bytes, so this is not the
 * client of the runtime, which decodes them.
 */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Address } from "./address.ts";
import type { TlsFiles } from "./options.ts";

/** An error that the server replied. */
export class ErrorReply {
  constructor(readonly text: string) {}
}

/** Strings are bytes, whether simple or bulk. */
export type Reply = Buffer | number | null | ErrorReply | readonly Reply[];
export type Word = string | number | Buffer;

/** The server cannot be reached, has closed the connection, or does not answer. */
export class LinkFailed extends Error {
  override readonly name = "LinkFailed";
}

const LF = 10;
const DEPTH_MAX = 32;

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: LinkFailed) => void;
}

export class Link {
  private readonly reader = new ReplyReader();
  private readonly waiting: Waiting[] = [];
  private failed: LinkFailed | null = null;
  private timer: Timer | undefined;

  private constructor(
    private readonly socket: Socket,
    private readonly answerMs: number,
  ) {
    socket.on("data", (bytes: Buffer) => this.take(bytes));
    socket.on("error", (error: Error) => this.fail(error.message));
    socket.on("close", () => this.fail("the server closed the connection"));
  }

  /** Connects, without logging in. `answerMs`: longest wait for the connection, and for each answer. Throws LinkFailed. */
  static async open(address: Address, tls: TlsFiles, answerMs: number): Promise<Link> {
    const { host, port } = address;
    const socket = address.isTls
      ? connectTls({
          host,
          port,
          rejectUnauthorized: !tls.isInsecure,
          ...(tls.authority === "" ? {} : { ca: tls.authority }),
          ...(tls.certificate === "" ? {} : { cert: tls.certificate, key: tls.key }),
        })
      : connect(port, host);
    await connected(socket, address.isTls ? "secureConnect" : "connect", answerMs);
    socket.setNoDelay(true);
    return new Link(socket, answerMs);
  }

  get isBroken(): boolean {
    return this.failed !== null;
  }

  close(): void {
    this.fail("the connection was closed");
  }

  async command(...words: readonly Word[]): Promise<Reply> {
    return (await this.batch([words]))[0]!;
  }

  /** Sends commands together. Resolves with their replies, errors among them. Throws LinkFailed. */
  async batch(commands: readonly (readonly Word[])[]): Promise<Reply[]> {
    if (this.failed !== null) throw this.failed;
    if (commands.length === 0) return [];
    const replies = commands.map(() => new Promise<Reply>((resolve, reject) => this.waiting.push({ resolve, reject })));
    this.socket.write(Buffer.concat(commands.flatMap(encoded)));
    this.watchTime();
    return Promise.all(replies);
  }

  private take(bytes: Buffer): void {
    this.reader.push(bytes);
    try {
      for (let reply = this.reader.take(); reply !== undefined; reply = this.reader.take())
        this.waiting.shift()?.resolve(reply);
    } catch {
      this.fail("this is no Redis server");
    }
    this.watchTime();
  }

  /** The time for an answer begins again with every byte, because a long reply takes long. */
  private watchTime(): void {
    clearTimeout(this.timer);
    if (this.waiting.length === 0 || this.failed !== null) return;
    this.timer = setTimeout(() => this.fail(`no answer within ${this.answerMs / 1000} s`), this.answerMs);
  }

  private fail(text: string): void {
    if (this.failed !== null) return;
    this.failed = new LinkFailed(text);
    clearTimeout(this.timer);
    this.socket.destroy();
    for (const { reject } of this.waiting.splice(0)) reject(this.failed);
  }
}

function connected(socket: Socket, event: "connect" | "secureConnect", answerMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new LinkFailed(`no connection within ${answerMs / 1000} s`)), answerMs);
  socket.once(event, () => resolve());
  socket.once("error", (error: Error) => reject(new LinkFailed(error.message)));
  socket.once("close", () => reject(new LinkFailed("the server closed the connection")));
  return promise
    .catch((error: unknown) => {
      socket.destroy();
      throw error;
    })
    .finally(() => clearTimeout(timer));
}

function encoded(words: readonly Word[]): Buffer[] {
  const parts: Buffer[] = [Buffer.from(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = Buffer.isBuffer(word) ? word : Buffer.from(String(word));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
  }
  return parts;
}

/** Takes replies out of a stream of bytes. A reply that is not complete is read again from its start with more bytes. */
export class ReplyReader {
  private bytes: Buffer = Buffer.alloc(0);
  private parts: Buffer[] = [];
  private partBytes = 0;
  private at = 0;
  /** Bytes that are missing at the least. */
  private missing = 1;

  push(part: Buffer): void {
    this.parts.push(part);
    this.partBytes += part.length;
  }

  /** The next reply; undefined = it is not complete. Throws for what is no RESP2. */
  take(): Reply | undefined {
    if (this.partBytes < this.missing) return undefined;
    if (this.parts.length > 0) {
      this.bytes = Buffer.concat([this.bytes, ...this.parts]);
      this.parts = [];
      this.partBytes = 0;
    }
    this.missing = 0;
    this.at = 0;
    const reply = this.value(0);
    if (reply === undefined) {
      this.missing = Math.max(1, this.missing);
      return undefined;
    }
    this.bytes = this.bytes.subarray(this.at);
    this.missing = this.bytes.length === 0 ? 1 : 0;
    return reply;
  }

  private value(depth: number): Reply | undefined {
    const end = this.bytes.indexOf(LF, this.at);
    if (end < 0) return undefined;
    const kind = String.fromCharCode(this.bytes[this.at]!);
    const rest = this.bytes.toString("latin1", this.at + 1, end - 1);
    this.at = end + 1;
    switch (kind) {
      case "+":
        return Buffer.from(rest, "latin1");
      case "-":
        return new ErrorReply(rest);
      case ":":
        return Number(rest);
      case "$":
        return this.bulk(Number(rest));
      case "*":
        return this.array(Number(rest), depth);
      default:
        throw new RangeError("an unknown type of reply");
    }
  }

  private bulk(length: number): Reply | undefined {
    if (length < 0) return null;
    if (!Number.isSafeInteger(length)) throw new RangeError("a bulk string without a length");
    const end = this.at + length + 2;
    if (end > this.bytes.length) {
      this.missing = end - this.bytes.length;
      return undefined;
    }
    const value = this.bytes.subarray(this.at, end - 2);
    this.at = end;
    return value;
  }

  private array(length: number, depth: number): Reply | undefined {
    if (length < 0) return null;
    if (!Number.isSafeInteger(length) || depth > DEPTH_MAX) throw new RangeError("an array without a length");
    const values: Reply[] = [];
    while (values.length < length) {
      const value = this.value(depth + 1);
      if (value === undefined) return undefined;
      values.push(value);
    }
    return values;
  }
}
