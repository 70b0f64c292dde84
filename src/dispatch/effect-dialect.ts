/**
 * What Redis 7.0 has no word for: deadlines of members, and trims that look at groups. Such an effect goes to the change log as
 * it is. Replicas are sent what comes nearest, unless all of them are Ferrite (replication.dialect).
 *
 *   bytes of a unit   │ MULTI │ both │ log alone │ stream alone │ both │ EXEC │
 *
 * This module remembers which parts of a unit are for one of the two, and makes each one's unit of it.
 */
import { copy } from "../base/bytes.ts";

export const For = { Both: 0, Log: 1, Stream: 2 } as const;
export type For = (typeof For)[keyof typeof For];

interface Part {
  from: number;
  to: number;
  readonly is: For;
}

/** Part of the unit for one reader: the range of `bytes` that holds it. */
export interface UnitPart {
  bytes: Buffer;
  from: number;
  to: number;
}

export class EffectDialect {
  private readonly parts: Part[] = [];

  get isEmpty(): boolean {
    return this.parts.length === 0;
  }

  /** A command for one of the readers begins at `at`. */
  begin(is: For, at: number): void {
    this.parts.push({ from: at, to: -1, is });
  }
  /** The command at the end of the unit is complete. */
  end(at: number): void {
    const last = this.parts.at(-1);
    if (last !== undefined && last.to < 0) last.to = at;
  }
  /** `bytes` were put before all commands. */
  shift(bytes: number): void {
    for (const part of this.parts) {
      part.from += bytes;
      if (part.to >= 0) part.to += bytes;
    }
  }
  clear(): void {
    this.parts.length = 0;
  }

  /**
   * The unit as one reader gets it: without the other's commands. `commands`: how many there are for both together, between
   * `head` and `tail` if there are several. Null = nothing is left.
   */
  unitFor(is: For, bytes: Buffer, end: number, commands: number, head: Buffer, tail: Buffer): UnitPart | null {
    const others = this.parts.filter((part) => part.is !== is);
    const left = commands - others.length;
    if (left === 0) return null;
    if (others.length === 0) return { bytes, from: 0, to: end };
    const out = Buffer.allocUnsafe(end);
    let at = left > 1 ? head.copy(out, 0) : 0;
    let from = commands > 1 ? head.length : 0;
    const upTo = (to: number): void => {
      copy(bytes, from, out, at, to - from);
      at += to - from;
    };
    for (const part of others) {
      upTo(part.from);
      from = part.to;
    }
    upTo(commands > 1 ? end - tail.length : end);
    if (left > 1) at += tail.copy(out, at);
    return { bytes: out, from: 0, to: at };
  }
}
