/**
 * Goal:   a tree equals its model, a sorted array, after any history. Pinned pages do not change. No block leaks.
 * Method: seeded random inserts, changes and removals by key and by rank, with small pages so that they split and merge
 *         often. The checker runs throughout. Pinned readers compare the whole tree with the model as of their pin.
 */
import { describe, expect, test } from "bun:test";
import { KEY_OVERFLOW, KeyForm, OVERFLOW_REF_BYTES } from "../../src/structures/page.ts";
import { Tree } from "../../src/structures/tree.ts";
import { Random } from "../../src/base/random.ts";
import { TestPages } from "../support/pages.ts";

const SEED = Number(process.env.FERRITE_SEED ?? 20261122);

interface Entry {
  sortKey: number;
  key: Buffer;
  value: Buffer;
}

/** A tree with its model. Long keys become overflow keys, as in the collections. */
class Twin {
  readonly pages = new TestPages(32 << 20);
  readonly tree: Tree;
  model: Entry[] = [];

  constructor(
    readonly sortKey: 0 | 4 | 8,
    readonly form: KeyForm,
    pageBytes: number,
  ) {
    this.tree = new Tree(this.pages, sortKey, form, pageBytes);
  }

  order(a: Entry, b: Entry): number {
    if (a.sortKey !== b.sortKey) return a.sortKey - b.sortKey;
    if (this.sortKey === 4 && a.key.length !== b.key.length) return a.key.length - b.key.length;
    return Buffer.compare(a.key, b.key);
  }

  find(entry: Entry): { at: number; found: boolean } {
    let low = 0;
    let high = this.model.length;
    while (low < high) {
      const i = (low + high) >>> 1;
      if (this.order(this.model[i]!, entry) < 0) low = i + 1;
      else high = i;
    }
    const at = this.model[low];
    return { at: low, found: at !== undefined && this.order(at, entry) === 0 };
  }

  /** The entry's data as a page stores it. */
  encode(entry: Entry): { flags: number; data: Buffer } {
    const { key, value } = entry;
    if (key.length + value.length + 3 > this.tree.entryBytesMax) {
      const head = Buffer.alloc(OVERFLOW_REF_BYTES);
      head.writeInt32LE(this.pages.storeOverflow(key, 0, key.length), 0);
      head.writeInt32LE(key.length, 4);
      return { flags: KEY_OVERFLOW, data: Buffer.concat([head, value]) };
    }
    if (this.form !== KeyForm.Prefixed) return { flags: 0, data: Buffer.concat([key, value]) };
    const head = key.length < 0xff ? Buffer.of(key.length) : Buffer.of(0xff, key.length & 0xff, key.length >> 8);
    return { flags: 0, data: Buffer.concat([head, key, value]) };
  }

  decode(tree: Tree): Entry {
    const { leaf } = tree;
    leaf.openKey(tree.at);
    let key = Buffer.from(leaf.b.subarray(leaf.keyAt, leaf.keyAt + leaf.keyBytes));
    const value = Buffer.from(leaf.b.subarray(leaf.valueAt, leaf.valueAt + leaf.valueBytes));
    if ((leaf.entryFlags & KEY_OVERFLOW) !== 0) {
      const at = this.pages.locate(leaf.word(leaf.keyAt));
      key = Buffer.from(this.pages.b.subarray(at, at + leaf.word(leaf.keyAt + 4)));
    }
    return { sortKey: leaf.sortKeyOf(tree.at), key, value };
  }

  giveOutHere(): void {
    const { leaf } = this.tree;
    leaf.openKey(this.tree.at);
    if ((leaf.entryFlags & KEY_OVERFLOW) !== 0)
      this.pages.freeOverflow(leaf.word(leaf.keyAt), leaf.word(leaf.keyAt + 4));
    this.tree.reposition();
  }

  seek(entry: Entry): boolean {
    return this.tree.seek(entry.sortKey, entry.key, 0, entry.key.length);
  }

  put(entry: Entry): void {
    const { at, found } = this.find(entry);
    expect(this.seek(entry)).toBe(found);
    if (found) this.giveOutHere();
    const { flags, data } = this.encode(entry);
    if (found) {
      this.model[at] = entry;
      const to = this.tree.resize(flags, data.length);
      data.copy(this.tree.leaf.b, to);
      return;
    }
    this.model.splice(at, 0, entry);
    const to = this.tree.insert(flags, data.length);
    data.copy(this.tree.leaf.b, to);
  }

  remove(entry: Entry): void {
    const { at, found } = this.find(entry);
    expect(this.seek(entry)).toBe(found);
    if (!found) return;
    expect(this.tree.rank()).toBe(at);
    this.model.splice(at, 1);
    this.giveOutHere();
    this.tree.remove();
  }

  /** Gives an existing entry another sort key, unless an equal entry exists. */
  move(entry: Entry, sortKey: number): void {
    const moved = { ...entry, sortKey };
    if (this.find(moved).found) return;
    this.model.splice(this.find(entry).at, 1);
    this.model.splice(this.find(moved).at, 0, moved);
    expect(this.seek(entry)).toBe(true);
    if (this.tree.moveWithin(sortKey)) return;
    expect(this.seek(moved)).toBe(false);
    this.tree.putMoved();
  }

  removeRank(rank: number): void {
    this.tree.seekRank(rank);
    expect(this.tree.normalize()).toBe(true);
    this.giveOutHere();
    this.tree.remove();
    this.model.splice(rank, 1);
  }

  /** Removes `count` entries from `rank` on, leaf by leaf. */
  removeRange(rank: number, count: number): void {
    const { tree } = this;
    for (let left = count; left > 0; ) {
      tree.seekRank(rank);
      expect(tree.normalize()).toBe(true);
      const run = Math.min(left, tree.leaf.count - tree.at);
      for (let i = 0; i < run; i++) {
        tree.leaf.openKey(tree.at + i);
        const { leaf } = tree;
        if ((leaf.entryFlags & KEY_OVERFLOW) !== 0)
          this.pages.freeOverflow(leaf.word(leaf.keyAt), leaf.word(leaf.keyAt + 4));
      }
      tree.reposition();
      tree.removeRun(run);
      left -= run;
    }
    this.model.splice(rank, count);
  }

  insertRank(rank: number, entry: Entry): void {
    this.tree.seekRank(rank);
    const { flags, data } = this.encode(entry);
    const to = this.tree.insert(flags, data.length);
    data.copy(this.tree.leaf.b, to);
    this.model.splice(rank, 0, entry);
  }

  compare(tree: Tree, model: readonly Entry[]): void {
    expect(tree.count).toBe(model.length);
    let i = 0;
    tree.seekRank(0);
    for (let more = tree.normalize(); more; more = tree.next()) {
      const entry = this.decode(tree);
      tree.reposition();
      const twin = model[i++]!;
      if (!entry.key.equals(twin.key) || !entry.value.equals(twin.value) || entry.sortKey !== twin.sortKey) {
        throw new Error(`entry ${i - 1} differs from its twin`);
      }
    }
    expect(i).toBe(model.length);
    for (let more = tree.previous(); more; more = tree.previous()) i--;
    expect(i).toBe(0);
  }

  check(): void {
    this.tree.check();
    this.compare(this.tree, this.model);
  }

  /** A separate reader over the tree as it is now. */
  reader(): Tree {
    const { tree } = this;
    const reader = new Tree(this.pages, this.sortKey, this.form, tree.pageBytes);
    reader.load(tree.top, tree.height, tree.count, tree.bytes);
    return reader;
  }
}

const CASES: [name: string, sortKey: 4 | 8, form: KeyForm, pageBytes: number, sortKeys: number, long?: number][] = [
  ["hash tree with values", 4, KeyForm.Prefixed, 512, 1 << 30],
  ["hash tree whose hashes collide", 4, KeyForm.Prefixed, 1024, 40],
  ["hash tree with fixed values", 4, KeyForm.Fixed, 512, 1 << 30],
  ["hash tree of members", 4, KeyForm.Whole, 512, 1 << 30],
  ["hash tree of members whose hashes collide", 4, KeyForm.Whole, 512, 40],
  ["score tree", 8, KeyForm.Whole, 512, 1000],
  ["score tree of one score", 8, KeyForm.Whole, 512, 1],
  ["score tree in small pages", 8, KeyForm.Whole, 256, 50],
  ["score tree in large pages", 8, KeyForm.Whole, 8192, 50],
  ["score tree of one score and long members", 8, KeyForm.Whole, 256, 1, 2],
  ["hash tree of long keys", 4, KeyForm.Prefixed, 512, 3, 2],
];

/** One in `longOf` keys is long. */
function randomEntry(random: Random, twin: Twin, sortKeys: number, longOf = 50): Entry {
  const long = random.below(longOf) === 0;
  const key = Buffer.alloc(random.below(long ? 600 : 24));
  // Long common prefixes, so that separators are long too.
  key.fill(long ? "a" : "b");
  for (let i = Math.max(0, key.length - 4); i < key.length; i++) key[i] = random.below(4);
  const value = Buffer.alloc(twin.form === KeyForm.Fixed ? 8 : twin.form === KeyForm.Whole ? 0 : random.below(30));
  for (let i = 0; i < value.length; i++) value[i] = random.below(256);
  const sortKey = sortKeys > 1 ? random.below(sortKeys) - (sortKeys >> 1) : 0;
  return { sortKey: twin.sortKey === 4 ? sortKey | 0 : sortKey / 4, key, value };
}

describe.each(CASES)("%s", (_name, sortKey, form, pageBytes, sortKeys, long) => {
  test("equals its model after random histories", () => {
    for (let round = 0; round < 4; round++) {
      const random = new Random(SEED + round);
      const twin = new Twin(sortKey, form, pageBytes);
      const pins: { pin: number; reader: Tree; model: Entry[] }[] = [];
      let growing = true;
      for (let step = 0; step < Number(process.env.FERRITE_STEPS ?? 3000); step++) {
        if (step % 700 === 0) growing = random.below(3) > 0;
        const die = random.below(100);
        if (die < (growing ? 60 : 25)) {
          twin.put(randomEntry(random, twin, sortKeys, long));
        } else if (die < 70 && twin.model.length > 0) {
          const entry = twin.model[random.below(twin.model.length)]!;
          const way = random.below(sortKey === 8 ? 4 : 2);
          if (way === 0) twin.remove(entry);
          else if (way === 2) twin.move(entry, randomEntry(random, twin, sortKeys, long).sortKey);
          else if (way === 3) twin.move(entry, entry.sortKey + (random.below(9) - 4) / 4);
          else twin.put({ ...randomEntry(random, twin, sortKeys, long), sortKey: entry.sortKey, key: entry.key });
        } else if (die < 95) {
          twin.remove(randomEntry(random, twin, sortKeys, long));
          if (!growing && twin.model.length > 0) twin.removeRank(random.below(twin.model.length));
          if (random.below(20) === 0) {
            const from = random.below(twin.model.length + 1);
            twin.removeRange(from, random.below(Math.min(200, twin.model.length - from) + 1));
          }
        } else if (die < 97 && pins.length < 4) {
          pins.push({ pin: twin.pages.pin(), reader: twin.reader(), model: [...twin.model] });
        } else if (pins.length > 0) {
          const [{ pin, reader, model }] = pins.splice(random.below(pins.length), 1) as [(typeof pins)[number]];
          twin.compare(reader, model);
          twin.pages.unpin(pin);
        }
        if (step % 250 === 0) twin.check();
      }
      for (const { pin, reader, model } of pins) {
        twin.compare(reader, model);
        twin.pages.unpin(pin);
      }
      twin.check();
      while (twin.model.length > 0) twin.removeRank(random.below(twin.model.length));
      twin.check();
      expect(twin.pages.out.size).toBe(0);
    }
  });
});

describe("sequence", () => {
  test("equals its model after random histories", () => {
    for (let round = 0; round < 4; round++) {
      const random = new Random(SEED + 100 + round);
      const twin = new Twin(0, KeyForm.Whole, 512);
      for (let step = 0; step < 4000; step++) {
        const { length } = twin.model;
        const die = random.below(100);
        const entry = { ...randomEntry(random, twin, 1), sortKey: 0 };
        if (die < 30) twin.insertRank(length, entry);
        else if (die < 50) twin.insertRank(0, entry);
        else if (die < 60) twin.insertRank(random.below(length + 1), entry);
        else if (length > 0 && die < 75) twin.removeRank(0);
        else if (length > 0 && die < 90) twin.removeRank(length - 1);
        else if (length > 0 && die < 99) twin.removeRank(random.below(length));
        else {
          const from = random.below(length + 1);
          twin.removeRange(from, random.below(length - from + 1));
        }
        if (step % 300 === 0) twin.check();
      }
      twin.check();
    }
  });

  test("fills its pages when it grows at one end", () => {
    for (const end of [0, 1]) {
      const twin = new Twin(0, KeyForm.Whole, 4096);
      const value = Buffer.from("0123456789");
      for (let i = 0; i < 20000; i++) twin.insertRank(end === 0 ? 0 : i, { sortKey: 0, key: value, value: NOTHING });
      expect((20000 * 12) / twin.tree.bytes).toBeGreaterThan(0.95);
      twin.check();
    }
  });
});

const NOTHING = Buffer.alloc(0);
