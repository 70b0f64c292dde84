/**
 * A Lua table.
 *
 *   array          values of the keys 1..n; a removed one is undefined, and the array never gets shorter
 *   capacity       size of what would be Lua's array part; only length() reads it
 *   keys, values   the other pairs in order of insertion; a removed pair keeps its key, with the value undefined
 *   index          key to place in `keys`; made with the ninth key, because a search from the front is faster below
 *
 * Invariants
 *   T1  no key in `keys` is array.length + 1, so the array takes all that follows it
 *   T2  keys are no NaN, and an integral key is never -0
 *   T3  `dead` is the number of undefined values in `values`
 *
 * A *position* numbers the places of the array and then those of `keys`. It stays valid while no key is inserted, so a table
 * may lose pairs while it is walked, as Lua allows.
 */
import { raiseBare } from "./errors.ts";
import { charge } from "./limits.ts";

/** Keys that are searched from the front. */
const SCANNED_MAX = 8;

/** Growth of a part above this size is charged (limits.ts). */
const CHARGED_MIN = 4096;
const BYTES_PER_SLOT = 8;
const BYTES_PER_PAIR = 48;

export const READ_ONLY = "Attempt to modify a readonly table";

/** The keys and values of tables that have had none: never changed. */
const NO_PAIRS: unknown[] = [];

export class LuaTable {
  array: unknown[];
  capacity: number;
  keys: unknown[];
  values: unknown[];
  index: Map<unknown, number> | null = null;
  dead = 0;
  metatable: LuaTable | null = null;
  frozen = false;

  constructor(array: unknown[] = [], keys: unknown[] = NO_PAIRS, values: unknown[] = NO_PAIRS) {
    this.array = array;
    this.capacity = array.length;
    this.keys = keys;
    this.values = values;
  }

  /** A table of the values at 1, 2, ... It takes over the array. */
  static fromArray(values: unknown[]): LuaTable {
    return new LuaTable(values);
  }

  /** A table of pairs: distinct keys, none of them a number, and no value nil. It takes over both arrays. */
  static fromPairs(keys: unknown[], values: unknown[]): LuaTable {
    const table = new LuaTable([], keys, values);
    if (keys.length > SCANNED_MAX) table.makeIndex();
    return table;
  }

  /** The value of any key, without metamethods. */
  get(key: unknown): unknown {
    if (typeof key === "string") return this.getStr(key);
    if (typeof key === "number") return this.getInt(key);
    const at = this.find(key);
    return at < 0 ? undefined : this.values[at];
  }

  getStr(key: string): unknown {
    const index = this.index;
    if (index !== null) {
      const at = index.get(key);
      return at === undefined ? undefined : this.values[at];
    }
    const keys = this.keys;
    for (let at = 0; at < keys.length; at++) if (keys[at] === key) return this.values[at];
    return undefined;
  }

  /** The value of a number, integral or not. */
  getInt(key: number): unknown {
    const place = key - 1;
    const array = this.array;
    if (place >= 0 && place < array.length && (place | 0) === place) return array[place];
    if (this.keys.length === 0) return undefined;
    const at = this.find(key);
    return at < 0 ? undefined : this.values[at];
  }

  /** Sets the value of any key, without metamethods; nil removes it. Raises for nil, NaN, and a frozen table. */
  set(key: unknown, value: unknown): void {
    if (typeof key === "string") this.setStr(key, value);
    else if (typeof key === "number") this.setInt(key, value);
    else if (key === undefined) raiseBare("table index is nil");
    else {
      if (this.frozen) raiseBare(READ_ONLY);
      this.put(key, value);
    }
  }

  setStr(key: string, value: unknown): void {
    if (this.frozen) raiseBare(READ_ONLY);
    this.put(key, value);
  }

  /** Replaces the value of a key that is there. Returns false, and does nothing, for others and for a frozen table. */
  replaceStr(key: string, value: unknown): boolean {
    if (this.frozen || value === undefined) return false;
    const at = this.find(key);
    if (at < 0 || this.values[at] === undefined) return false;
    this.values[at] = value;
    return true;
  }

  /** Sets the value of a number, integral or not. */
  setInt(key: number, value: unknown): void {
    if (this.frozen) raiseBare(READ_ONLY);
    this.putInt(key, value);
  }

  /** Sets a pair whether the table is frozen or not: for hosts that fill their own tables. */
  setUnchecked(key: string, value: unknown): void {
    this.put(key, value);
  }

  private putInt(key: number, value: unknown): void {
    const place = key - 1;
    const array = this.array;
    if (place >= 0 && place < array.length && (place | 0) === place) array[place] = value;
    else if (place === array.length) {
      if (value !== undefined) this.push(value);
    } else {
      if (Number.isNaN(key)) raiseBare("table index is NaN");
      this.put(key === 0 ? 0 : key, value);
    }
  }

  /** Appends to the array, and whatever of `keys` follows (T1). */
  private push(value: unknown): void {
    const array = this.array;
    array.push(value);
    if (array.length > this.capacity) this.growCapacity();
    if (this.keys.length > this.dead) this.takeFollowing();
  }

  private growCapacity(): void {
    let capacity = 1;
    while (capacity < this.array.length) capacity *= 2;
    if (capacity >= CHARGED_MIN) charge((capacity - this.capacity) * BYTES_PER_SLOT);
    this.capacity = capacity;
  }

  private takeFollowing(): void {
    for (;;) {
      const next = this.array.length + 1;
      const at = this.find(next);
      if (at < 0 || this.values[at] === undefined) return;
      this.array.push(this.values[at]);
      this.values[at] = undefined;
      this.dead++;
      if (this.array.length > this.capacity) this.growCapacity();
    }
  }

  /** Place of a key in `keys`; -1 when it is not there. */
  private find(key: unknown): number {
    const index = this.index;
    if (index !== null) return index.get(key) ?? -1;
    const keys = this.keys;
    for (let at = 0; at < keys.length; at++) if (keys[at] === key) return at;
    return -1;
  }

  /** Sets a pair that is not in the array. */
  private put(key: unknown, value: unknown): void {
    const at = this.find(key);
    if (at >= 0) {
      if (value === undefined) {
        if (this.values[at] !== undefined) this.dead++;
      } else if (this.values[at] === undefined) this.dead--;
      this.values[at] = value;
    } else if (value !== undefined) this.insert(key, value);
  }

  private insert(key: unknown, value: unknown): void {
    if (this.dead > SCANNED_MAX && this.dead * 2 > this.keys.length) this.compact();
    if (this.keys === NO_PAIRS) {
      this.keys = [];
      this.values = [];
    }
    const at = this.keys.length;
    this.keys.push(key);
    this.values.push(value);
    if (this.index !== null) {
      this.index.set(key, at);
      if (at >= CHARGED_MIN && (at & (at - 1)) === 0) charge(at * BYTES_PER_PAIR);
    } else if (at === SCANNED_MAX) this.makeIndex();
  }

  private makeIndex(): void {
    const index = new Map<unknown, number>();
    for (let at = 0; at < this.keys.length; at++) index.set(this.keys[at], at);
    this.index = index;
  }

  /** Forgets the keys of removed pairs. */
  private compact(): void {
    const keys: unknown[] = [];
    const values: unknown[] = [];
    for (let at = 0; at < this.keys.length; at++) {
      if (this.values[at] === undefined) continue;
      keys.push(this.keys[at]);
      values.push(this.values[at]);
    }
    this.keys = keys;
    this.values = values;
    this.dead = 0;
    this.index = null;
    if (keys.length > SCANNED_MAX) this.makeIndex();
  }

  /** What # gives: an n with t[n] set and t[n + 1] nil, the same as Lua chooses wherever its array part is like ours. */
  length(): number {
    const array = this.array;
    const size = array.length;
    if (size > 0 && array[size - 1] !== undefined) return size; // T1: nothing follows
    let low = 0;
    let high = Math.max(this.capacity, size);
    if (high === 0) return 0;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (middle > size || array[middle - 1] === undefined) high = middle;
      else low = middle;
    }
    return low;
  }

  /** Next position with a pair after `position`, which is -1 at the start. -1 when there is none. */
  after(position: number): number {
    const array = this.array;
    let at = position + 1;
    for (; at < array.length; at++) if (array[at] !== undefined) return at;
    const values = this.values;
    for (let place = at - array.length; place < values.length; place++) {
      if (values[place] !== undefined) return place + array.length;
    }
    return -1;
  }

  keyAt(position: number): unknown {
    const size = this.array.length;
    return position < size ? position + 1 : this.keys[position - size];
  }

  valueAt(position: number): unknown {
    const size = this.array.length;
    return position < size ? this.array[position] : this.values[position - size];
  }

  /** Position of a key for `next`, also of one that was removed; -1 when the table never had it. */
  positionOf(key: unknown): number {
    if (typeof key === "number") {
      const place = key - 1;
      if (place >= 0 && place < this.array.length && (place | 0) === place) return place;
    }
    const at = this.find(key);
    return at < 0 ? -1 : at + this.array.length;
  }
}
