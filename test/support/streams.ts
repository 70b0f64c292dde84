/**
 * Random commands on streams whose replies do not depend on the time: IDs are given explicitly, idle times are 0 or very
 * long, and `timeless` removes times from the replies.
 */
import type { SeededRandom } from "./random.ts";
import type { Reply } from "./resp.ts";

const KEYS = ["s1", "s2", "s3", "string"];
const GROUPS = ["g1", "g2", "group-with-a-longer-name", ""];
const CONSUMERS = ["c1", "c2", "c3", "C", ""];
const FIELDS = ["a", "b", "field", "f".repeat(70), "", "\x00\xff"];
const LONG_MS = "100000000000";

export class StreamCommands {
  private top = 0;
  constructor(
    private readonly random: SeededRandom,
    private readonly keys: readonly string[] = KEYS.slice(0, 3),
    private readonly others: readonly string[] = ["string", "none"],
  ) {}

  /**
   * Commands that make the consumers which `args` names. Redis 7.0 makes one only when it gets something, 7.2 always; so
   * they come before it.
   */
  consumersOf(args: readonly string[]): string[][] {
    if (args[0] === "XREADGROUP") {
      const known = [...this.keys, ...this.others];
      const keys = args.filter((word) => known.includes(word));
      return keys.map((key) => ["XGROUP", "CREATECONSUMER", key, args[2] ?? "", args[3] ?? ""]);
    }
    if (args[0] !== "XCLAIM" && args[0] !== "XAUTOCLAIM") return [];
    return [["XGROUP", "CREATECONSUMER", args[1] ?? "", args[2] ?? "", args[3] ?? ""]];
  }

  next(): string[] {
    const { random } = this;
    const command = this.valid();
    const damage = random.below(50);
    const at = 1 + random.below(command.length);
    if (damage === 0) command.splice(at, 1);
    else if (damage === 1) command.splice(at, 0, this.nonsense());
    else if (damage === 2) command.splice(at, 1, this.nonsense());
    // Time is kept out: no id is made from the clock. And "+" has a meaning to XREAD since 7.4.
    const reads = command[0]!.startsWith("XREAD");
    return command.map((word, i) => (i > 0 && (word === "*" || (reads && word === "+")) ? "x" : word));
  }

  private nonsense(): string {
    return this.random.pick([
      "",
      "-",
      "+",
      "$",
      ">",
      "0",
      "-1",
      "abc",
      "MAXLEN",
      "LIMIT",
      "COUNT",
      "STREAMS",
      "GROUP",
      "IDLE",
      "18446744073709551615-18446744073709551615",
      "18446744073709551616",
      "9223372036854775807",
      "01",
      "1-",
      "-1-1",
      "1--01",
      "(5",
      "(",
      "5-*",
      "1-1-1",
    ]);
  }

  private key(): string {
    return this.random.chance(0.03) ? this.random.pick(this.others) : this.random.pick(this.keys);
  }
  private group(): string {
    return this.random.chance(0.02) ? "none" : this.random.pick(GROUPS);
  }
  private consumer(): string {
    return this.random.pick(CONSUMERS);
  }
  /** An id that is likely to be there. */
  private id(): string {
    const { random } = this;
    const ms = Math.max(this.top - random.below(40), 0);
    if (random.chance(0.02)) return random.pick(["0", "0-0", "0-1", "9007199254740993-1", "18446744073709551615-1"]);
    return random.chance(0.2) ? String(ms) : `${ms}-${random.below(3)}`;
  }
  private ids(): string[] {
    return Array.from({ length: 1 + this.random.below(4) }, () => this.id());
  }
  private bound(): string {
    return (this.random.chance(0.2) ? "(" : "") + this.random.pick(["-", "+", this.id(), this.id(), this.id()]);
  }
  private count(): string {
    return String(this.random.pick([0, 1, 1, 2, 3, 5, 10, 1000, -1]));
  }
  private maybe(chance: number, ...words: string[]): string[] {
    return this.random.chance(chance) ? words : [];
  }
  private trimming(): string[] {
    const { random } = this;
    const words = random.chance(0.5)
      ? ["MAXLEN", ...random.pick([[], ["="], ["~"]]), String(random.pick([0, 5, 20, 60, 150, 300]))]
      : ["MINID", ...random.pick([[], ["="]]), this.id()];
    if (words.includes("~") || random.chance(0.02)) words.push(...this.maybe(0.3, "LIMIT", this.count()));
    return words;
  }
  private pairs(): string[] {
    const { random } = this;
    const fields = random.chance(0.6)
      ? ["a", "b"]
      : Array.from({ length: 1 + random.below(3) }, () => random.pick(FIELDS));
    return fields.flatMap((field) => [
      field,
      random.chance(0.01)
        ? "v".repeat(random.below(3000))
        : random.pick(["1", "-5", "value", "x".repeat(random.below(30))]),
    ]);
  }

  private add(): string[] {
    const { random } = this;
    let id: string;
    if (random.chance(0.85)) {
      this.top += random.below(3);
      id = random.chance(0.7) ? `${this.top}-*` : `${this.top}-${random.below(4)}`;
    } else {
      id = this.id();
    }
    return [
      "XADD",
      this.key(),
      ...this.maybe(0.05, "NOMKSTREAM"),
      ...(random.chance(0.08) ? this.trimming() : []),
      id,
      ...this.pairs(),
    ];
  }

  private valid(): string[] {
    const { random } = this;
    const key = this.key();
    switch (random.below(40)) {
      case 0:
        return ["XLEN", key];
      case 1:
        return ["XRANGE", key, this.bound(), this.bound(), ...this.maybe(0.5, "COUNT", this.count())];
      case 2:
        return ["XREVRANGE", key, this.bound(), this.bound(), ...this.maybe(0.5, "count", this.count())];
      case 3:
      case 4:
        return ["XDEL", key, ...this.ids()];
      case 5:
        return random.chance(0.3) ? ["XTRIM", key, ...this.trimming()] : ["XLEN", key];
      case 6:
      case 7:
        return ["XREAD", ...this.maybe(0.5, "COUNT", this.count()), "STREAMS", key, this.id()];
      case 8:
        return ["XREAD", "STREAMS", key, this.key(), this.id(), random.pick([this.id(), "$"])];
      case 9:
      case 10:
        return [
          "XGROUP",
          "CREATE",
          key,
          this.group(),
          random.pick(["$", "0", this.id()]),
          ...this.maybe(0.3, "MKSTREAM"),
          ...this.maybe(0.2, "ENTRIESREAD", random.pick(["-1", "0", "3", "-2"])),
        ];
      case 11:
        return [
          "XGROUP",
          "SETID",
          key,
          this.group(),
          random.pick(["$", "0", this.id()]),
          ...this.maybe(0.2, "ENTRIESREAD", this.count()),
        ];
      case 12:
        return random.chance(0.3) ? ["XGROUP", "DESTROY", key, this.group()] : ["XINFO", "GROUPS", key];
      case 13:
        return ["XGROUP", "CREATECONSUMER", key, this.group(), this.consumer()];
      case 14:
        return ["XGROUP", "DELCONSUMER", key, this.group(), this.consumer()];
      case 15:
      case 16:
      case 17:
      case 18:
        return [
          "XREADGROUP",
          "GROUP",
          this.group(),
          this.consumer(),
          ...this.maybe(0.7, "COUNT", this.count()),
          ...this.maybe(0.1, "NOACK"),
          "STREAMS",
          key,
          random.chance(0.8) ? ">" : this.id(),
        ];
      case 19: {
        const group = this.group();
        return [
          ...["XREADGROUP", "GROUP", group, this.consumer(), ...this.maybe(0.5, "COUNT", this.count()), "STREAMS"],
          ...[key, this.key(), ">", random.chance(0.7) ? ">" : this.id()],
        ];
      }
      case 20:
      case 21:
      case 22:
        return ["XACK", key, this.group(), ...this.ids()];
      case 23:
        return ["XPENDING", key, this.group()];
      case 24:
        return [
          "XPENDING",
          key,
          this.group(),
          ...this.maybe(0.2, "IDLE", random.pick(["0", LONG_MS])),
          this.bound(),
          this.bound(),
          this.count(),
          ...this.maybe(0.4, this.consumer()),
        ];
      case 25:
      case 26:
        return [
          "XCLAIM",
          key,
          this.group(),
          this.consumer(),
          random.pick(["0", "0", LONG_MS]),
          ...this.ids(),
          ...this.maybe(0.1, "IDLE", "1000"),
          ...this.maybe(0.1, "TIME", "1000"),
          ...this.maybe(0.2, "RETRYCOUNT", this.count()),
          ...this.maybe(0.3, "FORCE"),
          ...this.maybe(0.3, "JUSTID"),
          ...this.maybe(0.05, "LASTID", this.id()),
        ];
      case 27:
        return [
          "XAUTOCLAIM",
          key,
          this.group(),
          this.consumer(),
          random.pick(["0", "0", LONG_MS]),
          this.bound(),
          ...this.maybe(0.5, "COUNT", this.count()),
          ...this.maybe(0.3, "JUSTID"),
        ];
      case 28:
        return ["XINFO", "STREAM", key];
      case 29:
        return ["XINFO", "STREAM", key, "FULL", ...this.maybe(0.5, "COUNT", this.count())];
      case 30:
        return ["XINFO", "CONSUMERS", key, this.group()];
      case 31:
        return random.chance(0.1)
          ? [
              ...["XSETID", key, this.id()],
              ...this.maybe(0.3, "ENTRIESADDED", random.pick(["1000", "0", "-1"])),
              ...this.maybe(0.3, "MAXDELETEDID", this.id()),
            ]
          : ["TYPE", key];
      case 32:
        return random.chance(0.03) ? ["DEL", key] : ["EXISTS", key];
      default:
        return this.add();
    }
  }
}

/** As timeless, for replies of any command: pending entries are told by their shape. */
export function withoutAnyTime(reply: Reply): Reply {
  if (reply.type === "map") return withoutTimes(reply);
  if (reply.type !== "array") return reply;
  const { value } = reply;
  const isPending =
    value.length === 4 &&
    value[0]!.type === "bulk" &&
    /^\d+-\d+$/.test(value[0]!.value) &&
    value[2]!.type === "int" &&
    value[3]!.type === "int";
  if (isPending) return { type: "array", value: value.filter((_, i) => i !== 2) };
  const plain = withoutTimes(reply) as { value: Reply[] };
  return { type: "array", value: plain.value.map(withoutAnyTime) };
}

/** The reply with every time in it made 0, and without what differs between the versions of Redis. */
export function timeless(args: readonly string[], reply: Reply): Reply {
  const name = args[0]!.toUpperCase();
  const sub = (args[1] ?? "").toUpperCase();
  if (name === "XPENDING" && args.length > 3) return withoutIdle(reply);
  if (name !== "XINFO") return reply;
  return sub === "CONSUMERS" || sub === "STREAM" || sub === "GROUPS" ? withoutTimes(reply) : reply;
}

function withoutIdle(reply: Reply): Reply {
  if (reply.type !== "array") return reply;
  return {
    type: "array",
    value: reply.value.map((entry) =>
      entry.type === "array" ? { type: "array", value: entry.value.filter((_, i) => i !== 2) } : entry,
    ),
  };
}

/** Times; sizes of the trees; and what later versions of Redis reckon otherwise when entries were deleted. */
const TIMES = new Set([
  ...["idle", "inactive", "seen-time", "active-time", "radix-tree-keys", "radix-tree-nodes"],
  ...["lag", "entries-read"],
]);

/** Drops the fields that tell times, and the time of pending entries: numbers of 13 digits. */
function withoutTimes(reply: Reply): Reply {
  if (reply.type === "int" && /^\d{13}$/.test(reply.value)) return { type: "int", value: "0" };
  if (reply.type === "array") {
    const value: Reply[] = [];
    for (let i = 0; i < reply.value.length; i++) {
      const item = reply.value[i]!;
      if (item.type === "bulk" && TIMES.has(item.value)) i++;
      else value.push(withoutTimes(item));
    }
    return { type: "array", value };
  }
  if (reply.type === "map") {
    return {
      type: "map",
      value: reply.value
        .filter(([key]) => key.type !== "bulk" || !TIMES.has(key.value))
        .map(([key, value]) => [key, withoutTimes(value)] as [Reply, Reply]),
    };
  }
  return reply;
}
