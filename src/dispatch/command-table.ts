/**
 * Command table: finds a command's row by the bytes of its name, without making a string.
 *
 * Names are hashed from their upper-cased bytes into an open-addressed hash table. A lookup compares the bytes of the name.
 */
import { assert } from "../base/assert.ts";
import { STATISTICS_ROWS } from "../memory/control.ts";
import type { CommandNames } from "./command-names.ts";
import { type CommandSpec, MemberPlaces } from "./spec.ts";

const TABLE_SIZE = 2048;

/** Rows by name: open addressing over indices into `all`, the names by index, and subcommands by name. */
interface Names {
  readonly slots: Int32Array;
  readonly texts: Buffer[];
  readonly subcommands: Map<CommandSpec, Map<string, CommandSpec>>;
}

export class CommandTable {
  /** All rows, including those that clients cannot reach, so that a command's index does not depend on renaming. */
  readonly all: readonly CommandSpec[];
  /** Rows that clients can reach. */
  readonly listed: readonly CommandSpec[];
  /** All commands in the order of `all`, then all subcommands. A row number is an index into this list. */
  readonly rows: readonly CommandSpec[];
  /** Number of the first key argument by table index, 0 = no keys. */
  readonly firstKey: Int32Array;
  /** MemberPlaces by table index. */
  readonly members: Uint8Array;
  /** The names in force: those of clients, or while a file is loaded those of the rows. */
  private slots: Names["slots"];
  private texts: Names["texts"];
  private subcommands: Names["subcommands"];
  private readonly clientNames: Names;
  private readonly rowNames: Names;
  private readonly rowNumbers = new Map<CommandSpec, number>();
  /** True when clients cannot reach all commands by the names of their rows. */
  readonly hasChanges: boolean;
  /** New names of the renamed rows. */
  private readonly otherNames = new Map<CommandSpec, string>();

  /** `changes`: renamed, removed and disabled commands, see command-names.ts. */
  constructor(
    families: readonly (readonly CommandSpec[])[],
    private readonly changes: CommandNames,
  ) {
    this.hasChanges = changes.renamed.size > 0 || changes.disabled.size > 0;
    this.all = families.flat().map(uniform);
    this.listed = this.all.filter((spec) => this.isReachable(spec));
    this.rows = [...this.all, ...this.all.flatMap((spec) => spec.subcommands ?? [])];
    assert(this.rows.length <= STATISTICS_ROWS, "each command and subcommand has a row of statistics");
    this.rows.forEach((spec, row) => {
      this.rowNumbers.set(spec, row);
    });
    this.firstKey = Int32Array.from(this.all, (spec) => spec.keys.first);
    this.members = Uint8Array.from(this.all, (spec) => spec.members ?? MemberPlaces.None);
    this.clientNames = this.namesBy(
      (spec) => changes.renamed.get(spec.name),
      (spec) => this.isReachable(spec),
    );
    this.rowNames = this.hasChanges
      ? this.namesBy(
          () => undefined,
          () => true,
        )
      : this.clientNames;
    ({ slots: this.slots, texts: this.texts, subcommands: this.subcommands } = this.clientNames);
    this.noteOtherNames();
  }

  /** The table of the rows that `isReached`, by the names that `renamed` gives them, or else their own. */
  private namesBy(
    renamed: (spec: CommandSpec) => string | undefined,
    isReached: (spec: CommandSpec) => boolean,
  ): Names {
    const names: Names = { slots: new Int32Array(TABLE_SIZE).fill(-1), texts: [], subcommands: new Map() };
    this.all.forEach((spec, index) => {
      const text = Buffer.from(renamed(spec) ?? spec.name);
      names.texts.push(text);
      if (!isReached(spec)) return;
      let slot = hashName(text, 0, text.length);
      while (names.slots[slot] !== -1) slot = (slot + 1) & (TABLE_SIZE - 1);
      names.slots[slot] = index;
      const found = new Map<string, CommandSpec>();
      for (const sub of spec.subcommands ?? []) {
        if (isReached(sub)) found.set(renamed(sub) ?? sub.name.slice(spec.name.length + 1), sub);
      }
      names.subcommands.set(spec, found);
    });
    return names;
  }

  private noteOtherNames(): void {
    for (const [index, spec] of this.all.entries()) {
      const text = this.clientNames.texts[index]!.toString();
      if (text !== spec.name) this.otherNames.set(spec, text);
      for (const [name, sub] of this.clientNames.subcommands.get(spec) ?? []) {
        if (`${text}|${name}` !== sub.name) this.otherNames.set(sub, `${text}|${name}`);
      }
    }
  }

  /** Commands are found by the names of their rows, which the append-only file uses, or by the names that clients use. */
  useRowNames(isLoader: boolean): void {
    const names = isLoader ? this.rowNames : this.clientNames;
    this.slots = names.slots;
    this.texts = names.texts;
    this.subcommands = names.subcommands;
  }

  private isReachable(spec: CommandSpec): boolean {
    return this.changes.renamed.get(spec.name) !== "" && !this.isDisabled(spec.name);
  }

  /** True when server.disable_dangerous_commands disabled the command with this original name (upper case). */
  isDisabled(name: string): boolean {
    return this.changes.disabled.has(name);
  }

  /** The name clients call a row by, upper case. */
  nameOf(spec: CommandSpec): string {
    return this.otherNames.get(spec) ?? spec.name;
  }

  /** Subcommands that clients can reach. */
  subcommandsOf(spec: CommandSpec): readonly CommandSpec[] {
    return [...(this.clientNames.subcommands.get(spec)?.values() ?? [])];
  }

  /** Table index of the command named by these bytes in any case; -1 = unknown. */
  find(bytes: Buffer, at: number, length: number): number {
    if (at < 0) return -1;
    const { slots, texts } = this;
    let slot = hashName(bytes, at, length);
    for (let index = slots[slot]!; index >= 0; slot = (slot + 1) & (TABLE_SIZE - 1), index = slots[slot]!) {
      const name = texts[index]!;
      if (name.length !== length) continue;
      let i = 0;
      while (i < length && upper(bytes[at + i]!) === name[i]) i++;
      if (i === length) return index;
    }
    return -1;
  }

  byName(name: string): CommandSpec | null {
    const bytes = Buffer.from(name, "latin1");
    const index = this.find(bytes, 0, bytes.length);
    return index < 0 ? null : this.all[index]!;
  }

  /** True when some commands have other names than their rows. */
  get hasRenames(): boolean {
    return this.changes.renamed.size > 0;
  }

  /** Number of a command or subcommand in `rows`. */
  rowOf(spec: CommandSpec): number {
    return this.rowNumbers.get(spec)!;
  }

  findSubcommand(spec: CommandSpec, name: string): CommandSpec | null {
    return this.subcommands.get(spec)?.get(name.toUpperCase()) ?? null;
  }
}

/**
 * The row with all properties in one order. The dispatcher reads rows for every command, and rows of different shapes would
 * make those reads megamorphic.
 */
function uniform(spec: CommandSpec): CommandSpec {
  const { name, arity, keys, flags, categories, run, docs, subcommands, keyFlags, places, members, tips } = spec;
  const { effect, effectName, isSubcommand, channels } = spec;
  const row: Record<keyof CommandSpec, unknown> = {
    name,
    arity,
    keys,
    flags,
    categories,
    run,
    docs,
    subcommands: subcommands?.map(uniform),
    keyFlags,
    places,
    members,
    tips,
    effect,
    effectName,
    isSubcommand,
    channels,
  };
  return row as unknown as CommandSpec;
}

function upper(byte: number): number {
  return byte >= 97 && byte <= 122 ? byte - 32 : byte;
}

function hashName(bytes: Uint8Array, at: number, length: number): number {
  let hash = length;
  const end = at + Math.min(length, 24);
  for (let i = at; i < end; i++) hash = (Math.imul(hash, 31) + (bytes[i]! & 0xdf)) | 0;
  return (hash ^ (hash >>> 11)) & (TABLE_SIZE - 1);
}
