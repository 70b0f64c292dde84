/**
 * Keyspaces: which keyspace each database stands for, and which keyspaces are in use. In the control block:
 *
 *   keyspace of database 0 │ of database 1 │ ... │ state of keyspace 0 │ of keyspace 1 │ ... │
 *
 * SWAPDB swaps two databases. FLUSHDB of a large database gives it a fresh keyspace, and the old one is emptied in steps.
 * The last two keyspaces stand for no database: they hold the texts of scripts and of libraries of functions, which all
 * workers share. Neither commands on keys, nor eviction, nor snapshots see them.
 *
 * Invariant
 *   KEYSPACE-1  every database stands for a keyspace of its own, which is Used
 * Locking: the holder of any shard lock reads; the holder of all shard locks writes, except that `release` needs no lock.
 */
import { Status } from "../base/status.ts";
import { type Control, INTERNAL_KEYSPACES, keyspacesOf } from "../memory/control.ts";

const KeyspaceState = { Free: 0, Used: 1, Emptying: 2 } as const;

export class Keyspaces {
  readonly databases: number;
  private readonly count: number;
  private readonly c: Int32Array;
  private readonly mapAt: number;
  private readonly stateAt: number;
  /** The internal keyspaces. */
  readonly scripts: number;
  readonly libraries: number;

  constructor(control: Control) {
    this.databases = control.geometry.databases;
    this.count = keyspacesOf(this.databases);
    this.c = control.i32;
    this.mapAt = control.keyspaceMapAt;
    this.stateAt = this.mapAt + this.databases;
    this.scripts = this.count - INTERNAL_KEYSPACES;
    this.libraries = this.scripts + 1;
  }

  /** Gives each database its first keyspace. Called once, by the thread that creates the control block. */
  initialize(): void {
    for (let db = 0; db < this.databases; db++) {
      this.setKeyspace(db, db);
      this.setState(db, KeyspaceState.Used);
    }
    for (let keyspace = this.scripts; keyspace < this.count; keyspace++) this.setState(keyspace, KeyspaceState.Used);
  }

  /** Databases stand for these keyspaces from now on. There are no keys yet, and no other thread knows the map. */
  arrange(keyspaces: readonly number[]): void {
    for (let keyspace = 0; keyspace < this.scripts; keyspace++) this.setState(keyspace, KeyspaceState.Free);
    for (const [db, keyspace] of keyspaces.entries()) {
      this.setKeyspace(db, keyspace);
      this.setState(keyspace, KeyspaceState.Used);
    }
  }

  /** First word of the map and the states, and their number: all there is about keyspaces. */
  get range(): readonly [number, number] {
    return [this.mapAt, this.databases + this.count];
  }

  /** Keyspace of database `db`. Valid while a shard lock is held. */
  of(db: number): number {
    return this.c[this.mapAt + db]!;
  }
  private setKeyspace(db: number, keyspace: number): void {
    this.c[this.mapAt + db] = keyspace;
  }
  private state(keyspace: number): number {
    return this.c[this.stateAt + keyspace]!;
  }
  private setState(keyspace: number, state: number): void {
    this.c[this.stateAt + keyspace] = state;
  }

  /** Database that keyspace `keyspace` stands for now, -1 when it is being emptied. */
  databaseOf(keyspace: number): number {
    for (let db = 0; db < this.databases; db++) if (this.of(db) === keyspace) return db;
    return -1;
  }

  isInternal(keyspace: number): boolean {
    return keyspace >= this.scripts;
  }

  swap(a: number, b: number): void {
    const keyspace = this.of(a);
    this.setKeyspace(a, this.of(b));
    this.setKeyspace(b, keyspace);
  }

  /** Gives `db` a fresh keyspace; the old one is to be emptied. Returns 0, or Status.Busy when no keyspace is free. */
  flush(db: number): number {
    for (let keyspace = 0; keyspace < this.count; keyspace++) {
      if (this.state(keyspace) !== KeyspaceState.Free) continue;
      this.setState(keyspace, KeyspaceState.Used);
      this.setState(this.of(db), KeyspaceState.Emptying);
      this.setKeyspace(db, keyspace);
      return 0;
    }
    return Status.Busy;
  }

  /** True when the keyspace was flushed: its keys are gone for commands, and are freed in steps. */
  isEmptying(keyspace: number): boolean {
    return this.state(keyspace) === KeyspaceState.Emptying;
  }
  get isEmptyingAny(): boolean {
    for (let keyspace = 0; keyspace < this.count; keyspace++) if (this.isEmptying(keyspace)) return true;
    return false;
  }
  /** Marks an emptied keyspace free again. */
  release(keyspace: number): void {
    Atomics.compareExchange(this.c, this.stateAt + keyspace, KeyspaceState.Emptying, KeyspaceState.Free);
  }
}
