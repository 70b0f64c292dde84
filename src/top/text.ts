/** Text of a terminal: lines of spans with a look each, cut to a width; numbers in few characters. */

export type Look = "plain" | "dim" | "bold" | "accent" | "good" | "warn" | "bad" | "chosen";

export interface Span {
  readonly text: string;
  readonly look: Look;
}
export type Line = readonly Span[];

export const span = (text: string, look: Look = "plain"): Span => ({ text, look });

/** What switches a look on. Colours are the terminal's own sixteen, so that they suit its background. */
const ON: Readonly<Record<Look, string>> = {
  plain: "",
  dim: "\x1b[2m",
  bold: "\x1b[1m",
  accent: "\x1b[36m",
  good: "\x1b[32m",
  warn: "\x1b[33m",
  bad: "\x1b[1;31m",
  chosen: "\x1b[7m",
};
const OFF = "\x1b[0m";

/** Columns that a text takes. */
export function widthOf(text: string): number {
  return Bun.stringWidth(text);
}

/** The text in at most `columns` columns. What does not fit is replaced by "~". */
export function cut(text: string, columns: number): string {
  if (columns <= 0) return "";
  if (text.length <= columns && isAscii(text)) return text;
  if (widthOf(text) <= columns) return text;
  let kept = "";
  let width = 0;
  for (const character of text) {
    const more = widthOf(character);
    if (width + more > columns - 1) break;
    kept += character;
    width += more;
  }
  return `${kept}~`;
}

/** The text in exactly `columns` columns. */
export function pad(text: string, columns: number, toTheRight = false): string {
  const short = cut(text, columns);
  const blanks = " ".repeat(Math.max(0, columns - widthOf(short)));
  return toTheRight ? blanks + short : short + blanks;
}

function isAscii(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}

/**
 * Text that came from a client, harmless to a terminal: what is no printable character (also marks of direction and line
 * ends) is shown by its number.
 */
export function clean(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}\p{M}\ufffd]/gu, (character) => {
    const code = character.codePointAt(0)!;
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** The line in at most `columns` columns. */
export function fitLine(line: Line, columns: number): Span[] {
  const fitted: Span[] = [];
  let left = columns;
  for (const { text, look } of line) {
    if (left <= 0) break;
    const short = cut(text, left);
    fitted.push({ text: short, look });
    left -= widthOf(short);
  }
  return fitted;
}

export function plainText(line: Line): string {
  return line.map(({ text }) => text).join("");
}

/** The line for a terminal. `isColoured` false: bold, dim and reversed text only, which are no colours. */
export function paint(line: Line, isColoured: boolean): string {
  return line
    .map(({ text, look }) => {
      const on = isColoured || look === "dim" || look === "bold" || look === "chosen" ? ON[look] : "";
      return on === "" ? text : `${on}${text}${OFF}`;
    })
    .join("");
}

/** A bar of `columns` columns that is filled to `share` (0 to 1). */
export function bar(share: number, columns: number, isUnicode: boolean): string {
  const filled = Math.round(Math.min(1, Math.max(0, share || 0)) * columns);
  const [full, empty] = isUnicode ? ["█", "░"] : ["#", "."];
  return full.repeat(filled) + empty.repeat(columns - filled);
}

const STEPS = ["▁▂▃▄▅▆▇█", "_.-=+*%#"] as const;

/** The last `columns` values as columns of different height. */
export function sparkline(values: readonly number[], columns: number, isUnicode: boolean): string {
  const shown = values.slice(-columns);
  const most = Math.max(...shown, 1e-9);
  const steps = isUnicode ? STEPS[0] : STEPS[1];
  return shown.map((value) => steps[Math.min(7, Math.floor((value / most) * 7.999))]).join("");
}

/** 950, 12.3k, 4.56M. */
export function countText(value: number): string {
  return scaled(value, 1000, ["", "k", "M", "G", "T"]);
}
/** 512B, 12.3K, 4.56G: binary units. */
export function bytesText(value: number): string {
  return scaled(value, 1024, ["B", "K", "M", "G", "T", "P"]);
}

function scaled(value: number, base: number, units: readonly string[]): string {
  if (!Number.isFinite(value)) return "-";
  let unit = 0;
  let left = value;
  while (Math.abs(left) >= base && unit < units.length - 1) {
    left /= base;
    unit++;
  }
  const digits = unit === 0 || Math.abs(left) >= 100 ? 0 : Math.abs(left) >= 10 ? 1 : 2;
  return `${unit === 0 && !Number.isInteger(left) && left < 10 ? left.toFixed(1) : left.toFixed(digits)}${units[unit]}`;
}

/** A duration given in us: 870us, 1.35ms, 2.10s. */
export function microsText(micros: number): string {
  if (!Number.isFinite(micros)) return "-";
  if (micros < 1000) return `${micros < 10 ? micros.toFixed(1) : Math.round(micros)}us`;
  return micros < 1e6 ? `${three(micros / 1000)}ms` : `${three(micros / 1e6)}s`;
}
function three(value: number): string {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

/** 42s, 3m05s, 4h12m, 12d03h. */
export function secondsText(seconds: number): string {
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  if (seconds < 60) return `${Math.floor(seconds)}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h${two((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d${two((seconds % 86_400) / 3600)}h`;
}

export function percentText(share: number): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(share < 0.1 && share > 0 ? 1 : 0)}%` : "-";
}
