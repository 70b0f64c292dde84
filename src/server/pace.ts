/**
 * What the main thread does again and again while the server works. While all workers rest (background.ts), all of it is done
 * together once a second, so that an idle server hardly takes any CPU time.
 */
import { type Every, every, REST_MS } from "./background.ts";
import { Cell, type Cells } from "./cells.ts";

/** The workers are looked at so often. */
const LOOK_MS = 500;

interface Job {
  readonly everyMs: number;
  readonly work: () => void;
}

export class Pace {
  private readonly jobs: Job[] = [];
  private stops: (() => void)[] = [];
  private isResting = false;

  constructor(
    private readonly cells: Cells,
    private readonly workers: number,
    private readonly timer: Every = every,
  ) {
    this.every(LOOK_MS, () => this.look());
  }

  /** Has `work` done every `everyMs`, from now on. */
  every(everyMs: number, work: () => void): void {
    const job = { everyMs, work };
    this.jobs.push(job);
    if (!this.isResting) this.start(job);
  }

  private start({ everyMs, work }: Job): void {
    this.stops.push(this.timer(everyMs, work));
  }

  private look(): void {
    for (let worker = 0; worker < this.workers; worker++)
      if (this.cells.of(worker, Cell.isResting) !== 1) return this.awake();
    if (this.isResting) return;
    this.isResting = true;
    this.stop();
    const doAll = (): void => {
      for (const { work } of this.jobs) work();
    };
    this.stops.push(this.timer(REST_MS, doAll));
  }

  /** A worker rests no longer. */
  awake(): void {
    if (!this.isResting) return;
    this.isResting = false;
    this.stop();
    for (const job of this.jobs) this.start(job);
  }

  private stop(): void {
    for (const stop of this.stops.splice(0)) stop();
  }
}
