/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { KEY, KEYS, integer, key, many, optional, pattern, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

export const SETS_DOCS: FamilyDocs = {
  SADD: {
    summary: "Adds members to a set; creates the set if it does not exist.",
    since: "1.0.0",
    complexity: "O(1) for each member",
    arguments: [KEY, many(string("member"))],
    history: [["2.4.0", "Accepts several members."]],
  },
  SREM: {
    summary: "Removes members from a set; deletes the set when it becomes empty.",
    since: "1.0.0",
    complexity: "O(1) for each member",
    arguments: [KEY, many(string("member"))],
    history: [["2.4.0", "Accepts several members."]],
  },
  SCARD: {
    summary: "Returns the number of members of a set.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  SISMEMBER: {
    summary: "Tests whether a set contains a member.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY, string("member")],
  },
  SMISMEMBER: {
    summary: "Tests whether a set contains each of several members.",
    since: "6.2.0",
    complexity: "O(1) for each member",
    arguments: [KEY, many(string("member"))],
  },
  SMEMBERS: {
    summary: "Returns all members of a set.",
    since: "1.0.0",
    complexity: "O(N) where N is the size of the set",
    arguments: [KEY],
    tips: ["nondeterministic_output_order"],
  },
  SPOP: {
    summary: "Removes random members from a set and returns them; deletes the set when it becomes empty.",
    since: "1.0.0",
    complexity: "O(log N) for each member, where N is the size of the set",
    arguments: [KEY, optional(integer("count"), "3.2.0")],
    history: [["3.2.0", "Added the `count` argument."]],
    tips: ["nondeterministic_output"],
  },
  SRANDMEMBER: {
    summary: "Returns random members of a set.",
    since: "1.0.0",
    complexity: "O(log N) for each member, where N is the size of the set",
    arguments: [KEY, optional(integer("count"), "2.6.0")],
    history: [["2.6.0", "Added the `count` argument."]],
    tips: ["nondeterministic_output"],
  },
  SMOVE: {
    summary: "Moves a member from one set to another.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [key("source", 0), key("destination", 1), string("member")],
  },
  SINTER: {
    summary: "Returns the intersection of several sets.",
    since: "1.0.0",
    complexity: "O(N*M) worst case, where N is the size of the smallest set and M the number of sets",
    arguments: [KEYS],
    tips: ["nondeterministic_output_order"],
  },
  SINTERSTORE: {
    summary: "Stores the intersection of several sets.",
    since: "1.0.0",
    complexity: "O(N*M) worst case, where N is the size of the smallest set and M the number of sets",
    arguments: [key("destination", 0), many(key("key", 1))],
  },
  SINTERCARD: {
    summary: "Returns the size of the intersection of several sets.",
    since: "7.0.0",
    complexity: "O(N*M) worst case, where N is the size of the smallest set and M the number of sets",
    arguments: [integer("numkeys"), KEYS, optional(integer("limit", "LIMIT"))],
  },
  SUNION: {
    summary: "Returns the union of several sets.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of members of all sets",
    arguments: [KEYS],
    tips: ["nondeterministic_output_order"],
  },
  SUNIONSTORE: {
    summary: "Stores the union of several sets.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of members of all sets",
    arguments: [key("destination", 0), many(key("key", 1))],
  },
  SDIFF: {
    summary: "Returns the members of the first set that no other set contains.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of members of all sets",
    arguments: [KEYS],
    tips: ["nondeterministic_output_order"],
  },
  SDIFFSTORE: {
    summary: "Stores the members of the first set that no other set contains.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of members of all sets",
    arguments: [key("destination", 0), many(key("key", 1))],
  },
  SSCAN: {
    summary: "Iterates over the members of a set.",
    since: "2.8.0",
    complexity: "O(1) for each call, O(N) for a full iteration, where N is the size of the set",
    arguments: [KEY, integer("cursor"), optional(pattern("pattern", "MATCH")), optional(integer("count", "COUNT"))],
    tips: ["nondeterministic_output"],
  },
};
