/** How far the loading of a file is: in INFO all the time, and in the log once a second. */
import type { Logger } from "../base/log.ts";
import type { SaveState } from "../persistence/save-state.ts";

const EVERY_MS = 1000;

export class LoadProgress {
  private toldMs: number;

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
