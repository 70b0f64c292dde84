/** What a key of the user does to the picture. */
import { columnsOf, PAGES, rowsOf } from "./pages.ts";
import type { Screen } from "./render.ts";
import type { View } from "./view.ts";

export type Key =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "up" | "down" | "left" | "right" | "pageUp" | "pageDown" | "home" | "end" | "backTab" };

export interface Choice {
  readonly screen: Screen;
  readonly intervalSeconds: number;
  readonly isOver: boolean;
}

const SEQUENCES: Readonly<Record<string, Key>> = {
  "[A": { kind: "up" },
  "[B": { kind: "down" },
  "[C": { kind: "right" },
  "[D": { kind: "left" },
  "[5~": { kind: "pageUp" },
  "[6~": { kind: "pageDown" },
  "[H": { kind: "home" },
  "[F": { kind: "end" },
  "[1~": { kind: "home" },
  "[4~": { kind: "end" },
  "[Z": { kind: "backTab" },
  OA: { kind: "up" },
  OB: { kind: "down" },
  OC: { kind: "right" },
  OD: { kind: "left" },
};

/** The keys in what a terminal sent. Sequences that mean nothing here are left out. */
export function keysOf(input: string): Key[] {
  const keys: Key[] = [];
  // CSI: parameters, then a letter or "~". SS3: one letter.
  for (const [all, sequence] of input.matchAll(/\x1b(\[[0-9;?]*[A-Za-z~]|O[A-Z])|[\s\S]/gu)) {
    if (sequence === undefined) keys.push({ kind: "text", text: all });
    else if (Object.hasOwn(SEQUENCES, sequence)) keys.push(SEQUENCES[sequence]!);
  }
  return keys;
}

export const INTERVAL_MIN = 0.5;
export const INTERVAL_MAX = 60;
const INTERVALS = [INTERVAL_MIN, 1, 2, 5, 10, 30, INTERVAL_MAX];
/** Rows that PgUp and PgDn move by. */
const PAGE_ROWS = 10;

/** What is shown after `key`. */
export function press(key: Key, choice: Choice, view: View | null): Choice {
  const { screen } = choice;
  if (key.kind === "text" && (key.text === "q" || key.text === "Q" || key.text === "\x03"))
    return { ...choice, isOver: true };
  if (screen.isHelp) return { ...choice, screen: { ...screen, isHelp: false } };
  if (key.kind !== "text") return { ...choice, screen: move(key.kind, screen, view) };
  switch (key.text) {
    case "?":
    case "h":
      return { ...choice, screen: { ...screen, isHelp: true } };
    case " ":
    case "p":
      return { ...choice, screen: { ...screen, isPaused: !screen.isPaused } };
    case "+":
      return { ...choice, intervalSeconds: INTERVALS.find((each) => each > choice.intervalSeconds) ?? INTERVAL_MAX };
    case "-":
      return {
        ...choice,
        intervalSeconds: INTERVALS.findLast((each) => each < choice.intervalSeconds) ?? INTERVAL_MIN,
      };
    case "\t":
      return { ...choice, screen: turn(screen, 1) };
    default:
      return { ...choice, screen: chooseBy(key.text, screen) };
  }
}

function chooseBy(text: string, screen: Screen): Screen {
  const page = PAGES[Number(text) - 1];
  if (page !== undefined) return { ...screen, page, first: 0 };
  if (screen.page === "overview") return screen;
  const order = screen.orders[screen.page];
  const columns = columnsOf(screen.page);
  const by = (change: Partial<typeof order>): Screen => ({
    ...screen,
    first: 0,
    orders: { ...screen.orders, [screen.page]: { ...order, ...change } },
  });
  if (text === "r" || text === "R") return by({ isReversed: !order.isReversed });
  if (text === "<" || text === ",") return by({ column: (order.column + columns - 1) % columns, isReversed: false });
  if (text === ">" || text === ".") return by({ column: (order.column + 1) % columns, isReversed: false });
  return screen;
}

function turn(screen: Screen, by: number): Screen {
  const at = (PAGES.indexOf(screen.page) + by + PAGES.length) % PAGES.length;
  return { ...screen, page: PAGES[at]!, first: 0 };
}

function move(kind: Exclude<Key["kind"], "text">, screen: Screen, view: View | null): Screen {
  if (kind === "backTab") return turn(screen, -1);
  if (kind === "left") return chooseBy("<", screen);
  if (kind === "right") return chooseBy(">", screen);
  const last = screen.page === "overview" || view === null ? 0 : Math.max(0, rowsOf(screen.page, view) - 1);
  const wanted = {
    up: screen.first - 1,
    down: screen.first + 1,
    pageUp: screen.first - PAGE_ROWS,
    pageDown: screen.first + PAGE_ROWS,
    home: 0,
    end: last,
  }[kind];
  return { ...screen, first: Math.min(last, Math.max(0, wanted)) };
}
