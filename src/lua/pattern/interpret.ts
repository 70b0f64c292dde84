/** Matches a pattern by walking over its items. Needs no preparation, so it serves the first uses of a pattern. */
import { raise } from "../errors.ts";
import { countTurn } from "../limits.ts";
import { state } from "../state.ts";
import { balanceEnd, captures, isRepeated, MATCH_START, type Search } from "./captures.ts";
import { type Item, ItemKind, type Program } from "./program.ts";

export function interpreted(program: Program): Search {
  const { items, isAnchored } = program;
  return (text, length, from) => {
    for (let start = from; start <= length; start++) {
      countTurn();
      const end = match(items, 0, text, length, start);
      if (end >= 0) {
        captures[MATCH_START] = start;
        return end;
      }
      if (isAnchored) break;
    }
    return -1;
  };
}

/** Matches the items from `index` on at `at`. Returns the end of the match, or -1. */
function match(items: readonly Item[], index: number, text: string, length: number, start: number): number {
  let at = start;
  for (; index < items.length; index++) {
    const item = items[index]!;
    switch (item.kind) {
      case ItemKind.Single:
        if (at >= length || item.set[text.charCodeAt(at)] !== 1) return -1;
        at++;
        break;
      case ItemKind.Greedy:
        return index + 1 === items.length ? greedyEnd(item, text, length, at) : greedy(items, index, text, length, at);
      case ItemKind.Lazy:
        return lazy(items, index, text, length, at);
      case ItemKind.Optional:
        if (at < length && item.set[text.charCodeAt(at)] === 1) {
          const end = match(items, index + 1, text, length, at + 1);
          if (end >= 0) return end;
        }
        break;
      default:
        at = matchOther(item, text, length, at);
        if (at < 0) return -1;
    }
  }
  return at;
}

/** The items that take no set of characters. */
function matchOther(item: Item, text: string, length: number, at: number): number {
  switch (item.kind) {
    case ItemKind.Open:
    case ItemKind.Position:
      captures[2 * item.count] = at;
      return at;
    case ItemKind.Close:
      captures[2 * item.count + 1] = at;
      return at;
    case ItemKind.Balance:
      return balanceEnd(text, length, at, item.code, item.count);
    case ItemKind.Frontier: {
      const before = at === 0 ? 0 : text.charCodeAt(at - 1);
      const here = at === length ? 0 : text.charCodeAt(at);
      return item.set[before] !== 1 && item.set[here] === 1 ? at : -1;
    }
    case ItemKind.Again: {
      // a position capture has no text, and nothing repeats it
      if (item.code === 1 || !isRepeated(text, length, at, item.count)) return -1;
      return at + captures[2 * item.count + 1]! - captures[2 * item.count]!;
    }
    case ItemKind.End:
      return at === length ? at : -1;
    default:
      return raise(item.message);
  }
}

/** The end of the longest run of the item's characters at `at`; -1 when it is too short. */
function greedyEnd(item: Item, text: string, length: number, at: number): number {
  let end = at;
  while (end < length && item.set[text.charCodeAt(end)] === 1) end++;
  state.polls -= end - at;
  return end - at >= item.count ? end : -1;
}

function greedy(items: readonly Item[], index: number, text: string, length: number, at: number): number {
  const item = items[index]!;
  for (let end = greedyEnd(item, text, length, at); end >= at + item.count; end--) {
    countTurn();
    const result = match(items, index + 1, text, length, end);
    if (result >= 0) return result;
  }
  return -1;
}

function lazy(items: readonly Item[], index: number, text: string, length: number, at: number): number {
  const item = items[index]!;
  for (let end = at; ; end++) {
    countTurn();
    const result = match(items, index + 1, text, length, end);
    if (result >= 0) return result;
    if (end >= length || item.set[text.charCodeAt(end)] !== 1) return -1;
  }
}
