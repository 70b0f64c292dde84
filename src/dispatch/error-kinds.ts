/**
 * Error kinds: how often each error code was replied. Each worker counts in its own cells, and INFO sums over all workers.
 *
 *   slot, words  0 │ bytes of the name, 0 = free │ 7 words of name │ count, a double │
 *
 * Invariant
 *   ERROR-KINDS-1  the length is written last, so that a reader sees a complete name or a free slot
 */
import { assert } from "../base/assert.ts";
import { type Control, ERROR_KINDS_AT, ERROR_KINDS_WORDS } from "../memory/control.ts";

/**
 * Most error codes with a count of their own, as in Redis, so that made-up codes cannot fill memory. The last slot counts
 * all others.
 */
export const KINDS_MAX = 128;
const OVERFLOW = "ERRORSTATS_OVERFLOW";
const SLOT_WORDS = 10;
const COUNT_AT = 8;
const NAME_BYTES = 28;
/** Redis looks for the end of the code within this many bytes, including the leading minus. */
const CODE_WITHIN = 31;
assert((KINDS_MAX + 1) * SLOT_WORDS <= ERROR_KINDS_WORDS, "the kinds fit behind a worker's counters");

export class ErrorKinds {
  private readonly slots = new Map<string, number>();
  private readonly own: number;
  /** Errors that this worker has counted since its start: an error that a script hands on counts once. */
  total = 0;

  constructor(
    private readonly control: Control,
    worker: number,
  ) {
    this.own = control.workerAt(worker) + ERROR_KINDS_AT;
  }

  /** Counts an error reply by its code. */
  count(text: string): void {
    this.total++;
    const end = text.indexOf(" ");
    const code = end > 0 && end < CODE_WITHIN ? text.slice(0, Math.min(end, NAME_BYTES)) : "ERR";
    const slot = this.slots.get(code) ?? this.newSlot(code);
    const at = (slot + COUNT_AT) >>> 1;
    this.control.f64[at] = this.control.f64[at]! + 1;
  }

  private newSlot(code: string): number {
    if (this.slots.size >= KINDS_MAX && code !== OVERFLOW) return this.slots.get(OVERFLOW) ?? this.newSlot(OVERFLOW);
    const { i32 } = this.control;
    const slot = this.own + this.slots.size * SLOT_WORDS;
    this.slots.set(code, slot);
    for (let i = 0; i < code.length; i++) {
      const word = slot + 1 + (i >>> 2);
      i32[word] = (i % 4 === 0 ? 0 : i32[word]!) | ((code.charCodeAt(i) & 0xff) << ((i % 4) * 8));
    }
    Atomics.store(i32, slot, code.length);
    return slot;
  }

  /** Sets this worker's counts to 0. */
  reset(): void {
    const { i32, f64 } = this.control;
    for (const slot of this.slots.values()) {
      Atomics.store(i32, slot, 0);
      f64[(slot + COUNT_AT) >>> 1] = 0;
    }
    this.slots.clear();
  }

  /** Counts of all workers, ordered by code. At most KINDS_MAX codes, and one sum for the others. */
  sums(): [code: string, count: number][] {
    const { control } = this;
    const { i32, f64 } = control;
    const sums = new Map<string, number>();
    for (let worker = 0; worker < control.geometry.workers; worker++) {
      let slot = control.workerAt(worker) + ERROR_KINDS_AT;
      for (let kind = 0; kind <= KINDS_MAX; kind++, slot += SLOT_WORDS) {
        const length = Atomics.load(i32, slot);
        if (length === 0) break;
        let code = "";
        for (let i = 0; i < length; i++) {
          code += String.fromCharCode((i32[slot + 1 + (i >>> 2)]! >>> ((i % 4) * 8)) & 0xff);
        }
        if (!sums.has(code) && sums.size >= KINDS_MAX) code = OVERFLOW;
        sums.set(code, (sums.get(code) ?? 0) + f64[(slot + COUNT_AT) >>> 1]!);
      }
    }
    return [...sums].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}
