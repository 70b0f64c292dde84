/**
 * The main thread's care of the segment files that the base of the append-only file refers to (persistence/segment-manifest.ts). Such a
 * file is pinned, so nobody unlinks it (MANIFEST-2) until another base has taken the place of this one.
 *
 *   start    the base's manifest: its files are entered in the table, pinned, and shared out among the workers; all others go
 *   rewrite  a snapshot pins what it refers to → manifest → the new base has its place → the pins of the old one go
 *   garbage  pinned files that no record refers to any more: when they are many, the append-only file is rewritten
 */
import { join, resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import { StartupError } from "../base/errors.ts";
import { FileFailure, type Files, realFiles } from "../base/files.ts";
import { reached } from "../base/kill-point.ts";
import type { Logger } from "../base/log.ts";
import type { Control } from "../memory/control.ts";
import {
  manifestIdOf,
  newManifestId,
  readSegmentManifest,
  removeManifests,
  type SegmentManifest,
  writeSegmentManifest,
} from "../persistence/segment-manifest.ts";
import { ENTRY_UNIT_BYTES } from "../store/cold.ts";
import { ColdFiles } from "../store/cold-files.ts";
import { Keyspaces } from "../store/keyspaces.ts";
import { SnapshotState } from "../store/snapshot.ts";

/**
 * What the base of the append-only file in data_dir refers to; null = nothing. It matters also while the file is off, because it may
 * be loaded later. Throws StartupError when the file is to be loaded and cannot be. `isThere`: its data comes from elsewhere.
 */
export function findManifest(
  config: Config,
  log: Logger,
  isThere: boolean,
  files: Files = realFiles,
): SegmentManifest | null {
  const directory = resolve(config.text("storage.data_dir"));
  const path = join(directory, config.text("persistence.aof_filename"));
  const isLoaded = config.flag("persistence.enable_aof") && !isThere;
  let why: string;
  try {
    const id = manifestIdOf(files, path);
    if (id === "") return null;
    const manifest = readSegmentManifest(files, directory, id);
    if (typeof manifest !== "string" && (config.flag("storage.tiering") || !isLoaded)) return manifest;
    why = typeof manifest === "string" ? manifest : "storage.tiering is off";
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    why = thrown.message;
  }
  const text = `${path} refers to values in segment files`;
  if (!isLoaded) {
    log.warn(`${text}, and cannot be loaded any more: ${why}`);
    return null;
  }
  const hints = [
    why,
    "Put the directory `segments` back that belongs to this file, and start with storage.tiering = true.",
    "To leave the disk tier: CONFIG SET persistence.aof_segment_references no, and BGREWRITEAOF, before the restart.",
  ];
  throw new StartupError(`${text}, and cannot be loaded`, hints, 1);
}

export class SegmentReferences {
  private readonly files: ColdFiles;
  private readonly keyspaces: Keyspaces;
  private readonly snapshots: SnapshotState;
  /** The files of the base that is in use, or of all that may be, by the id of their manifest. */
  private readonly kept = new Map<string, readonly number[]>();

  constructor(
    private readonly config: Config,
    private readonly log: Logger,
    control: Control,
    private readonly system: Files = realFiles,
  ) {
    this.files = new ColdFiles(control);
    this.keyspaces = new Keyspaces(control);
    this.snapshots = new SnapshotState(control);
  }

  private get directory(): string {
    return resolve(this.config.text("storage.data_dir"));
  }

  // ---- the start ----

  /**
   * Enters and pins the files of the base. `isThere`: the data is in place, and with it the files that it refers to. Returns number and
   * units of the files that the workers are to learn of.
   */
  begin(manifest: SegmentManifest, isThere: boolean): number[] {
    const { files } = this;
    const entered: number[] = [];
    const last = manifest.files.reduce((most, { file }) => Math.max(most, file), files.last);
    for (const { file, units } of manifest.files) {
      if (!files.isOpen(file)) {
        files.adopt(file, units, 0, 0, last);
        entered.push(file, units);
      }
      files.keep(file);
    }
    if (!isThere) this.keyspaces.arrange(manifest.keyspaces);
    this.kept.set(
      manifest.id,
      manifest.files.map(({ file }) => file),
    );
    return entered;
  }

  /** Removes the manifests of other bases. */
  tidy(): void {
    try {
      removeManifests(this.system, this.directory, (id) => this.kept.has(id));
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      this.log.warn(`manifests of segment files could not be removed: ${thrown.message}`);
    }
  }

  // ---- rewrites ----

  /** Id of the manifest of a base that is to be written, "" = it will have all values itself. */
  newId(): string {
    const { config } = this;
    const isWanted = config.flag("storage.tiering") && config.flag("persistence.aof_segment_references");
    return isWanted ? newManifestId() : "";
  }

  /**
   * The base `id` of `baseBytes` was written, and refers to `pinned`, each of which is pinned once for each time that it is there. The snapshot that
   * it is of is still claimed. Throws FileFailure, with the pins gone.
   */
  add(id: string, pinned: readonly number[], baseBytes: number): void {
    if (id === "") return;
    const numbers = new Set<number>();
    for (const file of pinned) {
      if (numbers.has(file)) this.files.unpin(file);
      numbers.add(file);
    }
    this.kept.set(id, [...numbers]);
    const files = [...numbers].map((file) => ({ file, units: this.files.writtenUnits(file) }));
    try {
      writeSegmentManifest(this.system, this.directory, { id, baseBytes, keyspaces: this.keyspacesAtCut(), files });
    } catch (thrown) {
      this.drop(id);
      throw thrown;
    }
    reached("references-written");
  }

  private keyspacesAtCut(): number[] {
    const { databases } = this.keyspaces;
    const map = new Array<number>(databases).fill(-1);
    for (let keyspace = 0; keyspace < this.keyspaces.scripts; keyspace++) {
      const db = this.snapshots.databaseOf(keyspace);
      if (db >= 0) map[db] = keyspace;
    }
    return map;
  }

  /** The snapshot of a base failed. */
  release(pinned: readonly number[]): void {
    for (const file of pinned) this.files.unpin(file);
  }

  /** The base `id` is the file's now, or, with false, will never be. */
  settle(id: string, isUsed: boolean): void {
    if (!isUsed) this.drop(id);
    else for (const other of [...this.kept.keys()]) if (other !== id) this.drop(other);
    this.tidy();
  }

  private drop(id: string): void {
    for (const file of this.kept.get(id) ?? []) this.files.unpin(file);
    this.kept.delete(id);
  }

  // ---- garbage ----

  /** True when the base keeps so many bytes on the disk that nothing else needs that another one is worth while. */
  get isWasteful(): boolean {
    const { config, files, kept } = this;
    if (kept.size === 0) return false;
    let wasted = 0;
    for (const file of new Set([...kept.values()].flat()))
      if (files.liveRecords(file) === 0) wasted += files.writtenUnits(file);
    const most = config.number("storage.compaction_threshold") * files.totals().writtenUnits;
    return wasted > most && wasted * ENTRY_UNIT_BYTES > config.number("storage.tier_segment_size");
  }
}
