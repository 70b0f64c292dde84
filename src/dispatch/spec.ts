/**
 * A row of the command table, and the words in which a handler answers.
 *
 * A command is one row (name, arity, flags, key spec, ACL categories, docs) and one function, its handler. Before the
 * handler runs, the dispatcher has checked arity and authentication, made room for DENY_OOM, and locked the shards of the
 * declared keys. A handler never takes a lock, never awaits, and never touches a file or a socket. It parses all arguments,
 * then changes data, then replies.
 */
import type { Reply } from "../protocol/reply.ts";
import type { Call } from "./call.ts";

// Flags, by the names that COMMAND shows.
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
/** It may be called without keys, although it has a key spec (EVAL .. 0). */
export const NO_MANDATORY_KEYS = 1 << 17;
export const PUBSUB = 65536;
/** All shards are locked before the handler runs (SWAPDB, FLUSHALL). Not a Redis flag. */
export const ALL_SHARDS = 1 << 20;
/** The last argument may be a staged value when it is long (SET, APPEND). Not a Redis flag. */
export const STAGES = 1 << 21;

/** Runs inside MULTI at once, instead of being queued. Not a Redis flag. */
export const NEVER_QUEUED = 1 << 22;
/** Its reply comes from other threads, so a transaction with it runs one command after the other. Not a Redis flag. */
export const ASKS_THREADS = 1 << 23;
/** Its handler enters the section that it needs: only it knows which locks (EVAL). Not a Redis flag. */
export const LOCKS_ITSELF = 1 << 24;
/** A subscriber may send it in RESP2. Not a Redis flag. */
export const FOR_SUBSCRIBERS = 1 << 25;

/** The command is complete. */
export const Done = 0;
/** A lock or memory was not available. Nothing was changed, the reply is discarded, and the command runs again next turn. */
export const Retry = 1;
/** The reply comes later through `call.session`. The connection reads no further command until then. */
export const Later = 2;
/** The connection closes after this reply. */
export const Close = 3;
/** CLIENT PAUSE suspends the command. Nothing was changed, and the command runs when the pause ends. */
export const Paused = 4;
/** The command waits for the disk (cold-ahead.ts). Nothing was changed, and it runs again when it has what it waits for. */
export const Parked = 5;
export type Outcome = typeof Done | typeof Retry | typeof Later | typeof Close | typeof Paused | typeof Parked;

/** Argument numbers of the keys. The command's name is argument 0, and a negative `last` counts from the end. */
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
 * One of several key specs of a command. `first` and `step` count as in KeySpec. With `keyword`, the search for the keyword
 * begins at `first`, and goes backward from the end when `first` is negative.
 */
export interface KeyPlace extends KeySpec {
  /** "RO access", "OW update" ... */
  flags: string;
  /** What COMMAND INFO says about it besides. */
  notes?: string;
  /** Number of the argument that gives the number of keys. */
  countAt?: number;
  /** In upper case. One key follows it (`last` 0), or the rest are keys, or with `half` the first half of the rest. */
  keyword?: string;
  half?: true;
  /** Only the handler can find the keys (SORT's patterns). The command needs ALL_SHARDS. */
  unknown?: true;
  /** With `unknown` and `keyword`: how many arguments follow each other option. The last keyword counts. */
  skips?: Readonly<Record<string, number>>;
}

/**
 * Which arguments are members of the collection, for the prefetch. One: argument 2. All: argument 2 and all that follow.
 * Pairs: every other argument from 2 on, between the values. Third: argument 3. Scored: every other argument behind the
 * options of ZADD, each after its score.
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
  /** "" = not stated. */
  complexity: string;
  /** The version that deprecated the command, and its replacement. */
  deprecated?: readonly [since: string, replacedBy: string];
  /** For people who work on the server itself. */
  isInternal?: true;
  arguments?: readonly ArgumentDoc[];
  history?: readonly (readonly [version: string, change: string])[];
}

/** Runs a command. Returning nothing means Done. */
export type Handler = (call: Call, reply: Reply) => Outcome | void;

/**
 * The form of a command's effect in the change log. AsSent: the command with its arguments. Rewritten: its handler writes the
 * effect (dispatch/effects.ts). Never: it changes no data.
 */
export const Effect = { AsSent: 0, Rewritten: 1, Never: 2 } as const;
export type Effect = (typeof Effect)[keyof typeof Effect];

export interface CommandSpec {
  /** Upper case; a subcommand's is "CLIENT|LIST". */
  name: string;
  /** Number of arguments, the name included. A negative one is a minimum. */
  arity: number;
  keys: KeySpec;
  flags: number;
  /** ACL categories, without "@", besides those that the flags imply. */
  categories: readonly string[];
  run: Handler;
  /** How the command uses its keys. Left out: "RO access" for a reading command, "RW update" for a writing one. */
  keyFlags?: string;
  /** Arguments that name shard channels. COMMAND shows them as keys; to the dispatcher they are none. */
  channels?: KeySpec;
  /** The keys, where one range cannot describe them. COMMAND then shows `keys` to old clients only. */
  places?: readonly KeyPlace[];
  /** Which arguments are members of the collection at the first key. They are prefetched when it is large. */
  members?: MemberPlaces;
  /** Hints for proxies and cluster clients. */
  tips?: readonly string[];
  /** In a row left out: AsSent for a writing command, Never for another one. */
  effect: Effect;
  /** Its name as an effect begins with it (effectText): that of its container goes before a subcommand's. */
  effectName: Buffer;
  isSubcommand: boolean;
  docs: CommandDocs;
  subcommands?: readonly CommandSpec[];
}
