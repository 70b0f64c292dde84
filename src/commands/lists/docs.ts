/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { KEY, KEYS, double, flag, integer, key, many, oneOf, optional, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

const WHERE = oneOf("where", flag("left", "LEFT"), flag("right", "RIGHT"));
const WHERETO = oneOf("whereto", flag("left", "LEFT"), flag("right", "RIGHT"));
const WHEREFROM = oneOf("wherefrom", flag("left", "LEFT"), flag("right", "RIGHT"));

export const LISTS_DOCS: FamilyDocs = {
  LPUSH: {
    summary: "Puts elements at the front of a list, which is made if need be.",
    since: "1.0.0",
    complexity: "O(1) for each element",
    arguments: [KEY, many(string("element"))],
    history: [["2.4.0", "Accepts multiple `element` arguments."]],
  },
  RPUSH: {
    summary: "Puts elements at the back of a list, which is made if need be.",
    since: "1.0.0",
    complexity: "O(1) for each element",
    arguments: [KEY, many(string("element"))],
    history: [["2.4.0", "Accepts multiple `element` arguments."]],
  },
  LPUSHX: {
    summary: "Puts elements at the front of a list that is there.",
    since: "2.2.0",
    complexity: "O(1) for each element",
    arguments: [KEY, many(string("element"))],
    history: [["4.0.0", "Accepts multiple `element` arguments."]],
  },
  RPUSHX: {
    summary: "Puts elements at the back of a list that is there.",
    since: "2.2.0",
    complexity: "O(1) for each element",
    arguments: [KEY, many(string("element"))],
    history: [["4.0.0", "Accepts multiple `element` arguments."]],
  },
  LPOP: {
    summary: "Takes elements from the front of a list; an empty one is deleted.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of elements returned",
    arguments: [KEY, optional(integer("count"), "6.2.0")],
    history: [["6.2.0", "Added the `count` argument."]],
  },
  RPOP: {
    summary: "Takes elements from the back of a list; an empty one is deleted.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of elements returned",
    arguments: [KEY, optional(integer("count"), "6.2.0")],
    history: [["6.2.0", "Added the `count` argument."]],
  },
  LLEN: {
    summary: "Counts the elements of a list.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  LINDEX: {
    summary: "Returns the element at a position; negative ones count from the back.",
    since: "1.0.0",
    complexity: "O(log N)",
    arguments: [KEY, integer("index")],
  },
  LSET: {
    summary: "Replaces the element at a position.",
    since: "1.0.0",
    complexity: "O(log N)",
    arguments: [KEY, integer("index"), string("element")],
  },
  LRANGE: {
    summary: "Returns the elements between two positions.",
    since: "1.0.0",
    complexity: "O(log N + M) where M is the number of elements returned",
    arguments: [KEY, integer("start"), integer("stop")],
  },
  LTRIM: {
    summary: "Removes all elements but those between two positions.",
    since: "1.0.0",
    complexity: "O(log N + M) where M is the number of elements removed; whole pages of them go at once",
    arguments: [KEY, integer("start"), integer("stop")],
  },
  LREM: {
    summary: "Removes elements equal to one given, from the front or the back on; an empty list is deleted.",
    since: "1.0.0",
    complexity: "O(N) where N is the length of the list",
    arguments: [KEY, integer("count"), string("element")],
  },
  LINSERT: {
    summary: "Inserts an element before or behind another one.",
    since: "2.2.0",
    complexity: "O(N) where N is the number of elements before the pivot",
    arguments: [
      KEY,
      oneOf("where", flag("before", "BEFORE"), flag("after", "AFTER")),
      string("pivot"),
      string("element"),
    ],
  },
  LPOS: {
    summary: "Returns the positions of elements equal to one given.",
    since: "6.0.6",
    complexity: "O(N) where N is the number of elements compared",
    arguments: [
      KEY,
      string("element"),
      optional(integer("rank", "RANK")),
      optional(integer("num-matches", "COUNT")),
      optional(integer("len", "MAXLEN")),
    ],
  },
  LMOVE: {
    summary: "Takes an element from one list, puts it into another one and returns it.",
    since: "6.2.0",
    complexity: "O(1)",
    arguments: [key("source", 0), key("destination", 1), WHEREFROM, WHERETO],
  },
  RPOPLPUSH: {
    summary: "Takes the last element of a list, puts it at the front of another one and returns it.",
    since: "1.2.0",
    complexity: "O(1)",
    arguments: [key("source", 0), key("destination", 1)],
  },
  LMPOP: {
    summary: "Takes elements from the first of several lists that is there.",
    since: "7.0.0",
    complexity: "O(N + M) where N is the number of keys and M the number of elements returned",
    arguments: [integer("numkeys"), KEYS, WHERE, optional(integer("count", "COUNT"))],
  },
  BLPOP: {
    summary: "Takes the first element of the first of several lists that is there, or waits for one.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of keys",
    arguments: [KEYS, double("timeout")],
    history: [["6.0.0", "`timeout` is interpreted as a double instead of an integer."]],
  },
  BRPOP: {
    summary: "Takes the last element of the first of several lists that is there, or waits for one.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of keys",
    arguments: [KEYS, double("timeout")],
    history: [["6.0.0", "`timeout` is interpreted as a double instead of an integer."]],
  },
  BLMOVE: {
    summary: "Moves an element from one list to another and returns it, or waits for one.",
    since: "6.2.0",
    complexity: "O(1)",
    arguments: [key("source", 0), key("destination", 1), WHEREFROM, WHERETO, double("timeout")],
  },
  BRPOPLPUSH: {
    summary: "Moves the last element of a list to the front of another one and returns it, or waits for one.",
    since: "2.2.0",
    complexity: "O(1)",
    arguments: [key("source", 0), key("destination", 1), double("timeout")],
    history: [["6.0.0", "`timeout` is interpreted as a double instead of an integer."]],
  },
  BLMPOP: {
    summary: "Takes elements from the first of several lists that is there, or waits for one.",
    since: "7.0.0",
    complexity: "O(N + M) where N is the number of keys and M the number of elements returned",
    arguments: [double("timeout"), integer("numkeys"), KEYS, WHERE, optional(integer("count", "COUNT"))],
  },
};
