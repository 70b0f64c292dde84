/**
 * Hostile and odd input: a table of cases with the exact replies of Redis 7.0.15, and a mutator that damages valid
 * pipelines. All text is latin1, one character per byte.
 */
import type { SeededRandom } from "./random.ts";

export interface HostileCase {
  name: string;
  input: string;
  /** Exact bytes of the reply; for "goes-on" without the +PONG of the PING that the test adds. */
  reply: string;
  /**
   * closes    the server answers and closes
   * goes-on   the connection works afterwards
   * waits     the server waits for more: no byte comes, other clients are served, announced bytes are not allocated
   */
  outcome: "closes" | "goes-on" | "waits";
}

const error = (text: string): string => `-ERR Protocol error: ${text}\r\n`;
const unknown = (name: string, ...args: string[]): string =>
  `-ERR unknown command '${name}', with args beginning with: ${args.map((arg) => `'${arg}' `).join("")}\r\n`;
const closes = (name: string, input: string, reply: string): HostileCase => ({ name, input, reply, outcome: "closes" });
const goesOn = (name: string, input: string, reply: string): HostileCase => ({
  name,
  input,
  reply,
  outcome: "goes-on",
});
const waits = (name: string, input: string): HostileCase => ({ name, input, reply: "", outcome: "waits" });

const SET_K = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n";
const PING = "*1\r\n$4\r\nPING\r\n";
const KIB64 = 65_536;

export const HOSTILE: readonly HostileCase[] = [
  // Multibulk length
  waits("*2147483647: the largest count is not allocated", "*2147483647\r\n"),
  waits("*1000000", "*1000000\r\n"),
  closes("*2147483648", "*2147483648\r\n", error("invalid multibulk length")),
  closes("*9223372036854775807", "*9223372036854775807\r\n", error("invalid multibulk length")),
  closes("*9223372036854775808", "*9223372036854775808\r\n", error("invalid multibulk length")),
  closes("*99999999999999999999999999", "*99999999999999999999999999\r\n", error("invalid multibulk length")),
  goesOn("*-1 is nothing", "*-1\r\n", ""),
  goesOn("*-2147483648 is nothing", "*-2147483648\r\n", ""),
  closes("*-9223372036854775809", "*-9223372036854775809\r\n", error("invalid multibulk length")),
  goesOn("*0 and then a command (CVE-2026-27623)", `*0\r\n${PING}`, "+PONG\r\n"),
  goesOn("*0 a thousand times", "*0\r\n".repeat(1000), ""),
  closes("*+1", "*+1\r\n$4\r\nPING\r\n", error("invalid multibulk length")),
  closes("*-0", "*-0\r\n", error("invalid multibulk length")),
  closes("*01", "*01\r\n$4\r\nPING\r\n", error("invalid multibulk length")),
  closes("* 1", "* 1\r\n$4\r\nPING\r\n", error("invalid multibulk length")),
  closes("*1 with a space behind", "*1 \r\n$4\r\nPING\r\n", error("invalid multibulk length")),
  closes("*abc", "*abc\r\n", error("invalid multibulk length")),
  closes("* alone", "*\r\n", error("invalid multibulk length")),
  closes("*0x10", "*0x10\r\n", error("invalid multibulk length")),
  closes("*1e3", "*1e3\r\n", error("invalid multibulk length")),
  closes("*1.0", "*1.0\r\n", error("invalid multibulk length")),
  closes("64 KiB of digits without an end", `*${"1".repeat(KIB64 + 10)}`, error("too big mbulk count string")),
  waits("a count without its end", "*3"),
  waits("a count with CR only", "*3\r"),

  // Bulk length
  closes("$536870913: above proto-max-bulk-len", `${SET_K}$536870913\r\n`, error("invalid bulk length")),
  waits("$536870912: at proto-max-bulk-len", `${SET_K}$536870912\r\n`),
  waits("$536870912 and the first bytes of it", `${SET_K}$536870912\r\n${"x".repeat(1000)}`),
  closes("$-1", `${SET_K}$-1\r\n`, error("invalid bulk length")),
  closes("$-2147483649", `${SET_K}$-2147483649\r\n`, error("invalid bulk length")),
  closes("$+5", `${SET_K}$+5\r\nhello\r\n`, error("invalid bulk length")),
  closes("$ 5", `${SET_K}$ 5\r\nhello\r\n`, error("invalid bulk length")),
  closes("$05", `${SET_K}$05\r\nhello\r\n`, error("invalid bulk length")),
  closes("$0x10", `${SET_K}$0x10\r\n`, error("invalid bulk length")),
  closes("$1e3", `${SET_K}$1e3\r\n`, error("invalid bulk length")),
  closes("$ alone", `${SET_K}$\r\n`, error("invalid bulk length")),
  closes("$4294967296", `${SET_K}$4294967296\r\n`, error("invalid bulk length")),
  closes("$4294967301: 5 in 32 bits", `${SET_K}$4294967301\r\nhello\r\n`, error("invalid bulk length")),
  closes(
    "$18446744073709551621: 5 in 64 bits",
    `${SET_K}$18446744073709551621\r\nhello\r\n`,
    error("invalid bulk length"),
  ),
  closes("$9223372036854775807", `${SET_K}$9223372036854775807\r\n`, error("invalid bulk length")),
  closes("64 KiB of digits in a bulk length", `${SET_K}$${"1".repeat(KIB64 + 10)}`, error("too big bulk count string")),
  waits("a bulk length without its end", `${SET_K}$5`),
  waits("a bulk without its end", `${SET_K}$5\r\nhell`),
  waits("a bulk without its CRLF", `${SET_K}$5\r\nhello`),
  waits("a bulk with half its CRLF", `${SET_K}$5\r\nhello\r`),

  // Other bytes in place of a bulk string
  closes("an integer as argument", "*2\r\n$4\r\nPING\r\n:1\r\n", error("expected '$', got ':'")),
  closes("a simple string as argument", "*1\r\n+PING\r\n", error("expected '$', got '+'")),
  closes("a nested array", "*1\r\n*1\r\n$4\r\nPING\r\n", error("expected '$', got '*'")),
  closes("arrays nested 10,000 deep", "*1\r\n".repeat(10_000), error("expected '$', got '*'")),
  closes("a RESP3 map as argument", "*2\r\n$4\r\nECHO\r\n%1\r\n$1\r\na\r\n$1\r\nb\r\n", error("expected '$', got '%'")),
  closes("a RESP3 null as argument", "*2\r\n$4\r\nECHO\r\n_\r\n", error("expected '$', got '_'")),
  closes("an empty line for a bulk", "*1\r\n\r\n", error("expected '$', got '\r'").replace("'\r'", "' '")),
  closes("a high byte for a bulk", "*1\r\n\xff\r\n", error("expected '$', got '\xff'")),
  goesOn("a complete command before a broken one is answered first", PING, "+PONG\r\n"),
  closes(
    "a broken command after good ones",
    `${PING}${PING}*1\r\n:4\r\n${PING}`,
    `+PONG\r\n+PONG\r\n${error("expected '$', got ':'")}`,
  ),

  // Content of arguments
  goesOn(
    "CRLF inside a bulk",
    `${SET_K}$6\r\na\r\nb\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`,
    "+OK\r\n$6\r\na\r\nb\r\n\r\n",
  ),
  goesOn("RESP inside a bulk", `${SET_K}$14\r\n${PING}\r\n*2\r\n$6\r\nSTRLEN\r\n$1\r\nk\r\n`, "+OK\r\n:14\r\n"),
  goesOn(
    "NUL in key and value",
    "*3\r\n$3\r\nSET\r\n$2\r\n\0\0\r\n$3\r\na\0b\r\n*2\r\n$3\r\nGET\r\n$2\r\n\0\0\r\n",
    "+OK\r\n$3\r\na\0b\r\n",
  ),
  goesOn(
    "an empty key and value",
    "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$0\r\n\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
    "+OK\r\n$0\r\n\r\n",
  ),
  goesOn("an empty command name", "*1\r\n$0\r\n\r\n", unknown("")),
  goesOn("an empty command name with arguments", "*2\r\n$0\r\n\r\n$1\r\na\r\n", unknown("", "a")),
  goesOn("CRLF in a command name cannot forge a reply", "*1\r\n$9\r\nx\r\n+OK\r\nz\r\n", unknown("x  +OK  z")),
  goesOn(
    "CRLF in an argument cannot forge a reply",
    "*2\r\n$4\r\nnope\r\n$7\r\n\r\n+OK\r\n\r\n",
    unknown("nope", "  +OK  "),
  ),
  goesOn("a command name of 1,000 bytes", `*1\r\n$1000\r\n${"x".repeat(1000)}\r\n`, unknown("x".repeat(128))),
  goesOn(
    "many arguments after an unknown command",
    `*101\r\n$4\r\nnope\r\n${`$10\r\n${"a".repeat(10)}\r\n`.repeat(100)}`,
    unknown("nope", ...Array.from({ length: 10 }, () => "a".repeat(10))),
  ),
  goesOn(
    "names of JavaScript's own",
    ["__proto__", "constructor", "hasOwnProperty", "toString"]
      .map((name) => `*1\r\n$${name.length}\r\n${name}\r\n`)
      .join(""),
    ["__proto__", "constructor", "hasOwnProperty", "toString"].map((name) => unknown(name)).join(""),
  ),

  // Inline commands
  goesOn("inline PING", "PING\r\n", "+PONG\r\n"),
  goesOn("inline with LF only", "PING\n", "+PONG\r\n"),
  goesOn("empty lines", "\r\n\r\n\n\r\n", ""),
  goesOn("blanks around and between", "   PING    hello   \r\n", "$5\r\nhello\r\n"),
  goesOn("tabs between", "ECHO\thello\r\n", "$5\r\nhello\r\n"),
  goesOn("double quotes with escapes", 'ECHO "a\\x41\\n\\r\\t\\\\\\"b"\r\n', '$8\r\naA\n\r\t\\"b\r\n'),
  goesOn("single quotes", "ECHO 'a\\'b \"c\"'\r\n", '$7\r\na\'b "c"\r\n'),
  goesOn("empty quotes", 'ECHO ""\r\n', "$0\r\n\r\n"),
  goesOn("a bad hex escape is literal", 'ECHO "\\xzz"\r\n', "$3\r\nxzz\r\n"),
  closes("an open double quote", 'ECHO "abc\r\n', error("unbalanced quotes in request")),
  closes("an open single quote", "ECHO 'abc\r\n", error("unbalanced quotes in request")),
  closes("text after a closing quote", 'ECHO "a"b\r\n', error("unbalanced quotes in request")),
  closes("a backslash before the end", 'ECHO "a\\"\r\n', error("unbalanced quotes in request")),
  closes("65 KB without a line end", "A".repeat(KIB64 + 1000), error("too big inline request")),
  goesOn("an inline of 60,000 bytes", `ECHO ${"e".repeat(60_000)}\r\n`, `$60000\r\n${"e".repeat(60_000)}\r\n`),
  waits("an inline without its end", "PING"),
  goesOn("a bulk alone is an inline command", "$4\r\nPING\r\n", `${unknown("$4")}+PONG\r\n`),
  goesOn("a RESP3 map alone is an inline command", "%1\r\n", unknown("%1")),
  goesOn("a RESP3 push alone is an inline command", ">0\r\n", unknown(">0")),
  goesOn("high bytes as an inline command", "\xff\xfe\xfd\r\n", unknown("\xff\xfe\xfd")),

  // Other protocols
  closes("HTTP POST", "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
  closes("a Host: header", "Host: localhost\r\n", ""),
  goesOn(
    "HTTP GET is GET with too many arguments",
    "GET / HTTP/1.1\r\n",
    "-ERR wrong number of arguments for 'get' command\r\n",
  ),

  // Arguments that once caused overflows in other servers
  goesOn(
    "SETRANGE at 4294967295",
    "SETRANGE k:none 4294967295 x\r\n",
    "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n",
  ),
  goesOn(
    "SETRANGE at 2^63-1",
    "SETRANGE k:none 9223372036854775807 x\r\n",
    "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n",
  ),
  goesOn("SETRANGE at -1", "SETRANGE k:none -1 x\r\n", "-ERR offset is out of range\r\n"),
  goesOn(
    "MSETNX of one key twice (CVE-2023-28425)",
    "DEL k:twice\r\nMSETNX k:twice a k:twice b\r\nGET k:twice\r\n",
    ":0\r\n:1\r\n$1\r\nb\r\n",
  ),
  goesOn(
    "GETRANGE with extreme bounds",
    "SET k:range hello\r\nGETRANGE k:range -9223372036854775808 9223372036854775807\r\n",
    "+OK\r\n$5\r\nhello\r\n",
  ),
  goesOn(
    "DECRBY of the smallest number",
    "SET k:min 0\r\nDECRBY k:min -9223372036854775808\r\n",
    "+OK\r\n-ERR decrement would overflow\r\n",
  ),
  goesOn(
    "INCR at the largest number",
    "SET k:max 9223372036854775807\r\nINCR k:max\r\nGET k:max\r\n",
    "+OK\r\n-ERR increment or decrement would overflow\r\n$19\r\n9223372036854775807\r\n",
  ),
  goesOn(
    "KEYS with a pattern that explodes (CVE-2022-36021)",
    `SET ${"a".repeat(60)} 1\r\nKEYS ${"a*".repeat(40)}b\r\nDEL ${"a".repeat(60)}\r\n`,
    "+OK\r\n*0\r\n:1\r\n",
  ),
  goesOn("KEYS with 60,000 stars", `KEYS ${"*".repeat(60_000)}nothing\r\n`, "*0\r\n"),
  goesOn("KEYS with 30,000 open brackets", `KEYS ${"[".repeat(30_000)}\r\n`, "*0\r\n"),
];

const LENGTHS = [
  "-1",
  "0",
  "1",
  "2",
  "3",
  "5",
  "10",
  "100",
  "1000",
  "65536",
  "1048576",
  "1048577",
  "536870912",
  "536870913",
  "2147483647",
  "2147483648",
  "4294967296",
  "9223372036854775807",
  "",
  "+5",
  " 5",
  "0x10",
  "1e3",
  "05",
  "\0",
  "\xff",
  "--1",
  "99999999999999999999",
];
const PIECES = [
  "\r\n",
  "\r",
  "\n",
  "\0",
  "*",
  "$",
  "*0\r\n",
  "*-1\r\n",
  "$-1\r\n",
  "$0\r\n\r\n",
  "*1\r\n",
  "PING\r\n",
  '"',
  "'",
  ":1\r\n",
  "%1\r\n",
  "~1\r\n",
  ">1\r\n",
  "_\r\n",
  "#t\r\n",
  ",1.5\r\n",
  "|1\r\n",
  "\xff".repeat(9),
];

/** A valid pipeline over keys f:0 to f:9, as raw text; nothing in it can reach another client's keys. */
export function benignPipeline(random: SeededRandom): string {
  const bulk = (...args: string[]): string =>
    `*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join("")}`;
  const key = (): string => `f:${random.below(10)}`;
  let text = "";
  for (let i = random.between(1, 6); i > 0; i--) {
    text += random.pick([
      () => bulk("SET", key(), random.bytes(random.below(40))),
      () => bulk("GET", key()),
      () => bulk("PING"),
      () => bulk("ECHO", random.bytes(random.below(100))),
      () => bulk("INCR", key()),
      () => bulk("DEL", key(), key()),
      () => bulk("MSET", key(), "1", key(), "2"),
      () => bulk("MGET", key(), key(), key()),
      () => bulk("EXPIRE", key(), "1000"),
      () => bulk("SET", key(), "v".repeat(random.below(3000)), "EX", "100", "GET"),
      () => bulk("HELLO", random.pick(["2", "3", "4"])),
      () => bulk("STRLEN", key()),
      () => bulk("GETRANGE", key(), "0", "-1"),
      () => bulk("SCAN", "0", "MATCH", "f:*", "COUNT", "5"),
      () => bulk("TYPE", key()),
      () => `PING ${random.below(100)}\r\n`,
      () => `SET ${key()} "quoted \\x41 value"\r\n`,
      () => `GET ${key()}\n`,
    ])();
  }
  return text;
}

/** Damages a pipeline in one to four places. */
export function mutate(text: string, random: SeededRandom): string {
  for (let i = random.between(1, 4); i > 0; i--) {
    const at = random.below(text.length + 1),
      length = random.between(1, 12);
    text = random.pick([
      () => text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1), // another byte
      () =>
        text.slice(0, at) +
        String.fromCharCode((text.charCodeAt(at) || 0) ^ (1 << random.below(8))) +
        text.slice(at + 1), // a flipped bit
      () => text.slice(0, at) + text.slice(at + length), // a hole
      () => text.slice(0, at) + random.pick(PIECES) + text.slice(at), // a piece of protocol
      () => text.slice(0, at) + text.slice(Math.max(0, at - length), at) + text.slice(at), // a repetition
      () => text.slice(0, at), // cut off
      () => replaceLength(text, random),
      () => replaceLength(text, random),
      () => replaceLength(text, random),
    ])();
  }
  return text;
}

/** Another number behind one of the stars or dollars. */
function replaceLength(text: string, random: SeededRandom): string {
  const places = [...text.matchAll(/[*$]-?\d+/g)];
  if (places.length === 0) return text;
  const place = random.pick(places);
  return text.slice(0, place.index + 1) + random.pick(LENGTHS) + text.slice(place.index + place[0].length);
}
