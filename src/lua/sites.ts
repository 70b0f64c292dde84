/**
 * Sites: the places of Lua code that can fail, by number.
 *
 * Generated code passes the number of a site to the runtime, or stores it before a call. The number is unique among all chunks
 * of the thread, so it names the chunk too. A chunk owns its table of sites: the registry holds it weakly, and a site of a
 * chunk that was collected has no position.
 */

/** How the Lua text named an operand, as the words of error messages. */
export type NameKind = "global" | "local" | "upvalue" | "field" | "method" | "";

export interface Site {
  readonly line: number;
  /** Kind and name of the operand, or of the function that is called. */
  readonly kind: NameKind;
  readonly name: string;
  /** The same of the second operand of a binary operator. */
  readonly secondKind: NameKind;
  readonly secondName: string;
}

export class SiteTable {
  constructor(
    /** Name of the chunk as positions show it: "user_script", "[string \"return 1\"]". */
    readonly chunkName: string,
    /** Number of the first site. */
    readonly base: number,
    readonly sites: readonly Site[],
    /** The function whose text was generated. */
    readonly factory: () => unknown,
  ) {}
}

interface Entry {
  readonly base: number;
  readonly end: number;
  readonly table: WeakRef<SiteTable>;
}

/** Entries in order of their numbers. */
let entries: Entry[] = [];
let nextSite = 1;
let sweepAt = 512;

/** Numbers begin again beyond this one. */
const SITE_MAX = 1 << 30;

/** Reserves the numbers of a chunk that is about to be generated: at most `most` of them. Returns the first. */
export function reserveSites(most: number): number {
  if (nextSite + most > SITE_MAX) nextSite = 1;
  const last = entries[entries.length - 1];
  if (last === undefined || last.end <= nextSite) return nextSite; // until the numbers begin again
  for (const entry of entries) {
    if (entry.end > nextSite && entry.base < nextSite + most && entry.table.deref() !== undefined) nextSite = entry.end;
  }
  return nextSite;
}

/** Registers the sites of a chunk that was generated with numbers from reserveSites. */
export function registerSites(
  chunkName: string,
  base: number,
  sites: readonly Site[],
  factory: () => unknown,
): SiteTable {
  const table = new SiteTable(chunkName, base, sites, factory);
  nextSite = base + sites.length;
  if (entries.length >= sweepAt) {
    entries = entries.filter((entry) => entry.table.deref() !== undefined);
    sweepAt = 2 * entries.length + 512;
  }
  const entry = { base, end: nextSite, table: new WeakRef(table) };
  const last = entries[entries.length - 1];
  if (last === undefined || last.base <= base) entries.push(entry);
  else {
    entries = entries.filter((other) => other.end <= base || other.base >= entry.end);
    entries.push(entry);
    entries.sort((a, b) => a.base - b.base);
  }
  return table;
}

/** The table that has the site; null for site 0 and for chunks that are gone. */
function tableOf(site: number): SiteTable | null {
  let low = 0;
  let high = entries.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const entry = entries[middle]!;
    if (site < entry.base) high = middle - 1;
    else if (site >= entry.end) low = middle + 1;
    else return entry.table.deref() ?? null;
  }
  return null;
}

/** The site with this number; null when none is known. */
export function siteAt(site: number): Site | null {
  const table = tableOf(site);
  return table === null ? null : (table.sites[site - table.base] ?? null);
}

/** Chunk name and line of a site; null when none is known. */
export function placeOf(site: number): { chunk: string; line: number } | null {
  const table = tableOf(site);
  const found = table?.sites[site - table.base];
  return table === null || found === undefined ? null : { chunk: table.chunkName, line: found.line };
}

/** "user_script:3: ", or nothing when the place is not known. */
export function positionOf(site: number): string {
  const place = placeOf(site);
  return place === null ? "" : `${place.chunk}:${place.line}: `;
}

/** The text that was generated for the chunk with this first site; empty when it is gone. */
export function generatedText(base: number): string {
  return tableOf(base)?.factory.toString() ?? "";
}
