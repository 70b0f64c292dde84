/**
 * Goal:   when the system refuses memory that max_memory allows, writes that need it get OOM, and all else works.
 * Method: in process; the allocation of the third region throws. A refusal by RLIMIT_AS cannot be had here: shared memory of
 *         the runtime is reserved beforehand.
 */
import { expect, test } from "bun:test";
import { TestEngine } from "../support/engine.ts";

const VALUE = Buffer.alloc(256 << 10, "v");

/** An engine that may have eight regions, and is given two. */
function short(): { engine: TestEngine; asked: () => number; mend: () => void } {
  let given = 0;
  let asked = 0;
  let limit = 2;
  const engine = new TestEngine({
    regions: 8,
    allocate: (bytes) => {
      asked++;
      if (given === limit) throw new RangeError("Out of memory");
      given++;
      return new SharedArrayBuffer(bytes);
    },
  });
  return { engine, asked: () => asked, mend: () => (limit = 8) };
}

/** Writes until a write is refused. Returns the number of keys written, and the refusal. */
function fill(engine: TestEngine): { keys: number; refusal: string } {
  for (let keys = 0; keys < 200; keys++) {
    const reply = engine.client.send("SET", `k${keys}`, VALUE);
    if (reply !== "+OK") return { keys, refusal: reply };
  }
  return { keys: 200, refusal: "" };
}

test("a write that needs a region which the system refuses gets OOM, and reads and deletes work", () => {
  const { engine, asked } = short();
  const { keys, refusal } = fill(engine);
  expect(refusal).toStartWith("-OOM command not allowed");
  expect(keys).toBeGreaterThan(40);
  expect(engine.memory.refusal).toBe("Out of memory");
  const { client } = engine;
  expect(client.send("RPUSH", "list", VALUE)).toStartWith("-OOM");
  expect(client.send("HSET", "hash", "f", VALUE, "g", VALUE)).toStartWith("-OOM");
  expect(client.send("EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", 1, "s", VALUE)).toContain("OOM");
  const replies = ["MULTI", "SET m v", "EXEC"].map((line) => client.send(...line.split(" ")));
  expect(replies).toEqual(["+OK", expect.stringContaining("-OOM"), expect.stringContaining("-EXECABORT")]);
  // The system is asked once, and not again by each write.
  expect(asked()).toBe(3);
  expect(client.send("STRLEN", "k0")).toBe(`:${VALUE.length}`);
  expect(client.send("DBSIZE")).toBe(`:${keys}`);
  for (let key = 0; key < keys; key++) expect(client.send("DEL", `k${key}`)).toBe(":1");
  expect(client.send("SET", "again", VALUE)).toBe("+OK");
});

test("when the limit is set anew, the system is asked again", () => {
  const { engine, mend } = short();
  expect(fill(engine).refusal).toStartWith("-OOM");
  mend();
  expect(engine.client.send("SET", "big", VALUE)).toStartWith("-OOM");
  engine.memory.allowRegions(8);
  expect(engine.client.send("SET", "big", VALUE)).toBe("+OK");
  expect(engine.memory.regionCount).toBe(3);
});
