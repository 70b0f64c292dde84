/**
 * Goal:   each client is looked at once a round, whoever comes and goes meanwhile; what was largest is told, and forgotten.
 * Method: made clients that count the looks.
 */
import { expect, test } from "bun:test";
import { Cell } from "../../src/server/cells.ts";
import type { Client } from "../../src/server/client.ts";
import { ClientRound } from "../../src/server/client-round.ts";
import { testEngine } from "../support/engine.ts";

interface Made {
  looks: number;
  inputBytes: number;
  memoryBytes: number;
  noEvict: boolean;
  activeMs: number;
  isTerminated: boolean;
}

function made(change: Partial<Made> = {}): { of: Made; client: Client } {
  const of: Made = {
    looks: 0,
    inputBytes: 0,
    memoryBytes: 2048,
    noEvict: false,
    activeMs: 0,
    isTerminated: false,
    ...change,
  };
  const client = {
    isClosed: false,
    isWaiting: false,
    isPaused: false,
    session: { noEvict: of.noEvict, activeMs: of.activeMs, monitors: false, isReplica: false, subscriptions: null },
    input: { bytes: of.inputBytes },
    output: { bytes: 0, heldBytes: 0 },
    memoryBytes: of.memoryBytes,
    countMemory: () => of.looks++,
    transport: {
      terminate: () => {
        of.isTerminated = true;
      },
    },
  };
  return { of, client: client as unknown as Client };
}

function rounds(count: number) {
  const all = Array.from({ length: count }, () => made());
  const clients = new Map(all.map(({ client }, i) => [i, client]));
  const { cells } = testEngine().engine;
  return { all, clients, cells, round: new ClientRound(clients, cells) };
}

test("a thousand clients are seen in slices, each once a round", () => {
  const { all, round } = rounds(1000);
  for (let n = 0; n < 3; n++) round.look(0.25, 0, -Infinity);
  expect(all.filter(({ of }) => of.looks === 1).length).toBe(750);
  for (let n = 0; n < 2; n++) round.look(0.25, 0, -Infinity);
  expect(all.every(({ of }) => of.looks === 1)).toBe(true);
  round.look(0.25, 0, -Infinity);
  expect(all.filter(({ of }) => of.looks === 2).length).toBe(250);
});

test("few clients are all seen every time", () => {
  const { all, round } = rounds(150);
  for (let n = 0; n < 4; n++) round.look(0.1, 0, -Infinity);
  expect(all.every(({ of }) => of.looks === 4)).toBe(true);
});

test("those that come and go during a round are seen, or not, and nobody is seen twice", () => {
  const { all, clients, round } = rounds(1000);
  round.look(0.3, 0, -Infinity);
  for (let n = 0; n < 200; n++) clients.delete(n * 5);
  const late = made();
  clients.set(5000, late.client);
  for (let n = 0; n < 3; n++) round.look(0.3, 0, -Infinity);
  expect(late.of.looks).toBe(1);
  expect(all.filter((_, n) => n % 5 !== 0).every(({ of }) => of.looks === 1)).toBe(true);
});

test("the largest buffer and the largest client are told at once, and forgotten with the round after theirs", () => {
  const { clients, cells, round } = rounds(1000);
  clients.set(-1, made({ inputBytes: 500, memoryBytes: 1 << 20 }).client);
  clients.set(-2, made({ memoryBytes: 1 << 24, noEvict: true }).client);
  for (let n = 0; n < 5; n++) round.look(0.2, 0, -Infinity);
  expect([cells.get(Cell.maxInputBuffer), cells.get(Cell.largestClient)]).toEqual([500, 21]);
  clients.delete(-1);
  for (let n = 0; n < 12; n++) round.look(0.2, 0, -Infinity);
  expect([cells.get(Cell.maxInputBuffer), cells.get(Cell.largestClient)]).toEqual([0, 12]);
});

test("a client that has been idle for too long is closed", () => {
  const { clients, round } = rounds(10);
  const [busy, idle] = [made({ activeMs: 2000 }), made({ activeMs: 999 })];
  clients.set(100, busy.client);
  clients.set(101, idle.client);
  round.look(1, 3000, -Infinity);
  expect([busy.of.isTerminated, idle.of.isTerminated]).toEqual([false, false]);
  round.look(1, 3000, 1000);
  expect([busy.of.isTerminated, idle.of.isTerminated]).toEqual([false, true]);
});
