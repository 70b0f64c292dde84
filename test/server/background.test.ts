/**
 * Goal:   a thread without anything to do has a round a second, and the usual ones again as soon as there is something: a turn,
 *         changed keys of another worker.
 * Method: stubs of what a round looks at, and timers that the test fires.
 */
import { expect, test } from "bun:test";
import { HeldClock } from "../../src/base/clock.ts";
import { Background, type BackgroundHost, REST_MS } from "../../src/server/background.ts";
import { Cell, type Cells } from "../../src/server/cells.ts";
import type { Engine } from "../../src/server/engine.ts";
import { Pace } from "../../src/server/pace.ts";
import type { Services } from "../../src/server/services.ts";
import { WorkerFigures } from "../../src/server/worker-figures.ts";

const INTERVAL_MS = 100;
const WORKERS = 2;

/** Timers that run when the test says so. */
class Timers {
  readonly all = new Set<{ ms: number; work: () => void }>();
  readonly every = (ms: number, work: () => void): (() => void) => {
    const timer = { ms, work };
    this.all.add(timer);
    return () => this.all.delete(timer);
  };
  get intervals(): number[] {
    return [...this.all].map(({ ms }) => ms);
  }
  fire(): void {
    for (const { work } of [...this.all]) work();
  }
  /** Fires for as long as a worker must be quiet before it rests. */
  fireForRest(): void {
    for (let n = 0; n < REST_MS / INTERVAL_MS; n++) this.fire();
  }
}

/** Of each worker: whether it rests. */
const resting: number[] = [];

function makeWorker(worker: number) {
  const timers = new Timers();
  const engine = {
    worker,
    hadTurn: false,
    onTurn: null as (() => void) | null,
    isQuiet: true,
    isMore: false,
    turn: { touch: () => {} },
    maintain: () => engine.isMore,
    mayRest: () => engine.isQuiet,
    publishCounters: () => {},
    store: { changes: 0, arena: { control: { i32: new Int32Array(1 << 16) } } },
    cells: {
      set: (_: Cell, value: number) => {
        resting[worker] = value;
      },
      of: (of: number, cell: Cell) => (cell === Cell.isResting ? resting[of]! : 0),
    },
  };
  resting[worker] = 0;
  const nothing = (): void => {};
  const state = { woken: [] as number[], awoke: 0, shakesHands: false, isSettled: true };
  const host = {
    ...{ worker, workers: WORKERS, every: timers.every },
    engine: engine as unknown as Engine,
    config: { number: (name: string) => (name === "server.client_timeout" ? 0 : INTERVAL_MS), onChange: nothing },
    clock: { monotonicMs: () => 0 },
    logs: { tick: nothing },
    services: { tick: nothing },
    figures: { begin: nothing, publish: nothing },
    round: { look: nothing },
    collector: {
      endRound: nothing,
      get isSettled() {
        return state.isSettled;
      },
    },
    isQuiet: () => false,
    lookAtHandshakes: () => state.shakesHands,
    wakeOne: (to: number) => void state.woken.push(to),
    awoke: () => void state.awoke++,
    guard: (work: () => void) => work(),
  };
  const background = new Background(host as unknown as BackgroundHost);
  background.begin();
  return { timers, engine, state, background };
}

test("a worker rests while nothing is to be done, and a turn wakes it", () => {
  const { timers, engine, state } = makeWorker(0);
  timers.fire();
  engine.hadTurn = true;
  timers.fireForRest();
  expect(timers.intervals).toEqual([INTERVAL_MS]);
  timers.fire();
  expect(timers.intervals).toEqual([REST_MS]);
  expect(resting[0]).toBe(1);
  timers.fire();
  expect(timers.intervals).toEqual([REST_MS]);
  expect(state.awoke).toBe(0);
  engine.onTurn!();
  expect(timers.intervals).toEqual([INTERVAL_MS]);
  expect(engine.onTurn).toBeNull();
  expect([resting[0], state.awoke]).toEqual([0, 1]);
});

test("a worker does not rest while something is due, or a connection shakes hands, or garbage waits", () => {
  const { timers, engine, state } = makeWorker(0);
  const changes: [() => void, () => void][] = [
    [() => (engine.isQuiet = false), () => (engine.isQuiet = true)],
    [() => (state.shakesHands = true), () => (state.shakesHands = false)],
    [() => (state.isSettled = false), () => (state.isSettled = true)],
  ];
  for (const [begin, end] of changes) {
    begin();
    timers.fireForRest();
    expect(timers.intervals).toEqual([INTERVAL_MS]);
    end();
    timers.fireForRest();
    expect(timers.intervals).toEqual([REST_MS]);
    engine.onTurn!();
  }
  engine.isMore = true;
  timers.fireForRest();
  expect(timers.intervals).toEqual([INTERVAL_MS]);
});

test("a worker that has changed keys wakes those that rest, once for all changes of a round", () => {
  const first = makeWorker(0);
  const second = makeWorker(1);
  second.timers.fireForRest();
  expect(resting).toEqual([0, 1]);
  first.engine.hadTurn = true;
  first.timers.fire();
  expect(first.state.woken).toEqual([]);
  first.engine.store.changes = 7;
  first.timers.fire();
  expect(first.state.woken).toEqual([1]);
  first.timers.fire();
  expect(first.state.woken).toEqual([1]);
});

test("the main thread rests with all workers, does everything once a second then, and awakes with one", () => {
  const timers = new Timers();
  const states = [1, 0];
  const pace = new Pace({ of: (worker: number) => states[worker]! } as unknown as Cells, WORKERS, timers.every);
  let done = 0;
  pace.every(20, () => done++);
  timers.fire();
  expect(timers.intervals).toHaveLength(2);
  states[1] = 1;
  timers.fire();
  expect(timers.intervals).toEqual([REST_MS]);
  done = 0;
  timers.fire();
  expect(done).toBe(1);
  pace.awake();
  expect(timers.intervals).toHaveLength(2);
  expect(timers.intervals).toContain(20);
  pace.awake();
  expect(timers.intervals).toHaveLength(2);
});

test("a worker that awakes is not behind: its last look was long ago because it rested", () => {
  const clock = new HeldClock(5_000_000, 10);
  const set = new Map<number, number>();
  const engine = { cells: { set: (cell: Cell, value: number) => set.set(cell, value) } };
  const figures = new WorkerFigures(engine as unknown as Engine, {} as Services, clock);
  clock.advance(900);
  figures.begin();
  expect(set.get(Cell.loopLookedMs)).toBe(5_000_900);
});
