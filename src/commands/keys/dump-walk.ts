/** The base of payloads of entries: goes through a collection's entries in steps, from the first to the last. */
import { assert } from "../../base/assert.ts";
import { WALK_STEP_BYTES } from "../../protocol/reply.ts";
import type { Collection } from "../../store/collection.ts";
import type { Member } from "../../store/members.ts";
import type { Entries } from "../../structures/entries.ts";
import { LISTPACK_HEAD, writeHead, writeText } from "../../structures/listpack.ts";
import { lengthBytes, writeLength } from "../../structures/rdb-string.ts";
import { Payload, type ValueSink } from "./dump-payload.ts";

/** A payload that measures every entry, where the sink or the form needs it, and then writes every entry. */
export abstract class EntriesPayload<V extends Collection> extends Payload {
  private left: number;
  private isMeasured = false;
  private isBegun = false;
  /** True when `begin` needs the measurement for more than the length of the value. */
  protected readonly mustMeasure: boolean = true;

  constructor(
    protected readonly value: V,
    private readonly entries: Entries = value.entries,
  ) {
    super();
    this.left = entries.count;
    this.rewind();
  }

  /** Adds the bytes of the current entry to `bytes`. May seek another entry. */
  protected abstract measure(): void;
  /** Called after measuring. Begins the value in the sink, up to its first entry. `bytes` does not include that yet. */
  protected abstract begin(): void;
  /** Writes the current entry. May seek another entry. */
  protected abstract write(): void;
  /** Writes the bytes behind the last entry. */
  protected finish(): void {}

  step(sink: ValueSink): boolean {
    this.sink = sink;
    const { entries } = this;
    if (!this.isBegun && !sink.needsLength && !this.mustMeasure) {
      this.isMeasured = true;
      this.begin();
    }
    this.isBegun = true;
    // A short entry has a cost too.
    for (let done = 0; done < WALK_STEP_BYTES; done++) {
      if (this.left === 0) {
        if (this.isMeasured) {
          this.finish();
          this.end();
          return false;
        }
        this.isMeasured = true;
        this.begin();
        this.left = entries.count;
        this.rewind();
      }
      const before = this.isMeasured ? sink.written : this.bytes;
      entries.reposition();
      if (this.isMeasured) this.write();
      else this.measure();
      done += (this.isMeasured ? sink.written : this.bytes) - before;
      this.left--;
      if (this.left === 0) continue;
      entries.reposition();
      const more = entries.next();
      assert(more, "a collection has as many entries as it counts");
    }
    return true;
  }

  private rewind(): void {
    const { entries } = this;
    entries.seekRank(0);
    const more = entries.normalize();
    assert(more, "a collection has an entry");
  }

  /** Begins a payload of `type`. `bytes` counts everything except the type and this length. */
  protected beginCounted(type: number, length: number): void {
    this.bytes += 1 + lengthBytes(length);
    this.sink.begin(type, this.bytes);
    this.length(length);
  }

  // ---- writing ----

  protected byte(value: number): void {
    const at = this.room(1);
    this.sink.bytes[at] = value;
    this.wrote(1);
  }
  protected length(value: number): void {
    const at = this.room(9);
    this.wrote(writeLength(this.sink.bytes, at, value));
  }
  protected listpackHead(bytes: number, entries: number): void {
    const at = this.room(LISTPACK_HEAD);
    this.wrote(writeHead(this.sink.bytes, at, bytes, entries) - at);
  }
  /** An entry of a listpack. */
  protected text(member: Member): void {
    const { bytes, at, length } = member;
    const to = this.room(length + LISTPACK_ENTRY_MORE);
    this.wrote(writeText(this.sink.bytes, to, bytes as Buffer, at, length) - to);
  }
}
/** Most overhead of an entry of a listpack, bytes. */
export const LISTPACK_ENTRY_MORE = 10;

/** Bytes of a string with its length. */
export function stringBytes(length: number): number {
  return lengthBytes(length) + length;
}
