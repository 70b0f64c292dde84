/**
 * Who monitors, and the way of the lines there: each worker gathers those of its commands in a turn and sends them, over
 * the main thread, to the workers with connections that monitor. There they wait a moment and are put in the order of
 * their times, so that a monitor sees one order over all workers.
 *
 * Bounded: lines under way or waiting are at most BEHIND_MAX bytes for each worker that makes them. Whoever cannot take
 * them as fast as they are made is disconnected, as by an output limit.
 */
import type { Clock } from "../base/clock.ts";
import type { MonitorFeed } from "../dispatch/command-observer.ts";
import { Replies } from "../dispatch/session.ts";
import type { Client } from "./client.ts";
import type { MonitorBatch, ToMain } from "./messages.ts";

/** Bytes of lines of one worker that may be under way. */
const BEHIND_MAX = 64 << 20;
/** Lines are shown when they are this old, so that those of other workers are there too. */
const HOLD_MICROS = 30_000;
const SHOW_EVERY_MS = 5;

interface Line {
  readonly wallMicros: number;
  readonly bytes: Buffer;
  readonly from: number;
}

export class Monitors {
  /** Connections of this worker, and since when (wall microseconds) each monitors. */
  private readonly clients = new Map<Client, number>();
  /** Workers with connections that monitor. */
  private readonly receivers = new Set<number>();
  private lines: Buffer[] = [];
  private times: number[] = [];
  private isSending = false;
  /** Bytes sent and not yet shown everywhere. */
  private behind = 0;
  private isOverrun = false;
  private waiting: Line[] = [];
  private timer: Timer | null = null;

  constructor(
    private readonly worker: number,
    private readonly clock: Clock,
    private readonly tell: (message: ToMain) => void,
  ) {}

  /** What the observer of this worker's commands calls; null while nobody monitors. */
  get feed(): MonitorFeed | null {
    return this.receivers.size > 0 ? this.gather : null;
  }

  get isEmpty(): boolean {
    return this.clients.size === 0;
  }

  add(client: Client): void {
    this.clients.set(client, this.clock.wallMicros());
  }

  /** Returns false when the client did not monitor. */
  remove(client: Client): boolean {
    return this.clients.delete(client);
  }

  /** Another worker, or this one, has connections that monitor now, or none any more. */
  setReceiver(worker: number, receives: boolean): void {
    if (receives) this.receivers.add(worker);
    else this.receivers.delete(worker);
    if (this.receivers.size === 0) this.behind = 0;
  }

  private readonly gather: MonitorFeed = (line, wallMicros) => {
    if (this.isOverrun || this.behind + line.length > BEHIND_MAX) {
      this.isOverrun = true;
    } else {
      this.behind += line.length * this.receivers.size;
      this.lines.push(line);
      this.times.push(wallMicros);
    }
    if (this.isSending) return;
    this.isSending = true;
    setImmediate(() => this.send());
  };

  private send(): void {
    this.isSending = false;
    const ends = endsOf(this.lines);
    // An array of its own: of a part of Node's pool, the whole pool would be sent.
    const bytes = new Uint8Array(ends.at(-1) ?? 0);
    this.lines.forEach((line, i) => {
      bytes.set(line, ends[i]! - line.length);
    });
    const batch: MonitorBatch = {
      bytes,
      ends,
      wallMicros: this.times,
      isOverrun: this.isOverrun,
    };
    this.lines = [];
    this.times = [];
    this.isOverrun = false;
    this.tell({ kind: "monitored", worker: this.worker, to: [...this.receivers], batch });
  }

  /** `bytes` of what this worker sent were shown, or dropped, by a receiver. */
  taken(bytes: number): void {
    this.behind = Math.max(0, this.behind - bytes);
  }

  /** Takes lines of a worker for the connections here. */
  receive(from: number, batch: MonitorBatch): void {
    const bytes = Buffer.from(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.byteLength);
    let at = 0;
    batch.ends.forEach((end, i) => {
      this.waiting.push({ wallMicros: batch.wallMicros[i]!, bytes: bytes.subarray(at, end), from });
      at = end;
    });
    if (batch.isOverrun) for (const client of [...this.clients.keys()]) client.overrun();
    this.timer ??= setTimeout(this.show, SHOW_EVERY_MS);
  }

  private readonly show = () => {
    this.timer = null;
    const before = this.clock.wallMicros() - HOLD_MICROS;
    this.waiting.sort((a, b) => a.wallMicros - b.wallMicros);
    let count = this.waiting.length;
    while (count > 0 && this.waiting[count - 1]!.wallMicros > before) count--;
    const due = this.waiting.splice(0, count);
    for (const [client, since] of this.clients) {
      const shown = due.filter((line) => line.wallMicros >= since).map((line) => line.bytes);
      if (shown.length > 0 && client.session.replies === Replies.On) client.push(Buffer.concat(shown));
    }
    const taken = new Map<number, number>();
    for (const { from, bytes } of due) taken.set(from, (taken.get(from) ?? 0) + bytes.length);
    for (const [to, bytes] of taken) this.tell({ kind: "monitorTaken", to, bytes });
    if (this.waiting.length > 0) this.timer = setTimeout(this.show, SHOW_EVERY_MS);
  };
}

function endsOf(lines: readonly Buffer[]): number[] {
  let at = 0;
  return lines.map((line) => {
    at += line.length;
    return at;
  });
}
