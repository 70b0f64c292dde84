/** What the main thread and the workers tell each other of full synchronizations. */

/** A snapshot that replicas receive. */
export interface Sync {
  readonly number: number;
  /** The history and the offset of the data. */
  readonly id: string;
  readonly offset: number;
  /** Its file, which grows while it is sent. */
  readonly path: string;
  /** It is sent while it grows, with a mark behind it; otherwise once its length is known. */
  readonly isEof: boolean;
}

/** Names of the files of snapshots in the data directory. */
export const SYNC_FILE = /^sync-\d+-\d+\.rdb$/;
