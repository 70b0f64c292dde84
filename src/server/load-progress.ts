/** How far the loading of a file is: in INFO all the time, and in the log once a second. */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { SaveState } from "../persistence/save-state.ts";

const EVERY_MS = 1000;

interface Told {
  readonly log: Pick<Logger, "info">;
  readonly state: SaveState;
}

export class LoadProgress {
  private toldMs: number;

  /** That of the first worker, for a load that begins now; null in others. */
  static of(worker: number, { log, state }: Told, clock: Clock): LoadProgress | null {
    if (worker !== 0) return null;
    state.set("loadBeganMs", clock.wallMs());
    return new LoadProgress(log, state, clock.monotonicMs());
  }

  constructor(
    private readonly log: Pick<Logger, "info">,
    private readonly state: SaveState,
    private readonly beganMs: number,
  ) {
    this.toldMs = beganMs;
  }

  /** Notes that `done` of `total` bytes are loaded. */
  note(nowMs: number, done: number, total: number): void {
    this.state.set("loadBytes", total);
    this.state.set("loadedBytes", done);
    if (nowMs - this.toldMs < EVERY_MS) return;
    this.toldMs = nowMs;
    const share = done / total;
    const left = share > 0 ? `, about ${(((nowMs - this.beganMs) / 1000) * (1 / share - 1)).toFixed(0)} s left` : "";
    this.log.info(`loading: ${(share * 100).toFixed(0)} %${left}`);
  }
}
