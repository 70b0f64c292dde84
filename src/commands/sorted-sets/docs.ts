/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import {
  KEY,
  KEYS,
  block,
  double,
  flag,
  integer,
  key,
  many,
  oneOf,
  optional,
  pattern,
  since,
  string,
} from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

const WHERE = oneOf("where", flag("min", "MIN"), flag("max", "MAX"));
const LIMIT = optional(block("offset_count", [integer("offset"), integer("count")], "LIMIT"));
const SORTBY = optional(oneOf("sortby", flag("byscore", "BYSCORE"), flag("bylex", "BYLEX")));
const AGGREGATE = optional({
  ...oneOf("aggregate", flag("sum", "SUM"), flag("min", "MIN"), flag("max", "MAX")),
  token: "AGGREGATE",
});

export const SORTED_SETS_DOCS: FamilyDocs = {
  ZADD: {
    summary: "Adds members to a sorted set or updates their scores; creates the set if it does not exist.",
    since: "1.2.0",
    complexity: "O(log(N)) for each member, where N is the size of the sorted set",
    arguments: [
      KEY,
      optional(oneOf("condition", flag("nx", "NX"), flag("xx", "XX")), "3.0.2"),
      optional(oneOf("comparison", flag("gt", "GT"), flag("lt", "LT")), "6.2.0"),
      optional(flag("change", "CH"), "3.0.2"),
      optional(flag("increment", "INCR"), "3.0.2"),
      many(block("score_member", [double("score"), string("member")])),
    ],
    history: [
      ["2.4.0", "Accepts several members."],
      ["3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."],
      ["6.2.0", "Added the `GT` and `LT` options."],
    ],
  },
  ZINCRBY: {
    summary: "Increments the score of a member of a sorted set; adds the member if it does not exist.",
    since: "1.2.0",
    complexity: "O(log(N)) where N is the size of the sorted set",
    arguments: [KEY, integer("increment"), string("member")],
  },
  ZREM: {
    summary: "Removes members from a sorted set; deletes the set when it becomes empty.",
    since: "1.2.0",
    complexity: "O(log(N)) for each member, where N is the size of the sorted set",
    arguments: [KEY, many(string("member"))],
    history: [["2.4.0", "Accepts several members."]],
  },
  ZCARD: {
    summary: "Returns the number of members of a sorted set.",
    since: "1.2.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  ZSCORE: {
    summary: "Returns the score of a member of a sorted set.",
    since: "1.2.0",
    complexity: "O(1)",
    arguments: [KEY, string("member")],
  },
  ZMSCORE: {
    summary: "Returns the scores of several members of a sorted set.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of members asked for",
    arguments: [KEY, many(string("member"))],
  },
  ZRANK: {
    summary: "Returns the index of a member of a sorted set, in ascending order of scores.",
    since: "2.0.0",
    complexity: "O(log(N)) where N is the size of the sorted set",
    arguments: [KEY, string("member"), optional(flag("withscore", "WITHSCORE"), "7.2.0")],
    history: [["7.2.0", "Added the `WITHSCORE` option."]],
  },
  ZREVRANK: {
    summary: "Returns the index of a member of a sorted set, in descending order of scores.",
    since: "2.0.0",
    complexity: "O(log(N)) where N is the size of the sorted set",
    arguments: [KEY, string("member"), optional(flag("withscore", "WITHSCORE"), "7.2.0")],
    history: [["7.2.0", "Added the `WITHSCORE` option."]],
  },
  ZCOUNT: {
    summary: "Counts the members of a sorted set with scores within a range.",
    since: "2.0.0",
    complexity: "O(log(N)) where N is the size of the sorted set",
    arguments: [KEY, double("min"), double("max")],
  },
  ZLEXCOUNT: {
    summary: "Counts the members of a sorted set within a lexicographical range.",
    since: "2.8.9",
    complexity: "O(log(N)) where N is the size of the sorted set",
    arguments: [KEY, string("min"), string("max")],
  },
  ZRANGE: {
    summary: "Returns the members of a sorted set within a range of indexes, scores or lexicographical order.",
    since: "1.2.0",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members returned",
    arguments: [
      KEY,
      string("start"),
      string("stop"),
      since("6.2.0", SORTBY),
      optional(flag("rev", "REV"), "6.2.0"),
      since("6.2.0", LIMIT),
      optional(flag("withscores", "WITHSCORES")),
    ],
    history: [["6.2.0", "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options."]],
  },
  ZREVRANGE: {
    summary: "Returns the members of a sorted set within a range of indexes, in descending order.",
    since: "1.2.0",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members returned",
    deprecated: ["6.2.0", "`ZRANGE` with `REV`"],
    arguments: [KEY, integer("start"), integer("stop"), optional(flag("withscores", "WITHSCORES"))],
  },
  ZRANGEBYSCORE: {
    summary: "Returns the members of a sorted set within a range of scores.",
    since: "1.0.5",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members returned",
    deprecated: ["6.2.0", "`ZRANGE` with `BYSCORE`"],
    arguments: [KEY, double("min"), double("max"), optional(flag("withscores", "WITHSCORES"), "2.0.0"), LIMIT],
    history: [["2.0.0", "Added the `WITHSCORES` modifier."]],
  },
  ZREVRANGEBYSCORE: {
    summary: "Returns the members of a sorted set within a range of scores, in descending order.",
    since: "2.2.0",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members returned",
    deprecated: ["6.2.0", "`ZRANGE` with `BYSCORE` and `REV`"],
    arguments: [KEY, double("max"), double("min"), optional(flag("withscores", "WITHSCORES")), LIMIT],
    history: [["2.1.6", "Bounds can be exclusive."]],
  },
  ZRANGEBYLEX: {
    summary: "Returns the members of a sorted set within a lexicographical range.",
    since: "2.8.9",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members returned",
    deprecated: ["6.2.0", "`ZRANGE` with `BYLEX`"],
    arguments: [KEY, string("min"), string("max"), LIMIT],
  },
  ZREVRANGEBYLEX: {
    summary: "Returns the members of a sorted set within a lexicographical range, in descending order.",
    since: "2.8.9",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members returned",
    deprecated: ["6.2.0", "`ZRANGE` with `BYLEX` and `REV`"],
    arguments: [KEY, string("max"), string("min"), LIMIT],
  },
  ZRANGESTORE: {
    summary: "Stores the members of a sorted set within a range of indexes, scores or lexicographical order.",
    since: "6.2.0",
    complexity: "O(log(N)+M*log(M)) where N is the size of the source and M the number of members stored",
    arguments: [
      key("dst", 0),
      key("src", 1),
      string("min"),
      string("max"),
      SORTBY,
      optional(flag("rev", "REV")),
      LIMIT,
    ],
  },
  ZREMRANGEBYRANK: {
    summary: "Removes the members of a sorted set within a range of indexes; deletes the set when it becomes empty.",
    since: "2.0.0",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members removed",
    arguments: [KEY, integer("start"), integer("stop")],
  },
  ZREMRANGEBYSCORE: {
    summary: "Removes the members of a sorted set within a range of scores; deletes the set when it becomes empty.",
    since: "1.2.0",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members removed",
    arguments: [KEY, double("min"), double("max")],
  },
  ZREMRANGEBYLEX: {
    summary:
      "Removes the members of a sorted set within a lexicographical range; deletes the set when it becomes empty.",
    since: "2.8.9",
    complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members removed",
    arguments: [KEY, string("min"), string("max")],
  },
  ZPOPMIN: {
    summary:
      "Removes and returns the members of a sorted set with the lowest scores; deletes the set when it becomes empty.",
    since: "5.0.0",
    complexity: "O(log(N)*M) where N is the size of the sorted set and M the number of members removed",
    arguments: [KEY, optional(integer("count"))],
  },
  ZPOPMAX: {
    summary:
      "Removes and returns the members of a sorted set with the highest scores; deletes the set when it becomes empty.",
    since: "5.0.0",
    complexity: "O(log(N)*M) where N is the size of the sorted set and M the number of members removed",
    arguments: [KEY, optional(integer("count"))],
  },
  ZMPOP: {
    summary: "Removes and returns members of the first sorted set that is not empty, by lowest or highest score.",
    since: "7.0.0",
    complexity:
      "O(K)+O(M*log(N)) where K is the number of keys, N the size of the sorted set and M the number of members removed",
    arguments: [integer("numkeys"), KEYS, WHERE, optional(integer("count", "COUNT"))],
  },
  ZRANDMEMBER: {
    summary: "Returns random members of a sorted set.",
    since: "6.2.0",
    complexity: "O(log(N)) for each member, where N is the size of the sorted set",
    arguments: [KEY, optional(block("options", [integer("count"), optional(flag("withscores", "WITHSCORES"))]))],
    tips: ["nondeterministic_output"],
  },
  ZUNION: {
    summary: "Returns the union of several sorted sets.",
    since: "6.2.0",
    complexity: "O(N)+O(M*log(M)) where N is the size of all sources and M the size of the result",
    arguments: [
      integer("numkeys"),
      KEYS,
      optional(many(integer("weight", "WEIGHTS"))),
      AGGREGATE,
      optional(flag("withscores", "WITHSCORES")),
    ],
  },
  ZINTER: {
    summary: "Returns the intersection of several sorted sets.",
    since: "6.2.0",
    complexity: "O(N*K)+O(M*log(M)) where N is the size of the smallest of K sources and M the size of the result",
    arguments: [
      integer("numkeys"),
      KEYS,
      optional(many(integer("weight", "WEIGHTS"))),
      AGGREGATE,
      optional(flag("withscores", "WITHSCORES")),
    ],
  },
  ZDIFF: {
    summary: "Returns the members of the first sorted set that no other contains.",
    since: "6.2.0",
    complexity: "O(N*K)+O(M*log(M)) where N is the size of the first of K sources and M the size of the result",
    arguments: [integer("numkeys"), KEYS, optional(flag("withscores", "WITHSCORES"))],
  },
  ZUNIONSTORE: {
    summary: "Stores the union of several sorted sets.",
    since: "2.0.0",
    complexity: "O(N)+O(M*log(M)) where N is the size of all sources and M the size of the result",
    arguments: [
      key("destination", 0),
      integer("numkeys"),
      many(key("key", 1)),
      optional(many(integer("weight", "WEIGHTS"))),
      AGGREGATE,
    ],
  },
  ZINTERSTORE: {
    summary: "Stores the intersection of several sorted sets.",
    since: "2.0.0",
    complexity: "O(N*K)+O(M*log(M)) where N is the size of the smallest of K sources and M the size of the result",
    arguments: [
      key("destination", 0),
      integer("numkeys"),
      many(key("key", 1)),
      optional(many(integer("weight", "WEIGHTS"))),
      AGGREGATE,
    ],
  },
  ZDIFFSTORE: {
    summary: "Stores the members of the first sorted set that no other contains.",
    since: "6.2.0",
    complexity: "O(N*K)+O(M*log(M)) where N is the size of the first of K sources and M the size of the result",
    arguments: [key("destination", 0), integer("numkeys"), many(key("key", 1))],
  },
  ZINTERCARD: {
    summary: "Returns the size of the intersection of several sorted sets.",
    since: "7.0.0",
    complexity: "O(N*K) where N is the size of the smallest of K sources",
    arguments: [integer("numkeys"), KEYS, optional(integer("limit", "LIMIT"))],
  },
  ZSCAN: {
    summary: "Iterates over the members and scores of a sorted set.",
    since: "2.8.0",
    complexity: "O(1) for each call, O(N) for a full iteration, where N is the size of the sorted set",
    arguments: [
      KEY,
      integer("cursor"),
      optional(pattern("pattern", "MATCH")),
      optional(integer("count", "COUNT")),
      optional(flag("noscores", "NOSCORES"), "8.0.0"),
    ],
    history: [["8.0.0", "Added the `NOSCORES` option."]],
    tips: ["nondeterministic_output"],
  },
  BZPOPMIN: {
    summary:
      "Removes and returns the member with the lowest score of the first sorted set that is not empty; blocks until there is one.",
    since: "5.0.0",
    complexity: "O(log(N)) where N is the size of the sorted set",
    arguments: [KEYS, double("timeout")],
    history: [["6.0.0", "The timeout can have a fraction."]],
  },
  BZPOPMAX: {
    summary:
      "Removes and returns the member with the highest score of the first sorted set that is not empty; blocks until there is one.",
    since: "5.0.0",
    complexity: "O(log(N)) where N is the size of the sorted set",
    arguments: [KEYS, double("timeout")],
    history: [["6.0.0", "The timeout can have a fraction."]],
  },
  BZMPOP: {
    summary:
      "Removes and returns members of the first sorted set that is not empty, by lowest or highest score; blocks until there is one.",
    since: "7.0.0",
    complexity:
      "O(K)+O(M*log(N)) where K is the number of keys, N the size of the sorted set and M the number of members removed",
    arguments: [double("timeout"), integer("numkeys"), KEYS, WHERE, optional(integer("count", "COUNT"))],
  },
};
