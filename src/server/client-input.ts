/**
 * ClientInput: the input of a connection that no command has used yet.
 *
 * The query buffer holds the incomplete tail of the input, and everything after a command that waits:
 *
 *   query │ used │ parsed arguments of an incomplete command │ not parsed │ free
 *                at                                          at + progress.at    end
 *
 * A long last argument of a command with the flag STAGES does not go through the query buffer. It is *staged*: its bytes go
 * from the socket straight into chunks of shared memory, outside any lock. The query buffer then holds the command's head,
 * which is everything before that argument.
 *
 * Invariants
 *   INPUT-1  `progress` describes the command that begins at `at`; its offsets count from there
 *   INPUT-2  while a value is being staged, the bytes after the head belong to the value and then to later commands
 */
import { STAGES } from "../dispatch/spec.ts";
import { type Parser, Progress } from "../protocol/parser.ts";
import { type Pieces, StagedValue } from "../store/large.ts";
import type { Engine } from "./engine.ts";
import { QUERY_BYTES } from "./query-buffers.ts";

/** From this length on the query buffer grows by a quarter instead of doubling, because a client may keep it for long. */
const LARGE_BYTES = 1 << 20;
/** Bytes that the offset and the length of an argument take while its command is incomplete. */
const ARGUMENT_BYTES = 16;
const LINE_END = Buffer.from("\r\n");

export class ClientInput {
  readonly progress = new Progress();
  private query: Buffer | null = null;
  private at = 0;
  private end = 0;
  /** The value being staged, and the bytes of its line end still to come. */
  private staging: StagedValue | null = null;
  private lineEnd = 0;
  /** Complete staged values of the next command. */
  staged: StagedValue[] = [];
  /** True when the value being staged found no memory. Staging continues in a later turn. */
  lacksRoom = false;

  constructor(private readonly engine: Engine) {}

  get isEmpty(): boolean {
    return this.query === null;
  }
  get isStaging(): boolean {
    return this.staging !== null;
  }
  /** Bytes that wait, including those of the value being staged. */
  get bytes(): number {
    return this.end - this.at + (this.staging === null ? 0 : this.staging.bytes);
  }
  /** Bytes in the query buffer that are not parsed. */
  get unparsedBytes(): number {
    return this.query === null ? 0 : Math.max(0, this.end - this.at - this.progress.at);
  }
  /** Bytes that count against the query buffer's limit: the value being staged, and the bytes that are not parsed. */
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
  /** Memory of the whole input, including shared memory. */
  get memoryBytes(): number {
    let bytes = this.progress.lengths.length * ARGUMENT_BYTES + this.heldBytes;
    if (this.staging !== null) bytes += this.staging.heldBytes;
    for (const value of this.staged) bytes += value.heldBytes;
    return bytes;
  }
  /** Bytes of the arguments of the incomplete command. */
  get argumentBytes(): number {
    let bytes = this.staging?.bytes ?? 0;
    for (const length of this.progress.lengths) bytes += length;
    return bytes;
  }

  // ---- the query buffer ----

  /** Passes the waiting bytes to `run`, which returns the offset of the first byte that it did not use. */
  consume(run: (bytes: Buffer, from: number, to: number) => number): void {
    const { query } = this;
    if (query === null) return;
    const at = run(query, this.at, this.end);
    // `restoreCommand` may have replaced the buffer.
    if (this.query !== query) return;
    this.at = at;
    if (at < this.end) return;
    this.query = null;
    this.engine.queryBuffers.give(query);
  }

  /** Appends bytes `from` to `to` to the waiting ones. `needs`: bytes of the whole command if that is known, else 0. */
  append(bytes: Buffer, from: number, to: number, needs: number): void {
    const length = to - from;
    if (length === 0) return;
    if (this.query === null) {
      const room = Math.max(length, needs);
      this.query = room <= QUERY_BYTES ? this.engine.queryBuffers.take() : Buffer.allocUnsafeSlow(room);
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

  /** Discards all input, including staged values. */
  clear(): void {
    this.query = null;
    this.at = 0;
    this.end = 0;
    this.staging?.discard(this.engine.store.nowSeconds);
    this.staging = null;
    this.dropStaged();
  }

  /**
   * Puts command `i` of the batch back into the query buffer, because it must be retried and its original bytes cannot be
   * parsed again: an inline request was unquoted in place, and a staged value is not among the bytes. The command is
   * encoded anew as an array, and the bytes after it follow.
   */
  restoreCommand(parser: Parser, i: number, bytes: Buffer, end: number): void {
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
    // All arguments are parsed already, so the parser only has to enter them into its table.
    progress.arguments = count;
    progress.done = count;
    progress.at = size;
    progress.starts = starts;
    progress.lengths = lengths;
  }

  // ---- staging ----

  /**
   * Begins to stage the long argument at which the parser stopped in the command at `at`, and takes all bytes up to `end`.
   * Returns false when that command has not the flag STAGES.
   */
  beginStaging(bytes: Buffer, at: number, end: number): boolean {
    const { engine, progress } = this;
    const { table } = engine.dispatcher;
    if (progress.done < 2) return false;
    const index = table.find(bytes, at + progress.starts[0]!, progress.lengths[0]!);
    if (index < 0 || (table.all[index]!.flags & STAGES) === 0) return false;
    const head = progress.at;
    const staging = new StagedValue(engine.arena, engine.store.pool, progress.bulk);
    staging.refused = engine.memory.wouldExceed(progress.bulk);
    const query = Buffer.allocUnsafeSlow(Math.max(QUERY_BYTES, head));
    bytes.copy(query, 0, at, at + head);
    const rest = bytes.subarray(at + head, end);
    this.query = query;
    this.at = 0;
    this.end = head;
    this.staging = staging;
    this.lineEnd = 2;
    this.append(rest, this.stage(rest, 0, rest.length), rest.length, 0);
    return true;
  }

  /** Accepts bytes from the socket. They go to the value being staged if the query buffer holds only the head (INPUT-2). */
  receive(bytes: Buffer, length: number): void {
    let from = 0;
    if (this.staging !== null && this.unparsedBytes === 0) from = this.stage(bytes, 0, length);
    this.append(bytes, from, length, 0);
  }

  /** Enters where the next bytes shall be received: into the value being staged. Returns the room there, 0 = nowhere. */
  openPieces(pieces: Pieces): number {
    if (this.staging === null || this.unparsedBytes > 0 || this.lacksRoom) return 0;
    return this.staging.openPieces(pieces);
  }

  /** `length` bytes were received into the pieces. */
  filledPieces(length: number): void {
    this.staging!.filled(length);
  }

  /** Adds bytes to the value being staged. Returns the offset of the first byte not used. */
  private stage(bytes: Buffer, from: number, to: number): number {
    const staging = this.staging!;
    const { engine } = this;
    const part = Math.min(to - from, staging.total - staging.bytes);
    const taken = staging.write(bytes, from, part);
    from += taken;
    if (taken < part) {
      // The regions are full. Another one is on its way, or there will be none.
      engine.call.server.wantRegion();
      if (!engine.store.pool.mayGrow) {
        staging.refuse(engine.store.nowSeconds);
        return this.stage(bytes, from, to);
      }
      this.lacksRoom = true;
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

  /** As `stage`, with the bytes after the head in the query buffer. */
  stageQuery(): void {
    const query = this.query!;
    const body = this.at + this.progress.at;
    if (this.end === body) return;
    const taken = this.stage(query, body, this.end);
    query.copy(query, body, taken, this.end);
    this.end -= taken - body;
  }

  /** Frees the staged values that the command did not use. */
  dropStaged(): void {
    for (const value of this.staged) value.discard(this.engine.store.nowSeconds);
    this.staged = [];
  }
}
