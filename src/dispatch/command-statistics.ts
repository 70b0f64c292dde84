/**
 * Command statistics: how often each command ran and how long it took. Slow commands go to the slow log and the latency
 * monitor from here.
 *
 *   a worker's part of the control block, in doubles; a row is a command or a subcommand
 *        counters ├ of each row: calls │ nanoseconds │ rejected │ failed │ 4 free ┤   together: INFO reads all of them
 *        octaves  ├ of each row: 24 totals ───────────────────────────────────────┤
 *        buckets  ├ of each row: 3056 ────────────────────────────────────────────┤
 *   bucket of v ns: v itself below 256, then 128 per octave (two significant digits, as Redis's histograms), 1 ns to 1 s
 *
 * A reading of the clock costs 32 ns, a tenth of a pipelined GET. So the commands of a batch are timed together: the clock
 * is read where the batch begins and ends, and where another command follows. The time of a *run* of one command is divided
 * evenly among its calls. `usec` is therefore exact, and the histogram has the mean of each run. A command that may be slow
 * is timed alone (STATISTICS-2, STATISTICS-3).
 *
 * Invariants
 *   STATISTICS-1  only its worker writes a row; the total of an octave is the sum of its buckets
 *   STATISTICS-2  only commands that always cost about the same, and little, share a run (`isConstant`)
 *   STATISTICS-3  a command that takes TICK_MS or more ends its run: after each command the clock's tick is compared. It is
 *                 given the time of the run less what its predecessors usually take. With a threshold below TICK_MS, or a
 *                 clock without a tick, every command is timed by itself. Inside EXEC and scripts the tick is compared after
 *                 every eighth command of a run.
 *   STATISTICS-4  a run ends with its batch at the latest, and before a command is refused
 *   STATISTICS-5  a command that waits for keys counts once, when its wait is over; not at all when its client leaves first
 */
import type { Clock } from "../base/clock.ts";
import { TICK_MS } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import { type Logger, type LogTargets, WARN } from "../base/log.ts";
import { assert } from "../base/assert.ts";
import { type Control, STATISTICS_ROW_WORDS, STATISTICS_ROWS } from "../memory/control.ts";
import { ColdWaits } from "../store/cold.ts";
import type { Call } from "./call.ts";
import { argumentsOf, CommandLog, type LogEntry, LogType } from "./command-log.ts";
import { ErrorKinds } from "./error-kinds.ts";
import { type LatencyEvent, LatencyMonitor } from "./latency-monitor.ts";
import type { Session } from "./session.ts";
import { ADMIN, ALL_SHARDS, type CommandSpec, FAST, SKIP_SLOWLOG } from "./spec.ts";
import type { CommandTable } from "./command-table.ts";

const CALLS = 0;
const NANOS = 1;
const REJECTED = 2;
const FAILED = 3;
const COUNTERS = 8;
/** Octaves of a histogram: octave n has the durations below 256 ns * 2^n that no octave before it has. */
export const OCTAVES = 24;
const BUCKETS = 3056;
const OCTAVES_AT = STATISTICS_ROWS * COUNTERS;
const BUCKETS_AT = OCTAVES_AT + STATISTICS_ROWS * OCTAVES;
/** Longest duration that the histogram distinguishes, ns. Longer ones count as this. */
const NANOS_MAX = 1e9;
/** LATENCY HISTOGRAM's first bound is 1024 ns: octave 3 begins there. */
const FIRST_BOUND_OCTAVE = 3;
/** The last bound, ns. */
const HISTOGRAM_END = 2 ** 30 - 1;
/** Commands of a run inside EXEC or a script between two comparisons of the tick: a power of two. */
const INNER_COMMANDS = 8;
assert(
  (COUNTERS + OCTAVES + BUCKETS) * 2 === STATISTICS_ROW_WORDS,
  "a statistics row is its counters, octaves and buckets",
);
assert(octaveOf(NANOS_MAX) < OCTAVES, "the longest time has an octave");
assert(bucketOf(NANOS_MAX, octaveOf(NANOS_MAX)) < BUCKETS, "the longest time has a bucket");

/** Octave 0 covers durations below 256 ns. Octave n begins at 128 << n. */
function octaveOf(nanos: number): number {
  return nanos < 256 ? 0 : 24 - Math.clz32(nanos);
}
function bucketOf(nanos: number, octave: number): number {
  return octave * 128 + (nanos >>> octave);
}
/** First bucket of an octave. */
function firstBucket(octave: number): number {
  return octave === 0 ? 0 : octave * 128 + 128;
}
/** Largest time, ns, that falls into a bucket. */
function bucketEnd(bucket: number): number {
  if (bucket < 256) return bucket;
  const octave = (bucket >>> 7) - 1;
  return (bucket - octave * 128 + 1) * 2 ** octave - 1;
}

/** A request to the statistics of all workers. */
export type StatisticsAsk =
  /** Only entries with IDs below `before` count, which excludes the asking command itself. */
  | { what: "log"; type: LogType; before: number }
  | { what: "resetLog"; type: LogType; before: number }
  | { what: "latency" }
  /** An empty list means all events. */
  | { what: "resetLatency"; events: readonly string[] };
export type StatisticsAnswer =
  | { what: "log"; entries: readonly LogEntry[] }
  | { what: "latency"; events: readonly LatencyEvent[] }
  | { what: "done" };

/** Sums of a row over all workers. */
export interface RowSums {
  calls: number;
  nanos: number;
  rejected: number;
  failed: number;
}

export class CommandStatistics {
  readonly errors: ErrorKinds;
  readonly log: CommandLog;
  readonly latency: LatencyMonitor;
  /** The row of the current run, -1 = none, and the number of its commands so far. */
  row = -1;
  count = 0;
  /** When the run began, monotonic ms, and the last reading of the clock's tick. */
  private markMs = 0;
  private tickSeen = 0;
  /** No command has run since `markMs`: the next run begins there. */
  private isMarked = false;
  /** The last run of inner commands, which ends with the next reading of the clock. */
  private innerRow = -1;
  private innerCount = 0;
  private innerMarkMs = 0;
  /** 1 for the rows whose commands may share a run (STATISTICS-2). */
  private readonly shares: Uint8Array;
  /** True when every command is timed by itself (STATISTICS-3). */
  private each = false;
  /** True while each command is a run of its own. */
  private alone = false;
  /** The command at work was parked for so long, ms, for cold values. */
  private parkedMs = 0;
  /** The waits of this worker's commands for the disk. */
  coldWaits = new ColdWaits();
  /** Durations of at least this, ms, go to the slow log or the latency monitor; Infinity = none. */
  private slowMs = Number.POSITIVE_INFINITY;
  /** Durations of at least logMs go to the log; Infinity = none. */
  private logger: Logger | null = null;
  private logMs = Number.POSITIVE_INFINITY;
  private tracking = true;
  /** `sized` is called for requests and replies of at least these sizes, bytes; Infinity = never. */
  requestLimit = Number.POSITIVE_INFINITY;
  replyLimit = Number.POSITIVE_INFINITY;
  /** Commands run since the start. */
  commands = 0;
  private readonly f64: Float64Array;
  private readonly own: number;
  private readonly tick: () => number;

  constructor(
    private readonly control: Control,
    worker: number,
    readonly table: CommandTable,
    private readonly clock: Clock,
    private readonly config: Config,
  ) {
    this.f64 = control.f64;
    this.own = control.statisticsOf(worker) >>> 1;
    this.errors = new ErrorKinds(control, worker);
    this.log = new CommandLog(control, clock);
    this.latency = new LatencyMonitor(clock);
    this.shares = Uint8Array.from(table.rows, (spec) => (isConstant(spec) ? 1 : 0));
    this.tick = clock.tick ?? (() => clock.monotonicMs());
    this.configure();
    config.onChange("*", () => this.configure());
  }

  /** Slow commands are also written to the log. */
  logSlow(logs: LogTargets): void {
    this.logger = logs.target("commands");
    this.configure();
  }

  private configure(): void {
    const { log, latency, config } = this;
    const logMs = config.number("logging.slow_command_threshold");
    this.logMs = this.logger !== null && logMs > 0 ? logMs : Number.POSITIVE_INFINITY;
    log.setLimits(
      LogType.Slow,
      config.number("server.slowlog_log_slower_than"),
      config.number("server.slowlog_max_len"),
    );
    log.setLimits(
      LogType.LargeRequest,
      config.number("server.commandlog_request_larger_than"),
      config.number("server.commandlog_large_request_max_len"),
    );
    log.setLimits(
      LogType.LargeReply,
      config.number("server.commandlog_reply_larger_than"),
      config.number("server.commandlog_large_reply_max_len"),
    );
    this.requestLimit = log.least(LogType.LargeRequest);
    this.replyLimit = log.least(LogType.LargeReply);
    latency.thresholdMs = config.number("server.latency_monitor_threshold");
    this.slowMs = Math.min(
      log.least(LogType.Slow) / 1000,
      latency.thresholdMs > 0 ? latency.thresholdMs : Number.POSITIVE_INFINITY,
      this.logMs,
    );
    this.each = this.slowMs < TICK_MS || this.clock.tick === undefined;
    this.tracking = config.flag("server.latency_tracking");
  }

  // ---- timing, called by the dispatcher ----

  /** A command is queued. Its time counts as that of the first command inside EXEC, if EXEC comes in the same batch. */
  queues(): void {
    if (this.count > 0) this.endRun();
  }

  /** True for commands that share a run (STATISTICS-2). */
  isConstant(row: number): boolean {
    return this.shares[row] === 1;
  }

  /** A command of another row begins. It ends the current run and starts a new one. */
  beginRun(row: number): void {
    const isTickSeen = this.row >= 0 && !this.alone;
    if (this.row < 0) {
      if (!this.isMarked) this.markMs = this.clock.monotonicMs();
      this.isMarked = false;
    } else if (this.count > 0) {
      const now = this.clock.monotonicMs();
      this.account(this.row, this.count, now - this.markMs);
      this.markMs = now;
      this.count = 0;
    }
    this.row = row;
    this.alone = this.each || this.shares[row] === 0;
    if (!isTickSeen && !this.alone) this.tickSeen = this.tick();
  }

  /** As `ended`, when the same cheap command on the same key follows at once. The tick is compared after the last of a few. */
  continueRun(call: Call): void {
    this.count++;
    if (this.alone) this.close(call);
  }

  /** Commands inside the one at work follow (EXEC). Returns when that one began, for `endInner`. */
  beginInner(): number {
    const { markMs } = this;
    this.abandon();
    // What the outer command has done so far counts as the first inner one's: a reading of the clock would cost more.
    this.isMarked = true;
    return markMs;
  }
  /** The command of `spec`, which began at `markMs` and is timed by itself, goes on. */
  endInner(spec: CommandSpec, markMs: number): void {
    this.innerRow = this.row;
    this.innerCount = this.count;
    this.innerMarkMs = this.markMs;
    this.abandon();
    this.row = this.table.rowOf(spec);
    this.alone = true;
    this.markMs = markMs;
  }

  /** As `ended`, for a command inside another one. The tick is compared after every few commands of a run. */
  endedInner(call: Call): void {
    if (this.alone || (this.count & (INNER_COMMANDS - 1)) === INNER_COMMANDS - 1) this.ended(call, false);
    else this.count++;
  }

  /** A command of the run has ended. `isLast`: the batch or the connection's turn ends with it. */
  ended(call: Call, isLast: boolean): void {
    this.count++;
    if (isLast) {
      this.close(call);
      this.row = -1;
      return;
    }
    if (!this.alone) {
      const tick = this.tick();
      if (tick === this.tickSeen) return;
      this.tickSeen = tick;
    }
    this.close(call);
  }

  /** Ends the run with the command of `call`, and starts the next one. */
  private close(call: Call): void {
    const { row, count } = this;
    const now = this.clock.monotonicMs();
    const elapsed = now - this.markMs;
    this.markMs = now;
    this.count = 0;
    if (this.innerCount > 0) {
      this.account(this.innerRow, this.innerCount, now - this.innerMarkMs);
      this.innerCount = 0;
    }
    let last = elapsed;
    if (count > 1) {
      if (elapsed < TICK_MS) return this.account(row, count, elapsed);
      // A command was slow, and it must be the last one (STATISTICS-3).
      last = elapsed - this.accountTypical(row, count - 1, elapsed);
    }
    this.account(row, 1, last);
    const { parkedMs } = this;
    this.parkedMs = 0;
    if (last + parkedMs >= this.slowMs) this.reportSlow(call, last, parkedMs);
  }

  /** Counts the predecessors of a slow command with their average duration. Returns the time attributed to them. */
  private accountTypical(row: number, count: number, mostMs: number): number {
    const at = this.own + row * COUNTERS;
    const calls = this.f64[at + CALLS]!;
    const typical = calls > 0 ? this.f64[at + NANOS]! / calls / 1e6 : 0;
    const given = Math.min(typical * count, mostMs / 2);
    this.account(row, count, given);
    return given;
  }

  /** The command returned Retry. It does not count, and its time is attributed to no command. */
  retried(): void {
    if (this.count > 0) this.accountTypical(this.row, this.count, this.clock.monotonicMs() - this.markMs);
    this.abandon();
  }

  /**
   * The current command of `session` was parked for cold values, and has run again. The wait counts for the slow log, and not
   * as time of the command.
   */
  coldRead(session: Session): void {
    const { coldWaits } = this;
    const sinceMs = session.coldSinceMs;
    session.coldSinceMs = 0;
    // The command that waited was refused, and this is another one.
    if (session.commands !== session.coldCommand + 1) return;
    this.parkedMs = Math.max(0, this.markMs - sinceMs);
    this.alone = true;
    coldWaits.parked++;
    coldWaits.parkedMs += this.parkedMs;
    this.latency.sample("cold-read", Math.floor(this.parkedMs));
  }

  /** The current command, which is timed by itself, took `elapsedMs` in earlier steps. */
  tookBefore(elapsedMs: number): void {
    this.markMs -= elapsedMs;
  }

  /** Ends the run, because no command follows (STATISTICS-4). */
  endRun(): void {
    if (this.count > 0) this.account(this.row, this.count, this.clock.monotonicMs() - this.markMs);
    this.abandon();
  }

  /** The command of `call`, which is timed by itself, begins to wait for keys. It counts when the wait is over. */
  beginWait(call: Call, row: number): void {
    const now = this.clock.monotonicMs();
    const { log, latency } = this;
    const { session, spec } = call;
    const tookMs = now - this.markMs;
    const isLogged = log.least(LogType.Slow) !== Number.POSITIVE_INFINITY && (spec.flags & SKIP_SLOWLOG) === 0;
    session.waits = { row, spec, tookMs, servedMs: 0, args: isLogged ? argumentsOf(call) : null };
    latency.sample((spec.flags & FAST) !== 0 ? "fast-command" : "command", Math.floor(tookMs));
    this.abandon();
  }

  /** The wait of the session's command is over. Its duration is that of its execution and its reply, without the wait. */
  endWait(session: Session): void {
    const { waits } = session;
    if (waits === null) return;
    session.waits = null;
    const { row, tookMs, servedMs, args } = waits;
    this.account(row, 1, tookMs + servedMs);
    if (args !== null) {
      const micros = Math.floor((tookMs + servedMs) * 1000);
      if (micros >= this.log.least(LogType.Slow)) this.log.add(LogType.Slow, micros, args, session);
    }
    this.latency.sample("command-unblocking", Math.floor(servedMs));
  }

  /** Discards a run that an exception left open. */
  abandon(): void {
    this.row = -1;
    this.count = 0;
    this.isMarked = false;
    this.parkedMs = 0;
  }

  private account(row: number, count: number, elapsedMs: number): void {
    const { f64, own } = this;
    const at = own + row * COUNTERS;
    f64[at + CALLS] = f64[at + CALLS]! + count;
    f64[at + NANOS] = f64[at + NANOS]! + elapsedMs * 1e6;
    this.commands += count;
    if (!this.tracking) return;
    const nanos = Math.min(Math.max(Math.round((elapsedMs * 1e6) / count), 1), NANOS_MAX);
    const octave = octaveOf(nanos);
    const bucket = own + BUCKETS_AT + row * BUCKETS + bucketOf(nanos, octave);
    f64[bucket] = f64[bucket]! + count;
    const total = own + OCTAVES_AT + row * OCTAVES + octave;
    f64[total] = f64[total]! + count;
  }

  /** `parkedMs`: it was parked for so long before, which the slow log and the log count too. */
  private reportSlow(call: Call, elapsedMs: number, parkedMs: number): void {
    const { spec, session } = call;
    const tookMs = elapsedMs + parkedMs;
    const coldMs = parkedMs + this.coldWaits.blockedMs;
    if (tookMs >= this.logMs && this.logger!.level <= WARN) {
      // Without its arguments: they are data.
      this.logger!.warn("slow command", {
        duration_ms: Math.round(tookMs * 1000) / 1000,
        ...(coldMs > 0 ? { cold_read_ms: Math.round(coldMs * 1000) / 1000 } : {}),
        command: spec.name.replace("|", " "),
        arguments: call.argCount,
        client: session.id,
        addr: session.address,
      });
    }
    const micros = Math.floor(tookMs * 1000);
    // EXEC leaves the slow log to its commands; its wait is its own.
    if ((spec.flags & SKIP_SLOWLOG) === 0 || parkedMs > 0) this.log.offer(LogType.Slow, micros, call, coldMs);
    this.latency.sample((spec.flags & FAST) !== 0 ? "fast-command" : "command", Math.floor(elapsedMs));
  }

  /** Logs the command if its request or its reply is large. Sizes in bytes. */
  sized(call: Call, requestBytes: number, replyBytes: number): void {
    if ((call.spec.flags & SKIP_SLOWLOG) !== 0) return;
    let request = requestBytes;
    for (const value of call.staged) request += value.total;
    this.log.offer(LogType.LargeRequest, request, call, 0);
    this.log.offer(LogType.LargeReply, replyBytes, call, 0);
  }

  /** Counts a command of `row` that was refused before it ran. */
  rejected(row: number): void {
    const at = this.own + row * COUNTERS + REJECTED;
    this.f64[at] = this.f64[at]! + 1;
  }
  /** Counts a command of `row` that replied an error. */
  failed(row: number): void {
    const at = this.own + row * COUNTERS + FAILED;
    this.f64[at] = this.f64[at]! + 1;
  }

  /** Counts a command of `row` that was running while the counters were reset. */
  countAgain(row: number, elapsedMs: number): void {
    this.account(row, 1, elapsedMs);
  }

  /** Sets this worker's counters to 0. */
  reset(): void {
    const { f64, own } = this;
    for (let row = 0; row < this.table.rows.length; row++) {
      if (f64[own + row * COUNTERS + CALLS] === 0) continue;
      f64.fill(0, own + OCTAVES_AT + row * OCTAVES, own + OCTAVES_AT + (row + 1) * OCTAVES);
      f64.fill(0, own + BUCKETS_AT + row * BUCKETS, own + BUCKETS_AT + (row + 1) * BUCKETS);
    }
    f64.fill(0, own, own + OCTAVES_AT);
    this.errors.reset();
  }

  answer(ask: StatisticsAsk): StatisticsAnswer {
    switch (ask.what) {
      case "log":
        return { what: "log", entries: this.log.entries(ask.type, ask.before) };
      case "resetLog":
        this.log.clear(ask.type, ask.before);
        return { what: "done" };
      case "latency":
        return { what: "latency", events: this.latency.events() };
      case "resetLatency":
        return { what: "latency", events: this.latency.reset(ask.events) };
    }
  }

  // ---- sums over all workers ----

  /** Sets `sums` to the sums of `row`. Returns false if nothing was counted. */
  sum(row: number, sums: RowSums): boolean {
    const at = row * COUNTERS;
    sums.calls = this.sumAt(at + CALLS);
    sums.nanos = this.sumAt(at + NANOS);
    sums.rejected = this.sumAt(at + REJECTED);
    sums.failed = this.sumAt(at + FAILED);
    return sums.calls > 0 || sums.rejected > 0 || sums.failed > 0;
  }

  /** The sum of the numbers at `offset` of each worker's statistics. */
  private sumAt(offset: number): number {
    const { control, f64 } = this;
    let sum = 0;
    for (let worker = 0; worker < control.geometry.workers; worker++) {
      sum += f64[(control.statisticsOf(worker) >>> 1) + offset]!;
    }
    return sum;
  }
  private callsOf(row: number): number {
    return this.sumAt(row * COUNTERS + CALLS);
  }
  private bucketSum(row: number, bucket: number): number {
    return this.sumAt(BUCKETS_AT + row * BUCKETS + bucket);
  }

  /** Writes the octave totals of `row` into `octaves`. Returns the number of durations. */
  private octaves(row: number, octaves: Float64Array): number {
    let total = 0;
    for (let octave = 0; octave < OCTAVES; octave++) {
      const sum = this.sumAt(OCTAVES_AT + row * OCTAVES + octave);
      octaves[octave] = sum;
      total += sum;
    }
    return total;
  }
  /** Adds the durations of `row` to those in `octaves`. */
  addOctaves(row: number, octaves: Float64Array): void {
    for (let octave = 0; octave < OCTAVES; octave++)
      octaves[octave] = octaves[octave]! + this.sumAt(OCTAVES_AT + row * OCTAVES + octave);
  }
  private readonly scratch = new Float64Array(OCTAVES);

  /**
   * The durations, in us, that `percentiles` (0 to 100) of the calls of `row` did not exceed. Empty when no duration is
   * known.
   */
  percentiles(row: number, percentiles: readonly number[]): number[] {
    const { scratch } = this;
    if (this.callsOf(row) === 0) return [];
    const total = this.octaves(row, scratch);
    if (total === 0) return [];
    return percentiles.map((percentile) => {
      const rank = Math.max(1, Math.floor((percentile / 100) * total + 0.5));
      let seen = 0;
      let octave = 0;
      while (octave < OCTAVES - 1 && seen + scratch[octave]! < rank) seen += scratch[octave++]!;
      let bucket = firstBucket(octave);
      const last = firstBucket(octave + 1) - 1;
      for (; bucket < last; bucket++) {
        seen += this.bucketSum(row, bucket);
        if (seen >= rank) break;
      }
      // Redis's 0th percentile is the lower bound of the bucket of the shortest duration.
      return (percentile === 0 && bucket > 0 ? bucketEnd(bucket - 1) + 1 : bucketEnd(bucket)) / 1000;
    });
  }

  /** True when a duration of `row` was recorded. */
  hasHistogram(row: number): boolean {
    return this.callsOf(row) > 0 && this.octaves(row, this.scratch) > 0;
  }

  /**
   * The cumulative histogram of `row`, with bounds at the powers of two from 1024 ns: each bound in whole us, with the calls
   * up to it. Bounds that add no call are left out. Null when no duration was recorded.
   */
  histogram(row: number): { calls: number; bounds: [micros: number, calls: number][] } | null {
    if (this.callsOf(row) === 0) return null;
    const { scratch } = this;
    const calls = this.octaves(row, scratch);
    if (calls === 0) return null;
    const bounds: [number, number][] = [];
    let below = 0;
    let told = 0;
    for (let octave = 0; octave < OCTAVES; octave++) {
      // A bound counts the bucket that it lies in, the first of its octave.
      if (octave >= FIRST_BOUND_OCTAVE) {
        const bound = firstBucket(octave);
        const cumulated = below + (bound < BUCKETS ? this.bucketSum(row, bound) : 0);
        const micros = Math.floor((bound < BUCKETS ? bucketEnd(bound) : HISTOGRAM_END) / 1000);
        if (cumulated > told) bounds.push([micros, cumulated]);
        told = cumulated;
      }
      below += scratch[octave]!;
    }
    return { calls, bounds };
  }
}

/**
 * True for commands that always cost about the same, and little: the fast ones with a fixed number of keys, and some that
 * Redis does not call fast because it walks through a list or copies a string for them.
 */
function isConstant(spec: CommandSpec): boolean {
  if ((spec.flags & (ADMIN | ALL_SHARDS)) !== 0 || spec.keys.last < 0) return false;
  return (spec.flags & FAST) !== 0 || ALSO_CONSTANT.has(spec.name);
}
const ALSO_CONSTANT = new Set(["SET", "SETEX", "PSETEX", "SETBIT", "GEODIST", "LINDEX", "LSET"]);
