/**
 * MEMORY: the memory of a key, statistics of the server, and a report on problems.
 *
 * The fields have Redis's names. Data is in regions of shared memory that are divided into frames, so "allocator" means those
 * frames and the JS heaps of the workers.
 */
import { Int64Kind, int64 } from "../../base/integers.ts";
import { FRAME_BYTES } from "../../memory/arena.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { BUCKET_BYTES } from "../../store/index.ts";
import { bucketCount, expiresCount, keyCount } from "../../store/keyspace.ts";
import { Encoding, capacityUnits } from "../../store/record.ts";
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { STRING_CHUNK_BYTES } from "../../store/large.ts";
import type { Call } from "../../dispatch/call.ts";
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import type { TierFigures } from "../../dispatch/services.ts";

const SAMPLES = token("samples");
const UNIT_BYTES = 8;
/** A key's slot in the hash index. */
const SLOT_BYTES = 8;
const NODE_HEAD_BYTES = 16;
const NODE_ENTRY_BYTES = 8;

/** MEMORY USAGE key [SAMPLES count]. Replies: bytes of the record, its slot, and its chunks or pages; null without a key. */
export function usage(call: Call, reply: Reply): void {
  for (let i = 3; i < call.argCount; i++) {
    if (!call.argIs(i, SAMPLES) || i + 1 === call.argCount) return reply.error(ErrorText.syntax);
    // Values are measured, not sampled, so the number is only validated.
    const kind = call.argInt64(++i);
    if (kind === Int64Kind.None) return reply.error(ErrorText.notInteger);
    if (kind === Int64Kind.Safe ? int64.value < 0 : int64.hi < 0) return reply.error(ErrorText.syntax);
  }
  call.selectKey(2);
  const { store } = call;
  if (store.find() === NO_ADDRESS) return reply.nullBulk();
  reply.integer(memoryBytes(call));
}

/** Bytes of memory that the key found takes. What a value has on disk is none of them: TIER USAGE tells that. */
export function memoryBytes(call: Call): number {
  const { store } = call;
  let bytes = capacityUnits(store.cursor.m, store.cursor.w) * UNIT_BYTES + SLOT_BYTES;
  const { storedEncoding } = store.cursor;
  if (storedEncoding === Encoding.Chunked) {
    const chunks = Math.ceil(store.cursor.valueBytes / STRING_CHUNK_BYTES);
    bytes += NODE_HEAD_BYTES + chunks * (NODE_ENTRY_BYTES + STRING_CHUNK_BYTES);
  }
  if (storedEncoding === Encoding.Tree) bytes += call.collections.openFound().wholeBytes;
  return bytes;
}

/** The keys of a database, those with a deadline, and the bytes of its hash index. */
interface DatabaseUse {
  db: number;
  keys: number;
  indexBytes: number;
  expires: number;
}

function databases(call: Call): DatabaseUse[] {
  const { store, keyspaces } = call;
  const uses: DatabaseUse[] = [];
  for (let db = 0; db < keyspaces.databases; db++) {
    const use: DatabaseUse = { db, keys: 0, indexBytes: 0, expires: 0 };
    for (const shard of store.shards) {
      const ks = shard.keyspace(keyspaces.of(db));
      use.keys += keyCount(shard.c, ks);
      use.expires += expiresCount(shard.c, ks);
      use.indexBytes += bucketCount(shard.c, ks) * BUCKET_BYTES;
    }
    if (use.keys > 0) uses.push(use);
  }
  return uses;
}

/** Figures that STATS and DOCTOR share. */
function figures(call: Call) {
  const totals = call.server.totals();
  const uses = databases(call);
  const indexBytes = uses.reduce((sum, use) => sum + use.indexBytes, 0);
  const used = totals.usedMemory;
  const overhead = totals.heapBytes + totals.clientBytes + indexBytes;
  return {
    totals,
    uses,
    used,
    peak: Math.max(totals.usedMemoryPeak, used),
    overhead,
    dataset: Math.max(0, used - overhead),
    keys: uses.reduce((sum, use) => sum + use.keys, 0),
    frames: call.store.pool.framesOut * FRAME_BYTES,
    active: call.store.pool.framesOut * FRAME_BYTES + totals.heapBytes + totals.clientBytes,
    resident: call.server.processUse().residentBytes,
  };
}

function ratio(a: number, b: number): number {
  return b === 0 ? 0 : a / b;
}

/** Values on disk, and their bytes there, with those of garbage too; nothing of it counts as memory. */
function tierFields(tier: TierFigures): (readonly [name: string, value: number])[] {
  return [
    ["tier.values", tier.values],
    ["tier.bytes", tier.liveBytes],
    ["tier.segment-bytes", tier.fileBytes],
  ];
}

/** MEMORY STATS */
export function stats(call: Call, reply: Reply): void {
  const now = figures(call);
  const { totals, uses, used, peak, overhead, dataset, keys, active, resident } = now;
  // Without data there are only the JS heaps.
  const startup = totals.heapBytes;
  const fields: (readonly [name: string, value: number, isDouble?: true])[] = [
    ["overhead.total", overhead],
    ["keys.count", keys],
    ["keys.bytes-per-key", keys === 0 ? 0 : Math.floor(Math.max(0, used - startup) / keys)],
    ["dataset.bytes", dataset],
    ["dataset.percentage", ratio(dataset, used - startup) * 100, true],
    ["peak.percentage", ratio(used, peak) * 100, true],
    ["allocator.allocated", used],
    ["allocator.active", active],
    ["allocator.resident", resident],
    ["allocator-fragmentation.ratio", ratio(active, used), true],
    ["allocator-fragmentation.bytes", active - used],
    ["allocator-rss.ratio", ratio(resident, active), true],
    ["allocator-rss.bytes", resident - active],
    ["rss-overhead.ratio", 1, true],
    ["rss-overhead.bytes", 0],
    ["fragmentation", ratio(resident, used), true],
    ["fragmentation.bytes", resident - used],
    ...(call.cold.isOn ? tierFields(call.cold.figures()) : []),
  ];
  const first: (readonly [name: string, value: number])[] = [
    ["peak.allocated", peak],
    ["total.allocated", used],
    ["startup.allocated", startup],
    ["replication.backlog", 0],
    ["clients.slaves", 0],
    ["clients.normal", totals.clientBytes],
    ["cluster.links", 0],
    ["aof.buffer", 0],
    ["lua.caches", 0],
    ["functions.caches", 0],
  ];
  reply.map(first.length + uses.length + fields.length);
  for (const [name, value] of first) {
    reply.text(name);
    reply.integer(value);
  }
  for (const { db, indexBytes } of uses) {
    reply.text(`db.${db}`);
    reply.map(3);
    reply.text("overhead.hashtable.main");
    reply.integer(indexBytes);
    reply.text("overhead.hashtable.expires");
    reply.integer(0);
    reply.text("overhead.hashtable.slot-to-keys");
    reply.integer(0);
  }
  for (const [name, value, isDouble] of fields) {
    reply.text(name);
    if (isDouble === true) reply.double(value);
    else reply.integer(value);
  }
}

/** Below this, MEMORY DOCTOR reports nothing. */
const SMALL_BYTES = 5 << 20;
const PEAK_RATIO = 1.5;
const FRAGMENTATION_RATIO = 1.4;
const FRAGMENTATION_BYTES = 64 << 20;
const CLIENT_BYTES = 200 << 10;

/** MEMORY DOCTOR: a report on problems, in words. */
export function doctor(call: Call, reply: Reply): void {
  const { totals, used, peak, frames, active, resident } = figures(call);
  if (totals.dataBytes < SMALL_BYTES) {
    return reply.verbatim(
      "Hi Sam, this instance is empty or is using very little memory, my issues detector can't be used in these conditions. Come back when there is some data in it.\n",
    );
  }
  const found: string[] = [];
  if (peak > used * PEAK_RATIO) {
    found.push(
      " * Peak memory: at its peak this instance used more than 150% of what it uses now. Freed frames stay resident for a while, so the process may look larger than its data.\n",
    );
  }
  if (frames > totals.dataBytes * FRAGMENTATION_RATIO && frames - totals.dataBytes > FRAGMENTATION_BYTES) {
    found.push(
      " * High fragmentation: the allocated frames are much larger than the data in them. The cleaner works on it; storage.compaction_threshold says how sparse a segment may become.\n",
    );
  }
  if (resident > active * FRAGMENTATION_RATIO && resident - active > FRAGMENTATION_BYTES * 4) {
    found.push(
      " * High process RSS overhead: the process holds more than its frames and heaps, such as regions touched before.\n",
    );
  }
  if (totals.connectedClients > 0 && totals.clientBytes / totals.connectedClients > CLIENT_BYTES) {
    found.push(
      " * Big client buffers: clients have more than 200 KiB each waiting on average. Some read too slowly, or send too much at once.\n",
    );
  }
  if (found.length === 0) {
    return reply.verbatim(
      "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base.\n",
    );
  }
  reply.verbatim(`Sam, I detected a few issues in this Ferrite instance memory implants:\n\n${found.join("\n")}`);
}

/** MEMORY PURGE. Does nothing: the background returns empty frames to the system anyway. */
export function purge(_call: Call, reply: Reply): void {
  reply.ok();
}

/** MEMORY MALLOC-STATS: the frame pool in words. */
export function mallocStats(call: Call, reply: Reply): void {
  const { store } = call;
  const { pool, arena } = store;
  const { totals, frames } = figures(call);
  const { regionBytes } = arena.control.geometry;
  const lines: (readonly [name: string, value: number])[] = [
    ["regions", arena.regionCount],
    ["bytes in regions", arena.regionCount * regionBytes],
    ["bytes of allocated frames", frames],
    ["bytes of data in them", totals.dataBytes],
    ["free chunks of 1 MiB", pool.freeChunks],
    ["bytes of JS heaps", totals.heapBytes],
    ["bytes of clients and their buffers", totals.clientBytes],
  ];
  reply.verbatim(
    `___ Begin frame pool statistics ___\n${lines.map(([name, value]) => `${name}: ${value}\n`).join("")}`,
  );
}

const HELP: readonly HelpEntry[] = [
  ["DOCTOR", "Return memory problems reports."],
  ["MALLOC-STATS", "Return internal statistics report from the memory allocator."],
  ["PURGE", "Attempt to purge dirty pages for reclamation by the allocator."],
  ["STATS", "Return information about the memory usage of the server."],
  [
    "USAGE <key> [SAMPLES <count>]",
    "Return memory in bytes used by <key> and its value. Nested values are",
    "sampled up to <count> times (default: 5, 0 means sample all).",
  ],
];

export function help(_call: Call, reply: Reply): void {
  replyHelp(reply, "MEMORY", HELP);
}
