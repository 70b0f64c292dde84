/**
 * ClientInput: the input of a connection that no command has used yet.
 *
 * The query buffer holds the incomplete tail of the input, and everything behind a command that waits:
 *
 *   query │ used │ parsed arguments of an incomplete command │ not parsed │ free
 *                at                                          at + progress.at    end
 *
 * A long last argument of a command that can take one (STAGES) does not go through the query buffer: it is *staged*
 * straight into chunks of shared memory as it arrives, outside any lock. The query buffer then holds the command's head.
 *
 * Invariants
 *   I1  `progress` describes the command that begins at `at`; its offsets count from there
 *   I2  while a value is being staged, what the query buffer holds behind the head belongs to the value, and later input
 */
import { type Parser, Progress } from "../protocol/parser.ts";
import { StagedValue } from "../store/large.ts";
import type { Engine } from "./engine.ts";

const FIRST_BYTES = 4096;
/** From this length on the query buffer grows by a quarter, not to its double: clients may keep it for long. */
const LARGE_BYTES = 1 << 20;
/** What the place and the length of an argument cost while its command is incomplete. */
const ARGUMENT_BYTES = 16;
const LINE_END = Buffer.from("\r\n");

export class ClientInput {
  readonly progress = new Progress();
  private query: Buffer | null = null;
  private at = 0;
  private end = 0;
  /** The value that arrives, and the bytes of its line end still to come. */
  private staging: StagedValue | null = null;
  private lineEnd = 0;
  /** Values that arrived for the command at the head. */
  staged: StagedValue[] = [];
  /** The value that arrives found no room: it goes on in a later turn. */
  isShortOfRoom = false;

  constructor(private readonly engine: Engine) {}

  get isEmpty(): boolean {
    return this.query === null;
  }
  get isStaging(): boolean {
    return this.staging !== null;
  }
  /** Bytes that wait, those of the value that arrives included. */
  get bytes(): number {
    return this.end - this.at + (this.staging === null ? 0 : this.staging.bytes);
  }
  /** Bytes in the query buffer that are not parsed. */
  get unparsedBytes(): number {
    return this.query === null ? 0 : Math.max(0, this.end - this.at - this.progress.at);
  }
  /** Bytes that count against the query buffer's limit: the argument that arrives, and what was not parsed. */
  get limitedBytes(): number {
    return this.unparsedBytes + (this.staging === null ? 0 : this.staging.bytes);
  }
  /** Bytes of the JS heap. */
  get heldBytes(): number {
    return this.query === null ? 0 : this.query.length;
  }
  get freeBytes(): number {
    return this.query === null ? 0 : this.query.length - this.end;
  }
  /** Memory of all, shared memory included. */
  get memoryBytes(): number {
    let bytes = this.progress.lengths.length * ARGUMENT_BYTES + this.heldBytes;
    if (this.staging !== null) bytes += this.staging.heldBytes;
    for (const value of this.staged) bytes += value.heldBytes;
    return bytes;
  }
  /** Bytes of arguments of the command that is not complete yet. */
  get argumentBytes(): number {
    let bytes = this.staging?.bytes ?? 0;
    for (const length of this.progress.lengths) bytes += length;
    return bytes;
  }

  // ---- the query buffer ----

  /** Gives `run` the bytes that wait; it returns the offset of what is left of them. */
  consume(run: (bytes: Buffer, from: number, to: number) => number): void {
    const { query } = this;
    if (query === null) return;
    const at = run(query, this.at, this.end);
    // A command that has to wait may have replaced the buffer.
    if (this.query !== query) return;
    this.at = at;
    if (at === this.end) this.query = null;
  }

  /** Keeps bytes `from` to `to`, behind those that wait. `needs`: bytes of the whole command, where that is known. */
  keep(bytes: Buffer, from: number, to: number, needs: number): void {
    const length = to - from;
    if (length === 0) return;
    if (this.query === null) {
      this.query = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, length, needs));
      this.at = 0;
      this.end = 0;
    } else if (this.end + length > this.query.length) {
      this.makeRoom(this.query, length);
    }
    bytes.copy(this.query, this.end, from, to);
    this.end += length;
  }

  private makeRoom(query: Buffer, length: number): void {
    const held = this.end - this.at;
    let room = query;
    if (held + length > query.length) {
      const grown = query.length < LARGE_BYTES ? query.length * 2 : query.length + (query.length >>> 2);
      room = Buffer.allocUnsafeSlow(Math.max(grown, held + length));
    }
    query.copy(room, 0, this.at, this.end);
    this.query = room;
    this.at = 0;
    this.end = held;
  }

  /** Forgets everything, values that arrive or have arrived included. */
  clear(): void {
    this.query = null;
    this.at = 0;
    this.end = 0;
    this.staging?.discard(this.engine.store.nowSeconds);
    this.staging = null;
    this.dropStaged();
  }

  /**
   * Keeps command `i` of the batch, which is to be retried and cannot be read again as it came: an inline request was
   * unquoted in place, a staged value is not in the bytes. It is written out anew, with what follows it behind.
   */
  keepParsed(parser: Parser, i: number, bytes: Buffer, end: number): void {
    const first = parser.firstArgument[i]!;
    const count = parser.argumentCount[i]!;
    const parts: Buffer[] = [Buffer.from(`*${count}\r\n`)];
    let size = parts[0]!.length;
    const starts: number[] = [];
    const lengths: number[] = [];
    let complete = true;
    for (let j = first; j < first + count; j++) {
      const at = parser.argumentAt[j]!;
      const length = parser.argumentBytes[j]!;
      lengths.push(length);
      if (at < 0) {
        starts.push(at);
        complete = false;
        continue;
      }
      const head = Buffer.from(`$${length}\r\n`);
      starts.push(size + head.length);
      parts.push(head, Buffer.from(bytes.subarray(at, at + length)), LINE_END);
      size += head.length + length + 2;
    }
    const rest = Buffer.from(bytes.subarray(parser.endOf[i]!, end));
    this.query = Buffer.concat([...parts, rest]);
    this.at = 0;
    this.end = this.query.length;
    const { progress } = this;
    progress.clear();
    if (complete) return;
    // All arguments are read: the parser only has to enter them.
    progress.arguments = count;
    progress.done = count;
    progress.at = size;
    progress.starts = starts;
    progress.lengths = lengths;
  }

  // ---- staging ----

  /** Starts to stage the long argument at which the command at `at` stopped. Keeps all bytes up to `end`. */
  beginStaging(bytes: Buffer, at: number, end: number): void {
    const { engine, progress } = this;
    const head = progress.at;
    const staging = new StagedValue(engine.arena, engine.store.pool, progress.bulk);
    staging.refused = engine.memory.wouldExceed(progress.bulk);
    const query = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, head));
    bytes.copy(query, 0, at, at + head);
    const rest = bytes.subarray(at + head, end);
    this.query = query;
    this.at = 0;
    this.end = head;
    this.staging = staging;
    this.lineEnd = 2;
    this.keep(rest, this.stage(rest, 0, rest.length), rest.length, 0);
  }

  /** Takes bytes as they arrive: of the value, while nothing but the head is in the query buffer, and kept otherwise. */
  receive(bytes: Buffer): void {
    let from = 0;
    if (this.staging !== null && this.unparsedBytes === 0) from = this.stage(bytes, 0, bytes.length);
    this.keep(bytes, from, bytes.length, 0);
  }

  /** Takes bytes of the value that arrives. Returns the offset of the first byte not taken. */
  private stage(bytes: Buffer, from: number, to: number): number {
    const staging = this.staging!;
    const { engine } = this;
    const part = Math.min(to - from, staging.total - staging.bytes);
    const taken = staging.write(bytes, from, part);
    from += taken;
    if (taken < part) {
      // No room: another region is on its way, or there will be none.
      engine.dispatcher.wantRegion();
      if (!engine.store.pool.mayGrow) {
        staging.refuse(engine.store.nowSeconds);
        return this.stage(bytes, from, to);
      }
      this.isShortOfRoom = true;
      return from;
    }
    if (staging.bytes < staging.total) return from;
    const skipped = Math.min(this.lineEnd, to - from);
    this.lineEnd -= skipped;
    from += skipped;
    if (this.lineEnd > 0) return from;
    this.staged.push(staging);
    this.staging = null;
    const { progress } = this;
    progress.starts.push(-this.staged.length);
    progress.lengths.push(staging.total);
    progress.done++;
    progress.bulk = -1;
    return from;
  }

  /** As `stage`, from what the query buffer holds behind the head. */
  stageKept(): void {
    const query = this.query!;
    const body = this.at + this.progress.at;
    if (this.end === body) return;
    const taken = this.stage(query, body, this.end);
    query.copy(query, body, taken, this.end);
    this.end -= taken - body;
  }

  /** Lets go of values that the command did not take over. */
  dropStaged(): void {
    for (const value of this.staged) value.discard(this.engine.store.nowSeconds);
    this.staged = [];
  }
}
