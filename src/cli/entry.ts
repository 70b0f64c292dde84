/**
 * Entry point of the process, from source (`bun src/cli/entry.ts`) and in the executable. Workers of this process are
 * started from other files; the guard keeps the command line from running a second time in one of them.
 */
import { main } from "./main.ts";

// Workers live as long as the process: the end is said, not waited for.
if (Bun.isMainThread) process.exit(await main(Bun.argv.slice(2)));
