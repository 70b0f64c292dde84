/** Prints how many threads Bun's pool has when 40 reads wait for ever. Arguments: the limit, and a directory for pipes. */
import { mkdirSync, openSync, read, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { limitPoolThreads } from "../../src/memory/native.ts";

const READS = 40;
const [limit, directory] = process.argv.slice(2);
if (!limitPoolThreads(Number(limit))) throw new Error("setenv failed");
mkdirSync(directory!, { recursive: true });
const paths = Array.from({ length: READS }, (_, n) => join(directory!, String(n)));
if (Bun.spawnSync(["mkfifo", ...paths]).exitCode !== 0) throw new Error("mkfifo failed");
for (const path of paths) read(openSync(path, "r+"), Buffer.alloc(1), 0, 1, null, () => {});

const threads = () =>
  readdirSync("/proc/self/task").filter((id) => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, "latin1").startsWith("Bun Pool");
    } catch {
      return false; // it has just ended
    }
  }).length;
// The pool starts its threads one after another: their number is final when it stays the same for a while.
let last = -1;
for (let same = 0; same < 10; same = threads() === last ? same + 1 : 0) {
  last = threads();
  await Bun.sleep(50);
}
console.log(last);
process.exit(0);
