/**
 * Goal:   the cursor stays on its record whatever other memory is read, follows the record when it moves, and notices when
 *         another thread has changed or replaced it (CURSOR-1).
 * Method: a store of two regions. A second store over the same memory plays the other thread.
 */
import { type Address, NO_ADDRESS } from "../../src/store/address.ts";
import { describe, expect, test } from "bun:test";
import { KeyEvent } from "../../src/store/key-events.ts";
import { Store } from "../../src/store/store.ts";
import { StringValue } from "../../src/store/string-value.ts";
import { Fixture, START_MS } from "./fixture.ts";

const VALUE = Buffer.from("the value of the key");

/** A store whose key "k" lies in the first region; returns an address that lies in the second. */
function overTwoRegions(): { f: Fixture; far: Address } {
  const f = new Fixture({ regions: 2 });
  f.set("k", VALUE);
  f.memory.grow();
  const filler = Buffer.alloc(60_000, 1);
  for (let i = 0; ; i++) {
    expect(f.set(`filler:${i}`, filler)).toBe(0);
    if (f.store.cursor.region === 1) return { f, far: f.store.cursor.address };
  }
}

describe("a record cursor", () => {
  test("stays on its record while blocks of another region are located", () => {
    const { f, far } = overTwoRegions();
    const { store } = f;
    f.select("k");
    store.find();
    store.segments.locate(store.cursor.shard, far);
    expect(store.segments.m).not.toBe(store.cursor.m);
    expect(f.read()).toEqual(VALUE);
    expect(store.cursor.valueBytes).toBe(VALUE.length);
    store.cursor.check();
  });

  test("changes its record while another region was located last", () => {
    const { f, far } = overTwoRegions();
    const { store } = f;
    f.select("k");
    store.find();
    store.segments.locate(store.cursor.shard, far);
    expect(f.strings.writeAt(4, Buffer.from("other"), 0, 5)).toBe(VALUE.length);
    store.segments.locate(store.cursor.shard, far);
    expect(store.setDeadline(START_MS + 1000)).toBe(0);
    store.cursor.check();
    f.checkAll();
    expect(f.get("k")).toEqual(Buffer.from("the other of the key"));
    expect(store.cursor.deadlineMs).toBe(START_MS + 1000);
  });

  test("follows its record to another region", () => {
    const { f } = overTwoRegions();
    const { store } = f;
    f.select("k");
    store.find();
    expect(store.cursor.region).toBe(0);
    const grown = Buffer.alloc(50_000, 2);
    expect(f.strings.writeAt(0, grown, 0, grown.length)).toBe(grown.length);
    expect(store.cursor.region).toBe(1);
    store.cursor.check();
    expect(f.read()).toEqual(grown);
  });

  test("is on no record after the record was removed", () => {
    const f = new Fixture();
    f.set("k", VALUE);
    f.select("k");
    f.store.find();
    f.store.remove(KeyEvent.Deleted);
    expect(f.store.cursor.address).toBe(NO_ADDRESS);
    expect(() => f.store.cursor.check()).toThrow("a record that is read was found (CURSOR-1)");
  });

  test("notices that its record was removed, or that its place has another key's record", () => {
    const f = new Fixture();
    f.set("k", VALUE);
    f.select("k");
    f.store.find();
    f.store.cursor.check();
    const other = new Store(f.memory.arena, 1);
    other.setTime(START_MS, 1000);
    const key = other.newKey();
    key.load(Buffer.from("k"), 0, 1);
    other.select(0, key);
    other.find();
    other.remove(KeyEvent.Deleted);
    expect(() => f.store.cursor.check()).toThrow("a cursor is on a live record (CURSOR-1)");
    // The next record of its size reuses its place.
    key.load(Buffer.from("l"), 0, 1);
    other.select(0, key);
    expect(other.prepareInsert()).toBe(0);
    other.find();
    expect(new StringValue(other).set(VALUE, 0, VALUE.length, 0)).toBe(0);
    expect(other.cursor.address).toBe(f.store.cursor.address);
    expect(() => f.store.cursor.check()).toThrow("a cursor is on a record of its key (CURSOR-1)");
  });

  test("counts selections, and nothing else", () => {
    const f = new Fixture();
    f.set("k", VALUE);
    f.select("k");
    const { version } = f.store.cursor;
    f.store.find();
    f.strings.writeAt(100, VALUE, 0, VALUE.length);
    f.store.find();
    expect(f.store.cursor.version).toBe(version);
    f.select("k");
    expect(f.store.cursor.version).toBe(version + 1);
  });

  test("cannot be moved from outside the store", () => {
    const { cursor } = new Fixture().store;
    const { w, address } = cursor;
    // @ts-expect-error: the position is read-only
    cursor.w = w;
    // @ts-expect-error: so is the address
    cursor.address = address;
    // @ts-expect-error: only the store may move it
    cursor.leave?.();
  });
});
