/**
 * HybridLog of a shard: records are appended in segments (windows of up to 1 MiB) whose state is mutable, read-only or,
 * later, on disk. After FASTER (Chandramouli et al., SIGMOD 2018), with a segment table in place of one linear address.
 *
 * A dead record of a mutable segment goes into its shard's bin by size and is the next tenant's place (revivification):
 * a log that only appends copies 2.7 bytes per byte written at 85 % live, with bins none.
 *
 *   bin n (n ≤ 128) │ dead records of exactly n units │  above, four bins per doubling; each bin a list through
 *                                                        words 1 (next) and 2 (previous) of the dead records
 * Invariants
 *   G1  records tile a segment from 0 to its filled units: the next starts where the capacity of the last ends
 *   G2  live + dead in bins + dead outside bins = filled, per segment; a bin holds records of mutable segments only
 *   G3  the bit of a bin is set exactly when its list is not empty
 * Locking: the holder of the shard lock.
 */
import { assert, CHECKS } from "../base/assert.ts";
import type { Status } from "../base/status.ts";
import { FrameSize } from "../memory/frame-pool.ts";
import { capacityUnits, DEAD, isDead, RECORD_UNITS_MIN } from "./record.ts";
import {
  type Address,
  addressOf,
  NO_ADDRESS,
  OFFSET_MASK,
  type Segments,
  SegmentState,
  segmentOf,
} from "./segments.ts";
import {
  BIN_AT,
  BIN_BITMAP_AT,
  BIN_BITMAP_WORDS,
  BINS,
  CLEAN_PHASE_AT,
  CLEAN_SEGMENT_AT,
  CLEAN_UNIT_AT,
  DEAD_UNITS_AT,
  EXACT_BINS,
  LIVE_UNITS_AT,
  LOG_END_AT,
  LOG_FILL_AT,
  LOG_MUTABLE_AT,
  LOG_NEWEST_AT,
  LOG_OLDEST_AT,
  LOG_SEGMENT_AT,
  LOG_SEGMENTS_AT,
  LOG_UNITS_AT,
} from "./shard.ts";

/** A dead record that is linked in a bin (spare flag bit of word 0). */
const BINNED = 1 << 27;
/** Longest record for which a segment of 8 KiB is opened: what is left at its end must not be much. */
const TINY_UNITS_MAX = 128;
/** Candidates looked at in a bin of mixed sizes before going to the next one. */
const LOOK_IN_MIXED_BIN = 4;

export function binOf(units: number): number {
  if (units < EXACT_BINS) return units;
  const top = 31 - Math.clz32(units);
  return EXACT_BINS + (top - 7) * 4 + ((units >>> (top - 2)) & 3);
}

export class HybridLog {
  /** Bytes of live records appended minus freed through this object: this worker's part of used memory. */
  usedBytes = 0;
  /** Bytes put in bins minus taken out through this object: this worker's part of what waits there for new tenants. */
  deadBytes = 0;

  constructor(
    private readonly segments: Segments,
    private readonly c: Int32Array,
  ) {}

  /**
   * Makes room for a record of `units`. The caller writes word 0 with `units` of this record's capacity, which is
   * `this.capacity` (≥ units). Returns its address, or Status.Busy / OutOfMemory.
   */
  append(shard: number, header: number, units: number, isAdmitted: boolean): Address | Status {
    const c = this.c;
    let address = NO_ADDRESS;
    if (c[header + DEAD_UNITS_AT]! > 0) {
      address = this.fromNearBins(shard, header, units);
      // With an eighth of the log dead, splitting larger dead records beats growing.
      if (address === NO_ADDRESS && c[header + DEAD_UNITS_AT]! > c[header + LOG_UNITS_AT]! >>> 3) {
        address = this.fromLargerBins(shard, header, units);
      }
    }
    if (address === NO_ADDRESS) {
      const fill = c[header + LOG_FILL_AT]!;
      if (fill + units > c[header + LOG_END_AT]!) return this.appendInNewSegment(shard, header, units, isAdmitted);
      c[header + LOG_FILL_AT] = fill + units;
      address = addressOf(c[header + LOG_SEGMENT_AT]!, fill);
      this.capacity = units;
    }
    this.countLive(shard, header, address, this.capacity);
    return address;
  }
  /** Capacity in units of the record `append` made room for last. */
  capacity = 0;

  /** Frees the record at `address`: into its bin, or, outside mutable segments, as garbage for the cleaner. */
  free(shard: number, header: number, address: Address): void {
    const w = this.segments.locate(shard, address);
    const m = this.segments.m;
    const units = capacityUnits(m, w);
    assert(!isDead(m, w), "a record is freed once");
    if (CHECKS) m.fill(0xdddddddd | 0, w + 1, w + units * 2);
    this.countLive(shard, header, address, -units);
    if (this.segments.state(shard, segmentOf(address)) === SegmentState.Mutable) {
      this.putInBin(shard, header, address, w, units);
      const segment = segmentOf(address);
      if (this.segments.liveUnits(shard, segment) === 0) this.releaseDead(shard, header, segment);
    } else {
      m[w] = units | (DEAD << 24);
    }
  }

  /** Has the cleaner give back a segment in which nothing is live, if it is not at work elsewhere. */
  private releaseDead(shard: number, header: number, segment: number): void {
    const c = this.c;
    if (segment === c[header + LOG_SEGMENT_AT] || c[header + CLEAN_SEGMENT_AT] !== 0) return;
    this.beginCleaning(shard, header, segment);
  }

  /** Makes `segment`, which is not the one being filled, the one that the cleaner empties. */
  beginCleaning(shard: number, header: number, segment: number): void {
    const c = this.c;
    if (this.segments.state(shard, segment) === SegmentState.Mutable) {
      c[header + LOG_MUTABLE_AT] = c[header + LOG_MUTABLE_AT]! - 1;
    }
    this.segments.setState(shard, segment, SegmentState.Cleaning);
    c[header + CLEAN_SEGMENT_AT] = segment;
    c[header + CLEAN_UNIT_AT] = 0;
    c[header + CLEAN_PHASE_AT] = 0;
  }

  /** True when a record of `units` surely finds room in what the log has. Exact under the lock, else a hint. */
  hasRoom(header: number, units: number): boolean {
    const c = this.c;
    if (c[header + LOG_FILL_AT]! + units <= c[header + LOG_END_AT]!) return true;
    if (c[header + DEAD_UNITS_AT]! < units) return false;
    let first = binOf(units) + 1;
    if (units < EXACT_BINS) {
      const last = Math.min(units + 2, EXACT_BINS - 1);
      for (let bin = units; bin <= last; bin++) if (c[header + BIN_AT + bin] !== NO_ADDRESS) return true;
      first = units + RECORD_UNITS_MIN;
    }
    return this.firstBin(header, first) >= 0;
  }

  /** The first bin from `first` on that is not empty, -1 = none. */
  private firstBin(header: number, first: number): number {
    const c = this.c;
    let word = first >>> 5;
    let bits = word < BIN_BITMAP_WORDS ? c[header + BIN_BITMAP_AT + word]! & (-1 << (first & 31)) : 0;
    while (bits === 0) {
      if (++word >= BIN_BITMAP_WORDS) return -1;
      bits = c[header + BIN_BITMAP_AT + word]!;
    }
    return (word << 5) + 31 - Math.clz32(bits & -bits);
  }

  /** True when a record at `address` may be written in place. */
  isMutable(shard: number, address: Address): boolean {
    return this.segments.state(shard, segmentOf(address)) <= SegmentState.Mutable;
  }

  private countLive(shard: number, header: number, address: Address, units: number): void {
    this.segments.addLive(shard, segmentOf(address), units);
    this.c[header + LIVE_UNITS_AT] = this.c[header + LIVE_UNITS_AT]! + units;
    this.usedBytes += units * 8;
  }

  private fromNearBins(shard: number, header: number, units: number): Address {
    const c = this.c;
    if (units + 2 < EXACT_BINS) {
      for (let bin = units; bin <= units + 2; bin++) {
        const address = c[header + BIN_AT + bin]!;
        if (address !== NO_ADDRESS) {
          this.unlink(shard, header, address, bin);
          this.capacity = bin;
          return address;
        }
      }
      return NO_ADDRESS;
    }
    // A mixed bin: some of its records may be too small.
    const bin = binOf(units);
    let address = c[header + BIN_AT + bin]!;
    for (let look = 0; address !== NO_ADDRESS && look < LOOK_IN_MIXED_BIN; look++) {
      const w = this.segments.locate(shard, address);
      const has = capacityUnits(this.segments.m, w);
      if (has >= units) return this.takeDead(shard, header, address, bin, has, units);
      address = this.segments.m[w + 1]!;
    }
    return NO_ADDRESS;
  }

  /** Looks in the bins whose every record is larger than `units`. */
  private fromLargerBins(shard: number, header: number, units: number): Address {
    const c = this.c;
    const first = units < EXACT_BINS ? units + RECORD_UNITS_MIN : binOf(units) + 1;
    const bin = this.firstBin(header, first);
    if (bin < 0) return NO_ADDRESS;
    const address = c[header + BIN_AT + bin]!;
    const w = this.segments.locate(shard, address);
    return this.takeDead(shard, header, address, bin, capacityUnits(this.segments.m, w), units);
  }

  /** Takes a dead record of `has` units for one of `units`; what is over becomes a dead record of its own. */
  private takeDead(shard: number, header: number, address: Address, bin: number, has: number, units: number): Address {
    this.unlink(shard, header, address, bin);
    const rest = has - units;
    if (rest < RECORD_UNITS_MIN) {
      this.capacity = has;
      return address;
    }
    const w = this.segments.locate(shard, address);
    // The tenant writes its own word 0 soon; until then G1 must hold for a checker.
    this.segments.m[w] = units | (DEAD << 24);
    this.putInBin(shard, header, address + units, w + units * 2, rest);
    this.capacity = units;
    return address;
  }

  private putInBin(shard: number, header: number, address: Address, w: number, units: number): void {
    const c = this.c;
    const m = this.segments.m;
    const bin = binOf(units);
    const head = c[header + BIN_AT + bin]!;
    m[w] = units | (DEAD << 24) | BINNED;
    m[w + 1] = head;
    m[w + 2] = NO_ADDRESS;
    c[header + BIN_AT + bin] = address;
    c[header + DEAD_UNITS_AT] = c[header + DEAD_UNITS_AT]! + units;
    this.deadBytes += units * 8;
    if (head === NO_ADDRESS) {
      c[header + BIN_BITMAP_AT + (bin >>> 5)] = c[header + BIN_BITMAP_AT + (bin >>> 5)]! | (1 << (bin & 31)); // G3
    } else {
      const next = this.segments.locate(shard, head);
      this.segments.m[next + 2] = address;
    }
  }

  private unlink(shard: number, header: number, address: Address, bin: number): void {
    const c = this.c;
    let w = this.segments.locate(shard, address);
    const m = this.segments.m;
    const units = capacityUnits(m, w);
    const next = m[w + 1]!;
    const previous = m[w + 2]!;
    m[w] = units | (DEAD << 24);
    c[header + DEAD_UNITS_AT] = c[header + DEAD_UNITS_AT]! - units;
    this.deadBytes -= units * 8;
    if (next !== NO_ADDRESS) {
      w = this.segments.locate(shard, next);
      this.segments.m[w + 2] = previous;
    }
    if (previous !== NO_ADDRESS) {
      w = this.segments.locate(shard, previous);
      this.segments.m[w + 1] = next;
      return;
    }
    c[header + BIN_AT + bin] = next;
    if (next === NO_ADDRESS) {
      c[header + BIN_BITMAP_AT + (bin >>> 5)] = c[header + BIN_BITMAP_AT + (bin >>> 5)]! & ~(1 << (bin & 31)); // G3
    }
  }

  private appendInNewSegment(shard: number, header: number, units: number, isAdmitted: boolean): Address | Status {
    const c = this.c;
    if (c[header + DEAD_UNITS_AT]! > 0) {
      const address = this.fromLargerBins(shard, header, units);
      if (address !== NO_ADDRESS) {
        this.countLive(shard, header, address, this.capacity);
        return address;
      }
    }
    const total = c[header + LOG_UNITS_AT]! * 8;
    // The rest of the newest segment is not used yet: at most a few hundredths of the log.
    let size: FrameSize =
      total < 256 << 10 && units <= TINY_UNITS_MAX
        ? FrameSize.Tiny
        : total < 4 << 20
          ? FrameSize.Small
          : total < 32 << 20
            ? FrameSize.Medium
            : FrameSize.Large;
    while (this.segments.unitsOf(size) < units) size = (size + 1) as FrameSize;
    const segment = this.segments.open(shard, header, size, SegmentState.Mutable, isAdmitted);
    if (segment < 0) return segment as Status;
    this.finishSegment(shard, header);
    const newest = c[header + LOG_NEWEST_AT]!;
    this.segments.setOlder(shard, segment, newest);
    if (newest === 0) c[header + LOG_OLDEST_AT] = segment;
    else this.segments.setNewer(shard, newest, segment);
    c[header + LOG_NEWEST_AT] = segment;
    c[header + LOG_SEGMENT_AT] = segment;
    c[header + LOG_FILL_AT] = units;
    c[header + LOG_END_AT] = this.segments.unitsOf(size);
    c[header + LOG_UNITS_AT] = c[header + LOG_UNITS_AT]! + this.segments.unitsOf(size);
    c[header + LOG_SEGMENTS_AT] = c[header + LOG_SEGMENTS_AT]! + 1;
    c[header + LOG_MUTABLE_AT] = c[header + LOG_MUTABLE_AT]! + 1;
    this.capacity = units;
    const address = addressOf(segment, 0);
    this.countLive(shard, header, address, units);
    return address;
  }

  /** Closes the segment that is being filled: its rest becomes a dead record. */
  private finishSegment(shard: number, header: number): void {
    const c = this.c;
    const segment = c[header + LOG_SEGMENT_AT]!;
    if (segment === 0) return;
    const fill = c[header + LOG_FILL_AT]!;
    const end = c[header + LOG_END_AT]!;
    let filled = end;
    if (end - fill >= RECORD_UNITS_MIN) {
      const address = addressOf(segment, fill);
      this.putInBin(shard, header, address, this.segments.locate(shard, address), Math.min(end - fill, 0xffff));
      if (end - fill > 0xffff) filled = fill + 0xffff; // the rest of a nearly empty 1 MiB window is let go
    } else {
      filled = fill;
    }
    this.segments.setFilled(shard, segment, filled);
  }

  /** Units of `segment` that records tile: up to the tail for the one being filled. */
  filled(shard: number, header: number, segment: number): number {
    if (segment === this.c[header + LOG_SEGMENT_AT]) return this.c[header + LOG_FILL_AT]!;
    return this.segments.filledUnits(shard, segment);
  }

  /** Makes a mutable segment read-only (warm): its dead leave the bins, updates copy forward. One walk of the segment. */
  seal(shard: number, header: number, segment: number): void {
    assert(segment !== this.c[header + LOG_SEGMENT_AT], "the segment being filled stays mutable");
    this.unlinkDead(shard, header, segment, 0, Number.MAX_SAFE_INTEGER);
    this.segments.setState(shard, segment, SegmentState.ReadOnly);
    this.c[header + LOG_MUTABLE_AT] = this.c[header + LOG_MUTABLE_AT]! - 1;
  }

  /** Takes up to `records` dead records of `segment` from `unit` on out of their bins. Returns the next unit, -1 at the end. */
  unlinkDead(shard: number, header: number, segment: number, unit: number, records: number): number {
    const end = this.filled(shard, header, segment);
    for (let n = 0; unit < end; n++) {
      if (n === records) return unit;
      const w = this.segments.locate(shard, addressOf(segment, unit));
      const m = this.segments.m;
      const units = capacityUnits(m, w);
      assert(units >= RECORD_UNITS_MIN, "records tile a segment (G1)");
      if ((m[w]! & BINNED) !== 0 && isDead(m, w)) this.unlink(shard, header, addressOf(segment, unit), binOf(units));
      unit += units;
    }
    return -1;
  }

  /** Takes `segment` out of the list of the log and gives its frame back. No live record may be in it. */
  drop(shard: number, header: number, segment: number, nowSeconds: number): void {
    const c = this.c;
    assert(this.segments.liveUnits(shard, segment) === 0, "a dropped segment holds no live record");
    assert(segment !== c[header + LOG_SEGMENT_AT], "the segment being filled is not dropped");
    const newer = this.segments.newer(shard, segment);
    const older = this.segments.older(shard, segment);
    if (newer === 0) c[header + LOG_NEWEST_AT] = older;
    else this.segments.setOlder(shard, newer, older);
    if (older === 0) c[header + LOG_OLDEST_AT] = newer;
    else this.segments.setNewer(shard, older, newer);
    c[header + LOG_UNITS_AT] =
      c[header + LOG_UNITS_AT]! - this.segments.unitsOf(this.segments.frameSize(shard, segment));
    c[header + LOG_SEGMENTS_AT] = c[header + LOG_SEGMENTS_AT]! - 1;
    this.segments.close(shard, header, segment, nowSeconds);
  }

  /** Gives everything back when no record is live (after FLUSHALL): one step, whatever the number of dead. */
  dropAllDead(shard: number, header: number, nowSeconds: number): void {
    const c = this.c;
    assert(c[header + LIVE_UNITS_AT] === 0, "nothing is live");
    for (let segment = c[header + LOG_NEWEST_AT]!; segment !== 0; ) {
      const older = this.segments.older(shard, segment);
      this.segments.close(shard, header, segment, nowSeconds);
      segment = older;
    }
    this.deadBytes -= c[header + DEAD_UNITS_AT]! * 8;
    for (let bin = 0; bin < BINS; bin++) c[header + BIN_AT + bin] = NO_ADDRESS;
    for (let i = 0; i < BIN_BITMAP_WORDS; i++) c[header + BIN_BITMAP_AT + i] = 0;
    for (const at of [
      LOG_SEGMENT_AT,
      LOG_FILL_AT,
      LOG_END_AT,
      LOG_UNITS_AT,
      DEAD_UNITS_AT,
      LOG_SEGMENTS_AT,
      LOG_OLDEST_AT,
      LOG_NEWEST_AT,
      LOG_MUTABLE_AT,
      CLEAN_SEGMENT_AT,
      CLEAN_UNIT_AT,
    ]) {
      c[header + at] = 0;
    }
  }

  /** Asserts G1-G3 and the sums of the shard header. */
  check(shard: number, header: number): void {
    const c = this.c;
    let live = 0;
    let binned = 0;
    let units = 0;
    let count = 0;
    for (let segment = c[header + LOG_OLDEST_AT]!; segment !== 0; segment = this.segments.newer(shard, segment)) {
      const end = this.filled(shard, header, segment);
      let liveHere = 0;
      for (let unit = 0; unit < end; ) {
        const w = this.segments.locate(shard, addressOf(segment, unit));
        const m = this.segments.m;
        const size = capacityUnits(m, w);
        assert(size >= RECORD_UNITS_MIN, "records tile a segment (G1)");
        if (isDead(m, w)) {
          if ((m[w]! & BINNED) !== 0) {
            binned += size;
            const state = this.segments.state(shard, segment);
            assert(state === SegmentState.Mutable || state === SegmentState.Cleaning, "bins hold mutable dead (G2)");
          }
        } else {
          liveHere += size;
        }
        unit += size;
        assert(unit <= end, "the last record ends where the segment is filled (G1)");
      }
      assert(liveHere === this.segments.liveUnits(shard, segment), "live units of a segment agree (G2)");
      live += liveHere;
      units += this.segments.unitsOf(this.segments.frameSize(shard, segment));
      count++;
    }
    assert(live === c[header + LIVE_UNITS_AT], "live units of the shard agree");
    assert(binned === c[header + DEAD_UNITS_AT], "binned units of the shard agree");
    assert(units === c[header + LOG_UNITS_AT], "log units of the shard agree");
    assert(count === c[header + LOG_SEGMENTS_AT], "the number of log segments agrees");
    let listed = 0;
    for (let bin = 0; bin < BINS; bin++) {
      const bit = (c[header + BIN_BITMAP_AT + (bin >>> 5)]! >>> (bin & 31)) & 1;
      assert((bit === 1) === (c[header + BIN_AT + bin] !== NO_ADDRESS), "a bin's bit tells whether it is empty (G3)");
      let previous = NO_ADDRESS;
      for (let a = c[header + BIN_AT + bin]!; a !== NO_ADDRESS; ) {
        const w = this.segments.locate(shard, a);
        const m = this.segments.m;
        assert(isDead(m, w) && binOf(capacityUnits(m, w)) === bin, "a bin holds dead records of its size");
        assert(m[w + 2] === previous, "bin links agree in both directions");
        assert((a & OFFSET_MASK) < this.filled(shard, header, segmentOf(a)), "a dead record lies within its segment");
        listed += capacityUnits(m, w);
        previous = a;
        a = m[w + 1]!;
      }
    }
    assert(listed === binned, "every binned record is on a list");
  }
}
