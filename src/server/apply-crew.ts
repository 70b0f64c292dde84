/**
 * Crew: the workers that apply a primary's stream together (replication.parallel_sync). The link's worker leads. It cuts the
 * stream into wholes (replica-apply.ts), takes all shard locks for each, and lends the shards to the helpers: each runs the
 * commands on its own shards, in the order of the stream. The locks are released when all have ended, so readers see none of
 * the commands of a whole or all of them.
 *
 * Shared memory, for each helper:
 *
 *   │ words, WORDS │ ends of the effects, WHOLE_UNITS words │ inbox of half 0, INBOX_BYTES │ inbox of half 1 │ effects, EFFECTS_BYTES │
 *   words │ state │ bytes │ commands │ database │ party │ errors │ bytes of effects │ half │ part │ free
 *
 *   Idle ─► Called ─► Arrived ─► Held ─► Go ─► Done ─► Held │ Arrived │ Idle
 *           leader    helper     leader  leader helper  leader
 *
 * While the helpers run, the leader runs its own part and gathers the next whole into the other half of the inboxes.
 *
 * Invariants
 *   CREW-1  a helper that has arrived waits for STAY_MS at most, and the leader never waits for one to arrive. One that is held
 *           goes, or is dismissed, within the same slice of the leader
 *   CREW-2  between Go and Done the helper alone uses its shards; the leader holds their locks
 *   CREW-3  effects of a whole are appended to the change log in the order of its commands, before the locks are released
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import type { Config } from "../base/config/config.ts";

export const CrewState = { Idle: 0, Called: 1, Arrived: 2, Held: 3, Go: 4, Done: 5 } as const;
export type CrewState = (typeof CrewState)[keyof typeof CrewState];

/** Most helpers. */
export const HELPERS_MAX = 15;
/** Most commands of a whole, and their bytes: no command of one is longer than half of it. */
export const WHOLE_UNITS = 1024;
export const WHOLE_BYTES = 256 << 10;
const INBOX_BYTES = WHOLE_BYTES * 2;
const EFFECTS_BYTES = 1 << 20;
const WORDS = 64;
const BYTES = 1;
const COMMANDS = 2;
const DATABASE = 3;
const PARTY = 4;
const ERRORS = 5;
const EFFECTS_END = 6;
const HALF = 7;
const PART = 8;
const HELPER_BYTES = WORDS * 4 + WHOLE_UNITS * 4 + 2 * INBOX_BYTES + EFFECTS_BYTES;
/** How long a helper waits for the next whole before it returns to its clients, ms. */
const STAY_MS = 1;
/** It leaves between two wholes after so long, ms. */
const VISIT_MS = 2;
const SPINS = 500;
/** A leader that waits for a helper looks again after so long: only a process that ends leaves it without an answer. */
const LOOK_MS = 100;
/** The leader's own share of the shards: it also cuts the stream, which costs about as much as running a third of it. */
const LEADER_PERIOD = 6;

/** Bytes of the memory of a crew with `helpers` helpers. */
export function crewBytes(helpers: number): number {
  return helpers * HELPER_BYTES;
}

/** How many workers help the one that has the link. */
export function helpersOf(config: Config, workers: number): number {
  if (!config.flag("replication.parallel_sync")) return 0;
  return Math.min(workers, config.number("replication.sync_threads"), HELPERS_MAX + 1) - 1;
}
export function helpersIn(memory: SharedArrayBuffer): number {
  return memory.byteLength / HELPER_BYTES;
}

/** Whose part shard `n` is, of a party of `party` workers: 0 = the leader's, else the helper's number. */
export function partOf(n: number, party: number): number {
  if (party === 1) return 0;
  return n % (LEADER_PERIOD * (party - 1)) === 0 ? 0 : 1 + (n % (party - 1));
}

/** What the commands of one part have as effects, one after the other, and where each command's end. */
export class PartEffects {
  at = 0;
  count = 0;
  constructor(
    readonly bytes: Buffer,
    readonly ends: Int32Array,
  ) {}
  begin(): void {
    this.at = this.count = 0;
  }
  put(source: Uint8Array, from: number, to: number): void {
    assert(this.at + to - from <= this.bytes.length, "the effects of short commands are short");
    copy(source, from, this.bytes, this.at, to - from);
    this.at += to - from;
  }
  /** A command has ended. */
  endCommand(): void {
    this.ends[this.count++] = this.at;
  }
}
export function ownEffects(): PartEffects {
  return new PartEffects(Buffer.allocUnsafeSlow(EFFECTS_BYTES), new Int32Array(WHOLE_UNITS));
}

/** What the leader and one helper share. */
export class CrewSlot {
  private readonly words: Int32Array;
  readonly inboxes: readonly Buffer[];
  readonly effects: PartEffects;

  constructor(memory: SharedArrayBuffer, n: number) {
    const at = n * HELPER_BYTES;
    this.words = new Int32Array(memory, at, WORDS);
    const ends = new Int32Array(memory, at + WORDS * 4, WHOLE_UNITS);
    const data = at + (WORDS + WHOLE_UNITS) * 4;
    this.inboxes = [Buffer.from(memory, data, INBOX_BYTES), Buffer.from(memory, data + INBOX_BYTES, INBOX_BYTES)];
    this.effects = new PartEffects(Buffer.from(memory, data + 2 * INBOX_BYTES, EFFECTS_BYTES), ends);
  }

  get state(): CrewState {
    return Atomics.load(this.words, 0) as CrewState;
  }
  /** True while nobody asks the helper for anything. */
  get isQuiet(): boolean {
    return this.state !== CrewState.Called;
  }
  /** Returns false when the state was another one. */
  change(from: CrewState, to: CrewState): boolean {
    if (Atomics.compareExchange(this.words, 0, from, to) !== from) return false;
    Atomics.notify(this.words, 0);
    return true;
  }
  /** Waits while the state is `state`, for `ms` at most. */
  wait(state: CrewState, ms: number): CrewState {
    for (let n = 0; n < SPINS; n++) {
      if (this.state !== state) return this.state;
      Atomics.pause();
    }
    Atomics.wait(this.words, 0, state, ms);
    return this.state;
  }

  // What the leader says with Go, and the helper with Done.

  set(half: number, bytes: number, commands: number, database: number, part: number, party: number): void {
    const { words } = this;
    words[HALF] = half;
    words[BYTES] = bytes;
    words[COMMANDS] = commands;
    words[DATABASE] = database;
    words[PART] = part;
    words[PARTY] = party;
  }
  get inbox(): Buffer {
    return this.inboxes[this.words[HALF]!]!;
  }
  get bytes(): number {
    return this.words[BYTES]!;
  }
  get commands(): number {
    return this.words[COMMANDS]!;
  }
  get database(): number {
    return this.words[DATABASE]!;
  }
  get part(): number {
    return this.words[PART]!;
  }
  get party(): number {
    return this.words[PARTY]!;
  }
  /** Errors that the commands have replied, and whether all of them have run. */
  report(errors: number, isWhole: boolean): void {
    this.words[ERRORS] = errors;
    this.words[COMMANDS] = isWhole ? this.words[COMMANDS]! : -1;
    this.words[EFFECTS_END] = this.effects.at;
  }
  get errors(): number {
    return this.words[ERRORS]!;
  }
  get effectsEnd(): number {
    return this.words[EFFECTS_END]!;
  }
}

/** The leader's side. */
export class Crew {
  private readonly slots: CrewSlot[] = [];
  /** Helpers of the present party; [0] is the leader itself and null. */
  private readonly party: (CrewSlot | null)[] = [null];
  /** For each half: the leader's commands, and how many bytes and commands each part has. */
  private readonly own = [Buffer.allocUnsafeSlow(INBOX_BYTES), Buffer.allocUnsafeSlow(INBOX_BYTES)];
  private readonly bytes = [new Int32Array(HELPERS_MAX + 1), new Int32Array(HELPERS_MAX + 1)];
  private readonly commands = [new Int32Array(HELPERS_MAX + 1), new Int32Array(HELPERS_MAX + 1)];
  /** Whose part each command of a whole is, of either half. */
  private readonly owners = [new Uint8Array(WHOLE_UNITS), new Uint8Array(WHOLE_UNITS)];
  private readonly units = [0, 0];
  private readonly reads = new Int32Array(HELPERS_MAX + 1);
  private readonly merged = Buffer.allocUnsafeSlow(EFFECTS_BYTES);
  readonly effects = ownEffects();
  private readonly workers: ReadonlyMap<CrewSlot, number>;

  /** `wake(n)`: has helper `n` look. */
  constructor(
    memory: SharedArrayBuffer,
    private readonly wake: (n: number) => void,
  ) {
    for (let n = 0; n < memory.byteLength / HELPER_BYTES; n++) this.slots.push(new CrewSlot(memory, n));
    this.workers = new Map(this.slots.map((slot, n) => [slot, n + 1]));
  }

  /** Asks the helpers to come. */
  call(): void {
    for (let n = 0; n < this.slots.length; n++)
      if (this.slots[n]!.change(CrewState.Idle, CrewState.Called)) this.wake(n + 1);
  }
  /** They return to their clients: there is no more to do. */
  dismiss(): void {
    for (const slot of this.slots)
      if (!slot.change(CrewState.Held, CrewState.Idle)) slot.change(CrewState.Arrived, CrewState.Idle);
    this.party.length = 1;
  }
  /** Makes a party of the leader and the helpers that have come. Returns their number. */
  muster(): number {
    this.party.length = 1;
    for (const slot of this.slots)
      if (slot.state === CrewState.Held || slot.change(CrewState.Arrived, CrewState.Held)) this.party.push(slot);
    return this.party.length;
  }
  get size(): number {
    return this.party.length;
  }

  /** The worker that runs part `part`. */
  workerOf(part: number): number {
    return this.workers.get(this.party[part]!)!;
  }

  // ---- a whole ----

  begin(half: number): void {
    this.bytes[half]!.fill(0);
    this.commands[half]!.fill(0);
    this.units[half] = 0;
  }
  /** Gives a command to the part that shard `shard` belongs to. */
  give(half: number, bytes: Buffer, from: number, to: number, shard: number): void {
    const part = partOf(shard, this.party.length);
    const target = part === 0 ? this.own[half]! : this.party[part]!.inboxes[half]!;
    const at = this.bytes[half]![part]!;
    copy(bytes, from, target, at, to - from);
    this.bytes[half]![part] = at + to - from;
    this.commands[half]![part]!++;
    this.owners[half]![this.units[half]!++] = part;
  }
  go(half: number, database: number): void {
    const { party } = this;
    for (let part = 1; part < party.length; part++) {
      const slot = party[part]!;
      slot.set(half, this.bytes[half]![part]!, this.commands[half]![part]!, database, part, party.length);
      assert(slot.change(CrewState.Held, CrewState.Go), "a helper that is held is there (CREW-1)");
    }
  }
  ownPart(half: number): Buffer {
    return this.own[half]!.subarray(0, this.bytes[half]![0]!);
  }
  ownCommands(half: number): number {
    return this.commands[half]![0]!;
  }

  commandsOfHelpers(half: number): number {
    return this.units[half]! - this.commands[half]![0]!;
  }

  /** Waits until all parts have ended. Returns the errors of the helpers, -1 = some commands have not run. */
  finish(): number {
    let errors = 0;
    for (let part = 1; part < this.party.length; part++) {
      const slot = this.party[part]!;
      while (slot.wait(CrewState.Go, LOOK_MS) !== CrewState.Done);
      if (slot.commands < 0) errors = -1;
      else if (errors >= 0) errors += slot.errors;
    }
    return errors;
  }
  /** The helpers wait for the next whole, which is there already or not. */
  keep(isNextThere: boolean): void {
    const next = isNextThere ? CrewState.Held : CrewState.Arrived;
    for (let part = 1; part < this.party.length; part++) this.party[part]!.change(CrewState.Done, next);
  }

  /** The effects of all parts, in the order of the commands (CREW-3). Returns the number of their bytes in `mergedBytes`. */
  merge(half: number): number {
    const { reads, party } = this;
    reads.fill(0);
    let at = 0;
    const owners = this.owners[half]!;
    for (let unit = 0; unit < this.units[half]!; unit++) {
      const part = owners[unit]!;
      const { bytes, ends } = part === 0 ? this.effects : party[part]!.effects;
      const n = reads[part]!++;
      const from = n === 0 ? 0 : ends[n - 1]!;
      at = this.mergeRange(bytes, from, ends[n]!, at);
    }
    // What followed from serving blocked clients.
    for (let part = 0; part < party.length; part++) {
      const effects = part === 0 ? this.effects : party[part]!.effects;
      const end = part === 0 ? effects.at : party[part]!.effectsEnd;
      const n = reads[part]!;
      at = this.mergeRange(effects.bytes, n === 0 ? 0 : effects.ends[n - 1]!, end, at);
    }
    return at;
  }
  get mergedBytes(): Buffer {
    return this.merged;
  }
  private mergeRange(bytes: Buffer, from: number, to: number, at: number): number {
    if (to <= from) return at;
    assert(at + to - from <= this.merged.length, "the effects of short commands are short");
    copy(bytes, from, this.merged, at, to - from);
    return at + to - from;
  }
}

/** A helper's side: runs parts while the leader has some. `run` runs the one in the slot. */
export function helpCrew(slot: CrewSlot, now: () => number, run: (slot: CrewSlot) => void): void {
  if (!slot.change(CrewState.Called, CrewState.Arrived)) return;
  const until = now() + VISIT_MS;
  for (let state = slot.state; ; ) {
    switch (state) {
      case CrewState.Arrived:
        state = slot.wait(CrewState.Arrived, STAY_MS);
        if (state === CrewState.Arrived && slot.change(CrewState.Arrived, CrewState.Idle)) return;
        break;
      case CrewState.Go:
        run(slot);
        slot.change(CrewState.Go, CrewState.Done);
        state = slot.wait(CrewState.Done, LOOK_MS);
        // CREW-1: its own clients wait.
        if (state === CrewState.Arrived && now() > until && slot.change(CrewState.Arrived, CrewState.Idle)) return;
        break;
      case CrewState.Held:
      case CrewState.Done:
        state = slot.wait(state, LOOK_MS);
        break;
      default:
        return;
    }
  }
}
