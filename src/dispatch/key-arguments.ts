/** Finds a command's keys among its arguments, for the dispatcher and for COMMAND GETKEYS. */
import { Int64Kind, int64, parseInt64 } from "../base/integers.ts";
import type { Call } from "./call.ts";
import type { CommandSpec, KeyPlace, KeySpec } from "./spec.ts";

const LONGEST_OPTION = 16;

/** The keys of a command whose name is argument `from` of `call`. */
export class KeyArguments {
  /** Argument numbers, counted as `call` counts them. */
  at = new Int32Array(64);
  count = 0;
  /** True when the number of keys is no positive number, or exceeds the arguments. */
  isInvalid = false;

  /** Finds the keys of `spec`, which has `given` arguments with its name. */
  find(call: Call, spec: CommandSpec, from: number, given: number): void {
    this.count = 0;
    this.isInvalid = false;
    if (spec.places === undefined) {
      this.range(spec.keys, from, given);
      return;
    }
    for (const place of spec.places) this.findPlace(call, place, from, given);
  }

  /** Finds the keys of one place and appends them. */
  findPlace(call: Call, place: KeyPlace, from: number, given: number): void {
    if (place.unknown === true) this.behindOption(call, place, from, given);
    else if (place.countAt !== undefined) this.counted(call, place, place.countAt, from, given);
    else if (place.keyword !== undefined) this.behindKeyword(call, place, place.keyword, from, given);
    else this.range(place, from, given);
  }

  private range(keys: KeySpec, from: number, given: number): void {
    if (keys.first === 0) return;
    const last = keys.last < 0 ? given + keys.last : keys.last;
    for (let i = keys.first; i <= last && i < given; i += keys.step) this.add(from + i);
  }

  /** Keys that follow their number. If the number is invalid, the command has no keys, and its handler replies the error. */
  private counted(call: Call, place: KeyPlace, countAt: number, from: number, given: number): void {
    this.isInvalid = true;
    if (countAt >= given) return;
    const at = from + countAt;
    if (parseInt64(call.bytes, call.argAt(at), call.argBytes(at)) !== Int64Kind.Safe) return;
    const count = int64.value;
    if (count <= 0 || place.first + (count - 1) * place.step >= given) return;
    this.isInvalid = false;
    for (let n = 0, i = place.first; n < count && i < given; n++, i += place.step) this.add(from + i);
  }

  /** Keys that follow a keyword: one, all the rest, or the first half of the rest (streams, whose IDs follow). */
  private behindKeyword(call: Call, place: KeyPlace, keyword: string, from: number, given: number): void {
    const start = place.first < 0 ? given + place.first : place.first;
    const step = place.first < 0 ? -1 : 1;
    for (let i = start; i > 0 && i < given; i += step) {
      if (!isWord(call, from + i, keyword)) continue;
      const first = i + 1;
      const count = place.half === true ? (given - first) >> 1 : place.last === 0 ? 1 : given - first;
      for (let n = 0; n < count && first + n < given; n++) this.add(from + first + n);
      return;
    }
  }

  /** The key that follows an option. The option may be anywhere, and its last occurrence counts. */
  private behindOption(call: Call, place: KeyPlace, from: number, given: number): void {
    const { keyword, skips } = place;
    if (keyword === undefined || skips === undefined) return;
    let found = -1;
    for (let i = place.first; i < given; i++) {
      const word = call.argBytes(from + i) > LONGEST_OPTION ? "" : call.argText(from + i).toUpperCase();
      if (word === keyword && i + 1 < given) found = ++i;
      else i += skips[word] ?? 0;
    }
    if (found > 0) this.add(from + found);
  }

  private add(argument: number): void {
    if (this.count === this.at.length) {
      const more = new Int32Array(this.count * 2);
      more.set(this.at);
      this.at = more;
    }
    this.at[this.count++] = argument;
  }
}

/** True when the command has one key, its first argument. Such commands take the fast path. */
export function isOfOneKey(spec: CommandSpec, argCount: number): boolean {
  const { keys } = spec;
  return keys.first === 1 && spec.places === undefined && (keys.last === 1 || (keys.last === -1 && argCount === 2));
}

/** True when argument `i` is `word`, upper-case letters, in any case. */
function isWord(call: Call, i: number, word: string): boolean {
  if (call.argBytes(i) !== word.length) return false;
  const at = call.argAt(i);
  for (let j = 0; j < word.length; j++) if ((call.bytes[at + j]! & UPPER) !== word.charCodeAt(j)) return false;
  return true;
}
const UPPER = 0xdf;
