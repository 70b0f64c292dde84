/**
 * Section: a critical section over shards, and the only way to hold their locks. One per thread, entered by a command, a
 * step of background work or an eviction, which also leaves it.
 *
 *   enter ── locks, in ascending order ── change the data ── leave: serve blocked clients │ append the effects │
 *            set the shards' log positions │ send messages │ send invalidations │ unlock │ deliver messages to own clients
 *
 * Sections nest: within an outer section `enter` only counts, or adds the lock of one more shard when that is free, and
 * everything that `leave` does waits for the end of the outermost one. EXEC runs its commands that way,
 * in a section that `runAtOnce` has marked: nothing inside it may be postponed to a later turn.
 *
 * Memory is reserved before the first change: `reserve` sets chunks of the frame pool aside, so that no other worker can
 * take them between the moment a command is admitted and the moment it needs them.
 *
 * Waiting for a lock is bounded per turn, not per lock: the sleeps and spins of all sections of a turn share one budget,
 * which `beginTurn` renews. When it is used up, locks are only tried for.
 *
 * Invariants
 *   SECTION-1  locks are waited for in ascending order of shards; out of order they are only tried for (but see SECTION-5)
 *   SECTION-2  the waited keys that became ready in a section are served before its locks are released
 *   SECTION-3  an exception in a section that changed nothing releases its locks; after the first change the locks stay held
 *              and FatalError stops the process, so that half-changed data is never read
 *   SECTION-4  a lock retained for the next command (`retain`) is resumed or released before any other section is entered
 *   SECTION-5  at most one thread waits for locks out of order and without a bound: the holder of the script lock. All others
 *              give up after their budget and release what they hold, so it always gets them
 *   SECTION-6  a shard that is lent is used by the borrower alone until it was given back. The lender holds the lock all the time,
 *              and releases it
 */
import { ColdStop } from "./cold-stops.ts";
import { Mutating, type Shard } from "./shard.ts";
import type { Ref } from "../structures/pages.ts";
import { assert, BrokenInvariant } from "../base/assert.ts";
import type { FramePool } from "../memory/frame-pool.ts";
import { SLEEP_MS, sleepLock, spinLock, tryLock, waits } from "../memory/lock.ts";

/** Sleeps (of 1 ms) and spins (of about 3 us) of one turn, over all the locks that it asks for. */
const SLEEPS_A_TURN = 2;
const SPINS_A_TURN = 128;
/** Attempts at a lock out of order: some tens of microseconds. */
const TRIES = 2000;
/** A set of up to this many shards is sorted as they are named. A larger one is gathered in a map of all shards. */
const FEW = 16;

/** An exception after the first change of a section: the data may be half changed, so the process must stop. */
export class FatalError extends Error {
  override name = "FatalError";
  constructor(cause: unknown) {
    super(`broken inside a critical section: ${cause instanceof Error ? cause.stack : String(cause)}`, { cause });
  }
}

/** A waited key (waiters.ts) that changed. */
export interface ReadyKey {
  readonly shard: Shard;
  readonly waitedKey: Ref;
}

/** Gathers what a section changed, see dispatch/effects.ts. */
export interface EffectsOfSection {
  /** Appends what was gathered to the change log. */
  flush(): void;
}

/** Gathers the messages that a section publishes, see dispatch/pubsub.ts. */
export interface MessagesOfSection {
  /** Sends them: after the effects have their position, before the locks are released. */
  flush(): void;
  /** Delivers them to the clients of this worker, without locks. */
  deliver(): void;
  /** Forgets them: the section failed before it changed anything. */
  discard(): void;
}

export class Section {
  /** Where the effects of the section are gathered; null = nowhere. */
  effects: EffectsOfSection | null = null;
  /** The section has effects that are to be appended to the change log. */
  private hasEffects = false;
  /** Where the messages of the section are gathered; null = nowhere. */
  messages: MessagesOfSection | null = null;
  private hasMessages = false;
  private hasSentMessages = false;
  /**
   * Shards whose locks are held: `outer`, then `further[1]` to `further[heldCount - 1]`. Ascending, but for those that were
   * only tried for. The first has a field of its own, because most sections have no other.
   */
  private outer: Shard;
  private readonly further: Shard[];
  heldCount = 0;
  /** Sections entered and not left. 0 with a lock held: that lock is retained for the next command (SECTION-4). */
  private depth = 0;
  /** True while nothing may be postponed to a later turn; see `runAtOnce`. */
  isAtOnce = false;
  /** The section has invalidations for clients that track keys (dispatch/tracking.ts). */
  private hasInvalidations = false;
  /** Sends them; called with the locks held, when the effects are appended. */
  sendInvalidations: () => void = () => {};
  /** Waited keys to serve before the locks are released (SECTION-2). */
  private readonly ready: ReadyKey[] = [];
  /** Set by `addLocksAsNeeded`: locks that are missing are waited for when they are needed (SECTION-5). */
  private addsLocks = false;
  /** More chunks are reserved than every command has: released at the end of the outermost section. */
  private hasReserved = false;
  /** True when `leave` has more to do than to unlock. It reads this flag alone. */
  private hasEndWork = false;
  /** Serves the waited keys that are ready; called with the locks held. More may become ready meanwhile. */
  serve: (ready: readonly ReadyKey[]) => void = () => {};
  /**
   * Called once for each outermost section that changed data, after its effects were appended and before its locks are
   * released. It sets the log positions of the shards. Null while no reply waits for the disk.
   */
  get onDataChange(): ((section: Section) => void) | null {
    return this.reporter;
  }
  set onDataChange(reporter: ((section: Section) => void) | null) {
    this.reporter = reporter;
    this.hasEndWork = true;
  }
  private reporter: ((section: Section) => void) | null = null;
  /**
   * Called once, for the next outermost section that changes data: after its last change, before its locks are released. Null
   * again afterwards.
   */
  get nextChange(): (() => void) | null {
    return this.changeWaiter;
  }
  set nextChange(waiter: (() => void) | null) {
    this.changeWaiter = waiter;
    this.hasEndWork = true;
  }
  private changeWaiter: (() => void) | null = null;
  /** Highest log position of the shards of all sections since the owner set this to 0. Updated only with `onDataChange`. */
  seenPosition = 0;

  /** Shards named for the set that is entered next, ascending. */
  private readonly wants: Int32Array;
  private wantCount = 0;
  private readonly wanted: Uint8Array;
  private isMany = false;

  /** Number by which this thread's locks name their holder. */
  private readonly owner: number;
  private sleepsLeft = SLEEPS_A_TURN;
  private spinsLeft = SPINS_A_TURN;

  constructor(
    private readonly shards: readonly Shard[],
    worker: number,
    private readonly pool: FramePool,
  ) {
    this.owner = worker + 1;
    this.further = shards.slice();
    this.outer = shards[0]!;
    this.wants = new Int32Array(shards.length);
    this.wanted = new Uint8Array(shards.length);
  }

  /** A turn begins: its sections may wait for locks again. */
  beginTurn(): void {
    this.sleepsLeft = SLEEPS_A_TURN;
    this.spinsLeft = SPINS_A_TURN;
  }

  // ---- entering ----

  /** Enters with the lock of `shard`. Returns false, with nothing entered, when the lock is not free now. */
  enter(shard: Shard): boolean {
    if (this.heldCount !== 0) return this.enterNested(shard);
    if (!shard.tryLock(this.owner) && !this.waitFor(shard)) return false;
    this.hold(shard);
    return true;
  }

  /** As `enter`, without waiting: false when somebody else holds the lock. */
  tryEnter(shard: Shard): boolean {
    if (this.heldCount !== 0) return this.enterNested(shard);
    if (!shard.tryLock(this.owner)) return false;
    this.hold(shard);
    return true;
  }

  private hold(shard: Shard): void {
    this.outer = shard;
    this.heldCount = 1;
    this.depth = 1;
  }

  private add(shard: Shard): void {
    if (this.heldCount === 0) this.outer = shard;
    else this.further[this.heldCount] = shard;
    this.heldCount++;
  }

  private enterNested(shard: Shard): boolean {
    assert(this.depth > 0, "a lock retained for the next command is resumed or released first (SECTION-4)");
    if (!this.holds(shard)) {
      if (this.addsLocks) this.waitOutOfOrder(shard);
      else assert(!this.isAtOnce, "what runs at once holds every lock that it needs");
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
  /** As beginSet, with the shards whose bits are set. */
  beginBits(bits: Int32Array): void {
    const { wants } = this;
    this.isMany = false;
    let count = 0;
    for (let word = 0; word < bits.length; word++) {
      for (let rest = bits[word]!; rest !== 0; rest &= rest - 1)
        wants[count++] = (word << 5) + 31 - Math.clz32(rest & -rest);
    }
    this.wantCount = count;
  }
  want({ number }: Shard): void {
    if (this.isMany) {
      if (this.wanted[number] === 0) this.wantCount++;
      this.wanted[number] = 1;
    } else {
      this.insert(number);
    }
  }
  /** Shards named for the set. */
  get setSize(): number {
    return this.wantCount;
  }

  private insert(number: number): void {
    const { wants } = this;
    let at = this.wantCount;
    while (at > 0 && wants[at - 1]! > number) at--;
    if (at > 0 && wants[at - 1] === number) return;
    for (let i = this.wantCount; i > at; i--) wants[i] = wants[i - 1]!;
    wants[at] = number;
    this.wantCount++;
  }

  /** Enters with the locks of the set, all or none. Returns false when one of them is not free now. */
  enterSet(): boolean {
    if (this.isMany) {
      let count = 0;
      for (let n = 0; n < this.shards.length; n++) if (this.wanted[n] === 1) this.wants[count++] = n;
    }
    return this.enterWanted();
  }

  /** Enters with the locks of all shards, all or none. */
  enterAll(): boolean {
    for (let n = 0; n < this.shards.length; n++) this.wants[n] = n;
    this.wantCount = this.shards.length;
    return this.enterWanted();
  }

  private enterWanted(): boolean {
    if (this.heldCount !== 0) return this.enterWantedNested();
    for (let n = 0; n < this.wantCount; n++) {
      const shard = this.shards[this.wants[n]!]!;
      if (!shard.tryLock(this.owner) && !this.waitFor(shard)) {
        this.unlockAll();
        return false;
      }
      this.add(shard); // SECTION-1
    }
    this.depth = 1;
    return true;
  }

  private enterWantedNested(): boolean {
    assert(this.depth > 0, "a lock retained for the next command is resumed or released first (SECTION-4)");
    for (let n = 0; n < this.wantCount; n++) {
      const shard = this.shards[this.wants[n]!]!;
      if (this.holds(shard)) continue;
      if (this.addsLocks) this.waitOutOfOrder(shard);
      else assert(!this.isAtOnce, "what runs at once holds every lock that it needs");
      // Locks added before stay held until the outermost section ends.
      if (!this.tryAdd(shard)) return false;
    }
    this.depth++;
    return true;
  }

  /** Adds the lock of one more shard, out of order, if it is free or nearly so. Returns false when it is not. */
  tryAdd(shard: Shard): boolean {
    if (this.holds(shard)) return true;
    for (let n = 0; n < TRIES; n++) {
      if (shard.tryLock(this.owner)) {
        this.add(shard);
        return true;
      }
      Atomics.pause();
    }
    return false;
  }

  /** SECTION-5. `poll` is called every millisecond, and may throw to give up. */
  waitOutOfOrder(shard: Shard, poll: () => void = () => {}): void {
    assert(this.addsLocks, "only the holder of the script lock waits out of order (SECTION-5)");
    while (!shard.tryLock(this.owner) && !shard.spinLock(this.owner) && !shard.sleepLock(this.owner, SLEEP_MS)) poll();
    this.add(shard);
  }

  /** Takes a lock beside the shards', before any of theirs, within the turn's budget of waiting. */
  lockBeside(words: Int32Array, at: number): boolean {
    assert(this.heldCount === 0, "a lock beside the shards' is taken before them");
    if (tryLock(words, at)) return true;
    if (this.spinsLeft > 0) {
      this.spinsLeft--;
      if (spinLock(words, at)) return true;
    }
    if (this.sleepsLeft <= 0) return false;
    const before = waits.sleeps;
    const isHeld = sleepLock(words, at, this.sleepsLeft * SLEEP_MS);
    this.sleepsLeft -= waits.sleeps - before;
    return isHeld;
  }

  /** Waits for a lock as far as the turn's budget goes. */
  private waitFor(shard: Shard): boolean {
    if (this.spinsLeft > 0) {
      this.spinsLeft--;
      if (shard.spinLock(this.owner)) return true;
    }
    if (this.sleepsLeft <= 0) return false;
    const before = waits.sleeps;
    const isHeld = shard.sleepLock(this.owner, this.sleepsLeft * SLEEP_MS);
    this.sleepsLeft -= waits.sleeps - before;
    return isHeld;
  }

  /** Marks the outermost section of the holder of the script lock: locks are added as they are needed (SECTION-5). */
  addLocksAsNeeded(): void {
    assert(this.depth === 1, "the outermost section adds locks");
    this.addsLocks = this.hasEndWork = true;
  }

  /** Marks the outermost section: until it ends, `enter` must succeed and no command may ask to be retried. */
  runAtOnce(): void {
    assert(this.depth === 1, "the outermost section runs at once");
    this.isAtOnce = this.hasEndWork = true;
  }

  // ---- lending: several workers work in the section of one (server/apply-crew.ts) ----

  /** Has `worker` use a shard that is held (SECTION-6). */
  lend(shard: Shard, worker: number): void {
    assert(this.holds(shard), "what is lent is held");
    shard.owner = worker + 1;
  }
  /** Enters with shards that were lent to this worker. `giveBack` ends it. */
  borrow(shards: readonly Shard[]): void {
    assert(this.heldCount === 0, "what is borrowed is all that this worker has");
    for (const shard of shards) this.add(shard);
    this.depth = 1;
    this.isBorrowed = true;
  }
  private isBorrowed = false;

  /** Ends the work with borrowed shards: as `leave`, but their locks stay, and it is the lender that reports the change. */
  giveBack(): void {
    assert(this.isBorrowed && this.depth === 1, "what was borrowed is given back");
    if (this.ready.length !== 0) this.serveReady();
    if (this.hasEffects) this.appendEffects();
    if (this.hasMessages) this.sendMessages();
    if (this.hasInvalidations) this.sendAllInvalidations();
    if (this.hasReserved) this.pool.unreserve(this.pool.commandChunks);
    this.hasReserved = this.isBorrowed = false;
    this.hasEndWork = this.reporter !== null;
    this.depth = this.heldCount = 0;
    if (this.hasSentMessages) this.deliverMessages();
  }

  // ---- inside ----

  /** Shard `n` of those whose locks are held. */
  heldAt(n: number): Shard {
    return n === 0 ? this.outer : this.further[n]!;
  }

  holds(shard: Shard): boolean {
    return shard.owner === this.owner;
  }
  /** True inside a section. */
  get isEntered(): boolean {
    return this.depth > 0;
  }
  /** True inside a section that is not the outermost one. */
  get isNested(): boolean {
    return this.depth > 1;
  }

  /** True when data or memory of a shard held was changed since the section began. */
  get hasChanged(): boolean {
    for (let n = 0; n < this.heldCount; n++) if (this.heldAt(n).mutating !== Mutating.No) return true;
    return false;
  }

  /** True when somebody sleeps until one of the locks held is free. */
  get isWaitedFor(): boolean {
    for (let n = 0; n < this.heldCount; n++) if (this.heldAt(n).isWaitedFor) return true;
    return false;
  }

  /** Highest log position of the shards held: that of their last change. */
  get position(): number {
    let highest = 0;
    for (let n = 0; n < this.heldCount; n++) highest = Math.max(highest, this.heldAt(n).logPosition);
    return highest;
  }

  /** Sets the log position of each shard held whose data changed. For `onDataChange`. */
  setPosition(position: number): void {
    for (let n = 0; n < this.heldCount; n++) {
      const shard = this.heldAt(n);
      if (shard.mutating === Mutating.Data) shard.logPosition = position;
    }
  }

  /**
   * Reserves chunks of the frame pool, so that this thread has at least `chunks`: before the locks or inside the section,
   * but before its first change. What exceeds every command's reservation is released at the end of the section. Returns
   * false when fewer chunks are free.
   */
  reserve(chunks: number): boolean {
    if (!this.pool.reserve(chunks)) return false;
    if (chunks > this.pool.commandChunks) this.hasReserved = this.hasEndWork = true;
    return true;
  }

  /** The section has changed a waited key: its clients are served before the locks are released. */
  addReady(shard: Shard, waitedKey: Ref): void {
    this.ready.push({ shard, waitedKey });
    this.hasEndWork = true;
  }

  /** Notes that the section has effects: they are appended before the locks are released. */
  noteEffects(): void {
    this.hasEffects = this.hasEndWork = true;
  }

  /**
   * Appends what the commands so far have as effects, with the locks held: each is then a unit of its own, as it is outside of
   * this section.
   */
  flushEffects(): void {
    if (this.hasEffects) this.appendEffects();
  }

  /** Notes that the section has invalidations: they are sent before the locks are released. */
  noteInvalidations(): void {
    this.hasInvalidations = this.hasEndWork = true;
  }
  /** Notes that the section has messages: they are sent before the locks are released. */
  noteMessages(): void {
    this.hasMessages = this.hasEndWork = true;
  }

  // ---- leaving ----

  /** Leaves. The outermost section serves the clients blocked on its keys, reports its change and releases its locks. */
  leave(): void {
    if (this.depth !== 1) {
      assert(this.depth > 1, "a section that was entered is left once");
      this.depth--;
      return;
    }
    if (this.hasEndWork) return this.leaveAfterWork();
    this.depth = 0;
    if (this.heldCount === 1) {
      this.heldCount = 0;
      this.outer.unlock();
    } else {
      this.unlockAll();
    }
  }

  private leaveAfterWork(): void {
    this.endWork();
    this.depth = 0;
    this.unlockAll();
    if (this.hasSentMessages) this.deliverMessages();
  }

  /** Leaves, but retains the lock for the next command of a run (SECTION-4). Only with one lock, and not nested. */
  retain(): void {
    assert(this.depth === 1, "only the outermost section retains its lock");
    if (this.hasEndWork) this.endWork();
    this.depth = 0;
    for (; this.heldCount > 1; this.heldCount--) this.unlockLast();
    this.outer.mutating = Mutating.No;
    if (this.hasSentMessages) this.deliverMessages();
  }
  /** Enters again with the lock that was retained. */
  resume(): void {
    assert(this.depth === 0 && this.heldCount === 1, "a lock that was retained is resumed once");
    this.depth = 1;
  }
  /** Releases the lock that was retained. */
  release(): void {
    assert(this.depth === 0 && this.heldCount === 1, "a lock that was retained is released once");
    this.unlockAll();
  }

  /** Serves the clients blocked on its keys, reports the change, and releases what is still reserved. */
  private endWork(): void {
    if (this.ready.length !== 0) this.serveReady();
    if (this.hasEffects) this.appendEffects();
    if (this.changeWaiter !== null && this.hasChangedData) this.tellNextChange(this.changeWaiter);
    if (this.reporter !== null) this.report(this.reporter);
    if (this.hasMessages) this.sendMessages();
    if (this.hasInvalidations) this.sendAllInvalidations();
    if (this.hasReserved) this.pool.unreserve(this.pool.commandChunks);
    this.hasReserved = false;
    this.isAtOnce = this.addsLocks = false;
    this.hasEndWork = this.reporter !== null || this.changeWaiter !== null;
  }

  /** True when a shard that is held has changed data. */
  get hasChangedData(): boolean {
    for (let n = 0; n < this.heldCount; n++) if (this.heldAt(n).mutating === Mutating.Data) return true;
    return false;
  }

  private tellNextChange(waiter: () => void): void {
    this.changeWaiter = null;
    try {
      waiter();
    } catch (error) {
      throw this.failed(error);
    }
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
    this.hasEffects = false;
    try {
      this.effects!.flush();
    } catch (error) {
      throw this.failed(error);
    }
  }

  private sendAllInvalidations(): void {
    this.hasInvalidations = false;
    try {
      this.sendInvalidations();
    } catch (error) {
      throw this.failed(error);
    }
  }

  private sendMessages(): void {
    this.hasMessages = false;
    this.hasSentMessages = true;
    try {
      this.messages!.flush();
    } catch (error) {
      throw this.failed(error);
    }
  }

  private deliverMessages(): void {
    this.hasSentMessages = false;
    this.messages!.deliver();
  }

  private report(reporter: (section: Section) => void): void {
    try {
      if (this.hasChangedData) reporter(this);
    } catch (error) {
      throw this.failed(error);
    }
    this.seenPosition = Math.max(this.seenPosition, this.position);
  }

  private unlockAll(): void {
    for (; this.heldCount > 0; this.heldCount--) this.unlockLast();
  }

  private unlockLast(): void {
    assert(
      this.ready.length === 0,
      "waited keys that became ready are served before the locks are released (SECTION-2)",
    );
    assert(!this.hasEffects, "effects are appended before the locks are released (EFFECTS-2)");
    this.heldAt(this.heldCount - 1).unlock();
  }

  /**
   * An exception was thrown inside: ends the section, nested or not (SECTION-3). Returns what the caller must throw: the error
   * itself with the locks released, or FatalError with the locks held.
   */
  failed(error: unknown): unknown {
    if (error instanceof FatalError || this.heldCount === 0) return error;
    // At a cold value everything is as it was, or whole elsewhere.
    const isBroken = error instanceof ColdStop ? this.hasChangedData : this.hasChanged;
    if (error instanceof BrokenInvariant || isBroken || this.isBorrowed) return new FatalError(error);
    assert(this.ready.length === 0, "a waited key becomes ready by a change");
    this.depth = 0;
    this.isAtOnce = this.addsLocks = false;
    if (this.hasMessages) this.messages!.discard();
    this.hasMessages = false;
    this.unlockAll();
    return error;
  }

  /** Runs `work` in a section of `shard`. Returns false when the lock was not free. */
  within(shard: Shard, work: () => void): boolean {
    return this.enter(shard) && this.finish(work);
  }
  /** As `within`, without waiting for the lock. */
  tryWithin(shard: Shard, work: () => void): boolean {
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
