/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import {
  block,
  deprecated,
  flag,
  integer,
  many,
  oneOf,
  optional,
  since,
  string,
} from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";
import type { ArgumentDoc } from "../../dispatch/spec.ts";

const ENABLED = oneOf("enabled", flag("on", "ON"), flag("off", "OFF"));
const NORMAL = flag("normal", "NORMAL");
const MASTER = flag("master", "MASTER");
const REPLICA = flag("replica", "REPLICA");
const PUBSUB = flag("pubsub", "PUBSUB");

/** The filters of Valkey 9: those that CLIENT LIST and KILL had not before, and then each of all filters negated. */
const NEWER_FILTERS: readonly ArgumentDoc[] = [
  ...["NAME", "FLAGS", "LIB-NAME", "LIB-VER"].map((token) => newerFilter(string, token)),
  newerFilter(integer, "DB"),
  ...["CAPA", "IP"].map((token) => newerFilter(string, token)),
  optional(many(integer("not-id", "NOT-ID")), "9.0.0"),
  ...["NOT-TYPE", "NOT-USER", "NOT-ADDR", "NOT-LADDR", "NOT-NAME", "NOT-FLAGS", "NOT-LIB-NAME", "NOT-LIB-VER"].map(
    (token) => newerFilter(string, token),
  ),
  newerFilter(integer, "NOT-DB"),
  ...["NOT-CAPA", "NOT-IP"].map((token) => newerFilter(string, token)),
];
function newerFilter(typed: (name: string, token: string) => ArgumentDoc, token: string): ArgumentDoc {
  return optional(typed(token.toLowerCase(), token), "9.0.0");
}

export const CONNECTION_DOCS: FamilyDocs = {
  PING: {
    summary: "Answers PONG, or returns the message it was given.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [optional(string("message"))],
    tips: ["request_policy:all_shards", "response_policy:all_succeeded"],
  },
  ECHO: {
    summary: "Returns the message it was given.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [string("message")],
  },
  HELLO: {
    summary: "Switches to a protocol version; can also authenticate and name the connection.",
    since: "6.0.0",
    complexity: "O(1)",
    arguments: [
      optional(
        block("arguments", [
          integer("protover"),
          optional(block("username_password", [string("username"), string("password")], "AUTH")),
          optional(string("clientname", "SETNAME")),
        ]),
      ),
    ],
    history: [["6.2.0", "The protocol version is optional; without arguments the connection is only described."]],
  },
  AUTH: {
    summary: "Authenticates the connection.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of the user's passwords",
    arguments: [optional(string("username"), "6.0.0"), string("password")],
    history: [["6.0.0", "Added the user name, for ACL users."]],
  },
  SELECT: {
    summary: "Changes the database of the connection.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [integer("index")],
  },
  QUIT: {
    summary: "Closes the connection.",
    since: "1.0.0",
    complexity: "O(1)",
  },
  RESET: {
    summary: "Restores the connection to its initial state.",
    since: "6.2.0",
    complexity: "O(1)",
  },
  CLIENT: {
    summary: "A container for commands about client connections.",
    since: "2.4.0",
    complexity: "Depends on subcommand.",
  },
  "CLIENT|ID": {
    summary: "Returns the ID of the connection.",
    since: "5.0.0",
    complexity: "O(1)",
  },
  "CLIENT|GETNAME": {
    summary: "Returns the name of the connection.",
    since: "2.6.9",
    complexity: "O(1)",
  },
  "CLIENT|SETNAME": {
    summary: "Sets the name of the connection.",
    since: "2.6.9",
    complexity: "O(1)",
    arguments: [string("connection-name")],
  },
  "CLIENT|SETINFO": {
    summary: "Records the name or version of the client library.",
    since: "7.2.0",
    complexity: "O(1)",
    arguments: [oneOf("attr", string("libname", "LIB-NAME"), string("libver", "LIB-VER"))],
  },
  "CLIENT|INFO": {
    summary: "Returns details about the connection.",
    since: "6.2.0",
    complexity: "O(1)",
    tips: ["nondeterministic_output"],
  },
  "CLIENT|LIST": {
    summary: "Lists the connections.",
    since: "2.4.0",
    complexity: "O(N) where N is the number of client connections",
    arguments: [
      optional({ ...oneOf("normal_master_replica_pubsub", NORMAL, MASTER, REPLICA, PUBSUB), token: "TYPE" }, "5.0.0"),
      optional(block("id", [many(integer("client-id"))], "ID"), "6.2.0"),
      optional(string("username", "USER"), "8.1.0"),
      optional(string("ip:port", "ADDR"), "8.1.0"),
      optional(string("ip:port", "LADDR"), "8.1.0"),
      optional(string("yes/no", "SKIPME"), "8.1.0"),
      optional(integer("maxage", "MAXAGE"), "8.1.0"),
      optional(integer("idle", "IDLE"), "9.0.0"),
      ...NEWER_FILTERS,
    ],
    history: [
      ["2.8.12", "Added the `id` field."],
      ["5.0.0", "Added the `TYPE` option."],
      ["6.0.0", "Added the `user` field."],
      ["6.2.0", "Added the `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the `ID` option."],
      ["7.0.0", "Added the `resp`, `multi-mem`, `rbs` and `rbp` fields."],
      ["7.0.3", "Added the `ssub` field."],
      ["8.1.0", "Added the `USER`, `ADDR`, `LADDR`, `SKIPME` and `MAXAGE` options."],
      [
        "9.0.0",
        "Added the `IDLE`, `NAME`, `FLAGS`, `LIB-NAME`, `LIB-VER`, `DB`, `CAPA` and `IP` options and the negated ones.",
      ],
    ],
    tips: ["nondeterministic_output"],
  },
  "CLIENT|KILL": {
    summary: "Closes the connections that match filters.",
    since: "2.4.0",
    complexity: "O(N) where N is the number of client connections",
    arguments: [
      oneOf(
        "filter",
        deprecated("2.8.12", string("ip:port")),
        many(
          oneOf(
            "new-format",
            optional(integer("client-id", "ID"), "2.8.12"),
            optional(
              {
                ...oneOf(
                  "normal_master_slave_pubsub",
                  NORMAL,
                  since("3.2.0", MASTER),
                  flag("slave", "SLAVE"),
                  since("5.0.0", REPLICA),
                  PUBSUB,
                ),
                token: "TYPE",
              },
              "2.8.12",
            ),
            optional(string("username", "USER")),
            optional(string("ip:port", "ADDR")),
            optional(string("ip:port", "LADDR"), "6.2.0"),
            optional(string("yes/no", "SKIPME")),
            optional(integer("maxage", "MAXAGE"), "7.4.0"),
            optional(integer("idle", "IDLE"), "9.0.0"),
            ...NEWER_FILTERS,
          ),
        ),
      ),
    ],
    history: [
      ["2.8.12", "Added the form with filters."],
      ["2.8.12", "Added the `ID` option."],
      ["3.2.0", "`TYPE` knows `master`."],
      ["5.0.0", "`TYPE` knows `replica`, and still `slave`."],
      ["6.2.0", "Added the `LADDR` option."],
      ["7.4.0", "Added the `MAXAGE` option."],
      [
        "9.0.0",
        "Added the `IDLE`, `NAME`, `FLAGS`, `LIB-NAME`, `LIB-VER`, `DB`, `CAPA` and `IP` options and the negated ones.",
      ],
    ],
  },
  "CLIENT|NO-EVICT": {
    summary: "Exempts the connection from client eviction.",
    since: "7.0.0",
    complexity: "O(1)",
    arguments: [ENABLED],
  },
  "CLIENT|REPLY": {
    summary: "Turns the replies of the connection on or off.",
    since: "3.2.0",
    complexity: "O(1)",
    arguments: [oneOf("on_off_skip", flag("on", "ON"), flag("off", "OFF"), flag("skip", "SKIP"))],
  },
  "CLIENT|PAUSE": {
    summary: "Suspends the commands of all clients, or only those that write.",
    since: "2.9.50",
    complexity: "O(1)",
    arguments: [integer("timeout"), optional(oneOf("mode", flag("write", "WRITE"), flag("all", "ALL")), "6.2.0")],
    history: [["6.2.0", "Added the `WRITE` and `ALL` modes."]],
  },
  "CLIENT|UNPAUSE": {
    summary: "Resumes the commands that CLIENT PAUSE suspended.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of suspended clients",
  },
  "CLIENT|UNBLOCK": {
    summary: "Unblocks a client that waits in a blocking command.",
    since: "5.0.0",
    complexity: "O(1)",
    arguments: [
      integer("client-id"),
      optional(oneOf("timeout_error", flag("timeout", "TIMEOUT"), flag("error", "ERROR"))),
    ],
  },
  "CLIENT|NO-TOUCH": {
    summary: "Controls whether commands of the connection update the last access time of keys.",
    since: "7.2.0",
    complexity: "O(1)",
    arguments: [ENABLED],
  },
  "CLIENT|TRACKING": {
    summary: "Turns client-side caching on or off: the client is told when keys that it has read change.",
    since: "6.0.0",
    complexity: "O(1). Some options may introduce additional complexity.",
    arguments: [
      oneOf("status", flag("on", "ON"), flag("off", "OFF")),
      optional(integer("client-id", "REDIRECT")),
      { ...optional(string("prefix", "PREFIX")), multiple: true, multipleToken: true },
      optional(flag("bcast", "BCAST")),
      optional(flag("optin", "OPTIN")),
      optional(flag("optout", "OPTOUT")),
      optional(flag("noloop", "NOLOOP")),
    ],
  },
  "CLIENT|CACHING": {
    summary: "Says whether the keys of the next command are tracked.",
    since: "6.0.0",
    complexity: "O(1)",
    arguments: [oneOf("mode", flag("yes", "YES"), flag("no", "NO"))],
  },
  "CLIENT|GETREDIR": {
    summary: "Returns the ID of the client that gets the invalidations of this connection.",
    since: "6.0.0",
    complexity: "O(1)",
  },
  "CLIENT|TRACKINGINFO": {
    summary: "Describes client-side caching of the connection.",
    since: "6.2.0",
    complexity: "O(1)",
  },
  "CLIENT|HELP": {
    summary: "Lists the subcommands.",
    since: "5.0.0",
    complexity: "O(1)",
  },
  WAIT: {
    summary: "Blocks until enough replicas have acknowledged the writes of this connection.",
    since: "3.0.0",
    group: "generic",
    complexity: "O(1)",
    arguments: [integer("numreplicas"), integer("timeout")],
    tips: ["request_policy:all_shards", "response_policy:agg_min"],
  },
};
