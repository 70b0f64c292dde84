/**
 * Which commands of a primary's stream may run together in one section: those that change one key, their first argument, and
 * answer at once. All others run alone.
 */
import type { CommandTable } from "../dispatch/command-table.ts";
import { isOfOneKey } from "../dispatch/key-arguments.ts";
import { LOCKS_ITSELF, WRITE } from "../dispatch/spec.ts";
import type { StreamUnits } from "../replication/stream-units.ts";

/** They change one key, and may need more memory than was set aside, or many turns. */
const APART: ReadonlySet<string> = new Set(["RESTORE", "RESTORE-ASKING", "SETRANGE", "SETBIT", "BITFIELD", "MIGRATE"]);

export class PlainCommands {
  private readonly isPlain: Uint8Array;
  /** The row that was found last: a stream repeats itself. */
  private row = -1;

  constructor(private readonly table: CommandTable) {
    this.isPlain = Uint8Array.from(table.all, (spec) =>
      (spec.flags & WRITE) !== 0 && (spec.flags & LOCKS_ITSELF) === 0 && !APART.has(spec.name) ? 1 : 0,
    );
  }

  /** True when the command that `units` has found may run together with others. */
  has(units: StreamUnits): boolean {
    const { table } = this;
    const { bytes, nameAt, nameBytes } = units;
    if (this.row < 0 || !this.isRow(bytes, nameAt, nameBytes)) {
      if (table.hasChanges) table.useRowNames(true);
      this.row = table.find(bytes, nameAt, nameBytes);
      if (this.row < 0) return false;
    }
    const { row } = this;
    return this.isPlain[row] === 1 && isOfOneKey(table.all[row]!, units.argCount);
  }

  private isRow(bytes: Buffer, at: number, length: number): boolean {
    const { name } = this.table.all[this.row]!;
    if (name.length !== length) return false;
    for (let i = 0; i < length; i++) if (bytes[at + i] !== name.charCodeAt(i)) return false;
    return true;
  }
}
