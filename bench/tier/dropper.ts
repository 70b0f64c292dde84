/**
 * Keeps files out of the page cache until it is killed, so that each read is one of the disk however often it comes:
 *
 *   bun bench/tier/dropper.ts <directory>
 */
import { dropFiles } from "./pread.ts";

const EACH_MS = 100;

const [directory = "."] = process.argv.slice(2);
for (;;) {
  dropFiles(directory);
  Bun.sleepSync(EACH_MS);
}
