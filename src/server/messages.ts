/** Messages between the main thread and its workers. */
import type { ConfigChange, ConfigSnapshot } from "../base/config/config.ts";
import type { MeterAnswer, MeterAsk } from "../commands/meter.ts";
import type { ClientLine, KillFilter, Pause } from "../commands/services.ts";

/** Facts about the process that every worker tells in INFO. */
export interface ProcessFacts {
  startedMs: number;
  runId: string;
  workers: number;
  configFile: string;
  executable: string;
  /** Clients the descriptor limit leaves room for: maxclients is never above it. */
  clientsPossible: number;
}

/** What one worker asks of all. */
export type Ask =
  | { kind: "clients" }
  /** `asker`: the session that asks; it is counted, and told of, but not closed. */
  | { kind: "kill"; filter: KillFilter; asker: number }
  | { kind: "config"; changes: readonly ConfigChange[] }
  | { kind: "activeExpire"; on: boolean }
  | { kind: "pause"; mode: Pause; untilMs: number }
  | { kind: "unpause" }
  | { kind: "unblock"; client: number; withError: boolean }
  | { kind: "meter"; ask: MeterAsk }
  | { kind: "reset" };

export type Answer =
  | { kind: "clients"; lines: ClientLine[] }
  | { kind: "killed"; count: number; askerMatched: boolean }
  | { kind: "unblocked"; found: boolean }
  | { kind: "meter"; answer: MeterAnswer }
  | { kind: "done" };

export type ToWorker =
  | {
      kind: "start";
      worker: number;
      control: SharedArrayBuffer;
      regions: SharedArrayBuffer[];
      regionPort: MessagePort;
      config: ConfigSnapshot;
      facts: ProcessFacts;
    }
  | { kind: "listen" }
  | { kind: "ask"; id: number; from: number; ask: Ask }
  | { kind: "answers"; id: number; answers: Answer[] }
  | { kind: "stop" };

export type ToMain =
  | { kind: "ready"; worker: number }
  | { kind: "listening"; worker: number }
  | { kind: "failed"; worker: number; text: string }
  | { kind: "stopped"; worker: number }
  | { kind: "log"; line: string }
  | { kind: "region" }
  | { kind: "shutdown" }
  | { kind: "fatal"; worker: number; text: string }
  | { kind: "ask"; worker: number; id: number; ask: Ask }
  | { kind: "answer"; worker: number; to: number; id: number; answer: Answer };

/** A region announced to a worker, through a port of its own so that it can be taken in the middle of a command. */
export interface RegionMessage {
  region: number;
  buffer: SharedArrayBuffer;
}
