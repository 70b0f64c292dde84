/** Decodes the replies of an embedded Ferrite into values. */

/** The value of a reply. Bulk and simple strings are text (UTF-8), integers beyond 2^53 are bigint. */
export type Value = string | number | bigint | boolean | null | ReplyError | Value[] | Map<Value, Value> | Set<Value>;

/** An error reply. `call` throws it; inside an array it is an element. */
export class ReplyError extends Error {
  override name = "ReplyError";
}

const PUSH = 62;

/** What RESP3 pushes besides replies, by the first element. Confirmations of SUBSCRIBE are replies in form of a push. */
const PUSHED = new Set<Value>(["invalidate", "tracking-redir-broken", "message", "pmessage", "smessage"]);

/** The value of the reply in `bytes`, and what was pushed before and after it. Without a reply the value is undefined. */
export function valueAndPushes(bytes: Buffer): { value: Value | undefined; pushes: Value[][] } {
  const reader = new ReplyReader(bytes);
  const pushes: Value[][] = [];
  let value: Value | undefined;
  while (!reader.isAtEnd) {
    const { isPush } = reader;
    const one = reader.read();
    if (isPush && Array.isArray(one) && PUSHED.has(one[0]!)) pushes.push(one);
    else if (value === undefined) value = one;
  }
  return { value, pushes };
}

/** Decodes the values of complete replies. */
class ReplyReader {
  private at = 0;
  constructor(private readonly bytes: Buffer) {}

  get isAtEnd(): boolean {
    return this.at === this.bytes.length;
  }
  /** True when a push follows. */
  get isPush(): boolean {
    return this.bytes[this.at] === PUSH;
  }

  read(): Value {
    const end = this.bytes.indexOf("\r\n", this.at);
    if (end < 0) throw new Error("incomplete reply: the command replies later, or not at all");
    const type = String.fromCharCode(this.bytes[this.at]!);
    const line = this.bytes.toString("utf8", this.at + 1, end);
    this.at = end + 2;
    switch (type) {
      case "+":
        return line;
      case "-":
        return new ReplyError(line);
      case ":": {
        const number = Number(line);
        return Number.isSafeInteger(number) ? number : BigInt(line);
      }
      case ",":
        return line === "inf" ? Infinity : line === "-inf" ? -Infinity : Number(line);
      case "(":
        return BigInt(line);
      case "#":
        return line === "t";
      case "_":
        return null;
      case "$":
        return this.bulk(Number(line), 0);
      case "=":
        return this.bulk(Number(line), 4);
      case "*":
      case ">":
        return line === "-1" ? null : this.items(Number(line));
      case "~":
        return new Set(this.items(Number(line)));
      case "%": {
        const items = this.items(Number(line) * 2);
        const map = new Map<Value, Value>();
        for (let i = 0; i < items.length; i += 2) map.set(items[i]!, items[i + 1]!);
        return map;
      }
      default:
        throw new Error(`unknown reply type ${type}`);
    }
  }

  private bulk(length: number, skipped: number): string | null {
    if (length < 0) return null;
    const from = this.at;
    this.at += length + 2;
    return this.bytes.toString("utf8", from + skipped, from + length);
  }

  private items(count: number): Value[] {
    const items: Value[] = [];
    for (let i = 0; i < count; i++) items.push(this.read());
    return items;
  }
}
