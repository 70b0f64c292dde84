/**
 * HSCAN, SSCAN and ZSCAN: one page of members.
 *
 *   cursor │ hash of the first member of the next page + 2^31 │ as a decimal number; 0 = the start, and the end
 *
 * A collection that Redis would keep packed comes in one page, whatever COUNT says. Another one is walked in the order of its
 * members' hashes, also while it is packed here. That order does not change as the collection grows or shrinks, so a member
 * that is there throughout the walk is returned exactly once. Members of equal hashes are never divided between two pages.
 *
 * A page takes two passes: the first finds the members that are wanted, because the reply begins with their number; the
 * second writes them.
 */
import { token } from "../../base/bytes.ts";
import { matchGlob } from "../../base/glob.ts";
import { Int64Kind, int64 } from "../../base/integers.ts";
import type { Call } from "../../dispatch/call.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Collection } from "../../store/collection.ts";
import type { Member } from "../../store/members.ts";
import type { Entries } from "../../structures/entries.ts";
import { hashOf } from "../../structures/hash.ts";
import { readCursor } from "../keys/scan.ts";

/** A type of collection, as a scan sees it. */
export interface ScannedType<V extends Collection> {
  /** True when Redis would keep the value packed: all members come in one page, in the order of `value.entries`. */
  isWhole(value: V): boolean;
  /** The members by hash, of a value that is a tree and not whole. */
  byHash(value: V): Entries;
  /** Opens the member that `entries` is at. Returns null for one that is due, which the scan passes over. */
  open(value: V, entries: Entries): Member | null;
  /** Replies the member that `entries` is at; `isBare`: without what belongs to it. */
  emit(reply: Reply, value: V, entries: Entries, isBare: boolean): void;
  /** Option that leaves out what belongs to a member (NOVALUES, NOSCORES); null where nothing does. */
  readonly bareOption: Uint8Array | null;
  /** Elements that a member has in the reply, unless bare. */
  readonly elements: 1 | 2;
}

const MATCH = token("match");
const COUNT = token("count");
/** The least hash is -2^31; a position counts from there. */
const LEAST_HASH = 0x80000000;
const POSITIONS = 4294967296;
const COUNT_DEFAULT = 10;
const STAR = 42;
/** More than a packed value has entries. */
const PACKED_MAX = 1024;
/** A number for each entry of a packed value: the position of its hash, and its rank. */
let places = new Float64Array(128);

/** The current page. One per thread. */
const page = {
  /** Where this page begins, and where the next one does; 0 = the end. */
  cursor: 0,
  nextCursor: 0,
  count: COUNT_DEFAULT,
  isBare: false,
  /** Argument that is the pattern; 0 = none. */
  pattern: 0,
  /** Rank of its first member, and how far behind that the wanted ones are, ascending but for a packed value. */
  firstRank: 0,
  wanted: new Int32Array(64),
  wantedCount: 0,
};
/** A longer list of wanted members is not kept for the next page. */
const WANTED_KEPT_MAX = 1 << 16;

/** Runs HSCAN, SSCAN or ZSCAN: key cursor [MATCH pattern] [COUNT count] [NOVALUES | NOSCORES]. */
export function scanMembers<V extends Collection>(
  call: Call,
  reply: Reply,
  value: V,
  type: ScannedType<V>,
): Outcome | void {
  page.cursor = readCursor(call, 2);
  if (Number.isNaN(page.cursor)) return reply.error(ErrorText.invalidCursor);
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  page.nextCursor = 0;
  page.wantedCount = 0;
  if (found === 0) return replyHead(reply, 1);
  // Redis looks at the key before the options.
  const error = readOptions(call, type.bareOption);
  if (error !== null) return reply.error(error);
  const isWhole = type.isWhole(value);
  const entries = isWhole || !value.isTree ? value.entries : type.byHash(value);
  if (isWhole || value.isTree) findWanted(call, value, type, entries, isWhole);
  else findPacked(call, value, type);
  replyHead(reply, page.isBare ? 1 : type.elements);
  replyWanted(reply, value, type, entries);
}

/** Reads the options into `page`. Returns the text of an error, or null. */
function readOptions(call: Call, bareOption: Uint8Array | null): string | null {
  page.count = COUNT_DEFAULT;
  page.isBare = false;
  page.pattern = 0;
  for (let i = 3; i < call.argCount; ) {
    if (bareOption !== null && call.argIs(i, bareOption)) {
      page.isBare = true;
      i++;
      continue;
    }
    if (i + 1 === call.argCount) return ErrorText.syntax;
    if (call.argIs(i, COUNT)) {
      const kind = call.argInt64(i + 1);
      if (kind === Int64Kind.None) return ErrorText.notInteger;
      if (kind === Int64Kind.Wide ? int64.hi < 0 : int64.value < 1) return ErrorText.syntax;
      page.count = kind === Int64Kind.Wide ? Number.MAX_SAFE_INTEGER : int64.value;
    } else if (call.argIs(i, MATCH)) {
      // "*" alone matches every member, the empty one too.
      page.pattern = call.argBytes(i + 1) === 1 && call.bytes[call.argAt(i + 1)] === STAR ? 0 : i + 1;
    } else {
      return ErrorText.syntax;
    }
    i += 2;
  }
  return null;
}

/** The first pass: notes the members that are wanted, and where the next page begins. */
function findWanted<V extends Collection>(
  call: Call,
  value: V,
  type: ScannedType<V>,
  entries: Entries,
  isWhole: boolean,
): void {
  page.firstRank = 0;
  if (isWhole) {
    entries.seekRank(0);
  } else {
    if (page.cursor >= POSITIONS) return;
    entries.seek(page.cursor - LEAST_HASH, NOTHING, 0, 0);
    page.firstRank = entries.rank();
  }
  let hash = 0;
  let passed = 0;
  for (let more = entries.normalize(); more; more = entries.next(), passed++) {
    if (!isWhole) {
      const before = hash;
      hash = entries.leaf.sortKeyOf(entries.at);
      if (passed >= page.count && hash !== before) {
        page.nextCursor = hash + LEAST_HASH;
        return;
      }
    }
    const member = type.open(value, entries);
    if (member !== null && matches(call, member)) want(passed);
    entries.reposition();
  }
}

/** The first pass over a packed value: its entries are not in the order of their hashes. */
function findPacked<V extends Collection>(call: Call, value: V, type: ScannedType<V>): void {
  const { entries } = value;
  page.firstRank = 0;
  if (entries.count > places.length) places = new Float64Array(entries.count);
  let left = 0;
  entries.seekRank(0);
  for (let more = entries.normalize(), rank = 0; more; more = entries.next(), rank++) {
    const member = type.open(value, entries);
    entries.reposition();
    if (member === null) continue;
    const position = hashOf(member.bytes, member.at, member.length, call.store.memberSeed) + LEAST_HASH;
    if (position >= page.cursor) places[left++] = position * PACKED_MAX + rank;
  }
  const ordered = places.subarray(0, left).sort();
  for (let n = 0; n < left; n++) {
    const position = Math.floor(ordered[n]! / PACKED_MAX);
    if (n >= page.count && position !== Math.floor(ordered[n - 1]! / PACKED_MAX)) {
      page.nextCursor = position;
      return;
    }
    const rank = ordered[n]! % PACKED_MAX;
    entries.seekRank(rank);
    entries.normalize();
    const member = type.open(value, entries);
    if (member !== null && matches(call, member)) want(rank);
    entries.reposition();
  }
}

function matches(call: Call, member: Member): boolean {
  const { pattern } = page;
  if (pattern === 0) return true;
  const { bytes, at, length } = member;
  return matchGlob(call.bytes, call.argAt(pattern), call.argBytes(pattern), bytes, at, length, false);
}

/** Notes a member that is wanted by its distance from the first one of the page. */
function want(distance: number): void {
  if (page.wantedCount === page.wanted.length) {
    const wider = new Int32Array(page.wanted.length * 2);
    wider.set(page.wanted);
    page.wanted = wider;
  }
  page.wanted[page.wantedCount++] = distance;
}

function replyHead(reply: Reply, elements: number): void {
  reply.array(2);
  reply.text(String(page.nextCursor));
  reply.array(page.wantedCount * elements);
}

/** The second pass: replies the members that are wanted. */
function replyWanted<V extends Collection>(reply: Reply, value: V, type: ScannedType<V>, entries: Entries): void {
  const { wanted, wantedCount, isBare } = page;
  for (let i = 0; i < wantedCount; i++) {
    if (i === 0 || wanted[i]! < wanted[i - 1]!) {
      entries.seekRank(page.firstRank + wanted[i]!);
      entries.normalize();
    } else {
      for (let steps = wanted[i]! - wanted[i - 1]!; steps > 0; steps--) entries.next();
    }
    type.emit(reply, value, entries, isBare);
    entries.reposition();
  }
  if (wanted.length > WANTED_KEPT_MAX) page.wanted = new Int32Array(64);
}

const NOTHING = new Uint8Array(0);
