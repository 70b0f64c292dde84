/**
 * Goal:   an exception while one connection is written closes that connection and no other. The others get each reply
 *         once, and every pin is released.
 * Method: a turn over outlets of the test, one of which throws when it is called.
 */
import type { Shard } from "../../src/store/shard.ts";
import { describe, expect, test } from "bun:test";
import type { Blocking } from "../../src/dispatch/blocking.ts";
import { type Outlet, type Pinned, Turn } from "../../src/server/turn.ts";

/** A turn without an event loop, and the calls it makes: "unpin 3", "failed: broken" ... */
function turnWithNotes(): { turn: Turn; notes: string[] } {
  const notes: string[] = [];
  const blocking = { askTurn: () => {}, turn: () => {} } as unknown as Blocking;
  const turn = new Turn({
    blocking,
    beginTurn: () => {},
    endCommands: () => {},
    publishSent: () => {},
    unpin: ({ shard }: Pinned) => notes.push(`unpin ${shard.number}`),
  });
  turn.failed = (thrown) => notes.push(`failed: ${(thrown as Error).message}`);
  return { turn, notes };
}

function outlet(name: string, notes: string[], throwsIn: keyof Outlet | "" = ""): Outlet {
  const note = (what: keyof Outlet, text: string): void => {
    if (what === throwsIn) throw new Error("broken");
    notes.push(`${name} ${text}`);
  };
  return {
    sendGathered: (bytes, at, length) => note("sendGathered", bytes.toString("latin1", at, at + length)),
    send: () => note("send", "send"),
    released: () => note("released", "released"),
    drop: () => note("drop", "drop"),
  };
}

describe("a connection that throws at the end of a turn", () => {
  for (const throwsIn of ["sendGathered", "send", "drop"] as const) {
    test(throwsIn, () => {
      const { turn, notes } = turnWithNotes();
      const outlets = [outlet("a", notes), outlet("b", notes, throwsIn), outlet("c", notes)];
      turn.enter();
      for (const each of outlets) {
        if (throwsIn === "sendGathered") turn.gather(each, Buffer.from("+OK"), 3, 0);
        else if (throwsIn === "send") turn.scheduleSend(each);
        else turn.scheduleDrop(each);
      }
      turn.unpin({ shard: { number: 7 } as Shard, pin: 1 });
      turn.leave();
      const done = { sendGathered: "+OK", send: "send", drop: "drop" }[throwsIn];
      const isDropped = throwsIn !== "drop";
      expect(notes).toEqual([`a ${done}`, `c ${done}`, ...(isDropped ? ["b drop"] : []), "unpin 7", "failed: broken"]);
      turn.touch();
      expect(notes.length).toBe(isDropped ? 5 : 4);
    });
  }
});

test("a turn whose beginning throws ends all the same, and the next one works", () => {
  const { turn, notes } = turnWithNotes();
  const work = turn["work"];
  const due: (() => void)[] = [];
  turn.later = (end) => due.push(end);
  let throws = true;
  work.beginTurn = () => {
    if (throws) throw new Error("broken");
  };
  expect(() => turn.enter()).toThrow("broken");
  throws = false;
  for (const end of due.splice(0)) end();
  const a = outlet("a", notes);
  turn.enter();
  turn.gather(a, Buffer.from("+OK"), 3, 0);
  turn.leave();
  for (const end of due.splice(0)) end();
  expect(notes).toEqual(["a +OK"]);
});

test("pushes to many connections take several turns; replies do not wait for them", () => {
  const { turn, notes } = turnWithNotes();
  const turns: (() => void)[] = [];
  turn.later = (work) => turns.push(work);
  turn.enter();
  for (let n = 0; n < 600; n++) turn.schedulePush(outlet(`subscriber ${n}`, notes));
  turn.scheduleSend(outlet("client", notes));
  turn.leave();
  const sent: string[][] = [];
  while (turns.length > 0) {
    turns.shift()!();
    turn.scheduleSend(outlet("another", notes));
    sent.push(notes.splice(0));
    if (sent.length === 3) break;
  }
  expect(sent.map(([first]) => first)).toEqual(["client send", "another send", "another send"]);
  expect(sent.map((all) => all.length)).toEqual([257, 257, 89]);
  expect(sent.flatMap((all) => all.slice(1))).toEqual(Array.from({ length: 600 }, (_, n) => `subscriber ${n} send`));
});
