/**
 * Inner commands: the commands that another one runs in its section, those of EXEC and of a script. The section holds the
 * locks of their shards and runs at once, so each of them answers at once (TRANSACTION-3).
 *
 *   begin ─ run, for each command: the arguments are in the call, its row in `spec` ─ end
 */
import { assert } from "../base/assert.ts";
import { ErrorText } from "../protocol/errors.ts";
import { NO_PIN, PinnedWalk, type Reply, type ReplyTarget } from "../protocol/reply.ts";
import { ColdFailure } from "../store/cold-stops.ts";
import type { Key } from "../store/key.ts";
import type { Section } from "../store/section.ts";
import type { Shard } from "../store/shard.ts";
import type { Store } from "../store/store.ts";
import type { StagedValue } from "../store/large.ts";
import { type Call, noArguments, releaseArguments } from "./call.ts";
import type { CommandObserver } from "./command-observer.ts";
import type { CommandStatistics } from "./command-statistics.ts";
import { isOfOneKey, KeyArguments } from "./key-arguments.ts";
import { type CommandSpec, DENY_OOM, Done, Effect, type Outcome, WRITE } from "./spec.ts";

/** What inner commands ask of the dispatcher. */
export interface InnerHost {
  readonly memoryExceeded: boolean;
  readonly observer: CommandObserver | null;
  readonly statistics: CommandStatistics;
  /** The key event of a row. */
  eventOf(row: number): number;
}

/** The command that runs others, as `begin` found it. */
export class OuterCommand {
  readonly args = noArguments();
  staged: readonly StagedValue[] = NOTHING_STAGED;
  deniesBlocking = false;
  /** When it began, for the statistics. */
  beganMs = 0;

  constructor(public spec: CommandSpec) {}
}
const NOTHING_STAGED: readonly never[] = [];

export class InnerCommands {
  private readonly store: Store;
  private readonly section: Section;
  private readonly keyArguments = new KeyArguments();
  /** One for each depth: EXEC, and a script inside it. */
  private readonly outers: OuterCommand[] = [];
  private depth = 0;

  constructor(
    private readonly call: Call,
    private readonly host: InnerHost,
  ) {
    this.store = call.store;
    this.section = call.store.section;
  }

  /** Other commands follow in the section of the one at work. */
  begin(): OuterCommand {
    const { call, host, section, store } = this;
    const { session, spec, staged } = call;
    if (!section.isAtOnce) {
      section.runAtOnce();
      this.depth = 0;
    }
    store.membersAhead.next = store.membersAhead.end;
    const outer = this.outer(spec);
    outer.spec = spec;
    outer.staged = staged;
    call.noteArguments(outer.args);
    outer.deniesBlocking = session.deniesBlocking;
    session.deniesBlocking = true;
    outer.beganMs = host.statistics.beginInner();
    return outer;
  }

  private outer(spec: CommandSpec): OuterCommand {
    if (this.depth === this.outers.length) this.outers.push(new OuterCommand(spec));
    return this.outers[this.depth++]!;
  }

  /** The outer command continues. */
  end(outer: OuterCommand): void {
    const { call, host } = this;
    const { spec, args, staged, deniesBlocking, beganMs } = outer;
    this.depth--;
    const { session } = call;
    host.statistics.endInner(spec, beganMs);
    session.deniesBlocking = deniesBlocking;
    call.spec = spec;
    call.setClient(session, staged);
    call.keyspace = call.keyspaces.of(session.db);
    call.restoreArguments(args);
    // The buffer of a large batch is not kept alive.
    releaseArguments(args);
    outer.staged = NOTHING_STAGED;
  }

  /**
   * Runs the command in the call's arguments, whose row is `spec` and has the number `row`. `key`: its only key, hashed already, for
   * which the index may have a hint; null = not known.
   */
  run(spec: CommandSpec, row: number, staged: readonly StagedValue[], reply: Reply, key: Key | null): void {
    const { call, host, store } = this;
    const { statistics, observer } = host;
    const { session } = call;
    call.setClient(session, staged);
    call.spec = spec;
    call.keyspace = call.keyspaces.of(session.db);
    store.datesAccess = !session.noTouch;
    store.datesFinds = (spec.flags & WRITE) !== 0 && !session.noTouch;
    store.hooks.valueEvent = host.eventOf(row);
    observer?.begin(call, reply.written);
    if (row !== statistics.row) statistics.beginRun(row);
    const { errors } = reply;
    this.runHandler(reply, key);
    if (observer !== null) observer.end(call, reply.written);
    if (reply.errors !== errors) statistics.failed(row);
    statistics.endedInner(call);
  }

  private runHandler(reply: Reply, key: Key | null): void {
    const { call, store, section } = this;
    const { spec, effects, staged } = call;
    if (key === null) store.index.hintWord = -1;
    if ((spec.flags & DENY_OOM) !== 0) {
      // Two keys may each open a segment. Whatever needs more reserves it itself.
      const keys = key !== null || isOfOneKey(spec, call.argCount) ? 1 : 2;
      if (!section.reserve(store.pool.commandChunks * keys)) return reply.error(ErrorText.outOfMemory);
      if (staged.length > 0 && effects.isOn) effects.copyStaged(staged);
    }
    if (key !== null) store.select(call.keyspace, key);
    else if (!this.selectKeys()) return reply.error(ErrorText.keyTooLong);
    const { changes } = store;
    const { at, handedOn } = reply;
    let outcome: Outcome = Done;
    try {
      outcome = (key !== null ? spec.run(call, reply) : this.runMany(reply)) ?? Done;
    } catch (thrown) {
      // A cold value that cannot be read fails its command alone, as long as that has changed nothing.
      if (!(thrown instanceof ColdFailure) || store.changes !== changes || reply.handedOn !== handedOn) throw thrown;
      reply.at = at;
      return reply.error(thrown.message);
    }
    assert(outcome === Done, "a command of a transaction answers at once (TRANSACTION-3)");
    const { tracking } = call.session;
    if (tracking !== null) call.tracking.remember(tracking, spec, false);
    if (spec.effect === Effect.AsSent && store.changes !== changes && effects.isAttached) effects.changed(call);
  }

  /** A command that may have several keys. */
  private runMany(reply: Reply): Outcome | void {
    const { call } = this;
    const { spec } = call;
    return isOfOneKey(spec, call.argCount) ? spec.run(call, reply) : call.cold.run(spec, reply);
  }

  /** Selects the only key of the command, or sees that it can have all its keys. Returns false when one is too long. */
  private selectKeys(): boolean {
    const { call, store, keyArguments } = this;
    const { spec, key } = call;
    if (isOfOneKey(spec, call.argCount)) {
      if (!key.load(call.bytes, call.argAt(1), call.argBytes(1))) return false;
      store.select(call.keyspace, key);
      return true;
    }
    keyArguments.find(call, spec, 0, call.argCount);
    for (let n = 0; n < keyArguments.count; n++) {
      const i = keyArguments.at[n]!;
      if (!key.load(call.bytes, call.argAt(i), call.argBytes(i))) return false;
    }
    return true;
  }

  /** Takes the replies of commands whose client wants none. The locks of their shards are held. */
  readonly nowhere: ReplyTarget = {
    isGone: false,
    handOn: (bytes) => bytes,
    stream: (part) => {
      if (part.pin !== NO_PIN) this.unpin(part.shard, part.pin);
      if (part instanceof PinnedWalk) part.close();
    },
  };

  /** Releases a pin of a shard whose lock is held. */
  unpin(shard: Shard, pin: number): void {
    const { store } = this;
    shard.rearranges();
    store.large.unpin(shard, pin, store.nowSeconds);
  }
}
