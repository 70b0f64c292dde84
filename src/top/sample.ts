/**
 * One look at a server: the replies of its commands as figures. Redis 6.2 and later, Valkey and Ferrite are understood. What a
 * server lacks, or this user may not run, is left out and named in `missing`.
 */

/** Durations of one command since the start, as LATENCY HISTOGRAM counts them. */
export interface Histogram {
  readonly calls: number;
  /** Upper bounds of the buckets, us, ascending; counts of calls at or below each bound. */
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

export interface SlowCommand {
  readonly id: number;
  readonly atSeconds: number;
  readonly micros: number;
  readonly command: string;
  readonly address: string;
}

export interface ClientFacts {
  readonly id: number;
  readonly address: string;
  readonly name: string;
  readonly user: string;
  readonly ageSeconds: number;
  readonly idleSeconds: number;
  readonly flags: string;
  readonly db: number;
  readonly command: string;
  readonly bytes: number;
  readonly outputBytes: number;
}

export interface HotKey {
  readonly key: string;
  /** Time of its commands, us, and bytes of its requests and replies. NaN = it is not counted. */
  readonly micros: number;
  readonly bytes: number;
}

export interface HotKeys {
  readonly isActive: boolean;
  readonly keys: readonly HotKey[];
  /** Time and bytes of all commands while it was counted. */
  readonly allMicros: number;
  readonly allBytes: number;
}

/** What a look asks for besides INFO. */
export const ASKS = ["LATENCY HISTOGRAM", "SLOWLOG", "CLIENT LIST", "HOTKEYS"] as const;
export type Ask = (typeof ASKS)[number];

export interface Sample {
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly info: ReadonlyMap<string, string>;
  readonly histograms: ReadonlyMap<string, Histogram>;
  readonly slow: readonly SlowCommand[];
  readonly clients: readonly ClientFacts[];
  /** null: counting has never begun. */
  readonly hotKeys: HotKeys | null;
  readonly missing: ReadonlyMap<Ask, string>;
}

/** The fields of INFO by name. */
export function parseInfo(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0 && line[0] !== "#") fields.set(line.slice(0, colon), line.slice(colon + 1).trimEnd());
  }
  return fields;
}

/** "keys=2,expires=0" as pairs. */
export function parsePairs(text: string): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const word of text.split(",")) {
    const equals = word.indexOf("=");
    if (equals > 0) pairs.set(word.slice(0, equals), word.slice(equals + 1));
  }
  return pairs;
}

export function parseHistograms(reply: unknown): Map<string, Histogram> {
  const all = new Map<string, Histogram>();
  for (const [command, value] of entriesOf(reply)) {
    const fields = new Map(entriesOf(value));
    const buckets = entriesOf(fields.get("histogram_usec"))
      .map(([bound, count]) => [Number(bound), Number(count)] as const)
      .sort((a, b) => a[0] - b[0]);
    all.set(command, {
      calls: Number(fields.get("calls") ?? 0),
      bounds: buckets.map(([bound]) => bound),
      counts: buckets.map(([, count]) => count),
    });
  }
  return all;
}

export function parseSlow(reply: unknown): SlowCommand[] {
  return itemsOf(reply).map((entry) => {
    const [id, at, micros, words, address] = itemsOf(entry);
    return {
      id: Number(id),
      atSeconds: Number(at),
      micros: Number(micros),
      command: itemsOf(words).map(String).join(" "),
      address: String(address ?? ""),
    };
  });
}

export function parseClients(text: string): ClientFacts[] {
  const lines = text.split("\n").filter((line) => line.includes("="));
  return lines.map((line) => {
    const fields = new Map<string, string>();
    for (const word of line.trimEnd().split(" ")) {
      const equals = word.indexOf("=");
      if (equals > 0) fields.set(word.slice(0, equals), word.slice(equals + 1));
    }
    const word = (name: string) => fields.get(name) ?? "";
    const count = (name: string) => Number(fields.get(name) ?? 0);
    return {
      id: count("id"),
      address: word("addr"),
      name: word("name"),
      user: word("user"),
      ageSeconds: count("age"),
      idleSeconds: count("idle"),
      flags: word("flags"),
      db: count("db"),
      command: word("cmd"),
      bytes: count("tot-mem"),
      outputBytes: count("omem"),
    };
  });
}

/** HOTKEYS GET, as Redis 8.6 replies it: one collection of fields, or null before the first START. */
export function parseHotKeys(reply: unknown): HotKeys | null {
  const [first] = itemsOf(reply);
  if (first === undefined || first === null) return null;
  const fields = new Map(entriesOf(first));
  const found = new Map<string, { micros: number; bytes: number }>();
  const read = (field: string, note: (of: { micros: number; bytes: number }, value: number) => void): void => {
    for (const [key, value] of pairsOf(fields.get(field))) {
      let of = found.get(key);
      if (of === undefined) {
        of = { micros: Number.NaN, bytes: Number.NaN };
        found.set(key, of);
      }
      note(of, Number(value));
    }
  };
  read("by-cpu-time-us", (of, value) => {
    of.micros = value;
  });
  read("by-net-bytes", (of, value) => {
    of.bytes = value;
  });
  return {
    isActive: Number(fields.get("tracking-active")) === 1,
    keys: [...found].map(([key, of]) => ({ key, ...of })),
    allMicros: Number(fields.get("all-commands-all-slots-us") ?? 0),
    allBytes: Number(fields.get("net-bytes-all-commands-all-slots") ?? 0),
  };
}

function itemsOf(reply: unknown): unknown[] {
  return Array.isArray(reply) ? reply : [];
}

/** The pairs of a list of names and values in turn. */
function pairsOf(reply: unknown): [string, unknown][] {
  const items = itemsOf(reply);
  const pairs: [string, unknown][] = [];
  for (let i = 0; i + 1 < items.length; i += 2) pairs.push([String(items[i]), items[i + 1]]);
  return pairs;
}

/** The pairs of a map, which RESP2 sends as a list. */
function entriesOf(reply: unknown): [string, unknown][] {
  if (Array.isArray(reply)) return pairsOf(reply);
  return typeof reply === "object" && reply !== null ? Object.entries(reply) : [];
}
