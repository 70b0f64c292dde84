/**
 * What HSCAN, SSCAN and ZSCAN share: cursor, options, and a page of members.
 *
 * The cursor of a tree is a place in the order of the hash, where the next page begins: hash + 2^31, which is never 0
 * there. That order does not change as the tree grows or shrinks, so a member that is there all the time is returned once.
 * What Redis would have in a listpack or an intset comes in one page, whatever COUNT says.
 *
 * Two walks: the first finds which members are wanted, so that their number can be said; the second one writes them.
 */
import { token } from "../../base/bytes.ts";
import { matchGlob } from "../../base/glob.ts";
import { Int64Kind, int64 } from "../../base/integers.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Entries } from "../../structures/entries.ts";
import type { Call } from "../../dispatch/call.ts";
import { readCursor } from "../keys/scan.ts";

const MATCH = token("match");
const COUNT = token("count");
const HASHES_BELOW_ZERO = 0x80000000;
const POSITIONS = 4294967296;
const COUNT_FIRST = 10;
const STAR = 42;
/** Above this the list of members kept is not kept for the next call. */
const KEPT_MAX = 1 << 16;

export class MemberScan {
  private cursor = 0;
  private nextCursor = 0;
  private count = COUNT_FIRST;
  private bytes: Uint8Array = new Uint8Array(0);
  private patternAt = 0;
  private patternBytes = -1;

  private entries: Entries | null = null;
  private isWhole = false;
  private startRank = 0;
  /** Members walked over, and the hash of the one stood on. */
  private walked = 0;
  private hash = 0;
  /** True while a member is stood on. */
  isThere = false;
  private kept = new Int32Array(64);
  private keptCount = 0;
  private written = 0;

  /** Reads argument `i`, the cursor, and forgets the call before. Returns false when it is none. */
  readCursor(call: Call, i: number): boolean {
    this.cursor = readCursor(call, i);
    this.count = COUNT_FIRST;
    this.bytes = call.bytes;
    this.patternBytes = -1;
    return !Number.isNaN(this.cursor);
  }

  /** Reads the option at argument `i`. Returns how many arguments it took; 0 after an error reply. */
  readOption(call: Call, reply: Reply, i: number): number {
    const hasValue = i + 1 < call.argCount;
    if (hasValue && call.argIs(i, COUNT)) {
      const kind = call.argInt64(i + 1);
      if (kind === Int64Kind.None) {
        reply.error(ErrorText.notInteger);
        return 0;
      }
      if (kind === Int64Kind.Wide ? int64.hi < 0 : int64.value < 1) {
        reply.error(ErrorText.syntax);
        return 0;
      }
      this.count = kind === Int64Kind.Wide ? Number.MAX_SAFE_INTEGER : int64.value;
      return 2;
    }
    if (hasValue && call.argIs(i, MATCH)) {
      this.patternAt = call.argAt(i + 1);
      this.patternBytes = call.argBytes(i + 1);
      if (this.patternBytes === 1 && call.bytes[this.patternAt] === STAR) this.patternBytes = -1;
      return 2;
    }
    reply.error(ErrorText.syntax);
    return 0;
  }

  /** Without a key: the end, and no members. */
  replyNothing(reply: Reply): void {
    reply.array(2);
    reply.text("0");
    reply.emptyArray();
  }

  /** Stands on the first member of the page, if there is one. `isWhole`: the page is all members; else a hash tree. */
  begin(entries: Entries, isWhole: boolean): void {
    this.entries = entries;
    this.isWhole = isWhole;
    this.walked = 0;
    this.keptCount = 0;
    this.nextCursor = 0;
    this.startRank = 0;
    if (isWhole) {
      entries.seekRank(0);
    } else if (this.cursor >= POSITIONS) {
      this.isThere = false;
      return;
    } else {
      entries.seek(this.cursor - HASHES_BELOW_ZERO, NOTHING, 0, 0);
      this.startRank = entries.rank();
    }
    this.isThere = entries.settle();
    if (this.isThere && !isWhole) this.hash = entries.leaf.laneOf(entries.at);
  }

  /** Goes to the next member of the page. Members with the same hash are not parted. */
  next(): boolean {
    const entries = this.entries!;
    this.walked++;
    if (!entries.next()) return false;
    if (this.isWhole) return true;
    const hash = entries.leaf.laneOf(entries.at);
    if (this.walked >= this.count && hash !== this.hash) {
      this.nextCursor = hash + HASHES_BELOW_ZERO;
      return false;
    }
    this.hash = hash;
    return true;
  }

  matches(b: Uint8Array, at: number, length: number): boolean {
    if (this.patternBytes < 0) return true;
    return matchGlob(this.bytes, this.patternAt, this.patternBytes, b, at, length, false);
  }

  /** The member stood on is wanted. */
  keep(): void {
    if (this.keptCount === this.kept.length) {
      const wider = new Int32Array(this.kept.length * 2);
      wider.set(this.kept);
      this.kept = wider;
    }
    this.kept[this.keptCount++] = this.walked;
  }

  /** Replies the cursor and the head of the array; `perMember`: elements of each member. */
  replyHead(reply: Reply, perMember: number): void {
    reply.array(2);
    reply.text(String(this.nextCursor));
    reply.array(this.keptCount * perMember);
  }

  /** Stands on the first member kept. */
  firstKept(): boolean {
    this.written = 0;
    if (this.keptCount === 0) return false;
    const entries = this.entries!;
    entries.seekRank(this.startRank + this.kept[0]!);
    return entries.settle();
  }
  nextKept(): boolean {
    const entries = this.entries!;
    const from = this.kept[this.written++]!;
    if (this.written === this.keptCount) {
      if (this.kept.length > KEPT_MAX) this.kept = new Int32Array(64);
      this.entries = null;
      return false;
    }
    for (let i = this.kept[this.written]! - from; i > 0; i--) entries.next();
    return true;
  }
}

const NOTHING = new Uint8Array(0);
