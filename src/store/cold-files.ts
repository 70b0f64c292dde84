/**
 * Segment files as all threads know them: a table in the control block. What is in them is described in cold.ts, and who
 * writes and reads them in tier/.
 *
 *   state │ number of the last file │
 *   slot  │ number of the file, 0 = free │ units written │ units of values that are referred to │ their number │ pins │
 *
 * A file's slot is its number modulo COLD_FILES. Numbers are never used twice, so a reference to a cold value means the same
 * bytes for ever. A save pins the files that it will read values from: the records may change meanwhile.
 *
 * Invariants
 *   COLDFILE-1  a file is unlinked only when no record refers to it, and no pin is left
 *   COLDFILE-2  the live units and records of a file are those of the records with Encoding.Cold that name it
 *   COLDFILE-3  a file is pinned by a holder of the lock of a record that refers to it: one without records gets no pin
 * Locking: Atomics. The worker that made a file is the only one that writes its first two words.
 */
import { assert } from "../base/assert.ts";
import { COLD_FILES, COLD_FILE_WORDS, COLD_STATE_AT, type Control } from "../memory/control.ts";

const NUMBER = 0;
const WRITTEN = 1;
const LIVE = 2;
const RECORDS = 3;
const PINS = 4;

/** Sums over all files. */
export interface ColdTotals {
  files: number;
  writtenUnits: number;
  liveUnits: number;
  records: number;
  /** Dead units of the files that are due for compaction. */
  debtUnits: number;
  /** Lowest and highest number of a file, 0 = there is none. */
  oldest: number;
  newest: number;
}

export class ColdFiles {
  private readonly c: Int32Array;
  private readonly first: number;

  constructor(control: Control) {
    this.c = control.i32;
    this.first = control.coldFilesAt;
  }

  private slotOf(file: number): number {
    return this.first + (file % COLD_FILES) * COLD_FILE_WORDS;
  }

  /** Enters a new file. Returns its number, 0 when the table is full. */
  open(): number {
    const { c } = this;
    for (let tries = 0; tries < COLD_FILES; tries++) {
      const file = Atomics.add(c, COLD_STATE_AT, 1) + 1;
      const at = this.slotOf(file);
      if (Atomics.compareExchange(c, at + NUMBER, 0, file) !== 0) continue;
      c[at + WRITTEN] = 0;
      Atomics.store(c, at + LIVE, 0);
      Atomics.store(c, at + RECORDS, 0);
      Atomics.store(c, at + PINS, 0);
      return file;
    }
    return 0;
  }

  /** The file is no more: its slot is free. */
  close(file: number): void {
    assert(this.isOpen(file), "a file that is closed was opened");
    assert(!this.isNeeded(file), "no record refers to a file that is closed, and nobody pins it (COLDFILE-1)");
    Atomics.store(this.c, this.slotOf(file) + NUMBER, 0);
  }

  isOpen(file: number): boolean {
    return Atomics.load(this.c, this.slotOf(file) + NUMBER) === file;
  }
  writtenUnits(file: number): number {
    return this.c[this.slotOf(file) + WRITTEN]!;
  }
  setWritten(file: number, units: number): void {
    this.c[this.slotOf(file) + WRITTEN] = units;
  }
  liveUnits(file: number): number {
    return Atomics.load(this.c, this.slotOf(file) + LIVE);
  }
  liveRecords(file: number): number {
    return Atomics.load(this.c, this.slotOf(file) + RECORDS);
  }

  /** The file stays until `unpin`, also when no record refers to it any more. */
  pin(file: number): void {
    const at = this.slotOf(file);
    assert(this.liveRecords(file) > 0, "a file that is pinned has a record (COLDFILE-3)");
    Atomics.add(this.c, at + PINS, 1);
  }
  unpin(file: number): void {
    const before = Atomics.sub(this.c, this.slotOf(file) + PINS, 1);
    assert(before > 0, "a pin is released once");
  }
  /** As pin, for the owner of a file that refers to it: it stays although no record may refer to it yet, or any more. */
  keep(file: number): void {
    assert(this.isOpen(file), "a file that is kept is there");
    Atomics.add(this.c, this.slotOf(file) + PINS, 1);
  }
  /** False when the file may be unlinked. The records are counted first: without one nobody pins it (COLDFILE-3). */
  isNeeded(file: number): boolean {
    return this.liveRecords(file) > 0 || Atomics.load(this.c, this.slotOf(file) + PINS) > 0;
  }

  /** A record refers to `units` of a file from now on, or, with -1, no longer. */
  count(file: number, units: number, records: 1 | -1): void {
    const at = this.slotOf(file);
    assert(this.c[at + NUMBER] === file, "a record refers to a file that is there (COLDFILE-1)");
    Atomics.add(this.c, at + LIVE, units * records);
    Atomics.add(this.c, at + RECORDS, records);
  }

  // ---- files that outlive the process (persistence/stop-image.ts): no worker is at work ----

  /** The files that records refer to: their numbers. */
  needed(): number[] {
    const { c, first } = this;
    const numbers: number[] = [];
    for (let at = first; at < first + COLD_FILES * COLD_FILE_WORDS; at += COLD_FILE_WORDS)
      if (c[at + NUMBER] !== 0 && c[at + RECORDS]! > 0) numbers.push(c[at + NUMBER]!);
    return numbers;
  }
  /** Number of the last file that was ever opened. */
  get last(): number {
    return Atomics.load(this.c, COLD_STATE_AT);
  }
  /** Enters a file of the process before this one. No number up to `last` is used again. */
  adopt(file: number, written: number, live: number, records: number, last: number): void {
    const { c } = this;
    const at = this.slotOf(file);
    assert(c[at + NUMBER] === 0, "a file is adopted into a free slot");
    c[at + WRITTEN] = written;
    c[at + LIVE] = live;
    c[at + RECORDS] = records;
    c[at + PINS] = 0;
    Atomics.store(c, at + NUMBER, file);
    Atomics.store(c, COLD_STATE_AT, last);
  }

  /** `deadFraction`: share of a file that may be dead (storage.compaction_threshold). */
  totals(deadFraction = 1): ColdTotals {
    const { c, first } = this;
    const totals = { files: 0, writtenUnits: 0, liveUnits: 0, records: 0, debtUnits: 0, oldest: 0, newest: 0 };
    if (Atomics.load(c, COLD_STATE_AT) === 0) return totals;
    for (let at = first; at < first + COLD_FILES * COLD_FILE_WORDS; at += COLD_FILE_WORDS) {
      if (c[at + NUMBER] === 0) continue;
      totals.files++;
      const file = c[at + NUMBER]!;
      const written = c[at + WRITTEN]!;
      const live = c[at + LIVE]!;
      totals.writtenUnits += written;
      totals.liveUnits += live;
      totals.records += c[at + RECORDS]!;
      if (written - live > written * deadFraction) totals.debtUnits += written - live;
      totals.oldest = totals.oldest === 0 ? file : Math.min(totals.oldest, file);
      totals.newest = Math.max(totals.newest, file);
    }
    return totals;
  }
}
