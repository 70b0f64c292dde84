/**
 * Caching clients and a checker of what they cache.
 *
 * Each key has one writer, which numbers its writes: the value of a key is the number of its last write, and a key that is
 * not there was deleted by one. A write is acknowledged when its reply is here. `Truth` knows, for every moment, the last
 * acknowledged write of each key. Moments are counted, not timed: everything happens in this thread.
 *
 * A caching client that has received the reply to a command sent at moment t must not have a value cached that is older
 * than what was acknowledged at t: the invalidation came before the reply. After each reply the whole cache is checked so,
 * and the reply itself. Besides, who has read a write must not have a value cached that is older than an earlier write of the
 * same writer. (Clients that track prefixes, or that redirect, may, for a moment: also those of redis-server.)
 */
import type { Socket } from "bun";
import type { SeededRandom } from "./random.ts";
import { encodeCommand, ReplyParser, type Reply, show } from "./resp.ts";

/** Counts moments, and knows the acknowledged writes. */
export class Truth {
  private moment = 0;
  /** Of each key: moments of acknowledgements, and the writes that were acknowledged, ascending. */
  private readonly acknowledged = new Map<string, { moments: number[]; writes: number[] }>();
  /** Writes that deleted their key. */
  private readonly deletions = new Map<string, number[]>();
  /** Of each key: its writer; and the writes in the order in which the writer sent them, with their places in that order. */
  private readonly writers = new Map<string, Writer>();
  private readonly places = new Map<string, number[]>();
  private sent = 0;
  readonly complaints: string[] = [];
  /** Number of cached values that were checked. */
  checked = 0;

  now(): number {
    return ++this.moment;
  }

  acknowledge(key: string, write: number): void {
    const of = this.acknowledged.get(key) ?? { moments: [], writes: [] };
    this.acknowledged.set(key, of);
    of.moments.push(this.now());
    of.writes.push(write);
  }
  /** `writer` sends write number `write` of `key`. */
  sends(writer: Writer, key: string, write: number): void {
    this.writers.set(key, writer);
    const places = this.places.get(key) ?? [];
    this.places.set(key, places);
    places[write] = ++this.sent;
  }
  deletes(key: string, write: number): void {
    const of = this.deletions.get(key);
    if (of === undefined) this.deletions.set(key, [write]);
    else of.push(write);
  }

  /** Last write of `key` that was acknowledged at `moment`, 0 = none. */
  last(key: string, moment: number): number {
    const of = this.acknowledged.get(key);
    if (of === undefined) return 0;
    let low = 0;
    let high = of.moments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (of.moments[middle]! <= moment) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : of.writes[low - 1]!;
  }

  /** Complains when `value` of `key` is older than what its writer had sent when it sent `seen` of `other`. */
  checkOrder(key: string, value: number | null, other: string, seen: number, what: string): void {
    if (this.writers.get(key) !== this.writers.get(other)) return;
    const place = this.places.get(other)?.[seen] ?? 0;
    const writes = this.places.get(key)!;
    let wanted = writes.length - 1;
    while (wanted > 0 && writes[wanted]! > place) wanted--;
    if (this.isFresh(key, value, wanted)) return;
    this.complaints.push(
      `${what}: ${key} is ${value}, but write ${wanted} was before ${seen} of ${other}, which was read`,
    );
  }

  /** True when `value` of `key` may be what it was after write `wanted` or later. */
  private isFresh(key: string, value: number | null, wanted: number): boolean {
    // No value: any deletion from `wanted` on, also one without its acknowledgement yet, or the time before all writes.
    if (value !== null) return value >= wanted;
    return wanted === 0 || (this.deletions.get(key) ?? []).some((deletion) => deletion >= wanted);
  }

  /** Complains when `value` of `key` is older than what was acknowledged at `moment`. */
  check(key: string, value: number | null, moment: number, what: string): void {
    const wanted = this.last(key, moment);
    if (!this.isFresh(key, value, wanted))
      this.complaints.push(`${what}: ${key} is ${value}, write ${wanted} was acknowledged before`);
  }
}

/** A connection whose replies and pushes are handled in the order in which they arrive. */
export class OrderedConnection {
  private readonly parser = new ReplyParser();
  private readonly waiting: ((reply: Reply) => void)[] = [];
  private socket!: Socket<undefined>;
  pushed: (push: Reply[]) => void = () => {};
  lost: () => void = () => {};

  static async open(port: number): Promise<OrderedConnection> {
    const connection = new OrderedConnection();
    connection.socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_, bytes) => connection.receive(bytes),
        close: () => connection.lost(),
        error: () => connection.lost(),
      },
    });
    return connection;
  }

  private receive(bytes: Buffer): void {
    this.parser.push(bytes);
    for (let reply = this.parser.take(); reply !== null; reply = this.parser.take()) {
      if (reply.type === "push") this.pushed(reply.value);
      else if (this.waiting.length > 0) this.waiting.shift()!(reply);
      else this.unasked.push(reply);
    }
  }
  /** Messages in RESP2 that came while no reply was waited for. `barrier` passes them on. */
  private readonly unasked: Reply[] = [];

  /** Sends commands in one piece; `handle` gets each reply. */
  send(commands: readonly (readonly string[])[], handle: (reply: Reply, n: number) => void): void {
    const bytes = Buffer.concat(commands.map((command) => encodeCommand(command)));
    for (let n = 0; n < commands.length; n++) this.waiting.push((reply) => handle(reply, n));
    if (this.socket.write(bytes) !== bytes.length) throw new Error("the socket is full");
  }
  /** Waits for the reply to PING. What comes before it and is no push (a message in RESP2) is passed to `other`. */
  barrier(other: (message: Reply) => void): Promise<void> {
    const mark = `barrier ${++this.barriers}`;
    for (const message of this.unasked.splice(0)) other(message);
    return new Promise((done) => {
      const wait = (reply: Reply): void => {
        if (show(reply).includes(mark)) return done();
        other(reply);
        this.waiting.unshift(wait);
      };
      this.send([["PING", mark]], wait);
    });
  }
  private barriers = 0;

  ask(...command: string[]): Promise<Reply> {
    return new Promise((done) => this.send([command], done));
  }
  close(): void {
    this.lost = () => {};
    this.socket.end();
  }
}

/** Text of a bulk string, null when there is none. */
function textOf(reply: Reply): string | null {
  if (reply.type === "null") return null;
  if (reply.type !== "bulk") throw new Error(`a bulk string is expected: ${show(reply)}`);
  return reply.value;
}

export type CachingMode = "default" | "optin" | "prefix" | "redirect";

/** A client that caches what it reads. */
export class CachingClient {
  private readonly cache = new Map<string, number | null>();
  /** Reads whose reply is not here yet, and that no invalidation has overtaken (a redirecting client has two connections). */
  private readonly reading = new Map<string, number>();
  private readonly connections: OrderedConnection[];
  private wasClosed = false;

  private constructor(
    readonly name: string,
    private readonly mode: CachingMode,
    private readonly truth: Truth,
    private readonly data: OrderedConnection,
    private readonly told: OrderedConnection,
  ) {
    this.connections = data === told ? [data] : [data, told];
    told.pushed = (push) => this.invalidate(push);
    for (const connection of this.connections) connection.lost = () => (this.wasClosed = true);
  }

  static async open(port: number, name: string, mode: CachingMode, truth: Truth): Promise<CachingClient> {
    const data = await OrderedConnection.open(port);
    await data.ask("HELLO", "3");
    let told = data;
    const options: string[] = [];
    if (mode === "optin") options.push("OPTIN");
    if (mode === "prefix") options.push("BCAST", "PREFIX", "key:");
    if (mode === "redirect") {
      told = await OrderedConnection.open(port);
      await told.ask("HELLO", "3");
      const id = await told.ask("CLIENT", "ID");
      options.push("REDIRECT", show(id).slice(1));
    }
    const reply = await data.ask("CLIENT", "TRACKING", "on", ...options);
    if (reply.type !== "simple") throw new Error(`CLIENT TRACKING: ${show(reply)}`);
    return new CachingClient(name, mode, truth, data, told);
  }

  private invalidate([kind, keys]: Reply[]): void {
    if (kind?.type !== "bulk" || kind.value !== "invalidate" || keys === undefined) return;
    if (keys.type === "null") {
      this.cache.clear();
      this.reading.clear();
    } else if (keys.type === "array") {
      for (const item of keys.value) {
        const key = textOf(item)!;
        this.cache.delete(key);
        // On one connection an invalidation that comes before the reply is older than the reply.
        if (this.told !== this.data) this.reading.delete(key);
      }
    }
  }

  /** Reads a key, out of the cache if it is there. */
  read(random: SeededRandom, keys: readonly string[]): Promise<void> {
    const key = random.pick(keys);
    if (this.cache.has(key) && random.chance(0.5)) return this.barrier();
    const sentAt = this.truth.now();
    return new Promise((done) => {
      const optin = this.mode === "optin" ? [["CLIENT", "CACHING", "yes"]] : [];
      const isMulti = random.chance(0.2);
      const commands = isMulti ? [["MULTI"], ["GET", key], ["EXEC"]] : [["GET", key]];
      const all = [...optin, ...commands];
      this.reading.set(key, sentAt);
      this.data.send(all, (reply, n) => {
        if (n !== all.length - 1) return;
        this.take(key, isMulti && reply.type === "array" ? reply.value[0]! : reply, sentAt);
        // Invalidations of a redirecting client come over the other connection, which knows nothing of this reply.
        if (this.told === this.data) this.checkAll(sentAt, "a cached value");
        done();
      });
    });
  }

  private take(key: string, reply: Reply, sentAt: number): void {
    const text = textOf(reply);
    const value = text === null ? null : Number(text);
    this.truth.check(key, value, sentAt, `${this.name}, a value read`);
    if (value !== null && (this.mode === "default" || this.mode === "optin")) {
      const what = `${this.name}, an order`;
      for (const [other, cached] of this.cache)
        if (other !== key) this.truth.checkOrder(other, cached, key, value, what);
    }
    if (this.reading.get(key) === sentAt) this.cache.set(key, value);
    this.reading.delete(key);
  }

  /** Asks over the connection that invalidations come over. Then no cached value is older than the question. */
  barrier(): Promise<void> {
    const sentAt = this.truth.now();
    return new Promise((done) => {
      this.told.send([["PING"]], () => {
        this.checkAll(sentAt, "a cached value behind PING");
        done();
      });
    });
  }

  private checkAll(sentAt: number, what: string): void {
    this.truth.checked += this.cache.size;
    for (const [key, value] of this.cache) this.truth.check(key, value, sentAt, `${this.name} (${this.mode}), ${what}`);
  }

  /** True when the server has closed a connection. */
  get isLost(): boolean {
    return this.wasClosed;
  }
  close(): void {
    for (const connection of this.connections) connection.close();
  }
}

/** The only writer of its keys. */
export class Writer {
  private readonly writes = new Map<string, number>();

  private constructor(
    private readonly truth: Truth,
    private readonly connection: OrderedConnection,
    private readonly keys: readonly string[],
  ) {}

  static async open(port: number, truth: Truth, keys: readonly string[]): Promise<Writer> {
    return new Writer(truth, await OrderedConnection.open(port), keys);
  }

  private next(key: string): number {
    const write = (this.writes.get(key) ?? 0) + 1;
    this.writes.set(key, write);
    this.truth.sends(this, key, write);
    return write;
  }

  /** Writes one or two keys, in one of several ways. Often two such writes follow each other without a wait. */
  async write(random: SeededRandom): Promise<void> {
    const first = this.writeOne(random);
    if (random.chance(0.5)) await this.writeOne(random);
    await first;
  }
  private writeOne(random: SeededRandom): Promise<void> {
    const { truth } = this;
    const key = random.pick(this.keys);
    const write = this.next(key);
    let commands: string[][] = [["SET", key, String(write)]];
    const done: [string, number][] = [[key, write]];
    const way = random.below(6);
    if (way === 0) {
      truth.deletes(key, write);
      // A write between, so that the deletion is a change.
      commands = [["MULTI"], ["SET", key, String(write)], ["DEL", key], ["EXEC"]];
    } else if (way === 1) {
      const other = random.pick(this.keys);
      if (other !== key) {
        const otherWrite = this.next(other);
        done.push([other, otherWrite]);
        commands = [["MSET", key, String(write), other, String(otherWrite)]];
      }
    } else if (way === 2) {
      commands = [["MULTI"], ["SET", key, String(write)], ["EXEC"]];
    } else if (way === 3) {
      const spare = `spare:${key}`;
      commands = [["MULTI"], ["SET", spare, String(write)], ["RENAME", spare, key], ["EXEC"]];
    }
    return new Promise((finished) => {
      this.connection.send(commands, (reply, n) => {
        if (n !== commands.length - 1) return;
        if (reply.type === "error") truth.complaints.push(`a write was refused: ${reply.value}`);
        for (const [of, acknowledged] of done) truth.acknowledge(of, acknowledged);
        finished();
      });
    });
  }

  close(): void {
    this.connection.close();
  }
}
