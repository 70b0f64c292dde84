/** Messages between the main thread and its workers. */
import type { ConfigChange, ConfigSnapshot } from "../base/config/config.ts";
import type { RdbFormat } from "../persistence/rdb-record.ts";
import type { Sync } from "./primary-messages.ts";
import type { SnapshotPurpose } from "./snapshot-messages.ts";
import type { LoadRequest, LoadResult } from "./aof-load.ts";
import type { RdbLoadRequest, RdbLoadResult } from "./rdb-load.ts";
import type { Adopted, ImageReadRequest } from "./image-messages.ts";
import type { SyncedFile } from "./replica-link.ts";
import type { TlsMaterial } from "./tls-files.ts";
import type { PrefixChange } from "../dispatch/broadcasts.ts";
import type { HotKeysAnswer, HotKeysAsk } from "../dispatch/hot-keys.ts";
import type { StatisticsAnswer, StatisticsAsk } from "../dispatch/command-statistics.ts";
import type {
  ClientFilter,
  ClientLine,
  HandOverAsk,
  Pause,
  ProfileFile,
  ProfileRequest,
  ReloadOptions,
} from "../dispatch/services.ts";
import type { UserAnswer, UserAsk } from "./user-changes.ts";

/** Facts about the process that every worker shows in INFO. */
export interface ProcessFacts {
  startedMs: number;
  runId: string;
  workers: number;
  configFile: string;
  executable: string;
  /** The service manager that is told of the state: "systemd" or "no". */
  supervised: string;
  /** Clients that the descriptor limit leaves room for. maxclients is never higher. */
  clientsPossible: number;
}

/** Lines of MONITOR in one array, with the end offset and the time of each. */
export interface MonitorBatch {
  bytes: Uint8Array;
  ends: number[];
  wallMicros: number[];
  /** True when lines are missing, because more were made than could be sent. */
  isOverrun: boolean;
}

/** A request of one worker to all. */
export type Ask =
  | { kind: "clients"; filter: ClientFilter }
  /** `asker`: the asking session. It counts as killed, but is not closed. */
  | { kind: "kill"; filter: ClientFilter; asker: number }
  | { kind: "config"; changes: readonly ConfigChange[] }
  | { kind: "activeExpire"; on: boolean }
  | { kind: "pause"; mode: Pause; untilMs: number }
  | { kind: "unpause" }
  | { kind: "unblock"; client: number; withError: boolean }
  /** Only the main thread does this, and answers. */
  | { kind: "rewriteConfig"; users: Readonly<Record<string, string>> | null }
  | { kind: "rewriteAof" }
  | LoadAsk
  | { kind: "handOver"; ask: HandOverAsk }
  | { kind: "evict" }
  /** Whether the worker `receiver` has monitoring connections. */
  | { kind: "monitor"; receiver: number; receives: boolean }
  | { kind: "hotKeys"; of: HotKeysAsk }
  | { kind: "statistics"; ask: StatisticsAsk }
  | { kind: "prefixes"; change: PrefixChange }
  | { kind: "users"; ask: UserAsk }
  /** Answered when the profile is taken. */
  | { kind: "profile"; request: ProfileRequest }
  | { kind: "reset" };

/** Only the main thread has the data loaded anew: from the append-only file, or from an RDB file. */
export type LoadAsk = { kind: "loadAof" } | { kind: "reloadRdb"; options: ReloadOptions };

export type Answer =
  | { kind: "clients"; lines: ClientLine[] }
  | { kind: "killed"; count: number; askerMatched: boolean }
  | { kind: "unblocked"; found: boolean }
  | { kind: "rewritten"; failure: string }
  | { kind: "rewriting"; failure: string }
  | { kind: "reloaded"; failure: string }
  | { kind: "handedOver"; failure: string }
  | { kind: "evicted"; isMore: boolean }
  | { kind: "hotKeys"; answer: HotKeysAnswer }
  | { kind: "statistics"; answer: StatisticsAnswer }
  | { kind: "users"; answer: UserAnswer }
  | { kind: "profile"; file: ProfileFile }
  | { kind: "done" };

export type ToWorker =
  | {
      kind: "start";
      worker: number;
      control: SharedArrayBuffer;
      regions: SharedArrayBuffer[];
      regionPort: MessagePort;
      /** Shared memory of the mailboxes, and a port to each other worker. */
      mailboxes: SharedArrayBuffer;
      mailPorts: (MessagePort | null)[];
      /** The ring of the replication stream. */
      replicationRing: SharedArrayBuffer;
      /** Memory of the workers that apply a primary's stream together. */
      crewMemory: SharedArrayBuffer;
      config: ConfigSnapshot;
      facts: ProcessFacts;
      /** The log queue; its ring `worker` is the worker's. */
      logs: SharedArrayBuffer;
      logRings: number;
      logBytes: number;
      /** The ACL file, a byte a character; null = there is none. */
      aclText: string | null;
    }
  | { kind: "listen"; tls: TlsMaterial | null }
  /** New TLS connections are served with these certificates. */
  | { kind: "renewTls"; material: TlsMaterial }
  /** The thread that writes snapshots is there: pieces go to `port`, as far as what waits in `queued` allows. */
  | { kind: "snapshotPort"; port: MessagePort; queued: SharedArrayBuffer }
  /** A snapshot is about to be cut. The worker answers "snapshotReady"; who is told to cut, "snapshotCutDone". */
  | { kind: "snapshotPrepare"; format: RdbFormat }
  | { kind: "snapshotCut"; purpose: SnapshotPurpose }
  | { kind: "snapshotWalk" }
  /** A snapshot for replicas was cut: `clients` of the worker receive it. Then, when its file is complete or has failed. */
  | { kind: "syncBegun"; sync: Sync; clients: number[] }
  /** The main thread has appended to the replication stream. */
  | { kind: "feedReplicas" }
  /** No snapshot could be taken: the replica must come again. */
  | { kind: "syncRefused"; client: number }
  | { kind: "syncEnded"; sync: number; bytes: number; failure: string }
  /** The role has changed. The worker answers "roleNoted", when it acts accordingly. */
  | { kind: "role"; epoch: number }
  /** To the worker with the link: the server follows that primary, or none ("unfollowed" is its answer). */
  | { kind: "follow"; host: string; port: number; epoch: number; hasHistory: boolean; handsOver: boolean }
  | { kind: "unfollow"; epoch: number }
  /** FAILOVER begins or has ended: clients' writes are suspended meanwhile. The worker answers "failoverNoted" to a begin. */
  | { kind: "failover"; isBegun: boolean }
  /** The file of a full synchronization is loaded, or could not be. */
  | { kind: "syncLoaded"; isDone: boolean }
  /** Loads an append-only file; the worker answers "loaded". */
  | { kind: "load"; request: LoadRequest }
  /** Loads the worker's part of an RDB file; the worker answers "loadedRdb". */
  | { kind: "loadRdb"; request: RdbLoadRequest }
  /** The data set is about to be loaded anew. The worker answers "idle": no command of a client is at work in it. */
  | { kind: "idle" }
  /** Empties all databases; the worker answers "emptied". */
  | { kind: "empty" }
  /** Writes the RDB file before the end; the worker answers "saved". */
  | { kind: "saveLast" }
  /** Changes go to the change log from now on. `released`: the thread of the file says by it that replies may leave. */
  | { kind: "log"; ring: string; logId: string; released: MessagePort }
  | { kind: "ask"; id: number; from: number; ask: Ask }
  | { kind: "answers"; id: number; answers: Answer[] }
  | { kind: "monitored"; from: number; batch: MonitorBatch }
  | { kind: "monitorTaken"; bytes: number }
  /** SIGUSR2: writes a snapshot of the heap. */
  | { kind: "heap" }
  /** A stop image: the worker reads its blocks, or frees what is no data. It answers "imageAnswer". */
  | { kind: "readImage"; request: ImageReadRequest }
  | { kind: "prepareImage" }
  /** The data of the image is in place. */
  | { kind: "adoptImage"; adopted: Adopted }
  /** The image has been used, or cannot be: clients may be served. */
  | { kind: "imageDone" }
  /** `settles`: the data is not touched any more when the worker answers. */
  | { kind: "stop"; settles: boolean };

export type ToMain =
  | { kind: "ready"; worker: number }
  /** A background save begins, whose claim the worker holds. */
  | { kind: "backgroundSave" }
  | { kind: "snapshotReady" }
  /** A replica waits for a snapshot; it reads one of unknown length. Then: it has it, or is gone. */
  | { kind: "replicaWaits"; worker: number; client: number; hasEof: boolean }
  | { kind: "replicaLeft"; client: number }
  | { kind: "snapshotCutDone"; position: number }
  | { kind: "listening"; worker: number }
  | { kind: "failed"; worker: number; text: string }
  | { kind: "stopped"; worker: number }
  /** `failure`: "" = none. */
  | { kind: "imageAnswer"; failure: string }
  | { kind: "idle" }
  | { kind: "roleNoted"; epoch: number }
  | { kind: "unfollowed"; epoch: number }
  | { kind: "failoverNoted" }
  /** The target of FAILOVER has answered. `refusal`: "" = it is the primary now, and this server its replica. */
  | { kind: "failoverAnswered"; epoch: number; refusal: string }
  /** The file of a full synchronization is there, and good: it is to replace the data. */
  | { kind: "synced"; file: SyncedFile }
  | { kind: "emptied" }
  | { kind: "loaded"; result: LoadResult }
  | { kind: "loadedRdb"; worker: number; result: RdbLoadResult }
  /** `failure`: "" = none. */
  | { kind: "saved"; failure: string }
  | { kind: "logging"; worker: number }
  /** The worker rests no longer (background.ts). */
  | { kind: "active" }
  | { kind: "region" }
  /** `isNow`: replicas are not waited for. `isBare`: nothing is left for the next start (NOSAVE). */
  | { kind: "shutdown"; isNow: boolean; isBare: boolean }
  | { kind: "fatal"; worker: number; text: string }
  | { kind: "ask"; worker: number; id: number; ask: Ask }
  | { kind: "monitored"; worker: number; to: number[]; batch: MonitorBatch }
  | { kind: "monitorTaken"; to: number; bytes: number }
  | { kind: "answer"; worker: number; to: number; id: number; answer: Answer };

/** What the thread of the append-only file starts with. */
export interface AofThreadStart {
  control: SharedArrayBuffer;
  ring: string;
  path: string;
  /** Where a rewritten file goes. */
  target: string;
  /** Length of the file. */
  bytes: number;
  logId: string;
  fsync: "always" | "everysec" | "no";
  port: MessagePort;
  workers: MessagePort[];
}
export type AofThreadMessage =
  | { kind: "fsync"; fsync: AofThreadStart["fsync"] }
  /** A rewrite begins; the thread answers "rewriteBegun". Then comes one of the two that follow, answered by "replaced". */
  | { kind: "beginRewrite" }
  | { kind: "replaceBy"; base: string; position: number }
  | { kind: "abandonRewrite" }
  | { kind: "stop" };
export type FromAofThread =
  | { kind: "begun" }
  | { kind: "failed"; text: string }
  | { kind: "trouble"; text: string; isLasting: boolean; isFatal: boolean }
  | { kind: "rewriteBegun" }
  /** `bytes`: length of the new file. */
  | { kind: "replaced"; failure: string; bytes: number }
  | { kind: "stopped"; isSafe: boolean };

/** Announces a region to a worker, through a port of its own, so that the worker can read it in the middle of a command. */
export interface RegionMessage {
  region: number;
  buffer: SharedArrayBuffer;
}
