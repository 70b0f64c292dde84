/**
 * The file of a full synchronization: what the primary sends goes into it, and it is read through before the old data goes.
 *
 *   put ... put ─► close ─► check, in slices: signature, version, every item, checksum ─► the loader of all workers
 */
import { join } from "node:path";
import { BadFile, FileReader } from "../base/file-reader.ts";
import { AT_CURSOR, type FileDescriptor, type Files } from "../base/files.ts";
import { RdbItem, RdbReader } from "../persistence/rdb-reader.ts";

const ITEMS_A_READING = 64;
/** The aux field that names the database of the stream. */
const STREAM_DATABASE = "repl-stream-db";

export function spoolPath(directory: string): string {
  return join(directory, `temp-sync-${process.pid}.rdb`);
}

export class ReplicaSpool {
  readonly path: string;
  /** The database of the stream that follows, after `check`. */
  database = 0;
  private readonly file: FileDescriptor;
  private isOpen = true;
  private reader: FileReader | null = null;
  private rdb: RdbReader | null = null;

  /** Throws FileFailure. */
  constructor(
    private readonly files: Files,
    directory: string,
  ) {
    this.path = spoolPath(directory);
    this.file = files.open(this.path, "w", 0o640);
  }

  /** Appends bytes [from, to). Throws FileFailure. */
  put(bytes: Buffer, from: number, to: number): void {
    for (let at = from; at < to; ) at += this.files.write(this.file, bytes, at, to - at, AT_CURSOR);
  }

  /** The file is whole. */
  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.files.close(this.file);
  }

  /**
   * Reads the file until `untilMs`. Returns false when more is left. `databases`: how many this server has. Throws BadFile or
   * FileFailure.
   */
  check(databases: number, now: () => number, untilMs: number): boolean {
    this.reader ??= new FileReader(this.files, this.path);
    this.rdb ??= new RdbReader(this.reader, true, 0);
    const { rdb } = this;
    for (let n = 1; ; n++) {
      const item = rdb.next();
      if (item === RdbItem.End) break;
      if (item === RdbItem.Field && rdb.name === STREAM_DATABASE) this.database = Number(rdb.text);
      if (item === RdbItem.Database && rdb.database >= databases) throw this.refusal(rdb.database, databases);
      if ((n % ITEMS_A_READING === 0 || rdb.isLong) && now() >= untilMs) return false;
    }
    const { reader } = this;
    if (reader.left > 0) throw new BadFile(reader.offset, `${reader.left} bytes follow the end of the file's content`);
    if (!(this.database >= 0 && this.database < databases)) throw this.refusal(this.database, databases);
    return true;
  }

  private refusal(database: number, databases: number): BadFile {
    return new BadFile(this.rdb!.offset, `database ${database}: this server is configured with ${databases}`);
  }

  /** The file is not needed any more. */
  discard(): void {
    this.reader?.close();
    this.reader = null;
    try {
      this.close();
      this.files.unlink(this.path);
    } catch {
      // The next synchronization writes over it.
    }
  }
}
