/**
 * Memory for images of cold values that are read and soon forgotten: used again instead of being left to the collector.
 *
 *   take ─► read, used by commands of this turn ─► give: dropped ─► two turns later: free ─► take
 *
 * Images are longer than what was asked for, by an eighth or 64 bytes at most. The bytes behind are of no value that counts.
 *
 * Invariant
 *   IMAGE-1  an image that was given is used by commands of the same turn at most, and no read is under way into it
 */
import { CHECKS } from "../base/assert.ts";
import type { ColdImage } from "../store/cold-cursor.ts";

/** Longer images are not kept. */
const LONGEST = 72 << 10;
/** Most bytes of free images. */
const FREE_MAX = 2 << 20;
const STEP_SHIFT = 6;
/** Up to this many steps of 64 bytes every one is a class; beyond it there are eight classes for each power of two. */
const LINEAR = 16;
const POISON = 0xa5;

/** Class of images that have room for `bytes`. */
export function imageClass(bytes: number): number {
  const steps = (bytes + (1 << STEP_SHIFT) - 1) >>> STEP_SHIFT;
  if (steps <= LINEAR) return steps;
  const shift = 28 - Math.clz32(steps - 1);
  return shift * 8 + ((steps - 1) >>> shift) + 1;
}
/** Bytes of the images of a class. */
export function imageClassBytes(imageClass: number): number {
  if (imageClass <= LINEAR) return imageClass << STEP_SHIFT;
  const shift = ((imageClass - 1) >>> 3) - 1;
  return (imageClass - shift * 8) << (shift + STEP_SHIFT);
}

export function newImage(bytes: number): ColdImage {
  const buffer = new ArrayBuffer((bytes + 7) & ~7);
  return { m: new Int32Array(buffer), b: Buffer.from(buffer) };
}

export class ImagePool {
  private readonly free: ColdImage[][] = [];
  private freeBytes = 0;
  /** Given in this turn, and in the one before. */
  private given: ColdImage[] = [];
  private before: ColdImage[] = [];

  constructor() {
    for (let n = 0; n <= imageClass(LONGEST); n++) this.free.push([]);
  }

  /** An image with room for `bytes`. */
  take(bytes: number): ColdImage {
    if (bytes > LONGEST) return newImage(bytes);
    const number = imageClass(bytes);
    const image = this.free[number]!.pop();
    if (image === undefined) return newImage(imageClassBytes(number));
    this.freeBytes -= image.b.length;
    return image;
  }

  /** The image is not needed after this turn (IMAGE-1). */
  give(image: ColdImage): void {
    if (image.b.length <= LONGEST) this.given.push(image);
  }

  /** A turn begins. */
  beginTurn(): void {
    const { before } = this;
    if (before.length > 0) this.release(before);
    before.length = 0;
    this.before = this.given;
    this.given = before;
  }

  private release(images: readonly ColdImage[]): void {
    for (const image of images) {
      if (CHECKS) image.b.fill(POISON);
      const { length } = image.b;
      if (this.freeBytes + length > FREE_MAX) continue;
      this.freeBytes += length;
      this.free[imageClass(length)]!.push(image);
    }
  }
}
