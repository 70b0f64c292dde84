/** The machine as `ferrite doctor` sees it. Tests put another one in its place. */
import { closeSync, openSync } from "node:fs";
import { release } from "node:os";
import { dirname, resolve } from "node:path";
import { systemClock } from "../base/clock.ts";
import { type DiskSpace, diskSpace } from "../base/disk-space.ts";
import { errorCode, errorMessage } from "../base/errors.ts";
import { readText, realFiles, type FileDescriptor, type Files, type FileStat } from "../base/files.ts";
import { IoRing } from "../memory/io-ring.ts";
import { dropCached, lockFile } from "../memory/native.ts";

export interface Surroundings {
  readonly files: Files;
  readonly wallMs: number;
  /** Effective user; -1 = unknown. */
  readonly userId: number;
  readonly platform: string;
  readonly arch: string;
  /** Of the kernel: "6.1.0-18-amd64". */
  readonly release: string;
  /** Directories in which Bun would look for its files. */
  readonly ownPlaces: readonly string[];
  /** Binds an address exclusively, and gives it back. Returns "" or the error's code. */
  tryListen(host: string, port: number): string;
  /** Time from connecting to a RESP server's reply to PING, ms; -1 = no such server answers. */
  firstReplyMs(host: string, port: number): Promise<number>;
  /** Space of the file system with this directory; null = it cannot be read. */
  space(directory: string): DiskSpace | null;
  /** Monotonic time. */
  nowMs(): number;
  /** Drops a file from the page cache, so that reads come from the disk. Returns false when it cannot. */
  dropCached(file: FileDescriptor): boolean;
  /** Whether this process may use io_uring. */
  hasIoUring(): boolean;
  /** Whether a process has locked the file. */
  lockOf(path: string): "free" | "taken" | "unknown" | "unreadable";
}

export function realSurroundings(): Surroundings {
  return {
    files: realFiles,
    wallMs: systemClock.wallMs(),
    userId: process.geteuid?.() ?? -1,
    platform: process.platform,
    arch: process.arch,
    release: release(),
    ownPlaces: [...new Set([dirname(process.execPath), process.cwd()])],
    tryListen,
    firstReplyMs,
    space: diskSpace,
    nowMs: () => systemClock.monotonicMs(),
    dropCached,
    hasIoUring,
    lockOf,
  };
}

function hasIoUring(): boolean {
  const ring = IoRing.open(1);
  ring?.close();
  return ring !== null;
}

function tryListen(host: string, port: number): string {
  try {
    Bun.listen({ hostname: host, port, exclusive: true, socket: { data: () => {} } }).stop(true);
    return "";
  } catch (thrown) {
    return errorCode(thrown) || errorMessage(thrown);
  }
}

const ANSWER_MS = 1000;

async function firstReplyMs(host: string, port: number): Promise<number> {
  const target = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  const { promise, resolve: settle } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => settle(false), ANSWER_MS);
  const beganMs = systemClock.monotonicMs();
  try {
    const socket = await Bun.connect({
      hostname: target,
      port,
      socket: {
        open: (opened) => void opened.write("PING\r\n"),
        data: (_, bytes) => settle(/^[+-](PONG|NOAUTH|DENIED|LOADING|ERR|NOPERM)/.test(bytes.toString())),
        close: () => settle(false),
        error: () => settle(false),
      },
    });
    const isRedis = await promise;
    const tookMs = systemClock.monotonicMs() - beganMs;
    socket.end();
    return isRedis ? tookMs : -1;
  } catch {
    return -1;
  } finally {
    clearTimeout(timer);
  }
}

function lockOf(path: string): "free" | "taken" | "unknown" | "unreadable" {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch {
    return "unreadable";
  }
  // Closing the descriptor releases the lock again.
  const lock = lockFile(descriptor);
  closeSync(descriptor);
  return lock === "locked" ? "free" : lock;
}

/** The text of a file, such as those of /proc; "" when it cannot be read. */
export function read(files: Files, path: string): string {
  try {
    return readText(files, path).trim();
  } catch {
    return "";
  }
}

export function statOrNull(files: Files, path: string): FileStat | null {
  try {
    return files.stat(path);
  } catch {
    return null;
  }
}

/** The directory, or the nearest one above it that exists. */
export function nearestExisting(files: Files, path: string): string {
  let at = resolve(path);
  while (at !== "/" && statOrNull(files, at) === null) at = dirname(at);
  return at;
}
