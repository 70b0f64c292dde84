/**
 * Tables that fit their width: the least important columns go first, and one column takes what is left. Rows are in the order of
 * a column that the user chooses.
 */
import { cut, type Line, type Look, pad, type Span, span } from "./text.ts";

export interface Column<Row> {
  readonly title: string;
  readonly width: number;
  /** 1 = shown in any width. Higher ones are left out first. */
  readonly rank: number;
  readonly isNumber: boolean;
  /** Takes the columns that are left. `width` is its least. */
  readonly grows?: boolean;
  text(row: Row): string;
  order(row: Row): number | string;
  look?(row: Row): Look;
}

/** Which column orders a table. */
export interface Order {
  readonly column: number;
  readonly isReversed: boolean;
}

const GAP = 1;

/** The columns that fit into `columns`, and the width of each. */
export function layout<Row>(all: readonly Column<Row>[], columns: number): { column: Column<Row>; width: number }[] {
  let shown = [...all];
  const needed = () => shown.reduce((sum, { width }) => sum + width, GAP * (shown.length - 1));
  for (let rank = Math.max(...all.map((column) => column.rank)); rank > 1 && needed() > columns; rank--)
    shown = shown.filter((column) => column.rank !== rank);
  const left = Math.max(0, columns - needed());
  return shown.map((column) => ({ column, width: column.width + (column.grows === true ? left : 0) }));
}

/** Numbers from the highest, texts from A to Z; reversed the other way. NaN is always last. */
export function sorted<Row>(rows: readonly Row[], all: readonly Column<Row>[], order: Order): Row[] {
  const column = all[order.column] ?? all[0]!;
  const way = order.isReversed ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [column.order(a), column.order(b)];
    if (typeof x === "string" || typeof y === "string") return way * (String(x) < String(y) ? -1 : Number(x !== y));
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
    return way * (y - x);
  });
}

/** A head, in which the column of `order` is marked (null: none is), and at most `rows` rows from row `first` on, of rows that are in order. */
export function tableLines<Row>(
  ordered: readonly Row[],
  all: readonly Column<Row>[],
  size: { readonly columns: number; readonly rows: number },
  order: Order | null,
  first: number,
): Line[] {
  const shown = layout(all, size.columns);
  const isAlone = shown.length === 1;
  const place = (text: string, { column, width }: (typeof shown)[number]) =>
    isAlone ? cut(text, size.columns) : pad(text, width, column.isNumber);
  const head: Span[] = [];
  shown.forEach((each, i) => {
    if (i > 0) head.push(span(" ".repeat(GAP)));
    const isOrder = order !== null && all.indexOf(each.column) === order.column;
    const title = isOrder && order.isReversed ? `${each.column.title}^` : each.column.title;
    head.push(span(place(title, each), isOrder ? "chosen" : "dim"));
  });
  const lines: Line[] = [head];
  for (const row of ordered.slice(first, first + Math.max(0, size.rows - 1))) {
    const line: Span[] = [];
    shown.forEach((each, i) => {
      if (i > 0) line.push(span(" ".repeat(GAP)));
      line.push(span(place(each.column.text(row), each), each.column.look?.(row) ?? "plain"));
    });
    lines.push(line);
  }
  return lines;
}
