/**
 * Sends one stream of commands to two servers. Compares the replies one by one, and then all data.
 *
 * After a mismatch the servers may have different data, and all later replies would differ too. Both are therefore emptied
 * and the stream continues. One run reports every kind of mismatch, one line per (command, kind of the two replies).
 */
import { ALLOWED, type AllowedDifference } from "./allow-list.ts";
import {
  CommandGenerator,
  type Compare,
  DATABASES,
  KEYS,
  KNOWN_KEYS,
  type Step,
  TIME_TOLERANCE_MS,
} from "./generator.ts";
import { countFrom, SeededRandom } from "./random.ts";
import { escape, type Reply, type RespClient, show, within } from "./resp.ts";
import { withoutAnyTime } from "./streams.ts";

const HANG_MS = 30_000;
const MISMATCHES_MAX = 40;
const HISTORY = 400;
/** Earlier steps on the same keys that are shown with a mismatch. */
const SHOWN = countFrom("FERRITE_DIFF_HISTORY", 8);

export interface Mismatch {
  step: number;
  signature: string;
  text: string;
}
export interface Outcome {
  steps: number;
  mismatches: Mismatch[];
  allowed: Map<string, number>;
}

export interface DifferentialPlan {
  redis: RespClient;
  ferrite: RespClient;
  seed: number;
  steps: number;
  /** Commands of families that Ferrite may not have yet; see CommandGenerator. */
  supports(command: string): boolean;
  /** One family of the generator's FAMILIES; all when it is not given. */
  family?: string;
  /** Where the steps come from, when not from the generator. */
  generator?: { next(): Step };
}

export class Differential {
  readonly #plan: DifferentialPlan;
  readonly #random: SeededRandom;
  readonly #generator: { next(): Step };
  readonly #outcome: Outcome = { steps: 0, mismatches: [], allowed: new Map() };
  readonly #seen = new Set<string>();
  #recent: { step: number; args: string[] }[] = [];
  #step = 0;

  constructor(plan: DifferentialPlan) {
    this.#plan = plan;
    this.#random = new SeededRandom(plan.seed);
    this.#generator =
      plan.generator ??
      new CommandGenerator(
        new SeededRandom(plan.seed ^ 0x5bd1e995),
        Date.now(),
        (command) => plan.supports(command),
        plan.family ?? "",
      );
  }

  async run(): Promise<Outcome> {
    await this.#empty();
    while (this.#step < this.#plan.steps && this.#outcome.mismatches.length < MISMATCHES_MAX) {
      const batch = Array.from({ length: this.#random.pick([1, 1, 2, 5, 20, 60]) }, () => this.#generator.next());
      let simple: Step[] = [];
      for (const step of batch) {
        if (
          step.compare === "dump" ||
          step.compare === "scan" ||
          step.compare === "existing-key" ||
          step.compare === "count-of-keys"
        ) {
          await this.#runSimple(simple);
          simple = [];
          await this.#runComposite(step);
        } else {
          simple.push(step);
        }
      }
      await this.#runSimple(simple);
      if (this.#random.chance(0.004)) await this.#compareState();
    }
    await this.#compareState();
    this.#outcome.steps = this.#step;
    return this.#outcome;
  }

  async #both(commands: readonly string[][]): Promise<[Reply[], Reply[]]> {
    const what = `after step ${this.#step} (FERRITE_SEED=${this.#plan.seed}), pipeline of ${commands.length} from ${showCommand(commands[0] ?? [])}`;
    return Promise.all([
      within(this.#plan.redis.pipeline(commands), HANG_MS, `redis ${what}`),
      within(this.#plan.ferrite.pipeline(commands), HANG_MS, `ferrite ${what}`),
    ]).catch((error: Error) => {
      const last = commands
        .slice(-5)
        .map((args) => `  ${showCommand(args)}`)
        .join("\n");
      throw new Error(`${error.message} ${what}; the last of them:\n${last}`);
    });
  }

  async #runSimple(steps: readonly Step[]): Promise<void> {
    if (steps.length === 0) return;
    const [redis, ferrite] = await this.#both(steps.flatMap(withEncoding));
    let differs = false;
    let at = 0;
    for (const step of steps) {
      this.#note(step);
      const judged = step.compare === "packed-order" ? { ...step, compare: orderOf(redis[at++]!) } : step;
      // Later replies of the same pipeline may differ only because the data does: one mismatch per pipeline.
      if (!differs) differs = this.#judge(judged, redis[at]!, ferrite[at]!) || leavesHalves(step, redis[at]!);
      at++;
    }
    if (differs) await this.#empty();
  }

  async #runComposite(step: Step): Promise<void> {
    this.#note(step);
    let differs = false;
    if (step.compare === "scan") {
      const [redis, ferrite] = await Promise.all([
        scanAll(this.#plan.redis, step.args),
        scanAll(this.#plan.ferrite, step.args),
      ]);
      const compare =
        step.args[0] === "SCAN"
          ? "unordered"
          : orderOf(await this.#plan.redis.command("OBJECT", "ENCODING", step.args[1]!));
      differs = this.#judge({ ...step, compare }, redis, ferrite);
    } else if (step.compare === "dump") {
      differs = await this.#exchange(step);
    } else if (step.compare === "count-of-keys") {
      const [redis, ferrite] = await this.#both([["EXISTS", ...KEYS], step.args]);
      differs = this.#judge({ ...step, compare: "exact" }, redis[1]!, ferrite[1]!);
    } else {
      const [redis, ferrite] = await this.#both([step.args]);
      const valid = async (client: RespClient, reply: Reply): Promise<Reply> =>
        reply.type === "bulk" ? await client.command("EXISTS", Buffer.from(reply.value, "latin1")) : reply;
      differs = this.#judge(
        { ...step, compare: "exact" },
        await valid(this.#plan.redis, redis[0]!),
        await valid(this.#plan.ferrite, ferrite[0]!),
      );
    }
    if (differs) await this.#empty();
  }

  /** DUMP on both; each restores, beside the key, what the other made. True when an answer or the value differs. */
  async #exchange(step: Step): Promise<boolean> {
    const [redis, ferrite] = (await this.#both([step.args])).map((replies) => replies[0]!) as [Reply, Reply];
    if (redis.type !== "bulk" || ferrite.type !== "bulk")
      return this.#judge({ ...step, compare: "exact" }, redis, ferrite);
    const copy = `${step.args[1]!}:restored`;
    const type = await this.#plan.redis.command("TYPE", step.args[1]!);
    const readsValue = reading(type.type === "simple" ? type.value : "", copy);
    // A value that was not packed has no common order, whatever its form after RESTORE.
    const encoding = await this.#plan.redis.command("OBJECT", "ENCODING", step.args[1]!);
    const restore = (payload: string): string[][] => [
      ["RESTORE", copy, "0", payload],
      ["OBJECT", "ENCODING", copy],
      readsValue.args,
      ["DEL", copy],
    ];
    const [inRedis, inFerrite] = await Promise.all([
      within(this.#plan.redis.pipeline(restore(ferrite.value)), HANG_MS, "redis: RESTORE"),
      within(this.#plan.ferrite.pipeline(restore(redis.value)), HANG_MS, "ferrite: RESTORE"),
    ]);
    const [theirValue, ownValue] = [inRedis.splice(2, 1)[0]!, inFerrite.splice(2, 1)[0]!];
    const { compare } = inOrder(readsValue, encoding);
    const value = (replies: Reply[]): Reply => ({ type: "array", value: replies });
    return (
      this.#judge({ ...step, compare: "exact" }, value(inRedis), value(inFerrite)) ||
      this.#judge({ ...step, compare }, theirValue, ownValue)
    );
  }

  #note(step: Step): void {
    this.#step++;
    this.#recent.push({ step: this.#step, args: step.args });
    if (this.#recent.length > 2 * HISTORY) this.#recent = this.#recent.slice(-HISTORY);
  }

  /** True when the replies differ and that is not allowed. */
  #judge(step: Step, redis: Reply, ferrite: Reply): boolean {
    if (sameReply(step.compare, redis, ferrite)) return false;
    const allowed = this.#isAllowed(step, redis, ferrite);
    if (allowed !== undefined) return allowed.dataMayDiffer;
    const isKnown = !show(redis).startsWith("-ERR unknown command");
    const name = isKnown ? step.args[0]!.toUpperCase() : "unknown command";
    this.#report(
      `${name}: ${kindOf(redis)} against ${kindOf(ferrite)}`,
      showCommand(step.args),
      show(redis),
      show(ferrite),
      step.args.slice(1),
    );
    return true;
  }

  /** The allow-list's entry for this difference, counted. */
  #isAllowed(step: Step, redis: Reply, ferrite: Reply): AllowedDifference | undefined {
    const allowed = ALLOWED.find((entry) => entry.matches(step, redis, ferrite));
    if (allowed !== undefined) {
      this.#outcome.allowed.set(allowed.reason, (this.#outcome.allowed.get(allowed.reason) ?? 0) + 1);
    }
    return allowed;
  }

  #report(signature: string, command: string, redis: string, ferrite: string, keys: readonly string[]): void {
    if (this.#seen.has(signature)) return;
    this.#seen.add(signature);
    const touching = this.#recent
      .slice(0, -1)
      .filter(
        ({ args }) =>
          args.slice(1).some((arg) => keys.includes(arg) && KNOWN_KEYS.has(arg)) ||
          /^(FLUSH|SWAPDB|SELECT)/i.test(args[0] ?? ""),
      )
      .slice(-SHOWN)
      .map(({ step, args }) => `      step ${step}: ${showCommand(args)}`);
    this.#outcome.mismatches.push({
      step: this.#step,
      signature,
      text: `FERRITE_SEED=${this.#plan.seed} step ${this.#step}: ${command}\n    redis   ${short(redis)}\n    ferrite ${short(ferrite)}${touching.length > 0 ? `\n    before:\n${touching.join("\n")}` : ""}`,
    });
  }

  async #empty(): Promise<void> {
    await this.#both([["FLUSHALL"], ["SELECT", "0"]]);
    this.#recent = [];
  }

  /** Every database: the set of keys, and for each key type, value and deadline. Ends in database 0. */
  async #compareState(): Promise<void> {
    let differs = false;
    for (let database = 0; database < DATABASES && !differs; database++) {
      const [redisKeys, ferriteKeys] = (
        await this.#both([
          ["SELECT", String(database)],
          ["KEYS", "*"],
        ])
      ).map((replies) => replies[1]!) as [Reply, Reply];
      if (!sameReply("unordered", redisKeys, ferriteKeys)) {
        this.#report(
          "state: keys",
          `state: keys of database ${database}`,
          show(sorted(redisKeys)),
          show(sorted(ferriteKeys)),
          KEYS,
        );
        differs = true;
        break;
      }
      if (redisKeys.type !== "array") continue;
      const keys = redisKeys.value.map((key) => (key as { value: string }).value);
      if (keys.length === 0) continue;
      const types = (await this.#both(keys.map((key) => ["TYPE", key])))[0].map(
        (reply) => (reply as { value: string }).value,
      );
      const encodings = await this.#plan.redis.pipeline(keys.map((key) => ["OBJECT", "ENCODING", key]));
      const readings: Step[] = keys.flatMap((key, i): Step[] => [
        { args: ["TYPE", key], compare: "exact" },
        { args: ["PTTL", key], compare: "milliseconds" },
        inOrder(reading(types[i]!, key), encodings[i]!),
      ]);
      const [redis, ferrite] = await this.#both(readings.map((step) => step.args));
      for (let i = 0; i < readings.length && !differs; i++) {
        const step = readings[i]!;
        if (sameReply(step.compare, redis[i]!, ferrite[i]!)) continue;
        if (this.#isAllowed(step, redis[i]!, ferrite[i]!) !== undefined) continue;
        this.#report(
          `state: ${step.args[0]}`,
          `state of database ${database}: ${showCommand(step.args)}`,
          show(redis[i]!),
          show(ferrite[i]!),
          step.args.slice(1),
        );
        differs = true;
      }
    }
    await this.#both([["SELECT", "0"]]);
    if (differs) await this.#empty();
  }
}

/** PFADD of several elements to a corrupt sketch: Redis keeps those before the error, Ferrite none. */
function leavesHalves(step: Step, redis: Reply): boolean {
  return /^PFADD$/i.test(step.args[0] ?? "") && redis.type === "error" && redis.value.startsWith("INVALIDOBJ");
}

/** The comparison for a key that has this encoding in Redis: members of a packed one have an order. */
function orderOf(encoding: Reply): Compare {
  return encoding.type === "bulk" && /^(listpack|intset|ziplist)$/.test(encoding.value) ? "exact" : "unordered";
}

function inOrder(step: Step, encoding: Reply): Step {
  return step.compare === "packed-order" ? { ...step, compare: orderOf(encoding) } : step;
}

/** The commands of a step: one whose order depends on the encoding asks for that first. */
function withEncoding({ args, compare }: Step): string[][] {
  return compare === "packed-order" ? [["OBJECT", "ENCODING", args[1] ?? ""], args] : [args];
}

function reading(type: string, key: string): Step {
  switch (type) {
    case "list":
      return { args: ["LRANGE", key, "0", "-1"], compare: "exact" };
    case "set":
      return { args: ["SMEMBERS", key], compare: "packed-order" };
    case "hash":
      return { args: ["HGETALL", key], compare: "packed-order" };
    case "zset":
      return { args: ["ZRANGE", key, "0", "-1", "WITHSCORES"], compare: "scores" };
    case "stream":
      return { args: ["XINFO", "STREAM", key, "FULL", "COUNT", "0"], compare: "timeless" };
    default:
      return { args: ["GET", key], compare: "exact" };
  }
}

/** SCAN (or HSCAN of a key) from cursor 0 until 0 comes back; the union as an array reply, or the first error. At most 100,000 pages. */
async function scanAll(client: RespClient, args: readonly string[]): Promise<Reply> {
  const found = new Map<string, Reply>();
  let cursor = "0";
  // SSCAN and its relatives name a key first.
  const at = args[0] === "SCAN" ? 1 : 2;
  for (let page = 0; page < 100_000; page++) {
    const reply = await client.command(args[0]!, ...args.slice(1, at), cursor, ...args.slice(at + 1));
    if (reply.type !== "array" || reply.value.length !== 2) return reply;
    const [next, keys] = reply.value as [Reply, Reply];
    if (next.type !== "bulk" || !/^\d+$/.test(next.value) || keys.type !== "array") return reply;
    for (const key of keys.value) found.set(show(key), key);
    cursor = next.value;
    if (cursor === "0") return { type: "array", value: [...found.values()] };
  }
  return { type: "error", value: "the test gave up: SCAN did not come back to cursor 0 in 100000 pages" };
}

export function sameReply(compare: Compare, a: Reply, b: Reply): boolean {
  if (compare === "timeless") return show(withoutAnyTime(a)) === show(withoutAnyTime(b));
  if (compare === "unordered") return show(sorted(a)) === show(sorted(b));
  if (compare === "scores") return show(withNumbers(a)) === show(withNumbers(b));
  if ((compare === "seconds" || compare === "milliseconds") && a.type === "int" && b.type === "int") {
    const x = Number(a.value),
      y = Number(b.value);
    if (x < 0 || y < 0) return x === y;
    return Math.abs(x - y) * (compare === "seconds" ? 1000 : 1) <= TIME_TOLERANCE_MS;
  }
  return show(a) === show(b);
}

/** Arrays, sets and maps in the order of their text. A flat HGETALL array of RESP2 is paired first. */
function sorted(reply: Reply): Reply {
  const byText = (a: Reply, b: Reply): number => (show(a) < show(b) ? -1 : 1);
  if (reply.type === "array" || reply.type === "set") return { type: reply.type, value: reply.value.toSorted(byText) };
  if (reply.type === "map") return { type: "map", value: reply.value.toSorted(([a], [b]) => byText(a, b)) };
  return reply;
}

/** The reply with texts of fractions and powers in one style. */
function withNumbers(reply: Reply): Reply {
  if (reply.type === "array") return { type: "array", value: reply.value.map(withNumbers) };
  if ((reply.type === "bulk" || reply.type === "double") && /^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(reply.value)) {
    return { ...reply, value: String(Number(reply.value)) };
  }
  return reply;
}

/** Coarse kind of a reply, so that one fault is reported once and not for every key. */
function kindOf(reply: Reply): string {
  if (reply.type === "error") return `-${reply.value.split(/['":]/)[0]!.slice(0, 60)}`;
  return reply.type;
}

export function showCommand(args: readonly string[]): string {
  return short(args.map((arg) => (/^[\w*:{}.+-]+$/.test(arg) ? arg : `"${escape(arg)}"`)).join(" "));
}

function short(text: string): string {
  return text.length <= 600 ? text : `${text.slice(0, 400)} ... ${text.slice(-150)} (${text.length} characters)`;
}
