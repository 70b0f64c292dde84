/** The command table's rows of publish and subscribe. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  ALL_KEYS,
  type CommandSpec,
  FAST,
  FIRST,
  FOR_SUBSCRIBERS,
  LOADING,
  NO_SCRIPT,
  PUBSUB,
  STALE,
} from "../../dispatch/spec.ts";
import { PUBSUB_DOCS } from "./docs.ts";
import * as pubsub from "./pubsub.ts";

const ABOUT = PUBSUB | LOADING | STALE;
const PUBLISH = ABOUT | FAST;
const SUBSCRIBE = ABOUT | NO_SCRIPT | FOR_SUBSCRIBERS;

const TRAITS = { group: "pubsub", categories: ["pubsub"], docs: PUBSUB_DOCS };

// biome-ignore format: a table, one command a line
export const pubsubFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "PUBLISH",      arity:  3, flags: PUBLISH,   run: pubsub.publish },
  { name: "SPUBLISH",     arity:  3, flags: PUBLISH,   run: pubsub.shardPublish,       channels: FIRST },
  { name: "SUBSCRIBE",    arity: -2, flags: SUBSCRIBE, run: pubsub.subscribe },
  { name: "PSUBSCRIBE",   arity: -2, flags: SUBSCRIBE, run: pubsub.patternSubscribe },
  { name: "SSUBSCRIBE",   arity: -2, flags: SUBSCRIBE, run: pubsub.shardSubscribe,     channels: ALL_KEYS },
  { name: "UNSUBSCRIBE",  arity: -1, flags: SUBSCRIBE, run: pubsub.unsubscribe },
  { name: "PUNSUBSCRIBE", arity: -1, flags: SUBSCRIBE, run: pubsub.patternUnsubscribe },
  { name: "SUNSUBSCRIBE", arity: -1, flags: SUBSCRIBE, run: pubsub.shardUnsubscribe,   channels: ALL_KEYS },
  { name: "PUBSUB", arity: -2, subcommands: [
    { name: "PUBSUB|CHANNELS",      arity: -2, flags: ABOUT,           run: pubsub.channels },
    { name: "PUBSUB|NUMSUB",        arity: -2, flags: ABOUT,           run: pubsub.subscribers },
    { name: "PUBSUB|NUMPAT",        arity:  2, flags: ABOUT,           run: pubsub.patterns },
    { name: "PUBSUB|SHARDCHANNELS", arity: -2, flags: ABOUT,           run: pubsub.shardChannels },
    { name: "PUBSUB|SHARDNUMSUB",   arity: -2, flags: ABOUT,           run: pubsub.shardSubscribers },
    { name: "PUBSUB|HELP",          arity:  2, flags: LOADING | STALE, run: pubsub.help, categories: [] },
  ] },
]);
