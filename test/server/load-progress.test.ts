/**
 * Goal:   while a file is loaded the log has a line a second with the share that is done and the time that is left, and INFO has
 *         the bytes.
 * Method: a progress with times of the test's own.
 */
import { expect, test } from "bun:test";
import { SaveState } from "../../src/persistence/save-state.ts";
import { LoadProgress } from "../../src/server/load-progress.ts";
import { testEngine } from "../support/engine.ts";

test("tells the log once a second, and INFO each time", () => {
  const state = new SaveState(testEngine().engine.store.arena.control);
  const lines: string[] = [];
  const progress = new LoadProgress({ info: (line: string) => void lines.push(line) }, state, 5000);
  progress.note(5000, 0, 4000);
  progress.note(5999, 900, 4000);
  expect(lines).toEqual([]);
  expect([state.get("loadedBytes"), state.get("loadBytes")]).toEqual([900, 4000]);
  progress.note(6000, 1000, 4000);
  progress.note(6500, 1500, 4000);
  progress.note(7000, 2000, 4000);
  expect(lines).toEqual(["loading: 25 %, about 3 s left", "loading: 50 %, about 2 s left"]);
  progress.note(8000, 0, 4000);
  expect(lines.at(-1)).toBe("loading: 0 %");
});
