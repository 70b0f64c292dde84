/**
 * How the value of a key is read so that two servers can be compared: by type, without DUMP, whose bytes differ between versions
 * and encodings. A *reading* is a few commands that both servers are sent, and a text that is equal when the values are.
 *
 * A value above LARGE_BYTES is read in parts: by ranges where its type has an order, else by what SCAN of the source finds,
 * which is looked up on both. With equal numbers of members nothing can be left over on the target.
 */
import { ErrorReply, type Reply, type Word } from "./link.ts";
import { text } from "./server.ts";

export interface Reading {
  readonly commands: readonly (readonly Word[])[];
  /** Equal for equal values. An error of the server is part of it. */
  readonly view: (replies: readonly Reply[]) => string;
}

/** Values that take more memory than this are read in parts. */
export const LARGE_BYTES = 1 << 20;
const STRING_PART = 1 << 20;
const PART = 500;

export const COMPARED_TYPES: ReadonlySet<string> = new Set(["string", "list", "hash", "set", "zset", "stream"]);

/** A whole value of a type that COMPARED_TYPES has. */
export function wholeValue(key: Buffer, type: string): Reading {
  switch (type) {
    case "list":
      return { commands: [["LRANGE", key, 0, -1]], view: digestOf };
    case "hash":
      return { commands: [["HGETALL", key]], view: ([reply]) => digestOf(pairs(reply!)) };
    case "set":
      return { commands: [["SMEMBERS", key]], view: ([reply]) => digestOf(sorted(reply!)) };
    case "zset":
      return { commands: [["ZRANGE", key, 0, -1, "WITHSCORES"]], view: ([reply]) => digestOf(scores(reply!)) };
    case "stream":
      return { commands: [["XRANGE", key, "-", "+"], ...STREAM_FACTS(key)], view: streamView };
    default:
      return { commands: [["GET", key]], view: digestOf };
  }
}

/** The number of members, or of bytes. */
export function lengthOf(key: Buffer, type: string): Reading {
  return { commands: [[LENGTHS[type] ?? "STRLEN", key]], view: digestOf };
}

const LENGTHS: Readonly<Record<string, string>> = {
  string: "STRLEN",
  list: "LLEN",
  hash: "HLEN",
  set: "SCARD",
  zset: "ZCARD",
  stream: "XLEN",
};

/** The parts of a large value, one after another. `ask` asks the source, to find out what there is. */
export async function* partsOf(
  key: Buffer,
  type: string,
  ask: (...words: Word[]) => Promise<Reply>,
): AsyncGenerator<Reading> {
  yield lengthOf(key, type);
  switch (type) {
    case "string":
    case "list": {
      const length = Number(await ask(LENGTHS[type]!, key));
      const [command, step] = type === "string" ? ["GETRANGE", STRING_PART] : ["LRANGE", PART];
      for (let at = 0; at < length; at += step) yield { commands: [[command, key, at, at + step - 1]], view: digestOf };
      return;
    }
    case "stream":
      yield factsOfStream(key);
      yield* streamParts(key, ask);
      return;
    default:
      yield* memberParts(key, type, ask);
  }
}

/** The command that lists members, how many words each has in its reply, and the command that looks members up. */
const LOOKUPS: Readonly<Record<string, readonly [string, number, string]>> = {
  hash: ["HSCAN", 2, "HMGET"],
  set: ["SSCAN", 1, "SMISMEMBER"],
  zset: ["ZSCAN", 2, "ZMSCORE"],
};

async function* memberParts(
  key: Buffer,
  type: string,
  ask: (...words: Word[]) => Promise<Reply>,
): AsyncGenerator<Reading> {
  const [scan, width, lookUp] = LOOKUPS[type]!;
  let cursor = "0";
  do {
    const reply = await ask(scan, key, cursor, "COUNT", PART);
    const [next, items] = Array.isArray(reply) ? (reply as Reply[]) : [];
    cursor = text(next ?? Buffer.from("0"));
    const members = (Array.isArray(items) ? (items as Buffer[]) : []).filter((_, at) => at % width === 0);
    const view = type === "zset" ? ([scored]: readonly Reply[]) => digestOf(numbers(scored!)) : digestOf;
    for (let at = 0; at < members.length; at += PART)
      yield { commands: [[lookUp, key, ...members.slice(at, at + PART)]], view };
  } while (cursor !== "0");
}

async function* streamParts(key: Buffer, ask: (...words: Word[]) => Promise<Reply>): AsyncGenerator<Reading> {
  let from = "-";
  for (;;) {
    const command = ["XRANGE", key, from, "+", "COUNT", PART];
    const reply = await ask(...command);
    if (!Array.isArray(reply) || reply.length === 0) return;
    const last = text((reply.at(-1) as readonly Reply[])[0]!);
    // The end is named, so that entries which are added meanwhile are no difference.
    yield { commands: [["XRANGE", key, from, last, "COUNT", PART]], view: digestOf };
    from = `(${last}`;
  }
}

/** What a stream has besides its entries. The digest of a server does not cover it. */
export function factsOfStream(key: Buffer): Reading {
  return { commands: STREAM_FACTS(key), view: ([groups, info]) => digestOf(Buffer.from(streamFacts(groups!, info!))) };
}

const STREAM_FACTS = (key: Buffer): readonly (readonly Word[])[] => [
  ["XINFO", "GROUPS", key],
  ["XINFO", "STREAM", key],
];

function streamView([entries, groups, info]: readonly Reply[]): string {
  return digestOf([entries!, Buffer.from(streamFacts(groups!, info!))]);
}

/** The last id, and of each group the name, the last id and the number of pending entries. */
function streamFacts(groups: Reply, info: Reply): string {
  if (!Array.isArray(groups) || !Array.isArray(info)) return `${text(groups)} ${text(info)}`;
  const field = (pairsOf: readonly Reply[], name: string): string =>
    text(pairsOf[pairsOf.findIndex((each) => text(each) === name) + 1] ?? null);
  const named = groups.map((group) =>
    ["name", "pending", "last-delivered-id"].map((name) => field(group as readonly Reply[], name)).join(" "),
  );
  return [field(info, "last-generated-id"), ...named.sort()].join("\n");
}

/** Hash of a tree of replies. Lengths are part of it, so that "ab","c" is not "a","bc". */
function digestOf(reply: Reply): string {
  const hasher = new Bun.CryptoHasher("sha1");
  addTo(hasher, reply);
  return hasher.digest("hex");
}

function addTo(hasher: Bun.CryptoHasher, reply: Reply): void {
  if (Buffer.isBuffer(reply)) hasher.update(`$${reply.length}:`).update(reply);
  else if (reply instanceof ErrorReply) hasher.update(`-${reply.text.split(" ")[0]}:`);
  else if (Array.isArray(reply)) {
    hasher.update(`*${reply.length}:`);
    for (const each of reply) addTo(hasher, each as Reply);
  } else hasher.update(`${reply}:`);
}

function sorted(reply: Reply): Reply {
  return Array.isArray(reply) ? [...(reply as Buffer[])].sort(Buffer.compare) : reply;
}

/** Fields with their values, in the order of the fields. */
function pairs(reply: Reply): Reply {
  if (!Array.isArray(reply)) return reply;
  const found: [Buffer, Buffer][] = [];
  for (let at = 0; at + 1 < reply.length; at += 2) found.push([reply[at] as Buffer, reply[at + 1] as Buffer]);
  return found.sort(([a], [b]) => Buffer.compare(a, b)).flat();
}

/** Members with their scores. Two servers may write one number in two ways. */
function scores(reply: Reply): Reply {
  if (!Array.isArray(reply)) return reply;
  return (reply as Buffer[]).map((each, at) => (at % 2 === 0 ? each : numberText(each)));
}

function numbers(reply: Reply): Reply {
  return Array.isArray(reply)
    ? reply.map((each) => (Buffer.isBuffer(each) ? numberText(each) : (each as Reply)))
    : reply;
}

function numberText(bytes: Buffer): Buffer {
  const words = bytes.toString("latin1");
  if (/^[+-]?(inf|nan)/i.test(words)) return Buffer.from(words.replace("+", "").toLowerCase());
  return Buffer.from(String(Number(words)));
}
