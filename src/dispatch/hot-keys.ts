/**
 * One worker's part of a HOTKEYS session (Redis 8.6). Two sketches of bounded size estimate which keys take the most time and
 * the most network bytes. The time and bytes of a command (request and reply) are divided evenly among its keys.
 */
import { latin1Text } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { type KeySum, TopKeys } from "../structures/top-keys.ts";
import type { Call } from "./call.ts";
import { KeyArguments } from "./key-arguments.ts";

/** Keys in the sketch for each key that is reported. More of them make the estimate better. */
const COUNTED_PER_KEY = 10;
/** Longer keys are not counted, because a few of them would fill the memory of the sketch. */
const KEY_BYTES_MAX = 16 << 10;

export interface HotKeysOptions {
  byTime: boolean;
  byBytes: boolean;
  /** Keys to report. */
  count: number;
  /** 0 = until HOTKEYS STOP. */
  durationMs: number;
  /** One in this many commands is counted. */
  sampleRatio: number;
  /** Wall ms. */
  startMs: number;
}

/** What one worker counted. */
export interface HotKeysReport {
  options: HotKeysOptions;
  isActive: boolean;
  durationMs: number;
  /** Time in microseconds, and network bytes, of all commands that have keys. */
  micros: number;
  bytes: number;
  /** Processor time of the process since the start, ms. */
  userMs: number;
  systemMs: number;
  byTime: KeySum[];
  byBytes: KeySum[];
  /** Bytes that went into the sketch. */
  countedBytes: number;
}

/** A request to the HOTKEYS session, and the answer of one worker. false and null mean that there is no session. */
export type HotKeysAsk =
  | { action: "start"; options: HotKeysOptions }
  | { action: "stop"; nowMs: number }
  | { action: "get" }
  | { action: "reset" };
export type HotKeysAnswer = boolean | HotKeysReport | null;

/** One worker's part of a session. */
export class HotKeys {
  private readonly byTime: TopKeys | null;
  private readonly byBytes: TopKeys | null;
  private micros = 0;
  private bytes = 0;
  private stoppedMs = 0;
  private readonly cpu = process.cpuUsage();

  constructor(
    private readonly clock: Clock,
    private readonly options: HotKeysOptions,
    private readonly random: () => number = Math.random,
  ) {
    this.byTime = options.byTime ? new TopKeys(options.count * COUNTED_PER_KEY) : null;
    this.byBytes = options.byBytes ? new TopKeys(options.count * COUNTED_PER_KEY) : null;
  }

  /** False after the end of its duration, or after HOTKEYS STOP. */
  get isActive(): boolean {
    const { startMs, durationMs } = this.options;
    if (this.stoppedMs === 0 && durationMs > 0 && this.clock.wallMs() >= startMs + durationMs) {
      this.stoppedMs = startMs + durationMs;
    }
    return this.stoppedMs === 0;
  }

  /** Ends the session. Returns false when it has ended. */
  stop(nowMs: number): boolean {
    if (!this.isActive) return false;
    this.stoppedMs = nowMs;
    return true;
  }

  private readonly keyArguments = new KeyArguments();

  /** Counts the command of `call`, which took `micros` and replied `replyBytes`. */
  note(call: Call, micros: number, replyBytes: number): void {
    if (!this.isActive) return;
    const { keyArguments } = this;
    keyArguments.find(call, call.spec, 0, call.argCount);
    const keys = keyArguments.count;
    if (keys === 0) return;
    const whole = Math.round(micros);
    const bytes = requestBytes(call) + replyBytes;
    this.micros += whole;
    this.bytes += bytes;
    const { sampleRatio } = this.options;
    if (sampleRatio > 1 && this.random() * sampleRatio >= 1) return;
    for (let n = 0; n < keys; n++) {
      const i = keyArguments.at[n]!;
      if (call.argBytes(i) > KEY_BYTES_MAX) continue;
      const key = latin1Text(call.bytes, call.argAt(i), call.argBytes(i));
      this.byTime?.add(key, Math.floor(whole / keys));
      this.byBytes?.add(key, Math.floor(bytes / keys));
    }
  }

  /** Keys that are counted. */
  get keys(): number {
    return Math.max(this.byTime?.size ?? 0, this.byBytes?.size ?? 0);
  }

  report(): HotKeysReport {
    const { isActive, options } = this;
    const { user, system } = process.cpuUsage(this.cpu);
    return {
      options,
      isActive,
      durationMs: Math.max(0, (isActive ? this.clock.wallMs() : this.stoppedMs) - options.startMs),
      micros: this.micros,
      bytes: this.bytes,
      userMs: Math.floor(user / 1000),
      systemMs: Math.floor(system / 1000),
      byTime: this.byTime?.list() ?? [],
      byBytes: this.byBytes?.list() ?? [],
      countedBytes: this.byBytes?.total ?? 0,
    };
  }
}

/** Bytes of the request as an array of bulk strings. */
function requestBytes(call: Call): number {
  let bytes = digits(call.argCount) + 3;
  for (let i = 0; i < call.argCount; i++) bytes += digits(call.argBytes(i)) + call.argBytes(i) + 5;
  return bytes;
}

function digits(value: number): number {
  return value < 10 ? 1 : Math.floor(Math.log10(value)) + 1;
}
