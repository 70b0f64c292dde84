/**
 * Goal:   whatever a socket accepts, a client gets its replies and what is pushed to it in the order in which both came, once
 *         the gate has opened for them, and in few writes.
 * Method: seeded replies, pushes, positions and partial writes; the bytes are compared with those that were queued.
 */
import { expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { Client } from "../../src/server/client.ts";
import { testEngine } from "../support/engine.ts";
import { testSeed } from "../support/random.ts";
import { encodeCommand } from "../support/resp.ts";

function socket() {
  const one = testEngine();
  one.checksEach = false;
  const state = { room: Infinity, writes: 0, text: "" };
  const client: Client = new Client(
    9000,
    one.engine,
    {
      write: (bytes, offset, length) => {
        const taken = Math.min(length, state.room);
        state.room -= taken;
        state.writes++;
        state.text += Buffer.from(bytes.subarray(offset, offset + taken)).toString("latin1");
        return taken;
      },
      end: () => client.disconnected(),
      terminate: () => client.disconnected(),
    },
    one,
  );
  return { one, client, state };
}

test("replies and pushes in order, through a socket that stalls and a gate", () => {
  const random = new Random(testSeed());
  const { one, client, state } = socket();
  const { turn } = one.engine;
  let wanted = "";
  let position = 0;
  for (let step = 0; step < 5000; step++) {
    const what = random.below(10);
    if (what < 4) {
      turn.enter();
      for (let n = random.below(8); n >= 0; n--) {
        const text = `<${step}:${n}${"x".repeat(random.below(20) === 0 ? 70_000 : random.below(50))}>`;
        if (random.below(3) === 0) position++;
        const bytes = Buffer.from(`--${text}--`);
        if (text.length < 1000 && random.below(2) === 0) client.deliverCopy(bytes, 2, text.length, position);
        else client.deliver(bytes.subarray(2, text.length + 2), position);
        wanted += text;
      }
      turn.leave();
    } else if (what < 6) {
      const text = "y".repeat(random.below(30));
      client.receive(encodeCommand(["ECHO", text]));
      wanted += `$${text.length}\r\n${text}\r\n`;
    } else if (what < 8) {
      state.room = random.below(random.below(3) === 0 ? 200_000 : 300);
      client.drained();
    } else {
      turn.release(position - random.below(4));
    }
    // Not each time: the texts are put together anew for it, and come to megabytes.
    if (step % 16 === 0) expect(wanted.startsWith(state.text)).toBe(true);
    if (client.output.bytes > 1 << 20 || step === 4999) {
      turn.release(position);
      state.room = Infinity;
      client.drained();
      expect(state.text).toBe(wanted);
      expect([client.output.bytes, client.output.parts]).toEqual([0, 0]);
      wanted = state.text = "";
    }
  }
});

test("short pushes of one turn leave in one write", () => {
  const { one, client, state } = socket();
  one.engine.turn.enter();
  for (let n = 0; n < 100; n++) client.deliver(Buffer.from(`+${n}\r\n`), 0);
  const copied = Buffer.alloc(50, "x");
  for (let n = 0; n < 300; n++) client.deliverCopy(copied, 0, 50, 0);
  copied.fill("y");
  one.engine.turn.leave();
  expect(state.writes).toBe(1);
  expect(state.text.split("\r\n").length).toBe(101);
  expect(state.text.endsWith("x".repeat(15_000))).toBe(true);
});
