/**
 * MemberList: members gathered outside shared memory, such as the results of SINTER, SUNION and SDIFF, and pages of SSCAN.
 * The list is in the order in which they came. `add` finds members by their hash and enters each only once.
 *
 *   bytes                    │ member │ member │ ...
 *   starts, lengths, hashes  a number for each member
 *   table                    open-addressed: index of the member + 1, 0 = empty
 *
 * Each use has its own list per thread. `clear` releases large buffers.
 */
import { copy, equal } from "../base/bytes.ts";

/** Larger buffers are not reused. */
const REUSED_BYTES_MAX = 1 << 20;
const FIRST_BYTES = 16 << 10;
const FIRST_MEMBERS = 256;
const REMOVED = -1;

export class MemberList {
  bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  starts = new Int32Array(FIRST_MEMBERS);
  lengths = new Int32Array(FIRST_MEMBERS);
  hashes = new Int32Array(FIRST_MEMBERS);
  private table = new Int32Array(FIRST_MEMBERS * 2);
  count = 0;
  /** Bytes of the members, including the removed ones. */
  used = 0;
  private removed = 0;

  clear(): void {
    if (this.bytes.length > REUSED_BYTES_MAX) this.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    if (this.starts.length * 4 > REUSED_BYTES_MAX) {
      this.starts = new Int32Array(FIRST_MEMBERS);
      this.lengths = new Int32Array(FIRST_MEMBERS);
      this.hashes = new Int32Array(FIRST_MEMBERS);
      this.table = new Int32Array(FIRST_MEMBERS * 2);
    } else if (this.isHashed) {
      this.table.fill(0);
    }
    this.isHashed = false;
    this.count = 0;
    this.used = 0;
    this.removed = 0;
  }
  private isHashed = false;

  /** Number of members without the removed ones. */
  get present(): number {
    return this.count - this.removed;
  }

  append(b: Uint8Array, at: number, length: number, hash: number): void {
    if (this.used + length > this.bytes.length) {
      const wider = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.used + length));
      this.bytes.copy(wider, 0, 0, this.used);
      this.bytes = wider;
    }
    if (this.count === this.starts.length) this.grow();
    const i = this.count++;
    this.starts[i] = this.used;
    this.lengths[i] = length;
    this.hashes[i] = hash;
    copy(b, at, this.bytes, this.used, length);
    this.used += length;
  }

  private grow(): void {
    const size = this.starts.length * 2;
    this.starts = wider(this.starts, size);
    this.lengths = wider(this.lengths, size);
    this.hashes = wider(this.hashes, size);
    this.table = new Int32Array(size * 2);
    if (!this.isHashed) return;
    const mask = size * 2 - 1;
    for (let i = 0; i < this.count; i++) {
      let slot = this.hashes[i]! & mask;
      while (this.table[slot] !== 0) slot = (slot + 1) & mask;
      this.table[slot] = i + 1;
    }
  }

  /** Appends a member that is not in the list. A list is filled by `append` or by `add`, never by both. */
  add(b: Uint8Array, at: number, length: number, hash: number): boolean {
    this.isHashed = true;
    if (this.find(b, at, length, hash) >= 0) return false;
    this.append(b, at, length, hash);
    const mask = this.table.length - 1;
    let slot = hash & mask;
    while (this.table[slot] !== 0) slot = (slot + 1) & mask;
    this.table[slot] = this.count;
    return true;
  }

  /** Removes a member that `add` entered. */
  remove(b: Uint8Array, at: number, length: number, hash: number): boolean {
    const i = this.find(b, at, length, hash);
    if (i < 0) return false;
    this.lengths[i] = REMOVED;
    this.removed++;
    return true;
  }

  /** Index of a member that `add` entered, -1 = none. */
  private find(b: Uint8Array, at: number, length: number, hash: number): number {
    const mask = this.table.length - 1;
    for (let slot = hash & mask; this.table[slot] !== 0; slot = (slot + 1) & mask) {
      const i = this.table[slot]! - 1;
      if (this.hashes[i] !== hash || this.lengths[i] !== length) continue;
      if (equal(this.bytes, this.starts[i]!, b, at, length)) return i;
    }
    return -1;
  }

  /** True when member `i` is not removed. */
  has(i: number): boolean {
    return this.lengths[i] !== REMOVED;
  }

  /** Moves member `i` to index `target`, at or before it. For callers that keep only some members. */
  moveTo(i: number, target: number): void {
    this.starts[target] = this.starts[i]!;
    this.lengths[target] = this.lengths[i]!;
    this.hashes[target] = this.hashes[i]!;
  }

  /** Closes the gaps of removed members. Only reading may follow. */
  compact(): void {
    let kept = 0;
    for (let i = 0; i < this.count; i++) if (this.has(i)) this.moveTo(i, kept++);
    this.count = kept;
    this.removed = 0;
  }
}

function wider(from: Int32Array<ArrayBuffer>, size: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(size);
  to.set(from);
  return to;
}
