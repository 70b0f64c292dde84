/**
 * The seam between the dispatcher and those that watch commands run: MONITOR (monitor-line.ts) and HOTKEYS (hot-keys.ts).
 *
 * The dispatcher's `observer` is null while neither is on, so that a command then costs nothing more. The slow log and
 * the latency monitor are no observers: command-statistics.ts feeds them, because it takes the time of each command anyway.
 */
import type { Clock } from "../base/clock.ts";
import type { Call } from "./call.ts";
import type { HotKeys } from "./hot-keys.ts";
import { isShown, monitorLine } from "./monitor-line.ts";
import type { Session } from "./session.ts";

/** Receives MONITOR's line for a command, and the time at which the command ran. */
export type MonitorFeed = (line: Buffer, wallMicros: number) => void;

const NO_VALUES: readonly Buffer[] = [];

export class CommandObserver {
  /** null = no client monitors. */
  feed: MonitorFeed | null = null;
  hotKeys: HotKeys | null = null;
  private values: readonly Buffer[] = NO_VALUES;
  private beganMs = 0;
  private replied = 0;

  constructor(
    private readonly clock: Clock,
    /** Address of a client as MONITOR shows it: "1.2.3.4:5", "unix:/path". */
    private readonly addressOf: (session: Session) => string,
  ) {}

  /** Called before a command runs, because its staged values are gone afterwards. `replied`: Reply.written. */
  begin(call: Call, replied: number): void {
    this.replied = replied;
    const { staged } = call;
    this.values = this.feed === null || staged.length === 0 ? NO_VALUES : staged.map((value) => value.copy());
    this.beganMs = this.clock.monotonicMs();
  }

  /** Called after a command ran. */
  end(call: Call, replied: number): void {
    const { hotKeys, feed } = this;
    if (hotKeys !== null) hotKeys.note(call, (this.clock.monotonicMs() - this.beganMs) * 1000, replied - this.replied);
    if (feed === null || !isShown(call.spec)) return;
    const wallMicros = this.clock.wallMicros();
    const from = `${call.session.db} ${call.isScript ? "lua" : this.addressOf(call.session)}`;
    feed(monitorLine(call, wallMicros, from, this.values), wallMicros);
    this.values = NO_VALUES;
  }
}
