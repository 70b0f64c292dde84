/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { KEY, KEYS, double, flag, integer, key, many, oneOf, optional, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

const WHERE = oneOf("where", flag("left", "LEFT"), flag("right", "RIGHT"));
const WHERETO = oneOf("whereto", flag("left", "LEFT"), flag("right", "RIGHT"));
const WHEREFROM = oneOf("wherefrom", flag("left", "LEFT"), flag("right", "RIGHT"));

export const LISTS_DOCS: FamilyDocs = {
  LPUSH: {
    summary: "Prepends elements to a list; creates the list if it does not exist.",
    since: "1.0.0",
    complexity: "O(1) for each element",
    arguments: [KEY, many(string("element"))],
    history: [["2.4.0", "Accepts several elements."]],
  },
  RPUSH: {
    summary: "Appends elements to a list; creates the list if it does not exist.",
    since: "1.0.0",
    complexity: "O(1) for each element",
    arguments: [KEY, many(string("element"))],
    history: [["2.4.0", "Accepts several elements."]],
  },
  LPUSHX: {
    summary: "Prepends elements to a list that exists.",
    since: "2.2.0",
    complexity: "O(1) for each element",
    arguments: [KEY, many(string("element"))],
    history: [["4.0.0", "Accepts several elements."]],
  },
  RPUSHX: {
    summary: "Appends elements to a list that exists.",
    since: "2.2.0",
    complexity: "O(1) for each element",
    arguments: [KEY, many(string("element"))],
    history: [["4.0.0", "Accepts several elements."]],
  },
  LPOP: {
    summary: "Removes and returns the first elements of a list; deletes the list when it becomes empty.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of elements returned",
    arguments: [KEY, optional(integer("count"), "6.2.0")],
    history: [["6.2.0", "Added the `count` argument."]],
  },
  RPOP: {
    summary: "Removes and returns the last elements of a list; deletes the list when it becomes empty.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of elements returned",
    arguments: [KEY, optional(integer("count"), "6.2.0")],
    history: [["6.2.0", "Added the `count` argument."]],
  },
  LLEN: {
    summary: "Returns the length of a list.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  LINDEX: {
    summary: "Returns the list element at an index.",
    since: "1.0.0",
    complexity: "O(log N) where N is the length of the list",
    arguments: [KEY, integer("index")],
  },
  LSET: {
    summary: "Sets the list element at an index.",
    since: "1.0.0",
    complexity: "O(log N) where N is the length of the list",
    arguments: [KEY, integer("index"), string("element")],
  },
  LRANGE: {
    summary: "Returns a range of list elements.",
    since: "1.0.0",
    complexity: "O(log N + M) where N is the length of the list and M the number of elements returned",
    arguments: [KEY, integer("start"), integer("stop")],
  },
  LTRIM: {
    summary: "Removes all list elements outside a range.",
    since: "1.0.0",
    complexity: "O(log N + M) where N is the length of the list and M the number of elements removed",
    arguments: [KEY, integer("start"), integer("stop")],
  },
  LREM: {
    summary: "Removes list elements equal to a value; deletes the list when it becomes empty.",
    since: "1.0.0",
    complexity: "O(N) where N is the length of the list",
    arguments: [KEY, integer("count"), string("element")],
  },
  LINSERT: {
    summary: "Inserts an element before or after another element of a list.",
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
    summary: "Returns the indexes of list elements equal to a value.",
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
    summary: "Pops an element from one list, pushes it to another and returns it.",
    since: "6.2.0",
    complexity: "O(1)",
    arguments: [key("source", 0), key("destination", 1), WHEREFROM, WHERETO],
  },
  RPOPLPUSH: {
    summary: "Pops the last element of a list, prepends it to another list and returns it.",
    since: "1.2.0",
    complexity: "O(1)",
    deprecated: ["6.2.0", "`LMOVE` with `RIGHT` and `LEFT`"],
    arguments: [key("source", 0), key("destination", 1)],
  },
  LMPOP: {
    summary: "Removes and returns elements of the first list that is not empty.",
    since: "7.0.0",
    complexity: "O(N+M) where N is the number of keys and M the number of elements returned",
    arguments: [integer("numkeys"), KEYS, WHERE, optional(integer("count", "COUNT"))],
  },
  BLPOP: {
    summary: "Removes and returns the first element of the first list that is not empty; blocks until there is one.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of keys",
    arguments: [KEYS, double("timeout")],
    history: [["6.0.0", "The timeout can have a fraction."]],
  },
  BRPOP: {
    summary: "Removes and returns the last element of the first list that is not empty; blocks until there is one.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of keys",
    arguments: [KEYS, double("timeout")],
    history: [["6.0.0", "The timeout can have a fraction."]],
  },
  BLMOVE: {
    summary: "Pops an element from one list, pushes it to another and returns it; blocks until there is one.",
    since: "6.2.0",
    complexity: "O(1)",
    arguments: [key("source", 0), key("destination", 1), WHEREFROM, WHERETO, double("timeout")],
  },
  BRPOPLPUSH: {
    summary: "Pops the last element of a list, prepends it to another list and returns it; blocks until there is one.",
    since: "2.2.0",
    complexity: "O(1)",
    deprecated: ["6.2.0", "`BLMOVE` with `RIGHT` and `LEFT`"],
    arguments: [key("source", 0), key("destination", 1), double("timeout")],
    history: [["6.0.0", "The timeout can have a fraction."]],
  },
  BLMPOP: {
    summary: "Removes and returns elements of the first list that is not empty; blocks until there is one.",
    since: "7.0.0",
    complexity: "O(N+M) where N is the number of keys and M the number of elements returned",
    arguments: [double("timeout"), integer("numkeys"), KEYS, WHERE, optional(integer("count", "COUNT"))],
  },
};
