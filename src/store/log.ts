/**
 * HybridLog of a shard: records are appended in segments of up to 1 MiB, whose state is mutable, read-only or, later, on
 * disk. After FASTER (Chandramouli et al., SIGMOD 2018), with a segment table in place of one linear address.
 *
 * A dead record of a mutable segment goes into its shard's bin by size, and a new record takes its place (revivification):
 * at 85 % live a log that only appends copies 2.7 bytes per byte written, with bins it copies none.
 *
 *   bin n (n ≤ 128) │ dead records of exactly n units │
 *   further bins    │ four per doubling of the size │         each bin is a list through its records (record.ts)
 *
 * Invariants
 *   LOG-1  records tile a segment from 0 to its filled units: the next starts where the capacity of the last ends
 *   LOG-2  live + dead in bins + dead outside bins = filled, per segment; a bin holds records of mutable segments only
 *   LOG-3  the bit of a bin is set exactly when its list is not empty
 * Locking: the holder of the shard lock; hasRoom also without it, as a hint.
 */
import type { Status } from "../base/status.ts";
import { type Address, NO_ADDRESS, UNIT_BYTES, addressBehind, addressOf, segmentOf, unitOf } from "./address.ts";
import {
  RECORD_UNITS_MAX,
  RECORD_UNITS_MIN,
  capacityUnits,
  deadNext,
  deadPrevious,
  isBinned,
  isDead,
  markBinned,
  markDead,
  setDeadNext,
  setDeadPrevious,
} from "./record.ts";
import { SegmentState, type Segments, unitsOfFrame } from "./segments.ts";
import { BINS, BIN_BITMAP_WORDS, EXACT_BINS, type Shard } from "./shard.ts";
import { assert, CHECKS } from "../base/assert.ts";
import { FrameSize } from "../memory/frame-pool.ts";

const UNIT_WORDS = UNIT_BYTES / 4;
/** Longest record for which a segment of 8 KiB is opened: what is left at its end must not be much. */
const TINY_UNITS_MAX = 128;
/** Log sizes (bytes) below which a new segment is a tiny, a small or a medium frame. */
const TINY_BELOW = 256 << 10;
const SMALL_BELOW = 4 << 20;
const MEDIUM_BELOW = 32 << 20;
/** Records of a bin of mixed sizes that are looked at before the next bin. */
const LOOK_IN_MIXED_BIN = 4;

/** Frame size of the segment that a log of `bytes` opens next, for a record of `units`. */
export function logFrameSize(bytes: number, units: number): FrameSize {
  if (bytes < TINY_BELOW && units <= TINY_UNITS_MAX) return FrameSize.Tiny;
  if (bytes < SMALL_BELOW) return FrameSize.Small;
  return bytes < MEDIUM_BELOW ? FrameSize.Medium : FrameSize.Large;
}

export function binOf(units: number): number {
  if (units < EXACT_BINS) return units;
  const top = 31 - Math.clz32(units);
  return EXACT_BINS + (top - 7) * 4 + ((units >>> (top - 2)) & 3);
}

export class HybridLog {
  /** Bytes of the records appended minus those freed through this object: this worker's part of used memory. */
  usedBytes = 0;
  /** Bytes put into bins minus taken out through this object: this worker's part of what waits there to be reused. */
  deadBytes = 0;

  constructor(private readonly segments: Segments) {}

  /**
   * Allocates a record of `units`. Its capacity is `this.capacity` (≥ units), and the caller writes that to its word 0.
   * Returns its address, or Status.Busy / OutOfMemory.
   */
  append(shard: Shard, units: number, isAdmitted: boolean): Address | Status {
    let address: Address = NO_ADDRESS;
    if (shard.deadUnits > 0) {
      address = this.fromNearBins(shard, units);
      // With an eighth of the log dead, splitting larger dead records beats growing.
      if (address === NO_ADDRESS && shard.deadUnits > shard.logUnits >>> 3) {
        address = this.fromLargerBins(shard, units);
      }
    }
    if (address === NO_ADDRESS) {
      const fill = shard.logFill;
      if (fill + units > shard.logEnd) return this.appendInNewSegment(shard, units, isAdmitted);
      shard.logFill = fill + units;
      address = addressOf(shard.logSegment, fill);
      this.capacity = units;
    }
    this.countLive(shard, address, this.capacity);
    return address;
  }
  /** Capacity in units of the record that `append` allocated last. */
  capacity = 0;

  /** Frees the record at `address`: into its bin or, outside mutable segments, for cleaning to leave behind. */
  free(shard: Shard, address: Address): void {
    const w = this.segments.locate(shard, address);
    const m = this.segments.m;
    const units = capacityUnits(m, w);
    assert(!isDead(m, w), "a record is freed once");
    if (CHECKS) m.fill(0xdddddddd | 0, w + 1, w + units * UNIT_WORDS);
    this.countLive(shard, address, -units);
    if (this.segments.state(shard, segmentOf(address)) === SegmentState.Mutable) {
      this.putInBin(shard, address, w, units);
      const segment = segmentOf(address);
      if (this.segments.liveUnits(shard, segment) === 0) this.releaseDead(shard, segment);
    } else {
      markDead(m, w, units);
    }
  }

  /** Begins to clean a segment that has no live records left, unless another one is being cleaned. */
  private releaseDead(shard: Shard, segment: number): void {
    if (segment === shard.logSegment || shard.cleanSegment !== 0) return;
    this.beginCleaning(shard, segment);
  }

  /** Begins to clean `segment`, which is not the one being filled. */
  beginCleaning(shard: Shard, segment: number): void {
    if (this.segments.state(shard, segment) === SegmentState.Mutable) {
      shard.mutableSegmentCount -= 1;
    }
    this.segments.setState(shard, segment, SegmentState.Cleaning);
    shard.cleanSegment = segment;
    shard.cleanUnit = 0;
    shard.cleanPhase = 0;
  }

  /** True when a record of `units` surely fits into what the log has. Exact under the lock, else a hint. */
  hasRoom(shard: Shard, units: number): boolean {
    if (shard.logFill + units <= shard.logEnd) return true;
    if (shard.deadUnits < units) return false;
    let first = binOf(units) + 1;
    if (units < EXACT_BINS) {
      const last = Math.min(units + 2, EXACT_BINS - 1);
      for (let bin = units; bin <= last; bin++) if (shard.bin(bin) !== NO_ADDRESS) return true;
      first = units + RECORD_UNITS_MIN;
    }
    return this.firstBin(shard, first) >= 0;
  }

  /** The first bin from `first` on that is not empty, -1 = none. */
  private firstBin(shard: Shard, first: number): number {
    let word = first >>> 5;
    let bits = word < BIN_BITMAP_WORDS ? shard.binBits(word) & (-1 << (first & 31)) : 0;
    while (bits === 0) {
      if (++word >= BIN_BITMAP_WORDS) return -1;
      bits = shard.binBits(word);
    }
    return (word << 5) + 31 - Math.clz32(bits & -bits);
  }

  /** True when a record at `address` may be written in place. */
  isMutable(shard: Shard, address: Address): boolean {
    return this.segments.state(shard, segmentOf(address)) <= SegmentState.Mutable;
  }

  private countLive(shard: Shard, address: Address, units: number): void {
    this.segments.addLive(shard, segmentOf(address), units);
    shard.liveUnits += units;
    this.usedBytes += units * UNIT_BYTES;
  }

  private fromNearBins(shard: Shard, units: number): Address {
    if (units + 2 < EXACT_BINS) {
      for (let bin = units; bin <= units + 2; bin++) {
        const address = shard.bin(bin);
        if (address !== NO_ADDRESS) {
          this.unlink(shard, address, bin);
          this.capacity = bin;
          return address;
        }
      }
      return NO_ADDRESS;
    }
    // A mixed bin: some of its records may be too small.
    const bin = binOf(units);
    let address = shard.bin(bin);
    for (let look = 0; address !== NO_ADDRESS && look < LOOK_IN_MIXED_BIN; look++) {
      const w = this.segments.locate(shard, address);
      const has = capacityUnits(this.segments.m, w);
      if (has >= units) return this.takeDead(shard, address, bin, has, units);
      address = deadNext(this.segments.m, w);
    }
    return NO_ADDRESS;
  }

  /** Looks in the bins whose every record is larger than `units`. */
  private fromLargerBins(shard: Shard, units: number): Address {
    const first = units < EXACT_BINS ? units + RECORD_UNITS_MIN : binOf(units) + 1;
    const bin = this.firstBin(shard, first);
    if (bin < 0) return NO_ADDRESS;
    const address = shard.bin(bin);
    const w = this.segments.locate(shard, address);
    return this.takeDead(shard, address, bin, capacityUnits(this.segments.m, w), units);
  }

  /** Reuses a dead record of `has` units for one of `units`; the rest becomes a dead record of its own. */
  private takeDead(shard: Shard, address: Address, bin: number, has: number, units: number): Address {
    this.unlink(shard, address, bin);
    const rest = has - units;
    if (rest < RECORD_UNITS_MIN) {
      this.capacity = has;
      return address;
    }
    const w = this.segments.locate(shard, address);
    // The caller writes word 0 soon. Until then LOG-1 must hold for a checker.
    markDead(this.segments.m, w, units);
    this.putInBin(shard, addressBehind(address, units), w + units * UNIT_WORDS, rest);
    this.capacity = units;
    return address;
  }

  private putInBin(shard: Shard, address: Address, w: number, units: number): void {
    const m = this.segments.m;
    const bin = binOf(units);
    const head = shard.bin(bin);
    markBinned(m, w, units, head);
    shard.setBin(bin, address);
    shard.deadUnits += units;
    this.deadBytes += units * UNIT_BYTES;
    if (head === NO_ADDRESS) {
      shard.setBinBits(bin >>> 5, shard.binBits(bin >>> 5) | (1 << (bin & 31))); // LOG-3
    } else {
      const next = this.segments.locate(shard, head);
      setDeadPrevious(this.segments.m, next, address);
    }
  }

  private unlink(shard: Shard, address: Address, bin: number): void {
    let w = this.segments.locate(shard, address);
    const m = this.segments.m;
    const units = capacityUnits(m, w);
    const next = deadNext(m, w);
    const previous = deadPrevious(m, w);
    markDead(m, w, units);
    shard.deadUnits -= units;
    this.deadBytes -= units * UNIT_BYTES;
    if (next !== NO_ADDRESS) {
      w = this.segments.locate(shard, next);
      setDeadPrevious(this.segments.m, w, previous);
    }
    if (previous !== NO_ADDRESS) {
      w = this.segments.locate(shard, previous);
      setDeadNext(this.segments.m, w, next);
      return;
    }
    shard.setBin(bin, next);
    if (next === NO_ADDRESS) {
      shard.setBinBits(bin >>> 5, shard.binBits(bin >>> 5) & ~(1 << (bin & 31))); // LOG-3
    }
  }

  private appendInNewSegment(shard: Shard, units: number, isAdmitted: boolean): Address | Status {
    if (shard.deadUnits > 0) {
      const address: Address = this.fromLargerBins(shard, units);
      if (address !== NO_ADDRESS) {
        this.countLive(shard, address, this.capacity);
        return address;
      }
    }
    // The rest of the newest segment is not used yet: at most a few hundredths of the log.
    let size = logFrameSize(shard.logUnits * UNIT_BYTES, units);
    while (unitsOfFrame(size) < units) size = (size + 1) as FrameSize;
    const segment = this.segments.open(shard, size, SegmentState.Mutable, isAdmitted);
    if (segment < 0) return segment as Status;
    this.finishSegment(shard);
    const newest = shard.newestLogSegment;
    this.segments.setOlder(shard, segment, newest);
    if (newest === 0) shard.oldestLogSegment = segment;
    else this.segments.setNewer(shard, newest, segment);
    shard.newestLogSegment = segment;
    shard.logSegment = segment;
    shard.logFill = units;
    shard.logEnd = unitsOfFrame(size);
    shard.logUnits += unitsOfFrame(size);
    shard.logSegmentCount += 1;
    shard.mutableSegmentCount += 1;
    this.capacity = units;
    const address = addressOf(segment, 0);
    this.countLive(shard, address, units);
    return address;
  }

  /** Closes the segment that is being filled: its rest becomes a dead record. */
  private finishSegment(shard: Shard): void {
    const segment = shard.logSegment;
    if (segment === 0) return;
    const fill = shard.logFill;
    const end = shard.logEnd;
    let filled = end;
    if (end - fill >= RECORD_UNITS_MIN) {
      const address = addressOf(segment, fill);
      this.putInBin(shard, address, this.segments.locate(shard, address), Math.min(end - fill, RECORD_UNITS_MAX));
      if (end - fill > RECORD_UNITS_MAX) filled = fill + RECORD_UNITS_MAX; // the rest of a nearly empty segment of 1 MiB stays unused
    } else {
      filled = fill;
    }
    this.segments.setFilled(shard, segment, filled);
  }

  /** Units of `segment` that records tile: up to the tail for the one being filled. */
  filled(shard: Shard, segment: number): number {
    if (segment === shard.logSegment) return shard.logFill;
    return this.segments.filledUnits(shard, segment);
  }

  /** Makes a mutable segment read-only: its dead records leave the bins, and updates are copied forward. One walk. */
  seal(shard: Shard, segment: number): void {
    assert(segment !== shard.logSegment, "the segment being filled stays mutable");
    this.unlinkDead(shard, segment, 0, Number.MAX_SAFE_INTEGER);
    this.segments.setState(shard, segment, SegmentState.ReadOnly);
    shard.mutableSegmentCount -= 1;
  }

  /** Removes up to `records` dead records of `segment`, from `unit` on, from their bins. Returns the next unit, -1 at the end. */
  unlinkDead(shard: Shard, segment: number, unit: number, records: number): number {
    const end = this.filled(shard, segment);
    for (let n = 0; unit < end; n++) {
      if (n === records) return unit;
      const w = this.segments.locate(shard, addressOf(segment, unit));
      const m = this.segments.m;
      const units = capacityUnits(m, w);
      assert(units >= RECORD_UNITS_MIN, "records tile a segment (LOG-1)");
      if (isBinned(m, w)) this.unlink(shard, addressOf(segment, unit), binOf(units));
      unit += units;
    }
    return -1;
  }

  /** Removes `segment`, which holds no live record, from the log and frees it. */
  drop(shard: Shard, segment: number, nowSeconds: number): void {
    assert(this.segments.liveUnits(shard, segment) === 0, "a dropped segment holds no live record");
    assert(segment !== shard.logSegment, "the segment being filled is not dropped");
    const newer = this.segments.newer(shard, segment);
    const older = this.segments.older(shard, segment);
    if (newer === 0) shard.newestLogSegment = older;
    else this.segments.setOlder(shard, newer, older);
    if (older === 0) shard.oldestLogSegment = newer;
    else this.segments.setNewer(shard, older, newer);
    shard.logUnits = shard.logUnits - this.segments.units(shard, segment);
    shard.logSegmentCount -= 1;
    this.segments.close(shard, segment, nowSeconds);
  }

  /** Frees all segments when no record is live (after FLUSHALL): one step, however many dead records there are. */
  dropAllDead(shard: Shard, nowSeconds: number): void {
    assert(shard.liveUnits === 0, "nothing is live");
    for (let segment = shard.newestLogSegment; segment !== 0; ) {
      const older = this.segments.older(shard, segment);
      this.segments.close(shard, segment, nowSeconds);
      segment = older;
    }
    this.deadBytes -= shard.deadUnits * 8;
    for (let bin = 0; bin < BINS; bin++) shard.setBin(bin, NO_ADDRESS);
    for (let i = 0; i < BIN_BITMAP_WORDS; i++) shard.setBinBits(i, 0);
    shard.logSegment = shard.logFill = shard.logEnd = 0;
    shard.logUnits = shard.deadUnits = 0;
    shard.logSegmentCount = shard.mutableSegmentCount = 0;
    shard.oldestLogSegment = shard.newestLogSegment = 0;
    shard.cleanSegment = shard.cleanUnit = 0;
  }

  /** Asserts LOG-1 to LOG-3 and the sums of the shard header. */
  check(shard: Shard): void {
    let live = 0;
    let binned = 0;
    let units = 0;
    let count = 0;
    for (let segment = shard.oldestLogSegment; segment !== 0; segment = this.segments.newer(shard, segment)) {
      const end = this.filled(shard, segment);
      let liveHere = 0;
      for (let unit = 0; unit < end; ) {
        const w = this.segments.locate(shard, addressOf(segment, unit));
        const m = this.segments.m;
        const size = capacityUnits(m, w);
        assert(size >= RECORD_UNITS_MIN, "records tile a segment (LOG-1)");
        if (isDead(m, w)) {
          if (isBinned(m, w)) {
            binned += size;
            const state = this.segments.state(shard, segment);
            assert(state === SegmentState.Mutable || state === SegmentState.Cleaning, "bins hold mutable dead (LOG-2)");
          }
        } else {
          liveHere += size;
        }
        unit += size;
        assert(unit <= end, "the last record ends where the segment is filled (LOG-1)");
      }
      assert(liveHere === this.segments.liveUnits(shard, segment), "live units of a segment agree (LOG-2)");
      live += liveHere;
      units += this.segments.units(shard, segment);
      count++;
    }
    assert(live === shard.liveUnits, "live units of the shard agree");
    assert(binned === shard.deadUnits, "binned units of the shard agree");
    assert(units === shard.logUnits, "log units of the shard agree");
    assert(count === shard.logSegmentCount, "the number of log segments agrees");
    let listed = 0;
    for (let bin = 0; bin < BINS; bin++) {
      const bit = (shard.binBits(bin >>> 5) >>> (bin & 31)) & 1;
      assert((bit === 1) === (shard.bin(bin) !== NO_ADDRESS), "a bin's bit tells whether it is empty (LOG-3)");
      let previous = NO_ADDRESS;
      for (let a = shard.bin(bin); a !== NO_ADDRESS; ) {
        const w = this.segments.locate(shard, a);
        const m = this.segments.m;
        assert(isDead(m, w) && binOf(capacityUnits(m, w)) === bin, "a bin holds dead records of its size");
        assert(deadPrevious(m, w) === previous, "bin links agree in both directions");
        assert(unitOf(a) < this.filled(shard, segmentOf(a)), "a dead record lies within its segment");
        listed += capacityUnits(m, w);
        previous = a;
        a = deadNext(m, w);
      }
    }
    assert(listed === binned, "every binned record is on a list");
  }
}
