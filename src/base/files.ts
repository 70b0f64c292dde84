/**
 * Files: Ferrite opens, reads, writes, syncs, renames and unlinks files only through this interface.
 *
 * `realFiles` uses node:fs. `MemoryFiles` keeps files in memory for tests. It can lose unsynced bytes and tear the last
 * write, chosen by a seed, and can fail the n-th call, so that a test can simulate a power cut at any point.
 *
 * All calls but the last two are synchronous. They are made at start, by the control plane or on dedicated threads, and never by a worker in a
 * turn, but for one case: server/sync-gate.ts. Every failure is a `FileFailure` with the operation, the path and the platform's code.
 */
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { errorCode, errorMessage, errorNumber, osErrorText } from "./errors.ts";

/** A failed file operation: `code` such as "ENOSPC", `number` the platform's error number (0 = unknown). */
export class FileFailure extends Error {
  override readonly name: string = "FileFailure";
  readonly number: number;

  constructor(
    readonly operation: string,
    readonly path: string,
    readonly code: string,
    detail: string,
  ) {
    super(`${operation} ${path}: ${code === "" ? detail : osErrorText(code)}`);
    this.number = errorNumber(code);
  }
}

export interface FileStat {
  readonly kind: "file" | "directory" | "other";
  readonly bytes: number;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly userId: number;
  readonly groupId: number;
  readonly modifiedMs: number;
  /** When the file or anything about it was changed last; no program can set it. */
  readonly changedMs: number;
}

/** "r" read; "r+" read and write; "w" truncate; "wx" create, fail if there; "a" append. */
export type OpenFlags = "r" | "r+" | "w" | "wx" | "a";

/** A file descriptor, valid for one `Files`. */
export type FileDescriptor = number & { readonly __brand: "FileDescriptor" };

/** Position value for "the descriptor's current position" (pipes, appending files). */
export const AT_CURSOR = -1;

export interface Files {
  open(path: string, flags: OpenFlags, mode: number): FileDescriptor;
  close(file: FileDescriptor): void;
  /** Reads up to `length` bytes into `into` from `offset` on. Returns how many; 0 at the end of the file. */
  read(file: FileDescriptor, into: Uint8Array, offset: number, length: number, position: number): number;
  /** Writes up to `length` bytes of `from` from `offset` on. Returns how many (a short write is possible). */
  write(file: FileDescriptor, from: Uint8Array, offset: number, length: number, position: number): number;
  fsync(file: FileDescriptor): void;
  fdatasync(file: FileDescriptor): void;
  /** Truncates or extends the file to `bytes`. */
  truncate(file: FileDescriptor, bytes: number): void;
  size(file: FileDescriptor): number;
  /** Sets the permission bits, regardless of the umask. */
  setMode(file: FileDescriptor, mode: number): void;
  setOwner(file: FileDescriptor, userId: number, groupId: number): void;
  /** Renames a file or a directory. A file replaces one that is there. */
  rename(from: string, to: string): void;
  unlink(path: string): void;
  /** Gives a file a second name on the same file system. */
  link(path: string, also: string): void;
  /** Removes an empty directory. */
  removeDirectory(path: string): void;
  /** Sets the time of the last modification. */
  touch(path: string, wallMs: number): void;
  /** Creates a directory and its missing parents. No error when it exists. */
  mkdir(path: string, mode: number): void;
  /** The names in a directory, sorted. */
  list(path: string): string[];
  /** The path with symbolic links resolved; the path itself when nothing exists there. */
  realPath(path: string): string;
  /** Returns null when nothing exists at the path. */
  stat(path: string): FileStat | null;
  /** Makes creations, renames and unlinks in the directory durable. */
  syncDirectory(path: string): void;
  /** As read, by another thread: `done` is called in a later turn of the event loop. The bytes are the file's until then. */
  readLater(file: FileDescriptor, into: Uint8Array, length: number, position: number, done: LaterDone): void;
  /** As write, by another thread. */
  writeLater(file: FileDescriptor, from: Uint8Array, length: number, position: number, done: LaterDone): void;
}

/** Called with the failure, null = none, and the number of bytes. */
export type LaterDone = (failure: FileFailure | null, bytes: number) => void;

class RealFiles implements Files {
  private readonly paths = new Map<number, string>();

  open(path: string, flags: OpenFlags, mode: number): FileDescriptor {
    const fd = attempt("open", path, () => fs.openSync(path, flags, mode));
    this.paths.set(fd, path);
    return fd as FileDescriptor;
  }

  close(file: FileDescriptor): void {
    attempt("close", this.name(file), () => fs.closeSync(file));
    this.paths.delete(file);
  }

  read(file: FileDescriptor, into: Uint8Array, offset: number, length: number, position: number): number {
    return attempt("read", this.name(file), () =>
      fs.readSync(file, into, offset, length, position < 0 ? null : position),
    );
  }

  write(file: FileDescriptor, from: Uint8Array, offset: number, length: number, position: number): number {
    return attempt("write", this.name(file), () =>
      fs.writeSync(file, from, offset, length, position < 0 ? null : position),
    );
  }

  fsync(file: FileDescriptor): void {
    attempt("fsync", this.name(file), () => fs.fsyncSync(file));
  }

  fdatasync(file: FileDescriptor): void {
    attempt("fdatasync", this.name(file), () => fs.fdatasyncSync(file));
  }

  truncate(file: FileDescriptor, bytes: number): void {
    attempt("truncate", this.name(file), () => fs.ftruncateSync(file, bytes));
  }

  size(file: FileDescriptor): number {
    return attempt("stat", this.name(file), () => fs.fstatSync(file).size);
  }

  setMode(file: FileDescriptor, mode: number): void {
    attempt("chmod", this.name(file), () => fs.fchmodSync(file, mode));
  }

  setOwner(file: FileDescriptor, userId: number, groupId: number): void {
    attempt("chown", this.name(file), () => fs.fchownSync(file, userId, groupId));
  }

  rename(from: string, to: string): void {
    attempt("rename", from, () => fs.renameSync(from, to));
    // A file that is open is named by its new path in errors.
    for (const [file, path] of this.paths) if (path === from) this.paths.set(file, to);
  }

  unlink(path: string): void {
    attempt("unlink", path, () => fs.unlinkSync(path));
  }

  link(path: string, also: string): void {
    attempt("link", also, () => fs.linkSync(path, also));
  }

  removeDirectory(path: string): void {
    attempt("rmdir", path, () => fs.rmdirSync(path));
  }

  touch(path: string, wallMs: number): void {
    attempt("utimes", path, () => fs.utimesSync(path, wallMs / 1000, wallMs / 1000));
  }

  mkdir(path: string, mode: number): void {
    attempt("mkdir", path, () => fs.mkdirSync(path, { recursive: true, mode }));
  }

  list(path: string): string[] {
    return attempt("list", path, () => fs.readdirSync(path)).sort();
  }

  realPath(path: string): string {
    try {
      return attempt("realpath", path, () => fs.realpathSync(path));
    } catch (thrown) {
      if (thrown instanceof FileFailure && thrown.code === "ENOENT") return path;
      throw thrown;
    }
  }

  stat(path: string): FileStat | null {
    return attempt("stat", path, () => {
      const found = fs.statSync(path, { throwIfNoEntry: false });
      if (found === undefined) return null;
      return {
        kind: found.isFile() ? "file" : found.isDirectory() ? "directory" : "other",
        bytes: found.size,
        mode: found.mode & 0o7777,
        userId: found.uid,
        groupId: found.gid,
        modifiedMs: found.mtimeMs,
        changedMs: found.ctimeMs,
      };
    });
  }

  syncDirectory(path: string): void {
    attempt("fsync", path, () => {
      const fd = fs.openSync(path, "r");
      try {
        fs.fsyncSync(fd);
      } finally {
        fs.closeSync(fd);
      }
    });
  }

  readLater(file: FileDescriptor, into: Uint8Array, length: number, position: number, done: LaterDone): void {
    fs.read(file, into, 0, length, position, (thrown, bytes) => done(this.later("read", file, thrown), bytes));
  }

  writeLater(file: FileDescriptor, from: Uint8Array, length: number, position: number, done: LaterDone): void {
    fs.write(file, from, 0, length, position, (thrown, bytes) => done(this.later("write", file, thrown), bytes));
  }

  private later(operation: string, file: FileDescriptor, thrown: unknown): FileFailure | null {
    if (thrown === null || thrown === undefined) return null;
    return new FileFailure(operation, this.name(file), errorCode(thrown), errorMessage(thrown));
  }

  private name(file: FileDescriptor): string {
    return this.paths.get(file) ?? `descriptor ${file}`;
  }
}

function attempt<T>(operation: string, path: string, call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    throw new FileFailure(operation, path, errorCode(thrown), errorMessage(thrown));
  }
}

/** The operating system's files. */
export const realFiles: Files = new RealFiles();

/** Reads a whole file. Throws FileFailure. */
export function readWhole(files: Files, path: string): Uint8Array {
  const file = files.open(path, "r", 0);
  try {
    // Files of /proc and /sys report size 0, so the size is only the first guess.
    let bytes = new Uint8Array(Math.max(files.size(file), 4096));
    let length = 0;
    for (;;) {
      const got = files.read(file, bytes, length, bytes.length - length, length);
      if (got === 0) return bytes.subarray(0, length);
      length += got;
      if (length === bytes.length) {
        const larger = new Uint8Array(bytes.length * 2);
        larger.set(bytes);
        bytes = larger;
      }
    }
  } finally {
    files.close(file);
  }
}

/** Reads a whole UTF-8 file. Throws FileFailure. */
export function readText(files: Files, path: string): string {
  return new TextDecoder().decode(readWhole(files, path));
}

const STANDARD_INPUT = 0 as FileDescriptor;
const INPUT_WAIT_MS = 5;

/** Reads standard input up to its end, as UTF-8; it may be a file, a pipe or a socket. Throws FileFailure. */
export function readStandardInput(files: Files): string {
  const decoder = new TextDecoder();
  const part = new Uint8Array(64 * 1024);
  for (let text = ""; ; ) {
    try {
      const got = files.read(STANDARD_INPUT, part, 0, part.length, AT_CURSOR);
      if (got === 0) return text + decoder.decode();
      text += decoder.decode(part.subarray(0, got), { stream: true });
    } catch (thrown) {
      // The other end may have made it non-blocking.
      if (!(thrown instanceof FileFailure && thrown.code === "EAGAIN")) throw thrown;
      Bun.sleepSync(INPUT_WAIT_MS);
    }
  }
}

/** Writes all of `bytes` at the descriptor's position, repeating short writes. */
export function writeFully(files: Files, file: FileDescriptor, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    done += files.write(file, bytes, done, bytes.length - done, AT_CURSOR);
  }
}

/** Replaces `path` so that a crash leaves the old or the new content: temporary file, sync, rename, sync directory. */
export function replaceDurably(files: Files, path: string, bytes: Uint8Array, mode: number): void {
  const aside = `${path}.tmp`;
  const file = files.open(aside, "w", mode);
  try {
    writeFully(files, file, bytes);
    files.fsync(file);
  } finally {
    files.close(file);
  }
  files.rename(aside, path);
  files.syncDirectory(dirname(path));
}

/**
 * As replaceDurably, but preserves the mode and owner of an existing file (a new file gets 0600). No other user can read
 * the new content at any moment. On failure the old file stays, and no temporary file is left.
 */
export function replaceKeeping(files: Files, path: string, bytes: Uint8Array): void {
  const before = files.stat(path);
  const aside = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  if (files.stat(aside) !== null) files.unlink(aside); // a crash left it
  const file = files.open(aside, "wx", 0o600);
  try {
    try {
      writeFully(files, file, bytes);
      if (before !== null) keepOwner(files, file, before);
      files.fsync(file);
    } finally {
      files.close(file);
    }
    files.rename(aside, path);
  } catch (thrown) {
    discard(files, aside);
    throw thrown;
  }
  files.syncDirectory(dirname(path));
}

function keepOwner(files: Files, file: FileDescriptor, before: FileStat): void {
  try {
    files.setOwner(file, before.userId, before.groupId);
  } catch (thrown) {
    // Only root may give files away.
    if (!(thrown instanceof FileFailure) || thrown.code !== "EPERM") throw thrown;
  }
  // After the owner, because a change of owner clears the set-id bits.
  files.setMode(file, before.mode);
}

function discard(files: Files, path: string): void {
  try {
    files.unlink(path);
  } catch {
    // The first failure is the one to report.
  }
}

interface MemoryFile {
  modifiedMs: number;
  mode: number;
  userId: number;
  groupId: number;
  /** The content that a process sees. */
  live: Uint8Array;
  /** The content that a power cut leaves. */
  synced: Uint8Array;
}

interface OpenMemoryFile {
  readonly path: string;
  readonly file: MemoryFile;
  readonly append: boolean;
  cursor: number;
}

/** Renames everything below a directory. */
function moveNames(names: Map<string, MemoryFile>, from: string, to: string): void {
  for (const [name, file] of [...names]) {
    if (!name.startsWith(`${from}/`)) continue;
    names.delete(name);
    names.set(to + name.slice(from.length), file);
  }
}

/** A planned failure: call number `nth` (from 1) of `operation` ("*" = any) fails with `code`. */
export interface PlannedFailure {
  readonly operation: string;
  readonly nth: number;
  readonly code: string;
}

/**
 * Files in memory, for tests. `crash()` returns the state after a power cut. A prefix of the unsynced bytes survives, whose
 * length the seed chooses. Names (creation, rename, unlink) are as of the last `syncDirectory` of their directory.
 * Directories themselves are always durable.
 */
export class MemoryFiles implements Files {
  /** Names as a process sees them, and as they are on the disk. */
  private names = new Map<string, MemoryFile>();
  private durableNames = new Map<string, MemoryFile>();
  private readonly directories = new Set<string>(["/", "."]);
  /** Renames of directories that a power cut undoes. */
  private moved: { readonly from: string; readonly to: string }[] = [];
  private readonly opened = new Map<number, OpenMemoryFile>();
  private readonly calls = new Map<string, number>();
  private readonly failures: PlannedFailure[];
  private nextDescriptor = 3;
  private state: number;

  constructor(
    readonly seed: number,
    failures: readonly PlannedFailure[],
  ) {
    this.failures = [...failures];
    this.state = seed >>> 0 || 1;
  }

  open(path: string, flags: OpenFlags, mode: number): FileDescriptor {
    this.call("open", path);
    let file = this.names.get(path);
    if (file === undefined && (flags === "r" || flags === "r+")) throw new FileFailure("open", path, "ENOENT", "");
    if (file !== undefined && flags === "wx") throw new FileFailure("open", path, "EEXIST", "");
    if (file === undefined) {
      file = { modifiedMs: 0, mode, userId: 0, groupId: 0, live: new Uint8Array(0), synced: new Uint8Array(0) };
      this.names.set(path, file);
    } else if (flags === "w") {
      file.live = new Uint8Array(0);
    }
    const descriptor = this.nextDescriptor++;
    this.opened.set(descriptor, { path, file, append: flags === "a", cursor: 0 });
    return descriptor as FileDescriptor;
  }

  close(file: FileDescriptor): void {
    this.handle("close", file);
    this.opened.delete(file);
  }

  read(file: FileDescriptor, into: Uint8Array, offset: number, length: number, position: number): number {
    const handle = this.handle("read", file);
    const from = position < 0 ? handle.cursor : position;
    const count = Math.max(0, Math.min(length, handle.file.live.length - from));
    into.set(handle.file.live.subarray(from, from + count), offset);
    if (position < 0) handle.cursor += count;
    return count;
  }

  write(file: FileDescriptor, from: Uint8Array, offset: number, length: number, position: number): number {
    const handle = this.handle("write", file);
    const at = handle.append ? handle.file.live.length : position < 0 ? handle.cursor : position;
    if (at + length > handle.file.live.length) {
      const longer = new Uint8Array(at + length);
      longer.set(handle.file.live);
      handle.file.live = longer;
    }
    handle.file.live.set(from.subarray(offset, offset + length), at);
    if (position < 0) handle.cursor = at + length;
    return length;
  }

  fsync(file: FileDescriptor): void {
    const handle = this.handle("fsync", file);
    handle.file.synced = handle.file.live.slice();
  }

  fdatasync(file: FileDescriptor): void {
    const handle = this.handle("fdatasync", file);
    handle.file.synced = handle.file.live.slice();
  }

  truncate(file: FileDescriptor, bytes: number): void {
    const handle = this.handle("truncate", file);
    const cut = new Uint8Array(bytes);
    cut.set(handle.file.live.subarray(0, bytes));
    handle.file.live = cut;
  }

  size(file: FileDescriptor): number {
    return this.handle("stat", file).file.live.length;
  }

  setMode(file: FileDescriptor, mode: number): void {
    this.handle("chmod", file).file.mode = mode;
  }

  setOwner(file: FileDescriptor, userId: number, groupId: number): void {
    const { file: owned } = this.handle("chown", file);
    owned.userId = userId;
    owned.groupId = groupId;
  }

  rename(from: string, to: string): void {
    this.call("rename", from);
    if (this.directories.has(from)) return this.renameDirectory(from, to);
    const file = this.names.get(from);
    if (file === undefined) throw new FileFailure("rename", from, "ENOENT", "");
    this.names.delete(from);
    this.names.set(to, file);
  }

  private renameDirectory(from: string, to: string): void {
    if (this.isUsed(to)) throw new FileFailure("rename", from, "ENOTEMPTY", "");
    moveNames(this.names, from, to);
    for (const path of [...this.directories]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.directories.delete(path);
      this.directories.add(to + path.slice(from.length));
    }
    this.moved.push({ from, to });
  }

  /** True when something is in the directory. */
  private isUsed(path: string): boolean {
    return [...this.names.keys(), ...this.directories].some((name) => name.startsWith(`${path}/`));
  }

  link(path: string, also: string): void {
    this.call("link", also);
    const file = this.names.get(path);
    if (file === undefined) throw new FileFailure("link", also, "ENOENT", "");
    if (this.names.has(also)) throw new FileFailure("link", also, "EEXIST", "");
    this.names.set(also, file);
  }

  removeDirectory(path: string): void {
    this.call("rmdir", path);
    if (this.isUsed(path)) throw new FileFailure("rmdir", path, "ENOTEMPTY", "");
    if (!this.directories.delete(path)) throw new FileFailure("rmdir", path, "ENOENT", "");
  }

  touch(path: string, wallMs: number): void {
    this.call("utimes", path);
    const file = this.names.get(path);
    if (file === undefined) throw new FileFailure("utimes", path, "ENOENT", "");
    file.modifiedMs = wallMs;
  }

  unlink(path: string): void {
    this.call("unlink", path);
    if (!this.names.delete(path)) throw new FileFailure("unlink", path, "ENOENT", "");
  }

  mkdir(path: string, _mode: number): void {
    this.call("mkdir", path);
    if (this.names.has(path)) throw new FileFailure("mkdir", path, "EEXIST", "");
    for (let at = path; !this.directories.has(at); at = dirname(at)) this.directories.add(at);
  }

  list(path: string): string[] {
    this.call("list", path);
    if (!this.directories.has(path)) throw new FileFailure("list", path, "ENOENT", "");
    const all = [...this.names.keys(), ...this.directories];
    return all
      .filter((name) => name !== path && dirname(name) === path)
      .map((name) => name.slice(name.lastIndexOf("/") + 1))
      .sort();
  }

  realPath(path: string): string {
    return path;
  }

  stat(path: string): FileStat | null {
    this.call("stat", path);
    const file = this.names.get(path);
    if (file !== undefined) {
      const { live, modifiedMs, mode, userId, groupId } = file;
      return { kind: "file", bytes: live.length, modifiedMs, changedMs: modifiedMs, mode, userId, groupId };
    }
    if (!this.directories.has(path)) return null;
    return { kind: "directory", bytes: 0, modifiedMs: 0, changedMs: 0, mode: 0o755, userId: 0, groupId: 0 };
  }

  syncDirectory(path: string): void {
    this.call("fsync", path);
    this.moved = this.moved.filter(({ from, to }) => {
      if (dirname(to) !== path) return true;
      moveNames(this.durableNames, from, to);
      return false;
    });
    for (const name of this.durableNames.keys()) {
      if (dirname(name) === path && !this.names.has(name)) this.durableNames.delete(name);
    }
    for (const [name, file] of this.names) {
      if (dirname(name) === path) this.durableNames.set(name, file);
    }
  }

  readLater(file: FileDescriptor, into: Uint8Array, length: number, position: number, done: LaterDone): void {
    this.later(() => this.read(file, into, 0, length, position), done);
  }
  writeLater(file: FileDescriptor, from: Uint8Array, length: number, position: number, done: LaterDone): void {
    this.later(() => this.write(file, from, 0, length, position), done);
  }
  /** Calls of another thread whose result is to be taken, in the order in which they were made. */
  private readonly underWay: (() => void)[] = [];

  private later(call: () => number, done: LaterDone): void {
    this.underWay.push(() => {
      let bytes = 0;
      let failure: FileFailure | null = null;
      try {
        bytes = call();
      } catch (thrown) {
        failure = thrown as FileFailure;
      }
      done(failure, bytes);
    });
  }
  /** Finishes the calls of other threads that are under way. Returns their number. */
  settle(): number {
    const calls = this.underWay.splice(0);
    for (const call of calls) call();
    return calls.length;
  }

  /** Descriptors that are open. */
  get openCount(): number {
    return this.opened.size;
  }
  /** Calls so far. */
  get callCount(): number {
    return this.calls.get("*") ?? 0;
  }
  /** Calls of an operation so far. */
  callsOf(operation: string): number {
    return this.calls.get(operation) ?? 0;
  }
  /** Plans another failure. */
  planFailure(failure: PlannedFailure): void {
    this.failures.push(failure);
  }

  /** No planned failure happens any more. */
  dropFailures(): void {
    this.failures.length = 0;
  }

  /** The disk after a power cut, as a new MemoryFiles without planned failures. Descriptors of this one are invalid. */
  crash(): MemoryFiles {
    const after = new MemoryFiles(this.random(0x7fffffff), []);
    for (const directory of this.directories) after.directories.add(this.durableName(directory));
    for (const [name, file] of this.durableNames) {
      for (let at = dirname(name); !after.directories.has(at); at = dirname(at)) after.directories.add(at);
      const content = this.survivor(file);
      const kept: MemoryFile = { ...file, live: content, synced: content.slice() };
      after.names.set(name, kept);
      after.durableNames.set(name, kept);
    }
    this.opened.clear();
    return after;
  }

  /** The name of a directory before the renames that were not synced. */
  private durableName(path: string): string {
    let name = path;
    for (const { from, to } of [...this.moved].reverse())
      if (name === to || name.startsWith(`${to}/`)) name = from + name.slice(to.length);
    return name;
  }

  /** Synced bytes survive, and a prefix of the bytes appended since, chosen by the seed, whose last bytes may be torn. */
  private survivor(file: MemoryFile): Uint8Array {
    const extra = file.live.length - file.synced.length;
    if (extra <= 0) return file.synced.slice();
    const kept = this.random(extra + 1);
    const content = new Uint8Array(file.synced.length + kept);
    content.set(file.synced);
    content.set(file.live.subarray(file.synced.length, content.length), file.synced.length);
    if (kept > 0 && this.random(2) === 1) content.fill(0, content.length - 1 - this.random(Math.min(kept, 512)));
    return content;
  }

  private handle(operation: string, file: FileDescriptor): OpenMemoryFile {
    const handle = this.opened.get(file);
    if (handle === undefined) throw new FileFailure(operation, `descriptor ${file}`, "EBADF", "");
    this.call(operation, handle.path);
    return handle;
  }

  private call(operation: string, path: string): void {
    for (const name of [operation, "*"]) {
      const count = (this.calls.get(name) ?? 0) + 1;
      this.calls.set(name, count);
      const failure = this.failures.find((planned) => planned.operation === name && planned.nth === count);
      if (failure !== undefined) throw new FileFailure(operation, path, failure.code, "");
    }
  }

  /** A random number, 0 to before `limit` (xorshift32). */
  private random(limit: number): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state % limit;
  }
}
