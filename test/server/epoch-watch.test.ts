/**
 * Goal:   metrics tell the memory that waits for readers, and a reader that does not end.
 * Method: in process; a client whose socket takes nothing reads values that are then replaced and deleted. The checkers compare
 *         the bytes of each shard's queues with what is in them whenever they are empty.
 */
import { expect, test } from "bun:test";
import { EpochWatch } from "../../src/server/epoch-watch.ts";
import { StalledClient, testEngine } from "../support/engine.ts";

const MIB = 1 << 20;

test("memory that a reader holds is counted, a reader that holds it for a minute is stalled, and then all is free", () => {
  const engine = testEngine();
  const { client } = engine;
  const watch = new EpochWatch(engine.engine.store.shards);
  client.send("SET", "long", Buffer.alloc(2 * MIB, "v"));
  for (let i = 0; i < 200; i++)
    client.send("RPUSH", "list", ...Array.from({ length: 20 }, () => `element:${i}:`.repeat(20)));
  expect(watch.read(0)).toMatchObject({ waitingShards: 0, waitingBytes: 0, stalledShards: 0 });

  const slow = new StalledClient(engine);
  slow.send("GET", "long");
  slow.send("LRANGE", "list", "0", "-1");
  client.send("SETRANGE", "long", "0", "w");
  const first = watch.read(1000);
  expect(first.pins).toBeGreaterThan(0);
  expect(first.waitingBytes).toBeGreaterThanOrEqual(64 << 10);
  client.send("SET", "long", "short");
  client.send("DEL", "list");
  const held = watch.read(2000);
  expect(held.waitingBytes).toBeGreaterThan(2 * MIB);
  expect(held.waitingShards).toBeGreaterThan(0);
  expect(held.stalledShards).toBe(0);
  expect(watch.read(59_000).stalledShards).toBe(0);
  expect(watch.read(62_000).stalledShards).toBeGreaterThan(0);

  expect(slow.drain()).toContain("element:199:");
  for (let n = 0; n < 100; n++) engine.engine.maintain(1, 10);
  expect(watch.read(70_000)).toMatchObject({ pins: 0, waitingShards: 0, waitingBytes: 0, stalledShards: 0 });
  engine.check();
});
