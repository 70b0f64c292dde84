/**
 * The waits of other clients while one very large collection grows, is read, copied, renamed, deleted, expires or is evicted.
 *
 * A bystander (openloop.ts) sends PING, GET of other keys and EXISTS of the collection's own key on connections of its
 * own, while one operation at a time runs. Latency counts from the send to the reply, less the time for which the server's
 * thread waited for a core (openloop.ts), because the machine is shared. `idle` is the same bystander without an operation,
 * in the same minute. It shows the machine's share of the figures.
 *
 *   near   PING and GET on connections of the worker that runs the operation
 *   far    the same on connections of other workers
 *   key    EXISTS of the collection's key: waits for the lock of its shard
 *
 * `over` counts requests above 2 ms. `late` is the generator's own largest delay. One maximum means little, but one that
 * appears in every repetition does.
 */
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeCommand, type RespClient, show } from "../test/support/resp.ts";
import { residentBytes, type Server, type ServerKind, startFerrite, startRedis } from "../test/support/servers.ts";
import { AHEAD_OF_OTHERS, BEFORE_OTHERS, schedstatsOf } from "./bystander.ts";
import { load, randomSource } from "./loader.ts";
import { Options, printHead, spread, table } from "./machine.ts";
import type { GeneratorPlan, GeneratorResult } from "./openloop.ts";

const options = new Options(
  {
    types: "list,hash,set,zset,stream: which, in this order; default all",
    phases: "which, by name or glob; default all (they run in a fixed order)",
    elements: "elements of the collection, default 5m",
    servers: "ferrite,redis: which; default both",
    workers: "worker counts of Ferrite, default 1,2",
    rate: "requests per second of the bystander, default 1000",
    after: "seconds that are measured behind the end of each operation, default 2",
    repeats: "fresh servers for each type, default 1",
    log: "file to which what the servers print is added",
    slow: "print every request above 2 ms",
    json: "file for the full result",
    quick: "100,000 elements, one worker, 0.5 s",
  },
  "bun bench/stalls.ts [options]: a bystander's latency while a large collection is worked on",
);

const quick = options.has("quick");
const elements = options.number("elements", quick ? 1e5 : 5e6);
const afterMs = options.number("after", quick ? 0.5 : 2) * 1000;
const rate = options.number("rate", 1000);
const repeats = options.number("repeats", 1);
const types = options.list("types", "list,hash,set,zset,stream");
const patterns = options.list("phases", "*").map((pattern) => new Bun.Glob(pattern));
const workerCounts = options.list("workers", quick ? "1" : "1,2").map(Number);
const servers = options.list("servers", "ferrite,redis") as ServerKind[];
const BYSTANDER_KEYS = 10_000;
const CONNECTIONS = 8;
const IDLE_SECONDS = 3;
/** Elements of one growing command, and bytes of commands under way. */
const PER_COMMAND = 10;
const COMMANDS_PER_BATCH = 50;
const UNDER_WAY = 3;

interface Type {
  /** Growing command, and what one element is; "<n>" counts up, "<r>" is by chance, "<i>" an index by chance. */
  grow: string;
  element: string[];
  perCommand: number;
  /** Reads of everything. */
  reads: string[][];
  /** Commands that write its copy to another key by looking at everything: reported only. */
  stores: string[][];
  /** One small change of an element that is there. */
  change: string[];
}

const TYPES: Record<string, Type> = {
  list: {
    grow: "RPUSH",
    element: ["value:<n>"],
    perCommand: PER_COMMAND,
    reads: [["LRANGE", "big", "0", "-1"]],
    stores: [["SORT", "big", "BY", "nosort", "STORE", "stored"]],
    change: ["LSET", "big", "<i>", "other:<r>"],
  },
  hash: {
    grow: "HSET",
    element: ["field:<n>", "value:<r>"],
    perCommand: PER_COMMAND,
    reads: [
      ["HGETALL", "big"],
      ["HVALS", "big"],
    ],
    stores: [],
    change: ["HSET", "big", "field:<r>", "other:<r>"],
  },
  set: {
    grow: "SADD",
    element: ["member:<n>"],
    perCommand: PER_COMMAND,
    reads: [["SMEMBERS", "big"]],
    stores: [["SUNIONSTORE", "stored", "big"]],
    change: ["SADD", "big", "other:<r>"],
  },
  zset: {
    grow: "ZADD",
    element: ["<r>", "member:<n>"],
    perCommand: PER_COMMAND,
    reads: [["ZRANGE", "big", "0", "-1", "WITHSCORES"]],
    stores: [["ZUNIONSTORE", "stored", "1", "big"]],
    change: ["ZADD", "big", "<r>", "member:<r>"],
  },
  stream: {
    grow: "XADD",
    element: ["*", "field", "value:<n>"],
    perCommand: 1,
    reads: [["XRANGE", "big", "-", "+"]],
    stores: [],
    change: ["XADD", "big", "*", "field", "other:<r>"],
  },
};

interface Row {
  type: string;
  phase: string;
  server: string;
  /** What the operation itself took, ms. */
  tookMs: number;
  result: GeneratorResult;
  /** RssAnon + RssShmem behind the phase. */
  residentMiB: number;
}
const rows: Row[] = [];
const headLines = printHead(`ferrite stalls: ${types.join(", ")} of ${elements} elements`);
console.log(
  `# generator    ${AHEAD_OF_OTHERS.length > 0 ? "real-time class" : "ordinary priority: expect lateness when the cores are busy"}`,
);

// ---- one server, one type ----

async function one(kind: ServerKind, workers: number, name: string, type: Type): Promise<void> {
  const label = kind === "redis" ? "redis" : `ferrite w${workers}`;
  const server =
    kind === "redis"
      ? await startRedis({ wrapper: BEFORE_OTHERS })
      : await startFerrite({ workers, wrapper: BEFORE_OTHERS, settings: { "server.busy_reply_threshold": "0" } });
  try {
    await load({ port: server.port, count: BYSTANDER_KEYS, valueBytes: 64 });
    const run = new Run(server, label, name, workers);
    await run.begin();
    await run.all(type);
    run.end();
  } catch (error) {
    console.log(`${name} on ${label} FAILED: ${(error as Error).message}\n${server.log().slice(-2000)}`);
    process.exitCode = 1;
  } finally {
    if (options.has("log")) appendFileSync(options.text("log", ""), server.log());
    await server.stop();
  }
}

class Run {
  private client!: RespClient;
  private actor!: Actor;
  private busyWorker = 0;
  private converted = 0;

  constructor(
    private readonly server: Server,
    private readonly label: string,
    private readonly name: string,
    private readonly workers: number,
  ) {}

  async begin(): Promise<void> {
    this.client = await this.server.connect();
    this.actor = await Actor.connect(this.server.port);
    this.busyWorker = this.actor.id % this.workers;
    // The first second of a connection is not measured.
    await this.generate(1).finished;
  }
  end(): void {
    this.client.close();
    this.actor.close();
  }

  async all(type: Type): Promise<void> {
    const { actor } = this;
    const ask =
      (...args: string[]) =>
      () =>
        actor.command(args);
    const must = async (...args: string[]): Promise<string> => {
      const reply = await this.client.command(...args);
      if (reply.type === "error" || !("value" in reply)) throw new Error(`${args.join(" ")}: ${show(reply)}`);
      return String(reply.value);
    };
    const copy = async () => void (await must("COPY", "big", "copy", "REPLACE"));

    await this.phase("idle", () => Bun.sleep(IDLE_SECONDS * 1000), 0);
    // Once unmeasured: the first commands of a process run code that is not compiled yet.
    await this.convert(type);
    await this.phase("convert", () => this.convert(type), 0);
    if (await this.phase("grow", () => this.grow(type), 0)) {
      // measured
    } else await this.grow(type);
    for (const read of type.reads) {
      await this.phase(read[0]!.toLowerCase(), ask(...read), 0);
      await this.phase(`${read[0]!.toLowerCase()} and writes`, () => this.beside(type, read), 0);
    }
    await this.phase("dump", ask("DUMP", "big"), 0);
    for (const store of type.stores) {
      if (await this.phase(`${store[0]!.toLowerCase()} *`, ask(...store), 0)) await must("UNLINK", "stored");
    }
    await this.phase("copy, same shard", ask("COPY", "big", "big", "DB", "1"));
    await must("SELECT", "1");
    if ((await must("EXISTS", "big")) !== "0") await must("UNLINK", "big");
    await must("SELECT", "0");
    await this.phase("copy", ask("COPY", "big", "copy"));
    await this.phase("copy and writes", () => this.beside(type, ["COPY", "big", "copy", "REPLACE"]));
    await this.phase("rename", ask("RENAME", "big", "renamed"));
    if ((await must("EXISTS", "renamed")) !== "0") await must("RENAME", "renamed", "big");
    await this.phase("move", ask("MOVE", "big", "2"));
    await must("SELECT", "2");
    if ((await must("EXISTS", "big")) !== "0") await must("MOVE", "big", "0");
    await must("SELECT", "0");
    for (const end of ["del", "unlink", "expire", "unlink while read"]) {
      if (!this.wants(end)) continue;
      await copy();
      if (end === "expire") await this.phase(end, ask("PEXPIRE", "copy", "1"));
      else if (end === "unlink while read") await this.phase(end, () => this.unlinkWhileRead(type));
      else await this.phase(end, ask(end.toUpperCase(), "copy"));
    }
    if (this.wants("evict")) {
      await must("PEXPIRE", "big", "10000000");
      await must("CONFIG", "SET", "maxmemory-policy", "volatile-ttl");
      const used = Number(/used_memory:(\d+)/.exec(await must("INFO", "memory"))![1]);
      await this.phase("evict", async () => {
        await must("CONFIG", "SET", "maxmemory", String(Math.floor(used * 0.9)));
        await must("SET", "key:000000000000", "v".repeat(64));
      });
      if ((await must("EXISTS", "big")) !== "0") throw new Error("the collection was not evicted");
    }
    await this.phase("idle again", () => Bun.sleep(IDLE_SECONDS * 1000), 0);
  }

  private wants(phase: string): boolean {
    return patterns.some((pattern) => pattern.match(phase));
  }

  /** Measures `work`, and `after` ms behind it. Returns false when this phase is not wanted. */
  private async phase(name: string, work: () => Promise<unknown>, after = afterMs): Promise<boolean> {
    if (!this.wants(name)) return false;
    const generator = this.generate(600);
    await generator.ready;
    await Bun.sleep(100);
    const from = performance.now();
    try {
      await work();
    } catch (error) {
      console.log(`${this.name}  ${name}  ${this.label}  failed: ${(error as Error).message.split("\r\n")[0]}`);
      generator.stop();
      await generator.finished;
      return false;
    }
    const tookMs = performance.now() - from;
    await Bun.sleep(after);
    generator.stop();
    const result = await generator.finished;
    const residentMiB = residentBytes(this.server.pid).anonymous / 2 ** 20;
    const row = { type: this.name, phase: name, server: this.label, tookMs, result, residentMiB };
    rows.push(row);
    const [line] = lines([row]);
    console.log(line!.join("  "));
    if (options.has("slow")) {
      for (const { atMs, us, lateUs, what, isNear } of result.slow) {
        console.log(
          `    at ${(atMs - 100).toFixed(1)} ms: ${what} ${(us / 1000).toFixed(2)} ms, ${(lateUs / 1000).toFixed(2)} late, ${isNear ? "near" : "far"}`,
        );
      }
    }
    if (options.has("json"))
      writeFileSync(options.text("json", ""), JSON.stringify({ head: headLines, rows }, null, 1));
    return true;
  }

  private grow(type: Type): Promise<void> {
    return this.actor.stream(new Batch(type.grow, "big", type.element, type.perCommand), elements);
  }

  /** Many small collections cross the limits of the small forms: 2,000 elements each. */
  private async convert(type: Type): Promise<void> {
    for (let i = 0; i < 20; i++) {
      await this.actor.stream(new Batch(type.grow, `small:${this.converted++}`, type.element, type.perCommand), 2000);
    }
  }

  /** `command` while another connection changes elements as fast as it can. */
  private async beside(type: Type, command: readonly string[]): Promise<void> {
    const writer = await Actor.connect(this.server.port);
    const batch = new Batch("", "", type.change, 1);
    let done = false;
    const writing = writer.streamUntil(batch, () => done);
    await this.actor.command(command);
    done = true;
    await writing;
    writer.close();
  }

  private async unlinkWhileRead(type: Type): Promise<void> {
    const reading = this.actor.command(type.reads[0]!.map((arg) => (arg === "big" ? "copy" : arg)));
    await Bun.sleep(100);
    await this.client.command("UNLINK", "copy");
    await reading;
  }

  private generate(length: number): { ready: Promise<void>; finished: Promise<GeneratorResult>; stop(): void } {
    const plan: GeneratorPlan = {
      port: this.server.port,
      connections: CONNECTIONS,
      rate,
      seconds: length,
      getShare: 0.4,
      watchShare: 0.2,
      watchedKey: "big",
      keys: BYSTANDER_KEYS,
      seed: 1,
      workers: this.workers,
      busyWorker: this.busyWorker,
      schedstats: schedstatsOf(this.server),
    };
    const child = Bun.spawn(
      [...AHEAD_OF_OTHERS, process.execPath, join(import.meta.dir, "openloop.ts"), JSON.stringify(plan)],
      { stdin: "pipe", stdout: "pipe", stderr: "pipe", timeout: (length + 60) * 1000 },
    );
    const errors = child.stderr.getReader();
    const ready = errors.read().then(({ value }) => {
      const text = Buffer.from(value ?? []).toString();
      if (!text.startsWith("ready")) throw new Error(`the generator failed: ${text.slice(0, 1000)}`);
    });
    const finished = (async () => {
      const [text] = await Promise.all([new Response(child.stdout).text(), child.exited]);
      if (child.exitCode !== 0) throw new Error(`the generator failed: ${await textOf(errors)}`);
      return JSON.parse(text) as GeneratorResult;
    })();
    return {
      ready,
      finished,
      stop() {
        child.stdin.write("stop");
        child.stdin.end();
      },
    };
  }
}

async function textOf(reader: { read(): Promise<{ value?: Uint8Array; done: boolean }> }): Promise<string> {
  const { value } = await reader.read();
  return Buffer.from(value ?? [])
    .toString()
    .slice(0, 1000);
}

// ---- the connection that is at work ----

const DIGITS = 9;
/** Indexes have one digit less than the count, and none of them is a leading zero. */
const INDEX_DIGITS = String(elements).length - 1;

/** Commands made beforehand, of which only the numbers change. */
class Batch {
  readonly bytes: Buffer;
  private readonly counters: number[] = [];
  private readonly randoms: number[] = [];
  private readonly indexes: number[] = [];
  private next = 0;
  private readonly random = randomSource(5);

  constructor(
    command: string,
    key: string,
    element: readonly string[],
    readonly perCommand: number,
  ) {
    const args = command === "" ? [...element] : [command, key];
    if (command !== "") for (let i = 0; i < perCommand; i++) args.push(...element);
    const one = encodeCommand(
      args.map((arg) =>
        arg
          .replace("<n>", "#".repeat(DIGITS))
          .replace("<r>", "@".repeat(DIGITS))
          .replace("<i>", "%".repeat(INDEX_DIGITS)),
      ),
    );
    this.bytes = Buffer.concat(Array.from({ length: COMMANDS_PER_BATCH }, () => one));
    for (let at = 0; at < this.bytes.length; at++) {
      if (this.bytes[at] === 35) this.counters.push(at);
      else if (this.bytes[at] === 64) this.randoms.push(at);
      else if (this.bytes[at] === 37) this.indexes.push(at);
      else continue;
      at += (this.bytes[at] === 37 ? INDEX_DIGITS : DIGITS) - 1;
    }
  }

  get elements(): number {
    return COMMANDS_PER_BATCH * this.perCommand;
  }

  /** The next batch: the same buffer, filled anew. */
  fill(): Buffer {
    for (const at of this.counters) this.write(at, DIGITS, this.next++);
    for (const at of this.randoms) this.write(at, DIGITS, this.withoutZero(DIGITS));
    for (const at of this.indexes) this.write(at, INDEX_DIGITS, this.withoutZero(INDEX_DIGITS));
    return this.bytes;
  }
  private withoutZero(digits: number): number {
    const least = 10 ** (digits - 1);
    return least + Math.floor(this.random() * 9 * least);
  }
  private write(at: number, digits: number, number: number): void {
    for (let i = digits - 1; i >= 0; i--, number = Math.floor(number / 10)) this.bytes[at + i] = 48 + (number % 10);
  }
}

const LF = 10;
const END = Buffer.from("+PONG\r\n");

/** A raw connection: replies are counted or dropped, never read. */
class Actor {
  id = 0;
  private socket!: Bun.Socket;
  private waiting: Uint8Array[] = [];
  private onData: (bytes: Buffer) => void = () => {};
  private failed: (error: Error) => void = () => {};

  static async connect(port: number): Promise<Actor> {
    const actor = new Actor();
    actor.socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_, bytes) => actor.onData(bytes),
        drain: () => actor.push(),
        close: () => actor.failed(new Error("the server closed the connection")),
        error: (_, error) => actor.failed(error),
      },
    });
    actor.socket.setNoDelay(true);
    actor.id = await new Promise<number>((done) => {
      actor.onData = (bytes) => done(Number(bytes.toString("latin1", 1, bytes.length - 2)));
      actor.send(encodeCommand(["CLIENT", "ID"]));
    });
    return actor;
  }

  close(): void {
    this.failed = () => {};
    this.socket.end();
  }

  private send(bytes: Uint8Array): void {
    this.waiting.push(bytes);
    if (this.waiting.length === 1) this.push();
  }
  private push(): void {
    while (this.waiting.length > 0) {
      const first = this.waiting[0]!;
      const written = Math.max(0, this.socket.write(first));
      if (written < first.length) {
        this.waiting[0] = first.subarray(written);
        return;
      }
      this.waiting.shift();
    }
  }

  /** Sends a command and reads its reply to the end. */
  command(args: readonly string[]): Promise<void> {
    return new Promise((done, fail) => {
      this.failed = fail;
      let tail = Buffer.alloc(0);
      let isFirst = true;
      let error: Error | null = null;
      this.onData = (bytes) => {
        if (isFirst && bytes[0] === 45) error = new Error(`${args.join(" ")}: ${bytes.toString("latin1", 0, 100)}`);
        isFirst = false;
        tail = Buffer.concat([tail, bytes.subarray(-END.length)]).subarray(-END.length);
        if (!tail.equals(END)) return;
        if (error === null) done();
        else fail(error);
      };
      this.send(Buffer.concat([encodeCommand(args), encodeCommand(["PING"])]));
    });
  }

  /** Sends batches until there are `count` elements; a few are under way at a time. */
  stream(batch: Batch, count: number): Promise<void> {
    let left = Math.ceil(count / batch.elements);
    return this.streamUntil(batch, () => left-- <= 0);
  }

  streamUntil(batch: Batch, isEnd: () => boolean): Promise<void> {
    return new Promise((done, fail) => {
      this.failed = fail;
      let lines = 0;
      let underWay = 0;
      let ended = false;
      const linesEach = batch.bytes.toString("latin1").includes("XADD") ? 2 : 1;
      const more = () => {
        while (!ended && underWay < UNDER_WAY) {
          if (isEnd()) ended = true;
          else {
            underWay++;
            this.send(Buffer.from(batch.fill()));
          }
        }
        if (ended && underWay === 0) done();
      };
      this.onData = (bytes) => {
        if (bytes[0] === 45) return fail(new Error(bytes.toString("latin1", 0, 100)));
        for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) lines++;
        for (; lines >= COMMANDS_PER_BATCH * linesEach; lines -= COMMANDS_PER_BATCH * linesEach) underWay--;
        more();
      };
      more();
    });
  }
}

// ---- reporting ----

function time(us: number): string {
  return us < 1000 ? `${us.toFixed(0)} us` : us < 1e6 ? `${(us / 1000).toFixed(2)} ms` : `${(us / 1e6).toFixed(2)} s`;
}

const HEAD = [
  "type",
  "phase",
  "server",
  "took",
  "requests",
  "p50",
  "p99",
  "p99.9",
  "max near",
  "max far",
  "max key",
  "over",
  "late max",
  "RSS MiB",
];

/** One line for each group of rows of the same type, phase and server: medians over the repetitions. */
function lines(all: readonly Row[]): string[][] {
  const groups = Map.groupBy(all, (row) => `${row.type}\n${row.phase}\n${row.server}`);
  return [...groups.values()].map((group) => {
    const median = (pick: (result: GeneratorResult) => number) =>
      time(spread(group.map((row) => pick(row.result))).median);
    const first = group[0]!;
    return [
      first.type,
      first.phase,
      first.server,
      time(spread(group.map((row) => row.tookMs * 1000)).median),
      String(group.reduce((sum, row) => sum + row.result.sent, 0)),
      median((result) => result.all.p50Us),
      median((result) => result.all.p99Us),
      median((result) => result.all.p999Us),
      median((result) => result.near.maxUs),
      median((result) => result.far.maxUs),
      median((result) => result.watch.maxUs),
      String(group.reduce((sum, row) => sum + row.result.slow.length, 0)),
      median((result) => result.lateness.maxUs),
      spread(group.map((row) => row.residentMiB)).median.toFixed(0),
    ];
  });
}

function summary(): string {
  return `${table([HEAD, ...lines(rows)])}\n
Latency from send to reply, less what the server's thread waited for a core. near: PING and GET on connections of the worker that runs the operation; far: of other
workers; key: EXISTS of the collection. over: requests above 2 ms, of all repetitions. late: the generator's own.
*: blocks by nature, in Redis too.`;
}

for (let repeat = 0; repeat < repeats; repeat++) {
  for (const name of types) {
    if (TYPES[name] === undefined) {
      console.error(`unknown type ${name}`);
      process.exit(2);
    }
    for (const kind of servers) {
      for (const workers of kind === "redis" ? [1] : workerCounts) await one(kind, workers, name, TYPES[name]);
    }
  }
}
console.log(`\n${summary()}`);
process.exit();
