/** What a connection has announced by REPLCONF: facts about the replica at its other end. */
export class ReplicaPeer {
  /** The port at which the replica itself can be reached, 0 = unknown. */
  port = 0;
  /** Its address, where that is not the one of the connection. */
  host = "";
  /** It reads a snapshot of unknown length, and knows PSYNC's ids. */
  hasEof = false;
  hasPsync2 = false;
  /** Its connection ends with the snapshot. */
  wantsSnapshotAlone = false;
  /** The snapshot has the functions, and no keys. */
  wantsFunctionsAlone = false;
}

/** What SYNC or PSYNC asks for. */
export interface SyncRequest {
  /** The id of the replica's history, "?" = it has none, or "" with SYNC. */
  readonly id: string;
  /** It has everything before this offset; -1 = nothing. */
  readonly offset: number;
}
