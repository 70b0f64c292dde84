/** Pages over one plain buffer. They overwrite freed blocks, honour pins, and record the allocated blocks. */
import { assert } from "../../src/base/assert.ts";
import type { Pages, Ref } from "../../src/structures/pages.ts";

const UNIT = 64;

export class TestPages implements Pages {
  b: Buffer;
  h: Uint16Array;
  m: Int32Array;
  f: Float64Array;
  overflowBytes: Uint8Array;
  overflowAt = 0;
  newestPin = 0;
  /** Bytes of each allocated block. */
  readonly out = new Map<Ref, number>();
  private readonly freeBlocks = new Map<number, Ref[]>();
  private fill = 1;
  private epoch = 0;
  private retired: { ref: Ref; bytes: number; epoch: number }[] = [];
  private readonly pins = new Map<number, number>();
  private nextPin = 1;

  constructor(bytes: number) {
    const buffer = new ArrayBuffer(bytes);
    this.b = Buffer.from(buffer);
    this.h = new Uint16Array(buffer);
    this.m = new Int32Array(buffer);
    this.f = new Float64Array(buffer);
    this.overflowBytes = this.b;
  }

  locate(ref: Ref): number {
    assert(ref > 0 && ref < this.fill, "a reference is one that was handed out");
    return ref * UNIT;
  }

  allocate(bytes: number): Ref {
    const size = Math.ceil(bytes / UNIT);
    let ref = this.freeBlocks.get(size)?.pop();
    if (ref === undefined) {
      ref = this.fill;
      this.fill += size;
      assert(this.fill * UNIT <= this.b.length, "the test's memory is large enough");
    }
    this.out.set(ref, bytes);
    this.b.fill(0xdd, ref * UNIT, (ref + size) * UNIT);
    return ref;
  }

  free(ref: Ref, bytes: number): void {
    assert(this.out.get(ref) === bytes, "a block is given back once, as it was taken");
    if (this.pins.size > 0) {
      this.retired.push({ ref, bytes, epoch: this.epoch });
      this.out.set(ref, -bytes);
      return;
    }
    this.free_(ref, bytes);
  }

  private free_(ref: Ref, bytes: number): void {
    const size = Math.ceil(bytes / UNIT);
    this.b.fill(0xee, ref * UNIT, (ref + size) * UNIT);
    this.out.delete(ref);
    const list = this.freeBlocks.get(size) ?? [];
    list.push(ref);
    this.freeBlocks.set(size, list);
  }

  structureChanged(): void {}

  epochNow(): number {
    return this.epoch + 1;
  }

  /** Pins everything as it is. Returns the pin. */
  pin(): number {
    this.epoch++;
    this.newestPin = this.epoch;
    this.pins.set(this.nextPin, this.epoch);
    return this.nextPin++;
  }

  unpin(pin: number): void {
    this.pins.delete(pin);
    const oldest = Math.min(...this.pins.values(), Infinity);
    if (this.pins.size === 0) this.newestPin = 0;
    const waiting = this.retired;
    this.retired = [];
    for (const item of waiting) {
      if (item.epoch < oldest) this.free_(item.ref, item.bytes);
      else this.retired.push(item);
    }
  }

  storeOverflow(source: Uint8Array, offset: number, length: number): Ref {
    const ref = this.allocate(length);
    this.b.set(source.subarray(offset, offset + length), ref * UNIT);
    return ref;
  }
  freeOverflow(ref: Ref, length: number): void {
    this.free(ref, length);
  }
  openOverflow(ref: Ref, length: number, position: number): number {
    this.overflowBytes = this.b;
    this.overflowAt = ref * UNIT + position;
    // In pieces, as a value of many chunks would be.
    return Math.min(length - position, 100);
  }
}
