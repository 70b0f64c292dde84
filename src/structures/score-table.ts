/**
 * Score table: members with scores that a command gathers before it replies or stores them (ZUNION, ZRANGESTORE,
 * GEOSEARCH). The members' bytes are contiguous; a hash table finds them.
 *
 *   member i │ bytes from ends[i - 1] to ends[i] │ scores[i] │
 *   order    │ indices of the remaining members, in the order of insertion or, after `sort`, of a sorted set
 */
import { compareBytes, copy, equal } from "../base/bytes.ts";
import { hashOf } from "./hash.ts";

const FIRST_MEMBERS = 256;
/** Larger buffers are released before the next command. */
const REUSED_BYTES_MAX = 4 << 20;

export class ScoreTable {
  bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_MEMBERS * 16);
  scores = new Float64Array(FIRST_MEMBERS);
  order = new Int32Array(FIRST_MEMBERS);
  /** Number of remaining members: the length of `order`. */
  count = 0;
  /** Bytes of all members. */
  used = 0;
  private ends = new Int32Array(FIRST_MEMBERS);
  private members = 0;
  /** Hash table of indices plus 1. The first `find` creates it. */
  private slots = NO_SLOTS;

  constructor(private readonly seed: number) {}

  /** Removes all members. */
  clear(): void {
    this.count = 0;
    this.used = 0;
    this.members = 0;
    this.slots = NO_SLOTS;
    if (this.bytes.length > REUSED_BYTES_MAX || this.scores.length * 8 > REUSED_BYTES_MAX) {
      this.bytes = Buffer.allocUnsafeSlow(FIRST_MEMBERS * 16);
      this.scores = new Float64Array(FIRST_MEMBERS);
      this.order = new Int32Array(FIRST_MEMBERS);
      this.ends = new Int32Array(FIRST_MEMBERS);
    }
  }

  startOf(i: number): number {
    return i === 0 ? 0 : this.ends[i - 1]!;
  }
  bytesOf(i: number): number {
    return this.ends[i]! - this.startOf(i);
  }

  /** Length of the longest remaining member, bytes. */
  get longest(): number {
    let longest = 0;
    for (let n = 0; n < this.count; n++) longest = Math.max(longest, this.bytesOf(this.order[n]!));
    return longest;
  }

  /** Adds a member that is not in the table. Not allowed after a member was removed from `order`. */
  add(b: Uint8Array, at: number, length: number, score: number): void {
    const i = this.members;
    if (i === this.scores.length) this.widen();
    if (this.used + length > this.bytes.length) {
      const wider = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.used + length));
      this.bytes.copy(wider, 0, 0, this.used);
      this.bytes = wider;
    }
    copy(b, at, this.bytes, this.used, length);
    this.used += length;
    this.ends[i] = this.used;
    this.scores[i] = score;
    this.order[i] = i;
    this.members = i + 1;
    this.count = i + 1;
    if (this.slots !== NO_SLOTS) {
      if (this.members * 2 > this.slots.length) this.makeSlots();
      else this.fileMember(i);
    }
  }

  /** Index of a member; -1 = not in the table. */
  find(b: Uint8Array, at: number, length: number): number {
    if (this.slots === NO_SLOTS) this.makeSlots();
    const { slots, bytes } = this;
    const mask = slots.length - 1;
    for (let slot = hashOf(b, at, length, this.seed) & mask; ; slot = (slot + 1) & mask) {
      const i = slots[slot]! - 1;
      if (i < 0) return -1;
      if (this.bytesOf(i) === length && equal(bytes, this.startOf(i), b, at, length)) return i;
    }
  }

  /** Sorts `order` as a sorted set: by score, then by bytes. */
  sort(): void {
    const { scores, bytes } = this;
    this.order.subarray(0, this.count).sort((i, j) => {
      const order = scores[i]! - scores[j]!;
      // The difference of two equal infinities is NaN.
      if (order < 0 || order > 0) return order;
      return compareBytes(bytes, this.startOf(i), this.bytesOf(i), bytes, this.startOf(j), this.bytesOf(j));
    });
  }

  private makeSlots(): void {
    let slots = 1024;
    while (slots < this.members * 4) slots *= 2;
    this.slots = new Int32Array(slots);
    for (let i = 0; i < this.members; i++) this.fileMember(i);
  }

  private fileMember(i: number): void {
    const { slots } = this;
    const mask = slots.length - 1;
    let slot = hashOf(this.bytes, this.startOf(i), this.bytesOf(i), this.seed) & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = i + 1;
  }

  private widen(): void {
    const members = this.scores.length * 2;
    const scores = new Float64Array(members);
    scores.set(this.scores);
    this.scores = scores;
    const order = new Int32Array(members);
    order.set(this.order);
    this.order = order;
    const ends = new Int32Array(members);
    ends.set(this.ends);
    this.ends = ends;
  }
}

const NO_SLOTS = new Int32Array(0);
