/**
 * Goal:   connections beyond the rate wait in their order, and none is forgotten; administrators have places of their own.
 * Method: the admission over a held clock, looked at by hand.
 */
import { describe, expect, test } from "bun:test";
import { HeldClock } from "../../src/base/clock.ts";
import { Config, FROM_RUNTIME } from "../../src/base/config/config.ts";
import { Admission, type Arrival } from "../../src/server/admission.ts";

const WORKERS = 2;

class Arriving implements Arrival {
  isClosed = false;
  isHeld = false;
  constructor(
    readonly number: number,
    private readonly served: number[],
  ) {}
  hold(): void {
    this.isHeld = true;
  }
  serve(): void {
    this.served.push(this.number);
  }
}

/** An admission with a rate for each of two workers, and what it has served. */
function admission(perWorker: number) {
  const config = new Config("", { memoryBytes: 1 << 30, cgroupMemoryBytes: 0, cpus: 2 });
  const setRate = (rate: number) => config.place("server.accept_rate", rate * WORKERS, FROM_RUNTIME);
  setRate(perWorker);
  const clock = new HeldClock(0);
  const one = new Admission(config, WORKERS, clock);
  const served: number[] = [];
  const arrive = (number: number): Arriving => {
    const arriving = new Arriving(number, served);
    one.admit(arriving);
    return arriving;
  };
  return { one, clock, served, arrive, setRate };
}

describe("rate", () => {
  test("without a rate everything is served at once", () => {
    const { one, served, arrive } = admission(0);
    for (let n = 0; n < 1000; n++) arrive(n);
    expect([served.length, one.delayed]).toEqual([1000, 0]);
  });

  test("those beyond it wait in their order, and new ones wait behind them", () => {
    const { one, clock, served, arrive } = admission(100);
    clock.advance(1000);
    // A tenth of a second's worth at once.
    for (let n = 0; n < 30; n++) arrive(n);
    expect([served.length, one.delayed]).toEqual([10, 20]);
    clock.advance(50);
    one.look();
    expect(served.length).toBe(15);
    arrive(30);
    clock.advance(1000);
    one.look();
    expect(served.length).toBe(25);
    clock.advance(100);
    one.look();
    expect(served).toEqual(Array.from({ length: 31 }, (_, n) => n));
    clock.advance(100);
    expect(arrive(31).isHeld).toBe(false);
  });

  test("one that has gone takes no turn", () => {
    const { one, clock, served, arrive } = admission(10);
    arrive(0);
    const gone = [arrive(1), arrive(2)];
    arrive(3);
    for (const each of gone) each.isClosed = true;
    clock.advance(100);
    one.look();
    expect(served).toEqual([0, 3]);
  });

  test("a rate that is taken away serves all, and one that comes back counts from then on", () => {
    const { one, clock, served, arrive, setRate } = admission(1);
    for (let n = 0; n < 20; n++) arrive(n);
    expect(served.length).toBe(1);
    setRate(0);
    one.look();
    expect(served.length).toBe(20);
    setRate(1);
    clock.advance(1);
    for (let n = 20; n < 30; n++) arrive(n);
    expect(served.length).toBeLessThanOrEqual(21);
  });
});

describe("places", () => {
  test("beyond maxclients only administrators have some, up to admin_clients", () => {
    const { one } = admission(0);
    const has = (connected: number, isAdmin: boolean) => one.hasPlace(connected, 10, isAdmin);
    expect([has(9, false), has(10, false), has(10, true), has(25, true), has(26, true)]).toEqual([
      true,
      false,
      true,
      true,
      false,
    ]);
  });
});
