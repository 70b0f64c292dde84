/** A worker's side of a snapshot that becomes a file: it emits, one of the workers cuts, and all walk in slices. */
import { soon } from "../base/soon.ts";
import type { RdbPersistence } from "../persistence/rdb-persistence.ts";
import type { RdbFormat } from "../persistence/rdb-record.ts";
import { Step } from "../persistence/snapshot-run.ts";
import type { Engine } from "./engine.ts";
import type { ToMain, ToWorker } from "./messages.ts";
import type { SnapshotPurpose } from "./snapshot-messages.ts";
import { SnapshotOutlet } from "./snapshot-outlet.ts";

/** A slice of the walk, between two turns of the event loop; and the pause when it waits for something; ms. */
const SLICE_MS = 1;
const PAUSE_MS = 1;

export class SnapshotPart {
  private outlet: SnapshotOutlet | null = null;
  private format!: RdbFormat;

  constructor(
    private readonly engine: Engine,
    private readonly persistence: RdbPersistence,
    private readonly post: (message: ToMain) => void,
    private readonly guard: (work: () => void) => void,
  ) {}

  /** Takes a message of the main thread. Returns false when it is about something else. */
  receive(message: ToWorker): boolean {
    switch (message.kind) {
      case "snapshotPort":
        this.outlet = new SnapshotOutlet(message.port, message.queued);
        return true;
      case "snapshotPrepare":
        this.prepare(message.format);
        return true;
      case "snapshotCut":
        this.cut(message.purpose);
        return true;
      case "snapshotWalk":
        this.walk();
        return true;
      default:
        return false;
    }
  }

  private prepare(format: RdbFormat): void {
    this.format = format;
    // Before the cut every worker feeds the stream that begins with it.
    this.engine.noteReplication();
    this.persistence.run.prepare(this.outlet!, format);
    this.post({ kind: "snapshotReady" });
  }

  /** Cuts as soon as all locks are free. */
  private cut(purpose: SnapshotPurpose): void {
    this.guard(() => {
      this.engine.readClock();
      let position = 0;
      const header = this.persistence.cut(this.format, purpose === "base", () => {
        position = this.positionAtCut(purpose);
      });
      if (header === null) {
        setTimeout(() => this.cut(purpose), PAUSE_MS);
        return;
      }
      this.outlet!.header(header, position, this.persistence.state.get("keysInAll"));
      this.post({ kind: "snapshotCutDone", position });
    });
  }

  /** Called with all shard locks held. The first command behind a base, or behind a replica's snapshot, names its database. */
  private positionAtCut(purpose: SnapshotPurpose): number {
    const { effects, call } = this.engine;
    if (purpose === "sync") return call.replication!.stream.forceSelect();
    const { log } = effects;
    if (log === null) return 0;
    const position = log.end;
    if (purpose === "base") log.beginAnew();
    return position;
  }

  private walk(): void {
    const { engine, persistence, outlet } = this;
    const { run } = persistence;
    run.begin();
    const isBehind = () => outlet!.mustHoldWrites || run.mustHoldWrites;
    engine.dispatcher.mustHoldWrites = () => isBehind() && !run.snapshot.state.isDiscarded;
    const next = (): void =>
      this.guard(() => {
        engine.readClock();
        const step = run.step(engine.monotonicMs + SLICE_MS);
        if (step === Step.More) soon(next);
        else if (step === Step.Waits) setTimeout(next, PAUSE_MS);
        else engine.dispatcher.mustHoldWrites = null;
      });
    next();
  }
}
