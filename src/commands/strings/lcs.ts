/** LCS: the longest common subsequence of two strings, by a table of lengths for each pair of prefixes. */
import { Int64Kind, int64 } from "../../base/integers.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { RecordType } from "../../store/record.ts";
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";

const TOKENS = {
  len: token("len"),
  idx: token("idx"),
  minMatchLen: token("minmatchlen"),
  withMatchLen: token("withmatchlen"),
};

/** LCS key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]. Replies: the subsequence, its length, or the matches. */
export function lcs(call: Call, reply: Reply): void {
  let isString = true;
  const lengths = [0, 0];
  const { store } = call;
  for (let i = 0; i < 2; i++) {
    call.selectKey(i + 1);
    if (store.findForRead() === NO_ADDRESS) continue;
    if (store.cursor.type === RecordType.String) lengths[i] = call.strings.lengthFound;
    else isString = false;
  }
  if (!isString) return reply.error("ERR The specified keys must contain string values");
  const wants = readLcsOptions(call);
  if (typeof wants === "string") return reply.error(wants);
  const tableBytes = (lengths[0]! + 1) * (lengths[1]! + 1) * 4;
  if (tableBytes > call.stringMax) {
    return reply.error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
  }
  const a = readWhole(call, 1, lengths[0]!);
  const b = readWhole(call, 2, lengths[1]!);
  if (wants.length) return reply.integer(lcsLength(a, b));
  let table: Uint32Array;
  try {
    table = lcsTable(a, b);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return reply.error("ERR Insufficient memory, failed allocating transient memory for LCS");
  }
  const matches: Match[] = [];
  const text = walkTable(table, a, b, matches);
  if (wants.indexes) replyMatches(reply, matches, text.length, wants);
  else reply.bulk(text, 0, text.length);
}

interface LcsOptions {
  length: boolean;
  indexes: boolean;
  /** The reply has the length of each match. */
  matchLengths: boolean;
  /** Shorter matches are left out. */
  least: number;
}

/** The options of LCS, or the text of an error. */
function readLcsOptions(call: Call): LcsOptions | string {
  const wants: LcsOptions = { length: false, indexes: false, matchLengths: false, least: 0 };
  for (let i = 3; i < call.argCount; i++) {
    if (call.argIs(i, TOKENS.idx)) wants.indexes = true;
    else if (call.argIs(i, TOKENS.len)) wants.length = true;
    else if (call.argIs(i, TOKENS.withMatchLen)) wants.matchLengths = true;
    else if (call.argIs(i, TOKENS.minMatchLen) && i + 1 < call.argCount) {
      const kind = call.argInt64(++i);
      if (kind === Int64Kind.None) return ErrorText.notInteger;
      wants.least = Math.max(0, kind === Int64Kind.Safe ? int64.value : int64.hi < 0 ? 0 : Number.MAX_SAFE_INTEGER);
    } else return ErrorText.syntax;
  }
  if (wants.length && wants.indexes) return "ERR If you want both the length and indexes, please just use IDX.";
  return wants;
}

/** The reply of LCS IDX: where each match is in both strings, and the length of the whole subsequence. */
function replyMatches(reply: Reply, matches: readonly Match[], total: number, wants: LcsOptions): void {
  const shown = matches.filter((match) => match.length >= wants.least);
  reply.map(2);
  reply.text("matches");
  reply.array(shown.length);
  for (const { aAt, bAt, length } of shown) {
    reply.array(wants.matchLengths ? 3 : 2);
    for (const at of [aAt, bAt]) {
      reply.array(2);
      reply.integer(at);
      reply.integer(at + length - 1);
    }
    if (wants.matchLengths) reply.integer(length);
  }
  reply.text("len");
  reply.integer(total);
}

/** A copy of the string at key argument `i`; empty without a key. */
function readWhole(call: Call, i: number, length: number): Buffer {
  const whole = Buffer.allocUnsafe(length);
  call.selectKey(i);
  if (length > 0 && call.store.find() !== NO_ADDRESS) call.strings.read(0, whole, 0, length);
  return whole;
}

/** The length of the subsequence, with one row of the table in memory. */
function lcsLength(a: Uint8Array, b: Uint8Array): number {
  const best = new Uint32Array(b.length + 1);
  for (let i = 0; i < a.length; i++) {
    let diagonal = 0;
    for (let j = 0; j < b.length; j++) {
      const above = best[j + 1]!;
      if (a[i] === b[j]) best[j + 1] = diagonal + 1;
      else if (best[j]! > above) best[j + 1] = best[j]!;
      diagonal = above;
    }
  }
  return best[b.length]!;
}

/** Entry i * (b.length + 1) + j: the length for the first i bytes of a and the first j of b. */
function lcsTable(a: Uint8Array, b: Uint8Array): Uint32Array {
  const width = b.length + 1;
  const table = new Uint32Array((a.length + 1) * width);
  for (let i = 1; i <= a.length; i++) {
    const row = i * width;
    for (let j = 1; j <= b.length; j++) {
      if (a[i - 1] === b[j - 1]) {
        table[row + j] = table[row - width + j - 1]! + 1;
      } else {
        const above = table[row - width + j]!;
        const left = table[row + j - 1]!;
        table[row + j] = above > left ? above : left;
      }
    }
  }
  return table;
}

/** A run of bytes that both strings share. */
interface Match {
  aAt: number;
  bAt: number;
  length: number;
}

/** Walks the table backward and appends the runs to `matches`, the last one first. Returns the subsequence. */
function walkTable(table: Uint32Array, a: Uint8Array, b: Uint8Array, matches: Match[]): Buffer {
  const width = b.length + 1;
  let left = table[table.length - 1]!;
  const text = Buffer.allocUnsafe(left);
  let run: Match | null = null;
  for (let i = a.length, j = b.length; i > 0 && j > 0; ) {
    if (a[i - 1] === b[j - 1]) {
      i--;
      j--;
      text[--left] = a[i]!;
      if (run !== null && run.aAt === i + 1 && run.bAt === j + 1) {
        run.aAt = i;
        run.bAt = j;
        run.length++;
      } else {
        run = { aAt: i, bAt: j, length: 1 };
        matches.push(run);
      }
    } else if (table[(i - 1) * width + j]! > table[i * width + j - 1]!) {
      i--;
      run = null;
    } else {
      j--;
      run = null;
    }
  }
  return text;
}
