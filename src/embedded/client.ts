/**
 * A client of an embedded Ferrite. It takes requests as bytes or as arguments, and returns replies as bytes or as values.
 */
import type { Clock } from "../base/clock.ts";
import { Client, type Transport } from "../server/client.ts";
import { ReplyError, type Value, valueAndPushes } from "./reply-reader.ts";
import type { EmbeddedServices } from "./services.ts";

const CLOSED = "this client was closed";
const TOO_LONG = "the reply is longer than client-output-buffer-limit: this client was closed";

/** A request whose reply is a promise. */
interface Request {
  bytes: Buffer;
  resolve(reply: Buffer): void;
  reject(error: Error): void;
}

export class EmbeddedClient {
  private output: Buffer[] = [];
  private readonly client: Client;
  private ended = false;
  /** True while a request of `send` runs. */
  private isSending = false;
  /**
   * Receives what is pushed to this client in RESP3, as values: invalidations (CLIENT TRACKING) and messages of channels.
   * Called outside of requests, also during those of other clients and `tick`. With `send` and `sendAsync` pushes are among the bytes.
   */
  onPush: ((push: Value[]) => void) | null = null;
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
        if (!this.isAsking && this.onPush !== null) services.defer(() => this.deliverIdle());
        return length;
      },
      end: () => this.gone(),
      terminate: () => this.gone(),
    };
    this.client = new Client(id, services.engine, transport, services);
    this.client.address = "embedded:0";
    this.client.localAddress = "embedded:0";
    this.client.session.createdMs = clock.wallMs();
    this.client.session.activeMs = clock.monotonicMs();
    services.clients.set(id, this.client);
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
    this.isSending = true;
    try {
      this.client.receive(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      this.services.runPending();
    } finally {
      session.deniesBlocking = false;
      this.isSending = false;
    }
    if (engine.outputLimitClosed !== outputLimitClosed) throw new Error(TOO_LONG);
    return this.takeOutput();
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
    }
    return promise;
  }

  /** Runs one command. Returns its reply as a value; throws ReplyError when it is an error. */
  call(...args: readonly Argument[]): Value {
    return this.valueOf(this.send(requestOf(args)));
  }

  /** As call, but a blocking command waits, as in sendAsync. */
  async callAsync(...args: readonly Argument[]): Promise<Value> {
    return this.valueOf(await this.sendAsync(requestOf(args)));
  }

  private valueOf(bytes: Buffer): Value {
    const { value, pushes } = valueAndPushes(bytes);
    for (const push of pushes) this.onPush?.(push);
    if (value === undefined) throw new Error("incomplete reply: the command replies later, or not at all");
    if (value instanceof ReplyError) throw value;
    return value;
  }

  private get isAsking(): boolean {
    return this.isSending || this.requests.length > 0;
  }

  /** Delivers what was pushed while this client asked nothing. */
  private deliverIdle(): void {
    if (this.isAsking || this.onPush === null || this.output.length === 0) return;
    for (const push of valueAndPushes(this.takeOutput()).pushes) this.onPush(push);
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
  }

  private gone(): void {
    if (this.ended) return;
    this.ended = true;
    this.services.asking.delete(this);
    this.client.disconnected();
    for (const { reject } of this.requests.splice(0)) reject(new Error(CLOSED));
  }
}
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
