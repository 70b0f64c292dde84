/**
 * Request parser: reads RESP arrays of bulk strings and inline commands, however the input is divided into chunks.
 *
 * `parse` fills a table of complete commands as offsets into the given bytes. It copies and allocates nothing. `Progress`
 * records where an incomplete command ends, and the next call resumes there. So a request of a million arguments costs the
 * same in many small pieces as in one.
 *
 *   command i of the table: arguments firstArgument[i] .. firstArgument[i] + argumentCount[i] - 1
 *   argument j            : argumentAt[j], argumentBytes[j];  argumentAt < 0 = staged value number -argumentAt - 1
 *
 * Limits and texts are Redis's (networking.c): 64 KiB for a length line and for an inline request, `argumentsMax` and
 * `bulkMax` from the configuration, and 10 arguments of 16 KiB before authentication.
 */
import { ErrorText } from "./errors.ts";

export const BATCH_MAX = 256;
const LINE_MAX = 64 << 10;
const DOLLAR = 36;
const CR = 13;
const LF = 10;

/** How far an incomplete command has been parsed. Offsets count from the command's first byte. */
export class Progress {
  /** Number of arguments that the head announces; 0 = the head is not read yet. */
  arguments = 0;
  done = 0;
  /** Next byte to read. */
  at = 0;
  /** Length of the bulk string at `at`; -1 = its length line is not read yet. */
  bulk = -1;
  starts: number[] = [];
  lengths: number[] = [];

  clear(): void {
    this.arguments = 0;
    this.done = 0;
    this.at = 0;
    this.bulk = -1;
    if (this.starts.length > 0) {
      this.starts = [];
      this.lengths = [];
    }
  }
}

export interface ParserLimits {
  /** Longest bulk string, bytes (proto-max-bulk-len). */
  bulkMax: number;
  /** Most arguments of a command. */
  argumentsMax: number;
  /** Longest inline request, bytes. */
  inlineMax: number;
  /** Most arguments, and longest argument in bytes, before authentication. */
  unauthenticatedArguments: number;
  unauthenticatedBulk: number;
}

export class Parser {
  readonly firstArgument = new Int32Array(BATCH_MAX);
  readonly argumentCount = new Int32Array(BATCH_MAX);
  /** Offset of each command's first byte, and behind its last one. */
  readonly startOf = new Int32Array(BATCH_MAX);
  readonly endOf = new Int32Array(BATCH_MAX);
  argumentAt = new Int32Array(4096);
  argumentBytes = new Int32Array(4096);
  commands = 0;
  /** Text of the protocol error at which the parser stopped; "" = none. The table has the commands before it. */
  error = "";
  /**
   * Least number of bytes of an incomplete command that ends within a bulk string of known length; 0 otherwise. The caller
   * allocates a query buffer of that size at once.
   */
  needs = 0;
  private used = 0;
  /** Behind the last argument in the table. */
  get argumentsEnd(): number {
    return this.used;
  }

  constructor(readonly limits: ParserLimits) {}

  /**
   * Parses commands from `start` to `end` of `bytes`, at most `most` of them. `progress` belongs to the connection and
   * describes the command that begins at `start`. Returns the offset behind the last complete command.
   */
  parse(bytes: Buffer, start: number, end: number, most: number, progress: Progress, authenticated: boolean): number {
    this.commands = 0;
    this.used = 0;
    this.error = "";
    this.needs = 0;
    let at = start;
    while (at < end && this.commands < most) {
      const before = this.commands;
      const inline = progress.arguments === 0 && bytes[at] !== 42;
      // An inline request is unquoted in place and must not be parsed twice, so it forms a separate batch.
      if (inline && before > 0) return at;
      const next = inline ? this.parseInline(bytes, at, end) : this.parseArray(bytes, at, end, progress, authenticated);
      if (next < 0) return at;
      if (this.commands > before) {
        this.startOf[before] = at;
        this.endOf[before] = next;
      }
      if (inline && this.commands > before) return next;
      at = next;
    }
    return at;
  }

  /** Parses one command. Returns the offset behind it, or -1 when it is incomplete or, with `error` set, invalid. */
  private parseArray(bytes: Buffer, start: number, end: number, progress: Progress, authenticated: boolean): number {
    let at = start + 1;
    let count = 0;
    let done = 0;
    let bulk = -1;
    const first = this.used;
    if (progress.arguments > 0) {
      count = progress.arguments;
      done = progress.done;
      bulk = progress.bulk;
      at = start + progress.at;
      this.takeUp(progress, start, first);
    } else {
      // Most commands have a head with one digit.
      const digit = bytes[at]! - 48;
      if (at + 2 < end && digit > 0 && digit <= 9 && bytes[at + 1] === CR) {
        count = digit;
        at += 3;
      } else {
        count = this.readCount(bytes, at, end);
        if (count < 0) return -1;
        at = this.afterLine;
        if (count === 0) return at; // an empty request is skipped
      }
      if (!authenticated && count > this.limits.unauthenticatedArguments)
        return this.fail(ErrorText.unauthenticatedMultibulk);
      this.reserve(first + Math.min(count, 1024));
    }
    for (; done < count; done++) {
      if (bulk < 0) {
        if (at >= end) return this.keep(progress, start, at, first, count, done, -1);
        if (bytes[at] !== DOLLAR) return this.failExpected(bytes[at]!);
        const tens = bytes[at + 1]! - 48;
        if (at + 4 < end && tens >= 0 && tens <= 9 && bytes[at + 2] === CR) {
          bulk = tens;
          at += 4;
        } else if (at + 5 < end && tens > 0 && tens <= 9 && bytes[at + 3] === CR && isDigit(bytes[at + 2]!)) {
          bulk = tens * 10 + bytes[at + 2]! - 48;
          at += 5;
        } else {
          bulk = this.readBulkLength(bytes, at + 1, end);
          if (bulk < 0) return this.error === "" ? this.keep(progress, start, at, first, count, done, -1) : -1;
          at = this.afterLine;
        }
        if (!authenticated && bulk > this.limits.unauthenticatedBulk) return this.fail(ErrorText.unauthenticatedBulk);
      }
      if (at + bulk + 2 > end) {
        this.needs = at - start + bulk + 2;
        return this.keep(progress, start, at, first, count, done, bulk);
      }
      if (first + done >= this.argumentAt.length) this.reserve(first + done + 1);
      this.argumentAt[first + done] = at;
      this.argumentBytes[first + done] = bulk;
      at += bulk + 2;
      bulk = -1;
    }
    if (progress.arguments > 0) progress.clear();
    this.enter(first, count);
    return at;
  }

  /** Puts the arguments of an incomplete command that were parsed before into the table. */
  private takeUp(progress: Progress, start: number, first: number): void {
    const { done, starts, lengths } = progress;
    this.reserve(first + Math.min(progress.arguments, done + 1024));
    for (let i = 0; i < done; i++) {
      const relative = starts[i]!;
      this.argumentAt[first + i] = relative < 0 ? relative : start + relative;
      this.argumentBytes[first + i] = lengths[i]!;
    }
  }

  /** Reads the number of arguments. Returns 0 for an empty request, -1 when the line is incomplete or invalid. */
  private readCount(bytes: Buffer, at: number, end: number): number {
    const value = this.readLength(bytes, at, end, ErrorText.bigCount);
    if (value === NEEDS_MORE) return -1;
    if (value === NOT_A_NUMBER || value > this.limits.argumentsMax) return this.fail(ErrorText.multibulkLength);
    return Math.max(value, 0);
  }

  /** Reads the length of a bulk string. Returns -1 when the line is incomplete or, with `error` set, invalid. */
  private readBulkLength(bytes: Buffer, at: number, end: number): number {
    const value = this.readLength(bytes, at, end, ErrorText.bigBulkCount);
    if (value === NEEDS_MORE) return -1;
    return value < 0 || value > this.limits.bulkMax ? this.fail(ErrorText.bulkLength) : value;
  }

  /** Splits a line at blanks into arguments, with Redis's quoting. The arguments overwrite the line. */
  private parseInline(bytes: Buffer, start: number, end: number): number {
    const newline = bytes.subarray(start, end).indexOf(LF);
    if (newline < 0) {
      if (end - start > this.limits.inlineMax) return this.fail(ErrorText.bigInline);
      return -1;
    }
    if (newline > this.limits.inlineMax) return this.fail(ErrorText.bigInline);
    let lineEnd = start + newline;
    const after = lineEnd + 1;
    if (lineEnd > start && bytes[lineEnd - 1] === CR) lineEnd--;
    const first = this.used;
    let count = 0;
    let at = start;
    for (;;) {
      while (at < lineEnd && isBlank(bytes[at]!)) at++;
      if (at >= lineEnd) break;
      this.reserve(first + count + 1);
      const length = this.readWord(bytes, at, lineEnd);
      if (length < 0) return this.fail(ErrorText.unbalancedQuotes);
      this.argumentAt[first + count] = at;
      this.argumentBytes[first + count] = length;
      count++;
      at = this.afterLine;
    }
    if (count > 0) this.enter(first, count);
    return after;
  }

  /** Unquotes one word of an inline request in place. Returns its length, or -1 when its quotes are unbalanced. */
  private readWord(bytes: Buffer, start: number, end: number): number {
    let at = start;
    let to = start;
    while (at < end && !isBlank(bytes[at]!)) {
      const quote = bytes[at]!;
      if (quote !== 34 && quote !== 39) {
        bytes[to++] = bytes[at++]!;
        continue;
      }
      at++;
      for (;;) {
        if (at >= end) return -1;
        const byte = bytes[at]!;
        if (byte === quote) {
          at++;
          // A closing quote ends the word.
          if (at < end && !isBlank(bytes[at]!)) return -1;
          break;
        }
        if (byte !== 92 || at + 1 >= end) {
          bytes[to++] = byte;
          at++;
          continue;
        }
        if (quote === 39) {
          if (bytes[at + 1] === 39) at++;
          bytes[to++] = bytes[at++]!;
          continue;
        }
        if (bytes[at + 1] === 120 && at + 3 < end && hexOf(bytes[at + 2]!) >= 0 && hexOf(bytes[at + 3]!) >= 0) {
          bytes[to++] = hexOf(bytes[at + 2]!) * 16 + hexOf(bytes[at + 3]!);
          at += 4;
          continue;
        }
        const escaped = bytes[at + 1]!;
        bytes[to++] =
          escaped === 110
            ? LF
            : escaped === 114
              ? CR
              : escaped === 116
                ? 9
                : escaped === 98
                  ? 8
                  : escaped === 97
                    ? 7
                    : escaped;
        at += 2;
      }
      break;
    }
    this.afterLine = at;
    return to - start;
  }

  /** Offset behind the line that readLength or readWord read last. */
  private afterLine = 0;

  /** Reads a decimal number up to CR LF. */
  private readLength(bytes: Buffer, start: number, end: number, tooBig: string): number {
    let at = start;
    const limit = Math.min(end, start + LINE_MAX);
    while (at < limit && bytes[at] !== CR) at++;
    if (at >= limit || at + 1 >= end) {
      if (at - start >= LINE_MAX) this.fail(tooBig);
      return NEEDS_MORE;
    }
    this.afterLine = at + 2;
    let i = start;
    let negative = false;
    if (bytes[i] === 45) {
      negative = true;
      i++;
    }
    if (i === at || at - i > 10) return NOT_A_NUMBER;
    // As string2ll: no leading zero, except in "0" itself.
    if (bytes[i] === 48 && (at - i > 1 || negative)) return NOT_A_NUMBER;
    let value = 0;
    for (; i < at; i++) {
      const digit = bytes[i]! - 48;
      if (digit < 0 || digit > 9) return NOT_A_NUMBER;
      value = value * 10 + digit;
    }
    return negative ? -value : value;
  }

  private enter(first: number, count: number): void {
    this.firstArgument[this.commands] = first;
    this.argumentCount[this.commands] = count;
    this.commands++;
    this.used = first + count;
  }

  private keep(
    progress: Progress,
    start: number,
    at: number,
    first: number,
    count: number,
    done: number,
    bulk: number,
  ): number {
    // Short commands are parsed again from the start.
    if (progress.arguments === 0 && at - start < 512 && this.needs < 4096) return -1;
    for (let i = progress.done; i < done; i++) {
      const offset = this.argumentAt[first + i]!;
      progress.starts.push(offset < 0 ? offset : offset - start);
      progress.lengths.push(this.argumentBytes[first + i]!);
    }
    progress.arguments = count;
    progress.done = done;
    progress.at = at - start;
    progress.bulk = bulk;
    return -1;
  }

  private failExpected(byte: number): number {
    return this.fail(`ERR Protocol error: expected '$', got '${String.fromCharCode(byte)}'`);
  }

  private fail(text: string): number {
    this.error = text;
    return -1;
  }

  /** Bytes of the arguments of command `i`. */
  bytesOfArguments(i: number): number {
    const first = this.firstArgument[i]!;
    let bytes = 0;
    for (let n = 0; n < this.argumentCount[i]!; n++) bytes += this.argumentBytes[first + n]!;
    return bytes;
  }

  private reserve(count: number): void {
    if (count <= this.argumentAt.length) return;
    const wider = Math.max(count, this.argumentAt.length * 2);
    const at = new Int32Array(wider);
    at.set(this.argumentAt);
    this.argumentAt = at;
    const lengths = new Int32Array(wider);
    lengths.set(this.argumentBytes);
    this.argumentBytes = lengths;
  }
}

const NEEDS_MORE = Number.NEGATIVE_INFINITY;
const NOT_A_NUMBER = Number.POSITIVE_INFINITY;

function isDigit(byte: number): boolean {
  return byte >= 48 && byte <= 57;
}
function isBlank(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13) || byte === 0;
}
function hexOf(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
