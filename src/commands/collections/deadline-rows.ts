/** Rows and docs of the commands for deadlines of members: EXPIRE, TTL and their relatives, with the letter of a type before. */
import { flag, integer, KEY, block, many, oneOf, optional, string, unixTime } from "../../dispatch/argument-docs.ts";
import type { CommandRow, FamilyDoc, FamilyDocs } from "../../dispatch/family.ts";
import { type ArgumentDoc, DENY_OOM, Effect, FAST, FIRST, type Handler, READONLY, WRITE } from "../../dispatch/spec.ts";
import { type DeadlineFamily, expire, persist, timeLeft } from "./member-deadlines.ts";

export function deadlineRows(family: DeadlineFamily): readonly CommandRow[] {
  const setter = (name: string, unitMs: number, isRelative: boolean): CommandRow => {
    const run: Handler = (call, reply) => expire(call, reply, family, unitMs, isRelative ? call.store.nowMs : 0);
    return {
      name: family.letter + name,
      arity: -6,
      keys: FIRST,
      flags: WRITE | DENY_OOM | FAST,
      run,
      effect: Effect.Rewritten,
    };
  };
  const reader = (name: string, unitMs: number, isRelative: boolean): CommandRow => {
    const run: Handler = (call, reply) => timeLeft(call, reply, family, unitMs, isRelative ? call.store.nowMs : 0);
    return { name: family.letter + name, arity: -5, keys: FIRST, flags: READONLY | FAST, run };
  };
  const drop: Handler = (call, reply) => persist(call, reply, family);
  return [
    setter("EXPIRE", 1000, true),
    setter("PEXPIRE", 1, true),
    setter("EXPIREAT", 1000, false),
    setter("PEXPIREAT", 1, false),
    reader("TTL", 1000, true),
    reader("PTTL", 1, true),
    reader("EXPIRETIME", 1000, false),
    reader("PEXPIRETIME", 1, false),
    {
      name: `${family.letter}PERSIST`,
      arity: -5,
      keys: FIRST,
      flags: WRITE | FAST,
      run: drop,
      effect: Effect.Rewritten,
    },
  ];
}

const CONDITION = optional(oneOf("condition", flag("nx", "NX"), flag("xx", "XX"), flag("gt", "GT"), flag("lt", "LT")));

export function deadlineDocs(family: DeadlineFamily): FamilyDocs {
  const { letter, since, words } = family;
  const { many: members } = words;
  const complexity = `O(N) where N is the number of ${members}`;
  const named = block(members, [integer(`num${members}`), many(string(words.one))], members.toUpperCase());
  const setter = (time: ArgumentDoc, summary: string): FamilyDoc => {
    return { summary, since, complexity, arguments: [KEY, time, CONDITION, named] };
  };
  const reader = (summary: string): FamilyDoc => {
    return { summary, since, complexity, arguments: [KEY, named], tips: ["nondeterministic_output"] };
  };
  return {
    [`${letter}EXPIRE`]: setter(integer("seconds"), `Sets the expiration of ${members} in seconds.`),
    [`${letter}PEXPIRE`]: setter(integer("milliseconds"), `Sets the expiration of ${members} in milliseconds.`),
    [`${letter}EXPIREAT`]: setter(
      unixTime("unix-time-seconds"),
      `Sets the expiration of ${members} to a Unix timestamp in seconds.`,
    ),
    [`${letter}PEXPIREAT`]: setter(
      unixTime("unix-time-milliseconds"),
      `Sets the expiration of ${members} to a Unix timestamp in milliseconds.`,
    ),
    [`${letter}TTL`]: reader(`Returns the remaining time to live of ${members} in seconds.`),
    [`${letter}PTTL`]: reader(`Returns the remaining time to live of ${members} in milliseconds.`),
    [`${letter}EXPIRETIME`]: reader(`Returns the expiration of ${members} as Unix timestamps in seconds.`),
    [`${letter}PEXPIRETIME`]: reader(`Returns the expiration of ${members} as Unix timestamps in milliseconds.`),
    [`${letter}PERSIST`]: {
      summary: `Removes the expiration of ${members}.`,
      since,
      complexity,
      arguments: [KEY, named],
    },
  };
}
