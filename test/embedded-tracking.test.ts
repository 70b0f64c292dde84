/**
 * Goal:   clients of one embedded Ferrite are told of each other's changes (CLIENT TRACKING), through `onPush`.
 * Method: in process with a held clock.
 */
import { expect, test } from "bun:test";
import { HeldClock } from "../src/base/clock.ts";
import { type EmbeddedClient, Ferrite, type Value } from "../src/embedded/index.ts";

function open() {
  const clock = new HeldClock(1_800_000_000_000, 1000);
  return { db: Ferrite.open({ maxMemory: 64 << 20, clock }), clock };
}

/** A client that tracks, and what it is told. */
function tracking(db: Ferrite, ...options: string[]): { client: EmbeddedClient; told: Value[][] } {
  const client = db.client();
  const told: Value[][] = [];
  client.onPush = (push) => told.push(push);
  client.call("HELLO", 3);
  expect(client.call("CLIENT", "TRACKING", "on", ...options)).toBe("OK");
  return { client, told };
}

test("a change of another client is told within its call, an own one with the reply", () => {
  const { db } = open();
  const { client, told } = tracking(db);
  const writer = db.client();
  expect(client.call("GET", "k")).toBeNull();
  writer.call("SET", "k", "1");
  expect(told).toEqual([["invalidate", ["k"]]]);
  expect(client.call("GET", "k")).toBe("1");
  expect(client.call("SET", "k", "2")).toBe("OK");
  writer.call("SET", "k", "3");
  writer.call("FLUSHALL");
  expect(told.slice(1)).toEqual([
    ["invalidate", ["k"]],
    ["invalidate", null],
  ]);
});

test("a key that expires in a tick is told", () => {
  const { db, clock } = open();
  const { client, told } = tracking(db);
  client.call("SET", "k", "1", "PX", 100);
  client.call("GET", "k");
  clock.advance(200);
  db.tick(10);
  expect(told).toEqual([["invalidate", ["k"]]]);
  expect(client.call("PING")).toBe("PONG");
});

test("prefixes and redirection", () => {
  const { db } = open();
  const receiver = tracking(db, "BCAST", "PREFIX", "a");
  const reader = db.client();
  const id = receiver.client.call("CLIENT", "ID") as number;
  expect(reader.call("CLIENT", "TRACKING", "on", "REDIRECT", id)).toBe("OK");
  reader.call("GET", "b");
  const writer = db.client();
  writer.call("MSET", "a2", "1", "b", "1", "a1", "1");
  expect(receiver.told).toEqual([
    ["invalidate", ["b"]],
    ["invalidate", ["a1", "a2"]],
  ]);
  receiver.client.close();
  expect(() => reader.call("CLIENT", "TRACKING", "on", "REDIRECT", id)).toThrow("does not exist");
});

test("what is pushed without onPush is among the bytes of the next request", () => {
  const { db } = open();
  const client = db.client();
  client.call("HELLO", 3);
  client.call("CLIENT", "TRACKING", "on");
  client.call("GET", "k");
  db.client().call("SET", "k", "1");
  expect(client.send(Buffer.from("PING\r\n")).toString()).toBe(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n+PONG\r\n");
});

test("a callback may use the client that it is told of", () => {
  const { db } = open();
  const client = db.client();
  const seen: Value[] = [];
  client.call("HELLO", 3);
  client.call("CLIENT", "TRACKING", "on");
  client.onPush = () => seen.push(client.call("GET", "k"));
  client.call("GET", "k");
  const writer = db.client();
  for (let n = 0; n < 3; n++) writer.call("SET", "k", n);
  expect(seen).toEqual(["0", "1", "2"]);
});
