/**
 * SORT and SORT_RO: the elements of a list, a set or a sorted set, sorted by themselves or by the values of other keys. The
 * names of those keys depend on the elements, so all shards are locked.
 */
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { RecordType } from "../../store/record.ts";
import { token } from "../../base/bytes.ts";
import { parseDouble } from "../../base/double-text.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Collection } from "../../store/collection.ts";
import { ListEncoding, type ListValue } from "../../store/list-value.ts";
import type { Member } from "../../store/members.ts";
import type { SetValue } from "../../store/set-value.ts";
import type { SortedSetValue } from "../../store/sorted-set-value.ts";
import { KeyEvent } from "../../store/key-events.ts";
import type { Call } from "../../dispatch/call.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Handler, Outcome } from "../../dispatch/spec.ts";

export const sort: Handler = (call, reply) => runSort(call, reply, true);
export const sortRo: Handler = (call, reply) => runSort(call, reply, false);

const ASC = token("asc");
const DESC = token("desc");
const ALPHA = token("alpha");
const LIMIT = token("limit");
const STORE = token("store");
const BY = token("by");
const GET = token("get");
const STAR = 42;
const BY_DENIED = "ERR BY option of SORT denied due to insufficient ACL permissions.";
const GET_DENIED = "ERR GET option of SORT denied due to insufficient ACL permissions.";
const NO_NUMBER = "ERR One or more scores can't be converted into double";

/** The arguments of SORT. `store`: the argument number of the destination, 0 = none. */
interface Wish {
  isDescending: boolean;
  isAlpha: boolean;
  isSorted: boolean;
  offset: number;
  count: number;
  store: number;
  by: Pattern | null;
  get: Pattern[];
}

/** SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA] [STORE destination] */
function runSort(call: Call, reply: Reply, mayStore: boolean): Outcome | void {
  const wish = readWish(call, reply, mayStore);
  if (wish === null) return;
  const { store } = call;
  call.selectKey(1);
  const isThere = store.findForRead() !== NO_ADDRESS;
  const type = isThere ? store.cursor.type : RecordType.List;
  if (type !== RecordType.List && type !== RecordType.Set && type !== RecordType.SortedSet) {
    return reply.status(Status.WrongType);
  }
  // A set is unordered. What is stored, or what a script does, must not depend on where its members are.
  if (!wish.isSorted && type === RecordType.Set && (wish.store > 0 || call.isScript)) {
    wish.isSorted = true;
    wish.isAlpha = true;
    wish.by = null;
  }
  let value = isThere ? call.collections.openFound() : null;
  if (value?.hasTimed) {
    const left = value.removeDueWhenOpened(false);
    if (left < 0) return refuse(call, reply, left);
    if (left === 0) value = null;
  }
  const length = value === null ? 0 : value.entries.count;
  // The range, calculated as in Redis.
  let start = Math.min(Math.max(wish.offset, 0), length);
  const limit = Math.min(Math.max(wish.count, -1), length);
  let end = limit < 0 ? length : Math.min(start + limit, length);
  let elements: Buffer[] = [];
  if (value !== null) {
    if (!wish.isSorted && type !== RecordType.Set) {
      // Only the elements that are replied are read. DESC reads backward from the end.
      if (start < end) elements = read(value, start, end - start, wish.isDescending);
      end -= start;
      start = 0;
    } else {
      elements = read(value, 0, length, false);
    }
    if (wish.isSorted && !order(call, elements, wish)) return reply.error(NO_NUMBER);
    elements = elements.slice(start, end);
  }
  if (wish.store > 0) return storeResult(call, reply, elements, wish);
  replyElements(call, reply, elements, wish.get);
}

/** Reads the options; null after an error reply. */
function readWish(call: Call, reply: Reply, mayStore: boolean): Wish | null {
  const wish: Wish = {
    isDescending: false,
    isAlpha: false,
    isSorted: true,
    offset: 0,
    count: -1,
    store: 0,
    by: null,
    get: [],
  };
  for (let i = 2; i < call.argCount; i++) {
    const left = call.argCount - i - 1;
    if (call.argIs(i, ASC)) {
      wish.isDescending = false;
    } else if (call.argIs(i, DESC)) {
      wish.isDescending = true;
    } else if (call.argIs(i, ALPHA)) {
      wish.isAlpha = true;
    } else if (left >= 2 && call.argIs(i, LIMIT)) {
      wish.offset = call.argLong(i + 1);
      wish.count = call.argLong(i + 2);
      if (Number.isNaN(wish.offset) || Number.isNaN(wish.count)) {
        reply.error(ErrorText.notInteger);
        return null;
      }
      i += 2;
    } else if (mayStore && left >= 1 && call.argIs(i, STORE)) {
      wish.store = ++i;
    } else if (left >= 1 && call.argIs(i, BY)) {
      wish.by = new Pattern(call, ++i);
      // Without a "*" in the pattern, the elements keep their order.
      if (wish.by.star < 0) wish.isSorted = false;
      else if (!readsAllKeys(call)) {
        reply.error(BY_DENIED);
        return null;
      }
    } else if (left >= 1 && call.argIs(i, GET)) {
      if (!readsAllKeys(call)) {
        reply.error(GET_DENIED);
        return null;
      }
      wish.get.push(new Pattern(call, ++i));
    } else {
      reply.error(ErrorText.syntax);
      return null;
    }
  }
  return wish;
}

/** Patterns name keys that are known only when they are read: a user needs the right to read all. */
function readsAllKeys({ session, access, spec }: Call): boolean {
  return session.isTrusted || access.readsAllKeys(session.user, spec);
}

/** Copies `count` elements from index `from` on; with `isBackward` the index counts from the end, and they are read backward. */
function read(value: Collection, from: number, count: number, isBackward: boolean): Buffer[] {
  const { entries } = value;
  const elements: Buffer[] = new Array(count);
  entries.seekRank(isBackward ? entries.count - 1 - from : from);
  entries.normalize();
  for (let i = 0; i < count; i++) {
    const { bytes, at, length } = memberHere(value);
    elements[i] = Buffer.from(bytes.subarray(at, at + length));
    if (i === count - 1) break;
    entries.reposition();
    if (isBackward) entries.previous();
    else entries.next();
  }
  return elements;
}

function memberHere(value: Collection): Member {
  const known = value as ListValue | SetValue | SortedSetValue;
  known.openHere();
  return known.member;
}

/** Sorts the elements. Returns false when a weight is no number. */
function order(call: Call, elements: Buffer[], wish: Wish): boolean {
  const { by, isAlpha } = wish;
  const { length } = elements;
  const sign = wish.isDescending ? -1 : 1;
  const weights: (Buffer | null)[] = by === null ? elements : elements.map((element) => by.lookUp(call, element));
  const places = Uint32Array.from({ length }, (_, i) => i);
  if (isAlpha) {
    places.sort((a, b) => sign * compareWeights(weights[a]!, weights[b]!));
  } else {
    const numbers = new Float64Array(length);
    for (let i = 0; i < length; i++) {
      const weight = weights[i]!;
      if (weight === null) continue;
      numbers[i] = readWeight(weight);
      if (Number.isNaN(numbers[i])) return false;
    }
    places.sort((a, b) => {
      const x = numbers[a]!;
      const y = numbers[b]!;
      return sign * (x < y ? -1 : x > y ? 1 : Buffer.compare(elements[a]!, elements[b]!));
    });
  }
  const had = elements.slice();
  for (let i = 0; i < length; i++) elements[i] = had[places[i]!]!;
  return true;
}

function compareWeights(a: Buffer | null, b: Buffer | null): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? -1 : 1;
  return Buffer.compare(a, b);
}

/** Parses a weight like strtod, which must accept all bytes before the first zero byte. NaN when it does not. */
function readWeight(weight: Buffer): number {
  const zero = weight.indexOf(0);
  const end = zero < 0 ? weight.length : zero;
  if (end === 0) return 0;
  let at = 0;
  while (at < end && (weight[at] === 32 || (weight[at]! >= 9 && weight[at]! <= 13))) at++;
  return parseDouble(weight, at, end - at);
}

/** A pattern like "user_*->age": a key name with a place for the element, and a field of the hash there. "#" = the element. */
class Pattern {
  readonly star: number;
  private readonly bytes: Buffer;
  private readonly isElement: boolean;
  /** Where the name ends, and where the field begins; -1 = the key holds a string. */
  private readonly end: number;
  private readonly field: number;

  constructor(call: Call, i: number) {
    const at = call.argAt(i);
    const bytes = call.bytes.subarray(at, at + call.argBytes(i)) as Buffer;
    this.bytes = bytes;
    this.star = bytes.indexOf(STAR);
    this.isElement = bytes.length === 1 && bytes[0] === 35;
    const arrow = this.star < 0 ? -1 : bytes.indexOf("->", this.star + 1);
    const hasField = arrow >= 0 && arrow + 2 < bytes.length;
    this.field = hasField ? arrow + 2 : -1;
    this.end = hasField ? arrow : bytes.length;
  }

  /** The value that the pattern refers to for `element`, or null. */
  lookUp(call: Call, element: Buffer): Buffer | null {
    if (this.isElement) return element;
    const { bytes, star, end, field } = this;
    if (star < 0) return null;
    const name = Buffer.concat([bytes.subarray(0, star), element, bytes.subarray(star + 1, end)]);
    const { store, key } = call;
    if (!key.load(name, 0, name.length)) return null;
    store.select(call.keyspace, key);
    if (store.findForRead() === NO_ADDRESS) return null;
    if (field < 0) {
      if (store.cursor.type !== RecordType.String) return null;
      const text = Buffer.allocUnsafe(call.strings.lengthFound);
      call.strings.read(0, text, 0, text.length);
      return text;
    }
    if (store.cursor.type !== RecordType.Hash) return null;
    const hash = call.collections.hash();
    hash.open();
    if (!hash.seek(bytes, field, bytes.length - field)) return null;
    if (hash.isDueHere) {
      // A replayed log would still find it.
      hash.removeLookedUp(bytes, field, bytes.length - field, false);
      return null;
    }
    hash.openValue();
    const { value } = hash;
    return Buffer.from(value.bytes.subarray(value.at, value.at + value.length));
  }
}

function replyElements(call: Call, reply: Reply, elements: readonly Buffer[], get: readonly Pattern[]): void {
  reply.array(elements.length * Math.max(get.length, 1));
  for (const element of elements) {
    if (get.length === 0) reply.bulk(element, 0, element.length);
    for (const pattern of get) {
      const found = pattern.lookUp(call, element);
      if (found === null) reply.nullBulk();
      else reply.bulk(found, 0, found.length);
    }
  }
}

/** Stores the elements, or the values of GET, as a list, with empty strings for missing values. Replies its length. */
function storeResult(call: Call, reply: Reply, elements: Buffer[], wish: Wish): Outcome | void {
  const { store } = call;
  let items = elements;
  if (wish.get.length > 0) {
    items = [];
    for (const element of elements) {
      for (const pattern of wish.get) items.push(pattern.lookUp(call, element) ?? NOTHING);
    }
  }
  call.selectKey(wish.store);
  let bytes = 0;
  for (const item of items) bytes += item.length + ELEMENT_BYTES;
  const list = call.collections.list();
  list.pages.select(store.cursor.shard);
  if (!list.pages.reserve(bytes)) return refuse(call, reply, Status.Busy);
  if (store.find() !== NO_ADDRESS) store.remove(items.length > 0 ? KeyEvent.Silent : KeyEvent.Deleted);
  if (items.length > 0) {
    const found = list.begin(0, true);
    if (found < 0) return refuse(call, reply, found);
    list.create(bytes, ListEncoding.Listpack);
    list.convertBeforeGrowth(bytes - items.length * ELEMENT_BYTES, items.length);
    for (const item of items) list.push(item, 0, item.length, false);
    list.finish();
  }
  reply.integer(items.length);
}

const NOTHING = Buffer.alloc(0);
/** Most overhead of an element, bytes. */
const ELEMENT_BYTES = 32;
