/** Makes a worker's part of being a primary (primary-feed.ts) of what is around it. */
import { systemClock } from "../base/clock.ts";
import { realFiles } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import type { RdbPersistence } from "../persistence/rdb-persistence.ts";
import type { ReplicationState } from "../replication/state.ts";
import type { Client } from "./client.ts";
import type { ClientPause } from "./client-pause.ts";
import type { Engine } from "./engine.ts";
import type { Mailbox } from "./mailbox.ts";
import type { ProcessFacts, ToMain } from "./messages.ts";
import { PrimaryFeed } from "./primary-feed.ts";

/** What the worker has; the mailbox is made after the feed. */
export interface PrimaryWorker {
  readonly engine: Engine;
  readonly clients: ReadonlyMap<number, Client>;
  readonly facts: ProcessFacts;
  readonly log: Logger;
  readonly persistence: RdbPersistence;
  mailbox(): Mailbox;
  pause(): ClientPause;
  post(message: ToMain): void;
  guard(work: () => void): void;
}

export function primaryFeedOf(state: ReplicationState, worker: PrimaryWorker): PrimaryFeed {
  const { engine, clients, facts, log, persistence } = worker;
  const feed = new PrimaryFeed(state, {
    worker: engine.worker,
    workers: facts.workers,
    control: engine.arena.control,
    config: engine.config,
    files: realFiles,
    clock: systemClock,
    cells: engine.cells,
    log,
    client: (id) => clients.get(id),
    post: (message) => worker.post(message),
    touch: () => engine.turn.touch(),
    wake: (to) => worker.mailbox().wakeOne(to),
    guard: (work) => worker.guard(work),
    changes: () => engine.store.changes,
    hold: (isHeld) => worker.pause().brake(isHeld),
    functions: () => persistence.functionsAlone(engine.config.number("replication.rdb_version")),
  });
  engine.feed = feed;
  return feed;
}
