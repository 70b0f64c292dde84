/**
 * The data of a checkpoint while it is written, and the steps by which it becomes one:
 *
 *   writing-.../dump.rdb written, synced → the RDB file in data_dir → MANIFEST, synced → named by the time, directory synced
 *                                                                                    → `latest` → older ones removed
 *
 * A crash at any point leaves the checkpoints that were there, and the new one from its name on. The RDB file for other
 * programs is a second name of the data. Where the data has deadlines that only Ferrite's own form has, and where there can
 * be no link, it is a file of its own.
 */
import { crc32 } from "node:zlib";
import { join } from "node:path";
import { FileReader } from "../base/file-reader.ts";
import { FileFailure, type Files } from "../base/files.ts";
import { reached } from "../base/kill-point.ts";
import {
  checkpointName,
  checkpointNames,
  DATA_FILE,
  linkOrCopy,
  makeLatest,
  prune,
  removeTree,
  writeManifest,
  writingName,
} from "./checkpoint-files.ts";
import { convertRdb } from "./rdb-convert.ts";
import { ReplacedFile, type Saved, type SavedFile } from "./rdb-file.ts";
import type { Dropped } from "./rdb-record.ts";
import { RdbWriter } from "./rdb-writer.ts";

/** Where checkpoints go, and how many stay. */
export interface CheckpointPlan {
  readonly directory: string;
  readonly keep: number;
  readonly nowMs: number;
}

/** The RDB file for other programs. */
export interface PublishedFile {
  readonly directory: string;
  readonly name: string;
  readonly temporary: string;
  readonly version: number;
  readonly sums: boolean;
}

export class CheckpointFile implements SavedFile {
  readonly warnings: string[] = [];
  path: string;
  private readonly writing: string;
  private readonly file: ReplacedFile;
  private sum = 0;

  /** Throws FileFailure. */
  constructor(
    private readonly files: Files,
    private readonly plan: CheckpointPlan,
    private readonly published: PublishedFile,
  ) {
    this.writing = join(plan.directory, writingName());
    this.path = this.writing;
    files.mkdir(published.directory, 0o750);
    files.mkdir(this.writing, 0o750);
    this.file = new ReplacedFile(files, this.writing, DATA_FILE, `${DATA_FILE}.part`);
  }

  get bytes(): number {
    return this.file.bytes;
  }

  readonly put = (bytes: Buffer, length: number): void => {
    this.file.put(bytes, length);
    reached("checkpoint-half");
    this.sum = crc32(bytes.subarray(0, length), this.sum);
  };

  complete(saved: Saved): Dropped {
    const { files, plan, file, sum } = this;
    file.commit();
    const dropped = this.publish(saved);
    reached("checkpoint-published");
    const { position, keys } = saved;
    writeManifest(files, this.writing, { takenMs: plan.nowMs, position, keys, bytes: file.bytes, sum });
    reached("checkpoint-unnamed");
    const name = checkpointName(plan.nowMs, checkpointNames(files, plan.directory));
    files.rename(this.writing, join(plan.directory, name));
    reached("checkpoint-named");
    this.path = join(plan.directory, name);
    files.syncDirectory(plan.directory);
    this.attempt("latest could not be made", () => makeLatest(files, plan.directory, name));
    this.attempt("older checkpoints could not be removed", () => prune(files, plan.directory, plan.keep));
    return dropped;
  }

  /** The checkpoint is complete, and this is not necessary for it. */
  private attempt(what: string, work: () => void): void {
    try {
      work();
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      this.warnings.push(`${what}: ${thrown.message}`);
    }
  }

  /** Replaces the RDB file in the data directory. Returns the deadlines that it lacks. */
  private publish(saved: Saved): Dropped {
    const { files, published } = this;
    const { directory, name, temporary } = published;
    if (saved.dropped.kept > 0) return this.convert();
    const aside = join(directory, temporary);
    try {
      linkOrCopy(files, this.file.path, aside);
      files.rename(aside, join(directory, name));
    } catch (thrown) {
      removeIfThere(files, aside);
      throw thrown;
    }
    files.syncDirectory(directory);
    return saved.dropped;
  }

  private convert(): Dropped {
    const { files, plan, published } = this;
    const target = new ReplacedFile(files, published.directory, published.name, published.temporary);
    let reader: FileReader | null = null;
    try {
      reader = new FileReader(files, this.file.path);
      const dropped = convertRdb(
        reader,
        new RdbWriter(target.put, published.sums, false),
        published.version,
        plan.nowMs,
      );
      target.commit();
      return { ...dropped, kept: 0 };
    } catch (thrown) {
      target.discard();
      throw thrown;
    } finally {
      reader?.close();
    }
  }

  discard(): void {
    this.file.discard();
    try {
      removeTree(this.files, this.writing);
    } catch {
      // The first failure is the one to report; the next start removes the directory.
    }
  }
}

function removeIfThere(files: Files, path: string): void {
  try {
    files.unlink(path);
  } catch {
    // It is not there, or the first failure is the one to report.
  }
}
