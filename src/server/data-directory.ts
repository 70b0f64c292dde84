/** The data directory: one process at a time uses it. */
import { ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { dataDirectoryFailed, dataDirectoryInUse, errorCode } from "../base/errors.ts";
import { LOCK_FILE, lockFile } from "../memory/native.ts";

/** Makes the data directory and takes its lock. Returns the descriptor that holds the lock. */
export function takeDataDirectory(path: string): number {
  let descriptor: number;
  const lockPath = join(path, LOCK_FILE);
  try {
    mkdirSync(path, { recursive: true, mode: 0o750 });
    descriptor = openSync(lockPath, "a+");
  } catch (thrown) {
    throw dataDirectoryFailed(path, errorCode(thrown));
  }
  if (lockFile(descriptor) === "taken") {
    throw dataDirectoryInUse(path, Number.parseInt(readFileSync(lockPath, "utf8"), 10) || 0);
  }
  ftruncateSync(descriptor, 0);
  writeSync(descriptor, `${process.pid}\n`);
  return descriptor;
}
