/**
 * Section: a critical section over shards, and the only way to hold their locks. One per thread, entered by a command, a
 * step of background work or an eviction, and left by whoever entered it.
 *
 *   enter ── locks, in ascending order ── change the data ── leave: serve waiting clients │ report the change │ unlock
 *
 * Sections nest: within an outer section `enter` only counts, or adds the lock of one more shard when that is free, and
 * everything `leave` does waits for the end of the outermost one. EXEC and scripts run their commands that way, in a
 * section that `runAtOnce` has marked: nothing inside it may be put off to a later turn.
 *
 * Memory is reserved before the first change: `reserve` takes chunks of the frame pool aside, so that no other worker can
 * take them between the moment a command is admitted and the moment it needs them.
 *
 * Waiting for a lock is bounded per turn, not per lock: the sleeps and spins of all sections of a turn come out of one
 * budget, which `beginTurn` renews. When it is used up, locks are only tried for.
 *
 * Invariants
 *   S1  locks are waited for in ascending order of shards; out of order they are only tried for
 *   S2  the places made ready in a section are served before its locks go
 *   S3  an exception in a section that changed nothing releases its locks; after the first change the locks stay held and
 *       FatalError stops the process, so that nothing half changed is ever read
 *   S4  a lock kept for the next command (`keep`) is resumed or released before any other section is entered
 */
import { assert, BrokenInvariant } from "../base/assert.ts";
import type { Control } from "../memory/control.ts";
import type { FramePool } from "../memory/frame-pool.ts";
import { HELD_WITH_SLEEPERS, SLEEP_MS, sleepLock, spinLock, tryLock, unlock, waits } from "../memory/lock.ts";
import type { Ref } from "../structures/pages.ts";
import { LOCK_AT, LOG_POSITION_AT, MUTATING_AT, Mutating, OWNER_AT } from "./shard.ts";

/** Sleeps (of 1 ms) and spins (of about 3 us) of one turn, over all the locks it asks for. */
const SLEEPS_A_TURN = 2;
const SPINS_A_TURN = 128;
/** Attempts at a lock out of order: some tens of microseconds. */
const TRIES = 2000;
/** A set of up to so many shards is sorted as they are named; a larger one is gathered in a map of all shards. */
const FEW = 8;

/** An exception after the first change of a section: the data may be half changed, so the process must stop. */
export class FatalError extends Error {
  override name = "FatalError";
  constructor(cause: unknown) {
    super(`broken inside a critical section: ${cause instanceof Error ? cause.stack : String(cause)}`, { cause });
  }
}

/** A place of waiting clients (waiters.ts) whose key changed. */
export interface ReadyPlace {
  readonly shard: number;
  readonly place: Ref;
}

/** Gathers what a section changed, see dispatch/effects.ts. */
export interface EffectsOfSection {
  /** Appends what was gathered to the change log. */
  flush(): void;
}

export class Section {
  /** Shards whose locks are held, the first `heldCount`. Ascending, but for those that were only tried for. */
  readonly held: Int32Array;
  heldCount = 0;
  /** Sections entered and not left. 0 with a lock held: that lock is kept for the next command (S4). */
  private depth = 0;
  /** True while nothing may be put off to a later turn; see `runAtOnce`. */
  isAtOnce = false;
  /** Places to serve before the locks go (S2). */
  private readonly ready: ReadyPlace[] = [];
  /** More chunks than every command has are reserved: given up at the end of the outermost section. */
  private hasReserved = false;
  /** True when leaving means more than to unlock: one load tells on the way out. */
  private hasEndWork = false;
  /** Serves the places that are ready; called with the locks held. More may become ready meanwhile. */
  serve: (ready: readonly ReadyPlace[]) => void = () => {};
  /** Where the effects of the section are gathered; null = nowhere. */
  effects: EffectsOfSection | null = null;
  /** The section has effects that are to be appended to the change log. */
  private isEffective = false;
  /**
   * Called once for each outermost section that changed data, after the last change and before the locks go: what it
   * changed is appended to the change log there. Null while there is no log.
   */
  get ends(): ((section: Section) => void) | null {
    return this.reporter;
  }
  set ends(reporter: ((section: Section) => void) | null) {
    this.reporter = reporter;
    this.hasEndWork = true;
  }
  private reporter: ((section: Section) => void) | null = null;
  /** Highest change position of the shards of all sections since the owner set this to 0. Counted only with `ends`. */
  seenPosition = 0;

  /** Shards named for the set that is entered next, ascending. */
  private readonly wants: Int32Array;
  private wantCount = 0;
  private readonly wanted: Uint8Array;
  private isMany = false;

  private readonly c: Int32Array;
  private readonly f64: Float64Array;
  private readonly firstHeader: number;
  private readonly headerWords: number;
  private readonly shards: number;
  private readonly owner: number;
  private sleepsLeft = SLEEPS_A_TURN;
  private spinsLeft = SPINS_A_TURN;

  constructor(
    control: Control,
    worker: number,
    private readonly pool: FramePool,
  ) {
    this.c = control.i32;
    this.f64 = control.f64;
    this.firstHeader = control.shardsAt;
    this.headerWords = control.geometry.shardWords;
    this.shards = control.geometry.shards;
    this.owner = worker + 1;
    this.held = new Int32Array(this.shards);
    this.wants = new Int32Array(this.shards);
    this.wanted = new Uint8Array(this.shards);
  }

  /** A turn begins: its sections may wait for locks again. */
  beginTurn(): void {
    this.sleepsLeft = SLEEPS_A_TURN;
    this.spinsLeft = SPINS_A_TURN;
  }

  // ---- entering ----

  /** Enters with the lock of `shard`. Returns false, with nothing entered, when the lock is not free now. */
  enter(shard: number): boolean {
    if (this.heldCount !== 0) return this.enterNested(shard);
    const header = this.firstHeader + shard * this.headerWords;
    if (!tryLock(this.c, header + LOCK_AT) && !this.waitFor(header)) return false;
    this.hold(shard, header);
    return true;
  }

  /** As `enter`, without waiting: false when somebody else holds the lock. */
  tryEnter(shard: number): boolean {
    if (this.heldCount !== 0) return this.enterNested(shard);
    const header = this.firstHeader + shard * this.headerWords;
    if (!tryLock(this.c, header + LOCK_AT)) return false;
    this.hold(shard, header);
    return true;
  }

  private hold(shard: number, header: number): void {
    this.c[header + OWNER_AT] = this.owner;
    this.held[0] = shard;
    this.heldCount = 1;
    this.depth = 1;
  }

  private enterNested(shard: number): boolean {
    assert(this.depth > 0, "a lock kept for the next command is resumed or released first (S4)");
    if (!this.holds(shard)) {
      assert(!this.isAtOnce, "what runs at once holds every lock that it needs");
      if (!this.tryAdd(shard)) return false;
    }
    this.depth++;
    return true;
  }

  /** Begins a set of about `keys` shards, to be named by `want` and entered together by `enterSet`. */
  beginSet(keys: number): void {
    this.wantCount = 0;
    this.isMany = keys > FEW;
    if (this.isMany) this.wanted.fill(0);
  }
  want(shard: number): void {
    if (this.isMany) {
      if (this.wanted[shard] === 0) this.wantCount++;
      this.wanted[shard] = 1;
    } else {
      this.insert(shard);
    }
  }
  /** Shards named for the set. */
  get setSize(): number {
    return this.wantCount;
  }

  private insert(shard: number): void {
    const { wants } = this;
    let at = this.wantCount;
    while (at > 0 && wants[at - 1]! > shard) at--;
    if (at > 0 && wants[at - 1] === shard) return;
    for (let i = this.wantCount; i > at; i--) wants[i] = wants[i - 1]!;
    wants[at] = shard;
    this.wantCount++;
  }

  /** Enters with the locks of the set, all or none. Returns false when one of them is not free now. */
  enterSet(): boolean {
    if (this.isMany) {
      let count = 0;
      for (let shard = 0; shard < this.shards; shard++) if (this.wanted[shard] === 1) this.wants[count++] = shard;
    }
    return this.enterWanted();
  }

  /** Enters with the locks of all shards, all or none. */
  enterAll(): boolean {
    for (let shard = 0; shard < this.shards; shard++) this.wants[shard] = shard;
    this.wantCount = this.shards;
    return this.enterWanted();
  }

  private enterWanted(): boolean {
    const { c, wants, wantCount, held } = this;
    if (this.heldCount !== 0) return this.enterWantedNested();
    for (let n = 0; n < wantCount; n++) {
      const shard = wants[n]!;
      const header = this.firstHeader + shard * this.headerWords;
      if (!tryLock(c, header + LOCK_AT) && !this.waitFor(header)) {
        this.unlockAll();
        return false;
      }
      c[header + OWNER_AT] = this.owner;
      held[this.heldCount++] = shard; // S1
    }
    this.depth = 1;
    return true;
  }

  private enterWantedNested(): boolean {
    assert(this.depth > 0, "a lock kept for the next command is resumed or released first (S4)");
    for (let n = 0; n < this.wantCount; n++) {
      const shard = this.wants[n]!;
      if (this.holds(shard)) continue;
      assert(!this.isAtOnce, "what runs at once holds every lock that it needs");
      // Locks added before stay held until the outermost section ends.
      if (!this.tryAdd(shard)) return false;
    }
    this.depth++;
    return true;
  }

  /** Adds the lock of one more shard, out of order, if it is free or nearly so. Returns false when it is not. */
  tryAdd(shard: number): boolean {
    if (this.holds(shard)) return true;
    const header = this.firstHeader + shard * this.headerWords;
    for (let n = 0; n < TRIES; n++) {
      if (tryLock(this.c, header + LOCK_AT)) {
        this.c[header + OWNER_AT] = this.owner;
        this.held[this.heldCount++] = shard;
        return true;
      }
      Atomics.pause();
    }
    return false;
  }

  /** Waits for a lock as far as the turn's budget goes. */
  private waitFor(header: number): boolean {
    if (this.spinsLeft > 0) {
      this.spinsLeft--;
      if (spinLock(this.c, header + LOCK_AT)) return true;
    }
    if (this.sleepsLeft <= 0) return false;
    const before = waits.sleeps;
    const isHeld = sleepLock(this.c, header + LOCK_AT, this.sleepsLeft * SLEEP_MS);
    this.sleepsLeft -= waits.sleeps - before;
    return isHeld;
  }

  /** Marks the outermost section: until it ends, `enter` must succeed and no command may ask to be retried. */
  runAtOnce(): void {
    assert(this.depth === 1, "the outermost section runs at once");
    this.isAtOnce = this.hasEndWork = true;
  }

  // ---- inside ----

  holds(shard: number): boolean {
    for (let n = 0; n < this.heldCount; n++) if (this.held[n] === shard) return true;
    return false;
  }

  /** True when data or memory of a shard held was changed since the section began. */
  get hasChanged(): boolean {
    for (let n = 0; n < this.heldCount; n++) if (this.c[this.headerOf(n) + MUTATING_AT] !== Mutating.No) return true;
    return false;
  }

  /** The memory of `shard`, held, is about to be rearranged, though no value changes: an exception is fatal from here. */
  rearranges(shard: number): void {
    const at = this.firstHeader + shard * this.headerWords + MUTATING_AT;
    if (this.c[at] === Mutating.No) this.c[at] = Mutating.Memory;
  }

  /** Highest change position of the shards held. */
  get position(): number {
    let highest = 0;
    for (let n = 0; n < this.heldCount; n++) {
      const position = this.f64[(this.headerOf(n) + LOG_POSITION_AT) >>> 1]!;
      if (position > highest) highest = position;
    }
    return highest;
  }

  /** Dates the change of each shard held that changed: `position` is where the log has it. For `ends`. */
  setPosition(position: number): void {
    for (let n = 0; n < this.heldCount; n++) {
      const header = this.headerOf(n);
      if (this.c[header + MUTATING_AT] === Mutating.Data) this.f64[(header + LOG_POSITION_AT) >>> 1] = position;
    }
  }

  /** True when somebody sleeps until the lock of a shard held is free. */
  isWaitedFor(shard: number): boolean {
    return this.c[this.firstHeader + shard * this.headerWords + LOCK_AT] === HELD_WITH_SLEEPERS;
  }

  private headerOf(n: number): number {
    return this.firstHeader + this.held[n]! * this.headerWords;
  }

  /**
   * Reserves chunks of the frame pool, so that this thread has at least `chunks`: before the locks or inside the section,
   * but before its first change. Given up at the end of the section, but for what every command has ahead. Returns false
   * when there are not as many.
   */
  reserve(chunks: number): boolean {
    if (!this.pool.reserve(chunks)) return false;
    if (chunks > this.pool.ahead) this.hasReserved = this.hasEndWork = true;
    return true;
  }

  /** Clients wait at `place`, whose key the section has changed: they are served before the locks go. */
  addReady(shard: number, place: Ref): void {
    this.ready.push({ shard, place });
    this.hasEndWork = true;
  }

  /** The section has effects: they are appended before the locks go. */
  hasEffects(): void {
    this.isEffective = this.hasEndWork = true;
  }

  // ---- leaving ----

  /** Leaves. The outermost section serves the clients blocked on its keys, reports its change and releases its locks. */
  leave(): void {
    if (this.depth !== 1) {
      assert(this.depth > 1, "a section that was entered is left once");
      this.depth--;
      return;
    }
    if (this.hasEndWork) this.endWork();
    this.depth = 0;
    if (this.heldCount === 1) {
      this.heldCount = 0;
      const { c } = this;
      const header = this.firstHeader + this.held[0]! * this.headerWords;
      c[header + MUTATING_AT] = Mutating.No;
      c[header + OWNER_AT] = 0;
      unlock(c, header + LOCK_AT);
    } else {
      this.unlockAll();
    }
  }

  /** Leaves, as a command does whose lock is kept for the next one of a run (S4). Only with one lock, and not nested. */
  keep(): void {
    assert(this.depth === 1, "only the outermost section keeps its lock");
    if (this.hasEndWork) this.endWork();
    this.depth = 0;
    for (; this.heldCount > 1; this.heldCount--) this.unlockLast();
    this.c[this.headerOf(0) + MUTATING_AT] = Mutating.No;
  }
  /** Enters again with the lock that was kept. */
  resume(): void {
    assert(this.depth === 0 && this.heldCount === 1, "a lock that was kept is resumed once");
    this.depth = 1;
  }
  /** Releases the lock that was kept. */
  release(): void {
    assert(this.depth === 0 && this.heldCount === 1, "a lock that was kept is released once");
    this.unlockAll();
  }

  /** Serves the clients blocked on its keys, reports the change, and releases what is still reserved. */
  private endWork(): void {
    if (this.ready.length !== 0) this.serveReady();
    if (this.isEffective) this.appendEffects();
    if (this.reporter !== null) this.report(this.reporter);
    if (this.hasReserved) this.pool.unreserve(this.pool.ahead);
    this.hasReserved = false;
    this.isAtOnce = false;
    this.hasEndWork = this.reporter !== null;
  }

  private serveReady(): void {
    try {
      this.serve(this.ready);
      this.ready.length = 0;
    } catch (error) {
      throw this.failed(error);
    }
  }

  private appendEffects(): void {
    this.isEffective = false;
    try {
      this.effects!.flush();
    } catch (error) {
      throw this.failed(error);
    }
  }

  private report(ends: (section: Section) => void): void {
    try {
      for (let n = 0; n < this.heldCount; n++) {
        if (this.c[this.headerOf(n) + MUTATING_AT] !== Mutating.Data) continue;
        ends(this);
        break;
      }
    } catch (error) {
      throw this.failed(error);
    }
    this.seenPosition = Math.max(this.seenPosition, this.position);
  }

  private unlockAll(): void {
    for (; this.heldCount > 0; this.heldCount--) this.unlockLast();
  }

  private unlockLast(): void {
    assert(this.ready.length === 0, "places made ready are served before the locks go (S2)");
    assert(!this.isEffective, "effects are appended before the locks go (EFFECTS-2)");
    const { c } = this;
    const header = this.headerOf(this.heldCount - 1);
    c[header + MUTATING_AT] = Mutating.No;
    c[header + OWNER_AT] = 0;
    unlock(c, header + LOCK_AT);
  }

  /**
   * An exception was thrown inside: ends the section, nested or not (S3). Returns what the caller must throw: the error
   * itself with the locks released, or FatalError with the locks held.
   */
  failed(error: unknown): unknown {
    if (error instanceof FatalError || this.heldCount === 0) return error;
    if (error instanceof BrokenInvariant || this.hasChanged) return new FatalError(error);
    assert(this.ready.length === 0, "a place is made ready by a change");
    this.depth = 0;
    this.isAtOnce = false;
    this.unlockAll();
    return error;
  }

  /** Runs `work` in a section of `shard`. Returns false when the lock was not free. */
  within(shard: number, work: () => void): boolean {
    return this.enter(shard) && this.finish(work);
  }
  /** As `within`, without waiting for the lock. */
  tryWithin(shard: number, work: () => void): boolean {
    return this.tryEnter(shard) && this.finish(work);
  }
  /** As `within`, over the set named by `want`. */
  withinSet(work: () => void): boolean {
    return this.enterSet() && this.finish(work);
  }
  /** As `within`, over all shards. */
  withinAll(work: () => void): boolean {
    return this.enterAll() && this.finish(work);
  }

  private finish(work: () => void): true {
    try {
      work();
      this.leave();
    } catch (error) {
      throw this.failed(error);
    }
    return true;
  }
}
