/**
 * Members gathered outside the shard memory: what SINTER, SUNION and SDIFF work out, and pages of SSCAN. A list in the
 * order they came; with `add` each member once, found by its hash.
 *
 *   bytes │ member │ member │ ...      starts, lengths, hashes: a number each      table: open-addressed, 0 = empty, i + 1
 *
 * One per use and thread. `clear` lets large buffers go.
 */
import { copy, equal } from "../base/bytes.ts";

/** Above this the buffers are not kept for the next use. */
const KEPT_BYTES = 1 << 20;
const FIRST_BYTES = 16 << 10;
const FIRST_MEMBERS = 256;
const GONE = -1;

export class MemberList {
  bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  starts = new Int32Array(FIRST_MEMBERS);
  lengths = new Int32Array(FIRST_MEMBERS);
  hashes = new Int32Array(FIRST_MEMBERS);
  private table = new Int32Array(FIRST_MEMBERS * 2);
  count = 0;
  /** Bytes of the members gathered, those that went again included. */
  used = 0;
  private gone = 0;

  clear(): void {
    if (this.bytes.length > KEPT_BYTES) this.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    if (this.starts.length * 4 > KEPT_BYTES) {
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
    this.gone = 0;
  }
  private isHashed = false;

  /** Members that are there: `count` less those that went. */
  get present(): number {
    return this.count - this.gone;
  }

  append(b: Uint8Array, at: number, length: number, hash: number): void {
    if (this.used + length > this.bytes.length) {
      const wider = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.used + length));
      this.bytes.copy(wider, 0, 0, this.used);
      this.bytes = wider;
    }
    if (this.count === this.starts.length) this.widen();
    const i = this.count++;
    this.starts[i] = this.used;
    this.lengths[i] = length;
    this.hashes[i] = hash;
    copy(b, at, this.bytes, this.used, length);
    this.used += length;
  }

  private widen(): void {
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

  /** Appends a member that is not there yet. A list is used by `append` or by `add`, never by both. */
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

  /** Takes a member out again that `add` put in. */
  remove(b: Uint8Array, at: number, length: number, hash: number): boolean {
    const i = this.find(b, at, length, hash);
    if (i < 0) return false;
    this.lengths[i] = GONE;
    this.gone++;
    return true;
  }

  /** Index of a member that `add` put in, -1 = none. */
  private find(b: Uint8Array, at: number, length: number, hash: number): number {
    const mask = this.table.length - 1;
    for (let slot = hash & mask; this.table[slot] !== 0; slot = (slot + 1) & mask) {
      const i = this.table[slot]! - 1;
      if (this.hashes[i] !== hash || this.lengths[i] !== length) continue;
      if (equal(this.bytes, this.starts[i]!, b, at, length)) return i;
    }
    return -1;
  }

  /** True when member `i` is still there. */
  has(i: number): boolean {
    return this.lengths[i] !== GONE;
  }

  /** Puts member `i` at `target`, at or before it: for who keeps some of a list. */
  keep(i: number, target: number): void {
    this.starts[target] = this.starts[i]!;
    this.lengths[target] = this.lengths[i]!;
    this.hashes[target] = this.hashes[i]!;
  }

  /** Closes the gaps that `remove` left; only reading may follow. */
  close(): void {
    let kept = 0;
    for (let i = 0; i < this.count; i++) if (this.has(i)) this.keep(i, kept++);
    this.count = kept;
    this.gone = 0;
  }
}

function wider(from: Int32Array<ArrayBuffer>, size: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(size);
  to.set(from);
  return to;
}
