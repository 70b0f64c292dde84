/**
 * Save state: the state of saves and of the load at the start that all workers share, as doubles in the control block. INFO and LASTSAVE
 * read it anywhere; the thread that saves or loads writes it.
 */
import { type Control, PERSISTENCE_AT } from "../memory/control.ts";

const FIELDS = [
  /** Wall ms of the last good save; of the start before the first one. */
  "lastSaveMs",
  /** 1 when the last background save failed; the length of the last one, s, and -1 before the first. */
  "hasFailed",
  "lastSeconds",
  /** Saves since the start. */
  "saves",
  /** Changes counted when the last good save began. */
  "savedChanges",
  /** Keys at the cut of the background save under way. */
  "keysInAll",
  /** When the last background save failed, wall ms. */
  "failedMs",
  /** When the background save under way began, wall ms, 0 = none; changes at its cut. */
  "saveBeganMs",
  "cutChanges",
  /** 1 when a background save is to begin when it can. */
  "isScheduled",
  /** The load at the start: wall ms when it began, bytes of the file, and bytes read so far. */
  "loadBeganMs",
  "loadBytes",
  "loadedBytes",
  /** Keys of the last load: stored, and left out because they had expired. */
  "loadedKeys",
  "expiredKeys",
] as const;
const HAS_FAILED = FIELDS.indexOf("hasFailed");
export type SaveField = (typeof FIELDS)[number];

export class SaveState {
  private readonly f64: Float64Array;
  private readonly at: number;

  constructor(control: Control) {
    this.f64 = control.f64;
    this.at = PERSISTENCE_AT >>> 1;
  }

  get(field: SaveField): number {
    return this.f64[this.at + FIELDS.indexOf(field)]!;
  }
  set(field: SaveField, value: number): void {
    this.f64[this.at + FIELDS.indexOf(field)] = value;
  }

  /** The last background save failed. */
  get hasFailed(): boolean {
    return this.f64[this.at + HAS_FAILED] !== 0;
  }

  /** A background save begins. */
  beginSave(nowMs: number): void {
    this.set("saveBeganMs", nowMs);
    this.set("keysInAll", 0);
  }

  /** It has ended. */
  endSave(nowMs: number, hasFailed: boolean): void {
    this.set("lastSeconds", Math.round((nowMs - this.get("saveBeganMs")) / 1000));
    this.set("saveBeganMs", 0);
    this.set("hasFailed", hasFailed ? 1 : 0);
    if (hasFailed) {
      this.set("failedMs", nowMs);
      return;
    }
    this.set("lastSaveMs", nowMs);
    this.set("savedChanges", this.get("cutChanges"));
    this.set("saves", this.get("saves") + 1);
  }
}
