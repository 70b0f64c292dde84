import { expect, test } from "bun:test";
import { coarseTick, wallMicros } from "../../src/base/native-clock.ts";

test.skipIf(coarseTick === null)("the tick goes on advancing once the compiler has optimized its reader", async () => {
  const tick = coarseTick!;
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 100_000; i++) tick();
    await Bun.sleep(5); // optimized code is installed between rounds
  }
  const before = tick();
  await Bun.sleep(50);
  expect(tick()).not.toBe(before);
});

test.skipIf(wallMicros === null)(
  "the wall clock in microseconds is that in milliseconds, and the same in all threads",
  async () => {
    const path = new URL("../../src/base/native-clock.ts", import.meta.url).href;
    const code = `import { wallMicros } from ${JSON.stringify(path)}; postMessage("ready"); self.onmessage = () => postMessage(wallMicros());`;
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    const thread = new Worker(url);
    const next = (): Promise<unknown> => new Promise((done) => (thread.onmessage = ({ data }) => done(data)));
    await next();
    for (let round = 0; round < 100; round++) {
      const [beforeMs, before] = [Date.now(), wallMicros!()];
      expect(before).toBeGreaterThanOrEqual(beforeMs * 1000);
      expect(Number.isInteger(before)).toBe(true);
      const there = next();
      thread.postMessage(null);
      const between = (await there) as number;
      expect(between).toBeGreaterThanOrEqual(before);
      expect(wallMicros!()).toBeGreaterThanOrEqual(between);
      expect(Date.now() * 1000 + 1000).toBeGreaterThan(between);
    }
    thread.terminate();
  },
);
