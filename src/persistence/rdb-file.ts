/**
 * A file that replaces another one whole: written beside it under a temporary name, synced, renamed over it. A crash at any
 * point leaves the old file or the new one, and at most a temporary file, which the next save under the same name replaces.
 */
import { join } from "node:path";
import { AT_CURSOR, type FileDescriptor, type Files } from "../base/files.ts";
import { reached } from "../base/kill-point.ts";
import type { Dropped } from "./rdb-record.ts";

/** A sync while the file is written takes this much at a time, so that the last one is short. */
const SYNC_BYTES = 32 << 20;

/** Facts about a data set that was written. */
export interface Saved {
  /** Position of the change log at the cut, 0 without a change log. */
  readonly position: number;
  readonly keys: number;
  readonly dropped: Dropped;
}

/** The target of a save. */
export interface SavedFile {
  /** Where it is in the end. */
  readonly path: string;
  readonly bytes: number;
  /** Appends bytes [0, length). Throws FileFailure. */
  readonly put: (bytes: Buffer, length: number) => void;
  /** All bytes are there: puts the file in its place. Returns what the file for other programs lacks. Throws FileFailure. */
  complete(saved: Saved): Dropped;
  /** The file is not wanted. */
  discard(): void;
  /** Failures of steps that a complete file does not need. */
  readonly warnings: readonly string[];
}

export class ReplacedFile implements SavedFile {
  readonly warnings: readonly string[] = [];
  readonly path: string;
  bytes = 0;
  private readonly aside: string;
  private readonly file: FileDescriptor;
  private unsynced = 0;
  private isOpen = true;

  /** Throws FileFailure. */
  constructor(
    private readonly files: Files,
    private readonly directory: string,
    name: string,
    temporary: string,
  ) {
    this.path = join(directory, name);
    this.aside = join(directory, temporary);
    this.file = files.open(this.aside, "w", 0o644);
  }

  /** Appends bytes [0, length). Throws FileFailure. */
  readonly put = (bytes: Buffer, length: number): void => {
    for (let done = 0; done < length; ) {
      done += this.files.write(this.file, bytes, done, length - done, AT_CURSOR);
    }
    this.bytes += length;
    this.unsynced += length;
    if (this.unsynced < SYNC_BYTES) return;
    this.files.fdatasync(this.file);
    this.unsynced = 0;
  };

  /** The file is complete: takes the place of the old one. Throws FileFailure, with the old file in place. */
  commit(): void {
    this.files.fsync(this.file);
    this.close();
    reached("file-synced");
    this.files.rename(this.aside, this.path);
    reached("file-renamed");
    this.files.syncDirectory(this.directory);
    reached("file-directory");
  }

  complete(saved: Saved): Dropped {
    this.commit();
    return saved.dropped;
  }

  /** The file is not wanted: the old one stays. */
  discard(): void {
    try {
      this.close();
      this.files.unlink(this.aside);
    } catch {
      // The first failure is the one to report.
    }
  }

  private close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.files.close(this.file);
  }
}
