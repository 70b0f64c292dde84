import { expect, test } from "bun:test";
import { coarseTick } from "../../src/base/coarse-clock.ts";

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
