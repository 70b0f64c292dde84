/** What the dispatcher wants to know of the bytes of a request. */
import { latin1Text } from "../base/bytes.ts";
import type { Parser } from "../protocol/parser.ts";
import { HEADER_WORDS } from "../store/record.ts";
import type { Call } from "./call.ts";

const HEADER_BYTES = HEADER_WORDS * 4;
/** What an error shows of the arguments of an unknown command. */
const SHOWN_ARGUMENTS = 20;
const SHOWN_BYTES = 128;

/** Bytes of the commands of a batch. */
export function bytesOf(parser: Parser): number {
  return parser.commands === 0 ? 0 : parser.endOf[parser.commands - 1]! - parser.startOf[0]!;
}

/** Estimates the bytes of the record that a command writes, from its key and its longest other argument. A lower bound. */
export function recordBytes(call: Call): number {
  let longest = 0;
  for (let i = 2; i < call.argCount; i++) longest = Math.max(longest, call.argBytes(i));
  return HEADER_BYTES + ((call.argBytes(1) + 3) & ~3) + longest;
}

/** The text up to the first NUL, because Redis prints names and arguments as C strings. */
export function untilNul(text: string): string {
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

/** The arguments behind the name, as the error for an unknown command shows them. */
export function shownArguments(call: Call): string[] {
  const args: string[] = [];
  for (let i = 1; i < call.argCount && i < SHOWN_ARGUMENTS; i++)
    args.push(untilNul(latin1Text(call.bytes, call.argAt(i), Math.min(call.argBytes(i), SHOWN_BYTES))));
  return args;
}
