/**
 * Goal:   sections hold exactly their locks, and nest. The end of the outermost one serves waiting clients, reports the
 *         change once, and releases the locks, in this order.
 * Method: two sections over one control block, as two threads have them. A lock of one is not free for the other.
 */
import { describe, expect, test } from "bun:test";
import { BrokenInvariant } from "../../src/base/assert.ts";
import { FramePool } from "../../src/memory/frame-pool.ts";
import { FatalError, Section } from "../../src/store/section.ts";
import { LOCK_AT, LOG_POSITION_AT, MUTATING_AT, Mutating } from "../../src/store/shard.ts";
import { Fixture } from "./fixture.ts";

const SHARDS = 16;

function setup() {
  const f = new Fixture({ shards: SHARDS });
  const { store } = f;
  const section = new Section(f.memory.control, 0, f.store.pool);
  const other = new Section(f.memory.control, 1, new FramePool(f.memory.arena));
  const isHeld = (shard: number): boolean => Atomics.load(store.c, store.headerOf(shard) + LOCK_AT) !== 0;
  const held = (): number[] => Array.from({ length: SHARDS }, (_, shard) => shard).filter(isHeld);
  const change = (shard: number): void => {
    store.c[store.headerOf(shard) + MUTATING_AT] = Mutating.Data;
  };
  return { f, store, section, other, held, change };
}

describe("lock sets", () => {
  test("one shard, a set of few, of many, and all", () => {
    const { section, held } = setup();
    expect(section.enter(3)).toBe(true);
    expect(held()).toEqual([3]);
    section.leave();
    for (const shards of [
      [9, 2, 9, 5],
      [9, 2, 15, 0, 7, 7, 1, 12, 4, 5],
    ]) {
      section.beginSet(shards.length);
      for (const shard of shards) section.want(shard);
      expect(section.setSize).toBe(new Set(shards).size);
      expect(section.enterSet()).toBe(true);
      const ascending = [...new Set(shards)].sort((a, b) => a - b);
      expect([...section.held.subarray(0, section.heldCount)]).toEqual(ascending);
      expect(held()).toEqual(ascending);
      section.leave();
      expect(held()).toEqual([]);
    }
    expect(section.enterAll()).toBe(true);
    expect(held()).toHaveLength(SHARDS);
    section.leave();
    expect(held()).toEqual([]);
  });

  test("holds nothing when one lock is not free", () => {
    const { section, other, held } = setup();
    expect(other.enter(9)).toBe(true);
    expect(section.enter(9)).toBe(false);
    expect(section.tryEnter(9)).toBe(false);
    expect(section.enterAll()).toBe(false);
    section.beginSet(2);
    section.want(12);
    section.want(9);
    expect(section.enterSet()).toBe(false);
    expect(held()).toEqual([9]);
    expect(section.within(9, () => {})).toBe(false);
    expect(section.heldCount).toBe(0);
    other.leave();
    expect(section.within(9, () => expect(held()).toEqual([9]))).toBe(true);
    expect(held()).toEqual([]);
  });

  test("a lock out of order is only tried for, and released with the others", () => {
    const { section, other, held } = setup();
    other.enter(2);
    section.enter(9);
    expect(section.tryAdd(2)).toBe(false);
    expect(section.tryAdd(4)).toBe(true);
    expect(section.tryAdd(9)).toBe(true);
    expect(held()).toEqual([2, 4, 9]);
    section.leave();
    expect(held()).toEqual([2]);
  });
});

describe("nesting", () => {
  test("inner sections keep the locks of the outer one, and add to them", () => {
    const { section, held } = setup();
    section.enter(3);
    expect(section.enter(3)).toBe(true);
    expect(section.tryEnter(1)).toBe(true);
    section.beginSet(2);
    section.want(1);
    section.want(7);
    expect(section.enterSet()).toBe(true);
    for (let inner = 0; inner < 3; inner++) {
      section.leave();
      expect(held()).toEqual([1, 3, 7]);
    }
    section.leave();
    expect(held()).toEqual([]);
    expect(() => section.leave()).toThrow(BrokenInvariant);
  });

  test("clients are served and the change is reported once, at the end of the outermost section", () => {
    const { section, held, change } = setup();
    const log: string[] = [];
    section.serve = (ready) => {
      log.push(`serve ${ready.map(({ place }) => place)} with ${held()}`);
      // Serving may make further keys ready.
      if (ready.length === 1) section.addReady(3, 22);
      log.push(`then ${ready.length}`);
    };
    section.ends = (ended) => {
      log.push(`report with ${held()}`);
      ended.setPosition(77);
    };
    section.enterAll();
    section.enter(3);
    change(3);
    section.addReady(3, 11);
    section.leave();
    expect(log).toEqual([]);
    section.leave();
    const all = [...section.held].join();
    expect(log).toEqual([`serve 11 with ${all}`, "then 2", `report with ${all}`]);
    expect(held()).toEqual([]);
  });

  test("with runAtOnce a lock that is not free is a broken invariant", () => {
    const { section, held } = setup();
    section.beginSet(2);
    section.want(2);
    section.want(5);
    section.enterSet();
    section.runAtOnce();
    expect(section.isAtOnce).toBe(true);
    expect(section.enter(5)).toBe(true);
    section.leave();
    expect(section.isAtOnce).toBe(true);
    expect(() => section.enter(6)).toThrow(BrokenInvariant);
    expect(() => section.enterAll()).toThrow(BrokenInvariant);
    section.leave();
    expect(section.isAtOnce).toBe(false);
    expect(held()).toEqual([]);
  });
});

describe("changes", () => {
  test("are reported when data changed, not when only memory did, and not when nothing did", () => {
    const { section, store, change } = setup();
    let reports = 0;
    section.ends = () => void reports++;
    section.within(1, () => {});
    section.within(1, () => section.rearranges(1));
    expect(reports).toBe(0);
    section.within(1, () => {
      section.rearranges(1);
      change(1);
    });
    expect(reports).toBe(1);
    expect(store.c[store.headerOf(1) + MUTATING_AT]).toBe(Mutating.No);
  });

  test("have positions in the shards that changed, and a reader of such a shard sees them", () => {
    const { section, store, change } = setup();
    const positionOf = (shard: number): number => store.f64[(store.headerOf(shard) + LOG_POSITION_AT) >>> 1]!;
    let position = 1000;
    section.ends = (ended) => ended.setPosition(++position);
    section.withinAll(() => {
      change(4);
      change(6);
    });
    expect([positionOf(4), positionOf(5), positionOf(6)]).toEqual([1001, 0, 1001]);
    section.within(4, () => change(4));
    section.seenPosition = 0;
    section.within(5, () => {});
    expect(section.seenPosition).toBe(0);
    section.within(6, () => {});
    expect(section.seenPosition).toBe(1001);
    section.within(4, () => {});
    section.within(6, () => {});
    expect(section.seenPosition).toBe(1002);
  });
});

describe("a lock kept for the next command", () => {
  test("is resumed or released before another section is entered", () => {
    const { section, held } = setup();
    section.enter(3);
    section.keep();
    expect(held()).toEqual([3]);
    expect(() => section.enter(3)).toThrow(BrokenInvariant);
    expect(() => section.enterAll()).toThrow(BrokenInvariant);
    section.resume();
    expect(section.enter(3)).toBe(true);
    expect(() => section.keep()).toThrow(BrokenInvariant);
    section.leave();
    section.keep();
    section.release();
    expect(held()).toEqual([]);
    expect(() => section.release()).toThrow(BrokenInvariant);
  });

  test("is kept after clients were served, and the locks that serving added are released", () => {
    const { section, held } = setup();
    let served = 0;
    section.serve = () => {
      served++;
      section.tryAdd(1);
    };
    section.enter(3);
    section.rearranges(3);
    section.addReady(3, 11);
    section.keep();
    expect(served).toBe(1);
    expect(held()).toEqual([3]);
    section.release();
  });
});

describe("exceptions", () => {
  test("release the locks while nothing has changed, from any depth", () => {
    const { section, held } = setup();
    const error = new Error("injected");
    expect(() =>
      section.within(1, () =>
        section.within(2, () => {
          throw error;
        }),
      ),
    ).toThrow(error);
    expect(held()).toEqual([]);
    expect(section.enter(1)).toBe(true);
    section.leave();
    expect(held()).toEqual([]);
  });

  test("are fatal once data or memory has changed, also in serving and reporting, and for a broken invariant", () => {
    const error = new Error("injected");
    const cases: ((section: Section, change: (shard: number) => void) => void)[] = [
      (section, change) =>
        section.within(1, () => {
          change(1);
          throw error;
        }),
      (section) =>
        section.within(1, () => {
          section.rearranges(1);
          throw error;
        }),
      (section) => {
        section.serve = () => {
          throw error;
        };
        section.within(1, () => {
          section.rearranges(1);
          section.addReady(1, 11);
        });
      },
      (section, change) => {
        section.ends = () => {
          throw error;
        };
        section.within(1, () => change(1));
      },
      (section) =>
        section.within(1, () => {
          throw new BrokenInvariant("broken");
        }),
    ];
    for (const run of cases) {
      const { section, change, held } = setup();
      expect(() => run(section, change)).toThrow(FatalError);
      expect(held()).toEqual([1]);
    }
  });
});

test("no other code takes the locks of shards", async () => {
  const found: string[] = [];
  for (const path of new Bun.Glob("**/*.ts").scanSync("src")) {
    const text = await Bun.file(`src/${path}`).text();
    const imported = /import \{([^}]*)\} from "[^"]*memory\/lock\.ts"|import \{([^}]*)\} from "\.\/lock\.ts"/.exec(
      text,
    );
    if (imported !== null && /lock|Lock/.test(imported[1] ?? imported[2]!)) found.push(path);
  }
  // Those of src/memory/ are leaf locks of its own structures.
  expect(found.filter((path) => !path.startsWith("memory/"))).toEqual(["store/section.ts"]);
});
