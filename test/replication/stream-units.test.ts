/**
 * Goal:   the stream of a primary is cut into the units that are applied as a whole, and every byte belongs to one of them.
 * Method: units of all kinds, in packets of random lengths, compared with the list that the stream was made of.
 */
import { describe, expect, test } from "bun:test";
import { encodeRequest } from "../../src/replication/handshake.ts";
import { StreamFailure, StreamUnits, UnitKind } from "../../src/replication/stream-units.ts";
import { SeededRandom } from "../support/random.ts";

/** The units in `packets`, with their kinds. */
function unitsOf(packets: readonly Buffer[]): { text: string; kind: UnitKind }[] {
  const units = new StreamUnits();
  const found: { text: string; kind: UnitKind }[] = [];
  for (const packet of packets) {
    units.push(packet);
    while (units.next()) found.push({ text: units.bytes.toString("latin1", units.from, units.to), kind: units.kind });
  }
  return found;
}

const text = (...words: string[]): string => encodeRequest(words).toString("latin1");

describe("units of the stream", () => {
  const expected = [
    { text: text("SELECT", "0"), kind: UnitKind.Command },
    { text: text("set", "multi", "exec"), kind: UnitKind.Command },
    { text: "\n", kind: UnitKind.Newline },
    {
      text: text("MULTI") + text("SET", "x", "\r\n*1\r\n") + text("incr", "y") + text("exec"),
      kind: UnitKind.Transaction,
    },
    { text: text("ping"), kind: UnitKind.Command },
    { text: text("REPLCONF", "GETACK", "*"), kind: UnitKind.GetAck },
    { text: text("REPLCONF", "other", "*"), kind: UnitKind.Command },
    { text: "\r\n", kind: UnitKind.Newline },
    { text: text("SET", "long", "v".repeat(200_000)), kind: UnitKind.Command },
    { text: text("multi") + text("replconf", "getack", "*") + text("EXEC"), kind: UnitKind.Transaction },
    { text: text("DEL", ""), kind: UnitKind.Command },
  ];
  const stream = Buffer.from(expected.map((unit) => unit.text).join(""), "latin1");

  test("all at once, byte by byte, and in packets of random lengths", () => {
    expect(unitsOf([stream])).toEqual(expected);
    const random = new SeededRandom(5);
    for (const longest of [40, 3000, 70_000]) {
      const packets: Buffer[] = [];
      for (let at = 0; at < stream.length; ) {
        const length = at < 600 && longest === 40 ? 1 : 1 + random.below(longest);
        packets.push(stream.subarray(at, at + length));
        at += length;
      }
      expect(unitsOf(packets)).toEqual(expected);
    }
  });

  test("what is incomplete is no unit, and is forgotten by clear", () => {
    const units = new StreamUnits();
    units.push(Buffer.from(text("MULTI") + text("SET", "a", "1")));
    expect(units.next()).toBe(false);
    expect(units.waitingBytes).toBeGreaterThan(0);
    units.clear();
    expect(units.waitingBytes).toBe(0);
    units.push(Buffer.from(text("SET", "a", "2")));
    expect(units.next()).toBe(true);
    expect(units.kind).toBe(UnitKind.Command);
    expect(units.next()).toBe(false);
  });

  test.each(["+OK\r\n", "*0\r\n", "*-1\r\n", "*1\r\n$-1\r\n", "*1\r\n:1\r\n", "*1x\r\n", `*${"1".repeat(40)}`])(
    "%p is no stream",
    (bytes) => {
      expect(() => unitsOf([Buffer.from(bytes)])).toThrow(StreamFailure);
    },
  );

  test("units that are held keep their place, whatever comes meanwhile", () => {
    const units = new StreamUnits();
    const [first, second] = ["*1\r\n$4\r\nPING\r\n", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"];
    units.push(Buffer.from(first + second));
    expect([units.next(), units.next()]).toEqual([true, true]);
    const { from, to } = units;
    units.isHeld = true;
    units.push(Buffer.alloc(200_000, first));
    expect([units.from, units.to]).toEqual([from, to]);
    expect(units.bytes.toString("latin1", 0, to)).toBe(first + second);
    expect(units.bytesBehind(0)).toBe(first.length + second.length + 200_000);
    units.isHeld = false;
    expect(units.next()).toBe(true);
    units.push(Buffer.from(second));
    expect(units.bytes.toString("latin1", units.from, units.to)).toBe(first);
  });

  test("the buffer of a long command is given up", () => {
    const units = new StreamUnits();
    units.push(Buffer.from(text("SET", "a", "v".repeat(6 << 20))));
    expect(units.next()).toBe(true);
    for (let n = 0; n < 2; n++) {
      units.push(Buffer.from(text("PING")));
      expect(units.next()).toBe(true);
    }
    expect(units.bytes.length).toBeLessThan(1 << 20);
  });
});
