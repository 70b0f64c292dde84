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
  private readonly slots = new Int32Array(TABLE_SIZE).fill(-1);
  private readonly names: Buffer[] = [];
  private readonly rowNumbers = new Map<CommandSpec, number>();
  private readonly subcommands = new Map<CommandSpec, Map<string, CommandSpec>>();
  /** New names of the renamed rows. */
  private readonly otherNames = new Map<CommandSpec, string>();

  /** `changes`: renamed, removed and disabled commands, see command-names.ts. */
  constructor(
    families: readonly (readonly CommandSpec[])[],
    private readonly changes: CommandNames,
  ) {
    const { renamed } = changes;
    this.all = families.flat().map(uniform);
    this.listed = this.all.filter((spec) => this.isReachable(spec));
    this.rows = [...this.all, ...this.all.flatMap((spec) => spec.subcommands ?? [])];
    assert(this.rows.length <= STATISTICS_ROWS, "each command and subcommand has a row of statistics");
    this.rows.forEach((spec, row) => {
      this.rowNumbers.set(spec, row);
    });
    this.firstKey = Int32Array.from(this.all, (spec) => spec.keys.first);
    this.members = Uint8Array.from(this.all, (spec) => spec.members ?? MemberPlaces.None);
    this.all.forEach((spec, index) => {
      const text = renamed.get(spec.name) ?? spec.name;
      if (text !== spec.name) this.otherNames.set(spec, text);
      const name = Buffer.from(text);
      this.names.push(name);
      if (!this.isReachable(spec)) return;
      let slot = hashName(name, 0, name.length);
      while (this.slots[slot] !== -1) slot = (slot + 1) & (TABLE_SIZE - 1);
      this.slots[slot] = index;
      if (spec.subcommands !== undefined) {
        const prefix = spec.name.length + 1;
        const found = new Map<string, CommandSpec>();
        for (const sub of spec.subcommands) {
          if (!this.isReachable(sub)) continue;
          const subName = renamed.get(sub.name) ?? sub.name.slice(prefix);
          found.set(subName, sub);
          if (`${text}|${subName}` !== sub.name) this.otherNames.set(sub, `${text}|${subName}`);
        }
        this.subcommands.set(spec, found);
      }
    });
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
    return [...(this.subcommands.get(spec)?.values() ?? [])];
  }

  /** Table index of the command named by these bytes in any case; -1 = unknown. */
  find(bytes: Buffer, at: number, length: number): number {
    if (at < 0) return -1;
    let slot = hashName(bytes, at, length);
    for (let index = this.slots[slot]!; index >= 0; slot = (slot + 1) & (TABLE_SIZE - 1), index = this.slots[slot]!) {
      const name = this.names[index]!;
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
  const { effect, effectName, isSubcommand } = spec;
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
