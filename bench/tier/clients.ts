/**
 * Closed-loop clients of bench/tier.ts over raw sockets: each has one pipeline of GETs and SETs in flight. Each reply is checked:
 * its kind, and that a value belongs to its key. Latency is that of a whole pipeline.
 */
import { build, type Histogram } from "hdr-histogram-js";
import { DIGITS, hasDigits, KEY_BYTES, type Values, writeDigits } from "./values.ts";

export interface ClientPlan {
  port: number;
  clients: number;
  pipeline: number;
  values: Values;
  /** The next request: the number of a key, or -1 - number for a SET. NaN: no further one. */
  next: () => number;
  /** Version of the values that are set. */
  version: number;
  /** Stops the clients when true. */
  isOver?: () => boolean;
  /** Version to compare whole values with; without it only the number in the value is. */
  compares?: number;
}

export interface ClientResult {
  requests: number;
  seconds: number;
  perSecond: number;
  p50Us: number;
  p99Us: number;
  p999Us: number;
  worstUs: number;
}

const DOLLAR = 36;
const PLUS = 43;
const OK_BYTES = 5;
const US_MAX = 2 ** 27;

class Client {
  private readonly out: Buffer;
  private readonly keys: Float64Array;
  private readonly isSet: Uint8Array;
  private count = 0;
  private outBytes = 0;
  private sentBytes = 0;
  private answered = 0;
  private got = 0;
  private sentAt = 0;
  private rest: Buffer;
  private readonly headBytes: number;
  private readonly replyBytes: number;
  private socket!: Bun.Socket;
  requests = 0;
  readonly done = Promise.withResolvers<void>();

  constructor(
    private readonly plan: ClientPlan,
    private readonly latency: Histogram,
  ) {
    const { bytes } = plan.values;
    this.out = Buffer.allocUnsafe(plan.pipeline * (bytes + 128));
    this.keys = new Float64Array(plan.pipeline);
    this.isSet = new Uint8Array(plan.pipeline);
    this.headBytes = `$${bytes}\r\n`.length;
    this.replyBytes = this.headBytes + bytes + 2;
    this.rest = Buffer.allocUnsafe(this.replyBytes);
  }

  async open(): Promise<void> {
    this.socket = await Bun.connect({
      hostname: "127.0.0.1",
      port: this.plan.port,
      socket: {
        data: (_socket, bytes) => this.receive(bytes),
        drain: () => this.flush(),
        close: () => this.done.reject(new Error("the server closed a connection")),
        error: (_socket, error) => this.done.reject(error),
      },
    });
    this.socket.setNoDelay(true);
  }

  send(): void {
    const { plan, out } = this;
    this.count = this.outBytes = this.sentBytes = this.answered = this.got = 0;
    const isOver = plan.isOver?.() ?? false;
    while (this.count < plan.pipeline && !isOver) {
      const request = plan.next();
      if (Number.isNaN(request)) break;
      const isSet = request < 0;
      const key = isSet ? -1 - request : request;
      this.keys[this.count] = key;
      this.isSet[this.count] = isSet ? 1 : 0;
      this.count++;
      let at = this.outBytes;
      at += out.write(`*${isSet ? 3 : 2}\r\n$3\r\n${isSet ? "SET" : "GET"}\r\n$${KEY_BYTES}\r\nbig:`, at, "latin1");
      writeDigits(out, at, key, DIGITS);
      at += DIGITS;
      if (isSet) {
        at += out.write(`\r\n$${plan.values.bytes}\r\n`, at, "latin1");
        plan.values.write(out, at, key, plan.version);
        at += plan.values.bytes;
      }
      this.outBytes = at + out.write("\r\n", at, "latin1");
    }
    if (this.count === 0) {
      this.done.resolve();
      this.socket.end();
      return;
    }
    this.sentAt = performance.now();
    this.flush();
  }

  private flush(): void {
    if (this.sentBytes >= this.outBytes) return;
    const written = this.socket.write(this.out.subarray(this.sentBytes, this.outBytes));
    this.sentBytes += Math.max(written, 0);
  }

  private receive(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const isSet = this.isSet[this.answered] === 1;
      const whole = isSet ? OK_BYTES : this.replyBytes;
      const part = Math.min(whole - this.got, bytes.length - at);
      if (this.got === 0 && part === whole) this.check(bytes, at, isSet);
      else {
        // In pieces: put together first.
        bytes.copy(this.rest, this.got, at, at + part);
        if (this.rest[0] !== (isSet ? PLUS : DOLLAR)) return this.fail(bytes, at);
        if (this.got + part === whole) this.check(this.rest, 0, isSet);
      }
      at += part;
      this.got += part;
      if (this.got < whole) return;
      this.got = 0;
      this.answered++;
      if (this.answered === this.count) return this.finish();
    }
  }

  private check(bytes: Buffer, at: number, isSet: boolean): void {
    if (bytes[at] !== (isSet ? PLUS : DOLLAR)) return this.fail(bytes, at);
    if (isSet) return;
    const { values, compares } = this.plan;
    const key = this.keys[this.answered]!;
    const from = at + this.headBytes;
    const isRight =
      compares === undefined ? hasDigits(bytes, from, key, DIGITS) : values.isValue(bytes, from, key, compares);
    if (!isRight) this.fail(bytes, at);
  }

  private fail(bytes: Buffer, at: number): void {
    const text = bytes.toString("latin1", at, Math.min(bytes.length, at + 100));
    this.done.reject(new Error(`wrong reply for key ${this.keys[this.answered]}: ${JSON.stringify(text)}`));
    this.count = Number.NaN;
    this.socket.terminate();
  }

  private finish(): void {
    this.latency.recordValue(Math.max(1, Math.min(US_MAX, Math.round((performance.now() - this.sentAt) * 1000))));
    this.requests += this.count;
    this.send();
  }
}

export async function runClients(plan: ClientPlan): Promise<ClientResult> {
  const latency = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: US_MAX,
    numberOfSignificantValueDigits: 3,
  });
  const clients = Array.from({ length: plan.clients }, () => new Client(plan, latency));
  for (const client of clients) await client.open();
  const from = performance.now();
  for (const client of clients) client.send();
  await Promise.all(clients.map((client) => client.done.promise));
  const seconds = (performance.now() - from) / 1000;
  const requests = clients.reduce((sum, client) => sum + client.requests, 0);
  const at = (percentile: number): number => latency.getValueAtPercentile(percentile);
  return {
    requests,
    seconds,
    perSecond: requests / seconds,
    p50Us: at(50),
    p99Us: at(99),
    p999Us: at(99.9),
    worstUs: latency.maxValue,
  };
}

/** True once `seconds` have passed since the first question. */
export function after(seconds: number): () => boolean {
  let end = 0;
  return () => {
    const now = performance.now();
    if (end === 0) end = now + seconds * 1000;
    return now >= end;
  };
}
