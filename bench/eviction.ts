/**
 * A cache in front of something: hit ratio, throughput and memory under each eviction policy, Ferrite beside redis-server.
 *
 * Keys are drawn by Zipf's law (exponent 0.99, scattered over the key space) from a working set of 3 times max_memory in
 * keys and values. Each batch is 16 GETs, and SETs of the keys that the last batch missed, with a deadline under volatile
 * policies. Both servers get the same keys from the same seed. The first part fills the cache, and the rest is measured.
 *
 *   hit ratio      of the GETs of the second part
 *   requests/s     GETs and SETs of the second part; the client uses a share of the machine's cores
 *   CPU/request    user and system time of the server process
 *   peak RSS       largest VmRSS of the whole run, and without the pages of files (RssAnon + RssShmem)
 */
import { type Server, type ServerKind, residentBytes, startFerrite, startRedis } from "../test/support/servers.ts";
import { Random } from "../src/base/random.ts";
import { Options, printHead, processTimes, table, timesBetween } from "./machine.ts";
import { strideFor, Zipf } from "./zipf.ts";

const POLICIES = [
  "allkeys-lru",
  "allkeys-lfu",
  "allkeys-random",
  "volatile-lru",
  "volatile-lfu",
  "volatile-random",
  "volatile-ttl",
];
const MIB = 2 ** 20;
const KEY_BYTES = 16;
const INFO_FIELDS = [
  "used_memory",
  "used_memory_dataset",
  "used_memory_rss",
  "used_memory_heap",
  "mem_frames_bytes",
  "total_eviction_exceeded_time",
];

const options = new Options(
  {
    memory: "max_memory in MiB, default 256",
    value: "bytes of a value, or least-most (uniform by key); default 400",
    policies: "which, comma-separated; default all that evict",
    servers: "ferrite,redis: which, in this order; default both",
    workers: "workers of Ferrite, default 1",
    connections: "connections, default 32",
    requests: "GETs counted, default 2m",
    fill: "GETs before those that count, default 3 times the keys that fit",
    rate: "requests per second at most, 0 = as many as can be; default 0",
    seed: "default 1",
    info: "print what INFO says of memory after each run",
  },
  "bun bench/eviction.ts [options]: hit ratio, throughput and memory of a cache",
);

const memoryBytes = options.number("memory", 256) * MIB;
const [valueLeast, valueMost = valueLeast] = options.text("value", "400").split("-").map(Number) as [number, number?];
const meanBytes = KEY_BYTES + (valueLeast + valueMost) / 2;
const keys = Math.floor((memoryBytes * 3) / meanBytes);
const counted = options.number("requests", 2e6);
const filling = options.number("fill", Math.floor((keys / 3) * 3));
const connections = options.number("connections", 32);
const rate = options.number("rate", 0);
const seed = options.number("seed", 1);
const PIPELINE = 16;

/** A number in 0 .. 2^32 - 1 that belongs to a key. */
function mix(n: number): number {
  let z = Math.imul(n ^ (n >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

function valueBytesOf(key: number): number {
  return valueLeast + (valueMost > valueLeast ? mix(key) % (valueMost - valueLeast + 1) : 0);
}

const MINUS = 45;
const DOLLAR = 36;
const GET_HEAD = Buffer.from("*2\r\n$3\r\nGET\r\n$16\r\n");
const SET_HEAD = Buffer.from("*3\r\n$3\r\nSET\r\n$16\r\n");
const SET_EX_HEAD = Buffer.from("*5\r\n$3\r\nSET\r\n$16\r\n");
const VALUE = Buffer.alloc(valueMost, "v");

/** One connection: sends the requests that `write` makes, counts replies, and reports nulls with the number of their reply. */
class Connection {
  private readonly out = Buffer.allocUnsafe(PIPELINE * (valueMost + 256));
  private outAt = 0;
  private pending = 0;
  private skip = 0;
  private replies = 0;
  nulls: number[] = [];
  errors = 0;
  private done: () => void = () => {};
  private socket!: Bun.Socket;

  static async open(port: number): Promise<Connection> {
    const connection = new Connection();
    connection.socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, bytes) => connection.receive(bytes),
        drain: () => connection.flush(),
        close: () => connection.done(),
      },
    });
    return connection;
  }

  get(key: number): void {
    this.outAt += GET_HEAD.copy(this.out, this.outAt);
    this.key(key);
    this.pending++;
  }
  set(key: number, seconds: number): void {
    this.outAt += (seconds > 0 ? SET_EX_HEAD : SET_HEAD).copy(this.out, this.outAt);
    this.key(key);
    const bytes = valueBytesOf(key);
    this.text(`$${bytes}\r\n`);
    this.outAt += VALUE.copy(this.out, this.outAt, 0, bytes);
    this.text(seconds > 0 ? `\r\n$2\r\nEX\r\n$4\r\n${seconds}\r\n` : "\r\n");
    this.pending++;
  }
  private text(text: string): void {
    this.outAt += this.out.write(text, this.outAt, "latin1");
  }
  /** "k", 15 digits and a line end. */
  private key(key: number): void {
    const { out } = this;
    out[this.outAt] = 107;
    for (let digit = KEY_BYTES - 1; digit > 0; digit--) {
      const rest = Math.floor(key / 10);
      out[this.outAt + digit] = 48 + key - rest * 10;
      key = rest;
    }
    out[this.outAt + KEY_BYTES] = 13;
    out[this.outAt + KEY_BYTES + 1] = 10;
    this.outAt += KEY_BYTES + 2;
  }

  /** Sends the written requests. Resolves when every reply has come. */
  send(): Promise<void> {
    this.replies = 0;
    this.nulls = [];
    this.sent = 0;
    return new Promise((resolve) => {
      this.done = resolve;
      this.flush();
    });
  }
  private sent = 0;
  private flush(): void {
    this.sent += this.socket.write(this.out.subarray(this.sent, this.outAt));
  }

  private receive(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.skip > 0) {
        const part = Math.min(this.skip, bytes.length - at);
        at += part;
        this.skip -= part;
        continue;
      }
      const byte = bytes[at++]!;
      if (byte === 10) {
        this.take();
        continue;
      }
      // A line: its type, then the digits of a length, or an error.
      if (this.type === MINUS) this.error += String.fromCharCode(byte);
      if (this.type === 0) this.type = byte;
      else if (byte === MINUS) this.isNull = this.type === DOLLAR;
      else if (byte >= 48 && byte <= 57) this.length = this.length * 10 + byte - 48;
    }
    if (this.replies < this.pending || this.skip > 0) return;
    this.pending = 0;
    this.outAt = 0;
    this.done();
  }
  private type = 0;
  private length = 0;
  private error = "";
  private isNull = false;

  /** Takes a line that has ended. */
  private take(): void {
    if (this.isNull) this.nulls.push(this.replies);
    else if (this.type === DOLLAR) this.skip = this.length + 2;
    else if (this.type === MINUS && this.errors++ === 0) console.error(this.error);
    this.replies++;
    this.type = 0;
    this.error = "";
    this.length = 0;
    this.isNull = false;
  }

  close(): void {
    this.socket.end();
  }
}

interface Result {
  server: ServerKind;
  policy: string;
  hitRatio: number;
  perSecond: number;
  cpuUs: number;
  peakTotal: number;
  peakAnonymous: number;
  usedBytes: number;
  evicted: number;
  errors: number;
}

async function infoOf(server: Server): Promise<Map<string, number>> {
  const client = await server.connect();
  const reply = await client.command("INFO");
  client.close();
  const text = reply.type === "bulk" ? String(reply.value) : "";
  return new Map(text.split("\r\n").map((line): [string, number] => [line.split(":")[0]!, Number(line.split(":")[1])]));
}

async function run(kind: ServerKind, policy: string): Promise<Result> {
  const settings = { maxmemory: String(memoryBytes), "maxmemory-policy": policy };
  const server =
    kind === "ferrite"
      ? await startFerrite({ workers: options.number("workers", 1), settings })
      : await startRedis({ settings });
  let peakTotal = 0;
  let peakAnonymous = 0;
  const watch = setInterval(() => {
    const { total, anonymous } = residentBytes(server.pid);
    peakTotal = Math.max(peakTotal, total);
    peakAnonymous = Math.max(peakAnonymous, anonymous);
  }, 50);
  try {
    const zipf = new Zipf(keys, 0.99, new Random(seed));
    const stride = strideFor(keys);
    const isVolatile = policy.startsWith("volatile");
    const clients = await Promise.all(Array.from({ length: connections }, () => Connection.open(server.port)));
    let gets = 0;
    let hits = 0;
    let sets = 0;
    const startMs = performance.now();
    let begun = 0;
    const part = async (total: number): Promise<void> => {
      let left = total;
      await Promise.all(
        clients.map(async (client) => {
          const drawn = new Int32Array(PIPELINE);
          const missed = new Int32Array(PIPELINE);
          let misses = 0;
          while (left > 0) {
            left -= PIPELINE;
            // The keys that the last batch missed are set together with the next batch's GETs.
            for (let i = 0; i < misses; i++) client.set(missed[i]!, isVolatile ? 3600 + (mix(missed[i]!) % 3600) : 0);
            for (let i = 0; i < PIPELINE; i++) {
              drawn[i] = (zipf.next() * stride) % keys;
              client.get(drawn[i]!);
            }
            await client.send();
            gets += PIPELINE;
            sets += misses;
            begun += PIPELINE + misses;
            const before = misses;
            misses = 0;
            for (const reply of client.nulls) missed[misses++] = drawn[reply - before]!;
            hits += PIPELINE - misses;
            if (rate > 0) {
              const ahead = (begun / rate) * 1000 - (performance.now() - startMs);
              if (ahead > 1) await Bun.sleep(ahead);
            }
          }
        }),
      );
    };
    await part(filling);
    gets = 0;
    hits = 0;
    sets = 0;
    const before = processTimes(server.pid);
    const from = performance.now();
    await part(counted);
    const seconds = (performance.now() - from) / 1000;
    const used = timesBetween(before, processTimes(server.pid));
    const info = await infoOf(server);
    if (options.has("info")) {
      for (const name of INFO_FIELDS) console.error(`  ${name}: ${info.get(name)}`);
    }
    const errors = clients.reduce((sum, client) => sum + client.errors, 0);
    for (const client of clients) client.close();
    return {
      server: kind,
      policy,
      hitRatio: hits / gets,
      perSecond: (gets + sets) / seconds,
      cpuUs: (used.userUs + used.systemUs) / (gets + sets),
      peakTotal,
      peakAnonymous,
      usedBytes: info.get("used_memory") ?? 0,
      evicted: info.get("evicted_keys") ?? 0,
      errors,
    };
  } finally {
    clearInterval(watch);
    await server.stop();
  }
}

printHead(
  `ferrite eviction: max_memory ${memoryBytes / MIB} MiB, ${keys} keys of ${KEY_BYTES} bytes, values of ${options.text("value", "400")}, ${connections} connections × ${PIPELINE}`,
);
const rows: string[][] = [
  ["policy", "server", "hit ratio", "requests/s", "CPU us", "peak RSS", "without files", "used", "evicted", "errors"],
];
const share = (bytes: number): string => `${((bytes / memoryBytes) * 100).toFixed(1)} %`;
for (const policy of options.list("policies", POLICIES.join(","))) {
  for (const kind of options.list("servers", "ferrite,redis") as ServerKind[]) {
    const result = await run(kind, policy);
    rows.push([
      policy,
      kind,
      `${(result.hitRatio * 100).toFixed(2)} %`,
      `${(result.perSecond / 1000).toFixed(0)} k`,
      result.cpuUs.toFixed(2),
      share(result.peakTotal),
      share(result.peakAnonymous),
      share(result.usedBytes),
      String(result.evicted),
      String(result.errors),
    ]);
    console.error(rows.at(-1)!.join("  "));
  }
}
console.log(table(rows));
