/**
 * Open-loop request generator: one process, blocking loop, Poisson schedule.   (run by latency.ts)
 *
 *   intended ──┬── lateness ──┬────── service ──────┐        latency = from the intended time to the reply, so a stalled
 *              due            sent                  reply    server (or generator) cannot hide requests it held up
 *
 * The schedule does not wait for replies (no coordinated omission). The loop sleeps in ppoll() with nanosecond timeouts
 * through bun:ffi, because the timers of an event loop are good to a millisecond only and would drown what is measured.
 * Its own lateness is recorded and reported: a result is void when that is a fifth of the latency.
 *
 * On a shared machine the server waits for a core like every process. If the plan names its threads, the kernel's account of
 * that time is read when a request leaves and when its reply arrives, and the difference is subtracted.
 *
 * Input: one JSON argument (GeneratorPlan). A byte on standard input, or its end, stops it. Output: one JSON line.
 */
import { dlopen, FFIType, suffix } from "bun:ffi";
import { build, type Histogram } from "hdr-histogram-js";
import { randomSource } from "./loader.ts";

export interface GeneratorPlan {
  port: number;
  connections: number;
  /** Requests per second over all connections. */
  rate: number;
  /** Upper bound of the run. */
  seconds: number;
  /** Share of GETs; the rest is PING. */
  getShare: number;
  /** GETs read key:%012d below this number; each must hold 64 bytes. */
  keys: number;
  seed: number;
  /** Share of the requests that are EXISTS of `watchedKey`: they wait for that key's shard. */
  watchShare?: number;
  watchedKey?: string;
  /** Workers of the server, and the one that runs the measured operation. Its connections are reported separately. */
  workers?: number;
  busyWorker?: number;
  /**
   * For each worker, the file in /proc with the time that its thread has waited for a core (schedstat). If given, that time
   * and the generator's own lateness are subtracted from each latency. The rest is the server's own time.
   */
  schedstats?: string[];
}

export interface LatencyFigures {
  count: number;
  p50Us: number;
  p99Us: number;
  p999Us: number;
  p9999Us: number;
  maxUs: number;
}
export interface GeneratorResult {
  seconds: number;
  sent: number;
  answered: number;
  get: LatencyFigures;
  ping: LatencyFigures;
  all: LatencyFigures;
  /** EXISTS of the watched key. */
  watch: LatencyFigures;
  /** PING and GET on connections of the busy worker, and of others. */
  near: LatencyFigures;
  far: LatencyFigures;
  lateness: LatencyFigures;
  /** Requests that took more than SLOW_US: their intended time (ms from the start), their duration, and their lateness. */
  slow: { atMs: number; us: number; lateUs: number; what: "ping" | "get" | "watch"; isNear: boolean }[];
}

const UNITS_PER_US = 10; // the histograms count tenths of a microsecond
const VALUE_BYTES = 64,
  PING = 0,
  GET = 1,
  WATCH = 2;
const NAMES = ["ping", "get", "watch"] as const;
const REPLY_BYTES = ["+PONG\r\n".length, `$${VALUE_BYTES}\r\n`.length + VALUE_BYTES + 2, ":1\r\n".length];
const REPLY_BEGINS = [43, 36, 58];
/** Beyond this a request was stalled, and is listed. */
const SLOW_US = 2000;
const SLOW_LISTED = 20_000;
const QUEUE = 1 << 16; // requests one connection may have outstanding
const AF_INET = 2,
  SOCK_STREAM = 1,
  IPPROTO_TCP = 6,
  TCP_NODELAY = 1,
  MSG_DONTWAIT = 0x40,
  MSG_NOSIGNAL = 0x4000,
  POLLIN = 1;
const PR_SET_TIMERSLACK = 29;

function histogram(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 2 ** 30,
    numberOfSignificantValueDigits: 3,
    bitBucketSize: 32,
  });
}

function figures(h: Histogram): LatencyFigures {
  const at = (percentile: number): number => h.getValueAtPercentile(percentile) / UNITS_PER_US;
  return {
    count: h.totalCount,
    p50Us: at(50),
    p99Us: at(99),
    p999Us: at(99.9),
    p9999Us: at(99.99),
    maxUs: h.maxValue / UNITS_PER_US,
  };
}

function generate(plan: GeneratorPlan): GeneratorResult {
  const i32 = FFIType.i32,
    pointer = FFIType.ptr,
    u64 = FFIType.u64_fast,
    i64 = FFIType.i64_fast;
  const libc = dlopen(`libc.${suffix}.6`, {
    socket: { args: [i32, i32, i32], returns: i32 },
    connect: { args: [i32, pointer, i32], returns: i32 },
    setsockopt: { args: [i32, i32, i32, pointer, i32], returns: i32 },
    send: { args: [i32, pointer, u64, i32], returns: i64 },
    recv: { args: [i32, pointer, u64, i32], returns: i64 },
    ppoll: { args: [pointer, u64, pointer, pointer], returns: i32 },
    open: { args: [pointer, i32], returns: i32 },
    pread: { args: [i32, pointer, u64, i64], returns: i64 },
    prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
  }).symbols;
  libc.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);

  const address = new Uint8Array(16);
  new DataView(address.buffer).setUint16(0, AF_INET, true);
  new DataView(address.buffer).setUint16(2, plan.port, false);
  address.set([127, 0, 0, 1], 4);
  const sockets = Array.from({ length: plan.connections }, () => {
    const fd = libc.socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || libc.connect(fd, address, 16) !== 0) throw new Error(`cannot connect to port ${plan.port}`);
    libc.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, new Int32Array([1]), 4);
    return fd;
  });

  const { workers = 1, busyWorker = 0, watchShare = 0, watchedKey = "" } = plan;
  const received = new Uint8Array(1 << 16);
  const workerOf = sockets.map((fd) => {
    if (workers < 2) return 0;
    const ask = Buffer.from("*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n");
    libc.send(fd, ask, ask.length, MSG_NOSIGNAL);
    const bytes = Number(libc.recv(fd, received, received.length, 0));
    const id = Number(Buffer.from(received.subarray(1, bytes)).toString("latin1"));
    return id % workers;
  });
  const isNear = workerOf.map((worker) => worker === busyWorker);
  const stats = (plan.schedstats ?? []).map((path) => {
    const fd = libc.open(Buffer.from(`${path}\0`), 0);
    if (fd < 0) throw new Error(`cannot open ${path}`);
    return fd;
  });
  const statBytes = Buffer.alloc(128);
  /** Nanoseconds for which the thread behind connection `c` has waited for a core so far. */
  const waitedNs = (c: number): number => {
    const fd = stats[workerOf[c]!];
    if (fd === undefined) return 0;
    libc.pread(fd, statBytes, statBytes.length, 0);
    let at = statBytes.indexOf(32) + 1;
    let ns = 0;
    for (; statBytes[at]! >= 48; at++) ns = ns * 10 + (statBytes[at]! - 48);
    return ns;
  };

  // struct pollfd { int fd; short events; short revents; }; the last one is standard input
  const polls = new Int16Array((plan.connections + 1) * 4),
    pollFds = new Int32Array(polls.buffer);
  [...sockets, 0].forEach((fd, i) => {
    pollFds[i * 2] = fd;
    polls[i * 4 + 2] = POLLIN;
  });
  const timeout = new BigInt64Array(2);

  const intended = sockets.map(() => new Float64Array(QUEUE)),
    kinds = sockets.map(() => new Uint8Array(QUEUE));
  const headAt = new Int32Array(plan.connections),
    tailAt = new Int32Array(plan.connections),
    got = new Int32Array(plan.connections);
  const ping = Buffer.from("*1\r\n$4\r\nPING\r\n"),
    get = Buffer.from("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000000\r\n");
  const watch = Buffer.from(`*2\r\n$6\r\nEXISTS\r\n$${watchedKey.length}\r\n${watchedKey}\r\n`);
  const digitsEnd = get.length - 3;
  const latency = [histogram(), histogram(), histogram()],
    near = histogram(),
    far = histogram(),
    lateness = histogram();
  const late = sockets.map(() => new Float64Array(QUEUE)),
    waited = sockets.map(() => new Float64Array(QUEUE));
  const slow: GeneratorResult["slow"] = [];
  const random = randomSource(plan.seed),
    meanGap = 1e9 / plan.rate;

  // The parent waits for this line, which says that the schedule begins.
  process.stderr.write("ready\n");
  const start = Bun.nanoseconds(),
    end = start + plan.seconds * 1e9;
  let due = start + meanGap,
    turn = 0,
    sent = 0,
    answered = 0,
    stopped = false;
  const drainUntil = end + 30e9;
  for (;;) {
    let now = Bun.nanoseconds();
    while (!stopped && due <= now && due < end) {
      const draw = random();
      const kind = draw < plan.getShare ? GET : draw >= 1 - watchShare ? WATCH : PING;
      if (kind === GET) {
        for (
          let key = Math.floor(random() * plan.keys), at = digitsEnd, left = 12;
          left > 0;
          left--, key = Math.floor(key / 10)
        )
          get[at--] = 48 + (key % 10);
      }
      const request = kind === GET ? get : kind === WATCH ? watch : ping,
        tail = tailAt[turn]!;
      if (((tail + 1) & (QUEUE - 1)) === headAt[turn])
        throw new Error(`${QUEUE} requests outstanding on one connection`);
      waited[turn]![tail] = waitedNs(turn);
      now = Bun.nanoseconds();
      if (Number(libc.send(sockets[turn]!, request, request.length, MSG_NOSIGNAL | MSG_DONTWAIT)) !== request.length)
        throw new Error("send failed: the socket is full or closed");
      lateness.recordValue(Math.max(1, Math.round(((now - due) / 1000) * UNITS_PER_US)));
      intended[turn]![tail] = due;
      late[turn]![tail] = now - due;
      kinds[turn]![tail] = kind;
      tailAt[turn] = (tail + 1) & (QUEUE - 1);
      turn = (turn + 1) % plan.connections;
      sent++;
      due += -Math.log(1 - random()) * meanGap;
    }
    if (due >= end || stopped) {
      if (answered === sent) break;
      if (now > drainUntil) break;
    }
    const wait = due >= end || stopped ? 100e6 : Math.max(0, due - Bun.nanoseconds());
    timeout[0] = BigInt(Math.floor(wait / 1e9));
    timeout[1] = BigInt(Math.floor(wait % 1e9));
    const pollCount = stopped ? plan.connections : plan.connections + 1;
    if (libc.ppoll(polls, pollCount, timeout, null) <= 0) continue;
    if (!stopped && polls[plan.connections * 4 + 3] !== 0) stopped = true;

    for (let c = 0; c < plan.connections; c++) {
      if (polls[c * 4 + 3] === 0) continue;
      const bytes = Number(libc.recv(sockets[c]!, received, received.length, MSG_DONTWAIT));
      if (bytes === 0) throw new Error("the server closed a connection");
      const arrived = Bun.nanoseconds();
      let at = 0;
      while (at < bytes) {
        const head = headAt[c]!,
          kind = kinds[c]![head]!;
        if (head === tailAt[c]) throw new Error("a reply without a request");
        if (got[c] === 0 && received[at] !== REPLY_BEGINS[kind]) {
          throw new Error(
            `unexpected reply: ${Buffer.from(received.subarray(at, Math.min(bytes, at + 80))).toString("latin1")}`,
          );
        }
        const taken = Math.min(bytes - at, REPLY_BYTES[kind]! - got[c]!);
        at += taken;
        got[c]! += taken;
        if (got[c] !== REPLY_BYTES[kind]) break;
        got[c] = 0;
        headAt[c] = (head + 1) & (QUEUE - 1);
        answered++;
        let us = (arrived - intended[c]![head]!) / 1000;
        if (stats.length > 0) us -= (late[c]![head]! + waitedNs(c) - waited[c]![head]!) / 1000;
        const units = Math.max(1, Math.round(us * UNITS_PER_US));
        latency[kind]!.recordValue(units);
        if (kind !== WATCH) (isNear[c]! ? near : far).recordValue(units);
        if (us > SLOW_US && slow.length < SLOW_LISTED) {
          const atMs = (intended[c]![head]! - start) / 1e6;
          slow.push({ atMs, us, lateUs: late[c]![head]! / 1000, what: NAMES[kind]!, isNear: isNear[c]! });
        }
      }
    }
  }
  const all = histogram();
  all.add(latency[PING]!);
  all.add(latency[GET]!);
  return {
    seconds: (Bun.nanoseconds() - start) / 1e9,
    sent,
    answered,
    ping: figures(latency[PING]!),
    get: figures(latency[GET]!),
    all: figures(all),
    watch: figures(latency[WATCH]!),
    near: figures(near),
    far: figures(far),
    lateness: figures(lateness),
    slow,
  };
}

if (import.meta.main) {
  console.log(JSON.stringify(generate(JSON.parse(process.argv[2]!) as GeneratorPlan)));
  process.exit(0);
}
