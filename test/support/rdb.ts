/** RDB files for tests: made by hand, made by redis-server, loaded into an engine of this process. */
import { BadFile, FileReader } from "../../src/base/file-reader.ts";
import { MemoryFiles, writeFully } from "../../src/base/files.ts";
import { crc64, updateCrc64 } from "../../src/base/crc64.ts";
import { Loaded, type LoadOptions, RdbLoader } from "../../src/persistence/rdb-loader.ts";
import type { TestEngine } from "./engine.ts";

/** A disk with one file, "/dump.rdb". */
export function diskWith(content: Uint8Array): MemoryFiles {
  const files = new MemoryFiles(1, []);
  const file = files.open(RDB_PATH, "w", 0o600);
  writeFully(files, file, content);
  files.close(file);
  return files;
}
export const RDB_PATH = "/dump.rdb";

/** "REDIS", the version, these bytes, the end and the right checksum. */
export function rdbOf(version: number, ...parts: (string | readonly number[] | Uint8Array)[]): Buffer {
  const body = Buffer.concat([
    Buffer.from(`REDIS${String(version).padStart(4, "0")}`),
    ...parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.from(part))),
    Buffer.from([255]),
  ]);
  return version < 5 ? body : Buffer.concat([body, checksumOf(body)]);
}

export function checksumOf(bytes: Buffer): Buffer {
  updateCrc64(0, 0, bytes, 0, bytes.length);
  const sum = Buffer.alloc(8);
  sum.writeInt32LE(crc64.lo, 0);
  sum.writeInt32LE(crc64.hi, 4);
  return sum;
}

/** A string as an RDB file has it. */
export function rdbText(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length < 64) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const head = Buffer.alloc(5);
  head[0] = 0x80;
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

export const LOAD_ALL: LoadOptions = {
  verifies: true,
  dropsExpired: true,
  merges: false,
  worker: 0,
  workers: 1,
  isWhole: true,
};

/** Loads a file into the engine. Returns the loader, done. Throws BadFile. */
export function load(engine: TestEngine, content: Uint8Array, options: Partial<LoadOptions> = {}): RdbLoader {
  const reader = new FileReader(diskWith(content), RDB_PATH);
  const loader = new RdbLoader(engine.engine.call, reader, { ...LOAD_ALL, ...options });
  try {
    for (let steps = 0; loader.step(Infinity) !== Loaded.Done; steps++) {
      if (steps === 100) throw new Error("a file is not loaded in 100 steps");
      engine.memory.grow();
    }
    return loader;
  } catch (thrown) {
    loader.abandon();
    throw thrown;
  } finally {
    reader.close();
  }
}

/** Offset and reason of the BadFile that loading ends in; "" when it does not. */
export function failureOf(engine: TestEngine, content: Uint8Array): string {
  try {
    load(engine, content);
    return "";
  } catch (thrown) {
    if (!(thrown instanceof BadFile)) throw thrown;
    return `${thrown.offset}: ${thrown.reason}`;
  }
}
