/**
 * The picture of `ferrite top`: a function of the figures, of what the user has chosen, and of the size of the terminal.
 *
 *   Ferrite 0.1.0 127.0.0.1:6379 up 3h12m, primary, 2 workers        head
 *   ops/s 12.3k   p50 12us   p99 90us  ...                           figures, as many a line as fit
 *   used     ███████░░░░░░ 61%  1.2G of 2.0G  allkeys-lru            levels
 *   ops/s    ▁▂▃▅▇▆▅▃                                                 history
 *   1 Overview  2 Commands ...                                       pages
 *   command    calls/s ...                                           the table of the page, or the first rows of all
 *   q quit  Tab page ...                                             keys
 */
import { clockText, FIRST_ORDER, type Page, pageLines, PAGES, rowsOf, type TablePage, TITLES } from "./pages.ts";
import type { Order } from "./table.ts";
import {
  bar,
  bytesText,
  countText,
  cut,
  fitLine,
  type Line,
  type Look,
  microsText,
  pad,
  percentText,
  secondsText,
  type Span,
  span,
  sparkline,
  widthOf,
} from "./text.ts";
import type { Level, View } from "./view.ts";

export interface Screen {
  readonly page: Page;
  readonly orders: Readonly<Record<TablePage, Order>>;
  /** First row of the table that is shown. */
  readonly first: number;
  readonly isPaused: boolean;
  readonly isHelp: boolean;
}

export const FIRST_SCREEN: Screen = { page: "overview", orders: FIRST_ORDER, first: 0, isPaused: false, isHelp: false };

export interface Frame {
  readonly address: string;
  /** null: nothing is known yet. */
  readonly view: View | null;
  /** What keeps the server from answering; "" = nothing. */
  readonly problem: string;
  readonly intervalSeconds: number;
  /** Operations a second of the looks so far. */
  readonly history: readonly number[];
  readonly isUnicode: boolean;
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Rows of a table that no other part of the picture may take. */
const TABLE_ROWS_MIN = 4;

/** The picture in exactly `size.rows` lines of at most `size.columns` columns. */
export function renderScreen(frame: Frame, screen: Screen, size: Size): Line[] {
  const { view } = frame;
  const lines: Line[] = [headLine(frame), ...problemLines(frame)];
  const foot = [footLine(screen, size.columns)];
  if (screen.isHelp) lines.push(...HELP.map((text): Line => [span(text)]));
  else if (view !== null) {
    const tabs = tabLine(screen, size.columns);
    const fixed = [
      figureLines(view, size.columns),
      levelLines(view, size.columns, frame.isUnicode),
      historyLines(frame, size),
    ];
    for (const part of fixed) {
      const left = size.rows - lines.length - 1 - foot.length - TABLE_ROWS_MIN;
      lines.push(...part.slice(0, Math.max(0, left)));
    }
    lines.push(tabs);
    lines.push(...body(view, screen, { columns: size.columns, rows: size.rows - lines.length - foot.length }));
  }
  const shown = lines.slice(0, Math.max(0, size.rows - foot.length));
  while (shown.length < size.rows - foot.length) shown.push([]);
  return [...shown, ...foot].slice(0, size.rows).map((line) => fitLine(line, size.columns));
}

/** The same figures as a block of lines, for a file or a pipe. `rows`: of each table. */
export function renderBlock(frame: Frame, columns: number, rows: number): Line[] {
  const { view } = frame;
  const lines: Line[] = [headLine(frame), ...problemLines(frame)];
  if (view !== null) {
    lines.push(...figureLines(view, columns), ...levelLines(view, columns, false));
    for (const page of TABLE_PAGES) lines.push([], ...section(page, view, { columns, rows: rows + 1 }));
  }
  return lines.map((line) => fitLine(line, columns));
}

const TABLE_PAGES = PAGES.filter((page): page is TablePage => page !== "overview");

function headLine({ address, view }: Frame): Line {
  if (view === null) return [span("ferrite top", "bold"), span(` ${address}`)];
  const workers = view.workers > 0 ? `, ${view.workers} workers` : "";
  return [
    span(view.product, "bold"),
    span(` ${address} `),
    span(`up ${secondsText(view.uptimeSeconds)}, ${view.role}${workers} `),
    span(clockText(view.wallMs), "dim"),
  ];
}

function problemLines({ problem, view }: Frame): Line[] {
  const lines: Line[] = problem === "" ? [] : [[span(problem, "bad")]];
  for (const note of view?.notes ?? []) lines.push([span(note, /FAILED|DOWN/.test(note) ? "bad" : "warn")]);
  return lines;
}

type Figure = readonly [label: string, value: string, look?: Look];

function figuresOf(view: View): Figure[] {
  const { latency } = view;
  const alarm = (value: number): Look => (value > 0 ? "warn" : "plain");
  const basis = view.isLatencyLive ? "" : "*";
  return [
    ["ops/s", countText(view.opsPerSecond), "accent"],
    ["p50", microsText(latency.p50) + basis],
    ["p99", microsText(latency.p99) + basis, "accent"],
    ["p99.9", microsText(latency.p999) + basis],
    ["cpu", percentText(view.cpu)],
    ["hits", percentText(view.hits)],
    ["in/s", bytesText(view.inputPerSecond)],
    ["out/s", bytesText(view.outputPerSecond)],
    ["clients", countText(view.clients), view.clients >= view.clientsMost * 0.9 ? "warn" : "plain"],
    ["blocked", countText(view.blocked)],
    ["refused/s", countText(view.rejectedPerSecond), alarm(view.rejectedPerSecond)],
    ["keys", countText(view.keys)],
    ["expired/s", countText(view.expiredPerSecond)],
    ["evicted/s", countText(view.evictedPerSecond), alarm(view.evictedPerSecond)],
    ["errors/s", countText(view.errorsPerSecond), alarm(view.errorsPerSecond)],
  ];
}

const LABEL_COLUMNS = 9;
const VALUE_COLUMNS = 8;
const FIGURE_COLUMNS = LABEL_COLUMNS + 1 + VALUE_COLUMNS + 2;

function figureLines(view: View, columns: number): Line[] {
  const figures = figuresOf(view);
  const across = Math.max(1, Math.floor((columns + 2) / FIGURE_COLUMNS));
  const lines: Line[] = [];
  for (let i = 0; i < figures.length; i += across) {
    const line: Span[] = [];
    for (const [label, value, look] of figures.slice(i, i + across)) {
      line.push(span(`${pad(label, LABEL_COLUMNS)} `, "dim"), span(pad(value, VALUE_COLUMNS, true), look), span("  "));
    }
    line.pop();
    lines.push(line);
  }
  return lines;
}

/** Shares from which on a level is a warning, and bad. */
const WARN = 0.8;
const BAD = 0.95;

function levelLines(view: View, columns: number, isUnicode: boolean): Line[] {
  const texts = view.levels.map(({ used, of }) => `${bytesText(used)} of ${bytesText(of)}`);
  const textColumns = Math.max(...texts.map(widthOf), 0);
  const barColumns = Math.min(40, columns - LABEL_COLUMNS - 1 - 6 - textColumns - 2);
  return view.levels.map((level, i) => {
    const share = level.of > 0 ? level.used / level.of : 0;
    const line: Span[] = [span(`${pad(level.name, LABEL_COLUMNS)} `, "dim")];
    if (barColumns >= 4) line.push(span(bar(share, barColumns, isUnicode), lookOf(level, share)));
    line.push(span(` ${pad(percentText(share), 5, true)}  ${pad(texts[i]!, textColumns)}`));
    if (level.note !== "") line.push(span(`  ${level.note}`, "dim"));
    return line;
  });
}

/** Of a limit a high share is bad; that much of the log is live, or on disk, is neither. */
function lookOf({ name }: Level, share: number): Look {
  if (name.endsWith("live") || name === "on disk") return "accent";
  return share >= BAD ? "bad" : share >= WARN ? "warn" : "good";
}

function historyLines({ history, isUnicode }: Frame, { columns }: Size): Line[] {
  if (history.length < 2) return [];
  const most = `max ${countText(Math.max(...history))}`;
  const room = Math.min(60, columns - LABEL_COLUMNS - 1 - most.length - 1);
  if (room < 8) return [];
  const line = sparkline(history, room, isUnicode);
  return [[span(`${pad("history", LABEL_COLUMNS)} `, "dim"), span(line, "accent"), span(` ${most}`, "dim")]];
}

/** The pages, or only the chosen one where there is no room for all. */
function tabLine({ page, isPaused }: Screen, columns: number): Line {
  const line: Span[] = [];
  PAGES.forEach((each, i) => {
    line.push(span(`${i + 1} ${TITLES[each]}`, each === page ? "chosen" : "dim"), span("  "));
  });
  if (isPaused) line.push(span("PAUSED", "warn"));
  if (line.reduce((sum, { text }) => sum + widthOf(text), 0) <= columns) return line;
  const at = PAGES.indexOf(page);
  const short: Span[] = [span(`${at + 1} ${TITLES[page]}`, "chosen"), span(`  of ${PAGES.length}, Tab: next`, "dim")];
  return isPaused ? [...short, span("  PAUSED", "warn")] : short;
}

function footLine({ page, isHelp }: Screen, columns: number): Line {
  const keys: string[] = isHelp ? ["q quit", "any other key: back"] : ["q quit", "? help", "Tab page", "space pause"];
  if (!isHelp && page !== "overview") keys.splice(3, 0, "< > sort", "r reverse");
  return [span(cut(keys.join("  "), columns), "dim")];
}

const HELP: readonly string[] = [
  "",
  "Tab, 1 to 6   next page, a page",
  "< >           column that orders the table",
  "r             reverse the order",
  "arrows, PgUp, PgDn   scroll",
  "space         pause",
  "+ -           look less often, more often",
  "q, Ctrl-C     quit",
  "",
  "Rates and percentiles are of the time between two looks,",
  "percentiles with * of the time since the start.",
];

function body(view: View, { page, orders, first }: Screen, size: Size): Line[] {
  if (page !== "overview") return pageLines(page, view, size, orders[page], first, true);
  return overview(view, size);
}

/** The first rows of every table, those of commands and slow commands first. */
function overview(view: View, { columns, rows }: Size): Line[] {
  const lines: Line[] = [];
  const wanted = TABLE_PAGES.map((page) => ({
    page,
    rows: Math.min(OVERVIEW_ROWS[page], Math.max(1, rowsOf(page, view))),
  }));
  let left = rows;
  for (const each of wanted) {
    // A title, the head of the table, its rows, and a blank line before.
    const blank = lines.length === 0 ? 0 : 1;
    if (left < blank + 3) break;
    const made = section(each.page, view, { columns, rows: Math.min(each.rows + 1, left - blank - 1) });
    if (blank === 1) lines.push([]);
    lines.push(...made);
    left = rows - lines.length;
  }
  return lines;
}

const OVERVIEW_ROWS: Readonly<Record<TablePage, number>> = { commands: 8, keys: 5, slow: 4, clients: 4, replicas: 4 };

function section(page: TablePage, view: View, size: Size): Line[] {
  return [[span(TITLES[page], "bold")], ...pageLines(page, view, size, FIRST_ORDER[page], 0, false)];
}
