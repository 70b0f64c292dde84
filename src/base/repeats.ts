/**
 * Limits lines that repeat: of one kind, at most so many a second are written. The others are counted, and a line says how
 * many there were once the second is over. Two lines are of one kind if level, target and message are equal but for digits.
 */
interface Kind {
  readonly level: number;
  readonly target: string;
  readonly text: string;
  count: number;
}

const WINDOW_MS = 1000;
/** Kinds that are counted in a second. Lines of further kinds pass. */
const KINDS_MAX = 500;

export class Repeats {
  private readonly kinds = new Map<string, Kind>();
  private endMs = -Infinity;

  /** `limit`: 0 = none. `report` is told how many lines of a kind were left out, with the text of the first of them. */
  constructor(
    public limit: number,
    private readonly report: (level: number, target: string, text: string, left: number) => void,
  ) {}

  /** Returns false when the line is one too many. */
  admits(level: number, target: string, message: string, nowMs: number): boolean {
    if (this.limit === 0) return true;
    this.look(nowMs);
    const key = `${level} ${target} ${message.replace(/\d+/g, "0")}`;
    const kind = this.kinds.get(key);
    if (kind !== undefined) return ++kind.count <= this.limit;
    if (this.kinds.size < KINDS_MAX) this.kinds.set(key, { level, target, text: message, count: 1 });
    return true;
  }

  /** Reports, if the second is over. A clock that was set back ends it too. */
  look(nowMs: number): void {
    if (nowMs < this.endMs && nowMs >= this.endMs - WINDOW_MS) return;
    this.end();
    this.endMs = nowMs + WINDOW_MS;
  }

  end(): void {
    const kinds = [...this.kinds.values()];
    this.kinds.clear();
    for (const { level, target, text, count } of kinds)
      if (count > this.limit) this.report(level, target, text, count - this.limit);
  }
}
