/**
 * Arena: one thread's views of all regions.
 *
 * A region is a SharedArrayBuffer of at most 1 GiB, so every index into a view stays below 2^31. A *frame number* names
 * a frame in any region:
 *
 *   frame number │ region │ 8 KiB unit within the region (17 bits) │    0 = none
 *
 * The main thread (in embedded mode, the caller) creates regions and announces them. A thread that meets a region it
 * has not seen attaches it at once (`onUnknownRegion`), even inside a section.
 */
import { assert } from "../base/assert.ts";
import { type Control, REGION_COUNT_AT } from "./control.ts";

/** The smallest frame. Frame numbers count in this unit. */
export const FRAME_BYTES = 8 << 10;
/** Shifts from a frame within its region to its first byte, and to its first word. */
export const FRAME_BYTE_SHIFT = 13;
const FRAME_WORD_SHIFT = FRAME_BYTE_SHIFT - 2;
assert(FRAME_BYTES === 1 << FRAME_BYTE_SHIFT, "a frame's bytes are a shift");
export const FRAME_BITS = 17;
export const FRAME_MASK = (1 << FRAME_BITS) - 1;
/** 8 KiB frames in a chunk (1 MiB), the largest frame that the pool allocates. */
export const CHUNK_FRAMES = 128;
export const CHUNK_BYTES = CHUNK_FRAMES * FRAME_BYTES;

export type FrameNumber = number & { readonly __brand: "FrameNumber" };
export const NO_FRAME = 0 as FrameNumber;

/** The frame that begins at 8 KiB unit `unit` of `region`. */
export function frameNumber(region: number, unit: number): FrameNumber {
  return ((region << FRAME_BITS) | unit) as FrameNumber;
}
/** The frame that begins `units` behind `frame`, in the same region. */
export function frameBehind(frame: FrameNumber, units: number): FrameNumber {
  return (frame + units) as FrameNumber;
}
export function regionOf(frame: FrameNumber): number {
  return frame >>> FRAME_BITS;
}
/** 8 KiB unit, first word and first byte of a frame within its region. */
export function unitInRegion(frame: FrameNumber): number {
  return frame & FRAME_MASK;
}
export function firstWord(frame: FrameNumber): number {
  return (frame & FRAME_MASK) << FRAME_WORD_SHIFT;
}
export function firstByte(frame: FrameNumber): number {
  return (frame & FRAME_MASK) << FRAME_BYTE_SHIFT;
}

export class Arena {
  /** Views of each region's memory, by region number: 32-bit words, bytes, 16-bit words, doubles. */
  readonly words: Int32Array[] = [];
  readonly bytes: Buffer[] = [];
  readonly halves: Uint16Array[] = [];
  readonly doubles: Float64Array[] = [];

  constructor(
    readonly control: Control,
    /** Called with the number of a region that is not attached. Must attach it before it returns. */
    private readonly onUnknownRegion: (region: number) => void,
  ) {}

  /** Attaches a region. Attaching it a second time is harmless. */
  attach(region: number, buffer: SharedArrayBuffer): void {
    assert(buffer.byteLength === this.control.geometry.regionBytes, "all regions have one size");
    this.words[region] = new Int32Array(buffer);
    this.halves[region] = new Uint16Array(buffer);
    this.doubles[region] = new Float64Array(buffer);
    this.bytes[region] = Buffer.from(buffer as unknown as ArrayBuffer, 0, buffer.byteLength);
  }

  /** Words of a region. Attaches the region if this thread has not seen it. */
  wordsOf(region: number): Int32Array {
    const words = this.words[region];
    if (words !== undefined) return words;
    this.onUnknownRegion(region);
    const attached = this.words[region];
    assert(attached !== undefined, "an announced region can be attached");
    return attached;
  }

  bytesOf(region: number): Buffer {
    if (this.bytes[region] === undefined) this.wordsOf(region);
    return this.bytes[region]!;
  }

  /** Number of regions that this thread has attached. */
  get attachedRegions(): number {
    let count = 0;
    for (const words of this.words) if (words !== undefined) count++;
    return count;
  }

  get regionCount(): number {
    return Atomics.load(this.control.i32, REGION_COUNT_AT);
  }
}
