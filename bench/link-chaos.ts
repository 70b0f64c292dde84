/**
 * Chaos of replication links, in the long form: redis-server → Ferrite → redis-server with random writes of all types, every link
 * behind a proxy that cuts, slows and blocks it (test/support/link-chaos.ts). The short form is test/replication/link-chaos.test.ts.
 *
 *   bun bench/link-chaos.ts [--cuts 50] [--seconds 60] [--seed N]
 *
 * Ends with 1 when the data differs, or when anything was synchronized in full more than once.
 */
import { parseArgs } from "node:util";
import { ChainChaos } from "../test/support/link-chaos.ts";

const { values } = parseArgs({
  options: {
    cuts: { type: "string", default: "50" },
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});
console.log(`seed ${values.seed}`);
const chain = new ChainChaos(Number(values.seed));
const began = performance.now();
await chain.begin();
const { cuts, writes, full, partial, digests } = await chain.run(Number(values.cuts), Number(values.seconds));
await chain.stop();
const isSame = new Set(digests).size === 1;
console.log(`${cuts} cuts, ${writes} writes, ${Math.round((performance.now() - began) / 1000)} s`);
console.log(`sync_full ${full.join(" and ")}, sync_partial_ok ${partial.join(" and ")} (head, middle)`);
console.log(isSame ? `digests are equal: ${digests[0]}` : `digests differ: ${digests.join(" ")}`);
process.exit(isSame && full.every((count) => count === "1") ? 0 : 1);
