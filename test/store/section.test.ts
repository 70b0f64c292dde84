/**
 * Goal:   sections hold exactly their locks, and nest. The end of the outermost one serves waiting clients, reports the
 *         change once, and releases the locks, in this order.
 * Method: two sections over one control block, as two threads have them. A lock of one is not free for the other.
 */
import { Mutating, type Shard } from "../../src/store/shard.ts";
import type { Ref } from "../../src/structures/pages.ts";
import { describe, expect, test } from "bun:test";
import { BrokenInvariant } from "../../src/base/assert.ts";
import { FramePool } from "../../src/memory/frame-pool.ts";
import { FatalError, Section } from "../../src/store/section.ts";
import { Fixture } from "./fixture.ts";

const SHARDS = 16;

function setup() {
  const f = new Fixture({ shards: SHARDS });
  const { store } = f;
  const { shards } = store;
  const section = new Section(shards, 0, store.pool);
  const other = new Section(shards, 1, new FramePool(f.memory.arena));
  const held = (): number[] => shards.filter(({ isLocked }) => isLocked).map(({ number }) => number);
  const change = (shard: number): void => {
    shards[shard]!.mutating = Mutating.Data;
  };
  return { shards, section, other, held, change };
}

describe("lock sets", () => {
  test("one shard, a set of few, of many, and all", () => {
    const { shards, section, held } = setup();
    expect(section.enter(shards[3]!)).toBe(true);
    expect(held()).toEqual([3]);
    section.leave();
    for (const named of [
      [9, 2, 9, 5],
      [9, 2, 15, 0, 7, 7, 1, 12, 4, 5],
    ]) {
      section.beginSet(named.length);
      for (const shard of named) section.want(shards[shard]!);
      expect(section.setSize).toBe(new Set(named).size);
      expect(section.enterSet()).toBe(true);
      const ascending = [...new Set(named)].sort((a, b) => a - b);
      expect(Array.from({ length: section.heldCount }, (_, n) => section.heldAt(n).number)).toEqual(ascending);
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
    const { shards, section, other, held } = setup();
    expect(other.enter(shards[9]!)).toBe(true);
    expect(section.enter(shards[9]!)).toBe(false);
    expect(section.tryEnter(shards[9]!)).toBe(false);
    expect(section.enterAll()).toBe(false);
    section.beginSet(2);
    section.want(shards[12]!);
    section.want(shards[9]!);
    expect(section.enterSet()).toBe(false);
    expect(held()).toEqual([9]);
    expect(section.within(shards[9]!, () => {})).toBe(false);
    expect(section.heldCount).toBe(0);
    other.leave();
    expect(section.within(shards[9]!, () => expect(held()).toEqual([9]))).toBe(true);
    expect(held()).toEqual([]);
  });

  test("a lock out of order is only tried for, and released with the others", () => {
    const { shards, section, other, held } = setup();
    other.enter(shards[2]!);
    section.enter(shards[9]!);
    expect(section.tryAdd(shards[2]!)).toBe(false);
    expect(section.tryAdd(shards[4]!)).toBe(true);
    expect(section.tryAdd(shards[9]!)).toBe(true);
    expect(held()).toEqual([2, 4, 9]);
    section.leave();
    expect(held()).toEqual([2]);
  });
});

describe("nesting", () => {
  test("inner sections keep the locks of the outer one, and add to them", () => {
    const { shards, section, held } = setup();
    section.enter(shards[3]!);
    expect(section.enter(shards[3]!)).toBe(true);
    expect(section.tryEnter(shards[1]!)).toBe(true);
    section.beginSet(2);
    section.want(shards[1]!);
    section.want(shards[7]!);
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
    const { shards, section, held, change } = setup();
    const log: string[] = [];
    section.serve = (ready) => {
      log.push(`serve ${ready.map(({ waitedKey }) => waitedKey)} with ${held()}`);
      // Serving may make further keys ready.
      if (ready.length === 1) section.addReady(shards[3]!, 22 as Ref);
      log.push(`then ${ready.length}`);
    };
    section.onDataChange = (ended) => {
      log.push(`report with ${held()}`);
      ended.setPosition(77);
    };
    section.enterAll();
    section.enter(shards[3]!);
    change(3);
    section.addReady(shards[3]!, 11 as Ref);
    section.leave();
    expect(log).toEqual([]);
    section.leave();
    const all = shards.map(({ number }) => number).join();
    expect(log).toEqual([`serve 11 with ${all}`, "then 2", `report with ${all}`]);
    expect(held()).toEqual([]);
  });

  test("with runAtOnce a lock that is not free is a broken invariant", () => {
    const { shards, section, held } = setup();
    section.beginSet(2);
    section.want(shards[2]!);
    section.want(shards[5]!);
    section.enterSet();
    section.runAtOnce();
    expect(section.isAtOnce).toBe(true);
    expect(section.enter(shards[5]!)).toBe(true);
    section.leave();
    expect(section.isAtOnce).toBe(true);
    expect(() => section.enter(shards[6]!)).toThrow(BrokenInvariant);
    expect(() => section.enterAll()).toThrow(BrokenInvariant);
    section.leave();
    expect(section.isAtOnce).toBe(false);
    expect(held()).toEqual([]);
  });
});

describe("changes", () => {
  test("are reported when data changed, not when only memory did, and not when nothing did", () => {
    const { shards, section, change } = setup();
    let reports = 0;
    section.onDataChange = () => void reports++;
    section.within(shards[1]!, () => {});
    section.within(shards[1]!, () => shards[1]!.rearranges());
    expect(reports).toBe(0);
    section.within(shards[1]!, () => {
      shards[1]!.rearranges();
      change(1);
    });
    expect(reports).toBe(1);
    expect(shards[1]!.mutating).toBe(Mutating.No);
  });

  test("have positions in the shards that changed, and a reader of such a shard sees them", () => {
    const { shards, section, change } = setup();
    const positionOf = (shard: number): number => shards[shard]!.logPosition;
    let position = 1000;
    section.onDataChange = (ended) => ended.setPosition(++position);
    section.withinAll(() => {
      change(4);
      change(6);
    });
    expect([positionOf(4), positionOf(5), positionOf(6)]).toEqual([1001, 0, 1001]);
    section.within(shards[4]!, () => change(4));
    section.seenPosition = 0;
    section.within(shards[5]!, () => {});
    expect(section.seenPosition).toBe(0);
    section.within(shards[6]!, () => {});
    expect(section.seenPosition).toBe(1001);
    section.within(shards[4]!, () => {});
    section.within(shards[6]!, () => {});
    expect(section.seenPosition).toBe(1002);
  });
});

describe("a lock retained for the next command", () => {
  test("is resumed or released before another section is entered", () => {
    const { shards, section, held } = setup();
    section.enter(shards[3]!);
    section.retain();
    expect(held()).toEqual([3]);
    expect(() => section.enter(shards[3]!)).toThrow(BrokenInvariant);
    expect(() => section.enterAll()).toThrow(BrokenInvariant);
    section.resume();
    expect(section.enter(shards[3]!)).toBe(true);
    expect(() => section.retain()).toThrow(BrokenInvariant);
    section.leave();
    section.retain();
    section.release();
    expect(held()).toEqual([]);
    expect(() => section.release()).toThrow(BrokenInvariant);
  });

  test("is kept after clients were served, and the locks that serving added are released", () => {
    const { shards, section, held } = setup();
    let served = 0;
    section.serve = () => {
      served++;
      section.tryAdd(shards[1]!);
    };
    section.enter(shards[3]!);
    shards[3]!.rearranges();
    section.addReady(shards[3]!, 11 as Ref);
    section.retain();
    expect(served).toBe(1);
    expect(held()).toEqual([3]);
    section.release();
  });
});

describe("exceptions", () => {
  test("release the locks while nothing has changed, from any depth", () => {
    const { shards, section, held } = setup();
    const error = new Error("injected");
    expect(() =>
      section.within(shards[1]!, () =>
        section.within(shards[2]!, () => {
          throw error;
        }),
      ),
    ).toThrow(error);
    expect(held()).toEqual([]);
    expect(section.enter(shards[1]!)).toBe(true);
    section.leave();
    expect(held()).toEqual([]);
  });

  test("are fatal once data or memory has changed, also in serving and reporting, and for a broken invariant", () => {
    const error = new Error("injected");
    const cases: ((section: Section, change: (shard: number) => void, shards: readonly Shard[]) => void)[] = [
      (section, change, shards) =>
        section.within(shards[1]!, () => {
          change(1);
          throw error;
        }),
      (section, _change, shards) =>
        section.within(shards[1]!, () => {
          shards[1]!.rearranges();
          throw error;
        }),
      (section, _change, shards) => {
        section.serve = () => {
          throw error;
        };
        section.within(shards[1]!, () => {
          shards[1]!.rearranges();
          section.addReady(shards[1]!, 11 as Ref);
        });
      },
      (section, change, shards) => {
        section.onDataChange = () => {
          throw error;
        };
        section.within(shards[1]!, () => change(1));
      },
      (section, _change, shards) =>
        section.within(shards[1]!, () => {
          throw new BrokenInvariant("broken");
        }),
    ];
    for (const run of cases) {
      const { shards, section, change, held } = setup();
      expect(() => run(section, change, shards)).toThrow(FatalError);
      expect(held()).toEqual([1]);
    }
  });
});

test("no other code takes the locks of shards", async () => {
  const importers: string[] = [];
  const callers: string[] = [];
  for (const path of new Bun.Glob("**/*.ts").scanSync("src")) {
    const text = await Bun.file(`src/${path}`).text();
    const imported = /import \{([^}]*)\} from "[^"]*memory\/lock\.ts"|import \{([^}]*)\} from "\.\/lock\.ts"/.exec(
      text,
    );
    if (imported !== null && /lock|Lock/.test(imported[1] ?? imported[2]!)) importers.push(path);
    if (/\.(tryLock|spinLock|sleepLock|unlock)\(/.test(text)) callers.push(path);
  }
  // Those of src/memory/ are leaf locks of its own structures. The stream of replication, channels.ts and script-state.ts
  // have leaf locks too; the section takes the lock of scripts beside the shards'.
  expect(importers.filter((path) => !path.startsWith("memory/")).sort()).toEqual([
    "persistence/aof-share.ts",
    "replication/state.ts",
    "replication/stream.ts",
    "store/channels.ts",
    "store/script-state.ts",
    "store/section.ts",
    "store/shard.ts",
  ]);
  expect(callers).toEqual(["store/section.ts"]);
});
