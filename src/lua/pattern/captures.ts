/**
 * What the last match found. One for the thread: whoever matched takes the texts out before anything else runs.
 *
 *   captures[2 n], [2 n + 1]   start and end of capture n; the end is not set for position captures
 *   captures[MATCH_START]      start of the whole match
 */
import { poll } from "../limits.ts";
import { state } from "../state.ts";
import { CAPTURES_MAX } from "./program.ts";

export const MATCH_START = 2 * CAPTURES_MAX;
export const captures = new Int32Array(MATCH_START + 1);

/** Searches `text`, which has `length` characters, from `from` on. Returns the end of the match, or -1. */
export type Search = (text: string, length: number, from: number) => number;

/** %bxy at `at`: the end of the balanced text, or -1. */
export function balanceEnd(text: string, length: number, at: number, open: number, close: number): number {
  if (at >= length || text.charCodeAt(at) !== open) return -1;
  let depth = 1;
  let i = at + 1;
  for (; i < length && depth > 0; i++) {
    const code = text.charCodeAt(i);
    if (code === close) depth--;
    else if (code === open) depth++;
  }
  countWork(i - at);
  return depth === 0 ? i : -1;
}

/** Whether the characters at `at` are those of the finished capture `number`. */
export function isRepeated(text: string, length: number, at: number, number: number): boolean {
  const start = captures[2 * number]!;
  const size = captures[2 * number + 1]! - start;
  if (length - at < size) return false;
  countWork(size);
  for (let i = 0; i < size; i++) if (text.charCodeAt(start + i) !== text.charCodeAt(at + i)) return false;
  return true;
}

/** Counts the characters that were looked at as turns of a loop. */
function countWork(characters: number): void {
  state.polls -= characters;
  if (state.polls < 0) poll();
}
