/** next, pairs and ipairs. A for loop over pairs(t) or ipairs(t) calls none of them: generate.ts walks the table. */
import { checkTable } from "../arguments.ts";
import { type Builtin, type LuaTable, NONE, raiseBare } from "../value.ts";

function next(table?: unknown, key?: unknown): unknown {
  const walked = checkTable(table, 1, arguments.length);
  let position = -1;
  if (key !== undefined) {
    position = walked.positionOf(key);
    if (position < 0) raiseBare("invalid key to 'next'");
  }
  position = walked.after(position);
  return position < 0 ? undefined : [walked.keyAt(position), walked.valueAt(position)];
}

function pairs(table?: unknown): unknown {
  return [next, checkTable(table, 1, arguments.length), undefined];
}

/** The iterator of ipairs. */
function following(table: LuaTable, at: number): unknown {
  const value = table.getInt(at + 1);
  return value === undefined ? NONE : [at + 1, value];
}

function ipairs(table?: unknown): unknown {
  return [following, checkTable(table, 1, arguments.length), 0];
}

export const iterateLibrary: readonly Builtin[] = [
  { name: "next", run: next, single: false },
  { name: "pairs", run: pairs, single: false },
  { name: "ipairs", run: ipairs, single: false },
];

/** Which of the two a function is; null for all others. */
export function pairsKind(value: unknown): "pairs" | "ipairs" | null {
  return value === pairs ? "pairs" : value === ipairs ? "ipairs" : null;
}
