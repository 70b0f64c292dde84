/** The pages of `ferrite top`: each has a table with its columns, and a word for when it is empty. */
import type { ClientFacts, SlowCommand } from "./sample.ts";
import { type Column, type Order, sorted, tableLines } from "./table.ts";
import {
  bytesText,
  clean,
  countText,
  type Line,
  type Look,
  microsText,
  percentText,
  secondsText,
  span,
} from "./text.ts";
import type { CommandRow, HotKeyRow, ReplicaRow, View } from "./view.ts";

export const PAGES = ["overview", "commands", "keys", "slow", "clients", "replicas"] as const;
export type Page = (typeof PAGES)[number];
export type TablePage = Exclude<Page, "overview">;

export const TITLES: Readonly<Record<Page, string>> = {
  overview: "Overview",
  commands: "Commands",
  keys: "Hot keys",
  slow: "Slow commands",
  clients: "Clients",
  replicas: "Replicas",
};

/** A column of numbers. */
function number<Row>(
  title: string,
  width: number,
  rank: number,
  order: (row: Row) => number,
  text: (value: number) => string,
  look?: (row: Row) => Look,
): Column<Row> {
  const column = { title, width, rank, isNumber: true, order, text: (row: Row) => text(order(row)) };
  return look === undefined ? column : { ...column, look };
}

/** A column of text that a client may have chosen. */
function words<Row>(
  title: string,
  width: number,
  rank: number,
  read: (row: Row) => string,
  grows = false,
): Column<Row> {
  return { title, width, rank, isNumber: false, grows, order: read, text: (row) => clean(read(row)) };
}

const slowLook = (micros: number): Look => (micros >= 100_000 ? "bad" : micros >= 10_000 ? "warn" : "plain");

const COMMANDS: readonly Column<CommandRow>[] = [
  words<CommandRow>("command", 12, 1, ({ command }) => command, true),
  number<CommandRow>("calls/s", 8, 1, ({ perSecond }) => perSecond, countText),
  number<CommandRow>("time", 6, 2, ({ share }) => share, percentText),
  number<CommandRow>("mean", 7, 4, ({ meanMicros }) => meanMicros, microsText),
  number<CommandRow>("p50", 7, 3, ({ p50 }) => p50, microsText),
  number<CommandRow>(
    "p99",
    7,
    1,
    ({ p99 }) => p99,
    microsText,
    ({ p99 }) => slowLook(p99),
  ),
  number<CommandRow>(
    "p99.9",
    7,
    5,
    ({ p999 }) => p999,
    microsText,
    ({ p999 }) => slowLook(p999),
  ),
  number<CommandRow>("calls", 8, 6, ({ calls }) => calls, countText),
  number<CommandRow>("failed", 7, 7, ({ failed }) => failed, countText),
];

const KEYS: readonly Column<HotKeyRow>[] = [
  words<HotKeyRow>("key", 16, 1, ({ key }) => key, true),
  number<HotKeyRow>("time", 8, 1, ({ micros }) => micros, microsText),
  number<HotKeyRow>("share", 6, 2, ({ share }) => share, percentText),
  number<HotKeyRow>("network", 8, 3, ({ bytes }) => bytes, bytesText),
];

const SLOW: readonly Column<SlowCommand>[] = [
  number<SlowCommand>(
    "took",
    7,
    1,
    ({ micros }) => micros,
    microsText,
    ({ micros }) => slowLook(micros),
  ),
  { ...number<SlowCommand>("at", 8, 1, ({ atSeconds }) => atSeconds, timeText), isNumber: false },
  words<SlowCommand>("command", 20, 1, ({ command }) => command, true),
  words<SlowCommand>("client", 21, 3, ({ address }) => address),
  number<SlowCommand>("id", 7, 4, ({ id }) => id, String),
];

const CLIENTS: readonly Column<ClientFacts>[] = [
  words<ClientFacts>("address", 17, 1, ({ address }) => address, true),
  number<ClientFacts>("memory", 7, 1, ({ bytes }) => bytes, bytesText),
  number<ClientFacts>("output", 7, 3, ({ outputBytes }) => outputBytes, bytesText),
  number<ClientFacts>("age", 6, 5, ({ ageSeconds }) => ageSeconds, secondsText),
  number<ClientFacts>("idle", 6, 1, ({ idleSeconds }) => idleSeconds, secondsText),
  number<ClientFacts>("db", 3, 6, ({ db }) => db, String),
  words<ClientFacts>("flags", 5, 7, ({ flags }) => flags),
  words<ClientFacts>("command", 12, 2, ({ command }) => command),
  words<ClientFacts>("user", 9, 6, ({ user }) => user),
  words<ClientFacts>("name", 12, 4, ({ name }) => name),
];

const REPLICAS: readonly Column<ReplicaRow>[] = [
  words<ReplicaRow>("replica", 21, 1, ({ address }) => address, true),
  {
    ...words<ReplicaRow>("state", 12, 2, ({ state }) => state),
    look: ({ state }) => (state === "online" || state === "up" ? "good" : "warn"),
  },
  number<ReplicaRow>("behind", 8, 1, ({ behindBytes }) => behindBytes, bytesText),
  number<ReplicaRow>(
    "lag",
    6,
    1,
    ({ lagSeconds }) => lagSeconds,
    (value) => (Number.isNaN(value) ? "-" : `${value}s`),
  ),
  number<ReplicaRow>("offset", 14, 3, ({ offset }) => offset, String),
];

function timeText(seconds: number): string {
  return clockText(seconds * 1000);
}
/** hh:mm:ss of the local day. */
export function clockText(wallMs: number): string {
  return new Date(wallMs).toTimeString().slice(0, 8);
}

/** What orders each table at first. */
export const FIRST_ORDER: Readonly<Record<TablePage, Order>> = {
  commands: { column: 2, isReversed: false },
  keys: { column: 2, isReversed: false },
  slow: { column: 1, isReversed: false },
  clients: { column: 1, isReversed: false },
  replicas: { column: 2, isReversed: false },
};

const COLUMNS = { commands: COMMANDS, keys: KEYS, slow: SLOW, clients: CLIENTS, replicas: REPLICAS } as const;

export function columnsOf(page: TablePage): number {
  return COLUMNS[page].length;
}

/** The number of rows of a page. */
export function rowsOf(page: TablePage, view: View): number {
  return rows(page, view).length;
}

function rows(page: TablePage, view: View): readonly unknown[] {
  switch (page) {
    case "commands":
      return view.commands;
    case "keys":
      return view.hotKeys;
    case "slow":
      return view.slow;
    case "clients":
      return view.clientRows;
    case "replicas":
      return view.replicas;
  }
}

/** Why a page is empty. */
function emptyText(page: TablePage, view: View): string {
  switch (page) {
    case "commands":
      return "no command has run yet";
    case "keys":
      return view.hotKeysHint;
    case "slow":
      return view.missing.get("SLOWLOG") ?? "no slow commands";
    case "clients":
      return view.missing.get("CLIENT LIST") ?? "no clients";
    case "replicas":
      return "no replicas";
  }
}

/** The table of a page, in `size.rows` lines at most. `isChosen`: the user orders it, and sees by which column. */
export function pageLines(
  page: TablePage,
  view: View,
  size: { readonly columns: number; readonly rows: number },
  order: Order,
  first: number,
  isChosen: boolean,
): Line[] {
  const all = rows(page, view);
  if (all.length === 0) return [[span(emptyText(page, view), "dim")]];
  const columns = COLUMNS[page] as readonly Column<unknown>[];
  return tableLines(sorted(all, columns, order), columns, size, isChosen ? order : null, first);
}
