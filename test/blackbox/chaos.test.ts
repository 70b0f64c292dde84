/**
 * Goal:   a server survives clients that do everything clients can do: no invariant is broken, no value is torn, no client
 *         waits for ever, and afterwards all clients, locks, keys and memory are released.
 * Method: test/support/chaos.ts for ten seconds, with a fixed seed per number of shards, against three workers with
 *         FERRITE_CHECKS=1. The long form is bench/chaos.ts. The last test proves that the values reveal a fault.
 */
import { expect, test } from "bun:test";
import { Chaos, CHAOS_SETTINGS } from "../support/chaos.ts";
import { item, unsound } from "../support/chaos-values.ts";
import { startFerrite } from "../support/servers.ts";

const RUN_MS = 10_000;
const TIMEOUT_MS = 240_000;

test(
  "twelve clients, three workers, ten seconds",
  async () => {
    const server = await startFerrite({ workers: 3, env: { FERRITE_CHECKS: "1" }, settings: CHAOS_SETTINGS });
    try {
      const chaos = new Chaos({ server, seed: 1, clients: 12, milliseconds: RUN_MS, checkEveryMs: 3000 });
      const { faults, commands, history } = await chaos.run();
      if (faults.length > 0) {
        const texts = faults.map(({ kind, text }) => `${kind}: ${text}`);
        throw new Error(`${texts.join("\n")}\n\n${history.slice(-40).join("\n")}`);
      }
      expect(commands).toBeGreaterThan(0);
    } finally {
      const status = await server.stop();
      expect(status).toEqual({ code: 0, signal: null });
    }
  },
  TIMEOUT_MS,
);

test("a torn or foreign value is noticed", () => {
  const bulk = (value: string) => ({ type: "bulk", value }) as const;
  const array = (...values: string[]) => ({ type: "array", value: values.map(bulk) }) as const;
  const read = { args: ["GET", "v:string:0"] };
  for (const length of [0, 9, 10, 11, 1000]) expect(unsound(bulk(item(17, length)), read)).toBeNull();
  expect(unsound(bulk(item(17, 1000).slice(0, 999)), read)).not.toBeNull();
  expect(unsound(bulk(item(17, 1000).replace("17,17,17", "17,18,17")), read)).not.toBeNull();
  expect(unsound(bulk("#17"), read)).not.toBeNull();
  expect(unsound(bulk("0123456789abcdef0123456789abcde"), read)).not.toBeNull();
  expect(unsound(array("f17", item(17, 30)), read)).toBeNull();
  expect(unsound(array("f18", item(17, 30)), read)).not.toBeNull();
  expect(unsound(array(item(17, 30), "17"), { ...read, withScores: true })).toBeNull();
  expect(unsound(array(item(17, 30), "18"), { ...read, withScores: true })).not.toBeNull();
});
