/**
 * Goal:   an exception while one connection is written closes that connection and no other. The others get each reply
 *         once, and every pin is released. Replies that wait for the disk leave behind the sync, and the gate learns
 *         whether somebody else would wait for it.
 * Method: a turn over outlets of the test, one of which throws when it is called; a gate of the test.
 */
import type { Shard } from "../../src/store/shard.ts";
import { describe, expect, test } from "bun:test";
import type { Blocking } from "../../src/dispatch/blocking.ts";
import { type Outlet, type Pinned, Turn } from "../../src/server/turn.ts";

/** A turn without an event loop, the calls it makes ("unpin 3", "failed: broken" ...), and the engine's part of it. */
function turnWithNotes(): { turn: Turn; notes: string[]; work: { monotonicMs: number } } {
  const notes: string[] = [];
  const blocking = { askTurn: () => {}, turn: () => {} } as unknown as Blocking;
  const work = {
    blocking,
    monotonicMs: 0,
    beginTurn: () => {},
    endCommands: () => {},
    hasMessages: false,
    publishSent: () => {},
    unpin: ({ shard }: Pinned) => notes.push(`unpin ${shard.number}`),
  };
  const turn = new Turn(work);
  turn.failed = (thrown) => notes.push(`failed: ${(thrown as Error).message}`);
  return { turn, notes, work };
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
    freeSpan: -2,
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

describe("replies that wait for the disk", () => {
  /** A turn at time `work.monotonicMs` with a gate that notes what it is asked, and syncs at once if `works`. */
  function gated(works: boolean) {
    const { turn, notes, work } = turnWithNotes();
    const gate = {
      durable: 0,
      sync: (position: number, isAlone: boolean) => {
        notes.push(`sync ${position}${isAlone ? " alone" : ""}`);
        if (works) gate.durable = position;
      },
      rest: () => true,
      work: () => {},
    };
    turn.setGate(gate);
    const names = new Map<string, Outlet>();
    const outletOf = (name: string): Outlet => {
      if (!names.has(name)) names.set(name, outlet(name, notes));
      return names.get(name)!;
    };
    /** One turn in which outlets get replies, each with its position. */
    const run = (...replies: [name: string, position: number][]): string[] => {
      notes.length = 0;
      turn.enter();
      for (const [name, position] of replies) {
        turn.noteReply(outletOf(name), position);
        turn.gather(outletOf(name), Buffer.from(`${position}`), `${position}`.length, position);
      }
      turn.leave();
      return [...notes];
    };
    return { turn, gate, run, work, outletOf };
  }

  test("are synced before they leave, and the gate is open then", () => {
    const { turn, run } = gated(true);
    expect(run(["a", 10], ["b", 12])).toEqual(["sync 12 alone", "a 10", "b 12"]);
    expect(turn.released).toBe(12);
    expect(run(["a", 12])).toEqual(["a 12"]);
  });

  test("the gate is not asked for what is durable already", () => {
    const { gate, run, turn } = gated(false);
    gate.durable = 20;
    expect(run(["a", 15])).toEqual(["a 15"]);
    expect(turn.released).toBe(20);
  });

  test("a connection that reads without waiting makes others' syncs not alone, for a while", () => {
    const { run, work } = gated(true);
    expect(run(["reader", 0])).toEqual(["reader 0"]);
    expect(run(["writer", 1])).toContain("sync 1");
    work.monotonicMs = 60;
    expect(run(["writer", 2])).toContain("sync 2");
    work.monotonicMs = 110;
    expect(run(["writer", 3])).toContain("sync 3 alone");
  });

  test("a connection that reads and writes is alone with its own writes", () => {
    const { run } = gated(true);
    for (let n = 1; n < 5; n++) {
      run(["a", 0]);
      expect(run(["a", n])).toContain(`sync ${n} alone`);
    }
    run(["b", 0]);
    expect(run(["a", 5])).toContain("sync 5");
    expect(run(["a", 6], ["b", 7])).toContain("sync 7 alone");
  });

  test("an outlet that the gate holds back waits too", () => {
    const { run, turn, outletOf } = gated(false);
    run(["b", 0]);
    expect(run(["a", 1])).toContain("sync 1");
    turn.hold(outletOf("b"), 0);
    expect(run(["a", 2])).toContain("sync 2 alone");
    turn.release(2);
    expect(run(["a", 3])).toContain("sync 3");
  });
});
