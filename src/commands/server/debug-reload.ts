/**
 * DEBUG RELOAD: every value goes through the payload of DUMP and comes back by RESTORE, as a restart would bring it back.
 *
 * There is no file: one key after the other is written and read in memory, with the locks of all shards held. Each key
 * keeps its deadline and its access time or frequency. Encodings are chosen anew by the limits in force, as on loading.
 * A digest of all data before and after must be the same. A set or sorted set whose members have deadlines stays as it
 * is, because the payload has no form for those deadlines.
 */
import { assert } from "../../base/assert.ts";
import { PinnedWalk, Reply, type ReplyTarget } from "../../protocol/reply.ts";
import { accessClock, deadline, keyAt, keyBytes, RecordType } from "../../store/record.ts";
import { NO_ADDRESS } from "../../store/segments.ts";
import { KEY_COUNT } from "../../store/shard.ts";
import type { Call } from "../../dispatch/call.ts";
import { Done, type Outcome, Retry } from "../../dispatch/spec.ts";
import { dump, restoreValue } from "../keys/dump.ts";
import { datasetDigest } from "./debug-digest.ts";

const OPTIONS = new Set(["merge", "noflush", "nosave"]);
const BAD_OPTION = "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.";

/** DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE] */
export function reload(call: Call, reply: Reply): Outcome | void {
  let saves = true;
  for (let i = 2; i < call.argCount; i++) {
    const option = call.argText(i).toLowerCase();
    if (!OPTIONS.has(option)) return reply.error(BAD_OPTION);
    if (option === "nosave") saves = false;
  }
  // Without a save there would have to be a file.
  if (!saves) return reply.error("ERR Error trying to load the RDB dump");
  let outcome: Outcome = Done;
  let refused = "";
  const isEntered = call.store.section.withinAll(() => {
    const reloading = new Reloading(call);
    const before = datasetDigest(call);
    outcome = reloading.run();
    refused = reloading.refused;
    assert(datasetDigest(call) === before, "what was reloaded is what was there");
  });
  if (!isEntered) return Retry;
  if (outcome !== Done) return outcome;
  if (refused !== "") return reply.error(refused);
  reply.ok();
}

class Reloading {
  /** The error of the key that could not be read back: it is unchanged. "" = none. */
  refused = "";
  private readonly reply = new Reply();
  private readonly parts: Buffer[] = [];
  private readonly target: ReplyTarget = {
    isGone: false,
    handOn: (bytes, length) => {
      this.parts.push(Buffer.from(bytes.subarray(0, length)));
      return bytes;
    },
    stream: (part) => this.walk(part),
  };
  private readonly chain = { addresses: new Int32Array(64) };

  constructor(private readonly call: Call) {
    this.reply.target = this.target;
  }

  run(): Outcome {
    const { store, keyspaces, config } = this.call;
    const { hits, misses } = store.counters;
    let outcome: Outcome = Done;
    for (let db = 0; db < config.number("server.databases") && outcome === Done; db++) {
      for (let shard = 0; shard < store.shards && outcome === Done; shard++) {
        outcome = this.reloadShard(keyspaces.of(db), shard);
      }
    }
    store.counters.hits = hits;
    store.counters.misses = misses;
    return outcome;
  }

  private reloadShard(keyspace: number, shard: number): Outcome {
    for (const name of this.namesOf(keyspace, shard)) {
      const outcome = this.reloadKey(keyspace, name);
      if (outcome !== Done || this.refused !== "") return outcome;
    }
    return Done;
  }

  /** Names of the keys of a shard: what is restored moves in the index. */
  private namesOf(keyspace: number, shard: number): Buffer[] {
    const { store } = this.call;
    const { index, segments } = store;
    const names: Buffer[] = [];
    const ks = index.keyspaceAt(store.headerOf(shard), keyspace);
    if (store.c[ks + KEY_COUNT] === 0) return names;
    for (let bucket = 0; bucket < index.bucketCount(ks); bucket++) {
      const count = index.collect(shard, ks, bucket, this.chain);
      for (let i = 0; i < count; i++) {
        const w = segments.locate(shard, this.chain.addresses[i]!);
        const at = keyAt(segments.m, w) << 2;
        names.push(Buffer.from(segments.b.subarray(at, at + keyBytes(segments.m, w))));
      }
    }
    return names;
  }

  private reloadKey(keyspace: number, name: Buffer): Outcome {
    const { call, reply } = this;
    const { store, key } = call;
    key.load(name, 0, name.length);
    store.select(keyspace, key);
    if (store.find() === NO_ADDRESS) return Done;
    const due = deadline(store.cursor.m, store.cursor.w);
    const access = accessClock(store.cursor.m, store.cursor.w);
    const isTimedSet = store.cursor.type === RecordType.Set || store.cursor.type === RecordType.SortedSet;
    if (isTimedSet && call.collections.openFound().hasTimed) return Done;
    const age = call.config.text("storage.maxmemory_policy").endsWith("lfu")
      ? ["FREQ", String(store.access.frequencyOf(access))]
      : ["IDLETIME", String(store.access.idleSecondsOf(access))];
    this.parts.length = 0;
    dump(call, reply);
    reply.handOnNow();
    const payload = bulkOf(Buffer.concat(this.parts));
    if (payload === null) return Done;
    const words = ["REPLACE", "ABSTTL", ...age].map((word) => Buffer.from(word));
    this.parts.length = 0;
    this.borrow([Buffer.from("RESTORE"), name, Buffer.from(String(due)), payload, ...words]);
    call.keyspace = keyspace;
    store.select(keyspace, key);
    const outcome = restoreValue(call, reply) ?? Done;
    call.popArguments();
    reply.handOnNow();
    const answer = Buffer.concat(this.parts).toString("latin1");
    if (answer.startsWith("-")) this.refused = answer.slice(1, -2);
    return outcome;
  }

  /** Points the call at these arguments. */
  private borrow(args: readonly Buffer[]): void {
    const starts = new Int32Array(args.length);
    const lengths = new Int32Array(args.length);
    let at = 0;
    args.forEach((argument, i) => {
      starts[i] = at;
      lengths[i] = argument.length;
      at += argument.length;
    });
    this.call.pushArguments(Buffer.concat(args), starts, lengths);
  }

  /** A long payload is written from a pin: all of it at once, for the locks are held. */
  private walk(part: Parameters<ReplyTarget["stream"]>[0]): void {
    const { store } = this.call;
    assert(part instanceof PinnedWalk, "a payload is streamed as a walk");
    const walkReply = new Reply();
    walkReply.target = this.target;
    while (part.step(walkReply));
    walkReply.handOnNow();
    part.close();
    store.large.unpin(part.shard, store.headerOf(part.shard), part.pin, store.nowSeconds);
  }
}

/** What a bulk string holds; null for a null reply. */
function bulkOf(reply: Buffer): Buffer | null {
  const head = reply.indexOf("\r\n");
  const length = Number(reply.toString("latin1", 1, head));
  return length < 0 ? null : reply.subarray(head + 2, head + 2 + length);
}
