/**
 * Goal:   failed logins make an address wait, longer each time; they are forgotten; other addresses and known logins are free.
 * Method: the guard over a control block, with times given.
 */
import { describe, expect, test } from "bun:test";
import { LoginGuard, networkOf, REFUSED } from "../../src/acl/login-guard.ts";
import { testEngine } from "../support/engine.ts";

const MOST_MS = 2000;
const T0 = 1_800_000_000_000;

function guard(): LoginGuard {
  return new LoginGuard(testEngine().memory.control);
}

describe("login guard", () => {
  test("five failures are free, then the wait doubles up to the limit", () => {
    const one = guard();
    const waits: number[] = [];
    for (let n = 0; n < 14; n++) {
      // The queue of the attempt before is empty by then.
      const now = T0 + n * 500;
      waits.push(one.admit("10.0.0.1:1", now, MOST_MS));
      one.failed(`10.0.0.1:${n}`, now);
    }
    expect(waits.slice(0, 5)).toEqual([0, 0, 0, 0, 0]);
    for (let n = 6; n < 13; n++) expect([waits[n]!, waits[n]! >= waits[n - 1]!]).toEqual([waits[n]!, true]);
    expect(waits[5]! <= 20).toBe(true);
    expect(waits.at(-1)).toBe(MOST_MS);
    expect(one.admit("10.0.0.2:1", T0 + 7000, MOST_MS)).toBe(0);
    expect(one.admit("10.0.0.1:1", T0 + 7000, 0)).toBe(0);
  });

  test("attempts at the same time wait one after the other, and too many are refused", () => {
    const one = guard();
    for (let n = 0; n < 40; n++) one.failed("10.0.0.1:1", T0);
    const waits: number[] = [];
    for (let n = 0; n < 100; n++) waits.push(one.admit("10.0.0.1:1", T0, MOST_MS));
    expect(waits[0]).toBe(MOST_MS);
    // A wait adds an eighth of itself to those behind it.
    expect(waits[20]).toBe((20 * MOST_MS) / 8);
    expect(waits.filter((wait) => wait === REFUSED).length).toBe(100 - 41);
    expect(one.admit("10.0.0.1:1", T0 + 5 * 60_000, MOST_MS)).toBe(0);
  });

  test("two guards over one block are two workers with the same counts", () => {
    const { control } = testEngine().memory;
    const [a, b] = [new LoginGuard(control), new LoginGuard(control)];
    for (let n = 0; n < 10; n++) a.failed("10.0.0.1:1", T0);
    expect(b.admit("10.0.0.1:2", T0, MOST_MS)).toBeGreaterThan(0);
    a.succeeded("10.0.0.1:1", "app", "hash");
    expect([a.isKnown("10.0.0.1:9", "app", "hash"), a.isKnown("10.0.0.1:9", "app", "other")]).toEqual([true, false]);
    expect(a.isKnown("10.0.0.2:1", "app", "hash")).toBe(false);
  });

  test.each([
    ["10.0.0.1:6379", "10.0.0.1"],
    ["[::1]:5", "0:0:0:0"],
    ["[2001:db8:1:2:3:4:5:6]:5", "2001:db8:1:2"],
    ["[2001:db8::6]:5", "2001:db8:0:0"],
    ["[::ffff:10.0.0.1]:5", "10.0.0.1"],
  ])("the owner of %s is %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
