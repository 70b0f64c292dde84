/**
 * A client of an embedded Ferrite. It takes requests as bytes or as arguments, and returns replies as bytes or as values.
 * What it is sent besides replies (published messages) is passed to its callback `onPush`, or comes among the bytes that
 * `send` returns, as over a socket.
 */
import type { Clock } from "../base/clock.ts";
import { Client, type Transport } from "../server/client.ts";
import { ReplyError, type Value, valueAndPushes } from "./reply-reader.ts";
import type { EmbeddedServices } from "./services.ts";

const CLOSED = "this client was closed";
const TOO_LONG = "the reply is longer than client-output-buffer-limit: this client was closed";

const NO_CALLBACK = "this client is sent messages: set onPush, or use send";

/** The value of a reply, which pushes may precede. Throws ReplyError when it is an error. */
function valueOf(reply: Buffer): Value {
  const { value } = valueAndPushes(reply);
  if (value === undefined) throw new Error("incomplete reply: the command replies later, or not at all");
  if (value instanceof ReplyError) throw value;
  return value;
}

/** A request whose reply is a promise. */
interface Request {
  bytes: Buffer;
  resolve(reply: Buffer): void;
  reject(error: Error): void;
}

/** A client that hands what it is pushed to `take`, unless that is null. */
class PushedClient extends Client {
  take: ((bytes: Buffer, position: number) => void) | null = null;

  override deliver(bytes: Buffer, position: number): void {
    if (this.take === null || this.isClosing) super.deliver(bytes, position);
    else this.take(bytes, position);
  }
  override deliverCopy(bytes: Buffer, at: number, length: number, position: number): void {
    if (this.take === null) super.deliverCopy(bytes, at, length, position);
    else this.deliver(Buffer.from(bytes.subarray(at, at + length)), position);
  }
}

export class EmbeddedClient {
  private output: Buffer[] = [];
  private readonly client: PushedClient;
  private callback: PushCallback | null = null;
  private ended = false;
  /** Requests of sendAsync without a reply yet. The first one is running. */
  private readonly requests: Request[] = [];

  /** For Ferrite.client(). */
  constructor(
    id: number,
    private readonly services: EmbeddedServices,
    clock: Clock,
  ) {
    const transport: Transport = {
      write: (bytes, offset, length) => {
        this.output.push(Buffer.from(bytes.subarray(offset, offset + length)));
        return length;
      },
      end: () => this.gone(),
      terminate: () => this.gone(),
    };
    this.client = new PushedClient(id, services.engine, transport, services);
    this.client.address = "embedded:0";
    this.client.localAddress = "embedded:0";
    this.client.session.createdMs = clock.wallMs();
    this.client.session.activeMs = clock.monotonicMs();
    services.clients.set(id, this.client);
  }

  /**
   * Receives what is published to this client, one message a call: `["message", channel, payload]` and their like. It is called
   * when the request that published has its reply, or in `tick`, and may use any client. What it throws becomes an uncaught
   * exception. Confirmations of SUBSCRIBE are replies.
   */
  get onPush(): PushCallback | null {
    return this.callback;
  }
  set onPush(callback: PushCallback | null) {
    this.callback = callback;
    this.client.take = callback === null ? null : (bytes, position) => this.services.pushed(this, bytes, position);
  }
  /** For the services: calls back with a message. */
  handPush(bytes: Buffer): void {
    if (this.ended || this.callback === null) return;
    const { value, pushes } = valueAndPushes(bytes);
    this.callback(pushes[0] ?? (value as Value[]));
  }

  /**
   * Sends request bytes, whole or in pieces. Returns the replies to all complete requests. A blocking command replies at
   * once, as if it had timed out. Throws, and closes the client, when a reply is longer than the output limit.
   */
  send(bytes: Uint8Array): Buffer {
    if (this.ended) throw new Error(CLOSED);
    if (this.requests.length > 0) throw new Error("a request of this client waits: use another client, or sendAsync");
    const { session } = this.client;
    const { engine } = this.services;
    const { outputLimitClosed } = engine;
    session.deniesBlocking = true;
    try {
      this.client.receive(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      this.services.runPending();
    } finally {
      session.deniesBlocking = false;
    }
    const output = this.takeOutput();
    this.services.callBack();
    if (engine.outputLimitClosed !== outputLimitClosed) throw new Error(TOO_LONG);
    return output;
  }

  /**
   * As send, but blocking commands wait: until another client of this Ferrite serves or unblocks them, or until a `tick`
   * after their timeout. Other commands run within the call, and their promise is resolved when it returns. A client's
   * requests run one after the other. Rejects when the client is closed.
   */
  sendAsync(bytes: Uint8Array): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    if (this.ended) {
      reject(new Error(CLOSED));
      return promise;
    }
    this.requests.push({ bytes: Buffer.from(bytes), resolve, reject });
    if (this.requests.length === 1) {
      this.beginRequest();
      this.services.runPending();
      this.services.callBack();
    }
    return promise;
  }

  /** Runs one command. Returns its reply as a value; throws ReplyError when it is an error. */
  call(...args: readonly Argument[]): Value {
    this.checkCallback();
    return valueOf(this.send(requestOf(args)));
  }

  /** As call, but a blocking command waits, as in sendAsync. */
  async callAsync(...args: readonly Argument[]): Promise<Value> {
    this.checkCallback();
    return valueOf(await this.sendAsync(requestOf(args)));
  }
  /** Throws when the bytes of a reply may begin with a message. */
  private checkCallback(): void {
    const { session } = this.client;
    // In RESP2 a message cannot be told from a reply.
    if (this.callback === null && session.subscriptions !== null && session.protocol === 2)
      throw new Error(NO_CALLBACK);
  }

  /** For the services: true when the running request has its reply. */
  get isAnswered(): boolean {
    return !this.client.isWaiting;
  }
  /** For the services: resolves the running request, and begins the next one. */
  answer(): void {
    this.requests.shift()!.resolve(this.takeOutput());
    if (this.requests.length > 0) this.beginRequest();
  }
  private beginRequest(): void {
    this.services.asking.add(this);
    this.client.receive(this.requests[0]!.bytes);
  }

  private takeOutput(): Buffer {
    const output = this.output;
    this.output = [];
    return output.length === 1 ? output[0]! : Buffer.concat(output);
  }

  close(): void {
    if (this.ended) return;
    this.gone();
    this.services.runPending();
    this.services.callBack();
  }

  private gone(): void {
    if (this.ended) return;
    this.ended = true;
    this.services.asking.delete(this);
    this.client.disconnected();
    for (const { reject } of this.requests.splice(0)) reject(new Error(CLOSED));
  }
}
/** Receives a message that was pushed to a client. */
export type PushCallback = (message: Value[]) => void;
/** An argument of a command. Strings are sent as UTF-8. */
export type Argument = string | number | bigint | Uint8Array;

/** Encodes a command as a request. */
function requestOf(args: readonly Argument[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = arg instanceof Uint8Array ? Buffer.from(arg) : Buffer.from(String(arg));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
  }
  return Buffer.concat(parts);
}
