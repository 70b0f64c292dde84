/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { KEY, KEYS, integer, key, many, optional, pattern, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

export const SETS_DOCS: FamilyDocs = {
  SADD: {
    summary: "Adds members to a set, which is made if need be.",
    since: "1.0.0",
    complexity: "O(1) for each member",
    arguments: [KEY, many(string("member"))],
    history: [["2.4.0", "Accepts multiple `member` arguments."]],
  },
  SREM: {
    summary: "Removes members from a set; an empty one is deleted.",
    since: "1.0.0",
    complexity: "O(1) for each member",
    arguments: [KEY, many(string("member"))],
    history: [["2.4.0", "Accepts multiple `member` arguments."]],
  },
  SCARD: {
    summary: "Counts the members of a set.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  SISMEMBER: {
    summary: "Tells whether a set has a member.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY, string("member")],
  },
  SMISMEMBER: {
    summary: "Tells of each member whether a set has it.",
    since: "6.2.0",
    complexity: "O(1) for each member",
    arguments: [KEY, many(string("member"))],
  },
  SMEMBERS: {
    summary: "Replies all members of a set.",
    since: "1.0.0",
    complexity: "O(N) for N members",
    arguments: [KEY],
    tips: ["nondeterministic_output_order"],
  },
  SPOP: {
    summary: "Removes random members from a set and replies them; an empty set is deleted.",
    since: "1.0.0",
    complexity: "O(log N) for each member, N being the size of the set",
    arguments: [KEY, optional(integer("count"), "3.2.0")],
    history: [["3.2.0", "Added the `count` argument."]],
    tips: ["nondeterministic_output"],
  },
  SRANDMEMBER: {
    summary: "Replies random members of a set.",
    since: "1.0.0",
    complexity: "O(log N) for each member, N being the size of the set",
    arguments: [KEY, optional(integer("count"), "2.6.0")],
    history: [["2.6.0", "Added the optional `count` argument."]],
    tips: ["nondeterministic_output"],
  },
  SMOVE: {
    summary: "Moves a member from one set to another.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [key("source", 0), key("destination", 1), string("member")],
  },
  SINTER: {
    summary: "Replies the members that all sets have.",
    since: "1.0.0",
    complexity: "O(N*M) at most, where N is the size of the smallest set and M the number of sets",
    arguments: [KEYS],
    tips: ["nondeterministic_output_order"],
  },
  SINTERSTORE: {
    summary: "Stores the members that all sets have in a key.",
    since: "1.0.0",
    complexity: "O(N*M) at most, where N is the size of the smallest set and M the number of sets",
    arguments: [key("destination", 0), many(key("key", 1))],
  },
  SINTERCARD: {
    summary: "Counts the members that all sets have.",
    since: "7.0.0",
    complexity: "O(N*M) at most, where N is the size of the smallest set and M the number of sets",
    arguments: [integer("numkeys"), KEYS, optional(integer("limit", "LIMIT"))],
  },
  SUNION: {
    summary: "Replies the members that any of the sets has.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of members of all sets",
    arguments: [KEYS],
    tips: ["nondeterministic_output_order"],
  },
  SUNIONSTORE: {
    summary: "Stores the members that any of the sets has in a key.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of members of all sets",
    arguments: [key("destination", 0), many(key("key", 1))],
  },
  SDIFF: {
    summary: "Replies the members of the first set that no other has.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of members of all sets",
    arguments: [KEYS],
    tips: ["nondeterministic_output_order"],
  },
  SDIFFSTORE: {
    summary: "Stores the members of the first set that no other has in a key.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of members of all sets",
    arguments: [key("destination", 0), many(key("key", 1))],
  },
  SSCAN: {
    summary: "Replies the members of a set page by page.",
    since: "2.8.0",
    complexity: "O(1) for a call, O(N) for a whole walk where N is the size of the set",
    arguments: [KEY, integer("cursor"), optional(pattern("pattern", "MATCH")), optional(integer("count", "COUNT"))],
    tips: ["nondeterministic_output"],
  },
};
