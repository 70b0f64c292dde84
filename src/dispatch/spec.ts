/**
 * The command table's row, and what a handler is given.
 *
 * A command is one row (name, arity, flags, key spec, ACL categories, docs) and one function. The dispatcher has already
 * checked arity and authentication, made room for DENY_OOM, and locked the shards of the declared keys: a handler never
 * takes a lock, never awaits, never touches a file or a socket. It parses everything, then applies, then replies.
 */
import type { Reply } from "../protocol/reply.ts";
import type { Call } from "./call.ts";

// Flags, by the names COMMAND gives them.
export const WRITE = 1;
export const READONLY = 2;
export const DENY_OOM = 4;
export const ADMIN = 8;
export const FAST = 16;
export const LOADING = 32;
export const STALE = 64;
export const NO_AUTH = 128;
export const ALLOW_BUSY = 256;
export const NO_SCRIPT = 512;
export const BLOCKING = 1024;
export const NO_MULTI = 2048;
export const SKIP_MONITOR = 4096;
export const SKIP_SLOWLOG = 8192;
export const MOVABLE_KEYS = 16384;
export const NO_ASYNC_LOADING = 32768;
/** All shards are locked before the handler runs (SWAPDB, FLUSHALL). Not a Redis flag. */
export const ALL_SHARDS = 1 << 20;
/** The last argument may come staged in chunks when it is long (SET, APPEND). Not a Redis flag. */
export const STAGES = 1 << 21;

/** What a handler returns. */
export const Done = 0;
/** Nothing was changed; the command is retried next turn (no room or lock now). What it replied is taken back. */
export const Retry = 1;
/** The reply comes later through `call.session`; the connection reads no further until then. */
export const Later = 2;
/** The connection closes after this reply. */
export const Close = 3;
/** CLIENT PAUSE holds the command back: nothing was done, and it is tried again when the pause ends. */
export const Paused = 4;
export type Outcome = typeof Done | typeof Retry | typeof Later | typeof Close | typeof Paused;

/** Where the keys are: argument numbers, the command's name being 0. `last` negative counts from the end. */
export interface KeySpec {
  first: number;
  last: number;
  step: number;
}
export const NO_KEYS: KeySpec = { first: 0, last: 0, step: 0 };
export const FIRST: KeySpec = { first: 1, last: 1, step: 1 };
export const FIRST_TWO: KeySpec = { first: 1, last: 2, step: 1 };
export const ALL_KEYS: KeySpec = { first: 1, last: -1, step: 1 };
export const ALL_BUT_LAST: KeySpec = { first: 1, last: -2, step: 1 };
export const KEY_VALUES: KeySpec = { first: 1, last: -1, step: 2 };
export const SECOND: KeySpec = { first: 2, last: 2, step: 1 };
export const FROM_SECOND: KeySpec = { first: 2, last: -1, step: 1 };
export const KEY_VALUES_FROM_SECOND: KeySpec = { first: 2, last: -1, step: 2 };

/**
 * A key spec of COMMAND that is not the row's one range. `first` and `step` count as in KeySpec; with `keyword`, `first` is
 * where the search for it begins (negative: from the end, backward).
 */
export interface KeyPlace extends KeySpec {
  /** "RO access", "OW update" ... */
  flags: string;
  /** Argument that tells how many keys there are. */
  countAt?: number;
  /** Upper case; the keys follow it: one (`last` 0), all the rest, or with `half` the first half of the rest. */
  keyword?: string;
  half?: true;
  /** Keys that only the handler can find (SORT's patterns): it needs ALL_SHARDS. */
  unknown?: true;
  /** With `unknown` and `keyword`: arguments behind other options, which are not looked at. The last keyword counts. */
  skips?: Readonly<Record<string, number>>;
}

/**
 * Which arguments name members: the second; all from there on; or of those every other, between their values; in sorted
 * sets the third, or behind options every other, each after its score.
 */
export const MemberPlaces = { None: 0, One: 1, All: 2, Pairs: 3, Third: 4, Scored: 5 } as const;
export type MemberPlaces = (typeof MemberPlaces)[keyof typeof MemberPlaces];

/** An argument as COMMAND DOCS describes it. */
export interface ArgumentDoc {
  name: string;
  type: "string" | "integer" | "double" | "key" | "pattern" | "unix-time" | "pure-token" | "oneof" | "block";
  token?: string;
  optional?: true;
  multiple?: true;
  multipleToken?: true;
  since?: string;
  deprecatedSince?: string;
  keySpecIndex?: number;
  arguments?: readonly ArgumentDoc[];
}

export interface CommandDocs {
  summary: string;
  since: string;
  group: string;
  /** "" = it says nothing. */
  complexity: string;
  /** The version that advised against the command, and what to use in its place. */
  deprecated?: readonly [since: string, replacedBy: string];
  /** For those who work on the server. */
  isInternal?: true;
  arguments?: readonly ArgumentDoc[];
  history?: readonly (readonly [version: string, change: string])[];
}

/** Runs a command; nothing returned is Done. */
export type Handler = (call: Call, reply: Reply) => Outcome | void;

export interface CommandSpec {
  /** Upper case; a subcommand's is "CLIENT|LIST". */
  name: string;
  /** As COMMAND: the number of arguments with the name; negative = at least. */
  arity: number;
  keys: KeySpec;
  flags: number;
  /** ACL categories besides those that follow from the flags, without "@". */
  categories: readonly string[];
  run: Handler;
  /** What happens to the keys, where it is not "RO access" for reading and "RW update" for writing commands. */
  keyFlags?: string;
  /** Where the keys are, when one range does not say it; `keys` is then what COMMAND shows to old clients. */
  places?: readonly KeyPlace[];
  /** Arguments that are members of the collection under the first key: looked up ahead when it is large. */
  members?: MemberPlaces;
  /** Hints for proxies and cluster clients. */
  tips?: readonly string[];
  docs: CommandDocs;
  subcommands?: readonly CommandSpec[];
}
