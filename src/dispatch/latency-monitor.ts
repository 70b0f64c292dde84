/** Latency monitor: the events of this worker that took at least latency-monitor-threshold. It keeps the worst of each second. */
import type { Clock } from "../base/clock.ts";

/** Seconds kept of each event. */
export const SAMPLES_MAX = 160;

export interface LatencySample {
  atSeconds: number;
  ms: number;
}
export interface LatencyEvent {
  name: string;
  /** Oldest first, one a second. */
  samples: LatencySample[];
  /** The worst since the start or the last reset, ms. */
  worstMs: number;
}

export class LatencyMonitor {
  /** 0 = off. */
  thresholdMs = 0;
  private readonly byName = new Map<string, LatencyEvent>();

  constructor(private readonly clock: Clock) {}

  /** Records that `event` took `ms`, if that reaches the threshold. */
  sample(event: string, ms: number): void {
    if (this.thresholdMs === 0 || ms < this.thresholdMs) return;
    const atSeconds = Math.floor(this.clock.wallMs() / 1000);
    let found = this.byName.get(event);
    if (found === undefined) {
      found = { name: event, samples: [], worstMs: 0 };
      this.byName.set(event, found);
    }
    add(found, { atSeconds, ms });
    found.worstMs = Math.max(found.worstMs, ms);
  }

  events(): LatencyEvent[] {
    return [...this.byName.values()];
  }

  /** Removes the named events, or all without names. Returns the removed events. */
  reset(names: readonly string[]): LatencyEvent[] {
    const gone = this.events().filter(({ name }) => names.length === 0 || names.includes(name));
    for (const { name } of gone) this.byName.delete(name);
    return gone;
  }
}

function add(event: LatencyEvent, sample: LatencySample): void {
  const { samples } = event;
  const newest = samples.at(-1);
  if (newest?.atSeconds === sample.atSeconds) newest.ms = Math.max(newest.ms, sample.ms);
  else samples.push({ ...sample });
  if (samples.length > SAMPLES_MAX) samples.shift();
}

/** Merges the events of several workers by name. */
export function mergeEvents(all: readonly (readonly LatencyEvent[])[]): LatencyEvent[] {
  const merged = new Map<string, LatencyEvent>();
  for (const event of all.flat()) {
    const known = merged.get(event.name);
    if (known === undefined) {
      merged.set(event.name, { ...event, samples: [...event.samples] });
      continue;
    }
    known.samples.push(...event.samples);
    known.worstMs = Math.max(known.worstMs, event.worstMs);
  }
  const events = [...merged.values()];
  for (const event of events) {
    const samples = event.samples.sort((a, b) => a.atSeconds - b.atSeconds);
    event.samples = [];
    for (const sample of samples) add(event, sample);
  }
  return events.sort((a, b) => (a.name < b.name ? -1 : 1));
}
