/**
 * The file of a snapshot for replicas: read by the threads that send it while it grows, and not needed beyond the process.
 * It is never synced, and has its name from the start. Who asked for it removes it.
 */
import { AT_CURSOR, type FileDescriptor, type Files } from "../base/files.ts";
import type { Dropped } from "./rdb-record.ts";
import type { Saved, SavedFile } from "./rdb-file.ts";

export class SpoolFile implements SavedFile {
  readonly warnings: readonly string[] = [];
  bytes = 0;
  private readonly file: FileDescriptor;
  private isOpen = true;

  /** Throws FileFailure. */
  constructor(
    private readonly files: Files,
    readonly path: string,
  ) {
    this.file = files.open(path, "w", 0o600);
  }

  readonly put = (bytes: Buffer, length: number): void => {
    for (let done = 0; done < length; ) {
      done += this.files.write(this.file, bytes, done, length - done, AT_CURSOR);
    }
    this.bytes += length;
  };

  complete(saved: Saved): Dropped {
    this.close();
    return saved.dropped;
  }

  discard(): void {
    this.close();
  }

  private close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.files.close(this.file);
  }
}
