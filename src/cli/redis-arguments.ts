/**
 * Redis's form of a command line: every directive of a redis.conf is an option, `--name word word`.
 *
 *   --maxmemory 1gb --save 900 1 --save 60 1000        the words up to the next option belong to the directive
 *   --bind 127.0.0.1 -::1                              a word with one dash is no option
 *   --requirepass --secret                             the first word is always a value; only `--save` may have none
 *   "--port 6379"                                      name and words in one argument
 *   --port 6379 -                                      a lone dash is standard input
 */
import { isSpecial } from "../base/config/load.ts";
import { isDirective, type RedisDirective } from "../base/config/redis-conf.ts";
import { findKey, findRedisKey } from "../base/config/schema.ts";
import { splitQuotedWords } from "../base/quoted-words.ts";
import type { OptionSpec } from "./options.ts";

export interface SplitArguments {
  /** What is not Redis's, for the parser of options. */
  readonly own: readonly string[];
  readonly directives: readonly RedisDirective[];
}

/** Options of ours that Redis has as directives, with several words. */
const LISTS: ReadonlySet<string> = new Set(["bind"]);

/** Takes the directives out of a command line. `options` are ours. */
export function splitDirectives(argv: readonly string[], options: readonly OptionSpec[]): SplitArguments {
  const words = argv.flatMap(splitJoined);
  const own: string[] = [];
  const directives: RedisDirective[] = [];
  for (let i = 0; i < words.length; ) {
    const word = words[i++]!;
    const name = word.startsWith("--") ? word.slice(2).toLowerCase() : "";
    const ours = options.find((option) => option.name === name || word === `-${option.short}`);
    if (ours === undefined && isRedisName(name)) {
      const values = wordsFrom(words, i, options, name === "save");
      i += values.length;
      directives.push({ name, words: name === "save" && values.length === 0 ? [""] : values, place: word });
      continue;
    }
    own.push(ours !== undefined && word.startsWith("--") ? `--${name}` : word);
    // The value of one of our options is never parsed as an option.
    if (ours === undefined || ours.value === "" || i === words.length) continue;
    const values = LISTS.has(ours.name) ? wordsFrom(words, i, options, false) : [words[i]!];
    i += values.length;
    own.push(asValue(own, values.join(" ")));
  }
  return { own, directives };
}

/** "--port 6379" as two words. A blank without a name before it is part of a value. */
function splitJoined(word: string): string[] {
  if (!/^--[\w-]+\s/.test(word)) return [word];
  const name = /^--([\w-]+)/.exec(word)![1]!.toLowerCase();
  return isRedisName(name) ? (splitQuotedWords(word) ?? [word]) : [word];
}

function isRedisName(name: string): boolean {
  return name !== "" && (findRedisKey(name) !== null || findKey(name) !== null || isSpecial(name) || isDirective(name));
}

/** The values of an option: at least one, unless it may be empty, and all up to the next option. */
function wordsFrom(
  words: readonly string[],
  from: number,
  options: readonly OptionSpec[],
  mayBeEmpty: boolean,
): string[] {
  const isOption = (word: string): boolean =>
    word.startsWith("--") || word === "-" || options.some(({ short }) => short !== "" && word === `-${short}`);
  let end = from;
  while (end < words.length && ((end === from && !mayBeEmpty) || !isOption(words[end]!))) end++;
  return words.slice(from, end);
}

/** parseArgs takes a separate value that begins with a dash for an option, so such a value is joined to its option. */
function asValue(own: string[], value: string): string {
  if (!value.startsWith("-")) return value;
  const option = own.pop()!;
  return option.startsWith("--") ? `${option}=${value}` : `${option}${value}`;
}
