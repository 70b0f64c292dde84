/**
 * Goal:   writers are slowed before a replica is dropped for its distance, as much as it takes, and no longer than they may be.
 * Method: a socket that speaks as a replica, with a small limit of its distance. It reads nothing until writers are slowed, and
 *         slowly after that. With the brake it is not dropped, however much is written; without it it is.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { pressureOf, pressureOfTime } from "../../src/server/write-brake.ts";
import { infoField, type Node, startPrimary, stopAll } from "../support/primaries.ts";
import { eventually } from "../support/replication.ts";
import { ask } from "../support/resp.ts";

const TEST_MS = 60_000;
const VALUE = "v".repeat(20_000);
const ROUNDS = 100;
/** Far more than the limit of the distance and what the kernel buffers: 200 KB each. */
const MAX_ROUNDS = 500;
/** What the slow replica reads at a time, and its pause. */
const READ_BYTES = 256 << 10;
const REST_MS = 5;

describe("the pressure of a replica", () => {
  test("grows from half of its limit to nine tenths", () => {
    const limit = 1000;
    expect([0, 499, 500, 700, 900, 2000].map((lag) => pressureOf(lag, limit))).toEqual(
      [0, 0, 0, 0.5, 1, 1].map((x) => expect.closeTo(x, 9)),
    );
    expect([0, 0.25, 0.5, 0.75, 1].map(pressureOfTime)).toEqual([0, 0, 0.5, 1, 1]);
  });
});

describe("a primary with a slow replica", () => {
  let primary: Node;
  beforeAll(async () => {
    primary = await startPrimary({ workers: 2 });
    await ask(primary.client, "CONFIG", "SET", "client-output-buffer-limit", "replica 4mb 0 0");
    await ask(primary.client, "CONFIG", "SET", "repl-backlog-size", "16384");
  }, TEST_MS);
  afterAll(() => stopAll(primary));

  /** Attaches a replica that stops to read at the stream, and reads slowly after `resume`. */
  async function attach(): Promise<{ socket: Socket; isClosed: () => boolean }> {
    const socket = connect(primary.server.port, "127.0.0.1");
    let [text, isClosed, isOnline, read] = ["", false, false, 0];
    socket.on("data", (bytes) => {
      if (!isOnline) text += bytes.toString("latin1");
      read += bytes.length;
      if (!isOnline || read < READ_BYTES) return;
      read = 0;
      socket.pause();
      setTimeout(() => socket.resume(), REST_MS);
    });
    socket.on("close", () => {
      isClosed = true;
    });
    socket.on("error", () => {});
    socket.write("REPLCONF capa eof capa psync2\r\nPSYNC ? -1\r\n");
    await eventually("the snapshot", () => text.includes("$EOF:"));
    socket.write("REPLCONF ACK 0\r\n");
    await eventually("it is online", async () => (await infoField(primary, "slave0")).includes("state=online"));
    isOnline = true;
    socket.pause();
    // One that says nothing may be dead: nobody waits for it.
    const acknowledging = setInterval(() => socket.write("REPLCONF ACK 0\r\n"), 500);
    socket.on("close", () => clearInterval(acknowledging));
    return { socket, isClosed: () => isClosed };
  }

  async function write(rounds: number, until: () => boolean): Promise<void> {
    for (let round = 0; round < rounds && !until(); round++) {
      const batch = Array.from({ length: 10 }, (_, n) => ["SET", `key-${n}`, VALUE]);
      for (const reply of await primary.client.pipeline(batch)) expect(reply.type).toBe("simple");
    }
  }
  const isSlowed = () => primary.server.log().includes("writers are slowed, by up to 1000 ms");

  test(
    "is written to more slowly instead of dropping it",
    async () => {
      await ask(primary.client, "CONFIG", "SET", "replication.max_write_delay_ms", "1000");
      const replica = await attach();
      await write(MAX_ROUNDS, () => replica.isClosed() || isSlowed());
      await eventually("a line in the log", isSlowed);
      replica.socket.resume();
      await write(ROUNDS, replica.isClosed);
      expect(replica.isClosed()).toBe(false);
      expect(await infoField(primary, "connected_slaves")).toBe("1");
      replica.socket.destroy();
      await eventually("it is gone", async () => (await infoField(primary, "connected_slaves")) === "0");
      await eventually("the end is logged", () =>
        /no longer slowed: they were held for [1-9]\d* ms/.test(primary.server.log()),
      );
    },
    TEST_MS,
  );

  test(
    "drops it when writers may not be slowed",
    async () => {
      await ask(primary.client, "CONFIG", "SET", "replication.max_write_delay_ms", "0");
      const replica = await attach();
      await write(MAX_ROUNDS, replica.isClosed);
      await eventually("it is dropped", async () => (await infoField(primary, "connected_slaves")) === "0");
      replica.socket.destroy();
    },
    TEST_MS,
  );
});
