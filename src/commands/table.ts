/**
 * Command table: all rows, found by name without making a string.
 *
 * Names are hashed from their upper-cased bytes into an open-addressed table; a match compares the bytes.
 */
import { assert } from "../base/assert.ts";
import { METER_ROWS } from "../memory/control.ts";
import type { CommandSpec } from "./spec.ts";
import { bitmapsFamily } from "./bitmaps.ts";
import { connectionFamily } from "./connection.ts";
import { serverFamily } from "./server.ts";
import { commandFamily } from "./introspection.ts";
import { hyperloglogFamily } from "./hyperloglog.ts";
import { infoFamily } from "./info.ts";
import { debugFamily } from "./debug.ts";
import { dumpFamily } from "./dump.ts";
import { configFamily } from "./config.ts";
import { clientFamily } from "./client.ts";
import { expireFamily } from "./expire.ts";
import { keysFamily } from "./keys.ts";
import { memoryFamily } from "./memory.ts";
import { observeFamily } from "./observe.ts";
import { scanFamily } from "./scan.ts";
import { stringsFamily } from "./strings.ts";
import { stringsMoreFamily } from "./strings-more.ts";

const TABLE_SIZE = 2048;

export class CommandTable {
  readonly all: readonly CommandSpec[];
  /** All commands in the order of `all`, then all subcommands: what a row number counts. */
  readonly rows: readonly CommandSpec[];
  /** Number of the first key argument by table index, 0 = no keys. */
  readonly firstKey: Int32Array;
  private readonly slots = new Int32Array(TABLE_SIZE).fill(-1);
  private readonly names: Buffer[] = [];
  private readonly rowNumbers = new Map<CommandSpec, number>();
  private readonly subcommands = new Map<CommandSpec, Map<string, CommandSpec>>();

  constructor(families: readonly (readonly CommandSpec[])[]) {
    this.all = families.flat();
    this.rows = [...this.all, ...this.all.flatMap((spec) => spec.subcommands ?? [])];
    assert(this.rows.length <= METER_ROWS, "each command and subcommand has a meter");
    this.rows.forEach((spec, row) => {
      this.rowNumbers.set(spec, row);
    });
    this.firstKey = Int32Array.from(this.all, (spec) => spec.keys.first);
    this.all.forEach((spec, index) => {
      const name = Buffer.from(spec.name);
      this.names.push(name);
      let slot = hashName(name, 0, name.length);
      while (this.slots[slot] !== -1) slot = (slot + 1) & (TABLE_SIZE - 1);
      this.slots[slot] = index;
      if (spec.subcommands !== undefined) {
        const prefix = spec.name.length + 1;
        this.subcommands.set(spec, new Map(spec.subcommands.map((sub) => [sub.name.slice(prefix), sub])));
      }
    });
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

  /** Number of a command or subcommand in `rows`. */
  rowOf(spec: CommandSpec): number {
    return this.rowNumbers.get(spec)!;
  }

  findSubcommand(spec: CommandSpec, name: string): CommandSpec | null {
    return this.subcommands.get(spec)?.get(name.toUpperCase()) ?? null;
  }
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

/** All families of this version. */
export function commandTable(): CommandTable {
  return new CommandTable([
    connectionFamily,
    clientFamily,
    serverFamily,
    configFamily,
    infoFamily,
    observeFamily,
    commandFamily,
    debugFamily,
    stringsFamily,
    stringsMoreFamily,
    bitmapsFamily,
    hyperloglogFamily,
    keysFamily,
    expireFamily,
    scanFamily,
    dumpFamily,
    memoryFamily,
  ]);
}
