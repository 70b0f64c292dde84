/**
 * Linearizability of a string key: whether there is an order of the operations that respects real time, and in which every
 * reply is that of a single-threaded server.
 *
 * Method: Wing and Gong's search with Lowe's memo of (operations done, state) as in Porcupine, one search per key (a
 * history is linearizable if and only if that of every key is). Calls and returns lie on a list in time order:
 *
 *      call A   call B   return A   call C   return B   return C
 *
 * A call in front of the first return may be next; it is lifted out with its return, and when only returns could be next the
 * last choice is taken back. Beyond the definition, operations that one connection sent in one pipeline keep their
 * order (`after`): a server may not swap them.
 *
 * An operation whose reply says that it changed nothing (GET, a failed SETNX ...) and that fits the present state is taken
 * at once, without trying other orders: whatever order exists with it later also exists with it here. That leaves the
 * writes to search through. (A SET of the present value is a write: it may be needed later.)
 *
 * Times are from one monotonic clock. A `returned` later than the truth only widens an operation: no false alarm. An
 * operation without a reply (`returned` = Infinity) may have happened at any time after its call, or never.
 */
export type Command = "GET" | "SET" | "INCR" | "DEL" | "APPEND" | "SETNX" | "GETSET" | "GETDEL";

export interface Operation {
  process: number;
  key: string;
  command: Command;
  argument: string;
  called: number;
  returned: number;
  /** The reply as show() writes it; null while there is none. */
  output: string | null;
  /** The operation before it in the same pipeline on the same key. */
  after: Operation | null;
}

/** A key's value; null when the key does not exist. */
type State = string | null;

const INTEGER = /^(0|-?[1-9]\d{0,17})$/;
const NOT_AN_INTEGER = "-ERR value is not an integer or out of range";

const optional = (state: State): string => (state === null ? "null$" : `"${state}"`);

/** The reply and the next state of one command on one key, as Redis defines them. */
export function apply(state: State, command: Command, argument: string): { output: string; next: State } {
  switch (command) {
    case "GET":
      return { output: optional(state), next: state };
    case "SET":
      return { output: "+OK", next: argument };
    case "DEL":
      return { output: state === null ? ":0" : ":1", next: null };
    case "SETNX":
      return state === null ? { output: ":1", next: argument } : { output: ":0", next: state };
    case "GETSET":
      return { output: optional(state), next: argument };
    case "GETDEL":
      return { output: optional(state), next: null };
    case "APPEND":
      return { output: `:${(state ?? "").length + argument.length}`, next: (state ?? "") + argument };
    case "INCR": {
      if (state !== null && !INTEGER.test(state)) return { output: NOT_AN_INTEGER, next: state };
      const value = String(BigInt(state ?? "0") + 1n);
      return { output: `:${value}`, next: value };
    }
  }
}

/** True when the operation leaves every state as it is in which it could have given this reply. */
function changesNothing({ command, output }: Operation): boolean {
  switch (command) {
    case "GET":
      return output !== null;
    case "SETNX":
    case "DEL":
      return output === ":0";
    case "GETDEL":
      return output === "null$";
    case "INCR":
      return output === NOT_AN_INTEGER;
    default:
      return false;
  }
}

export type Verdict =
  | { linearizable: true; steps: number }
  | { linearizable: false; steps: number; key: string; explanation: string }
  /** The search was given up after `stepsMax`. */
  | { linearizable: null; steps: number; key: string };

export function checkHistory(operations: readonly Operation[], stepsMax = 2_000_000): Verdict {
  let steps = 0,
    undecided: Verdict | null = null;
  for (const key of new Set(operations.map((operation) => operation.key))) {
    const verdict = checkKey(
      operations.filter((operation) => operation.key === key),
      stepsMax,
    );
    steps += verdict.steps;
    if (verdict.linearizable === false) return { ...verdict, steps };
    if (verdict.linearizable === null) undecided = verdict;
  }
  return undecided === null ? { linearizable: true, steps } : { ...undecided, steps };
}

interface Entry {
  index: number;
  isCall: boolean;
  time: number;
  previous: Entry;
  next: Entry;
  partner: Entry | null;
}

function checkKey(operations: readonly Operation[], stepsMax: number): Verdict {
  const key = operations[0]!.key;
  const indexOf = new Map(operations.map((operation, i) => [operation, i]));
  const afterIndex = operations.map((operation) =>
    operation.after === null ? -1 : (indexOf.get(operation.after) ?? -1),
  );
  const completed = operations.filter((operation) => operation.returned !== Infinity).length;
  const head = timeline(operations);

  const seen = new Set<string>();
  const stack: { entry: Entry; state: State; forced: boolean }[] = [];
  let state: State = null;
  let done = 0n;
  let doneCompleted = 0;
  let steps = 0;
  let deepest: number[] = [];

  /** The state after this call if it may come next, undefined if it may not. */
  const nextState = (entry: Entry): State | undefined => {
    const operation = operations[entry.index]!;
    const before = afterIndex[entry.index]!;
    if (before >= 0 && ((done >> BigInt(before)) & 1n) === 0n) return undefined;
    const { output, next } = apply(state, operation.command, operation.argument);
    return operation.output === null || operation.output === output ? next : undefined;
  };
  const choose = (entry: Entry, next: State, forced: boolean): void => {
    stack.push({ entry, state, forced });
    state = next;
    done |= 1n << BigInt(entry.index);
    if (entry.partner !== null) doneCompleted++;
    if (stack.length > deepest.length) deepest = stack.map((choice) => choice.entry.index);
    lift(entry);
  };
  /** Takes all operations that change nothing and may come next; false when the search was here before. */
  const settle = (): boolean => {
    for (let entry = head.next; entry !== head && entry.isCall; ) {
      steps++;
      if (changesNothing(operations[entry.index]!) && nextState(entry) === state) {
        choose(entry, state, true);
        entry = head.next; // its return is gone too: more calls may be in front now
      } else {
        entry = entry.next;
      }
    }
    const memo = `${done.toString(36)} ${state === null ? "-" : `=${state}`}`;
    if (seen.has(memo)) return false;
    seen.add(memo);
    return true;
  };
  /** Undoes the last choice that had an alternative. Returns the entry to continue with, or null when none is left. */
  const back = (): Entry | null => {
    for (let choice = stack.pop(); choice !== undefined; choice = stack.pop()) {
      state = choice.state;
      done &= ~(1n << BigInt(choice.entry.index));
      if (choice.entry.partner !== null) doneCompleted--;
      unlift(choice.entry);
      if (!choice.forced) return choice.entry.next;
    }
    return null;
  };

  settle();
  let entry: Entry | null = head.next;
  while (doneCompleted < completed) {
    if (++steps > stepsMax) return { linearizable: null, steps, key };
    // Behind a return, or the end, nothing can be next.
    const next: State | undefined = entry !== head && entry.isCall ? nextState(entry) : undefined;
    if (next !== undefined) {
      choose(entry, next, false);
      entry = settle() ? head.next : back();
    } else {
      entry = entry !== head && entry.isCall ? entry.next : back();
    }
    if (entry === null) return { linearizable: false, steps, key, explanation: explain(operations, deepest) };
  }
  return { linearizable: true, steps };
}

/** Calls and returns as a ring in time order; of equal times, calls first (which allows more orders, never fewer). */
function timeline(operations: readonly Operation[]): Entry {
  const entries: Entry[] = [];
  const make = (index: number, isCall: boolean, time: number): Entry => {
    const entry = { index, isCall, time, partner: null } as unknown as Entry;
    entries.push(entry);
    return entry;
  };
  for (const [i, operation] of operations.entries()) {
    const call = make(i, true, operation.called);
    if (operation.returned !== Infinity) {
      call.partner = make(i, false, operation.returned);
      call.partner.partner = call;
    }
  }
  entries.sort((a, b) => a.time - b.time || Number(b.isCall) - Number(a.isCall) || a.index - b.index);
  const head = { index: -1, isCall: false, time: -1, partner: null } as unknown as Entry;
  let last = head;
  for (const entry of entries) {
    last.next = entry;
    entry.previous = last;
    last = entry;
  }
  last.next = head;
  head.previous = last;
  return head;
}

function lift(call: Entry): void {
  for (const entry of call.partner === null ? [call] : [call, call.partner]) {
    entry.previous.next = entry.next;
    entry.next.previous = entry.previous;
  }
}

function unlift(call: Entry): void {
  for (const entry of call.partner === null ? [call] : [call.partner, call]) {
    entry.previous.next = entry;
    entry.next.previous = entry;
  }
}

/** The longest order found, and what could not come next. */
function explain(operations: readonly Operation[], order: readonly number[]): string {
  let state: State = null;
  const lines: string[] = [];
  for (const index of order) {
    const operation = operations[index]!;
    state = apply(state, operation.command, operation.argument).next;
    lines.push(`    ${describe(operation)}   then the value is ${optional(state)}`);
  }
  const left = operations
    .map((_, i) => i)
    .filter((i) => !order.includes(i))
    .slice(0, 12)
    .map((i) => {
      const operation = operations[i]!;
      return `    ${describe(operation)}   would give ${apply(state, operation.command, operation.argument).output}`;
    });
  const shown = lines.length > 15 ? [`    (${lines.length - 15} more before)`, ...lines.slice(-15)] : lines;
  return `longest order found (${order.length} of ${operations.length} operations):\n${shown.join("\n")}\n  and none of these can come next:\n${left.join("\n")}`;
}

function describe(operation: Operation): string {
  const time = (ms: number): string => (ms === Infinity ? "never" : ms.toFixed(3));
  return `client ${operation.process} ${operation.command} ${operation.key}${operation.argument === "" ? "" : ` ${operation.argument}`} -> ${operation.output ?? "no reply"} [${time(operation.called)}..${time(operation.returned)}]`;
}
