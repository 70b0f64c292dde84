/**
 * Goal:   the rules of critical sections hold at every site that holds shard locks: blocked clients are served before the
 *         locks are released, waiting for locks is bounded per turn, and an exception before the first change releases them.
 * Method: two engines over one memory, in one thread. One engine holds a lock while the other runs. Sleeps are counted, not
 *         timed. Exceptions are thrown inside each site, before its first change and after it.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { Rank } from "../../src/store/eviction.ts";
import { FatalError } from "../../src/store/section.ts";
import { OTHER_WORKER, type TestEngine, testEngine } from "../support/engine.ts";
import { encodeCommand } from "../support/resp.ts";

/** Two engines, and the replies that blocked clients of the first got. */
function pair(): { first: TestEngine; second: TestEngine } {
  const first = testEngine();
  const second = testEngine({ beside: first });
  for (const one of [first, second]) one.letClientsWait();
  second.engine.blocking.send = (worker, served) => {
    expect(worker).toBe(0);
    for (const one of served) first.engine.blocking.receive(one);
  };
  return { first, second };
}

/** Runs turns of both engines, which carry the replies to blocked clients. */
function turns(...engines: TestEngine[]): void {
  for (const { engine } of engines) engine.blocking.turn();
}

/** True when no lock of a shard is held. */
function areFree(one: TestEngine): boolean {
  const { store } = one.engine;
  for (const shard of store.shards) {
    if (shard.isLocked) return false;
  }
  return true;
}

describe("a key that commands without keys change (fault B)", () => {
  const sites: Record<string, (one: TestEngine) => void> = {
    DBSIZE: (one) => {
      one.advance(5000, false);
      one.send("DBSIZE");
    },
    "the expire pass": (one) => {
      one.advance(5000, false);
      one.send("DEBUG", "SLEEP", "0");
    },
    "the background work": (one) => one.advance(5000),
  };
  test.each(Object.keys(sites))(
    "its members expire through %s; the next push of another worker wakes its client",
    (site) => {
      const { first, second } = pair();
      const waiting = first.connect();
      expect(waiting.raw(encodeCommand(["BLPOP", "k", "0"]))).toEqual([]);
      first.send("SADD", "k", "member");
      // DBSIZE looks for due keys only in shards that have keys with deadlines.
      for (let i = 0; i < 32; i++) first.send("SET", `deadline:${i}`, "v", "PX", "3600000");
      expect(first.send("SPEXPIRE", "k", "5", "MEMBERS", "1", "member")).toBe("*[:1]");
      sites[site]!(first);
      expect(areFree(first)).toBe(true);
      turns(first, second);
      expect(second.send("EXISTS", "k")).toBe(":0");
      second.send("RPUSH", "k", "element");
      turns(second, first);
      expect(waiting.raw("").length).toBe(1);
      expect(second.send("EXISTS", "k")).toBe(":0");
    },
  );

  test("DEBUG POPULATE gives it a string; the next push of another worker wakes its client", () => {
    const { first, second } = pair();
    const waiting = first.connect();
    expect(waiting.raw(encodeCommand(["BLPOP", "key:0", "0"]))).toEqual([]);
    expect(first.send("DEBUG", "POPULATE", "1")).toBe("+OK");
    turns(first, second);
    second.send("DEL", "key:0");
    second.send("RPUSH", "key:0", "element");
    turns(second, first);
    expect(waiting.raw("").length).toBe(1);
  });
});

describe("waiting for locks (fault C)", () => {
  const { wait } = Atomics;
  let sleeps = 0;
  afterEach(() => {
    (Atomics as { wait: unknown }).wait = wait;
  });
  /** Counts the sleeps of this thread from here on. */
  function countSleeps(): void {
    sleeps = 0;
    (Atomics as { wait: unknown }).wait = () => {
      sleeps++;
      return "timed-out";
    };
  }
  /** Sleeps (of 1 ms) that a turn may take. */
  const SLEEPS_A_TURN = 3;

  test("50 suspended clients of one held shard sleep no longer in a turn than one does", () => {
    const one = testEngine();
    const { store } = one.engine;
    one.send("SET", "k", "v");
    const { shard } = store.cursor;
    const clients = Array.from({ length: 50 }, () => one.connect());
    shard.tryLock(OTHER_WORKER);
    countSleeps();
    one.engine.turn.enter();
    for (const { client } of clients) client.receive(encodeCommand(["GET", "k"]));
    one.engine.turn.leave();
    expect(sleeps).toBeGreaterThan(0);
    expect(sleeps).toBeLessThanOrEqual(SLEEPS_A_TURN);
    shard.unlock();
    one.runTurns();
    for (const client of clients) expect(client.raw("").length).toBe(1);
  });

  test("a command over all shards waits once, not once for each held lock", () => {
    const one = testEngine({ shards: 16 });
    const { store } = one.engine;
    for (const command of [
      ["FLUSHALL"],
      ["MSET", ..."abcdefghijklmnop".split("").flatMap((key) => [key, "v"])],
      ["DBSIZE"],
    ]) {
      for (const shard of store.shards) shard.tryLock(OTHER_WORKER);
      countSleeps();
      // A thread that sleeps for a lock gets it, and meets the next held one.
      (Atomics as { wait: unknown }).wait = (words: Int32Array, at: number) => {
        sleeps++;
        Atomics.store(words, at, 0);
        return "ok";
      };
      const client = one.connect();
      client.client.receive(encodeCommand(command));
      expect(sleeps).toBeGreaterThan(0);
      expect(sleeps).toBeLessThanOrEqual(SLEEPS_A_TURN);
      (Atomics as { wait: unknown }).wait = wait;
      for (const shard of store.shards) shard.unlock();
      one.runTurns();
      expect(client.raw("").length).toBe(1);
      expect(areFree(one)).toBe(true);
    }
  });
});

describe("an exception at a site that holds locks (fault F)", () => {
  /** A site that holds locks: the method that throws, and the way to reach the site. */
  interface Site {
    /** Makes the data of the site. The engine has the strings `k:0` to `k:99`. */
    readonly prepare?: (one: TestEngine) => void;
    readonly reach: (one: TestEngine) => void;
    /** Object and method, called with the locks held. */
    readonly method: (one: TestEngine) => readonly [object, string];
    /** False when the method only reads, so that its exception after the call leaves nothing changed. */
    readonly changes?: false;
    /** True when the site has changed something before it calls the method. */
    readonly follows?: true;
  }
  /** Names a method so that a renaming reaches it. */
  const on = <T extends object>(owner: T, name: keyof T & string): readonly [object, string] => [owner, name];
  const internals = (one: TestEngine) => one.engine.dispatcher["call"];
  const evicting = (one: TestEngine, rank: Rank = Rank.LeastRecent): void => {
    one.engine.memory.evictor.setPolicy(rank, false, 5);
  };
  const due = (one: TestEngine): void => {
    for (let i = 0; i < 20; i++) one.send("SET", `due:${i}`, "v", "PX", "5");
    one.advance(5000, false);
  };
  const sites: Record<string, Site> = {
    "a command of one key": {
      reach: (one) => one.send("SET", "k:1", "other"),
      method: (one) => on(internals(one).strings, "setWith"),
    },
    "a command of several keys": {
      reach: (one) => one.send("MSET", "k:1", "other", "k:2", "other"),
      method: (one) => on(internals(one).strings, "setWith"),
    },
    "a command over all shards": {
      reach: (one) => one.send("FLUSHALL"),
      method: (one) => on(internals(one).maintenance, "emptyNow"),
      follows: true,
    },
    "the requests of a wait that is over": {
      prepare: (one) => {
        one.letClientsWait();
        // Not yet at the end of this turn.
        one.engine.blocking.scheduleTurn = () => {};
        one.connect().raw(encodeCommand(["BLPOP", "list", "0"]));
        one.send("RPUSH", "list", "element");
      },
      reach: (one) => one.engine.blocking.turn(),
      method: (one) => on(one.engine.blocking.waiters, "remove"),
    },
    "a key that is served later": {
      prepare: (one) => {
        one.letClientsWait();
        one.connect().raw(encodeCommand(["BLPOP", "list", "0"]));
        const key = Buffer.from("list");
        const { store } = one.engine;
        const hashed = store.newKey();
        hashed.load(key, 0, key.length);
        one.engine.blocking["postponed"].push({ shard: store.shardOf(hashed.hashA), db: 0, key, wait: null });
      },
      reach: (one) => one.engine.blocking.turn(),
      method: (one) => on(one.engine.blocking.waiters, "openWaitedKey"),
      follows: true,
    },
    "serving a client": {
      prepare: (one) => {
        one.letClientsWait();
        one.connect().raw(encodeCommand(["BLPOP", "list", "0"]));
      },
      reach: (one) => one.send("RPUSH", "list", "element"),
      method: (one) => [one.engine.blocking as object, "deliver"],
      follows: true,
    },
    "an eviction": {
      prepare: (one) => evicting(one),
      reach: (one) => one.engine.memory.evictor.evictOne(),
      method: (one) => [one.engine.memory.evictor, "evict"],
    },
    "an eviction by chance": {
      prepare: (one) => evicting(one, Rank.Random),
      reach: (one) => one.engine.memory.evictor.evictOne(),
      method: (one) => [one.engine.memory.evictor, "evict"],
    },
    "drawing keys to evict": {
      prepare: (one) => evicting(one),
      reach: (one) => one.engine.memory.evictor.evictOne(),
      method: (one) => on(one.engine.store.index, "sample"),
      changes: false,
    },
    "an eviction that makes room for a record": {
      prepare: (one) => evicting(one),
      reach: (one) => {
        one.engine.store.log.hasRoom = () => false;
        for (const shard of one.engine.store.shards) one.engine.memory.evictor.makeRoom(shard, 4096);
      },
      method: (one) => [one.engine.memory.evictor, "evict"],
    },
    "the garbage of a large collection": {
      prepare: (one) => {
        one.send("SADD", "set", ...Array.from({ length: 20_000 }, (_, i) => `member:${i}`));
        one.send("DEL", "set");
        one.engine.store.garbage.find();
      },
      reach: (one) => one.engine.memory["emptyGarbage"](),
      method: (one) => on(one.engine.store.garbage, "empty"),
    },
    squeezing: {
      prepare: (one) => {
        for (let i = 0; i < 4000; i++) one.send("SET", `dead:${i}`, "v".repeat(500));
        for (let i = 0; i < 4000; i++) if (i % 8 !== 0) one.send("DEL", `dead:${i}`);
      },
      reach: (one) => {
        for (let n = 0; n < 64; n++) internals(one).maintenance.squeeze();
      },
      method: (one) => on(internals(one).maintenance, "cleanStep"),
    },
    "the background work": {
      prepare: due,
      reach: (one) => one.engine.maintain(1, 50),
      method: (one) => on(one.engine.store.wheel, "turn"),
    },
    "the expire pass": {
      prepare: due,
      reach: (one) => one.send("DEBUG", "SLEEP", "0"),
      method: (one) => on(one.engine.store.wheel, "turn"),
    },
    DBSIZE: { prepare: due, reach: (one) => one.send("DBSIZE"), method: (one) => on(one.engine.store, "countKeys") },
    SCAN: {
      prepare: due,
      reach: (one) => one.send("SCAN", "0", "COUNT", "1000"),
      method: (one) => on(one.engine.store, "find"),
    },
    KEYS: {
      reach: (one) => one.send("KEYS", "*"),
      method: (one) => on(one.engine.store.index, "collect"),
      changes: false,
    },
    RANDOMKEY: {
      reach: (one) => one.send("RANDOMKEY"),
      method: (one) => on(one.engine.store.index, "collect"),
      changes: false,
    },
    "DEBUG CHECK": {
      reach: (one) => one.send("DEBUG", "CHECK"),
      method: (one) => on(one.engine.store.log, "check"),
      changes: false,
    },
    "DEBUG DIGEST": {
      reach: (one) => one.send("DEBUG", "DIGEST"),
      method: (one) => on(one.engine.store.index, "collect"),
      changes: false,
    },
    "DEBUG POPULATE": {
      reach: (one) => one.send("DEBUG", "POPULATE", "3"),
      method: (one) => on(internals(one).strings, "setWith"),
    },
    "giving a pin back": {
      prepare: (one) => {
        const { store } = one.engine;
        expect(store.large.pin(store.shards[1]!)).toBe(0);
      },
      reach: (one) => one.engine.unpin({ shard: one.engine.store.shards[1]!, pin: 0 }),
      method: (one) => on(one.engine.store.large, "unpin"),
      follows: true,
    },
  };

  /** Reaches a site whose method throws, at once or after its work. Returns the outcome. */
  function reach(site: Site, isDone: boolean): { one: TestEngine; thrown: unknown } {
    const one = testEngine();
    one.checksEach = false;
    for (let i = 0; i < 100; i++) one.send("SET", `k:${i}`, "v");
    site.prepare?.(one);
    const [owner, name] = site.method(one);
    const methods = owner as Record<string, (...args: unknown[]) => unknown>;
    const original = methods[name]!;
    methods[name] = function (this: unknown, ...args: unknown[]) {
      if (isDone) original.apply(this, args);
      throw new Error("injected");
    };
    let thrown: unknown = null;
    try {
      site.reach(one);
    } catch (error) {
      thrown = error;
    }
    methods[name] = original;
    return { one, thrown };
  }

  const names = Object.keys(sites);
  test.each(names.filter((name) => sites[name]!.follows === undefined))(
    "%s: before the first change the locks are released",
    (name) => {
      const { one, thrown } = reach(sites[name]!, false);
      expect((thrown as Error).message).toBe("injected");
      expect(areFree(one)).toBe(true);
      expect(one.send("DBSIZE")).toMatch(/^:/);
      one.checkNow();
    },
  );

  test.each(names.filter((name) => sites[name]!.follows === true))("%s: between two changes it is fatal", (name) => {
    expect(reach(sites[name]!, false).thrown).toBeInstanceOf(FatalError);
  });

  test.each(names)("%s: after it the process stops, with the locks held", (name) => {
    const site = sites[name]!;
    const { one, thrown } = reach(site, true);
    if (site.changes === false) {
      expect((thrown as Error).message).toBe("injected");
      expect(areFree(one)).toBe(true);
    } else {
      expect(thrown).toBeInstanceOf(FatalError);
      expect(areFree(one)).toBe(false);
    }
  });
});
