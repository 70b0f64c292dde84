/**
 * Goal:   members with an order equal their model, an array, after any history, although many have equal hashes and pages
 *         are split and merged. Pinned pages do not change, and dropping the order keeps the members.
 * Method: seeded random inserts, replacements and removals over few hashes and small pages.
 */
import { expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { Ordered } from "../../src/structures/ordered.ts";
import { KeyForm } from "../../src/structures/page.ts";
import { Tree } from "../../src/structures/tree.ts";
import { TestPages } from "../support/pages.ts";
import { testSeed } from "../support/random.ts";

interface Named {
  hash: number;
  key: string;
}

const NOTHING = Buffer.alloc(0);

class Twin {
  readonly members: Tree;
  readonly order: Tree;
  readonly ordered: Ordered;
  model: Named[] = [];

  constructor(readonly pages = new TestPages(16 << 20)) {
    this.members = new Tree(pages, 4, KeyForm.Whole, 512);
    this.order = new Tree(pages, 0, KeyForm.Whole, 512);
    this.ordered = new Ordered(this.members, this.order);
  }

  seek({ hash, key }: Named): boolean {
    return this.ordered.seek(hash, Buffer.from(key), 0, key.length);
  }

  insert(one: Named, rank: number): void {
    if (this.seek(one)) return;
    const at = this.ordered.insertAt(rank, 0, one.key.length);
    this.ordered.leaf.b.write(one.key, at, "latin1");
    this.model.splice(rank, 0, one);
  }

  remove(one: Named): void {
    const rank = this.model.findIndex(({ hash, key }) => hash === one.hash && key === one.key);
    expect(this.seek(one)).toBe(rank >= 0);
    if (rank < 0) return;
    this.ordered.remove();
    this.model.splice(rank, 1);
  }

  removeAt(rank: number): void {
    this.ordered.seekRank(rank);
    expect(this.ordered.normalize()).toBe(true);
    this.ordered.remove();
    this.model.splice(rank, 1);
  }

  read(backward = false): Named[] {
    const all: Named[] = [];
    const { ordered } = this;
    ordered.seekRank(backward ? ordered.count - 1 : 0);
    for (let more = ordered.normalize(); more; more = backward ? ordered.previous() : ordered.next()) {
      const { leaf, at } = ordered;
      leaf.openKey(at);
      const key = leaf.b.toString("latin1", leaf.keyAt, leaf.keyAt + leaf.keyBytes);
      all.push({ hash: leaf.sortKeyOf(at), key });
      ordered.reposition();
    }
    return backward ? all.reverse() : all;
  }

  check(): void {
    this.members.check();
    this.order.check();
    this.ordered.check();
    if (this.model.length === 0) return;
    expect(this.read()).toEqual(this.model);
    expect(this.read(true)).toEqual(this.model);
  }

  /** A reader of the trees as they are now. */
  reader(): Twin {
    const twin = new Twin(this.pages);
    for (const name of ["members", "order"] as const) {
      const { top, height, count, bytes } = this[name];
      twin[name].load(top, height, count, bytes);
    }
    twin.model = [...this.model];
    return twin;
  }
}

test.each([
  ["many equal hashes", 6],
  ["few equal hashes", 2000],
])("equals its model under random histories: %s", (_name, hashes) => {
  const random = new Random(testSeed());
  const twin = new Twin();
  const one = (): Named => ({ hash: (random.below(hashes) - (hashes >> 1)) * 1_000_003, key: `k${random.below(150)}` });
  const pins: { pin: number; reader: Twin }[] = [];
  for (let step = 0; step < 6000; step++) {
    const die = random.below(100);
    // Sometimes the collection becomes empty.
    const grows = step % 3000 < 2000 || step > 5500;
    if (die < (grows ? 60 : 20))
      twin.insert(one(), random.below(4) > 0 ? twin.model.length : random.below(twin.model.length + 1));
    else if (die < 80) twin.remove(one());
    else if (die < 97) twin.model.length > 0 && twin.removeAt(random.below(twin.model.length));
    else if (die < 98 && pins.length < 3) pins.push({ reader: twin.reader(), pin: twin.pages.pin() });
    else if (pins.length > 0) {
      const { pin, reader } = pins.shift()!;
      reader.check();
      twin.pages.unpin(pin);
    }
    if (step % 100 === 0) twin.check();
  }
  for (const { pin, reader } of pins) {
    reader.check();
    twin.pages.unpin(pin);
  }
  twin.check();
  const left = twin.model.length;
  twin.ordered.dropOrder();
  expect(twin.order.count).toBe(0);
  expect(twin.members.count).toBe(left);
  twin.members.check();
  while (twin.members.count > 0) {
    twin.members.seek(-0x80000000, NOTHING, 0, 0);
    twin.members.normalize();
    twin.members.remove();
  }
  expect(twin.pages.out.size).toBe(0);
});
