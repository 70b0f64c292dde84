/**
 * Entry point of the process, from source (`bun src/cli/entry.ts`) and in the executable. Workers start from other files.
 * The guard prevents a second run of the command line in a worker.
 */
import { main } from "./main.ts";

// Workers live as long as the process, so the process must exit explicitly.
if (Bun.isMainThread) process.exit(await main(Bun.argv.slice(2)));
