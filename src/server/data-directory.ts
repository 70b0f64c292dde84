/** The data directory: one process at a time uses it. */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import { DataDirectoryInUse, dataDirectoryFailed, errorCode } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { LOCK_FILE, lockFile } from "../memory/native.ts";
import { durabilityText } from "../persistence/durability-text.ts";

/** Makes the data directory and takes its lock. Returns the descriptor that holds the lock. */
export function takeDataDirectory(path: string): number {
  const lockPath = join(path, LOCK_FILE);
  for (;;) {
    let descriptor: number;
    try {
      mkdirSync(path, { recursive: true, mode: 0o750 });
      descriptor = openSync(lockPath, "a+");
    } catch (thrown) {
      throw dataDirectoryFailed(path, errorCode(thrown));
    }
    if (lockFile(descriptor) === "taken") {
      throw new DataDirectoryInUse(path, Number.parseInt(readFileSync(lockPath, "utf8"), 10) || 0);
    }
    // A server that has ended meanwhile may have removed the file that is open here (`leave`).
    if (fstatSync(descriptor).ino === statSync(lockPath, { throwIfNoEntry: false })?.ino) {
      ftruncateSync(descriptor, 0);
      writeSync(descriptor, `${process.pid}\n`);
      return descriptor;
    }
    closeSync(descriptor);
  }
}

/** The directory of a server. */
export interface HeldDirectory {
  /** Gives the directory back. One that this server has made, and that has nothing in it, is removed. */
  leave(): void;
}

/**
 * Takes the directory of the configuration. A server that keeps nothing does not need the default one: when another server
 * has it, as with several servers of tests in one place, the configuration gets a temporary directory.
 */
export function holdDataDirectory(config: Config, log: Logger): HeldDirectory {
  const path = resolve(config.text("storage.data_dir"));
  try {
    return hold(path);
  } catch (thrown) {
    const needsIt = durabilityText(config).isDurable || !config.isDefault("storage.data_dir");
    if (needsIt || !(thrown instanceof DataDirectoryInUse)) throw thrown;
    const own = join(tmpdir(), `ferrite-${process.pid}-${crypto.randomUUID()}`);
    config.place("storage.data_dir", own, { kind: "default", text: `default, while ${path} is in use` });
    log.info(`${path} is in use by another server: nothing is loaded from it, and a save would go to ${own}`);
    return hold(own);
  }
}

function hold(path: string): HeldDirectory {
  const isMade = statSync(path, { throwIfNoEntry: false }) === undefined;
  const lock = takeDataDirectory(path);
  return {
    leave() {
      if (isMade && readdirSync(path).join() === LOCK_FILE) {
        rmSync(join(path, LOCK_FILE), { force: true });
        try {
          rmdirSync(path);
        } catch {
          // Another server has taken it at this moment.
        }
      }
      closeSync(lock);
    },
  };
}
