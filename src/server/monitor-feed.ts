/**
 * MONITOR over several workers. Each worker gathers the lines of its commands in a turn and sends them, over the main
 * thread, to the workers with monitoring connections. These hold them for a moment and sort them by time, so that a
 * monitoring client sees one order over all workers.
 *
 * At most PENDING_MAX bytes of the lines of one worker are sent and not yet shown. A connection that cannot keep up is
 * dropped, as by an output limit.
 */
import { soon } from "../base/soon.ts";
import type { Clock } from "../base/clock.ts";
import type { MonitorFeed } from "../dispatch/command-observer.ts";
import { Replies } from "../dispatch/session.ts";
import type { Client } from "./client.ts";
import type { MonitorBatch, ToMain } from "./messages.ts";

/** Most bytes of one worker's lines that are sent and not yet shown. */
const PENDING_MAX = 64 << 20;
/** Age at which lines are shown. By then the lines of other workers have arrived too. */
const HOLD_MICROS = 30_000;
const SHOW_EVERY_MS = 5;

interface Line {
  readonly wallMicros: number;
  readonly bytes: Buffer;
  readonly from: number;
}

export class Monitors {
  /** Monitoring connections of this worker, with the time at which each began, wall microseconds. */
  private readonly clients = new Map<Client, number>();
  /** Workers with monitoring connections. */
  private readonly receivers = new Set<number>();
  private lines: Buffer[] = [];
  private times: number[] = [];
  private isSending = false;
  /** Bytes of this worker's lines that are not yet shown by every receiver. */
  private pendingBytes = 0;
  private isOverrun = false;
  private waiting: Line[] = [];
  private timer: Timer | null = null;

  constructor(
    private readonly worker: number,
    private readonly clock: Clock,
    private readonly post: (message: ToMain) => void,
  ) {}

  /** Receives the lines of this worker's commands; null while no client monitors. */
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

  /** Sets whether `worker`, which may be this one, has monitoring connections. */
  setReceiver(worker: number, receives: boolean): void {
    if (receives) this.receivers.add(worker);
    else this.receivers.delete(worker);
    if (this.receivers.size === 0) this.pendingBytes = 0;
  }

  private readonly gather: MonitorFeed = (line, wallMicros) => {
    if (this.isOverrun || this.pendingBytes + line.length > PENDING_MAX) {
      this.isOverrun = true;
    } else {
      this.pendingBytes += line.length * this.receivers.size;
      this.lines.push(line);
      this.times.push(wallMicros);
    }
    if (this.isSending) return;
    this.isSending = true;
    soon(() => this.send());
  };

  private send(): void {
    this.isSending = false;
    const ends = endsOf(this.lines);
    // Not a Buffer of Node's pool, because the whole pool would be sent with it.
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
    this.post({ kind: "monitored", worker: this.worker, to: [...this.receivers], batch });
  }

  /** Called when a receiver has shown or dropped `bytes` of this worker's lines. */
  taken(bytes: number): void {
    this.pendingBytes = Math.max(0, this.pendingBytes - bytes);
  }

  /** Accepts lines of a worker for the connections here. */
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
    for (const [to, bytes] of taken) this.post({ kind: "monitorTaken", to, bytes });
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
