/**
 * Strict serializability of transactions that count up keys: whether there is an order of the transactions that respects real
 * time, and in which each INCR and each GET gets the value that it got.
 *
 * A key is only ever counted up, so its values number the transactions that did so, and a value that was read lies between two
 * of them. Each gives edges "before"; so does real time: what had its reply before another was sent. Such an order exists
 * if and only if the edges have no circle.
 *
 *   key a   T1 (1) ─► T4 (2) ─► T2 (3)        read of 1: T1 ─► reader ─► T4
 *   time    ... ─► moment ─► moment ─► ...    reply of T ─► moment,  moment ─► transaction sent later
 */
export interface Access {
  key: string;
  /** The value that an INCR made, or that a GET found (0: none). */
  value: number;
  isWrite: boolean;
}

/** A transaction that was committed, or a single command. */
export interface Committed {
  name: string;
  called: number;
  returned: number;
  accesses: readonly Access[];
}

/** Returns "" when the transactions have such an order, else what is wrong. */
export function checkSerializable(transactions: readonly Committed[]): string {
  const edges: number[][] = transactions.map(() => []);
  const problem = addKeyEdges(transactions, edges);
  if (problem !== "") return problem;
  addTimeEdges(transactions, edges);
  const circle = nodesInCircles(edges).filter((node) => node < transactions.length);
  return circle.length === 0 ? "" : `a circle among ${circle.map((node) => transactions[node]!.name).join(", ")}`;
}

function addKeyEdges(transactions: readonly Committed[], edges: number[][]): string {
  const writers = new Map<string, Map<number, number>>();
  for (const [node, { name, accesses }] of transactions.entries()) {
    for (const { key, value, isWrite } of accesses) {
      if (!isWrite) continue;
      const ofKey = writers.get(key) ?? new Map<number, number>();
      writers.set(key, ofKey);
      if (ofKey.has(value)) return `${name} and ${transactions[ofKey.get(value)!]!.name} both made ${key} ${value}`;
      ofKey.set(value, node);
    }
  }
  const add = (from: number | undefined, to: number | undefined): void => {
    if (from !== undefined && to !== undefined && from !== to) edges[from]!.push(to);
  };
  for (const [node, { name, accesses }] of transactions.entries()) {
    for (const { key, value, isWrite } of accesses) {
      const ofKey = writers.get(key);
      const before = isWrite ? value - 1 : value;
      if (before > 0 && ofKey?.get(before) === undefined) return `${name} found ${key} at ${before}, which nobody made`;
      add(ofKey?.get(before), node);
      add(node, ofKey?.get(value + 1));
    }
  }
  return "";
}

/** The moments of replies are nodes of their own, in their order, so that the edges of time are few. */
function addTimeEdges(transactions: readonly Committed[], edges: number[][]): void {
  const byReply = [...transactions.keys()].sort((a, b) => transactions[a]!.returned - transactions[b]!.returned);
  const first = edges.length;
  for (const [n, node] of byReply.entries()) {
    edges.push(n + 1 < byReply.length ? [first + n + 1] : []);
    edges[node]!.push(first + n);
  }
  for (const [node, { called }] of transactions.entries()) {
    let low = 0;
    let high = byReply.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (transactions[byReply[middle]!]!.returned < called) low = middle + 1;
      else high = middle;
    }
    if (low > 0) edges[first + low - 1]!.push(node);
  }
}

/** The nodes that are left when those without a predecessor are taken away again and again. */
function nodesInCircles(edges: readonly number[][]): number[] {
  const predecessors = new Int32Array(edges.length);
  for (const targets of edges) for (const target of targets) predecessors[target]!++;
  const free: number[] = [];
  for (let node = 0; node < edges.length; node++) if (predecessors[node] === 0) free.push(node);
  const isTaken = new Uint8Array(edges.length);
  for (let node = free.pop(); node !== undefined; node = free.pop()) {
    isTaken[node] = 1;
    for (const target of edges[node]!) if (--predecessors[target]! === 0) free.push(target);
  }
  return [...isTaken.keys()].filter((node) => isTaken[node] === 0);
}
