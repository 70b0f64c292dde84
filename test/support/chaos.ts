/**
 * Clients that do everything clients can do to a server, at the same time, for a while; then a check of the remains.
 *
 * Each client draws from its own seed: random commands of all families, values that describe themselves
 * (chaos-values.ts), large values, pipelines, requests that are cut off, replies that nobody reads, blocked commands whose
 * client vanishes, CLIENT KILL and PAUSE, FLUSHALL, SWAPDB, and settings: max_memory with each policy, output limits.
 * The order in which a server gets the commands of several clients is random, so a seed repeats the load but not the run.
 *
 * What counts as a fault (Fault.kind):
 *   ended       the process ended
 *   hang        a PING on a new connection gets no reply for 10 s in which the server had a core
 *   unanswered  a client waits for a reply for 60 s, likewise, although the server replies to others
 *   protocol    bytes that are not RESP
 *   unsound     a value that no client wrote
 *   invariant   DEBUG CHECK does not reply with a number of keys
 *   leak        clients, blocked clients, keys or memory are left when all clients are gone and all keys are deleted
 */
import { readdirSync, readFileSync } from "node:fs";
import { item, unsound, type VerifiedCommand, VerifiedCommands } from "./chaos-values.ts";
import { showCommand } from "./differential.ts";
import { CommandGenerator } from "./generator.ts";
import { SeededRandom } from "./random.ts";
import { type Argument, encodeCommand, ProtocolError, type Reply, type RespClient, show } from "./resp.ts";
import type { Server } from "./servers.ts";

const HANG_MS = 10_000;
const UNANSWERED_MS = 60_000;
const SETTLE_MS = 30_000;
/** Frames that a server without keys may hold: each shard and each keyspace begins with some. */
const FRAMES_LEFT_MAX = 4 << 20;
const LOOK_MS = 200;
const REPORT_MS = 30_000;
const HISTORY = 400;
const LARGE_BYTES = 300_000;
const POLICIES = ["noeviction"].concat(
  ["lru", "lfu", "random"].flatMap((rank) => [`allkeys-${rank}`, `volatile-${rank}`]),
  "volatile-ttl",
);

/** Settings of the server at the start. The clients change most of them during the run. */
export const CHAOS_SETTINGS: Record<string, string> = {
  maxmemory: "120mb",
  "client-output-buffer-limit": "normal 600000 0 0",
  // A turn long enough that a whole pipeline passes an output limit within it, however slow the machine.
  "server.turn_max_microseconds": "100000",
  "server.enable_debug_command": "yes",
  // Few shards, so that keys meet, and small regions, so that a shard's memory lies in several of them.
  "storage.num_shards": "4",
  "storage.region_size": String(8 << 20),
};

export interface Fault {
  kind: "ended" | "hang" | "unanswered" | "protocol" | "unsound" | "invariant" | "leak";
  text: string;
}

export interface ChaosPlan {
  server: Server;
  seed: number;
  clients: number;
  milliseconds: number;
  /** Bytes above what an empty server uses: the values that max_memory is set to. */
  memoryRoom?: readonly number[];
  /** Milliseconds between two DEBUG CHECKs while clients work, default 5000. */
  checkEveryMs?: number;
  /** Called at intervals with a line about the progress. */
  report?(line: string): void;
  /** Called with each command before it is sent. */
  trace?(client: number, args: readonly string[]): void;
}

export interface ChaosOutcome {
  faults: Fault[];
  /** Commands that were answered. */
  commands: number;
  /** What happened how often: actions, and connections that the server closed. */
  counts: Map<string, number>;
  /** The last actions of all clients, oldest first. */
  history: string[];
}

class Unanswered extends Error {}

/** The time that each thread of a process has waited for a core so far, milliseconds, by thread. Empty when it has ended. */
function coreWaits(pid: number): Map<string, number> {
  const waits = new Map<string, number>();
  try {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const [, waitedNs] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, "latin1").split(" ");
      waits.set(task, Number(waitedNs) / 1e6);
    }
  } catch {
    /* the thread or the process ended meanwhile */
  }
  return waits;
}

/**
 * Time in which a server could have replied: wall time less the longest wait of a thread for a core, in the server and in
 * this process. On a shared machine this may be a tenth of the wall time.
 */
class Patience {
  readonly #startedMs = performance.now();
  readonly #before: readonly (readonly [number, Map<string, number>])[];

  constructor(serverPid: number) {
    this.#before = [serverPid, process.pid].map((pid) => [pid, coreWaits(pid)] as const);
  }

  spentMs(): number {
    let spent = performance.now() - this.#startedMs;
    for (const [pid, before] of this.#before) {
      let longest = 0;
      for (const [task, waited] of coreWaits(pid)) longest = Math.max(longest, waited - (before.get(task) ?? 0));
      spent -= longest;
    }
    return spent;
  }
}

/** Rejects with Unanswered when the promise is still pending after `milliseconds` in which the server could have replied. */
function guarded<T>(promise: Promise<T>, milliseconds: number, patience: Patience): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const guard = new Promise<never>((_, fail) => {
    const look = (): void => {
      const left = milliseconds - patience.spentMs();
      if (left <= 0) fail(new Unanswered());
      else timer = setTimeout(look, Math.max(left, LOOK_MS));
    };
    timer = setTimeout(look, milliseconds);
  });
  return Promise.race([promise, guard]).finally(() => clearTimeout(timer));
}

export class Chaos {
  readonly outcome: ChaosOutcome = { faults: [], commands: 0, counts: new Map(), history: [] };
  readonly plan: ChaosPlan;
  /** used_memory of the server before the first client. */
  usedAtStart = 0;
  #over = false;
  readonly #startedMs = performance.now();

  constructor(plan: ChaosPlan) {
    this.plan = plan;
  }

  get isOver(): boolean {
    return this.#over;
  }

  async run(): Promise<ChaosOutcome> {
    const { plan } = this;
    void plan.server.exited.then(({ code, signal }) => {
      if (!this.#over) this.fault("ended", `exit ${code ?? signal}\n${plan.server.log().slice(-4000)}`);
    });
    this.usedAtStart = await this.info("memory", "used_memory");
    const actors = Array.from({ length: plan.clients }, (_, i) => new ChaosClient(this, i));
    const work = Promise.all(actors.map((actor) => actor.run()));
    const reporting = setInterval(() => this.#report(), REPORT_MS);
    await this.#watch();
    clearInterval(reporting);
    this.#over = true;
    await work;
    for (const actor of actors) actor.close();
    if (this.outcome.faults.length === 0) await this.#settle();
    return this.outcome;
  }

  count(what: string, times = 1): void {
    this.outcome.counts.set(what, (this.outcome.counts.get(what) ?? 0) + times);
  }

  /** Remembers commands that are about to be sent; `how` when not in a plain pipeline. */
  note(client: number, commands: readonly (readonly string[])[], how = ""): void {
    for (const args of commands) this.plan.trace?.(client, args);
    for (const args of how === "" ? commands : commands.slice(0, 1)) {
      this.#remember(client, `${how}${showCommand(args)}`);
    }
  }

  #remember(client: number, text: string): void {
    const { history } = this.outcome;
    history.push(`${((performance.now() - this.#startedMs) / 1000).toFixed(3)} client ${client}: ${text}`);
    if (history.length > 2 * HISTORY) history.splice(0, HISTORY);
  }

  /** The first fault ends the run, because later ones may be its consequences. */
  fault(kind: Fault["kind"], text: string): void {
    if (this.#over && kind !== "leak" && kind !== "invariant") return;
    this.#over = true;
    this.outcome.faults.push({ kind, text });
  }

  /** A command on a connection of its own, tried again while the connection is killed by another client. */
  async ask(args: Argument[], milliseconds: number): Promise<Reply> {
    const patience = new Patience(this.plan.server.pid);
    for (;;) {
      if (patience.spentMs() > milliseconds) throw new Unanswered();
      let client: RespClient | null = null;
      try {
        client = await guarded(this.plan.server.connect(), milliseconds, patience);
        return await guarded(client.command(...args), milliseconds, patience);
      } catch (error) {
        if (error instanceof Unanswered || error instanceof ProtocolError) throw error;
        if (this.plan.server.hasExited) throw error;
        await Bun.sleep(10);
      } finally {
        client?.close();
      }
    }
  }

  /** The promise of a reply, or of a connection, to a client. */
  answered<T>(promise: Promise<T>): Promise<T> {
    return guarded(promise, UNANSWERED_MS, new Patience(this.plan.server.pid));
  }

  async info(section: string, field: string): Promise<number> {
    const reply = await this.ask(["INFO", section], SETTLE_MS);
    const match = new RegExp(`^${field}:(\\d+)`, "m").exec(reply.type === "bulk" ? reply.value : "");
    if (match === null) throw new Error(`INFO ${section} has no ${field}: ${show(reply).slice(0, 300)}`);
    return Number(match[1]);
  }

  /** Until the time is over: a PING each second, and a check of the invariants now and then. */
  async #watch(): Promise<void> {
    const checkEveryMs = this.plan.checkEveryMs ?? 5000;
    let nextCheckMs = checkEveryMs;
    for (;;) {
      const elapsed = performance.now() - this.#startedMs;
      if (this.#over || elapsed >= this.plan.milliseconds) return;
      await Bun.sleep(Math.min(1000, this.plan.milliseconds - elapsed));
      if (this.#over) return;
      try {
        await this.ask(["PING"], HANG_MS);
      } catch (error) {
        if (error instanceof Unanswered) this.fault("hang", `PING: nothing for ${HANG_MS} ms`);
        else if (error instanceof ProtocolError) this.fault("protocol", error.message);
        continue;
      }
      if (elapsed < nextCheckMs) continue;
      nextCheckMs = elapsed + checkEveryMs;
      await this.#check("while clients work");
    }
  }

  #report(): void {
    const { commands, counts } = this.outcome;
    const seconds = ((performance.now() - this.#startedMs) / 1000).toFixed(0);
    this.plan.report?.(`${seconds} s: ${commands} commands, ${counts.get("closed") ?? 0} connections closed`);
  }

  /** DEBUG CHECK. It takes the locks of all shards, one after another, and so may take long beside other clients. */
  async #check(when: string): Promise<void> {
    try {
      const reply = await this.ask(["DEBUG", "CHECK"], UNANSWERED_MS);
      if (reply.type === "int") return;
      // A client that reads nothing may hold the server busy for long: that is an answer.
      if (!this.#over && reply.type === "error" && reply.value.startsWith("BUSY")) return;
      this.fault("invariant", `DEBUG CHECK ${when}: ${show(reply)}\n${this.plan.server.log().slice(-4000)}`);
    } catch (error) {
      if (error instanceof Unanswered) this.fault("hang", `DEBUG CHECK ${when}: nothing for ${UNANSWERED_MS} ms`);
    }
  }

  /** All clients are gone: everything they held must come back. */
  async #settle(): Promise<void> {
    for (const [name, value] of [
      ["maxmemory-policy", "noeviction"],
      ["maxmemory", "0"],
      ["maxmemory-clients", "0"],
      ["client-output-buffer-limit", "normal 0 0 0"],
    ] as const)
      await this.ask(["CONFIG", "SET", name, value], SETTLE_MS);
    await this.ask(["DEBUG", "SET-ACTIVE-EXPIRE", "1"], SETTLE_MS);
    await this.#becomes("clients", "connected_clients", 1); // the one that asks
    await this.#becomes("clients", "blocked_clients", 0);
    await this.#check("when all clients are gone");
    await this.ask(["FLUSHALL", "SYNC"], SETTLE_MS);
    await this.#becomes("memory", "lazyfree_pending_objects", 0);
    await this.#becomes("memory", "mem_frames_bytes", FRAMES_LEFT_MAX);
    await this.#check("when all keys are deleted");
  }

  /** Waits until a field of INFO is at most `most`. */
  async #becomes(section: string, field: string, most: number): Promise<void> {
    const until = performance.now() + SETTLE_MS;
    for (;;) {
      const value = await this.info(section, field);
      if (value <= most) return;
      if (performance.now() > until) {
        const clients = await this.ask(["CLIENT", "LIST"], SETTLE_MS);
        const list = clients.type === "bulk" ? clients.value.slice(0, 3000) : show(clients);
        this.fault("leak", `${field} stays at ${value} instead of ${most} for ${SETTLE_MS} ms\n${list}`);
        return;
      }
      await Bun.sleep(100);
    }
  }
}

type Act = () => Promise<unknown>;

/** One client: connects, acts at random until the run is over, and connects again whenever it was closed. */
class ChaosClient {
  readonly #chaos: Chaos;
  readonly #index: number;
  readonly #random: SeededRandom;
  readonly #generator: CommandGenerator;
  readonly #verified: VerifiedCommands;
  readonly #acts: readonly (readonly [number, string, Act])[];
  #client: RespClient | null = null;
  /** Connections that hold unread replies or half a request; closed after a while. */
  #aside: RespClient[] = [];

  constructor(chaos: Chaos, index: number) {
    this.#chaos = chaos;
    this.#index = index;
    this.#random = new SeededRandom(chaos.plan.seed * 31 + index);
    this.#generator = new CommandGenerator(new SeededRandom(chaos.plan.seed * 37 + index), Date.now(), () => true);
    this.#verified = new VerifiedCommands(this.#random);
    this.#acts = [
      [40, "generated", () => this.#generated()],
      [40, "verified", () => this.#verifiedCommands()],
      [6, "restored", () => this.#restored()],
      [8, "blocked", () => this.#blocked()],
      [5, "cut off", () => this.#cutOff()],
      [10, "unread", () => this.#unread()],
      [4, "large", () => this.#large()],
      [4, "looked", () => this.#plain([this.#look()])],
      [2, "killed", () => this.#kill()],
      [1, "paused", () => this.#plain([this.#pause()])],
      [2, "configured", () => this.#plain([this.#setting()])],
      [1, "emptied", () => this.#plain([this.#emptying()])],
      [1, "monitored", () => this.#monitored()],
      [1, "reset", () => this.#plain([["RESET"], ["HELLO", this.#random.pick(["2", "3"])]])],
    ];
  }

  async run(): Promise<void> {
    while (!this.#chaos.isOver) {
      const [, name, act] = this.#random.weighted(this.#acts.map((entry) => [entry[0], entry] as const));
      this.#chaos.count(name);
      try {
        await act();
      } catch (error) {
        this.#failed(error as Error, name);
        this.close();
      }
      if (this.#random.chance(0.05)) this.close();
    }
  }

  close(): void {
    for (const client of [this.#client, ...this.#aside]) {
      if (client === null) continue;
      if (this.#random.chance(0.5)) client.reset();
      else client.close();
    }
    this.#client = null;
    this.#aside = [];
  }

  #failed(error: Error, act: string): void {
    if (error instanceof ProtocolError) this.#chaos.fault("protocol", `${act}: ${error.message}`);
    else if (error instanceof Unanswered) {
      this.#chaos.fault("unanswered", `client ${this.#index}, ${act}: no reply for ${UNANSWERED_MS} ms`);
    } else if (/clos|ECONN|EPIPE|reset/i.test(error.message)) this.#chaos.count("closed");
    else throw error;
  }

  async #connection(): Promise<RespClient> {
    if (this.#client === null || this.#client.isClosed) this.#client = await this.#another();
    return this.#client;
  }

  async #another(): Promise<RespClient> {
    const client = await this.#chaos.answered(this.#chaos.plan.server.connect());
    if (this.#random.chance(0.3)) await this.#chaos.answered(client.command("HELLO", "3"));
    return client;
  }

  /** Sends commands in one write and awaits all replies. */
  async #plain(commands: readonly (readonly string[])[]): Promise<Reply[]> {
    const client = await this.#connection();
    this.#chaos.note(this.#index, commands);
    const replies = await this.#chaos.answered(client.pipeline(commands));
    this.#chaos.outcome.commands += replies.length;
    return replies;
  }

  /** CLIENT REPLY would leave this client without the replies that it waits for. */
  async #generated(): Promise<void> {
    const count = this.#random.pick([1, 1, 3, 20, 60]);
    const commands = Array.from({ length: count }, () => this.#generator.next().args);
    await this.#plain(commands.filter((args) => !/^REPLY$/i.test(args[1] ?? "")));
  }

  async #verifiedCommands(): Promise<void> {
    const commands = Array.from({ length: this.#random.pick([1, 1, 4, 30]) }, () => this.#verified.next());
    const replies = await this.#plain(commands.map(({ args }) => args));
    for (const [i, reply] of replies.entries()) this.#verify(commands[i]!, reply);
  }

  #verify(command: VerifiedCommand, reply: Reply): void {
    const wrong = unsound(reply, command);
    if (wrong !== null) this.#chaos.fault("unsound", `client ${this.#index}, ${showCommand(command.args)}: ${wrong}`);
  }

  /** DUMP of a key, RESTORE beside it. */
  async #restored(): Promise<void> {
    const type = this.#random.pick(["string", "list", "hash", "set", "zset", "stream"]);
    const [dump] = await this.#plain([["DUMP", this.#verified.key(type)]]);
    if (dump?.type !== "bulk") return;
    await this.#plain([["RESTORE", this.#verified.key(type), "0", dump.value, "REPLACE"]]);
  }

  /** A command that waits for a key; more input comes behind it; then the client vanishes, or waits for the reply. */
  async #blocked(): Promise<void> {
    const client = await this.#another();
    this.#aside.push(client);
    const timeout = this.#random.pick(["0", "0.05", "0.5", "2"]);
    const key = (type: string): string => this.#random.pick([this.#verified.key(type), `none:${type}`]);
    const args = this.#random.pick([
      () => [this.#random.pick(["BLPOP", "BRPOP"]), key("list"), key("list"), timeout],
      () => ["BLMOVE", key("list"), this.#verified.key("list"), "LEFT", "RIGHT", timeout],
      () => ["BLMPOP", timeout, "2", key("list"), key("list"), "LEFT", "COUNT", "5"],
      () => [this.#random.pick(["BZPOPMIN", "BZPOPMAX"]), key("zset"), timeout],
      () => ["BZMPOP", timeout, "2", key("zset"), key("zset"), "MIN"],
      () => ["XREAD", "BLOCK", String(Math.ceil(Number(timeout) * 1000)), "STREAMS", key("stream"), "$"],
      () => ["XREADGROUP", "GROUP", "g0", "c0", "BLOCK", "200", "COUNT", "10"].concat("STREAMS", key("stream"), ">"),
    ])();
    this.#chaos.note(this.#index, [args], "blocked: ");
    client.write(encodeCommand(args));
    if (this.#random.chance(0.5)) client.write(encodeCommand(["PING", "x".repeat(this.#random.below(200_000))]));
    if (timeout !== "0" && this.#random.chance(0.5)) {
      this.#verify({ args }, await this.#chaos.answered(client.next()));
      this.#chaos.outcome.commands++;
    } else {
      await Bun.sleep(this.#random.below(30));
    }
    this.#dropAside(8);
  }

  /** A request that ends in the middle, of one argument or of a pipeline, whose rest may follow. */
  async #cutOff(): Promise<void> {
    const client = await this.#another();
    this.#aside.push(client);
    const large = ["SET", this.#verified.key("string"), item(1, 1 << 20)];
    const args = this.#random.chance(0.3) ? large : this.#verified.next().args;
    const bytes = encodeCommand(args);
    const at = this.#random.below(bytes.length);
    this.#chaos.note(this.#index, [args], `cut off at ${at} of ${bytes.length} bytes: `);
    client.write(bytes.subarray(0, at));
    await Bun.sleep(this.#random.below(20));
    if (this.#random.chance(0.4)) {
      client.write(bytes.subarray(at));
      await this.#chaos.answered(client.next());
      this.#chaos.outcome.commands++;
    }
    this.#dropAside(8);
  }

  /** Leaves replies unread, until the client is closed for it, reads them, or vanishes. */
  async #unread(): Promise<void> {
    const client = await this.#another();
    this.#aside.push(client);
    client.pause();
    const reads = this.#random.chance(0.3) ? this.#pinnedAndDeleted() : this.#manyReads();
    this.#chaos.note(this.#index, reads, `unread: ${reads.length} commands from `);
    client.write(Buffer.concat(reads.map(encodeCommand)));
    const replies = Promise.all(reads.map(() => client.next()));
    replies.catch(() => {}); // awaited below only when the client reads on
    await Bun.sleep(this.#random.below(100));
    if (this.#random.chance(0.4)) {
      client.resume();
      const all = await this.#chaos.answered(replies);
      for (const [i, reply] of all.entries()) this.#verify({ args: reads[i]! }, reply);
      this.#chaos.outcome.commands += all.length;
    }
    this.#dropAside(4);
  }

  #manyReads(): string[][] {
    return Array.from({ length: this.#random.pick([1, 20, 300]) }, () =>
      this.#random.pick([
        ["GET", this.#verified.key("string")],
        ["GETDEL", this.#verified.key("string")],
        ["LRANGE", this.#verified.key("list"), "0", "-1"],
        ["LPOP", this.#verified.key("list"), "1000"],
        ["HGETALL", this.#verified.key("hash")],
        ["SMEMBERS", this.#verified.key("set")],
        ["SPOP", this.#verified.key("set"), "1000"],
        ["XRANGE", this.#verified.key("stream"), "-", "+"],
        ["DEL", this.#verified.key("string")],
        ["DUMP", this.#verified.key("zset")],
      ]),
    );
  }

  /** A large reply that is sent from the value itself, which is deleted; then replies until an output limit closes. */
  #pinnedAndDeleted(): string[][] {
    const key = this.#verified.key("string");
    const large = this.#verified.key(this.#random.pick(["list", "hash", "set", "zset"]));
    const deletions = [["DEL", key], ["GETDEL", key], ["UNLINK", large], ["SET", key, item(1, 20)], ["FLUSHDB"]];
    return [
      ["SET", key, item(2, this.#random.pick([200_000, 400_000]))],
      ["GET", key],
      this.#random.weighted(deletions.map((args) => [args[0] === "FLUSHDB" ? 0.1 : 1, args] as const)),
      ["SET", "large:reply", item(3, 16_000)],
      ...Array.from({ length: this.#random.below(60) }, () => ["GET", "large:reply"]),
      this.#random.pick([
        ["GETDEL", "large:reply"],
        ["SET", "large:reply", item(4, 100), "GET"],
        ["GETEX", "large:reply", "PX", "1"],
        ["GETSET", "large:reply", item(5, 9000)],
        ["SPOP", this.#verified.key("set"), "1000"],
        ["LPOP", this.#verified.key("list"), "1000"],
        ["ZPOPMIN", this.#verified.key("zset"), "1000"],
      ]),
      ["GET", "large:reply"],
    ];
  }

  /** Values beside the usual sizes, and commands that work on all of one. */
  async #large(): Promise<void> {
    const pairs = (prefix: string): string[] =>
      Array.from({ length: 2000 }, (_, i) => [`${prefix}${i}`, item(i, 100)]).flat();
    const commands = this.#random.pick<() => string[][]>([
      () => [["SET", "large:string", "x".repeat(this.#random.below(8_000_000))]],
      () => [["APPEND", "large:string", "y".repeat(this.#random.below(2_000_000))]],
      () => [
        ["SETRANGE", "large:string", String(this.#random.below(10_000_000)), "z"],
        ["SETBIT", "large:bits", String(this.#random.below(60_000_000)), "1"],
      ],
      () => [
        ["BITCOUNT", "large:string"],
        ["BITOP", "XOR", "large:bits", "large:string", "large:bits"],
        ["BITPOS", "large:bits", "1"],
      ],
      () => [["MSET", ...pairs("large:many:")]],
      () => [["HSET", "large:hash", ...pairs(`${this.#random.below(50)}:`)]],
      () => [["ZADD", "large:zset", ...pairs("").map((text, i) => (i % 2 === 0 ? String(i) : text))]],
      () => [["RPUSH", "large:list", ...pairs("")]],
      () => [["SADD", "large:set", ...pairs(`${this.#random.below(50)}:`)]],
      () => [
        ["COPY", "large:hash", "large:hash2", "REPLACE"],
        ["RENAME", "large:list", "large:list2"],
        ["COPY", "large:zset", "large:zset2", "DB", "2", "REPLACE"],
      ],
      () => [
        ["SORT", "large:list2", "ALPHA", "STORE", "large:sorted"],
        ["SUNIONSTORE", "large:set2", "large:set", "v:set:0"],
        ["ZUNIONSTORE", "large:zset3", "2", "large:zset", "large:zset2"],
      ],
      () => [["DEL", "large:hash", "large:list", "large:sorted", "large:zset3", "large:hash2"]],
      () => [["DEBUG", "POPULATE", String(this.#random.below(20_000)), `many${this.#random.below(3)}`, "200"]],
      () => [["PFADD", "large:sketch", ...pairs(String(this.#random.below(100)))]],
      () => [["GETDEL", "large:string"]],
    ])();
    await this.#plain(commands);
  }

  #look(): string[] {
    return this.#random.pick<() => string[]>([
      () => ["INFO", this.#random.pick(["everything", "memory", "keyspace", "commandstats"])],
      () => ["CLIENT", "LIST"],
      () => ["CLIENT", "INFO"],
      () => ["DBSIZE"],
      () => ["KEYS", "*"],
      () => ["SCAN", String(this.#random.below(1000)), "COUNT", "500"],
      () => ["RANDOMKEY"],
      () => ["SLOWLOG", "GET", "-1"],
      () => ["LATENCY", "HISTOGRAM"],
      () => ["MEMORY", "STATS"],
      () => ["MEMORY", "DOCTOR"],
      () => ["COMMAND", "DOCS"],
      () => ["CONFIG", "GET", "*"],
      () => ["DEBUG", "OBJECT", this.#verified.key("hash")],
      () => ["DEBUG", "HTSTATS", "0"],
      () => ["DEBUG", "SLEEP", "0.02"],
      () => ["HOTKEYS", "START", "METRICS", "1", "CPU"],
      () => ["HOTKEYS", "STOP"],
      () => ["SELECT", String(this.#random.below(4))],
      () => ["CONFIG", "RESETSTAT"],
    ])();
  }

  async #kill(): Promise<void> {
    const [list] = await this.#plain([["CLIENT", "LIST"]]);
    const ids = list?.type === "bulk" ? [...list.value.matchAll(/^id=(\d+) addr=(\S+)/gm)] : [];
    if (ids.length === 0) return;
    const [, id, address] = this.#random.pick(ids);
    const skip = ["SKIPME", this.#random.pick(["yes", "no"])];
    await this.#plain([
      this.#random.weighted<string[]>([
        [6, ["CLIENT", "KILL", "ID", id!]],
        [3, ["CLIENT", "KILL", address!]],
        [3, ["CLIENT", "KILL", "ADDR", address!, ...skip]],
        [4, ["CLIENT", "UNBLOCK", id!, this.#random.pick(["TIMEOUT", "ERROR"])]],
        [1, ["CLIENT", "KILL", "TYPE", "normal", ...skip]],
        [1, ["CLIENT", "NO-EVICT", this.#random.pick(["on", "off"])]],
      ]),
    ]);
  }

  #pause(): string[] {
    if (this.#random.chance(0.2)) return ["CLIENT", "UNPAUSE"];
    return ["CLIENT", "PAUSE", String(this.#random.below(200)), this.#random.pick(["ALL", "WRITE"])];
  }

  #emptying(): string[] {
    return this.#random.pick([
      ["FLUSHALL"],
      ["FLUSHALL", "ASYNC"],
      ["FLUSHDB", "SYNC"],
      ["SWAPDB", "0", "1"],
      ["SWAPDB", "1", "2"],
      ["SWAPDB", "0", "3"],
    ]);
  }

  #setting(): string[] {
    const room = this.#chaos.plan.memoryRoom ?? [30e6, 60e6, 120e6];
    const [name, value] = this.#random.weighted<readonly [string, string]>([
      [4, ["maxmemory", String(this.#chaos.usedAtStart + this.#random.pick(room))]],
      [4, ["maxmemory-policy", this.#random.pick(POLICIES)]],
      [2, ["client-output-buffer-limit", this.#random.pick(OUTPUT_LIMITS)]],
      [1, ["maxmemory-clients", this.#random.pick(["0", "0", "20mb", "2mb"])]],
      [1, ["client-query-buffer-limit", this.#random.pick(["1gb", "2mb"])]],
      [2, ["server.turn_max_microseconds", this.#random.pick(["50", "1000", "100000"])]],
      [1, ["hash-max-listpack-entries", this.#random.pick(["4", "512"])]],
      [1, ["zset-max-listpack-entries", this.#random.pick(["4", "128"])]],
      [1, ["set-max-intset-entries", this.#random.pick(["4", "512"])]],
      [1, ["slowlog-log-slower-than", this.#random.pick(["0", "10000", "-1"])]],
      [1, ["lazyfree-lazy-user-del", this.#random.pick(["yes", "no"])]],
    ]);
    if (this.#random.chance(0.1)) return ["DEBUG", "SET-ACTIVE-EXPIRE", this.#random.pick(["0", "1"])];
    return ["CONFIG", "SET", name, value];
  }

  /** MONITOR that is read for a moment, or not at all. */
  async #monitored(): Promise<void> {
    const client = await this.#another();
    this.#aside.push(client);
    client.keepRaw = true;
    if (this.#random.chance(0.5)) client.pause();
    client.write(encodeCommand(["MONITOR"]));
    await Bun.sleep(this.#random.below(100));
    client.reset();
  }

  /** Closes the oldest of those aside when there are more than `most`. */
  #dropAside(most: number): void {
    this.#aside = this.#aside.filter((client) => !client.isClosed);
    while (this.#aside.length > this.#random.below(most)) {
      const client = this.#aside.shift()!;
      if (this.#random.chance(0.5)) client.reset();
      else client.close();
    }
  }
}

/** Some end a turn's pipeline of `pinnedAndDeleted`, some let it pass. */
const OUTPUT_LIMITS = [
  "normal 600000 0 0",
  "normal 0 0 0",
  `normal ${LARGE_BYTES} 0 0`,
  "normal 65536 0 0",
  "normal 4194304 1048576 1",
  "normal 20971520 0 0",
];
