/**
 * `ferrite tier advise`: reads the access clocks of a running server, and prints what hit ratio each size of memory would give
 * with a disk tier (hit-curve.ts). It changes nothing: TIER SAMPLE is a walk in bounded steps, and dates no access.
 */
import { commandTable } from "../commands/families.ts";
import { WRITE } from "../dispatch/spec.ts";
import { StartupError } from "../base/errors.ts";
import { systemClock } from "../base/clock.ts";
import { addressOf, Link, LinkFailed } from "../top/link.ts";
import { parseInfo } from "../top/sample.ts";
import { parseTierArguments } from "./arguments.ts";
import { hitCurve, type KeySample, memoryFor, ratioAt } from "./hit-curve.ts";
import { targetOf } from "./top.ts";

const PAGE_KEYS = 1000;
/** Sizes of memory that are printed, as shares of the memory of all data. */
const SHARES = [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];
const RATIOS = [0.8, 0.9, 0.95, 0.99];

export interface Advice {
  readonly keys: number;
  readonly sampled: number;
  /** How keys were ranked: by idle times or by counters of accesses. */
  readonly method: "idle" | "freq";
  readonly accessesPerSecond: number;
  /** Memory of the data with all values in it, and with all that may go on disk. */
  readonly dataBytes: number;
  readonly leastBytes: number;
  readonly sizes: readonly { memoryBytes: number; share: number; hitRatio: number; diskReadsPerSecond: number }[];
  readonly ratios: readonly { hitRatio: number; memoryBytes: number }[];
}

/** Exit code 0, or 1 when the server cannot be reached or has no keys. */
export async function runTier(argv: readonly string[]): Promise<number> {
  const given = parseTierArguments(argv, process.env["REDISCLI_AUTH"] ?? "");
  const target = targetOf(given);
  const fail = (text: string): StartupError => new StartupError(`${addressOf(target)}: ${text}`, [], 1);
  let link: Link | null = null;
  try {
    link = await Link.open(target, systemClock);
    const sample = await takeSample(link, given.keys, given.seconds * 1000);
    if (sample.uses.length === 0) throw fail("there are no keys, so there is nothing to say of them");
    const advice = adviceOf(sample);
    console.log(given.json ? JSON.stringify(advice) : textOf(advice, addressOf(target), given.seconds));
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof LinkFailed)) throw thrown;
    throw fail(thrown.message);
  } finally {
    link?.close();
  }
}

// ---- the server ----

/** Counts accesses for `countMs` while it looks at keys. */
async function takeSample(link: Link, most: number, countMs: number): Promise<KeySample> {
  const info = async () => parseInfo(String(await link.send("INFO", ["everything"])));
  const before = await info();
  const beganMs = systemClock.monotonicMs();
  const found = {
    kind: "idle" as KeySample["kind"],
    uses: [] as number[],
    hotBytes: [] as number[],
    coldBytes: [] as number[],
  };
  const databases = [...before.keys()].flatMap((name) => /^db(\d+)$/.exec(name)?.[1] ?? []);
  let keys = 0;
  for (const db of databases) {
    await link.send("SELECT", [db]);
    const inDatabase = Number(await link.send("DBSIZE", []));
    keys += inDatabase;
    await readClocks(link, found, Math.ceil((most * inDatabase) / keysIn(before)));
  }
  const left = countMs - (systemClock.monotonicMs() - beganMs);
  if (left > 0) await Bun.sleep(left);
  const after = await info();
  // By the server's clock, which the idle times are of.
  const seconds = (Number(after.get("server_time_usec")) - Number(before.get("server_time_usec"))) / 1e6;
  const logFactor = await logFactorOf(link);
  return {
    ...found,
    keys,
    accessesPerSecond: Math.max(0, accesses(after) - accesses(before)) / Math.max(seconds, 0.001),
    logFactor,
  };
}

function keysIn(info: ReadonlyMap<string, string>): number {
  let keys = 0;
  for (const [name, value] of info) if (/^db\d+$/.test(name)) keys += Number(/keys=(\d+)/.exec(value)?.[1] ?? 0);
  return Math.max(1, keys);
}

interface Found {
  kind: KeySample["kind"];
  readonly uses: number[];
  readonly hotBytes: number[];
  readonly coldBytes: number[];
}

/** Reads about `most` keys of the selected database: the first ones in the order of their hashes, which are a random sample. */
async function readClocks(link: Link, found: Found, most: number): Promise<void> {
  let cursor = "0";
  const end = found.uses.length + most;
  do {
    const reply = (await link.send("TIER", ["SAMPLE", cursor, "COUNT", String(PAGE_KEYS)])) as [
      string,
      string,
      number[],
    ];
    cursor = String(reply[0]);
    found.kind = String(reply[1]) === "freq" ? "freq" : "idle";
    const numbers = reply[2];
    for (let i = 0; i < numbers.length; i += 3) {
      found.uses.push(numbers[i]!);
      found.hotBytes.push(numbers[i + 1]!);
      found.coldBytes.push(numbers[i + 2]!);
    }
  } while (cursor !== "0" && found.uses.length < end);
}

const WRITES = new Set(
  commandTable()
    .rows.filter(({ flags }) => (flags & WRITE) !== 0)
    .map(({ name }) => name.toLowerCase()),
);

/** Lookups that found their key, and calls of commands that write. */
function accesses(info: ReadonlyMap<string, string>): number {
  let sum = Number(info.get("keyspace_hits") ?? 0);
  for (const [name, value] of info) {
    if (name.startsWith("cmdstat_") && WRITES.has(name.slice("cmdstat_".length)))
      sum += Number(/calls=(\d+)/.exec(value)?.[1] ?? 0);
  }
  return sum;
}

async function logFactorOf(link: Link): Promise<number> {
  const reply = (await link.send("CONFIG", ["GET", "lfu-log-factor"])) as Record<string, string> | string[];
  const value = Array.isArray(reply) ? reply[1] : reply["lfu-log-factor"];
  return Number(value ?? 10);
}

// ---- what it means ----

export function adviceOf(sample: KeySample): Advice {
  const curve = hitCurve(sample);
  const leastBytes = curve[0]!.memoryBytes;
  const dataBytes = curve.at(-1)!.memoryBytes;
  const { accessesPerSecond } = sample;
  const sizes = SHARES.map((share) => Math.round(dataBytes * share))
    .filter((bytes) => bytes >= leastBytes || bytes >= dataBytes)
    .map((memoryBytes) => {
      const hitRatio = ratioAt(curve, memoryBytes);
      return {
        memoryBytes,
        share: memoryBytes / dataBytes,
        hitRatio,
        diskReadsPerSecond: (1 - hitRatio) * accessesPerSecond,
      };
    });
  return {
    keys: sample.keys,
    sampled: sample.uses.length,
    method: sample.kind,
    accessesPerSecond,
    dataBytes: Math.round(dataBytes),
    leastBytes: Math.round(leastBytes),
    sizes,
    ratios: RATIOS.map((hitRatio) => ({ hitRatio, memoryBytes: Math.round(memoryFor(curve, hitRatio)) })),
  };
}

function textOf(advice: Advice, address: string, seconds: number): string {
  const { keys, sampled, accessesPerSecond, dataBytes, leastBytes, sizes, ratios, method } = advice;
  const by = method === "freq" ? "counters of accesses" : "idle times";
  const lines = [
    `${address}: ${keys} keys (${sampled} looked at, by their ${by}), ${mib(dataBytes)} of data, ${Math.round(accessesPerSecond)} accesses/s over ${seconds} s`,
    `With every value on disk that may go there, keys and the rest take ${mib(leastBytes)}.`,
    "",
    "memory for data   of all   hit ratio   reads of disk/s",
    ...sizes.map(
      ({ memoryBytes, share, hitRatio, diskReadsPerSecond }) =>
        `${mib(memoryBytes).padStart(15)}${percent(share).padStart(9)}${percent(hitRatio).padStart(12)}${String(Math.round(diskReadsPerSecond)).padStart(18)}`,
    ),
    "",
    ...ratios.map(({ hitRatio, memoryBytes }) => `${percent(hitRatio)} of the accesses: ${mib(memoryBytes)}`),
    "",
    "max_memory has to hold clients and the JS heaps besides: INFO memory tells them.",
  ];
  if (accessesPerSecond < 1)
    lines.push(
      "Hardly any accesses were counted, so the ratios say little: run it under load, with a longer --seconds.",
    );
  return lines.join("\n");
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
