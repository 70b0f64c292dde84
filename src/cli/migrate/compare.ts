/**
 * The step `compare`: reads keys on both sides while clients write.
 *
 *   page of SCAN ─ TYPE, PTTL, MEMORY USAGE ─ small keys: DEBUG DIGEST-VALUE, or the value ─┬ equal: done
 *                                            └ large keys: part by part                    └ not: settle.ts decides
 *
 * A sample is the first keys that SCAN finds from a random cursor: SCAN goes by the hash of the keys, so they are a random
 * choice. Keys that only the target has are found by the same way from the target.
 */
import { type Finding, failure, fine, note, warning } from "../finding.ts";
import { hashSlotOf } from "./hash-slot.ts";
import { ErrorReply, type Reply, type Word } from "./link.ts";
import { counted, type Run } from "./run.ts";
import { keysByDatabase, type Server, text } from "./server.ts";
import { type Question, settle, viewsOf } from "./settle.ts";
import { COMPARED_TYPES, factsOfStream, LARGE_BYTES, lengthOf, partsOf, type Reading, wholeValue } from "./values.ts";

export interface KeyName {
  readonly database: number;
  readonly key: Buffer;
}

interface Difference extends KeyName {
  readonly reason: string;
}

export interface Compared {
  readonly findings: Finding[];
  /** Keys that were written all the time, to be compared while writes are paused. */
  readonly changing: readonly KeyName[];
  readonly compared: number;
  readonly different: number;
}

const PAGE_KEYS = 200;
/** Differences after which a comparison gives up: something is wrong, and each costs time. */
const DIFFERENT_MAX = 10_000;

class Comparison {
  readonly differences: Difference[] = [];
  private readonly changing: KeyName[] = [];
  private compared = 0;
  private skipped = 0;
  private database = 0;
  private hasDigests = false;
  private source!: Server;
  private target!: Server;

  constructor(private readonly run: Run) {}

  /** SELECT is of a connection, so these are connections of its own. */
  async open(): Promise<void> {
    this.source = await this.run.source.twin();
    this.target = await this.run.target.twin();
    const probe = ["DEBUG", "DIGEST-VALUE", "ferrite-migrate"];
    this.hasDigests =
      Array.isArray(await this.source.tryAsk(...probe)) && Array.isArray(await this.target.tryAsk(...probe));
  }

  close(): void {
    this.source?.close();
    this.target?.close();
  }

  async select(database: number): Promise<void> {
    this.database = database;
    await this.source.ask("SELECT", database);
    await this.target.ask("SELECT", database);
  }

  async compareAll(): Promise<void> {
    const onSource = keysByDatabase(await this.source.info("keyspace"));
    const onTarget = keysByDatabase(await this.target.info("keyspace"));
    const total = [...onSource.values()].reduce((sum, keys) => sum + keys, 0);
    for (const database of new Set([...onSource.keys(), ...onTarget.keys()])) {
      await this.select(database);
      const keys = onSource.get(database) ?? 0;
      const share =
        this.run.options.keys === Number.POSITIVE_INFINITY
          ? 1
          : Math.min(1, this.run.options.keys / Math.max(1, total));
      await this.walk(this.source, Math.ceil(keys * share), share < 1, total, (page) => this.comparePage(page));
      const others = onTarget.get(database) ?? 0;
      await this.walk(this.target, Math.ceil(others * share), share < 1, total, (page) => this.compareExistence(page));
    }
  }

  /** Gives the keys that SCAN finds on a server to `use`, page by page: `wanted` of a sample, else all. */
  private async walk(
    server: Server,
    wanted: number,
    isSample: boolean,
    total: number,
    use: (page: Buffer[]) => Promise<void>,
  ): Promise<void> {
    const { slots } = this.run.options;
    const start = isSample ? await randomCursor(server) : "0";
    let cursor = start;
    let seen = 0;
    let wrapped = start === "0";
    do {
      this.run.interruption.check();
      const reply = (await server.ask("SCAN", cursor, "COUNT", PAGE_KEYS)) as readonly Reply[];
      cursor = text(reply[0]!);
      const keys = reply[1] as readonly Buffer[];
      const page = slots === null ? [...keys] : keys.filter((key) => isWithin(hashSlotOf(key), slots));
      seen += keys.length;
      for (let at = 0; at < page.length; at += PAGE_KEYS) await use(page.slice(at, at + PAGE_KEYS));
      this.run.progress.show(
        `compare: ${this.compared} of ${isSample ? this.run.options.keys : total} keys, ${this.differences.length} different`,
      );
      if (cursor === "0" && !wrapped) {
        wrapped = true;
        continue;
      }
      if (cursor === "0") return;
    } while (!(isSample && seen >= wanted) && this.differences.length < DIFFERENT_MAX);
  }

  /** Compares keys of the source with the same ones of the target. */
  async comparePage(keys: readonly Buffer[]): Promise<void> {
    const heads = keys.flatMap((key): Word[][] => [
      ["TYPE", key],
      ["MEMORY", "USAGE", key],
    ]);
    const [replies, types] = await Promise.all([
      this.source.batch(heads),
      this.target.batch(keys.map((key) => ["TYPE", key])),
    ]);
    const small: Buffer[] = [];
    const typeOf = new Map<string, string>();
    for (const [at, key] of keys.entries()) {
      const type = text(replies[2 * at]!);
      const bytes = replies[2 * at + 1]!;
      typeOf.set(key.toString("latin1"), type);
      this.compared++;
      if (type === "none" && text(types[at]!) === "none") continue;
      if (type !== "none" && !COMPARED_TYPES.has(type)) this.skipped++;
      // Without the right to MEMORY every value is read in parts.
      else if (type !== "none" && (bytes instanceof ErrorReply || Number(bytes ?? 0) > LARGE_BYTES))
        await this.compareLarge(key, type);
      else small.push(key);
    }
    const unequal = await this.unequal(small, typeOf);
    await this.judge(unequal.map((key) => ({ key, question: this.wholeQuestion(key, typeOf) })));
  }

  /** The small keys whose digests, groups or deadlines are not the same at this moment. */
  private async unequal(keys: readonly Buffer[], typeOf: ReadonlyMap<string, string>): Promise<Buffer[]> {
    if (keys.length === 0) return [];
    const { options, clock } = this.run;
    const type = (key: Buffer): string => typeOf.get(key.toString("latin1"))!;
    const streams = this.hasDigests ? keys.filter((key) => type(key) === "stream") : [];
    const whole = this.hasDigests ? [] : keys;
    const ofKeys: (Question & { readonly key: Buffer })[] = [
      ...keys.map((key) => ({ key, ...deadlineQuestion(key, options.ttlToleranceMs, clock.wallMs) })),
      ...streams.map((key) => ({ key, reading: factsOfStream(key) })),
      ...whole.map((key) => ({ key, reading: wholeValue(key, type(key)) })),
    ];
    const questions: Question[] = this.hasDigests ? [...ofKeys, digestQuestion(keys)] : ofKeys;
    const [here, there] = await Promise.all([viewsOf(this.source, questions), viewsOf(this.target, questions)]);
    const unequal = new Set<Buffer>();
    for (const [at, { key, agrees }] of ofKeys.entries())
      if (!(agrees?.(here[at]!, there[at]!) ?? here[at] === there[at])) unequal.add(key);
    if (this.hasDigests) {
      const [digests, digestsThere] = [here.at(-1)!.split(" "), there.at(-1)!.split(" ")];
      for (const [at, key] of keys.entries()) if (digests[at] !== digestsThere[at]) unequal.add(key);
    }
    return [...unequal];
  }

  /** The value and the deadline of a key, as one question. */
  private wholeQuestion(key: Buffer, typeOf: ReadonlyMap<string, string>): Question {
    const value = wholeValue(key, typeOf.get(key.toString("latin1"))!);
    const deadline = deadlineQuestion(key, this.run.options.ttlToleranceMs, this.run.clock.wallMs);
    return {
      reading: {
        commands: [...deadline.reading.commands, ["TYPE", key], ...value.commands],
        view: ([ttl, type, ...rest]) => `${deadline.reading.view([ttl!])} ${text(type!)} ${value.view(rest)}`,
      },
      agrees: (a, b) => {
        const [deadlineA = "", ...restA] = a.split(" ");
        const [deadlineB = "", ...restB] = b.split(" ");
        return restA.join(" ") === restB.join(" ") && deadline.agrees!(deadlineA, deadlineB);
      },
    };
  }

  private async compareLarge(key: Buffer, type: string): Promise<void> {
    const deadline = deadlineQuestion(key, this.run.options.ttlToleranceMs, this.run.clock.wallMs);
    let isGood = await this.judge([{ key, question: deadline }]);
    if (!isGood) return;
    const ask = (...words: Word[]): Promise<Reply> => this.source.tryAsk(...words);
    for await (const reading of partsOf(key, type, ask)) {
      this.run.interruption.check();
      const question = { reading };
      const [[here], [there]] = await Promise.all([viewsOf(this.source, [question]), viewsOf(this.target, [question])]);
      if (here === there) continue;
      isGood = await this.judge([{ key, question }]);
      if (!isGood) return;
    }
  }

  /** Keys of the target that the source does not have. */
  private async compareExistence(keys: readonly Buffer[]): Promise<void> {
    const replies = await this.source.batch(keys.map((key) => ["EXISTS", key]));
    const missing = keys.filter((_, at) => replies[at] === 0);
    const exists = (key: Buffer): Reading => ({ commands: [["EXISTS", key]], view: ([reply]) => String(reply) });
    await this.judge(missing.map((key) => ({ key, question: { reading: exists(key) } })));
  }

  /** Settles questions about keys, and notes those that differ or never hold still. True when all are the same. */
  private async judge(asked: readonly { readonly key: Buffer; readonly question: Question }[]): Promise<boolean> {
    if (asked.length === 0) return true;
    const questions = asked.map(({ question }) => question);
    const verdicts = await settle(this.run, this.source, this.target, questions);
    for (const [at, verdict] of verdicts.entries()) {
      const name = { database: this.database, key: asked[at]!.key };
      if (verdict === "changing") this.changing.push(name);
      if (verdict === "different") this.differences.push({ ...name, reason: await this.reasonOf(name.key) });
    }
    return verdicts.every((verdict) => verdict === "same");
  }

  /** What differs of a key, in words. */
  private async reasonOf(key: Buffer): Promise<string> {
    const commands: Word[][] = [
      ["TYPE", key],
      ["PTTL", key],
    ];
    const [[type, ttl], [typeThere, ttlThere]] = (await Promise.all([
      this.source.batch(commands),
      this.target.batch(commands),
    ])) as [Reply[], Reply[]];
    const [here, there] = [text(type!), text(typeThere!)];
    if (there === "none") return `${here}, missing on the target`;
    if (here === "none") return `${there}, only on the target`;
    if (here !== there) return `${here} on the source, ${there} on the target`;
    const isFar = Math.abs(Number(ttl) - Number(ttlThere)) > this.run.options.ttlToleranceMs;
    if (isFar) return `${here}, TTL ${ttl} ms on the source and ${ttlThere} ms on the target`;
    const length = lengthOf(key, here);
    const [[size], [sizeThere]] = await Promise.all([
      this.source.batch(length.commands),
      this.target.batch(length.commands),
    ]);
    return size === sizeThere
      ? `${here}, another value`
      : `${here}, length ${text(size!)} on the source and ${text(sizeThere!)} on the target`;
  }

  result(): Compared {
    const { options } = this.run;
    const findings: Finding[] = [];
    const shown = this.differences.slice(0, options.differencesMax);
    const how = options.keys === Number.POSITIVE_INFINITY ? "all keys" : "a sample";
    for (const difference of shown)
      findings.push(failure("difference", { text: differenceText(difference), meaning: "", mend: "" }));
    if (this.differences.length > 0)
      findings.push(
        failure("compare", {
          text: `${this.differences.length} of ${counted(this.compared, "key")} differ (${how})`,
          meaning: "The target does not have the data of the source.",
          mend: "look whether somebody writes to the target; then replicate again: ferrite migrate --only replicate --replace",
        }),
      );
    else findings.push(fine("compare", `${counted(this.compared, "key")} are the same on both (${how})`));
    if (this.skipped > 0)
      findings.push(
        warning("compare", {
          text: `${counted(this.skipped, "key")} of other types were not compared`,
          meaning: "Their types belong to modules.",
          mend: "look at them with TYPE",
        }),
      );
    if (this.changing.length > 0)
      findings.push(
        note(
          "compare",
          `${counted(this.changing.length, "key")} changed all the time; --switch compares them while writes are paused`,
        ),
      );
    return { findings, changing: this.changing, compared: this.compared, different: this.differences.length };
  }
}

export async function compare(run: Run): Promise<Compared> {
  const comparison = new Comparison(run);
  try {
    await comparison.open();
    await comparison.compareAll();
  } finally {
    comparison.close();
  }
  return comparison.result();
}

/** Compares the keys again without waiting for writes: they are paused. Returns those that differ. */
export async function comparePaused(run: Run, keys: readonly KeyName[]): Promise<string[]> {
  const comparison = new Comparison(run);
  try {
    await comparison.open();
    for (const [database, named] of Map.groupBy(keys, (name) => name.database)) {
      await comparison.select(database);
      await comparison.comparePage(named.map(({ key }) => key));
    }
  } finally {
    comparison.close();
  }
  return comparison.differences.map(differenceText);
}

/** "database 3: user:1 (hash, another value)". A key that is no text is shown as redis-cli does. */
function differenceText({ database, key, reason }: Difference): string {
  return `database ${database}: ${keyText(key)} (${reason})`;
}

function keyText(key: Buffer): string {
  const shown = [...key.subarray(0, 200)].map((byte) =>
    byte >= 0x20 && byte < 0x7f && byte !== 0x5c && byte !== 0x22
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, "0")}`,
  );
  return `"${shown.join("")}${key.length > 200 ? "..." : ""}"`;
}

function isWithin(slot: number, [first, last]: readonly [number, number]): boolean {
  return slot >= first && slot <= last;
}

/** Deadlines beyond the year 287,000 are the same: Ferrite keeps them as milliseconds below 2^53. */
const DEADLINE_MAX_MS = 9e15;

/** PTTL as a point in time, so that readings of two moments can be compared. -1: no deadline, -2: no key. */
function deadlineQuestion(
  key: Buffer,
  toleranceMs: number,
  wallMs: () => number,
): Question & Required<Pick<Question, "agrees">> {
  return {
    reading: {
      commands: [["PTTL", key]],
      view: ([ttl]) =>
        typeof ttl === "number" && ttl >= 0 ? String(Math.min(wallMs() + ttl, DEADLINE_MAX_MS)) : text(ttl!),
    },
    agrees: (a, b) => a === b || (Number(a) > 0 && Number(b) > 0 && Math.abs(Number(a) - Number(b)) <= toleranceMs),
  };
}

/** The digests of many keys at once: the same on Redis, Valkey and Ferrite. */
function digestQuestion(keys: readonly Buffer[]): Question {
  return {
    reading: {
      commands: [["DEBUG", "DIGEST-VALUE", ...keys]],
      view: ([reply]) => (Array.isArray(reply) ? reply.map((each) => text(each as Reply)).join(" ") : text(reply!)),
    },
  };
}

/** A cursor from which SCAN begins anywhere. A server with cursors of its own may refuse it: then the beginning. */
async function randomCursor(server: Server): Promise<string> {
  const cursor = String(Math.floor(Math.random() * 2 ** 32));
  return (await server.tryAsk("SCAN", cursor, "COUNT", 1)) instanceof ErrorReply ? "0" : cursor;
}
