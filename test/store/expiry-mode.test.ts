/**
 * Goal:   a due key is treated as each of the three expiry modes says, and a write to a hidden key leaves one key, not two.
 * Method: one store with a held clock. The checkers of the shard run after each change.
 */
import { NO_ADDRESS } from "../../src/store/address.ts";
import { keyCount } from "../../src/store/keyspace.ts";
import { INTEREST_NOTIFY } from "../../src/store/shard.ts";
import { describe, expect, test } from "bun:test";
import { ExpiryMode } from "../../src/store/expiry-mode.ts";
import { KeyEvent } from "../../src/store/key-events.ts";
import { TestEngine } from "../support/engine.ts";
import { Fixture, START_MS } from "./fixture.ts";
import { FramePool } from "../../src/memory/frame-pool.ts";
import { Section } from "../../src/store/section.ts";

const TEXT = Buffer.from("text");
const OTHER = Buffer.from("other");

function keysOf(f: Fixture): number {
  return keyCount(f.shard.c, f.shard.keyspace(0));
}

/** A store with the key "k", which is due now, and five others. */
function withDueKey(mode: ExpiryMode): Fixture {
  const f = new Fixture();
  for (const name of ["a", "b", "c", "d", "e"]) f.set(name, TEXT);
  f.set("k", TEXT, START_MS + 10);
  f.tick(10);
  f.store.setExpiryMode(mode);
  return f;
}

describe("a key whose deadline has passed", () => {
  test("is removed when it is looked up, in normal mode", () => {
    const f = withDueKey(ExpiryMode.Normal);
    expect(f.get("k")).toBeNull();
    expect(keysOf(f)).toBe(5);
    expect(f.store.counters.expired).toBe(1);
    f.checkAll();
  });

  test("is hidden but not removed, in paused mode", () => {
    const f = withDueKey(ExpiryMode.Paused);
    expect(f.get("k")).toBeNull();
    expect(keysOf(f)).toBe(6);
    expect(f.store.countKeys(f.shard, 0)).toBe(6);
    expect(f.store.counters.expired).toBe(0);
    f.store.setExpiryMode(ExpiryMode.Normal);
    expect(f.get("k")).toBeNull();
    expect(keysOf(f)).toBe(5);
    f.checkAll();
  });

  test("is still visible in replay mode, because the log removes it", () => {
    const f = withDueKey(ExpiryMode.Replay);
    expect(f.get("k")).toEqual(TEXT);
    f.tick(1000);
    expect(f.get("k")).toEqual(TEXT);
    expect(f.store.countKeys(f.shard, 0)).toBe(6);
    f.settle();
    expect(keysOf(f)).toBe(6);
    f.store.setExpiryMode(ExpiryMode.Normal);
    expect(f.get("k")).toBeNull();
    f.checkAll();
  });
});

describe("a write over a hidden key", () => {
  test("leaves one key without the old deadline", () => {
    const f = withDueKey(ExpiryMode.Paused);
    expect(f.set("k", OTHER)).toBe(0);
    expect(keysOf(f)).toBe(6);
    f.checkAll();
    expect(f.get("k")).toEqual(OTHER);
    expect(f.store.cursor.deadlineMs).toBe(0);
    f.store.remove(KeyEvent.Deleted);
    f.checkAll();
    expect(f.get("k")).toBeNull();
  });

  test("of a key alone in its table leaves one key", () => {
    const f = new Fixture();
    f.set("k", TEXT, START_MS + 10);
    f.tick(10);
    f.store.setExpiryMode(ExpiryMode.Paused);
    expect(f.set("k", OTHER)).toBe(0);
    expect(keysOf(f)).toBe(1);
    f.checkAll();
  });

  test("reports that the old key expired before it reports the new one", () => {
    const f = withDueKey(ExpiryMode.Paused);
    const events: KeyEvent[] = [];
    let removed = 0;
    f.store.hooks.notified = (_shard, _keyspace, event) => events.push(event);
    f.store.hooks.removedByStore = () => removed++;
    f.shard.addInterest(INTEREST_NOTIFY);
    f.set("k", OTHER);
    expect(events).toEqual([KeyEvent.Expired, KeyEvent.Set]);
    expect(removed).toBe(1);
    expect(f.store.counters.expired).toBe(1);
  });

  test("does not confuse an earlier hidden key with the one that is written", () => {
    const f = withDueKey(ExpiryMode.Paused);
    f.select("k");
    expect(f.store.find()).toBe(NO_ADDRESS);
    f.set("z", OTHER);
    f.checkAll();
    expect(keysOf(f)).toBe(7);
    expect(f.get("z")).toEqual(OTHER);
    expect(f.store.counters.expired).toBe(0);
  });
});

test("BLMOVE served during a pause replaces a target that has expired", () => {
  const ended: string[] = [];
  const engine = new TestEngine({
    services: {
      block: () => {},
      endBlock: () => ended.push("served"),
    },
  });
  engine.engine.blocking.usesTimers = false;
  const { store, blocking } = engine.engine;
  const key = store.newKey();
  const shardOf = (name: string) => {
    key.load(Buffer.from(name), 0, name.length);
    return store.shardOf(key.hashA);
  };
  let target = "target";
  while (shardOf(target) === shardOf("source")) target += "x";
  engine.send("RPUSH", target, "old");
  engine.send("PEXPIRE", target, "100");
  const waiting = engine.connect();
  expect(waiting.raw(`BLMOVE source ${target} LEFT LEFT 0\r\n`)).toEqual([]);
  // Another worker holds the target's lock during the push to the source, so serving is postponed.
  const other = new Section(store.shards, 1, new FramePool(engine.memory.arena));
  expect(other.enter(shardOf(target))).toBe(true);
  engine.client.raw("RPUSH source x\r\n");
  expect(ended).toEqual([]);
  other.leave();
  store.setExpiryMode(ExpiryMode.Paused);
  engine.advance(200, false);
  engine.engine.turn.enter();
  blocking.turn();
  blocking.turn();
  engine.engine.turn.leave();
  expect(ended).toEqual(["served"]);
  engine.checkNow();
  expect(engine.send("DBSIZE")).toBe(":1");
  expect(engine.send("LRANGE", target, "0", "-1")).toBe('*["x"]');
});
